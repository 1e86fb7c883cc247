"""Data sets that are not embedded and come through torchvision."""

from __future__ import annotations

import errno
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_core.data._mnist import DamagedFileError


class DataUnavailableError(RuntimeError):
    """A data set is neither on this machine nor to be had from the network."""


def _vision() -> Any:
    # Only here: vae_core itself works beside a torch whose torchvision fails at import.
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        raise DataUnavailableError(
            f"only MNIST is embedded; torchvision's data sets need a working torchvision ({error})"
        ) from None
    return torchvision


# name -> torchvision's class (also the name of its folder) and the options that choose a split
DATASETS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "fashion-mnist": ("FashionMNIST", lambda split: {"train": split == "train"}),
    "kmnist": ("KMNIST", lambda split: {"train": split == "train"}),
    "emnist": ("EMNIST", lambda split: {"train": split == "train", "split": "balanced"}),
    # "test10k" is the part that pairs with MNIST's own 10,000 test digits.
    "qmnist": ("QMNIST", lambda split: {"what": "train" if split == "train" else "test10k"}),
}


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or "not an IDX file"


def _damaged(name: str, folder: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"the files of {name} in {folder} are damaged ({reason}); delete them to get them anew"
    )


# What a disk refuses, as opposed to a network.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
_DISK |= {errno.ENOTDIR, errno.EIO}


def _unavailable(name: str, root: Path, error: Exception) -> DataUnavailableError:
    """One sentence for a download that failed: what is missing, and what to do."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return DataUnavailableError(
            f"{name} is not on this machine and can't be stored in {root} ({error.strerror}); "
            f"make room there, or give another folder as root"
        )
    return DataUnavailableError(
        f"{name} is not on this machine and could not be downloaded: no network, or its servers do "
        f"not answer; try again with a network, or give as root a folder that holds its files"
    )


def torchvision_set(name: str, split: str, root: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images uint8 [n, 1, 28, 28], labels int64 [n] and class names of a torchvision data set.

    Downloads to ``root`` on first use. Raises, in one sentence, :class:`DataUnavailableError` where
    that is not possible and :class:`DamagedFileError` where the files hold something else.
    """
    kind, options = DATASETS[name]
    make = getattr(_vision().datasets, kind)
    folder = root / kind / "raw"
    try:
        found = make(str(root), download=False, **options(split))
    except (AssertionError, OSError, RuntimeError, TypeError, ValueError) as error:
        if "Dataset not found" not in str(error):
            raise _damaged(name, folder, _reason(error)) from None
        found = None
    if found is None:
        try:
            found = make(str(root), download=True, **options(split))
        except (OSError, RuntimeError, EOFError, HTTPException) as error:
            raise _unavailable(name, root, error) from None
    images = torch.as_tensor(found.data, device="cpu")
    if name == "emnist":
        images = images.transpose(1, 2)  # EMNIST's files hold every letter on its side
    targets = torch.as_tensor(found.targets, device="cpu")
    labels = targets[:, 0] if targets.ndim == 2 else targets  # QMNIST: first of eight columns
    if images.shape != (len(labels), 28, 28):
        raise _damaged(name, folder, f"images {list(images.shape)}, labels {list(labels.shape)}")
    classes = tuple(str(label) for label in found.classes)
    return images.unsqueeze(1).contiguous(), labels.long(), classes
