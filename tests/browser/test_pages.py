"""Every built page, opened from disk: complete, quiet, light, and readable on a phone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page

BOOK = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(BOOK).as_posix() for p in BOOK.rglob("*.html"))
# index.html only forwards to the front page; _static holds the theme's templates.
PAGES = [p for p in PAGES if p != "index.html" and not p.startswith("_static/")]

MAX_BYTES = 2_000_000
PHONE = {"width": 360, "height": 800}

# What makes a browser fetch: sources, style sheets and imports. Plain links do not.
FETCH = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*\bsrc=["'](?:https?:)?//"""
    r"""|<link\b[^>]*\brel=["'](?:stylesheet|preload|preconnect|icon|modulepreload)["'][^>]*"""
    r"""\bhref=["'](?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//""",
    re.IGNORECASE,
)


@dataclass
class Visit:
    """What one visit of a page asked for and complained about."""

    requests: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def weight(self) -> int:
        """Bytes of all files loaded, besides MathJax."""
        files = {file_of(url) for url in self.requests if url.startswith("file:")}
        own = [f for f in files if "mathjax" not in f.relative_to(BOOK).parts]
        return sum(f.stat().st_size for f in own)


def file_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def open_page(browser: Browser, name: str, visit: Visit, **options: object) -> Page:
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.on("request", lambda request: visit.requests.add(request.url))
    page.on("requestfailed", lambda request: visit.complaints.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            visit.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.goto((BOOK / name).as_uri(), wait_until="load")
    page.wait_for_function("!window.MathJax?.startup?.promise || document.fonts.ready")
    page.evaluate("() => window.MathJax?.startup?.promise")
    return page


@cache
def visited(browser: Browser, name: str) -> Visit:
    visit = Visit()
    page = open_page(browser, name, visit)
    # Lazy pictures and late scripts load when the reader scrolls.
    page.evaluate("() => window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    page.context.close()
    return visit


def test_the_book_is_built(book: Path) -> None:
    assert "book/index.html" in PAGES
    assert "book/references.html" in PAGES


@pytest.mark.parametrize("name", PAGES)
def test_no_request_leaves_the_page(browser: Browser, name: str) -> None:
    requests = visited(browser, name).requests
    outside = [r for r in requests if not r.startswith((BOOK.as_uri(), "data:", "blob:"))]
    assert not outside


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_remote_source(name: str) -> None:
    assert not FETCH.findall((BOOK / name).read_text("utf-8"))


def test_no_style_sheet_names_a_remote_source(book: Path) -> None:
    for sheet in book.rglob("*.css"):
        assert not FETCH.findall(sheet.read_text("utf-8")), sheet


@pytest.mark.parametrize("name", PAGES)
def test_the_browser_has_no_complaint(browser: Browser, name: str) -> None:
    assert visited(browser, name).complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_page_weight(browser: Browser, name: str) -> None:
    assert visited(browser, name).weight() < MAX_BYTES


@pytest.mark.parametrize("name", PAGES)
def test_local_links_lead_somewhere(name: str) -> None:
    html = (BOOK / name).read_text("utf-8")
    for href in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', html):
        parts = urlsplit(href)
        if parts.scheme or not parts.path:
            continue
        target = (BOOK / name).parent / unquote(parts.path)
        assert target.exists(), href


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_phone_has_no_sideways_scroll(browser: Browser, name: str, scheme: str) -> None:
    page = open_page(browser, name, Visit(), viewport=PHONE, color_scheme=scheme)
    excess = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    page.context.close()
    assert excess <= 0


CUT = """() => {
    const reach = (box) => {
        for (let e = box; e; e = e.parentElement) {
            if (["auto", "scroll"].includes(getComputedStyle(e).overflowX)) return true;
        }
        return false;
    };
    const shown = ["mjx-container svg", ".cell_output img"].map((kind) => `.bd-article ${kind}`);
    const kinds = [...shown, ".prev-next-area a p"].join(", ");
    return [...document.querySelectorAll(kinds)]
        .filter((box) => box.getClientRects().length && !box.closest("mjx-assistive-mml"))
        .filter((box) => box.getBoundingClientRect().right > innerWidth && !reach(box))
        .map((box) => box.closest("p, li, div")?.textContent.trim().slice(0, 60) ?? box.alt);
}"""


@pytest.mark.parametrize("name", PAGES)
def test_phone_cuts_nothing_off(browser: Browser, name: str) -> None:
    """What is wider than a phone can be scrolled to, and a figure is not too small to be read."""
    page = open_page(browser, name, Visit(), viewport=PHONE)
    page.wait_for_timeout(400)  # formulas are fitted once they are drawn
    cut = page.evaluate(CUT)
    figures = page.evaluate(
        "() => [...document.querySelectorAll('.bd-article .vae-drawn img')]"
        ".filter((figure) => figure.getClientRects().length)"
        ".map((figure) => figure.getBoundingClientRect().width)"
    )
    page.context.close()
    assert cut == []
    assert all(width > 500 for width in figures)


@pytest.mark.parametrize("name", PAGES)
def test_mathematics_is_drawn(browser: Browser, name: str) -> None:
    page = open_page(browser, name, Visit())
    written = page.locator(".math").count()
    drawn = page.locator("mjx-container").count()
    faults = page.locator("mjx-merror, [data-mjx-error]").count()
    page.context.close()
    assert drawn >= written
    assert faults == 0


def test_icons_are_drawn(browser: Browser) -> None:
    page = open_page(browser, "book/index.html", Visit())
    page.evaluate("() => document.fonts.ready")
    icons = page.evaluate(
        """() => [...document.querySelectorAll('.article-header-buttons [class*="fa-"]')]
            .filter(icon => icon.getClientRects().length)
            .map(icon => getComputedStyle(icon, '::before'))
            .map(style => [style.content, style.fontFamily, style.fontWeight])"""
    )
    assert len(icons) >= 4
    for content, family, weight in icons:
        assert content not in ("none", "normal", '""')
        assert page.evaluate(f"() => document.fonts.check(`{weight} 1em {family}`, {content})")
    page.context.close()


def test_dark_theme_is_dark(browser: Browser) -> None:
    lightness = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    light = open_page(browser, "book/index.html", Visit(), color_scheme="light")
    dark = open_page(browser, "book/index.html", Visit(), color_scheme="dark")
    assert min(light.evaluate(lightness)[:3]) > 200
    assert max(dark.evaluate(lightness)[:3]) < 60
    light.context.close()
    dark.context.close()
