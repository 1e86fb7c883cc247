"""A thousand notebooks as students hand them in, damaged at random: put right, or set aside.

None may stop the class: `nbgrader autograde` reads each by ``vae_class.handed_in``. A few run in
every ``make check``; FAULTS=all tries them all, and twenty of them through nbgrader itself.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import classroom
import nbformat
import pytest
from helpers import ROOT
from nbgrader.nbgraderformat import MetadataValidator
from reporting import ALL, many, reported
from vae_class import handed_in

NAMES = list(classroom.assignments(ROOT))
ODD: list[Any] = [None, 0, -1, 3.5, True, "", "x", [], ["a", 1], {}, {"a": [1]}, float("nan")]
ODD += ["\ud800", "\0", "é" * 50, 10**400]

Mutation = Callable[[random.Random, dict[str, Any]], Any]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def student(name: str) -> Path:
    return ROOT / classroom.STUDENT / f"{name}.ipynb"


def solved(name: str) -> dict[str, Any]:
    """A notebook with all answers in it, as a student would have it."""
    own = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell["source"]
        for cell in read(classroom.assignments(ROOT)[name])["cells"]
        if cell["metadata"].get("nbgrader", {}).get("solution")
    }
    notebook = read(student(name))
    for cell in notebook["cells"]:
        given = cell["metadata"].get("nbgrader", {})
        if given.get("solution"):
            cell["source"] = own[given["grade_id"]]
    return notebook


# --- ways of damage -------------------------------------------------------------------------------


def _some(rng: random.Random, notebook: dict[str, Any]) -> dict[str, Any]:
    return rng.choice(notebook["cells"])


def _given(cell: dict[str, Any]) -> dict[str, Any]:
    """What nbgrader has written into a cell, which an earlier damage may have taken."""
    metadata = cell.get("metadata")
    given = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return given if isinstance(given, dict) else {}


def cells_lost(rng: random.Random, notebook: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, len(notebook["cells"]))):
        notebook["cells"].remove(_some(rng, notebook))
        if not notebook["cells"]:
            return


def cells_copied(rng: random.Random, notebook: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, 8)):
        copied = json.loads(json.dumps(_some(rng, notebook)))
        notebook["cells"].insert(rng.randint(0, len(notebook["cells"])), copied)


def cells_moved(rng: random.Random, notebook: dict[str, Any]) -> None:
    rng.shuffle(notebook["cells"])


def names_lost(rng: random.Random, notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        if rng.random() < 0.7:
            cell["metadata"] = {}
        if rng.random() < 0.7:
            cell.pop("id", None)


def names_changed(rng: random.Random, notebook: dict[str, Any]) -> None:
    cells = notebook["cells"]
    for _ in range(rng.randint(1, 6)):
        one, other = _given(rng.choice(cells)), _given(rng.choice(cells))
        if one:
            one["grade_id"] = other.get("grade_id", "mine")


def parts_of_another_kind(rng: random.Random, notebook: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, 12)):
        cell = _some(rng, notebook)
        where = rng.choice([cell, cell.get("metadata"), _given(cell), notebook])
        if isinstance(where, dict) and where:
            where[rng.choice([k for k in where if k != "cells"] or ["x"])] = rng.choice(ODD)


def keys_lost(rng: random.Random, notebook: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, 12)):
        cell = _some(rng, notebook)
        where = rng.choice([cell, cell.get("metadata"), _given(cell), notebook])
        if isinstance(where, dict) and where and not (where is notebook and rng.random() < 0.8):
            where.pop(rng.choice(list(where)))
        if "cells" not in notebook or not notebook["cells"]:
            return


def cells_of_another_kind(rng: random.Random, notebook: dict[str, Any]) -> None:
    for _ in range(rng.randint(1, 6)):
        kinds = ["code", "markdown", "raw", "heading", "html", None, 7]
        _some(rng, notebook)["cell_type"] = rng.choice(kinds)
    for _ in range(rng.randint(0, 3)):
        notebook["cells"].insert(rng.randint(0, 3), rng.choice(ODD))


def another_version(rng: random.Random, notebook: dict[str, Any]) -> None:
    notebook["nbformat"] = rng.choice([1, 2, 3, 5, "4", None])
    notebook["nbformat_minor"] = rng.choice([0, 1, 99, None])
    if notebook["nbformat"] == 3:
        notebook["worksheets"] = [{"cells": notebook.pop("cells")}]
        for cell in notebook["worksheets"][0]["cells"]:
            if cell.get("cell_type") == "code" and "source" in cell:
                cell["input"] = cell.pop("source")


def much_output(rng: random.Random, notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            text = "output " * rng.randint(1, 20_000)
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}, 5]


def foreign_cells(rng: random.Random, notebook: dict[str, Any]) -> None:
    other = solved(rng.choice(NAMES))["cells"]
    for cell in rng.sample(other, min(6, len(other))):
        notebook["cells"].insert(rng.randint(0, len(notebook["cells"])), cell)


def nothing(rng: random.Random, notebook: dict[str, Any]) -> None:
    """Only what is done to the bytes afterwards."""


WAYS: list[Mutation] = [
    *(cells_lost, cells_copied, cells_moved, names_lost, names_changed, parts_of_another_kind),
    *(keys_lost, cells_of_another_kind, another_version, much_output, foreign_cells, nothing),
]


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    made = bytearray(data)
    way = rng.randrange(8)
    if way == 0:
        for _ in range(rng.randint(1, 40)):
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    elif way == 1:
        del made[rng.randrange(len(made)) :]
    elif way == 2:
        start = rng.randrange(len(made))
        del made[start : start + rng.randint(1, 2000)]
    elif way == 3:
        start = rng.randrange(len(made))
        made[start:start] = made[: rng.randint(1, 3000)]
    elif way == 4:
        return bytes(made).decode("utf-8", "replace").encode("utf-16")
    elif way == 5:
        return b"\xef\xbb\xbf" + bytes(made)
    elif way == 6:
        return bytes(made).decode("utf-8", "replace").encode("cp1252", "replace")
    else:
        return bytes(rng.randrange(256) for _ in range(rng.randint(0, 500)))
    return bytes(made)


def mutated(name: str, seed: int) -> bytes:
    rng = random.Random(f"{name} {seed}")
    notebook = solved(name)
    for way in rng.sample(WAYS, rng.choice([1, 1, 2, 3])):
        if notebook.get("cells"):
            way(rng, notebook)
            notebook["cells"] = [c for c in notebook.get("cells", []) if isinstance(c, dict)] or []
    data = json.dumps(notebook).encode("utf-8", "surrogatepass")
    return damaged_bytes(rng, data) if rng.random() < 0.4 else data


# --- what must hold -------------------------------------------------------------------------------


def faults(name: str, data: bytes, given: handed_in.Given) -> str:
    """What is wrong with what is made of a file; nothing if it is put right, or set aside."""
    try:
        found, notes = handed_in.repaired(data, given)
    except handed_in.SetAside as error:
        said = str(error)
        return "" if said and "\n" not in said and len(said) < 200 else f"said: {said!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    json.dumps(found, ensure_ascii=False).encode("utf-8")
    notebook = nbformat.from_dict(found)
    nbformat.validate(notebook)
    MetadataValidator().validate_nb(notebook)
    ours = [c for c in found["cells"] if "nbgrader" in c["metadata"]]
    wanted = [s for s in given.slots if s.name]
    if [c["metadata"]["nbgrader"]["grade_id"] for c in ours] != [s.name for s in wanted]:
        return "not the cells that were handed out, in their order"
    for cell, slot in zip(ours, wanted, strict=True):
        if cell["metadata"] != slot.cell["metadata"] or cell["cell_type"] != slot.cell["cell_type"]:
            return f"{slot.name} is another cell"
        if slot.locked and cell["source"] != slot.cell["source"]:
            return f"{slot.name} holds something else"
    if len({c["id"] for c in found["cells"]}) != len(found["cells"]):
        return "two cells with one id"
    if not all("\n" not in note and len(note) < 200 for note in notes):
        return f"notes that are no lines: {notes}"
    return ""


def test_a_damaged_notebook_is_put_right_or_set_aside() -> None:
    sentence = "notebooks handed in, damaged at random: put right, or set aside in one sentence"
    with reported("notebooks", sentence) as (tally,):
        for seed in range(many(60, 1000)):
            name = NAMES[seed % len(NAMES)]
            given = handed_in.Given.read(name, student(name).read_bytes())
            data = mutated(name, seed)
            try:
                fault = faults(name, data, given)
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
            tally.tried(not fault, f"{name}, seed {seed}: {fault}")


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_notebook_is_left_as_it_is(name: str) -> None:
    given = handed_in.Given.read(name, student(name).read_bytes())
    for notebook in (solved(name), read(student(name))):
        found, notes = handed_in.repaired(json.dumps(notebook).encode(), given)
        assert notes == []
        sources = ["".join(cell["source"]) for cell in notebook["cells"]]
        assert [cell["source"] for cell in found["cells"]] == sources


SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({
        s.student.id: sum(g.auto_score or 0 for n in s.notebooks for g in n.grades)
        for s in book.assignment_submissions(sys.argv[1])
    }))
"""


@pytest.mark.skipif(not ALL, reason="takes minutes: FAULTS=all")
def test_damaged_notebooks_stop_no_class(tmp_path: Path) -> None:
    """Twenty of them through nbgrader: all have a grade, and the sound one has all its points."""
    name, course = "ch04_kl_divergence", tmp_path / "course"
    build = (
        "import sys, pathlib; sys.path.insert(0, 'book/_tools'); import classroom; "
        "classroom.build(pathlib.Path(), pathlib.Path(sys.argv[1]), sys.argv[2:])"
    )
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "IPYTHONDIR": str(tmp_path / ".ipython"),
    }

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run(ROOT, "-c", build, str(course), name)
    archive = course / "downloaded" / name / "archive"
    archive.mkdir(parents=True)
    for seed in range(20):
        (archive / f"s{seed:02}_{name}.ipynb").write_bytes(mutated(name, 14 * seed + 3))
    (archive / f"zoe_{name}.ipynb").write_text(json.dumps(solved(name)), "utf-8")
    run(course, "-m", "nbgrader", "zip_collect", name)
    run(course, "-m", "nbgrader", "autograde", name)
    scores = json.loads(run(course, "-c", SCORES, name))
    assert len(scores) == 21
    assert scores["zoe"] == 8
