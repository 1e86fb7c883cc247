"""Going on after a kill: to the same weights as a run that was never stopped."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import one_sentence
from torch import Tensor, nn

from vae_core import data
from vae_core.data import ImageData
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.objectives import elbo
from vae_core.training import History, NonFiniteLossError, _checkpoint, fit

SHAPE = (1, 4, 4)


def images(n: int = 50, seed: int = 0) -> ImageData:
    generator = torch.Generator().manual_seed(seed)
    bytes_ = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    return ImageData(bytes_, torch.arange(n) % 5, tuple("01234"), "noise", "train")


def small(seed: int = 0) -> VAE:
    return VAE(2, SHAPE, (6,), BernoulliLikelihood(), seed=seed)


def run(model: nn.Module, **options: Any) -> History:
    chosen = {"epochs": 3, "batch_size": 16, "pixels": "dynamic", **options}
    return fit(model, chosen.pop("data", images()), device="cpu", progress=False, **chosen)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


class Killed(BaseException):
    """Stands for a kill inside one process: nothing catches it."""


class killed_at:
    """The VAE's own objective, which dies at ``step`` of this process, counted from 1."""

    def __init__(self, step: int) -> None:
        self.step, self.count = step, 0

    def __deepcopy__(self, memo: object) -> killed_at:
        """One that lives: a checkpoint knows an objective by what a copy of it does."""
        return killed_at(0)

    def __call__(
        self, model: VAE, x: Tensor, labels: Tensor, noise: torch.Generator
    ) -> dict[str, Tensor]:
        self.count += 1
        bound = elbo(model, x, generator=noise, validate=False)
        if self.count == self.step:
            raise Killed
        return {"loss": -bound.total, "kl": bound.kl}


# ---- the same weights --------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["dynamic", "fixed"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("every", [None, 1, 3])
def test_a_killed_run_ends_as_one_that_was_not(
    pixels: str, schedule: str, every: int | None, tmp_path: Path
) -> None:
    """Killed at each step in turn of 3 epochs of 4 steps, some of them in the middle of one."""
    options = {"pixels": pixels, "schedule": schedule, "learning_rate": 0.01}
    whole = small()
    expected = run(whole, objective=killed_at(0), **options)
    for step in range(1, 13):
        path = tmp_path / f"{step}.safetensors"
        kept = {"checkpoint": path, "checkpoint_steps": every, **options}
        with pytest.raises(Killed):
            run(small(), objective=killed_at(step), **kept)
        again = small(seed=7)  # what it holds is replaced, if there is anything to go on from
        if not path.exists():
            again = small()
        history = run(again, objective=killed_at(0), **kept)
        assert same(whole, again), step
        assert history.terms == expected.terms
        assert history.steps == expected.steps
        assert len(history.seconds) == 3


def test_a_run_killed_again_and_again(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.safetensors", small()
    expected = run(whole, objective=killed_at(0))
    deaths = 0
    while True:
        model = small()
        try:
            history = run(model, objective=killed_at(3), checkpoint=path, checkpoint_steps=1)
            break
        except Killed:
            deaths += 1
    assert deaths == 5  # 12 steps, 2 a life; the last life has none left to take a third
    assert same(whole, model)
    assert history.terms == expected.terms


def test_an_objective_that_draws_from_the_global_stream_goes_on_too(tmp_path: Path) -> None:
    def make(step: int) -> Callable[..., dict[str, Tensor]]:
        count = 0

        def objective(model: VAE, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
            nonlocal count
            count += 1
            if count == step:
                raise Killed
            return {"loss": -elbo(model, x, validate=False).total}

        return objective

    whole, again, path = small(), small(), tmp_path / "run.safetensors"
    torch.manual_seed(1)
    run(whole, objective=make(0))
    torch.manual_seed(1)
    with pytest.raises(Killed):
        run(small(), objective=make(6), checkpoint=path, checkpoint_steps=1)
    torch.manual_seed(2)
    run(again, objective=make(0), checkpoint=path, checkpoint_steps=1)
    assert same(whole, again)


def test_a_finished_run_is_given_back(tmp_path: Path) -> None:
    path, first, second = tmp_path / "run.safetensors", small(), small(seed=3)
    expected = run(first, checkpoint=path)
    content = path.read_bytes()
    history = run(second, checkpoint=path)
    assert same(first, second)
    assert history == expected
    assert path.read_bytes() == content
    assert not second.training


def test_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    kept, plain = small(), small()
    history = run(kept, checkpoint=tmp_path / "a" / "run.safetensors", checkpoint_steps=2)
    assert history.terms == run(plain).terms
    assert same(kept, plain)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.safetensors"]


# ---- a process that is really killed -----------------------------------------------------------

LIVES = """
import os, random, signal, time
import torch
torch.set_num_threads(1)
from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.training import fit
from safetensors.torch import save_file

few = data.load("mnist", "test").first(1000)

def train(path, out):
    model = VAE(2, hidden=(24,), likelihood=BernoulliLikelihood())
    fit(model, few, epochs=3, batch_size=20, pixels="dynamic", schedule="linear", device="cpu",
        progress=False, checkpoint=path, checkpoint_steps=2, validation=few.first(100), patience=2)
    save_file(model.state_dict(), out)

train("first.checkpoint", "first.safetensors")  # caches are filled before the clock starts
started = time.perf_counter()
train("whole.checkpoint", "whole.safetensors")
whole = time.perf_counter() - started
random.seed(time.time_ns())  # other moments every time
kills = 0
while True:
    child = os.fork()
    if child == 0:
        train("killed.checkpoint", "killed.safetensors")
        os._exit(0)
    time.sleep(random.uniform(0, 0.3) * whole)
    # Where the child has ended already, it stays a zombie until waitpid: the kill does nothing.
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    kills += 1
    assert kills < 400
print(kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process to kill it")
def test_a_process_killed_at_random_moments(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    done = python(LIVES, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3, "nothing was killed, so nothing is shown"
    whole, killed = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    for name in whole:
        assert torch.equal(whole[name], killed[name]), name
    facts = [
        _checkpoint.from_bytes((tmp_path / f"{name}.checkpoint").read_bytes(), tmp_path).facts
        for name in ("whole", "killed")
    ]
    for one in facts:
        del one["history"]["seconds"], one["elapsed"]
    assert facts[0] == facts[1]


def test_a_kill_while_a_checkpoint_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.safetensors"
    whole = small()
    run(whole)
    real = os.replace
    written = 0

    def die(source: Path, target: Path) -> None:
        nonlocal written
        written += 1
        if written == 3:
            Path(source).write_bytes(Path(source).read_bytes()[:100])  # half a file
            raise Killed
        real(source, target)

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(Killed):
        run(small(), checkpoint=path, checkpoint_steps=1)
    held = _checkpoint.from_bytes(path.read_bytes(), path)
    assert held.facts["history"]["steps"] == 2
    monkeypatch.setattr(os, "replace", real)
    again = small()
    run(again, checkpoint=path, checkpoint_steps=1)
    assert same(whole, again)
    assert [found.name for found in tmp_path.iterdir()] == ["run.safetensors"]


# ---- what is not gone on with ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 4}, "epochs 3, not 4"),
        ({"batch_size": 8}, "batch_size 16, not 8"),
        ({"learning_rate": 0.1}, "learning_rate 0.001, not 0.1"),
        ({"schedule": "linear"}, "schedule 'constant', not 'linear'"),
        ({"seed": 5}, "seed 0, not 5"),
        ({"pixels": "fixed"}, "pixels 'dynamic', not 'fixed'"),
        ({"data": images(seed=1)}, "data '[0-9a-f]+', not '[0-9a-f]+'"),
        ({"validation": images(9)}, "validation None, not '[0-9a-f]+'"),
        ({"bf16": True}, "bf16 False, not True"),
        (
            {"objective": killed_at(0)},
            r"its objective's terms are \['loss', 'reconstruction', 'kl'\], not \['loss', 'kl'\]",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path, model = tmp_path / "run.safetensors", small(seed=2)
    run(small(), checkpoint=path)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"is of another run \({words}\); name another") as error:
        run(model, checkpoint=path, **change)
    one_sentence(error)
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in before)


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run(small(), checkpoint=path)
    with pytest.raises(ValueError, match="model 'VAE', not 'Autoencoder'"):
        run(Autoencoder(2, SHAPE, (6,), BernoulliLikelihood()), checkpoint=path)
    with pytest.raises(ValueError, match=r"weights .*, not"):
        run(VAE(2, SHAPE, (7,), BernoulliLikelihood()), checkpoint=path)
    with pytest.raises(ValueError, match=r"dtype 'torch.float32', not 'torch.float64'"):
        run(small().double(), checkpoint=path)


@pytest.mark.parametrize("content", [b"", b"half", b"\x08" + bytes(7) + b'{"a": 1'])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a checkpoint of this version of fit, or") as error:
        run(small(), checkpoint=path)
    one_sentence(error)
    assert path.read_bytes() == content


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run(small(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is not a checkpoint"):
        run(small(), checkpoint=path)


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run(small(), checkpoint=path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header.pop("__metadata__")["facts"])["history"]["steps"] == 12
    kinds = {name.split(".")[0] for name in header}
    assert kinds == {"model", "optimizer", "generator"}


def test_ruined_weights_are_never_kept(tmp_path: Path) -> None:
    """A checkpoint is written after the losses were looked at, not before."""
    count = 0

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        loss = -elbo(model, x, validate=False).total
        return {"loss": loss * math.nan if count == 6 else loss}

    path = tmp_path / "run.safetensors"
    with pytest.raises(NonFiniteLossError, match="at step 6;"):
        run(small(), checkpoint=path, checkpoint_steps=2, objective=objective)
    held = _checkpoint.from_bytes(path.read_bytes(), path)
    assert held.facts["history"]["steps"] == 4
    assert all(bool(values.isfinite().all()) for values in held.part("model").values())


def test_a_folder_that_cant_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run(small(), checkpoint=tmp_path / "file" / "run.safetensors")


# ---- validation and early stopping -------------------------------------------------------------


def by_hand(model: VAE, held: ImageData, seed: int, batch: int) -> float:
    """The mean loss on a validation set, written out."""
    pixels = torch.Generator().manual_seed(seed + 2)
    noise = torch.Generator().manual_seed(seed + 3)
    total = 0.0
    for part in held.images.split(batch):
        x = data.binarize(part, "dynamic", generator=pixels)
        total -= elbo(model, x, generator=noise).total.sum().item()
    return total / len(held.images)


def test_validation_is_the_mean_loss_with_the_same_noise_each_time() -> None:
    held, model, plain = images(21, seed=4), small(), small()
    history = run(model, validation=held, seed=6)
    assert set(history.validation) == set(history.terms) == {"loss", "reconstruction", "kl"}
    assert len(history.validation["loss"]) == 3
    with torch.no_grad():
        assert history.validation["loss"][-1] == pytest.approx(by_hand(model, held, 6, 16))
    assert history.best_epoch is None
    run(plain, seed=6)
    assert same(model, plain), "validation must not touch the training"


def test_early_stopping_keeps_the_best_weights() -> None:
    """Few training images and a long run: the loss on others falls, then rises."""
    few, held = images(16), images(200, seed=4)
    model = VAE(2, SHAPE, (64,), BernoulliLikelihood(), seed=0)
    options = {"pixels": "fixed", "learning_rate": 0.03, "batch_size": 8}
    history = run(model, data=few, validation=held, patience=3, epochs=200, **options)
    losses = history.validation["loss"]
    assert history.best_epoch is not None
    best = history.best_epoch
    assert losses[best - 1] == min(losses)
    assert len(losses) == best + 3 < 200
    shorter = VAE(2, SHAPE, (64,), BernoulliLikelihood(), seed=0)
    run(shorter, data=few, epochs=best, **options)
    assert same(model, shorter)


def test_early_stopping_survives_a_kill(tmp_path: Path) -> None:
    few, held = images(16), images(200, seed=4)
    options: dict[str, Any] = {
        "data": few, "validation": held, "patience": 3, "epochs": 200, "batch_size": 8,
        "pixels": "fixed", "learning_rate": 0.03,
    }  # fmt: skip
    whole = small()
    expected = run(whole, objective=killed_at(0), **options)
    assert expected.best_epoch is not None
    last = 2 * len(expected.terms["loss"])
    for step in (last - 1, last, 2 * expected.best_epoch + 1):
        path, again = tmp_path / f"{step}", small()
        with pytest.raises(Killed):
            run(small(), objective=killed_at(step), checkpoint=path, **options)
        history = run(again, objective=killed_at(0), checkpoint=path, **options)
        assert same(whole, again)
        assert history.validation == expected.validation
        assert history.best_epoch == expected.best_epoch
        finished = small()
        assert run(finished, objective=killed_at(0), checkpoint=path, **options).best_epoch == (
            expected.best_epoch
        )
        assert same(whole, finished)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patience": 2}, "patience counts epochs without a better validation: give validation"),
        ({"patience": 0, "validation": images(4)}, "patience must be a whole number of at least 1"),
        ({"checkpoint_steps": 5}, "checkpoint_steps says how often to save: give checkpoint"),
        ({"checkpoint_steps": 0, "checkpoint": "x"}, "checkpoint_steps must be a whole number"),
        ({"validation": images(0)}, "validation.images must be uint8"),
        ({"cuda_graph": True}, "cuda_graph needs a CUDA device and one process; got cpu and 1"),
    ],
)
def test_bad_options_change_nothing(options: dict[str, Any], words: str) -> None:
    model, plain = small(), small()
    with pytest.raises(ValueError, match=words) as error:
        run(model, **options)
    one_sentence(error)
    assert same(model, plain)


# ---- precision ---------------------------------------------------------------------------------


def test_float64_weights_take_float64_pixels() -> None:
    model, single = small().double(), small()
    history, other = run(model), run(single)
    assert all(values.dtype == torch.float64 for values in model.state_dict().values())
    assert history.steps == other.steps
    assert all(math.isfinite(loss) for loss in history.terms["loss"])


def test_bf16_products_leave_the_rest_in_float32() -> None:
    """Near float32's run, not equal to it, and the loss itself is a float32."""
    seen: set[torch.dtype] = set()

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        output = model.decode(model.encode(x).mean)
        bound = elbo(model, x, generator=noise, validate=False)
        seen.update((output.dtype, bound.total.dtype))
        return {"loss": -bound.total}

    single, half, again = small(), small(), small()
    expected = run(single, objective=objective)
    history = run(half, objective=objective, bf16=True)
    assert seen == {torch.float32}
    assert not same(single, half)
    assert history.terms["loss"] == pytest.approx(expected.terms["loss"], rel=0.01)
    assert history.terms["loss"] != expected.terms["loss"]
    run(again, objective=objective, bf16=True)
    assert same(half, again)
    assert not any(layer._forward_hooks for layer in half.modules())


# ---- on a GPU ----------------------------------------------------------------------------------

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_graphed_step_trains_as_a_plain_one_does(schedule: str) -> None:
    few = data.load("mnist", "train").first(1050)
    plain, graphed = (VAE(2, hidden=(32,), likelihood=BernoulliLikelihood()) for _ in range(2))
    options: dict[str, Any] = {
        "epochs": 3, "batch_size": 100, "pixels": "dynamic", "schedule": schedule,
        "device": "cuda", "progress": False,
    }  # fmt: skip
    expected = fit(plain, few, **options)
    history = fit(graphed, few, cuda_graph=True, **options)
    assert history.terms["loss"] == pytest.approx(expected.terms["loss"], rel=1e-4)
    for name, values in plain.state_dict().items():
        assert torch.allclose(values, graphed.state_dict()[name], atol=1e-3), name


@pytest.mark.gpu
@needs_cuda
def test_a_run_on_a_gpu_goes_on(tmp_path: Path) -> None:
    path, whole, again = tmp_path / "run.safetensors", small(), small()
    options: dict[str, Any] = {"epochs": 3, "pixels": "dynamic", "progress": False}
    fit(whole, images(), device="cuda", batch_size=16, **options)
    with pytest.raises(Killed):
        fit(
            small(), images(), device="cuda", batch_size=16, checkpoint=path, checkpoint_steps=1,
            objective=killed_at(6), **options,
        )  # fmt: skip
    fit(
        again, images(), device="cuda", batch_size=16, checkpoint=path, checkpoint_steps=1,
        objective=killed_at(0), **options,
    )  # fmt: skip
    assert same(whole, again)
