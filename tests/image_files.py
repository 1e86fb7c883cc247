"""Folders and files of pictures, for the tests that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import one_sentence
from PIL import Image

from vae_core import data


def picture(path: Path, values: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def read(path: Path, size: int, channels: int = 1) -> np.ndarray:
    """The pixels of the one picture in ``path``'s folder, [channels, size, size]."""
    found = data.load(path.parent, "train", size=size, channels=channels)
    assert found.images.shape == (1, channels, size, size)
    assert found.images.dtype == torch.uint8
    return found.images[0].numpy()


def refused(folder: Path, split: str = "train") -> str:
    with pytest.raises(ValueError, match=r"\S") as error:
        data.load(folder, split)
    return one_sentence(error)


def classes_of_seven(top: Path) -> Path:
    """Two classes of seven different pictures."""
    rng = np.random.default_rng(0)
    for label in "ab":
        for i in range(7):
            picture(top / label / f"{i}.png", rng.integers(0, 256, (8, 8), dtype=np.uint8))
    return top
