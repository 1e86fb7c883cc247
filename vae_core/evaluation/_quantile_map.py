"""One-dimensional data with the decoder that makes it exactly: the error term as sigma goes to 0.

For data X with distribution function F, the map f = F⁻¹ ∘ Φ turns z ~ N(0, 1) into X
(:func:`vae_core.maps.quantile`); here it becomes the decoder of a model. With the
model P(X|z) = N(f(z), sigma²) and Q(z|X) = N(g(X), (sigma g'(X))²), g = f⁻¹, the divergence
D[Q(z|X) || P(z|X)] goes to zero with sigma (Doersch 2016, appendix A). Here it is integrated.
Everything is float64 and in nats; js/posterior_explorer.js does the same sums on the same points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor
from vae_core.evaluation._one_latent import GaussianQ
from vae_core.maps import Mixture, quantile

LOG_2PI = math.log(2 * math.pi)
# The map is tabulated at these z and interpolated (quintic, with both derivatives); beyond them,
# where N(0, 1) has 1e-32 of its mass, it goes on as a straight line.
REACH, COUNT = 12.0, 4001
# Trapezoidal rules: means under a Gaussian, by its standardised variable; means over the data, by
# z = g(X). For integrands smooth on the scale of a step the rule is exact to rounding.
SPREAD, POINTS = 9.0, 385
DATA_REACH, DATA_POINTS = 8.0, 513

Curve = Callable[[np.ndarray], np.ndarray]


class Density(NamedTuple):
    """A density on the line, with what the quantile map needs of it.

    - ``title``: in words; ``pdf``: p(x); ``score``: d log p / dx;
    - ``log_tails``: x -> (log F(x), log(1 - F(x))), both exact where they are far below zero.
    """

    title: str
    pdf: Curve
    score: Curve
    log_tails: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


TWO_GAUSSIANS = Mixture(weights=(0.4, 0.6), means=(-1.2, 1.2), sigmas=(0.6, 0.7))


def _arrays(pair: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return pair[0].numpy(), pair[1].numpy()


def _tensors(pair: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(pair[0]), torch.from_numpy(pair[1])


def _of_tensors(function: Callable[[Tensor], Tensor]) -> Curve:
    """A function of tensors as one of arrays."""
    return lambda x: function(torch.as_tensor(x, dtype=torch.float64, device="cpu")).numpy()


def _gumbel_tails(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore", divide="ignore"):
        rate = np.exp(-x)
        return -rate, np.log(-np.expm1(-rate))


def _gumbel_pdf(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(-x - np.exp(np.minimum(-x, 700)))


def _uniform_tails(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        inside = np.clip(x, 0, 1)
        return np.log(inside), np.log1p(-inside)


DENSITIES: dict[str, Density] = {
    "mixture": Density(
        "Two Gaussians",
        _of_tensors(lambda x: TWO_GAUSSIANS.log_prob(x).exp()),
        _of_tensors(TWO_GAUSSIANS.score),
        lambda x: _arrays(
            TWO_GAUSSIANS.log_tails(torch.as_tensor(x, dtype=torch.float64, device="cpu"))
        ),
    ),
    "gumbel": Density(
        "Gumbel", _gumbel_pdf, lambda x: np.expm1(np.minimum(-x, 700)), _gumbel_tails
    ),
    "logistic": Density(
        "Logistic",
        lambda x: special.expit(x) * special.expit(-x),
        lambda x: -np.tanh(x / 2),
        lambda x: (-np.logaddexp(0, -x), -np.logaddexp(0, x)),
    ),
    # Not what the appendix assumes: nothing outside [0, 1], a jump at both ends.
    "uniform": Density(
        "Uniform on [0, 1]",
        lambda x: ((x >= 0) & (x <= 1)).astype(np.float64),
        np.zeros_like,
        _uniform_tails,
    ),
}


def _trapezoid(reach: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in [-reach, reach], and the rule's weights times the density of N(0, 1)."""
    points = np.linspace(-reach, reach, count)
    weights = np.full(count, 2 * reach / (count - 1))
    weights[[0, -1]] /= 2
    return points, weights * np.exp(-0.5 * points**2 - LOG_2PI / 2)


class QuantileMap:
    """The model whose decoder is f = F⁻¹ ∘ Φ, for one of ``DENSITIES``.

    Raises ``ValueError`` for an unknown density, a sigma that is not positive and finite, or an X
    where there are no data.
    """

    def __init__(self, density: str) -> None:
        if not isinstance(density, str) or density not in DENSITIES:
            raise ValueError(
                f"density must be one of {list(DENSITIES)}, got {_check.shown(density)}"
            )
        self.name, self.density = density, DENSITIES[density]
        self._z = np.linspace(-REACH, REACH, COUNT)
        if density == "uniform":
            self._f = special.ndtr(self._z)
        else:
            z = torch.from_numpy(self._z)
            self._f = quantile(lambda x: _tensors(self.density.log_tails(x.numpy())), z).numpy()
        # f' = φ(z) / p(f), because f carries N(0, 1) to p; f'' by differentiating that once more.
        phi = np.exp(-0.5 * self._z**2 - LOG_2PI / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._slope = phi / self.density.pdf(self._f)
        self._bend = self._slope * (-self._z - self._slope * self.density.score(self._f))

    @property
    def table(self) -> np.ndarray:
        """z, f, f' and f'' at the table's points: [4, 4001]."""
        return np.stack([self._z, self._f, self._slope, self._bend])

    def f(self, z: np.ndarray | float) -> np.ndarray:
        """The decoder's output f(z), same shape as ``z``."""
        z = np.asarray(z, dtype=np.float64)
        step = 2 * REACH / (COUNT - 1)
        held = np.clip(z, -REACH, REACH)
        k = np.clip(np.floor((held + REACH) / step), 0, COUNT - 2).astype(np.int64)
        t = (held - self._z[k]) / step
        # Quintic Hermite: value, slope and bend at both ends of the step.
        a, b = self._f[k], self._f[k + 1] - self._f[k]
        c, d = step * self._slope[k], step * self._slope[k + 1]
        e, h = step**2 * self._bend[k] / 2, step**2 * self._bend[k + 1] / 2
        third = 10 * b - 6 * c - 4 * d - 3 * e + h
        fourth = -15 * b + 8 * c + 7 * d + 3 * e - 2 * h
        fifth = 6 * b - 3 * c - 3 * d - e + h
        inside = a + t * (c + t * (e + t * (third + t * (fourth + t * fifth))))
        return inside + (z - held) * np.where(z < 0, self._slope[0], self._slope[-1])

    def g(self, x: float) -> float:
        """The code g(X) = Φ⁻¹(F(X)), by bisection on f in [-8, 8]."""
        low, high = -DATA_REACH, DATA_REACH
        if not float(self.f(low)) <= _check.real(x) <= float(self.f(high)):
            raise ValueError(
                f"X must lie between f(-8) and f(8), {float(self.f(low)):g} and "
                f"{float(self.f(high)):g}; got {_check.shown(x)}"
            )
        for _ in range(60):
            middle = (low + high) / 2
            if float(self.f(middle)) < x:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def slope(self, z: float) -> float:
        """f'(z) = φ(z) / p(f(z))."""
        return float(np.exp(-0.5 * z**2 - LOG_2PI / 2) / self.density.pdf(self.f(z)))

    def given_q(self, x: float, sigma: float) -> GaussianQ:
        """The appendix's Q: mean g(X), standard deviation sigma g'(X)."""
        z = self.g(x)
        return GaussianQ(z, _positive(sigma) / self.slope(z))

    def log_marginal(self, x: float, sigma: float) -> float:
        """log P(X) of the model: the data's density blurred by N(0, sigma²)."""
        sigma = _positive(sigma)
        if self.name == "uniform":
            inside = special.ndtr(x / sigma) - special.ndtr((x - 1) / sigma)
            return float(np.log(inside))
        u, weights = _trapezoid(SPREAD, POINTS)
        return math.log(float(weights @ self.density.pdf(x + sigma * u)))

    def log_joint(self, z: np.ndarray, x: float, sigma: float) -> np.ndarray:
        """log P(X|z) + log P(z), same shape as ``z``."""
        error = (x - self.f(z)) / _positive(sigma)
        return -0.5 * (error**2 + np.square(z)) - math.log(sigma) - LOG_2PI

    def log_posterior(self, z: np.ndarray, x: float, sigma: float) -> np.ndarray:
        """log P(z|X), same shape as ``z``."""
        return self.log_joint(z, x, sigma) - self.log_marginal(x, sigma)

    def elbo(self, x: float, sigma: float, q: GaussianQ | None = None) -> float:
        """E_Q[log P(X|z)] - D[Q || P(z)] for ``q``, or the appendix's Q."""
        mean, width = self.given_q(x, sigma) if q is None else q
        t, weights = _trapezoid(SPREAD, POINTS)
        log_q = -0.5 * t**2 - LOG_2PI / 2 - math.log(width)
        return float(weights @ (self.log_joint(mean + width * t, x, sigma) - log_q))

    def gap(self, x: float, sigma: float, q: GaussianQ | None = None) -> float:
        """D[Q(z|X) || P(z|X)] for ``q``, or the appendix's Q."""
        return self.log_marginal(x, sigma) - self.elbo(x, sigma, q)

    def best_q(self, x: float, sigma: float) -> GaussianQ:
        """The Gaussian of the smallest gap that is reached from the appendix's Q downhill.

        Steps along the natural gradient, halved until the gap does not rise, until they move less
        than 1e-12 of Q's width.
        """
        t, weights = _trapezoid(SPREAD, POINTS)
        mean, width = self.given_q(x, sigma)

        def joint(mean: float, width: float) -> np.ndarray:
            return weights * self.log_joint(mean + width * t, x, sigma)

        values = joint(mean, width)
        height = float(values.sum()) + math.log(width)
        for _ in range(500):
            # Derivatives of the mean under a Gaussian, by moments of t alone.
            by_mean = width * float(values @ t)
            by_width = (float(values @ (t**2 - 1)) + 1) / 2
            step = 1.0
            while step > 1e-9:
                there = (mean + step * by_mean, width * math.exp(step * by_width))
                values_there = joint(*there)
                height_there = float(values_there.sum()) + math.log(there[1])
                if height_there >= height:
                    break
                step /= 2
            else:
                break
            moved = step * (abs(by_mean) / width + abs(by_width))
            (mean, width), values, height = there, values_there, height_there
            if moved < 1e-12:
                break
        return GaussianQ(mean, width)

    def mean_gap(self, sigma: float, reach: float = DATA_REACH) -> float:
        """E[D[Q(z|X) || P(z|X)]] over the data, with the appendix's Q; X in [f(-reach), f(reach)].

        ``reach`` up to 8; what lies beyond 8 has 1e-15 of the data.
        """
        if not 0 < _check.real(reach) <= DATA_REACH:
            raise ValueError(
                f"reach must be above 0 and at most {DATA_REACH:g}, got {_check.shown(reach)}"
            )
        y, shares = _trapezoid(reach, DATA_POINTS)
        x, sigma = self.f(y), _positive(sigma)
        slope = np.exp(-0.5 * y**2 - LOG_2PI / 2) / self.density.pdf(x)
        width = sigma / slope
        t, weights = _trapezoid(SPREAD, POINTS)
        z = y[:, None] + width[:, None] * t
        # log P(X, z) - log Q(z|X), with the two log sigma cancelled: the difference is log f'.
        error = (x[:, None] - self.f(z)) / sigma
        log_ratio = -0.5 * (error**2 + z**2 - t**2) - LOG_2PI / 2 - np.log(slope)[:, None]
        if self.name == "uniform":
            log_p = np.log(special.ndtr(x / sigma) - special.ndtr((x - 1) / sigma))
        else:
            log_p = np.log(self.density.pdf(x[:, None] + sigma * t) @ weights)
        return float(shares @ (log_p - log_ratio @ weights))

    def leading(self, x: float) -> float:
        """c(X), where D[Q(z|X) || P(z|X)] = c(X) sigma² + O(sigma⁴).

        c = (15 s² + 18 d s + 7 d²) / 8 with s = d log p / dX and d = g(X) g'(X).
        """
        z = self.g(x)
        s, d = float(self.density.score(np.asarray(x))), z / self.slope(z)
        return (15 * s**2 + 18 * d * s + 7 * d**2) / 8

    def mean_leading(self) -> float:
        """E[c(X)] over the data: the constant of the mean gap's decay."""
        y, shares = _trapezoid(DATA_REACH, DATA_POINTS)
        x = self.f(y)
        d = y * self.density.pdf(x) / np.exp(-0.5 * y**2 - LOG_2PI / 2)
        s = self.density.score(x)
        return float(shares @ (15 * s**2 + 18 * d * s + 7 * d**2) / 8)


def _positive(sigma: float) -> float:
    if not _check.real(sigma) > 0:
        raise ValueError(f"sigma must be positive and finite, got {_check.shown(sigma)}")
    return float(sigma)


class Decay(NamedTuple):
    """A power law value = constant * sigma^rate fitted on log axes; ``error``: the rate's own."""

    rate: float
    error: float
    constant: float


def fit_decay(sigmas: np.ndarray, values: np.ndarray) -> Decay:
    """Least squares of log value on log sigma, with the slope's standard error from the residuals.

    Both [n], positive, n at least 3; else ``ValueError``.
    """
    sigmas, values = (
        as_tensor(name, given).detach().cpu().double().numpy()
        for name, given in (("sigmas", sigmas), ("values", values))
    )
    if sigmas.shape != values.shape or sigmas.ndim != 1 or len(sigmas) < 3:
        raise ValueError(f"need two series of n >= 3, got shapes {sigmas.shape}, {values.shape}")
    if not all((part > 0).all() and np.isfinite(part).all() for part in (sigmas, values)):
        raise ValueError("sigmas and values must be positive and finite")
    x, y = np.log(sigmas), np.log(values)
    centred = x - x.mean()
    rate = float(centred @ y / (centred @ centred))
    left = y - y.mean() - rate * centred
    error = math.sqrt(float(left @ left) / (len(x) - 2) / float(centred @ centred))
    return Decay(rate, error, math.exp(float(y.mean() - rate * x.mean())))
