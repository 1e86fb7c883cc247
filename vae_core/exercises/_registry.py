"""All exercises by name, gathered from the chapters' modules."""

from __future__ import annotations

import difflib

from vae_core.exercises import (
    _chapter01,
    _chapter02,
    _chapter03,
    _chapter04,
    _chapter05,
    _chapter06,
    _chapter07,
    _chapter08,
    _chapter08_maps,
    _chapter09,
)
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES", "get"]

_MODULES = (
    _chapter01,
    _chapter02,
    _chapter03,
    _chapter04,
    _chapter05,
    _chapter06,
    _chapter07,
    _chapter08,
    _chapter08_maps,
    _chapter09,
)

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for module in _MODULES for exercise in module.EXERCISES
}


def get(name: str) -> Exercise:
    """The exercise ``name``; ``ValueError`` with the nearest name if there is none."""
    if name not in EXERCISES:
        near = difflib.get_close_matches(str(name), EXERCISES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no exercise is called {name!r}{hint}")
    return EXERCISES[name]
