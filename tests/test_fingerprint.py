"""A model's key is what its training does: it sees every change of that, and no other."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import vae_core
from vae_core import _cache, _files, _fingerprint, data, training, zoo

# In a copy of the package: file, what stands there, what is put there.
Change = tuple[str, str, str]
LIKELIHOODS = ("bernoulli", "normal", "logistic")
KEEPS: dict[str, list[Change]] = {
    "a docstring": [("training/_run.py", '"""The loop itself', '"""In other words: the loop')],
    "a comment": [("distributions/_gaussian.py", "LOG_2PI = ", "# Used below.\nLOG_2PI = ")],
    "a renamed variable": [
        ("training/_run.py", "mean = loss.mean()", "average = loss.mean()"),
        ("training/_run.py", "mean = loss[:count]", "average = loss[:count]"),
        ("training/_run.py", "if not mean.requires", "if not average.requires"),
        ("training/_run.py", "mean.backward()", "average.backward()"),
    ],
    "a renamed function": [
        *((f"distributions/_{name}.py", "sum_event", "sum_of_event") for name in LIKELIHOODS),
        ("distributions/_parts.py", "sum_event", "sum_of_event"),
        ("ordered.py", "sum_event", "sum_of_event"),
    ],
    "a moved function": [
        (
            "training/_setup.py",
            "def learning_rate_factor(",
            "from vae_core.training._rates import learning_rate_factor\n\n\ndef _moved_away(",
        ),
        ("training/_rates.py", "", ""),  # made of the old file's function
    ],
}
# The models whose keys change, and some whose keys do not.
Concerned = tuple[tuple[str, ...], tuple[str, ...]]
CHANGES: dict[str, tuple[Change, Concerned]] = {
    "a constant of the optimiser": (
        (
            "training/_setup.py",
            "torch.optim.Adam(parameters, lr=learning_rate, fused=True)",
            "torch.optim.Adam(parameters, lr=learning_rate, fused=True, betas=(0.9, 0.99))",
        ),
        (("vae-2", "classifier"), ()),
    ),
    "the cosine schedule": (
        ("training/_setup.py", "return 0.5 * (1 + math.cos(", "return 0.49 * (1 + math.cos("),
        (("burda-iwae-short", "cvae-class"), ("vae-2", "sigma-0.5")),
    ),
    "the linear schedule": (
        ("training/_setup.py", "return 1.0 - progress", "return 1.0 - 0.99 * progress"),
        (("sigma-0.5", "classifier"), ("vae-2", "cvae-class")),
    ),
    "a clamp that no short training meets": (
        (
            "distributions/_logistic.py",
            "LOG_STEEPNESS = (-10.0, 10.0)",
            "LOG_STEEPNESS = (-9.0, 9.0)",
        ),
        (("grey-50",), ("vae-2",)),
    ),
    "the smallest sigma": (
        ("distributions/_normal.py", "SMALLEST_SIGMA = 1e-4", "SMALLEST_SIGMA = 2e-4"),
        (("sigma-optimal",), ("sigma-0.5",)),
    ),
    "a running mean's last weight, after 100 steps": (
        ("distributions/_normal.py", "clamp(min=0.01)", "clamp(min=0.0099)"),
        (("sigma-optimal",), ("sigma-0.5",)),
    ),
    "what is dropped from gradients": (
        ("_denormals.py", "NEGLIGIBLE = 1e-30", "NEGLIGIBLE = 1e-6"),
        (("vae-2", "classifier"), ()),
    ),
    "a constant that has no gradient": (
        ("distributions/_gaussian.py", "LOG_2PI = math.log(2 * math.pi)", "LOG_2PI = 2.0"),
        ((), ("vae-2", "grey-50")),
    ),
    "the order of the noise": (
        (
            "objectives/_bounds.py",
            "torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)",
            "torch.randn(shape, generator=generator, dtype=mean.dtype).flip(0)",
        ),
        (("burda-iwae-short",), ("vae-2",)),  # with one sample there is one order
    ),
    "the seed of the noise": (
        ("training/_run.py", "manual_seed(plan.seed + 1)", "manual_seed(2 * plan.seed + 1)"),
        (("vae-2", "denoising-32"), ("ae-2", "classifier")),
    ),
    "the seed of the first weights": (
        ("models/_networks.py", "manual_seed(seed)", "manual_seed(seed + 1)"),
        (("ae-2", "classifier"), ()),
    ),
    "an activation": (
        ("models/_networks.py", '"tanh": torch.tanh', '"tanh": F.softsign'),
        (("burda-iwae-short",), ("vae-2",)),
    ),
    "a factor of the KL": (
        (
            "distributions/_gaussian.py",
            "0.5 * (torch.expm1(2 * self.log_sigma)",
            "0.51 * (torch.expm1(2 * self.log_sigma)",
        ),
        (("vae-2", "cvae-class"), ("ae-2", "cvae-3-quadrants")),
    ),
    "the start of the cut points": (
        ("ordered.py", ".double() + 1", ".double() + 2"),
        (("grey-50",), ("vae-2",)),
    ),
    "which pixels are given": (
        ("models/_conditional.py", "mask[: height // 2] = True", "mask[: height // 2 - 1] = True"),
        (("net-3-quadrants",), ("net-1-quadrant",)),
    ),
    "the zoo's own objective": (
        ("_prediction.py", "x.new_zeros(", "x.new_ones("),
        (("net-3-quadrants",), ("cvae-class",)),
    ),
    "the split of the data": (
        ("data/_load.py", "len(examples) // 6", "len(examples) // 5"),
        (("vae-2", "classifier"), ()),
    ),
}
KEPT = ("sigma-optimal", "burda-iwae-short", "grey-50", "denoising-32")

# One process imports torch and forks for each copy of the package. It prints a line of keys for
# each: reads pairs of a folder and models' names.
KEYS = """
import json, os, sys
import torch, numpy, scipy, safetensors.torch, filelock, platformdirs, tqdm
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)
for folder, names in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        sys.path.insert(0, folder)
        from vae_core import _fingerprint, zoo
        assert _fingerprint.__file__.startswith(folder), _fingerprint.__file__
        cpu = torch.device("cpu")
        keys = {name: zoo._key(zoo.RECIPES[name], 0, cpu) for name in names}
        os.write(write, json.dumps(keys).encode())
        os._exit(0)
    os.wait()
    os.close(write)
    print(os.fdopen(read).read(), flush=True)
"""


def changed(folder: Path, changes: list[Change]) -> Path:
    """A copy of the package with ``changes`` made in it."""
    package = folder / "vae_core"
    mnist = ROOT / "vae_core" / "data" / "mnist"
    shutil.copytree(
        ROOT / "vae_core", package, ignore=shutil.ignore_patterns("__pycache__", "mnist", "js")
    )
    (package / "data" / "mnist").symlink_to(mnist)
    for name, before, after in changes:
        path = package / name
        if not before:
            old = (ROOT / "vae_core" / "training" / "_setup.py").read_text(encoding="utf-8")
            start = old.index("def learning_rate_factor(")
            body = old[start : old.index("\n\n\nclass ", start)]
            path.write_text(f'"""Rates."""\nimport math\n\n\n{body}\n', encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        assert before in text, f"{name} no longer holds {before!r}: put what it holds now"
        path.write_text(text.replace(before, after), encoding="utf-8")
    return folder


def names_of(case: str) -> list[str]:
    """The models whose keys are looked at in a case."""
    if case in CHANGES:
        return [name for names in CHANGES[case][1] for name in names]
    every = {name for change in CHANGES for name in names_of(change)}
    return sorted(every | set(KEPT)) if case == "nothing" else list(KEPT)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The models' keys, under each change."""
    top = tmp_path_factory.mktemp("copies")
    cases = {"nothing": [], **KEEPS, **{name: [change] for name, (change, _) in CHANGES.items()}}
    jobs = [
        (str(changed(top / str(i), changes)), names_of(case))
        for i, (case, changes) in enumerate(cases.items())
    ]
    done = subprocess.run(
        [sys.executable, "-c", KEYS, json.dumps(jobs)],
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=top,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(lines), done.stderr
    return dict(zip(cases, map(json.loads, lines), strict=True))


def differing(keys: dict[str, dict[str, str]], case: str) -> set[str]:
    return {name for name in names_of(case) if keys[case][name] != keys["nothing"][name]}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process for each copy")


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("case", KEEPS)
def test_how_code_is_written_is_no_part_of_a_key(
    case: str, keys: dict[str, dict[str, str]]
) -> None:
    assert differing(keys, case) == set()


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("case", CHANGES)
def test_what_training_does_is_in_the_keys_of_the_models_it_concerns(
    case: str, keys: dict[str, dict[str, str]]
) -> None:
    assert differing(keys, case) == set(CHANGES[case][1][0])


# ---- in this process ---------------------------------------------------------------------------

TINY = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)})
Find = Callable[[], str]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Find]:
    """The fingerprint of a small recipe, as a new process finds it; the cache is empty."""
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "cache"))
    few = data.load("mnist", "test").first(300)
    monkeypatch.setattr(data, "load", lambda name, split: few)
    monkeypatch.setattr(_fingerprint, "EPOCHS", 1)

    def anew() -> str:
        _fingerprint.forget()
        return _fingerprint.of_recipe(TINY, zoo._miniature, zoo._objective)

    yield anew
    _fingerprint.forget()


def test_neither_threads_nor_settings_nor_the_global_stream_have_a_part(
    find: Find, tmp_path: Path
) -> None:
    def emptied() -> str:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return find()

    expected, threads = emptied(), torch.get_num_threads()
    state = torch.get_rng_state()
    assert torch.equal(state, torch.get_rng_state())
    try:
        torch.set_num_threads(3)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(7)
        with torch.inference_mode():
            assert emptied() == expected
        assert torch.get_num_threads() == 3
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)


def test_it_is_found_once_for_the_same_code(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    found, runs, real = find(), [], _fingerprint._run

    def run(*arguments: object) -> str:
        runs.append(0)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(_fingerprint, "_run", run)
    assert find() == found
    assert runs == []
    # Other passes and another size of batch are in the key as they are, and not tried.
    other = dataclasses.replace(TINY, epochs=7, batch_size=100)
    assert _fingerprint.of_recipe(other, zoo._miniature, zoo._objective) == found
    assert runs == []
    slower = dataclasses.replace(TINY, learning_rate=1e-4)
    assert _fingerprint.of_recipe(slower, zoo._miniature, zoo._objective) != found
    assert runs == [0]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 63, b"no fingerprint"])
def test_a_damaged_note_is_made_anew(content: bytes, find: Find, tmp_path: Path) -> None:
    found = find()
    (note,) = (tmp_path / "cache" / "fingerprints").iterdir()
    note.write_bytes(content)
    assert find() == found
    assert note.read_text() == found


def test_code_that_was_edited_meanwhile_is_neither_read_nor_kept(
    find: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A kernel that still runs the old code must not write under the new code's name."""
    monkeypatch.setattr(vae_core, "LOADED", 0.0)  # as if every file were newer
    found = find()
    assert not (tmp_path / "cache" / "fingerprints").exists()
    monkeypatch.undo()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "cache"))
    assert len(found) == 64


def test_a_folder_that_cant_be_written_costs_no_word(
    find: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert len(find()) == 64


def test_a_stop_in_a_miniature_is_a_stop(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object, **options: object) -> training.History:
        return training.History(interrupted=True)

    with pytest.raises(KeyboardInterrupt):
        _fingerprint.of_recipe(
            TINY,
            lambda recipe, images, seed: zoo._miniature(recipe, images, seed, stopped),
            zoo._objective,
        )


def test_the_data_are_those_that_models_are_trained_on() -> None:
    images = data.load("mnist", "train")
    assert len(images.labels) == 50_000
    expected = _files.digest({"images": images.images, "labels": images.labels})
    assert _fingerprint.of_data("mnist") == expected
