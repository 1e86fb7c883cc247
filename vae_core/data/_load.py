"""One call for every data set."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_core import _cache, _check
from vae_core.data import _mnist, _torchvision

SPLITS = ("train", "test")


class ImageData(NamedTuple):
    """A split of a data set, held as tensors.

    images: uint8 [n, channels, height, width]; labels: int64 [n], indices into ``classes``.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    split: str

    def to(self, device: torch.device | str) -> ImageData:
        """The same split with both tensors on ``device``."""
        return self._replace(images=self.images.to(device), labels=self.labels.to(device))

    def first(self, n: int) -> ImageData:
        """The first ``n`` examples. Raises ``ValueError`` unless 1 <= n <= the number held."""
        if not 1 <= n <= len(self.images):
            raise ValueError(f"n must be between 1 and {len(self.images)}; got {n}")
        return self._replace(images=self.images[:n], labels=self.labels[:n])


def available() -> tuple[str, ...]:
    """The names that :func:`load` knows, MNIST (embedded) first."""
    return ("mnist", *_torchvision.DATASETS)


def load(
    name: str | Path = "mnist",
    split: str = "train",
    *,
    root: str | Path | None = None,
    device: torch.device | str = "cpu",
    size: int = 28,
    channels: int = 1,
) -> ImageData:
    """A split of a data set as uint8 tensors on ``device``.

    ``name`` is "mnist" (in the package: no network), "fashion-mnist", "kmnist", "emnist" (its
    "balanced" part), "qmnist" (through torchvision), or the path of a folder of images, resized to
    ``size`` x ``size`` with 1 (grey) or 3 (RGB) ``channels``. ``root`` is where files are kept
    (default: the cache folder).

    Raises ``ValueError`` for an unknown name or split or a folder without images,
    ``DamagedFileError`` for damaged bytes, ``DataUnavailableError`` where a network is missing.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'test'; got {split!r}")
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3; got {channels}")
    size = _check.whole("size", size)
    if name in available() and (size, channels) != (28, 1):
        raise ValueError(f"size and channels are for folders of images; {name} has 28 x 28 x 1")
    place = Path(root) if root is not None else _cache.folder()
    if name == "mnist":
        # Clones: what a caller does to its tensors must not reach the next caller's.
        images, labels = (tensor.clone() for tensor in _mnist_tensors(split, place))
        classes = tuple("0123456789")
    elif name in _torchvision.DATASETS:
        images, labels, classes = _torchvision.torchvision_set(str(name), split, place)
    elif name != "" and Path(name).is_dir():
        images, labels, classes = _torchvision.image_folder(Path(name), split, size, channels)
    else:
        raise ValueError(
            f"unknown data set {str(name)!r}: give one of {', '.join(available())}, "
            f"or the path of a folder of images"
        )
    return ImageData(images, labels, classes, str(name), split).to(device)


@functools.cache
def _mnist_tensors(split: str, root: Path) -> tuple[Tensor, Tensor]:
    return _mnist.tensors(split, root)


def torchvision_root(root: str | Path | None = None) -> str:
    """A folder for which ``torchvision.datasets.MNIST(folder)`` works offline, on the same bytes.

    The four IDX files are unpacked there, where they are not yet: under ``root``, else the cache
    folder, else (if that can't be written) a temporary folder that lives as long as this process.
    """
    place = Path(root) if root is not None else _cache.folder()
    for name in _mnist.CHECKSUMS:
        _mnist.content(name, place)
    if any(_mnist.unpacked(name, place) is None for name in _mnist.CHECKSUMS):
        place = Path(tempfile.mkdtemp(prefix="vae-core-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        for name in _mnist.CHECKSUMS:
            _mnist.content(name, place)
    return str(place)
