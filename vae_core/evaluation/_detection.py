"""How well a score tells two sets apart, and how long an image is to a general compressor."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.evaluation._estimate import Estimate


def auroc(inside: Tensor, outside: Tensor) -> Estimate:
    """The probability that a score of ``inside`` [m] exceeds one of ``outside`` [n]; ties half.

    It is the area under the receiver operating characteristic: 1 for perfect order, ½ for none, and
    below ½ where the score has it backwards. The standard error is that of DeLong, DeLong &
    Clarke-Pearson 1988 (both sets being samples); it is 0 for sets that do not overlap, where it
    says nothing. Raises ``ValueError`` unless both are [k], k >= 2, without NaN.
    """
    inside, outside = as_tensor("inside", inside), as_tensor("outside", outside)
    for name, scores in (("inside", inside), ("outside", outside)):
        if scores.ndim != 1 or len(scores) < 2:
            raise ValueError(f"{name} must be [k], k >= 2; got {list(scores.shape)}")
        if bool(scores.isnan().any()):
            raise ValueError(f"{name} has scores that are not numbers")
    a, b = wide(inside.detach()), wide(outside.detach())
    b = b.to(a.device)
    return _area(_share_below(a, b), 1 - _share_below(b, a))


def _share_below(scores: Tensor, others: Tensor) -> Tensor:
    """For each score the share of ``others`` below it, ties half: [k]."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, scores) + torch.searchsorted(ordered, scores, right=True)
    return below.to(torch.float64) / (2 * len(others))


def _area(of_inside: Tensor, of_outside: Tensor) -> Estimate:
    variance = of_inside.var() / len(of_inside) + of_outside.var() / len(of_outside)
    return Estimate(of_inside.mean().item(), math.sqrt(variance.item()))


def compressed_bits(images: Tensor) -> Tensor:
    """How many bits zlib (level 9) takes for each of ``images``, uint8 [n, *shape]: float64 [n].

    A crude measure of an image's complexity; zlib's own header of 6 bytes is left out. Raises
    ``ValueError`` for another dtype.
    """
    images = as_tensor("images", images)
    if images.dtype != torch.uint8 or images.ndim == 0:
        raise ValueError(f"images must be uint8 [n, *shape]; got {_check.shown(images)}")
    lengths = [len(zlib.compress(image.cpu().numpy().tobytes(), 9)) - 6 for image in images]
    return 8 * torch.tensor(lengths, dtype=torch.float64, device="cpu")
