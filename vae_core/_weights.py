"""A model's weights from the published book, and what a reader is told while they are got."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from vae_core import _cache, _files, _published, data
from vae_core._progress import QUIET, clock, in_notebook
from vae_core._recipes import Recipe
from vae_core.training import fit

# A training of fewer steps is over before a line is read; steps that are timed to foretell others.
FEW_STEPS, TIMED_STEPS = 400, 24
# Seconds of training that are worth a line.
WORTH = 3.0


@dataclass
class Asked:
    """A model that is asked for, and the zoo's own ways to name it and to make it untrained."""

    name: str
    recipe: Recipe
    seed: int
    device: torch.device
    progress: bool
    untrained: Callable[[Recipe, int], nn.Module]
    key: Callable[[Recipe, int, torch.device], str]
    same: Callable[[Recipe, int], str]
    open: bool = False  # a line has begun that is not ended yet

    def say(self, text: str, end: str = "\n") -> None:
        """Go on with the one line about this model, where somebody may read it."""
        if not self.progress or os.environ.get(QUIET):
            return
        start = "" if self.open else f"{self.name}, seed {self.seed}: "
        stream = sys.stdout if in_notebook() else sys.stderr
        print(f"{start}{text}", end=end, file=stream, flush=True)
        self.open = end != "\n"

    def end(self) -> None:
        """End a line that is still open: another process has made the model meanwhile."""
        if self.open:
            self.say("found in the cache")

    def announce(self, make: Callable[..., nn.Module]) -> None:
        """Say that the model is trained, and about how long that takes here, if it takes long.

        ``make``: makes a model of a recipe on images with a seed. It is timed on a few steps.
        """
        shown = self.progress and not os.environ.get(QUIET)
        if not shown or not (self.open or in_notebook() or sys.stderr.isatty()):
            return
        seconds = foretold(self.recipe, self.device, make)
        if seconds >= WORTH:
            epochs = f"{self.recipe.epochs} epoch{'s' if self.recipe.epochs > 1 else ''}"
            self.say(f"trained here, once: {epochs}, about {clock(seconds)}")
        elif self.open:
            self.say("trained here, once")


def foretold(
    recipe: Recipe,
    device: torch.device,
    make: Callable[..., nn.Module],
    now: Callable[[], float] = time.perf_counter,
    timed: int = TIMED_STEPS,
    rounds: int = 1,
) -> float:
    """About how many seconds a training by ``recipe`` takes here; 0.0 for a short one.

    ``now`` is the clock, ``timed`` the number of steps by which it is judged, and ``rounds`` how
    often they are taken: the quickest counts.
    """
    images = data.load(recipe.data, "train")
    number = min(recipe.examples or len(images.images), len(images.images))
    steps = recipe.epochs * -(-number // recipe.batch_size)
    if steps < FEW_STEPS:
        return 0.0
    few = replace(recipe, start=None, epochs=1, examples=None)
    seconds: dict[int, float] = {}
    for count in (timed // 4, timed) * rounds:  # their difference is free of what begins a run
        part = images.first(min(number, count * recipe.batch_size))
        began = now()
        make(few, part, 0, fit, None, device=device, progress=False)
        seconds[count] = min(now() - began, seconds.get(count, math.inf))
    return max(0.0, seconds[timed] - seconds[timed // 4]) / (timed - timed // 4) * steps


def trained_here(asked: Asked) -> bool:
    """Whether the cache has a model of this name and key, trained by this machine."""
    folder = _cache.folder() / "zoo"
    if not any(folder.glob(f"{asked.name}-seed{asked.seed}-*.safetensors")):
        return False  # without a miniature training
    key = asked.key(asked.recipe, asked.seed, asked.device)
    return (folder / f"{asked.name}-seed{asked.seed}-{key}.safetensors").is_file()


def _model(asked: Asked, held: bytes) -> nn.Module:
    """The model with the weights of a file. Raises ``Refused`` for any other content."""
    model = asked.untrained(asked.recipe, asked.seed)
    kinds = {name: (values.dtype, values.shape) for name, values in model.state_dict().items()}
    try:
        weights, _ = _files.unpack(held)
        if {name: (values.dtype, values.shape) for name, values in weights.items()} != kinds:
            raise ValueError("other names, shapes or types")
        model.load_state_dict(weights)
    except Exception as error:  # whatever a hostile file brings about
        raise _published.Refused(f"no weights of this model ({error})") from None
    return model


def _place(asked: Asked, same: str) -> Path:
    # Apart from what was trained here: VAE_CORE_WEIGHTS=train must never take it for that.
    name = f"{asked.name}-seed{asked.seed}-{same}.safetensors"
    return _cache.folder() / "published" / name


def _chosen(asked: Asked, known: _published.Index, same: str) -> _published.Published:
    """The entry that fits this code, of ``same`` or else of the key. Raises ``Refused``."""
    listed = [m for m in known if (m.name, m.seed) == (asked.name, asked.seed)]
    for model in listed:
        if model.same == same:
            return model
    if listed:
        key = asked.key(asked.recipe, asked.seed, asked.device)
        for model in listed:
            if model.key == key:
                return model
        raise _published.Refused("the published file is of other code or settings")
    raise _published.Refused("it is not among the published ones")


def _kept(asked: Asked, same: str) -> nn.Module | None:
    """The model from an earlier fetch; None where there is none, or no whole one."""
    with suppress(OSError, _published.Refused):
        return _model(asked, _place(asked, same).read_bytes())
    return None


def fetched(asked: Asked, mode: str) -> nn.Module | None:
    """The model with published weights, or None where there are none; one line says what is done.

    Raises ``OSError``, with the reason, where ``mode`` is "fetch" and there are none.
    """
    same, place = asked.same(asked.recipe, asked.seed), _published.address()
    if (found := _kept(asked, same)) is not None:
        return found
    if place is None:
        if mode == "fetch":
            raise OSError(
                f"{asked.name}, seed {asked.seed}, is not cached, and no address is set to fetch "
                f"it from: set {_published.ADDRESS} to that of a published book"
            )
        return None
    untrained: Any = asked.untrained(asked.recipe, asked.seed).state_dict().values()
    most = sum(v.numel() * v.element_size() for v in untrained) + _published.HEADER_BYTES
    host = urlsplit(place).hostname
    told = _published.known_failure(place)
    try:
        model = _chosen(asked, _published.index(place, again=mode == "fetch"), same)
        asked.say(f"fetching {model.bytes / 1e6:.1f} MB of weights from {host} ... ", end="")
        began = time.perf_counter()
        held = _published.content(place, model, most)
        found = _model(asked, held)
    except _published.Refused as error:
        if mode == "fetch":
            asked.say("failed") if asked.open else None
            raise OSError(
                f"{asked.name}, seed {asked.seed}, could not be fetched from {place}: {error}"
            ) from None
        if not told:  # a host that does not answer is news once
            start = "" if asked.open else f"no published weights from {host}: "
            asked.say(f"{start}{error}; ", end="")
        return None
    asked.say(f"done in {time.perf_counter() - began:.1f} s")
    _cache.write(_place(asked, same), held)
    return found


class Told:
    """One line for each model, with the time that those still missing will take."""

    def __init__(
        self, missing: list[tuple[str, int]], passes: dict[tuple[str, int], int], models: int
    ) -> None:
        # A model's share of the work is about its passes over the images.
        self.left, self.models = dict(passes), models
        self.all, self.number = sum(self.left.values()), 0
        self.started = time.perf_counter()
        if missing:
            print(f"{len(missing)} of {self.models} models are to be trained", flush=True)

    def done(self, name: str, seed: int, seconds: float) -> None:
        """The model is there."""
        self.number += 1
        passes, left = self.left.pop((name, seed), 0), sum(self.left.values())
        text = f"model {self.number} of {self.models}: {name}, seed {seed} ({seconds:.1f} s)"
        if passes and left:
            rate = (time.perf_counter() - self.started) / (self.all - left)
            text += f", about {clock(rate * left)} left"
        print(text, flush=True)
