"""What is in a checkpoint, what may never be, and who may write it."""

from __future__ import annotations

import errno
import math
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import one_sentence
from safetensors.torch import load, save
from small_runs import Dying, Killed, Make, own, run, same, score, small
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from vae_core import _cache, _files
from vae_core.models import VAE
from vae_core.objectives import (
    RunningBaseline,
    elbo,
)
from vae_core.training import NonFiniteLossError, _checkpoint, _parts

# ---- what an objective carries -----------------------------------------------------------------


def goes_on(make: Make, tmp_path: Path, model: Make = small) -> bool:
    """Whether a run that is killed in the middle of an epoch ends as one that is not."""
    whole, again, kept = model(), model(), tmp_path / "run"
    run(whole, objective=make())
    with pytest.raises(Killed):
        run(model(), kept, objective=Dying(make(), 7), checkpoint_steps=1)
    run(again, kept, objective=make(), checkpoint_steps=1)
    return same(whole, again)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_running_baseline_goes_on(decay: float, tmp_path: Path) -> None:
    assert goes_on(lambda: score(baseline=RunningBaseline(decay)), tmp_path)
    assert goes_on(lambda: score(baseline="running"), tmp_path / "other")


class Net(nn.Module):
    """A model of a caller's own."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


def squares(model: Net, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
    return {"loss": model(x).square().sum(1)}


class Loss(nn.Module):
    """An objective that is a module, with a weight that nobody trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, model: Net, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        return {"loss": self.weight * model(x).square().sum(1)}


def tied() -> Net:
    model = Net(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
    model.layers[2].weight = model.layers[0].weight
    return model


MODELS: dict[str, tuple[Make, Make]] = {
    "dropout, batch norm": (
        lambda: Net(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2)),
        lambda: squares,
    ),
    "tied weights": (tied, lambda: squares),
    "weight norm": (lambda: Net(weight_norm(nn.Linear(16, 8))), lambda: squares),
    "spectral norm": (lambda: Net(spectral_norm(nn.Linear(16, 8))), lambda: squares),
    "an objective that is a module": (lambda: Net(nn.Linear(16, 2)), Loss),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_the_callers_own_go_on(kind: str, tmp_path: Path) -> None:
    model, objective = MODELS[kind]

    def made() -> Any:
        torch.manual_seed(5)
        return model()

    assert goes_on(objective, tmp_path, made)


def test_the_baseline_matters() -> None:
    """What the test above would see if it began anew."""
    first, other = small(), small()
    baseline = RunningBaseline()
    run(first, objective=score(baseline=baseline))
    baseline.value = torch.tensor(5.0)
    run(other, objective=score(baseline=baseline))
    assert not same(first, other)


def test_a_generator_of_its_own_goes_on(tmp_path: Path) -> None:
    def make() -> Any:
        generator = torch.Generator().manual_seed(8)

        def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
            return {"loss": -elbo(model, x, generator=generator, validate=False).total}

        return objective

    assert goes_on(make, tmp_path)


def test_a_network_and_an_optimiser_of_its_own_go_on(tmp_path: Path) -> None:
    """As an adversary has them: trained within the objective."""

    class Adversary:
        def __init__(self) -> None:
            torch.manual_seed(3)
            self.judge = nn.Linear(16, 1)
            self.optimizer = torch.optim.Adam(self.judge.parameters(), 0.1)

        def __call__(self, model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
            bound = elbo(model, x, generator=noise, validate=False)
            made = model.mean(model.encode(x).mean).flatten(1)
            own = self.judge(made.detach().to(self.judge.weight)).mean()
            own = own - self.judge(x.flatten(1).to(self.judge.weight)).mean()
            self.optimizer.zero_grad()
            own.backward()
            self.optimizer.step()
            judged = self.judge(made.to(self.judge.weight))[:, 0]
            return {"loss": -bound.total - judged}

    assert goes_on(Adversary, tmp_path)


def test_a_state_that_needs_a_pickle_is_refused(tmp_path: Path) -> None:
    class Odd:
        def __call__(self, *arguments: Any) -> Any:
            return own(1.0)(*arguments)

        def state_dict(self) -> dict[str, Any]:
            return {"file": object()}

        def load_state_dict(self, state: Any) -> None:
            pass

    model = small()
    with pytest.raises(ValueError, match="the objective's state holds a object: a checkpoint"):
        run(model, tmp_path / "run", objective=Odd())
    assert same(model, small())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"a": torch.ones(2), "b": [1, 2.5, None, True, "x"], "c": (torch.zeros(0), {3: math.inf})},
        {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.999)}]},
        [],
        {"tensor": 3, "dict": 4},
    ],
)
def test_states_are_kept_in_plain_values(state: Any) -> None:
    tensors: list[Tensor] = []
    plain_values = _parts.packed(state, tensors)
    assert repr(_parts.unpacked(plain_values, tensors)) == repr(state)


def test_a_failed_run_puts_back_what_the_objective_carried() -> None:
    baseline, count = RunningBaseline(), 0
    baseline.value = torch.tensor(2.0)
    objective = score(baseline=baseline)

    def ruined(*arguments: Any) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        terms = objective(*arguments)
        return {"loss": terms["loss"] * (math.nan if count == 5 else 1)}

    model = small()
    with pytest.raises(NonFiniteLossError):
        run(model, objective=ruined)
    assert same(model, small())
    assert baseline.value.item() == 2.0


# ---- weights that are no numbers ---------------------------------------------------------------


def ruin_at(step: int, value: float = math.nan) -> Any:
    """An objective whose loss is finite and whose gradient at ``step`` is not."""
    count = 0

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        loss = -elbo(model, x, generator=noise, validate=False).total
        return {"loss": loss + torch.sqrt(0 * loss) if count == step else loss}

    return objective


@pytest.mark.parametrize("step", [1, 6, 12])
def test_ruined_weights_are_never_returned(step: int) -> None:
    model = small()
    with pytest.raises(NonFiniteLossError, match=r"became (nan|NaN or infinite)") as error:
        run(model, objective=ruin_at(step))
    assert "the weights are as they were before" in one_sentence(error)
    assert same(model, small())
    assert not model.training


def test_a_rate_beyond_all_numbers_is_told_at_the_last_step() -> None:
    model = small()
    with pytest.raises(NonFiniteLossError, match="the weights became NaN or infinite by step 1;"):
        run(model, epochs=1, batch_size=50, learning_rate=1e38, objective=ruin_at(0))
    assert same(model, small())


@pytest.mark.parametrize("every", [None, 1, 3])
def test_ruined_weights_are_never_saved(every: int | None, tmp_path: Path) -> None:
    kept = tmp_path / "run"
    with pytest.raises(NonFiniteLossError):
        run(small(), kept, objective=ruin_at(6), checkpoint_steps=every)
    held = _checkpoint.from_bytes(kept.read_bytes(), kept)
    assert held.facts["history"]["steps"] == {None: 4, 1: 5, 3: 4}[every]
    assert all(bool(values.isfinite().all()) for values in held.part("model").values())
    again, whole = small(), small()
    run(again, kept, objective=ruin_at(0), checkpoint_steps=every)
    run(whole, objective=ruin_at(0))
    assert same(again, whole)


def test_ruined_weights_are_not_kept_at_a_stop() -> None:
    count, ruined, model = 0, ruin_at(3), small()

    def objective(*arguments: Any) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return ruined(*arguments)

    with pytest.raises(NonFiniteLossError, match="by step 3;"):
        run(model, objective=objective)
    assert same(model, small())


def test_a_mask_may_be_infinite(tmp_path: Path) -> None:
    model = small()
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert run(model, tmp_path / "run").steps == 12


# ---- the file ----------------------------------------------------------------------------------


def test_the_file_carries_its_own_checksum(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    run(small(), kept)
    content = kept.read_bytes()
    tensors, facts = _files.unpack(content)
    again, same = _files.unpack(_files.pack(tensors, facts))
    assert same == facts
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], values) for name, values in tensors.items())
    held = load(content)
    first = next(iter(sorted(held)))
    other_kind = torch.int32 if held[first].dtype != torch.int32 else torch.float32
    for changed in (
        {**held, first: held[first] + 1},
        {**held, first: held[first].view(other_kind)},  # the same bits
        {**held, first: held[first].flatten()[None]},
        {**held, "another": torch.ones(1)},
        {name: values for name, values in held.items() if name != first},
    ):
        kept.write_bytes(save(changed, metadata={**facts, "sha256": _files.digest(held, facts)}))
        with pytest.raises(ValueError, match="do not have the checksum they were stored") as error:
            run(small(), kept)
        one_sentence(error)
    other = facts["facts"].replace('"steps": 12', '"steps": 11')
    assert other != facts["facts"]
    kept.write_bytes(save(held, metadata={"facts": other, "sha256": _files.digest(held, facts)}))
    with pytest.raises(ValueError, match="do not have the checksum they were stored"):
        run(small(), kept)


def test_a_file_without_a_checksum_is_no_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    for metadata in (None, {"facts": "{}"}, {"sha256": "0" * 64}):
        kept.write_bytes(save({"a": torch.ones(1)}, metadata=metadata))
        with pytest.raises(ValueError, match="is not a checkpoint of this version of fit") as error:
            run(small(), kept)
        one_sentence(error)
    kept.write_bytes(_files.pack(small().state_dict()))  # trained weights, say
    with pytest.raises(ValueError, match="it is another file"):
        run(small(), kept)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to(target)
    whole, again = small(), small()
    run(whole, link, epochs=2)
    assert link.is_symlink()
    assert not target.is_symlink()
    content = target.read_bytes()
    run(again, link, epochs=2)
    assert same(whole, again)
    assert target.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "below a file", "loop"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has other devices")
def test_what_is_no_file_is_refused_before_the_training(kind: str, tmp_path: Path) -> None:
    place, model = tmp_path / kind, small()
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place = Path(os.devnull)
    elif kind == "loop":
        place.symlink_to(place)
    else:
        (tmp_path / "file").touch()
        place = tmp_path / "file" / "run"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=f"the checkpoint {place} can't be read and written") as error:
        run(model, place)
    one_sentence(error)
    assert same(model, small())
    assert sorted(tmp_path.rglob("*")) == before
    assert kind != "device" or stat.S_ISCHR(place.stat().st_mode)


def test_a_home_folder_is_meant_by_its_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run(small(), "~/kept/run")  # type: ignore[arg-type]
    assert (tmp_path / "home" / "kept" / "run").is_file()
    assert list((tmp_path / "here").iterdir()) == []
    monkeypatch.setenv(_cache.VARIABLE, "~/cache")
    assert _cache.folder() == tmp_path / "home" / "cache"


def test_permissions_are_the_usual_ones_and_stay(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("Windows has other permissions")
    kept = tmp_path / "run"
    before = os.umask(0o027)
    try:
        run(small(), kept, epochs=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    kept.chmod(0o600)
    content = kept.read_bytes()
    _files.write_whole(kept, content)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["run[1]*?.ck", "x" * 250, ".hidden", "ein Lauf – α"])
def test_any_name_of_a_file_will_do(name: str, tmp_path: Path) -> None:
    kept, whole, again = tmp_path / name, small(), small()
    run(whole, kept)
    run(again, kept)
    assert same(whole, again)
    assert [path.name for path in tmp_path.iterdir()] == [name]


# ---- company -----------------------------------------------------------------------------------


def test_a_second_run_waits_for_the_first_and_is_given_what_it_left(tmp_path: Path) -> None:
    kept, first, second = tmp_path / "run", small(), small(seed=5)
    (tmp_path / "link").symlink_to(kept)
    begun = threading.Event()

    class Slow:
        def __deepcopy__(self, memo: Any) -> Any:
            return own(1.0)  # tried before the file is this run's

        def __call__(self, *arguments: Any) -> dict[str, Tensor]:
            begun.set()
            threading.Event().wait(0.2)
            return own(1.0)(*arguments)

    thread = threading.Thread(target=lambda: run(first, kept, objective=Slow()))
    thread.start()
    assert begun.wait(60)
    with pytest.warns(RuntimeWarning, match="another run keeps its state in .*link: this one wait"):
        history = run(second, tmp_path / "link", objective=own(1.0))
    thread.join(60)
    assert same(first, second)
    assert history.steps == 12


def test_a_run_within_a_run_of_the_same_file_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "run"

    class Inner:
        def __deepcopy__(self, memo: Any) -> Any:
            return own(1.0)

        def __call__(self, *arguments: Any) -> dict[str, Tensor]:
            run(small(), kept, objective=own(1.0))
            return own(1.0)(*arguments)

    with pytest.raises(ValueError, match="is kept by the run in which this one was begun"):
        run(small(), kept, objective=Inner())


def test_runs_of_two_files_do_not_wait(tmp_path: Path) -> None:
    class Inner:
        def __deepcopy__(self, memo: Any) -> Any:
            return own(1.0)

        def __call__(self, *arguments: Any) -> dict[str, Tensor]:
            run(small(), tmp_path / "inner", objective=own(1.0))
            return own(1.0)(*arguments)

    assert run(small(), tmp_path / "outer", objective=Inner(), epochs=1).steps == 4


def test_no_lock_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert run(small(), tmp_path / "run").steps == 12


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_current_folder_that_is_gone_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    with pytest.raises(OSError, match="the checkpoint run can't be read and written") as error:
        run(small(), Path("run"))
    one_sentence(error)
    assert run(small()).steps == 12


def test_a_checkpoint_that_cant_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, model = tmp_path / "run", small()
    kept.write_bytes(b"")

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(OSError, match=r"can't be read and written \(Permission denied\)") as error:
        run(model, kept)
    one_sentence(error)
    assert error.value.errno == errno.EACCES
    assert same(model, small())
