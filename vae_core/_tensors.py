"""What functions of tensors share: arrays and lists in their place, devices, and wide numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from vae_core import _check

# Apple's GPUs know no float64: what is wanted in float64 is worked out on the CPU.
WITHOUT_FLOAT64 = ("mps",)


def wide(values: Tensor) -> Tensor:
    """``values`` in float64: on their device, or on the CPU where the device has no float64."""
    away = values.device.type in WITHOUT_FLOAT64
    return (values.cpu() if away else values).to(torch.float64)


def as_tensor(name: str, value: Any) -> Tensor:
    """``value`` as a tensor: itself, or an array, list or tuple of numbers copied to the CPU.

    Raises ``ValueError``, in one sentence that names it, for anything else.
    """
    if isinstance(value, Tensor):
        return value
    refusal = f"{name} must be a tensor, or an array or list of numbers"
    if isinstance(value, list | tuple) and value and all(isinstance(v, Tensor) for v in value):
        try:
            return torch.stack(list(value))
        except RuntimeError:
            raise ValueError(f"{refusal}; got tensors that differ in shape or device") from None
    if not isinstance(value, list | tuple) and not hasattr(value, "__array__"):
        raise ValueError(f"{refusal}; got {_check.shown(value)}")
    try:
        array = np.asarray(value)
    except Exception:  # rows of different lengths; or an array of a library that refuses
        raise ValueError(f"{refusal}, all rows alike; got {_check.shown(value)}") from None
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"{refusal}; got {_check.shown(value)}")
    # In this machine's byte order, with no negative stride, and writable: all that torch takes.
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def usable(device: Any) -> torch.device:
    """``device`` as torch names it. Raises ``ValueError`` for one that is not known or not here."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"device {_check.shown(device)} can't be used here: {first}") from None
    return found


@contextmanager
def drawing(generator: Any, device: torch.device, what: str = "model") -> Iterator[None]:
    """In here is drawn from ``generator`` on the ``device`` of ``what``.

    Raises ``ValueError``, in one sentence, for what is no generator, or one of another device.
    """
    if generator is not None and not isinstance(generator, Generator):
        raise ValueError(f"generator must be a torch.Generator; got {_check.shown(generator)}")
    try:
        yield
    except RuntimeError as error:
        if generator is None or "generator" not in str(error):
            raise
        raise ValueError(
            f"generator is on {generator.device} and the {what} on {device}: "
            f"make it with torch.Generator({str(device)!r})"
        ) from None


def check_finite(name: str, module: nn.Module) -> None:
    """Raise ``ValueError`` if a weight is missing (on "meta"), or not finite: training diverged."""
    for label, values in module.state_dict().items():
        if values.is_meta:
            raise ValueError(f"{name} has weights without values ({label} is on the meta device)")
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"{name} has weights that are not finite ({label}): its training diverged"
            )
