"""Kullback-Leibler divergences: between any two Gaussians in closed form, and in one dimension by
quadrature, where no closed form exists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Normal

from vae_core import _check
from vae_core._tensors import as_tensor

POINTS = 4001  # of the trapezoidal rule, over REACH standard deviations on each side
REACH = 12.0  # a normal density is below 1e-31 there

Density = Callable[[Tensor], Tensor]


def _factor(name: str, covariance: Tensor, k: int) -> Tensor:
    if not bool(torch.isfinite(covariance).all()):
        raise ValueError(f"{name} must be finite; got NaN or infinity")
    if covariance.shape[-2:] != (k, k):
        raise ValueError(f"{name} must be [..., {k}, {k}]; got {list(covariance.shape)}")
    if not torch.allclose(covariance, covariance.mT, rtol=1e-5, atol=1e-8):
        raise ValueError(f"{name} must be symmetric; its transpose differs")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed.any()):
        raise ValueError(f"{name} must be positive definite; it has no Cholesky factor")
    return factor


def gaussian_divergence(
    mean: Float[Tensor, "*batch k"],
    covariance: Float[Tensor, "*_ k k"],
    other_mean: Float[Tensor, "*_ k"] | None = None,
    other_covariance: Float[Tensor, "*_ k k"] | None = None,
) -> Float[Tensor, "*batch"]:
    """D[N(mean, covariance) || N(other_mean, other_covariance)] in nats: [...].

    Means are [..., k], covariances [..., k, k], full. The second Gaussian is N(0, I) where nothing
    is said. With S, T the covariances and d the difference of the means:
    (tr(T^-1 S) + d' T^-1 d - k + log det T - log det S) / 2.

    Raises:
        ValueError: for shapes that don't fit, or a covariance that isn't symmetric and positive.
    """
    mean, covariance = as_tensor("mean", mean), as_tensor("covariance", covariance)
    if mean.ndim < 1 or not mean.is_floating_point():
        raise ValueError(f"mean must be floating [..., k]; got {mean.dtype} {list(mean.shape)}")
    k = mean.shape[-1]
    factor = _factor("covariance", covariance, k)
    if other_covariance is None:
        other_covariance = torch.eye(k, dtype=mean.dtype, device=mean.device)
    other = _factor("other_covariance", as_tensor("other_covariance", other_covariance), k)
    difference = mean if other_mean is None else mean - as_tensor("other_mean", other_mean)
    # With T = U U', tr(T^-1 S) is the squared size of U^-1 L for S = L L'.
    ratio = torch.linalg.solve_triangular(other, factor, upper=False)
    shift = torch.linalg.solve_triangular(other, difference[..., None], upper=False)[..., 0]

    def half_log_det(triangle: Tensor) -> Tensor:
        return triangle.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    quadratic = ratio.square().sum((-2, -1)) + shift.square().sum(-1)
    return 0.5 * (quadratic - k) + half_log_det(other) - half_log_det(factor)


def divergence_on_line(q: Density, p: Density, low: float, high: float) -> Float[Tensor, ""]:
    """D[Q || P] in nats for two densities of one variable, by the trapezoidal rule: a scalar.

    ``q`` and ``p`` give the *log* density at points [n], float64. ``low`` and ``high`` must enclose
    all of Q; for smooth densities that vanish there the rule is exact almost to rounding.
    """
    if not _check.real(low) < _check.real(high):
        raise ValueError(
            f"low must be below high; got {_check.shown(low)} and {_check.shown(high)}"
        )
    z = torch.linspace(low, high, POINTS, dtype=torch.float64, device="cpu")
    log_q = q(z)
    density = log_q.exp()
    # Where Q vanishes the integrand does, whatever the log of the ratio would be.
    ratio = torch.where(density > 0, log_q - p(z), torch.zeros_like(z))
    return torch.trapezoid(density * ratio, z)


class FittedGaussian(NamedTuple):
    """A Gaussian of one variable and its divergence from, or to, the target it was fitted to."""

    mean: float
    sigma: float
    divergence: float  # in nats


def _scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def forward_fit(target: Distribution) -> FittedGaussian:
    """The Gaussian Q that minimises D[target || Q]: it has the target's mean and variance."""
    mean, sigma = float(target.mean), float(target.variance.sqrt())
    reach = REACH * sigma
    value = divergence_on_line(
        target.log_prob,
        Normal(_scalar(mean), _scalar(sigma)).log_prob,
        mean - reach,
        mean + reach,
    )
    return FittedGaussian(mean, sigma, float(value))


def reverse_divergence(target: Distribution, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """D[N(mean, sigma^2) || target] in nats, by quadrature over (z - mean) / sigma: a scalar.

    ``mean`` and ``log_sigma`` are scalars, float64; gradients reach both.
    """
    u = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, device="cpu")
    log_normal = -0.5 * (u.square() + math.log(2 * math.pi))
    log_q = log_normal - log_sigma
    log_p = target.log_prob(mean + log_sigma.exp() * u)
    return torch.trapezoid(log_normal.exp() * (log_q - log_p), u)


@torch.inference_mode(False)  # it needs gradients, whatever the caller's mode is
def reverse_fit(target: Distribution, mean: float, sigma: float = 1.0) -> FittedGaussian:
    """The local minimum of D[Q || target] over Gaussians Q that is reached from a given one."""
    start = [_check.number("mean", mean), math.log(_check.positive("sigma", sigma))]
    place = torch.tensor(start, dtype=torch.float64, device="cpu", requires_grad=True)
    search = torch.optim.LBFGS(
        [place],
        max_iter=200,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = reverse_divergence(target, place[0], place[1])
        value.backward()
        return value

    search.step(closure)
    with torch.no_grad():
        value = reverse_divergence(target, place[0], place[1])
    mean, log_sigma = place.tolist()
    return FittedGaussian(mean, math.exp(log_sigma), float(value))
