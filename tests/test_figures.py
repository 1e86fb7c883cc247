"""Figures: drawn to scale, in order, and without touching matplotlib's global state."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from vae_core import _plot, figures, models
from vae_core.figures import _training_graphs


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


def test_panels_draw_curves_and_their_points_in_one_colour() -> None:
    plot = figures.Panel(
        "t", "x", "y", {"a": ([1, 10], [1, 100])}, {"a": ([1], [2], [0.1]), "b": ([2], [3], [0])},
        log=True,
    )  # fmt: skip
    (axes,) = figures.panels(plot).figure.axes
    curve, own, other = axes.lines[0], axes.containers[0].lines[0], axes.containers[1].lines[0]
    assert curve.get_xydata().tolist() == [[1, 1], [10, 100]]
    assert own.get_color() == curve.get_color() != other.get_color()
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_training_graphs_stop_and_pass_the_gradient() -> None:
    left, right = figures.training_graphs().figure.axes
    words = [[text.get_text() for text in axes.texts] for axes in (left, right)]
    assert "✕" in words[0]
    assert "✕" not in words[1]
    for axes in (left, right):
        fills = [to_hex(patch.get_facecolor()) for patch in axes.patches]
        assert fills.count(_training_graphs._SAMPLED) == 1
        assert fills.count(_training_graphs._LOSS) == 2

    def back(axes: Axes) -> int:
        return sum(
            to_hex(patch.get_edgecolor()) == _training_graphs._PASS for patch in axes.patches
        )

    assert back(right) == back(left) + 1  # the step that the draw blocks


def test_conditional_graphs_leave_the_encoder_out_in_use() -> None:
    training, use = figures.conditional_graphs().figure.axes
    words = [[text.get_text() for text in axes.texts] for axes in (training, use)]
    assert "encoder $Q$" in words[0]
    assert "encoder $Q$" not in words[1]
    for axes, losses in ((training, 2), (use, 0)):
        fills = [to_hex(patch.get_facecolor()) for patch in axes.patches]
        assert fills.count(_training_graphs._LOSS) == losses
        assert fills.count(_training_graphs._SAMPLED) == 1


def test_noise_diagram_is_to_scale() -> None:
    mu, sigma = -0.5, 0.4
    (axes,) = figures.noise_diagram(mu, sigma).figure.axes
    assert axes.get_aspect() == 1
    arrows = [p._posA_posB for p in axes.patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == 9
    for (noise, above), (z, below) in arrows:
        assert (above, below) == (2, 0)
        assert z == pytest.approx(mu + sigma * noise)


def test_growth_draws_curves_and_their_points() -> None:
    picture = figures.growth(
        [1, 10], {"a": [1, 100], "b": [1, 1]}, {"a": [2, 90]}, xlabel="d", ylabel="v"
    )
    (axes,) = picture.figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [list(line.get_ydata()) for line in axes.lines] == [[1, 100], [2, 90], [1, 1]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_curves_keep_their_values_scales_and_names() -> None:
    curve = figures.Curve
    picture = figures.draw_curves(
        {
            "one": [curve([1, 10], [2.0, 3.0], 1, "a"), curve([1, 10], torch.ones(2), None)],
            "two": [curve([1, 10], [1, 2], 0, dashed=True)],
        },
        "n",
        ["y", "w"],
        ["xy", ""],
    )
    first, second = picture.figure.axes
    assert [line.get_ydata().tolist() for line in first.lines] == [[2, 3], [1, 1]]
    assert (first.get_xscale(), first.get_yscale()) == ("log", "log")
    assert (second.get_xscale(), second.get_ylabel()) == ("linear", "w")
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["a"]
    assert second.get_legend() is None
    assert second.lines[0].get_linestyle() == "--"
    within = figures.draw_curves({"t": [curve([1, 10], [20, 70], 0)]}, "n", ["y"], ["xy"]).figure
    within.draw_without_rendering()
    names = [label.get_text() for label in within.axes[0].get_yticklabels(which="minor")]
    assert "20" in names


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


def test_curve_panels_keep_the_words_of_neighbouring_marks_apart() -> None:
    x, marks = np.linspace(0, 1, 5), {"start": (0.5, 0.5), "after": (0.52, 0.52), " ": (0.5, 0.9)}
    figure = figures.curve_panels([figures.Curves("t", "x", "y", x, {"a": x}, marks)]).figure
    figure.draw_without_rendering()
    start, after, _ = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not start.overlaps(after)


def test_posterior_maps_draw_each_ellipse_to_scale() -> None:
    grid = torch.linspace(-3, 3, 41, dtype=torch.float64)
    log = -0.5 * (grid[:, None] ** 2 + grid**2).expand(2, 41, 41)
    means, sigmas = torch.zeros(2, 2), torch.tensor([[0.5, 0.2], [0.3, 0.3]])
    picture = figures.posterior_maps(grid, grid, log, means, sigmas, torch.zeros(2, 1, 4, 4))
    ellipses = list(picture.figure.axes[2].patches)
    assert [e.width for e in ellipses] == pytest.approx([1.0, 2.0])
    assert [e.height for e in ellipses] == pytest.approx([0.4, 0.8])
    assert picture.figure.axes[2].get_aspect() == 1


def test_posterior_maps_show_all_of_a_posterior_that_lies_beside_q() -> None:
    grid = torch.linspace(-5, 5, 101, dtype=torch.float64)
    log = -0.5 * ((grid[:, None] - 2) ** 2 / 0.25 + grid**2 / 0.04)[None]  # high up, and tall
    means, sigmas = torch.tensor([[1.0, 0.0]]), torch.full((1, 2), 0.1)
    picture = figures.posterior_maps(grid, grid, log, means, sigmas, torch.zeros(1, 1, 4, 4))
    across, up = picture.figure.axes[1].get_xlim(), picture.figure.axes[1].get_ylim()
    reach = np.sqrt(2 * np.log(100))  # where the density is a hundredth of its peak
    assert across[0] < -0.2 * reach + 0.1
    assert across[1] > 1.2  # Q's second ellipse
    assert up[0] < -0.2
    assert up[1] > 2 + 0.5 * reach - 0.1
    assert across[1] - across[0] < 6  # and not much else


def test_gaussians_at_a_target_cover_no_curve_with_their_names() -> None:
    target = torch.distributions.Normal(torch.tensor(0.0), torch.tensor(1.0))
    figure = figures.gaussians_at_a_target(target, {"Q": (0.0, 0.5)}).figure
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["P", "Q"]
    assert not any(legend.get_window_extent().overlaps(a.get_window_extent()) for a in figure.axes)


def test_two_ways_show_regions_on_one_side_and_ellipses_on_the_other() -> None:
    x = np.random.default_rng(0).standard_normal((30, 2))
    labels = np.arange(30) % 2

    def probabilities(at: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-5 * at[:, 0]))
        return np.stack([1 - p, p], 1)

    covariance = np.array([[4.0, 0.0], [0.0, 1.0]])
    gaussians = (np.array([[1.0, 2.0], [0.0, 0.0]]), np.stack([covariance, covariance[::-1, ::-1]]))
    picture = figures.two_ways_to_classify(
        x, labels, probabilities, gaussians, (x[:4], labels[:4]), ("a", "b")
    )
    left, right = picture.figure.axes
    assert len(left.collections) > len(right.collections)
    real, drawn = right.collections  # the points themselves, faint, and those that were drawn
    assert real.get_offsets().tolist() == x.tolist()
    assert drawn.get_offsets().tolist() == x[:4].tolist()
    assert real.get_alpha() < 0.5
    first = right.patches[0]
    assert (first.width, first.height) == pytest.approx((4, 2))  # one sigma of N(., 4) and N(., 1)
    assert tuple(first.center) == (1, 2)
    assert abs(first.angle) % 180 == pytest.approx(0)
    assert abs(right.patches[3].angle) % 180 == pytest.approx(90)
    assert left.get_xlim() == right.get_xlim()
    assert not picture.figure.legends
    named = figures.two_ways_to_classify(
        x, labels, probabilities, gaussians, (x[:4], labels[:4]), ("a", "b"), ("one", "two")
    )
    (legend,) = named.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]


def test_histograms_are_densities_of_all_draws() -> None:
    draws, at = torch.linspace(0, 1, 1001), torch.linspace(0, 0.5, 11)
    picture = figures.histograms({"u": (draws, torch.ones(11), at)}, ["x"])
    (axes,) = picture.figure.axes
    (stairs,) = axes.patches
    heights = stairs.get_data().values
    assert heights.sum() * 0.5 / 40 == pytest.approx(0.5, abs=0.01)  # half of them lie beyond
    (line,) = axes.lines
    assert line.get_ydata().tolist() == [1] * 11


def test_point_map_and_loadings_are_true_to_scale() -> None:
    z = torch.randn(50, 2)
    for axes in figures.point_map(z, 2 * z).figure.axes:
        assert axes.get_aspect() == 1
    true = np.array([[1.0, 0.0], [0.0, 1.0]])
    (axes,) = figures.loadings(true, true + 0.1, ["a", "b"]).figure.axes
    assert axes.get_aspect() == 1
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    assert [dots.get_offsets().tolist() for dots in axes.collections] == [
        true.tolist(),
        (true + 0.1).tolist(),
    ]


def test_projections_have_a_scale_of_their_own_and_one_unit_on_both_axes() -> None:
    points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    points = points * torch.tensor([5.0, 1.0]) + 100
    labels = torch.arange(400) % 10
    shown = {"a": points, "b": 10 * points, "c": -points}
    *maps, empty = figures.projections(shown, labels, tuple("0123456789")).figure.axes
    widths = []
    for axes in maps:
        assert axes.get_aspect() == 1
        assert not axes.patches  # no prior, no circles
        assert [text.get_text() for text in axes.texts] == list("0123456789")
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        assert right - left == pytest.approx(top - bottom)
        widths.append(right - left)
    assert widths[1] == pytest.approx(10 * widths[0], rel=1e-4)
    assert widths[2] == pytest.approx(widths[0], rel=1e-4)
    assert not empty.axison
    inside = (points[:, 0].numpy() - maps[0].get_xlim()[0]) / widths[0]
    assert ((inside > 0) & (inside < 1)).mean() > 0.98
    with pytest.raises(ValueError, match=r"'a' must be \[400, 2\]; got \[400, 3\]"):
        figures.projections({"a": torch.zeros(400, 3)}, labels, tuple("0123456789"))


def test_against_latents_joins_means_and_dots_every_seed() -> None:
    readings = {"A": {"x": {2: [1.0, 3.0], 8: [30.0]}, "y": {2: [5.0]}}, "B": {"x": {32: [7.0]}}}
    (axes,) = figures.against_latents(readings, "nats").figure.axes
    lines = {line.get_label(): line for line in axes.lines if "," in str(line.get_label())}
    assert list(lines) == ["A, x", "A, y", "B, x"]
    assert lines["A, x"].get_xydata().tolist() == [[2, 2], [8, 30]]
    colors = {name: line.get_color() for name, line in lines.items()}
    assert colors["A, x"] == colors["A, y"] != colors["B, x"]
    assert lines["A, x"].get_linestyle() != lines["A, y"].get_linestyle()
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert dots[0] == [[2, 1], [2, 3]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "8", "32"]
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel()) == ("log", "log", "nats")


def test_cost_histograms_share_a_logarithmic_axis_and_mark_the_set_at_home() -> None:
    costs = {"home": torch.linspace(50, 150, 200), "away": torch.full((30,), 4000.0)}
    home, away = figures.cost_histograms(costs, "nats").figure.axes
    assert home.get_xscale() == away.get_xscale() == "log"
    assert home.get_xlim() == away.get_xlim() == pytest.approx((50 / 1.1, 4400))
    low, high = np.quantile(np.linspace(50, 150, 200), [0.05, 0.95])
    for axes, count in ((home, 200), (away, 30)):
        band, *bars = axes.patches
        assert band.get_x() == pytest.approx(low, rel=1e-6)
        assert band.get_x() + band.get_width() == pytest.approx(high, rel=1e-6)
        assert sum(bar.get_height() for bar in bars) == count
    assert away.get_xlabel() == "nats"
    for wrong in (torch.tensor([1.0, 0.0]), torch.tensor([1.0, math.inf]), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"'?away'? must be (positive|finite)"):
            figures.cost_histograms({"home": costs["home"], "away": wrong}, "nats")
