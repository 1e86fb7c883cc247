"""An open page and what happened on it."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def served(folder: Path, handler: type[http.server.SimpleHTTPRequestHandler]) -> Iterator[str]:
    """A server of ``folder`` on this machine, and its address."""
    made = functools.partial(handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def box_once_fetched(page: Any, still: Any) -> dict[str, float]:
    """The place of a lazy picture: it is fetched once it is near, and has no width before that."""
    still.scroll_into_view_if_needed()
    box = still.bounding_box()
    for _ in range(100):
        if box is not None and box["width"]:
            break
        page.wait_for_timeout(50)
        box = still.bounding_box()
    assert box is not None
    return dict(box)
