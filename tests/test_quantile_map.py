"""The one-dimensional model of Doersch's appendix A, against other ways to the same numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from vae_core.evaluation import GaussianQ, QuantileMap, fit_decay
from vae_core.evaluation._quantile_map import DENSITIES, TWO_GAUSSIANS

SMOOTH = ("mixture", "gumbel", "logistic")
FROZEN = {"gumbel": stats.gumbel_r(), "logistic": stats.logistic(), "uniform": stats.uniform()}


def distribution(name: str, x: np.ndarray) -> np.ndarray:
    if name == "mixture":
        return np.sum(
            [w * special.ndtr((x - m) / s) for w, m, s in zip(*TWO_GAUSSIANS, strict=True)], axis=0
        )
    return FROZEN[name].cdf(x)


@pytest.mark.parametrize("name", SMOOTH)
def test_densities_integrate_to_their_distribution_and_have_their_score(name: str) -> None:
    density, x = DENSITIES[name], np.linspace(-3, 5, 41)
    for a, b in itertools.pairwise(x):
        area, _ = integrate.quad(lambda v: float(density.pdf(np.asarray(v))), a, b)
        assert area == pytest.approx(
            float(distribution(name, np.asarray(b)) - distribution(name, np.asarray(a))), abs=1e-12
        )
    step = 1e-5
    rise = (np.log(density.pdf(x + step)) - np.log(density.pdf(x - step))) / (2 * step)
    np.testing.assert_allclose(density.score(x), rise, atol=1e-8)
    low, high = density.log_tails(x)
    np.testing.assert_allclose(np.exp(low) + np.exp(high), 1, atol=1e-13)


@pytest.mark.parametrize("name", [*SMOOTH, "uniform"])
def test_map_carries_normal_quantiles_to_the_datas(name: str) -> None:
    m, z = QuantileMap(name), np.linspace(-6, 6, 1237)
    np.testing.assert_allclose(distribution(name, m.f(z)), special.ndtr(z), atol=1e-9)
    step = 1e-4
    for at in (-2.5, -0.31, 0.0, 1.7):
        rise = float(m.f(at + step) - m.f(at - step)) / (2 * step)
        assert m.slope(at) == pytest.approx(rise, rel=1e-6)
        assert m.g(float(m.f(at))) == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_map_is_straight_beyond_its_table(name: str) -> None:
    a, b, c = QuantileMap(name).f(np.array([12.0, 13.0, 14.0]))
    assert c - b == pytest.approx(b - a, rel=1e-12)
    assert b > a


@pytest.mark.parametrize("name", [*SMOOTH, "uniform"])
@pytest.mark.parametrize("sigma", [0.5, 0.1])
def test_gap_is_the_divergences_own_integral(name: str, sigma: float) -> None:
    m = QuantileMap(name)
    for code in (-1.6, 0.2, 1.1):
        x = float(m.f(code))
        q = m.given_q(x, sigma)
        grid = np.linspace(-40, 40, 800_001)  # Q is wide near an edge
        joint = np.exp(m.log_joint(grid, x, sigma))
        assert np.trapezoid(joint, grid) == pytest.approx(
            math.exp(m.log_marginal(x, sigma)), rel=1e-7
        )
        log_q = stats.norm(q.mean, q.sigma).logpdf(grid)
        expected = np.trapezoid(np.exp(log_q) * (log_q - m.log_posterior(grid, x, sigma)), grid)
        assert m.gap(x, sigma) == pytest.approx(expected, abs=1e-8)
        assert m.elbo(x, sigma) + m.gap(x, sigma) == pytest.approx(m.log_marginal(x, sigma))


@pytest.mark.parametrize("name", SMOOTH)
def test_best_q_is_a_minimum_below_the_given_one(name: str) -> None:
    m = QuantileMap(name)
    for code in (-2.0, 0.0, 0.8):
        x = float(m.f(code))
        best = m.best_q(x, 0.3)
        least = m.gap(x, 0.3, best)
        assert 0 < least < m.gap(x, 0.3)
        for shift, widen in ((1e-3, 1), (-1e-3, 1), (0, 1.002), (0, 0.998)):
            near = GaussianQ(best.mean + shift * best.sigma, best.sigma * widen)
            assert m.gap(x, 0.3, near) > least


@pytest.mark.parametrize("name", SMOOTH)
def test_mean_gap_is_the_mean_over_draws(name: str) -> None:
    m, rng = QuantileMap(name), np.random.default_rng(0)
    gaps = np.array([m.gap(float(m.f(z)), 0.2) for z in rng.standard_normal(400)])
    error = gaps.std(ddof=1) / math.sqrt(len(gaps))
    assert abs(gaps.mean() - m.mean_gap(0.2)) < 4 * error


@pytest.mark.parametrize("name", SMOOTH)
def test_gap_divided_by_sigma_squared_tends_to_its_constant(name: str) -> None:
    m = QuantileMap(name)
    for code in (-1.5, 0.4, 1.2):
        x = float(m.f(code))
        errors = [abs(m.gap(x, s) / s**2 - m.leading(x)) for s in (0.02, 0.01)]
        assert errors[1] < 1e-3 * m.leading(x) + 0.01
        assert errors[0] / errors[1] == pytest.approx(4, abs=0.4)  # the next term is sigma^4
    assert m.mean_gap(0.002) / 0.002**2 == pytest.approx(m.mean_leading(), rel=1e-3)


def test_a_density_with_edges_has_no_finite_mean_gap() -> None:
    m = QuantileMap("uniform")
    parts = [m.mean_gap(0.05, reach) for reach in (3, 4, 5, 6)]
    assert all(b > 4 * a for a, b in itertools.pairwise(parts))


def test_fit_decay_finds_a_power_and_its_error() -> None:
    sigmas = np.geomspace(1e-3, 1, 20)
    exact = fit_decay(sigmas, 3 * sigmas**1.5)
    assert exact.rate == pytest.approx(1.5)
    assert exact.constant == pytest.approx(3)
    assert exact.error < 1e-12
    noise = np.exp(0.1 * np.random.default_rng(1).standard_normal(20))
    noisy = fit_decay(sigmas, 3 * sigmas**1.5 * noise)
    expected = stats.linregress(np.log(sigmas), np.log(3 * sigmas**1.5 * noise))
    assert noisy.rate == pytest.approx(expected.slope)
    assert noisy.error == pytest.approx(expected.stderr)


def test_unfit_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"density must be one of .* got 'cauchy'"):
        QuantileMap("cauchy")
    m = QuantileMap("logistic")
    for sigma in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="sigma must be positive"):
            m.gap(0.0, sigma)
        with pytest.raises(ValueError, match="sigma must be positive"):
            m.mean_gap(sigma)
    with pytest.raises(ValueError, match="X must lie between"):
        m.given_q(1e3, 0.1)
    with pytest.raises(ValueError, match="reach must be"):
        m.mean_gap(0.1, 9.0)
    with pytest.raises(ValueError, match="two series"):
        fit_decay(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="must be positive"):
        fit_decay(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0]))
