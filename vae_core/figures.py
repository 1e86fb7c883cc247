"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, STYLE, draw_plane, png
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


def bit_bars(z: Tensor, x: Tensor, names: Sequence[str]) -> Picture:
    """Stacked bars of bits, one for each name: ``z`` [n] below, ``x`` given z [n] above."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(len(names))
    place.bar(at, z.numpy(), color=ACCENT, label="z")
    place.bar(at, x.numpy(), bottom=z.numpy(), color=CLASSES[1], label="X given z")
    place.set_xticks(at, names)
    place.set(ylabel="bits")
    place.legend(loc="upper left", ncols=2)
    place.margins(y=0.2)
    return Picture(figure)


def fine_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    coded: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: Mapping[str, str],
) -> Picture:
    """The fine in bits over what spoils Q, a panel a name: curves, and dots of a real coder."""
    figure, axes = _subplots(len(curves), 2.7)
    for place, (name, (x, y)) in zip(axes[0], curves.items(), strict=True):
        place.plot(x, y, color=ACCENT, label="the accounts")
        if name in coded:
            place.plot(*coded[name], "o", color=CLASSES[1], ms=5, label="the coder, weighed")
        place.set(xlabel=labels[name], ylabel="fine, bits a digit", ylim=(0, None))
        place.legend(loc="upper center")
    axes[0, -1].set_xscale("log", base=2)
    return Picture(figure)


def dimension_bars(rate: Tensor, saved: Tensor) -> Picture:
    """For each latent dimension [latent]: the bits it costs, and those it saves on X."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(1, len(rate) + 1)
    place.bar(at - 0.2, rate.numpy(), 0.4, color=ACCENT, label="rate: bits of z")
    place.bar(at + 0.2, saved.numpy(), 0.4, color=CLASSES[1], label="bits of X it saves")
    place.set_xticks(at)
    place.set(xlabel="latent dimension, by rate", ylabel="bits")
    place.legend()
    return Picture(figure)
