"""Colab: each notebook brings the package by itself and asks for nothing Colab lacks."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import colab
import nbformat
import pytest
import repository
import stored
from helpers import ROOT
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

NOTEBOOKS = stored.notebooks(ROOT)


def code_cells(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def imports(source: str) -> set[str]:
    """The import statements of a cell, also those inside functions, one text each."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
    }


def bootstrap() -> str:
    return code_cells(NOTEBOOKS[0])[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_same_cell(path: Path) -> None:
    first = code_cells(path)[0]
    assert first == bootstrap()
    # Colab's own PyTorch must stay: nothing is pinned, and one package is asked for.
    assert f'%pip install -q "vae-core @ git+{repository.configured(ROOT)}"' in first
    assert "==" not in first


def test_the_badge_leads_to_the_notebook_in_colab() -> None:
    import vae_book

    url = "https://colab.research.google.com/github/a/b/blob/main/notebooks/x.ipynb"
    launch = {"type": "group", "label": "launch-buttons", "buttons": [{"url": url}]}
    body = vae_book.with_badge("<h1>T</h1><p>x</p>", [{"url": "y"}, launch])
    assert body.startswith('<h1>T</h1>\n<p class="vae-colab"><a href="' + url)
    assert vae_book.with_badge("<h1>T</h1>", [{"url": "y"}]) == "<h1>T</h1>"


def test_surroundings_keep_the_readers_git_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    env = colab.surroundings("https://h/o/n", tmp_path)
    assert env["GIT_CONFIG_COUNT"] == "2"
    assert env["GIT_CONFIG_KEY_1"] == f"url.{tmp_path.as_uri()}.insteadOf"
    assert env["GIT_CONFIG_VALUE_1"] == "https://h/o/n"
    assert "PYTHONPATH" not in env


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what Colab ships, and what pip would fetch for the package besides."""
    work = tmp_path_factory.mktemp("colab")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    fetched = [Requirement(text).name for text in project["dependencies"]]
    lent = colab.lend([*colab.SHIPPED, *fetched, "setuptools"], work / "lent")
    return colab.environment(work / "environment", [lent])


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """A kernel's environment in which pip finds this tree under the book's address, and no index.

    `make colab` runs whole notebooks, and lets pip fetch what the package requires.
    """
    source = colab.snapshot(tmp_path / "repository")
    more = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "IPYTHONDIR": str(tmp_path / "i")}
    return colab.surroundings(repository.configured(ROOT), source, **more)


def cells(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_the_first_cell_brings_all_that_the_chapters_import(
    python: Path, offline: dict[str, str], tmp_path: Path
) -> None:
    assert colab.tools_within(python) == []
    wanted = sorted(
        {line for path in NOTEBOOKS for cell in code_cells(path) for line in imports(cell)}
    )
    assert "from vae_core import data" in " ".join(wanted)
    check = (
        "import sys, vae_core\n"
        "assert vae_core.__file__.startswith(sys.prefix), vae_core.__file__\n"
        "assert len(vae_core.data.load('mnist', 'test').labels) == 10_000\n"
        "assert 'LatentExplorer' in vae_core.widgets.__all__"
    )
    done = colab.execute(
        cells(bootstrap(), "\n".join(wanted), check, bootstrap()), python, tmp_path / "run", offline
    )
    assert done.cells[-1].outputs == []  # installed: the cell does nothing


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_notebook_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chapter that needs a tool of the book's making fails, and says why."""
    bad = tmp_path / "bad.ipynb"
    nbformat.write(cells("import myst_nb"), bad)
    assert colab.main([str(bad)]) == 1
    printed = capsys.readouterr().out
    assert "bad.ipynb: FAILED" in printed
    assert "No module named 'myst_nb'" in printed
    last = "0 of 1 ran as in Colab, with models trained on 2,000 images, once bad.ipynb"
    assert printed.splitlines()[-1] == last


def test_here_lends_the_whole_running_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in Colab's own image: its libraries are there, the book's package is not."""
    nbformat.write(
        cells("from importlib.util import find_spec as f\nassert f('torch') and not f('vae_core')"),
        tmp_path / "here.ipynb",
    )
    assert colab.main(["--here", str(tmp_path / "here.ipynb")]) == 0, capsys.readouterr().out


def test_what_is_lent_is_what_colab_ships_and_no_more(tmp_path: Path) -> None:
    lent = colab.lend(["numpy", "ipywidgets"], tmp_path / "lent")
    names = {path.name for path in lent.iterdir()}
    assert {"numpy", "ipywidgets", "traitlets"} <= names  # with what they require
    assert not {"torch", "vae_core", "pytest", "sphinx"} & names
    assert (lent / "numpy" / "__init__.py").exists()


# --- an empty cache ---------------------------------------------------------------------------

CLAIMS = """\
import os
from vae_core import zoo
from vae_core.notebook import claim
model = zoo.load("bernoulli-2", progress=False)
claim(1 + 1 == 2, "a sum")
claim(1 + 1 == 3, "what a good model would do")
print(sorted(path.name for path in zoo._cache.folder().joinpath("zoo").iterdir()))
"""


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_each_notebook_trains_its_models_from_an_empty_cache(
    python: Path,
    offline: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a claim that such a model does not bear out is counted, with a notebook that runs on."""
    monkeypatch.setenv("VAE_CORE_CACHE", str(tmp_path / "the caller's own"))
    lent = [Path(line) for line in (lent_file(python)).read_text().splitlines()]
    for name in ("first", "second"):
        nbformat.write(cells(bootstrap(), CLAIMS), tmp_path / f"{name}.ipynb")
        folder = tmp_path / name
        env = {**offline, **colab.fresh(folder, full=False)}
        trial = colab.tried(tmp_path / f"{name}.ipynb", folder, lent, env)
        assert trial.fault == "", trial.fault
        assert trial.unmet == 1
        assert str(trial).endswith(" s, 1 claims not met by hardly trained models")
        assert not folder.exists()
    assert not (tmp_path / "the caller's own").exists()


def lent_file(python: Path) -> Path:
    (found,) = python.parents[1].rglob("lent.pth")
    return found


def test_whole_models_are_asked_for_by_name(tmp_path: Path) -> None:
    assert colab.fresh(tmp_path, full=False)["VAE_CORE_ZOO"] == "tiny"
    assert "VAE_CORE_ZOO" not in colab.fresh(tmp_path, full=True)
    for full in (False, True):
        assert Path(colab.fresh(tmp_path, full)["VAE_CORE_CACHE"]) == tmp_path / "cache"


def test_only_claims_of_a_trial_are_counted() -> None:
    def printed(text: str) -> nbformat.NotebookNode:
        cell = nbformat.v4.new_code_cell("x")
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        return nbformat.v4.new_notebook(cells=[cell])

    met = "✓ a\n✗ drawn by hand\n"
    assert colab.unmet(printed(met)) == 0
    assert (
        colab.unmet(printed(met + "✗ b [the models of this trial run are hardly trained]\n")) == 1
    )
