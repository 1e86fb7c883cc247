"""Trained models by name: trained once, cached as safetensors, used by all chapters.

``RECIPES`` is the table of every model the chapters use, with all settings. A file's name carries a
key made from everything that decides the result: the recipe, the seed, the data's checksum, torch's
version, the kind of device, and what the training does, found by running a miniature of it
(:mod:`vae_core._fingerprint`): code may move and be renamed, and no model is trained again.
``python -m vae_core.zoo`` lists the models; ``python -m vae_core.zoo fill`` trains what is missing.
"""

from __future__ import annotations

import copy
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from vae_core import (
    _ablation,
    _cache,
    _files,
    _fingerprint,
    _trial,
    data,
    distributions,
    models,
    objectives,
    ordered,
    training,
)
from vae_core._prediction import prediction_objective
from vae_core._printed import printed_kl_objective
from vae_core._progress import clock
from vae_core._recipes import RECIPES, USED, Recipe
from vae_core._text import spare_the_streams
from vae_core.data import ImageData

__all__ = ["RECIPES", "USED", "Recipe", "fill", "load", "main", "names", "table"]

# Objectives that no module of the package offers, because only these models need them.
OWN_OBJECTIVES = {
    "prediction_objective": prediction_objective,
    "printed_kl_objective": printed_kl_objective,
}
_in_memory: dict[str, nn.Module] = {}


def names() -> tuple[str, ...]:
    """The names :func:`load` knows."""
    return tuple(RECIPES)


def _recipe(name: str) -> Recipe:
    """The recipe of ``name``; shortened, to another key, where the notebooks are only tried."""
    recipe = RECIPES[name]
    if not _trial.tiny():
        return recipe
    examples = min(recipe.examples or _trial.EXAMPLES, _trial.EXAMPLES)
    return replace(recipe, examples=examples, epochs=min(recipe.epochs, _trial.EPOCHS))


def _key(recipe: Recipe, seed: int, device: torch.device) -> str:
    """What stands in a file's name for all that decides the model."""
    deciding = {
        "recipe": {**recipe.settings(), "seed": seed},
        "data": _fingerprint.of_data(recipe.data),
        "torch": torch.__version__.split("+")[0],
        "device": device.type,
        "training": _fingerprint.of_recipe(recipe, _miniature, _objective),
    }
    if recipe.start is not None:
        base = _recipe(recipe.start["model"])
        deciding["start"] = _key(base, base.seed, device)
    if _trial.tiny():
        deciding["trial"] = "tiny"
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def _miniature(recipe: Recipe, images: ImageData, seed: int, fit: Any = training.fit) -> nn.Module:
    """As :func:`_train`, on the CPU and on ``images``, unseen; by the package's own ``fit``."""
    start = None
    if recipe.start is not None:
        base = _fingerprint.miniature(_recipe(recipe.start["model"]))
        start = _miniature(base, images, seed, fit)
    return _made(recipe, images, seed, fit, start, device="cpu", progress=False)


def _path(name: str, seed: int, device: torch.device) -> Path:
    key = _key(_recipe(name), seed, device)
    return _cache.folder() / "zoo" / f"{name}-seed{seed}-{key}.safetensors"


def _untrained(recipe: Recipe, seed: int) -> nn.Module:
    options = dict(recipe.options)
    if recipe.likelihood is not None:
        chosen = dict(recipe.likelihood)
        made = {
            "bernoulli": distributions.BernoulliLikelihood,
            "gaussian": distributions.GaussianLikelihood,
            "discretized-logistic": distributions.DiscretizedLogisticLikelihood,
            "ordered-logit": ordered.OrderedLogitLikelihood,
        }[chosen.pop("kind")]
        options["likelihood"] = made(**chosen)
    return getattr(models, recipe.model)(**options, seed=seed)


def _objective(recipe: Recipe) -> objectives.Objective | None:
    if recipe.objective is None:
        return None
    chosen = dict(recipe.objective)
    name = chosen.pop("name")
    make = OWN_OBJECTIVES.get(name) or getattr(objectives, name)
    if "corruption" in chosen:
        kind, *arguments = chosen["corruption"]
        chosen["corruption"] = getattr(objectives, kind)(*arguments)
    return make(**chosen)


def _write(path: Path, model: nn.Module) -> None:
    # Packed here, and not by safetensors.save_file, which reports a full disk as another error.
    _cache.write(path, _files.pack(model.state_dict()))


def _read(path: Path, recipe: Recipe, seed: int) -> nn.Module | None:
    """The model stored at ``path``, or None if there is no whole file there."""
    if not path.is_file():
        return None
    model = _untrained(recipe, seed)
    try:
        weights, _ = _files.unpack(path.read_bytes())
        model.load_state_dict(weights)
    except (ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(
            f"the cached model {path} is damaged ({reason}); training it again",
            RuntimeWarning,
            stacklevel=3,
        )
        return None
    return model


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time trains the model of ``path``; the others wait for its file.

    Where no lock can be made (a folder that can't be written), nobody waits: two processes may
    then do the same work, and harm nothing. The system frees a killed process's lock.
    """
    place = _cache.folder() / "locks" / f"{path.name}.lock"
    lock = FileLock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


def load(
    name: str,
    seed: int | None = None,
    *,
    device: torch.device | str = "auto",
    progress: bool = True,
) -> nn.Module:
    """The trained model ``name``, on the CPU, in evaluation mode; trained now if it is not cached.

    ``seed`` replaces the recipe's own; ``device`` is where it is trained. Raises ``ValueError`` for
    an unknown name. Where the cache folder can't be written, a warning says so and the model is
    kept in memory. Stopping the training raises ``KeyboardInterrupt``: a half-trained model is
    never taken for a whole one.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown model {name!r}: the zoo has {', '.join(RECIPES)}")
    recipe = _recipe(name)
    chosen = recipe.seed if seed is None else seed
    target = training.pick_device(device)
    key = _key(recipe, chosen, target)
    if key not in _in_memory:
        path = _path(name, chosen, target)
        before = _stamp(path)
        model = _read(path, recipe, chosen)
        if model is None:
            with _alone(path):
                # While this process waited, the one before it may have trained the model.
                if _stamp(path) != before:
                    model = _read(path, recipe, chosen)
                if model is None:
                    model = _train(recipe, chosen, target, progress)
                    _write(path, model)
        _in_memory[key] = model.eval()
    # A copy: what one chapter does to its model must not reach the next.
    return copy.deepcopy(_in_memory[key])


def _train(recipe: Recipe, seed: int, device: torch.device, progress: bool) -> nn.Module:
    images = data.load(recipe.data, "train")
    if recipe.examples is not None:
        images = images.first(recipe.examples)
    start = None
    if recipe.start is not None:
        start = load(recipe.start["model"], device=device, progress=progress)
    shown = "brief" if progress else False
    return _made(recipe, images, seed, training.fit, start, device=device, progress=shown)


def _made(
    recipe: Recipe,
    images: ImageData,
    seed: int,
    fit: Callable[..., training.History],
    start: nn.Module | None,
    **how: Any,
) -> nn.Module:
    """A model of the recipe, trained on ``images`` by ``fit``, from ``start`` on, on the CPU."""
    model = _untrained(recipe, seed)
    if recipe.start is not None and "without" in recipe.start:
        assert isinstance(start, models.VAE)
        latents = _ablation.latents_by_rate(start, images.images[:2000])
        start = _ablation.without_latent(start, int(latents[recipe.start["without"]]))
    if start is not None:
        model.load_state_dict(start.state_dict())
    likelihood = getattr(model, "likelihood", None)
    if isinstance(likelihood, ordered.OrderedLogitLikelihood):
        likelihood.set_levels(images.images)
    history = fit(
        model,
        images,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        pixels=recipe.pixels,
        objective=_objective(recipe),
        seed=seed,
        **how,
    )
    if history.interrupted:
        raise KeyboardInterrupt("training was stopped; the zoo keeps whole models only")
    return model.cpu()


def table() -> list[dict[str, Any]]:
    """Every recipe as one row of plain values, for a page to show."""
    return [{"name": name, **asdict(recipe)} for name, recipe in RECIPES.items()]


def fill(workers: int | None = None) -> None:
    """Train every model of the book that is not cached yet, one line each as it is done.

    On a CPU several processes train side by side (``workers``; by default one a core, four at
    most), each on its share of the cores: these networks are small, and one thread for each of two
    models does more than two threads for one. A GPU trains one model after another. Stopped by
    ``KeyboardInterrupt``, it stops its processes at once; finished models stay cached.

    Raises ``OSError``, before any training, where the cache folder can't be written, and where a
    trained model could not be kept: a model that is lost would be trained again by every chapter.
    """
    _cache.check()
    device, cores = training.pick_device(), os.cpu_count() or 1
    missing = [(name, seed) for name, seed in USED if not _path(name, seed, device).is_file()]
    if workers is None:
        workers = min(4, cores, len(missing)) if device.type == "cpu" else 1
    told = _Told(missing)
    for name, seed in USED:
        if workers <= 1 or (name, seed) not in missing:
            told.done(name, seed, _timed_load(name, seed))
    if workers <= 1:
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(max(1, cores // workers),),
    )
    try:
        with _held_back_interrupts():
            running = {pool.submit(_timed_load, *model): model for model in missing}
        for done in as_completed(running):
            told.done(*running[done], done.result())
    except BaseException:
        # Half-trained models are of no use: nobody waits for them.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    pool.shutdown()


@contextmanager
def _held_back_interrupts() -> Iterator[None]:
    """Ctrl-C waits; processes that start in here never hear it, and end when this one ends them.

    A terminal sends Ctrl-C to all processes alike: each would print a traceback of its own, or
    take up the next model. Windows has no such mask, and there they do.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(threads: int) -> None:
    """Take ``threads`` cores, and end with the process that asked for the work, however it ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)  # killed: nobody else would end this process, and its model may wait

        threading.Thread(target=watch, daemon=True).start()


def _timed_load(name: str, seed: int) -> float:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* can't be written", RuntimeWarning)  # told below
        load(name, seed)
    path = _path(name, seed, training.pick_device())
    if not path.is_file():
        _cache.check()
        raise OSError(f"the model {name} was trained, but {path} could not be written: disk full?")
    return time.perf_counter() - started


class _Told:
    """One line for each model, with the time that those still missing will take."""

    def __init__(self, missing: list[tuple[str, int]]) -> None:
        # A model's share of the work is about its passes over the images.
        self.left = {model: RECIPES[model[0]].epochs for model in missing}
        self.all, self.number = sum(self.left.values()), 0
        self.started = time.perf_counter()
        if missing:
            print(f"{len(missing)} of {len(USED)} models are to be trained", flush=True)

    def done(self, name: str, seed: int, seconds: float) -> None:
        """The model is there."""
        self.number += 1
        passes, left = self.left.pop((name, seed), 0), sum(self.left.values())
        text = f"model {self.number} of {len(USED)}: {name}, seed {seed} ({seconds:.1f} s)"
        if passes and left:
            rate = (time.perf_counter() - self.started) / (self.all - left)
            text += f", about {clock(rate * left)} left"
        print(text, flush=True)


def main(arguments: list[str]) -> int:
    """``python -m vae_core.zoo [list|fill]``; 130 when it was stopped."""
    spare_the_streams()
    if arguments == ["fill"]:
        try:
            fill()
        except KeyboardInterrupt:
            device = training.pick_device()
            kept = sum(_path(name, seed, device).is_file() for name, seed in USED)
            print(
                f"\nstopped: {kept} of {len(USED)} models are finished and kept; "
                f"`python -m vae_core.zoo fill` trains the others",
                file=sys.stderr,
            )
            return 130
        except (OSError, BrokenProcessPool) as error:
            killed = "a process that trained was killed (was memory short?)"
            reason = killed if isinstance(error, BrokenProcessPool) else str(error)
            print(f"{reason}; the models trained so far are kept", file=sys.stderr)
            return 1
    elif arguments in ([], ["list"]):
        for name, recipe in RECIPES.items():
            print(f"{name:14} {recipe}")
    else:
        print("usage: python -m vae_core.zoo [list|fill]", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
