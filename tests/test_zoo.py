"""The zoo: each model trained once, stored whole, and never mistaken for another."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import one_sentence
from safetensors.torch import load_file
from torch import Tensor, nn

from vae_core import _cache, _fingerprint, data, evaluation, models, ordered, training, zoo
from vae_core.distributions import BernoulliLikelihood

TINY = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, epochs=1, batch_size=100)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A zoo of one small model, trained on 300 digits, in a folder of its own."""
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "cache"))
    few = data.load("mnist", "test").first(300)
    monkeypatch.setattr(data, "load", lambda name, split: few)
    monkeypatch.setattr(zoo, "RECIPES", {"tiny": TINY})
    monkeypatch.setattr(zoo, "_in_memory", {})
    _fingerprint.forget()
    yield tmp_path / "cache" / "zoo"
    _fingerprint.forget()


def load(name: str = "tiny", seed: int | None = None) -> nn.Module:
    return zoo.load(name, seed, device="cpu", progress=False)


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", fail)


def test_trains_once_then_reads_the_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load()
    (stored,) = tiny.iterdir()
    assert stored.name.startswith("tiny-seed0-")
    assert stored.suffix == ".safetensors"
    assert not first.training
    assert {p.device.type for p in first.parameters()} == {"cpu"}
    forbid_training(monkeypatch)
    zoo._in_memory.clear()  # as in a new process
    second = load()
    assert same(first, second)
    assert not second.training
    assert not same(first, models.VAE(2, hidden=(8,)))  # it was trained
    on_disk = load_file(stored)  # any reader of safetensors can read it
    assert all(torch.equal(on_disk[name], value) for name, value in first.state_dict().items())


def test_the_model_is_what_fit_makes_of_the_recipe() -> None:
    by_hand = models.VAE(2, hidden=(8,), seed=3)
    training.fit(
        by_hand, data.load("mnist", "train"), epochs=1, batch_size=100, seed=3, device="cpu",
        progress=False,
    )  # fmt: skip
    assert same(load(seed=3), by_hand)


def test_a_loaded_model_is_the_callers_own() -> None:
    first = load()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert not same(first, load())


def test_a_process_waits_for_the_one_that_trains(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the file that the first one wrote while it waited."""
    cpu = torch.device("cpu")
    path = zoo._path("tiny", 0, cpu)
    waiting, found = threading.Event(), []

    class Slow(zoo.FileLock):  # type: ignore[misc, valid-type]
        def acquire(self, *arguments: Any, **options: Any) -> Any:
            waiting.set()
            return super().acquire(*arguments, **options)

    first = zoo._train(TINY, 0, cpu, False)
    forbid_training(monkeypatch)
    with zoo._alone(path):
        monkeypatch.setattr(zoo, "FileLock", Slow)
        second = threading.Thread(target=lambda: found.append(load()))
        second.start()
        assert waiting.wait(30)
        zoo._write(path, first)
    second.join(30)
    assert same(found[0], first)


def test_no_lock_is_no_hindrance(tiny: Path) -> None:
    tiny.parent.mkdir(exist_ok=True)
    shutil.rmtree(tiny.parent / "locks", ignore_errors=True)
    (tiny.parent / "locks").write_text("in the way of the folder")
    assert isinstance(load(), nn.Module)


def test_seeds_are_kept_apart(tiny: Path) -> None:
    assert not same(load(seed=1), load(seed=2))
    assert {path.name.split("-")[1] for path in tiny.iterdir()} == {"seed1", "seed2"}
    assert same(load(), load(seed=0))
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0; got -1"):
        load(seed=-1)


def test_the_key_changes_with_everything_that_decides_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    keys = {zoo._key(TINY, 0, cpu)}
    assert zoo._key(TINY, 0, cpu) in keys  # the same twice
    changes: dict[str, object] = {
        "model": "Autoencoder",
        "options": {"latent_dim": 3, "hidden": (8,)},
        "likelihood": {"kind": "gaussian", "sigma": 0.3},
        "objective": {"name": "importance_weighted_objective", "samples": 2},
        "examples": 100,
        "pixels": "dynamic",
        "epochs": 2,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "data": "kmnist",
        "start": {"model": "tiny"},
    }
    fields = {field.name for field in dataclasses.fields(zoo.Recipe)} - {"seed"}
    assert changes.keys() == fields  # a new setting must join this list
    for name, value in changes.items():
        keys.add(zoo._key(dataclasses.replace(TINY, **{name: value}), 0, cpu))
    keys.add(zoo._key(TINY, 1, cpu))
    keys.add(zoo._key(TINY, 0, torch.device("cuda")))
    for module, name, value in (
        (torch, "__version__", "0.0.1"),
        (_fingerprint, "of_recipe", lambda *arguments: "another training"),
        (_fingerprint, "of_data", lambda name: "other images"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            keys.add(zoo._key(TINY, 0, cpu))
    assert len(keys) == 1 + len(changes) + 5


REFIT = dataclasses.replace(
    TINY, options={"latent_dim": 1, "hidden": (8,)}, start={"model": "tiny", "without": 0}
)


def test_a_recipe_may_go_on_from_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts from the other's weights, less the busiest latent, and is a recipe of its own."""
    monkeypatch.setattr(zoo, "RECIPES", {"tiny": TINY, "refit": REFIT})
    base = zoo.load("tiny", device="cpu", progress=False)
    assert isinstance(base, models.VAE)
    busiest = int(evaluation.latents_by_rate(base, data.load("mnist", "train").images[:2000])[0])
    by_hand = evaluation.without_latent(base, busiest)
    training.fit(
        by_hand, data.load("mnist", "train"), epochs=1, batch_size=100, seed=5, device="cpu",
        progress=False,
    )  # fmt: skip
    assert same(zoo.load("refit", 5, device="cpu", progress=False), by_hand)
    cpu = torch.device("cpu")
    key = zoo._key(REFIT, 0, cpu)
    other = dataclasses.replace(TINY, epochs=2)
    monkeypatch.setattr(zoo, "RECIPES", {"tiny": other, "refit": REFIT})
    assert zoo._key(REFIT, 0, cpu) != key  # another start makes another model


@pytest.mark.parametrize(
    "likelihood",
    [{"kind": "bernoulli"}, {"kind": "gaussian", "sigma": 0.25, "link": "identity"}],
)
def test_a_recipe_names_its_likelihood(likelihood: dict[str, Any]) -> None:
    model = zoo._untrained(dataclasses.replace(TINY, likelihood=likelihood), 0)
    if likelihood["kind"] == "bernoulli":
        assert isinstance(model.likelihood, BernoulliLikelihood)
    else:
        assert model.likelihood.sigma.item() == pytest.approx(0.25)
        assert model.likelihood.link == "identity"


ORDERED = dataclasses.replace(TINY, likelihood={"kind": "ordered-logit"})


def test_an_ordered_logit_starts_from_the_levels_of_the_images_it_trains_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = []
    monkeypatch.setattr(
        training,
        "fit",
        lambda model, images, **_: (
            started.append((model.likelihood.cuts(), images.images)) or training.History()
        ),
    )
    for recipe in (ORDERED, dataclasses.replace(ORDERED, examples=50)):
        zoo._train(recipe, 0, torch.device("cpu"), False)
        cuts, images = started.pop()
        assert len(images) == (recipe.examples or 300)
        expected = ordered.OrderedLogitLikelihood()
        expected.set_levels(images)
        assert torch.equal(cuts, expected.cuts())


@pytest.mark.parametrize(
    ("model", "objective"),
    [
        ("VAE", {"name": "elbo_objective", "beta": 3.0}),
        ("VAE", {"name": "importance_weighted_objective", "samples": 3}),
        ("Autoencoder", {"name": "denoising", "corruption": ["MaskingNoise", 0.9]}),
    ],
)
def test_a_recipe_names_its_objective(model: str, objective: dict[str, Any]) -> None:
    """It is trained on that and not on the model's own: the weights differ."""
    recipe = dataclasses.replace(TINY, model=model, examples=256)
    usual = zoo._train(recipe, 0, torch.device("cpu"), False)
    asked = zoo._train(
        dataclasses.replace(recipe, objective=objective), 0, torch.device("cpu"), False
    )
    assert not same(usual, asked)


def test_a_recipe_names_how_many_examples() -> None:
    few = dataclasses.replace(TINY, examples=TINY.batch_size)
    one_step = zoo._train(few, 0, torch.device("cpu"), False)
    two_steps = zoo._train(
        dataclasses.replace(few, examples=2 * TINY.batch_size), 0, torch.device("cpu"), False
    )
    assert not same(one_step, two_steps)


def flipped(content: bytes) -> bytes:
    """One weight's bit changed: still a valid safetensors file."""
    return content[:-1] + bytes([content[-1] ^ 1])


def without_metadata(content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"]
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + content[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff" * len(content),
        flipped,
        without_metadata,
    ],
)
def test_a_damaged_file_is_told_and_trained_again(
    damage: Callable[[bytes], bytes], tiny: Path
) -> None:
    first = load()
    (stored,) = tiny.iterdir()
    content = stored.read_bytes()
    stored.write_bytes(damage(content))
    zoo._in_memory.clear()
    with pytest.warns(RuntimeWarning) as told:
        second = load()
    (warning,) = told
    assert str(warning.message).startswith(f"the cached model {stored} is damaged (")
    assert str(warning.message).endswith("training it again")
    assert "\n" not in str(warning.message)
    assert same(first, second)
    assert stored.read_bytes() == content


def test_a_file_of_another_model_is_told_and_trained_again(tiny: Path) -> None:
    load()
    (stored,) = tiny.iterdir()
    zoo._write(stored, models.VAE(3, hidden=(8,)))
    zoo._in_memory.clear()
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert load().latent_dim == 2


def test_an_unwritable_cache_warns_and_keeps_the_model_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match="can't be written") as told:
        first = load()
    assert len(told) == 1
    forbid_training(monkeypatch)
    assert same(first, load())


def test_a_full_disk_warns_and_leaves_nothing(tiny: Path) -> None:
    """A limit on the size of files stands for the disk: a write that fails midway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.warns(RuntimeWarning, match="can't be written"):
            first = load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(first, load())
    assert list(tiny.iterdir()) == []


def test_a_stop_while_saving_leaves_no_half_file(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_bytes

    def stopped(self: Path, content: bytes) -> int:
        real(self, content[: len(content) // 2])
        if self.parent == tiny:
            raise KeyboardInterrupt
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert list(tiny.iterdir()) == []


def test_a_kill_while_saving_leaves_no_file_that_is_loaded(
    tiny: Path, python: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies with half of the file written; the next one finds none."""
    done = python(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from vae_core import zoo, models\n"
        "real = Path.write_bytes\n"
        "def killed(self, content):\n"
        "    real(self, content[: len(content) // 2])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.write_bytes = killed\n"
        f"zoo._write(Path({str(tiny / 'model.safetensors')!r}), models.VAE(2, hidden=(8,)))\n"
    )
    assert done.returncode == -9, done.stderr
    assert not (tiny / "model.safetensors").exists()
    assert len(list(tiny.iterdir())) == 1  # the temporary file, which nothing reads
    assert zoo._read(tiny / "model.safetensors", TINY, 0) is None


def test_an_interrupted_training_is_not_cached(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.objective_for

    def stop_after_one_step(model: nn.Module) -> Callable[..., dict[str, Tensor]]:
        loss_of, steps = real(model), 0

        def objective(*arguments: object) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1
            if steps == 2:
                raise KeyboardInterrupt
            return loss_of(*arguments)  # type: ignore[arg-type]

        return objective

    monkeypatch.setattr(training, "objective_for", stop_after_one_step)
    with pytest.raises(KeyboardInterrupt, match="the zoo keeps whole models only"):
        load()
    assert not tiny.exists()
    monkeypatch.setattr(training, "objective_for", real)
    whole = load()
    assert same(whole, load())
    assert len(list(tiny.iterdir())) == 1


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="unknown model 'big': the zoo has tiny") as error:
        load("big")
    one_sentence(error)


def test_fill_says_one_line_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "USED", (("tiny", 0), ("tiny", 1)))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # other processes would not know "tiny"
    assert zoo.main(["fill"]) == 0
    start, first, second = capsys.readouterr().out.splitlines()
    assert start == "2 of 2 models are to be trained"
    assert re.fullmatch(
        r"model 1 of 2: tiny, seed 0 \(\d+\.\d s\), about (\d+ min )?\d+ s left", first
    )
    assert second.startswith("model 2 of 2: tiny, seed 1 (")
    forbid_training(monkeypatch)
    assert zoo.main(["fill"]) == 0


def test_the_command_lists_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.main([]) == zoo.main(["list"]) == 0
    assert capsys.readouterr().out.count("tiny") == 2
    assert zoo.main(["empty"]) == 2
    assert "usage: python -m vae_core.zoo" in capsys.readouterr().err


def test_every_recipe_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert zoo.names() == tuple(zoo.RECIPES)
    assert {"ae-2", "vae-2", "classifier"} <= set(zoo.names())
    for name, recipe in zoo.RECIPES.items():
        assert isinstance(zoo._untrained(recipe, 0), nn.Module), name
        assert recipe.pixels in training.PIXELS
        assert recipe.schedule in training.SCHEDULES
        assert recipe.data in data.available()
    assert {name for name, _ in zoo.USED} <= set(zoo.names())
    rows = zoo.table()
    assert [row["name"] for row in rows] == list(zoo.names())
    vae = zoo.RECIPES["vae-2"]
    assert (vae.epochs, vae.batch_size, vae.learning_rate) == (20, 128, 1e-3)
