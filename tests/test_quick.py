"""Quick builds: pages from results that exist, one chapter executed where it is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sphinx")

import quick
import small_book
from sphinx.errors import ConfigError

COUNTING = """
from pathlib import Path
runs = Path("{name}.runs")
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
print("by a run:", len(runs.read_text()))
"""


def runs(folder: Path) -> list[int]:
    files = [folder / "notebooks" / f"{name}.runs" for name in ("01_one", "02_two")]
    return [len(path.read_text()) if path.exists() else 0 for path in files]


def page(folder: Path, name: str) -> str:
    return (folder / "_build/quick/_build/html/notebooks" / f"{name}.html").read_text("utf-8")


def build(folder: Path, **environment: str) -> None:
    place = ("--path-output", "_build/quick") if "VAE_CORE_QUICK" in environment else ()
    small_book.build(folder, *place, JOBS="2", **environment)


def test_what_is_executed_and_what_is_shown(tmp_path: Path) -> None:
    cells = {name: [COUNTING.format(name=name)] for name in ("01_one", "02_two")}
    folder = small_book.write(tmp_path / "book", cells)
    for name in cells:
        path = folder / "notebooks" / f"{name}.ipynb"
        stored = json.loads(path.read_text("utf-8"))
        stored["cells"][1]["outputs"] = [
            {"output_type": "stream", "name": "stdout", "text": f"stored in {name}\n"}
        ]
        path.write_text(json.dumps(stored), "utf-8")

    build(folder, VAE_CORE_QUICK="yes")
    assert runs(folder) == [0, 0]
    assert "stored in 01_one" in page(folder, "01_one")

    build(folder)  # the whole book executes both
    assert runs(folder) == [1, 1]
    build(folder, VAE_CORE_QUICK="yes")
    assert runs(folder) == [1, 1]
    assert "by a run: 1" in page(folder, "01_one")

    build(folder, VAE_CORE_QUICK="2")
    assert runs(folder) == [1, 2]
    assert "by a run: 1" in page(folder, "01_one")
    assert "by a run: 2" in page(folder, "02_two")


@pytest.mark.parametrize("text", ["no", "100", "-1", "1.5", "a chapter"])
def test_nonsense_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_CORE_QUICK", text)
    with pytest.raises(ConfigError, match="yes or the number of a chapter"):
        quick.wanted()


def test_a_chapter_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = small_book.write(tmp_path / "book", {"01_one": ["1 + 1"]})
    done = small_book.build(folder, check=False, VAE_CORE_QUICK="7")
    assert done.returncode != 0
    assert "no chapter begins with the number 07" in done.stdout + done.stderr
