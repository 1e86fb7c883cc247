"""From bytes to pixels, and from a data set to batches of indices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, drawing

MODES = ("dynamic", "fixed", "threshold")


def to_float(images: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """uint8 images, any shape, as float32 in [0, 1] (a byte divided by 255).

    ``images`` may be an array or a list of them, too. Raises ``ValueError`` for any other dtype.
    """
    images = as_tensor("images", images)
    if images.dtype != torch.uint8:
        raise ValueError(f"to_float takes uint8 images, got {images.dtype}")
    return images.to(torch.float32).div_(255)


def binarize(
    images: Shaped[Tensor, "*shape"],
    mode: str = "dynamic",
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*shape"]:
    """Black-and-white pixels, float32 in {0, 1}, same shape as ``images``.

    ``images`` is uint8, or float in [0, 1]; a pixel's value is its probability of being 1.

    - ``"dynamic"``: drawn anew at each call, from ``generator`` (Burda et al. 2015, section 5);
    - ``"fixed"``: drawn once and for all by ``seed`` (default 0), on the CPU, so the same on every
      device; the same images in the same order give the same pixels;
    - ``"threshold"``: 1 where the value exceeds one half.

    Raises ``ValueError`` for another mode, dtype or range, or a ``seed`` or ``generator`` where
    none is used.
    """
    images, mode = as_tensor("images", images), _check.chosen("mode", mode, MODES)
    if seed is not None and mode != "fixed":
        raise ValueError(
            f"seed belongs to mode 'fixed'; mode {mode!r} "
            + ("takes a generator" if mode == "dynamic" else "draws nothing")
        )
    if generator is not None and mode != "dynamic":
        raise ValueError(
            f"generator belongs to mode 'dynamic'; mode {mode!r} "
            + ("takes a seed" if mode == "fixed" else "draws nothing")
        )
    if images.dtype == torch.uint8:
        probability = to_float(images)
    elif images.is_floating_point():
        probability = images
        if images.numel() and not bool(((images >= 0) & (images <= 1)).all()):
            low, high = images.min().item(), images.max().item()
            raise ValueError(f"pixels must lie in [0, 1]; got values from {low:g} to {high:g}")
    else:
        raise ValueError(f"binarize takes uint8 or floating images, got {images.dtype}")
    if mode == "threshold":
        return (probability > 0.5).to(torch.float32)
    if mode == "fixed":
        fixed = torch.Generator("cpu").manual_seed(0 if seed is None else _check.seed(seed))
        # Dtype and device are named: whatever torch's defaults are, the draw is the same.
        uniform = torch.rand(images.shape, generator=fixed, dtype=torch.float32, device="cpu")
        uniform = uniform.to(images.device)
    else:
        with drawing(generator, images.device, "images"):
            uniform = torch.rand(
                images.shape, generator=generator, dtype=torch.float32, device=images.device
            )
    return (uniform < probability).to(torch.float32)


def batches(
    n: int,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    shuffle: bool = True,
) -> Iterator[Integer[Tensor, " batch"]]:
    """Index tensors, int64 [<= batch_size], on ``device``, that together name 0 .. n-1 once each.

    The order comes from ``generator`` (a CPU generator, so that every device sees the same order).
    The last batch holds what is left. Raises ``ValueError``, at the call, unless ``n`` and
    ``batch_size`` are whole and positive.
    """
    n, batch_size = _check.whole("n", n), _check.whole("batch_size", batch_size)
    if shuffle:
        with drawing(generator, torch.device("cpu"), "order"):
            order = torch.randperm(n, generator=generator, device="cpu")
    else:
        order = torch.arange(n, device="cpu")
    return iter(order.to(device).split(batch_size))
