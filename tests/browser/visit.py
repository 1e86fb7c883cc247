"""An open page and what happened on it."""

from __future__ import annotations

from typing import Any, NamedTuple

LOCAL = ("file:", "data:", "blob:", "about:")


class Visit(NamedTuple):
    """An open page, and what happened on it so far."""

    page: Any  # playwright.sync_api.Page
    requests: list[str]  # every address asked for
    errors: list[str]  # console errors and uncaught exceptions

    def check(self) -> None:
        """Nothing left the machine, and nothing went wrong."""
        assert [url for url in self.requests if not url.startswith(LOCAL)] == []
        assert self.errors == []

    def sideways(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))
