"""ReparameterizationExplorer without a browser: its numbers, what it says and refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from vae_core.widgets import ReparameterizationExplorer
from vae_core.widgets import reparameterization_explorer as module
from vae_core.widgets.reparameterization_explorer import FUNCTIONS, gradients, normal_draws

PLACES = [(1.0, 0.5), (-0.7, 1.3), (0.0, 0.2)]


@pytest.mark.parametrize("parameter", ["mu", "sigma"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("mu", "sigma"), PLACES)
def test_exact_gradient_is_the_derivative_of_the_expectation(
    name: str, parameter: str, mu: float, sigma: float
) -> None:
    f = FUNCTIONS[name][1]

    def expectation(mu: float, sigma: float) -> float:
        def integrand(z: float) -> float:
            density = math.exp(-0.5 * ((z - mu) / sigma) ** 2) / sigma / math.sqrt(2 * math.pi)
            return float(f(np.array(z))) * density

        low, high = mu - 12 * sigma, mu + 12 * sigma
        points = [p for p in (mu, 0.0) if low < p < high]
        return float(integrate.quad(integrand, low, high, points=points, limit=400)[0])

    h = 1e-3
    step = {"mu": (h, 0.0), "sigma": (0.0, h)}[parameter]
    above = expectation(mu + step[0], sigma + step[1])
    below = expectation(mu - step[0], sigma - step[1])
    exact = gradients(name, parameter, mu, sigma, []).exact
    assert exact == pytest.approx((above - below) / (2 * h), abs=2e-4, rel=2e-4)


def test_closed_form_variances_of_the_square() -> None:
    mu, sigma = 1.2, 0.6
    by_mu, by_sigma = (gradients("square", name, mu, sigma, []) for name in ("mu", "sigma"))
    assert by_mu.path_variance == pytest.approx(4 * sigma**2, rel=1e-9)
    expected = mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2
    assert by_mu.score_variance == pytest.approx(expected, rel=1e-9)
    assert by_sigma.exact == pytest.approx(2 * sigma, rel=1e-9)


@pytest.mark.parametrize("parameter", ["mu", "sigma"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_variances_are_those_of_many_draws(name: str, parameter: str) -> None:
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).double().numpy()
    shown = gradients(name, parameter, 0.4, 0.7, noise)
    pairs = [(shown.score_function, shown.score_variance, shown.exact)]
    if name != "step":
        pairs.append((shown.path_wise, shown.path_variance, shown.exact))
    for values, variance, exact in pairs:
        n = len(values)
        assert abs(values.mean() - exact) < 4 * math.sqrt(variance / n)
        squares = (values - exact) ** 2
        assert abs(squares.mean() - variance) < 4 * squares.std() / math.sqrt(n)


def test_path_wise_gradient_of_a_step_is_zero_and_wrong() -> None:
    shown = gradients("step", "mu", 0.5, 1.0, normal_draws(0, 100))
    assert (shown.path_wise == 0).all()
    assert shown.path_variance == 0
    assert shown.exact > 0.3


def test_path_wise_estimates_are_autograds() -> None:
    noise = normal_draws(3, 50)
    mu, sigma = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 0.8))
    z = mu + sigma * torch.from_numpy(noise)
    for name, f in (("square", torch.square), ("sine", lambda z: torch.sin(3 * z))):
        for parameter, leaf in (("mu", mu), ("sigma", sigma)):
            ours = gradients(name, parameter, 0.3, 0.8, noise).path_wise
            (whole,) = torch.autograd.grad(f(z).sum(), leaf, retain_graph=True)
            assert ours.sum() == pytest.approx(whole.item(), rel=1e-12)


def test_draws_are_standard_normal_and_reproducible() -> None:
    draws = normal_draws(5, 10_000)
    assert (draws == normal_draws(5, 10_000)).all()
    assert (draws[:10] == normal_draws(5, 10)).all()
    assert (draws[:10] != normal_draws(6, 10)).all()
    assert abs(draws.mean()) < 4 / 100
    assert abs((draws**2).mean() - 1) < 4 * math.sqrt(2) / 100
    assert normal_draws(2**32 - 1, 3).shape == (3,)


def test_state_and_refusals() -> None:
    widget = ReparameterizationExplorer(function="sine", draws=20, seed=4)
    assert widget.epsilon == normal_draws(4, 20)[-1]
    assert len(widget.estimates().noise) == 20
    assert '"function": "sine"' in widget.to_html()
    for wrong, words in (
        ({"mu": 3.0}, r"mu must lie in \[-2.5, 2.5\]; got 3.0"),
        ({"sigma": 0.0}, r"sigma must lie in \[0.1, 2.0\]; got 0.0"),
        ({"function": "cube"}, "function must be one of square"),
        ({"parameter": "rho"}, "parameter must be one of mu, sigma"),
        ({"draws": 10_001}, "draws must be a whole number from 0 to 10000"),
        ({"colour": 1}, r"unknown traits \['colour'\]"),
    ):
        with pytest.raises(ValueError, match=words):
            ReparameterizationExplorer(**wrong)
    with pytest.raises(ValueError, match="sigma must lie"):
        widget.sigma = 2.5
    assert widget.sigma == 0.5


def test_page_is_small_and_prints() -> None:
    widget = ReparameterizationExplorer(draws=300)
    assert len(widget.to_html()) < 100_000
    assert widget.to_png().startswith(b"\x89PNG")
    axes = widget.figure().axes
    assert [place.get_ylabel() for place in axes] == ["score function", "path-wise"]
    assert module.LIMIT >= 2 * 1000
