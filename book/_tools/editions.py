"""Make the notebooks that readers run from the chapters, whose text only a page understands.

    python book/_tools/editions.py [--check] [chapter ...]

A chapter, notebooks/NN_name.ipynb, is MyST: its numbers in sentences, citations, references and
exercises are resolved where the page is built. Colab, JupyterLab and others know nothing of it.
So each has an edition, notebooks/run/NN_name.ipynb, in which

- a sentence with computed numbers is shown by a folded cell, with the numbers of the run;
- citations, equations' numbers and links within the book are plain Markdown;
- an exercise has a cell to answer in, one that checks the answer, and a folded solution;
- what the page hides is folded, and a quiz does not tell its answers.

Editions are never edited. With --check nothing is written; the exit status is 1 if one is not what
its chapter gives today. No cell is executed: outputs and numbers are the stored ones.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import cache
from pathlib import Path

import normalise
import stored
from edition.book import page
from edition.cells import chapter_of, converted
from edition.words import Chapter
from repository import write_whole

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_ext"))
from reading import reading_minutes

MAX_BYTES = 900_000
PAGE = re.compile(r"(?m)^\s*(?:- file|root): (book/\S+)\s*$")


@cache
def equations(root: Path) -> dict[str, tuple[str, str]]:
    """Every labelled equation and figure: label -> (number on its page, the page's address).

    Those of pages without a number of their own are counted through all such pages.
    """
    found = {}
    for path in stored.chapters(root):
        place = path.relative_to(root).as_posix()
        made = chapter_of(root, place, json.loads(path.read_text("utf-8"))["cells"], 0)
        own = {**made.equations, **made.figures}
        found |= {label: (number, page(root, place, "")) for label, number in own.items()}
    others = Chapter(root, "book", 0)
    for place in PAGE.findall((root / "_toc.yml").read_text("utf-8")):
        before = set(others.equations)
        if (path := root / f"{place}.md").is_file():
            others.count(path.read_text("utf-8"))
        for label in others.equations.keys() - before:
            found[label] = others.equations[label], page(root, f"{place}.md", "")
    return found


def edition(path: Path, root: Path = stored.ROOT) -> str:
    """The text of the edition of the chapter at ``path``.

    Raises ``ValueError``, with the place, for what a notebook has no form for.
    """
    text = path.read_text("utf-8")
    cells = json.loads(text)["cells"]
    place = path.relative_to(root).as_posix()
    chapter = chapter_of(root, place, cells, reading_minutes(text))
    chapter.elsewhere = lambda: equations(root)
    notebook = {
        "cells": converted(chapter, cells),
        "metadata": {
            "colab": {"provenance": []},
            "kernelspec": normalise.KERNELSPEC,
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    made = normalise.dump(notebook)
    if len(made.encode()) > MAX_BYTES:
        raise ValueError(f"{place}: its edition has {len(made.encode()):,} bytes")
    return made


def main(argv: list[str] | None = None, root: Path = stored.ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing, report what differs")
    options = parser.parse_args(argv)
    faults = []
    for path in options.chapters or stored.chapters(root):
        target = stored.edition(root / path, root)
        try:
            made = edition(root / path, root)
        except ValueError as error:
            faults.append(str(error))
            continue
        if target.is_file() and target.read_text("utf-8") == made:
            continue
        name = target.relative_to(root).as_posix()
        if options.check:
            faults.append(f"{name}: not today's; run `python book/_tools/editions.py`")
            continue
        target.parent.mkdir(exist_ok=True)
        target.touch()
        write_whole(target, made)
        print(f"{name}: renewed")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
