"""A training step as one CUDA graph: launched by one call, where a small model's step is mostly the
time it takes to launch some hundred kernels one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Steps taken before the capture: libraries and the optimiser make their buffers in the first.
_WARM_UP = 3


class GraphedStep:
    """``step`` (indices -> a tensor of sums), captured for batches of ``batch_size``.

    The first steps, and batches of another size, run as they are. All draws must come from
    ``generators``, which the graph advances as the step itself would.
    """

    def __init__(
        self,
        step: Callable[[Tensor], Tensor],
        batch_size: int,
        device: torch.device,
        generators: Iterable[torch.Generator],
    ) -> None:
        self.step, self.device = step, device
        self.generators = tuple(generators)
        self.index = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.totals: Tensor | None = None

    def __call__(self, index: Tensor) -> Tensor:
        if index.shape != self.index.shape:
            return self.step(index)
        if self.graph is None:
            if self.taken < _WARM_UP:
                self.taken += 1
                return self._aside(index)
            self._capture()
        assert self.graph is not None
        assert self.totals is not None
        self.index.copy_(index)
        self.graph.replay()
        return self.totals.clone()

    def _aside(self, index: Tensor) -> Tensor:
        """One step on a stream of its own, which a capture asks of the steps before it."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            totals = self.step(index)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        return totals

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph):
                self.totals = self.step(self.index)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ValueError(
                f"this model and objective can't be captured in a CUDA graph ({first}); "
                f"leave out cuda_graph"
            ) from None
        self.graph = graph
