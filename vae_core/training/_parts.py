"""What an objective carries from step to step, and copies of it that can be tried.

An objective is any callable: a function with a closure, a method, a ``functools.partial``, an
object. What in it offers ``state_dict()`` and ``load_state_dict(state)`` (a running baseline, a
second network that is trained, an optimiser of its own), and every ``torch.Generator``, is part of
a run's state. ``load_state_dict({})`` means the beginning.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import Generator, Tensor, nn

# No objective holds so many things; one that holds a whole program is not searched to its end.
_MOST = 20_000
_ATOMS = (str, bytes, int, float, complex, type(None), type, types.ModuleType, Tensor)
_LIBRARIES = ("vae_core", "torch")


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _named(function: types.FunctionType) -> dict[str, Any]:
    """The globals of the caller's own module that a function names: what it may keep there."""
    values: dict[str, Any] = function.__globals__
    if str(values.get("__name__", "")).split(".")[0] in _LIBRARIES:
        return {}
    found: dict[str, Any] = {}
    names = [name for code in _codes(function.__code__) for name in code.co_names]
    for name in dict.fromkeys(names):  # in one order, every time
        value = values.get(name)
        if isinstance(value, types.FunctionType):
            # An imported function keeps nothing here, unless it was made by another one.
            if value.__globals__ is values or value.__closure__:
                found[name] = value
        elif not isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            found[name] = value
    return {name: value for name, value in found.items() if name in values}


def _cell(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not filled yet
        return []


def _inside(value: Any) -> list[Any]:
    """What ``value`` is made of."""
    if isinstance(value, _ATOMS):
        return []
    if isinstance(value, types.FunctionType):
        cells = [held for cell in value.__closure__ or () for held in _cell(cell)]
        return [*cells, value.__defaults__, value.__kwdefaults__, *_named(value).values()]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    return list(getattr(value, "__dict__", {}).values())


def _has_state(value: Any) -> bool:
    if isinstance(value, nn.Module):
        # A network that only judges has nothing to keep.
        return value.training and any(p.requires_grad for p in value.parameters())
    return isinstance(value, Generator) or (
        not isinstance(value, type)
        and callable(getattr(value, "state_dict", None))
        and callable(getattr(value, "load_state_dict", None))
    )


def parts(objective: Any, model: nn.Module) -> list[Any]:
    """What in ``objective`` has a state, in a fixed order; the model that is trained is none.

    Of what has a state itself, nothing inside is listed.
    """
    seen = {id(part) for part in model.modules()}
    found, waiting = [], [objective]
    while waiting and len(seen) < _MOST:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _has_state(value):
            found.append(value)
        elif not isinstance(value, nn.Module):
            waiting += reversed(_inside(value))
    return found


# ---- their states ------------------------------------------------------------------------------


def state_of(part: Any) -> Any:
    """A copy of what ``part`` carries."""
    return copy.deepcopy(part.get_state() if isinstance(part, Generator) else part.state_dict())


def put_back(part: Any, state: Any) -> None:
    """Give ``part`` what :func:`state_of` gave, or :func:`unpacked` of it."""
    if isinstance(part, Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)


def packed(state: Any, tensors: list[Tensor]) -> Any:
    """``state`` in plain values; its tensors go to ``tensors``, and their numbers stand for them.

    Raises ``ValueError`` for what can't be kept without a pickle.
    """
    if isinstance(state, Tensor):
        tensors.append(state)
        return {"tensor": len(tensors) - 1}
    if isinstance(state, dict):
        return {"dict": [[packed(part, tensors) for part in pair] for pair in state.items()]}
    if isinstance(state, tuple):
        return {"tuple": [packed(value, tensors) for value in state]}
    if isinstance(state, list):
        return [packed(value, tensors) for value in state]
    if state is None or isinstance(state, str | bool | int | float):
        return state
    raise ValueError(
        f"the objective's state holds a {type(state).__name__}: a checkpoint takes tensors, "
        f"numbers, texts, and lists and dicts of them"
    )


def unpacked(plain: Any, tensors: list[Tensor]) -> Any:
    """What :func:`packed` was given."""
    if isinstance(plain, list):
        return [unpacked(value, tensors) for value in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, held),) = plain.items()
    if kind == "tensor":
        return tensors[held]
    values = unpacked(held, tensors)
    return tuple(values) if kind == "tuple" else dict(values)


# ---- copies ------------------------------------------------------------------------------------


class Copies:
    """Copies of things that hold each other: what one does to them, the originals do not feel.

    Unlike ``copy.deepcopy``, it also copies a function's closure, and the globals of the caller's
    own module that it names. What can't be copied (an open file, a lock) is shared.
    """

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def __call__(self, value: Any) -> Any:
        """The copy of ``value``: the same one each time."""
        if isinstance(value, _ATOMS) and not isinstance(value, Tensor):
            return value
        if id(value) not in self._made:
            self._kept.append(value)
            try:
                self._made[id(value)] = self._copy(value)
            except Exception:
                self._made[id(value)] = value
        return self._made[id(value)]

    def _copy(self, value: Any) -> Any:
        kind = type(value)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is types.MethodType:
            return types.MethodType(value.__func__, self(value.__self__))
        if kind is functools.partial:
            keywords = {name: self(held) for name, held in value.keywords.items()}
            return functools.partial(self(value.func), *map(self, value.args), **keywords)
        if kind is dict:
            return self._filled(value, {}, lambda made: made.update(self._pairs(value)))
        if kind is list:
            return self._filled(value, [], lambda made: made.extend(map(self, value)))
        if kind is tuple:
            return tuple(map(self, value))
        if kind is Generator:
            made = Generator(value.device)
            made.set_state(value.get_state())
            return made
        plain = (
            not hasattr(kind, "__deepcopy__")
            and kind.__reduce_ex__ is object.__reduce_ex__
            and kind.__reduce__ is object.__reduce__
            and hasattr(value, "__dict__")
            and kind.__new__ is object.__new__
            and not any("__slots__" in vars(base) for base in kind.__mro__[:-1])
        )
        if plain:
            empty = object.__new__(kind)
            return self._filled(
                value, empty, lambda made: vars(made).update(self._pairs(vars(value)))
            )
        return copy.deepcopy(value, self._made)

    def _filled(self, value: Any, made: Any, fill: Callable[[Any], object]) -> Any:
        """``made``, filled when it is known as the copy of ``value``: they may hold each other."""
        self._made[id(value)] = made
        fill(made)
        return made

    def _pairs(self, values: dict[Any, Any]) -> dict[Any, Any]:
        return {name: self(held) for name, held in values.items()}

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        named = _named(function)
        if not (function.__closure__ or named or function.__defaults__ or function.__kwdefaults__):
            return function
        values = function.__globals__
        if named:
            # One copy of a module's globals for all of its functions.
            values = self._made.setdefault(id(values), dict(values))
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        made = types.FunctionType(function.__code__, values, function.__name__, None, cells or None)
        self._made[id(function)] = made
        made.__qualname__, made.__module__ = function.__qualname__, function.__module__
        for old, new in zip(function.__closure__ or (), cells, strict=True):
            for held in _cell(old):
                new.cell_contents = self(held)
        made.__defaults__ = self(function.__defaults__)
        made.__kwdefaults__ = self(function.__kwdefaults__)
        vars(made).update(self._pairs(vars(function)))
        for name, value in named.items():
            values[name] = self(value)
        return made
