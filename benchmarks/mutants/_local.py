"""Changes of the chapter's own statements, one at a time, never in a claim's own comparison."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import Any

from benchmarks.mutants._chapter import (
    SHOWING,
    SHOWING_MODULES,
    Chapter,
    Statement,
    base,
    called,
    is_report,
)

# What these say does not bear on a result, or only on how exactly it is compared.
LEFT_ALONE = {
    "seed", "random_state", "generator", "progress", "device", "atol", "rtol", "abs_tol", "rel_tol",
    "label", "title", "color", "figsize", "rng", "max_iter", "steps_max", "alt",
}  # fmt: skip
SEEDING = {"manual_seed", "seed", "seeded", "default_rng", "RandomState", "Generator"}
# Comparisons in the form of calls.
COMPARING = {"allclose", "isclose", "equal", "array_equal"}
FLIPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A statement with one change."""

    key: tuple[int, int]
    node: ast.stmt
    says: str
    kind: str


def _short(node: ast.AST, most: int = 60) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _left_alone(statement: ast.stmt) -> set[int]:
    """Places (in ``ast.walk``'s order) that no change may touch: claims, pictures, seeds, texts."""
    skipped: set[int] = set()
    for node in ast.walk(statement):
        parts: list[ast.AST] = []
        if is_report(node) or isinstance(node, (ast.JoinedStr, ast.Compare)):
            parts = [node]
        elif isinstance(node, ast.Call):
            if called(node) in SHOWING | SEEDING | COMPARING or base(node.func) in SHOWING_MODULES:
                parts = [node]
            parts += [k.value for k in node.keywords if k.arg in LEFT_ALONE]
        for part in parts:
            skipped |= {id(inner) for inner in ast.walk(part)}
    return {k for k, node in enumerate(ast.walk(statement)) if id(node) in skipped}


def _changed(statement: Statement, place: int, change: Callable[[Any], None]) -> ast.stmt:
    node = copy.deepcopy(statement.node)
    change(list(ast.walk(node))[place])
    return ast.fix_missing_locations(node)


class Alike:
    """Which names of a chapter hold things of the same kind, before and after each cell."""

    def __init__(self) -> None:
        self.after: dict[int, dict[str, Any]] = {}

    def note(self, cell: int, namespace: Mapping[str, Any]) -> None:
        kinds = {name: _kind(value) for name, value in namespace.items() if name[0] != "_"}
        self.after[cell] = {name: kind for name, kind in kinds.items() if kind is not None}

    def others(self, name: str, statement: Statement, chapter: Chapter) -> list[str]:
        """Names that could stand for ``name`` in ``statement``, those set last first."""
        before = dict(self.after.get(statement.cell - 1, {}))
        for earlier in chapter.in_cell(statement.cell)[: statement.number]:
            after = self.after.get(statement.cell, {})
            before |= {name: after[name] for name in earlier.sets if name in after}
        kind = before.get(name)
        if kind is None:
            return []
        return [other for other, its in reversed(before.items()) if its == kind and other != name]


def _kind(value: Any) -> Any:
    """What two things have in common that can stand for one another; None: nothing to exchange."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return type(value).__name__, tuple(shape) if isinstance(shape, tuple) else str(shape)
    if callable(value) and hasattr(value, "__code__"):
        return ("function", value.__code__.co_argcount) if value.__module__ == "__main__" else None
    if isinstance(value, (int, float, complex, list, tuple, dict)) and not isinstance(value, bool):
        size = len(value) if isinstance(value, (list, tuple, dict)) else 0
        return type(value).__name__, size
    if isinstance(value, type) or type(value).__name__ in (
        "module",
        "function",
        "builtin_function_or_method",
    ):
        return None
    return type(value).__qualname__


# --- single changes -----------------------------------------------------------------------------


def _entries(node: ast.AST) -> Iterator[tuple[Callable[[Any], None], str]]:
    """Two entries of a literal exchanged; of pairs, what stands second in them."""
    values = node.values if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    if not isinstance(node, (ast.Dict, ast.List, ast.Tuple)) or len(values) < 2:
        return
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    one, other = values[:2]
    if all(isinstance(v, ast.Tuple) and len(v.elts) > 1 for v in (one, other)):

        def change(of: Any) -> None:
            a, b = of.elts[:2] if not isinstance(of, ast.Dict) else of.values[:2]
            a.elts[-1], b.elts[-1] = b.elts[-1], a.elts[-1]

        one, other = one.elts[-1], other.elts[-1]
    else:

        def change(of: Any) -> None:
            inner = of.values if isinstance(of, ast.Dict) else of.elts
            inner[0], inner[1] = inner[1], inner[0]

    if ast.dump(one) != ast.dump(other) and not any(map(_is_text, (one, other))):
        yield change, f"{_short(one, 40)} and {_short(other, 40)} exchanged"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _arguments(node: ast.AST) -> Iterator[tuple[Callable[[Any], None], str]]:
    """Two neighbouring arguments exchanged."""
    if not isinstance(node, ast.Call) or len(node.args) < 2:
        return
    for k in range(min(2, len(node.args) - 1)):
        one, other = node.args[k : k + 2]
        if isinstance(one, ast.Starred) or isinstance(other, ast.Starred) or _is_text(one):
            continue

        def change(of: Any, k: int = k) -> None:
            of.args[k], of.args[k + 1] = of.args[k + 1], of.args[k]

        swapped = copy.deepcopy(node)
        change(swapped)
        yield change, f"{_short(swapped)} for {_short(node)}"


def _operator(node: ast.AST) -> Iterator[tuple[Callable[[Any], None], str]]:
    if isinstance(node, ast.BinOp) and type(node.op) in FLIPPED:
        new = FLIPPED[type(node.op)]

        def change(of: Any) -> None:
            of.op = new()

        flipped = copy.deepcopy(node)
        change(flipped)
        yield change, f"{_short(flipped)} for {_short(node)}"
    elif (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and not isinstance(node.operand, ast.Constant)
    ):

        def lose(of: Any) -> None:
            of.op = ast.UAdd()

        yield lose, f"{_short(node.operand)} for {_short(node)}"


def _constant(node: ast.AST) -> Iterator[tuple[Callable[[Any], None], str]]:
    """A number doubled (0 becomes 1), a truth value turned."""
    if not isinstance(node, ast.Constant) or isinstance(
        node.value, (str, bytes, type(None), type(...))
    ):
        return
    value = node.value
    new = (not value) if isinstance(value, bool) else (1 if value == 0 else 2 * value)

    def change(of: Any) -> None:
        of.value = new

    yield change, f"{new!r} for {value!r}"


def _keyword(node: ast.AST) -> Iterator[tuple[Callable[[Any], None], str]]:
    if not isinstance(node, ast.Call):
        return
    for k, keyword in enumerate(node.keywords):
        if keyword.arg in LEFT_ALONE or keyword.arg is None:
            continue

        def change(of: Any, k: int = k) -> None:
            del of.keywords[k]

        yield change, f"{_short(node, 40)} without {keyword.arg}={_short(keyword.value, 20)}"


SINGLE: tuple[tuple[str, Callable[[ast.AST], Iterator[tuple[Callable[[Any], None], str]]]], ...] = (
    ("entries", _entries),
    ("arguments", _arguments),
    ("operator", _operator),
    ("constant", _constant),
    ("keyword", _keyword),
)


def _names(statement: Statement, chapter: Chapter, alike: Alike) -> Iterator[Mutant]:
    """Another name of the same kind in a name's place; in a function, another of its arguments."""
    left = _left_alone(statement.node)
    local: list[str] = []
    if isinstance(statement.node, ast.FunctionDef):
        local = [argument.arg for argument in statement.node.args.args]
    for place, node in enumerate(ast.walk(statement.node)):
        if place in left or not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        others = [name for name in local if name != node.id] if node.id in local else []
        others = others or alike.others(node.id, statement, chapter)
        for other in others[:2]:

            def change(of: Any, other: str = other) -> None:
                of.id = other

            says = f"{other} for {node.id} in {_short(statement.node, 70)}"
            yield Mutant(statement.key, _changed(statement, place, change), says, "name")


def _singles(statement: Statement) -> Iterator[Iterator[Mutant]]:
    left = _left_alone(statement.node)

    def of_kind(kind: str, find: Callable[..., Any]) -> Iterator[Mutant]:
        for place, node in enumerate(ast.walk(statement.node)):
            if place not in left:
                for change, says in find(node):
                    told = f"{says} in {_short(statement.node, 50)}"
                    yield Mutant(statement.key, _changed(statement, place, change), told, kind)

    for kind, find in SINGLE:
        yield of_kind(kind, find)


def of_statement(statement: Statement, chapter: Chapter, alike: Alike) -> Iterator[Mutant]:
    """The mutants of one statement: one of each kind in turn."""
    if isinstance(statement.node, (ast.Import, ast.ImportFrom, ast.ClassDef)):
        return
    entries, *others = _singles(statement)
    kinds = [entries, _names(statement, chapter, alike), *others]
    while kinds:
        for kind in list(kinds):
            mutant = next(kind, None)
            if mutant is None:
                kinds.remove(kind)
            else:
                yield mutant


def _verdicts(claim: Statement) -> set[str]:
    """The names that a claim takes as they are: where they are set, the comparison was made."""
    found: set[str] = set()

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, (ast.BoolOp, ast.UnaryOp)):
            for part in ast.iter_child_nodes(node):
                look(part)
        elif isinstance(node, ast.Call) and called(node) in ("all", "any", "bool"):
            for part in (*node.args, *([node.func.value] if hasattr(node.func, "value") else [])):
                look(part)

    for node in ast.walk(claim.node):
        if is_report(node):
            look(node.args[1].body)
    return found


def of_claim(claim: Statement, chapter: Chapter, alike: Alike, each: int = 6) -> Iterator[Mutant]:
    """Mutants of what ``claim`` depends on, nearest statement first, a few of each in turn."""
    verdicts = _verdicts(claim)
    near = [claim, *chapter.depends_on(claim)]
    waiting = [
        of_statement(statement, chapter, alike)
        for statement in near
        if not (isinstance(statement.node, ast.Assign) and statement.sets & verdicts)
    ]
    while waiting:
        for one in list(waiting):
            some = list(islice(one, each))
            yield from some
            if len(some) < each:
                waiting.remove(one)


# --- the control given the tested value -----------------------------------------------------------


def _places(side: ast.AST, bound: set[str]) -> list[ast.expr]:
    """What could be assigned to, of what a side of a comparison names: x, x[0], x["a"]."""
    found: list[ast.expr] = []

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                look(node.func.value)
            for argument in node.args:
                look(argument)
            return
        whole = isinstance(node, ast.Subscript) and isinstance(
            node.value, (ast.Name, ast.Subscript)
        )
        if whole and base(node) not in (None, *bound):
            found.append(node)
            return
        if isinstance(node, ast.Name) and node.id not in bound:
            found.append(node)
            return
        for child in ast.iter_child_nodes(node):
            look(child)

    look(side)
    return found


def _before(statement: ast.stmt, report: int, new: ast.stmt) -> ast.stmt:
    """``statement`` with ``new`` just before the claim at place ``report`` in it."""
    node = copy.deepcopy(statement)
    target = list(ast.walk(node))[report]
    for holder in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(holder, name, None)
            if isinstance(body, list):
                for k, inner in enumerate(body):
                    if isinstance(inner, ast.Expr) and inner.value is target:
                        body.insert(k, new)
                        return ast.fix_missing_locations(node)
    whole = ast.If(ast.Constant(True), [new, node], [])
    return ast.fix_missing_locations(ast.copy_location(whole, node))


def controls(claim: Statement, site: str) -> Iterator[Mutant]:
    """The claim with one side of its comparison given what the other names."""
    for place, node in enumerate(ast.walk(claim.node)):
        if not is_report(node) or node.args[0].value != site:
            continue
        for part in ast.walk(node.args[1]):
            if not isinstance(part, ast.Compare):
                continue
            bound = {
                n.id
                for c in ast.walk(node.args[1])
                if isinstance(c, ast.comprehension)
                for n in ast.walk(c.target)
                if isinstance(n, ast.Name)
            }
            for one, other in pairwise([part.left, *part.comparators]):
                for tested, control in ((one, other), (other, one)):
                    pairs = product(_places(tested, bound), _places(control, bound))
                    pair = next(((s, t) for s, t in pairs if ast.dump(s) != ast.dump(t)), None)
                    if pair is None:
                        continue
                    target = copy.deepcopy(pair[1])
                    target.ctx = ast.Store()
                    new = ast.Assign([target], copy.deepcopy(pair[0]))
                    says = f"{_short(pair[1])} given the value of {_short(pair[0])}"
                    yield Mutant(claim.key, _before(claim.node, place, new), says, "control")
