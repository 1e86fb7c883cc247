"""The class's course: what students get, and what nbgrader makes of what they hand in.

`make test` grades one assignment, `make classroom-test` every one.
"""

from __future__ import annotations

import copy
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import classroom
import pytest
import repository
from helpers import ROOT

from vae_core.exercises import GENERAL, MISTAKES

NAMES = list(classroom.assignments(ROOT))
ALL = os.environ.get("CLASSROOM") == "all"
GRADED = NAMES if ALL else ["ch04_kl_divergence"]

# What a student's answer to a chapter's first exercise may be, and the mistake that it makes.
MISTAKEN = {
    "ch04_kl_divergence": (
        "def kl_to_standard_normal(mu, log_sigma):\n"
        "    return (torch.exp(log_sigma) ** 2 + mu**2 - log_sigma - 1 / 2).sum(-1)",
        "kl_missing_half",
    ),
    "ch06_reparameterization": (
        "def reparameterised_draw(mu, log_sigma, generator):\n"
        "    noise = torch.randn(mu.shape[-1], generator=generator, dtype=mu.dtype)\n"
        "    return mu + log_sigma.exp() * noise",
        "shared_noise",
    ),
    "ch07_testing": (
        "def importance_log_p(log_p_x, log_p_z, log_q):\n"
        "    return (log_p_x + log_p_z - log_q).mean(0)",
        "mean_of_logs",
    ),
}
REGION = re.compile(
    r"^ *### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)^ *### END (?:SOLUTION|HIDDEN TESTS)$",
    re.MULTILINE | re.DOTALL,
)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def role(cell: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the cell is answered, and whether it carries points."""
    given = cell["metadata"].get("nbgrader", {})
    return given.get("solution", False), given.get("grade", False)


def by_id(notebook: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cells = [c for c in notebook["cells"] if "nbgrader" in c["metadata"]]
    return {c["metadata"]["nbgrader"]["grade_id"]: c for c in cells}


def student_version(name: str) -> dict[str, Any]:
    return read(ROOT / classroom.STUDENT / f"{name}.ipynb")


def answered(name: str, share: float) -> tuple[dict[str, Any], int]:
    """A student's notebook with that share of the code answered, and the points it deserves."""
    solved = read(classroom.assignments(ROOT)[name])
    exercises = [c for c in solved["cells"] if any(role(c))]
    answers = [c for c in exercises if role(c) == (True, False)]
    kept = [c["metadata"]["nbgrader"]["grade_id"] for c in answers[: round(share * len(answers))]]
    notebook, points, last = student_version(name), 0, None
    for cell in exercises:
        identity = cell["metadata"]["nbgrader"]["grade_id"]
        if role(cell) == (True, False):
            last = identity
        elif role(cell) == (False, True) and last in kept:
            points += cell["metadata"]["nbgrader"]["points"]
    for identity, cell in by_id(notebook).items():
        if identity in kept:
            cell["source"] = copy.deepcopy(by_id(solved)[identity]["source"])
    return notebook, points


def test_there_is_an_assignment_for_each_chapter_from_2_to_12() -> None:
    assert {f"{n:02}" for n in range(2, 13)} <= {name[2:4] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
class TestAssignments:
    def test_points_and_roles(self, name: str) -> None:
        notebook = read(classroom.assignments(ROOT)[name])
        graded = [c["metadata"]["nbgrader"] for c in notebook["cells"] if role(c)[1]]
        assert sum(cell["points"] for cell in graded) == 10
        assert any(cell["solution"] for cell in graded), "no question that a human reads"
        assert sum(not cell["solution"] for cell in graded) >= 2, "too little that a machine reads"
        for cell in notebook["cells"]:
            if role(cell)[0]:
                assert "### BEGIN SOLUTION" in source(cell)
            elif role(cell)[1]:
                assert "### BEGIN HIDDEN TESTS" in source(cell)
                assert "exercises.check(" in REGION.sub("", source(cell))

    def test_nothing_leaks_to_students(self, name: str) -> None:
        solved = read(classroom.assignments(ROOT)[name])
        given = json.dumps(student_version(name), ensure_ascii=False)
        assert "HIDDEN TESTS" not in given
        assert "SOLUTION" not in given
        assert "exercises.grade" not in given
        public = "\n".join(REGION.sub("", source(c)) for c in solved["cells"])
        text = "\n".join(source(c) for c in student_version(name)["cells"])
        hidden = [
            line.strip()
            for cell in solved["cells"]
            for region in REGION.findall(source(cell) + "\n")
            for line in region.splitlines()
            if len(line.strip()) > 20 and line.strip() not in public
        ]
        assert hidden
        assert [line for line in hidden if line in text] == []
        cells = student_version(name)["cells"]
        assert not any(c.get("outputs") for c in cells), "an output may show an answer"

    def test_the_student_version_runs_in_an_empty_folder(self, name: str, tmp_path: Path) -> None:
        shutil.copy(ROOT / classroom.STUDENT / f"{name}.ipynb", tmp_path / "mine.ipynb")
        run(
            tmp_path,
            *("-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "mine.ipynb"),
            "--ExecutePreprocessor.kernel_name=python3",
        )
        notebook = read(tmp_path / "mine.ipynb")
        for cell in notebook["cells"]:
            if role(cell) == (False, True):
                assert GENERAL["not_answered"] in json.dumps(cell["outputs"], ensure_ascii=False)
        assert [p.name for p in tmp_path.iterdir() if p.name[0] != "."] == ["mine.ipynb"]


def run(folder: Path, *arguments: str, root: Path = ROOT) -> str:
    """Run Python in `folder`, with this repository's package; its output, or a failure."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(root),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "IPYTHONDIR": str(folder / ".ipython"),
            "PYTHONWARNINGS": "ignore",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def test_the_student_versions_are_todays() -> None:
    run(ROOT, "book/_tools/classroom.py", "--check")


def test_a_stale_or_stray_student_version_is_found_and_renewed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copytree(ROOT / classroom.EXERCISES, tmp_path / classroom.EXERCISES)
    tool = str(ROOT / "book/_tools/classroom.py")
    stored = tmp_path / classroom.STUDENT / "ch04_kl_divergence.ipynb"
    (stored.parent / "ch99_gone.ipynb").write_text(stored.read_text("utf-8"), "utf-8")
    before = stored.read_text("utf-8")
    stored.write_text(before.replace("your answer here", "42"), "utf-8")
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'book/_tools')!r}); import classroom; "
    stale = run(tmp_path, "-c", program + "print(classroom.main(['--check']))")
    assert stale.splitlines()[-1] == "1"
    assert "ch04_kl_divergence" in stale
    assert "ch99_gone" in stale
    run(tmp_path, tool)
    assert stored.read_text("utf-8") == before
    assert not (stored.parent / "ch99_gone.ipynb").exists()


def test_a_new_address_reaches_the_badges_as_it_reaches_everything_else(tmp_path: Path) -> None:
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copytree(ROOT / classroom.EXERCISES, tmp_path / classroom.EXERCISES)
    assert repository.main(["--url", "https://github.com/a-class/its-fork"], tmp_path) == 0
    badge = source(read(tmp_path / classroom.STUDENT / f"{NAMES[0]}.ipynb")["cells"][0])
    assert "/github/a-class/its-fork/blob/main/notebooks/exercises/student/" in badge
    run(tmp_path, str(ROOT / "book/_tools/classroom.py"), "--check")


# --- from handing out to feedback, with nbgrader's own commands -----------------------------------

SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    found = {}
    for s in book.assignment_submissions(sys.argv[1]):
        grades = [g for n in s.notebooks for g in n.grades]
        found[s.student.id] = {
            "machine": sum(g.auto_score or 0 for g in grades if g.cell.cell_type == "code"),
            "most": sum(g.max_score for g in grades if g.cell.cell_type == "code"),
            "to_read": sum(bool(g.needs_manual_grade) for g in grades),
        }
print(json.dumps(found))
"""


# A class as it is: what each hands in of chapter 4 besides sound notebooks, and the points that are
# due. 8 are for code; the answer to the first exercise is worth 2.
CROWD = "ch04_kl_divergence"
PATCHES = (
    "import vae_core.exercises as E\nE.check = E.grade = lambda *a, **k: None",
    "import sys\nclass Fake:\n    check = grade = staticmethod(lambda *a, **k: None)\n"
    "exercises = sys.modules['vae_core.exercises'] = Fake",
    "import torch\ntorch.allclose = lambda *a, **k: True",
    "from vae_core.exercises import Attempt, Exercise\nAttempt.close = lambda *a, **k: None\n"
    "Exercise.check = lambda *a, **k: True",
    "import ast\nclass Gone(ast.NodeTransformer):\n    def visit_Expr(self, node):\n"
    "        return ast.Pass()\nget_ipython().ast_transformers.append(Gone())",
)


def crowd() -> dict[str, tuple[bytes, float]]:
    sound, _ = answered(CROWD, 1.0)
    found: dict[str, tuple[bytes, float]] = {}

    def hands_in(who: str, notebook: dict[str, Any], points: float) -> None:
        found[who] = json.dumps(notebook).encode(), points

    def place(notebook: dict[str, Any], identity: str) -> int:
        return next(
            k
            for k, c in enumerate(notebook["cells"])
            if c["metadata"].get("nbgrader", {}).get("grade_id") == identity
        )

    def with_cell(text: str) -> dict[str, Any]:
        made = copy.deepcopy(sound)
        cell = {"cell_type": "code", "metadata": {}, "source": text, "outputs": []}
        made["cells"].insert(place(made, "full-text"), cell)
        return made

    copied = copy.deepcopy(sound)
    k = place(copied, "kl")
    copied["cells"].insert(k + 1, copy.deepcopy(copied["cells"][k]))
    hands_in("copied", copied, 8)
    deleted = copy.deepcopy(sound)
    del deleted["cells"][place(deleted, "kl-grade")]
    hands_in("deleted", deleted, 8)
    stripped = copy.deepcopy(sound)
    for cell in stripped["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    hands_in("stripped", stripped, 8)
    stuck = copy.deepcopy(sound)
    never = "def kl_to_standard_normal(mu, log_sigma):\n    return sum(range(10**13))"
    stuck["cells"][place(stuck, "kl")]["source"] = never
    hands_in("stuck", stuck, 6)
    hands_in("leaves", with_cell("exit()"), 8)
    hands_in("dies", with_cell("import os; os._exit(1)"), 8)
    for n, patch in enumerate(PATCHES):
        patched = student_version(CROWD)
        wrong = f"{patch}\n{MISTAKEN[CROWD][0]}"
        patched["cells"][place(patched, "kl")]["source"] = wrong
        hands_in(f"patches{n}", patched, 0)
    found["empty"] = b"", 0
    found["cut"] = json.dumps(sound).encode()[:4000], 0
    hands_in("other", student_version("ch05_reconstruction"), 0)
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course as a teacher makes it, with what four students handed in, graded."""
    folder = tmp_path_factory.mktemp("term") / "course"
    build = (
        "import sys, pathlib; sys.path.insert(0, 'book/_tools'); import classroom; "
        "classroom.build(pathlib.Path(), pathlib.Path(sys.argv[1]), sys.argv[2:])"
    )
    run(ROOT, "-c", build, str(folder), *GRADED)
    for name in GRADED:
        archive = folder / "downloaded" / name / "archive"
        archive.mkdir(parents=True)
        shutil.copy(classroom.assignments(ROOT)[name], archive / f"teacher_{name}.ipynb")
        shutil.copy(folder / "release" / name / f"{name}.ipynb", archive / f"blank_{name}.ipynb")
        half, _ = answered(name, 0.5)
        (archive / f"half_{name}.ipynb").write_text(json.dumps(half), "utf-8")
        if name in MISTAKEN:
            wrong = read(folder / "release" / name / f"{name}.ipynb")
            cell = next(c for c in wrong["cells"] if role(c) == (True, False))
            cell["source"] = MISTAKEN[name][0]
            (archive / f"mistaken_{name}.ipynb").write_text(json.dumps(wrong), "utf-8")
        if name == CROWD:
            for who, (data, _) in crowd().items():
                (archive / f"{who}_{name}.ipynb").write_bytes(data)
            (archive / f"Copy of {name}.ipynb").write_bytes(data)
            (archive / "broken.zip").write_bytes(b"PK\x03\x04 not an archive")
        run(folder, "-m", "nbgrader", "zip_collect", name)
        run(folder, "-m", "nbgrader", "autograde", name)
        run(folder, "-m", "nbgrader", "generate_feedback", name)
    return folder


@pytest.mark.parametrize("name", GRADED)
class TestGrading:
    def test_the_release_holds_no_hidden_test_and_no_solution(
        self, name: str, course: Path
    ) -> None:
        release = read(course / "release" / name / f"{name}.ipynb")
        given = student_version(name)["cells"][1:]  # the first is Colab's button
        assert [source(c) for c in release["cells"]] == [source(c) for c in given]

    def test_scores(self, name: str, course: Path) -> None:
        scores = json.loads(run(course, "-c", SCORES, name))
        assert scores["teacher"]["machine"] == scores["teacher"]["most"] > 0
        assert scores["blank"]["machine"] == 0
        _, points = answered(name, 0.5)
        assert scores["half"]["machine"] == points
        assert 0 < points < scores["teacher"]["most"]
        assert scores["teacher"]["to_read"] > 0

    def test_feedback_says_what_is_wrong(self, name: str, course: Path) -> None:
        def feedback(student: str) -> str:
            return page(course, student, name)

        assert GENERAL["not_answered"] in feedback("blank")
        assert GENERAL["not_answered"] not in feedback("teacher")
        if name in MISTAKEN:
            assert MISTAKES[MISTAKEN[name][1]] in feedback("mistaken")
            assert json.loads(run(course, "-c", SCORES, name))["mistaken"]["machine"] == 0


def page(course: Path, student: str, name: str) -> str:
    """The words of a student's feedback."""
    file = course / "feedback" / student / name / f"{name}.html"
    words = re.sub(r"<style.*?</style>", " ", file.read_text("utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>|\s+", " ", words))


class TestCrowd:
    def test_each_has_the_points_that_are_due_and_nothing_waits_for_a_human(
        self, course: Path
    ) -> None:
        scores = json.loads(run(course, "-c", SCORES, CROWD))
        due = {who: points for who, (_, points) in crowd().items()}
        assert {who: scores[who]["machine"] for who in due} == due
        most = max(found["to_read"] for found in scores.values())
        assert most == scores["teacher"]["to_read"], "only what a human is to read"

    def test_each_is_told_once_what_is_wrong_and_not_where_the_grader_keeps_it(
        self, course: Path
    ) -> None:
        found = page(course, "mistaken", CROWD)
        assert found.count(MISTAKES[MISTAKEN[CROWD][1]]) == 1
        assert found.count("The divergence from N(0, I): not yet") == 2  # the report, and the 0
        assert "Traceback" not in found
        for who in ("mistaken", "stuck", "dies"):
            words = page(course, who, CROWD)
            assert str(course) not in words
            assert "site-packages" not in words
            assert "/vae_core/" not in words

    def test_who_was_set_aside_or_put_right_is_told(self, course: Path) -> None:
        assert "an empty file" in page(course, "empty", CROWD)
        assert "breaks off" in page(course, "cut", CROWD)
        assert "the notebook of" in page(course, "other", CROWD) or "without this" in page(
            course, "other", CROWD
        )
        assert "kl was there 2 times" in page(course, "copied", CROWD)
        assert "ends Python" in page(course, "dies", CROWD)
        assert "not back after 5 s" in page(course, "stuck", CROWD)
