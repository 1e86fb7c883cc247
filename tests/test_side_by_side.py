"""Notebooks executed several at a time, before the book's pages are read."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("sphinx")

import nbformat
import side_by_side
from jupyter_cache import get_cache
from jupyter_cache.executors.utils import ExecutionResult
from nbformat.v4 import new_code_cell, new_notebook
from sphinx.errors import ConfigError


def result(path: Path) -> ExecutionResult:
    return ExecutionResult(new_notebook(), str(path.parent), 0.1)


class TestJobs:
    def test_the_reader_says_how_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JOBS", "3")
        assert side_by_side.jobs_wanted() == 3

    def test_one_a_core_up_to_four(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JOBS", raising=False)
        found = []
        for cores in (1, 2, 64, None):
            monkeypatch.setattr(side_by_side.os, "cpu_count", lambda cores=cores: cores)
            found.append(side_by_side.jobs_wanted())
        assert found == [1, 2, 4, 1]

    @pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
    def test_nonsense_is_refused(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JOBS", text)
        with pytest.raises(ConfigError, match=f"got '{text}'"):
            side_by_side.jobs_wanted()

    def test_kernels_share_the_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(side_by_side.os, "cpu_count", lambda: 8)
        monkeypatch.setenv("MKL_NUM_THREADS", "5")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with side_by_side.shared_cores(4):
            assert side_by_side.os.environ["OMP_NUM_THREADS"] == "2"
            assert side_by_side.os.environ["MKL_NUM_THREADS"] == "5"
        assert "OMP_NUM_THREADS" not in side_by_side.os.environ


class TestSideBySide:
    def test_as_many_run_at_once_as_asked(self) -> None:
        together = threading.Barrier(3, timeout=20)

        def run(path: Path) -> ExecutionResult:
            together.wait()  # breaks unless three are in here at a time
            return result(path)

        paths = [Path(f"{i}.ipynb") for i in range(6)]
        done = list(side_by_side.side_by_side(paths, run, jobs=3))
        assert sorted(path for path, _ in done) == paths
        assert all(isinstance(found, ExecutionResult) for _, found in done)

    def test_one_that_breaks_holds_up_no_other(self) -> None:
        def run(path: Path) -> ExecutionResult:
            if path.stem == "1":
                raise RuntimeError("the kernel died")
            return result(path)

        paths = [Path(f"{i}.ipynb") for i in range(4)]
        done = dict(side_by_side.side_by_side(paths, run, jobs=2))
        assert isinstance(done[Path("1.ipynb")], RuntimeError)
        assert sum(isinstance(found, ExecutionResult) for found in done.values()) == 3


class TestCache:
    @pytest.fixture
    def book(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Three notebooks, of which "bad" fails, and what the filling reads of a build."""
        monkeypatch.setenv("JOBS", "2")
        for name, code in (("a", "print(6 * 7)"), ("b", "print(6 * 8)"), ("bad", "1 / 0")):
            notebook = new_notebook(cells=[new_code_cell(code)])
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
            nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        config = SimpleNamespace(
            nb_execution_mode="cache", nb_execution_timeout=60, nb_execution_allow_errors=False
        )
        settings = SimpleNamespace(
            execution_cache_path=str(tmp_path / "cache"), execution_excludepatterns=["left_*"]
        )
        env = SimpleNamespace(
            doc2path=lambda name: str(tmp_path / f"{name}.ipynb"), mystnb_config=settings
        )
        return SimpleNamespace(
            app=SimpleNamespace(config=config, srcdir=str(tmp_path)), env=env, folder=tmp_path
        )

    def test_results_lie_where_the_build_looks_and_failures_do_not(
        self, book: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        side_by_side.fill_cache(book.app, book.env, ["a", "b", "bad"])
        cache = get_cache(book.folder / "cache")
        for name, answer in (("a", "42"), ("b", "48")):
            _, found = cache.merge_match_into_notebook(
                nbformat.read(book.folder / f"{name}.ipynb", as_version=4)
            )
            assert found.cells[0].outputs[0].text.strip() == answer
        with pytest.raises(KeyError):
            cache.match_cache_notebook(nbformat.read(book.folder / "bad.ipynb", as_version=4))
        said = capsys.readouterr().out
        assert "3 notebooks to execute, 2 at a time" in said
        assert "bad: failed (CellExecutionError); it is run again below" in said

    def test_what_was_executed_is_not_again(
        self, book: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        side_by_side.fill_cache(book.app, book.env, ["a", "b"])
        capsys.readouterr()
        side_by_side.fill_cache(book.app, book.env, ["a", "b"])
        assert capsys.readouterr().out == ""

    def test_one_at_a_time_is_left_to_the_build(
        self, book: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JOBS", "1")
        side_by_side.fill_cache(book.app, book.env, ["a", "b"])
        assert not (book.folder / "cache").exists()
