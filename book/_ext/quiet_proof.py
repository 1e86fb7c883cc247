"""Sphinx extension: what proves a sentence stands behind one small mark, and code keeps quiet.

A notebook's cells say on a page which claims they have tested, line by line, and every folded cell
has a bar of its own. A reader of the text needs neither. So on the pages

- the claims of a cell become a mark, ✓, at the end of the text before the cell. It opens: by hover,
  focus or tap where scripts run, by a click anywhere. In it are the claims, what would refute each
  and by how much it holds, a link to the register, and the code. A folded cell that shows nothing
  else is gone. Without text before it, the mark stands by itself, at the cell's corner.
- other folded code is a small word, "code", under what the cell shows, and that which only prepares
  a chapter is "Set-up code". A quiz has none: it would tell the answers.

The notebooks stay as they are. All of it is `<details>`: it works without script and from a disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from claims_register import CHAPTER, TICK, box_id, stored_claims
from docutils import nodes
from proof_marks import Proof, attach, folded, own_place
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

REGISTER = "book/claims"
QUIZ = "vae-quiz"
TASKS = ("exercise", "solution")
SET_UP = "vae-set-up"
LISTS = (nodes.bullet_list, nodes.enumerated_list, nodes.list_item, nodes.block_quote)


# --- a cell ---------------------------------------------------------------------------------------


def part(cell: nodes.container, kind: str) -> nodes.Element | None:
    """The cell's code ("cell_code_source") or what it shows ("cell_code_output"), if it has it."""
    return next((child for child in cell.children if child.get("nb_element") == kind), None)


def take_claims(output: nodes.Element | None) -> list[str]:
    """The sentences of a cell's claims, whose lines are taken out of what the cell shows."""
    found: list[str] = []
    for block in list(output.findall(nodes.literal_block)) if output is not None else []:
        if "stream" not in block["classes"] or TICK not in block.astext():
            continue
        lines = block.astext().splitlines()
        found += [line.removeprefix(TICK) for line in lines if line.startswith(TICK)]
        rest = "\n".join(line for line in lines if not line.startswith(TICK)).strip("\n")
        if rest:
            block.replace_self(nodes.literal_block(rest, rest, **block.attributes))
        else:
            block.parent.remove(block)
    return found


def is_quiz(output: nodes.Element | None) -> bool:
    raws = output.findall(nodes.raw) if output is not None else ()
    return any(QUIZ in raw.astext() for raw in raws)


def fold(cell: nodes.container, hidden: list[nodes.Element], mode: str, anchor: str) -> None:
    """Put ``hidden``, a cell's code and what else its ``mode`` hides, behind a word at its foot."""
    setting_up = mode == "all" and len(hidden) == 1 and not cell.children
    at = cell.parent.index(cell)
    before = cell.parent[at - 1] if at else None
    if setting_up and isinstance(before, nodes.container) and SET_UP in before["classes"]:
        before.insert(len(before) - 1, hidden)
        cell.parent.remove(cell)
    elif setting_up:
        cell["classes"].append(SET_UP)
        cell += folded("Set-up code", "Set-up code", hidden, "vae-code", anchor)
    else:
        cell += folded("code", "Show the code", hidden, "vae-code", anchor)


# --- the text before it ---------------------------------------------------------------------------


def neighbour(cell: nodes.Element) -> nodes.Node | None:
    """What stands before the cell on the page."""
    siblings = cell.parent.children
    at = siblings.index(cell) - 1
    while at >= 0 and isinstance(siblings[at], (nodes.Invisible, nodes.target)):
        at -= 1
    return siblings[at] if at >= 0 else None


def text_before(node: nodes.Node | None) -> nodes.Element | None:
    """The paragraph that ends with the end of ``node``, or another mark's own place."""
    while isinstance(node, (*LISTS, nodes.Admonition)):
        closed = "dropdown" in node["classes"] or type(node).__name__.startswith(TASKS)
        if closed or not node.children:
            return None
        node = node.children[-1]
    return node if isinstance(node, (nodes.paragraph, own_place)) else None


def corner(cell: nodes.container) -> nodes.Element:
    """The place for a mark at the foot of a cell, before the word for its code."""
    found = next((child for child in cell.children if isinstance(child, own_place)), None)
    if found is not None:
        return found
    word = (at for at, child in enumerate(cell.children) if isinstance(child, nodes.raw))
    place = own_place()
    cell.insert(next(word, len(cell.children)), place)
    return place


# --- the pages ------------------------------------------------------------------------------------


class QuietProofs(SphinxPostTransform):
    """Take the claims and the bars of folded code off the page, and put the marks on it."""

    default_priority = 190  # MyST-NB chooses outputs at 4, and makes its bars at 199
    formats = ("html",)

    def run(self, **options: Any) -> None:
        folder = Path(self.app.outdir).parent / "jupyter_execute"
        stored = stored_claims(folder / f"{self.env.docname}.glue.json")
        self.known = {claim["sentence"]: claim for claim in reversed(stored)}
        self.marks: list[tuple[nodes.Element, list[Proof]]] = []
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") == "cell_code" and cell.children:
                self.quieten(cell)
        register = ""
        match = CHAPTER.fullmatch(self.env.docname)
        if match and REGISTER in self.env.found_docs:
            uri = self.app.builder.get_relative_uri(self.env.docname, REGISTER)
            register = f"{uri}#{box_id(match[1])}"
        for place, proofs in self.marks:
            attach(place, proofs, register)

    def quieten(self, cell: nodes.container) -> None:
        """Move a cell's claims to their mark, and its code behind a word."""
        source, output = part(cell, "cell_code_source"), part(cell, "cell_code_output")
        sentences = take_claims(output)
        if output is not None and not output.children:
            cell.remove(output)
            output = None
        mode = cell.attributes.pop("hide_mode", None)
        if source is None or mode is None or mode == "output":
            if sentences:
                # Code that can be read on the page stands above its mark.
                self.prove(cell, sentences, inside=source is not None)
            if not cell.children:
                cell.parent.remove(cell)
            elif mode is not None:
                cell["hide_mode"] = mode
            return
        cell.remove(source)
        if sentences and output is None:
            self.prove(cell, sentences, code=source)
            cell.parent.remove(cell)
            return
        anchor = f"cell-{cell['cell_index']}-code"
        if sentences:
            self.prove(cell, sentences, elsewhere=anchor)
        hidden = [source]
        if mode != "input" and output is not None:
            cell.remove(output)
            hidden.append(output)
        if not is_quiz(output):
            fold(cell, hidden, mode, anchor)

    def prove(
        self,
        cell: nodes.container,
        sentences: list[str],
        *,
        inside: bool = False,
        code: nodes.Element | None = None,
        elsewhere: str = "",
    ) -> None:
        """Note what a cell proves, and the place of its mark.

        inside: whether the mark stands in the cell in any case. code, elsewhere: as in ``Proof``.
        """
        claims = [self.known.get(said, {"sentence": said}) for said in sentences]
        proof = Proof(cell["cell_index"], claims, code, elsewhere)
        before = neighbour(cell)
        place = None if inside else text_before(before)
        if place is None and code is None and cell.children:
            place = corner(cell)
        elif place is None and isinstance(before, nodes.container) and "nb_element" in before:
            place = corner(before)
        elif place is None:
            place = own_place()
            cell.parent.insert(cell.parent.index(cell), place)
        for known, proofs in self.marks:
            if known is place:
                proofs.append(proof)
                return
        self.marks.append((place, [proof]))


def dress(app: Sphinx, pagename: str, *_: object) -> None:
    """The script and style, on chapters alone."""
    if CHAPTER.fullmatch(pagename):
        app.add_js_file("quiet_proof.js", loading_method="defer")
        app.add_css_file("quiet_proof.css")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(QuietProofs)
    app.connect("html-page-context", dress)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
