"""What a run is made of: device, optimiser, schedule, and the source of its pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_core.data import ImageData, binarize, to_float

PIXELS = ("grey", "dynamic", "fixed", "threshold")
SCHEDULES = ("constant", "linear", "cosine")


def pick_device(device: torch.device | str = "auto") -> torch.device:
    """The device meant by "auto" (CUDA, then MPS, then CPU) or by a name torch knows.

    Raises ``ValueError`` for a name torch does not know or a device that is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"device {str(device)!r} can't be used here: {first}") from None
    if chosen.type == "meta":
        raise ValueError("device 'meta' can't be used here: it holds shapes, and no numbers")
    return chosen


def _bf16_instructions() -> bool | None:
    """Whether this processor computes in bfloat16; None where it does not say."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        told = ask()
        return any(bool(has) for name, has in told.items() if "bf16" in name) if told else None
    try:  # older versions of torch don't know
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return "bf16" in told


def check_bf16(device: torch.device, dtype: torch.dtype) -> None:
    """Raise ``ValueError`` where bfloat16 would not serve: on this device, or for such weights."""
    if dtype != torch.float32:
        raise ValueError(f"bf16 is for weights in float32; these are {dtype}")
    if device.type == "cpu" and _bf16_instructions() is False:
        raise ValueError(
            "bf16 would be slower here than float32, not faster: this processor has no "
            "instructions for bfloat16 and would compute each product by others; leave out bf16"
        )
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"bf16 would be slower here than float32, not faster: this GPU "
            f"({torch.cuda.get_device_name(device)}) has no instructions for bfloat16; "
            f"leave out bf16"
        )


@functools.cache
def first_step() -> None:
    """Have torch import what it imports at its first step: a stop in an import would break it."""
    weight = nn.Parameter(torch.zeros(1, device="cpu"))
    weight.square().sum().backward()
    torch.optim.SGD([weight], lr=0.1).step()


def adam(
    model: nn.Module, learning_rate: float, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Adam with torch's defaults, in its fused form where this torch has one for the device.

    ``capturable``: for a CUDA graph, which reads the learning rate from a tensor on the device.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if capturable:
        rate = torch.tensor(learning_rate, device=parameters[0].device)
        return torch.optim.Adam(parameters, lr=rate, fused=True, capturable=True)
    try:
        return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    except RuntimeError:
        return torch.optim.Adam(parameters, lr=learning_rate)


def learning_rate_factor(schedule: str, progress: float) -> float:
    """What the learning rate is multiplied by at ``progress`` in [0, 1] of the training.

    "constant": 1; "linear": from 1 to 0; "cosine": (1 + cos(pi * progress)) / 2 (Loshchilov &
    Hutter 2017, equation 5, without restarts).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - progress
    return 0.5 * (1 + math.cos(math.pi * progress))


class PixelSource:
    """A function from indices [batch] to float pixels [batch, channels, height, width].

    The images lie on the device as bytes. ``noise`` is the generator of what is drawn anew at each
    call, or None where nothing is.
    """

    def __init__(self, images: Tensor, scale: bool, noise: torch.Generator | None) -> None:
        self.images, self.scale, self.noise = images, scale, noise
        self.dtype = torch.float32

    def __call__(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """Pixels of the images named by ``index``; of ``rows`` of that batch alone, if given.

        What is drawn is drawn for the whole batch, so that ``rows`` get what they would get in it.
        """
        if self.noise is not None:
            # index_select copies an image's bytes at once; images[index] does so one by one.
            drawn = binarize(self.images.index_select(0, index), "dynamic", generator=self.noise)
            return drawn[rows].to(self.dtype)
        images = self.images.index_select(0, index[rows])
        return (to_float(images) if self.scale else images).to(self.dtype)


def pixel_source(data: ImageData, pixels: str, device: torch.device, seed: int) -> PixelSource:
    """A function from an index tensor to a batch of float pixels on ``device``.

    ``pixels``: "grey" (bytes over 255), or a mode of :func:`vae_core.data.binarize`. What does not
    change between epochs is made once and kept as bytes. Raises ``ValueError`` for another mode.
    """
    if pixels not in PIXELS:
        raise ValueError(f"pixels must be one of {', '.join(PIXELS)}; got {pixels!r}")
    if pixels == "grey":
        return PixelSource(data.images.to(device), True, None)
    if pixels == "dynamic":
        noise = torch.Generator(device).manual_seed(seed)
        return PixelSource(data.images.to(device), True, noise)
    fixed = binarize(data.images, pixels, seed=seed if pixels == "fixed" else None)
    return PixelSource(fixed.to(torch.uint8).to(device), False, None)


def _to_single(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.float()


@contextmanager
def half_precision(model: nn.Module, device: torch.device, wanted: bool) -> Iterator[None]:
    """Matrix products and convolutions in bfloat16 (8 bits of precision), all else in float32.

    Their results go back to float32 at once: a bfloat16 sum over pixels would be off by nats.
    """
    if not wanted:
        yield
        return
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    hooks = [layer.register_forward_hook(_to_single) for layer in layers]
    try:
        with torch.autocast(device.type, torch.bfloat16):
            yield
    finally:
        for hook in hooks:
            hook.remove()
