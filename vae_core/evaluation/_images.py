"""How evaluation reads images: in chunks, on the model's device, in its dtype."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vae_core import _check
from vae_core.data import to_float

# Decoded numbers held in one tensor. On a CPU, 4 MB in float32 stays in its cache (a third faster
# than 16 MB, measured at 784-400-20); other devices want fewer, larger steps.
_NUMBERS_ON_CPU, _NUMBERS_ELSEWHERE = 2**20, 2**25


def image_chunks(model: nn.Module, images: Tensor, size: int) -> Iterator[Tensor]:
    """``images`` [n, *shape] as the model takes them, ``size`` at a time.

    uint8 becomes float in [0, 1]; every chunk moves to the weights' device and dtype. Raises
    ``ValueError`` unless there is at least one image, uint8 or floating.
    """
    if images.ndim == 0 or len(images) == 0:
        raise ValueError(f"images must be [n, *shape], n >= 1; got {list(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8 or floating; got {images.dtype}")
    weight = next(model.parameters())
    return ((to_float(c) if c.dtype == torch.uint8 else c).to(weight) for c in images.split(size))


def decoded_at_once(model: nn.Module, shape: tuple[int, ...], chunk: int | None) -> int:
    """How many latents to decode together: ``chunk``, else what fits the widest layer's tensor."""
    if chunk is not None:
        return _check.whole("chunk", chunk)
    widest = max([math.prod(shape), *(p.shape[0] for p in model.parameters() if p.ndim > 0)])
    on_cpu = next(model.parameters()).device.type == "cpu"
    return max(1, (_NUMBERS_ON_CPU if on_cpu else _NUMBERS_ELSEWHERE) // widest)


def wide(values: Tensor) -> Tensor:
    """``values`` in float64, on their device; on the CPU where the device has no float64 (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)
