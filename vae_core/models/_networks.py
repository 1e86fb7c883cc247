"""The networks models are made of: multi-layer perceptrons, and small convolutional ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core import _check

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "silu": F.silu,
    "identity": lambda values: values,
}
# Widths of the hidden layers unless others are given: units of an MLP, channels of convolutions.
ARCHITECTURES: dict[str, tuple[int, ...]] = {"mlp": (512,), "conv": (32, 64)}
MNIST_SHAPE = (1, 28, 28)


def check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """``shape`` as a tuple of three ints. Raises ``ValueError`` if it is no image's shape."""
    if not isinstance(shape, Sequence) or len(shape) != 3 or not all(map(_check.is_whole, shape)):
        raise ValueError(f"shape must be (channels, height, width), each >= 1; got {shape!r}")
    return tuple(map(int, shape))


def check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """``hidden`` as a tuple of ints. Raises ``ValueError`` unless all are >= 1."""
    if not isinstance(hidden, Sequence) or not all(map(_check.is_whole, hidden)):
        raise ValueError(f"hidden must be a tuple of whole numbers of at least 1; got {hidden!r}")
    return tuple(map(int, hidden))


def check_images(x: Tensor, shape: tuple[int, ...], weight: Tensor) -> None:
    """Raise ``ValueError`` unless ``x`` is [batch, *shape], batch >= 1, in the weights' dtype.

    And on their device.
    """
    check_like("images", x, weight)
    if x.dtype != weight.dtype:
        raise ValueError(
            f"images must be {weight.dtype}, as the weights are "
            f"(to_float and binarize make float32); got {x.dtype}"
        )
    if x.ndim != 4 or tuple(x.shape[1:]) != shape or len(x) == 0:
        raise ValueError(
            f"images must be [batch, {', '.join(map(str, shape))}], batch >= 1; got {list(x.shape)}"
        )


def check_like(name: str, x: Tensor, weight: Tensor) -> None:
    """Raise ``ValueError`` unless ``x`` is a tensor on the device of ``weight``."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor; got {_check.shown(x)}")
    if x.device != weight.device:
        raise ValueError(
            f"{name} must be on {weight.device}, where the model is; got them on {x.device}"
        )


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Weights made in here depend on ``seed`` alone, and leave every global stream as it was."""
    seed = _check.seed(seed)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would move the GPUs' streams too.
        torch.default_generator.manual_seed(seed)
        yield


def _linears(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))


class Encoder(nn.Module):
    """Pixels to a hidden representation to the posterior's mean (and, for a VAE, log sigma)."""

    def __init__(
        self, pixels: int, hidden: Sequence[int], latent_dim: int, activation: str, spread: bool
    ) -> None:
        super().__init__()
        self.activation = activation
        self.layers = _linears([pixels, *hidden])
        width = hidden[-1] if hidden else pixels
        self.mean = nn.Linear(width, latent_dim)
        self.log_sigma = nn.Linear(width, latent_dim) if spread else None

    def trunk(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch features"]:
        """[batch, *shape], of ``pixels`` numbers an example -> [batch, last hidden width]."""
        act = ACTIVATIONS[self.activation]
        h = x.flatten(1)
        for layer in self.layers:
            h = act(layer(h))
        return h


class Decoder(nn.Module):
    """Latents to one number a pixel; no activation after the last layer (the link follows)."""

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], shape: Sequence[int], activation: str
    ) -> None:
        super().__init__()
        self.activation = activation
        self.shape = tuple(shape)
        self.layers = _linears([latent_dim, *hidden, math.prod(shape)])

    def forward(
        self, z: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """[..., latent] -> [..., channels, height, width]."""
        act = ACTIVATIONS[self.activation]
        *hidden, last = self.layers
        for layer in hidden:
            z = act(layer(z))
        return last(z).unflatten(-1, self.shape)


def _sizes(shape: Sequence[int], halvings: int) -> list[tuple[int, int]]:
    """(height, width) before and after each halving, rounded up."""
    _, height, width = shape
    return [(math.ceil(height / 2**i), math.ceil(width / 2**i)) for i in range(halvings + 1)]


class ConvEncoder(nn.Module):
    """As :class:`Encoder`, by 3 x 3 convolutions of stride 2 with ``channels`` outputs each.

    Each halves height and width, rounded up, so that images of any size will do.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        latent_dim: int,
        activation: str,
        spread: bool,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1)
            for a, b in itertools.pairwise([shape[0], *channels])
        )
        width = [shape[0], *channels][-1] * math.prod(_sizes(shape, len(channels))[-1])
        self.mean = nn.Linear(width, latent_dim)
        self.log_sigma = nn.Linear(width, latent_dim) if spread else None

    def trunk(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch features"]:
        """[batch, channels, height, width] -> [batch, last channels * height * width there]."""
        act = ACTIVATIONS[self.activation]
        for layer in self.layers:
            x = act(layer(x))
        return x.flatten(1)


class ConvDecoder(nn.Module):
    """As :class:`Decoder`: one linear layer, then transposed convolutions that undo the halvings.

    ``channels`` are those of the encoder's layers in reverse; the image's follow them.
    """

    def __init__(
        self, latent_dim: int, channels: Sequence[int], shape: Sequence[int], activation: str
    ) -> None:
        super().__init__()
        self.activation = activation
        self.shape = tuple(shape)
        widths = [*channels, shape[0]]
        sizes = _sizes(shape, len(channels))[::-1]
        self.start = (widths[0], *sizes[0])
        self.layers = nn.ModuleList([nn.Linear(latent_dim, math.prod(self.start))])
        for (a, b), small, large in zip(itertools.pairwise(widths), sizes, sizes[1:], strict=False):
            # Stride 2 leads from n to 2n - 1; the padding adds the pixel that an even size needs.
            extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
            self.layers.append(
                nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=extra)
            )

    def forward(
        self, z: Float[Tensor, "*batch latent"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """[..., latent] -> [..., channels, height, width]."""
        act = ACTIVATIONS[self.activation]
        leading = z.shape[:-1]
        first, *rest = self.layers
        h = first(z.reshape(-1, z.shape[-1])).unflatten(-1, self.start)
        for layer in rest:
            h = layer(act(h))
        return h.reshape(*leading, *self.shape)
