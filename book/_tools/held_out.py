"""Find test digits that are fitted to or chosen by: they may only be measured on.

    python book/_tools/held_out.py [file ...]

Follows, by name, what comes from `load(..., "test")` through the code of chapters (solutions too),
assignments and benchmarks: assignments, loops, containers, calls of the file's own functions. It
reports where such a value is an argument of a function that fits, where an optimiser's step stands
beside it, and where a setting is picked by it (`min`, `max`, `sorted` with a key, `argmin` and
`argmax` over everything). `held_out_allowed.toml` lists what may stand, and why.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path(__file__).with_name("held_out_allowed.toml")

LOADS = re.compile(r"load|new_data|.*dataset")
# Functions that fit something to what they are given; scikit-learn's names among them.
FITS = {
    "fit", "fit_transform", "fit_predict", "partial_fit", "set_sigma", "set_levels",
    "centre_output", "cross_val_predict", "cross_val_score", "GridSearchCV", "minimize",
    "least_squares", "curve_fit",
}  # fmt: skip
# Arguments that are settings of a model or of its training, by name.
SETTINGS = {"sigma", "learning_rate", "epochs", "beta", "latent_dim", "threshold"}
# What is known of test digits before they are looked at.
HARMLESS = {"len", "type", "range", "isinstance"}
HARMLESS_FIELDS = {"shape", "dtype", "classes", "ndim", "device"}
PICKS = {"argmin", "argmax", "idxmin", "idxmax", "nanargmin", "nanargmax"}
ADDS = {"append", "extend", "add", "update", "setdefault", "insert"}


@dataclass(frozen=True)
class Use:
    """Test data where something is fitted or chosen."""

    place: str
    cell: str
    code: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}, {self.cell}: {self.why}: {self.code}"


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _names(target: ast.AST) -> set[str]:
    """The names that an assignment to ``target`` changes; ``a[i] = x`` and ``a.b = x`` change a."""
    while isinstance(target, (ast.Subscript, ast.Attribute)):
        target = target.value
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _loads_test(call: ast.Call) -> bool:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    given = [value.value for value in values if isinstance(value, ast.Constant)]
    return "test" in given and LOADS.fullmatch(_called(call)) is not None


class Scope:
    """Names that hold test data, in a file or in one of its functions."""

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.tainted: set[str] = set()
        self.own: set[str] = set()  # parameters, which hide the file's names

    def holds(self, name: str) -> bool:
        if name in self.tainted:
            return True
        return name not in self.own and self.parent is not None and self.parent.holds(name)


class Follow:
    """One file's code, read in the order in which it runs."""

    def __init__(self, cells: list[tuple[str, ast.Module]]) -> None:
        self.cells = cells
        self.top = Scope()
        self.functions: dict[str, ast.FunctionDef] = {}
        self.around: dict[str, Scope] = {}  # where a function was defined
        self.home: dict[str, str] = {}  # the cell that a function stands in
        self.reading: list[tuple[str, frozenset[str]]] = []  # the functions that call one another
        self.found: dict[tuple[str, int, str], Use] = {}
        self.place, self.cell = "", ""

    def run(self, place: str) -> list[Use]:
        self.place = place
        for cell, tree in self.cells:
            self.cell = cell
            self._body(tree.body, self.top)
        return list(self.found.values())

    # --- values ---------------------------------------------------------------------------------

    def holds(self, node: ast.AST | None, scope: Scope) -> bool:
        """Whether the value of an expression comes from test data."""
        if node is None:
            return False
        if isinstance(node, ast.Name):
            return scope.holds(node.id)
        if isinstance(node, ast.Attribute):
            return node.attr not in HARMLESS_FIELDS and self.holds(node.value, scope)
        if isinstance(node, ast.Call):
            return self._call_holds(node, scope)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            inner = self._inner(node.generators, scope)
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            return any(self.holds(part, inner) for part in parts)
        if isinstance(node, ast.Lambda):
            return self.holds(node.body, Scope(scope))
        if isinstance(node, ast.Subscript):
            # An element picked by a test score is a choice (seen below), not test data itself.
            return self.holds(node.value, scope)
        return any(self.holds(child, scope) for child in ast.iter_child_nodes(node))

    def _inner(self, generators: list[ast.comprehension], scope: Scope) -> Scope:
        inner = Scope(scope)
        for part in generators:
            names = _names(part.target)
            inner.own |= names
            if self.holds(part.iter, inner):
                inner.tainted |= names
        return inner

    def _call_holds(self, call: ast.Call, scope: Scope) -> bool:
        if _loads_test(call):
            return True
        name = _called(call)
        if name in HARMLESS:
            return False
        if isinstance(call.func, ast.Name) and name in self.functions:
            return self._result(call, name, scope)
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return any(self.holds(value, scope) for value in given) or self.holds(call.func, scope)

    def _result(self, call: ast.Call, name: str, scope: Scope) -> bool:
        """Whether this call of the file's own function gives test data; its body is read for it."""
        function = self.functions[name]
        arguments = function.args
        places = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        names = {*places, *(argument.arg for argument in arguments.kwonlyargs)}
        names |= {extra.arg for extra in (arguments.vararg, arguments.kwarg) if extra is not None}
        rest = arguments.vararg.arg if arguments.vararg is not None else ""
        given: set[str] = set()
        for k, value in enumerate(call.args):
            if self.holds(value, scope):
                starred = isinstance(value, ast.Starred)
                given |= set(places) if starred else {places[k] if k < len(places) else rest}
        for keyword in call.keywords:
            if self.holds(keyword.value, scope):
                given |= {keyword.arg} if keyword.arg else names
        for setting in given & SETTINGS:
            self._report(call, f"the setting {setting} is taken from test data")
        return self._read(name, frozenset(given), names)

    def _read(self, name: str, given: frozenset[str], names: set[str]) -> bool:
        if (name, given) in self.reading:
            return False  # a function that calls itself: its other ways out decide
        self.reading.append((name, given))
        inner, cell = Scope(self.around[name]), self.cell
        inner.own, inner.tainted = names, set(given)
        self.cell = self.home[name]
        self._body(self.functions[name].body, inner)
        outcomes = (
            node
            for node in ast.walk(self.functions[name])
            if isinstance(node, (ast.Return, ast.Yield))
        )
        found = any(self.holds(node.value, inner) for node in outcomes)
        self.cell = cell
        self.reading.pop()
        return found

    # --- statements -----------------------------------------------------------------------------

    def _body(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        if isinstance(node, ast.FunctionDef):
            self.functions[node.name], self.around[node.name] = node, scope
            self.home[node.name] = self.cell
            # It may never be called here (a solution): then with nothing to fear from arguments.
            self._result(ast.Call(ast.Name(node.name), [], []), node.name, scope)
            return
        if isinstance(node, ast.ClassDef):
            self._body(node.body, Scope(scope))
            return
        self._look(node, scope)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, scope)
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            self._assign(node.target, node.value, scope)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._assign(node.target, node.iter, scope)
        elif isinstance(node, ast.With):
            for item in node.items:
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, item.context_expr, scope)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            added = _called(call) in ADDS and isinstance(call.func, ast.Attribute)
            if added and any(self.holds(argument, scope) for argument in call.args):
                scope.tainted |= _names(call.func.value)
        before = set(scope.tainted)
        ends: set[str] = set()
        loop = isinstance(node, (ast.For, ast.AsyncFor, ast.While))
        branches = [getattr(node, name, []) or [] for name in ("body", "orelse", "finalbody")]
        branches += [handler.body for handler in getattr(node, "handlers", [])]
        for branch in filter(None, branches):
            scope.tainted = set(before)
            # A loop's later lines reach its earlier ones.
            for _ in range(2 if loop else 1):
                self._body(branch, scope)
            ends |= scope.tainted
        if any(branches):
            # A `with` has one way through; a loop or an `if` may have been passed by.
            scope.tainted = ends if isinstance(node, ast.With) else ends | before
        if isinstance(node, (ast.For, ast.While)):
            self._training(node, scope)

    def _assign(self, target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
        pairs = [(target, value)]
        both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        if both and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for one, of in pairs:
            if self.holds(of, scope):
                scope.tainted |= _names(one)
            elif isinstance(one, ast.Name):
                scope.tainted.discard(one.id)
                scope.own.add(one.id)  # a function's own name from here on

    def _look(self, statement: ast.stmt, scope: Scope) -> None:
        """Report what the expressions of ``statement`` (not the statements in it) do wrong."""
        inside = {
            id(child) for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)
        }
        waiting: list[tuple[ast.AST, Scope]] = [
            (child, scope)
            for child in ast.iter_child_nodes(statement)
            if id(child) not in inside and not isinstance(child, ast.excepthandler)
        ]
        while waiting:
            node, here = waiting.pop()
            if isinstance(node, ast.Call):
                self._call(node, here)
            if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
                here = self._inner(node.generators, here)
            waiting += [(child, here) for child in ast.iter_child_nodes(node)]

    def _call(self, call: ast.Call, scope: Scope) -> None:
        name = _called(call)
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        some = any(self.holds(value, scope) for value in given)
        if isinstance(call.func, ast.Name) and name in self.functions:
            self._result(call, name, scope)
            return  # what it does is seen in its own body
        if name in FITS and some:
            self._report(call, "test data are fitted to")
        for keyword in call.keywords:
            if keyword.arg in SETTINGS and self.holds(keyword.value, scope):
                self._report(call, f"the setting {keyword.arg} is taken from test data")
        keyed = any(keyword.arg == "key" for keyword in call.keywords)
        if name in ("min", "max", "sorted", "sort") and keyed and some:
            self._report(call, "a setting is chosen by test data")
        over_all = name in PICKS and len(given) == (0 if self._is_method(call) else 1)
        if over_all and (some or self.holds(call.func, scope)):
            self._report(call, "a setting is chosen by test data")

    def _is_method(self, call: ast.Call) -> bool:
        """``x.argmin()``, not ``np.argmin(x)``."""
        return isinstance(call.func, ast.Attribute) and not (
            isinstance(call.func.value, ast.Name) and call.func.value.id in ("np", "torch", "numpy")
        )

    def _training(self, loop: ast.For | ast.While, scope: Scope) -> None:
        """An optimiser's step in a loop that computes with test data."""
        calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
        if not any(_called(call) == "step" for call in calls):
            return
        for call in calls:
            if _called(call) == "backward" and self.holds(call.func, scope):
                self._report(call, "an optimiser follows test data")

    def _report(self, node: ast.expr, why: str) -> None:
        code = " ".join(ast.unparse(node).split())
        self.found[self.cell, node.lineno, code] = Use(self.place, self.cell, code, why)


# --- files --------------------------------------------------------------------------------------


def _parsed(source: str) -> ast.Module | None:
    plain = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    try:
        return ast.parse(textwrap.dedent(plain))
    except SyntaxError:
        return None


def code_of(path: Path) -> Iterator[tuple[str, ast.Module]]:
    """The code of a file, cell by cell; last the listings in a notebook's text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield "", ast.parse(text)
        return
    listings = []
    for index, cell in enumerate(json.loads(text)["cells"]):
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        place = f"cell {index} ({cell.get('id', '')})"
        if cell["cell_type"] == "code":
            tree = _parsed(source)
            if tree is not None:
                yield place, tree
        else:
            for listing in re.findall(r"^```python\n(.*?)^```", source, re.DOTALL | re.MULTILINE):
                listings.append((place, _parsed(listing)))
    yield from ((place, tree) for place, tree in listings if tree is not None)


def uses_in(path: Path, root: Path = ROOT) -> list[Use]:
    """Where the file fits to test data, or chooses by them."""
    return Follow(list(code_of(path))).run(path.relative_to(root).as_posix())


def files(root: Path = ROOT) -> list[Path]:
    """Chapters, assignments with their solutions, benchmarks."""
    places = {"notebooks": "*.ipynb", "notebooks/exercises": "ch*/*.ipynb", "benchmarks": "**/*.py"}
    return sorted(path for folder, names in places.items() for path in (root / folder).glob(names))


def allowances(path: Path = ALLOWED) -> list[dict[str, str]]:
    """The exceptions: file, words of the code, and why."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])
    for entry in entries:
        if set(entry) != {"file", "code", "why"}:
            raise ValueError(f"{path.name}: an entry has file, code and why; got {entry}")
    return entries


def offenders(uses: list[Use], allowed: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """(uses of test data that may not stand, exceptions that nothing needs), a line each."""
    used: set[int] = set()
    found = []
    for use in uses:
        here = [
            k for k, e in enumerate(allowed) if e["file"] == use.place and e["code"] in use.code
        ]
        used.update(here)
        if not here:
            found.append(str(use))
    unused = [
        f"{e['file']}: nothing uses test data in {e['code']!r}"
        for k, e in enumerate(allowed)
        if k not in used
    ]
    return found, unused


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(argv)
    paths = [path.resolve() for path in options.files] or files()
    found, unused = offenders([use for path in paths for use in uses_in(path)], allowances())
    print(*found, *([] if options.files else unused), sep="\n", file=sys.stderr)
    return 1 if found or (unused and not options.files) else 0


if __name__ == "__main__":
    sys.exit(main())
