"""Find results that were typed by hand: a number in prose is glued from what computed it.

    python book/_tools/typed.py [file ...]

Reads the prose of chapters, exercises and pages: Markdown outside code and mathematics, exercises
and solutions too, and what quizzes say. Suspect are decimals, percentages, `a ± b`, numbers set
against one another, factors, amounts of information, and cells of tables that hold nothing else.
`typed_allowed/NN.toml` (chapter NN and its assignment) and `typed_allowed/pages.toml` list what may
stand, each with its reason: a setting, a definition, a premise of a question, arithmetic that the
sentence itself shows, words quoted, or a published number, beside which its source is cited.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path(__file__).with_name("typed_allowed")
# "measured": memory or time, whose machine the sentence names.
KINDS = ("setting", "definition", "premise", "arithmetic", "quoted", "measured", "published")

# What stands in a sentence for the parts that are no prose.
GLUED, CITED, FORMULA, CODE = "⟦glued⟧", "⟦cited⟧", "⟦formula⟧", "⟦code⟧"

NUMBER = r"[−-]?\d[\d,]*(?:\.\d+)?"
SUSPECT = re.compile(
    rf"""
      {NUMBER}\s*±\s*{NUMBER}                                   # an estimate
    | (?<![\w.]){NUMBER}\s?%                                    # a share
    | (?<![\w.])[−-]?\d+\.\d+(?![\w.]*\d)                       # a decimal
    | (?<![\w.]){NUMBER}\s+(?:against|instead\ of)\s+{NUMBER}   # a comparison
    | (?<![\w.]){NUMBER}\s+(?:nats?|bits?)\b                    # an amount of information
    | \b(?:[Aa]bout|[Nn]early|[Aa]lmost|roughly|around|more\ than|less\ than)\s+{NUMBER}\b
    | (?<![\w.]){NUMBER}\s+times\b|\bfactor\s+(?:of\s+)?{NUMBER}\b
    """,
    re.VERBOSE,
)
# In mathematics only what can be nothing but a measured result.
MEASURED = re.compile(r"\d\s*\\pm\s*\d|\\approx\s*[−-]?\d+\.\d")
ONLY_A_NUMBER = re.compile(rf"{NUMBER}(?:\s?%)?")
# Numbers of places: "sections 4 and 4.1", "table 1.2", "Figures 2.1 to 2.3".
PLACE = re.compile(
    r"\b(?:sections?|tables?|figures?|equations?|chapters?|exercises?|version|§)\s+"
    r"\d+(?:\.\d+)*(?:(?:,|\s+and|\s+to|\s*–)\s+\d+(?:\.\d+)*)*",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z⟦(*])")
NO_PROSE = {"math", "code", "code-block", "code-cell", "raw", "bibliography", "eval-rst", "glue"}


@dataclass(frozen=True)
class Typed:
    """Suspect numbers in a sentence, a row of a table, or a formula."""

    place: str  # the file, from the root
    cell: str  # the notebook's cell, or the line of a page
    numbers: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}, {self.cell}: {', '.join(self.numbers)} in {self.sentence!r}"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    for plugin in (front_matter_plugin, dollarmath_plugin, myst_role_plugin, colon_fence_plugin):
        parser.use(plugin)
    return parser


PARSER = _parser()


def _flat(inline: Token) -> tuple[str, list[str]]:
    """The words of a paragraph, with signs for what is none; and its formulas."""
    words, formulas = [], []
    for part in inline.children or []:
        if part.type == "text":
            words.append(part.content)
        elif part.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif part.type.startswith("math"):
            words.append(FORMULA)
            formulas.append(part.content)
        elif part.type == "myst_role":
            name = part.meta["name"]
            words.append(
                CITED if name.startswith("cite") else GLUED if name.startswith("glue") else CODE
            )
        elif part.type == "code_inline":
            words.append(CODE)
        elif part.type == "image":
            words.append(part.content)
    return "".join(words), formulas


def pieces(markdown: str) -> Iterator[tuple[str, list[str], bool]]:
    """Sentences and rows of tables with their formulas; whether it is a row."""
    row: list[tuple[str, list[str]]] | None = None
    for token in PARSER.parse(markdown):
        if token.type in ("fence", "colon_fence"):
            directive = re.match(r"\{([\w-]+)", token.info.strip())
            if directive and directive[1] not in NO_PROSE:
                # A directive's title, and its content without its options.
                title = token.info.strip().split("}", 1)[-1]
                content = re.sub(r"\A(?:\s*:[\w-]+:[^\n]*\n)+", "", token.content)
                yield from pieces(f"{title.strip()}\n\n{content}")
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            yield " | ".join(text for text, _ in row), [f for _, fs in row for f in fs], True
            row = None
        elif token.type == "inline":
            text, formulas = _flat(token)
            if row is not None:
                row.append((text, formulas))
                continue
            for sentence in SENTENCE.split(text):
                here = [formulas.pop(0) for _ in range(sentence.count(FORMULA))]
                yield sentence, here, False


def suspects(sentence: str, formulas: list[str], row: bool) -> tuple[str, ...]:
    """The numbers of a sentence or row that look like results."""
    # The first cell of a row is its head: a setting, a place, a number of a seed.
    _head, *cells = sentence.split(" | ") if row else ["", sentence]
    found = [m[0] for cell in cells for m in SUSPECT.finditer(PLACE.sub("", cell))]
    if row:
        found += [c for c in map(str.strip, cells) if ONLY_A_NUMBER.fullmatch(c) and c not in found]
    found += [m[0] for formula in formulas for m in MEASURED.finditer(formula)]
    return tuple(found)


def _said(source: str) -> Iterator[str]:
    """What a code cell's quizzes and alternative texts say."""
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        spoken = list(node.args) if name in ("Question", "Choice") else []
        spoken += [
            k.value for k in node.keywords if k.arg in ("alt", "caption", "title", "feedback")
        ]
        for part in spoken:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def prose_of(path: Path) -> Iterator[tuple[str, str]]:
    """(place in the file, Markdown) of everything that a page or notebook says."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield "page", text
        return
    for index, cell in enumerate(json.loads(text)["cells"]):
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        place = f"cell {index} ({cell.get('id', '')})"
        if cell["cell_type"] == "markdown":
            yield place, source
        elif cell["cell_type"] == "code":
            yield from ((place, said) for said in _said(source))


def typed_in(path: Path, root: Path = ROOT) -> list[Typed]:
    """Every suspect sentence of a page or notebook."""
    found = []
    for place, markdown in prose_of(path):
        for sentence, formulas, row in pieces(markdown):
            numbers = suspects(sentence, formulas, row)
            if numbers:
                told = " ".join(sentence.split())
                found.append(Typed(path.relative_to(root).as_posix(), place, numbers, told))
    return found


def list_of(place: str) -> str:
    """The name of the list that a file's exceptions stand in."""
    match = re.match(r"notebooks/(?:exercises/ch)?(\d\d)_", place)
    return match[1] if match else "pages"


def allowances(folder: Path = ALLOWED) -> list[dict[str, Any]]:
    """The entries of all lists: list, words of the sentence, kind, and why."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", []):
            if set(entry) != {"words", "kind", "why"} or entry["kind"] not in KINDS:
                raise ValueError(
                    f"{path.name}: an entry has words, kind (one of {', '.join(KINDS)}) and why; "
                    f"got {entry}"
                )
            found.append({"list": path.stem, **entry})
    return found


def offenders(typed: list[Typed], allowed: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(typed results that may not stand, entries of the list that nothing needs), a line each."""
    used: set[int] = set()
    found = []
    for one in typed:
        here = [
            k
            for k, entry in enumerate(allowed)
            if list_of(one.place) == entry["list"] and entry["words"] in one.sentence
        ]
        used.update(here)
        if not here:
            found.append(str(one))
        elif any(allowed[k]["kind"] == "published" for k in here) and CITED not in one.sentence:
            found.append(f"{one}: a published number, and the sentence cites no source")
    unused = [
        f"typed_allowed/{entry['list']}.toml: no suspect sentence holds {entry['words']!r}"
        for k, entry in enumerate(allowed)
        if k not in used
    ]
    return found, unused


def pages(root: Path = ROOT) -> list[Path]:
    """Everything that is read for prose: chapters, sources of assignments, pages."""
    places = {"notebooks": "*.ipynb", "notebooks/exercises": "ch*/*.ipynb", "book": "*.md"}
    return sorted(path for folder, names in places.items() for path in (root / folder).glob(names))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(argv)
    paths = [path.resolve() for path in options.files] or pages()
    found, unused = offenders([t for path in paths for t in typed_in(path)], allowances())
    print(*found, *([] if options.files else unused), sep="\n", file=sys.stderr)
    return 1 if found or (unused and not options.files) else 0


if __name__ == "__main__":
    sys.exit(main())
