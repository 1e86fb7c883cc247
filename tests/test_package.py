"""The package as a whole: floors, lazy imports, and rules that hold in every file."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import ROOT, sources

import vae_core
import vae_core._fingerprint

SOURCES = sources(ROOT / "vae_core")
# A module imports only from floors below its own, or from its own package.
FLOORS = {
    "_cache": 0,
    "_check": 0,
    "_plot": 0,
    "_denormals": 0,
    "_files": 0,
    "_progress": 0,
    "_published": 1,
    "_workers": 0,
    "_stopping": 0,
    "_tensors": 0,
    "_text": 0,
    "_trial": 0,
    "_tex": 0,
    "_typography": 0,
    "_recipes": 0,
    "data": 1,
    "distributions": 1,
    "maps": 1,
    "symbolic": 1,
    "ordered": 2,
    "models": 2,
    "objectives": 2,
    "_edition": 2,
    "_ablation": 3,
    "_fingerprint": 3,
    "_prediction": 3,
    "_printed": 3,
    "_weights": 3,
    "semi_supervised": 3,
    "training": 3,
    "zoo": 3,
    "evaluation": 4,
    "coding": 4,
    "exercises": 4,
    "figures": 5,
    "notebook": 5,
    "widgets": 5,
}
# The places where a floor holds two steps.
BESIDE = {
    ("objectives", "models"),
    ("_cache", "_files"),
    ("_fingerprint", "training"),
    ("_plot", "_check"),
    ("_tensors", "_check"),
    ("zoo", "training"),
    ("zoo", "_ablation"),
    ("zoo", "_fingerprint"),
    ("zoo", "_weights"),
    ("_weights", "training"),
    ("zoo", "_prediction"),
    ("zoo", "_printed"),
    ("exercises", "evaluation"),
}


def module_of(path: Path) -> str:
    return path.relative_to(ROOT / "vae_core").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules of vae_core that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "vae_core":
            names = [f"vae_core.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("vae_core.")}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    module = module_of(path)
    if module == "__init__":
        assert imported(path) == {"_stopping"}
        return
    for other in imported(path) - {module}:
        allowed = FLOORS[other] < FLOORS[module] or (module, other) in BESIDE
        assert allowed, f"{module} (floor {FLOORS[module]}) imports {other}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules_of_every_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "from __future__ import annotations" in text or path.name == "__init__.py"
    assert ast.get_docstring(ast.parse(text)), "a module says what it is for"
    for forbidden in (".cuda()", "import pickle", "torch.load(", "torch.save("):
        assert forbidden not in text
    assert len(text.splitlines()) <= 420


def test_what_published_weights_disregard_is_what_the_zoo_does_without() -> None:
    needs: dict[str, set[str]] = {}
    for path in SOURCES:
        needs[module_of(path)] = needs.get(module_of(path), set()) | imported(path)
    used, waiting = {"zoo", "__init__"}, ["zoo", "__init__"]
    while waiting:
        for name in needs[waiting.pop()] - used:
            used.add(name)
            waiting.append(name)
    assert set(vae_core._fingerprint.BESIDE) == needs.keys() - used


def test_every_public_module_is_reached_from_the_package() -> None:
    public = [m.name for m in pkgutil.iter_modules(vae_core.__path__) if m.name[0] != "_"]
    assert set(public) <= set(vae_core.__all__)
    assert dir(vae_core) == sorted(vae_core.__all__)
    for name in public:
        assert getattr(vae_core, name) is importlib.import_module(f"vae_core.{name}")


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'vae_core' has no attribute 'nothing'"):
        vae_core.nothing  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert vae_core.__version__ == project["version"]


def test_importing_the_package_imports_nothing_heavy(python: Callable[..., object]) -> None:
    done = python(
        "import sys\n"
        "before = set(sys.modules)\n"
        "import vae_core\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
    )
    assert done.stdout == "['vae_core']\n", done.stderr


def test_the_engine_needs_no_book_tool(python: Callable[..., object]) -> None:
    done = python(
        "import sys\n"
        "for name in ('matplotlib', 'anywidget', 'ipywidgets', 'IPython', 'myst_nb', 'sklearn',\n"
        "             'torchvision', 'sphinx', 'jupyter_book'):\n"
        "    sys.modules[name] = None\n"
        "from vae_core import data, distributions, models, objectives, training, zoo\n"
        "from vae_core.notebook import claim, glue\n"
        "few = data.load('mnist', 'test').first(200)\n"
        "training.fit(models.VAE(2, hidden=(8,)), few, epochs=1, device='cpu')\n"
        "glue('n', 1)\n"
        "claim(True, 'trained')\n"
    )
    assert done.stdout == "✓ trained\n", done.stderr
    assert done.stderr == ""


def test_the_embedded_data_are_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["vae_core"]
    found = {path.name for pattern in patterns for path in (ROOT / "vae_core").glob(pattern)}
    from vae_core.data import _mnist

    assert {f"{name}.xz" for name in _mnist.CHECKSUMS} <= found
    assert "py.typed" in found
    assert "CC BY-SA 3.0" in (ROOT / "vae_core/data/mnist/README.md").read_text(encoding="utf-8")


def public_objects(module: ModuleType) -> list[tuple[str, Any]]:
    """Classes and functions that a module offers: those of __all__, else its own."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    found = [(name, getattr(module, name)) for name in names]
    return [
        (name, value)
        for name, value in found
        if (inspect.isclass(value) or inspect.isfunction(value))
        and (hasattr(module, "__all__") or value.__module__ == module.__name__)
    ]


@pytest.mark.parametrize("name", vae_core._SUBMODULES)
def test_every_public_object_is_in_the_reference_and_says_what_it_is(name: str) -> None:
    page = ROOT / "book" / "api" / f"{name}.md"
    assert f".. automodule:: vae_core.{name}\n" in page.read_text("utf-8")
    objects = public_objects(importlib.import_module(f"vae_core.{name}"))
    assert objects
    for public, described in objects:
        doc = (described.__doc__ or "").strip()
        # What a NamedTuple or a dataclass writes by itself begins with its call.
        assert doc, f"{name}.{public}"
        assert not doc.startswith(f"{public}("), f"{name}.{public}"
