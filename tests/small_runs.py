"""A small model, small images, and objectives that die: what tests of training's state share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vae_core.data import ImageData
from vae_core.models import VAE
from vae_core.objectives import elbo, elbo_objective
from vae_core.training import History, _parts, fit

SHAPE = (1, 4, 4)
Make = Callable[[], Any]


def images(n: int = 50, seed: int = 0) -> ImageData:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    return ImageData(pixels, torch.arange(n) % 5, tuple("01234"), "noise", "train")


def small(seed: int = 0, likelihood: Any = None, activation: str = "relu") -> VAE:
    return VAE(2, SHAPE, (6,), likelihood, activation, seed=seed)


def run(model: nn.Module, kept: Path | None = None, **options: Any) -> History:
    chosen = {"epochs": 3, "batch_size": 16, "device": "cpu", "progress": False, **options}
    return fit(model, chosen.pop("data", images()), checkpoint=kept, **chosen)


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class Dying:
    """``objective``, which dies at ``step``. Copies live on: they are tried, not trained with."""

    def __init__(self, objective: Any, step: int) -> None:
        self.objective, self.step, self.count = objective, step, 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _parts.Copies()(self.objective)

    def __call__(self, *arguments: Any) -> dict[str, Tensor]:
        self.count += 1
        if self.count == self.step:
            raise Killed
        return self.objective(*arguments)


def own(weight: float) -> Any:
    """An objective of a caller's own: a closure."""

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        bound = elbo(model, x, generator=noise, validate=False)
        return {"loss": weight * bound.kl - bound.reconstruction}

    return objective


def score(**options: Any) -> Any:
    return elbo_objective(gradient="score-function", **options)
