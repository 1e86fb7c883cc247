"""Where a VAE with Gaussian pixels stands between rate and squared error, and what its sigma is."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core.distributions import LOG_2PI, DiagonalGaussian, GaussianLikelihood
from vae_core.evaluation._estimate import Estimate, mean_estimate
from vae_core.evaluation._images import as_images, image_chunks, wide
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE

_CHUNK = 1000  # images decoded at a time


class TradeOff(NamedTuple):
    """A Gaussian VAE on a set of images; means over images, with standard errors.

    - ``sigma``: of a pixel, in pixel units;
    - ``rate``: D[Q(z|X) || P(z)], in nats;
    - ``squared_error``: E_Q ||X - mean(z)||^2 summed over pixels, in squared pixel units;
    - ``negative_elbo``: rate + squared_error / (2 sigma^2) + (D/2) log(2 pi sigma^2), in nats;
    - ``kl_per_dimension`` [latent]: the rate's parts, in nats;
    - ``pixels``: D, how many the images have.
    """

    sigma: float
    rate: Estimate
    squared_error: Estimate
    negative_elbo: Estimate
    kl_per_dimension: Tensor
    pixels: int

    @property
    def mean_squared_error(self) -> float:
        """Squared error of one pixel: for these networks the best sigma^2."""
        return self.squared_error.value / self.pixels

    @property
    def active(self) -> int:
        """How many latents carry more than 0.01 nats."""
        return int((self.kl_per_dimension > 0.01).sum())

    def at_sigma(self, sigma: float) -> float:
        """Mean of -ELBO in nats for the same two networks and another ``sigma``."""
        sigma = _check.positive("sigma", sigma)
        constant = self.pixels * (math.log(sigma) + 0.5 * LOG_2PI)
        return self.rate.value + self.squared_error.value / (2 * sigma**2) + constant


@torch.no_grad()
def trade_off(
    model: VAE, images: Shaped[Tensor, " n *shape"], samples: int = 1, *, seed: int = 0
) -> TradeOff:
    """Rate and squared error of ``images`` [n, *shape], uint8 or float; see :class:`TradeOff`.

    The squared error averages ``samples`` draws of z from Q(z|X) for each image. Against
    :func:`rate_distortion`, distortion = squared_error / (2 sigma^2) + (D/2) log(2 pi sigma^2).

    Raises ``ValueError`` for a model without a posterior or without one Gaussian sigma for all
    pixels, wrong images, fewer than two of them, or ``samples`` < 1.
    """
    samples = _check.whole("samples", samples)
    model = ready("trade_off", model, "encode", "mean")
    images = as_images(images)
    likelihood = getattr(model, "likelihood", None)
    if not isinstance(likelihood, GaussianLikelihood) or likelihood.kind == "per-pixel":
        raise ValueError(
            f"model must have a Gaussian likelihood with one sigma; got {type(model).__name__} "
            f"with {getattr(likelihood, 'kind', type(likelihood).__name__)}"
        )
    if len(images) < 2:
        raise ValueError(f"images must be at least two; got {len(images)}")
    generator = torch.Generator(next(model.parameters()).device)
    generator.manual_seed(_check.seed(seed))
    rates, errors = [], []
    for x in image_chunks(model, images, _CHUNK):
        q = model.encode(x)
        if not isinstance(q, DiagonalGaussian):
            raise ValueError(f"model must have a posterior, as a VAE; got {type(model).__name__}")
        rates.append(q.kl_per_dimension().cpu().double())
        total = wide(x.new_zeros(len(x)))
        for _ in range(samples):
            difference = x - model.mean(q.rsample(generator=generator))
            total += wide(difference.square().flatten(1).sum(1))
        errors.append((total / samples).cpu())
    rate, error = torch.cat(rates), torch.cat(errors)
    check_results("the rate or the squared error", rate.sum(1) + error)
    fixed, pixels = likelihood.log_sigma, math.prod(images.shape[1:])
    sigma = math.exp(fixed) if isinstance(fixed, float) else likelihood.sigma.item()
    constant = pixels * (math.log(sigma) + 0.5 * LOG_2PI)
    return TradeOff(
        sigma,
        mean_estimate(rate.sum(1)),
        mean_estimate(error),
        mean_estimate(rate.sum(1) + error / (2 * sigma**2) + constant),
        rate.mean(0),
        pixels,
    )


@torch.no_grad()
def residual_variances(
    model: VAE, images: Shaped[Tensor, " n *shape"], count: int = 2, *, samples: int = 8
) -> Float[Tensor, " count"]:
    """The ``count`` largest eigenvalues of the covariance of what a VAE leaves of ``images``.

    The residual of an image is X - E_Q[mean(z)], the expectation averaged over ``samples`` draws;
    ``images``: uint8 or float [n, *shape]. In squared pixel units, in falling order: float64
    [count]. A further latent that adds w z to the picture, w and z small, raises the ELBO if and
    only if the largest exceeds sigma^2: as the data's largest eigenvalue does for the first latent.

    Raises ``ValueError`` for fewer than two images, or ``count`` or ``samples`` < 1.
    """
    count, samples = _check.whole("count", count), _check.whole("samples", samples)
    model = ready("residual_variances", model, "encode", "mean")
    images = as_images(images)
    if len(images) < 2:
        raise ValueError(f"images must be at least two; got {len(images)}")
    generator = torch.Generator(next(model.parameters()).device).manual_seed(0)
    total = product = torch.zeros((), dtype=torch.float64, device="cpu")
    for x in image_chunks(model, images, _CHUNK):
        q = model.encode(x)
        if not isinstance(q, DiagonalGaussian):
            raise ValueError(f"model must have a posterior, as a VAE; got {type(model).__name__}")
        picture = torch.zeros_like(x)
        for _ in range(samples):
            picture += model.mean(q.rsample(generator=generator)) / samples
        rest = (x - picture).flatten(1).cpu().double()
        total = total + rest.sum(0)
        product = product + rest.T @ rest
    check_results("the residual", product)
    centre = total / len(images)
    covariance = product / len(images) - centre[:, None] * centre
    return torch.linalg.eigvalsh(covariance).flip(0)[:count]
