"""How a derivation looks: aligned equations with letters, and a table of reasons and checks."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vae_core.symbolic._interpretations import joined
from vae_core.symbolic._latex import latex

if TYPE_CHECKING:
    from vae_core.symbolic._derivation import Derivation, Report

__all__ = ["BOOK", "Table", "aligned", "bundle", "letter", "plain"]

BOOK = "VAE_CORE_BOOK"
SIGNS = {"=": "=", ">=": r"\geq", "<=": r"\leq"}
# About as many letters as a row of a page holds.
WIDE = 76


def letter(index: int) -> str:
    """a, b, ..., z, aa, ab, ... for 0, 1, ..."""
    first, second = divmod(index, 26)
    return (letter(first - 1) if first else "") + chr(ord("a") + second)


def width(text: str) -> int:
    """About how many letters wide LaTeX is: a command counts for one, braces for none."""
    return len(
        re.sub(
            r"[{}\s^_&]|\\[,;!]|\\left|\\right|\\frac",
            "",
            re.sub(r"\\(?!left|right|frac)[a-zA-Z]+", "x", text),
        )
    )


def broken(start: str, expression: Any) -> list[str]:
    """``start`` and the LaTeX of ``expression``, in rows: a long sum breaks before its terms."""
    whole = start + latex(expression)
    if not expression.is_Add or width(whole) <= WIDE:
        return [whole]
    rows = [start]
    for number, term in enumerate(expression.args):
        piece = latex(term)
        if number:
            piece = f"- {piece[1:].lstrip()}" if piece.startswith("-") else f"+ {piece}"
        if number and width(rows[-1]) + width(piece) > WIDE:
            rows.append(piece)
        else:
            rows[-1] += f" {piece}" if number else piece
    return rows


def aligned(derivation: Derivation) -> str:
    """The chain as a LaTeX ``aligned`` environment, each step's row lettered."""
    rows = []
    left = derivation.left
    fresh = True
    for index, step in enumerate(derivation.steps):
        if step.left is not None:
            left, fresh = step.left, True
        tail = broken(f"{SIGNS[step.relation]} ", step.expression)
        tail[-1] += rf" && \text{{({letter(index)})}}"
        if fresh:
            start = latex(left)
            first, *more = tail
            if width(start) + width(first) <= WIDE:
                rows.append(f"{start} &{first}")
            else:
                rows += [f"& {start}", f"&{first}"]
            fresh = False
        else:
            first, *more = tail
            rows.append(f"&{first}")
        rows += [rf"&\qquad {piece}" for piece in more]
    body = " \\\\\n".join(rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


class Table:
    """Lines, reasons and checks, for a page or a terminal."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.rows = [(f"({line.letter})", line.reason, how(line)) for line in report.lines]

    def _repr_markdown_(self) -> str:
        return markdown_table(("line", "reason", "how checked"), self.rows)

    def __repr__(self) -> str:
        width = max(len(reason) for _, reason, _ in self.rows)
        return "\n".join(f"{a:5} {b:{width}}  {c}" for a, b, c in self.rows)


def how(line: Any) -> str:
    """How a line was checked, in a table's words."""
    if not line:
        return f"✗ {line.complaint}"
    exact = {n: v for n, v in line.checks.items() if v != "numeric only"}
    numeric = [n for n in line.checks if n not in exact]
    words = joined(exact)
    if numeric:
        only = "numerically only" if not exact else f"numerically only for: {', '.join(numeric)}"
        words = f"{words}; checked {only}" if words else f"checked {only}"
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


def bundle(derivation: Derivation) -> dict[str, str]:
    """What a notebook shows. Where the book is built, the equation carries its label.

    The table is part of it, so a derivation that does not hold cannot be shown.
    """
    table = derivation.table()
    chain = aligned(derivation)
    if os.environ.get(BOOK):
        label = f":label: {derivation.label}\n" if derivation.label else ""
        shown = f"```{{math}}\n{label}\n{chain}\n```\n"
    else:
        shown = f"$$\n{chain}\n$$\n"
    return {
        "text/markdown": f"{shown}\n{table._repr_markdown_()}",
        "text/plain": f"{table.report.sentence}\n{table!r}",
    }
