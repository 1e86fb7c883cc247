"""MyST by its own parser: which of it a notebook's front end does not know, and where it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).resolve().parents[3]
DIRECTIVE = re.compile(r"\{([\w:.+-]+)\}\s*(.*)", re.DOTALL)
OPTION = re.compile(r":([\w-]+):\s*(.*)")
# Every extension there is, to find what is left over: also what the book does not switch on.
EVERY = frozenset(
    [
        "amsmath",
        "attrs_block",
        "attrs_inline",
        "colon_fence",
        "deflist",
        "dollarmath",
        "fieldlist",
        "html_admonition",
        "html_image",
        "strikethrough",
        "substitution",
        "tasklist",
    ]
)
# The tokens that stand for something which no notebook's front end shows as the page does.
FOREIGN = {
    "amsmath",
    "attrs_block_open",
    "colon_fence",
    "dl_open",
    "field_list_open",
    "footnote_block_open",
    "footnote_ref",
    "front_matter",
    "math_block_label",
    "math_inline_double",
    "myst_block_break",
    "myst_line_comment",
    "myst_role",
    "myst_target",
    "span_open",
    "substitution_block",
    "substitution_inline",
}
OUTSIDE = re.compile(r"(https?://|mailto:|data:|attachment:|#)")


class Span(NamedTuple):
    """Inline markup within the text of one block."""

    kind: str  # the parser's rule, such as "myst_role"
    start: int
    raw: str
    tokens: list[Token]


class Directive(NamedTuple):
    """A fence with a name in braces."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def recorded(kind: str, rule: Callable[..., bool]) -> Callable[..., bool]:
    """The inline ``rule``, which also notes down what it matched, in the parser's environment."""

    @wraps(rule)
    def run(state: Any, silent: bool) -> bool:
        start, before = state.pos, len(state.tokens)
        matched = rule(state, silent)
        if matched and not silent and "spans" in state.env:
            raw = state.src[start : state.pos]
            state.env["spans"].append(Span(kind, start, raw, state.tokens[before:]))
        return matched

    return run


@cache
def parser(every: bool = False) -> MarkdownIt:
    """The book's parser; ``every``: with all of MyST's extensions."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    own = frozenset(settings["parse"]["myst_enable_extensions"])
    made = create_md_parser(
        MdParserConfig(enable_extensions=set(EVERY if every else own)), RendererHTML
    )
    for rule in made.inline.ruler.__rules__:
        if rule.name in {"myst_role", "backticks", "math_inline", "link", "image", "footnote_ref"}:
            rule.fn = recorded(rule.name, rule.fn)
    return made


def walk(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from walk(token.children or [])


def spans(content: str, environment: dict[str, Any]) -> list[Span]:
    """The inline markup of a block's text, in order; the inner before the outer."""
    own = {**environment, "spans": []}
    parser().inline.parse(content, parser(), own, [])
    return sorted(own["spans"], key=lambda span: (span.start, len(span.raw)))


def directive(info: str, content: str) -> Directive | None:
    """What a fence says, if its info string names a directive."""
    named = DIRECTIVE.fullmatch(info.strip())
    if named is None:
        return None
    lines, options = content.splitlines(keepends=True), {}
    while lines and (option := OPTION.fullmatch(lines[0].strip())):
        options[option[1]] = option[2]
        lines.pop(0)
    return Directive(named[1], named[2].strip(), options, "".join(lines).strip("\n"))


def raw(text: str) -> list[str]:
    """Every place of ``text`` that a notebook's front end would show as markup, in words.

    By the parser with all of MyST's extensions: roles, directives, labels, targets, comments,
    substitutions, attributes, definition lists, footnotes, and links that only a page can follow.
    """
    found = []
    tokens = parser(every=True).parse(text)
    for token in walk(tokens):
        if token.type in FOREIGN:
            found.append(f"{token.type}: {token.meta.get('name', '')} {token.content[:60]}".strip())
        elif token.type == "fence" and token.info.strip().startswith("{"):
            found.append(f"directive: {token.info.strip()[:60]}")
        elif token.type == "link_open":
            target = str(token.attrs.get("href", ""))
            if not OUTSIDE.match(target):
                found.append(f"link: {target}")
        elif token.type == "image" and not OUTSIDE.match(str(token.attrs.get("src", ""))):
            found.append(f"image: {token.attrs.get('src')}")
        elif token.type in ("code_inline", "math_inline", "em_open", "strong_open") and token.attrs:
            found.append(f"attributes: {dict(token.attrs)}")
        elif token.type == "text" and re.search(r"\{[\w:]+\}$|^:{3,}|«\w+", token.content):
            found.append(f"text: {token.content[:60]}")
    return found
