"""Make the class's course, and the students' notebooks, from the assignments with solutions.

    python book/_tools/classroom.py [--check | --course FOLDER [--force]]

Under notebooks/exercises/ each folder holds one assignment with its solutions. From these come

- notebooks/exercises/student/NAME.ipynb: without solutions and hidden tests, with a button that
  opens it in Colab. They are stored, since Colab opens files of the repository only.
- with --course: an nbgrader course in FOLDER, with what is handed out in FOLDER/release. What
  students have handed in, and the gradebook, stay as they are. So does each file that the teacher
  has changed since: the book's version of it is put into FOLDER/new, and a line says so. With
  --force the book's version takes its place.

With --check nothing is written; the exit status is 1 if a student's notebook is not the one that
its assignment gives today. Needs nbgrader: the extra `classroom`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import normalise
import repository

EXERCISES = Path("notebooks/exercises")
STUDENT = EXERCISES / "student"
SETTINGS = EXERCISES / "nbgrader_config.py"
PLUGINS = Path(__file__).resolve().parent / "vae_class"
WRITTEN = ".vae-course.json"  # in a course: what was put there, by its SHA-256
BRANCH = re.compile(r"(?m)^repository:\n(?:  .*\n)*?  branch: (\S+)$")


def assignments(root: Path) -> dict[str, Path]:
    """The assignments with solutions, by name, in order."""
    found = sorted((root / EXERCISES).glob("*/*.ipynb"))
    return {path.stem: path for path in found if path.stem == path.parent.name}


def badge(root: Path, name: str) -> dict[str, Any]:
    """The cell with Colab's button; repository.py renews the address in it like any other."""
    owner = repository.configured(root).removeprefix("https://github.com/")
    branch = BRANCH.search((root / repository.CONFIG).read_text("utf-8"))
    place = f"{owner}/blob/{branch[1] if branch else 'main'}/{(STUDENT / name).as_posix()}.ipynb"
    site = "https://colab.research.google.com"
    text = f"[![Open in Colab]({site}/assets/colab-badge.svg)]({site}/github/{place})"
    return {"cell_type": "markdown", "id": "colab", "metadata": {}, "source": [text]}


def settings(root: Path) -> Any:
    """nbgrader's configuration, as its own commands read it."""
    from traitlets.config import PyFileConfigLoader

    return PyFileConfigLoader(SETTINGS.name, str((root / SETTINGS).parent)).load_config()


def for_students(root: Path, name: str, source: Path) -> str:
    """The assignment's text as a student gets it: by nbgrader's own rules, in the stored form."""
    import nbformat
    from nbgrader.preprocessors import ClearHiddenTests, ClearOutput, ClearSolutions

    notebook = nbformat.read(source, as_version=4)
    for step in (ClearSolutions, ClearHiddenTests, ClearOutput):
        notebook, _ = step(config=settings(root)).preprocess(notebook, {})
    cells = copy.deepcopy(json.loads(nbformat.writes(notebook)))
    cells["cells"].insert(0, badge(root, name))
    return normalise.dump(normalise.normalise(cells))


def renew(root: Path, *, check: bool = False) -> list[str]:
    """Write the students' notebooks, or only name those that differ; return the names."""
    wanted = {
        root / STUDENT / f"{name}.ipynb": for_students(root, name, source)
        for name, source in assignments(root).items()
    }
    stored = set((root / STUDENT).glob("*.ipynb"))
    changed = sorted(
        [p for p, text in wanted.items() if p not in stored or p.read_text("utf-8") != text]
        + [p for p in stored if p not in wanted]
    )
    for path in changed if not check else []:
        path.parent.mkdir(exist_ok=True)
        if path in wanted:
            path.write_text(wanted[path], "utf-8")
        else:
            path.unlink()
    return [path.relative_to(root).as_posix() for path in changed]


def nbgrader(course: Path, *arguments: str) -> None:
    """Run one nbgrader command in the course's folder; ``CalledProcessError`` if it fails."""
    # nbgrader calls alembic by name: it is found beside the interpreter, activated or not.
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env={**os.environ, "PATH": path},
        check=True,
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(
    course: Path, files: dict[str, bytes], *, force: bool = False
) -> tuple[set[str], list[str]]:
    """Write ``files`` (by their place in ``course``) where the teacher has not changed them.

    The places that were written, and a line for each file that was kept. A file counts as changed
    if it is not what was put there last; in a course made before that was noted down, if it is not
    what would be put there now.
    """
    note = course / WRITTEN
    try:
        before = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        before = {}
    written, lines = set(), []
    for place, data in files.items():
        path, new = course / place, course / "new" / place
        there = path.read_bytes() if path.is_file() else None
        if there is None or force or _digest(there) == before.get(place) or there == data:
            new.unlink(missing_ok=True)
            before[place] = _digest(data)
            if there != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                written.add(place)
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(data)
        lines.append(f"{place}: yours is kept; the book's is new/{place} (FORCE=1 takes it)")
    note.write_text(json.dumps(before, indent=1) + "\n", "utf-8")
    return written, lines


def build(root: Path, course: Path, names: Sequence[str] = (), *, force: bool = False) -> list[str]:
    """Fill ``course`` with the assignments, or those named, and make what is handed out.

    Returns a line for each file that the teacher has changed, and that was kept for that.
    """
    course.mkdir(parents=True, exist_ok=True)
    files = {SETTINGS.name: (root / SETTINGS).read_bytes()}
    for path in sorted(PLUGINS.glob("*.py")):
        files[f"{PLUGINS.name}/{path.name}"] = path.read_bytes()
    sources = {
        f"source/{name}/{name}.ipynb": (name, path.read_bytes())
        for name, path in assignments(root).items()
        if not names or name in names
    }
    files |= {place: data for place, (_, data) in sources.items()}
    written, lines = put(course, files, force=force)
    stale = [
        name
        for place, (name, _) in sources.items()
        if place in written or not (course / "release" / name / f"{name}.ipynb").is_file()
    ]
    if stale:
        only = "*" if len(stale) == len(list((course / "source").iterdir())) else None
        for name in [only] if only else stale:
            nbgrader(course, "generate_assignment", "--force", "--create", f"--assignment={name}")
    return lines


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, report what differs")
    mode.add_argument("--course", type=Path, help="the folder of the nbgrader course to fill")
    parser.add_argument("--force", action="store_true", help="put back what the teacher changed")
    options = parser.parse_args(argv)
    changed = renew(root, check=options.check)
    for name in changed:
        print(f"{name}: " + ("not today's; run `make classroom`" if options.check else "renewed"))
    if options.course:
        course = options.course.expanduser()  # not every shell does it within COURSE=~/...
        for line in build(root, course, force=options.force):
            print(line)
        print(f"The course: {course.resolve()}; to hand out: its release/")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
