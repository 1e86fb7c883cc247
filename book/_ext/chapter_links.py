"""Sphinx extension: the role {chapter}`4: Never negative, zero only at the prior`.

It names a chapter by its number and, after a colon, a section by its heading, and becomes a link.
Where the heading is gone, the link leads to the chapter; the tests say which ones these are.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole


class chapter_link(nodes.Inline, nodes.TextElement):
    """A link to a chapter or section, until all chapters have been read."""


class ChapterRole(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        number, _, section = self.text.partition(":")
        node = chapter_link("", number=int(number), section=section.strip())
        return [node], []


def plain(title: str) -> str:
    """A heading as it is compared: letters and digits only, quotes and formulas' marks gone."""
    return re.sub(r"\W+", " ", title.replace("mathcal", "")).strip().casefold()


def begins_sentence(node: nodes.Node) -> bool:
    """Whether ``node`` is the first word of its paragraph or follows the end of a sentence."""
    before = node.parent.children[: node.parent.index(node)]
    text = "".join(part.astext() for part in before).rstrip(" \n“”\"'()*")
    return not text or text[-1] in ".?!"


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    env = app.env
    for node in list(doctree.findall(chapter_link)):
        number, section = node["number"], node["section"]
        words = f"chapter {number}" + (f", “{section}”" if section else "")
        if begins_sentence(node):
            words = "C" + words[1:]
        found = [name for name in env.found_docs if name.startswith(f"notebooks/{number:02d}_")]
        if not found:
            node.replace_self(nodes.inline("", words))
            continue
        anchor = ""
        for entry in env.tocs[found[0]].findall(nodes.reference):
            if section and plain(entry.astext()) == plain(section):
                anchor = entry.get("anchorname", "")
        uri = app.builder.get_relative_uri(docname, found[0]) + anchor
        node.replace_self(nodes.reference("", words, refuri=uri, internal=True))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(chapter_link)
    app.add_role("chapter", ChapterRole())
    app.connect("doctree-resolved", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
