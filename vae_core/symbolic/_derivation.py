"""A derivation: a chain of expressions with reasons, which proves itself line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import sympy as sp

from vae_core import _text
from vae_core.symbolic import _render
from vae_core.symbolic._compare import Comparison, compare
from vae_core.symbolic._interpretations import (
    Interpretation,
    any_distributions,
    discrete,
    linear_gaussian,
)
from vae_core.symbolic._latex import latex
from vae_core.symbolic._rules import Rule

__all__ = ["Derivation", "DerivationError", "Line", "Report", "Step"]

RELATIONS = ("=", ">=", "<=")
NUMERIC = "numeric only"


class DerivationError(AssertionError):
    """A line of a derivation does not follow from the line before it."""


@dataclass(frozen=True)
class Step:
    """One line: what it says, and why.

    expression: the line's right side.
    reason: plain words, with ``$...$`` for mathematics.
    relation: ``"="``, ``">="`` or ``"<="`` to the line before.
    gap: for an inequality, the quantity, known to be non-negative, by which the two lines differ.
    left: a new left side. The line is then an equation of its own, ``left = expression``.
    """

    expression: sp.Expr
    reason: str
    relation: str = "="
    gap: sp.Expr | None = None
    left: sp.Expr | None = None

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"a relation is one of {RELATIONS}, not {self.relation!r}")
        if (self.gap is None) != (self.relation == "="):
            raise ValueError("an inequality names its gap, and an equality has none")
        object.__setattr__(self, "expression", sp.sympify(self.expression))


@dataclass(frozen=True)
class Line:
    """What became of one step.

    letter: (a), (b), ... as shown. verdict: the strongest proof, or ``"wrong"``. checks: the
    interpretations under which the line held, each with its verdict. complaint: what is wrong.
    values, left, right: where refuted, the symbols' values and both sides' values there.
    """

    index: int
    letter: str
    reason: str
    verdict: str
    checks: Mapping[str, str] = field(default_factory=dict)
    complaint: str = ""
    values: Mapping[Any, Any] = field(default_factory=dict)
    left: Any = None
    right: Any = None

    def __bool__(self) -> bool:
        return self.verdict != "wrong"


@dataclass(frozen=True)
class Report:
    """The verdicts of all lines; true if every line holds."""

    name: str
    lines: tuple[Line, ...]

    def __bool__(self) -> bool:
        return all(self.lines)

    @property
    def wrong(self) -> Line | None:
        """The first line that does not hold."""
        return next((line for line in self.lines if not line), None)

    @property
    def sentence(self) -> str:
        """One sentence: all lines hold, or what is wrong with the first that does not."""
        if self.wrong is None:
            count = len(self.lines)
            return f"{self.name}: {'the line holds' if count == 1 else f'all {count} lines hold'}"
        return f"{self.name}: {self.wrong.complaint}"

    def counts(self) -> dict[str, int]:
        """Number of lines for each verdict."""
        out: dict[str, int] = {}
        for line in self.lines:
            out[line.verdict] = out.get(line.verdict, 0) + 1
        return out

    def __str__(self) -> str:
        rows = [f"({line.letter}) {line.verdict}" for line in self.lines]
        return _text.fitting("\n".join([self.sentence, *rows]))


@lru_cache(maxsize=1)
def _usual() -> tuple[Interpretation, ...]:
    """The interpretations of a derivation that names none; one set, so that work is shared."""
    return any_distributions(), discrete(2), discrete(3), linear_gaussian()


@dataclass(frozen=True)
class Derivation:
    """A chain of lines, each compared with the line before under every interpretation.

    name: also the label of the equation on a page. left: the first expression. given: the rules of
    probability it may use besides the definitions (``bayes_rule``, ``product_rule``, ...).
    """

    name: str
    left: sp.Expr
    steps: Sequence[Step]
    interpretations: Sequence[Interpretation] = ()
    given: Sequence[Rule] = ()
    label: str | None = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"derivation {self.name!r} has no steps")
        object.__setattr__(self, "left", sp.sympify(self.left))
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "given", tuple(self.given))
        chosen = tuple(self.interpretations) or _usual()
        object.__setattr__(self, "interpretations", chosen)
        if self.label == "":
            object.__setattr__(self, "label", self.name)

    @property
    def right(self) -> sp.Expr:
        """The last expression: what has been derived."""
        return self.steps[-1].expression

    def labelled(self, label: str | None) -> Derivation:
        """The same derivation with another label on the page, or none."""
        return replace(self, label=label)

    def with_step(self, index: int, step: Step) -> Derivation:
        """The same derivation with one step replaced (to see what a mistake does)."""
        steps = list(self.steps)
        steps[index] = step
        return replace(self, steps=steps)

    def verify(self, until: int | None = None) -> Report:
        """Compare every line with the one before; ``until`` stops after that many steps."""
        return Report(self.name, tuple(self.lines(until)))

    def lines(self, until: int | None = None) -> Iterator[Line]:
        """What became of each step, one after another; each is worked out when it is asked for."""
        before = self.left
        for index, step in enumerate(self.steps[:until]):
            yield self._line(index, before if step.left is None else step.left, step)
            before = step.expression

    def check(self) -> Derivation:
        """Verify; raise ``DerivationError`` that names the first wrong line. Returns itself."""
        report = self.verify()
        if not report:
            raise DerivationError(report.sentence)
        return self

    # --- one line -------------------------------------------------------------------------

    def _line(self, index: int, before: sp.Expr, step: Step) -> Line:
        letter = _render.letter(index)

        def wrong(complaint: str, found: Comparison | None = None) -> Line:
            extra = {} if found is None else {
                "values": found.point, "left": found.left, "right": found.right
            }  # fmt: skip
            return Line(index, letter, step.reason, "wrong", complaint=complaint, **extra)

        if step.gap is not None and not step.gap.is_nonnegative:
            return wrong(
                f"line ({letter}) is an inequality whose gap, {latex(step.gap)}, is not known to "
                "be non-negative"
            )
        checks: dict[str, str] = {}
        troubles = []
        inconclusive = False
        for meaning in self.interpretations:
            try:
                found = self._compare(meaning, before, step)
            except ValueError as error:
                troubles.append(str(error))
                continue
            if found.equal == "exact":
                checks[meaning.name] = meaning.verdict
            elif found.equal == "numeric":
                checks[meaning.name] = NUMERIC
            elif found.equal == "undecided":
                inconclusive = True
            else:
                return wrong(_complaint(letter, step, found, meaning), found)
        if not checks and inconclusive:
            for meaning in _usual()[1:]:
                try:
                    found = self._compare(meaning, before, step)
                except ValueError:
                    continue
                if found.equal == "no":
                    return wrong(_complaint(letter, step, found, meaning), found)
            return wrong(f"line ({letter}) could not be proved from the line before")
        if not checks:
            return wrong(f"line ({letter}) could not be read: {troubles[0]}")
        return Line(index, letter, step.reason, _strongest(checks), checks)

    def _compare(self, meaning: Interpretation, before: sp.Expr, step: Step) -> Comparison:
        # Kept with the interpretation: a chain changed in one line is compared there only.
        key = (before, step.expression, step.gap, step.relation, tuple(self.given))
        if key not in meaning.compared:
            meaning.compared[key] = self._compared(meaning, before, step)
        return meaning.compared[key]

    def _compared(self, meaning: Interpretation, before: sp.Expr, step: Step) -> Comparison:
        left = meaning.of(before, tuple(self.given))
        right = meaning.of(step.expression, tuple(self.given))
        if step.gap is not None:
            gap = meaning.of(step.gap, tuple(self.given))
            right = right + gap if step.relation == ">=" else right - gap
        if not meaning.conclusive:
            # A canonical form can only prove: other meanings look for counterexamples.
            return Comparison("exact" if sp.expand(left - right) == 0 else "undecided")
        return compare(left, right, meaning.constraints)

    # --- what is shown --------------------------------------------------------------------

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {_render.aligned(self)}$"

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        return _render.bundle(self)

    def table(self) -> _render.Table:
        """The lines with their reasons and how each was checked; verifies first."""
        self.check()
        return _render.Table(self.verify())

    def __str__(self) -> str:
        return _text.fitting(_render.plain(self))


def _strongest(checks: Mapping[str, str]) -> str:
    """The first exact verdict, with all the sizes for which it was given."""
    exact = [v for v in checks.values() if v != NUMERIC]
    if not exact:
        return NUMERIC
    for start, end, joint in (
        ("proved for ", " states", " and "),
        ("explicit matrices k=", "", ","),
    ):
        if exact[0].startswith(start) and exact[0].endswith(end):
            sizes = [v.removeprefix(start).removesuffix(end) for v in exact if v.startswith(start)]
            if all(size.isdigit() for size in sizes):
                return start + joint.join(sizes) + end
    return exact[0]


def _complaint(letter: str, step: Step, found: Comparison, meaning: Interpretation) -> str:
    values = ", ".join(f"{s} = {v}" for s, v in sorted((found.point or {}).items(), key=str))
    left, right = (sp.Float(v, 6) if v.is_Float else v for v in (found.left, found.right))
    if step.left is not None:
        sides = f"its left side is {left} and its right side {right}"
        what = f"line ({letter}) is not an equation"
    elif step.gap is not None:
        sign = "plus" if step.relation == ">=" else "minus"
        sides = f"the line before is {left}, and line ({letter}) {sign} its gap is {right}"
        what = f"line ({letter}) and the line before do not differ by the gap it names"
    else:
        sides = f"the line before is {left} and line ({letter}) is {right}"
        what = f"line ({letter}) does not follow from the line before"
    where = f" with {values}," if values else ""
    return f"{what}: under “{meaning.name}”,{where} {sides}"
