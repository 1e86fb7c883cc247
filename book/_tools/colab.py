"""Run the notebooks as Colab runs them: from an empty folder, with what Colab ships, no more.

    python book/_tools/colab.py [--full] [--jobs N] [--torch VERSION | --here] [notebook ...]

Without names: every notebook that readers open, the chapters as their editions. Each runs in an
environment of its own that lacks the book's package, so its first cell must bring it, unchanged:
pip clones the repository named there, and git is told (by insteadOf) to take this working tree for
that repository. Every number in an edition's sentences must be one that the run has computed.

Each also begins with an empty cache, as in a fresh runtime: it trains every model that it loads.
That takes an hour or two for all; so the zoo's trainings are shortened, each to 2,000 images once,
and a claim that such models do not bear out is counted, not taken for a fault. --full trains them
whole, and there every claim must hold.

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
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import repository
import stored
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_event_loop
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
FOREIGN = re.compile(
    r"PYTHON.*|MPL.*|MATPLOTLIBRC|VAE_CORE_(?!PASS$).*|JUPYTER_.*|IPYTHON.*|VIRTUAL_ENV"
)
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


def fresh(folder: Path, full: bool, jobs: int = 1) -> dict[str, str]:
    """Variables of a runtime that has no trained model and no settings of anybody's."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {
        "VAE_CORE_CACHE": str(folder / "cache"),
        "IPYTHONDIR": str(folder / "ipython"),
        "VAE_CORE_WEIGHTS": "train",
        **({} if full else {"VAE_CORE_ZOO": "tiny"}),
        **({} if jobs == 1 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": threads}),
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


def unmet(notebook: Any) -> int:
    """How many claims the notebook's models did not bear out; see ``vae_core.notebook.claim``."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", []))
    lines = "\n".join(o.get("text", "") for o in outputs).splitlines()
    return sum(line.startswith("✗ ") and line.endswith(" are hardly trained]") for line in lines)


def not_computed(notebook: Any) -> list[str]:
    """The names of the numbers in sentences that this run has not put there."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", []))
    origins = (o.get("metadata", {}).get("vae_core", {}) for o in outputs)
    return sorted({name for origin in origins for name in origin.get("from_book", [])})


class Trial(NamedTuple):
    """What a notebook did."""

    path: Path
    fault: str  # "" for none
    seconds: float
    unmet: int = 0

    def __str__(self) -> str:
        if self.fault:
            return f"{self.path.name}: FAILED after {self.seconds:.0f} s\n{self.fault}"
        told = f", {self.unmet} claims not met by hardly trained models" if self.unmet else ""
        return f"{self.path.name}: ran, {self.seconds:.0f} s{told}"


def tried(path: Path, folder: Path, lent: Iterable[Path], env: Mapping[str, str]) -> Trial:
    """Run the notebook ``path`` in a new environment below ``folder``, which is removed again."""
    started = time.perf_counter()
    python = environment(folder / "environment", lent)
    profile = folder / "ipython" / "profile_default" / "ipython_kernel_config.py"
    profile.parent.mkdir(parents=True)
    profile.write_text("c.IPKernelApp.log_level = 'ERROR'\n", "utf-8")  # news of TCP, each time
    notebook, fault = nbformat.read(path, as_version=4), ""
    try:
        execute(notebook, python, folder, env)
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        fault = f"{bootstrap_words(notebook)}\n{error}"
    if not fault and (left := not_computed(notebook)):
        fault = f"sentences show numbers of the book's run, not of this: {', '.join(left)}"
    shutil.rmtree(folder, ignore_errors=True)
    return Trial(path, fault, time.perf_counter() - started, unmet(notebook))


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--full", action="store_true", help="train every model whole")
    parser.add_argument("--jobs", type=int, default=1, help="how many notebooks at once")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--torch", help="a version of PyTorch, or 'newest'")
    where.add_argument("--here", action="store_true", help="lend the whole running environment")
    options = parser.parse_args(argv)
    chosen = options.notebooks or stored.opened(root)
    address, failed, unmet_claims = repository.configured(root), [], 0
    with tempfile.TemporaryDirectory(prefix="vae-colab-") as name:
        work = Path(name)
        source = snapshot(work / "repository", root)
        if options.here:
            lent = [Path(place) for place in site.getsitepackages()]
        elif options.torch:
            lent = [install(options.torch, root / "_build" / "colab" / options.torch)]
        else:
            lent = [lend(SHIPPED, work / "lent")]
        python = environment(work / "looked-at", lent)
        if not options.here and (tools := tools_within(python)):
            raise SystemExit(f"this is not what Colab has: {', '.join(tools)} can be imported")

        def one(number: int, path: Path) -> Trial:
            folder = work / str(number)
            env = surroundings(address, source, **fresh(folder, options.full, options.jobs))
            with closing(ensure_event_loop()):  # the one that this thread's kernel is spoken to by
                return tried(path, folder, lent, env)

        with ThreadPoolExecutor(options.jobs) as pool:
            running = [pool.submit(one, number, path) for number, path in enumerate(chosen, 1)]
            for number, done in enumerate(as_completed(running), 1):
                trial = done.result()
                unmet_claims += trial.unmet
                failed += [trial.path.name] if trial.fault else []
                print(f"[{number} of {len(chosen)}] {trial}", flush=True)
    how = "whole models" if options.full else "models trained on 2,000 images, once"
    print(f"{len(chosen) - len(failed)} of {len(chosen)} ran as in Colab, with {how}", *failed)
    if unmet_claims:
        print(f"{unmet_claims} claims were not met, as such models may; --full asks them all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
