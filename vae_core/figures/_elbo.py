"""Figures of chapter 03."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Ellipse
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, HALO, INK, finite, plain
from vae_core.figures._picture import WIDTH, Picture, _subplots


class Curves(NamedTuple):
    """One panel of curves over a shared x, with marked points and a dotted line to each.

    ``curves``: label -> y [n]; ``marks``: words -> (x, y); ``dots``: label -> (xs, ys).
    """

    title: str
    xlabel: str
    ylabel: str
    x: np.ndarray
    curves: Mapping[str, np.ndarray]
    marks: Mapping[str, tuple[float, float]] = {}
    dots: Mapping[str, tuple[np.ndarray, np.ndarray]] = {}
    limits: tuple[float, float] | None = None


def curve_panels(panels: Sequence[Curves], *, height: float = 3.0) -> Picture:
    """Panels of curves side by side: the first curve in ink, the next in the classes' colours."""
    figure, axes = _subplots(len(panels), height)
    colors = (INK, ACCENT, *CLASSES[1:])
    for place, panel in zip(axes[0], panels, strict=True):
        for (label, y), color in zip(panel.curves.items(), colors, strict=False):
            place.plot(panel.x, y, color=color, label=label, lw=1.6)
        for label, (xs, ys) in panel.dots.items():
            place.plot(xs, ys, ".", color=ACCENT, ms=3, alpha=0.6, label=label)
        low = panel.limits[0] if panel.limits else place.get_ylim()[0]
        named = [u for words, (u, _) in panel.marks.items() if words.strip()]
        for words, (u, v) in panel.marks.items():
            # Words of the leftmost point to its left: neighbours then keep out of each other's way.
            left = len(named) > 1 and u == min(named)
            place.plot([u, u], [low, v], color="#5b6875", ls=":", lw=1)
            place.plot([u], [v], "o", color=CLASSES[3], ms=5, zorder=3)
            place.annotate(
                words,
                (u, v),
                xytext=(-5 if left else 5, -13),
                textcoords="offset points",
                ha="right" if left else "left",
                path_effects=HALO,
            )
        place.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
        place.set_ylim(panel.limits or (low, None))
        place.legend(fontsize=8)
    return Picture(figure)


def posterior_maps(
    first: Tensor,
    second: Tensor,
    log_density: Tensor,
    means: Tensor,
    sigmas: Tensor,
    images: Tensor,
) -> Picture:
    """P(z|X) of n images, shaded at 1/2, 1/10 and 1/100 of its peak, with Q's ellipses.

    first [c], second [r] and log_density [n, r, c] as in ``evaluation.PosteriorGrid``; means and
    sigmas [n, 2] of the diagonal Gaussian Q, drawn at 1 and 2 sigma; images [n, 1, h, w].
    Both axes have one unit; each panel shows what of the plane Q and the posterior take up.
    """
    n = len(images)
    pictures, density, across, up = (plain(part) for part in (images, log_density, first, second))
    centres, spreads = finite("means", means), finite("sigmas", sigmas)
    figure, axes = _subplots(n, 2 * WIDTH / n * 0.82 + 0.2, rows=2)
    for k in range(n):
        top, place = axes[0, k], axes[1, k]
        top.imshow(pictures[k, 0], cmap="gray_r", vmin=0, vmax=1)
        top.set_axis_off()
        relative = np.exp(density[k] - density[k].max())
        place.contourf(
            across, up, relative, levels=[0.01, 0.1, 0.5, 1],
            colors=["#f9dcc4", "#f3b27a", "#dd6b20"],
        )  # fmt: skip
        centre, spread = centres[k], spreads[k]
        for times in (1, 2):
            width, high = 2 * times * spread
            place.add_patch(Ellipse(tuple(centre), width, high, fill=False, color=ACCENT, lw=1.4))
        rows, columns = np.nonzero(relative > 0.01)
        shaded = np.stack([across[columns], up[rows]])  # [2, points]
        low = np.minimum(shaded.min(1), centre - 2 * spread)
        high_ = np.maximum(shaded.max(1), centre + 2 * spread)
        middle, half = (low + high_) / 2, 0.58 * float((high_ - low).max())
        place.set(
            xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half),
            aspect="equal", xlabel="$z_1$",
        )  # fmt: skip
        place.locator_params(nbins=4)
        place.tick_params(labelsize=7.5)
    axes[1, 0].set_ylabel("$z_2$")
    return Picture(figure)
