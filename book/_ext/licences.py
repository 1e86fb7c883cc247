"""Sphinx extension: whose work the built pages carry, and under which licence.

The directive ``{licences}`` lists the distributions whose files a build copies, as they are
installed, with the texts of their licences; and what these carry of others in turn, which no
metadata names. tests/test_licences.py compares the list with the files of a built book.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

TEXTS = Path(__file__).resolve().parents[1] / "licences"

# Distributions whose files a build puts into the pages, and what these are for.
CARRIED = {
    "sphinx": "the pages' frame, the search, the index",
    "sphinx-book-theme": "the theme",
    "pydata-sphinx-theme": "the theme that it builds on, with its icons",
    "pygments": "the colours of code",
    "myst-nb": "the look of a notebook's cells",
    "sphinx-copybutton": "the button that copies code",
    "sphinx-togglebutton": "parts that unfold",
    "sphinx-design": "parts that unfold",
    "sphinx-exercise": "exercises and solutions",
    "sphinx-proof": "theorems and proofs",
    "sphinx-mathjax-offline": "MathJax's files",
}


class Within(NamedTuple):
    """Work of others that one of the distributions brings along."""

    name: str
    brought_by: str
    version: tuple[str, str]  # a file of it, and the pattern of the version in it
    licences: tuple[str, ...]  # names of TEXTS, or of licences with an address of their own
    holder: str
    home: str


WITHIN = (
    Within(
        "MathJax, with Speech Rule Engine",
        "sphinx-mathjax-offline",
        ("tex-svg.js", r'VERSION="(3[\d.]+)"'),
        ("Apache-2.0",),
        "The MathJax Consortium; Volker Sorge",
        "https://www.mathjax.org",
    ),
    Within(
        "mhchemParser, in MathJax",
        "sphinx-mathjax-offline",
        ("tex-full.js", r"mhchemParser\.ts\s*\*\s*([\d.]+)"),
        ("Apache-2.0",),
        "Martin Hensel",
        "https://github.com/mhchem/mhchemParser",
    ),
    Within(
        "Bootstrap, with Popper",
        "pydata-sphinx-theme",
        ("bootstrap.js.LICENSE.txt", r"Bootstrap v([\d.]+)"),
        ("MIT",),
        "2011–2024 The Bootstrap Authors; 2019 Federico Zivolo",
        "https://getbootstrap.com",
    ),
    Within(
        "Font Awesome Free",
        "pydata-sphinx-theme",
        ("fontawesome.js.LICENSE.txt", r"Font Awesome Free ([\d.]+)"),
        ("CC-BY-4.0", "OFL-1.1", "MIT"),
        "Fonticons, Inc.",
        "https://fontawesome.com",
    ),
    Within(
        "clipboard.js",
        "sphinx-copybutton",
        ("clipboard.min.js", r"clipboard\.js v([\d.]+)"),
        ("MIT",),
        "Zeno Rocha",
        "https://clipboardjs.com",
    ),
)
ADDRESSES = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/"}


def files_of(found: Distribution, name: str) -> list[str]:
    """The contents of the installed distribution's files of that name."""
    places = [file for file in found.files or () if Path(str(file)).name == name]
    return [Path(str(found.locate_file(place))).read_text("utf-8") for place in places]


def version_of(part: Within) -> str:
    """The version of what a distribution brings along; "" where its files do not say it."""
    name, pattern = part.version
    for text in files_of(distribution(part.brought_by), name):
        if found := re.search(pattern, text):
            return found[1]
    return ""


def licence_of(found: Distribution) -> str:
    """A licence's name from a distribution's metadata: an expression, a line, or a classifier."""
    metadata: Any = found.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    first = str(metadata.get("License") or "").strip().split("\n")[0]
    if first:
        return first
    kinds = [c for c in metadata.get_all("Classifier") or () if c.startswith("License :: ")]
    return kinds[0].rsplit(" :: ", 1)[1] if kinds else "see its text"


def home_of(found: Distribution) -> str:
    """The address of a distribution's project."""
    metadata: Any = found.metadata
    urls = [text.split(", ", 1) for text in metadata.get_all("Project-URL") or ()]
    named = {name.lower(): url for name, url in urls}
    for name in ("homepage", "source", "repository"):
        if name in named:
            return str(named[name])
    return str(metadata.get("Home-page") or "")


def text_of(found: Distribution) -> str:
    """The text of a distribution's licence as it is installed; "" where it brings none."""
    names = re.compile(r"(licen[cs]e|copying|notice)(\.(txt|md|rst))?", re.IGNORECASE)
    texts = []
    for file in found.files or ():
        path = Path(str(file))
        if "-info" in path.parts[0] and names.fullmatch(path.name):
            texts.append(Path(str(found.locate_file(file))).read_text("utf-8").strip())
    return "\n\n".join(texts)


def row(*cells: nodes.Node | str) -> nodes.row:
    entries = []
    for cell in cells:
        inside = nodes.Text(cell) if isinstance(cell, str) else cell
        entries.append(nodes.entry("", nodes.paragraph("", "", inside)))
    return nodes.row("", *entries)


def table(head: tuple[str, ...], rows: list[nodes.row]) -> nodes.table:
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += [nodes.thead("", row(*head)), nodes.tbody("", *rows)]
    return nodes.table("", group)


def link(name: str, address: str) -> nodes.Node:
    return nodes.reference("", name, refuri=address) if address else nodes.Text(name)


def folded(title: str, text: str) -> list[nodes.Node]:
    """A text that its reader unfolds."""
    return [
        nodes.raw("", f"<details><summary>{title}</summary>", format="html"),
        nodes.literal_block(text, text, language="none"),
        nodes.raw("", "</details>", format="html"),
    ]


class Licences(SphinxDirective):
    """``{licences}``: the two tables, and the texts."""

    def run(self) -> list[nodes.Node]:
        found = {name: distribution(name) for name in CARRIED}
        own = [
            row(link(d.metadata["Name"], home_of(d)), d.version, CARRIED[name], licence_of(d))
            for name, d in found.items()
        ]
        others = [
            row(
                link(part.name, part.home),
                version_of(part),
                part.brought_by,
                part.holder,
                ", ".join(part.licences),
            )
            for part in WITHIN
        ]
        texts = [(d.metadata["Name"], text_of(d)) for d in found.values()]
        texts += [(path.stem, path.read_text("utf-8")) for path in sorted(TEXTS.glob("*.txt"))]
        addresses = [
            nodes.paragraph("", "", link(name, address)) for name, address in ADDRESSES.items()
        ]
        return [
            table(("From", "version", "in the pages", "licence"), own),
            nodes.paragraph("", "They bring along, in turn:"),
            table(("Work", "version", "brought by", "by", "licence"), others),
            nodes.rubric("", "The texts"),
            *(node for name, text in texts if text for node in folded(name, text)),
            *addresses,
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("licences", Licences)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
