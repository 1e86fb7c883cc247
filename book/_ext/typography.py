"""Sphinx extension: lines break where a reader would break them, and a minus is a minus.

- Punctuation behind a formula stays on the formula's line: a browser takes a formula for a picture,
  beside which any line may end.
- A result within a sentence stays in one piece, `0.31 ± 0.02 %`, its sign is a minus, its power of
  ten is one.

Only the page's markup changes; what a cell stored, and what is compared, stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from vae_core._typography import typeset

PUNCTUATION = re.compile(r"[.,;:!?)\]’”]+")
UNIT = re.compile(r"[   ]%?[.,;:!?)\]’”]*|[.,;:!?)\]’”]+")

LONGEST = 40  # characters of a result: a longer one, such as a command, must be able to break


def keep_together(node: nodes.Element, behind: re.Pattern[str]) -> None:
    """Put ``node`` and what ``behind`` matches of the text after it into one unbreakable span."""
    parent = node.parent
    place = parent.index(node)
    follower = parent[place + 1] if place + 1 < len(parent) else None
    tail = behind.match(follower.astext()) if isinstance(follower, nodes.Text) else None
    if tail is None or not tail[0].strip():
        return
    whole = follower.astext()
    span = nodes.inline("", "", classes=["vae-tight"])
    parent[place] = span
    span += [node, nodes.Text(tail[0])]
    parent[place + 1 : place + 2] = [nodes.Text(whole[tail.end() :])]


def set_type(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Join formulas and results to what belongs to them, and give results their signs."""
    for formula in list(doctree.findall(nodes.math)):
        keep_together(formula, PUNCTUATION)
    for result in list(doctree.findall(nodes.inline)):
        if "pasted-text" not in result["classes"]:
            continue
        for text in list(result.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(typeset(text)))
        if len(result.astext()) <= LONGEST:
            keep_together(result, UNIT)
        else:
            result["classes"].append("vae-long")


def setup(app: Sphinx) -> dict[str, Any]:
    # Late: results are put into the text while references are resolved.
    app.connect("doctree-resolved", set_type, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
