"""One picture file as bytes: every kind of pixel that files hold, told in one way or refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")  # Pillow's modes with a transparency of each pixel
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # more than 8 bits a pixel, all of them grey
_SIXTEEN = 65535
_BITS_PER_SAMPLE = 258  # TIFF's tag


def path_in_words(path: Path) -> str:
    """A path for a sentence: as it is, or with its line ends and the like written out."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(path))


def read_picture(path: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """The picture in ``path`` at ``size`` x ``size``: uint8 [channels, size, size].

    The pixels that it shows, upright as its rotation tag says: 16-bit and floating greys (in
    0 .. 1) over their whole range, what is transparent on white, palettes and CMYK in RGB; of an
    animation, or a file of several pages, the first. Width and height are scaled each on its own,
    so that a picture that is not square is squeezed.

    Raises ``ValueError``, in one sentence that names the file, for one that can't be read, that is
    too large for Pillow's own limit, or whose numbers have no known black and white.
    """
    from PIL import Image  # only here: data of other kinds need no Pillow

    try:
        if path.stat().st_size == 0:
            raise OSError("the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's, which do not name the file
            with Image.open(path) as picture:
                picture.load()
                white = _white(picture)  # before turning: a copy no longer knows its format
                shown = _in_bytes(_upright(picture), white, {1: "L", 3: "RGB"}[channels])
                pixels = np.array(shown.resize((size, size)), dtype=np.uint8)
    except Exception as error:  # a damaged file makes decoders raise whatever they come upon
        raise ValueError(
            f"{path_in_words(path)} can't be read as an image: {_reason(error)}"
        ) from None
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it has no format that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"it is too large, with more than the {most:,} pixels that Pillow opens"
    return " ".join(str(error).split()) or type(error).__name__


def _upright(picture: Any) -> Any:
    """The picture turned as its EXIF tag says; as it is where that can't be read."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture) or picture
    except Exception:  # a damaged tag: the pixels are there all the same
        return picture


def _white(picture: Any) -> int:
    """The number that is white, of a deep picture of whole numbers; 0 where nothing says it."""
    if picture.format == "TIFF":
        bits = int(np.ravel(getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, 16))[0])
        return 2**bits - 1 if bits <= 16 else 0
    return _SIXTEEN if picture.mode != "I" or picture.format in ("PNG", "PPM") else 0


def _in_bytes(picture: Any, white: int, mode: str) -> Any:
    """``picture`` in ``mode``, "L" or "RGB", 8 bits a channel."""
    from PIL import Image

    if picture.mode in _DEEP:
        picture = Image.fromarray(_eight_bits(picture, white))
    elif picture.mode in _ALPHA or "transparency" in picture.info:
        if picture.mode == "La":
            picture = picture.convert("LA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture.convert("RGBA"))
    if picture.mode not in ("1", "L", "RGB"):
        picture = picture.convert("RGB")
    return picture if picture.mode == mode else picture.convert(mode)


def _eight_bits(picture: Any, white: int) -> NDArray[np.uint8]:
    """Deep greys as bytes: black is 0, and white what ``white`` says, or 1 for floating pixels."""
    values = np.asarray(picture)
    if picture.mode == "F":
        if not ((values >= 0) & (values <= 1)).all():  # NaN fails too
            low, high = (f(values[np.isfinite(values)], initial=0.0) for f in (np.min, np.max))
            raise ValueError(
                f"floating pixels must lie in 0 .. 1, and these go from {low:g} to {high:g}"
                f"{'' if np.isfinite(values).all() else ' with some that are no numbers'}"
            )
        return np.rint(values * 255.0).astype(np.uint8)
    low, high = int(values.min()), int(values.max())
    if white == 0 or low < 0 or high > white:
        raise ValueError(
            f"its pixels are whole numbers from {low} to {high}, and nothing says which is white: "
            f"save it with 8 or 16 bits"
        )
    scaled = np.rint(values * (255.0 / white))
    clear = picture.info.get("transparency")
    if isinstance(clear, int):  # one grey that stands for what is transparent
        scaled[values == clear] = 255
    return scaled.astype(np.uint8)
