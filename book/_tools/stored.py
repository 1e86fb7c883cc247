"""Which notebooks are the book's: its chapters, its assignments, and the students' copies of these.

    python book/_tools/stored.py [--executed]

lists them, one a line; --executed without the students', which hold no output. A folder that people
work in also holds what they leave there (checkpoints, copies, notebooks of their own): none of that
is the book's, and no tool touches it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = re.compile(r"^\s*- file: (notebooks/\S+)\s*$", re.MULTILINE)
EXERCISES = "notebooks/exercises"
EDITIONS = "notebooks/run"


def chapters(root: Path = ROOT) -> list[Path]:
    """The notebooks that the table of contents lists, in its order."""
    listed = CHAPTER.findall((root / "_toc.yml").read_text("utf-8"))
    paths = [root / (name if name.endswith(".ipynb") else f"{name}.ipynb") for name in listed]
    return [path for path in paths if path.is_file()]


def edition(chapter: Path, root: Path = ROOT) -> Path:
    """Where the edition of a chapter lies, the notebook that readers run: see editions.py."""
    return root / EDITIONS / chapter.name


def editions(root: Path = ROOT) -> list[Path]:
    """The editions of the chapters, in their order."""
    paths = [edition(path, root) for path in chapters(root)]
    return [path for path in paths if path.is_file()]


def assignments(root: Path = ROOT) -> list[Path]:
    """Each assignment's notebook with its solutions: it bears its folder's name."""
    folders = sorted(path for path in (root / EXERCISES).glob("*") if path.name[0] != ".")
    paths = [folder / f"{folder.name}.ipynb" for folder in folders]
    return [path for path in paths if path.is_file()]


def students(root: Path = ROOT) -> list[Path]:
    """The students' notebooks of the assignments."""
    paths = [root / EXERCISES / "student" / path.name for path in assignments(root)]
    return [path for path in paths if path.is_file()]


def opened(root: Path = ROOT) -> list[Path]:
    """What readers open: the chapters' editions, the assignments, the students' notebooks."""
    return [*editions(root), *assignments(root), *students(root)]


def notebooks(root: Path = ROOT) -> list[Path]:
    """All that people write or hand out; the editions are made from the chapters among them."""
    return [*chapters(root), *assignments(root), *students(root)]


if __name__ == "__main__":
    found = notebooks() if "--executed" not in sys.argv else [*chapters(), *assignments()]
    print(*(path.relative_to(ROOT).as_posix() for path in found), sep="\n")
