"""Files that are written whole or not at all, and that tell when they are read damaged."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

# Nothing takes so long to write: an older temporary file is what a killed process left.
_LEFT_SECONDS = 3600.0
_SUM = "sha256"


def place(name: str, given: str | os.PathLike[str]) -> Path:
    """The path that is meant: ``~`` stands for the home folder, as it does in a shell.

    Raises ``ValueError``, which calls it ``name``, for what is no path.
    """
    try:
        return Path(given).expanduser()
    except (TypeError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name} must be a path; got {given!r} ({error})") from None


def _end_of_links(path: Path) -> Path:
    """The file that ``path`` leads to. Raises ``OSError`` where that is not, and can't be, one."""
    end = Path(os.path.realpath(path))  # FileNotFoundError: the current folder is gone
    try:
        mode = end.stat().st_mode
    except FileNotFoundError:
        return end
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, and not a file")
    return end


def check_place(path: Path) -> None:
    """Raise ``OSError`` where :func:`write_whole` can't put a file, and leave no trace."""
    folder = _end_of_links(path).parent
    while not folder.exists():
        folder = folder.parent  # what is missing will be made
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))


def _temporary(path: Path) -> Path:
    """An empty file beside ``path`` that no other process uses, with the usual permissions."""
    while True:
        made = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
        try:
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return made
        except FileExistsError:
            continue


def _sweep(path: Path) -> None:
    """Remove what killed processes left of ``path``; a process at work keeps its own."""
    for left in path.parent.glob(f".{glob.escape(path.name[:100])}.*"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()
        except OSError:
            continue  # another process was faster, or may and this one may not


def write_whole(path: Path, save: bytes | Callable[[Path], object]) -> None:
    """Put ``save`` at ``path``: a kill at any moment leaves the old file or the new, whole.

    ``save``: the content, or a function that writes a file of the name it is given, and reports a
    failed write as ``OSError``. Where ``path`` is a link, the file that it leads to is written.
    Each process writes under a name of its own, so that two that write at once do not spoil each
    other's work. Raises the system's ``OSError`` where the file can't be written, or is a folder, a
    device or a pipe; what was at ``path`` is then still there.
    """
    end = _end_of_links(path)
    end.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(end)
    try:
        if isinstance(save, bytes):
            temporary.write_bytes(save)
        else:
            save(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # the bytes are on the disk before the name is
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(end.stat().st_mode))
        os.replace(temporary, end)
        _sweep(end)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # half a file is of no use, and the disk may be full


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """SHA-256 of named tensors (names, dtypes, shapes, every bit) and of texts beside them."""
    found = hashlib.sha256(json.dumps(dict(facts or {}), sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        found.update(f"\n{name} {values.dtype} {list(values.shape)}\n".encode())
        found.update(safetensors.save({"": values}))
    return found.hexdigest()


def pack(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file's content: ``tensors``, texts beside them, and the SHA-256 of both."""
    held = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    return safetensors.save(held, metadata={**(facts or {}), _SUM: digest(held, facts)})


def unpack(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What :func:`pack` was given. Raises ``ValueError``, with the reason, for anything else."""
    try:
        tensors = safetensors.load(content)
        length = int.from_bytes(content[:8], "little")
        facts = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is no safetensors file") from None
    if _SUM not in facts:
        raise ValueError("it carries no checksum")
    if facts.pop(_SUM) != digest(tensors, facts):
        raise ValueError("its contents do not have the checksum they were stored with")
    return tensors, facts
