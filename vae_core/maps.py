"""Maps that turn draws of N(0, I) into draws of another distribution, with the density they induce.

A latent variable model needs no complicated prior: where z ~ N(0, I) and x = g(z), a suitable g
gives x any (continuous) distribution. Where g can be inverted, the density of x follows from the
change of variables, P(x) = P(z) / |det dg/dz| at z = g⁻¹(x). Each :class:`GaussianMap` here has
its inverse and its determinant in closed form, so that the density can be checked and drawn.

Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core._tensors import as_tensor, wide

__all__ = ["MAPS", "TWO_PEAKS", "GaussianMap", "Mixture", "quantile"]

Function = Callable[[Tensor], Tensor]


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

    def __call__(self, z: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """g(z) for z [n, dim], in float64.

        Raises:
            ValueError: for any other shape, or values that are not finite.
        """
        return self.g(self._checked("z", z))

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """The induced log density at x [n, dim], [n] in nats; -inf where no z is mapped to x."""
        z = self.inverse(self._checked("x", x))
        reached = z.isfinite().all(1)
        z = torch.where(reached[:, None], z, torch.zeros_like(z))
        return torch.where(reached, log_normal(z) - self.log_stretch(z), -math.inf)

    def _checked(self, name: str, value: Tensor) -> Tensor:
        value = as_tensor(name, value)
        if value.ndim != 2 or value.shape[1] != self.dim:
            raise ValueError(f"{name} must be [n, {self.dim}], got {list(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite")
        return wide(value)


def log_normal(z: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
    """log N(z; 0, I) for z [n, dim], [n] in nats."""
    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def _on_line(title: str, g: Function, inverse: Function, log_density: Function) -> GaussianMap:
    """A quantile map P⁻¹(Φ(z)), from P's log density: g'(z) = N(z) / P(g(z))."""

    def log_stretch(z: Tensor) -> Tensor:
        return log_normal(z) - log_density(g(z))[:, 0]

    return GaussianMap(title, 1, g, inverse, log_stretch)


# ------------------------------------------------------------------------------ one dimension


def _inside(x: Tensor, low: float, high: float) -> Tensor:
    return torch.where((x > low) & (x < high), x, math.nan)


def _arcsine(z: Tensor) -> Tensor:
    return (0.5 * math.pi * torch.special.ndtr(z)).sin().square()


def _log_arcsine(x: Tensor) -> Tensor:
    return -math.log(math.pi) - 0.5 * (x.log() + torch.log1p(-x))


# --- quantile maps without a closed form -------------------------------------------------------


class Mixture(NamedTuple):
    """A mixture of Gaussians on the line, one number a part in each field; x of any shape, float64.

    Everything is worked out in logs: far out the density itself is too small for a number.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sigmas: tuple[float, ...]

    def log_prob(self, x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The log density at x, same shape, in nats."""
        return self._logs(x).logsumexp(0)

    def score(self, x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """d log p / dx, same shape as x."""
        shares = self._logs(x).softmax(0)
        pulls = [(m - x) / s**2 for m, s in zip(self.means, self.sigmas, strict=True)]
        return (shares * torch.stack(pulls)).sum(0)

    def log_tails(self, x: Float[Tensor, "*n"]) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
        """(log F(x), log(1 - F(x))), both exact where they are far below zero."""
        below, above = (
            torch.stack(
                [
                    math.log(w) + torch.special.log_ndtr(sign * (x - m) / s)
                    for w, m, s in self._parts()
                ]
            ).logsumexp(0)
            for sign in (1, -1)
        )
        return below, above

    def _parts(self) -> Iterator[tuple[float, float, float]]:
        return zip(self.weights, self.means, self.sigmas, strict=True)

    def _logs(self, x: Float[Tensor, "*n"]) -> Float[Tensor, " parts *n"]:
        """Each part's log weight plus log density: [parts, *x.shape]."""
        return torch.stack(
            [
                math.log(w / s) - 0.5 * ((x - m) / s) ** 2 - 0.5 * math.log(2 * math.pi)
                for w, m, s in self._parts()
            ]
        )


def quantile(
    log_tails: Callable[[Tensor], tuple[Tensor, Tensor]], z: Float[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """The quantile map: x with F(x) = Φ(z), same shape as z, for a law known by its tails.

    An interval is halved until float64 has no number left inside it, always by the smaller of the
    two tails: it is the one that keeps its digits. x is looked for in [-100, 100].
    """
    low, high = torch.full_like(z, -100.0), torch.full_like(z, 100.0)
    wanted = torch.special.log_ndtr(-z.abs())
    for _ in range(80):
        middle = (low + high) / 2
        below, above = log_tails(middle)
        too_high = torch.where(z < 0, below >= wanted, above <= wanted)
        low, high = torch.where(too_high, low, middle), torch.where(too_high, middle, high)
    return (low + high) / 2


#: The law of the map two-peaks.
TWO_PEAKS = Mixture(weights=(0.35, 0.65), means=(-2.0, 1.5), sigmas=(0.6, 1.0))


def _two_peaks(z: Tensor) -> Tensor:
    return quantile(TWO_PEAKS.log_tails, z)


def _two_peaks_inverse(x: Tensor) -> Tensor:
    below, above = (tail.exp() for tail in TWO_PEAKS.log_tails(x))
    return torch.where(below < 0.5, torch.special.ndtri(below), -torch.special.ndtri(above))


# ------------------------------------------------------------------------------ two dimensions


def _ring(z: Tensor) -> Tensor:
    """z/10 + z/‖z‖ (Doersch 2016, figure 2); the origin, which has no direction, goes to (1, 0)."""
    radius = z.norm(dim=1, keepdim=True)
    east = torch.tensor([1.0, 0.0], dtype=z.dtype, device=z.device)
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
    "bent": GaussianMap("Two couplings", 2, _bent, _bent_inverse, lambda z: 0.7 * z[:, 0].tanh()),
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
    "two-peaks": _on_line("Two peaks", _two_peaks, _two_peaks_inverse, TWO_PEAKS.log_prob),
}
