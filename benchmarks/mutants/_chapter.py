"""A chapter's code as statements, and which of them a claim depends on."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# The name under which a claim reports, in the place of ``claim``.
REPORT = "__claim__"
# Calls that show a value and change nothing.
SHOWING = {"claim", REPORT, "glue", "glue_records", "print", "table", "quiz", "display"}
SHOWING_MODULES = {"widgets", "figures", "plt"}
# Methods and functions that change what they are given.
CHANGING = {
    "append", "extend", "add", "update", "insert", "pop", "setdefault", "clear", "sort", "reverse",
    "fit", "backward", "step", "zero_grad", "load_state_dict", "set_sigma", "set_levels",
    "set_posterior", "eval", "train", "to", "seed", "manual_seed",
}  # fmt: skip


@dataclass
class Statement:
    """One statement of a cell, outside of any other."""

    cell: int
    number: int  # in its cell
    node: ast.stmt
    sets: set[str] = field(default_factory=set)  # names it gives a new value
    changes: set[str] = field(default_factory=set)  # names whose values it may change
    reads: set[str] = field(default_factory=set)
    sites: list[str] = field(default_factory=list)  # of the claims in it

    @property
    def key(self) -> tuple[int, int]:
        return self.cell, self.number


def called(call: ast.Call) -> str:
    """The last part of the name of what is called."""
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def base(node: ast.AST) -> str | None:
    """The name that an expression such as ``a.b[0].c`` starts from."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call, ast.Starred)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _shows(call: ast.Call) -> bool:
    return called(call) in SHOWING or base(call.func) in SHOWING_MODULES


def _bound(node: ast.AST) -> set[str]:
    """Names bound inside ``node`` alone: parameters, and variables of comprehensions."""
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.Lambda)):
            every = part.args
            arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs]
            arguments += [extra for extra in (every.vararg, every.kwarg) if extra is not None]
            found |= {argument.arg for argument in arguments}
        elif isinstance(part, ast.comprehension):
            found |= {n.id for n in ast.walk(part.target) if isinstance(n, ast.Name)}
    return found


def _describe(statement: Statement) -> None:
    node = statement.node
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        statement.sets = {(a.asname or a.name).split(".")[0] for a in node.names}
        return
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    statement.reads = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        statement.sets = {node.name}
        inner = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        statement.reads -= _bound(node) | inner
        return
    local = _bound(node)
    statement.sets = {n.id for n in names if isinstance(n.ctx, ast.Store)} - local
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, ast.Store):
            statement.changes |= {base(part)} - {None}
        if isinstance(part, ast.Call) and not _shows(part):
            touched = [part.func.value] if isinstance(part.func, ast.Attribute) else []
            touched += part.args
            statement.changes |= {base(one) for one in touched} - {None}
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        statement.reads |= statement.sets  # a loop or an ``if`` may leave the old value
    statement.reads -= local - statement.sets
    statement.changes -= local


class _Sites(ast.NodeTransformer):
    """Let each ``claim(holds, sentence, ...)`` report under its place, and be evaluated apart.

    ``claim(a < b, "x", margin=m)`` becomes ``__claim__("3:0", lambda: a < b, lambda: "x")``: an
    error in it is then an error of this claim.
    """

    def __init__(self, cell: int) -> None:
        self.cell, self.count = cell, 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id == "claim" and node.args):
            return node
        site = f"{self.cell}:{self.count}"
        self.count += 1
        sentence = node.args[1] if len(node.args) > 1 else ast.Constant("")
        for keyword in node.keywords:
            if keyword.arg == "sentence":
                sentence = keyword.value
        nothing = ast.arguments([], [], None, [], [], None, [])
        later = [ast.Lambda(copy.deepcopy(nothing), part) for part in (node.args[0], sentence)]
        call = ast.Call(ast.Name(REPORT, ast.Load()), [ast.Constant(site), *later], [])
        return ast.copy_location(call, node)


def is_report(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == REPORT


class Chapter:
    """The code of a notebook."""

    def __init__(self, cells: Iterable[str]) -> None:
        self.statements: list[Statement] = []
        self.cells = 0
        for cell, source in enumerate(cells):
            self.cells = cell + 1
            plain = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
            tree = ast.fix_missing_locations(_Sites(cell).visit(ast.parse(plain)))
            for number, node in enumerate(tree.body):
                statement = Statement(cell, number, node)
                _describe(statement)
                reports = [part for part in ast.walk(node) if is_report(part)]
                statement.sites = [part.args[0].value for part in reports]
                self.statements.append(statement)
        imports = [s for s in self.statements if isinstance(s.node, (ast.Import, ast.ImportFrom))]
        modules = set().union(*(statement.sets for statement in imports))
        for statement in self.statements:
            statement.changes -= modules
        self.functions: dict[str, set[str]] = {}
        for statement in self.statements:
            if isinstance(statement.node, (ast.FunctionDef, ast.ClassDef)):
                self.functions[statement.node.name] = statement.reads
        self.of_site = {site: s for s in self.statements for site in s.sites}

    def in_cell(self, cell: int) -> list[Statement]:
        return [statement for statement in self.statements if statement.cell == cell]

    def _with_functions(self, names: set[str]) -> set[str]:
        """``names``, with what the chapter's functions among them read when they are called."""
        found, waiting = set(names), list(names)
        while waiting:
            for name in self.functions.get(waiting.pop(), set()) - found:
                found.add(name)
                waiting.append(name)
        return found

    def depends_on(self, statement: Statement, wide: bool = False) -> list[Statement]:
        """The statements that ``statement`` depends on, the nearest first.

        ``wide``: take every call for one that may change its arguments. What must run is found
        so; what may be mutated is found with known changes only.
        """
        needed = self._with_functions(set(statement.reads))
        found = []
        at = self.statements.index(statement)
        for other in reversed(self.statements[:at]):
            changes = other.changes if wide else _surely_changed(other)
            if not (other.sets | changes) & needed:
                continue
            found.append(other)
            if isinstance(other.node, (ast.Assign, ast.AnnAssign)) or not other.reads & other.sets:
                # Whoever set these before has no say any more; a changed value has.
                needed -= other.sets - other.reads - changes
            needed |= self._with_functions(other.reads)
        return found


def _surely_changed(statement: Statement) -> set[str]:
    """The names whose values a statement changes by a call that is known to."""
    found: set[str] = set()
    if isinstance(statement.node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return found
    for part in ast.walk(statement.node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, ast.Store):
            found |= {base(part)} - {None}
        elif isinstance(part, ast.Call) and not _shows(part):
            if called(part) in CHANGING or called(part).endswith("_"):
                touched = [part.func.value] if isinstance(part.func, ast.Attribute) else []
                found |= {base(one) for one in [*touched, *part.args[:1]]} - {None}
            elif isinstance(statement.node, ast.Expr) and part is statement.node.value:
                # A call whose result nobody takes was made for what it changes.
                found |= {base(one) for one in [part.func, *part.args]} - {None}
    return found & statement.changes


def read(path: Path) -> Chapter:
    """The chapter in a notebook's file."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    return Chapter(source if isinstance(source, str) else "".join(source) for source in sources)
