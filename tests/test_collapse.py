"""What a VAE leaves of the data, and the picture of its latents' KL near collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vae_core import data, evaluation, figures
from vae_core.models import VAE, LinearVAE
from vae_core.objectives import exact_elbo

DIGITS = data.load("mnist", "test").images[:400]


def eigenvalues(count: int) -> list[float]:
    x = data.to_float(DIGITS).flatten(1).double()
    return torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)[:count].tolist()


def test_a_collapsed_model_leaves_the_data_s_own_directions() -> None:
    model = VAE(2, hidden=(4,), seed=0).double()
    with torch.no_grad():
        for values in model.decoder.parameters():
            values.zero_()  # every z decodes to the same grey
    found = evaluation.residual_variances(model, DIGITS, 3)
    assert found.tolist() == pytest.approx(eigenvalues(3), rel=1e-9)


def test_a_linear_latent_leaves_its_direction_the_noise_it_explains() -> None:
    """One latent along the first eigenvector leaves sigma^4 / eigenvalue of it, all of the second.

    The posterior's mean is (1 - sigma^2 / eigenvalue) of the way to X; its spread does not matter.
    """
    first, second = eigenvalues(2)
    sigma = math.sqrt(0.9 * first)
    x = data.to_float(DIGITS).double()
    model = LinearVAE.from_pca(x, 1, sigma=sigma, correction=0)
    found = evaluation.residual_variances(model, x, 2, samples=200)
    wanted = sorted([sigma**4 / first, second], reverse=True)
    assert found.tolist() == pytest.approx(wanted, rel=0.02)


def test_a_small_latent_pays_just_where_the_residual_exceeds_the_noise() -> None:
    """As the docstring says, at the first latent: the ELBO of a small w against that of none."""
    first = eigenvalues(1)[0]
    x = data.to_float(DIGITS).double()
    for factor, gains in ((0.95, True), (1.05, False)):
        sigma = math.sqrt(factor * first)
        none = LinearVAE.from_pca(x, 1, sigma=10 * sigma, correction=0)
        none.likelihood = LinearVAE(1, sigma=sigma).likelihood
        small = LinearVAE.from_pca(x, 1, sigma=math.sqrt(0.999 * first), correction=0)
        small.likelihood = none.likelihood
        small.set_posterior()
        none.set_posterior()
        with torch.no_grad():
            change = (exact_elbo(small, x).total - exact_elbo(none, x).total).mean()
        assert (change > 0) == gains


def test_what_leaves_no_residual_is_refused() -> None:
    model = VAE(2, hidden=(4,))
    with pytest.raises(ValueError, match="images must be at least two; got 1"):
        evaluation.residual_variances(model, DIGITS[:1])
    with pytest.raises(ValueError, match="count"):
        evaluation.residual_variances(model, DIGITS, 0)


def test_the_lines_near_collapse_are_those_of_a_linear_vae() -> None:
    rates = {1.0: torch.tensor([0.9, 1.1]), 3.0: torch.tensor([0.2, 0.0]), 9.0: torch.zeros(2)}
    (axes,) = figures.rates_near_collapse([5.0, 2.0], rates).figure.axes
    curves = [line for line in axes.lines if line.get_label().startswith("linear")]
    for line, eigenvalue in zip(curves, (5.0, 2.0), strict=True):
        x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        wanted = np.maximum(0.5 * np.log(eigenvalue / x), 0)
        assert y == pytest.approx(wanted, abs=1e-12)
        assert (x[0], x[-1]) == (1.0, 9.0)
    dots = [line for line in axes.lines if line.get_label().startswith("network")]
    assert np.asarray(dots[0].get_ydata()) == pytest.approx([1.1, 0.2, 0.0])  # the busier latent
    assert np.asarray(dots[1].get_ydata()) == pytest.approx([0.9, 0.0, 0.0])


def test_the_ledger_s_bars_are_the_steps_of_the_stack() -> None:
    heights = [100.0, 60.0, 90.0, 130.0, 70.0, 80.0, 120.0]
    (axes,) = figures.bits_ledger(heights, ["a", "b"]).figure.axes
    tall = [(bar.get_x() + 0.4, bar.get_y(), bar.get_height()) for bar in axes.patches]
    steps = np.diff(heights)
    assert len(tall) == 6
    for x, low, height in tall:
        k = round(x)
        assert (low, height) == pytest.approx((heights[k] - 100.0, steps[k]))
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["a\n+30", "b\n-10"]


def test_rates_and_reliance_stand_side_by_side() -> None:
    rate, relied = torch.tensor([3.0, 1.0]), torch.tensor([80.0, 9.0])
    (axes,) = figures.dimension_bars(rate, relied).figure.axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([3.0, 1.0, 80.0, 9.0])
    assert axes.get_yscale() == "log"
