"""Sphinx extension: each exercise says where it can be done, and leads there.

A derivation that a desk on the page judges gets a link that opens this very sheet of the desk. Any
other exercise has its place in the chapter's edition, the notebook that readers run: a link opens
it in Colab, at the exercise, where the book's repository is one that Colab can open, and another
fetches the notebook.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

EDITIONS = "notebooks/run"
CHAPTER = re.compile(r"notebooks/(\d\d_\w+)")
CHECK = re.compile(r'exercises\.check\("(\w+)"')
DESK = re.compile(r"\bDerivationDesk\((.*)\)", re.DOTALL)
EXERCISES = {"exercise_node", "exercise_enumerable_node"}
GITHUB = re.compile(r"https://github\.com/([^/\s]+/[^/\s]+?)(?:\.git)?/?")


def desks(document: nodes.document) -> set[str]:
    """The exercises that a desk on the page judges, by the names that its cell gives them."""
    found: set[str] = set()
    for block in document.findall(nodes.literal_block):
        if match := DESK.search(block.astext()):
            found |= set(re.findall(r'"(\w+)"', match[1]))
    return found


def cells(edition: Path) -> dict[str, str]:
    """The id of the cell that holds each exercise of an edition, by the exercise's label."""
    found: dict[str, str] = {}
    for cell in json.loads(edition.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        if match := re.match(r'<a id="([\w-]+)" name="\1"></a>\n\n### Exercise ', text):
            found[match[1]] = cell["id"]
    return found


def colab(theme: dict[str, Any], name: str) -> str:
    """Where Colab opens the edition ``name``; empty where it can't."""
    host = theme.get("launch_buttons", {}).get("colab_url", "").strip("/")
    match = GITHUB.fullmatch(theme.get("repository_url", ""))
    if not host or match is None:
        return ""
    branch = theme.get("repository_branch") or "main"
    return f"{host}/github/{match[1]}/blob/{branch}/{EDITIONS}/{name}.ipynb"


class ExerciseLinks(SphinxPostTransform):
    """Put the links at the end of each exercise of a chapter."""

    default_priority = 180  # before quiet_proof moves code
    formats = ("html",)

    def run(self, **options: Any) -> None:
        match = CHAPTER.fullmatch(self.env.docname)
        edition = Path(self.app.srcdir, EDITIONS, f"{match[1]}.ipynb") if match else None
        if match is None or edition is None:
            return
        judged = desks(self.document)
        within = cells(edition) if edition.is_file() else {}
        address = colab(dict(self.config.html_theme_options), match[1])
        for exercise in list(self.document.findall(nodes.Admonition)):
            if (
                not type(exercise).__name__.startswith("exercise_")
                or "end" in type(exercise).__name__
            ):
                continue
            links = []
            names = [name for name in CHECK.findall(exercise.astext()) if name in judged]
            if names:
                links.append(("Derive it at the desk", f"#derivation_desk=sheet:{names[0]}"))
            place = next((within[name] for name in exercise["ids"] if name in within), "")
            if not names and place:
                if address:
                    links.append(("Do it in Colab", f"{address}#scrollTo={place}"))
                if self.config.html_copy_source:
                    up = "../" * self.env.docname.count("/")
                    file = f"{up}_sources/{EDITIONS}/{edition.name}"
                    links.append(("Fetch the notebook", file))
            if links:
                exercise += line(links)


def line(links: list[tuple[str, str]]) -> nodes.paragraph:
    """The links as small buttons in one line, which print leaves out."""
    made = nodes.paragraph("", classes=["vae-do-it", "d-print-none"])
    for words, target in links:
        own = not target.startswith("https://")
        made += nodes.reference("", words, refuri=target, internal=own)
        made += nodes.Text(" ")
    return made


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(ExerciseLinks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
