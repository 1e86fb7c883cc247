"""A real browser for what a reader sees: ``$CHROMIUM``, one on PATH, or Playwright's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import launched
from stage import ready, settle, written
from visit import Visit

BOOK = Path(__file__).parents[2] / "_build" / "html"


@pytest.fixture(scope="session", autouse=True)
def cache() -> None:
    """The reader's own cache folder, in place of a fresh one: `make browser` has filled the zoo."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, kept for the whole run."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built book."""
    if not (BOOK / "index.html").exists():
        pytest.fail("the book is not built; run `make book` first")
    return BOOK


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Visit]]:
    """``open_page(path, dark=False, width=800, touch=False)``: a local page, no network."""
    contexts = []

    def visit(
        path: Path, dark: bool = False, width: int = 800, touch: bool = False, **options: Any
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            offline=True,
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        opened = Visit(page, [], [])
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on(
            "console",
            lambda message: opened.errors.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.goto(Path(path).resolve().as_uri())
        return opened

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def shown(
    tmp_path: Path, open_page: Callable[..., Visit], request: pytest.FixtureRequest
) -> Callable[..., Visit]:
    """``shown(page_options, **traits)``: a page with one of the module's ``EXPLORER``, drawn."""

    def show(page: dict[str, Any] | None = None, **state: Any) -> Visit:
        path = written(tmp_path, request.module.EXPLORER(**state).to_html())
        visit = ready(open_page(path, **(page or {})))
        settle(visit)
        return visit

    return show
