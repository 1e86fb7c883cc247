"""What a record is, how it is kept, and when it is stale."""

from __future__ import annotations

import ast
import hashlib
import importlib
import io
import json
import re
import time
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock

from benchmarks import report
from vae_core import zoo
from vae_core.evaluation import Estimate

FOLDER = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9_]*")
# Of report.machine's facts, those that can change a result or a time.
KEPT_FACTS = ("processor", "cores", "threads", "device", "system", "python", "torch", "numpy")


def chapters() -> list[str]:
    """The chapters that have records, as two digits."""
    return sorted(path.stem.removeprefix("chapter") for path in FOLDER.glob("chapter*.py"))


def module_of(chapter: str) -> ModuleType:
    """The module with the records of ``chapter``; ``ValueError`` if there is none."""
    if chapter not in chapters():
        known = ", ".join(chapters())
        raise ValueError(f"no records for chapter {chapter!r}: there are some for {known}")
    return importlib.import_module(f"benchmarks.records.chapter{chapter}")


def records_of(module: ModuleType) -> dict[str, Callable[[], Mapping[str, Any]]]:
    """The records of a chapter's module by name: its own public functions, in their order."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, type)
    }


# --- staleness ---------------------------------------------------------------------------------


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _code_lines(source: str) -> list[str]:
    """The lines of ``source`` without comments, docstrings and what blank lines they leave."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for constant in _docstrings(ast.parse(source)):
        assert constant.end_lineno is not None
        for row in range(constant.lineno - 1, constant.end_lineno):
            lines[row] = ""
    return [line.rstrip() for line in lines]


def source_digest(source: str, record: str) -> str:
    """A digest of the code of ``record`` in the module ``source``, with what of the module it uses.

    Comments, docstrings and blank lines do not count. What comes from other modules is not
    followed: the zoo's recipes are kept beside the results, the package has tests of its own.
    """
    lines = _code_lines(source)
    defined: dict[str, ast.stmt] = {}
    imports: list[ast.stmt] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            defined[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            defined.update(dict.fromkeys(set().union(*map(_names, targets)), statement))
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            imports.append(statement)
    used, waiting = {record}, [record]
    while waiting:
        for name in _names(defined[waiting.pop()]) & defined.keys() - used:
            used.add(name)
            waiting.append(name)
    statements = {id(defined[name]): defined[name] for name in used}
    names = set().union(*map(_names, statements.values()))
    for statement in imports:
        bound = {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
        if bound & names:
            statements[id(statement)] = statement
    digest = hashlib.sha256()
    for statement in sorted(statements.values(), key=lambda node: node.lineno):
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in [statement, *decorators])
        for line in lines[first - 1 : statement.end_lineno]:
            if line:
                digest.update(line.encode() + b"\n")
    return digest.hexdigest()[:16]


@contextmanager
def _loads_noted(noted: set[str]) -> Iterator[None]:
    """The names of the zoo's models that are loaded meanwhile go into ``noted``."""
    load = zoo.load

    def noting(name: str, *arguments: Any, **options: Any) -> Any:
        noted.add(name)
        return load(name, *arguments, **options)

    zoo.load = noting
    try:
        yield
    finally:
        zoo.load = load


def recipe_of(model: str) -> str:
    """The zoo's recipe of ``model`` in one line; empty where there is none any more."""
    recipe = zoo.RECIPES.get(model)
    return "" if recipe is None else repr(recipe)


# --- results -----------------------------------------------------------------------------------


def path_of(chapter: str, folder: Path = FOLDER) -> Path:
    return folder / f"chapter{chapter}.json"


def read(chapter: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The kept records of ``chapter`` by name."""
    path = path_of(chapter, folder)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _plain(name: str, value: Any) -> str | int | float:
    if isinstance(value, Estimate):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()  # NumPy's and torch's numbers
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"the result {name!r} is a {type(value).__name__}, no text and no number")
    return value


def results_of(found: Mapping[str, Any]) -> dict[str, str | int | float]:
    """What a record returned, as JSON keeps it; ``ValueError`` for anything that is no result."""
    if not found:
        raise ValueError("a record must return at least one result")
    for name in found:
        if not NAME.fullmatch(name) or name == "run":
            raise ValueError(
                f"{name!r} can't be a result's name: lower case letters and _, not run"
            )
    return {name: _plain(name, value) for name, value in found.items()}


def make(chapter: str, record: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Run ``record`` of ``chapter`` now and keep it; what is kept.

    Raises ``ValueError`` for a chapter or record that is not there.
    """
    module = module_of(chapter)
    functions = records_of(module)
    if record not in functions:
        known = ", ".join(functions)
        raise ValueError(f"chapter {chapter} has no record {record!r}: it has {known}")
    function = functions[record]
    models: set[str] = set()
    facts = report.machine()
    started = time.perf_counter()
    with _loads_noted(models):
        results = results_of(function())
    seconds = time.perf_counter() - started
    kept = {
        "what": " ".join((function.__doc__ or "").split()),
        "results": results,
        "command": f"python -m benchmarks.records {chapter} {record}",
        "day": facts["day"],
        "seconds": round(seconds, 1),
        "machine": {name: facts[name] for name in KEPT_FACTS},
        "source": source_digest(Path(str(module.__file__)).read_text("utf-8"), record),
        "models": {name: recipe_of(name) for name in sorted(models)},
    }
    path = path_of(chapter, folder)
    # Two records of a chapter may end at the same time: each reads the other's, and adds its own.
    with FileLock(folder / f".{path.name}.lock"):
        everything = {**read(chapter, folder), record: kept}
        ordered = {name: everything[name] for name in functions if name in everything}
        text = json.dumps(ordered, indent=1, ensure_ascii=False) + "\n"
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return kept


def faults(chapter: str, folder: Path = FOLDER) -> list[str]:
    """What is wrong with the kept records of ``chapter``, a sentence each."""
    module = module_of(chapter)
    source = Path(str(module.__file__)).read_text("utf-8")
    functions, kept = records_of(module), read(chapter, folder)
    again = f"run `python -m benchmarks.records {chapter} "
    found = [
        f"chapter {chapter} keeps results of {name!r}, which is no record any more"
        for name in kept.keys() - functions.keys()
    ]
    for name, function in functions.items():
        this = f"record {name!r} of chapter {chapter}"
        if not function.__doc__:
            found.append(f"{this} has no docstring that says what is run")
        if name not in kept:
            found.append(f"{this} was never run: {again}{name}`")
            continue
        changed = [m for m, old in kept[name]["models"].items() if recipe_of(m) != old]
        if kept[name]["source"] != source_digest(source, name):
            found.append(f"{this} is stale, its code changed since: {again}{name}`")
        elif changed:
            models = ", ".join(changed)
            found.append(f"{this} is stale, the recipe of {models} changed since: {again}{name}`")
    return found
