"""Is a difference zero? Exactly where SymPy can tell, else at random points with 50 digits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from vae_core.symbolic._walk import log_of_value

__all__ = ["Comparison", "compare", "exactly_zero"]

DIGITS = 50
POINTS = 3


@dataclass(frozen=True)
class Comparison:
    """equal: ``"exact"``, ``"numeric"``, ``"undecided"`` or ``"no"``; with values where refuted."""

    equal: str
    point: Mapping[Any, Any] | None = None
    left: Any = None
    right: Any = None


def exactly_zero(difference: sp.Expr, constraints: Mapping[Any, Any] | None = None) -> bool:
    """Whether SymPy reduces ``difference`` to 0.

    Logs and other functions are taken for independent unknowns after each has been brought to one
    form, so True is a proof; False only says that this way found none.
    """
    constraints = constraints or {}
    if difference == 0:
        return True
    difference = difference.replace(
        lambda e: isinstance(e, sp.log) and not e.args[0].is_Atom,
        lambda e: log_of_value(_constrained(e.args[0], constraints)),
    )
    difference = sp.expand(difference)
    if difference == 0:
        return True
    functions = sorted(difference.atoms(sp.Function), key=sp.default_sort_key)
    names = {f: sp.Dummy(f"f{i}", positive=f.is_positive) for i, f in enumerate(functions)}
    rational = _constrained(difference.xreplace(names), constraints)
    if sp.cancel(sp.together(rational)) == 0:
        return True
    if difference.has(sp.log) or len(difference.args) > 40:
        return False
    return bool(sp.simplify(_constrained(difference, constraints)) == 0)


def _constrained(e: sp.Expr, constraints: Mapping[Any, Any]) -> sp.Expr:
    """``e`` with sums that are 1 put to 1; a plain product of symbols stays as it is."""
    if not constraints or not e.free_symbols & set(constraints):
        return e
    return e if e.is_Atom else sp.factor(e.subs(constraints))


def _value(symbol: Any, rng: random.Random) -> sp.Expr:
    """A random rational that the symbol's assumptions allow."""
    if symbol.is_integer:
        return sp.Integer(rng.randint(1, 5))
    if symbol.name.startswith("P("):
        return sp.Rational(rng.randint(1, 19), 20)  # a probability
    magnitude = sp.Rational(rng.randint(3, 29), 10)
    if symbol.is_positive or symbol.is_nonnegative or rng.random() < 0.6:
        return magnitude
    return -magnitude


def _point(symbols: set[Any], constraints: Mapping[Any, Any], rng: random.Random) -> dict[Any, Any]:
    point = {s: _value(s, rng) for s in sorted(symbols, key=str) if s not in constraints}
    # What was compared before has left constraints of its own, which must not change the numbers.
    for last, rule in sorted(constraints.items(), key=str):
        others = rule.free_symbols
        if not symbols & {last, *others}:
            continue
        weights = {s: rng.randint(1, 9) for s in [*sorted(others, key=str), last]}
        total = sum(weights.values())
        point.update({s: sp.Rational(w, total) for s, w in weights.items()})
    return {s: v for s, v in point.items() if s in symbols}


def _plain(e: sp.Expr) -> sp.Expr:
    """Undefined functions f(z_1) become numbers of their own."""
    return e.replace(lambda a: isinstance(a, AppliedUndef), lambda a: sp.Symbol(str(a), real=True))


def _number(e: sp.Expr, point: Mapping[Any, Any]) -> sp.Expr:
    digits = 15 if e.has(sp.Integral, sp.Sum) else DIGITS
    return e.subs(point).evalf(digits)


def compare(
    left: sp.Expr, right: sp.Expr, constraints: Mapping[Any, Any] | None = None
) -> Comparison:
    """Compare two interpreted expressions."""
    constraints = constraints or {}
    if left == right:
        return Comparison("exact")
    plain = _plain(left), _plain(right)
    symbols = plain[0].free_symbols | plain[1].free_symbols
    rng = random.Random(0)
    tried = 0
    for _ in range(POINTS):
        point = _point(symbols, constraints, rng)
        values = [_number(side, point) for side in plain]
        if not all(v.is_number and v.is_finite for v in values):
            continue
        tried += 1
        scale = max(1, *(abs(v) for v in values))
        coarse = any(side.has(sp.Integral, sp.Sum) for side in plain)
        if abs(values[0] - values[1]) > scale * sp.Float(10) ** (-8 if coarse else 10 - DIGITS):
            return Comparison("no", point, *values)
    if exactly_zero(left - right, constraints):
        return Comparison("exact")
    return Comparison("numeric" if tried else "undecided")
