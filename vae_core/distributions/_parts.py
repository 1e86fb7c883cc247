"""What likelihoods have in common."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def sum_event(
    values: Float[Tensor, "..."], x: Shaped[Tensor, " batch *event"]
) -> Float[Tensor, "*draws batch"]:
    """Sum over an example's own dimensions: [..., batch, *event] -> [..., batch]."""
    return values.flatten(-(x.ndim - 1)).sum(-1)


def tensor_of(value: Tensor | float) -> Tensor:
    """A number as a tensor [] on the CPU; a tensor as it is."""
    return value if isinstance(value, Tensor) else torch.tensor(value, device="cpu")


def check_shapes(x: Tensor, output: Tensor) -> None:
    if x.ndim < 2 or output.shape[-x.ndim :] != x.shape:
        raise ValueError(
            f"the decoder's output must end in the data's shape {tuple(x.shape)} "
            f"(batch first); got {tuple(output.shape)}"
        )
