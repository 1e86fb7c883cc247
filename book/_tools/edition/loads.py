"""Which trained models a chapter loads, found in no time: its cells are run with nothing in them.

Every module that a cell imports is a stand-in whose functions give nothing, but for the standard
library and the table of recipes; a model that is asked for is noted. So loops over names and seeds
run as they are written, and no number is computed. Statements that can do nothing with nothing
fail, which is of no consequence unless they ask for a model.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from typing import Any

from vae_core._recipes import RECIPES, USED

Model = tuple[str, int]
# Functions that do what a reader would notice.
MUTE = ("print", "input", "open", "exit", "quit", "exec", "eval", "breakpoint")
# Modules that are what they are: they compute from a cell's own words.
REAL = {"collections", "copy", "dataclasses", "functools", "itertools", "math", "re", "statistics"}


class Nothing:
    """Takes part in everything and comes to nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __format__(self, specification: str) -> str:
        return ""

    def __float__(self) -> float:
        return 0.0

    __int__ = __index__ = __len__


_BOTH = "add sub mul truediv floordiv mod pow matmul and or xor"
_LEFT = "neg pos abs invert round lt le gt ge eq ne"
for _name in [*_LEFT.split(), *_BOTH.split(), *(f"r{name}" for name in _BOTH.split())]:
    setattr(Nothing, f"__{_name}__", lambda self, *others: self)


class Zoo(Nothing):
    """The zoo, which notes what it is asked for."""

    RECIPES, USED = RECIPES, USED

    def __init__(self) -> None:
        self.asked: dict[Model, None] = {}

    def load(self, name: str, seed: int | None = None, **options: Any) -> Nothing:
        self.asked[name, RECIPES[name].seed if seed is None else seed] = None
        return Nothing()


class _Once(ast.NodeTransformer):
    """Loops that wait for a number to change would never end."""

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        made = ast.copy_location(ast.For(ast.Name("_", ast.Store()), _ONE, node.body, []), node)
        return ast.fix_missing_locations(made)


_ONE = ast.Tuple([ast.Constant(None)], ast.Load())


def loads(sources: Sequence[str]) -> list[Model]:
    """(name, seed) of the models that code cells load, each once, in their order.

    Raises ``ValueError`` where a statement that asks for a model can't be run on nothing.
    """
    zoo = Zoo()

    def bring(name: str, *how: Any) -> Any:
        if name.split(".")[0] in REAL:
            return builtins.__import__(name, *how)
        package = Nothing()
        package.__dict__["zoo"] = zoo
        return zoo if name == "vae_core.zoo" and how[2] else package

    own = {**vars(builtins), **dict.fromkeys(MUTE, Nothing()), "__import__": bring}
    space = {"__name__": "chapter", "__builtins__": own}
    for source in sources:
        plain = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)
        for node in _Once().visit(ast.parse(plain)).body:
            try:
                exec(compile(ast.Module([node], []), "chapter", "exec"), space)
            except Exception as error:
                text = ast.unparse(node)
                if "zoo.load(" in text:
                    raise ValueError(
                        f"which models does `{text.splitlines()[0]}` load? ({error!r})"
                    ) from None
    return list(zoo.asked)


def with_starts(models: Sequence[Model]) -> list[Model]:
    """``models``, each after the one from which its training goes on."""
    found: dict[Model, None] = {}
    for name, seed in models:
        if start := RECIPES[name].start:
            found[start["model"], RECIPES[start["model"]].seed] = None
        found[name, seed] = None
    return list(found)
