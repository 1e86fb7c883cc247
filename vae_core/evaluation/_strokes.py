"""What a pen did: weight, slant and width of handwritten digits, measured from pixels and moved."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.data import to_float

FINE = 4  # outlines are found and moved on a raster this many times as fine
SHARP = 4.0  # from paper to ink within a quarter of the full range of greys
CHUNK = 500  # images on the finer raster at once: 25 MB


class Strokes(NamedTuple):
    """Three measurements of each image, float64 [n].

    weight: thickness of the stroke, in pixels. slant: pixels to the right for each pixel up; 0 is
    upright, positive leans as italics do. width: standard deviation of the ink to the left and
    right, in pixels, once the slant is taken out.
    """

    weight: Tensor
    slant: Tensor
    width: Tensor


def _checked(images: Tensor) -> Tensor:
    images = as_tensor("images", images)
    if images.ndim != 4 or images.shape[1] != 1 or len(images) == 0:
        raise ValueError(f"images must be [n, 1, height, width], got {list(images.shape)}")
    x = to_float(images) if images.dtype == torch.uint8 else images
    if not x.dtype.is_floating_point or not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"images must be uint8, or floating in [0, 1], got {images.dtype}")
    if (x.flatten(1).sum(1) == 0).any():
        raise ValueError("an image without ink has no stroke to measure")
    return wide(x)


def _moments(x: Tensor) -> tuple[Tensor, ...]:
    """Centre (right, down from the middle) and second moments of the ink, each [n].

    The second moments are (right-right, right-up, up-up).
    """
    height, width = x.shape[-2:]
    right = torch.arange(width, dtype=x.dtype, device=x.device) - (width - 1) / 2
    down = torch.arange(height, dtype=x.dtype, device=x.device) - (height - 1) / 2
    ink = x[:, 0] / x.sum((1, 2, 3))[:, None, None]
    cx, cy = (ink.sum(1) * right).sum(1), (ink.sum(2) * down).sum(1)
    dx, up = right - cx[:, None], cy[:, None] - down
    xx, yy = (ink.sum(1) * dx**2).sum(1), (ink.sum(2) * up**2).sum(1)
    xy = torch.einsum("nij,ni,nj->n", ink, up, dx)
    return cx, cy, xx, xy, yy


def _finer(x: Tensor) -> Tensor:
    size = (x.shape[-2] * FINE, x.shape[-1] * FINE)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _thickness(x: Tensor) -> Tensor:
    """Twice the area over the outline, in pixels, [n]; a soft threshold keeps outlines smooth."""
    fine = F.pad(_finer(x), (1, 1, 1, 1))
    half = fine.amax((1, 2, 3), keepdim=True) / 2
    ink = ((fine - half) * (SHARP / (2 * half)) + 0.5).clamp(0, 1)
    a, b = ink[..., :-1, :-1], ink[..., :-1, 1:]
    c, d = ink[..., 1:, :-1], ink[..., 1:, 1:]
    slope = torch.hypot((b + d - a - c) / 2, (c + d - a - b) / 2)
    return 2 * ink.double().sum((1, 2, 3)) / slope.double().sum((1, 2, 3)) / FINE


def measure_strokes(images: Shaped[Tensor, "n 1 height width"]) -> Strokes:
    """Stroke weight, slant and width of images [n, 1, height, width] (uint8, or in [0, 1]).

    Weight: a stroke of length L and thickness w has the area wL and, where L is much longer than
    w, the outline 2L; so w is twice the area over the outline. Ink is what is darker than half
    its darkest grey, on a raster four times as fine; the outline is measured as the total variation
    of that picture.

    Slant and width: from the ink's second moments about its centre.

    Raises:
        ValueError: for another shape or range, or an image without ink.
    """
    x = _checked(images)
    weight = torch.cat([_thickness(part) for part in x.float().split(CHUNK)])
    _, _, xx, xy, yy = _moments(x)
    tiny = torch.finfo(x.dtype).tiny
    slant = xy / yy.clamp(min=tiny)
    return Strokes(weight, slant, (xx - slant * xy).clamp(min=0).sqrt())


def reshape_strokes(
    images: Shaped[Tensor, "n 1 height width"],
    *,
    weight: float = 0.0,
    slant: float = 0.0,
    width: float = 1.0,
) -> Float[Tensor, "n 1 height width"]:
    """Images with a heavier pen, more slant and more width, float32 [n, 1, height, width].

    Args:
        images: [n, 1, height, width], uint8, or floating in [0, 1].
        weight: added to the stroke's thickness, in pixels, in steps of a half; negative thins it
            (by less where the stroke is hardly thicker than that).
        slant: added to the slant: the image is sheared about the ink's centre.
        width: factor by which the upright image is stretched to the sides, about its centre.

    Raises:
        ValueError: for other images, a weight that is no multiple of a half, a width that is not
            positive, or values that are not finite.
    """
    x = _checked(images)
    device = images.device if isinstance(images, Tensor) else x.device
    given = [_check.real(value) for value in (weight, slant, width)]
    if not all(map(math.isfinite, given)) or given[2] <= 0:
        raise ValueError(
            f"weight, slant and width must be finite and width positive, "
            f"got {', '.join(map(_check.shown, (weight, slant, width)))}"
        )
    weight, slant, width = given
    if (2 * weight) % 1:
        raise ValueError(f"weight must be a multiple of 0.5, got {weight}")
    if slant or width != 1:
        x = _shear_and_stretch(x, slant, width)
    if weight:
        x = _thicken(x, weight)
    return x.clamp(0, 1).float().to(device)


def _shear_and_stretch(x: Tensor, slant: float, width: float) -> Tensor:
    """Where each pixel of the result comes from: upright, unstretched, and slanted back."""
    rows, columns = x.shape[-2:]
    cx, cy, _, xy, yy = _moments(x)
    before = xy / yy
    after = before + slant
    # dx' = width * (dx - before * up) + after * up, solved for dx; up = -(y - cy) stays.
    a = torch.full_like(cx, 1 / width)
    b = after / width - before  # on (y - cy), which points down
    right = torch.arange(columns, dtype=x.dtype, device=x.device) - (columns - 1) / 2
    down = torch.arange(rows, dtype=x.dtype, device=x.device) - (rows - 1) / 2
    dy = down[None, :, None] - cy[:, None, None]
    dx = right[None, None, :] - cx[:, None, None]
    source_x = cx[:, None, None] + a[:, None, None] * dx + b[:, None, None] * dy
    source_y = down[None, :, None].expand_as(source_x)
    place = torch.stack([source_x * 2 / columns, source_y * 2 / rows], -1)
    return F.grid_sample(x, place, mode="bilinear", align_corners=False)


def _thicken(x: Tensor, weight: float) -> Tensor:
    """The darkest (or, to thin, the lightest) grey within a disc, on a finer raster."""
    fine = _finer(x)
    size = fine.shape[-2:]
    radius = round(abs(weight) / 2 * FINE)
    sign = 1 if weight > 0 else -1
    fine = sign * F.pad(fine, (radius,) * 4)
    best = torch.full_like(_finer(x), -1)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy <= radius * radius + 0.5:
                top, left = radius + dy, radius + dx
                best = torch.maximum(best, fine[..., top : top + size[0], left : left + size[1]])
    result = F.avg_pool2d(sign * best, FINE)
    if weight > 0:
        return result
    # A thin stroke lies on no pixel fully; the pen is thinner, but its ink is as dark as before.
    darkest = x.amax((1, 2, 3), keepdim=True), result.amax((1, 2, 3), keepdim=True)
    return result * (darkest[0] / darkest[1].clamp(min=1e-6)).clamp(max=4)
