"""Checkpoints: one safetensors file, moved into place whole, never a pickle.

Tensors: ``model.<name>``, ``optimizer.<parameter>.<name>``, ``generator.<name>``, ``sum.<term>``
and, under early stopping, ``best.<name>``. The header's metadata hold the rest as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from vae_core.data import ImageData

FORMAT = 1


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
        return safetensors.save(self.tensors, metadata={"facts": facts})


def from_bytes(content: bytes, path: Path) -> Checkpoint:
    """The checkpoint in a file's ``content``. Raises ``ValueError`` if it is not one."""
    try:
        tensors = safetensors.load(content)
        length = int.from_bytes(content[:8], "little")
        facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
        if facts.pop("format") != FORMAT:
            raise KeyError("format")
    except (SafetensorError, ValueError, KeyError):
        raise ValueError(
            f"{path} is not a checkpoint of this version of fit; remove it to start anew"
        ) from None
    return Checkpoint(tensors, facts)


def write_whole(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``: a kill at any moment leaves the old file or the new, whole.

    Raises the system's ``OSError`` where it can't be written; what was at ``path`` is still there.
    """
    # One name, not a random one: what a kill leaves is overwritten by the next.
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the bytes are on the disk before the name is
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()  # half a file is of no use, and the disk may be full of it
        raise


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint at ``path``, whole.

    Raises ``OSError``, in one sentence and with the system's ``errno``, where it can't be written
    (a full disk, a folder that refuses); what was at ``path`` before is still there.
    """
    try:
        write_whole(path, checkpoint.to_bytes())
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


def digest(data: ImageData) -> str:
    """A name for the data's very bytes."""
    found = hashlib.sha256(repr(tuple(data.images.shape)).encode())
    found.update(data.images.contiguous().cpu().numpy().tobytes())
    found.update(data.labels.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def refuse_other(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless the run that left ``path`` is the run asked for."""
    wrong = [name for name in asked if stored.get(name) != asked[name]]
    if wrong:
        differences = "; ".join(f"{n} {stored.get(n)!r}, not {asked[n]!r}" for n in wrong)
        raise ValueError(
            f"the checkpoint {path} is of another run ({differences}); "
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
