"""Where a widget's models and images come from, as lines of Python, where that can be told."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_core import _cache, data
from vae_core.widgets._share import literal

GIVEN = "...  # {} that this widget was made of"


def from_zoo(model: nn.Module) -> str | None:
    """``zoo.load(...)`` for a model that this process had from the zoo, with its weights as then.

    The zoo tells which models it has loaded; the names of its files say what they are called.
    """
    zoo: Any = sys.modules.get("vae_core.zoo")  # where nobody has loaded it, no model is its own
    own = model.state_dict()
    for key, kept in zoo._in_memory.items() if zoo else ():
        theirs = kept.state_dict()
        if type(kept) is not type(model) or theirs.keys() != own.keys():
            continue
        if not all(
            own[k].dtype == w.dtype and torch.equal(own[k].cpu(), w) for k, w in theirs.items()
        ):
            continue
        for path in (_cache.folder() / "zoo").glob(f"*-{key}.safetensors"):
            name, seed = path.name.removesuffix(f"-{key}.safetensors").rsplit("-seed", 1)
            if name in zoo.RECIPES:
                same = int(seed) == zoo.RECIPES[name].seed
                return f'zoo.load("{name}")' if same else f'zoo.load("{name}", {seed})'
    return None


def each(models: Mapping[Any, nn.Module]) -> str | None:
    """A dictionary of :func:`from_zoo`, with ``...`` for a model that is not the zoo's."""
    found = {name: from_zoo(model) for name, model in models.items()}
    if not any(found.values()):
        return None
    pairs = (f"{literal(name)}: {code or '...'}" for name, code in found.items())
    note = "" if all(found.values()) else "  # ...: a model that this widget was made of"
    return f"{{{', '.join(pairs)}}}{note}"


def from_data(images: Tensor, name: str, split: str) -> str | None:
    """``data.load(...)`` for the images of MNIST, the first of them or all."""
    if name != "mnist" or split not in ("train", "validation", "train+validation", "test"):
        return None
    known = data.load(name, split).images
    count = len(images)
    if images.shape[1:] != known.shape[1:] or not torch.equal(images.cpu(), known[:count]):
        return None
    return f'data.load("mnist", "{split}")' + ("" if count == len(known) else f".first({count})")


@functools.cache
def _black_and_white() -> dict[bytes, int]:
    """The place of each fixed binarised test digit of MNIST, by its pixels' digest."""
    bits = data.binarize(data.load("mnist", "test").images, "fixed", seed=0).to(torch.uint8)
    return {_digest(row): place for place, row in enumerate(bits.numpy())}


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def from_digits(images: Tensor) -> str | None:
    """Black-and-white test digits of MNIST, uint8 [n, 1, 28, 28], as ``binarize`` draws them."""
    if images.shape[1:] != (1, 28, 28):
        return None
    places = [_black_and_white().get(_digest(row)) for row in images.cpu().numpy()]
    if None in places:
        return None
    return f'data.binarize(data.load("mnist", "test").images, "fixed")[{places}]'


def lines(**found: tuple[str | None, str]) -> str:
    """``name = expression`` for each, and the imports they need.

    Each is given as (expression, words): the words stand where the expression is not known.
    """
    made = [f"{name} = {code or GIVEN.format(words)}" for name, (code, words) in found.items()]
    used = [module for module in ("data", "zoo") if re.search(rf"\b{module}\.", "\n".join(made))]
    head = [f"from vae_core import {', '.join(used)}", ""] if used else []
    return "\n".join([*head, *made])
