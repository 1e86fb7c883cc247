"""Training: one loop for every model, on a CPU or a GPU, with the data as bytes on the device.

``fit`` is the loop as a function. ``python -m vae_core.training`` is the loop as a command, and
under ``torchrun`` it runs on several GPUs, processes or machines: see ``--help``.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vae_core import _check
from vae_core._progress import Progress
from vae_core.data import ImageData
from vae_core.objectives import Objective, objective_for
from vae_core.training import _checkpoint
from vae_core.training._run import History, NonFiniteLossError, Plan, Run
from vae_core.training._setup import (
    PIXELS,
    SCHEDULES,
    adam,
    learning_rate_factor,
    pick_device,
    pixel_source,
)
from vae_core.training._world import World

__all__ = [
    "PIXELS",
    "SCHEDULES",
    "History",
    "NonFiniteLossError",
    "adam",
    "fit",
    "learning_rate_factor",
    "pick_device",
    "pixel_source",
]


def _check_data(data: ImageData, model: nn.Module, what: str = "data") -> None:
    if data.images.dtype != torch.uint8 or data.images.ndim != 4 or len(data.images) == 0:
        raise ValueError(
            f"{what}.images must be uint8 [n, channels, height, width], n >= 1; "
            f"got {data.images.dtype} {list(data.images.shape)}"
        )
    if len(data.labels) != len(data.images):
        raise ValueError(f"{len(data.images)} images but {len(data.labels)} labels")
    expected = getattr(model, "shape", None)
    if expected is not None and tuple(data.images.shape[1:]) != tuple(expected):
        raise ValueError(
            f"the model takes images of shape {tuple(expected)}; "
            f"{data.name} has {tuple(data.images.shape[1:])}"
        )


def _check_plan(plan: Plan, validated: bool, kept: bool) -> None:
    _check.whole("epochs", plan.epochs)
    _check.whole("batch_size", plan.batch_size)
    _check.whole("seed", plan.seed, least=0)
    if plan.schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {plan.schedule!r}")
    if not 0 < plan.learning_rate < math.inf:
        raise ValueError(f"learning_rate must be a positive number; got {plan.learning_rate}")
    if plan.patience is not None:
        _check.whole("patience", plan.patience)
        if not validated:
            raise ValueError("patience counts epochs without a better validation: give validation")
    if plan.checkpoint_steps is not None:
        _check.whole("checkpoint_steps", plan.checkpoint_steps)
        if not kept:
            raise ValueError("checkpoint_steps says how often to save: give checkpoint, a file")


def _check_device(plan: Plan, target: torch.device, world: World) -> None:
    if plan.cuda_graph and (target.type != "cuda" or world.size > 1):
        raise ValueError(
            f"cuda_graph needs a CUDA device and one process; "
            f"got {target.type} and {world.size} process{'es' if world.size > 1 else ''}"
        )


def _identity(
    model: nn.Module, data: ImageData, validation: ImageData | None, **settings: Any
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on with, as plain values."""
    shapes = {name: list(values.shape) for name, values in model.state_dict().items()}
    return {
        **settings,
        "model": type(model).__name__,
        "weights": shapes,
        "data": _checkpoint.digest(data),
        "validation": None if validation is None else _checkpoint.digest(validation),
    }


def _name(objective: Objective | None) -> str:
    if objective is None:
        return "the model's own"
    return getattr(objective, "__qualname__", type(objective).__qualname__)


def _loss(history: History) -> str:
    """The last epoch's loss, for a reader."""
    losses = history.terms.get("loss")
    return f"loss {losses[-1]:.2f}" if losses else ""


# A reader may have turned gradients off, here or in another cell of a notebook.
@torch.inference_mode(False)
@torch.enable_grad()
def fit(
    model: nn.Module,
    data: ImageData,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    schedule: str = "constant",
    seed: int = 0,
    device: torch.device | str = "auto",
    pixels: str = "grey",
    objective: Objective | None = None,
    progress: bool | str = True,
    validation: ImageData | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_steps: int | None = None,
    bf16: bool = False,
    cuda_graph: bool = False,
) -> History:
    """Train ``model`` on ``data`` with Adam, minimising a batch's mean of the objective's loss.

    The objective is the model's own (:func:`vae_core.objectives.objective_for`) unless given.
    ``seed`` decides the order of the examples and all noise: on one machine and thread count the
    same call gives the same weights. The data lie as bytes on the device; a batch is an index; the
    pixels have the dtype of the weights. ``schedule`` moves the learning rate, step by step:
    "constant", "linear" or "cosine" (to 0). ``progress`` is True (a display of epochs and steps,
    with the time left), False, or "brief" (removed when done). The model ends on ``device``, in
    evaluation mode. Ctrl-C, or a notebook's stop button, ends training cleanly and keeps what was
    learned so far (``History.interrupted``).

    ``validation``: images on which the objective is averaged after each epoch, with the same noise
    each time (``History.validation``). ``patience``: training stops after so many epochs without
    a lower validation loss, and the model ends with the weights of its best epoch.

    ``checkpoint``: a file, written whole after each epoch (and every ``checkpoint_steps`` steps).
    The same call goes on from it, to exactly the weights of a run that was never stopped, wherever
    that one was killed; weights the model holds are then replaced. A run that had ended is given
    back as it ended.

    Gradients are computed also where the caller has turned them off (``torch.no_grad``,
    ``torch.inference_mode``, ``torch.set_grad_enabled(False)``), and are off again afterwards.

    ``bf16``: matrix products and convolutions in bfloat16, the weights and all else in float32.
    ``cuda_graph``: on CUDA, record a step once and replay it, which saves a small model most of
    its time; the objective must then do the same work at every step.

    Where ``torch.distributed`` is initialised with several processes, each calls ``fit`` alike and
    takes its share of every batch; the weights are those of one process but for rounding. Then an
    example's loss must depend on that example alone.

    Raises ``ValueError`` for bad arguments or a checkpoint of another run (nothing is changed),
    :class:`NonFiniteLossError` when the loss is NaN or infinite (the weights are then put back as
    they were before the call), ``OSError`` where the checkpoint can't be written (the one saved
    before stays whole, the model keeps what it has learned).
    """
    plan = Plan(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        seed=seed,
        patience=patience,
        checkpoint_steps=checkpoint_steps,
        bf16=bf16,
        cuda_graph=cuda_graph,
    )
    _check_data(data, model)
    if validation is not None:
        _check_data(validation, model, "validation")
    _check_plan(plan, validated=validation is not None, kept=checkpoint is not None)
    target = pick_device(device)
    world = World(target)
    _check_device(plan, target, world)
    loss_of = objective_for(model) if objective is None else objective
    sources = [pixel_source(data, pixels, target, seed)]
    if validation is not None:
        sources.append(pixel_source(validation, pixels, target, seed + 2))
    for source in sources:
        source.dtype = next((p.dtype for p in model.parameters()), torch.float32)
        likelihood = getattr(model, "likelihood", None)
        if likelihood is not None:
            # A sample of the pixels stands for a check of every batch.
            likelihood.check(source(torch.arange(min(1000, len(source.images)), device=target)))
    path = None if checkpoint is None else Path(checkpoint)
    held, identity = None, {}
    if path is not None:
        identity = _identity(
            model, data, validation, epochs=epochs, batch_size=batch_size, seed=seed,
            learning_rate=learning_rate, schedule=schedule, pixels=pixels, patience=patience,
            bf16=bf16, objective=_name(objective), device=target.type, dtype=str(sources[0].dtype),
        )  # fmt: skip
        content = path.read_bytes() if world.rank == 0 and path.is_file() else None
        content = world.same(content)
        if content is not None:
            held = _checkpoint.from_bytes(content, path)
            _checkpoint.refuse_other(path, held.facts["identity"], identity)
    before = copy.deepcopy(model.state_dict())
    model.to(target).train()
    run = Run(
        model=model,
        objective=loss_of,
        optimizer=adam(model, learning_rate, capturable=cuda_graph),
        plan=plan,
        pixels=sources[0],
        labels=data.labels.to(target),
        validation=None if validation is None else (sources[1], validation.labels.to(target)),
        world=world,
        history=History(device=str(target)),
    )
    history = run.history
    if held is not None:
        run.restore(held)

    def save() -> None:
        if path is not None and world.rank == 0:
            state = run.checkpoint()
            state.facts["identity"] = identity
            _checkpoint.write(path, state)

    shown = Progress(
        f"training {type(model).__name__}",
        epochs,
        show=bool(progress) and world.rank == 0,
        leave=progress != "brief",
        before=history.steps / run.per_epoch,  # where a run goes on
        note=_loss(history),
    )
    try:
        while not run.finished:
            run.epoch(save, shown.within)
            shown.advance(_loss(history))
        if run.best:
            model.load_state_dict(run.best)
    except KeyboardInterrupt:
        history.interrupted = True
    except NonFiniteLossError:
        model.load_state_dict(before)
        raise
    finally:
        shown.close()
        model.eval()
    return history
