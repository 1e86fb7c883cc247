"""How well a score tells two sets apart, and how long an image is to a general compressor."""

from __future__ import annotations

import io
import lzma
import math
import zlib
from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.evaluation._estimate import Estimate


def auroc(inside: Shaped[Tensor, " m"], outside: Shaped[Tensor, " n"]) -> Estimate:
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


def _share_below(scores: Shaped[Tensor, " k"], others: Shaped[Tensor, " n"]) -> Float[Tensor, " k"]:
    """For each score the share of ``others`` below it, ties half: [k]."""
    ordered = others.sort().values
    below = torch.searchsorted(ordered, scores) + torch.searchsorted(ordered, scores, right=True)
    return below.to(torch.float64) / (2 * len(others))


def _area(of_inside: Tensor, of_outside: Tensor) -> Estimate:
    variance = of_inside.var() / len(of_inside) + of_outside.var() / len(of_outside)
    return Estimate(of_inside.mean().item(), math.sqrt(variance.item()))


def _zlib(image: Tensor) -> int:
    return len(zlib.compress(image.numpy().tobytes(), 9)) - 6


def _xz(image: Tensor) -> int:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
    return len(lzma.compress(image.numpy().tobytes(), lzma.FORMAT_RAW, filters=filters))


def _png(image: Tensor) -> int:
    file = io.BytesIO()
    rows = image.reshape(-1, image.shape[-1] if image.ndim else 1)
    Image.fromarray(rows.numpy()).save(file, "PNG", optimize=True)
    return len(file.getvalue()) - 63


_COMPRESSORS: dict[str, Callable[[Tensor], int]] = {"zlib": _zlib, "xz": _xz, "png": _png}


def compressed_bits(images: Shaped[Tensor, " n *shape"], by: str = "zlib") -> Float[Tensor, " n"]:
    """How many bits a compressor takes for each of ``images``, uint8 [n, *shape]: float64 [n].

    ``by``: "zlib" (level 9), "xz" (LZMA2) or "png" (grey, the rows of all channels one below the
    other). A crude measure of an image's complexity; what a format adds to every file alike is left
    out: zlib's 6 bytes, all of xz's container, 63 bytes of a PNG. Raises ``ValueError`` for another
    dtype or compressor.
    """
    images = as_tensor("images", images)
    if images.dtype != torch.uint8 or images.ndim == 0:
        raise ValueError(f"images must be uint8 [n, *shape]; got {_check.shown(images)}")
    if by not in _COMPRESSORS:
        raise ValueError(f"by must be one of {', '.join(_COMPRESSORS)}; got {by!r}")
    lengths = [_COMPRESSORS[by](image.cpu()) for image in images]
    return 8 * torch.tensor(lengths, dtype=torch.float64, device="cpu")
