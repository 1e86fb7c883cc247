"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import CLASSES, STYLE, draw_plane, png
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


class Curve(NamedTuple):
    """One line of :func:`draw_curves`: ``color`` counts the class colours, None is grey."""

    x: Sequence[float] | Tensor
    y: Sequence[float] | Tensor
    color: int | None = None
    label: str = ""
    dashed: bool = False


def draw_curves(
    panels: Mapping[str, Sequence[Curve]], xlabel: str, ylabels: Sequence[str], logs: Sequence[str]
) -> Picture:
    """Curves side by side, a panel for each title; ``logs``: for each, "x", "y", "xy" or ""."""
    figure, axes = _subplots(len(panels), 2.9)
    for k, (place, (title, curves)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        for curve in curves:
            color = curve.color
            place.plot(
                *(torch.as_tensor(values).tolist() for values in (curve.x, curve.y)),
                color="#9aa5b1" if color is None else CLASSES[color % len(CLASSES)],
                lw=0.8 if color is None else 1.6,
                ls="--" if curve.dashed else "-",
                label=curve.label or None,
                zorder=1 if color is None else 2,
            )
        if "x" in logs[k]:
            place.set_xscale("log")
        if "y" in logs[k]:
            place.set_yscale("log")
        place.set(title=title, xlabel=xlabel, ylabel=ylabels[k])
        place.grid(color="#e4e8ec", lw=0.6)
        place.set_axisbelow(True)
        if any(curve.label for curve in curves):
            place.legend(fontsize=7.5, handlelength=1.6)
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
