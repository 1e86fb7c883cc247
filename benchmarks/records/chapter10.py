"""Numbers of chapter 10: seeds near collapse.

Two longer ones are written and were not run yet: without the underscore before its name, ``_long``
or ``_order`` is a record like ``short``.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from vae_core import data, evaluation, models, objectives, training, zoo
from vae_core.distributions import GaussianLikelihood


def _trained(variance: float, seed: int, passes: int) -> models.VAE:
    """As the zoo's models of the sweep, but for seed and passes."""
    likelihood = GaussianLikelihood(math.sqrt(variance))
    model = models.VAE(2, hidden=(128,), likelihood=likelihood, seed=seed)
    training.fit(
        model, data.load("mnist", "train"), epochs=passes, batch_size=128, learning_rate=2e-3,
        schedule="linear", seed=seed, progress=False,
    )  # fmt: skip
    return model.eval()


def _near(passes: int, variances: tuple[float, ...], seeds: tuple[int, ...]) -> dict[str, Any]:
    test = data.load("mnist", "test")
    results: dict[str, Any] = {}
    alive: list[float] = []
    dead: list[float] = []
    for variance in variances:
        counts = []
        for seed in seeds:
            point = evaluation.trade_off(_trained(variance, seed, passes), test.images)
            counts.append(point.active)
            for kl in point.kl_per_dimension.tolist():
                (alive if kl > 0.01 else dead).append(kl)
        name = f"{variance:.1f}".replace(".", "_")
        results[f"active_{name}"] = ", ".join(map(str, counts))
    results["least_alive"] = min(alive, default=math.inf)
    results["most_dead"] = max(dead, default=0.0)
    return results


def short() -> dict[str, Any]:
    """Six passes over the training digits at variances near collapse, seeds 0, 1 and 2: how many of
    the two latents carry more than 0.01 nats of the test digits, seed by seed."""
    return _near(6, (2.6, 3.0, 3.4, 3.7, 4.5, 5.0), (0, 1, 2))


def _long() -> dict[str, Any]:
    """The same after 25 passes."""
    return _near(25, (3.2, 3.4, 4.5, 5.0), (0, 1, 2))


def _run(kind: str, seed: int, final: float, epochs: int = 6) -> tuple[float, float, float]:
    """The run of the chapter's solution: -ELBO, rate and squared error of the test digits."""
    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    start: float | str = "learned" if kind == "learned" else final
    model = models.VAE(2, hidden=(128,), likelihood=GaussianLikelihood(start), seed=seed)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator, count = torch.Generator().manual_seed(seed), 0
    for _ in range(epochs):
        order = torch.randperm(len(train.images), generator=generator)
        for index in order.split(128):
            if kind == "cooled":
                done = min(1.0, count * 128 / (2 * len(order)))
                model.likelihood = GaussianLikelihood(1 + done * (final - 1))
            x = data.to_float(train.images[index])
            bound = objectives.elbo(model, x, generator=generator, validate=False)
            loss = -bound.total.mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            count += 1
    if kind == "cooled":
        model.likelihood = GaussianLikelihood(final)
    point = evaluation.trade_off(model.eval(), test.images)
    return point.negative_elbo.value, point.rate.value, point.squared_error.value


def _order() -> dict[str, Any]:
    """Six passes with sigma learned from 1 on, fixed at its final value, and cooled to it over the
    first two passes, seeds 0 to 4 each: means over the seeds, and differences seed by seed."""
    learned = zoo.load("sigma-learned")
    final = learned.likelihood.sigma.item()
    found = {
        kind: torch.tensor([_run(kind, seed, final) for seed in range(5)])
        for kind in ("learned", "fixed", "cooled")
    }
    results: dict[str, Any] = {}
    for kind, rows in found.items():
        for column, name in enumerate(("loss", "rate", "error")):
            results[f"{kind}_{name}"] = evaluation.mean_estimate(rows[:, column])
    for kind in ("fixed", "cooled"):
        behind = found[kind][:, 0] - found["learned"][:, 0]
        results[f"{kind}_behind"] = evaluation.mean_estimate(behind)
        results[f"{kind}_seeds_behind"] = int((behind > 0).sum())
    return results
