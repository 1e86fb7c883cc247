"""The book's derivations as sheets for the derivation desk: lines in plain notation, to be changed.

A derivation that begins anew with another left side becomes several sheets. What the notation has
no words for (matrices, derivatives) has no sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._parse import NotationError, parse
from vae_core.symbolic._plain import plain
from vae_core.symbolic.library import derivation

__all__ = ["Sheet", "sheets"]


@dataclass(frozen=True)
class Sheet:
    """A chain of one left side: plain texts, and the objects that they stand for.

    lines: relation and expression, ``>= ... gap ...`` for an inequality. reasons: why each holds.
    names, q: as for ``workbench``. derivation: which it is of; steps: those that are its lines.
    """

    start: str
    lines: tuple[str, ...]
    reasons: tuple[str, ...]
    names: dict[str, Any]
    q: Any
    derivation: Derivation
    steps: tuple[Step, ...]

    @property
    def goal(self) -> str:
        """What the last line says, without its relation and gap."""
        return self.lines[-1].partition(" ")[2].partition(" gap ")[0]

    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``workbench`` for this sheet."""
        chain = self.derivation
        return {
            "names": self.names, "q": self.q, "interpretations": chain.interpretations,
            "given": chain.given,
        }  # fmt: skip


def _parts(chain: Derivation) -> list[tuple[Any, list[Any]]]:
    """The chain's pieces, each with one left side."""
    found: list[tuple[Any, list[Any]]] = [(chain.left, [])]
    for step in chain.steps:
        if step.left is not None:
            found.append((step.left, []))
        found[-1][1].append(step)
    return [(left, steps) for left, steps in found if steps]


def _of(left: Any, steps: list[Any], chain: Derivation) -> Sheet:
    expressions = [left, *(s.expression for s in steps), *(s.gap for s in steps if s.gap)]
    means = {e.q for part in expressions for e in part.atoms(nodes.Expectation)}
    z = sp.Symbol("z", real=True)
    means -= {nodes.Density("P", z)}
    if len(means) > 1:
        raise ValueError("two densities to take means over")
    q = means.pop() if means else None
    names: dict[str, Any] = {}
    for part in [*expressions, *([q] if q is not None else [])]:
        for symbol in part.atoms(sp.Symbol):
            if names.setdefault(symbol.name, symbol) != symbol:
                raise ValueError(f"two symbols are called {symbol.name}")
    gaps = sorted({g for p in expressions for g in p.atoms(nodes.TangentGap)}, key=str)
    for number, gap in enumerate(gaps):
        names["T" if not number else f"T_{number}"] = gap

    def text(e: Any) -> str:
        written = plain(e, q, names)
        parse(written, names, q)  # too long, or too deep
        return written

    lines = [
        f"{s.relation} {text(s.expression)}" + (f" gap {text(s.gap)}" if s.gap is not None else "")
        for s in steps
    ]
    reasons = tuple(s.reason for s in steps)
    return Sheet(text(left), tuple(lines), reasons, names, q, chain, tuple(steps))


@lru_cache(maxsize=64)
def sheets(name: str) -> tuple[Sheet, ...]:
    """The sheets of the book's derivation ``name``; none where the notation has no words for it."""
    chain = derivation(name)
    found = []
    for left, steps in _parts(chain):
        try:
            found.append(_of(left, steps, chain))
        except (ValueError, NotationError):
            continue
    return tuple(found)
