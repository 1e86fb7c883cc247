"""The loop itself: steps, epochs, validation, and the whole state between any two steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vae_core import _denormals
from vae_core.data import batches
from vae_core.objectives import Objective, Terms
from vae_core.training._checkpoint import Checkpoint, load_optimizer, optimizer_tensors
from vae_core.training._graph import GraphedStep
from vae_core.training._parts import packed, parts, put_back, state_of, unpacked
from vae_core.training._setup import PixelSource, half_precision, learning_rate_factor
from vae_core.training._world import World, batch_dimensions

# How many steps may pass before the losses are looked at. Looking makes a GPU wait for the CPU.
_LOOK_EVERY = 100


class NonFiniteLossError(ArithmeticError):
    """The loss or the weights became NaN or infinite; the message names the step."""


@dataclass
class History:
    """What a run of ``fit`` recorded.

    ``terms``: name -> one mean per epoch over all training examples (nats per example for losses);
    ``validation``: the same over the validation set, after each epoch; ``seconds``: wall time of
    each epoch; ``steps``: optimiser steps taken; ``best_epoch``: under early stopping, the epoch
    (from 1) whose weights the model ends with; ``interrupted``: whether the reader stopped it.
    """

    terms: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    device: str = "cpu"
    interrupted: bool = False
    validation: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None


@dataclass(frozen=True)
class Plan:
    """The numbers a run is made by."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    seed: int
    patience: int | None
    checkpoint_steps: int | None
    bf16: bool
    cuda_graph: bool


def _finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _check_terms(terms: Any, batch: int) -> None:
    """Raise ``ValueError`` unless an objective gave what :data:`Objective` says."""
    if not isinstance(terms, dict) or not all(isinstance(v, Tensor) for v in terms.values()):
        found = (
            {name: type(v).__name__ for name, v in terms.items()}
            if isinstance(terms, dict)
            else type(terms).__name__
        )
        raise ValueError(f"an objective gives a dict of tensors, one of them 'loss'; got {found}")
    shapes = {name: list(values.shape) for name, values in terms.items()}
    if shapes.get("loss") != [batch]:
        raise ValueError(f"an objective gives 'loss' [{batch}], one an example; got {shapes}")
    if any(shape != [batch] for shape in shapes.values()):
        raise ValueError(f"an objective's terms are [{batch}], one value an example; got {shapes}")
    if not terms["loss"].is_floating_point():
        raise ValueError(f"an objective's loss is floating; got {terms['loss'].dtype}")


class _Step(nn.Module):
    """An objective of a model, as a module: DistributedDataParallel wraps a ``forward``."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, x: Tensor, labels: Tensor, noise: torch.Generator) -> Terms:
        return self.objective(self.model, x, labels, noise)


class Run:
    """What one call of ``fit`` holds from step to step."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        pixels: PixelSource,
        labels: Tensor,
        validation: tuple[PixelSource, Tensor] | None,
        world: World,
        history: History,
    ) -> None:
        self.model, self.optimizer, self.plan, self.history = model, optimizer, plan, history
        self.pixels, self.labels, self.validation, self.world = pixels, labels, validation, world
        self.objective = _Step(model, objective)
        self.parts = parts(objective, model)  # what the objective carries from step to step
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        # A mask may be infinite where it will; what was finite must stay so.
        self.watched = [name for name, values in self._floats() if _finite(values)]
        self.per_epoch = math.ceil(len(labels) / plan.batch_size)
        self.order = torch.Generator().manual_seed(plan.seed)
        self.noise = torch.Generator(labels.device).manual_seed(plan.seed + 1)
        self.epoch_order = self.order.get_state()  # as it was when the epoch began
        self.names: list[str] = []  # of the terms; one entry of a tensor of sums each
        self.sums: Tensor | None = None
        self.elapsed = 0.0  # seconds of this epoch before the process that runs now
        self.reading = ""  # the loss as it was last looked at, for a reader to follow
        self.best: dict[str, Tensor] = {}
        self.stopped = False
        self.unused = False  # whether a parameter has no part in the objective
        if world.size > 1:
            world.dimensions = batch_dimensions(self._probe, self.noise)
        self.differentiable = world.wrap(self.objective, self.unused)
        self.take: Callable[[Tensor], Tensor] = self._step
        if plan.cuda_graph:
            drawing = [g for g in (self.noise, pixels.noise) if g is not None]
            self.take = GraphedStep(self._step, plan.batch_size, labels.device, drawing)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.stopped or self.history.steps >= self.plan.epochs * self.per_epoch

    def _probe(self, size: int) -> None:
        """The objective on ``size`` examples, for nothing but to see what it draws and uses."""
        first = torch.zeros(size, dtype=torch.int64, device=self.labels.device)
        x = PixelSource(self.pixels.images, self.pixels.scale, None)(first).round()
        with torch.random.fork_rng():
            self.model.eval()
            terms = self.objective(x.to(self.pixels.dtype), self.labels[first], self.noise)
            self.model.train()
        if "loss" in terms:
            loss = terms["loss"].sum()
            gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            self.unused = any(gradient is None for gradient in gradients)

    # ---- one step ------------------------------------------------------------------------------

    def _terms(
        self, module: nn.Module, pixels: PixelSource, labels: Tensor, index: Tensor, noise: Any
    ) -> tuple[Terms, int]:
        """This process's terms of the batch ``index``, and how many of them count."""
        rows, count = self.world.rows(len(index))
        x = pixels(index, rows) if self.world.size > 1 else pixels(index)
        with (
            self.world.noise(noise, len(index), rows),
            half_precision(self.model, labels.device, self.plan.bf16),
        ):
            terms = module(x, labels[index[rows]], noise)
        _check_terms(terms, len(x))
        return terms, count

    def _totals(self, terms: Terms, count: int) -> Tensor:
        """Sums over the examples that count: one entry a term, in the order of ``names``."""
        self.names = self.names or list(terms)
        if self.names != list(terms):
            raise ValueError(
                f"an objective gives the same terms for every batch; "
                f"got {list(terms)} after {self.names}"
            )
        kept = [terms[name].detach() for name in self.names]
        if self.world.size > 1:
            kept = [values[:count] for values in kept]
        return torch.stack([values.sum() for values in kept])

    def _step(self, index: Tensor) -> Tensor:
        """One step of the optimiser on the examples named by ``index``; the sums of their terms."""
        terms, count = self._terms(self.differentiable, self.pixels, self.labels, index, self.noise)
        loss = terms["loss"]
        if self.world.size > 1:
            # The gradients are averaged over the processes; the mean is over the whole batch.
            mean = loss[:count].sum() * (self.world.size / len(index)) + 0 * loss[count:].sum()
        else:
            mean = loss.mean()
        for parameter in self.parameters:
            parameter.grad = None
        if not mean.requires_grad:
            raise ValueError("the objective's loss does not depend on any weight that is trained")
        mean.backward()
        self.optimizer.step()
        return self._totals(terms, count)

    def _set_rate(self) -> None:
        progress = self.history.steps / (self.plan.epochs * self.per_epoch)
        rate = self.plan.learning_rate * learning_rate_factor(self.plan.schedule, progress)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _look(self, unseen: list[Tensor]) -> None:
        """Raise if one of the last losses is no number; every process sees every loss."""
        if not unseen:
            return
        losses = torch.stack(unseen)[:, self.names.index("loss")]
        values = self.world.total(losses).cpu()
        first_step = self.history.steps - len(unseen) + 1
        unseen.clear()
        self.reading = f"loss {values.mean().item() / self.plan.batch_size:.2f}"
        wrong = (~torch.isfinite(values)).nonzero()
        if len(wrong):
            raise NonFiniteLossError(
                f"the loss became {values[wrong[0]].item()} at step {first_step + int(wrong[0])}; "
                f"training stopped and the weights are as they were before (a smaller learning "
                f"rate often helps)"
            ) from None

    # ---- one epoch -----------------------------------------------------------------------------

    def epoch(
        self,
        save: Callable[[], None],
        tell: Callable[[int, int, str], None],
        obey: Callable[[], None],
    ) -> None:
        """What is left of this epoch; appends each term's mean over examples to the history.

        ``tell`` hears of each step: how many of how many are done, and the last loss looked at.
        It must not wait for the device. ``obey`` is called before each step, and raises
        ``KeyboardInterrupt`` where the reader wants to stop.
        """
        started = time.perf_counter() - self.elapsed
        history, n, device = self.history, len(self.labels), self.labels.device
        self.epoch_order = self.order.get_state()
        indices = list(batches(n, self.plan.batch_size, generator=self.order, device=device))
        unseen: list[Tensor] = []
        try:
            for index in indices[history.steps % self.per_epoch :]:
                obey()
                self._set_rate()
                totals = self.take(index)
                history.steps += 1
                if device.type == "cpu" and history.steps % 100 == 0:
                    _denormals.drop_from_moments(self.optimizer)
                self.sums = totals if self.sums is None else self.sums + totals
                unseen.append(totals)
                tell((history.steps - 1) % self.per_epoch + 1, self.per_epoch, self.reading)
                every = self.plan.checkpoint_steps
                due = every is not None and history.steps % every == 0
                if len(unseen) == _LOOK_EVERY or due:
                    self._look(unseen)
                if due and history.steps % self.per_epoch:
                    self.elapsed = time.perf_counter() - started
                    save()
        except KeyboardInterrupt:
            # What was learned is kept, so it must be worth keeping.
            self._look(unseen)
            raise
        self._look(unseen)
        assert self.sums is not None
        # On the CPU: an Apple GPU has no float64.
        means = (self.world.total(self.sums).cpu().double() / n).tolist()
        for name, mean in zip(self.names, means, strict=True):
            history.terms.setdefault(name, []).append(mean)
        self.sums, self.elapsed = None, 0.0
        self.epoch_order = self.order.get_state()
        if self.validation is not None:
            self._validate(*self.validation)
        history.seconds.append(time.perf_counter() - started)
        save()

    @torch.no_grad()
    def _validate(self, pixels: PixelSource, labels: Tensor) -> None:
        """Means over the validation set, with the same noise after every epoch; early stopping."""
        seed = self.plan.seed
        if pixels.noise is not None:
            pixels.noise.manual_seed(seed + 2)
        noise = torch.Generator(labels.device).manual_seed(seed + 3)
        self.model.eval()
        sums = []
        for index in torch.arange(len(labels), device=labels.device).split(self.plan.batch_size):
            terms, count = self._terms(self.objective, pixels, labels, index, noise)
            sums.append(self._totals(terms, count))
        self.model.train()
        total = self.world.total(torch.stack(sums).sum(0))
        means = (total.cpu().double() / len(labels)).tolist()
        history = self.history
        for name, mean in zip(self.names, means, strict=True):
            history.validation.setdefault(name, []).append(mean)
        losses = history.validation["loss"]
        if not math.isfinite(losses[-1]):
            raise NonFiniteLossError(
                f"the validation loss became {losses[-1]} after step {history.steps}; training "
                f"stopped and the weights are as they were before"
            )
        if self.plan.patience is None:
            return
        if losses[-1] <= min(losses):
            history.best_epoch = len(losses)
            self.best = copy.deepcopy(self.model.state_dict())
        assert history.best_epoch is not None
        self.stopped = len(losses) - history.best_epoch >= self.plan.patience

    # ---- the state between two steps -----------------------------------------------------------

    def _floats(self) -> list[tuple[str, Tensor]]:
        """The weights, and what else the model holds that is kept and is not counted."""
        held = self.model.state_dict().items()
        return [(name, v) for name, v in held if isinstance(v, Tensor) and v.is_floating_point()]

    def check_weights(self) -> None:
        """Raise unless all weights are numbers: a finite loss can have a gradient that is none."""
        held = dict(self._floats())
        if not all(_finite(held[name]) for name in self.watched):
            raise NonFiniteLossError(
                f"the weights became NaN or infinite by step {self.history.steps}; training "
                f"stopped and the weights are as they were before (a smaller learning rate often "
                f"helps)"
            )

    def _generators(self) -> dict[str, Tensor]:
        states = {"order": self.epoch_order, "noise": self.noise.get_state()}
        if self.pixels.noise is not None:
            states["pixels"] = self.pixels.noise.get_state()
        # Not used here; an objective of the caller's own may draw from torch's global stream.
        states["global"] = torch.get_rng_state()
        if self.labels.device.type == "cuda":
            states["global cuda"] = torch.cuda.get_rng_state(self.labels.device)
        return states

    def checkpoint(self) -> Checkpoint:
        """All that decides how the run goes on."""
        held = Checkpoint()
        held.add("model", self.model.state_dict())
        held.add("optimizer", optimizer_tensors(self.optimizer))
        held.add("generator", self._generators())
        held.add("best", self.best)
        if self.sums is not None:
            held.add("run", {"sums": self.sums})
        tensors: list[Tensor] = []
        carried = [packed(state_of(part), tensors) for part in self.parts]
        held.add("objective", {str(i): values for i, values in enumerate(tensors)})
        held.facts = {
            "objective": carried,
            "history": asdict(self.history),
            "names": self.names,
            "elapsed": self.elapsed,
            "stopped": self.stopped,
        }
        return held

    def restore(self, held: Checkpoint) -> None:
        """Go on where ``checkpoint`` was made."""
        self.model.load_state_dict(held.part("model"))
        load_optimizer(self.optimizer, held.part("optimizer"))
        states = held.part("generator")
        self.order.set_state(states["order"])
        self.epoch_order = states["order"]
        self.noise.set_state(states["noise"])
        if self.pixels.noise is not None:
            self.pixels.noise.set_state(states["pixels"])
        torch.set_rng_state(states["global"])
        if "global cuda" in states:
            torch.cuda.set_rng_state(states["global cuda"], self.labels.device)
        device = self.labels.device
        self.best = {name: values.to(device) for name, values in held.part("best").items()}
        sums = held.part("run").get("sums")
        self.sums = None if sums is None else sums.to(device)
        tensors = held.part("objective")
        every = [tensors[str(i)] for i in range(len(tensors))]
        for part, state in zip(self.parts, held.facts["objective"], strict=True):
            put_back(part, unpacked(state, every))
        for name, value in held.facts["history"].items():
            setattr(self.history, name, value)
        self.history.interrupted = False
        self.names, self.elapsed = held.facts["names"], held.facts["elapsed"]
        self.stopped = held.facts["stopped"]
