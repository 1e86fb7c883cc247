"""What the book adds to nbgrader: cells put right, files told apart, a teacher's changes kept."""

from __future__ import annotations

import copy
import json
import logging
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import classroom
import pytest
from helpers import ROOT
from vae_class import collect, handed_in

NAME = "ch04_kl_divergence"
BLANK = (ROOT / classroom.STUDENT / f"{NAME}.ipynb").read_bytes()
GIVEN = handed_in.Given.read(NAME, BLANK)

Notebook = dict[str, Any]


def name_of(cell: dict[str, Any]) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def at(notebook: Notebook, name: str) -> int:
    return next(k for k, cell in enumerate(notebook["cells"]) if name_of(cell) == name)


def solved() -> Notebook:
    own = {
        name_of(cell): "".join(cell["source"])
        for cell in json.loads(classroom.assignments(ROOT)[NAME].read_text("utf-8"))["cells"]
    }
    notebook = json.loads(BLANK)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = own[name_of(cell)]
    return notebook


def repaired(notebook: Notebook) -> tuple[list[str], list[str]]:
    """The sources of the notebook put right, and what was said."""
    found, notes = handed_in.repaired(json.dumps(notebook).encode(), GIVEN)
    return [cell["source"] for cell in found["cells"]], notes


SOLVED = [cell["source"] for cell in solved()["cells"]]


def code(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": []}


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


# --- cells ----------------------------------------------------------------------------------------


def test_a_copied_answer_counts_once() -> None:
    notebook = solved()
    k = at(notebook, "kl")
    notebook["cells"].insert(k + 1, copy.deepcopy(notebook["cells"][k]))
    assert repaired(notebook) == (SOLVED, ["kl was there 2 times"])


def test_of_two_tries_the_last_before_the_check_counts_and_the_other_stays() -> None:
    notebook = solved()
    k = at(notebook, "kl")
    older = copy.deepcopy(notebook["cells"][k])
    older["source"] = "def kl_to_standard_normal(mu, log_sigma):\n    return mu.sum(1)  # first try"
    for place in (k, len(notebook["cells"])):  # before the answer, and at the end
        tried = copy.deepcopy(notebook)
        tried["cells"].insert(place, older)
        sources, notes = repaired(tried)
        assert notes == ["kl was there 2 times"]
        assert older["source"] in sources
        assert [s for s in sources if s != older["source"]] == SOLVED
        if place == k:
            assert sources.index(older["source"]) < sources.index(SOLVED[k])


def test_a_copy_that_was_left_empty_does_not_undo_the_answer() -> None:
    notebook = solved()
    k = at(notebook, "kl")
    empty = copy.deepcopy(json.loads(BLANK)["cells"][k])
    notebook["cells"].insert(k + 1, empty)
    assert repaired(notebook)[0] == SOLVED


@pytest.mark.parametrize("name", ["kl-grade", "kl-text", "title"])
def test_a_cell_that_is_not_the_students_is_put_back(name: str) -> None:
    notebook = solved()
    del notebook["cells"][at(notebook, name)]
    assert repaired(notebook) == (SOLVED, [f"{name} was missing"])


def test_a_changed_check_is_the_one_that_was_handed_out() -> None:
    notebook = solved()
    notebook["cells"][at(notebook, "kl-grade")]["source"] = "assert True"
    assert repaired(notebook)[0] == SOLVED


def test_an_answer_that_was_deleted_costs_its_own_points() -> None:
    notebook = solved()
    k = at(notebook, "kl")
    del notebook["cells"][k]
    sources, notes = repaired(notebook)
    assert notes == ["kl was missing"]
    assert [i for i, (a, b) in enumerate(zip(sources, SOLVED, strict=True)) if a != b] == [k]


def test_moved_cells_are_put_in_order() -> None:
    notebook = solved()
    notebook["cells"].reverse()
    assert repaired(notebook) == (SOLVED, ["cells were moved"])


@pytest.mark.parametrize("minor", [0, 5])
def test_names_that_an_editor_has_dropped_are_found_again(minor: int) -> None:
    notebook = solved()
    notebook["nbformat_minor"] = minor
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    assert repaired(notebook) == (SOLVED, ["cells had lost their names"])


def test_colabs_way_to_keep_an_id_is_known() -> None:
    notebook = solved()
    for cell in notebook["cells"]:
        cell["metadata"] = {"id": cell.pop("id"), "colab": {"base_uri": "x"}}
    assert repaired(notebook) == (SOLVED, [])


def test_an_answer_in_a_cell_of_its_own_is_found() -> None:
    notebook = json.loads(BLANK)
    answer = "def kl_to_standard_normal(mu, log_sigma):\n    return mu.sum(1)"
    for place in (at(notebook, "kl"), at(notebook, "kl-grade") + 1):
        tried = copy.deepcopy(notebook)
        tried["cells"].insert(place, code(answer))
        sources, notes = repaired(tried)
        assert notes == ["kl was answered in another cell"]
        assert sources[at(notebook, "kl")] == answer


def test_what_a_human_reads_is_found_beside_its_cell() -> None:
    notebook = json.loads(BLANK)
    k = at(notebook, "explain")
    notebook["cells"][k + 1 : k + 1] = [text("The ratio of the two parts"), text("sets the width.")]
    sources, notes = repaired(notebook)
    assert notes == ["explain was answered in another cell"]
    assert sources[k] == "The ratio of the two parts\n\nsets the width."


def test_what_a_student_adds_stays_where_it_was() -> None:
    notebook = solved()
    k = at(notebook, "sweep")
    notebook["cells"].insert(k, code("def helper():\n    return 3"))
    sources, notes = repaired(notebook)
    assert notes == []
    assert sources[k] == "def helper():\n    return 3"


def test_imports_that_a_student_has_added_are_kept() -> None:
    notebook = solved()
    k = next(k for k, c in enumerate(notebook["cells"]) if c["source"].startswith("import torch"))
    notebook["cells"][k]["source"] += "\nimport math"
    assert repaired(notebook)[0][k].endswith("import math")
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    sources, _ = repaired(notebook)
    assert sum(s.startswith("import torch") for s in sources) == 1
    assert sources[k].endswith("import math")


def test_an_answer_under_another_answers_name_is_known_by_its_function() -> None:
    """The cell `kl` was copied to write `full` in it, and the cell `full` was deleted."""
    notebook = solved()
    cell = notebook["cells"].pop(at(notebook, "full"))
    cell["metadata"] = copy.deepcopy(notebook["cells"][at(notebook, "kl")]["metadata"])
    notebook["cells"].insert(at(notebook, "full-grade"), cell)
    assert repaired(notebook)[0] == SOLVED


def test_an_answer_that_was_turned_into_text_is_code_again() -> None:
    notebook = solved()
    k = at(notebook, "kl")
    notebook["cells"][k] = {**notebook["cells"][k], "cell_type": "markdown"}
    found, _ = handed_in.repaired(json.dumps(notebook).encode(), GIVEN)
    assert found["cells"][k]["cell_type"] == "code"


SET_ASIDE = {
    "nothing": (b"", "an empty file"),
    "zeros": (b"\0" * 500, "an empty file"),
    "a page": (b"<!DOCTYPE html><html>sign in</html>", "a web page"),
    "a PDF": (b"%PDF-1.7 ...", "a PDF"),
    "an archive": (b"PK\x03\x04...", "an archive"),
    "half of it": (BLANK[: len(BLANK) // 2], "breaks off"),
    "half of it, in one line": (json.dumps(json.loads(BLANK)).encode()[:4000], "breaks off"),
    "text": (b"my answers", "no JSON"),
    "a list": (b"[1, 2]", "JSON of another kind"),
    "no cells": (b'{"nbformat": 4}', "no list of cells"),
    "cells of a kind": (b'{"cells": {"0": 1}}', "no list of cells"),
    "a merge": (b'{"cells": [\n<<<<<<< HEAD\n]}', "unfinished merge"),
    "a depth": (b'{"cells": ' + b"[" * 100_000, "no notebook"),
    "another notebook": (b'{"cells": []}', "without this assignment's cells"),
}


@pytest.mark.parametrize("case", list(SET_ASIDE))
def test_what_is_no_notebook_is_set_aside_in_a_sentence(case: str) -> None:
    data, said = SET_ASIDE[case]
    with pytest.raises(handed_in.SetAside, match=said) as error:
        handed_in.repaired(data, GIVEN)
    assert "\n" not in str(error.value)


def test_another_assignments_notebook_is_named() -> None:
    other = "ch05_reconstruction"
    data = (ROOT / classroom.STUDENT / f"{other}.ipynb").read_bytes()
    with pytest.raises(handed_in.SetAside, match=f"the notebook of {other}"):
        handed_in.repaired(data, GIVEN, [handed_in.Given.read(other, data)])


def test_a_large_output_is_dropped() -> None:
    notebook = solved()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            shown = {"output_type": "stream", "name": "stdout", "text": "x" * 3_000_000}
            cell["outputs"] = [shown]
    found, notes = handed_in.repaired(json.dumps(notebook).encode(), GIVEN)
    assert notes == []
    assert len(json.dumps(found)) < 100_000


# --- files ----------------------------------------------------------------------------------------

FILES = [
    ("amy_ch04_kl_divergence.ipynb", "amy"),
    ("a.b-c@school.org_ch04_kl_divergence (1).ipynb", "a.b-c@school.org"),
    ("Copy of amy_ch04_kl_divergence.ipynb", "amy"),
    ("Kopie von amy_ch04_kl_divergence.ipynb", "amy"),
    ("amy_Copy of ch04_kl_divergence.ipynb", "amy"),
    ("amy_ch04_kl_divergence-Copy1.ipynb", "amy"),
    ("amy_CH04_KL_Divergence.ipynb", "amy"),
    ("Amy Lee - ch04 kl divergence.ipynb", "Amy Lee"),
    ("Amy Lee_31415_assignsubmission_file_ch04_kl_divergence.ipynb", "Amy Lee"),
    ("all/Amy Lee_31415_assignsubmission_file/ch04_kl_divergence.ipynb", "Amy Lee"),
    ("all/Amy Lee_31415_assignsubmission_file_/Copy of ch04_kl_divergence.ipynb", "Amy Lee"),
    ("all/Amy Lee_31415_assignsubmission_file_/Untitled3.ipynb", "Amy Lee"),
    ("leeamy_31415_27182_ch04_kl_divergence-1.ipynb", "leeamy"),
    ("leeamy_LATE_31415_27182_ch04_kl_divergence.ipynb", "leeamy"),
    ("KL_amy_attempt_2024-05-01-10-00-00_ch04_kl_divergence.ipynb", "amy"),
    ("amy/ch04_kl_divergence.ipynb", "amy"),
    ("amy_ch04_kl_divergence/work.ipynb", "amy"),
    ("ch04_kl_divergence.ipynb", None),
    ("Copy of ch04_kl_divergence.ipynb", None),
    ("ch04_kl_divergence (2).ipynb", None),
    ("all/ch04_kl_divergence.ipynb", None),
    ("submissions/ch04_kl_divergence.ipynb", None),
    ("Untitled.ipynb", None),
]


@pytest.mark.parametrize(("file", "student"), FILES)
def test_a_file_that_was_handed_in_is_told_whose_it_is(file: str, student: str | None) -> None:
    found = collect.whose(Path(file), NAME, alone=True)
    assert (found and found.student) == student


def test_a_folder_with_several_notebooks_is_no_students_name() -> None:
    assert collect.whose(Path("amy/ch04_kl_divergence.ipynb"), NAME, alone=False) is None


def handed(root: Path, files: dict[str, bytes]) -> tuple[dict[str, str], list[str]]:
    for file, data in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(data)
    collect.tidied(root)
    taken, lines = collect.plan(root, NAME, GIVEN)
    return {student: str(path.relative_to(root)) for path, student in taken.items()}, lines


def test_of_several_files_of_a_student_the_one_with_answers_is_taken(tmp_path: Path) -> None:
    full, half = json.dumps(solved()).encode(), solved()
    half["cells"][at(half, "kl")]["source"] = ""
    taken, lines = handed(
        tmp_path,
        {
            f"amy_{NAME}.ipynb": full,
            f"amy_{NAME} (1).ipynb": BLANK,  # downloaded once more
            f"ben_{NAME}.ipynb": json.dumps(half).encode(),
            f"ben_{NAME} (1).ipynb": full,  # and improved
            f"cat_{NAME}.ipynb": b"",
            f"cat_{NAME} (1).ipynb": full,
        },
    )
    assert taken == {
        "amy": f"amy_{NAME}.ipynb",
        "ben": f"ben_{NAME} (1).ipynb",
        "cat": f"cat_{NAME} (1).ipynb",
    }
    assert len(lines) == 3
    assert all("left out" in line and "\n" not in line for line in lines)


def test_each_file_that_is_left_out_is_named(tmp_path: Path) -> None:
    other = (ROOT / classroom.STUDENT / "ch05_reconstruction.ipynb").read_bytes()
    taken, lines = handed(
        tmp_path,
        {
            f"Copy of {NAME}.ipynb": BLANK,
            "amy_ch05_reconstruction.ipynb": other,
            "essay.pdf": b"%PDF",
            f"ben_{NAME}.ipynb.txt": BLANK,
            f"cat_{NAME}.IPYNB": BLANK,
            f"._dan_{NAME}.ipynb": b"\0\5\26\7",
            f".ipynb_checkpoints/eve_{NAME}-checkpoint.ipynb": BLANK,
        },
    )
    assert set(taken) == {"ben", "cat"}
    assert len(lines) == 3
    for file, why in (
        ("Copy of", "nobody's name"),
        ("ch05", "belongs to ch05_reconstruction"),
        ("essay.pdf", "not a notebook"),
    ):
        assert any(file in line and why in line for line in lines)


def extracted(archive: Path, to: Path) -> list[str]:
    """What is said when ``archive`` is unpacked."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    extractor = collect.Extractor()
    extractor.log.addHandler(handler)
    try:
        extractor.extract(str(archive), str(to))
    finally:
        extractor.log.removeHandler(handler)
    return lines


def test_archives_are_unpacked_with_the_names_that_were_meant(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    composed = unicodedata.normalize("NFC", "Jörg Müller")
    moodle = f"{composed}_31415_assignsubmission_file"
    with zipfile.ZipFile(archive / "class.zip", "w") as file:
        # As macOS does: the bytes of UTF-8, in two parts, and no word of it.
        decomposed = unicodedata.normalize("NFD", moodle).encode().decode("cp437")
        file.writestr(f"{decomposed}/Copy of {NAME}.ipynb", BLANK)
        file.writestr(f"__MACOSX/{NAME}.ipynb", b"junk")
        file.writestr(f"zoë_{NAME}.ipynb", BLANK)
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("work.ipynb", BLANK)
    with zipfile.ZipFile(archive / f"amy_{NAME}.zip", "w") as file:
        file.write(inner, "inner.zip")
    to = tmp_path / "extracted"
    assert extracted(archive, to) == []
    taken, lines = collect.plan(to, NAME, GIVEN)
    assert set(taken.values()) == {composed, "zoë", "amy"}
    assert all("by its folder's name" in line for line in lines)


def test_an_archive_that_does_not_open_is_named_and_costs_nobody_else(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "broken.zip").write_bytes(b"PK\x03\x04 not an archive")
    (archive / "odd.tar.gz").write_bytes(b"nothing")
    (archive / f"amy_{NAME}.ipynb").write_bytes(BLANK)
    lines = extracted(archive, tmp_path / "extracted")
    assert len(lines) == 2
    assert all("does not open" in line for line in lines)
    assert (tmp_path / "extracted" / f"amy_{NAME}.ipynb").is_file()


def test_an_archive_that_would_fill_the_disk_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "LARGEST", 1000)
    archive = tmp_path / "archive"
    archive.mkdir()
    with zipfile.ZipFile(archive / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"amy_{NAME}.ipynb", b"0" * 100_000)
    lines = extracted(archive, tmp_path / "extracted")
    assert len(lines) == 1
    assert "would unpack to" in lines[0]


# --- the teacher's own ----------------------------------------------------------------------------


def test_what_a_teacher_has_changed_is_kept(tmp_path: Path) -> None:
    files = {"nbgrader_config.py": b"c.a = 1\n", "source/a/a.ipynb": b"{}"}
    assert classroom.put(tmp_path, files) == (set(files), [])
    assert classroom.put(tmp_path, files) == (set(), [])
    (tmp_path / "nbgrader_config.py").write_text("c.a = 2\n")
    newer = {"nbgrader_config.py": b"c.a = 3\n", "source/a/a.ipynb": b"{ }"}
    written, lines = classroom.put(tmp_path, newer)
    assert written == {"source/a/a.ipynb"}
    assert len(lines) == 1
    assert "nbgrader_config.py: yours is kept" in lines[0]
    assert (tmp_path / "nbgrader_config.py").read_text() == "c.a = 2\n"
    assert (tmp_path / "new/nbgrader_config.py").read_bytes() == b"c.a = 3\n"
    assert classroom.put(tmp_path, newer, force=True)[1] == []
    assert (tmp_path / "nbgrader_config.py").read_bytes() == b"c.a = 3\n"
    assert not (tmp_path / "new/nbgrader_config.py").exists()


def test_in_a_course_made_before_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "nbgrader_config.py").write_text("mine = 1\n")
    _, lines = classroom.put(tmp_path, {"nbgrader_config.py": b"c.a = 1\n"})
    assert lines
    assert (tmp_path / "nbgrader_config.py").read_text() == "mine = 1\n"


def test_a_new_version_lies_where_students_never_see_it(tmp_path: Path) -> None:
    """nbgrader hands out whatever lies beside a source; a solution must not lie there."""
    files = {"source/a/a.ipynb": b"{}"}
    classroom.put(tmp_path, files)
    (tmp_path / "source/a/a.ipynb").write_text("[]")
    classroom.put(tmp_path, {"source/a/a.ipynb": b"{ }"})
    assert [p.name for p in (tmp_path / "source/a").iterdir()] == ["a.ipynb"]
