"""Variational autoencoders to learn from: the package behind every chapter of the book.

Submodules load on first use, so that ``import vae_core`` costs little more than nothing:

``data``, ``distributions``, ``maps``, ``symbolic`` (floor 1); ``models``, ``objectives``,
``ordered`` (2); ``training``, ``zoo`` (3); ``evaluation``, ``coding`` (4); ``widgets``,
``figures``, ``notebook`` (5). A module imports only from floors below its own.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "coding",
    "data",
    "distributions",
    "evaluation",
    "exercises",
    "figures",
    "maps",
    "models",
    "notebook",
    "objectives",
    "ordered",
    "symbolic",
    "training",
    "widgets",
    "zoo",
)
__all__ = [*_SUBMODULES, "__version__"]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return import_module(f"vae_core.{name}")
    raise AttributeError(f"module 'vae_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
