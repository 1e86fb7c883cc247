"""What an autoencoder maximises, from clean images or corrupted ones; and the best sigma."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, drawing, wide
from vae_core.data import to_float
from vae_core.distributions import DiagonalGaussian, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder
from vae_core.models._latent import LatentModel

Corruption = Callable[[Tensor, torch.Generator | None], Tensor]


def _check_fraction(fraction: float) -> None:
    if not 0 <= _check.real(fraction) <= 1:
        raise ValueError(f"fraction must lie in [0, 1]; got {fraction!r}")


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    with drawing(generator, x.device, "images"):
        return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)


@dataclass(frozen=True)
class MaskingNoise:
    """Each pixel becomes 0 with probability ``fraction``, on its own (Vincent et al. 2008).

    (There, an exact number of pixels is chosen.) Raises ``ValueError`` unless it is in [0, 1].
    """

    fraction: float = 0.25

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def __call__(
        self, x: Float[Tensor, "*shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*shape"]:
        """Corrupted images, same shape as ``x``."""
        return torch.where(_uniform(x, generator) < self.fraction, torch.zeros_like(x), x)


@dataclass(frozen=True)
class SaltAndPepper:
    """Each pixel becomes 0 or 1, by a fair coin, with probability ``fraction``.

    Vincent et al. 2010. Raises ``ValueError`` unless it is in [0, 1].
    """

    fraction: float = 0.25

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def __call__(
        self, x: Float[Tensor, "*shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*shape"]:
        """Corrupted images, same shape as ``x``."""
        uniform = _uniform(x, generator)
        coin = (uniform < 0.5 * self.fraction).to(x.dtype)
        return torch.where(uniform < self.fraction, coin, x)


@dataclass(frozen=True)
class GaussianNoise:
    """N(0, sigma^2) is added to each pixel (Vincent et al. 2010).

    Raises ``ValueError`` unless sigma is finite and at least 0.
    """

    sigma: float = 0.3

    def __post_init__(self) -> None:
        if not _check.real(self.sigma) >= 0:
            raise ValueError(f"sigma must be a number of at least 0; got {self.sigma!r}")

    def __call__(
        self, x: Float[Tensor, "*shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*shape"]:
        """Corrupted images, same shape as ``x``; they may leave [0, 1]."""
        with drawing(generator, x.device, "images"):
            noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.sigma * noise


def reconstruction(
    model: Autoencoder,
    x: Float[Tensor, " batch *shape"],
    *,
    validate: bool = True,
    corruption: Corruption | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " batch"]:
    """log P(X|z) in nats at the autoencoder's own code z of each image: [batch].

    With a ``corruption``, z is the code of the corrupted image, drawn from ``generator``, and X
    still the clean one: the denoising autoencoder (Vincent et al. 2008). Raises
    ``ValueError`` for a wrong shape, dtype or range.
    """
    if not hasattr(model, "check_images"):
        raise ValueError(f"reconstruction takes an autoencoder; got {_check.kind(model)}")
    model.check_images(x)
    if validate:
        model.likelihood.check(x)
    seen = x if corruption is None else corruption(x, generator)
    return model.likelihood.log_prob(x, model.decode(model.encode(seen)))


@torch.no_grad()
def set_sigma(
    model: VAE | CVAE | Autoencoder,
    images: Shaped[Tensor, " n *shape"],
    labels: Integer[Tensor, " n"] | None = None,
    *,
    generator: torch.Generator | None = None,
    batch_size: int = 1000,
) -> Float[Tensor, "*event"]:
    """Set a Gaussian likelihood's sigma^2 to the mean squared error on ``images``; give sigma.

    ``images``: uint8 or float [n, *shape], on any device; ``labels`` int64 [n] for a CVAE with
    classes. The error is that of one draw of z from Q(z|X) for each image (an autoencoder's code),
    its mean over images and pixels, or over images for a sigma per pixel. For the given networks no
    sigma has a higher ELBO on these images. Returns sigma in pixel units, [] or [*event].

    Raises ``ValueError`` for another likelihood, a fixed sigma, wrong images or missing labels.
    """
    if not isinstance(model, LatentModel):
        raise ValueError(f"set_sigma takes a latent model; got {_check.kind(model)}")
    likelihood = model.likelihood
    if not isinstance(likelihood, GaussianLikelihood):
        raise ValueError(f"set_sigma takes a Gaussian likelihood; got {type(likelihood).__name__}")
    if isinstance(model, CVAE) and model.classes is not None:
        if labels is None:
            raise ValueError("set_sigma of a CVAE with classes takes labels")
        labels = as_tensor("labels", labels)
    images, size = as_tensor("images", images), _check.whole("batch_size", batch_size)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be [n, *shape], n >= 1; got {list(images.shape)}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    weight = model.encoder.mean.weight
    total: Tensor | None = None
    for start in range(0, len(images), size):
        part = images[start : start + size]
        x = (to_float(part) if part.dtype == torch.uint8 else part).to(weight)
        model.check_images(x)
        likelihood.check(x)
        given: tuple[Tensor, ...] = ()
        if isinstance(model, CVAE):
            label = x if labels is None else labels[start : start + size].to(weight.device)
            given = (model.condition_of(x, label),)
        code = model.encode(x, *given)
        if isinstance(code, DiagonalGaussian):
            with drawing(generator, weight.device):
                code = code.rsample(generator=generator)
        squared = wide((model.mean(code, *given) - x).square()).sum(0)
        total = squared if total is None else total + squared
    assert total is not None
    error = total / len(images)  # [*shape]
    if not bool(torch.isfinite(error).all()):
        raise ValueError("the model's squared error is not finite: its training diverged")
    if isinstance(model, CVAE) and model.observed is not None:
        error = error[~model.observed.to(error.device)]
    chosen = error if likelihood.kind == "per-pixel" else error.mean()
    likelihood.set_sigma(chosen.to(weight))
    return likelihood.sigma
