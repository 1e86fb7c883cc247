"""What a machine can do to a job: each ends finished or in one sentence, and nothing is damaged.

Some faults need a process of their own to be real (a kill, a limit on files, a home that refuses).
It runs ``tiny_zoo``, the zoo with one small recipe, which writes down each training it begins.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import archive
import nbformat
import normalise
import pytest
import torch
from helpers import ROOT, one_sentence
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from torch import nn

from vae_core import _cache, _files, _fingerprint, data, models, training, zoo
from vae_core.data import _mnist
from vae_core.training import __main__ as training_command

LABELS = "t10k-labels-idx1-ubyte"
TINY = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, epochs=1, batch_size=100)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run the small zoo in; the cache is in it, too."""
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path
    _fingerprint.forget()


def finished(out: str) -> int:
    """How many models ``fill`` says are there."""
    return sum(line.startswith("model ") for line in out.splitlines())


Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(place: Path) -> Iterator[Begin]:
    """Start ``fill`` in the small zoo; whatever still runs at the end is ended."""
    begun: list[subprocess.Popen[str]] = []

    def start(fault: str = "", workers: int = 1, **environment: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "tiny_zoo.py"), str(workers)],
            env={**os.environ, "FAULT": fault, **environment},
            cwd=place,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def trained(place: Path) -> list[tuple[int, int]]:
    """Process and seed of each training that was begun."""
    log = place / "trained"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(process), int(seed)) for process, seed in map(str.split, lines)]


def wait_for(happens: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until it happens; five minutes are far beyond what it takes."""
    end = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < end, "it never happened"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def stored(place: Path) -> list[str]:
    return sorted(path.name.split("-")[1] for path in (place / "cache" / "zoo").glob("tiny-*"))


def by_hand(seed: int) -> nn.Module:
    """What a training that nothing disturbs makes of the recipe."""
    model = models.VAE(2, hidden=(8,), seed=seed)
    few = data.load("mnist", "test").first(300)
    training.fit(model, few, epochs=1, batch_size=100, seed=seed, device="cpu", progress=False)
    return model


def check_models(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model is stored once, whole, and is the one that an undisturbed training gives."""
    assert stored(place) == ["seed0", "seed1", "seed2"]
    assert [path for path in (place / "cache" / "zoo").iterdir() if path.name[0] == "."] == []
    monkeypatch.setattr(zoo, "RECIPES", {"tiny": TINY})
    for seed in range(3):
        path = zoo._path("tiny", seed, training.pick_device())
        found, expected = zoo._read(path, TINY, seed), by_hand(seed).state_dict()
        assert found is not None
        for name, values in found.state_dict().items():
            assert torch.allclose(values, expected[name], atol=1e-5), (seed, name)


# ---- a full disk -------------------------------------------------------------------------------


def test_a_full_disk_ends_a_fill_with_one_sentence(
    begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin("full disk")
    out, err = process.communicate()
    assert (process.returncode, finished(out)) == (1, 0), err
    (sentence,) = [line for line in err.splitlines() if "RuntimeWarning" not in line]
    assert sentence.startswith("the model tiny was trained, but ")
    assert sentence.endswith("disk full?; the models trained so far are kept")
    assert stored(place) == []
    assert list((place / "cache" / "zoo").iterdir()) == []  # not a byte left on the full disk
    process = begin()  # room was made
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    check_models(place, monkeypatch)


needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="no /dev/full, the device that is always full, here"
)


def on_a_full_disk(path: Path) -> Path:
    """As ``_files._temporary``: the file's bytes go to a device that has no room for them."""
    made = path.with_name(f".{path.name}.full")
    made.symlink_to("/dev/full")
    return made


@needs_full
def test_a_full_disk_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the run goes on from it when there is room again."""
    few, path = data.load("mnist", "test").first(300), tmp_path / "run.safetensors"

    def run(epochs: int) -> nn.Module:
        model = models.VAE(2, hidden=(8,), seed=0)
        training.fit(
            model, few, epochs=epochs, batch_size=100, device="cpu", progress=False, checkpoint=path
        )
        return model

    first = run(1)
    before = path.read_bytes()
    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(_files, "_temporary", on_a_full_disk)
        with pytest.raises(OSError, match="No space left on device") as error:
            run(1)
    assert error.value.errno == errno.ENOSPC
    assert "nothing was saved there before: make room" in one_sentence(error)
    assert list(tmp_path.iterdir()) == []  # not a byte left on the full disk
    path.write_bytes(before)
    again = run(1)
    for name, values in first.state_dict().items():
        assert torch.equal(values, again.state_dict()[name])


FULL_BEFORE_THE_END = """
import hashlib, resource, sys
from vae_core import data, models, objectives, training

model = models.VAE(2, hidden=(64,), seed=0)
own, steps = objectives.objective_for(model), []

def objective(*arguments):
    steps.append(0)
    if sys.argv[2:] and len(steps) == 5:  # after the first epoch's checkpoint, of about 1.2 MB
        # A real refusal, in the middle of the file: the system lets none grow beyond this.
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    return own(*arguments)

few = data.load("mnist", "test").first(300)
try:
    training.fit(model, few, epochs=3, batch_size=100, device="cpu", objective=objective,
                 checkpoint=sys.argv[1])
except OSError as error:
    print(error)
    print(len(steps), model.training)
weights = b"".join(values.numpy().tobytes() for values in model.state_dict().values())
print(hashlib.sha256(weights).hexdigest())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
def test_a_disk_that_fills_up_while_a_model_trains(tmp_path: Path, place: Path) -> None:
    kept = tmp_path / "kept" / "run.safetensors"

    def run(*arguments: object) -> list[str]:
        command = [sys.executable, "-W", "error", "-c", FULL_BEFORE_THE_END, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    (whole,) = run(tmp_path / "whole.safetensors")
    sentence, state, half = run(kept, "full")
    assert sentence == (
        f"the checkpoint {kept} can't be written (File too large), so training ended; "
        "the model keeps what it has learned; what was saved there before is whole, and the same "
        "call goes on from it when there is room"
    )
    assert state == "6 False"
    assert half != whole
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    held = training._checkpoint.from_bytes(kept.read_bytes(), kept)
    assert held.facts["history"]["steps"] == 3
    assert run(kept) == [whole]  # there is room again: bit for bit


@needs_full
@pytest.mark.parametrize("option", ["--checkpoint", "--output"])
def test_the_command_says_what_a_full_disk_refused(
    option: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data.load()  # unpacked while there is room
    monkeypatch.setattr(_files, "_temporary", on_a_full_disk)
    arguments = ["--first", "200", "--hidden", "8", "--epochs", "1", "--device", "cpu"]
    assert training_command.main([*arguments, option, str(tmp_path / "run")]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("python -m vae_core.training: the ")
    assert f"{tmp_path / 'run'}" in sentence
    assert "No space left on device" in sentence
    assert list(tmp_path.iterdir()) == []


@needs_full
def test_a_full_disk_leaves_the_old_data_archive_and_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The cache: real bytes to a device that has no room.
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def onto_full(temporary: Path) -> None:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"new" * 100_000)

    with pytest.warns(RuntimeWarning, match=r"can't be written \(No space left on device\); going"):
        assert not _cache.write(target, onto_full)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"

    # A stored notebook.
    notebook = tmp_path / "n.ipynb"
    notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    before = notebook.read_bytes()
    (tmp_path / ".n.ipynb.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        normalise.main([str(notebook)])
    assert notebook.read_bytes() == before

    # The archive.
    pages = tmp_path / "_build" / "html"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("x" * 100_000)
    (tmp_path / "LICENSE").touch()
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/o/book\n")
    assert archive.main([], tmp_path) == 0
    packed = tmp_path / "_build" / "book.zip"
    before = packed.read_bytes()
    (packed.parent / ".book.zip.part").symlink_to("/dev/full")
    capsys.readouterr()
    assert archive.main([], tmp_path) == 1
    assert capsys.readouterr().err.startswith("no archive was made: [Errno 28] No space left")
    assert packed.read_bytes() == before
    assert zipfile.ZipFile(packed).namelist() == ["book/index.html", "book/LICENSE"]


# ---- a home that refuses -----------------------------------------------------------------------


@pytest.fixture(params=["below a file", "without permission"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home folder in which nothing can be made; for root, only the system's own folders are."""
    if request.param == "below a file":
        (tmp_path / "file").touch()
        return tmp_path / "file" / "home"
    if os.geteuid() == 0:
        return Path("/proc")
    (tmp_path / "home").mkdir(mode=0o555)
    return tmp_path / "home"


@pytest.mark.skipif(sys.platform != "linux", reason="the places that refuse even root are Linux's")
def test_a_read_only_home_ends_a_fill_before_any_training(
    home: Path, begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    process = begin(HOME=str(home), PYTHONWARNINGS="ignore::RuntimeWarning")
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith(f"the cache folder {home}")
    assert "can't be written" in sentence
    assert f"Set {_cache.VARIABLE} to a folder that can be written." in sentence
    assert trained(place) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the places that refuse even root are Linux's")
def test_a_read_only_home_is_no_hindrance_to_a_chapter(
    home: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    work = (
        "import logging; logging.disable()\n"  # matplotlib tells where it keeps its fonts then
        "import tiny_zoo\n"
        "from vae_core import figures, zoo\n"
        "first, second = zoo.load('tiny', progress=False), zoo.load('tiny', progress=False)\n"
        "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt\n"
        "plt.plot([1]); plt.savefig('figure.png')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", work],
        env={**os.environ, "HOME": str(home)},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (place / "figure.png").stat().st_size > 1000
    assert len(trained(place)) == 1  # kept in memory
    told = [line for line in done.stderr.splitlines() if "can't be written" in line]
    assert len(told) == 2, done.stderr  # the folder of the data and that of the models
    assert "Traceback" not in done.stderr


# ---- kills -------------------------------------------------------------------------------------


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table of processes")
def test_a_killed_fill_leaves_no_process_and_the_next_does_what_is_missing(
    begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin("hang at 2", workers=2)
    wait_for(lambda: len(trained(place)) == 3 and len(stored(place)) == 2, process)
    process.kill()
    process.wait()
    workers = {number for number, _ in trained(place)}
    assert process.pid not in workers
    wait_for(lambda: not any(map(alive, workers)))
    assert stored(place) == ["seed0", "seed1"]
    process = begin(workers=2)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert finished(out) == 3
    assert [seed for _, seed in trained(place)][3:] == [2]
    check_models(place, monkeypatch)


def test_a_killed_worker_ends_a_fill_with_one_sentence(begin: Begin, place: Path) -> None:
    process = begin("hang at 2", workers=2)
    wait_for(lambda: len(trained(place)) == 3 and len(stored(place)) == 2, process)
    (hanging,) = [number for number, seed in trained(place) if seed == 2]
    os.kill(hanging, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines() == [
        "a process that trained was killed (was memory short?); the models trained so far are kept"
    ]
    assert stored(place) == ["seed0", "seed1"]


def test_a_kill_while_mnist_is_unpacked_leaves_nothing_that_is_read(
    tmp_path: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    work = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from vae_core import data\n"
        "real = Path.write_bytes\n"
        "def killed(self, content):\n"
        "    real(self, content[: len(content) // 2])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.write_bytes = killed\n"
        "data.load('mnist', 'test')\n"
    )
    root = tmp_path / "cache"
    assert python(work, VAE_CORE_CACHE=str(root)).returncode == -signal.SIGKILL
    raw = _mnist.raw_folder(root)
    (left,) = raw.iterdir()
    assert left.name.startswith(".t10k-images-idx3-ubyte.")
    # What a killed process left stays while it might be another's work, and goes later.
    fresh = raw / f".{LABELS}.of-another-process"
    fresh.write_bytes(b"half")
    os.utime(left, (0, 0))
    done = python(
        "from vae_core import data\nprint(data.load('mnist', 'test').labels.bincount()[0].item())",
        VAE_CORE_CACHE=str(root),
    )
    assert (done.stdout, done.stderr) == ("980\n", "")
    names = {path.name for path in raw.iterdir()}
    assert names == {"t10k-images-idx3-ubyte", LABELS, fresh.name}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_killed_kernel_leaves_the_zoo_whole(
    begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel dies in the middle of a chapter's training: no file, and no lock that stays."""
    cell = nbformat.v4.new_code_cell("import tiny_zoo\ntiny_zoo.zoo.load('tiny', progress=False)")
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=[cell]),
        kernel_name="python3",
        resources={"metadata": {"path": str(place)}},
    )
    with pytest.raises(DeadKernelError):
        client.execute(env={**os.environ, "FAULT": "killed while training"})
    assert len(trained(place)) == 1
    assert stored(place) == []
    process = begin()
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    check_models(place, monkeypatch)


# ---- company, and a disk that takes its time ---------------------------------------------------


def test_two_builds_at_once_on_a_slow_disk_train_each_model_once(
    begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [begin("slow"), begin("slow")]
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert finished(out) == 3
    assert sorted(seed for _, seed in trained(place)) == [0, 1, 2]
    check_models(place, monkeypatch)


# ---- no network --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_download_that_the_disk_refuses_is_not_laid_to_the_network(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import FashionMNIST

    def refuse(self: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FashionMNIST, "download", refuse)
    with pytest.raises(data.DataUnavailableError) as error:
        data.load("fashion-mnist", root=tmp_path)
    message = one_sentence(error)
    assert f"can't be stored in {tmp_path} ({os.strerror(number)}); make room there" in message
    assert "network" not in message
