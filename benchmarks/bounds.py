"""What the quality tables report, in nats per example, in the few lines it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_core.data import ImageData, binarize
from vae_core.evaluation import Estimate, mean_estimate
from vae_core.models import VAE
from vae_core.objectives import (
    Objective,
    elbo,
    elbo_objective,
    importance_weighted_bound,
    importance_weighted_objective,
)


def objective(samples: int) -> Objective:
    """What ``fit`` minimises: the VAE's -ELBO for one sample, else minus the bound of ``samples``.

    One sample of the bound is an ELBO too; the VAE's has its KL term in closed form (the estimator
    of Kingma & Welling 2013, equation 10), as Burda et al.'s VAE k = 1 does.
    """

    return elbo_objective() if samples == 1 else importance_weighted_objective(samples)


@torch.no_grad()
def _over(images: Tensor, batch: int, value: Callable[[Tensor], Tensor]) -> Estimate:
    return mean_estimate(torch.cat([value(x) for x in images.split(batch)]))


def black_and_white(data: ImageData, device: Any, seed: int = 0) -> Tensor:
    """The images drawn once, as float32 in {0, 1}: the same for every model."""
    return binarize(data.images, "fixed", seed=seed).to(device)


def negative_elbo(model: VAE, images: Tensor, seed: int = 0) -> Estimate:
    """-ELBO with one draw of z an image."""
    noise = torch.Generator(images.device).manual_seed(seed)
    return _over(images, 1000, lambda x: -elbo(model, x, generator=noise).total)


def negative_log_likelihood(model: VAE, images: Tensor, samples: int, seed: int = 0) -> Estimate:
    """-log P(X) estimated from ``samples`` draws of Q an image; on average not below the truth."""
    noise = torch.Generator(images.device).manual_seed(seed)
    # About 10,000 decoded images at a time: 32 MB a layer of pixels.
    batch = max(1, 10_000 // samples)
    return _over(
        images, batch, lambda x: -importance_weighted_bound(model, x, samples, generator=noise)
    )


def centre_output(model: VAE, data: ImageData) -> None:
    """Start the decoder's last bias at the logit of each pixel's mean (Burda et al. 2015's code).

    The first thing a decoder learns is how often each pixel is black; this gives it that.
    """
    mean = (data.images.double().mean(0).flatten() / 255).clamp(1e-3, 1 - 1e-3)
    last = model.decoder.layers[-1]
    with torch.no_grad():
        last.bias.copy_(torch.logit(mean))
