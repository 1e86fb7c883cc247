"""The tensors' shapes that vae_core declares, ``Float[Tensor, "batch latent"]``, checked in tests.

``watch()`` makes every function of the package that declares a shape compare, when it has returned,
what tensors it was given and what it gives back: types, numbers of dimensions, and sizes that
must agree under one name. It looks afterwards, so that a function's own refusal of a wrong argument
comes first, as its users see it. Where the package runs outside the tests nothing is checked.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import numpy as np
from beartype.door import is_bearable
from jaxtyping import jaxtyped

# Stands in every annotation that names a shape.
MARK = re.compile(r"\b(Float|Integer|Bool|Shaped)\[Tensor,")


class ShapeError(AssertionError):
    """A tensor that is not of the shape its function declares."""


def _hints(annotations: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The declared shapes among ``annotations``, which are strings, found by ``names``."""
    # A named tuple wraps its strings.
    told = {k: getattr(v, "__forward_arg__", v) for k, v in annotations.items()}
    return {k: eval(v, dict(names)) for k, v in told.items() if MARK.search(v)}


@functools.cache
def _fields(kind: type) -> dict[str, Any]:
    """The declared shapes of a named tuple's fields."""
    return _hints(kind.__annotations__, vars(sys.modules[kind.__module__]))


def _compare(values: Mapping[str, Any], hints: Mapping[str, Any], where: str) -> None:
    with jaxtyped("context"):
        for name, hint in hints.items():
            if name != "return" and isinstance(values[name], (list, tuple, np.ndarray)):
                continue  # the function has made a tensor of it
            if not is_bearable(values[name], hint):
                shape = getattr(values[name], "shape", None)
                found = type(values[name]).__name__ if shape is None else tuple(shape)
                raise ShapeError(f"{where}: {name} is {found}, and declared as {hint}")


def _inside(value: Any, where: str) -> None:
    """The same of a named tuple's own fields."""
    if isinstance(value, tuple) and hasattr(value, "_fields") and (hints := _fields(type(value))):
        _compare(value._asdict(), hints, f"{where}: {type(value).__name__}")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, whose arguments and result are compared with what it declares."""
    signature = inspect.signature(function)
    where = f"{function.__module__}.{function.__qualname__}"

    @functools.cache
    def hints() -> dict[str, Any]:
        return _hints(function.__annotations__, function.__globals__)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        bound = signature.bind(*arguments, **options)
        bound.apply_defaults()
        values = {**bound.arguments, "return": result}
        _compare(values, hints(), where)
        for value in values.values():
            _inside(value, where)
        return result

    return call


class _Marker(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        declared = [a.annotation for a in given] + [node.returns]
        if any(MARK.search(ast.unparse(d)) for d in declared if d is not None):
            # Innermost: below property, classmethod and the like.
            node.decorator_list.append(ast.Name("__checked__", ast.Load()))
        return node


class _Loader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        tree = _Marker().visit(ast.parse(data, path))
        return compile(ast.fix_missing_locations(tree), path, "exec", optimize=_optimize)

    def get_code(self, fullname: str) -> CodeType:
        # Not from, nor into, the compiled files that other programs use.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__checked__"] = checked
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "vae_core" and not name.startswith("vae_core."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def watch() -> None:
    """Check the shapes of every module of the package that is imported from now on."""
    early = [name for name in sys.modules if name.split(".")[0] == "vae_core"]
    if early:
        raise RuntimeError(f"imported before its shapes could be watched: {early}")
    sys.meta_path.insert(0, _Finder())
