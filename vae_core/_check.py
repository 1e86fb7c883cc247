"""Checks that several modules share."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether ``value`` is an integer of any library (but not True or False), >= ``least``."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def whole(name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int. Raises ``ValueError`` naming it unless it is whole and >= ``least``."""
    if not is_whole(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
    return int(value)
