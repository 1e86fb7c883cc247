"""Checks that several modules share: whole numbers, seeds, and values as a sentence shows them."""

from __future__ import annotations

import math
import operator
from typing import Any

MOST_SEED = 2**64 - 1  # what a generator of torch takes


def shown(value: Any) -> str:
    """``value`` in one line, for the end of a sentence: an array by its kind, a text cut short."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and isinstance(shape, tuple) and len(shape) > 0:
        return f"{dtype} {list(shape)}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a representation of the caller's own
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def kind(value: Any) -> str:
    """What ``value`` is, for the end of a sentence: its type, or the class that it is itself."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether ``value`` is an integer of any library (but not True or False), >= ``least``."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return False
    try:
        return operator.index(value) >= least
    except Exception:  # no integer; or one of a library that refuses in its own way
        return False


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """``value`` as an int. Raises ``ValueError`` naming it unless it is whole and in range."""
    if not is_whole(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}; got {shown(value)}")
    found = operator.index(value)
    if most is not None and found > most:
        raise ValueError(f"{name} must be at most {most}; got {found}")
    return found


def seed(value: Any, name: str = "seed") -> int:
    """``value`` as an int that torch's generators take. Raises ``ValueError`` for any other."""
    return whole(name, value, 0, MOST_SEED)


def real(value: Any) -> float:
    """``value`` as a float; NaN where it is no single number of any library, or not finite."""
    if isinstance(value, bool | str | bytes | bytearray):
        return math.nan
    try:
        found = float(value)
    except Exception:  # no number; or one of a library that refuses in its own way
        return math.nan
    return found if math.isfinite(found) else math.nan


def number(name: str, value: Any, kind: str = "a finite number") -> float:
    """``value`` as a float. Raises ``ValueError`` unless it is one finite number of any library."""
    found = real(value)
    if math.isnan(found):
        raise ValueError(f"{name} must be {kind}; got {shown(value)}")
    return found


def positive(name: str, value: Any) -> float:
    """``value`` as a float. Raises ``ValueError`` unless it is one positive finite number."""
    found = real(value)
    if not found > 0:
        raise ValueError(f"{name} must be a positive number; got {shown(value)}")
    return found


def chosen(name: str, value: Any, known: Any) -> str:
    """``value``, which must be one of the texts ``known``; else ``ValueError`` names them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {shown(value)}")
    return value
