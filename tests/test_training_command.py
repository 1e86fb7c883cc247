"""The command: what can't be is said first, and every fault of its user's ends in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT
from PIL import Image

from vae_core import _files, data, models, training
from vae_core.training import __main__ as command
from vae_core.training import _setup

QUICK = ["--first", "200", "--hidden", "8", "--epochs", "1", "--device", "cpu"]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command; its status, what it printed, and its one line of complaint."""

    def run(*arguments: object, quick: bool = True) -> tuple[int, str, str]:
        try:
            status = command.main([*(QUICK if quick else []), *map(str, arguments)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, error = capsys.readouterr()
        lines = error.splitlines()
        if status in (1, 2):
            (sentence,) = lines
            assert sentence.startswith("python -m vae_core.training: ")
        return status, out, lines[0].split(": ", 1)[1] if lines else ""

    return run


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("it trained before it said so")

    monkeypatch.setattr(command, "fit", fail)
    monkeypatch.setattr(command.datasets, "load", fail)


# ---- said before the work ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "below a file", "pipe", "device"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has other devices")
def test_an_output_that_cant_be_written(
    kind: str, tmp_path: Path, told: Any, no_training: None
) -> None:
    place = {
        "folder": tmp_path,
        "below a file": tmp_path / "file" / "vae",
        "pipe": tmp_path / "pipe",
        "device": Path(os.devnull),
    }[kind]
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    status, out, sentence = told("--output", place)
    assert (status, out) == (1, "")
    assert sentence.startswith(f"the weights can't be written to {place} (")


def test_an_output_beside_which_a_stopped_one_has_no_place(
    tmp_path: Path, told: Any, no_training: None
) -> None:
    (tmp_path / "vae.stopped.safetensors").mkdir()
    status, _, sentence = told("--output", tmp_path / "vae.safetensors")
    assert status == 1
    assert "vae.stopped.safetensors (it is a folder)" in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--first", "0"], "--first must be a whole number of at least 1; got 0"),
        (["--validation", "0"], "--validation must be a whole number of at least 1; got 0"),
        (["--validation", "-5"], "--validation must be a whole number of at least 1; got -5"),
        (["--split", "train+validation", "--validation"], "they would overlap"),
        (["--split", "test"], "argument --split: invalid choice"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--learning-rate", "fast"], "argument --learning-rate: invalid float value: 'fast'"),
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--output"], "argument --output: expected one argument"),
        (["--output", "same", "--checkpoint", "same"], "must be two files"),
        (["--output", "a", "--checkpoint", "a.stopped"], "must be two files"),
        (["--device", "abacus"], "device 'abacus' can't be used here"),
    ],
)
def test_options_that_cant_be_meant(
    arguments: list[str], words: str, told: Any, no_training: None
) -> None:
    status, out, sentence = told(*arguments)
    assert (status, out) == (2, "")
    assert words in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--validation", "200"], "--validation must leave images to train on; got 200 of 200"),
        (["--first", "60000"], "n must be between 1 and 50000; got 60000"),
        (["--data", "nowhere"], "unknown data set 'nowhere'"),
        (["--size", "64"], "size and channels are for folders of images"),
        (["--channels", "3"], "size and channels are for folders of images"),
        (["--likelihood", "bernoulli"], "binarize grey images first"),
        (["--latent-dim", "0"], "latent_dim must be a whole number of at least 1; got 0"),
        (["--hidden", "8", "0"], "hidden must be a tuple of whole numbers"),
        (["--epochs", "0"], "epochs must be a whole number of at least 1; got 0"),
        (["--seed", "-1"], "seed must be a whole number of at least 0; got -1"),
        (["--learning-rate", "nan"], "learning_rate must be a positive number; got nan"),
        (["--patience", "2"], "give validation"),
        (["--checkpoint-steps", "2"], "give checkpoint"),
        (["--cuda-graph"], "cuda_graph needs a CUDA device"),
        (["--dtype", "float64", "--bf16"], "bf16 is for weights in float32"),
    ],
)
def test_arguments_that_the_work_refuses(arguments: list[str], words: str, told: Any) -> None:
    status, out, sentence = told(*arguments)
    assert (status, out) == (2, "")
    assert words in sentence


# ---- faults on the way -------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_one_line(tmp_path: Path, told: Any) -> None:
    output = tmp_path / "vae"
    status, out, sentence = told("--learning-rate", "1e30", "--output", output)
    assert (status, out) == (1, "")
    assert "a smaller learning rate often helps" in sentence
    assert not output.exists()


def test_data_that_are_not_there_are_one_line(
    told: Any, offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_CORE_CACHE", str(tmp_path))
    status, _, sentence = told("--data", "fashion-mnist")
    assert status == 1
    assert "is not on this machine and could not be downloaded" in sentence


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of memory\nand a long trace")])
def test_a_machine_that_is_too_small_is_one_line(
    error: Exception, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(command, "fit", fail)
    status, _, sentence = told()
    assert status == 1
    assert sentence in ("MemoryError", "out of memory")


def test_a_stop_before_the_training_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.datasets, "load", stop)
    assert command.main(QUICK) == 130
    assert capsys.readouterr().err == (
        "python -m vae_core.training: stopped before the training began\n"
    )


def test_bf16_where_there_is_none_is_one_line(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_setup, "_bf16_instructions", lambda: False)
    status, _, sentence = told("--bf16")
    assert status == 2
    assert "this processor has no instructions for bfloat16" in sentence


@pytest.mark.skipif(os.name == "nt", reason="Windows has other pipes")
def test_a_listener_that_leaves_costs_no_weights(tmp_path: Path) -> None:
    """As ``python -m vae_core.training ... | head -0`` does."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "vae_core.training", *QUICK, "--output", "vae"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1
    assert (tmp_path / "vae").stat().st_size > 1000


# ---- what it makes -----------------------------------------------------------------------------


def test_the_weights_are_those_of_fit_and_carry_a_checksum(tmp_path: Path, told: Any) -> None:
    output = tmp_path / "new" / "vae.safetensors"
    status, out, _ = told("--output", output, "--seed", "3", "--validation", "50")
    assert status == 0
    assert out.endswith(f"weights: {output}\n")
    tensors, facts = _files.unpack(output.read_bytes())
    model = models.VAE(2, hidden=(8,), seed=3)
    digits = data.load().first(200)
    held_out = digits._replace(images=digits.images[150:], labels=digits.labels[150:])
    history = training.fit(
        model, digits.first(150), epochs=1, seed=3, device="cpu", progress=False,
        validation=held_out,
    )  # fmt: skip
    assert all(torch.equal(tensors[name], v) for name, v in model.state_dict().items())
    stored = json.loads(facts["history"])
    assert (stored["terms"], stored["validation"]) == (history.terms, history.validation)


def test_the_validation_split_of_the_data_set_itself(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def fit(model: Any, images: Any, **options: Any) -> training.History:
        seen.append((images, options["validation"]))
        return training.History()

    monkeypatch.setattr(command, "fit", fit)
    assert told("--device", "cpu", "--validation", quick=False)[0] == 0
    assert told("--device", "cpu", "--split", "train+validation", quick=False)[0] == 0
    (train, held_out), (every, none) = seen
    assert (len(train.labels), len(held_out.labels), len(every.labels)) == (50_000, 10_000, 60_000)
    assert torch.equal(held_out.images, data.load("mnist", "validation").images)
    assert none is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of colour pictures of two classes, in a home folder."""
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for label in ("cats", "dogs"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(12):
            pixels = torch.randint(0, 256, (30, 20, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(tmp_path / "pets" / label / f"{i}.png")
    return tmp_path / "pets"


@pytest.mark.parametrize(
    ("options", "shape", "hidden"),
    [
        ([], (1, 28, 28), (512,)),
        (["--size", "16", "--channels", "3"], (3, 16, 16), (512,)),
        (["--size", "16", "--channels", "3", "--architecture", "conv"], (3, 16, 16), (32, 64)),
        (["--architecture", "conv", "--hidden", "4", "8"], (1, 28, 28), (4, 8)),
    ],
)
def test_a_folder_of_images(
    options: list[str],
    shape: tuple[int, ...],
    hidden: tuple[int, ...],
    folder: Path,
    told: Any,
    tmp_path: Path,
) -> None:
    output = tmp_path / "vae"
    arguments = ["--data", "~/pets", "--epochs", "1", "--device", "cpu", "--output", str(output)]
    status, _, _ = told(*arguments, *options, quick=False)
    assert status == 0
    tensors, _ = _files.unpack(output.read_bytes())
    architecture = "conv" if "conv" in options else "mlp"
    expected = models.VAE(2, shape, hidden, architecture=architecture)
    assert {name: v.shape for name, v in tensors.items()} == {
        name: v.shape for name, v in expected.state_dict().items()
    }


def test_paths_of_the_home_folder(folder: Path, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = folder.parent, folder.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert told("--output=~/made/vae", "--checkpoint=~/made/run")[0] == 0
    assert {path.name for path in (home / "made").iterdir()} == {"vae", "run"}
    assert list(here.iterdir()) == []
