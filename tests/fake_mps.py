"""A stand-in for Apple's GPU, torch's device "mps", on a machine that has none.

Tensors that were sent there say so, and stay in the CPU's memory. What Apple's GPU refuses is
refused, in torch's own words: float64, operators that torch has no Metal kernel for (by the table
of operators that is installed with torch), operands on two devices, a generator of another device,
and a look at the memory by NumPy. What it can't show: the rounding and the speed of the real
device, and its own random numbers (the stand-in draws the CPU's).

    with apple_gpu() as device:
        model.to(device)

gives the real device where there is one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torchgen
import yaml
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

HERE, THERE = torch.device("cpu"), torch.device("mps", 0)
NO_DOUBLE = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)
DOUBLE = (torch.float64, torch.complex128)
_Generator = torch.Generator


def is_real() -> bool:
    """Whether this machine has an Apple GPU."""
    return torch.backends.mps.is_available()


# ---- operators ---------------------------------------------------------------------------------


@functools.cache
def without_kernel() -> frozenset[str]:
    """The operators, as "name.overload", that torch's own table gives no way to run on "mps"."""
    table = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    listed = yaml.load(table.read_text("utf-8"), loader)
    entries = {entry["func"].partition("(")[0]: entry for entry in listed}

    def runs(name: str) -> bool:
        entry = entries[name]
        if "structured_delegate" in entry:
            return runs(entry["structured_delegate"])
        backends = [key.strip() for keys in entry.get("dispatch", {}) for key in keys.split(",")]
        return not backends or any(key == "MPS" or "Composite" in key for key in backends)

    missing = {name for name in entries if not runs(name)}
    # An operator made of one of its own name with an underscore is not to be had without it.
    for name, entry in entries.items():
        inner = f"_{name}"
        if "CompositeExplicitAutograd" in str(entry.get("dispatch")) and inner in missing:
            missing.add(name)
    return frozenset(missing)


class _Kernels(TorchDispatchMode):
    """Refuses the operators that have no kernel for the device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        schema = func._schema
        name = schema.name.partition("::")[2]
        name += f".{schema.overload_name}" if schema.overload_name else ""
        if schema.name.startswith("aten::") and name in without_kernel():
            raise NotImplementedError(
                f"The operator '{schema.name}' is not currently implemented for the MPS device."
            )
        return func(*args, **(kwargs or {}))


# ---- tensors -----------------------------------------------------------------------------------


def is_there(value: Any) -> bool:
    return isinstance(value, Tensor) and value.__dict__.get("_is_there", False)


def send(value: Tensor, there: bool) -> None:
    value.__dict__["_is_there"] = there


def meant(device: Any) -> bool:
    """Whether ``device`` names Apple's GPU."""
    return isinstance(device, str | torch.device) and torch.device(device).type == "mps"


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from tensors(inner)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


# Between devices these are allowed; what they give is decided below.
_BETWEEN = {
    Tensor.to, Tensor.cpu, Tensor.copy_, Tensor.type_as, Tensor.__getitem__, Tensor.__setitem__,
    Tensor.data.__set__, Tensor.grad.__set__, torch.nested.nested_tensor,
}  # fmt: skip
_TO_NUMPY = {Tensor.numpy, Tensor.__array__}


class _StandIn(TorchFunctionMode):
    """Follows every call of torch, and keeps count of where its tensors are."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if func == Tensor.device.__get__:
            return THERE if is_there(first) else func(*args)
        if func == Tensor.is_mps.__get__:
            return is_there(first)
        if func in _TO_NUMPY and is_there(first):
            raise TypeError(
                "can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() to copy the "
                "tensor to host memory first."
            )
        if func is torch._has_compatible_shallow_copy_type and is_there(first) != is_there(args[1]):
            return False
        given = list(tensors([args, kwargs]))
        there = any(map(is_there, given))
        if func == Tensor.to:
            there, args, kwargs = self._destination(args, kwargs)
        elif meant(kwargs.get("device")):
            kwargs["device"], there = HERE, True
        if func == Tensor.cpu:
            there = False
        elif func in (Tensor.copy_, Tensor.__setitem__, Tensor.grad.__set__):
            there = is_there(first)
        elif func in (Tensor.type_as, Tensor.data.__set__):
            there = is_there(args[1])
        self._check(func, given, there, args, kwargs)
        if there:
            with _Kernels():
                result = func(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        if func == Tensor.data.__set__:
            send(args[0], there)
            return result
        if func == Tensor.__iter__:
            return iter([self._sent(row, there, given) for row in result])
        if func in (Tensor.to, Tensor.cpu) and result is first and is_there(first) != there:
            result = torch.clone(result)  # on another device it is another tensor
            send(result, False)
        for tensor in tensors(result):
            self._sent(tensor, there, given)
        return result

    @staticmethod
    def _destination(args: Any, kwargs: dict[str, Any]) -> tuple[bool, Any, dict[str, Any]]:
        """Where ``Tensor.to`` leads, and its arguments for the CPU."""
        there, rest = is_there(args[0]), list(args[1:])
        for k, argument in enumerate(rest):
            if isinstance(argument, str | torch.device):
                there, rest[k] = meant(argument), HERE
            elif isinstance(argument, Tensor):
                there = is_there(argument)
        if kwargs.get("device") is not None:
            there, kwargs = meant(kwargs["device"]), {**kwargs, "device": HERE}
        return there, (args[0], *rest), kwargs

    @staticmethod
    def _check(
        func: Any, given: list[Tensor], there: bool, args: Any, kwargs: dict[str, Any]
    ) -> None:
        apart = [t for t in given if is_there(t) != there and t.ndim > 0]
        if apart and func not in _BETWEEN and getattr(func, "__name__", "") != "__deepcopy__":
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"mps:0 and cpu! (in {getattr(func, '__name__', func)})"
            )
        generator = kwargs.get("generator")
        if generator is not None and (generator.device.type == "mps") != there:
            wanted = "mps" if there else "cpu"
            raise RuntimeError(
                f"Expected a '{wanted}' device type for generator but found "
                f"'{generator.device.type}'"
            )
        # In one call the cast may come before the move: what is to be float64 is moved first.
        leaves = func == Tensor.to and is_there(given[0]) and not there
        if leaves and any(v is kind for v in (*args, *kwargs.values()) for kind in DOUBLE):
            raise TypeError(NO_DOUBLE)

    @staticmethod
    def _sent(tensor: Tensor, there: bool, given: list[Tensor]) -> Tensor:
        if not there:
            return tensor
        if tensor.dtype in DOUBLE:
            raise TypeError(NO_DOUBLE)
        if not any(tensor is t for t in given):  # what was given stays where it is
            send(tensor, True)
        return tensor


class _StandInGenerator(_Generator):
    """A generator that says where it is; its numbers are the CPU's."""

    def __new__(cls, device: Any = "cpu") -> _StandInGenerator:
        made = super().__new__(cls, "cpu" if meant(device) else device)
        made.is_there = meant(device)
        return made

    def __init__(self, device: Any = "cpu") -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return THERE if self.is_there else super().device


_new_parameter = nn.Parameter.__new__


def _parameter(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
    made = _new_parameter(cls, data, requires_grad)
    if is_there(data):
        send(made, True)
    return made


@contextmanager
def stand_in() -> Iterator[str]:
    """In here there is an Apple GPU, or what passes for one."""
    # What torch imports on first use names torch.Generator as a class: have it imported now.
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    torch.optim.Adam([weight], fused=True).step()
    torch.optim.Adam([weight]).step()
    with (
        mock.patch.object(torch, "Generator", _StandInGenerator),
        mock.patch.object(nn.Parameter, "__new__", _parameter),
        mock.patch.object(torch.backends.mps, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        _StandIn(),
    ):
        yield "mps"


@contextmanager
def apple_gpu() -> Iterator[str]:
    """The device "mps": this machine's, where it has one, else the stand-in."""
    if is_real():
        yield "mps"
        return
    with stand_in() as device:
        yield device


@pytest.fixture
def mps() -> Iterator[str]:
    with apple_gpu() as device:
        yield device
