"""The aggregated posterior, Q(z) = average of Q(z|X) over the data, against the prior N(0, I)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._estimate import Estimate, blocks_of, mean_estimate
from vae_core.evaluation._images import image_chunks
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE, Autoencoder
from vae_core.models._latent import cpu_noise


def latent_samples(
    model: Autoencoder | VAE, images: Shaped[Tensor, " n *shape"], *, seed: int = 0
) -> Float[Tensor, "n latent"]:
    """One z for each image, [n, latent]: a draw from Q(z|X) for a VAE, the code for an autoencoder.

    ``images``: uint8 or float [n, *shape], all of them encoded in chunks.
    """
    model = ready("latent_samples", model, "encode")
    generator = torch.Generator("cpu").manual_seed(_check.seed(seed))
    parts = []
    with torch.no_grad():
        for x in image_chunks(model, images, 2000):
            code = model.encode(x)
            if isinstance(code, DiagonalGaussian):
                code = code.rsample(cpu_noise(code.mean.shape, generator).to(code.mean))
            if not isinstance(code, Tensor):
                raise ValueError(f"the model must encode to codes; got {_check.kind(code)}")
            parts.append(code)
    codes = torch.cat(parts)
    check_results("the code", codes)
    return codes


class Moments(NamedTuple):
    """Mean [latent] and covariance [latent, latent] of a set of codes."""

    mean: Tensor
    covariance: Tensor


def _check_codes(codes: Tensor) -> Tensor:
    """``codes`` [n, latent] in float64. Raises ``ValueError`` for any other shape or dtype."""
    codes = as_tensor("codes", codes)
    if codes.ndim != 2 or not codes.is_floating_point() or len(codes) < 2:
        raise ValueError(
            f"codes must be floating [n, latent], n >= 2; got {codes.dtype} {list(codes.shape)}"
        )
    if not bool(torch.isfinite(codes).all()):
        raise ValueError("codes must be finite; got NaN or infinity")
    return wide(codes)


def moments(codes: Float[Tensor, "n latent"]) -> Moments:
    """Mean and covariance of ``codes`` [n, latent], in float64."""
    codes = _check_codes(codes)
    # torch.cov of a single latent dimension is a scalar: the reshape gives it back its matrix form.
    latent = codes.shape[1]
    return Moments(codes.mean(0), torch.cov(codes.T).reshape(latent, latent))


def moment_divergence(codes: Float[Tensor, "n latent"]) -> float:
    """D[N(m, C) || N(0, I)] in nats, m and C the moments of ``codes`` [n, latent].

    The closed form (tr C + m'm - k - log det C) / 2: how far the codes' first two moments are from
    the prior's. Zero says nothing of the shape beyond them.
    """
    mean, covariance = moments(codes)
    k = len(mean)
    return 0.5 * (covariance.trace() + mean @ mean - k - covariance.logdet()).item()


def _mmd_squared(codes: Tensor, scale: float) -> Tensor:
    """Unbiased MMD^2 between codes [n, latent] and N(0, I), the prior's side in closed form."""
    n, k = codes.shape
    distances = torch.cdist(codes, codes).square_()
    within = ((-distances / (2 * scale**2)).exp().sum() - n) / (n * (n - 1))
    across = (scale**2 / (scale**2 + 1)) ** (k / 2) * torch.exp(
        -codes.square().sum(1) / (2 * (scale**2 + 1))
    ).mean()
    prior = (scale**2 / (scale**2 + 2)) ** (k / 2)
    return within - 2 * across + prior


def maximum_mean_discrepancy(
    codes: Float[Tensor, "n latent"], *, scale: float = 1.0, blocks: int = 10
) -> Estimate:
    """MMD^2 between ``codes`` [n, latent] and N(0, I) under a Gaussian kernel of width ``scale``.

    Gretton et al. 2012, lemma 6 (unbiased; may be slightly negative), with the expectations over
    N(0, I) in closed form. The mean over ``blocks`` disjoint parts of the codes, with its standard
    error. Zero for codes that follow N(0, I); at most 2.
    """
    codes, scale = _check_codes(codes), _check.positive("scale", scale)
    parts = blocks_of(codes, blocks)
    return mean_estimate(torch.stack([_mmd_squared(part, scale) for part in parts]))


def sliced_wasserstein(
    codes: Float[Tensor, "n latent"], *, projections: int = 200, blocks: int = 10, seed: int = 0
) -> Estimate:
    """Sliced 2-Wasserstein distance between ``codes`` [n, latent] and N(0, I), in latent units.

    The root mean square, over random directions, of the 1-D distance between projected codes and
    N(0, 1), taken at the normal quantiles (Bonneel et al. 2015). The mean over ``blocks`` disjoint
    parts of the codes, with its standard error. A finite set drawn from N(0, I) itself is a little
    above zero.
    """
    codes, projections = _check_codes(codes), _check.whole("projections", projections)
    generator = torch.Generator("cpu").manual_seed(_check.seed(seed))
    directions = torch.randn(
        projections, codes.shape[1], generator=generator, dtype=torch.float64, device="cpu"
    ).to(codes.device)
    directions = directions / directions.norm(dim=1, keepdim=True)
    distances = []
    for part in blocks_of(codes, blocks):
        n = len(part)
        level = (torch.arange(n, dtype=torch.float64, device=part.device) + 0.5) / n
        quantiles = math.sqrt(2) * torch.erfinv(2 * level - 1)
        projected = (part @ directions.T).sort(0).values  # [n, projections]
        distances.append((projected - quantiles[:, None]).square().mean().sqrt())
    return mean_estimate(torch.stack(distances))
