"""The front page as built: understood at once, light, and told to the world."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from visit import Visit

ROOT = Path(__file__).parents[2]
FRONT = "book/index.html"
ROUTE = yaml.safe_load((ROOT / "book" / "route.yml").read_text("utf-8"))
Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def soup(book: Path) -> BeautifulSoup:
    return BeautifulSoup((book / FRONT).read_text("utf-8"), "html.parser")


def opened(open_page: Open, book: Path, height: int, **options: Any) -> Visit:
    visit = open_page(book / FRONT, **options)
    visit.page.set_viewport_size({"width": options["width"], "height": height})
    visit.page.wait_for_function("document.querySelector('.vae-static > div')?.__vae")
    return visit


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 740)])
def test_the_first_screen_says_what_it_is_and_what_to_do(
    width: int, height: int, book: Path, open_page: Open
) -> None:
    """Title, subtitle, what a VAE is, Start: whole, in this order; wide, the digit too."""
    visit = opened(open_page, book, height, width=width)
    parts = ["article h1", ".vae-subtitle", "article h1 ~ p", ".vae-begin a"]
    if width > 1000:
        parts += [".vw-in canvas", ".vw-out canvas"]
    ends = []
    for part in parts:
        found = visit.page.locator(part).first.bounding_box()
        assert found is not None, part
        assert found["y"] >= 0, part
        assert found["y"] + found["height"] <= height, part
        ends.append(found["y"] + found["height"])
    assert ends[:4] == sorted(ends[:4])
    assert "variational autoencoder" in visit.page.locator("article p strong").first.inner_text()
    visit.check()


def test_start_leads_to_chapter_one(soup: BeautifulSoup, book: Path) -> None:
    links = soup.select(".vae-begin a")
    assert [link["href"] for link in links] == [
        "../notebooks/01_generative_models.html", "how_to_read.html",
    ]  # fmt: skip
    assert links[0].get_text(strip=True).startswith("Start")


def test_every_chapter_has_a_card(soup: BeautifulSoup, book: Path) -> None:
    """With its own title, minutes, level and picture, and the whole of it is its link."""
    cards = soup.select(".vae-route .sd-card")
    pages = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    assert len(cards) == len(pages) == len(ROUTE["chapters"])
    for number, (card, page) in enumerate(zip(cards, pages, strict=True), 1):
        target = card.select_one("a.sd-stretched-link")["href"]
        assert target == f"../notebooks/{page}.html"
        heading = BeautifulSoup(
            (book / "notebooks" / f"{page}.html").read_text("utf-8"), "html.parser"
        )
        heading = heading.select_one("article h1")
        for part in heading.select(".section-number, .headerlink"):
            part.decompose()
        title = " ".join(card.select_one(".sd-card-title").get_text().split())
        assert title == f"{number} · {' '.join(heading.get_text().split())}"
        foot = card.select_one(".vae-route-foot").get_text()
        assert re.search(r"\d+ min · [●○]{3} (easy|medium|hard)", foot)
        assert ROUTE["chapters"][number]["question"] in card.get_text()
        assert len(card.select("svg.vae-route-picture > *")) >= 2
    drawings = [str(svg) for svg in soup.select("svg.vae-route-picture")]
    assert len(set(drawings)) == len(cards)
    assert sum(map(len, drawings)) < 150_000


def test_no_picture_of_a_card_is_cut(book: Path, open_page: Open) -> None:
    """What is drawn lies within the picture's own frame."""
    visit = opened(open_page, book, 800, width=1280)
    out = visit.page.evaluate(
        "() => [...document.querySelectorAll('.vae-route-picture')].filter((svg) => {"
        " const { x, y, width, height } = svg.getBBox();"
        " return x < 0 || y < 0 || x + width > 120 || y + height > 64; }).length"
    )
    assert out == 0


def test_previews_of_links_have_words(soup: BeautifulSoup, book: Path) -> None:
    """The address at the root, which is passed on, says the same as the page it leads to."""
    root = BeautifulSoup((book / "index.html").read_text("utf-8"), "html.parser")
    for page in (soup, root):
        assert page.title.string == ROUTE["title"]
        said = {m.get("name") or m.get("property"): m.get("content") for m in page.select("meta")}
        assert said["description"] == said["og:description"] == ROUTE["description"].strip()
        assert said["og:title"] == said["twitter:title"] == ROUTE["title"]
        assert 50 <= len(said["description"]) <= 250
    assert root.select_one("meta[http-equiv=refresh]")["content"] == "0; url=book/index.html"
    chapter = (book / "notebooks" / "03_elbo.html").read_text("utf-8")
    told = BeautifulSoup(chapter, "html.parser").select_one("meta[name=description]")["content"]
    assert told.startswith(ROUTE["chapters"][3]["question"])


def test_the_card_is_small_and_of_the_right_size(book: Path) -> None:
    path = book / "_static" / "social-card.png"
    with Image.open(path) as card:
        assert card.size == (1200, 630)
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("dark", [False, True])
def test_the_logo_follows_the_theme(dark: bool, book: Path, open_page: Open) -> None:
    visit = opened(open_page, book, 800, width=1280, dark=dark)
    shown = [i for i in visit.page.locator(".navbar-brand img").all() if i.is_visible()]
    assert len(shown) == 1
    assert ("dark" in shown[0].get_attribute("src")) == dark
    assert shown[0].evaluate("(i) => i.naturalWidth") > 0
    visit.check()
