"""Whether an answer has replaced a part of torch, or of what checks it.

Two functions that an answer patches (``torch.allclose`` to say yes to all, say) would let it pass.
Each answer runs in a process of its own, so a patch cannot come with it; what a call of the answer
replaces is seen right after the call, put back, and told.
"""

from __future__ import annotations

import builtins
import math
import operator
import sys
from types import FunctionType
from typing import Any

import numpy as np
import torch
import torch.nn.functional
from torch import Tensor

__all__ = ["Watch"]

_WATCHED = (
    *(builtins, math, operator, np, np.linalg, np.testing, torch, torch.linalg, torch.special),
    *(torch.nn.functional, torch.autograd, torch.distributions, torch.random),
)
# What torch itself replaces when an optimiser is first used.
_LATER = {("torch", "manual_seed")}
_CLASSES = (Tensor, torch._C.TensorBase, torch.distributions.Normal, torch.Generator)


def _parts() -> list[tuple[str, Any]]:
    """Modules and classes whose parts are watched, with their names."""
    ours = [m for name, m in sys.modules.items() if name.startswith("vae_core") and m is not None]
    found: list[tuple[str, Any]] = [(m.__name__, m) for m in (*_WATCHED, *ours)]
    classes = {
        id(value): (f"{m.__name__}.{name}", value)
        for m in ours
        for name, value in vars(m).items()
        if isinstance(value, type) and value.__module__.startswith("vae_core")
    }
    return found + [(c.__name__, c) for c in _CLASSES] + list(classes.values())


class Watch:
    """What there is now; ``changed`` names what has been replaced since, and puts it back."""

    def __init__(self) -> None:
        self.before = [
            (name, owner, {k: v for k, v in vars(owner).items() if (name, k) not in _LATER})
            for name, owner in _parts()
        ]
        # A function can keep its name and get other code.
        self.code = [
            (f"{name}.{key}", value, value.__code__, value.__defaults__, value.__kwdefaults__)
            for name, _, values in self.before
            if name.startswith("vae_core")
            for key, value in values.items()
            if isinstance(value, FunctionType)
        ]

    def changed(self) -> str | None:
        found = None
        for name, owner, values in self.before:
            now = vars(owner)
            if all(map(operator.is_, map(now.get, values), values.values())):
                continue
            for key, value in values.items():
                if now.get(key) is not value and not key.startswith("__"):
                    found = found or f"{name}.{key}"
                    setattr(owner, key, value)
        for name, function, code, defaults, named in self.code:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                function.__code__, function.__defaults__ = code, defaults
                function.__kwdefaults__ = named
                found = found or name
        return found
