"""A number with its uncertainty."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide


class Estimate(NamedTuple):
    """``value`` with the standard error of its estimation, in the same unit."""

    value: float
    standard_error: float

    def __str__(self) -> str:
        """Value ± standard error, to the standard error's second digit.

        Both below 0.001, and more than five decimals to write: by a power of ten, (4.82 ± 0.10)e-6.
        """
        if not (math.isfinite(self.standard_error) and self.standard_error > 0):
            return f"{self.value:.4g}"
        digits = 1 - math.floor(math.log10(self.standard_error))  # may be negative
        power = math.floor(math.log10(max(abs(self.value), self.standard_error)))
        if digits > 5 and power < -3:
            return f"({Estimate(*(part / 10.0**power for part in self))})e{power}"
        # + 0.0 makes 0 of -0.
        value, error = (f"{round(part, digits) + 0.0:.{max(0, digits)}f}" for part in self)
        return f"{value} ± {error}"


def mean_estimate(values: Shaped[Tensor, " n"]) -> Estimate:
    """The mean of independent ``values`` [n] with its standard error; n >= 2.

    Raises ``ValueError`` for another shape, or values that are not finite.
    """
    values = as_tensor("values", values)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must be [n], n >= 2; got {list(values.shape)}")
    spread = wide(values.detach())
    wrong = int((~torch.isfinite(spread)).sum())
    if wrong:
        raise ValueError(f"values must be finite; {wrong} of {len(values)} are NaN or infinite")
    return Estimate(spread.mean().item(), (spread.std() / math.sqrt(len(values))).item())


def blocks_of(rows: Shaped[Tensor, " n *d"], blocks: int) -> list[Tensor]:
    """``rows`` [n, d] in ``blocks`` parts of equal size (at most blocks - 1 rows are left out)."""
    blocks = _check.whole("blocks", blocks, least=2)
    size = len(rows) // blocks
    if size < 2:
        raise ValueError(f"{len(rows)} rows can't be cut into {blocks} blocks of at least 2")
    return list(rows[: size * blocks].split(size))
