"""Maps that turn draws of N(0, I) into draws of another distribution, with the density they induce.

A latent variable model needs no complicated prior: where z ~ N(0, I) and x = g(z), a suitable g
gives x any (continuous) distribution. Where g can be inverted, the density of x follows from the
change of variables, P(x) = P(z) / |det dg/dz| at z = g⁻¹(x). Each :class:`GaussianMap` here has
its inverse and its determinant in closed form, so that the density can be checked and drawn.

Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MAPS", "GaussianMap"]

Function = Callable[[Tensor], Tensor]
# Two peaks: the weights, means and standard deviations of a mixture of two Gaussians.
WEIGHTS, MEANS, SIGMAS = (0.35, 0.65), (-2.0, 1.5), (0.6, 1.0)


class GaussianMap(NamedTuple):
    """x = g(z) for z ~ N(0, I) in ``dim`` dimensions; functions take and give [n, dim] or [n].

    title: its name for a reader. dim: 1 or 2. g: the map, [n, dim] -> [n, dim]. inverse: z for x,
    [n, dim] -> [n, dim]; NaN where no z is mapped to x. log_stretch: ``log |det dg/dz|`` at z,
    [n, dim] -> [n]: by how much g stretches lengths (one dimension) or areas (two) near z.
    """

    title: str
    dim: int
    g: Function
    inverse: Function
    log_stretch: Function

    def __call__(self, z: Tensor) -> Tensor:
        """g(z) for z [n, dim], in float64.

        Raises:
            ValueError: for any other shape, or values that are not finite.
        """
        return self.g(self._checked("z", z))

    def log_prob(self, x: Tensor) -> Tensor:
        """The induced log density at x [n, dim], [n] in nats; -inf where no z is mapped to x."""
        z = self.inverse(self._checked("x", x))
        reached = z.isfinite().all(1)
        z = torch.where(reached[:, None], z, torch.zeros_like(z))
        return torch.where(reached, log_normal(z) - self.log_stretch(z), -math.inf)

    def _checked(self, name: str, value: Tensor) -> Tensor:
        if value.ndim != 2 or value.shape[1] != self.dim:
            raise ValueError(f"{name} must be [n, {self.dim}], got {list(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite")
        return value.to(torch.float64)


def log_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) for z [n, dim], [n] in nats."""
    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def _on_line(title: str, g: Function, inverse: Function, log_density: Function) -> GaussianMap:
    """A quantile map P⁻¹(Φ(z)), from P's log density: g'(z) = N(z) / P(g(z))."""

    def log_stretch(z: Tensor) -> Tensor:
        return log_normal(z) - log_density(g(z))[:, 0]

    return GaussianMap(title, 1, g, inverse, log_stretch)


# ------------------------------------------------------------------------------ one dimension


def _upper(z: Tensor) -> Tensor:
    """1 - Φ(z), precise where Φ(z) is close to 1."""
    return torch.special.ndtr(-z)


def _inside(x: Tensor, low: float, high: float) -> Tensor:
    return torch.where((x > low) & (x < high), x, math.nan)


def _arcsine(z: Tensor) -> Tensor:
    return (0.5 * math.pi * torch.special.ndtr(z)).sin().square()


def _log_arcsine(x: Tensor) -> Tensor:
    return -math.log(math.pi) - 0.5 * (x.log() + torch.log1p(-x))


def _mixture(x: Tensor, part: Function) -> Tensor:
    """Weighted sum of ``part`` of the standardised x over the two peaks."""
    pieces = [w * part((x - m) / s) for w, m, s in zip(WEIGHTS, MEANS, SIGMAS, strict=True)]
    return pieces[0] + pieces[1]


def _two_peaks(z: Tensor) -> Tensor:
    """x with P(x) = Φ(z), halved down: the mixture's cumulative distribution has no inverse in
    closed form. The smaller tail is compared, since it is the one that keeps its digits."""
    low, high = torch.full_like(z, -30.0), torch.full_like(z, 30.0)
    right = z > 0
    wanted = torch.special.ndtr(-z.abs())
    for _ in range(70):
        middle = (low + high) / 2
        tail = torch.where(right, _mixture(middle, _upper), _mixture(middle, torch.special.ndtr))
        too_high = torch.where(right, tail < wanted, tail > wanted)
        low, high = torch.where(too_high, low, middle), torch.where(too_high, middle, high)
    return (low + high) / 2


def _two_peaks_inverse(x: Tensor) -> Tensor:
    below, above = _mixture(x, torch.special.ndtr), _mixture(x, _upper)
    return torch.where(below < 0.5, torch.special.ndtri(below), -torch.special.ndtri(above))


def _log_two_peaks(x: Tensor) -> Tensor:
    parts = [
        math.log(w / s) - 0.5 * ((x - m) / s) ** 2 - 0.5 * math.log(2 * math.pi)
        for w, m, s in zip(WEIGHTS, MEANS, SIGMAS, strict=True)
    ]
    return torch.logaddexp(*parts)


# ------------------------------------------------------------------------------ two dimensions


def _ring(z: Tensor) -> Tensor:
    """z/10 + z/‖z‖ (Doersch 2016, figure 2); the origin, which has no direction, goes to (1, 0)."""
    radius = z.norm(dim=1, keepdim=True)
    east = torch.tensor([1.0, 0.0], dtype=z.dtype)
    direction = torch.where(radius > 0, z / radius.clamp(min=1e-300), east)
    return z / 10 + direction


def _ring_inverse(x: Tensor) -> Tensor:
    radius = x.norm(dim=1, keepdim=True)
    return torch.where(radius > 1, 10 * (radius - 1) * x / radius, math.nan)


def _ring_stretch(z: Tensor) -> Tensor:
    """Along the radius 1/10, across it 1/10 + 1/‖z‖."""
    radius = z.norm(dim=1)
    return math.log(0.1) + (0.1 + 1 / radius).log()


# A network of two steps, each of which moves one coordinate by an amount that the other decides;
# so each can be undone, and the determinant is a product ("coupling layers").
def _bent(z: Tensor) -> Tensor:
    first, second = z.T
    up = second * (0.7 * first.tanh()).exp() + 1.2 * (1.5 * first).cos()
    return torch.stack([first + 0.9 * up.tanh(), up], 1)


def _bent_inverse(x: Tensor) -> Tensor:
    right, up = x.T
    first = right - 0.9 * up.tanh()
    second = (up - 1.2 * (1.5 * first).cos()) * (-0.7 * first.tanh()).exp()
    return torch.stack([first, second], 1)


#: The maps by name: identity, ring and bent in two dimensions; uniform, exponential, arcsine and
#: two-peaks are quantile maps P⁻¹(Φ(z)) in one.
MAPS: dict[str, GaussianMap] = {
    "identity": GaussianMap(
        "Identity", 2, torch.clone, torch.clone, lambda z: torch.zeros_like(z[:, 0])
    ),
    "ring": GaussianMap("Ring", 2, _ring, _ring_inverse, _ring_stretch),
    "bent": GaussianMap("Small network", 2, _bent, _bent_inverse, lambda z: 0.7 * z[:, 0].tanh()),
    "uniform": _on_line(
        "Uniform",
        torch.special.ndtr,
        lambda x: torch.special.ndtri(_inside(x, 0.0, 1.0)),
        torch.zeros_like,
    ),
    "exponential": _on_line(
        "Exponential",
        lambda z: -torch.special.log_ndtr(-z),
        lambda x: -torch.special.ndtri((-_inside(x, 0.0, math.inf)).exp()),
        torch.neg,
    ),
    "arcsine": _on_line(
        "Arcsine",
        _arcsine,
        lambda x: torch.special.ndtri(2 / math.pi * _inside(x, 0.0, 1.0).sqrt().asin()),
        _log_arcsine,
    ),
    "two-peaks": _on_line("Two peaks", _two_peaks, _two_peaks_inverse, _log_two_peaks),
}
