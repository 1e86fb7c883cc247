"""How a derivation looks: aligned equations with letters, and a table of reasons and checks."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sympy as sp

from vae_core import _text
from vae_core.symbolic._interpretations import joined
from vae_core.symbolic._latex import latex
from vae_core.symbolic._nodes import Expectation, IntegralOver

if TYPE_CHECKING:
    from vae_core.symbolic._derivation import Derivation, Report

__all__ = ["BOOK", "NUMBERS", "Table", "aligned", "bundle", "letter", "numbered", "plain"]

BOOK = "VAE_CORE_BOOK"
# In an edition that readers run: the number that the book gives to a label; see vae_core.notebook.
NUMBERS: dict[str, str] = {}
SIGNS = {"=": "=", ">=": r"\geq", "<=": r"\leq"}
# About as many letters as a row of a page holds.
WIDE = 38


def letter(index: int) -> str:
    """a, b, ..., z, aa, ab, ... for 0, 1, ..."""
    first, second = divmod(index, 26)
    return (letter(first - 1) if first else "") + chr(ord("a") + second)


def width(text: str) -> int:
    """About how many signs wide LaTeX is; of a fraction, its wider part counts."""
    text = re.sub(
        r"\\(left|right|Bigl|Bigr|qquad|mathcal|operatorname)(?![a-z])|\\[,;!]|\s", "", text
    )
    text = re.sub(r"\\(log|exp)", "xxx", text)
    script = re.compile(r"[\^_]\{([^{}]*)\}")
    fraction = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
    before = ""
    while before != text:
        before = text
        text = script.sub(r"\1", text)
        text = fraction.sub(lambda m: max(m[1], m[2], key=_letters), text)
    return _letters(text)


def _letters(text: str) -> int:
    return len(re.sub(r"[{}^_]", "", re.sub(r"\\[a-zA-Z]+", "x", text)))


def _frame(expression: Any) -> tuple[str, Any, str]:
    """LaTeX before a long sum, the sum, and LaTeX behind it."""
    if expression.is_Add:
        return "", expression, ""
    if isinstance(expression, Expectation) and expression.f.is_Add:
        head, _ = latex(Expectation(sp.Symbol("@"), *expression.args[1:])).split(r"\left[ @")
        return rf"{head}\Bigl[ ", expression.f, r" \Bigr]"
    if isinstance(expression, IntegralOver):
        *front, last = sp.Mul.make_args(expression.f)
        if last.is_Add:
            head = " ".join(map(latex, front))
            return rf"\int {head} \Bigl( ", last, rf" \Bigr) \, d{latex(expression.z)}"
    if expression.is_Mul:
        head = latex(sp.Mul(*expression.args[:-1], evaluate=False))
        head = "-" if head in ("-1", "- 1") else head
        last = expression.args[-1]
        if last.is_Add:
            return rf"{head} \Bigl( ", last, r" \Bigr)"
        before, terms, behind = _frame(last)
        return f"{head} {before}", terms, behind
    return "", None, ""


def broken(start: str, expression: Any) -> list[str]:
    """``start`` and the LaTeX of ``expression``, in rows: a long sum breaks before its terms."""
    whole = start + latex(expression)
    before, sum_, behind = _frame(expression)
    if sum_ is None or width(whole) <= WIDE:
        return [whole]
    rows = [start + before]
    for number, term in enumerate(sum_.args):
        piece = latex(term)
        if term.is_Add:
            piece = rf"\left( {piece} \right)"
        if number:
            piece = f"- {piece[1:].lstrip()}" if piece.startswith("-") else f"+ {piece}"
        if number and width(rows[-1]) + width(piece) > WIDE:
            rows.append(piece)
        else:
            rows[-1] += f" {piece}" if number else piece
    rows[-1] += behind
    return rows


def aligned(derivation: Derivation) -> str:
    """The chain as a LaTeX ``aligned`` environment, each step's row lettered at its left.

    Left sides stand on rows of their own: rows stay short enough for a page's column.
    """
    rows: list[str] = []
    left = derivation.left
    for index, step in enumerate(derivation.steps):
        if step.left is not None:
            left = step.left
        if index == 0 or step.left is not None:
            if rows:
                rows[-1] += " \\\\[0.6em]"
            rows += [f"& {row}" for row in broken("", left)]
        first, *more = broken(f"{SIGNS[step.relation]} ", step.expression)
        rows.append(rf"\text{{({letter(index)})}} \quad & {first}")
        rows += [rf"& \qquad {{}}{row}" for row in more]
    body = " \\\\\n".join(rows).replace("[0.6em] \\\\\n", "[0.6em]\n")
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


class Table:
    """Lines, reasons and checks, for a page or a terminal.

    Where all lines were checked alike, one sentence says so instead of a column.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        checks = [how(line) for line in report.lines]
        self.head: tuple[str, ...] = ("line", "reason")
        self.rows: list[tuple[str, ...]] = [
            (f"({line.letter})", line.reason) for line in report.lines
        ]
        self.note = ""
        if len(set(checks)) == 1:
            every = "Every line was" if len(checks) > 1 else "The line was"
            self.note = f"{every} checked {checks[0]}."
        else:
            self.head += ("how checked",)
            self.rows = [(*row, check) for row, check in zip(self.rows, checks, strict=True)]

    def _repr_markdown_(self) -> str:
        note = f"\n{self.note}\n" if self.note else ""
        return markdown_table(self.head, self.rows) + note

    def __repr__(self) -> str:
        width = max(len(reason) for _, reason, *_ in self.rows)
        rows = [f"{a:5} {b:{width}}  {' '.join(c)}".rstrip() for a, b, *c in self.rows]
        return _text.fitting("\n".join([*rows, self.note] if self.note else rows))


def how(line: Any) -> str:
    """How a line was checked, in a table's words."""
    if not line:
        return f"✗ {line.complaint}"
    exact = {n: v for n, v in line.checks.items() if v != "numeric only"}
    numeric = [n for n in line.checks if n not in exact]
    words = joined(exact)
    if numeric:
        only = f"{joined(numeric)}, numerically only"
        words = f"{words}; {only}" if words else only
    return words


def markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def plain(derivation: Derivation) -> str:
    """The chain for a terminal: SymPy's own spelling."""
    lines = [str(derivation.left)]
    for index, step in enumerate(derivation.steps):
        if step.left is not None:
            lines.append(str(step.left))
        lines.append(f"  {step.relation} {step.expression}    ({letter(index)}) {step.reason}")
    return "\n".join(lines)


def numbered(tex: str, label: str, number: str) -> str:
    """An equation for a notebook: with its number, and with a place that links can name."""
    return f'<a id="{label}" name="{label}"></a>\n\n$$\n{tex}\n\\tag{{{number}}}\n$$\n'


def bundle(derivation: Derivation) -> dict[str, str]:
    """What a notebook shows. Where the book is built, the equation carries its label.

    The table is part of it, so a derivation that does not hold cannot be shown.
    """
    table = derivation.table()
    chain = aligned(derivation)
    number = NUMBERS.get(derivation.label or "")
    more = {}
    if os.environ.get(BOOK):
        label = f":label: {derivation.label}\n" if derivation.label else ""
        shown = f"```{{math}}\n{label}\n{chain}\n```\n"
    elif number:
        shown = numbered(chain, derivation.label or "", number)
        more = {"text/latex": f"$$\n{chain}\n\\tag{{{number}}}\n$$"}
    else:
        shown = f"$$\n{chain}\n$$\n"
    return {
        **more,
        "text/markdown": f"{shown}\n{table._repr_markdown_()}",
        "text/plain": f"{table.report.sentence}\n{table!r}",
    }
