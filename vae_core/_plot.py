"""What figures and widgets draw alike: the look, the latent plane, and small PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from vae_core import _check

# The light theme of js/core.js.
INK, ACCENT = "#1f2933", "#0b5fa5"
CLASSES = (
    "#2b6cb0", "#dd6b20", "#2f855a", "#c53030", "#6b46c1",
    "#7b4b2a", "#c2428f", "#4a5568", "#8a8b12", "#0d9aa8",
)  # fmt: skip
HALO = (withStroke(linewidth=2.5, foreground="white"),)
DPI = 110
_NOT_NUMPYS = (torch.bfloat16,)
_BEYOND = 100.0  # times the picture's own reach
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
}


def png(figure: Figure, **options: Any) -> bytes:
    """``figure`` as PNG bytes, with ``options`` for matplotlib's ``savefig``.

    96 colours are enough for the book's figures, and halve a page's weight; without matplotlib's
    version in the file the bytes depend on the picture alone. The file says, in its text
    ``images``, which rectangles of it hold images: a page that draws the figure in other colours,
    for a dark theme, leaves those as they are.
    """
    raw, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(raw, format="png", dpi=DPI, metadata={"Software": None}, **options)
    # Maximum coverage keeps every class's hue; the default would merge the rarer ones.
    picture = Image.open(raw).convert("RGB")
    picture = picture.quantize(
        96, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE
    )
    told = PngInfo()
    if not options:  # as large as the figure is; cropped, the places would be others
        boxes = image_boxes(figure, picture.height)
        told.add_text("images", " ".join(",".join(map(str, box)) for box in boxes))
    picture.save(small, format="png", optimize=True, pnginfo=told)
    return small.getvalue()


def image_boxes(figure: Figure, height: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each image in a drawn figure, in pixels of its PNG.

    ``height``: the PNG's; matplotlib counts from the bottom up.
    """
    ratio = DPI / figure.dpi
    found = []
    for axes in figure.axes:
        for image in axes.images:
            if not (axes.get_visible() and image.get_visible()):
                continue
            box = Bbox.intersection(image.get_window_extent(), axes.bbox)
            if box is not None:
                (left, low), (right, high) = (box.get_points() * ratio).tolist()
                top, bottom = height - high, height - low
                found.append((round(left), round(top), round(right), round(bottom)))
    return found


def plain(values: Any) -> np.ndarray:
    """``values`` as an array: a tensor from any device, with a gradient or not, of any dtype."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in _NOT_NUMPYS else values).numpy()
    return np.asarray(values)


def finite(name: str, values: Any) -> np.ndarray:
    """The same. Raises ``ValueError`` where some are NaN or infinite: what diverged has no place.

    (matplotlib would leave such points out in silence, or fail over the limits of an axis.)
    """
    found = plain(values)
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers; got {_check.shown(values)}")
    wrong = int((~np.isfinite(found)).sum())
    if wrong:
        raise ValueError(
            f"{name} must be finite; {wrong} of {found.size} numbers are NaN or infinite, "
            f"as after a training that diverged"
        )
    return found


def draw_ellipse(axes: Any, centre: Any, radii: Any, reach: float, **style: Any) -> None:
    """An ellipse with half axes ``radii`` along both axes, in a picture that reaches ``reach``.

    One that is many times as large as the picture is left out: nothing of it would be seen, and
    matplotlib would take minutes, or for ever, to find that out.
    """
    if max(radii) < _BEYOND * reach:
        width, height = (2 * float(radius) for radius in radii)
        axes.add_patch(Ellipse(tuple(centre), width, height, fill=False, **style))


def medians(codes: np.ndarray, labels: Tensor, classes: int) -> np.ndarray:
    """The median code of each class, [classes, 2]; NaN for a class without codes."""
    own = plain(labels)
    rows = [
        np.median(codes[own == k], axis=0) if (own == k).any() else np.full(2, np.nan)
        for k in range(classes)
    ]
    return np.array(rows, dtype=np.float64)


def extent(codes: np.ndarray, stray: float = 0.002) -> tuple[np.ndarray, float]:
    """Centre and half side of the square that holds nearly all codes and the circle of radius 3."""
    low = np.minimum(np.quantile(codes, stray, axis=0), -3.1)
    high = np.maximum(np.quantile(codes, 1 - stray, axis=0), 3.1)
    return (low + high) / 2, 0.53 * float((high - low).max())


def draw_plane(
    axes: Any, codes: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, alpha: float = 0.5
) -> None:
    """Codes by class with the prior's circles, both axes in the same unit."""
    codes, labels = finite("codes", codes), plain(labels)
    colors = [CLASSES[k % len(CLASSES)] for k in labels]
    axes.scatter(*codes.T, c=colors, s=2.5, alpha=alpha, linewidths=0)
    for radius in (1, 2, 3):
        axes.add_patch(Circle((0, 0), radius, fill=False, color=ACCENT, lw=0.9))
    for k, point in enumerate(medians(codes, torch.from_numpy(labels), len(classes))):
        if np.isfinite(point).all():
            axes.text(
                *point, classes[k], color=CLASSES[k % len(CLASSES)], path_effects=HALO,
                fontsize=11, weight="bold", ha="center", va="center",
            )  # fmt: skip
    (x, y), reach = extent(codes)
    axes.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), aspect="equal")
    axes.tick_params(labelsize=7.5, colors=INK, length=2)
    for spine in axes.spines.values():
        spine.set_color("#d5dbe1")
