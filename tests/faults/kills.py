"""Work that is killed again and again, in forked children, until one of them comes to its end.

``python kills.py training N``, ``python kills.py write N``, ``python kills.py zoo N``: kill N
processes, and print a line of JSON for each: whether what it left was whole, and when it was
killed. The last line says whether all that came to its end came to the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_runs import SHAPE, images, run
from torch import nn

from vae_core import _files, _fingerprint, training, zoo
from vae_core.distributions import GaussianLikelihood
from vae_core.models import VAE
from vae_core.objectives import elbo_objective
from vae_core.training import _checkpoint

HERE = Path.cwd()


def digest(model: nn.Module) -> str:
    found = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        found.update(name.encode() + values.numpy().tobytes())
    return found.hexdigest()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def child(work: Callable[[], object], killed_after: float | None = None) -> bool:
    """Do it in a fork; whether it came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if killed_after is not None:
        time.sleep(killed_after)
        # Where it has ended already, it stays a zombie until waitpid: the kill does nothing.
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert os.WEXITSTATUS(status) == 0, "it failed, and was not killed"
    return True


def tell(held: bool, fault: str) -> None:
    print(json.dumps([held, fault]), flush=True)


# ---- a training --------------------------------------------------------------------------------


def train(kept: str | None) -> str:
    """A run that has a state of every kind: pixels drawn anew, a stored sigma, a baseline."""
    model = VAE(2, SHAPE, (16,), GaussianLikelihood("optimal"), seed=1)
    run(
        model, Path(kept) if kept else None, data=images(200), validation=images(40, seed=1),
        patience=3, epochs=4, batch_size=8, pixels="dynamic", schedule="cosine",
        objective=elbo_objective(gradient="score-function", baseline="running"),
        checkpoint_steps=2 if kept else None,
    )  # fmt: skip
    return digest(model)


def whole(path: Path) -> bool:
    """Whether there is nothing at ``path``, or a checkpoint with its own checksum."""
    if not path.exists():
        return True
    try:
        _checkpoint.from_bytes(path.read_bytes(), path)
    except ValueError:
        return False
    return True


def ended(name: str) -> None:
    (HERE / "ended").write_text(train(name), encoding="ascii")


def kill_training(kills: int) -> None:
    expected = train(None)
    started = time.perf_counter()
    train("whole")
    seconds = time.perf_counter() - started
    done, number = 0, 0
    while done < kills:
        number += 1
        name = f"run-{number}"
        told: list[tuple[bool, str]] = []
        while True:
            moment = random.uniform(0, 0.5) * seconds
            if child(lambda name=name: ended(name), moment):  # type: ignore[misc]
                break
            held = whole(HERE / name)
            told.append((held, f"run {number}, killed after {moment:.3f} s"))
        same = (HERE / "ended").read_text() == expected
        left = [path.name for path in HERE.glob(f".{name}.*")]
        for held, fault in told:
            tell(held and same, f"{fault}; the same weights: {same}")
        assert len(left) <= len(told), left  # a kill leaves one file at most, which nothing reads
        done += len(told)


# ---- a checkpoint's write ----------------------------------------------------------------------

STAGES = ("made", "half", "full", "synced", "about to move", "moved", "swept")


def dying_at(stage: str, write: int) -> None:
    """Have this process die at a stage of its ``write``-th checkpoint."""
    writes = 0
    real: dict[str, Any] = {
        "write_bytes": Path.write_bytes, "fsync": os.fsync, "replace": os.replace,
        "sweep": _files._sweep, "temporary": _files._temporary,
    }  # fmt: skip

    def at(here: str) -> None:
        if here == stage and writes == write:
            die()

    def temporary(path: Path) -> Path:
        nonlocal writes
        writes += path.name == "run"
        made: Path = real["temporary"](path)
        at("made")
        return made

    def write_bytes(path: Path, content: bytes) -> int:
        if stage == "half" and writes == write:
            real["write_bytes"](path, content[: random.randrange(len(content))])
            die()
        count: int = real["write_bytes"](path, content)
        at("full")
        return count

    def fsync(handle: int) -> None:
        real["fsync"](handle)
        at("synced")

    def replace(source: Any, target: Any) -> None:
        at("about to move")
        real["replace"](source, target)
        at("moved")

    def sweep(path: Path) -> None:
        real["sweep"](path)
        at("swept")

    Path.write_bytes = write_bytes  # type: ignore[method-assign, assignment]
    os.fsync, os.replace = fsync, replace  # type: ignore[assignment]
    _files._temporary, _files._sweep = temporary, sweep


def short(kept: str | None) -> str:
    model = VAE(2, SHAPE, (6,), seed=1)
    run(model, Path(kept) if kept else None, checkpoint_steps=1 if kept else None)
    return digest(model)


def kill_write(kills: int) -> None:
    expected = short(None)
    for number in range(kills):
        stage, write = STAGES[number % len(STAGES)], random.randrange(1, 13)
        shutil.rmtree("place", ignore_errors=True)
        os.mkdir("place")
        path = HERE / "place" / "run"

        def work(stage: str = stage, write: int = write, path: Path = path) -> None:
            dying_at(stage, write)
            short(str(path))

        fault = f"write {write}, killed when it was {stage}"
        if child(work):
            tell(False, f"{fault}: nobody was killed")
            continue
        held = whole(path)
        steps = 0
        if path.exists() and held:
            content = _checkpoint.from_bytes(path.read_bytes(), path)
            steps = content.facts["history"]["steps"]
        # The old one up to the move, and from then on the new.
        held &= steps == write - (stage not in ("moved", "swept"))

        def again(path: Path = path) -> None:
            (HERE / "ended").write_text(short(str(path)), encoding="ascii")

        assert child(again)
        tell(held and (HERE / "ended").read_text() == expected, f"{fault}; step {steps} was kept")


# ---- the zoo -----------------------------------------------------------------------------------


def fill() -> None:
    zoo._in_memory.clear()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = nowhere
        zoo.fill(workers=1)


def models() -> dict[str, str]:
    """The weights of each model in the cache folder; "damaged" for one that is not whole."""
    found = {}
    for path in sorted((HERE / "cache" / "zoo").glob("tiny-*.safetensors")):
        try:
            tensors, _ = _files.unpack(path.read_bytes())
            found[path.name] = _files.digest(tensors)
        except ValueError:
            found[path.name] = "damaged"
    return found


def kill_zoo(kills: int) -> None:
    import tiny_zoo  # which makes this process's zoo a small one

    os.environ["VAE_CORE_CACHE"] = str(HERE / "cache")
    _fingerprint.EPOCHS = 1  # so that more of the kills meet the models
    assert zoo.RECIPES == {"tiny": tiny_zoo.TINY}
    fill_all = child(fill)
    assert fill_all
    expected = models()
    assert len(expected) == len(zoo.USED)
    started = time.perf_counter()
    shutil.rmtree("cache")
    assert child(fill)
    seconds = time.perf_counter() - started
    done = 0
    while done < kills:
        shutil.rmtree("cache", ignore_errors=True)
        while True:
            # Not shorter on the whole: what comes first must come to its end once.
            moment = random.uniform(0, 1.2) * seconds
            if child(fill, moment):
                break
            held = models().items() <= expected.items()
            tell(held, f"killed after {moment:.3f} s")
            done += 1
        assert models() == expected, "a fill that came to its end made other models"


if __name__ == "__main__":
    torch.set_num_threads(1)
    training.pick_device()
    train(None)  # torch imports what it needs before the clock starts
    random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns())
    {"training": kill_training, "write": kill_write, "zoo": kill_zoo}[sys.argv[1]](int(sys.argv[2]))
