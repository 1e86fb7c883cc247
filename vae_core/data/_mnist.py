"""MNIST, embedded: the four original IDX files, recompressed, checked on every first load."""

from __future__ import annotations

import hashlib
import lzma
import struct
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from torch import Tensor

from vae_core import _cache

# MD5 of the uncompressed files, as published with the original database.
CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_PREFIX = {"train": "train", "test": "t10k"}
_embedded = files("vae_core.data") / "mnist"


class DamagedFileError(ValueError):
    """A data file's bytes are not the ones that were published."""


def _checksum(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def unpack(name: str) -> bytes:
    """The IDX file ``name``, decompressed from the package and checked.

    Raises :class:`DamagedFileError` if the embedded file does not give the published bytes.
    """
    advice = "reinstall vae-core to get the file back"
    try:
        content = lzma.decompress((_embedded / f"{name}.xz").read_bytes())
    except OSError as error:
        raise DamagedFileError(
            f"the embedded MNIST file {name}.xz is missing ({error.strerror}); {advice}"
        ) from None
    except (lzma.LZMAError, EOFError) as error:
        raise DamagedFileError(
            f"the embedded MNIST file {name}.xz is damaged ({error}); {advice}"
        ) from None
    found = _checksum(content)
    if found != CHECKSUMS[name]:
        raise DamagedFileError(
            f"the embedded MNIST file {name}.xz is damaged: its MD5 is {found}, "
            f"not {CHECKSUMS[name]}; {advice}"
        )
    return content


def raw_folder(root: Path) -> Path:
    """Where ``torchvision.datasets.MNIST(root)`` looks for the IDX files."""
    return root / "MNIST" / "raw"


def unpacked(name: str, root: Path) -> bytes | None:
    """The bytes of ``name`` as they lie under ``root``, or None unless they are whole."""
    try:
        found = (raw_folder(root) / name).read_bytes()
    except OSError:
        return None  # not unpacked yet, or unreadable
    return found if _checksum(found) == CHECKSUMS[name] else None


def content(name: str, root: Path) -> bytes:
    """The checked bytes of ``name``: unpacked under ``root`` if whole, else the package's."""
    found = unpacked(name, root)
    if found is not None:
        return found
    fresh = unpack(name)
    _cache.write(raw_folder(root) / name, lambda temporary: temporary.write_bytes(fresh))
    return fresh


def parse_idx(content: bytes) -> Tensor:
    """An IDX file of unsigned bytes as a uint8 tensor of the shape its header states."""
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != 8:
        raise DamagedFileError(f"not an IDX file of unsigned bytes: header {content[:4].hex()}")
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    if values.size != np.prod(shape):
        raise DamagedFileError(f"an IDX file states shape {shape} but holds {values.size} bytes")
    return torch.from_numpy(values.reshape(shape).copy())


def tensors(split: str, root: Path) -> tuple[Shaped[Tensor, "n 1 28 28"], Integer[Tensor, " n"]]:
    """Images uint8 [n, 1, 28, 28] and labels int64 [n] of a split ("train" or "test")."""
    prefix = _PREFIX[split]
    images = parse_idx(content(f"{prefix}-images-idx3-ubyte", root))
    labels = parse_idx(content(f"{prefix}-labels-idx1-ubyte", root))
    return images.unsqueeze(1), labels.long()
