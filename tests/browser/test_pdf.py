"""The book as one PDF, as `make pdf` leaves it: whole, in order, and linked within itself."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from joined import contents
from pypdf import PdfReader
from pypdf.generic import Destination

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "vae-book.pdf"


@cache
def reader() -> PdfReader:
    if not PDF.exists():
        pytest.fail("the PDF is not there; run `make pdf` first")
    return PdfReader(PDF)


@cache
def text(number: int) -> str:
    """Words of a page, counted from 0, without ligatures."""
    words = unicodedata.normalize("NFKC", reader().pages[number].extract_text())
    return " ".join(words.split())


@cache
def outline() -> dict[str, int]:
    """The pages of the book in the outline, with the sheet, from 0, on which each begins."""
    found: dict[str, int] = {}

    def walk(entries: list[Any], level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, level + 1)
                continue
            assert isinstance(entry, Destination)
            number = reader().get_destination_page_number(entry)
            assert number is not None, entry.title
            # Below the parts stand the pages; above all parts the front page.
            if level == 1 or not found:
                found.setdefault(str(entry.title), number)

    walk(reader().outline, 0)
    return found


def chapters() -> list[tuple[str, str]]:
    return [(name, title) for name, title in contents(BOOK) if name.startswith("notebooks/")]


def span(title: str) -> range:
    """The pages of the page of the book with that title, from 0."""
    tops = sorted(outline()[page] for _, page in numbered())
    begin = outline()[title]
    return range(begin, next((t for t in tops if t > begin), len(reader().pages)))


def numbered() -> list[tuple[str, str]]:
    """Pages of the book with their titles as the PDF has them: chapters are numbered."""
    order = {name: k for k, (name, _) in enumerate(chapters(), 1)}
    return [
        (name, f"{order[name]} {title}" if name in order else title)
        for name, title in contents(BOOK)
        if name
    ]


def test_it_is_whole() -> None:
    assert len(reader().pages) > 15 * len(chapters())
    assert len(chapters()) >= 14
    info = reader().metadata
    assert info is not None
    assert info.title == "Variational autoencoders"
    assert reader().trailer["/Root"]["/Lang"] == "en"
    assert "/StructTreeRoot" in reader().trailer["/Root"]  # tagged, for screen readers


def test_outline_has_every_page_in_order() -> None:
    assert [title for _, title in numbered() if title not in outline()] == []
    places = [outline()[title] for _, title in numbered()]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    for (_, title), place in zip(numbered(), places, strict=True):
        words = re.sub(r"^\d+ ", "", title).split()
        assert words[0] in text(place), title


def test_contents_name_the_right_pages() -> None:
    listed = " ".join(text(number) for number in range(1, 8))
    for _, title in numbered()[1:]:
        # A letter outside the text's font comes apart when its words are read back.
        loose = ".{1,4}?".join(map(re.escape, re.split(r"[^\x00-\x7f]+", title)))
        found = re.findall(rf"{loose}\s*(\d+)", listed)
        assert str(outline()[title] + 1) in found, title


def test_every_link_within_it_leads_somewhere() -> None:
    pages, names = reader().pages, reader().named_destinations
    within = 0
    for page in pages:
        for entry in page.get("/Annots") or []:
            link = entry.get_object()
            if link.get("/Subtype") != "/Link":
                continue
            target = link.get("/Dest")
            action = link.get("/A", {}).get_object() if "/A" in link else {}
            if target is None and action.get("/S") == "/GoTo":
                target = action["/D"]
            if target is None:
                address = str(action.get("/URI", ""))
                assert re.match(r"https?://|mailto:", address), address
                assert "book.invalid" not in address
                continue
            within += 1
            if isinstance(target, str):
                assert target in names or target.removeprefix("/") in names
    references = sum(
        len(re.findall(r'<a class="[^"]*reference internal"', (BOOK / name).read_text("utf-8")))
        for name, _ in chapters()
    )
    assert within > 300
    assert references > 100


def test_no_reference_is_open_and_no_tex_is_raw() -> None:
    for number in range(len(reader().pages)):
        words = text(number)
        assert "??" not in words, number + 1
        assert "glue:" not in words, number + 1
        assert not re.search(r"\\\(|\\\[|\\begin\{|\\mathcal", words), number + 1


@pytest.mark.parametrize("name", [name for name, _ in chapters()] if BOOK.exists() else [])
def test_equations_and_figures_of_a_chapter_are_there(name: str) -> None:
    title = dict(numbered())[name]
    pages = span(title)
    words = " ".join(text(number) for number in pages)
    article = BeautifulSoup((BOOK / name).read_text("utf-8"), "html.parser").article
    assert article is not None
    for number in article.select("div.math .eqno"):
        own = re.match(r"\(\d+\.\d+\)", number.get_text())
        assert own
        assert own[0] in words
    drawn = 0
    for number in pages:
        objects = reader().pages[number]["/Resources"].get("/XObject")
        entries = objects.get_object().values() if objects is not None else ()
        drawn += sum(entry.get_object().get("/Subtype") == "/Image" for entry in entries)
    assert drawn >= len(article.select("img:not(.vae-in-dark)"))
    for caption in article.select("figure .caption-number"):
        assert caption.get_text().strip() in words
    # Every widget is its picture, every answer of a quiz has its reply.
    for reply in article.select(".vae-quiz .feedback"):
        # Formulas are drawn: what stands before the first of them is text, a raised 2 as a 2.
        before = reply.get_text().split("\\(")[0].split()[:3]
        assert unicodedata.normalize("NFKC", " ".join(before)) in words
