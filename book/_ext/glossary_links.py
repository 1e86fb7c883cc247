"""Sphinx extension: the first mention of a term in a chapter is a link to its glossary entry.

Only running prose is searched: not headings, links, code, formulas, captions, tables, outputs or
exercises. The notebooks stay as they are. The link carries the definition as its title; a script
shows it as a card, and without scripts it is a plain link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY = "book/glossary"
CHAPTER = re.compile(r"notebooks/\d\d_\w+")
# Words that mean other things as well in running prose; they are in the glossary, but not linked.
AMBIGUOUS = {"code", "gap", "rate", "seed", "unbiased", "baseline", "test set", "concrete"}
KEPT_OUT = (
    nodes.title,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.caption,
    nodes.figure,
    nodes.table,
    nodes.footnote,
    nodes.citation,
    nodes.Admonition,
    addnodes.pending_xref,
)
NOT_PROSE = {"cell_output", "vae-proof-claims"}
SPELLED = {
    r"\mathcal D": "𝒟",
    r"\mathcal N": "N",
    r"\,\Vert\,": " ‖ ",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\theta": "θ",
    r"\sigma": "σ",
    r"\mu": "μ",
    r"\varepsilon": "ε",
    r"\beta": "β",
    r"\partial": "∂",
    r"\sim": " ~ ",
    r"\cdot": "·",
    r"\frac12": "½",
    r"\tfrac12": "½",
    r"\int": "∫",
    r"\sum": "Σ",
    r"\det": "det",
    r"\log": "log",
    r"\ln": "ln",
    r"\mathrm{ELBO}": "ELBO",
    r"\,": " ",
    r"e^{-(x-μ)^2/2σ^2}": "exp(−(x−μ)²/2σ²)",
    "^2": "²",
    "E_{z ~ Q}": "E_Q",
    "E_{z ~  Q}": "E_Q",
}


class Entry(NamedTuple):
    """Where a term is explained, and how."""

    anchor: str
    definition: str


def readable(formula: str) -> str:
    """A short formula as plain text, for a card that typesets nothing."""
    for written, sign in SPELLED.items():
        formula = formula.replace(written, sign)
    formula = re.sub(r"\\frac\{(.*?)\}\{(.*?)\}", r"(\1)/(\2)", formula)
    formula = re.sub(r"\\frac1([A-Za-z])", r"1/\1", formula)
    return re.sub(r"[\\{}]", "", formula)


def words(node: nodes.Node) -> str:
    """The text of a definition, its formulas made readable, its last link left out."""
    copy = node.deepcopy()
    for formula in list(copy.findall(nodes.math)):
        formula.replace_self(nodes.Text(readable(formula.astext())))
    return re.sub(r"\s+", " ", copy.astext()).strip().removesuffix(" .").strip()


def entries(glossary: nodes.document) -> dict[str, Entry]:
    """Every name in a glossary's page, with its entry."""
    found: dict[str, Entry] = {}
    for item in glossary.findall(nodes.definition_list_item):
        definition = next(item.findall(nodes.definition), None)
        if definition is None:
            continue
        for term in item.findall(nodes.term):
            if term["ids"]:
                found[term.astext()] = Entry(term["ids"][0], words(definition))
    return found


def pattern(names: Mapping[str, Entry]) -> re.Pattern[str]:
    """Finds any name, the longest first, also in the plural and with a small or capital initial."""
    parts = []
    for name in sorted(names, key=len, reverse=True):
        if name in AMBIGUOUS:
            continue
        first, rest = name[0], re.escape(name[1:])
        loose = first.isalpha() and name[1:] == name[1:].lower() and first.islower()
        initial = f"[{first}{first.upper()}]" if loose else re.escape(first)
        parts.append(f"{initial}{rest}")
    return re.compile(rf"(?<![\w-])({'|'.join(parts) or '(?!)'})s?(?![\w-])")


def name_of(found: str, names: Mapping[str, Entry]) -> str:
    """The glossary's name for what stands in the text."""
    lowered = found[0].lower() + found[1:]
    return found if found in names else lowered


def prose(doctree: nodes.document) -> Iterator[nodes.Text]:
    """The pieces of running prose, in their order."""
    for text in doctree.findall(nodes.Text):
        parent, inside = text.parent, False
        while parent is not None:
            if isinstance(parent, KEPT_OUT) or NOT_PROSE & set(parent.get("classes", [])):
                break
            kind = type(parent).__name__
            if kind.startswith(("exercise", "solution", "proof", "toctree")):
                break
            inside = inside or isinstance(parent, nodes.paragraph)
            parent = parent.parent
        else:
            if inside:
                yield text


def link_terms(doctree: nodes.document, names: Mapping[str, Entry], uri: str) -> int:
    """Link the first mention of each entry; how many links were made."""
    find = pattern(names)
    linked: set[str] = set()
    for text in list(prose(doctree)):
        plain, last = text.astext(), 0
        parts: list[nodes.Node] = []
        for match in find.finditer(plain):
            entry = names[name_of(match[1], names)]
            if entry.definition in linked:
                continue
            linked.add(entry.definition)
            parts.append(nodes.Text(plain[last : match.start()]))
            link = nodes.reference(
                "", match[0], refuri=f"{uri}#{entry.anchor}", internal=True, classes=["vae-term"]
            )
            link["reftitle"] = entry.definition
            parts.append(link)
            last = match.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(plain[last:])])
    return len(linked)


def known(env: BuildEnvironment) -> dict[str, Entry]:
    """The glossary's entries, read once for each build."""
    kept = getattr(env, "_vae_glossary", None)
    if kept is None:
        kept = entries(env.get_doctree(GLOSSARY)) if GLOSSARY in env.found_docs else {}
        env._vae_glossary = kept  # type: ignore[attr-defined]
    return kept


def forget(app: Sphinx, env: BuildEnvironment, *_: object) -> list[str]:
    """A changed glossary is read again, and chapters are written with it."""
    env._vae_glossary = None  # type: ignore[attr-defined]
    return []


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if app.builder.format != "html" or not CHAPTER.fullmatch(docname):
        return
    names = known(app.env)
    if names:
        link_terms(doctree, names, app.builder.get_relative_uri(docname, GLOSSARY))


def dress(app: Sphinx, pagename: str, *_: object) -> None:
    """The cards' script and style, on chapters alone."""
    if CHAPTER.fullmatch(pagename):
        app.add_js_file("glossary.js", loading_method="defer")
        app.add_css_file("glossary.css")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("env-get-outdated", forget)
    app.connect("doctree-resolved", resolve, priority=600)
    app.connect("html-page-context", dress)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
