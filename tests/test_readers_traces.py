"""What readers leave in a folder of notebooks breaks nothing, and is left alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import lab
import nbformat
import normalise
import pytest
import small_book
import stored
import vae_book
from helpers import ROOT, sources
from test_tools import code_cell, notebook

CHECKED = notebook(
    code_cell([{"output_type": "stream", "name": "stdout", "text": "2\n"}], tags=["hide-input"])
)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=no"]
    return subprocess.check_output(["git", *who, *arguments], cwd=folder, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with one chapter, one assignment and its student's notebook, committed."""
    folder = tmp_path / "my book"
    names = [
        "notebooks/01_a.ipynb",
        "notebooks/run/01_a.ipynb",
        "notebooks/exercises/ch01_a/ch01_a.ipynb",
        "notebooks/exercises/student/ch01_a.ipynb",
    ]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(normalise.dump(normalise.normalise(json.loads(json.dumps(CHECKED)))))
    (folder / "_toc.yml").write_text("root: book/index\nchapters:\n  - file: notebooks/01_a\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "now")
    return folder


def leave_traces(project: Path) -> None:
    """What JupyterLab, Finder and a curious reader make."""
    text = json.dumps(notebook(code_cell([])))
    for name in (
        "notebooks/.ipynb_checkpoints/01_a-checkpoint.ipynb",
        "notebooks/01_a-Copy1.ipynb",
        "notebooks/Untitled.ipynb",
        "notebooks/.virtual_documents/01_a.ipynb",
        "notebooks/exercises/.ipynb_checkpoints/x-checkpoint.ipynb",
        "notebooks/exercises/ch01_a/.ipynb_checkpoints/ch01_a-checkpoint.ipynb",
        "notebooks/exercises/ch01_a/ch01_a-Copy1.ipynb",
        "notebooks/exercises/student/Untitled1.ipynb",
        "notebooks/exercises/my answers/mine.ipynb",
    ):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (project / "notebooks" / ".DS_Store").write_bytes(b"\0")


def save_as_jupyterlab(path: Path, text: str = "2\n") -> None:
    """Run a notebook and save it: counts, a kernel's name, timings, other outputs, more spaces."""
    saved = json.loads(path.read_text())
    saved["metadata"]["kernelspec"] = {"display_name": "vae", "language": "python", "name": "vae"}
    saved["metadata"]["widgets"] = {"state": {}}
    for count, cell in enumerate(saved["cells"], 1):
        cell["execution_count"] = count
        cell["metadata"]["execution"] = {"iopub.status.busy": "2024-01-01T00:00:00Z"}
        cell["metadata"]["scrolled"] = True
        cell["source"] = cell["source"].splitlines(keepends=True)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [text]}]
    path.write_text(json.dumps(saved, indent=4))


def test_the_books_notebooks_are_known_by_the_contents(project: Path) -> None:
    before = stored.notebooks(project)
    assert [path.relative_to(project).as_posix() for path in before] == [
        "notebooks/01_a.ipynb",
        "notebooks/exercises/ch01_a/ch01_a.ipynb",
        "notebooks/exercises/student/ch01_a.ipynb",
    ]
    leave_traces(project)
    assert stored.notebooks(project) == before


def test_every_notebook_of_this_book_is_known() -> None:
    tracked = git(ROOT, "ls-files", "notebooks/*.ipynb").split()
    known = [*stored.notebooks(ROOT), *stored.editions(ROOT)]
    assert sorted(path.relative_to(ROOT).as_posix() for path in known) == tracked
    assert len(stored.editions(ROOT)) == len(stored.chapters(ROOT))
    assert len(stored.chapters(ROOT)) == len(stored.assignments(ROOT)) == len(stored.students(ROOT))


def test_a_chapter_that_was_run_and_saved_is_told_of_with_the_way_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_traces(project)
    chapter = project / "notebooks" / "01_a.ipynb"
    before = chapter.read_text()
    save_as_jupyterlab(chapter, "3\n")
    assert normalise.main(["--check"], project) == 0
    told = capsys.readouterr()
    assert told.err == ""
    (line,) = told.out.splitlines()
    (undo,) = re.findall("`(.*)`", line)
    assert line.startswith("notebooks/01_a.ipynb: run and saved, no cell changed; ")
    subprocess.run(undo, shell=True, cwd=project, check=True)
    assert chapter.read_text() == before
    assert normalise.main(["--check"], project) == 0
    assert capsys.readouterr().out == ""


def test_a_cell_that_was_changed_is_a_fault_as_before(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chapter = project / "notebooks" / "01_a.ipynb"
    save_as_jupyterlab(chapter)
    chapter.write_text(chapter.read_text().replace('"1"', '"1 + 1"'))
    assert normalise.main(["--check"], project) == 1
    assert "notebooks/01_a.ipynb: not normalised" in capsys.readouterr().err


def test_without_git_a_saved_chapter_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    save_as_jupyterlab(project / "notebooks" / "01_a.ipynb")
    assert normalise.main(["--check"], project) == 1
    assert "run `make notebooks`" in capsys.readouterr().err


def test_nbval_compares_the_books_notebooks_only(project: Path) -> None:
    """By the project's own conftest, in a copy of the folder."""
    leave_traces(project)
    for name in ("conftest.py", "pyproject.toml"):
        (project / name).symlink_to(ROOT / name)
    (project / "book").symlink_to(ROOT / "book")
    (project / "vae_core").symlink_to(ROOT / "vae_core")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval", "--collect-only", "notebooks"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert found == {
        str(path.relative_to(project).as_posix()) for path in stored.notebooks(project)
    }, done.stdout + done.stderr


def test_an_editors_copies_of_the_package_change_no_key_and_no_page(
    tmp_path: Path,
) -> None:
    (tmp_path / "vae_core").mkdir()
    (tmp_path / "vae_core" / "zoo.py").write_text("A = 1\n")
    before = vae_book.engine_hash(tmp_path)
    hidden = tmp_path / "vae_core" / ".ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "zoo-checkpoint.py").write_text("A = 2\n")
    assert vae_book.engine_hash(tmp_path) == before
    assert sources(tmp_path) == [tmp_path / "vae_core" / "zoo.py"]


def test_a_book_with_traces_is_built_without_them(tmp_path: Path) -> None:
    folder = small_book.write(tmp_path, {"01_a": ["1 + 1"]})
    leave_traces(folder)
    (folder / "notebooks" / "01_a-Copy1.ipynb").write_text("not a notebook")
    (folder / "book" / ".ipynb_checkpoints").mkdir()
    (folder / "book" / ".ipynb_checkpoints" / "intro-checkpoint.md").write_text("# Old\n")
    small_book.build(folder, "-W", "-n", "--keep-going")
    names = {path.name for path in (folder / "_build" / "html").rglob("*.html")}
    assert not [name for name in names if "Copy" in name or "checkpoint" in name]
    assert "01_a.html" in names


class TestLab:
    def test_copies_are_made_once_and_follow_the_book(self, project: Path) -> None:
        own = project / "my-notebooks"
        assert lab.copy(project, own) == []
        assert {path.relative_to(own).as_posix() for path in own.rglob("*.ipynb")} == {
            "01_a.ipynb",
            "exercises/ch01_a.ipynb",
        }
        chapter = project / "notebooks" / "run" / "01_a.ipynb"
        chapter.write_text(chapter.read_text().replace('"1"', '"7"'))
        assert lab.copy(project, own) == []
        assert (own / "01_a.ipynb").read_bytes() == chapter.read_bytes()

    def test_a_readers_work_is_never_written_over(self, project: Path) -> None:
        own = project / "my-notebooks"
        lab.copy(project, own)
        save_as_jupyterlab(own / "01_a.ipynb", "mine\n")
        mine = (own / "01_a.ipynb").read_bytes()
        assert lab.copy(project, own) == []  # nothing new in the book: nothing to say
        chapter = project / "notebooks" / "run" / "01_a.ipynb"
        chapter.write_text(chapter.read_text().replace('"1"', '"7"'))
        (line,) = lab.copy(project, own)
        assert line.startswith("kept your 01_a.ipynb; the book's has changed")
        assert (own / "01_a.ipynb").read_bytes() == mine
        (own / "01_a.ipynb").rename(own / "mine.ipynb")
        assert lab.copy(project, own) == []
        assert (own / "01_a.ipynb").read_bytes() == chapter.read_bytes()

    def test_a_deleted_copy_comes_back(self, project: Path) -> None:
        own = project / "my-notebooks"
        lab.copy(project, own)
        (own / "01_a.ipynb").unlink()
        lab.copy(project, own)
        assert (own / "01_a.ipynb").exists()

    def test_a_folder_that_cannot_be_made_is_named(
        self, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").touch()
        place = str(tmp_path / "file" / "mine")
        assert lab.main(["--folder", place, "--no-open"], project) == 1
        assert capsys.readouterr().err == f"{place} can't be written: Not a directory\n"

    def test_running_the_copies_changes_no_tracked_file(self) -> None:
        assert git(ROOT, "check-ignore", "my-notebooks/01_a.ipynb").strip()
        for path in stored.notebooks(ROOT):
            assert nbformat.read(path, as_version=4).nbformat == 4

    def test_nbgraders_extensions_are_off_in_it(self, tmp_path: Path) -> None:
        """As JupyterLab itself reads its settings; elsewhere they are on."""
        ask = (
            "import json; from jupyter_core.paths import jupyter_config_path, jupyter_path;"
            "from jupyter_server.extension.config import ExtensionConfigManager;"
            "from jupyterlab_server.config import get_page_config;"
            "found = ExtensionConfigManager(read_config_path=jupyter_config_path());"
            "page = get_page_config(jupyter_path('labextensions'));"
            "print(json.dumps([found.get_jpserver_extensions(), page['disabledExtensions']]))"
        )

        def told(environment: dict[str, str]) -> tuple[dict[str, bool], list[str]]:
            made = subprocess.check_output([sys.executable, "-c", ask], env=environment, text=True)
            server, page = json.loads(made)
            return {k: v for k, v in server.items() if "nbgrader" in k}, page

        own = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
        own |= {"JUPYTER_PREFER_ENV_PATH": "1", "HOME": str(tmp_path)}
        before, _ = told(own)
        assert before
        assert all(before.values())
        after, page = told(lab.without_nbgrader(own, tmp_path / "settings"))
        assert set(after) == set(before) == set(lab.NBGRADER_IN_SERVER)
        assert not any(after.values())
        assert "@jupyter/nbgrader" in page
