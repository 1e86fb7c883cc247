"""The autoencoder and the variational autoencoder, and what all latent models share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import drawing
from vae_core.distributions import DiagonalGaussian, GaussianLikelihood, Likelihood
from vae_core.models._networks import (
    ACTIVATIONS,
    ARCHITECTURES,
    MNIST_SHAPE,
    ConvDecoder,
    ConvEncoder,
    Decoder,
    Encoder,
    check_hidden,
    check_images,
    check_like,
    check_shape,
    first_weights,
)


class LatentModel(nn.Module):
    """What the latent models share: sizes, checks, networks. Not public: use its children.

    ``to_encoder``: how many inputs follow the pixels (channels, for a convolutional encoder);
    ``to_decoder``: how many follow z; ``event``: shape of what the likelihood is of (default: the
    image); ``prior_network`` makes the prior's network from ``hidden``, after the other two.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        hidden: Sequence[int] | None,
        likelihood: Likelihood | None,
        activation: str,
        seed: int,
        architecture: str,
        *,
        spread: bool,
        to_encoder: int = 0,
        to_decoder: int = 0,
        event: tuple[int, ...] | None = None,
        prior_network: Callable[[tuple[int, ...]], Encoder | ConvEncoder] | None = None,
    ) -> None:
        super().__init__()
        latent_dim = _check.whole("latent_dim", latent_dim)
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"architecture must be one of {', '.join(ARCHITECTURES)}; got {architecture!r}"
            )
        shape = check_shape(shape)
        hidden = check_hidden(ARCHITECTURES[architecture] if hidden is None else hidden)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}"
            )
        if likelihood is not None and not isinstance(likelihood, Likelihood):
            raise ValueError(
                f"likelihood must be one of vae_core.distributions' likelihoods, such as "
                f"BernoulliLikelihood(); got {likelihood!r}"
            )
        self.latent_dim = latent_dim
        self.shape = shape
        self.encoder: Encoder | ConvEncoder
        self.decoder: Decoder | ConvDecoder
        inner, mirrored = latent_dim + to_decoder, list(reversed(hidden))
        chosen = GaussianLikelihood() if likelihood is None else likelihood
        outputs = chosen.outputs
        if event is not None and outputs > 1:
            raise ValueError(
                f"a part of an image takes a likelihood of one output a pixel; got {likelihood!r}"
            )
        painted = (outputs * shape[0], *shape[1:])
        with first_weights(seed):
            if architecture == "mlp":
                pixels = math.prod(shape) + to_encoder
                self.encoder = Encoder(pixels, hidden, latent_dim, activation, spread)
                self.decoder = Decoder(inner, mirrored, painted, activation)
            else:
                planes = (shape[0] + to_encoder, *shape[1:])
                self.encoder = ConvEncoder(planes, hidden, latent_dim, activation, spread)
                self.decoder = ConvDecoder(inner, mirrored, painted, activation)
            if prior_network is not None:
                self.prior_network = prior_network(hidden)
        self.likelihood = chosen
        if isinstance(self.likelihood, GaussianLikelihood):
            self.likelihood.for_shape(shape if event is None else event)

    def check_images(self, x: Float[Tensor, " batch *shape"]) -> None:
        """Raise ``ValueError`` unless ``x`` is [batch, *shape], batch >= 1, in the weights' dtype.

        Shapes and dtype only: the likelihood checks the pixels' values.
        """
        check_images(x, self.shape, self.encoder.mean.weight)

    def check_latents(self, z: Float[Tensor, "*batch latent"]) -> None:
        """Raise ``ValueError`` unless ``z`` is [..., latent], of the weights' dtype and device."""
        weight = self.encoder.mean.weight
        check_like("z", z, weight)
        if z.ndim < 1 or z.shape[-1] != self.latent_dim:
            raise ValueError(f"z must be [..., {self.latent_dim}]; got {list(z.shape)}")
        if z.dtype != weight.dtype:
            raise ValueError(f"z must be {weight.dtype}, as the weights are; got {z.dtype}")


def cpu_noise(shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Draws of N(0, I), float32 on the CPU whatever torch's defaults are: the same everywhere."""
    with drawing(generator, torch.device("cpu"), "draw"):
        return torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")


def gaussian_of(network: Encoder | ConvEncoder, x: Tensor) -> DiagonalGaussian:
    """The diagonal Gaussian whose mean and log sigma are ``network``'s heads at input ``x``."""
    h = network.trunk(x)
    assert network.log_sigma is not None  # such a network is built with a spread
    return DiagonalGaussian(network.mean(h), network.log_sigma(h))


class _Unconditional(LatentModel):
    """What the models share that decode z alone. Not public: use its children."""

    spread: ClassVar[bool]  # whether the encoder gives a log sigma beside the mean

    def __init__(
        self,
        latent_dim: int = 2,
        shape: Sequence[int] = MNIST_SHAPE,
        hidden: Sequence[int] | None = None,
        likelihood: Likelihood | None = None,
        activation: str = "relu",
        seed: int = 0,
        architecture: str = "mlp",
    ) -> None:
        super().__init__(
            latent_dim,
            shape,
            hidden,
            likelihood,
            activation,
            seed,
            architecture,
            spread=self.spread,
        )

    def decode(
        self, z: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Latents [..., latent] to the decoder's output [..., channels, height, width].

        ``channels`` is the image's, times the likelihood's ``outputs``.
        """
        self.check_latents(z)
        return self.decoder(z)

    def mean(
        self, z: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Pixel means of P(X|z) at latents [..., latent]: [..., channels, height, width]."""
        return self.likelihood.mean(self.decode(z))

    def log_likelihood(
        self, x: Float[Tensor, " batch *shape"], z: Float[Tensor, "*draws batch latent"]
    ) -> Float[Tensor, "*draws batch"]:
        """log P(X|z) in nats; x: [batch, *shape], z: [..., batch, latent]. Returns [..., batch]."""
        return self.likelihood.log_prob(x, self.decode(z))

    def generate(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n channels height width"]:
        """Pixel means at n draws of z ~ N(0, I), encoder left out: [n, channels, height, width].

        ``generator`` lives on the CPU, so that every device draws the same z.
        """
        z = cpu_noise((_check.whole("n", n), self.latent_dim), generator)
        with torch.no_grad():
            return self.mean(z.to(next(self.decoder.parameters())))


class Autoencoder(_Unconditional):
    """An encoder to a point z and a decoder back, trained on reconstruction alone.

    ``latent_dim``: size of z; ``shape``: (channels, height, width), any size; ``hidden``: widths of
    the encoder's hidden layers, mirrored in the decoder; ``likelihood``: what the output means
    (default: Gaussian with sigma^2 = 1/2, whose loss is summed squared error); ``activation``:
    "relu", "tanh", "softplus", "silu" (h sigmoid(h), with a slope on both sides; Elfwing et al.
    2018) or "identity"; ``seed``: of the first weights; ``architecture``: "mlp", or "conv" (3 x 3
    convolutions of stride 2, whose numbers of channels ``hidden`` then gives). ``hidden`` is (512,)
    for "mlp" and (32, 64) for "conv" unless given. Raises ``ValueError`` for sizes below 1, an
    unknown activation or architecture.

    Denoising is a matter of what is encoded while training: see
    :func:`vae_core.objectives.denoising`.
    """

    spread = False

    def encode(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch latent"]:
        """Images [batch, *shape] to codes [batch, latent]."""
        self.check_images(x)
        return self.encoder.mean(self.encoder.trunk(x))

    def embed(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch latent"]:
        """Codes [batch, latent]: the same as ``encode``, under the name both models share."""
        return self.encode(x)

    def forward(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """Reconstructed pixel means, [batch, *shape]."""
        return self.mean(self.encode(x))


class VAE(_Unconditional):
    """Kingma & Welling 2013: Q(z|X) a diagonal Gaussian, P(z) = N(0, I).

    Arguments as for :class:`Autoencoder`.
    """

    spread = True

    def encode(self, x: Float[Tensor, " batch *shape"]) -> DiagonalGaussian:
        """Images [batch, *shape] to the posterior Q(z|X), mean and log sigma [batch, latent]."""
        self.check_images(x)
        return gaussian_of(self.encoder, x)

    def embed(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch latent"]:
        """Codes [batch, latent]: the posterior's mean."""
        return self.encode(x).mean

    def forward(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch *shape"]:
        """Pixel means decoded from the posterior's mean, [batch, *shape]."""
        return self.mean(self.embed(x))
