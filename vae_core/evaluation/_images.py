"""How evaluation reads images: in chunks, on the model's device, in its dtype."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.data import to_float
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood

__all__ = ["as_images", "decoded_at_once", "image_chunks", "wide"]

# Decoded numbers held in one tensor. On a CPU, 4 MB in float32 stays in its cache (a third faster
# than 16 MB, measured at 784-400-20); other devices want fewer, larger steps.
_NUMBERS_ON_CPU, _NUMBERS_ELSEWHERE = 2**20, 2**25
# Noise takes a pixel out of [0, 1], but not so far: these are bytes that were never divided.
_FAR = 10.0


def as_images(images: Any) -> Shaped[Tensor, " n *shape"]:
    """``images`` [n, *shape] as a tensor, uint8 or floating (bool as black and white in uint8).

    Raises ``ValueError`` unless there is at least one image, of such a dtype, without NaN.
    """
    images = as_tensor("images", images)
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"images must be [n, *shape], n >= 1; got {list(images.shape)}")
    if images.dtype == torch.bool:
        return images.to(torch.uint8) * 255
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating; got {images.dtype}")
    if images.is_floating_point() and not bool(torch.isfinite(images).all()):
        raise ValueError("images must be finite; got NaN or infinity")
    return images


def image_chunks(model: nn.Module, images: Any, size: int) -> Iterator[Float[Tensor, " n *shape"]]:
    """``images`` [n, *shape] as the model takes them, ``size`` at a time.

    uint8 becomes float in [0, 1], every byte over 255. Bytes that are all 0 or 1 are black and
    white to a Bernoulli model, as they are to :func:`vae_core.coding.compress`. Every chunk moves
    to the weights' device and dtype. Raises ``ValueError`` unless there is at least one image,
    uint8 or floating, finite; and for floats that are bytes not divided by 255.
    """
    images = as_images(images)
    weight, likelihood = next(model.parameters()), getattr(model, "likelihood", None)
    if images.dtype == torch.uint8:
        plain = isinstance(likelihood, BernoulliLikelihood) and int(images.max()) <= 1
        return ((c if plain else to_float(c)).to(weight) for c in images.split(size))
    unbounded = isinstance(likelihood, GaussianLikelihood) and likelihood.link == "identity"
    if not unbounded and float(images.abs().max()) > _FAR:
        raise ValueError(
            f"images must be uint8, or floating in [0, 1]; got values from {images.min():g} to "
            f"{images.max():g} (divide bytes by 255)"
        )
    return (chunk.to(weight) for chunk in images.split(size))


def decoded_at_once(model: nn.Module, shape: tuple[int, ...], chunk: int | None) -> int:
    """How many latents to decode together: ``chunk``, else what fits the widest layer's tensor."""
    if chunk is not None:
        return _check.whole("chunk", chunk)
    widest = max([math.prod(shape), *(p.shape[0] for p in model.parameters() if p.ndim > 0)])
    on_cpu = next(model.parameters()).device.type == "cpu"
    return max(1, (_NUMBERS_ON_CPU if on_cpu else _NUMBERS_ELSEWHERE) // widest)
