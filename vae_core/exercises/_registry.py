"""All exercises by name, gathered from the chapters' modules."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

import vae_core.exercises as package
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES", "get"]

_MODULES = [
    importlib.import_module(f"{package.__name__}.{module.name}")
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name)
    if module.name.startswith("_chapter")
]

EXERCISES: dict[str, Exercise] = {}
for _module in _MODULES:
    for _exercise in getattr(_module, "EXERCISES", ()):
        if _exercise.name in EXERCISES:
            raise ValueError(f"two exercises are called {_exercise.name!r}")
        EXERCISES[_exercise.name] = _exercise


def get(name: str) -> Exercise:
    """The exercise ``name``; ``ValueError`` with the nearest name if there is none."""
    if name not in EXERCISES:
        near = difflib.get_close_matches(str(name), EXERCISES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no exercise is called {name!r}{hint}")
    return EXERCISES[name]
