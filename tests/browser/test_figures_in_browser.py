"""Figures, derivations and wide boxes as readers see them: light, dark, on a phone."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import Browser
from test_pages import BOOK, MAX_BYTES, PAGES, PHONE, Visit, open_page

CHAPTERS = [name for name in PAGES if name.startswith("notebooks/")]
DESK = {"width": 1280, "height": 900}
UNFOLD = "() => document.querySelectorAll('.bd-article details').forEach((d) => { d.open = true; })"
RESIZED = "() => dispatchEvent(new Event('resize'))"


@cache
def soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((BOOK / name).read_text("utf-8"), "html.parser")


def settled(browser: Browser, name: str, visit: Visit | None = None, **options: Any) -> Any:
    """A page with everything unfolded and its boxes measured."""
    page = open_page(browser, name, visit or Visit(), **options)
    page.evaluate(UNFOLD)
    page.evaluate(RESIZED)
    page.wait_for_timeout(400)
    return page


# --- what the page says ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_headings_come_in_order(name: str) -> None:
    """One title, and no level left out on the way down."""
    article = soup(name).select_one("article.bd-article")
    if article is None:  # the search page and the index
        return
    levels = [int(h.name[1]) for h in article.select("h1, h2, h3, h4, h5, h6")]
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert all(now <= before + 1 for before, now in itertools.pairwise(levels))


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_are_counted_within_their_chapter(name: str) -> None:
    found = [f.select_one(".caption-number") for f in soup(name).select("article figure")]
    numbers = [tag.get_text().strip() for tag in found if tag]
    chapter = int(re.match(r"notebooks/(\d+)", name)[1])  # type: ignore[index]
    assert numbers == [f"Figure {chapter}.{k}" for k in range(1, len(found) + 1)]


# --- two inks ----------------------------------------------------------------------------------


def relative(pixels: np.ndarray) -> np.ndarray:
    """Relative luminances of colours, [..., 3] from 0 to 1, plus the 0.05 of WCAG's ratio."""
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722]) + 0.05


def ratios(path: Path, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel's contrast with ``ground`` when laid on it, and the pixels as they are stored."""
    with Image.open(path) as image:
        stored = np.asarray(image.convert("RGBA"))
    share = stored[..., 3:] / 255
    seen, own = relative(share * stored[..., :3] / 255 + (1 - share) * ground), relative(ground)
    return np.maximum(seen / own, own / seen), stored


def ground(page: Any) -> np.ndarray:
    colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return np.array([int(v) for v in re.findall(r"\d+", colour)[:3]]) / 255


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_in_the_dark(browser: Browser, name: str) -> None:
    """What can be read on white can be read there; pictures stay as they are."""
    if not soup(name).select("img.vae-in-dark"):
        assert soup(name).select("img.vae-in-both") or not soup(name).select("figure")
        return
    page = settled(browser, name, color_scheme="dark", viewport=DESK)
    under = ground(page)
    assert under.max() < 0.25
    # Widgets have figures of their own, and a closed solution shows none.
    shown = page.eval_on_selector_all(
        "article figure:has(img.vae-in-dark, img.vae-in-both)",
        "(all) => all.filter((f) => f.checkVisibility()).map((f) => [...f.querySelectorAll('img')]"
        ".filter((i) => i.checkVisibility()).map((i) => i.className))",
    )
    assert shown
    assert all(len(classes) == 1 and "vae-in-light" not in classes[0] for classes in shown)
    page.context.close()
    folder = (BOOK / name).parent
    for figure in soup(name).select("figure:has(img.vae-in-dark)"):
        light, dark = (folder / str(image["src"]) for image in figure.select("img"))
        on_white, before = ratios(light, np.ones(3))
        in_dark, after = ratios(dark, under)
        ink = (before != after).any(axis=2)
        assert (before[~ink][:, 3] % 255 == 0).all()  # a picture, or nothing
        assert (in_dark[ink & (on_white >= 4.5)] >= 4.4).all(), figure["id"]
        assert (in_dark[ink & (on_white >= 3)] >= 2.95).all(), figure["id"]


FETCH = """(other) => Promise.all(
  [...document.querySelectorAll(`.vae-drawn img:not(${other})`)].map((image) => {
    image.loading = "eager";
    return image.decode();
  })
)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reader_of_one_theme_loads_no_figure_of_the_other(browser: Browser, scheme: str) -> None:
    """Down to the end of the page, and within the page's weight with all figures loaded."""
    other = ".vae-in-dark" if scheme == "light" else ".vae-in-light"
    for name in CHAPTERS:
        unseen = {str(image["src"]).split("/")[-1] for image in soup(name).select(f"img{other}")}
        if not unseen:
            continue
        visit = Visit()
        page = settled(browser, name, visit, color_scheme=scheme, viewport=DESK)
        page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
        page.evaluate(FETCH, other)
        page.wait_for_load_state("networkidle")
        page.context.close()
        assert not unseen & {url.split("/")[-1] for url in visit.requests}
        assert visit.weight() < MAX_BYTES, name


# --- sizes -------------------------------------------------------------------------------------

POINT = 110 / 72  # pixels of a stored figure
LEAST = 7.5  # points: the smallest words of a figure (tests/test_dark_figures.py)


@pytest.mark.parametrize("name", CHAPTERS)
def test_words_in_figures_can_be_read(browser: Browser, name: str) -> None:
    page = settled(browser, name, viewport=DESK)
    page.evaluate(FETCH, ".vae-in-dark")
    scales = page.eval_on_selector_all(
        ".vae-drawn img:not(.vae-in-dark)",
        "(all) => all.map((i) => i.getBoundingClientRect().width / i.naturalWidth)",
    )
    page.context.close()
    assert all(scale * POINT * LEAST >= 9 for scale in scales)


# --- what goes on beyond the edge --------------------------------------------------------------

BOXES = """() => [...document.querySelectorAll(".bd-article *")]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1
    && !e.closest(".vae-widget, textarea")
    && ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
  .map((e) => [e.dataset.more ?? "", e.tabIndex, getComputedStyle(e).maskImage.includes("gradient"),
    e.outerHTML.slice(0, 80)])"""


@pytest.mark.parametrize("name", PAGES)
def test_a_box_that_scrolls_fades_where_it_goes_on(browser: Browser, name: str) -> None:
    page = settled(browser, name, viewport=PHONE)
    for more, index, fades, what in page.evaluate(BOXES):
        assert more == "right", what
        assert index == 0, what
        assert fades, what
    page.evaluate(
        "() => document.querySelectorAll('[data-more]').forEach((e) => { e.scrollLeft = 9999; })"
    )
    page.wait_for_timeout(200)
    assert all(more == "left" for more, *_ in page.evaluate(BOXES))
    page.context.close()


def test_titles_shrink_with_their_level_on_a_phone(browser: Browser) -> None:
    page = settled(browser, "notebooks/04_kl_divergence.html", viewport=PHONE)
    sizes = [
        page.locator(f".bd-article h{level}").first.evaluate(
            "(h) => parseFloat(getComputedStyle(h).fontSize)"
        )
        for level in (1, 2, 3)
    ]
    page.context.close()
    assert sizes[0] > sizes[1] > sizes[2] > 16


PLACES = """(steps) => steps.filter((s) => s.querySelector(".vae-reason")).map((step) => {
  const [formula, reason] = [".math mjx-container svg", ".vae-reason"]
    .map((kind) => step.querySelector(kind).getBoundingClientRect());
  return [formula.right <= reason.left + 1 && formula.top < reason.bottom,
    reason.top >= formula.bottom - 6];
})"""


@pytest.mark.parametrize("name", ["notebooks/03_elbo.html", "notebooks/04_kl_divergence.html"])
def test_reasons_stand_beside_their_lines(browser: Browser, name: str) -> None:
    """At a desk beside most formulas, and below one that leaves no room; on a phone below all."""
    for viewport, least in ((DESK, 0.5), (PHONE, 0.0)):
        page = settled(browser, name, viewport=viewport)
        places = page.eval_on_selector_all("li.vae-step:not(.vae-left)", PLACES)
        page.context.close()
        assert len(places) > 5
        assert all(beside != below for beside, below in places)
        share = sum(beside for beside, _ in places) / len(places)
        assert share >= least
        assert viewport is DESK or share == 0
