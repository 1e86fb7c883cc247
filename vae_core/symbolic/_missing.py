"""What two sides differ by, said in two steps: first what kind of thing, then which."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._compare import _number, _plain, _point
from vae_core.symbolic._interpretations import Interpretation
from vae_core.symbolic._plain import plain

__all__ = ["difference"]

POINTS = 3
NEAR = 1e-9
SMALL = 120
MOST = 14  # terms that are tried, alone and in pairs
FACTORS = tuple(map(sp.Rational, ("1", "-1", "2", "-2", "1/2", "-1/2")))


def _terms(expressions: Iterable[Any]) -> list[Any]:
    """The means, divergences, integrals and logs of densities that stand in ``expressions``."""
    found: dict[Any, None] = {}
    for e in expressions:
        for kind in (nodes.KL, nodes.Expectation, nodes.IntegralOver, nodes.TangentGap):
            found.update(dict.fromkeys(sorted(e.atoms(kind), key=str)))
        logs = [a for a in e.atoms(sp.log) if isinstance(a.args[0], nodes.Density)]
        found.update(dict.fromkeys(sorted(logs, key=str)))
    return list(found)


def _values(expressions: Sequence[Any], meaning: Interpretation, given: Any) -> list[Any] | None:
    """The numbers that ``expressions`` are, at a few points: [expression][point]; None for none."""
    out = []
    read = []
    for e in expressions:
        try:
            read.append(_plain(meaning.of(e, tuple(given))))
        except ValueError:  # z stands free in it, or the meaning has no such density
            read.append(None)
    if read[0] is None or read[1] is None:
        return None
    free = set().union(*(e.free_symbols for e in read if e is not None))
    rng = random.Random(1)
    points = [_point(free, meaning.constraints, rng) for _ in range(POINTS)]
    for e in read:
        numbers = None if e is None else [_number(e, point) for point in points]
        real = numbers is not None and all(n.is_real and n.is_finite for n in numbers)
        out.append([float(n) for n in numbers or ()] if real else None)
    return out if out[0] is not None and out[1] is not None else None


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= NEAR * max(1, abs(a), abs(b)) for a, b in zip(one, other, strict=True))


def _written(terms: Sequence[tuple[Any, Any]], q: Any, names: Any) -> str:
    """A sum of (factor, term), in plain notation."""
    return plain(nodes.written(*[c * t for c, t in terms]), q, names)


def _constant(value: float) -> str:
    """``value`` in plain notation where it is made of small numbers, log 2 and log pi."""
    found = sp.nsimplify(value, [sp.log(2), sp.log(sp.pi)], tolerance=1e-12)
    # Any number has a fraction that near, with large parts: only small ones mean something.
    small = all(abs(n.p) <= SMALL and n.q <= SMALL for n in found.atoms(sp.Rational))
    if small and abs(float(found) - value) <= NEAR * max(1, value):
        return plain(found)
    return f"about {value:.6g}"


def _kind(term: Any) -> str:
    if isinstance(term, nodes.KL):
        return "a divergence"
    if isinstance(term, nodes.Expectation):
        return "a mean"
    if isinstance(term, nodes.IntegralOver):
        return "an integral"
    if isinstance(term, nodes.TangentGap):
        return "a gap"
    return "the log of a density"


def _combination(gap: Sequence[float], known: Sequence[tuple[Any, Sequence[float]]]) -> Any:
    """Few terms whose sum is ``gap`` at every point, with their factors."""
    for count in (1, 2):
        for chosen in itertools.combinations(known, count):
            for factors in itertools.product(FACTORS, repeat=count):
                total = [
                    sum(float(c) * v[i] for c, (_, v) in zip(factors, chosen, strict=True))
                    for i in range(POINTS)
                ]
                if _same(total, gap):
                    return [(c, t) for c, (t, _) in zip(factors, chosen, strict=True)]
    return None


def difference(
    first: Any, second: Any, meaning: Interpretation, given: Any, context: Sequence[Any],
    words: tuple[str, str], q: Any = None, names: Any = None,
) -> tuple[str, str] | None:  # fmt: skip
    """What ``first`` and ``second`` differ by, as a hint in two steps; None where that isn't known.

    meaning: the interpretation that tells them apart. context: expressions whose terms are tried.
    words: what the two are called, such as "the line before" and "this line".
    """
    one, two = words
    terms = [t for t in _terms([first, second, *context]) if not t.has(sp.MatrixSymbol)][:MOST]
    values = _values([first, second, *terms], meaning, given)
    if values is None:
        return None
    left, right, *rest = values
    gap = [a - b for a, b in zip(left, right, strict=True)]
    ratio = sp.nsimplify(left[0] / right[0], tolerance=1e-12) if abs(right[0]) > NEAR else sp.nan
    small = ratio.is_Rational and ratio != 1 and max(abs(ratio.p), ratio.q) <= 12
    if small and _same(left, [float(ratio) * b for b in right]):
        if ratio == -1:
            return "Look at the signs.", f"{one[0].upper()}{one[1:]} is minus {two}."
        return (
            "One of the two is a multiple of the other.",
            f"{one[0].upper()}{one[1:]} is {ratio} times {two}.",
        )
    if _same(gap, [gap[0]] * POINTS):
        short = _constant(abs(gap[0]))
        more = "more" if gap[0] > 0 else "less"
        return (
            f"{one[0].upper()}{one[1:]} and {two} differ by a constant.",
            f"{one[0].upper()}{one[1:]} is {short} {more} than {two}.",
        )
    known = [(t, v) for t, v in zip(terms, rest, strict=True) if v is not None]
    found = _combination(gap, known)
    if found:
        kinds = list(dict.fromkeys(_kind(t) for _, t in found))
        try:
            text = _written(found, q, names)
        except ValueError:
            return None
        return (
            f"{one[0].upper()}{one[1:]} and {two} differ by {' and '.join(kinds)}.",
            f"{one[0].upper()}{one[1:]} less {two} is {text}.",
        )
    if meaning.name not in ("integration", "algebra"):
        return None
    exact = sp.simplify(meaning.of(first, tuple(given)) - meaning.of(second, tuple(given)))
    try:
        text = plain(exact, q, names)
    except ValueError:
        return None
    if len(text) > 120:
        return None
    on = " and ".join(sorted(map(str, exact.free_symbols)))
    return (
        f"What {one} and {two} differ by depends on {on}.",
        f"{one[0].upper()}{one[1:]} less {two} is {text}.",
    )
