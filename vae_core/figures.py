"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, HALO, INK, STYLE, draw_plane, png
from vae_core.models import VAE, Autoencoder

WIDTH = 7.2  # inches: the book's text column


class Picture:
    """A finished figure that shows itself in a notebook, on a page and in print.

    It leaves matplotlib's global state alone (no pyplot): the same picture comes out whatever
    backend or style the reader has set. ``figure`` is the matplotlib figure, to change or to save.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def _repr_png_(self) -> bytes:
        return png(self.figure)

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<figure, {width:.1f} x {height:.1f} inches>"

    def save(self, path: str | Path) -> None:
        """Write the figure to ``path``, in the format its ending names (png, svg, pdf)."""
        self.figure.savefig(path)


def _subplots(columns: int, height: float, rows: int = 1) -> tuple[Figure, np.ndarray]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def latent_maps(codes: Mapping[str, Tensor], labels: Tensor, classes: Sequence[str]) -> Picture:
    """The latent planes of ``codes`` (name -> [n, 2]) side by side; ``labels`` [n] by class."""
    figure, axes = _subplots(len(codes), WIDTH / len(codes) + 0.25)
    for place, (name, points) in zip(axes[0], codes.items(), strict=True):
        draw_plane(place, points.cpu().numpy(), labels.cpu().numpy(), classes)
        place.set(title=name, xlabel="$z_1$", ylabel="$z_2$")
    return Picture(figure)


def tile(images: Tensor, columns: int) -> Tensor:
    """Images [n, 1, height, width] as one picture [rows * height, columns * width], row by row."""
    n, _, height, width = images.shape
    if columns < 1 or n % columns:
        raise ValueError(f"{n} images do not fill rows of {columns}")
    grid = images.reshape(n // columns, columns, height, width)
    return grid.permute(0, 2, 1, 3).reshape(n // columns * height, columns * width)


def grid_of_latents(centre: Sequence[float], half: float, count: int) -> Tensor:
    """A square lattice of latents, [count * count, 2], rows from the top (largest z_2) down."""
    x = torch.linspace(centre[0] - half, centre[0] + half, count)
    y = torch.linspace(centre[1] + half, centre[1] - half, count)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def decoded_grids(
    models: Mapping[str, Autoencoder | VAE],
    squares: Mapping[str, tuple[Sequence[float], float]],
    *,
    count: int = 16,
) -> Picture:
    """What each model decodes on a lattice; ``squares``: name -> (centre, half-width)."""
    figure, axes = _subplots(len(models), WIDTH / len(models) + 0.25)
    for place, (name, model) in zip(axes[0], models.items(), strict=True):
        centre, half = squares[name]
        with torch.no_grad():
            picture = tile(model.mean(grid_of_latents(centre, half, count)), count)
        extent = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
        place.imshow(picture.numpy(), cmap="gray_r", vmin=0, vmax=1, extent=extent)
        place.set_title(name)
        place.set_xlabel("$z_1$")
        place.set_ylabel("$z_2$")
    return Picture(figure)


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
        for k, (words, (u, v)) in enumerate(panel.marks.items()):
            place.plot([u, u], [low, v], color="#5b6875", ls=":", lw=1)
            place.plot([u], [v], "o", color=CLASSES[3], ms=5, zorder=3)
            place.annotate(
                words,
                (u, v),
                xytext=(5, -13 - 12 * k),
                textcoords="offset points",
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
    Both axes have one unit; each panel shows its own Q and the posterior's peak.
    """
    n = len(images)
    figure, axes = _subplots(n, 2 * WIDTH / n * 0.82 + 0.2, rows=2)
    for k in range(n):
        top, place = axes[0, k], axes[1, k]
        top.imshow(images[k, 0].cpu().numpy(), cmap="gray_r", vmin=0, vmax=1)
        top.set_axis_off()
        relative = (log_density[k] - log_density[k].max()).exp().cpu().numpy()
        place.contourf(
            first.numpy(), second.numpy(), relative, levels=[0.01, 0.1, 0.5, 1],
            colors=["#f9dcc4", "#f3b27a", "#dd6b20"],
        )  # fmt: skip
        centre, spread = means[k].cpu().numpy(), sigmas[k].cpu().numpy()
        for times in (1, 2):
            width, high = 2 * times * spread
            place.add_patch(Ellipse(tuple(centre), width, high, fill=False, color=ACCENT, lw=1.4))
        row, column = np.unravel_index(relative.argmax(), relative.shape)
        peak = np.array([float(first[column]), float(second[row])])
        reach = max(4.5 * float(spread.max()), 1.6 * float(np.abs(peak - centre).max()))
        place.set(
            xlim=(centre[0] - reach, centre[0] + reach),
            ylim=(centre[1] - reach, centre[1] + reach),
            aspect="equal", xlabel="$z_1$",
        )  # fmt: skip
        place.tick_params(labelsize=7)
    axes[1, 0].set_ylabel("$z_2$")
    return Picture(figure)


def digit_rows(rows: Mapping[str, Tensor]) -> Picture:
    """Named rows of images, each [n, 1, height, width] in [0, 1], all of the same n."""
    n = max(len(images) for images in rows.values())
    figure, axes = _subplots(1, WIDTH * len(rows) / n * 1.02 + 0.1, rows=len(rows))
    for place, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        place.imshow(tile(images.cpu(), len(images)).numpy(), cmap="gray_r", vmin=0, vmax=1)
        place.set_xticks([])
        place.set_yticks([])
        place.spines[:].set_visible(False)
        place.set_ylabel(name, rotation=0, ha="right", va="center")
    return Picture(figure)
