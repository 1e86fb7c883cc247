"""Figures of conditional models."""

from __future__ import annotations

import numpy as np
import torch

from vae_core import figures


def test_hidden_pixels_have_a_colour_of_their_own() -> None:
    x = torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    observed = torch.zeros(1, 4, 6, dtype=torch.bool)
    observed[:, 2:, :3] = True
    picture = figures.completion_rows(
        x, observed, {"mean": x, "draws": x[:, None].repeat(1, 3, 1, 1, 1)}
    )
    given, mean, draws = (np.asarray(axes.images[0].get_array()) for axes in picture.figure.axes)
    assert [part.shape for part in (given, mean, draws)] == [(8, 6, 3), (8, 6, 3), (8, 18, 3)]
    assert np.allclose(mean[:4, :, 0], 1 - x[0, 0])
    assert np.allclose(given[2:4, :3], mean[2:4, :3])
    assert np.ptp(given[:2].reshape(-1, 3), axis=0).max() == 0  # nothing of the digit shows there
    assert np.allclose(draws[4:, 6:12], mean[4:])
    assert [axes.get_title() for axes in picture.figure.axes] == ["given", "mean", "draws"]


def test_ladders_show_draws_values_and_levels() -> None:
    ladder = figures.Ladder((1, 10), (5.0, 4.0), (0.1, 0.2))
    picture = figures.ladders_by_draws(
        {"a": {"MC": ladder}, "b": {"MC": ladder}}, {"b": {"net": 6.0}}
    )
    first, second = picture.figure.axes
    assert first.get_xscale() == "log"
    assert np.allclose(first.lines[0].get_xydata(), [[1, 5], [10, 4]])
    assert any(np.allclose(line.get_ydata(), 6.0) for line in second.lines)
