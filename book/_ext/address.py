"""Sphinx extension: while the repository has no address, the pages' text says so.

``_config.yml`` comes with an address that leads nowhere, ``PLACEHOLDER``; whoever publishes the
book puts another in its place with ``make repository URL=...``. Until then the text shows the
address without a link. ``{{ address_note }}`` and ``{{ rocket_note }}`` in a page say why, and that
the buttons need it too; they are empty once there is an address.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

# In parts, so that `make repository` leaves it as it is.
PLACEHOLDER = "/".join(("https://github.com", "example", "vae-book"))
LINK = re.compile(r"<(\{\{ repository \}\}[^>\s]*)>")
COMMAND = "`make repository URL=https://github.com/you/your-copy`"
NOTES = {
    "{{ address_note }}": (
        f"(`{PLACEHOLDER}` is a placeholder, which leads nowhere. Whoever publishes this book "
        f"replaces it with the address of a copy on GitHub: {COMMAND}.)"
    ),
    "{{ rocket_note }}": (
        "(The rocket of this copy leads nowhere yet, because its repository has no address: "
        f"{COMMAND} gives it one, and a new build uses it.)"
    ),
}


def unset(app: Sphinx) -> bool:
    """Whether the address is still the placeholder."""
    return app.config.html_theme_options.get("repository_url") == PLACEHOLDER


def say(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fill the notes; without an address, turn links to the repository into plain text."""
    text = source[0]
    for name, note in NOTES.items():
        text = text.replace(name, note if unset(app) else "")
    source[0] = LINK.sub(r"`\1`", text) if unset(app) else text


def setup(app: Sphinx) -> dict[str, Any]:
    # Before vae_book fills in the address.
    app.connect("source-read", say, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
