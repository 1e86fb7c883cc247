"""Sphinx extension: a cell's picture becomes a figure with a number, a caption, and a dark version.

The words that a chapter gives its picture (``mystnb.image.alt`` of the cell) are its caption, and
what a screen reader hears; the picture's own alternative text names the figure alone, so that
nothing is heard twice. Sphinx counts the figures (3.2 is the second of chapter 3), and each has a
label, ``fig-03-`` and the identity of its cell, which pages can refer to by ``numref``.

Where the picture says which parts of it are pictures themselves (see ``dark_figures``), a page gets
it on a transparent ground, with a second one drawn for the dark theme, which a reader of the light
one never loads. Any other keeps its white ground, in the dark theme as well.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dark_figures
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

# Part of the files' names: a build in the same folder takes no file of another way of drawing.
WAY = hashlib.sha256(Path(dark_figures.__file__).read_bytes()).hexdigest()[:8]


class drawn(nodes.image):
    """A figure's picture, for one theme or for all of them."""


def cell_ids(path: str) -> list[str]:
    """The identity of each cell of a notebook; nothing for a page of another kind."""
    if not path.endswith(".ipynb"):
        return []
    cells = json.loads(Path(path).read_text("utf-8"))["cells"]
    return [str(cell.get("id", index)) for index, cell in enumerate(cells)]


def versions(path: Path) -> dict[str, Path]:
    """The files that show a stored figure: ``light`` and ``dark``, or one for ``both``."""
    figure = path.read_bytes()
    if dark_figures.boxes(figure) is None:
        return {"both": path}
    made = {}
    for theme, draw in (("light", dark_figures.light), ("dark", dark_figures.dark)):
        made[theme] = path.with_name(f"{path.stem}-{theme}-{WAY}.png")
        if not made[theme].exists():
            made[theme].write_bytes(draw(figure))
    return made


def chosen(bundle: nodes.Element) -> nodes.image | None:
    """A mime bundle's picture, if it is what a page shows of it, and was put into words."""
    shown = {child["mime_type"]: child for child in bundle.children}
    if "image/png" not in shown or "text/html" in shown:
        return None
    image = next(shown["image/png"].findall(nodes.image), None)
    return image if image is not None and image.get("alt") else None


class Figures(SphinxTransform):
    """Put each worded picture of a cell into a figure, before Sphinx collects labels and images."""

    default_priority = 840

    def apply(self, **options: Any) -> None:
        ids: list[str] | None = None
        page = Path(self.env.docname).name
        chapter = match[1] if (match := re.match(r"(\d\d)_", page)) else page
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            count = 0
            for bundle in list(cell.findall(nodes.container)):
                if bundle.get("nb_element") != "mime_bundle" or (image := chosen(bundle)) is None:
                    continue
                ids = cell_ids(str(self.env.doc2path(self.env.docname))) if ids is None else ids
                index = cell["cell_index"]
                name = f"fig-{chapter}-{ids[index] if index < len(ids) else index}"
                count += 1
                bundle.replace_self(self.figure(image, name if count == 1 else f"{name}-{count}"))

    def figure(self, image: nodes.image, name: str) -> nodes.figure:
        words = re.sub(r"(?<=\w)'", "’", image["alt"])
        figure = nodes.figure()
        figure.source, figure.line = image.source, image.line
        figure["names"].append(nodes.fully_normalize_name(name))
        self.document.note_explicit_target(figure, figure)
        scrolls = nodes.container(classes=["vae-drawn"])
        _, full = self.env.relfn2path(image["uri"], self.env.docname)
        for theme, path in versions(Path(full)).items():
            with Image.open(path) as picture:
                width, height = picture.size
            scrolls += drawn(
                uri=image["uri"].removesuffix(Path(full).name) + path.name,
                theme=theme, pixels=(width, height),
            )  # fmt: skip
        figure += [scrolls, nodes.caption(words, "", nodes.Text(words))]
        return figure


def figure_of(node: nodes.Element) -> nodes.Element:
    while not isinstance(node, nodes.figure):
        node = node.parent
    return node


def visit_drawn(self: Any, node: drawn) -> None:
    numbers = self.builder.fignumbers.get("figure", {})
    number = numbers.get(figure_of(node)["ids"][0], ())
    name = " ".join(["Figure", ".".join(map(str, number))]).strip()
    width, height = node["pixels"]
    # What is lazy is loaded when it comes near, and not at all while it is hidden: a reader of one
    # theme never loads the versions of the other.
    theme = f"vae-in-{node['theme']}{' dark-light' if node['theme'] == 'dark' else ''}"
    source = f"{self.builder.imgpath}/{quote(self.builder.images[node['uri']])}"
    self.body.append(
        f'<img class="{theme}" loading="lazy" src="{source}"'
        f' width="{width}" height="{height}" alt="{name}, described by its caption">'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(drawn, html=(visit_drawn, None))
    app.add_transform(Figures)
    return {"version": WAY, "parallel_read_safe": True, "parallel_write_safe": True}
