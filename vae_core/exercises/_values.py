"""What an answer may give back for a number or a tensor, when two are equal, and how to show it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Single", "as_tensor", "close", "differ", "short"]

# Of a result in single precision: what 24 bits leave after a few steps of arithmetic.
SINGLE = 1e-4
_LOW = (torch.float32, torch.float16, torch.bfloat16)


class Single(float):
    """A number that was given in single precision, or less."""


def as_tensor(value: Any) -> Any:
    """``value`` as a tensor where it holds numbers: a NumPy array or number, a list of numbers.

    A list of tensors is stacked, so that gradients flow. Anything else comes back as it is.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple)) and value and not hasattr(value, "_fields"):
        parts = [as_tensor(v if not isinstance(v, int | float) else float(v)) for v in value]
        parts = [torch.tensor(v, dtype=torch.float64) if type(v) is float else v for v in parts]
        if all(isinstance(p, Tensor) and p.shape == parts[0].shape for p in parts):
            alike = all(p.dtype == parts[0].dtype for p in parts)
            return torch.stack(parts if alike else [p.double() for p in parts])
        return value
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        with contextlib.suppress(Exception):
            array = np.asarray(value)
            if array.dtype.kind == "O" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
                array = array.astype(np.float64)
            if array.dtype.kind in "fiub":
                return torch.from_numpy(np.array(array))  # of any strides and byte order
    return value


def _double(value: Any) -> Tensor:
    value = as_tensor(value)
    exact = torch.float64 if isinstance(value, int | float) else None
    return torch.as_tensor(value, dtype=exact).detach().double()


def _low(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.dtype in _LOW
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind == "f" and value.dtype.itemsize < 8
    return isinstance(value, Single)


def close(
    found: Any, expected: Any, rtol: float, atol: float, size: float = 1.0, exact: bool = False
) -> bool:
    """Whether two values are equal, up to ``rtol`` and ``atol``.

    A result in single precision may be off by 1e-4 of itself or of 1, or by 1e-6 of the largest
    number that it was computed from, ``size``; with ``exact`` by no more than any other.
    """
    try:
        a, b = _double(found), _double(expected)
    except (TypeError, ValueError, RuntimeError):
        return False
    if _low(found) and not exact:
        single = max(SINGLE, 1e-6 * size)
        rtol, atol = max(rtol, single), max(atol, single)
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=rtol, atol=atol))


def differ(found: Any, expected: Any) -> tuple[str, str]:
    """The two values in words, so that it shows where they differ, and by how much."""
    try:
        a, b = _double(found), _double(expected)
    except (TypeError, ValueError, RuntimeError):
        return short(found), short(expected)
    if a.shape != b.shape or a.numel() < 2:
        return _digits(a, b, found, expected)
    gap = (a - b).abs()
    gap[~gap.isfinite()] = torch.inf
    off = (gap > 1e-9 + 1e-6 * b.abs()).flatten()
    if not bool(off.any()):
        off = gap.flatten() == gap.max()
    if a.numel() <= 6 and a.ndim == 1:
        return _digits(a, b, found, expected)
    where = off.nonzero().flatten().tolist()
    places = ", ".join(_place(i, a) for i in where[:3])
    said = [", ".join(f"{v:.5g}" for v in t.flatten()[where[:3]].tolist()) for t in (a, b)]
    worst = int(gap.argmax())
    how = f"{len(where)} of {a.numel()} differ, most at {_place(worst, a)}: by {gap.max():.2g}"
    return f"{said[0]} there ({how})", f"{said[1]} at {places}"


def _place(i: int, like: Tensor) -> str:
    at = [int(k) for k in np.unravel_index(i, tuple(like.shape))]
    return f"[{', '.join(map(str, at))}]"


def _digits(a: Tensor, b: Tensor, found: Any, expected: Any) -> tuple[str, str]:
    """Both with five digits, or with as many as it takes to tell them apart."""
    if a.shape != b.shape or a.numel() > 6 or a.ndim > 1:
        return short(found), short(expected)
    for digits in (5, 7, 9, 12, 17):
        one, two = (
            ", ".join(f"{v:.{digits + (t.ndim == 0)}g}" for v in t.flatten().tolist())
            for t in (a, b)
        )
        if one != two:
            break
    return (one, two) if a.ndim == 0 else (f"[{one}]", f"[{two}]")


def short(value: Any) -> str:
    """A value in a few words: a student reads it in a line."""
    if isinstance(value, Tensor):
        if value.numel() == 1:
            return f"{value.detach().double().item():.6g}"
        if value.numel() <= 6 and value.ndim == 1:
            numbers = ", ".join(f"{v:.5g}" for v in value.detach().double().tolist())
            return f"[{numbers}]"
        kind = str(value.dtype).removeprefix("torch.")
        return f"a {kind} tensor of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype} and shape {list(value.shape)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(text_of(value, repr).split())
    return text if len(text) <= 120 else text[:117] + "..."


def text_of(value: Any, how: Callable[[Any], str] = str) -> str:
    """``how(value)``; an answer's own object may do anything when it is asked for its text."""
    try:
        return str(how(value))
    except BaseException as error:
        return f"a {type(value).__name__} whose text cannot be had ({type(error).__name__})"
