"""A chain with one wrong line, for the reader to find."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._derivation import Derivation, Line, Step
from vae_core.symbolic._parse import parse
from vae_core.symbolic._plain import plain
from vae_core.symbolic._sheets import Sheet, sheets
from vae_core.symbolic.library import derivation

__all__ = ["fault", "mutants", "spoiled"]


def mutants(e: Any) -> Iterator[tuple[str, Any]]:
    """``e`` with one term negated, doubled or dropped: at the top, or inside an expectation."""
    if e.is_Add:
        for i, term in enumerate(e.args):
            rest = [*e.args[:i], *e.args[i + 1 :]]
            yield f"term {i} negated", sp.Add(*rest, -term)
            yield f"term {i} doubled", sp.Add(*rest, 2 * term)
            yield f"term {i} dropped", sp.Add(*rest)
        return
    inner = [a for a in e.args if isinstance(a, sp.Expr) and a.is_Add]
    if isinstance(e, nodes.Expectation | nodes.IntegralOver):
        inner = [a for a in [e.f] if a.is_Add or a.is_Mul]
    if e.is_Mul and not inner:
        inner = [a for a in e.args if isinstance(a, nodes.Expectation | nodes.IntegralOver)]
    if inner and not isinstance(e, sp.log):
        for what, changed in mutants(inner[0]):
            yield what, e.xreplace({inner[0]: changed})
        return
    if e != 0:
        yield "negated", -e
        yield "doubled", 2 * e
    yield "raised by 1", e + 1


def spoiled(name: str, index: int, which: int) -> tuple[str, Line]:
    """What mutant ``which`` of step ``index`` of a derivation changes, and the verdict on it.

    Raises ``ValueError`` where there is no such step, or no such mutant.
    """
    chain = derivation(name)
    if not 0 <= index < len(chain.steps):
        raise ValueError(f"{name} has no step {index}")
    step = chain.steps[index]
    found = list(mutants(step.expression))
    if not 0 <= which < len(found):
        raise ValueError(f"step {index} of {name} has no mutant {which}")
    what, changed = found[which]
    left = (
        step.left
        if step.left is not None
        else chain.steps[index - 1].expression
        if index
        else chain.left
    )
    alone = Derivation(
        name, left, [Step(changed, step.reason, step.relation, step.gap)], chain.interpretations,
        chain.given, None,
    )  # fmt: skip
    return what, alone.verify().lines[0]


def _turned(e: Any) -> Any:
    """Minus ``e``, without two signs one after the other."""
    if e.is_Rational:
        return -e
    factors = list(sp.Mul.make_args(e))
    if -1 in factors:
        factors.remove(sp.S.NegativeOne)
        return nodes.times(*factors) if len(factors) > 1 else factors[0]
    return nodes.minus(e)


def _changed(e: Any) -> Iterator[Any]:
    """``e`` with one sign turned, one term left out, or one doubled, as people do."""
    if e.is_Add:
        *front, last = e.args
        yield nodes.written(*front, _turned(last))
        yield nodes.written(_turned(e.args[0]), *e.args[1:])
        if len(e.args) > 2:
            yield nodes.written(*front)
    elif isinstance(e, nodes.Expectation | nodes.IntegralOver):
        for inside in _changed(e.args[0]):
            yield e.func(inside, *e.args[1:])
    elif e.is_Mul:
        for index, factor in enumerate(e.args):
            if isinstance(factor, sp.Add | nodes.Expectation | nodes.IntegralOver | sp.log):
                for inside in _changed(factor):
                    yield nodes.times(*e.args[:index], inside, *e.args[index + 1 :])
    if isinstance(e, sp.log) and e.args[0].is_Mul:
        above = [f for f in e.args[0].args if not f.is_Pow]
        below = [1 / f for f in e.args[0].args if f.is_Pow and f.exp == -1]
        if above and below:
            yield sp.log(nodes.over(nodes.times(*below), nodes.times(*above)), evaluate=False)
    if isinstance(e, nodes.KL):
        yield nodes.KL(e.p, e.q)
    if not e.is_Add and e != 0:
        yield _turned(e)


@lru_cache(maxsize=64)
def fault(name: str, part: int = 0) -> tuple[int, str] | None:
    """Which line of a sheet is wrong, and what it says then; None where no change makes it so.

    Lines in the middle are tried first: a reader reads from both ends.
    """
    sheet: Sheet = sheets(name)[part]
    steps = _steps(sheet)
    middle = len(steps) // 2
    for index in sorted(range(len(steps)), key=lambda i: (abs(i - middle), i)):
        left, step = steps[index]
        for changed in _changed(step.expression):
            try:
                text = plain(changed, sheet.q, sheet.names)
            except ValueError:
                continue
            spoilt = type(step)(changed, step.reason, step.relation, step.gap)
            chain = type(sheet.derivation)(
                "", left, [spoilt], sheet.derivation.interpretations, sheet.derivation.given, None
            )
            wrong = chain.verify().wrong
            if wrong is not None and wrong.values:
                gap = (
                    f" gap {plain(step.gap, sheet.q, sheet.names)}" if step.gap is not None else ""
                )
                return index, f"{step.relation} {text}{gap}"
    return None


def _steps(sheet: Sheet) -> list[tuple[Any, Any]]:
    """The steps of a sheet, each with the expression before it."""
    left = parse(sheet.start, sheet.names, sheet.q)
    found = []
    for step in sheet.steps:
        found.append((left, step))
        left = step.expression
    return found
