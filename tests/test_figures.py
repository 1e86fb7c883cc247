"""Figures: drawn to scale, in order, and without touching matplotlib's global state."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from vae_core import _plot, figures, models


def test_tile_sets_images_row_by_row() -> None:
    images = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 2, 3)
    picture = figures.tile(images, columns=3)
    assert picture.shape == (4, 9)
    assert picture[::2, ::3].tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="6 images do not fill rows of 4"):
        figures.tile(images, columns=4)


def test_grid_of_latents_reads_from_top_left() -> None:
    grid = figures.grid_of_latents((1.0, -1.0), 2.0, 3)
    assert grid.shape == (9, 2)
    assert grid[0].tolist() == [-1, 1]
    assert grid[2].tolist() == [3, 1]
    assert grid[6].tolist() == [-1, -3]


def test_a_latent_map_is_true_to_scale_and_shows_the_priors_circles() -> None:
    codes = torch.randn(500, 2) * torch.tensor([5.0, 1.0])
    labels = torch.arange(500) % 10
    picture = figures.latent_maps({"a": codes, "b": codes}, labels, tuple("0123456789"))
    assert len(picture.figure.axes) == 2
    for axes in picture.figure.axes:
        assert axes.get_aspect() == 1
        assert [circle.radius for circle in axes.patches] == [1, 2, 3]
        assert [text.get_text() for text in axes.texts] == list("0123456789")
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        assert right - left == pytest.approx(top - bottom)
        assert left < codes[:, 0].quantile(0.01)


def test_a_class_without_codes_has_no_label() -> None:
    middles = _plot.medians(np.zeros((3, 2)), torch.tensor([0, 0, 2]), 3)
    assert np.isnan(middles[1]).all()
    assert (middles[[0, 2]] == 0).all()


def test_decoded_grids_show_the_decoder_on_the_lattice() -> None:
    model = models.VAE(seed=1)
    square = ((0.5, -0.5), 2.0)
    (axes,) = figures.decoded_grids({"m": model}, {"m": square}, count=4).figure.axes
    (image,) = axes.images
    with torch.no_grad():
        corner = model.mean(torch.tensor([[-1.5, 1.5]]))[0, 0]
    np.testing.assert_allclose(image.get_array()[:28, :28], corner.numpy(), atol=1e-6)
    assert image.get_extent() == [-1.5, 2.5, -2.5, 1.5]


def test_a_picture_is_a_small_png_the_same_each_time() -> None:
    picture = figures.digit_rows({"noise": torch.rand(5, 1, 28, 28)})
    first = picture._repr_png_()
    assert first == picture._repr_png_()
    image = Image.open(io.BytesIO(first))
    assert image.format == "PNG"
    assert len(image.getcolors()) <= 96
    assert abs(image.width - figures.WIDTH * _plot.DPI) <= 1


def test_figures_leave_pyplot_alone(python: Callable[..., object]) -> None:
    done = python(
        "import sys, torch\n"
        "from vae_core import figures\n"
        "figures.digit_rows({'x': torch.rand(3, 1, 28, 28)})._repr_png_()\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_curve_panels_mark_points_and_keep_their_limits() -> None:
    x = np.linspace(0, 1, 5)
    panel = figures.Curves(
        "title", "x", "y", x, {"a": x, "b": 2 * x}, {"top": (1.0, 2.0)}, {"dots": (x, x)}, (-1, 3)
    )
    axes = figures.curve_panels([panel, panel]).figure.axes
    assert len(axes) == 2
    assert axes[0].get_ylim() == (-1, 3)
    labels = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert labels == ["a", "b", "dots"]


def test_posterior_maps_draw_each_ellipse_to_scale() -> None:
    grid = torch.linspace(-3, 3, 41, dtype=torch.float64)
    log = -0.5 * (grid[:, None] ** 2 + grid**2).expand(2, 41, 41)
    means, sigmas = torch.zeros(2, 2), torch.tensor([[0.5, 0.2], [0.3, 0.3]])
    picture = figures.posterior_maps(grid, grid, log, means, sigmas, torch.zeros(2, 1, 4, 4))
    ellipses = list(picture.figure.axes[2].patches)
    assert [e.width for e in ellipses] == pytest.approx([1.0, 2.0])
    assert [e.height for e in ellipses] == pytest.approx([0.4, 0.8])
    assert picture.figure.axes[2].get_aspect() == 1
