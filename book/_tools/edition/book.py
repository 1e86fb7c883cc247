"""What a chapter's text refers to: the book's address, its pages, its bibliography."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

import yaml
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text

HEADING = re.compile(r"(?m)^# (.+)$")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def settings(root: Path) -> dict:
    return dict(yaml.safe_load((root / "_config.yml").read_text("utf-8")))


def site(root: Path) -> str:
    """Where the book's pages are published, with a slash at the end.

    ``html: baseurl:`` of _config.yml; where it is empty, the address that GitHub Pages gives to the
    repository, to which the workflow ``pages`` publishes.
    """
    found = settings(root)
    if stated := found.get("html", {}).get("baseurl"):
        return str(stated).rstrip("/") + "/"
    owner, name = found["repository"]["url"].removeprefix("https://github.com/").split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def colab(root: Path, place: str) -> str:
    """The address that opens the repository's file ``place`` in Colab."""
    repository = settings(root)["repository"]
    owner = repository["url"].removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{owner}/blob/{repository['branch']}/{place}"


def page(root: Path, place: str, target: str) -> str:
    """The published address of ``target``, as a text in the file ``place`` names it.

    Raises ``ValueError`` if there is no such page.
    """
    name, _, fragment = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), name)) if name else place
    sources = [path] if Path(path).suffix else [f"{path}.md", f"{path}.ipynb"]
    if not any((root / source).is_file() for source in sources):
        raise ValueError(f"{place} refers to {target}, which is no page of the book")
    stem = str(Path(path).with_suffix("")) if Path(path).suffix else path
    return f"{site(root)}{stem}.html" + (f"#{fragment}" if fragment else "")


def title(root: Path, place: str, target: str) -> str:
    """The heading of the page ``target``."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    found = HEADING.search((root / f"{path}.md").read_text("utf-8"))
    if found is None:
        raise ValueError(f"the page {target} has no heading")
    return found[1]


@cache
def bibliography(root: Path) -> BibliographyData:
    return parse_file(str(root / "book" / "references.bib"))


def plain(tex: str) -> str:
    """A bibliography's LaTeX as letters: S{\\o}nderby."""
    return str(Text.from_latex(tex)).replace("\xa0", " ")


def address(entry: Entry) -> str:
    """Where a work can be read, or "" if its entry does not say."""
    fields = entry.fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "url" in fields:
        return str(fields["url"])
    arxiv = ARXIV.search(fields.get("journal", ""))
    number = fields.get("eprint") or (arxiv[1] if arxiv else "")
    return f"https://arxiv.org/abs/{number}" if number else ""


def work(root: Path, key: str) -> tuple[str, str, str]:
    """Authors as the page names them, year, and an address: of the work, else of the page's list.

    Raises ``KeyError`` for a key that the bibliography lacks.
    """
    entry = bibliography(root).entries[key]
    people = entry.persons.get("author") or entry.persons["editor"]
    names = [plain(" ".join([*who.prelast_names, *who.last_names])) for who in people]
    few = names[0] if len(names) == 1 else " and ".join(names)
    authors = few if len(names) < 3 else f"{names[0]} *et al.*"
    return authors, entry.fields["year"], address(entry) or f"{site(root)}book/references.html"


def citation(root: Path, kind: str, keys: str) -> str:
    """``{cite:t}`` as Author (year), the others as (Author, year), each with a link."""
    works = [work(root, key.strip()) for key in keys.split(",")]
    if kind == "cite:t":
        return ", ".join(f"[{who} ({year})]({url})" for who, year, url in works)
    return "(" + "; ".join(f"[{who}, {year}]({url})" for who, year, url in works) + ")"
