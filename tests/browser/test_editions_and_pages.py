"""Editions have the numbers of the built pages: of equations, exercises and results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import normalise
import pytest
import stored
from bs4 import BeautifulSoup
from edition import cells
from helpers import ROOT

PLACE = r'<a id="([\w-]+)" name="\1"></a>\n\n'
TAGGED = re.compile(PLACE + r"( *)\$\$\n(?:(?!\$\$).)*?\\tag\{([\d.]+)\}", re.DOTALL)


@pytest.fixture(params=stored.chapters(ROOT), ids=lambda path: path.stem)
def both(request: pytest.FixtureRequest, book: Path) -> tuple[BeautifulSoup, str]:
    """A chapter's built page, and all text that its edition shows."""
    page = (book / "notebooks" / f"{request.param.stem}.html").read_text("utf-8")
    found = json.loads(stored.edition(request.param, ROOT).read_text("utf-8"))["cells"]
    return BeautifulSoup(page, "html.parser"), "\n".join(shown(cell) for cell in found)


def shown(cell: dict[str, Any]) -> str:
    if cell["cell_type"] == "markdown":
        return normalise.text_of(cell["source"])
    data = [output.get("data", {}) for output in cell["outputs"]]
    return "\n".join(normalise.text_of(each.get("text/markdown", "")) for each in data)


def test_equations_have_the_pages_numbers(both: tuple[BeautifulSoup, str]) -> None:
    page, text = both
    numbers = {}
    for place in page.select(".eqno"):
        (link,) = place.select("a.headerlink")
        numbers[str(link["href"]).removeprefix("#equation-")] = place.get_text().strip("()#")
    assert numbers
    assert {found[1]: found[3] for found in TAGGED.finditer(text)} == numbers


def test_exercises_have_the_pages_numbers(both: tuple[BeautifulSoup, str]) -> None:
    page, text = both
    titles = [title.get_text() for title in page.select("div.exercise p.admonition-title")]
    numbers = [re.findall(r"Exercise [\d.]+", title)[0] for title in titles]
    assert numbers == re.findall(r"^### (Exercise [\d.]+)", text, re.MULTILINE)


def test_as_many_results_stand_in_sentences_as_on_the_page(
    both: tuple[BeautifulSoup, str], request: pytest.FixtureRequest
) -> None:
    page, _ = both
    path = request.node.callspec.params["both"]
    source = json.loads(path.read_text("utf-8"))["cells"]
    texts = "\n".join(shown(cell) for cell in source if cell["cell_type"] == "markdown")
    assert len(page.select(".pasted-text")) == len(re.findall(r"\{glue:text\}`", texts))
    assert set(re.findall(r"\{glue:text\}`([^`:]+)", texts)) <= set(cells.glued(source))
