"""The page of symptoms: its code runs, its statements hold, its links lead to sections."""

from __future__ import annotations

import ast
import json
import re

import pytest
from chapter_links import plain
from helpers import ROOT

PAGE = (ROOT / "book" / "symptoms.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PAGES = [
    (ROOT / "book" / f"{name}.md").read_text("utf-8") for name in ("symptoms", "where_vaes_live")
]
LINKS = re.findall(r"\{chapter\}`(\d+)(?:: (.*?))?`", "".join(PAGES))


def headings(number: str) -> set[str]:
    """The headings of a chapter, as links compare them."""
    (path,) = (ROOT / "notebooks").glob(f"{int(number):02d}_*.ipynb")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return {plain(found) for text in texts for found in re.findall(r"^#+ (.*)$", text, re.M)}


def test_every_line_runs_and_what_it_says_is_true() -> None:
    names: dict[str, object] = {}
    statements = 0
    for block in BLOCKS:
        lines = block.splitlines()
        for node in ast.parse(block).body:
            source = ast.get_source_segment(block, node)
            assert source is not None
            if not isinstance(node, ast.Expr):
                exec(source, names)
                continue
            value = eval(source, names)
            if lines[(node.end_lineno or 1) - 1].endswith("# True"):
                statements += 1
                assert bool(value), source
    assert statements >= 10


@pytest.mark.parametrize(("number", "section"), sorted(set(LINKS)))
def test_links_lead_to_a_section(number: str, section: str) -> None:
    if section:
        assert plain(section) in headings(number)
    else:
        assert headings(number)


def test_forty_questions_are_numbered_and_each_symptom_has_code() -> None:
    assert [int(n) for n in re.findall(r"^\*\*(\d+)\.", PAGE, re.M)] == list(range(1, 41))
    symptoms = PAGE.split("## By symptom")[1].split("## Questions")[0].split("\n### ")[1:]
    assert len(symptoms) >= 8
    for symptom in symptoms:
        title = symptom.splitlines()[0]
        assert "```python" in symptom, title
        assert "{chapter}" in symptom, title


def test_each_use_names_a_chapter_a_reference_and_a_library() -> None:
    known = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text("utf-8"), re.M)
    )
    uses = [part for part in PAGES[1].split("\n\n") if part.startswith("**")]
    assert len(uses) >= 10
    for use in uses:
        assert "{chapter}" in use, use
        assert "Library: `" in use, use
        cited = re.findall(r"Reference:\s+\{cite:t\}`(\w+)`", use)
        assert len(cited) == 1, use
        assert cited[0] in known
