"""The front page's source: cards, pictures, tags, and what a quick build shows in their place."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from helpers import ROOT

pytest.importorskip("sphinx")

import front
import quick
import route_pictures
from PIL import Image

PAGE = (ROOT / "book" / "index.md").read_text("utf-8")
ROUTE = yaml.safe_load((ROOT / "book" / "route.yml").read_text("utf-8"))
NUMBERS = [int(p.name[:2]) for p in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]


class Book:
    """As much of Sphinx's application as the front page's extension asks for."""

    def __init__(self, not_executed: set[str] = frozenset(), base: str = "") -> None:  # type: ignore[assignment]
        self.srcdir = str(ROOT)
        self.vae_not_executed = not_executed
        self.depends: list[str] = []
        docs = {p.relative_to(ROOT).with_suffix("").as_posix(): p for p in self.files()}
        self.config = SimpleNamespace(
            root_doc="book/index", html_title="Book", project="Book", html_baseurl=base
        )
        self.env = SimpleNamespace(
            found_docs=set(docs),
            doc2path=lambda d: str(docs[d]),
            note_dependency=self.depends.append,
        )

    @staticmethod
    def files() -> list[Path]:
        return [ROOT / "book" / "index.md", *(ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")]


def filled(book: Any) -> str:
    source = [PAGE]
    front.fill(book, "book/index", source)
    return source[0]


def test_every_chapter_has_its_words_and_its_picture() -> None:
    assert NUMBERS == list(ROUTE["chapters"]) == list(route_pictures.PICTURES)
    for own in ROUTE["chapters"].values():
        assert own["level"] in ROUTE["levels"]
        assert own["question"].endswith("?")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_picture_is_well_formed_small_and_follows_the_theme(number: int) -> None:
    text = route_pictures.picture(number)
    svg = ElementTree.fromstring(text)
    assert svg.get("aria-hidden") == "true"
    assert len(list(svg)) >= 2
    assert len(text) < 4000
    assert not re.search(r'style=|#[0-9a-f]{3}|\b(?:fill|stroke)="', text)
    assert "nan" not in text


def test_cards_take_the_chapters_own_titles() -> None:
    book: Any = Book()
    text = filled(book)
    assert text.count("grid-item-card}") == len(NUMBERS)
    for number, docname in front.chapters(book).items():
        title = front.title_of(ROOT / f"{docname}.ipynb")
        assert f"{number} · {title}\n:link: ../{docname}\n" in text
        assert f"{{{{ reading_time {number} }}}} min" in text
        assert str(ROOT / f"{docname}.ipynb") in book.depends


def test_what_is_said_first() -> None:
    """What a VAE is comes before the first thing to press, and Start before the widget."""
    order = ["# Variational", "vae-subtitle", "is a neural network", "Start:", "widgets.Opening"]
    places = [PAGE.index(part) for part in order]
    assert places == sorted(places)


def test_a_page_that_is_not_executed_shows_a_picture_and_no_code() -> None:
    text = filled(Book({"book/index.md"}))
    assert "code-cell" not in text
    assert "glue" not in text
    assert text.count("_static/opening.png") == 1
    assert filled(Book()).count("code-cell") == PAGE.count("code-cell") >= 2


def test_stored_pictures_are_there_and_small() -> None:
    static = ROOT / "book" / "_static"
    with Image.open(static / "social-card.png") as card:
        assert card.size == front.CARD_SIZE == (1200, 630)
    assert (static / "social-card.png").stat().st_size < 100_000
    assert (static / "opening.png").stat().st_size < 60_000
    for name in ("logo-light.svg", "logo-dark.svg", "favicon.svg"):
        assert ElementTree.parse(static / name).getroot().tag.endswith("svg")


def told(text: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', text))


def test_the_cards_address_is_whole_or_absent() -> None:
    """Previews do not resolve a relative address, and a wrong host would be asked for it."""
    without = told(front.tags("T", "D", "S"))
    assert not [key for key in without if "image" in key or "url" in key]
    with_base = told(front.tags("T", "D", "S", "a/b.html", "https://example.org/vae/", "words"))
    assert with_base["og:image"] == "https://example.org/vae/_static/social-card.png"
    assert with_base["twitter:image"] == with_base["og:image"]
    assert with_base["og:url"] == "https://example.org/vae/a/b.html"
    assert with_base["twitter:card"] == "summary_large_image"


def test_tags_are_escaped() -> None:
    text = front.tags('"<b>', "a & b", "S")
    assert '"<b>' not in text
    assert told(text)["description"] == "a &amp; b"


@pytest.mark.parametrize(
    ("page", "title", "words"),
    [
        ("book/index", "Home", ROUTE["description"]),
        ("notebooks/03_elbo", "ELBO", ROUTE["chapters"][3]["question"]),
        ("book/glossary", "Glossary", "Glossary: a page of"),
    ],
)
def test_every_page_describes_itself(page: str, title: str, words: str) -> None:
    context: dict[str, Any] = {"title": title}
    front.describe(Book(), page, "page.html", context, None)  # type: ignore[arg-type]
    said = told(context["metatags"])
    assert said["description"].startswith(words.strip())
    front_page = page == "book/index"
    assert said["og:title"] == (ROUTE["title"] if front_page else title)
    assert (front.SIDE in context.get("meta", {})) == front_page


def test_quick_builds_know_the_front_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_CORE_QUICK", "0")
    assert quick.wanted() == quick.FRONT
    cells = quick.read(ROOT / "book" / "index.md")["cells"]
    assert sum(cell["cell_type"] == "code" for cell in cells) == PAGE.count("{code-cell}")
    assert quick.read(ROOT / "book" / "about.md") is None
