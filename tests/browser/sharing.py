"""A page opened by a link, and what its buttons copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stage import ready, settle
from visit import Visit

READY = "document.querySelector('.vw-foot button')"


def copied(visit: Visit, what: str = "Copy as Python", place: int = 0) -> str:
    """What the button of the widget at this place gives to the clipboard."""
    visit.page.evaluate(
        """window.copied = null;
        navigator.clipboard.writeText = async (text) => { window.copied = text; };"""
    )
    visit.page.get_by_role("button", name=what, exact=True).nth(place).click()
    visit.page.wait_for_function("window.copied")
    return str(visit.page.evaluate("window.copied"))


def opened(
    open_page: Callable[..., Visit], path: Path, fragment: str = "", **options: Any
) -> Visit:
    """The page at this fragment, as a new page that a link opens."""
    blank = path.with_name("blank.html")
    blank.write_text("<!doctype html><title>blank</title>", encoding="utf-8")
    visit = open_page(blank, **options)
    visit.page.goto(path.resolve().as_uri() + fragment)
    ready(visit)
    visit.page.wait_for_function(READY)
    settle(visit)
    return visit
