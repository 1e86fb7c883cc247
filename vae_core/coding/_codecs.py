"""The compressors everybody has, on the same images: gzip, bz2, xz, PNG and lossless WebP."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math

import numpy as np
import torch
from jaxtyping import Shaped
from PIL import Image, features
from torch import Tensor


def general_purpose(images: Shaped[Tensor, "n 1 height width"]) -> dict[str, float]:
    """Bits a pixel that gzip, bz2, xz, PNG and lossless WebP take for ``images``, by name.

    ``images``: uint8 [n, 1, height, width]; black-and-white ones, all 0 or 1, are packed to eight
    pixels a byte for gzip, bz2 and xz and stored with one bit a pixel for PNG. These three get all
    images as one piece, at their strongest settings; PNG and WebP get one picture that holds them
    side by side, in rows of up to 100: one file an image would cost more. WebP is left out where
    Pillow lacks it.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1 or not len(images):
        raise ValueError(
            f"images must be uint8 [n, 1, height, width], n >= 1; "
            f"got {images.dtype} {list(images.shape)}"
        )
    pixels = images.cpu().numpy()
    black_white = int(pixels.max()) <= 1
    raw = (np.packbits(pixels) if black_white else pixels).tobytes()
    n, _, height, width = pixels.shape
    columns = min(100, n)
    rows = math.ceil(n / columns)
    sheet = np.zeros((rows * columns, height, width), dtype=np.uint8)
    sheet[:n] = pixels[:, 0] * (255 if black_white else 1)
    sheet = sheet.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    picture = Image.fromarray(sheet.reshape(rows * height, columns * width))
    sizes = {
        "gzip": len(gzip.compress(raw, 9, mtime=0)),
        "bz2": len(bz2.compress(raw, 9)),
        "xz": len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
        "PNG": _saved(picture.convert("1") if black_white else picture, "PNG", optimize=True),
    }
    if features.check("webp"):
        sizes["WebP, lossless"] = _saved(
            picture.convert("RGB"), "WebP", lossless=True, quality=100, method=4
        )
    return {name: 8 * size / pixels.size for name, size in sizes.items()}


def _saved(picture: Image.Image, kind: str, **options: object) -> int:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return len(file.getvalue())
