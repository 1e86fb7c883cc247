"""A stored figure drawn again with other ink: for the dark theme, and on a transparent ground.

A figure of this book is a PNG with a palette, on white; its chunk ``images`` says where in it
pictures stand (``vae_core._plot.png``). Everything outside those is ink on paper. The book's own
inks have twins, those of the widgets in the dark; any other colour keeps its hue and saturation,
and gets the lightness that sets it off from a dark ground as it is set off from white, and further
where that was little. The steps at the edges of lines and words go the same way, from the one
ground to the one ink, and so nothing is drawn a second time. What is a picture, a row of digits
say, keeps its colours.
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

Colour = tuple[float, float, float]  # red, green and blue, each from 0 to 1
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

WHITE: Colour = (1.0, 1.0, 1.0)
GROUND: Colour = (0x12 / 255, 0x12 / 255, 0x12 / 255)  # the dark theme's page
MOST = 15.0  # the contrast that black on white comes near
RISE = 0.144  # with it, 3 : 1 on white becomes 4.5 : 1 on the dark ground

# The inks of vae_core._plot, and what the widgets use in their place in the dark (js/core.js).
TWINS = {
    "#1f2933": "#e6e9ed", "#5b6875": "#a3adb8", "#0b5fa5": "#7cc0ff",
    "#2b6cb0": "#6fb1f5", "#dd6b20": "#f6a35c", "#2f855a": "#66c793", "#c53030": "#f57d7d",
    "#6b46c1": "#b49bf5", "#7b4b2a": "#c99a76", "#c2428f": "#f08cc6", "#4a5568": "#aeb9c6",
    "#8a8b12": "#d0d15a", "#0d9aa8": "#52d3df",
}  # fmt: skip
NEAR = 0.04  # how far from a mixture of white and a book's ink a colour still counts as one


def luminance(colour: Colour) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def wanted(on_white: float) -> float:
    """The contrast on the dark ground of what has the contrast ``on_white`` there."""
    return 1 + (MOST - 1) * -math.expm1(-RISE * (on_white - 1))


def lightened(colour: Colour) -> Colour:
    """The colour of the same hue and saturation whose contrast with the dark ground is wanted."""
    ratio = contrast(colour, WHITE)
    if ratio <= 1:
        return GROUND
    target = wanted(ratio) * (luminance(GROUND) + 0.05) - 0.05
    hue, _, saturation = colorsys.rgb_to_hls(*colour)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if luminance(colorsys.hls_to_rgb(hue, middle, saturation)) < target:
            low = middle
        else:
            high = middle
    return colorsys.hls_to_rgb(hue, high, saturation)


def rgb(name: str) -> np.ndarray:
    return np.array([int(name[k : k + 2], 16) / 255 for k in (1, 3, 5)])


LIGHT_INKS = np.array([rgb(name) for name in TWINS])
DARK_INKS = np.array([rgb(name) for name in TWINS.values()])


def for_dark(colour: Colour) -> Colour:
    """A colour of a figure on white as it is in the dark: like the nearest ink's, or lightened."""
    away, inks = np.array(colour) - WHITE, LIGHT_INKS - WHITE
    shares = np.clip(inks @ away / (inks**2).sum(axis=1), 0, 1)
    misses = np.linalg.norm(shares[:, None] * inks - away, axis=1)
    nearest = int(misses.argmin())
    like = GROUND + shares[nearest] * (DARK_INKS[nearest] - GROUND)
    weight = math.exp(-((misses[nearest] / NEAR) ** 2))
    red, green, blue = (weight * like + (1 - weight) * np.array(lightened(colour))).tolist()
    return red, green, blue


def unlaid(colour: Colour, ground: Colour) -> tuple[int, int, int, int]:
    """The ink and its opacity (0 to 255) that make ``colour`` when laid on ``ground``.

    The most transparent one: what is nearly the ground nearly vanishes, on any ground.
    """
    alpha = 0.0
    for value, under in zip(colour, ground, strict=True):
        reach = 1 - under if value > under else under
        alpha = max(alpha, abs(value - under) / reach if reach else 0.0)
    opacity = math.ceil(alpha * 255 - 1e-6)
    if not opacity:
        return 0, 0, 0, 0
    share = opacity / 255
    ink = [
        round(255 * min(1.0, max(0.0, (value - (1 - share) * under) / share)))
        for value, under in zip(colour, ground, strict=True)
    ]
    return ink[0], ink[1], ink[2], opacity


def boxes(figure: bytes) -> list[Box] | None:
    """Where pictures stand in a figure; None for one that does not say."""
    with Image.open(io.BytesIO(figure)) as image:
        told = image.info.get("images")
    if told is None:
        return None
    numbers = [[int(n) for n in box.split(",")] for box in told.split()]
    return [(left, top, right, bottom) for left, top, right, bottom in numbers]


def redrawn(figure: bytes, ink: Callable[[Colour], Colour], ground: Colour) -> bytes:
    """The figure with each colour but those of its pictures as ``ink`` gives it, laid on nothing.

    ``ground``: on what the new colours are meant to be seen.
    """
    with Image.open(io.BytesIO(figure)) as image:
        places = np.array(image)
        palette = np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)
    kept = np.zeros(places.shape, dtype=bool)
    for left, top, right, bottom in boxes(figure) or ():
        kept[top:bottom, left:right] = True
    # Two entries for a colour that is both ink and in a picture.
    pairs, index = np.unique(places + 256 * kept.astype(np.int64), return_inverse=True)
    if len(pairs) > 256:
        raise ValueError("a figure of more colours than a palette holds")
    entries = []
    for pair in pairs:
        red, green, blue = (int(v) for v in palette[pair % 256])
        colour = (red / 255, green / 255, blue / 255)
        entries.append((red, green, blue, 255) if pair >= 256 else unlaid(ink(colour), ground))
    made = Image.fromarray(index.reshape(places.shape).astype(np.uint8), "P")
    made.putpalette([value for entry in entries for value in entry[:3]])
    out = io.BytesIO()
    made.save(out, format="PNG", optimize=True, transparency=bytes(e[3] for e in entries))
    return out.getvalue()


def light(figure: bytes) -> bytes:
    """The figure on a transparent ground, for a light page and for paper."""
    return redrawn(figure, lambda colour: colour, WHITE)


def dark(figure: bytes) -> bytes:
    """The figure with light ink on a transparent ground, for a dark page."""
    return redrawn(figure, for_dark, GROUND)
