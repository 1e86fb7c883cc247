"""Latent planes and rows of digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._plot import draw_plane, finite, plain
from vae_core.figures._picture import WIDTH, Picture, _subplots
from vae_core.models import VAE, Autoencoder


def latent_maps(codes: Mapping[str, Tensor], labels: Tensor, classes: Sequence[str]) -> Picture:
    """The latent planes of ``codes`` (name -> [n, 2]) side by side; ``labels`` [n] by class."""
    figure, axes = _subplots(len(codes), WIDTH / len(codes) + 0.25)
    for place, (name, points) in zip(axes[0], codes.items(), strict=True):
        draw_plane(place, finite(name, points), plain(labels), classes)
        place.set(title=name, xlabel="$z_1$", ylabel="$z_2$")
    return Picture(figure)


def tile(images: Shaped[Tensor, "n 1 height width"], columns: int) -> Shaped[Tensor, "tall wide"]:
    """Images [n, 1, height, width] as one picture [rows * height, columns * width], row by row."""
    n, _, height, width = images.shape
    if _check.whole("columns", columns) and n % columns:
        raise ValueError(f"{n} images do not fill rows of {columns}")
    grid = images.reshape(n // columns, columns, height, width)
    return grid.permute(0, 2, 1, 3).reshape(n // columns * height, columns * width)


def grid_of_latents(centre: Sequence[float], half: float, count: int) -> Float[Tensor, "cells 2"]:
    """A square lattice of latents, [count * count, 2], rows from the top (largest z_2) down."""
    x, y = (
        torch.linspace(start, end, count, dtype=torch.float32, device="cpu")
        for start, end in (
            (centre[0] - half, centre[0] + half),
            (centre[1] + half, centre[1] - half),
        )
    )
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
            places = grid_of_latents(centre, half, count).to(next(model.parameters()))
            picture = finite(name, tile(model.mean(places), count))
        extent = (centre[0] - half, centre[0] + half, centre[1] - half, centre[1] + half)
        place.imshow(picture, cmap="gray_r", vmin=0, vmax=1, extent=extent)
        place.set_title(name)
        place.set_xlabel("$z_1$")
        place.set_ylabel("$z_2$")
    return Picture(figure)


def digit_rows(rows: Mapping[str, Tensor]) -> Picture:
    """Named rows of images, each [n, 1, height, width] in [0, 1], all of the same n."""
    n = max(len(images) for images in rows.values())
    figure, axes = _subplots(1, WIDTH * len(rows) / n * 1.02 + 0.1, rows=len(rows))
    for place, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        place.imshow(finite(name, tile(images, len(images))), cmap="gray_r", vmin=0, vmax=1)
        place.set_xticks([])
        place.set_yticks([])
        place.spines[:].set_visible(False)
        place.set_ylabel(name, rotation=0, ha="right", va="center")
    return Picture(figure)
