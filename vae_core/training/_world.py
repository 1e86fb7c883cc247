"""One batch over several processes, with the result of one process.

Every process draws the order of the examples and all noise for the whole batch, from the same
seeds, and keeps its own rows; DistributedDataParallel adds up the gradients.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Seconds between two looks at whether a process was asked to stop: each is an exchange of its own.
_BETWEEN_LOOKS = 0.2
_SHARED: dict[str, type[BaseException]] = {
    "value": ValueError,
    "disk": OSError,
    "stop": KeyboardInterrupt,
}


class World:
    """The processes that train together: ``size`` of them, of which this is ``rank``."""

    def __init__(self, device: torch.device) -> None:
        joined = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size() if joined else 1
        self.rank = dist.get_rank() if joined else 0
        self.device = device
        self.dimensions: list[int | None] = []  # the batch's, in each draw of the objective
        self._stride = self._until_look = 1  # steps
        self._looked = time.perf_counter()

    def rows(self, batch: int) -> tuple[slice, int]:
        """This process's rows of a batch, and how many of them count.

        The batch is cut into runs whose lengths differ by one at most. Where there are fewer
        examples than processes, a process without one takes the first, of which 0 count, because
        every process must take part in the exchange of gradients.
        """
        share, rest = divmod(batch, self.size)
        start = self.rank * share + min(self.rank, rest)
        count = share + (self.rank < rest)
        return (slice(start, start + count), count) if count else (slice(0, 1), 0)

    def wrap(self, step: nn.Module, unused: bool) -> nn.Module:
        """``step``, with its gradients averaged over the processes; itself in a world of one.

        ``unused``: some parameters have no part in it, and get no gradient anywhere.
        """
        if self.size == 1:
            return step
        return nn.parallel.DistributedDataParallel(
            step, gradient_as_bucket_view=True, find_unused_parameters=unused
        )

    def noise(
        self, generator: torch.Generator, batch: int, rows: slice
    ) -> AbstractContextManager[Any]:
        """In here, noise from ``generator`` is drawn for the whole batch and cut to ``rows``."""
        if self.size == 1:
            return nullcontext()
        return BatchNoise(generator, batch, rows, self.dimensions)

    def total(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def same(self, content: bytes | None) -> bytes | None:
        """What the first process holds, in every process."""
        if self.size == 1:
            return content
        length = torch.tensor(-1 if content is None else len(content), device=self.device)
        dist.broadcast(length, 0)
        if length.item() < 0:
            return None
        if self.rank == 0:
            assert content is not None
            values = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device)
        else:
            values = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        dist.broadcast(values, 0)
        return values.cpu().numpy().tobytes()

    def first_does(self, act: Callable[[], object]) -> None:
        """The first process does it; where it can't, or is stopped, all raise what it raises.

        Otherwise the others would wait for ever in the next exchange.
        """
        if self.size == 1:
            act()
            return
        error: BaseException | None = None
        if self.rank == 0:
            try:
                act()
            except (ValueError, OSError, KeyboardInterrupt) as refused:
                error = refused
        kind = next((k for k in _SHARED if isinstance(error, _SHARED[k])), "")
        told = None if error is None else json.dumps([kind, str(error)])
        heard = self.same(None if told is None else told.encode())
        if error is not None:
            raise error
        if heard is not None:
            kind, sentence = json.loads(heard)
            raise _SHARED[kind](sentence)

    def stops(self, asked: bool, now: bool = False) -> bool:
        """Whether a process was asked to stop. Each asks before each step, and all hear alike.

        ``now``: at once; else some steps may pass between two exchanges.
        """
        if self.size == 1:
            return asked
        self._until_look -= 1
        if self._until_look > 0 and not now:
            return False
        pace = (time.perf_counter() - self._looked) / self._stride
        told = torch.tensor([float(asked), pace], dtype=torch.float32, device=self.device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        anybody, pace = told.tolist()
        self._stride = self._until_look = max(1, min(100, int(_BETWEEN_LOOKS / max(pace, 1e-9))))
        self._looked = time.perf_counter()
        return anybody > 0


class _Draws(TorchFunctionMode):
    """Sees every draw from ``generator``; ``draw`` says what is drawn in its place."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def draw(self, make: Callable[..., Tensor], shape: list[int], options: Any) -> Tensor:
        raise NotImplementedError

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not self.generator:
            return function(*args, **kwargs)
        if function not in (torch.randn, torch.rand):
            raise ValueError(
                f"over several processes an objective draws by torch.randn and torch.rand; "
                f"this one calls {getattr(function, '__name__', function)} with the generator"
            )
        options = dict(kwargs)
        shape = options.pop("size", args[0] if len(args) == 1 else args)
        return self.draw(function, [shape] if isinstance(shape, int) else list(shape), options)


class _Shapes(_Draws):
    """Writes down the shape of every draw."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.seen: list[list[int]] = []

    def draw(self, make: Callable[..., Tensor], shape: list[int], options: Any) -> Tensor:
        self.seen.append(shape)
        return make(shape, **options)


def batch_dimensions(
    objective: Callable[[int], object], generator: torch.Generator
) -> list[int | None]:
    """Which dimension of each of its draws is the batch's; None: the draw has none.

    ``objective`` is called with a batch of 2 and of 3; what differs is the batch.
    Raises ``ValueError`` where that does not tell.
    """
    state = generator.get_state()
    shapes = []
    for size in (2, 3):
        with _Shapes(generator) as draws:
            objective(size)
        shapes.append(draws.seen)
    generator.set_state(state)
    found: list[int | None] = []
    for two, three in itertools.zip_longest(*shapes, fillvalue=[]):
        changed = [i for i, pair in enumerate(zip(two, three, strict=False)) if pair == (2, 3)]
        others = [i for i, (a, b) in enumerate(zip(two, three, strict=False)) if a != b]
        if len(two) != len(three) or len(changed) > 1 or others != changed:
            raise ValueError(
                f"over several processes each draw of an objective has the batch as one dimension; "
                f"for 2 and 3 examples this one draws {two} and {three}"
            )
        found.append(changed[0] if changed else None)
    return found


class BatchNoise(_Draws):
    """Draws from ``generator`` are made for ``batch`` examples and cut to ``rows`` of them.

    ``dimensions``: what :func:`batch_dimensions` found.
    """

    def __init__(
        self,
        generator: torch.Generator,
        batch: int,
        rows: slice,
        dimensions: Sequence[int | None],
    ) -> None:
        super().__init__(generator)
        self.batch, self.rows, self.rest = batch, rows, list(dimensions)

    def draw(self, make: Callable[..., Tensor], shape: list[int], options: Any) -> Tensor:
        if not self.rest:
            raise ValueError(
                "over several processes an objective draws alike for every batch; "
                "this one has drawn more often than it did at first"
            )
        dimension = self.rest.pop(0)
        if dimension is None:
            return make(shape, **options)
        shape[dimension] = self.batch
        count = self.rows.stop - self.rows.start
        return make(shape, **options).narrow(dimension, self.rows.start, count)
