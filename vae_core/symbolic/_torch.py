"""From a derived formula to a function of tensors, to compare with the code that claims it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import sympy as sp

from vae_core.symbolic._interpretations import integration
from vae_core.symbolic._matrices import _Explicit

__all__ = ["to_torch"]

FUNCTIONS = {
    "log": "log", "exp": "exp", "sqrt": "sqrt", "Abs": "abs", "sin": "sin", "cos": "cos",
    "tanh": "tanh", "sign": "sign", "erf": "erf",
}  # fmt: skip


def to_torch(expression: Any, symbols: Sequence[Any]) -> Callable[..., Any]:
    """A function of tensors that computes ``expression``; ``symbols`` are its arguments, in order.

    A scalar symbol takes a tensor of any shape (the shapes broadcast). A column of k numbers, such
    as ``vector("mu", k)``, takes [..., k]; a covariance ``Sigma`` takes [..., k, k]; the result is
    [...]. Divergences and expectations of Gaussians are worked out first. ``ValueError``: the
    expression holds a symbol that is not an argument, or a part that has no explicit value.
    """
    expression, symbols = sp.sympify(expression), tuple(symbols)
    vectors = [s for s in symbols if isinstance(s, sp.MatrixSymbol)]
    if not vectors:
        return _scalar(integration().of(expression), symbols)
    dimension = vectors[0].shape[0]

    @cache
    def of_size(size: int) -> Callable[..., Any]:
        walker = _Explicit(size, dimension)
        value = walker(expression)
        names: list[sp.Symbol] = []
        for s in symbols:
            if not isinstance(s, sp.MatrixSymbol):
                names.append(s)
            elif s.shape[1] == 1:
                names += list(walker.components(s.name))
            else:
                root = walker.factor(s)
                names += [root[i, j] for i in range(size) for j in range(i + 1)]
        return _scalar(value, tuple(names))

    def function(*tensors: Any) -> Any:
        import torch

        if len(tensors) != len(symbols):
            raise ValueError(f"{len(symbols)} tensors expected, not {len(tensors)}")
        size = next(t.shape[-1] for t, s in zip(tensors, symbols, strict=True) if s in vectors)
        numbers: list[Any] = []
        for tensor, s in zip(tensors, symbols, strict=True):
            if s not in vectors:
                numbers.append(tensor)
            elif tensor.shape[-1] != size:
                raise ValueError(f"{s} has {tensor.shape[-1]} components, another has {size}")
            elif s.shape[1] == 1:
                numbers += list(tensor.unbind(-1))
            else:
                root = torch.linalg.cholesky(tensor)
                numbers += [root[..., i, j] for i in range(size) for j in range(i + 1)]
        return of_size(size)(*numbers)

    return function


def _scalar(value: sp.Expr, symbols: tuple[Any, ...]) -> Callable[..., Any]:
    unknown = value.free_symbols - set(symbols)
    if unknown:
        raise ValueError(f"not among the arguments: {', '.join(sorted(map(str, unknown)))}")
    names = {f.func.__name__ for f in value.atoms(sp.Function)}
    if names - set(FUNCTIONS):
        raise ValueError(f"no tensor function for {', '.join(sorted(names - set(FUNCTIONS)))}")
    return sp.lambdify(symbols, value, modules=[_modules()])


@cache
def _modules() -> dict[str, Any]:
    import torch

    def both(name: str, tensor_name: str) -> Callable[[Any], Any]:
        on_tensor = getattr(torch, tensor_name)
        on_number = getattr(math, name, None) or getattr(math, {"Abs": "fabs"}.get(name, ""), None)

        def apply(x: Any) -> Any:
            return (
                on_tensor(x) if isinstance(x, torch.Tensor) or on_number is None else on_number(x)
            )

        return apply

    return {**{n: both(n, t) for n, t in FUNCTIONS.items()}, "pi": math.pi, "E": math.e}
