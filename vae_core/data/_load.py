"""One call for every data set."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_core import _cache, _check
from vae_core._tensors import usable
from vae_core.data import _folder, _mnist, _torchvision

SPLITS = ("train", "validation", "train+validation", "test")


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
        """The same split, both tensors on ``device``; ``ValueError`` where there is no such one."""
        device = usable(device)
        return self._replace(images=self.images.to(device), labels=self.labels.to(device))

    def first(self, n: int) -> ImageData:
        """The first ``n`` examples. Raises ``ValueError`` unless 1 <= n <= the number held."""
        if not _check.is_whole(n) or n > len(self.images):
            raise ValueError(f"n must be between 1 and {len(self.images)}; got {_check.shown(n)}")
        n = int(n)
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

    ``split`` is "train", "validation" or "test". What is chosen, stopped, tuned or fitted looks at
    "validation", the last sixth of the data set's training examples (of MNIST's 60,000 the last
    10,000); "train" is the rest of them, and "train+validation" is all of them. "test" is only ever
    measured on.

    ``name`` is "mnist" (in the package: no network), "fashion-mnist", "kmnist", "emnist" (its
    "balanced" part), "qmnist" (through torchvision), or the path of a folder of images. ``root`` is
    where files are kept (default: the cache folder). "~" at a path's beginning is the home folder.

    A folder's images are resized to ``size`` x ``size``, width and height each on its own, with 1
    (grey) or 3 (RGB) ``channels``. Its subfolders are classes; images in no subfolder form one
    class. Where it has splits of its own (train with val or test), they are kept; else every sixth
    image, in order of path, is for testing, and of the others every sixth for validation. Hidden
    files are passed over. Images are turned as their rotation tag says; 16-bit and floating greys
    (0 .. 1) keep their whole range; what is transparent lies on white; of an animation the first
    picture counts.

    Raises ``ValueError`` for an unknown name, split or device, a folder without images or an image
    that can't be read, ``DamagedFileError`` for damaged bytes of a known data set,
    ``DataUnavailableError`` where a network is missing.
    """
    _check.chosen("split", split, SPLITS)
    if not _check.is_whole(channels) or channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3; got {_check.shown(channels)}")
    size, channels = _check.whole("size", size), int(channels)
    name, device = _path("name", name), usable(device)
    if name in available() and (size, channels) != (28, 1):
        raise ValueError(f"size and channels are for folders of images; {name} has 28 x 28 x 1")
    place = _cache.folder() if root is None else Path(_path("root", root))
    if name == "mnist":
        # Clones: what a caller does to its tensors must not reach the next caller's.
        found = _mnist_tensors(_published(split), place)
        images, labels = (_part(tensor, split).clone() for tensor in found)
        classes = tuple("0123456789")
    elif name in _torchvision.DATASETS:
        images, labels, classes = _torchvision.torchvision_set(name, _published(split), place)
        images, labels = _part(images, split), _part(labels, split)
    elif name != "" and os.path.isdir(name):
        images, labels, classes = _folder.image_folder(Path(name), split, size, channels)
    else:
        advice = _folder.what_it_is(name) or (
            f"give one of {', '.join(available())}, or the path of a folder of images"
        )
        raise ValueError(f"unknown data set {name!r}: {advice}")
    return ImageData(images, labels, classes, name, split).to(device)


def _path(argument: str, value: Any) -> str:
    """A name or path as a text, "~" replaced. Raises ``ValueError`` for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{argument} must be a text or a path; got {_check.shown(value)}")
    text = os.fspath(value)
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{argument} must be a text or a path; got {_check.shown(value)}")
    return os.path.expanduser(text)


def _published(split: str) -> str:
    """The split that a data set is published with, "train" or "test", in which ``split`` lies."""
    return "test" if split == "test" else "train"


def _part(examples: Tensor, split: str) -> Tensor:
    """Of the published split's examples, in their order, those that belong to ``split``."""
    held_out = len(examples) // 6
    if split == "train":
        return examples[: len(examples) - held_out]
    return examples[len(examples) - held_out :] if split == "validation" else examples


@functools.cache
def _mnist_tensors(split: str, root: Path) -> tuple[Tensor, Tensor]:
    return _mnist.tensors(split, root)


def torchvision_root(root: str | Path | None = None) -> str:
    """A folder for which ``torchvision.datasets.MNIST(folder)`` works offline, on the same bytes.

    The four IDX files are unpacked there, where they are not yet: under ``root``, else the cache
    folder, else (if that can't be written) a temporary folder that lives as long as this process.
    """
    place = _cache.folder() if root is None else Path(_path("root", root))
    for name in _mnist.CHECKSUMS:
        _mnist.content(name, place)
    if any(_mnist.unpacked(name, place) is None for name in _mnist.CHECKSUMS):
        place = Path(tempfile.mkdtemp(prefix="vae-core-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        for name in _mnist.CHECKSUMS:
            _mnist.content(name, place)
    return str(place)
