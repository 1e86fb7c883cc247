"""The reader's workbench: type a derivation of one's own, get a verdict on every line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from vae_core import _check, _text
from vae_core.symbolic._derivation import Derivation, Line, Report, Step
from vae_core.symbolic._interpretations import Interpretation
from vae_core.symbolic._latex import latex
from vae_core.symbolic._limit import OutOfTimeError, within
from vae_core.symbolic._parse import NotationError, parse
from vae_core.symbolic._render import how, letter
from vae_core.symbolic._rules import Rule, bayes_rule, marginal_rule, product_rule

__all__ = ["Workbench", "workbench"]

RELATION = re.compile(r"^\s*(>=|<=|≥|≤|=)?")
SIGNS = {"≥": ">=", "≤": "<=", "": "="}
TIME_LIMIT = 15.0  # seconds of work for a whole chain; the longest in the book takes two


@dataclass(frozen=True)
class Workbench:
    """Verdicts on a reader's chain; true if every line holds and the goal, if one is set, is met.

    texts: the lines as typed. verdicts: one sentence each. derivation: the chain as read, up to the
    first line that could not be.
    """

    texts: tuple[str, ...]
    verdicts: tuple[str, ...]
    right: bool
    derivation: Derivation | None = None
    report: Report | None = None

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return _text.fitting("\n".join(self.verdicts))

    def _repr_markdown_(self) -> str:
        rows = []
        if self.derivation is not None:
            for step in self.derivation.steps:
                sign = {"=": "=", ">=": r"\geq", "<=": r"\leq"}[step.relation]
                rows.append(f"${sign} {latex(step.expression)}$ — ")
        rows += [""] * (len(self.verdicts) - len(rows))
        return "\n".join(
            f"- {row}{verdict}" for row, verdict in zip(rows, self.verdicts, strict=True)
        )


def workbench(
    left: Any,
    lines: Sequence[str],
    *,
    goal: Any = None,
    names: Mapping[str, Any] | None = None,
    q: Any = None,
    interpretations: Sequence[Interpretation] = (),
    given: Sequence[Rule] | None = None,
    seconds: float = TIME_LIMIT,
) -> Workbench:
    """Check a chain of lines typed in plain notation, each against the one before.

    left: where the chain begins, an expression or a string. lines: one string a line. A line may
    begin with ``=``, ``>=`` or ``<=`` and end with a reason, ``# ...``. An inequality names what it
    leaves away: ``>= E[log(P(X, z) / Q(z|X))] gap KL(Q(z|X) || P(z|X))``. goal: what the last line
    should say. names, q: as for ``parse``, whose ``NOTATION`` lists what can be written.
    interpretations, given: as for ``Derivation``; unless given, Bayes' rule, the product rule and
    marginalisation may be used. seconds: of work, after which the check is stopped: SymPy never
    comes back from some integrals. The line at which it was is named, and not counted as right.

    Nothing typed is executed. A line that cannot be read gets one sentence, and ends the check.
    """
    seconds = _check.positive("seconds", seconds)
    if isinstance(lines, str):
        lines = [line for line in lines.splitlines() if line.strip()]
    texts = tuple(lines)
    if not texts:
        return Workbench(texts, ("✗ there is no line yet",), False)
    start = _read(left, names, q) if isinstance(left, str) else sp.sympify(left)
    steps: list[Step] = []
    verdicts: list[str] = []
    unread = ""
    for index, text in enumerate(texts):
        try:
            steps.append(_step(text, names, q))
        except NotationError as error:
            unread = f"✗ line ({letter(index)}) cannot be read: {error}"
            break
    if not steps:
        return Workbench(texts, (unread,), False)
    X, z = sp.symbols("X z", real=True)
    rules = (bayes_rule(X, z), product_rule(X, z), marginal_rule(X, z))
    chosen = tuple(given) if given is not None else rules
    chain = Derivation("your derivation", start, steps, interpretations, chosen, None)
    end = None
    if goal is not None:
        end = _read(goal, names, q) if isinstance(goal, str) else sp.sympify(goal)
    found: list[Line] = []
    reached: list[bool] = []  # whether the goal is, once that was asked

    def work() -> None:
        for line in chain.lines():
            found.append(line)
        if end is not None and not unread and all(found):
            same = Derivation("goal", chain.right, [Step(end, "")], interpretations, chain.given)
            reached.append(bool(same.verify()))

    halt, at_goal = "", ""  # why the work ended before its end, said of a line and of the goal
    try:
        within(work, seconds)
    except OutOfTimeError:
        halt = (
            f"was not decided within {seconds:g} s of work, and the check was stopped: SymPy finds "
            "no value for an integral in it, or only after long"
        )
        at_goal = f"was not decided in {seconds:g} s"
    except (ArithmeticError, MemoryError, NotImplementedError, RecursionError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        halt = at_goal = f"could not be computed: {told}"
    verdicts += [
        f"✓ line ({line.letter}) holds ({how(line)})" if line else f"✗ {line.complaint}"
        for line in found
    ]
    if halt and len(found) < len(steps):
        verdicts.append(f"✗ line ({letter(len(found))}) {halt}")
        left_over = range(len(verdicts), len(steps))
        verdicts += [f"· line ({letter(index)}) was not reached" for index in left_over]
    if unread:
        verdicts.append(unread)
    report = None if halt else Report(chain.name, tuple(found))
    right = not unread and bool(report)
    if end is not None and not unread and len(found) == len(steps) and all(found):
        right = reached == [True]
        if right:
            verdicts.append("✓ the last line is what was asked for")
        elif reached:
            verdicts.append(f"✗ the last line is not yet ${latex(end)}$")
        else:
            verdicts.append(f"✗ whether the last line is the goal {at_goal}")
    return Workbench(texts, tuple(verdicts), right, chain, report)


def _read(text: str, names: Mapping[str, Any] | None, q: Any) -> sp.Expr:
    return parse(text, names, q)


def _step(text: str, names: Mapping[str, Any] | None, q: Any) -> Step:
    if not isinstance(text, str):
        raise NotationError(f"a line is a string, not {type(text).__name__}")
    body, _, reason = text.partition("#")
    match = RELATION.match(body)
    sign = (match[1] if match else None) or ""
    relation = SIGNS.get(sign, sign)
    body = body[match.end() :] if match else body
    formula, *gaps = re.split(r"\bgap\b", body, maxsplit=1)
    if relation == "=" and gaps:
        raise NotationError("an equation has no gap; begin the line with >= or <=")
    if relation != "=" and not gaps:
        raise NotationError(
            "an inequality names what it leaves away, as in “>= ... gap KL(Q(z|X) || P(z|X))”"
        )
    gap = _read(gaps[0], names, q) if gaps else None
    return Step(_read(formula, names, q), reason.strip() or "your line", relation, gap)
