"""What the book does to lines and signs: formulas with their full stops, results in one piece."""

from __future__ import annotations

import pytest

pytest.importorskip("sphinx")

import typography
from docutils import nodes
from docutils.utils import new_document


def paragraph(*parts: nodes.Node | str) -> nodes.document:
    document = new_document("page")
    line = nodes.paragraph()
    line += [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    document += line
    typography.set_type(None, document, "page")  # type: ignore[arg-type]
    return document


def formula() -> nodes.math:
    return nodes.math("", "z")


def result(text: str) -> nodes.inline:
    return nodes.inline("", "", nodes.Text(text), classes=["pasted-text"])


def tight(document: nodes.document) -> list[str]:
    return [s.astext() for s in document.findall(nodes.inline) if "vae-tight" in s["classes"]]


@pytest.mark.parametrize(
    ("behind", "kept"),
    [(". And", ["z."]), ("), so", ["z),"]), (" and", []), ("-axis", []), ("", [])],
)
def test_a_formula_keeps_its_punctuation(behind: str, kept: list[str]) -> None:
    document = paragraph("see ", formula(), behind)
    assert tight(document) == kept
    assert document.astext() == f"see z{behind}"


@pytest.mark.parametrize(
    ("behind", "kept"),
    [(" %.", ["3 %."]), (" % of", ["3 %"]), (" nats", []), (", 4", ["3,"]), (" and %", [])],
)
def test_a_result_keeps_its_percent_sign(behind: str, kept: list[str]) -> None:
    document = paragraph("it is ", result("3"), behind)
    assert tight(document) == kept
    assert document.astext() == f"it is 3{behind}"


def test_two_results_in_a_row_are_both_found() -> None:
    document = paragraph(result("1"), ", ", result("2"), ".")
    assert tight(document) == ["1,", "2."]
    assert document.astext() == "1, 2."


def test_results_are_typeset_and_nothing_else_changes() -> None:
    document = paragraph("x-1 1e-3 ", result("-0.5"), " ", result("1e-3 of 784-2"))
    assert document.astext() == "x-1 1e-3 −0.5 1 × 10⁻³ of 784-2"


def test_a_long_result_may_break() -> None:
    document = paragraph("(", result("python -m benchmarks.records 05 continuous, 7 min 25 s"), ")")
    assert tight(document) == []
    (long,) = (s for s in document.findall(nodes.inline) if "pasted-text" in s["classes"])
    assert "vae-long" in long["classes"]
