"""VAEs whose log P(X) and posterior are known in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_core.distributions import DiagonalGaussian, GaussianLikelihood
from vae_core.models import VAE

SHAPE = (1, 3, 4)
PIXELS = 12
SIGMA = 0.4


class Exact(NamedTuple):
    """A linear Gaussian VAE: X = W z + b + SIGMA * noise, W's columns orthogonal."""

    model: VAE
    weight: Tensor  # [pixels, latent], float64
    bias: Tensor

    def log_p(self, x: Tensor) -> Tensor:
        """log P(X), [n], in float64: that of a Gaussian with covariance W W' + SIGMA^2 I."""
        covariance = self.weight @ self.weight.T + SIGMA**2 * torch.eye(PIXELS).double()
        return MultivariateNormal(self.bias, covariance).log_prob(x.double().flatten(1))

    def posterior(self, x: Tensor) -> DiagonalGaussian:
        """P(z|X), diagonal because W's columns are orthogonal, in float64."""
        variance = 1 / (1 + self.weight.square().sum(0) / SIGMA**2)
        mean = (x.double().flatten(1) - self.bias) @ self.weight * variance / SIGMA**2
        return DiagonalGaussian(mean, (0.5 * variance.log()).expand_as(mean))

    def images(self, n: int, seed: int = 0) -> Tensor:
        """Draws of X, [n, *SHAPE], in the model's dtype."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.weight.shape[1], generator=generator, dtype=torch.float64)
        noise = torch.randn(n, PIXELS, generator=generator, dtype=torch.float64)
        x = z @ self.weight.T + self.bias + SIGMA * noise
        return x.unflatten(1, SHAPE).to(next(self.model.parameters()).dtype)


def linear_gaussian(
    latent: int = 2,
    *,
    shift: float = 0.0,
    widen: float = 1.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Exact:
    """The encoder gives the posterior, its mean moved by ``shift``, its sigma times ``widen``."""
    model = VAE(latent, SHAPE, (), GaussianLikelihood(SIGMA, link="identity")).double()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(PIXELS, latent, generator=generator, dtype=torch.float64)
    columns, _ = torch.linalg.qr(drawn)
    w = columns * torch.linspace(0.9, 0.25, latent, dtype=torch.float64)
    b = torch.rand(PIXELS, generator=generator, dtype=torch.float64)
    variance = 1 / (1 + w.square().sum(0) / SIGMA**2)
    to_mean = variance[:, None] * w.T / SIGMA**2
    (layer,) = model.decoder.layers
    assert model.encoder.log_sigma is not None
    with torch.no_grad():
        layer.weight.copy_(w)
        layer.bias.copy_(b)
        model.encoder.mean.weight.copy_(to_mean)
        model.encoder.mean.bias.copy_(shift - to_mean @ b)
        model.encoder.log_sigma.weight.zero_()
        model.encoder.log_sigma.bias.copy_(0.5 * variance.log() + math.log(widen))
    return Exact(model.to(dtype), w, b)
