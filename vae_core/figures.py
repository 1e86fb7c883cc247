"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, INK, STYLE, draw_plane, png
from vae_core.evaluation import Estimate
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


def paths_through_a_vae() -> Picture:
    """What is used of a VAE to train it, to generate with it, and to score an image with it."""
    figure, axes = _subplots(1, 2.3)
    place = axes[0, 0]
    place.set(xlim=(0, 10.6), ylim=(-0.1, 2.9))
    place.axis("off")
    columns = {"X": 1.8, "Q": 3.9, "z": 6.1, "P": 8.0, "f": 10.0}
    rows = [
        ("score", ["X", "Q", "z", "P", "f"], "$z$ from $Q(z|X)$\nweighted", "$\\log P(X)$"),
        ("generate", ["z", "P", "f"], "$z$ from $N(0, I)$", "new $X$"),
        ("train", ["X", "Q", "z", "P", "f"], "$z$ from $Q(z|X)$", "bound"),
    ]
    for y, (name, used, draw, end) in enumerate(rows):
        words = {"X": "$X$", "Q": "encoder", "z": draw, "P": "decoder", "f": end}
        place.text(0.1, y + 0.4, name, weight="bold", va="center")
        for left, right in itertools.pairwise(columns):
            if left in used:
                place.annotate(
                    "", (columns[right] - 0.72, y + 0.4), (columns[left] + 0.72, y + 0.4),
                    arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.2},
                )  # fmt: skip
        for key, x in columns.items():
            if key not in used and key != "Q":
                continue
            boxed = key in "QP"
            tone = ACCENT if boxed and key in used else "#a9b3bd" if boxed else "none"
            style = "-" if key in used else ":"
            text = words[key] if key in used else "encoder\n(left out)"
            place.text(
                x, y + 0.4, text, ha="center", va="center", fontsize=8.5,
                color=INK if key in used else "#8a95a1",
                bbox={"boxstyle": "round,pad=0.4", "fc": "white", "ec": tone, "ls": style},
            )  # fmt: skip
    return Picture(figure)


def bounds_by_draws(
    curves: Mapping[str, Mapping[int, Estimate]], levels: Mapping[str, float] | None = None
) -> Picture:
    """Bounds in nats against the number of draws; each curve is k -> Estimate, shown ± 2 errors.

    ``levels``: horizontal lines by name, such as an exact value.
    """
    figure, axes = _subplots(1, 3.2)
    place = axes[0, 0]
    for number, (name, curve) in enumerate(curves.items()):
        values, errors = zip(*curve.values(), strict=True)
        place.errorbar(
            list(curve), values, yerr=[2 * e if e == e else 0 for e in errors],
            marker="o", ms=4, capsize=3, lw=1.4, color=CLASSES[number], label=name,
        )  # fmt: skip
    for name, level in (levels or {}).items():
        place.axhline(level, color=INK, ls="--", lw=1, label=name)
    place.set(xscale="log", xlabel="draws of z for each image, k", ylabel="nats per image")
    place.legend()
    return Picture(figure)


def bound_ladders(bounds: Mapping[str, Tensor]) -> Picture:
    """For each image, several bounds one above the other: name -> values in nats [n]."""
    figure, axes = _subplots(1, 3.0)
    place = axes[0, 0]
    last = list(bounds.values())[-1]
    order = last.argsort(descending=True)
    where = range(len(order))
    stacked = torch.stack([values[order] for values in bounds.values()])
    place.vlines(where, stacked.amin(0), stacked.amax(0), color="#c3ccd5", lw=1.2, zorder=0)
    for number, (name, values) in enumerate(zip(bounds, stacked, strict=True)):
        place.plot(where, values, "osD^"[number % 4], ms=4.5, color=CLASSES[number], label=name)
    place.set(xlabel="test digit, likeliest first", ylabel="nats", xticks=[])
    place.legend()
    return Picture(figure)


def latent_use(models: Mapping[str, tuple[Tensor, Tensor]]) -> Picture:
    """How much each latent says: name -> (KL in nats [latent], variance of Q's mean [latent])."""
    figure, axes = _subplots(len(models), 4.2, rows=2)
    for column, (name, parts) in enumerate(models.items()):
        order = parts[0].argsort(descending=True)
        for row, (values, words) in enumerate(
            zip(parts, ("KL (nats)", "variance of Q's mean"), strict=True)
        ):
            place = axes[row, column]
            place.bar(range(1, len(order) + 1), values[order].numpy(), color=ACCENT)
            if row:
                place.set(yscale="log", ylim=(1e-5, 3))
                place.axhline(0.01, color=INK, ls="--", lw=1)
                place.set_xlabel("latent, by its KL")
            else:
                place.set_title(name)
            if not column:
                place.set_ylabel(words)
    return Picture(figure)
