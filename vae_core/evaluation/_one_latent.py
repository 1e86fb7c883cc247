"""Models with one latent number, small enough that every term of the bound can be integrated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vae_core import _check

__all__ = ["GaussianQ", "OneLatent", "Terms"]

LOG_2PI = math.log(2 * math.pi)
# The grids of the trapezoidal rule; js/elbo_explorer.js has the same. For integrands that are
# smooth on the scale of a step and vanish at both ends the rule is exact to rounding.
REACH, COUNT = 10.0, 4001  # of z, for P(X) and the posterior
SPREAD, POINTS = 12.0, 385  # of (z - mean) / sigma, for means under Q
MEANS, SIGMAS = (-4.0, 4.0), (0.05, 2.0)  # where a best Q is looked for

Curve = Callable[[np.ndarray], np.ndarray]
# Each decoder with its derivative.
DECODERS: dict[str, tuple[Curve, Curve]] = {
    "line": (lambda z: z, np.ones_like),
    "exponential": (np.exp, np.exp),
    "square": (np.square, lambda z: 2 * z),
}


class GaussianQ(NamedTuple):
    """Q(z|X) = N(mean, sigma²)."""

    mean: float
    sigma: float


class Terms(NamedTuple):
    """All terms of log P(X) = ELBO + gap and ELBO = reconstruction - kl, in nats.

    - ``evidence``: log P(X); ``reconstruction``: E_Q[log P(X|z)]; ``kl``: D[Q || P(z)];
    - ``elbo``: reconstruction - kl; ``gap``: D[Q || P(z|X)], integrated on its own.
    """

    evidence: float
    elbo: float
    gap: float
    reconstruction: float
    kl: float


def _trapezoid(half: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.linspace(-half, half, count)
    weights = np.full(count, 2 * half / (count - 1))
    weights[[0, -1]] /= 2
    return points, weights


@dataclass(frozen=True)
class OneLatent:
    """P(z) = N(0, 1) and P(X|z) = N(X; weight f(z), sigma²), for one observed number X.

    decoder: f, one of ``"line"`` (z), ``"exponential"`` (e^z), ``"square"`` (z²). With a line the
    posterior is Gaussian; with an exponential it is skewed; with a square it has two modes where X
    is large enough.

    Raises:
        ValueError: for an unknown decoder, or numbers that are not finite; ``sigma`` must be at
            least 0.1 (a narrower likelihood needs a finer grid than the fixed one).
    """

    decoder: str
    x: float
    sigma: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.decoder, str) or self.decoder not in DECODERS:
            raise ValueError(
                f"decoder must be one of {list(DECODERS)}, got {_check.shown(self.decoder)}"
            )
        if math.isnan(_check.real(self.x) + _check.real(self.weight)):
            given = f"{_check.shown(self.x)} and {_check.shown(self.weight)}"
            raise ValueError(f"x and weight must be finite, got {given}")
        if not _check.real(self.sigma) >= 0.1:
            raise ValueError(f"sigma must be at least 0.1, got {_check.shown(self.sigma)}")

    def mean(self, z: np.ndarray) -> np.ndarray:
        """The decoder's output weight f(z)."""
        return self.weight * DECODERS[self.decoder][0](np.asarray(z, dtype=np.float64))

    def log_likelihood(self, z: np.ndarray) -> np.ndarray:
        """log P(X|z)."""
        error = (self.x - self.mean(z)) / self.sigma
        return -0.5 * error**2 - math.log(self.sigma) - LOG_2PI / 2

    def log_joint(self, z: np.ndarray) -> np.ndarray:
        """log P(X, z) = log P(X|z) + log P(z)."""
        return self.log_likelihood(z) - 0.5 * np.square(z) - LOG_2PI / 2

    @property
    def evidence(self) -> float:
        """log P(X), by the trapezoidal rule on 4,001 points of [-10, 10]."""
        z, weights = _trapezoid(REACH, COUNT)
        log = self.log_joint(z)
        top = float(log.max())
        return top + math.log(float(weights @ np.exp(log - top)))

    def log_posterior(self, z: np.ndarray) -> np.ndarray:
        """log P(z|X) = log P(X, z) - log P(X)."""
        return self.log_joint(z) - self.evidence

    def terms(self, q: GaussianQ | tuple[float, float]) -> Terms:
        """Every term for Q, by the trapezoidal rule over 385 points of (z - mean) / sigma.

        ``kl`` has its closed form; ``gap`` is an integral of its own, not a difference.
        """
        mean, sigma = self._checked(q)
        t, weights = _trapezoid(SPREAD, POINTS)
        log_q = -0.5 * t**2 - LOG_2PI / 2
        weights = weights * np.exp(log_q)
        z = mean + sigma * t
        evidence = self.evidence
        reconstruction = float(weights @ self.log_likelihood(z))
        kl = (sigma**2 + mean**2 - 1) / 2 - math.log(sigma)
        log_ratio = log_q - math.log(sigma) - (self.log_joint(z) - evidence)
        return Terms(evidence, reconstruction - kl, float(weights @ log_ratio), reconstruction, kl)

    def elbo(self, q: GaussianQ | tuple[float, float]) -> float:
        """The bound alone, in nats."""
        return self.terms(q).elbo

    def best_q(self, start: GaussianQ | tuple[float, float] = (0.0, 1.0)) -> GaussianQ:
        """The Gaussian with the highest bound among those reached by ascent from three starts.

        The starts are ``start``, (-1.5, 0.5) and (1.5, 0.5); of equals the first wins. Each step
        goes along the natural gradient (sigma² d/dmean, ½ d/dlog sigma) and is halved until the
        bound does not fall.
        """
        t, weights = _trapezoid(SPREAD, POINTS)
        weights = weights * np.exp(-0.5 * t**2 - LOG_2PI / 2)
        slope = DECODERS[self.decoder][1]

        def value(mean: float, log_sigma: float) -> float:
            return float(weights @ self.log_joint(mean + math.exp(log_sigma) * t)) + log_sigma

        def climb(q: tuple[float, float]) -> tuple[float, GaussianQ]:
            mean, log_sigma = q[0], math.log(q[1])
            height = value(mean, log_sigma)
            for _ in range(400):
                sigma = math.exp(log_sigma)
                z = mean + sigma * t
                g = (self.x - self.mean(z)) / self.sigma**2 * self.weight * slope(z) - z
                up = (sigma**2 * float(weights @ g), (sigma * float(weights @ (g * t)) + 1) / 2)
                step = 1.0
                while step > 1e-12:
                    there = (
                        min(MEANS[1], max(MEANS[0], mean + step * up[0])),
                        min(
                            math.log(SIGMAS[1]), max(math.log(SIGMAS[0]), log_sigma + step * up[1])
                        ),
                    )
                    if value(*there) >= height:
                        break
                    step /= 2
                else:
                    break
                moved = abs(there[0] - mean) + abs(there[1] - log_sigma)
                (mean, log_sigma), height = there, value(*there)
                if moved < 1e-12:
                    break
            return height, GaussianQ(mean, math.exp(log_sigma))

        best, found = climb(self._checked(start))
        for other in ((-1.5, 0.5), (1.5, 0.5)):
            height, q = climb(other)
            if height > best + 1e-9:
                best, found = height, q
        return found

    def _checked(self, q: GaussianQ | tuple[float, float]) -> GaussianQ:
        try:
            mean, sigma = (_check.real(value) for value in q)
        except (TypeError, ValueError):
            raise ValueError(f"Q needs a mean and a sigma, got {_check.shown(q)}") from None
        if not (MEANS[0] <= mean <= MEANS[1] and SIGMAS[0] <= sigma <= SIGMAS[1]):
            raise ValueError(
                f"Q needs a mean in {list(MEANS)} and a sigma in {list(SIGMAS)}, "
                f"got {mean} and {sigma}"
            )
        return GaussianQ(mean, sigma)
