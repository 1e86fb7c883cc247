"""The diagonal Gaussian: posterior Q(z|X), and prior P(z)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


class DiagonalGaussian(NamedTuple):
    """N(mean, diag(sigma^2)) over the last dimension; ``mean`` and ``log_sigma``: [..., latent].

    ``log_sigma`` is the logarithm of the standard deviation, never of the variance.
    """

    mean: Float[Tensor, "*batch latent"]
    log_sigma: Float[Tensor, "*batch latent"]

    @classmethod
    def standard(cls, like: Float[Tensor, "*batch latent"]) -> DiagonalGaussian:
        """The prior N(0, I), of the shape, dtype and device of ``like`` [..., latent]."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    @property
    def sigma(self) -> Float[Tensor, "*batch latent"]:
        """Standard deviation, [..., latent]."""
        return self.log_sigma.exp()

    def rsample(
        self,
        noise: Float[Tensor, "*draws latent"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*draws latent"]:
        """z = mean + sigma * noise, [..., latent]: gradients flow to mean and log sigma.

        ``noise`` is drawn from N(0, I) unless given; given, its shape must broadcast against the
        mean's and end in it (extra leading dimensions are extra samples). Kingma & Welling 2013,
        section 2.4.
        """
        if noise is None:
            size, kind, place = self.mean.shape, self.mean.dtype, self.mean.device
            noise = torch.randn(size, generator=generator, dtype=kind, device=place)
        elif noise.shape[noise.ndim - self.mean.ndim :] != self.mean.shape:
            raise ValueError(
                f"noise must end in the mean's shape {tuple(self.mean.shape)}; "
                f"got {tuple(noise.shape)}"
            )
        return self.mean + self.sigma * noise

    def sample(self, *, generator: torch.Generator | None = None) -> Float[Tensor, "*batch latent"]:
        """A draw of z, [..., latent], through which no gradient flows."""
        with torch.no_grad():
            return self.rsample(generator=generator)

    def log_prob(self, z: Float[Tensor, "... latent"]) -> Float[Tensor, "..."]:
        """log density at ``z`` [..., latent], in nats, summed over latents: [...]."""
        standard = (z - self.mean) * torch.exp(-self.log_sigma)
        return (-0.5 * standard**2 - self.log_sigma - 0.5 * LOG_2PI).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Differential entropy, in nats: [...]."""
        return (self.log_sigma + 0.5 * (1 + LOG_2PI)).sum(-1)

    def kl_per_dimension(
        self, other: DiagonalGaussian | None = None
    ) -> Float[Tensor, "*batch latent"]:
        """D[self || other] of each latent dimension, in nats: [..., latent].

        ``other`` is N(0, I) unless given. For N(0, I) this is (sigma^2 + mean^2 - 1)/2 - log sigma
        (Kingma & Welling 2013, appendix B).
        """
        if other is None:
            # expm1: near the prior, sigma^2 - 1 keeps the digits that exp(...) - 1 would lose.
            return 0.5 * (torch.expm1(2 * self.log_sigma) + self.mean**2) - self.log_sigma
        ratio = self.log_sigma - other.log_sigma
        shift = (self.mean - other.mean) * torch.exp(-other.log_sigma)
        return 0.5 * (torch.expm1(2 * ratio) + shift**2) - ratio

    def kl(self, other: DiagonalGaussian | None = None) -> Float[Tensor, "*batch"]:
        """D[self || other], in nats, summed over latents: [...]. Without ``other``: N(0, I)."""
        return self.kl_per_dimension(other).sum(-1)
