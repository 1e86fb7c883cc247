"""The package as others install it: type checkers see it, and it holds what it needs, no more."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import colab
import pytest
from helpers import ROOT

USE = """\
import vae_core
from vae_core import models

reveal_type(vae_core.__version__)
reveal_type(models.VAE(2).latent_dim)
models.VAE("two")
"""


def copy(folder: Path) -> Path:
    """The package's sources in a folder with blanks, with what an editor leaves beside them."""
    source = colab.snapshot(folder / "my copy")
    for place in ("vae_core", "vae_core/widgets/js"):
        left = source / place / ".ipynb_checkpoints"
        left.mkdir()
        for ending in ("py", "js", "ipynb"):
            (left / f"x-checkpoint.{ending}").write_text("1\n")
    return source


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what builds a package, and what the types of ours mention."""
    work = tmp_path_factory.mktemp("installed")
    lent = colab.lend(["pip", "setuptools", "torch", "numpy"], work / "lent")
    return colab.environment(work / "environment", [lent])


def pip(python: Path, *arguments: str) -> None:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    done = subprocess.run(
        [str(python), "-m", "pip", *arguments[:1], *options, *arguments[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("editable", [True, False])
def test_type_checkers_find_the_installed_package(
    editable: bool, python: Path, tmp_path: Path
) -> None:
    source = copy(tmp_path)
    pip(python, "install", *(["--editable"] if editable else []), str(source))
    program = tmp_path / "elsewhere" / "use.py"
    program.parent.mkdir()
    program.write_text(USE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(python), program.name],
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r'use.py:4: note: Revealed type is "(builtins.)?str"', done.stdout)
    assert re.search(r'use.py:5: note: Revealed type is "(builtins.)?int"', done.stdout)
    assert "use.py:6: error: Argument 1 to" in done.stdout
    assert "Found 1 error in 1 file" in done.stdout, done.stdout
    code = "import vae_core; print(vae_core.__file__)"
    where = subprocess.check_output([python, "-c", code], cwd=tmp_path, text=True).strip()
    assert Path(where).is_relative_to(source) == editable


def test_a_wheel_holds_the_package_and_no_more(python: Path, tmp_path: Path) -> None:
    source = copy(tmp_path)
    pip(python, "wheel", "--wheel-dir", str(tmp_path / "wheels"), str(source))
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = (path for path in (ROOT / "vae_core").rglob("*") if path.is_file())
    hidden = ("__pycache__", ".")
    assert names == {
        path.relative_to(ROOT).as_posix()
        for path in ours
        if not any(part.startswith(hidden) for part in path.relative_to(ROOT).parts)
    }
