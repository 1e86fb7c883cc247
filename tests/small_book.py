"""A book of a few small pages, with the settings and extensions of the real one.

What a build does to pages, settings and stops is tried on it in seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import ROOT

INTRO = "# A small book\n\nTwo sentences. A formula: $a^2 + b^2 = c^2$.\n"
Cell = str | tuple[str, str]  # code, or ("markdown", text)


def notebook(cells: Sequence[Cell]) -> dict[str, Any]:
    """A notebook as JSON: strings are code cells, pairs name their kind."""
    made = []
    for number, cell in enumerate(cells):
        kind, source = ("code", cell) if isinstance(cell, str) else cell
        code = {"outputs": [], "execution_count": None} if kind == "code" else {}
        made.append(
            {"cell_type": kind, "id": f"c{number}", "metadata": {}, "source": source, **code}
        )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def write(folder: Path, notebooks: Mapping[str, Sequence[Cell]], pages: Sequence[str] = ()) -> Path:
    """The sources of a book with these notebooks, and with these pages of the real book."""
    (folder / "book").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "_config.yml", folder)
    for name in ("_ext", "_static", "_tools", "licences", "references.bib"):
        (folder / "book" / name).symlink_to(ROOT / "book" / name)
    for name in ("vae_core", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "book" / "intro.md").write_text(INTRO, "utf-8")
    files = []
    for page in pages:
        shutil.copy(ROOT / f"{page}.md", folder / f"{page}.md")
        files.append(page)
    for name, cells in notebooks.items():
        path = folder / "notebooks" / f"{name}.ipynb"
        titled = [("markdown", f"# Page {name}"), *cells]
        path.write_text(json.dumps(notebook(titled)), "utf-8")
        files.append(f"notebooks/{name}")
    listed = "".join(f"- file: {name}\n" for name in files)
    toc = f"format: jb-book\nroot: book/intro\nchapters:\n{listed}"
    (folder / "_toc.yml").write_text(toc, "utf-8")
    return folder


def command(*options: str) -> list[str]:
    """The build without make, as the README has it."""
    program = Path(sys.executable).with_name("jupyter-book")
    return [sys.executable, str(program), "build", ".", *options]


def build(
    folder: Path, *options: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Build the book in ``folder``; it must succeed unless ``check`` is off."""
    done = subprocess.run(
        command(*options),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done
