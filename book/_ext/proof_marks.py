"""The marks of proofs, as quiet_proof puts them on a page: `<details>` with all that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from claims_register import TICK, claim_line, margin_of, proof_id
from docutils import nodes

LISTED = "vae-proof-claims"  # in which glossary_links looks for no term


class Proof(NamedTuple):
    """The claims of one cell, and where its code is."""

    index: int  # of the cell
    claims: list[Mapping[str, Any]]
    code: nodes.Element | None  # shown in the mark; the cell has none of its own
    elsewhere: str  # the id of the code on the page


class own_place(nodes.General, nodes.Element):
    """Where a mark stands that has no text before it, until the mark is made."""


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def folded(
    label: str, name: str, content: Sequence[nodes.Node], classes: str, anchor: str = ""
) -> list[nodes.Node]:
    """``content`` behind the words ``label``; ``name`` says the same to a screen reader."""
    known = f' id="{anchor}"' if anchor else ""
    spoken = f' aria-label="{escape(name)}"' if name != label else ""
    head = f'<details class="{classes}"{known}><summary{spoken}>{escape(label)}</summary>'
    return [raw(head), *content, raw("</details>")]


def told(proof: Proof) -> Iterator[nodes.Node]:
    """The claims of one cell, as the mark shows them."""
    items = []
    for claim in proof.claims:
        lines = [("Refuted by", claim.get("refuted_by", "")), ("Holds by", margin_of(claim))]
        sentence = nodes.paragraph("", claim["sentence"], classes=["vae-claim"])
        known = [claim_line(label, text) for label, text in lines if text]
        items.append(nodes.list_item("", sentence, *known))
    yield raw(f'<div id="{proof_id(proof.index)}" class="vae-proof-cell">')
    yield nodes.bullet_list("", *items, classes=[LISTED])
    if proof.code is not None:
        yield from folded("Show the code", "Show the code", [proof.code], "vae-proof-code")
    elif proof.elsewhere:
        link = nodes.reference(
            "", "Show the code", refid=proof.elsewhere, internal=True, classes=["vae-to-code"]
        )
        yield nodes.paragraph("", "", link)
    yield raw("</div>")


def mark(proofs: Sequence[Proof], register: str) -> list[nodes.Node]:
    """The mark with all that it shows."""
    count = sum(len(proof.claims) for proof in proofs)
    inside = [raw('<div class="vae-proof-card">')]
    for proof in proofs:
        inside += told(proof)
    if register:
        link = nodes.reference("", "All claims of this chapter", refuri=register, internal=True)
        inside.append(nodes.paragraph("", "", link, classes=["vae-proof-more"]))
    inside.append(raw("</div>"))
    name = f"Proof: {count} claim{'s' if count != 1 else ''}"
    return folded(TICK.strip(), name, inside, "vae-proof")


def attach(place: nodes.Element, proofs: Sequence[Proof], register: str) -> None:
    """Put the mark at the end of a paragraph, or in its own place.

    HTML has no `<details>` within a `<p>`: the two stand side by side, and the style sheet sets
    them as one run of text.
    """
    parent, at = place.parent, place.parent.index(place)
    alone = isinstance(place, own_place)
    opens = raw(f'<div class="vae-proved{" vae-alone" if alone else ""}">')
    kept = [] if alone else [place]
    parent[at : at + 1] = [opens, *kept, *mark(proofs, register), raw("</div>")]
