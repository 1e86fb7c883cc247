"""The glossary, and the links to it that the build makes in chapters."""

from __future__ import annotations

import json
import re

from docutils import nodes
from glossary_links import Entry, link_terms, readable
from helpers import ROOT

PAGE = (ROOT / "book" / "glossary.md").read_text("utf-8")
BODY = PAGE.split("```{glossary}\n")[1].split("```")[0]
ENTRIES = [block.splitlines() for block in BODY.strip().split("\n\n")]
NAMES = {
    "ELBO": Entry("term-ELBO", "A lower bound."),
    "prior": Entry("term-prior", "Before the data."),
    "learning rate": Entry("term-lr", "A factor."),
    "rate": Entry("term-rate", "A cost."),
    "Adam": Entry("term-Adam", "An optimiser."),
}


def page(*children: nodes.Node) -> nodes.document:
    from docutils.utils import new_document

    document = new_document("page")
    document += nodes.section("", *children, ids=["s"])
    return document


def paragraph(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.Text(text))


def links(document: nodes.document) -> list[str]:
    return [link.astext() for link in document.findall(nodes.reference) if link["classes"]]


def test_the_first_mention_is_linked_and_no_other() -> None:
    document = page(paragraph("The priors, the ELBO, the ELBO."), paragraph("A prior again."))
    before = document.astext()
    assert link_terms(document, NAMES, "g.html") == 2
    assert links(document) == ["priors", "ELBO"]
    assert document.astext() == before
    first = next(iter(document.findall(nodes.reference)))
    assert first["refuri"] == "g.html#term-prior"
    assert first["reftitle"] == "Before the data."


def test_only_running_prose_is_linked() -> None:
    code = nodes.paragraph("", "", nodes.literal("", "prior"))
    linked = nodes.paragraph("", "", nodes.reference("", "ELBO", refuri="x"))
    table = nodes.table("", nodes.entry("", paragraph("prior")))
    figure = nodes.figure("", nodes.caption("", "prior"))
    output = nodes.container("", paragraph("prior"), classes=["cell_output"])
    note = nodes.note("", paragraph("prior"))
    formula = nodes.paragraph("", "", nodes.math("", "prior"))
    document = page(nodes.title("", "prior"), code, linked, table, figure, output, note, formula)
    assert link_terms(document, NAMES, "g.html") == 0


def test_words_with_other_meanings_and_parts_of_words_are_left_alone() -> None:
    document = page(paragraph("At this rate an adamant superprior is prior-like, adam."))
    assert link_terms(document, NAMES, "g.html") == 0
    document = page(paragraph("A learning rate."))
    link_terms(document, NAMES, "g.html")
    assert links(document) == ["learning rate"]


def test_formulas_in_cards_hold_no_commands() -> None:
    for formula in re.findall(r"\$(.*?)\$", BODY):
        assert not re.search(r"\\|[{}]", readable(formula)), formula


def test_every_entry_occurs_in_a_chapter_and_names_one() -> None:
    texts = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                texts.append("".join(cell["source"]))
    book = re.sub(r"[\s–-]+", " ", " ".join(texts)).lower()
    assert 90 <= len(ENTRIES) <= 120
    seen: set[str] = set()
    for entry in ENTRIES:
        names = [line for line in entry if not line.startswith(" ")]
        assert any(re.sub("[–-]", " ", name).lower() in book for name in names), names
        assert re.search(r"\{chapter\}`\d+`\.$", entry[-1]), names
        assert not seen & set(names)
        seen |= set(names)
