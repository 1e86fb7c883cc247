"""What a run's model and objective do, in numbers: by these a checkpoint is known again.

Names tell little: two closures of one function are called alike, and a sigma stands nowhere. So a
copy of the model, with weights that depend on its shapes alone, is given a few of the run's own
images; the objective's terms and gradients there are the run's behaviour. Beta, samples, gradient
estimator, baseline, corruption, likelihood, sigma and activation, all of them show in it, of
an objective of the caller's own too. What training itself moves has no part in it: trained weights
and counters may have any value.

It is computed in double precision where the model allows it, on the CPU and on one thread, and
compared to within rounding, so that a run may go on on another machine.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from vae_core.data import ImageData
from vae_core.objectives import Objective, Terms
from vae_core.training._parts import Copies, parts
from vae_core.training._setup import pixel_source

STEPS, EXAMPLES, SEED = 4, 8, 11
_LARGE = 10_000_000  # weights: beyond, doubles would take memory that a run may not have
# How far numbers may lie apart, relative to their size.
_ROUNDING = {"torch.float64": 1e-6}
_ROUNDING_ELSE = 1e-3


_settings = threading.RLock()  # they are the process's: two threads would leave each other's


@contextmanager
def one_thread() -> Iterator[None]:
    """In here torch computes on one thread, with its own defaults, whatever the caller has set."""
    with _settings:
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)
        try:
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
                torch.device("cpu"),
                torch.autocast("cpu", enabled=False),
            ):
                yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)


@contextmanager
def _streams_apart(device: torch.device) -> Iterator[None]:
    """In here all global streams start anew; afterwards they are as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            random.seed(SEED)
            np.random.seed(SEED)
            torch.default_generator.manual_seed(SEED)
            if devices:
                torch.cuda.manual_seed(SEED)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def behaviour(
    model: nn.Module,
    objective: Objective,
    data: ImageData,
    pixels: str,
    dtype: torch.dtype,
    device: torch.device,
) -> dict[str, Any]:
    """The names of the objective's terms, and numbers that they and their gradients give.

    Raises what the objective raises, if it can't be tried on the device where it is trained.
    """
    few = data.first(min(EXAMPLES, len(data.images)))
    cpu = torch.device("cpu")
    ways = [(dtype, cpu)] if dtype == torch.float64 or device.type == "cpu" else []
    if sum(p.numel() for p in model.parameters()) <= _LARGE:
        ways.insert(0, (torch.float64, cpu))
    ways = [*dict.fromkeys([*ways, (dtype, device)])]
    for kind, place in ways:
        try:
            with one_thread(), _streams_apart(place):
                moved = _Trial(model, objective, few, pixels, kind, place, {}).run()
                if not moved.moving:
                    return moved.result()
                again = _Trial(model, objective, few, pixels, kind, place, moved.moving)
                return again.run().result()
        except Exception:
            if (kind, place) == ways[-1]:
                raise
    raise AssertionError("there is always a way to try")


class _Trial:
    """A few steps on copies. ``cleared``: buffers that training moves, which start at zero."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        few: ImageData,
        pixels: str,
        dtype: torch.dtype,
        device: torch.device,
        cleared: dict[str, Tensor],
    ) -> None:
        copies = Copies()
        model = getattr(model, "_orig_mod", model)  # what torch.compile was given
        self.model: nn.Module = copies(model)
        if {*map(id, self.model.parameters())} & {*map(id, model.parameters())}:
            raise ValueError(
                f"a {type(model).__name__} can't be copied, which a run with a checkpoint needs"
            )
        self.objective: Objective = copies(objective)
        self.dtype, self.device = dtype, device
        self.model.to(device=device, dtype=dtype).train()
        self.source = pixel_source(few, pixels, device, SEED)
        self.source.dtype = dtype
        self.labels = few.labels.to(device)
        self.noise = torch.Generator(device).manual_seed(SEED + 1)
        self.names: list[str] = []
        self.numbers: list[float] = []
        self.moving: dict[str, Tensor] = {}
        _set_weights(self.model)
        for part in parts(self.objective, self.model):
            _begin_anew(part)
        with torch.no_grad():
            for name, values in self.model.named_buffers():
                if name in cleared:
                    values.zero_()

    def run(self) -> _Trial:
        """Take the steps."""
        before = {name: values.clone() for name, values in self.model.named_buffers()}
        wanted = [p for p in self.model.parameters() if p.requires_grad]
        for step in range(STEPS):
            index = torch.arange(len(self.labels), device=self.device).roll(step)
            terms = self.objective(self.model, self.source(index), self.labels[index], self.noise)
            self._write_down(terms)
            loss = terms["loss"].mean()
            pulls = torch.autograd.grad(loss, wanted, allow_unused=True)
            for parameter, pull in zip(wanted, pulls, strict=True):
                if pull is not None:
                    self._move(parameter, pull)
        for name, values in self.model.named_buffers():
            if not torch.equal(values, before[name]):
                self.moving[name] = values
        return self

    def _write_down(self, terms: Terms) -> None:
        self.names = list(terms)
        self.numbers += [values.detach().double().mean().item() for values in terms.values()]

    @torch.no_grad()
    def _move(self, parameter: Tensor, pull: Tensor) -> None:
        """Note the gradient's length and one view of its direction; take a short step along it."""
        flat = pull.detach().cpu().double().flatten()
        length = flat.norm().item()
        seen = torch.cos(torch.arange(len(flat), dtype=torch.float64)).dot(flat).item()
        self.numbers += [length, seen / length if length else 0.0]
        if length and math.isfinite(length):
            parameter.sub_(pull * (0.01 * parameter.norm() / length))

    def result(self) -> dict[str, Any]:
        """In plain values."""
        return {"dtype": str(self.dtype), "terms": self.names, "numbers": self.numbers}


@torch.no_grad()
def _set_weights(model: nn.Module) -> None:
    """Give what is trained values that depend on its shapes alone."""
    draws = torch.Generator().manual_seed(SEED)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            width = math.prod(parameter.shape[1:]) if parameter.ndim > 1 else 100
            values = torch.randn(parameter.shape, generator=draws, dtype=torch.float64)
            parameter.copy_(values / math.sqrt(max(width, 1)))


def _begin_anew(part: Any) -> None:
    """Put what an objective carries back to its beginning, as far as that can be known."""
    if isinstance(part, Generator):
        part.manual_seed(SEED)
    elif isinstance(part, nn.Module):
        _set_weights(part)
    else:
        with suppress(Exception):
            part.load_state_dict({})


def differences(stored: Any, asked: dict[str, Any]) -> list[str]:
    """In words, what two behaviours differ in; nothing, if they are the same but for rounding."""
    try:
        if stored["terms"] != asked["terms"]:
            return [f"its objective's terms are {stored['terms']}, not {asked['terms']}"]
        far = _ROUNDING.get(asked["dtype"], _ROUNDING_ELSE)
        pairs = list(zip(stored["numbers"], asked["numbers"], strict=True))
        same = stored["dtype"] == asked["dtype"] and all(_near(a, b, far) for a, b in pairs)
    except (KeyError, TypeError, ValueError):
        same = False
    if same:
        return []
    return [
        "its model or objective does something else: another likelihood, sigma or activation, or "
        "another setting of the objective, as its beta"
    ]


def _near(first: float, second: float, far: float) -> bool:
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return math.isclose(first, second, rel_tol=far, abs_tol=far / 1000)
