"""Checkpoints: one safetensors file with its own checksum, moved into place whole, never a pickle.

Tensors: ``model.<name>``, ``optimizer.<parameter>.<name>``, ``generator.<name>``, ``run.sums``,
``objective.<number>`` where the objective holds any and, under early stopping, ``best.<name>``. The
header's metadata hold the rest as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import BaseFileLock, FileLock, Timeout
from torch import Tensor

from vae_core import _cache, _files
from vae_core.data import ImageData
from vae_core.training._identity import differences

FORMAT = 2


@dataclass
class Checkpoint:
    """Everything that decides how a run goes on: ``facts`` are plain values."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, tensors: Mapping[str, Tensor]) -> None:
        """Store ``tensors`` under ``kind``."""
        for name, values in tensors.items():
            self.tensors[f"{kind}.{name}"] = values.detach().to("cpu", copy=True).contiguous()

    def part(self, kind: str) -> dict[str, Tensor]:
        """What :meth:`add` stored under ``kind``."""
        start = f"{kind}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def to_bytes(self) -> bytes:
        """The file's content."""
        facts = json.dumps({"format": FORMAT, **self.facts})
        return _files.pack(self.tensors, {"facts": facts})


def from_bytes(content: bytes, path: Path) -> Checkpoint:
    """The checkpoint in a file's ``content``. Raises ``ValueError`` if it is none, or damaged."""
    try:
        tensors, texts = _files.unpack(content)
        facts = json.loads(texts["facts"])
        if facts.pop("format") != FORMAT:
            raise ValueError("it is of another version")
    except KeyError:
        raise _no_checkpoint(path, "it is another file") from None
    except ValueError as error:
        raise _no_checkpoint(path, str(error)) from None
    return Checkpoint(tensors, facts)


def _no_checkpoint(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is not a checkpoint of this version of fit, or it is damaged ({reason}); "
        f"remove it to start anew"
    )


def read(path: Path) -> bytes | None:
    """The content of the checkpoint file, None where there is none.

    Raises ``OSError``, in one sentence, where it can't be read, or none can be put there.
    """
    try:
        _files.check_place(path)
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        told = OSError(
            f"the checkpoint {path} can't be read and written ({error.strerror or error}); "
            f"name another file"
        )
        told.errno = error.errno
        raise told from None


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint at ``path``, whole.

    Raises ``OSError``, in one sentence and with the system's ``errno``, where it can't be written
    (a full disk, a folder that refuses); what was at ``path`` before is still there.
    """
    try:
        _files.write_whole(path, checkpoint.to_bytes())
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> OSError:
    """One sentence for a checkpoint that the disk did not take: what is kept, and what to do."""
    kept = (
        "what was saved there before is whole, and the same call goes on from it when there is room"
        if path.is_file()
        else "nothing was saved there before: make room, or name another file"
    )
    told = OSError(
        f"the checkpoint {path} can't be written ({error.strerror or error}), so training ended; "
        f"the model keeps what it has learned; {kept}"
    )
    told.errno = error.errno
    return told


_mine: dict[str, int] = {}  # files that runs of this process keep -> the thread


@contextmanager
def alone(path: Path, obey: Callable[[], None]) -> Iterator[None]:
    """One run at a time keeps its state in the file at ``path``, by whatever name it is called.

    The next one waits until it has ended, and then goes on from what it left; a warning says so.
    ``obey`` is called while it waits, to end that. The system frees a killed process's lock. Where
    no lock can be made (a cache folder that can't be written), two runs may write by turns, each a
    whole file. Raises ``ValueError`` for a run within a run of the same file.
    """
    try:
        real = os.path.realpath(path)
    except OSError:
        real = str(path)  # the folder that it counts from is gone: reading it will tell
    if _mine.get(real) == threading.get_ident():
        raise ValueError(f"the checkpoint {path} is kept by the run in which this one was begun")
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:24]
    place = _cache.folder() / "locks" / f"checkpoint-{name}.lock"
    lock = FileLock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _wait(lock, path, obey)
    except (OSError, NotImplementedError):
        yield
        return
    _mine[real] = threading.get_ident()
    try:
        yield
    finally:
        del _mine[real]
        lock.release()


def _wait(lock: BaseFileLock, path: Path, obey: Callable[[], None]) -> None:
    told = False
    while True:
        try:
            lock.acquire(timeout=0.2, poll_interval=0.05)
            return
        except Timeout:
            obey()
        if not told:
            told = True
            warnings.warn(
                f"another run keeps its state in {path}: this one waits until that one has ended",
                RuntimeWarning,
                stacklevel=2,
            )


def digest(data: ImageData) -> str:
    """A name for the data's very bytes."""
    found = hashlib.sha256(repr(tuple(data.images.shape)).encode())
    found.update(data.images.contiguous().cpu().numpy().tobytes())
    found.update(data.labels.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def refuse_other(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless the run that left ``path`` is the run asked for."""
    wrong = [
        f"{name} {stored.get(name)!r}, not {asked[name]!r}"
        for name in asked
        if name != "behaviour" and stored.get(name) != asked[name]
    ]
    if not wrong:
        wrong = differences(stored.get("behaviour"), asked["behaviour"])
    if wrong:
        raise ValueError(
            f"the checkpoint {path} is of another run ({'; '.join(wrong)}); "
            f"name another file, or remove this one to start anew"
        )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's own state, as ``<parameter>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": values for i, held in state.items() for name, values in held.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, values in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = values
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
