"""Training: one loop for every model, on a CPU or a GPU, with the data as bytes on the device.

``fit`` is the loop as a function. ``python -m vae_core.training`` is the loop as a command, and
under ``torchrun`` it runs on several GPUs, processes or machines: see ``--help``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vae_core import _check, _files, _trial
from vae_core._progress import Progress
from vae_core.data import ImageData
from vae_core.objectives import Objective, objective_for
from vae_core.training import _checkpoint, _inputs
from vae_core.training._identity import behaviour
from vae_core.training._parts import parts, put_back, state_of
from vae_core.training._run import History, NonFiniteLossError, Plan, Run
from vae_core.training._setup import (
    PIXELS,
    SCHEDULES,
    PixelSource,
    adam,
    check_bf16,
    first_step,
    learning_rate_factor,
    pick_device,
    pixel_source,
)
from vae_core.training._stops import Stops
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


def _plan(
    epochs: Any, batch_size: Any, learning_rate: Any, schedule: Any, seed: Any, patience: Any,
    checkpoint_steps: Any, bf16: Any, cuda_graph: Any, *, validated: bool, kept: bool,
) -> Plan:  # fmt: skip
    """The numbers of a run, as Python's own. Raises ``ValueError`` for what can't be meant."""
    plan = Plan(
        epochs=_check.whole("epochs", epochs),
        batch_size=_check.whole("batch_size", batch_size),
        seed=_inputs.seed_of(seed),
        schedule=schedule,
        learning_rate=_inputs.learning_rate_of(learning_rate),
        patience=None if patience is None else _check.whole("patience", patience),
        checkpoint_steps=(
            None if checkpoint_steps is None else _check.whole("checkpoint_steps", checkpoint_steps)
        ),
        bf16=bool(bf16),
        cuda_graph=bool(cuda_graph),
    )
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
    if patience is not None and not validated:
        raise ValueError("patience counts epochs without a better validation: give validation")
    if checkpoint_steps is not None and not kept:
        raise ValueError("checkpoint_steps says how often to save: give checkpoint, a file")
    return plan


def _check_device(plan: Plan, target: torch.device, world: World, dtype: torch.dtype) -> None:
    if plan.cuda_graph and (target.type != "cuda" or world.size > 1):
        raise ValueError(
            f"cuda_graph needs a CUDA device and one process; "
            f"got {target.type} and {world.size} process{'es' if world.size > 1 else ''}"
        )
    if plan.bf16:
        check_bf16(target, dtype)


def _identity(
    model: nn.Module, data: ImageData, validation: ImageData | None, **settings: Any
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on with, as plain values."""
    state = model.state_dict()
    odd = [name for name, values in state.items() if not isinstance(values, Tensor)]
    if odd:
        raise ValueError(
            f"the {type(model).__name__}'s state holds {odd[0]}, a {type(state[odd[0]]).__name__}; "
            f"a checkpoint takes tensors alone"
        )
    return {
        **settings,
        "model": type(model).__name__,
        "weights": {name: list(values.shape) for name, values in state.items()},
        "data": _checkpoint.digest(data),
        "validation": None if validation is None else _checkpoint.digest(validation),
    }


def _sets(
    data: Any, validation: Any, model: nn.Module, objective: Objective | None
) -> list[ImageData]:
    """The images to train on and, if there are any, those to validate on."""
    sets = [_inputs.image_data(data)]
    if validation is not None:
        sets.append(_inputs.image_data(validation, "validation"))
    for images, what in zip(sets, ("data", "validation"), strict=False):
        _inputs.check_fits(images, model)
        _inputs.check_labels(images, model, objective, what)
    return sets


def _sources(
    sets: list[ImageData], pixels: str, model: nn.Module, dtype: torch.dtype,
    target: torch.device, seed: int,
) -> list[PixelSource]:  # fmt: skip
    """A source of pixels for each set. Raises ``ValueError`` where the model can't take them."""
    sources = []
    for i, images in enumerate(sets):
        source = pixel_source(images, pixels, target, seed + 2 * i)
        source.dtype = dtype
        likelihood = getattr(model, "likelihood", None)
        if likelihood is not None:
            # A sample of the pixels stands for a check of every batch.
            likelihood.check(source(torch.arange(min(1000, len(source.images)), device=target)))
        sources.append(source)
    return sources


def _earlier(
    path: Path, identity: dict[str, Any], world: World, until_done: ExitStack, early: Stops
) -> _checkpoint.Checkpoint | None:
    """The state that an earlier run of the same call left at ``path``, which is then this run's."""
    content: list[bytes | None] = []
    world.first_does(lambda: until_done.enter_context(_checkpoint.alone(path, early.obey)))
    world.first_does(lambda: content.append(_checkpoint.read(path)))
    found = world.same(content[0] if content else None)
    if found is None:
        return None
    held = _checkpoint.from_bytes(found, path)
    world.first_does(lambda: _checkpoint.refuse_other(path, held.facts["identity"], identity))
    return held


def _loss(history: History) -> str:
    """The last epoch's loss, for a reader."""
    losses = history.terms.get("loss")
    return f"loss {losses[-1]:.2f}" if losses else ""


def _save(run: Run, path: Path, identity: dict[str, Any]) -> None:
    state = run.checkpoint()
    state.facts["identity"] = identity
    _checkpoint.write(path, state)


@contextmanager
def _at_work(model: nn.Module, objective: Objective) -> Iterator[None]:
    """The model ends in evaluation mode; where training fails, with the weights that it had.

    What the objective carries is put back as well and, where the caller asked for what can't be
    done (``ValueError``), the model's mode and device.
    """
    before = copy.deepcopy(model.state_dict())
    carried = [(part, state_of(part)) for part in parts(objective, model)]
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    try:
        yield
    except (NonFiniteLossError, ValueError) as error:
        model.load_state_dict(before)
        for part, state in carried:
            put_back(part, state)
        model.eval()
        if isinstance(error, ValueError):
            model.to(device)
            for module, mode in modes:
                module.training = mode
        raise
    except BaseException:
        model.eval()
        raise
    model.eval()


def _train(run: Run, save: Callable[[], None], shown: Progress, stops: Stops) -> None:
    """Epoch by epoch to the end, or until the reader stops it."""

    def obey(now: bool = False) -> None:
        stops.obey(run.world.stops(stops.asked, now))

    try:
        while not run.finished:
            run.epoch(save, shown.within, obey)
            shown.advance(_loss(run.history))
        obey(now=True)
        if run.best:
            run.model.load_state_dict(run.best)
    except KeyboardInterrupt:
        run.history.interrupted = True
    run.check_weights()


def fit(
    model: nn.Module,
    data: ImageData | Any,
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
    validation: ImageData | Any = None,
    patience: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
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
    back as it ended. The same call is one with the same numbers and images, whose model and
    objective do the same: that is tried on a copy, with a few of the images. What an objective
    carries from step to step is kept too, where it offers ``state_dict()`` and
    ``load_state_dict(state)`` (``{}`` means its beginning), as
    :class:`~vae_core.objectives.RunningBaseline` does, or is a ``torch.Generator``.
    A second run with the same file waits until the first has ended.

    ``bf16``: matrix products and convolutions in bfloat16, the weights and all else in float32;
    refused where the processor has no instructions for it and would be many times slower.
    ``cuda_graph``: on CUDA, record a step once and replay it, which saves a small model most of
    its time; the objective must then do the same work at every step.

    Where ``torch.distributed`` is initialised with several processes, each calls ``fit`` alike and
    takes its share of every batch; the weights are those of one process but for rounding. Then an
    example's loss must depend on that example alone.

    ``data`` and ``validation`` may also be uint8 images [n, channels, height, width], a pair
    (images, labels), or a Dataset of such pairs. Images that come without labels have label -1.

    Raises ``ValueError`` for bad arguments or a checkpoint of another run (nothing is changed),
    :class:`NonFiniteLossError` when the loss or the weights become NaN or infinite (the weights are
    then put back as they were before the call, and never saved), ``OSError`` where the checkpoint
    can't be read or written (the one saved before stays whole, the model keeps what it has
    learned).
    """
    with ExitStack() as until_done:
        until_done.enter_context(torch.inference_mode(False))
        until_done.enter_context(torch.enable_grad())
        with Stops() as early:
            plan = _plan(
                epochs, batch_size, learning_rate, schedule, seed, patience, checkpoint_steps, bf16,
                cuda_graph, validated=validation is not None, kept=checkpoint is not None,
            )  # fmt: skip
            path = None if checkpoint is None else _files.place("checkpoint", checkpoint)
            _inputs.check_model(model, objective)
            loss_of = objective_for(model) if objective is None else objective
            sets = _sets(data, validation, model, objective)
            target = pick_device(device)
            # Not the caller's mixed precision, which has layers give what others don't take.
            until_done.enter_context(torch.autocast(target.type, enabled=False))
            world = World(target)
            floating = (p.dtype for p in model.parameters() if p.is_floating_point())
            dtype = next(floating, torch.float32)
            _check_device(plan, target, world, dtype)
            sources = _sources(sets, pixels, model, dtype, target, plan.seed)
            held, identity = None, {}
            if path is not None:
                identity = _identity(
                    model, *sets, *[None] * (2 - len(sets)), epochs=plan.epochs,
                    batch_size=plan.batch_size, seed=plan.seed, learning_rate=plan.learning_rate,
                    schedule=schedule, pixels=pixels, patience=plan.patience, bf16=plan.bf16,
                    device=target.type, dtype=str(dtype),
                )  # fmt: skip
                identity["behaviour"] = behaviour(model, loss_of, sets[0], pixels, dtype, target)
                held = _earlier(path, identity, world, until_done, early)
            first_step()
            until_done.enter_context(_at_work(model, loss_of))
            _inputs.own_weights(model)
            model.to(target).train()
            run = Run(
                model=model,
                objective=loss_of,
                optimizer=adam(model, plan.learning_rate, capturable=plan.cuda_graph),
                plan=plan,
                pixels=sources[0],
                labels=sets[0].labels.to(target),
                validation=None if len(sets) < 2 else (sources[1], sets[1].labels.to(target)),
                world=world,
                history=History(device=str(target)),
            )
            if held is not None:
                run.restore(held)

        def save() -> None:
            if path is not None:
                run.check_weights()
                world.first_does(lambda: _save(run, path, identity))

        shown = Progress(
            f"training {type(model).__name__}",
            plan.epochs,
            show=bool(progress) and world.rank == 0,
            leave=progress != "brief",
            before=run.history.steps / run.per_epoch,  # where a run goes on
            note=_loss(run.history),
        )
        until_done.callback(shown.close)
        with Stops(early) as stops:
            _train(run, save, shown, stops)
        if run.history.interrupted:
            _trial.note_stop(shown.task)
            if progress is not True and world.rank == 0:
                shown.tell_stop()
        return run.history
