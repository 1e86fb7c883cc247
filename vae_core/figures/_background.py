"""The first chapter's figures: classes with their Gaussians, maps, histograms, loadings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import Ellipse, Patch
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, HALO, INK, finite, plain
from vae_core.figures._picture import Picture, _subplots


def _draw_points(axes: Any, x: np.ndarray, labels: np.ndarray, **style: Any) -> None:
    """Points [n, 2], coloured by class."""
    options = {"s": 16, "linewidths": 0.4, "edgecolors": "white", **style}
    axes.scatter(*x.T, c=[CLASSES[k] for k in labels], **options)


def _draw_regions(axes: Any, probabilities: Callable[[np.ndarray], np.ndarray]) -> None:
    """Which class is most probable at each place of the axes, the surer the darker.

    ``probabilities`` gives [m, classes] for places [m, 2]; the axes' limits must be set.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across, up = np.meshgrid(np.linspace(left, right, 180), np.linspace(bottom, top, 180))
    p = probabilities(np.stack([across.ravel(), up.ravel()], 1)).reshape(180, 180, -1)
    for k in range(p.shape[2]):
        own = np.where(p.argmax(2) == k, p[:, :, k], np.nan)
        axes.contourf(
            across, up, own, levels=[0.3, 0.6, 0.9, 0.99, 1.01], colors=[CLASSES[k]] * 4,
            alpha=0.14, antialiased=True,
        )  # fmt: skip
        axes.contour(across, up, p[:, :, k], levels=[0.5], colors=[INK], linewidths=0.7)


def _draw_gaussians(axes: Any, means: np.ndarray, covariances: np.ndarray) -> None:
    """Ellipses at one, two and three standard deviations: means [k, 2], covariances [k, 2, 2]."""
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        lengths, directions = np.linalg.eigh(covariance)
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        for radius in (1, 2, 3):
            height, width = 2 * radius * np.sqrt(lengths)
            axes.add_patch(
                Ellipse(mean, width, height, angle=angle, fill=False, color=CLASSES[k], lw=1.1)
            )


def _draw_histogram(
    axes: Any, draws: np.ndarray, density: np.ndarray | None, at: np.ndarray
) -> None:
    """Draws [n] between the ends of ``at`` [m], with a density [m] at those places."""
    bins = np.linspace(at[0], at[-1], 41)
    inside = np.histogram(draws, bins)[0] / (len(draws) * (bins[1] - bins[0]))
    axes.stairs(inside, bins, fill=True, color=CLASSES[7], alpha=0.4)
    if density is not None:
        axes.plot(at, density, color=ACCENT, lw=1.6)
    axes.set(xlim=(at[0], at[-1]), ylim=(0, 1.35 * np.quantile(inside, 0.98)))


def _draw_loadings(axes: Any, true: np.ndarray, found: np.ndarray, names: Sequence[str]) -> None:
    """Each item's true loadings [d, 2] as a ring, those found as a dot, joined by a line."""
    axes.axhline(0, color="#d5dbe1", lw=0.8)
    axes.axvline(0, color="#d5dbe1", lw=0.8)
    for a, b, name in zip(true, found, names, strict=True):
        axes.plot([a[0], b[0]], [a[1], b[1]], color=INK, lw=0.8)
        axes.annotate(
            name, a, xytext=(6, 4), textcoords="offset points", fontsize=8, path_effects=HALO
        )
    axes.scatter(*true.T, s=42, facecolors="white", edgecolors=ACCENT, zorder=3, label="true")
    axes.scatter(*found.T, s=14, color=CLASSES[1], zorder=4, label="found")
    axes.legend(fontsize=8, loc="lower left")
    axes.set_aspect("equal")


def two_ways_to_classify(
    x: np.ndarray,
    labels: np.ndarray,
    probabilities: Callable[[np.ndarray], np.ndarray],
    gaussians: tuple[np.ndarray, np.ndarray],
    drawn: tuple[np.ndarray, np.ndarray],
    axis_names: Sequence[str],
    class_names: Sequence[str] = (),
) -> Picture:
    """Left a discriminative model's regions, right a generative model's densities and draws.

    The points themselves are on both sides, on the right faint.

    ``x`` [n, 2] with ``labels`` [n]; ``probabilities``: places [m, 2] -> P(class) [m, classes];
    ``gaussians``: means [classes, 2] and covariances [classes, 2, 2]; ``drawn``: new points [m, 2]
    with their classes [m]; ``class_names``: what each colour stands for, above both.
    """
    figure, axes = _subplots(2, 3.5)
    low, high = x.min(0), x.max(0)
    margin = 0.35 * (high - low)
    for place, title in zip(
        axes[0], ("Discriminative: P(Y | X)", "Generative: P(X | Y) P(Y)"), strict=True
    ):
        place.set(xlim=(low[0] - margin[0], high[0] + margin[0]), title=title)
        place.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
        place.set(xlabel=axis_names[0], ylabel=axis_names[1])
    _draw_regions(axes[0, 0], probabilities)
    _draw_points(axes[0, 0], x, labels)
    _draw_gaussians(axes[0, 1], *gaussians)
    _draw_points(axes[0, 1], x, labels, alpha=0.3, s=12)
    _draw_points(axes[0, 1], *drawn, marker="x", linewidths=0.9, edgecolors=None, s=14)
    if class_names:
        keys = [Patch(color=color) for color, _ in zip(CLASSES, class_names, strict=False)]
        figure.legend(keys, class_names, loc="outside upper center", ncols=len(keys))
    return Picture(figure)


def point_map(z: Float[Tensor, "n 2"], x: Float[Tensor, "n 2"]) -> Picture:
    """Points z [n, 2] and their images x [n, 2], each in one colour for its direction from zero."""
    figure, axes = _subplots(2, 3.6)
    before, after = finite("z", z), finite("x", x)
    turn = np.arctan2(before[:, 1], before[:, 0]) / (2 * np.pi) % 1
    # Around the circle of hues, none of them too pale to be seen on white.
    colors = hsv_to_rgb(np.stack([turn, np.full_like(turn, 0.85), np.full_like(turn, 0.75)], 1))
    for place, points, name in zip(axes[0], (before, after), "zx", strict=True):
        place.scatter(*points.T, c=colors, s=4, linewidths=0)
        place.set(aspect="equal", xlabel=f"${name}_1$", ylabel=f"${name}_2$")
    return Picture(figure)


def histograms(
    panels: Mapping[str, tuple[Tensor, Tensor | None, Tensor]], xlabels: Sequence[str]
) -> Picture:
    """Side by side: name -> (draws [n], density [m] or None, the places [m] it is given at)."""
    figure, axes = _subplots(len(panels), 2.3)
    for place, (name, (draws, density, at)), xlabel in zip(
        axes[0], panels.items(), xlabels, strict=True
    ):
        _draw_histogram(
            place, finite(name, draws), None if density is None else plain(density), plain(at)
        )
        place.set(title=name, xlabel=xlabel, yticks=[])
    return Picture(figure)


def loadings(true: np.ndarray, found: np.ndarray, names: Sequence[str]) -> Picture:
    """Factor loadings of named items, true and found, both [items, 2] in the same axes."""
    figure, axes = _subplots(1, 4.4)
    _draw_loadings(axes[0, 0], true, found, names)
    axes[0, 0].set(xlabel="loading on factor 1", ylabel="loading on factor 2")
    return Picture(figure)
