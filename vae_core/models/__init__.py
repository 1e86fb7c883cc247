"""Networks: autoencoders, variational autoencoders, and a classifier that judges samples.

Images are [batch, channels, height, width]; latents are [..., latent]. ``decode`` gives the
decoder's *output*, before the likelihood's link; ``mean`` gives pixel means.
"""

from __future__ import annotations

from vae_core.models._classifier import Classifier
from vae_core.models._conditional import CVAE, OBSERVED
from vae_core.models._latent import VAE, Autoencoder
from vae_core.models._linear import LinearVAE
from vae_core.models._networks import (
    ACTIVATIONS,
    ARCHITECTURES,
    MNIST_SHAPE,
    ConvDecoder,
    ConvEncoder,
    Decoder,
    Encoder,
)

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "CVAE",
    "MNIST_SHAPE",
    "OBSERVED",
    "VAE",
    "Autoencoder",
    "Classifier",
    "ConvDecoder",
    "ConvEncoder",
    "Decoder",
    "Encoder",
    "LinearVAE",
]
