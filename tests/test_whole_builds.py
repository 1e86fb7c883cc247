"""What a build leaves: whole results, no pages of earlier editions, and room for another build."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import small_book
import whole_builds
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);"


def executed(number: int) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(f"{number}")
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=str(number))]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of three executed notebooks."""
    folder = tmp_path / ".jupyter_cache"
    for number in range(3):
        bundle = CacheBundleIn(executed(number), f"/{number}.ipynb", data={})
        get_cache(str(folder)).cache_notebook_bundle(bundle, check_validity=False)
    return folder


def readable(folder: Path) -> list[str]:
    """The sources of the notebooks that a build would take from the cache."""
    found = get_cache(str(folder))
    bundles = [found.get_cache_bundle(record.pk) for record in found.list_cache_records()]
    return sorted(bundle.nb.cells[0].source for bundle in bundles)


def file_of(folder: Path, number: int) -> Path:
    record = get_cache(str(folder)).match_cache_notebook(executed(number))
    return folder / "executed" / record.hashkey / "base.ipynb"


class TestCache:
    def test_whole_results_stay(self, cache: Path) -> None:
        whole_builds.mend_cache(cache)
        assert readable(cache) == ["0", "1", "2"]

    @pytest.mark.parametrize("damage", ["gone", "empty", "half", "not text", "no folder"])
    def test_a_result_that_is_not_whole_is_forgotten(self, damage: str, cache: Path) -> None:
        path = file_of(cache, 1)
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        elif damage == "no folder":
            shutil.rmtree(path.parent)
        else:
            spoiled = {"empty": b"", "half": content[: len(content) // 2], "not text": b"\xff" * 9}
            path.write_bytes(spoiled[damage])
        whole_builds.mend_cache(cache)
        assert readable(cache) == ["0", "2"]
        # And there is room for it again.
        bundle = CacheBundleIn(executed(1), "/1.ipynb", data={})
        get_cache(str(cache)).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        assert readable(cache) == ["0", "1", "2"]

    @pytest.mark.parametrize("content", [b"", b"SQLite format 3\0 and no more", b"\0" * 5000])
    def test_a_table_that_cannot_be_read_empties_the_cache(
        self, content: bytes, cache: Path
    ) -> None:
        (cache / "global.db").write_bytes(content)
        whole_builds.mend_cache(cache)
        assert not cache.exists()

    def test_no_cache_is_no_fault(self, tmp_path: Path) -> None:
        whole_builds.mend_cache(tmp_path / "nothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two notebooks, built."""
    made = small_book.write(
        tmp_path_factory.mktemp("whole") / "b", {"01_a": [PICTURE], "02_b": ["1 + 1"]}
    )
    small_book.build(made, JOBS="1")
    return made


def test_a_build_without_a_change_leaves_every_file_as_it_is(folder: Path) -> None:
    html = folder / "_build" / "html"
    before = {path: path.read_bytes() for path in html.rglob("*") if path.is_file()}
    assert {html / "search.html", html / "genindex.html"} <= before.keys()
    small_book.build(folder, JOBS="1")
    after = {path: path.read_bytes() for path in html.rglob("*") if path.is_file()}
    assert sorted(after.keys() ^ before.keys()) == []
    assert [path for path in after if after[path] != before[path]] == []


def test_an_edition_with_fewer_pages_leaves_none_of_the_old(folder: Path) -> None:
    """A chapter went, another's picture changed; a stale index of another version lies about."""
    html = folder / "_build" / "html"
    (before,) = (html / "_images").iterdir()
    listed = (folder / "_toc.yml").read_text()
    (folder / "_toc.yml").write_text(listed.replace("- file: notebooks/02_b\n", ""))
    (folder / "notebooks" / "02_b.ipynb").unlink()
    path = folder / "notebooks" / "01_a.ipynb"
    path.write_text(path.read_text().replace("[1, 3, 2]", "[3, 1, 2]"))
    (html / "py-modindex.html").write_text("old")
    old = 1_600_000_000
    for stale in (html / "py-modindex.html", html / "notebooks" / "02_b.html"):
        os.utime(stale, (old, old))
    done = small_book.build(folder, JOBS="1")
    assert whole_builds.NOTICE not in done.stdout
    names = {p.relative_to(html).as_posix() for p in html.rglob("*.html")}
    assert "notebooks/02_b.html" not in names
    assert "py-modindex.html" not in names
    assert {"index.html", "search.html", "genindex.html", "notebooks/01_a.html"} <= names
    (after,) = (html / "_images").iterdir()
    assert after.name != before.name
    assert not (html / "_sources" / "notebooks" / "02_b.ipynb").exists()


def test_a_build_of_another_version_of_sphinx_is_no_hindrance(folder: Path) -> None:
    (doctrees,) = (folder / "_build").rglob("environment.pickle")
    doctrees.write_bytes(b"of another time")
    (folder / "_build" / ".jupyter_cache" / "engine.sha256").write_text("another engine")
    done = small_book.build(folder, JOBS="1")
    assert "every notebook runs anew" in done.stdout


def test_two_builds_at_once_take_turns(tmp_path: Path) -> None:
    folder = small_book.write(tmp_path / "b", {"01_a": [PICTURE]})
    both = [
        subprocess.Popen(
            small_book.command("-W", "-n", "--keep-going"),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [build.communicate()[0] for build in both]
    assert [build.returncode for build in both] == [0, 0], said
    waited = ["another build of this book is running" in text for text in said]
    assert sorted(waited) == [False, True]
    assert not any(whole_builds.NOTICE in text for text in said)
    assert (folder / "_build" / "html" / "notebooks" / "01_a.html").exists()
    assert not (folder / "_build" / "unfinished").exists()
