"""The built pages joined into one document, in the order of the contents, for print.

Every id is prefixed with its page, and every link between pages then leads to a place in the same
document. What only a screen can use is left out: scripts, buttons, folded code that draws a
picture. A widget is its still picture; a quiz shows what each answer is told; what opens to show
the proof of a sentence is a plain ✓, at which links to its claims arrive.
"""

from __future__ import annotations

import copy
import posixpath
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

FRONT = "book/index.html"
# Attributes that hold ids, beside `id` itself and `href`.
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
SCREEN_ONLY = (
    "script", "noscript", "style[data-screen]", "button", "a.headerlink", "a.viewcode-link",
    "details.above-input", "details.vae-code", ".d-print-none", ".toctree-wrapper",
    "h1 .section-number",  # print says "Chapter 4" above the title
)  # fmt: skip


class Place(NamedTuple):
    """A line of the contents: where it leads, what it says, and how deep it stands."""

    id: str
    title: str
    depth: int  # 0 a part, 1 a page, 2 and 3 its sections


class Joined(NamedTuple):
    """One document for print."""

    html: str
    places: list[Place]


def slug(name: str) -> str:
    """``notebooks/03_elbo.html`` as a prefix of ids: ``notebooks-03_elbo``."""
    return name.removesuffix(".html").replace("/", "-")


def contents(book: Path) -> list[tuple[str, str]]:
    """The parts and pages as the sidebar lists them: (``""``, part) or (page, title).

    Titles lose their numbers: print numbers the chapters in its own way.
    """
    soup = BeautifulSoup((book / FRONT).read_text("utf-8"), "html.parser")
    nav = soup.select_one("nav.bd-links")
    if nav is None:
        raise ValueError(f"{book / FRONT} has no list of contents")
    found: list[tuple[str, str]] = []
    for entry in nav.select("p.caption, a.reference.internal"):
        title = " ".join(entry.get_text().split())
        if entry.name == "p":
            found.append(("", title))
            continue
        title = re.sub(r"^\d+\. ", "", title)
        target = urlsplit(str(entry["href"])).path
        page = posixpath.normpath(posixpath.join("book", unquote(target))) if target else FRONT
        if all(page != other for other, _ in found):
            found.append((page, title))
    return found


def article(book: Path, name: str) -> Tag:
    """A page's own text, without what only a screen can use."""
    soup = BeautifulSoup((book / name).read_text("utf-8"), "html.parser")
    found = soup.select_one("article.bd-article")
    if found is None:
        raise ValueError(f"{name} has no article")
    for widget in found.select(".text_html:has(.vae-static)"):
        if not widget.find_next_sibling("img", class_="vae-still"):
            raise ValueError(f"a widget in {name} has no still picture")
        widget.decompose()
    for still in found.select("img.vae-still"):
        still["class"] = "vae-printed"
    for proof in found.select("details.vae-proof"):
        for place in proof.select(".vae-proof-cell[id]"):
            proof.insert_before(soup.new_tag("span", id=place["id"]))
        proof.replace_with(soup.new_tag("span", attrs={"class": "vae-mark"}, string=" ✓"))
    for selector in SCREEN_ONLY:
        for useless in found.select(selector):
            useless.decompose()
    for dark in found.select("img.vae-in-dark"):
        dark.decompose()
    for image in found.select("img[loading]"):
        del image["loading"]
    for details in found.select("details"):
        details["open"] = ""
    return found


def rewrite(part: Tag, name: str, pages: set[str], ids: dict[str, set[str]]) -> None:
    """Prefix the ids of a page, and lead its links and pictures to where they are now.

    pages: the pages of the document. ids: each page's ids, as the page has them.
    """
    prefix = slug(name)
    for tag in part.select("[id]"):
        tag["id"] = f"{prefix}--{tag['id']}"
    for attribute in REFERENCES:
        for tag in part.select(f"[{attribute}]"):
            value = tag[attribute]
            words = value if isinstance(value, list) else str(value).split()
            tag[attribute] = " ".join(f"{prefix}--{word}" for word in words)
    for radio in part.select("input[name]"):
        radio["name"] = f"{prefix}--{radio['name']}"
    for image in part.select("img[src]"):
        if not urlsplit(str(image["src"])).scheme:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), str(image["src"])))
            image["src"] = "/" + path
    for link in part.select("a[href]"):
        split = urlsplit(str(link["href"]))
        if split.scheme or split.netloc:
            continue
        target = name
        if split.path:
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(name), unquote(split.path))
            )
        if target not in pages:
            link.unwrap()  # a notebook to download, the index: not in the document
        elif split.fragment and split.fragment in ids[target]:
            link["href"] = f"#{slug(target)}--{split.fragment}"
        elif split.fragment:
            raise ValueError(f"{name} refers to {target}#{split.fragment}, which is not there")
        else:
            link["href"] = f"#{slug(target)}"


def headings(part: Tag, name: str) -> list[Place]:
    """The page and its sections down to the third level, as places of the contents."""
    found = []
    for heading in part.select("h1, h2, h3"):
        section = heading.find_parent("section")
        identity = section.get("id") if section else None
        depth = int(heading.name[1])
        if depth == 1:
            identity = slug(name)
        if identity:
            title = " ".join(plain(heading).split())
            found.append(Place(str(identity), title, depth))
    return found


def plain(tag: Tag) -> str:
    """A heading's words; simple mathematics loses its TeX."""
    text = tag.get_text()
    text = re.sub(r"\\(?:mathcal|mathrm|text|operatorname)\s*\{?([A-Za-z]+)\}?", r"\1", text)
    return re.sub(r"\\[()]|[{}]", "", text).replace(r"\|", "‖").replace("\\", "")


def join(book: Path, chapters: str = "Chapters") -> Joined:
    """All pages of the contents in one document.

    The pages of the part named ``chapters`` are numbered, as the text refers to them.

    Raises:
        ValueError: for a reference that leads nowhere, or a widget without its picture.
    """
    listed = contents(book)
    names = [name for name, _ in listed if name]
    parts = {name: article(book, name) for name in names}
    ids = {n: {str(tag["id"]) for tag in part.select("[id]")} for n, part in parts.items()}
    places: list[Place] = []
    body: list[str] = []
    part_title, number = "", 0
    for name, title in listed:
        if not name:
            part_title = title
            places.append(Place(f"part-{slug(title.replace(' ', '-').lower())}", title, 0))
            continue
        part = copy.copy(parts[name])
        rewrite(part, name, set(names), ids)
        running = title
        if part_title == chapters:
            number += 1
            running = f"{number} {title}"
            first = part.select_one("h1")
            if first is not None:
                label = BeautifulSoup(f'<p class="number">Chapter {number}</p>', "html.parser")
                first.insert_before(label)
        own = headings(part, name)
        if own and part_title == chapters:
            own[0] = own[0]._replace(title=f"{number} {own[0].title}")
        opens = places and places[-1].depth == 0
        anchor = f'<span id="{places[-1].id}"></span>' if opens else ""
        places += own
        body.append(
            f'<div class="page bd-article" id="{slug(name)}" data-running="{running}">'
            f"{anchor}{part.decode_contents()}</div>"
        )
    return Joined("\n".join(body), places)
