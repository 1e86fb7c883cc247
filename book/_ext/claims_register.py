"""Sphinx extension: the register of claims, made from the notebooks that the build executed.

The directive `{claims-register}` lists, chapter by chapter, every claim with what could refute it,
its margin and seeds, and the changes that make it fail (benchmarks/results/claims.json), with a
link to where it is asserted: to the mark that shows it (quiet_proof), else to the section. Each
chapter is a box that opens; a page that runs scripts gets a field to look for words.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

TICK = "✓ "
RECORD = Path("benchmarks/results/claims.json")
SPARED = Path("benchmarks/mutants/spared.toml")
CHAPTER = re.compile(r"notebooks/(\d\d)_\w+")
PAGE = "claims.js", "claims.css"
MARK = "claims_register"  # in the metadata of a page that has one


class claims_register(nodes.General, nodes.Element):
    """The place of the register, until every chapter has been read."""


class ClaimsRegister(SphinxDirective):
    """`{claims-register}`, without content or options."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        self.env.metadata[self.env.docname][MARK] = "yes"
        return [claims_register()]


# --- what is known ------------------------------------------------------------------------------


def stored_claims(glue: Path) -> list[dict[str, Any]]:
    """The claims in what MyST-NB wrote of an executed notebook, in their order."""
    if not glue.is_file():
        return []
    found = []
    for name, output in json.loads(glue.read_text("utf-8")).items():
        if re.fullmatch(r"claims-\d+", name):
            for claims in output["data"].values():
                found += claims
    return found


def masked(sentence: str) -> str:
    """A sentence without its numbers, which may differ by machine, as in benchmarks.mutants."""
    return re.sub(r"[−-]?\d[\d.,]*(?:e[-+]?\d+)?", "#", sentence)


def tried_on(claims: Sequence[Mapping[str, Any]], sentence: str) -> Mapping[str, Any] | None:
    """What the mutations have found about a claim: of its sentence, else but for the numbers."""
    for alike in (str, masked):
        for claim in claims:
            if alike(claim["sentence"]) == alike(sentence):
                return claim
    return None


def spared(path: Path) -> dict[tuple[str, str], str]:
    """(chapter, sentence) of claims that nothing makes fail, with the reason that a reader gets."""
    if not path.is_file():
        return {}
    entries = tomllib.loads(path.read_text("utf-8")).get("claim", [])
    return {(entry["chapter"], entry["sentence"]): entry["reason"] for entry in entries}


def margin_of(claim: Mapping[str, Any]) -> str:
    """Margin and seeds in words; empty where the claim states neither."""
    parts = []
    margin = claim.get("margin")
    if isinstance(margin, str):
        parts.append(f"margin {margin}" if margin[:1].isdigit() else margin)
    elif margin is not None:
        parts.append(f"margin {margin:g} standard errors".replace("-", "−"))
    if "seeds" in claim:
        parts.append(f"{claim['seeds']} seed{'s' if claim['seeds'] != 1 else ''}")
    return ", ".join(parts)


def fate_of(tried: Mapping[str, Any] | None, reason: str) -> str:
    """What makes the claim fail, in words."""
    if tried is None:
        return "not yet tried"
    if not tried["killed_by"]:
        count = tried["tried"]
        of = f"none of {count} changes" if count else "no change that could be made"
        return f"{of}{f': {reason}' if reason else ''}"
    return "; ".join(tried["killed_by"])


# --- where a claim stands -------------------------------------------------------------------------


def proof_id(index: int) -> str:
    """The id, on a chapter's page, of what the cell with this number proves."""
    return f"proof-{index}"


def box_id(number: str) -> str:
    """The id, on the register's page, of the claims of the chapter "03"."""
    return f"claims-{number}"


def place_of(block: nodes.Node, marked: bool) -> str:
    """The id of what shows a block's claims: the mark of its cell if ``marked``, or a section."""
    parent: nodes.Node | None = block
    while parent is not None:
        if marked and parent.get("nb_element") == "cell_code":
            return proof_id(parent["cell_index"])
        if isinstance(parent, nodes.section):
            return str(parent["ids"][0]) if parent["ids"] else ""
        parent = parent.parent
    return ""


def places_of(doctree: nodes.document, marked: bool = False) -> dict[str, str]:
    """The id of the place that shows each claim, by its sentence."""
    found: dict[str, str] = {}
    for block in doctree.findall(nodes.literal_block):
        text = block.astext()
        if TICK not in text:
            continue
        place = place_of(block, marked)
        for line in text.splitlines() if place else ():
            if line.startswith(TICK):
                found.setdefault(line.removeprefix(TICK), place)
    return found


# --- the page -----------------------------------------------------------------------------------


def _raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def claim_line(label: str, text: str) -> nodes.paragraph:
    """One thing that is known of a claim."""
    return nodes.paragraph(
        "", "", nodes.inline("", f"{label}: ", classes=["vae-claim-label"]), nodes.inline("", text)
    )


def entry(sentence: str, target: str, lines: Sequence[tuple[str, str]]) -> nodes.list_item:
    """One claim, linked to where it is asserted, and what is known of it."""
    link = nodes.reference("", sentence, refuri=target, internal=True)
    parts = [nodes.paragraph("", "", link, classes=["vae-claim"])]
    parts += [claim_line(label, text) for label, text in lines if text]
    return nodes.list_item("", *parts)


def chapters(env: BuildEnvironment) -> Iterator[tuple[str, str]]:
    """(number, page) of the chapters, in order."""
    for docname in sorted(env.found_docs):
        if match := CHAPTER.fullmatch(docname):
            yield match[1], docname


def chapter_box(
    app: Sphinx, page: str, number: str, docname: str, record: Mapping[str, Any], reasons: Mapping
) -> list[nodes.Node]:
    """A chapter's claims in a box that opens."""
    env = app.env
    folder = Path(app.outdir).parent / "jupyter_execute"
    claims = stored_claims(folder / f"{docname}.glue.json")
    stem = docname.split("/")[-1]
    tried = record.get(stem, {}).get("claims", [])
    places = places_of(env.get_doctree(docname), "quiet_proof" in app.extensions)
    title = env.titles[docname].astext()
    counted = f"{len(claims)} claim{'s' if len(claims) != 1 else ''}"
    uri = app.builder.get_relative_uri(page, docname)
    items = []
    for claim in claims:
        sentence = claim["sentence"]
        place = places.get(sentence, "")
        lines = [
            ("Refuted by", claim.get("refuted_by", "")),
            ("Holds by", margin_of(claim)),
            ("Fails with", fate_of(tried_on(tried, sentence), reasons.get((stem, sentence), ""))),
        ]
        items.append(entry(sentence, f"{uri}#{place}" if place else uri, lines))
    head = f"<summary>{int(number)}. {escape(title)} <span>{counted}</span></summary>"
    return [
        _raw(f'<details class="vae-claims">{head}'),
        nodes.bullet_list("", *items, classes=["vae-claims-list"], ids=[box_id(number)]),
        _raw("</details>"),
    ]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the register in its place, now that every chapter is known."""
    for place in list(doctree.findall(claims_register)):
        root = Path(app.srcdir)
        path = root / RECORD
        record = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        reasons = spared(root / SPARED)
        parts: list[nodes.Node] = []
        for number, chapter in chapters(app.env):
            parts += chapter_box(app, docname, number, chapter, record, reasons)
        place.replace_self(nodes.container("", *parts, classes=["vae-claims-register"]))


def read_again(app: Sphinx, env: BuildEnvironment, *_: object) -> list[str]:
    """Pages with a register are written anew in each build: any chapter may have changed."""
    return [docname for docname in env.found_docs if MARK in env.metadata.get(docname, {})]


def dress(app: Sphinx, pagename: str, *_: object) -> None:
    """The register's script and style, on its page alone."""
    if MARK in app.env.metadata.get(pagename, {}):
        script, style = PAGE
        app.add_js_file(script, loading_method="defer")
        app.add_css_file(style)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(claims_register)
    app.add_directive("claims-register", ClaimsRegister)
    app.connect("doctree-resolved", fill)
    app.connect("env-get-outdated", read_again)
    app.connect("html-page-context", dress)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
