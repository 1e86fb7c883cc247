"""Every derivation of the book, by name.

A module here holds one topic. Each of its derivations is a function without arguments, entered
into ``DERIVATIONS`` by ``@derived("name")``; it is built, and then kept, when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from vae_core.symbolic._derivation import Derivation

__all__ = ["DERIVATIONS", "TOPICS", "derivation", "derived"]

DERIVATIONS: dict[str, Callable[[], Derivation]] = {}
TOPICS = (
    "sampling",
    "elbo",
    "gaussian",
    "kl_prior",
    "reconstruction",
    "reconstruction_term",
    "gradients",
    "regularisation",
)


def derived(name: str) -> Callable[[Callable[[], Derivation]], Callable[[], Derivation]]:
    """Enter a function that builds a derivation under ``name``."""

    def enter(build: Callable[[], Derivation]) -> Callable[[], Derivation]:
        if name in DERIVATIONS:
            raise ValueError(f"there is a derivation {name!r} already")
        kept = lru_cache(maxsize=1)(build)
        DERIVATIONS[name] = kept
        return kept

    return enter


def derivation(name: str) -> Derivation:
    """The book's derivation of that name; ``DERIVATIONS`` lists the names."""
    if name not in DERIVATIONS:
        raise ValueError(f"no derivation {name!r}; there are: {', '.join(sorted(DERIVATIONS))}")
    return DERIVATIONS[name]()


for _topic in TOPICS:
    import_module(f"{__name__}.{_topic}")
