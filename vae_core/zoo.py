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
import sys
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
    _published,
    _trial,
    _weights,
    _workers,
    data,
    distributions,
    models,
    objectives,
    ordered,
    training,
)
from vae_core._prediction import prediction_objective
from vae_core._printed import printed_kl_objective
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


def _same(recipe: Recipe, seed: int) -> str:
    """What decides the model apart from the machine: another torch or processor has the same."""
    deciding = {
        "recipe": {**recipe.settings(), "seed": seed},
        "data": _fingerprint.of_data(recipe.data),
        "code": _fingerprint.deciding_code(),
    }
    if recipe.start is not None:
        base = _recipe(recipe.start["model"])
        deciding["start"] = _same(base, base.seed)
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
    """The trained model ``name``, on the CPU, in evaluation mode.

    It comes from the cache; else from the published book, if an address is set and its file fits
    (:mod:`vae_core._published`); else it is trained now. One line says which, and for about how
    long; ``progress=False`` is silent. ``VAE_CORE_WEIGHTS=train`` never asks the network; ``fetch``
    never trains, and raises ``OSError`` with the reason where there is no file to be had.

    ``seed`` replaces the recipe's own; ``device`` is where it is trained. Raises ``ValueError`` for
    an unknown name. Where the cache folder can't be written, a warning says so and the model is
    kept in memory. Stopping the training raises ``KeyboardInterrupt``: a half-trained model is
    never taken for a whole one.
    """
    return _loaded(name, seed, device, progress, None)


def _loaded(
    name: str, seed: int | None, device: torch.device | str, progress: bool, mode: str | None
) -> nn.Module:
    """As :func:`load`, with weights from where ``mode`` says; None: ``$VAE_CORE_WEIGHTS``."""
    if name not in RECIPES:
        raise ValueError(f"unknown model {name!r}: the zoo has {', '.join(RECIPES)}")
    recipe, mode = _recipe(name), mode or _published.mode()
    chosen = recipe.seed if seed is None else seed
    target = training.pick_device(device)
    asked = _weights.Asked(name, recipe, chosen, target, progress, _untrained, _key, _same)
    held = _in_memory if mode != "train" and not _trial.tiny() else {}
    same = _same(recipe, chosen) if held is _in_memory else ""
    if same and same not in held and not _weights.trained_here(asked):
        fetched = _weights.fetched(asked, mode)
        if fetched is not None:
            held[same] = fetched.eval()
    if same in held:
        return copy.deepcopy(held[same])
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
                    asked.announce(_made)
                    model = _train(recipe, chosen, target, progress)
                    _write(path, model)
        asked.end()
        _in_memory[key] = model.eval()
    # A copy: what one chapter does to its model must not reach the next.
    return copy.deepcopy(_in_memory[key])


def _train(recipe: Recipe, seed: int, device: torch.device, progress: bool) -> nn.Module:
    images = data.load(recipe.data, "train")
    if recipe.examples is not None:
        images = images.first(recipe.examples)
    start = None
    if recipe.start is not None:
        # Never from a published one: the cache keeps what this machine makes from its beginning on.
        start = _loaded(recipe.start["model"], None, device, progress, "train")
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


def publish(folder: Path) -> int:
    """Put the weights of all cached models of the book into ``folder``, for readers to fetch.

    Nothing is trained: what is not cached is not published. Returns how many are there. Raises
    ``OSError`` where ``folder`` can't be written.
    """
    device, found = training.pick_device(), []
    for name, seed in USED:
        # A key takes a miniature training: not for what cannot be there.
        if not _trial.tiny() and any((_cache.folder() / "zoo").glob(f"{name}-seed{seed}-*")):
            path, recipe = _path(name, seed, device), _recipe(name)
            if _read(path, recipe, seed) is not None:
                facts = {"key": _key(recipe, seed, device), "same": _same(recipe, seed)}
                settings = {**recipe.settings(), "seed": seed}
                made = _published.described(path, name=name, seed=seed, settings=settings, **facts)
                found.append((path, made))
    facts = {"torch": torch.__version__.split("+")[0], "device": device.type}
    return len(_published.publish(folder, found, **facts))


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
    told = _weights.Told(missing, {m: RECIPES[m[0]].epochs for m in missing}, len(USED))
    for name, seed in USED:
        if workers <= 1 or (name, seed) not in missing:
            told.done(name, seed, _timed_load(name, seed))
    if workers <= 1:
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_workers.begin_worker,
        initargs=(max(1, cores // workers),),
    )
    try:
        with _workers.held_back_interrupts():
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


def _timed_load(name: str, seed: int) -> float:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* can't be written", RuntimeWarning)  # told below
        _loaded(name, seed, "auto", True, "train")
    path = _path(name, seed, training.pick_device())
    if not path.is_file():
        _cache.check()
        raise OSError(f"the model {name} was trained, but {path} could not be written: disk full?")
    return time.perf_counter() - started


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
