"""The built pages on hosts with a Content-Security-Policy, below a path: whole, and quiet."""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import hosting
import pytest
from playwright.sync_api import Browser, Page
from test_pages import PAGES
from visit import box_once_fetched, served

# The first part of an address says which policy comes with the answer.
POLICIES = {
    "recommended": hosting.POLICY,
    "self": "default-src 'self'",
    "no-scripts": "default-src 'self'; script-src 'none'",
    "sandbox": "sandbox",
}
QUIZ = "notebooks/04_kl_divergence.html"
WIDGETS = [name for name in PAGES if name.startswith("notebooks/") or name == "book/index.html"]

DRAWN = """() => [...document.querySelectorAll('.vae-static > div')].every((el) => el.__vae)
    && document.querySelectorAll('.vae-static > div').length
       === document.querySelectorAll('.vae-static').length"""


class Visit(NamedTuple):
    """A page on such a host, and what happened on it."""

    page: Page
    complaints: list[str]
    requests: list[str]
    failed: list[str]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the book below /POLICY/a/book/, with that policy."""

    def translate_path(self, path: str) -> str:
        _, _, below = urlsplit(path).path.partition("/a/book/")
        return super().translate_path("/" + below)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICIES[self.path.split("/")[1]])
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Quiet: requests are watched in the browser."""


@pytest.fixture(scope="module")
def host(book: Path) -> Iterator[str]:
    with served(book, Handler) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, host: str) -> Iterator[Any]:
    contexts = []

    def go(policy: str, name: str) -> Visit:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        found = Visit(context.new_page(), [], [], [])
        found.page.on(
            "console",
            lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.on(
            "response",
            lambda r: found.failed.append(f"{r.status} {r.url}") if r.status >= 400 else None,
        )
        found.page.goto(f"{host}/{policy}/a/book/{name}", wait_until="load")
        return found

    yield go
    for context in contexts:
        context.close()


def formulas(page: Page) -> tuple[int, int]:
    """How many formulas are written in a page, and how many of them are drawn."""
    page.evaluate("() => window.MathJax?.startup?.promise")
    return page.locator(".math").count(), page.locator("mjx-container svg").count()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_whole_under_the_recommended_policy(name: str, visit: Any, host: str) -> None:
    opened = visit("recommended", name)
    opened.page.wait_for_function(DRAWN)
    opened.page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    opened.page.wait_for_load_state("networkidle")
    written, drawn = formulas(opened.page)
    assert drawn >= written
    assert not any(still.is_visible() for still in opened.page.locator(".vae-still").all())
    assert opened.complaints == []
    assert opened.failed == []
    assert all(url.startswith((f"{host}/recommended/", "blob:")) for url in opened.requests)


@pytest.mark.parametrize("name", ["book/index.html", QUIZ, "search.html"])
def test_the_common_policy_does_as_well(name: str, visit: Any) -> None:
    opened = visit("self", name)
    opened.page.wait_for_function(DRAWN)
    written, drawn = formulas(opened.page)
    assert drawn >= written
    assert opened.complaints == []


def test_buttons_menus_icons_and_search_work(visit: Any, host: str) -> None:
    opened = visit("recommended", QUIZ)
    page = opened.page
    page.wait_for_function(DRAWN)
    page.evaluate("() => document.fonts.ready")
    icons = page.evaluate("() => [...document.fonts].filter((f) => f.status === 'loaded').length")
    assert icons >= 2
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(theme)
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        if page.evaluate(theme) != before:
            break
    assert page.evaluate(theme) != before
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.evaluate("() => document.querySelector('[data-on-click][class*=download-pdf]').click()")
    assert page.evaluate("window.printed")
    page.locator("mjx-container").first.click(button="right")  # MathJax's menu
    page.keyboard.press("Escape")
    page.goto(f"{host}/recommended/a/book/search.html?q=divergence")
    page.locator("#search-results li p").first.wait_for()  # an extract of a page found
    assert page.locator("#search-results li").count() >= 1
    assert opened.complaints == []
    assert opened.failed == []


@pytest.mark.parametrize("policy", ["no-scripts", "sandbox"])
@pytest.mark.parametrize("name", WIDGETS)
def test_still_pictures_stand_in_where_scripts_are_refused(
    name: str, policy: str, visit: Any, book: Path
) -> None:
    opened = visit(policy, name)
    widgets = (book / name).read_text("utf-8").count('class="vae-static"')
    stills = opened.page.locator(".vae-still").all()
    assert len(stills) == widgets
    for still in stills:
        box = box_once_fetched(opened.page, still)
        assert box["width"] > 300
        assert box["height"] > 100
    if widgets:
        shown = "(all) => all.every((image) => image.complete && image.naturalWidth > 300)"
        opened.page.wait_for_load_state("networkidle")
        assert opened.page.eval_on_selector_all(".vae-still", shown)
    assert opened.failed == []


@pytest.mark.parametrize("policy", ["no-scripts", "sandbox"])
def test_quizzes_and_formulas_can_be_read_where_scripts_are_refused(
    policy: str, visit: Any
) -> None:
    opened = visit(policy, QUIZ)
    first = opened.page.locator(".vae-quiz fieldset").first
    first.locator("input").nth(1).check()
    assert first.locator(".feedback").nth(1).is_visible()
    assert not first.locator(".feedback").nth(0).is_visible()
    text = opened.page.locator(".math").first.inner_text()
    assert text.strip().startswith(("\\(", "\\["))  # as TeX
