"""What a training does, as a number: a miniature of it is run, and every weight is hashed.

A trained model's key must change when its training does, and only then. Source code is no measure
of that: a function that moves, a new name or another docstring change it and no weight. So a recipe
is run in small (:data:`IMAGES` images, :data:`EPOCHS` passes, hidden layers of :data:`WIDTH`
units at most; its own pixels, schedule and objective), and the objective's gradient is then looked
at where a short run seldom comes: at weights so large or so small that every clamp is at work.

What is found is kept in the cache folder, under a digest of the package's code: a miniature is run
again only after some file of it changed. One thread computes it, so that it does not depend on the
machine's load or number of cores. It may depend on the processor, whose instructions round in their
own way: the key decides only what is found in this machine's cache, and there it does no harm.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

import vae_core
from vae_core import _cache, _files, data
from vae_core._recipes import Recipe
from vae_core.data import ImageData
from vae_core.objectives import Objective, objective_for
from vae_core.training import pixel_source
from vae_core.training._identity import one_thread

# 107 steps: some things happen after a hundred (a running mean has its final weight, moments that
# are about to become denormal are dropped). The last batch of a pass is a smaller one.
IMAGES, BATCH, EPOCHS, WIDTH = 211, 8, 4, 32
# Not 0, at which two different uses of a seed can agree.
SEED = 3
# Weights are multiplied, and what is added to biases (and to all that is one number or a row).
EDGES = ((1.0, 0.0), (30.0, 0.0), (0.0, -15.0), (0.0, 15.0))
# Makes a model of a recipe and trains it on images, with a seed.
Train = Callable[[Recipe, ImageData, int], nn.Module]
# What a recipe's models are trained on; None: the model's own.
Objectives = Callable[[Recipe], Objective | None]


@functools.cache
def code() -> str | None:
    """SHA-256 of all the package's Python files; None where they are not what this process runs.

    A kernel goes on with the code that it has read when somebody edits the files.
    """
    digest = hashlib.sha256()
    top = Path(__file__).parent
    for path in sorted(top.rglob("*.py")):
        if path.stat().st_mtime > vae_core.LOADED:
            return None
        content = path.read_bytes()
        digest.update(f"{path.relative_to(top).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


# Parts of the package that no training can use, since nothing that trains imports them
# (tests/test_package.py).
BESIDE = frozenset(("_edition", "_plot", "_typography", "coding", "evaluation", "exercises"))
BESIDE |= {"_tex", "figures", "maps", "notebook", "semi_supervised", "symbolic", "widgets"}


@functools.cache
def deciding_code() -> str:
    """SHA-256 of the files that a training may use: equal on all machines with the same package."""
    top, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(top.rglob("*.py")):
        name = path.relative_to(top).as_posix()
        if name.split("/")[0].removesuffix(".py") not in BESIDE:
            content = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


_known: dict[str, str] = {}


def _kept(name: str, find: Callable[[], str]) -> str:
    """A SHA-256 that the code decides, found once and kept in memory and in the cache folder."""
    version = torch.__version__.split("+")[0]
    key = hashlib.sha256(f"{code()} {version} {name}".encode()).hexdigest()
    if key not in _known:
        path = None if code() is None else _cache.folder() / "fingerprints" / key
        found = ""
        if path is not None:
            with suppress(OSError, UnicodeDecodeError):
                found = path.read_text(encoding="ascii")
        if not re.fullmatch("[0-9a-f]{64}", found):
            found = find()
            if path is not None:
                # Where it can't be kept, the next process finds it again.
                with suppress(OSError):
                    _files.write_whole(path, found.encode())
        _known[key] = found
    return _known[key]


def forget() -> None:
    """Drop what is held in memory, as in a new process."""
    code.cache_clear()
    deciding_code.cache_clear()
    _known.clear()


def of_data(name: str) -> str:
    """SHA-256 of the split of data set ``name`` that models are trained on, images and labels."""

    def find() -> str:
        images = data.load(name, "train")
        return _files.digest({"images": images.images, "labels": images.labels})

    # MNIST is in the package, which checks its bytes; others lie where they may be changed.
    return _kept(f"data {name}", find) if name == "mnist" else find()


def miniature(recipe: Recipe) -> Recipe:
    """``recipe`` in small."""
    options = dict(recipe.options)
    if "hidden" in options:
        options["hidden"] = tuple(min(width, WIDTH) for width in options["hidden"])
    return dataclasses.replace(
        recipe,
        options=options,
        examples=min(IMAGES, recipe.examples or IMAGES),
        epochs=EPOCHS,
        batch_size=BATCH,
    )


def of_recipe(recipe: Recipe, train: Train, objective: Objectives) -> str:
    """SHA-256 of what training by ``recipe`` does."""
    small = miniature(recipe)
    plain = json.dumps(small.settings(), sort_keys=True)
    return _kept(f"recipe {plain}", lambda: _run(small, train, objective))


def _run(recipe: Recipe, train: Train, objective: Objectives) -> str:
    few = data.load(recipe.data, "train")
    few = few.first(min(recipe.examples or IMAGES, len(few.images)))
    with one_thread():
        model = train(recipe, few, SEED)
        found = dict(model.state_dict())
        found |= dict(_at_the_edges(model, few, recipe, objective))
    return _files.digest(found)


def _at_the_edges(
    model: nn.Module, few: ImageData, recipe: Recipe, objective: Objectives
) -> Iterable[tuple[str, Tensor]]:
    """Gradients, and what is counted, at weights that no short training comes to, by name."""
    first = torch.arange(min(BATCH, len(few.images)))
    real = pixel_source(few, recipe.pixels, torch.device("cpu"), SEED)(first)
    trained = copy.deepcopy(model.state_dict())
    for factor, shift in EDGES:
        for kind, x in (("real", real), ("black", torch.zeros_like(real))):
            model.load_state_dict(trained)
            model.train()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(factor)
                    if parameter.ndim < 2:
                        parameter.add_(shift)
            noise = torch.Generator().manual_seed(SEED)
            loss_of = objective(recipe) or objective_for(model)
            loss = loss_of(model, x, few.labels[first], noise)["loss"].mean()
            place = f"{kind} {factor} {shift}"
            yield from ((f"{place} {name}", values) for name, values in _moves(model, loss))


def _moves(model: nn.Module, loss: Tensor) -> Iterable[tuple[str, Tensor]]:
    """What moves weights: gradients of ``loss``; and what the objective itself has moved."""
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    values = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    yield from ((name, v) for name, v in zip(wanted, values, strict=True) if v is not None)
    state = model.state_dict()
    yield from ((name, state[name].clone()) for name in state if name not in wanted)
