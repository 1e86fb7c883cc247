"""Sphinx extension: every reader gets the whole page, whatever they read it with.

- A widget's still picture stands beside it, with its words: it shows where no script runs, where a
  script fails, and in print. A browser with scripts does not load it before it prints.
- What the themes and Sphinx write that a screen reader stumbles over is mended in the built pages.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

PICTURE = re.compile(r'<div class="vae-static"[^>]*\bdata-picture="([^"]*)"')


class StillPictures(SphinxPostTransform):
    """Put a widget's PNG after its HTML, before MyST-NB drops all formats of an output but one."""

    default_priority = 3  # MyST-NB chooses at 4
    formats = ("html",)

    def run(self, **options: Any) -> None:
        for bundle in list(self.document.findall(nodes.container)):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            shown = {child["mime_type"]: child for child in bundle.children}
            page, picture = shown.get("text/html"), shown.get("image/png")
            words = page and PICTURE.search(
                "".join(raw.rawsource for raw in page.findall(nodes.raw))
            )
            image = picture and next(picture.findall(nodes.image), None)
            if words and image:
                still = image.deepcopy()
                still["alt"] = html.unescape(words[1])
                still["classes"] = ["vae-still"]
                still["loading"] = "lazy"
                page += still


# --- what the themes leave -------------------------------------------------------------------


def name_the_arrow(match: re.Match[str]) -> str:
    """The arrow that unfolds a part of the contents has no name; it gets the part's."""
    return f'{match[1]}<summary aria-label="Pages of {match[2]}">'


MENDS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    # The title and the search button stand outside every landmark.
    (
        re.compile(r'<div id="pst-primary-sidebar" class="([^"]*)">'),
        r'<div id="pst-primary-sidebar" class="\1" role="region" aria-label="Sidebar">',
    ),
    (re.compile(r"(<a [^>]*>([^<]*)</a><details[^>]*>)<summary>"), name_the_arrow),
    # The corner of a table has nothing to head.
    (re.compile(r'<th class="head[^"]*">\s*(?:<p>\s*</p>)?\s*</th>'), "<td></td>"),
    # ARIA withdrew the role of an entry, and a list may hold nothing but list items.
    (re.compile(r'(<div class="citation"[^>]*) role="doc-biblioentry"'), r'\1 role="listitem"'),
    (re.compile(r' role="doc-backlink"'), ""),
]


def mend(page: str) -> str:
    """A built page as a screen reader needs it; mending it again changes nothing."""
    for found, better in MENDS:
        page = found.sub(better, page)
    return page


def mend_pages(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if "_static" in path.relative_to(app.outdir).parts:
            continue
        before = path.read_text("utf-8")
        after = mend(before)
        if after != before:
            path.write_text(after, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(StillPictures)
    # Before slim_pages, which looks for the classes that pages use.
    app.connect("build-finished", mend_pages, priority=940)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
