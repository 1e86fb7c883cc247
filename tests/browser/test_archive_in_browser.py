"""The archive of `make zip`, unpacked somewhere and opened from disk with every network shut."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import archive
import pytest
from visit import Visit

CHAPTER = "notebooks/12_ae_vs_vae.html"
EXPLORER = ".vae-static[data-widget=latent_explorer]"
READY = (
    "document.querySelector('.vae-static') &&"
    " [...document.querySelectorAll('.vae-static > div')].every((el) => el.__vae)"
)
Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def unpacked(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive's one top folder, in a place with a blank and an umlaut in its name."""
    work = tmp_path_factory.mktemp("archive")
    assert archive.main(["--output", str(work / "book.zip")], book.parents[1]) == 0
    place = work / "für die Klasse"
    with zipfile.ZipFile(work / "book.zip") as packed:
        assert packed.testzip() is None
        packed.extractall(place)
    (top,) = place.iterdir()
    return top


@pytest.fixture
def visit(unpacked: Path, open_page: Open) -> Open:
    """Open a page of the archive. The browser's console tells of each request that fails."""
    return lambda name: open_page(unpacked / name, width=1280)


def stays_within(opened: Visit, folder: Path) -> None:
    opened.check()
    local = (folder.as_uri(), "data:", "blob:")
    assert [url for url in opened.requests if not url.startswith(local)] == []


def test_it_has_one_folder_with_an_index_and_the_licence(unpacked: Path) -> None:
    assert (unpacked / "index.html").is_file()
    assert "Creative Commons Attribution" in (unpacked / "LICENSE").read_text("utf-8")
    assert not (unpacked / ".doctrees").exists()


def test_the_index_leads_to_the_front_page(visit: Open, unpacked: Path) -> None:
    opened = visit("index.html")
    opened.page.wait_for_url("**/book/index.html")
    opened.page.wait_for_function(READY)
    opened.page.get_by_role("link", name="Autoencoder and VAE, in code").first.click()
    opened.page.wait_for_url(f"**/{CHAPTER}")
    stays_within(opened, unpacked)


def test_a_chapter_answers_and_its_mathematics_is_set(visit: Open, unpacked: Path) -> None:
    opened = visit(CHAPTER)
    opened.page.wait_for_function(READY)
    opened.page.evaluate("() => window.MathJax.startup.promise")
    written = opened.page.locator(".math").count()
    assert opened.page.locator("mjx-container").count() >= written > 10
    digit = opened.page.locator(f"{EXPLORER} .vw-digit canvas").first
    plane = opened.page.locator(f"{EXPLORER} .vw-plane canvas").first
    before = digit.evaluate("(canvas) => canvas.toDataURL()")
    plane.focus()
    for _ in range(3):
        opened.page.keyboard.press("Shift+ArrowLeft")
    assert digit.evaluate("(canvas) => canvas.toDataURL()") != before
    stays_within(opened, unpacked)


def test_search_finds_a_chapter_and_asks_for_nothing_it_cannot_have(
    visit: Open, unpacked: Path
) -> None:
    opened = visit("search.html")
    opened.page.goto(f"{(unpacked / 'search.html').as_uri()}?q=reparameterization")
    results = opened.page.locator("#search-results li a")
    results.filter(has_text="The reparameterization trick").first.wait_for()
    opened.page.wait_for_function(
        "document.querySelector('.search-summary').textContent.match(/\\d/)"
    )
    opened.page.wait_for_load_state("networkidle")
    stays_within(opened, unpacked)


def test_the_badge_stands_under_each_chapters_title(visit: Open) -> None:
    opened = visit(CHAPTER)
    link = opened.page.locator("article h1 + .vae-colab a")
    assert link.inner_text() == "Open in Colab"
    assert link.get_attribute("href").endswith("/blob/main/notebooks/run/12_ae_vs_vae.ipynb")
