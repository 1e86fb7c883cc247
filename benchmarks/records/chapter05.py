"""Runs quoted in chapter 5's solutions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from vae_core import data, distributions, evaluation, models, objectives, training

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
AFTER = (0, 1, 3, 10, 20)


def _cross_entropy(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)


def _density(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    size = logits.abs().double().clamp(min=1e-6)
    log_c = (size / torch.tanh(size / 2)).log()
    return (x * logits - F.softplus(logits) + log_c).flatten(1).sum(1)


def _mean(logits: torch.Tensor) -> torch.Tensor:
    """The mean of the continuous Bernoulli, 1 / (1 - exp(-l)) - 1 / l; near 0 its series."""
    wide = logits.double()
    safe = torch.where(wide.abs() < 1e-3, torch.ones_like(wide), wide)
    return torch.where(wide.abs() < 1e-3, 0.5 + wide / 12, -1 / torch.expm1(-safe) - 1 / safe)


def continuous() -> dict[str, Any]:
    """784-512-2, ten epochs on grey digits, seed 0, one CPU core: trained with cross-entropy, and
    with the continuous Bernoulli density; both bounds, in nats, KL, squared errors of the parameter
    p and of the density's mean, and median size of a logit, on the test digits."""
    train = data.load("mnist", "train")
    x = data.to_float(data.load("mnist", "test").images)
    scores: dict[str, Score] = {"ce": _cross_entropy, "density": _density}
    found: dict[str, Any] = {}
    bounds: dict[tuple[str, str], float] = {}
    for name, score in scores.items():

        def loss(
            model: models.VAE,
            x: torch.Tensor,
            labels: torch.Tensor,
            generator: torch.Generator | None,
            score: Score = score,
        ) -> dict[str, torch.Tensor]:
            posterior = model.encode(x)
            logits = model.decode(posterior.rsample(generator=generator))
            return {"loss": (posterior.kl() - score(x, logits)).float()}

        model = models.VAE(seed=0)
        training.fit(
            model,
            train,
            epochs=10,
            seed=0,
            pixels="grey",
            objective=loss,
            progress=False,
            device="cpu",
        )
        with torch.no_grad():
            posterior = model.encode(x)
            draws = torch.Generator().manual_seed(0)
            logits = model.decode(posterior.rsample(generator=draws))
            kl = posterior.kl()
            for other, measure in scores.items():
                bound = evaluation.mean_estimate(measure(x, logits) - kl)
                bounds[name, other] = bound.value
                found[f"{name}_by_{other}"] = bound
            error = (x - logits.sigmoid()).square().flatten(1).sum(1)
            of_mean = (x - _mean(logits)).square().flatten(1).sum(1)
        found |= {
            f"{name}_kl": kl.mean(),
            f"{name}_error": error.mean(),
            f"{name}_error_of_mean": of_mean.mean(),
            f"{name}_logit": logits.abs().median(),
        }
    found["ce_lead"] = bounds["ce", "ce"] - bounds["density", "ce"]
    found["density_lead"] = bounds["density", "density"] - bounds["ce", "density"]
    return found


def _best_draws(model: models.VAE, images: torch.Tensor) -> list[float]:
    """S* for c = 1, for the decoder and the encoder."""
    parts = evaluation.gradient_variance(model, images, generator=torch.Generator().manual_seed(0))
    return [
        math.sqrt(parts[part].between_draws.value / parts[part].between_images.value)
        for part in ("decoder", "encoder")
    ]


def _over_training(latent: int, seed: int, images: torch.Tensor) -> list[list[float]]:
    """S* after each number of epochs of one training: [epochs][decoder, encoder].

    With a constant learning rate the first epochs of a long training are a short training.
    """
    train = data.load("mnist", "train")
    model = models.VAE(latent, likelihood=distributions.BernoulliLikelihood(), seed=seed)
    own = objectives.objective_for(model)
    steps = math.ceil(len(train.images) / 128)
    at, taken, found = [epochs * steps for epochs in AFTER], 0, []

    def measuring(
        model: models.VAE, x: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None
    ) -> dict[str, torch.Tensor]:
        nonlocal taken
        if taken in at:
            found.append(_best_draws(copy.deepcopy(model), images))
        taken += 1
        return own(model, x, labels, generator)

    training.fit(
        model,
        train,
        epochs=AFTER[-1],
        seed=seed,
        pixels="dynamic",
        objective=measuring,
        progress=False,
        device="cpu",
    )
    if taken != at[-1]:
        raise RuntimeError(f"{taken} steps in place of {at[-1]}")
    return [*found, _best_draws(model, images)]


def _sources(seed: int) -> dict[str, Any]:
    images = data.binarize(data.load("mnist", "test").images[:1000], "fixed")
    found: dict[str, Any] = {}
    for latent in (2, 20):
        values = _over_training(latent, seed, images)
        for epochs, (decoder, encoder) in zip(AFTER, values, strict=True):
            found[f"decoder_{latent}_after_{epochs}"] = f"{decoder:.2f}"
            found[f"encoder_{latent}_after_{epochs}"] = f"{encoder:.2f}"
    return found


def sources_0() -> dict[str, Any]:
    """S* for c = 1 after 0, 1, 3, 10 and 20 epochs, 784-512-2 and 784-512-20, black-and-white
    digits, seed 0, on one CPU core: from the gradients of 1,000 test digits."""
    return _sources(0)


def _with_draws(draws: int, seed: int, images: torch.Tensor, cost: int = 128) -> float:
    """The test ELBO after an epoch's number of steps, at ``cost`` decoded draws a step."""
    train = data.load("mnist", "train")
    model = models.VAE(2, likelihood=distributions.BernoulliLikelihood(), seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(len(train.images) // 128):
        rows = torch.randint(len(train.images), (cost // draws,), generator=generator)
        x = data.binarize(train.images[rows], "dynamic", generator=generator)
        loss = -objectives.elbo(model, x, draws, generator=generator).total.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        bound = objectives.elbo(model, images, 8, generator=generator)
    return bound.total.mean().item()


def equal_cost() -> dict[str, Any]:
    """784-512-2, black-and-white digits, 390 steps at 128 decoded draws a step, seeds 0 to 4, on
    one CPU core: one draw of each of 128 images, and eight of each of 16; ELBO of 2,000 test
    digits in nats."""
    images = data.binarize(data.load("mnist", "test").images[:2000], "fixed")
    ends = {
        draws: torch.tensor([_with_draws(draws, seed, images) for seed in range(5)])
        for draws in (1, 8)
    }
    lead = ends[1] - ends[8]
    return {
        "one": evaluation.mean_estimate(ends[1]),
        "eight": evaluation.mean_estimate(ends[8]),
        "lead": evaluation.mean_estimate(lead),
        "wins": int((lead > 0).sum()),
        "steps": len(data.load("mnist", "train").images) // 128,
    }
