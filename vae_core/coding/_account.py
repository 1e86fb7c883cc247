"""Where the bits of a digit go: z, X given z, and the fine for a Q that is not the best."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core.distributions import DiagonalGaussian
from vae_core.models import VAE


class Account(NamedTuple):
    """Bits of images [batch]: total = z + x = -ELBO; ``dimensions`` [batch, latent] sum to z."""

    dimensions: Tensor
    z: Tensor
    x: Tensor
    total: Tensor


def spoil(posterior: DiagonalGaussian, shift: float = 0.0, scale: float = 1.0) -> DiagonalGaussian:
    """``posterior`` with its mean moved by ``shift`` of its sigmas, its sigma times ``scale``.

    Raises ``ValueError`` unless shift is finite and scale positive and finite.
    """
    if not math.isfinite(shift) or not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"shift must be finite and scale positive; got {shift!r}, {scale!r}")
    return DiagonalGaussian(
        posterior.mean + shift * posterior.sigma, posterior.log_sigma + math.log(scale)
    )


@torch.no_grad()
def account(
    model: VAE,
    x: Float[Tensor, " batch *shape"],
    posterior: DiagonalGaussian | None = None,
    *,
    noise: Float[Tensor, "*samples batch latent"],
) -> Account:
    """The two-part code of images ``x`` [batch, *shape], in bits, with Q = ``posterior``.

    ``posterior`` [batch, latent] is the encoder's unless given; ``noise`` [samples, batch, latent],
    draws of N(0, I), are those over which log P(X|z) is averaged. z costs D[Q || P(z)] (net, after
    the bits got back), X given z costs -E_Q[log P(X|z)]; their sum is -ELBO. For the same image,
    two posteriors' totals differ by the difference of their D[Q || P(z|X)]: the fine.

    Raises ``ValueError`` for wrong shapes, dtypes or ranges.
    """
    model.check_images(x)
    model.likelihood.check(x)
    chosen = model.encode(x) if posterior is None else posterior
    if chosen.mean.shape != (len(x), model.latent_dim):
        raise ValueError(
            f"posterior must be of [{len(x)}, {model.latent_dim}]; got {list(chosen.mean.shape)}"
        )
    if noise.ndim != 3 or not len(noise) or noise.shape[1:] != chosen.mean.shape:
        raise ValueError(
            f"noise must be [samples, {len(x)}, {model.latent_dim}]; got {list(noise.shape)}"
        )
    dimensions = chosen.kl_per_dimension() / math.log(2)
    z = dimensions.sum(1)
    log_p = model.log_likelihood(x, chosen.rsample(noise)).mean(0)
    pixels = -log_p / math.log(2)
    return Account(dimensions, z, pixels, z + pixels)
