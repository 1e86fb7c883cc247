"""Sphinx extension: a derivation's reason stands beside its line, and below it on a phone.

A derivation shows itself as one aligned equation with lettered lines, and a table that gives each
letter its reason (``vae_core.symbolic``); a notebook's front end can show no more. On a page the
two are put together: the left side, which carries the number that text refers to, and then a list,
in which each line is a formula of its own with its reason. What the table's note says stays.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

CHAIN = re.compile(r"\s*\\begin\{aligned\}\n(.*)\n\\end\{aligned\}\s*", re.DOTALL)
ROW = re.compile(r" \\\\(?:\[0\.6em\])?\n")
LETTER = re.compile(r"\\text\{(\(\w+\))\} \\quad & ")
MORE = "& \\qquad {}"


class Line(NamedTuple):
    """A left side (no letter), or a line with its letter; its formula in rows."""

    letter: str
    rows: list[str]

    @property
    def tex(self) -> str:
        first, *more = self.rows
        if not more:
            return first
        body = " \\\\\n".join([f"& {first}", *(f"& \\qquad {{}}{row}" for row in more)])
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def lines(tex: str) -> list[Line]:
    """The lines of an aligned chain; none if it is no such chain."""
    chain = CHAIN.fullmatch(tex)
    found: list[Line] = []
    for row in ROW.split(chain[1]) if chain else ():
        if letter := LETTER.match(row):
            found.append(Line(letter[1], [row[letter.end() :]]))
        elif row.startswith(MORE) and found:
            found[-1].rows.append(row.removeprefix(MORE))
        elif found and not found[-1].letter:
            found[-1].rows.append(row.removeprefix("& "))
        elif row.startswith("& "):
            found.append(Line("", [row.removeprefix("& ")]))
        else:
            return []
    return found if found and not found[0].letter else []


def reasons(table: nodes.table) -> dict[str, list[list[nodes.Node]]]:
    """Letter -> the contents of the other cells of its row; none for another kind of table."""
    head = next(table.findall(nodes.thead), None)
    if head is None or [e.astext() for e in head.findall(nodes.entry)][:2] != ["line", "reason"]:
        return {}
    body = next(table.findall(nodes.tbody))
    rows = [list(row.findall(nodes.entry)) for row in body.findall(nodes.row)]
    return {first.astext(): [entry.children for entry in rest] for first, *rest in rows}


def formula(tex: str) -> nodes.math_block:
    return nodes.math_block(tex, tex, nowrap=False, number=None)


def step(line: Line, cells: list[list[nodes.Node]]) -> nodes.list_item:
    """A line of the list: its letter, its formula, and each of its table's other cells."""
    if not line.letter:
        return nodes.list_item("", formula(line.tex), classes=["vae-step", "vae-left"])
    beside = nodes.container(classes=["vae-beside"])
    beside += formula(line.tex)
    for cell in cells:
        reason = nodes.container(classes=["vae-reason"])
        reason += cell
        beside += reason
    letter = nodes.paragraph(line.letter, line.letter, classes=["vae-letter"])
    return nodes.list_item("", letter, beside, classes=["vae-step"])


def together(block: nodes.math_block, table: nodes.table) -> bool:
    """Put a chain and its table together; False, and nothing done, unless they belong together."""
    found, said = lines(block.astext()), reasons(table)
    if not found or [line.letter for line in found if line.letter] != list(said):
        return False
    first, *rest = found
    listed = nodes.enumerated_list(classes=["vae-steps"])
    listed += [step(line, said.get(line.letter, [])) for line in rest]
    table.replace_self(listed)
    block.rawsource = first.tex
    block.children = []
    block += nodes.Text(first.tex)
    block["classes"].append("vae-left")
    return True


class Derivations(SphinxTransform):
    """Every chain of a page that is followed by its table."""

    default_priority = 830

    def apply(self, **options: Any) -> None:
        for block in list(self.document.findall(nodes.math_block)):
            following = block.next_node(descend=False, siblings=True)
            if isinstance(following, nodes.table):
                together(block, following)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(Derivations)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
