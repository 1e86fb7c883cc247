"""Folders of images: which files count, which class each has, and which split it is in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, Shaped
from torch import Tensor

from vae_core.data._picture import path_in_words, read_picture

# The endings that torchvision's ImageFolder takes for images, and some more that Pillow reads.
ENDINGS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
    ".gif", ".jfif", ".jp2", ".avif",
)  # fmt: skip
# Pictures that Pillow does not read: passing them over in silence would lose a reader's images.
UNREAD = (".heic", ".heif", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw", ".exr", ".dcm")
# What cameras' cards, archives and file servers leave beside pictures, besides hidden files.
_LEFT_BY_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
# The folders that a data set's own splits lie in, in any case.
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}

Sample = tuple[Path, int]  # a file and its class


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Subfolders and files of ``folder`` that count, each in order of name."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        for path in sorted(folder.iterdir()):
            if not _passed_over(path.name):
                (folders if path.is_dir() else files).append(path)
    except OSError as error:
        raise ValueError(f"{path_in_words(folder)} can't be read ({error.strerror})") from None
    return folders, files


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _images_below(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> list[Path]:
    """Images in ``folder`` and all its subfolders, in order of path.

    Links are followed, but not into a folder that the path has come through already.
    """
    own = _identity(folder)
    folders, files = _entries(folder)
    found = _images_among(files)
    for inner in folders:
        if _identity(inner) not in (*above, own):
            found += _images_below(inner, (*above, own))
    return sorted(found)


def _images_among(files: list[Path]) -> list[Path]:
    """Those of ``files`` that are images; one sentence for a picture that can't be one."""
    found = []
    for path in files:
        ending = path.suffix.lower()
        if ending in UNREAD:
            raise ValueError(
                f"{path_in_words(path)} is a {ending} picture, which can't be read here: save it "
                f"as PNG or JPEG, or move it out of the folder"
            )
        if ending not in ENDINGS:
            continue
        if path.is_symlink() and not path.exists():
            raise ValueError(f"{path_in_words(path)} is a link to a file that is not there")
        if path.is_file():
            found.append(path)
    return found


def _others_in_words(folder: Path) -> str:
    """What lies in ``folder`` in place of images, for the end of a sentence."""
    endings = sorted({path.suffix.lower() for path in _entries(folder)[1]} - {""})
    if not endings:
        return f"endings: {', '.join(ENDINGS)}"
    told = f"it holds {', '.join(endings[:6])}"
    if set(endings) & {".npy", ".npz"}:
        told += "; arrays need no folder: data.ImageData takes them as uint8 tensors"
    if set(endings) & {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}:
        told += "; unpack archives first"
    return told


def _samples(top: Path) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes of ``top``, and its images with their class, in order of path."""
    folders, files = _entries(top)
    loose = _images_among(files)
    if not folders:
        if not loose:
            raise ValueError(f"no images in {path_in_words(top)} ({_others_in_words(top)})")
        return ("images",), [(path, 0) for path in loose]
    samples = []
    for index, folder in enumerate(folders):
        images = _images_below(folder)
        if not images:
            raise ValueError(
                f"{path_in_words(top)} is no folder of images by class: {folder.name!r} holds no "
                f"image ({_others_in_words(folder)})"
            )
        samples += [(path, index) for path in images]
    if loose:
        raise ValueError(
            f"{path_in_words(top)} holds both images ({loose[0].name!r}) and folders of images "
            f"({folders[0].name!r}): put every image into the folder of its class"
        )
    return tuple(folder.name for folder in folders), samples


def _own_splits(folder: Path) -> dict[str, Path]:
    """The folders of a data set that comes in splits: training with validation, test, or both."""
    folders, _ = _entries(folder)
    by_split = {
        split: [inner for inner in folders if inner.name.lower() in names]
        for split, names in SPLIT_FOLDERS.items()
    }
    found: dict[str, Path] = {}
    for split, there in by_split.items():
        if len(there) > 1 and by_split["train"]:
            raise ValueError(
                f"{path_in_words(folder)} has several folders for {split}: "
                f"{', '.join(inner.name for inner in there)}"
            )
        if there:
            found[split] = there[0]
    return found if "train" in found and len(found) > 1 else {}


def _held_out(samples: list[Sample], held_out: bool) -> list[Sample]:
    """Every sixth sample, or the others. The order of paths is the same on every file system."""
    return [sample for i, sample in enumerate(samples) if (i % 6 == 5) == held_out]


def _split(folder: Path, split: str) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples of one split."""
    own = _own_splits(folder)
    if not own:
        classes, samples = _samples(folder)
        samples = _held_out(samples, split == "test")
        if split in ("train", "validation"):
            samples = _held_out(samples, split == "validation")
        return classes, samples
    if split == "test" and "test" not in own:
        names = " and ".join(sorted(inner.name for inner in own.values()))
        raise ValueError(
            f"{path_in_words(folder)} has no test images, only {names}: make a folder 'test' of "
            f"images that nothing was fitted to or chosen by"
        )
    classes, train = _samples(own["train"])

    def alike(name: str) -> list[Sample]:
        found, samples = _samples(own[name])
        if found != classes:
            apart = sorted(set(found) ^ set(classes))
            raise ValueError(
                f"the classes of {own['train'].name} and of {own[name].name} in "
                f"{path_in_words(folder)} differ ({', '.join(map(repr, apart[:3]))})"
            )
        return samples

    if split == "test":
        return classes, alike("test")
    if "validation" not in own:
        chosen = train if split == "train+validation" else _held_out(train, split == "validation")
        return classes, chosen
    chosen = train if split != "validation" else []
    return classes, chosen + (alike("validation") if split != "train" else [])


def image_folder(
    folder: Path, split: str, size: int, channels: int
) -> tuple[Shaped[Tensor, "n channels size size"], Integer[Tensor, " n"], tuple[str, ...]]:
    """Images of a folder, resized to ``size`` x ``size``: uint8 [n, channels, size, size].

    ``folder/train`` with ``folder/val`` (or ``valid``, ``validation``, ``dev``), ``folder/test``,
    or both, are splits of the data set's own. Where there is no validation folder, every sixth
    training image (in order of path) is for validation; where there are no splits, every sixth
    image is the test set first. Subfolders are classes, as in torchvision's ``ImageFolder``; images
    in no subfolder form the one class "images". Hidden files and folders, and what systems leave
    behind, are passed over; links are followed. Pillow alone reads the files, as
    :func:`read_picture` says, so that a torchvision that does not fit torch is no hindrance.

    Raises ``ValueError``, in one sentence, where images are missing or unreadable, where images and
    folders of images lie side by side, or where the splits' classes differ.
    """
    classes, samples = _split(folder, split)
    if not samples:
        raise ValueError(
            f"no images for split {split!r} in {path_in_words(folder)}: it holds too few to keep "
            f"every sixth apart"
        )
    pixels = np.stack([read_picture(path, size, channels) for path, _ in samples])
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64, device="cpu")
    return torch.from_numpy(pixels), labels, classes


def what_it_is(path: str) -> str:
    """Of a path that is no folder: what to do with it, or "" where nothing is there."""
    if not os.path.exists(path):
        return ""
    ending = os.path.splitext(path)[1].lower()
    if ending in (".npy", ".npz"):
        return "an array needs no folder: data.ImageData takes it as a uint8 tensor"
    if ending in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        return "unpack the archive, and give its folder"
    return "it is a file: give the folder that it lies in"
