"""The upkeep tools: stored notebooks in one form, one repository address."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import normalise
import pytest
import repository
from helpers import ROOT

BLOB = '<div></div><script type="text/plain" data-vae-blob="ab">AAAA</script>'


def code_cell(outputs: list[dict], **metadata: object) -> dict:
    return {
        "cell_type": "code",
        "id": "c1",
        "metadata": metadata,
        "source": "1",
        "execution_count": 7,
        "outputs": outputs,
    }


def notebook(*cells: dict) -> dict:
    return {
        "cells": list(cells),
        "metadata": {
            "widgets": {"state": {}},
            "kernelspec": {"name": "my-env", "display_name": "my env"},
            "language_info": {"name": "python", "version": "3.11.7"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def result(data: dict) -> dict:
    return {"output_type": "execute_result", "execution_count": 7, "metadata": {}, "data": data}


class TestNormalise:
    def test_removes_what_differs_from_run_to_run(self) -> None:
        cell = code_cell([result({"text/plain": "2"})], execution={"iopub.status.busy": "now"})
        out = normalise.normalise(notebook(cell))
        assert out["cells"][0]["execution_count"] is None
        assert out["cells"][0]["outputs"][0]["execution_count"] is None
        assert out["cells"][0]["metadata"] == {}
        assert set(out["metadata"]) == {"kernelspec", "language_info"}
        assert out["metadata"]["kernelspec"]["name"] == "python3"
        assert out["metadata"]["language_info"] == {"name": "python"}

    def test_removes_widget_payloads_and_keeps_picture_and_text(self) -> None:
        data = {
            normalise.WIDGET_VIEW: {"model_id": "x"},
            "text/html": BLOB,
            "image/png": "iVBOR",
            "text/plain": "LatentExplorer()",
        }
        cell = normalise.normalise(notebook(code_cell([result(data)])))["cells"][0]
        assert cell["outputs"][0]["data"] == {
            "image/png": "iVBOR",
            "text/plain": "LatentExplorer()",
        }
        assert cell["metadata"]["tags"] == ["nbval-ignore-output"]

    def test_payload_may_be_stored_as_lines(self) -> None:
        cell = code_cell([result({"text/html": ["<div></div>\n", BLOB], "text/plain": "w"})])
        kept = normalise.normalise(notebook(cell))["cells"][0]["outputs"][0]["data"]
        assert kept == {"text/plain": "w"}

    def test_keeps_other_html_and_tags(self) -> None:
        cell = code_cell([result({"text/html": "<table></table>"})], tags=["hide-input"])
        out = normalise.normalise(notebook(cell))["cells"][0]
        assert out["outputs"][0]["data"] == {"text/html": "<table></table>"}
        assert out["metadata"]["tags"] == ["hide-input"]

    def test_keeps_glued_names(self) -> None:
        glued = {
            "output_type": "display_data",
            "data": {"application/papermill.record/text/plain": "3.25"},
            "metadata": {"scrapbook": {"name": "x"}, "needs_background": "light"},
        }
        out = normalise.normalise(notebook(code_cell([glued])))["cells"][0]["outputs"][0]
        assert out["metadata"] == {"scrapbook": {"name": "x"}}

    def test_keeps_claims(self) -> None:
        kept = {"name": "claims-1", "mime_prefix": "application/vnd.vae-core."}
        data = {"application/vnd.vae-core.claims+json": [{"sentence": "a", "margin": 2.5}]}
        output = {"output_type": "display_data", "data": data, "metadata": {"scrapbook": kept}}
        out = normalise.normalise(notebook(code_cell([json.loads(json.dumps(output))])))
        assert out["cells"][0]["outputs"] == [output]
        assert out["cells"][0]["metadata"].get("tags") is None

    def test_drops_standard_error(self) -> None:
        streams = [
            {"output_type": "stream", "name": "stderr", "text": "50%"},
            {"output_type": "stream", "name": "stdout", "text": "done"},
        ]
        out = normalise.normalise(notebook(code_cell(streams)))["cells"][0]["outputs"]
        assert [o["name"] for o in out] == ["stdout"]

    def test_a_second_pass_changes_nothing(self) -> None:
        once = normalise.dump(
            normalise.normalise(notebook(code_cell([result({"text/html": BLOB})])))
        )
        assert normalise.dump(normalise.normalise(json.loads(once))) == once

    def test_check_writes_nothing_and_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "n.ipynb"
        path.write_text(json.dumps(notebook(code_cell([]))), "utf-8")
        before = path.read_bytes()
        assert normalise.main(["--check", str(path)]) == 1
        assert path.read_bytes() == before
        assert normalise.main([str(path)]) == 0
        assert normalise.main(["--check", str(path)]) == 0

    def test_too_large_a_notebook_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "large.ipynb"
        cell = code_cell([result({"image/png": "A" * normalise.MAX_BYTES})])
        path.write_text(json.dumps(notebook(cell)), "utf-8")
        assert normalise.main([str(path)]) == 1
        assert "large.ipynb" in capsys.readouterr().err


OLD = "https://github.com/example/vae-book"
NEW = "https://github.com/someone/their-fork"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "_config.yml").write_text(
        f"title: x\nrepository:\n  url: {OLD}\n  branch: main\n", "utf-8"
    )
    (tmp_path / "README.md").write_text(f"git clone {OLD} vae-book\nsee https://docs.org/x\n")
    (tmp_path / "CITATION.cff").write_text(f'repository-code: "{OLD}"\n')
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01.ipynb").write_text(
        json.dumps({"source": f'%pip install -q "vae-core @ git+{OLD}"'})
    )
    (tmp_path / "notebooks" / "colab.md").write_text(
        "https://colab.research.google.com/github/example/vae-book/blob/main/notebooks/01.ipynb"
    )
    (tmp_path / "notebooks" / "binder.md").write_text(
        "https://mybinder.org/v2/gh/example/vae-book/main?labpath=notebooks"
    )
    (tmp_path / "_build").mkdir()
    (tmp_path / "_build" / "old.md").write_text(f"git clone {OLD}")
    return tmp_path


class TestRepository:
    def test_url_rewrites_every_place(self, project: Path) -> None:
        assert repository.main(["--url", NEW], project) == 0
        assert repository.configured(project) == NEW
        assert (project / "README.md").read_text() == (
            f"git clone {NEW} vae-book\nsee https://docs.org/x\n"
        )
        assert (project / "CITATION.cff").read_text() == f'repository-code: "{NEW}"\n'
        source = json.loads((project / "notebooks" / "01.ipynb").read_text())["source"]
        assert source == f'%pip install -q "vae-core @ git+{NEW}"'
        assert "/gh/someone/their-fork/main" in (project / "notebooks/binder.md").read_text()
        assert "/github/someone/their-fork/blob/" in (project / "notebooks/colab.md").read_text()
        assert OLD in (project / "_build" / "old.md").read_text()
        assert repository.main(["--check"], project) == 0

    def test_an_edited_config_is_enough(self, project: Path) -> None:
        config = project / "_config.yml"
        config.write_text(config.read_text().replace(OLD, NEW))
        assert repository.main(["--check"], project) == 1
        assert repository.main([], project) == 0
        assert repository.main(["--check"], project) == 0

    def test_check_names_the_stray_file(
        self, project: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (project / "README.md").write_text(f"git clone {NEW}")
        assert repository.main(["--check"], project) == 1
        assert "README.md" in capsys.readouterr().err

    @pytest.mark.parametrize("url", ["", "example/vae-book", "http://github.com/a/b", "https://x"])
    def test_a_bad_address_changes_nothing(self, project: Path, url: str) -> None:
        before = (project / "_config.yml").read_text()
        with pytest.raises(ValueError, match="expected an address"):
            repository.configure(project, url)
        assert (project / "_config.yml").read_text() == before

    @pytest.mark.parametrize(
        "url",
        [
            "https://gitlab.com/a/b",
            "https://codeberg.org/a/b",
            "https://bitbucket.org/a/b",
            "https://github.example.org/a/b",
            "https://github.com.example.org/a/b",
        ],
    )
    def test_a_host_whose_links_would_break_is_refused(
        self, project: Path, url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
        assert repository.main(["--url", url], project) == 1
        (sentence,) = capsys.readouterr().err.splitlines()
        assert sentence.startswith(f"{url.split('/')[2]} will not do: Colab opens notebooks from")
        assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
        # Written into _config.yml by hand, it is found by `make lint`.
        config = project / "_config.yml"
        config.write_text(config.read_text().replace(OLD, url))
        assert repository.main(["--check"], project) == 1
        assert "will not do" in capsys.readouterr().err

    def test_git_suffix_is_dropped(self, project: Path) -> None:
        repository.main(["--url", NEW + ".git"], project)
        assert repository.configured(project) == NEW

    def test_a_rewrite_leaves_nothing_of_the_old_address(self, tmp_path: Path) -> None:
        """In a copy of the project, no text names the old repository after one command."""
        root = Path(__file__).parent.parent
        old = repository.configured(root)
        skipped = shutil.ignore_patterns(
            "_build", ".venv", ".git", "tests", "__pycache__", ".*cache", ".ipynb_checkpoints"
        )
        shutil.copytree(root, tmp_path / "copy", ignore=skipped)
        assert repository.main(["--url", NEW], tmp_path / "copy") == 0
        for path in (tmp_path / "copy").rglob("*"):
            if path.is_file() and path.suffix not in {".xz", ".safetensors", ".pyc"}:
                text = path.read_text("utf-8", errors="replace")
                assert old.removeprefix("https://github.com/") not in text, path

    def test_this_project_has_one_address(self) -> None:
        assert repository.main(["--check"], Path(__file__).parent.parent) == 0


NBCONVERT = """#!/bin/sh
for last; do :; done
{ [ "$3" = --execute ] && [ "$4" = --output-dir ]; } || exit 9
mkdir -p "$5"
case $last in
  *02_*) printf '{"cells": [' > "$5/$(basename "$last")"; kill -INT $PPID; exit 1;;
  *) sed s/old/new/ "$last" > "$5/$(basename "$last")";;
esac
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not on this machine")
def test_make_notebooks_stopped_leaves_whole_notebooks(tmp_path: Path) -> None:
    """Stopped in the middle of the second: the first is new, the others are as they were."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("_ext", "_tools"):
        shutil.copytree(ROOT / "book" / name, tmp_path / "book" / name)
    names = ("01_a", "02_b", "03_c")
    listed = "".join(f"- file: notebooks/{name}\n" for name in names)
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{listed}")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    python = f'#!/bin/sh\n[ "$1" = -m ] || exec "{sys.executable}" "$@"\n'  # -m: the zoo
    for name, text in (("python", python), ("jupyter-nbconvert", NBCONVERT)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for stamp in (".made", ".installed"):
        (tmp_path / ".venv" / stamp).touch()
    stored = tmp_path / "notebooks"
    stored.mkdir()
    old = normalise.dump(normalise.normalise(notebook({**code_cell([]), "source": "old"})))
    for name in names:
        (stored / f"{name}.ipynb").write_text(old)
    done = subprocess.run(
        ["make", "notebooks"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    found = [(stored / f"{name}.ipynb").read_text() for name in names]
    assert found == [old.replace("old", "new"), old, old], done.stderr
    assert len(list(stored.iterdir())) == 3
