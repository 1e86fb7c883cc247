"""One PDF of the whole book: ``python book/_tools/pdf.py [OUTPUT]``, from the pages in _build/html.

The built pages are joined into one document (:mod:`joined`), so that every link between them is a
link within it, and printed by headless Chromium; nothing is executed again. It prints twice: the
first print tells on which page everything stands, the second has these numbers in its contents.
Then the outline (bookmarks) and the title are added.
"""

from __future__ import annotations

import datetime
import html
import io
import logging
import mimetypes
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from joined import FRONT, Joined, Place, join
from playwright.sync_api import Page, Route, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import BooleanObject, DictionaryObject, Fit, NameObject

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "_build" / "html"
OUTPUT = ROOT / "_build" / "vae-book.pdf"
HOST = "http://book.invalid"  # answered from the disk: no request leaves the browser
WIDTH = 642  # CSS pixels between the margins of pdf.css: 170 mm
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Formulas as text in MathJax's fonts: a reader of the PDF can search and copy them.
MATHJAX = """window.MathJax = {
  options: { processHtmlClass: "tex2jax_process|mathjax_process|math|output_area",
             enableMenu: false, menuOptions: { settings: { assistiveMml: false } } },
  chtml: { fontURL: "/_static/mathjax/output/chtml/fonts/woff-v2" },
};"""

# What is still too wide for the paper is made smaller, as a whole.
FIT = """() => {
  const over = [];
  const fit = (box, inner, least) => {
    const ratio = box.clientWidth / inner;
    if (ratio >= 0.999) return;
    if (ratio < least) over.push([box.textContent.trim().slice(0, 60), ratio]);
    box.style.zoom = ratio;
  };
  document.querySelectorAll('mjx-container[display="true"]').forEach((box) => {
    const number = box.parentElement.querySelector(".eqno")?.offsetWidth ?? 0;
    const inner = box.querySelector("mjx-math").scrollWidth + 2 * number;
    fit(box, inner, 0.45);
  });
  document.querySelectorAll(".bd-article table").forEach((table) => {
    const box = table.parentElement, ratio = box.clientWidth / table.scrollWidth;
    if (ratio < 0.999) table.style.zoom = Math.max(0.45, ratio);
    if (ratio < 0.45) over.push([table.textContent.trim().slice(0, 60), ratio]);
  });
  return over;
}"""


# What would be cut at the edge of the paper, after that.
CUT = """() => [...document.querySelectorAll("main *")]
  .filter((e) => e.getClientRects().length && !e.closest("mjx-container mjx-math")
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 2)
  .map((e) => e.outerHTML.slice(0, 100))"""


def cover(title: str, author: str) -> str:
    return (
        f'<section id="cover"><p class="title">{html.escape(title)}</p><p>{html.escape(author)}</p>'
        f"<p>{datetime.date.today():%d %B %Y}</p>"
        "<p>The interactive edition is made from the same source by <code>make book</code>.</p>"
        "</section>"
    )


def contents_page(places: list[Place], pages: dict[str, int]) -> str:
    """The contents down to the sections of a page, each line a link with its page number."""
    lines = [
        f'<a class="depth-{place.depth}" href="#{place.id}">'
        f"<span>{html.escape(place.title)}</span><b>{pages.get(place.id, 888)}</b></a>"
        for place in places
        if place.depth <= 2
    ]
    return f'<nav id="contents"><p class="heading">Contents</p>{"".join(lines)}</nav>'


def document(joined: Joined, title: str, author: str) -> str:
    """The whole HTML document, with the book's own style sheets and then those for paper."""
    front = BeautifulSoup((BOOK / FRONT).read_text("utf-8"), "html.parser")
    sheets = "".join(
        f'<link rel="stylesheet" href="/{Path(FRONT).parent}/{link["href"]}">'
        for link in front.select('link[rel="stylesheet"]:not(noscript link)')
    )
    # What the pages had as style attributes: each page names its own such sheet.
    for path in sorted((BOOK / "_static" / "own").glob("styles-*.css")):
        sheets += f'<link rel="stylesheet" href="/_static/own/{path.name}">'
    # A page's title runs in the head of its sheets.
    heads = []
    for identity, running in re.findall(
        r'class="page bd-article" id="([^"]+)" data-running="([^"]*)"', joined.html
    ):
        text = html.unescape(running).replace("\\", "\\\\").replace('"', '\\"')
        style = "font: 9pt sans-serif; color: #444;"
        heads.append(f'@page p-{identity} {{ @top-right {{ content: "{text}"; {style} }} }}')
        heads.append(f"#{identity} {{ page: p-{identity}; }}")
    css = (Path(__file__).parent / "pdf.css").read_text("utf-8")
    return (
        '<!doctype html><html lang="en" data-theme="light" data-mode="light">'
        '<head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>{sheets}<style>{css}{''.join(heads)}</style>"
        f"<script>{MATHJAX}</script>"
        '<script defer src="/_static/mathjax/tex-chtml.js"></script></head><body>'
        f"{cover(title, author)}{contents_page(joined.places, {})}<main>{joined.html}</main>"
        "</body></html>"
    )


@contextmanager
def opened(text: str) -> Iterator[Page]:
    """The document in a browser whose every request is answered from the built book."""

    def answer(route: Route) -> None:
        path = unquote(urlsplit(route.request.url).path)
        if path == "/":
            route.fulfill(body=text, content_type="text/html; charset=utf-8")
            return
        file = Path(os.path.normpath(f"{BOOK}/{path}"))
        if not file.is_relative_to(BOOK) or not file.is_file():
            missing.append(path)
            route.abort()
            return
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        route.fulfill(body=file.read_bytes(), content_type=kind)

    missing: list[str] = []
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.set_default_timeout(600_000)
        page.route("**/*", answer)
        page.emulate_media(media="print")
        page.goto(f"{HOST}/", wait_until="load")
        page.evaluate("() => MathJax.startup.promise")
        page.evaluate("() => document.fonts.ready.then(() => true)")
        if missing:
            raise FileNotFoundError(f"the document asks for what the book lacks: {missing[:5]}")
        yield page
        browser.close()


def print_pages(page: Page) -> bytes:
    return page.pdf(prefer_css_page_size=True, print_background=True, tagged=True)


def destinations(reader: PdfReader) -> dict[str, tuple[int, float]]:
    """Page (from 1) and height on it of every place that a link leads to."""
    found = {}
    for name, place in reader.named_destinations.items():
        number = reader.get_destination_page_number(place)
        if number is not None:
            found[unquote(name.removeprefix("/"))] = (number + 1, float(place.top or 0))
    return found


def add_outline(writer: PdfWriter, places: list[Place], at: dict[str, tuple[int, float]]) -> None:
    parents: dict[int, Any] = {}
    for place in places:
        if place.id not in at:
            continue
        number, top = at[place.id]
        parent = next((parents[d] for d in range(place.depth - 1, -1, -1) if d in parents), None)
        item = writer.add_outline_item(
            title=place.title,
            page_number=number - 1,
            parent=parent,
            fit=Fit.xyz(left=0, top=top),
            is_open=place.depth == 0,
        )
        parents = {d: i for d, i in parents.items() if d < place.depth} | {place.depth: item}


def make(output: Path = OUTPUT) -> Path:
    """Print the built book.

    Raises:
        FileNotFoundError: when the book is not built.
        ValueError: for links that lead nowhere, or numbers that did not settle.
    """
    # It tells that Chromium counts a few objects less than there are; nothing depends on it.
    logging.getLogger("pypdf").setLevel(logging.ERROR)
    if not (BOOK / FRONT).exists():
        raise FileNotFoundError("the book is not built; run `make book` first")
    config = (ROOT / "_config.yml").read_text("utf-8")
    title, author = (
        re.search(rf"^{key}: (.*)$", config, re.MULTILINE)[1] for key in ("title", "author")
    )  # type: ignore[index]
    joined = join(BOOK)
    print(f"{len(joined.places)} entries in the outline; drawing the formulas", flush=True)
    with opened(document(joined, title, author)) as page:
        for text, ratio in page.evaluate(FIT):
            print(f"made very small to fit the paper ({ratio:.2f}): {text!r}")
        cut = page.evaluate(CUT)
        if cut:
            raise ValueError(f"{len(cut)} things are wider than the paper: {cut[:5]}")
        print("printing, first for the page numbers", flush=True)
        at = destinations(PdfReader(io.BytesIO(print_pages(page))))
        numbers = {identity: number for identity, (number, _) in at.items()}
        page.evaluate(
            "(nav) => { document.querySelector('#contents').outerHTML = nav; }",
            contents_page(joined.places, numbers),
        )
        printed = print_pages(page)
    reader = PdfReader(io.BytesIO(printed))
    at = destinations(reader)
    if numbers != {identity: number for identity, (number, _) in at.items()}:
        raise ValueError("the contents' page numbers changed the pages")
    writer = PdfWriter(clone_from=reader)
    add_outline(writer, joined.places, at)
    writer.add_metadata({"/Title": title, "/Author": author})
    writer.root_object[NameObject("/ViewerPreferences")] = DictionaryObject(
        {NameObject("/DisplayDocTitle"): BooleanObject(True)}
    )
    writer.page_mode = "/UseOutlines"
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_suffix(".part")
    writer.write(part)
    part.replace(output)
    print(f"{output}: {len(reader.pages)} pages, {output.stat().st_size / 1e6:.1f} MB")
    return output


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT)
