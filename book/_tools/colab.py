"""Run the notebooks as Colab runs them: from an empty folder, with what Colab ships, no more.

    python book/_tools/colab.py [--torch VERSION | --here] [notebook ...]

Without names: every notebook under notebooks/. Each runs in an environment of its own that lacks
the book's package, so its first cell must bring it, unchanged: pip clones the repository named
there, and git is told (by insteadOf) to take this working tree for that repository.

The libraries Colab ships are lent from the environment that runs this command. --torch makes a new
environment with another version of PyTorch ("newest" for the newest). --here lends everything: for
use inside Colab's own runtime image. The exit status is 1 if a notebook fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import nbformat
import repository
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from packaging.requirements import Requirement
from traitlets import default

ROOT = Path(__file__).resolve().parents[2]
# What Colab's runtime has, of what the chapters use; each brings what it requires.
SHIPPED = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "sympy", "matplotlib")
SHIPPED += ("pillow", "ipywidgets", "ipykernel", "tqdm", "pip")
# What belongs to the book's making: a chapter that needs one of these would fail a reader.
BOOK_TOOLS = ("myst_nb", "jupyter_book", "sphinx", "nbval", "pytest", "vae_core")
PACKAGED = ("pyproject.toml", "README.md", "LICENSE", "vae_core")
# Settings of the caller's that would reach into the notebook's environment.
FOREIGN = re.compile(r"PYTHON(PATH|HOME|WARNINGS)|MPLBACKEND|VAE_CORE_BOOK|JUPYTER_.*|VIRTUAL_ENV")
SECONDS = 1800


def closure(names: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions ``names`` with all that they require, by normal name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or left out on purpose
        for text in found[name].requires or ():
            required = Requirement(text)
            if required.marker is None or required.marker.evaluate({"extra": extra}):
                waiting += [(required.name, asked) for asked in ("", *required.extras)]
    return found


def lend(names: Iterable[str], folder: Path) -> Path:
    """A folder of links to the installed packages ``names`` and what they require, nothing else."""
    folder.mkdir(parents=True)
    for found in closure(names).values():
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            link = folder / top
            if not link.is_symlink():  # a namespace that several share
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder


def install(torch: str, folder: Path) -> Path:
    """An environment with Colab's libraries and the given PyTorch; kept, since it is large."""
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pinned = "torch" if torch == "newest" else f"torch=={torch}"
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run(
            [*pip, pinned, *(set(SHIPPED) - {"torch", "torchvision", "pip"})], check=True
        )
        # A torchvision that fits may not exist; one that does not work must do no harm.
        subprocess.run([*pip, "--no-deps", "torchvision"], check=True)
        (folder / ".complete").touch()
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([python, "-c", where], text=True).strip())


def environment(folder: Path, lent: Iterable[Path]) -> Path:
    """A new, empty environment that sees the packages in the folders ``lent``; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    (own / "lent.pth").write_text("".join(f"{place}\n" for place in lent), "utf-8")
    return python


def snapshot(folder: Path, root: Path = ROOT) -> Path:
    """A Git repository that holds the package as it lies in the working tree ``root``."""
    folder.mkdir(parents=True)
    for name in PACKAGED:
        if (root / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(root / name, folder / name, ignore=ignored)
        else:
            shutil.copy(root / name, folder / name)
    author = ["-c", "user.name=book", "-c", "user.email=book@localhost", "-c", "commit.gpgsign=no"]
    for command in (["init", "-q"], ["add", "-A", "-f"], [*author, "commit", "-q", "-m", "now"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def surroundings(address: str, source: Path, **more: str) -> dict[str, str]:
    """The environment variables of a kernel for which ``address`` is the repository ``source``."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN.fullmatch(name)}
    number = int(kept.get("GIT_CONFIG_COUNT", "0"))
    return {
        **kept,
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"url.{source.as_uri()}.insteadOf",
        f"GIT_CONFIG_VALUE_{number}": address,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **more,
    }


def kernels_of(python: Path, folder: Path) -> type[AsyncKernelManager]:
    """A manager whose kernel "colab" is ``python``'s; its description lies below ``folder``."""
    spec = folder / "kernels" / "colab"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": argv, "display_name": "colab", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(described), "utf-8")

    class Manager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _specs(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[str(spec.parent)], ensure_native_kernel=False)

    return Manager


def execute(
    notebook: nbformat.NotebookNode, python: Path, folder: Path, env: Mapping[str, str]
) -> nbformat.NotebookNode:
    """Execute ``notebook`` in place with ``python``, in an empty folder below ``folder``."""
    empty = folder / "empty"
    empty.mkdir(parents=True)
    client = NotebookClient(
        notebook,
        kernel_manager_class=kernels_of(python, folder),
        kernel_name="colab",
        timeout=SECONDS,
        resources={"metadata": {"path": str(empty)}},
    )
    return client.execute(env=dict(env))


def tools_within(python: Path) -> list[str]:
    """The book's tools that ``python`` can import; there should be none."""
    code = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    found = subprocess.check_output([python, "-I", "-c", code, *BOOK_TOOLS], text=True)
    return found.split()


def bootstrap_words(notebook: Any) -> str:
    """What the first code cell printed: pip's reason, if the package did not come."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    return "".join(o.get("text", "") for o in cell.get("outputs", []))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--torch", help="a version of PyTorch, or 'newest'")
    where.add_argument("--here", action="store_true", help="lend the whole running environment")
    options = parser.parse_args(argv)
    stored = sorted((root / "notebooks").rglob("*.ipynb"))
    chosen = options.notebooks or [p for p in stored if ".ipynb_checkpoints" not in p.parts]
    address, failed = repository.configured(root), []
    with tempfile.TemporaryDirectory(prefix="vae-colab-") as name:
        work = Path(name)
        env = surroundings(address, snapshot(work / "repository", root))
        if options.here:
            lent = [Path(place) for place in site.getsitepackages()]
        elif options.torch:
            lent = [install(options.torch, root / "_build" / "colab" / options.torch)]
        else:
            lent = [lend(SHIPPED, work / "lent")]
        for number, path in enumerate(chosen, 1):
            folder, started = work / str(number), time.perf_counter()
            python = environment(folder / "environment", lent)
            if not options.here and (tools := tools_within(python)):
                raise SystemExit(f"this is not what Colab has: {', '.join(tools)} can be imported")
            notebook = nbformat.read(path, as_version=4)
            try:
                execute(notebook, python, folder, env)
                result = "ran"
            except (CellExecutionError, DeadKernelError, TimeoutError) as error:
                failed.append(path.name)
                result = f"FAILED\n{bootstrap_words(notebook)}\n{error}\nafter"
            seconds = time.perf_counter() - started
            print(f"[{number} of {len(chosen)}] {path.name}: {result} {seconds:.0f} s", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} ran as in Colab", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
