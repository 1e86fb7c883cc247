"""Derivation exercises whose answer is a few expressions and no chain: what each is equal to.

As :mod:`vae_core.symbolic.tasks`, for the exercise checker and the derivation desk alike, with
SymPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from vae_core.symbolic._parse import parse
from vae_core.symbolic.tasks import symbols

__all__ = ["ENTRIES", "Entries", "judged", "read"]

NEAR = 1e-9


@dataclass(frozen=True)
class Entries:
    """Expressions to be found.

    before, given: what the page shows as given, the second in plain notation. names: as for
    ``Task``. keys: each entry's name, and what it is in a few words. right: the expressions by key,
    in the symbols of ``names``. points: values of the symbols, in their order, at which an entry
    is compared with the right one.
    """

    name: str
    chapter: int
    title: str
    before: str
    given: str
    names: Mapping[str, str]
    keys: Mapping[str, str]
    right: Callable[..., dict[str, Any]]
    points: tuple[tuple[float, ...], ...]
    begin: str = ""


def read(name: str, text: str) -> Any:
    """The expression that ``text`` writes, for an entry of ``name``; else ``NotationError``."""
    return parse(text, symbols(ENTRIES[name].names))


@lru_cache(maxsize=8)
def _right(name: str) -> dict[str, Any]:
    entries = ENTRIES[name]
    return entries.right(*symbols(entries.names).values())


def judged(name: str, key: str, found: Any) -> tuple[str, str] | None:
    """What was expected of the entry ``key`` of ``name``, and found; None where it is right.

    found: the expression, as :func:`read` returns it.
    """
    entries = ENTRIES[name]
    variables = symbols(entries.names)
    values = []
    for expression in (found, _right(name)[key]):
        try:
            values.append(
                [
                    complex(expression.subs(dict(zip(variables.values(), p, strict=True))).evalf())
                    for p in entries.points
                ]
            )
        except TypeError:
            return f"an expression in {' and '.join(variables)} for {key!r}", str(found)
    gaps = [abs(a - b) for a, b in zip(*values, strict=True)]
    if max(gaps) < NEAR:
        return None
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    at = ", ".join(f"{n} = {v}" for n, v in zip(variables, entries.points[worst], strict=True))
    there = [numbers[worst] for numbers in values]
    told, wanted = (f"{v.real:.6g}" if abs(v.imag) < NEAR else f"{v:.6g}" for v in there)
    return f"at {at} the value {wanted}", told


def _lognormal(X: Any, w: Any) -> dict[str, Any]:
    z = sp.Symbol("z", real=True)
    f = sp.exp(w * z)
    g = sp.solve(f - X, z)[0]
    slope = sp.diff(g, X)
    s = sp.diff(sp.log(slope) - g**2 / 2, X)  # log of the density that f makes
    d = g * slope
    a = (sp.diff(f, z, 2) / sp.diff(f, z) ** 2).subs(z, g)
    return {
        "g": g,
        "slope": slope,
        "score": s,
        "d": d,
        "a": a,
        "c": (15 * s**2 + 18 * d * s + 7 * d**2) / 8,
    }


_ALL = (
    Entries(
        "lognormal_map", 8, "The log-normal", "f(z) =", "exp(w * z)",
        {"X": "positive", "w": "positive"},
        {
            "g": "the inverse of f, at X",
            "slope": "g′, its derivative",
            "score": "s, the derivative of log P(X)",
            "d": "g times g′",
            "a": "f″ over f′², at z = g(X)",
            "c": "the constant c(X)",
        },
        _lognormal, ((0.5, 0.8), (1.7, 1.3), (3.1, 0.6)),
        begin="X = exp(w * z) is solved for z by taking the log of both sides.",
    ),
)  # fmt: skip
ENTRIES: dict[str, Entries] = {entries.name: entries for entries in _ALL}
