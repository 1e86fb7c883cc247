"""Variational autoencoders to learn from: the package behind every chapter of the book.

Submodules load on first use, so that ``import vae_core`` costs little more than nothing:

``data``, ``distributions``, ``maps``, ``symbolic`` (floor 1); ``models``, ``objectives``,
``ordered`` (2); ``semi_supervised``, ``training``, ``zoo`` (3); ``evaluation``, ``coding`` (4);
``widgets``, ``figures``, ``notebook`` (5). A module imports only from floors below its own.
"""

from __future__ import annotations

import time
from importlib import import_module
from types import ModuleType

from vae_core._stopping import show_stops_in_one_line

__version__ = "0.1.0"
LOADED = time.time()  # files of the package that are newer are not what this process runs

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
    "semi_supervised",
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


show_stops_in_one_line()
