"""Which run a checkpoint is of: the one whose model and objective do the same."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import one_sentence
from small_runs import SHAPE, Dying, Killed, Make, images, own, run, same, score, small
from torch import Tensor, nn

from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder
from vae_core.objectives import (
    GaussianNoise,
    MaskingNoise,
    RunningBaseline,
    SaltAndPepper,
    denoising,
    elbo,
    elbo_objective,
    importance_weighted_objective,
)
from vae_core.training import _checkpoint
from vae_core.training._identity import behaviour


def conditional(prior: str = "standard") -> CVAE:
    return CVAE(2, SHAPE, (6,), classes=5, prior=prior)


def plain(
    model: VAE, x: Tensor, labels: Tensor, noise: Any, weight: float = 1.0
) -> dict[str, Tensor]:
    return own(weight)(model, x, labels, noise)


class Weighted:
    """The same as an object."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, *arguments: Any) -> dict[str, Tensor]:
        return own(self.weight)(*arguments)

    def method(self, *arguments: Any) -> dict[str, Tensor]:
        return self(*arguments)


class Scaled(VAE):
    """A model whose forward has a number that stands in no weight."""

    factor = 1.0

    def decode(self, z: Tensor) -> Tensor:
        return self.factor * super().decode(z)


def scaled(factor: float) -> Scaled:
    model = Scaled(2, SHAPE, (6,))
    model.factor = factor
    return model


def frozen(seed: int) -> VAE:
    model = small(seed)
    model.decoder.requires_grad_(False)
    return model


# What: (model, objective) of the run that left the checkpoint, and of the run that is asked for.
OTHER: dict[str, tuple[tuple[Make, Make], tuple[Make, Make]]] = {
    name: (tuple(first), tuple(second))  # type: ignore[misc]
    for name, (first, second) in {
        "beta": ((small, elbo_objective), (small, lambda: elbo_objective(beta=1.01))),
        "samples": ((small, elbo_objective), (small, lambda: elbo_objective(2))),
        "samples of a bound": tuple(
            (small, functools.partial(importance_weighted_objective, n)) for n in (1, 5)
        ),
        "gradient": ((small, elbo_objective), (small, score)),
        "a baseline": ((small, score), (small, lambda: score(baseline="running"))),
        "its decay": tuple(
            (small, lambda decay=decay: score(baseline=RunningBaseline(decay)))
            for decay in (0.9, 0.89)
        ),
        "a corruption": tuple(
            (lambda: Autoencoder(2, SHAPE, (6,)), functools.partial(denoising, kind))
            for kind in (MaskingNoise(0.25), SaltAndPepper(0.25))
        ),
        "its size": tuple(
            (lambda: Autoencoder(2, SHAPE, (6,)), functools.partial(denoising, kind))
            for kind in (GaussianNoise(0.3), GaussianNoise(0.31))
        ),
        "activation": ((small, elbo_objective), (lambda: small(activation="tanh"), elbo_objective)),
        "sigma": tuple(
            (lambda sigma=sigma: small(likelihood=GaussianLikelihood(sigma)), elbo_objective)
            for sigma in (0.7, 0.701)
        ),
        "link": tuple(
            (lambda link=link: small(likelihood=GaussianLikelihood(1.0, link)), elbo_objective)
            for link in ("sigmoid", "identity")
        ),
        "a closure": tuple((small, functools.partial(own, w)) for w in (1.0, 1.01)),
        "a partial": tuple(
            (small, lambda w=w: functools.partial(plain, weight=w)) for w in (1.0, 1.01)
        ),
        "an object": tuple((small, functools.partial(Weighted, w)) for w in (1.0, 1.01)),
        "a method": tuple((small, lambda w=w: Weighted(w).method) for w in (1.0, 1.01)),
        "a lambda": (
            (small, lambda: lambda *a: own(1.0)(*a)),
            (small, lambda: lambda *a: own(1.01)(*a)),
        ),
        "a number of the model's": tuple(
            (functools.partial(scaled, factor), elbo_objective) for factor in (1.0, 1.01)
        ),
        "frozen weights": tuple(
            (
                functools.partial(frozen, seed),
                elbo_objective,
            )
            for seed in (0, 1)
        ),
    }.items()
}


@pytest.mark.parametrize("what", OTHER)
def test_a_checkpoint_of_a_run_that_does_something_else_is_refused(
    what: str, tmp_path: Path
) -> None:
    (model, objective), (other, another) = OTHER[what]
    kept = tmp_path / "run"
    first = model()
    expected = run(first, kept, objective=objective())
    asked = other()
    before = {name: values.clone() for name, values in asked.state_dict().items()}
    with pytest.raises(ValueError, match="is of another run") as error:
        run(asked, kept, objective=another())
    assert "does something else: another likelihood, sigma or activation" in one_sentence(error)
    assert all(torch.equal(before[name], v) for name, v in asked.state_dict().items())
    # And what is the same is taken: made anew, with other weights, and the file is whole.
    again = model()
    if what != "frozen weights":
        with torch.no_grad():
            for parameter in again.parameters():
                parameter.add_(1.0)
    assert run(again, kept, objective=objective()) == expected
    assert same(first, again)


def test_a_likelihood_that_is_not_the_same(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    run(small(likelihood=BernoulliLikelihood()), kept, pixels="threshold")
    with pytest.raises(ValueError, match="is of another run"):
        run(small(), kept, pixels="threshold")


def test_how_an_objective_is_written_is_no_part_of_it(tmp_path: Path) -> None:
    kept, first, again = tmp_path / "run", small(), small(1)
    run(first, kept, objective=own(2.0))
    run(again, kept, objective=Weighted(2.0).method)
    assert same(first, again)


def test_what_training_moves_is_no_part_of_it(tmp_path: Path) -> None:
    """A stored sigma, a counter, a running mean, the baseline: the same objects, used already."""

    class Counted(VAE):
        def __init__(self) -> None:
            super().__init__(2, SHAPE, (6,), GaussianLikelihood("optimal"))
            self.norm = nn.BatchNorm2d(1)

        def encode(self, x: Tensor) -> Any:
            return super().encode(self.norm(x))

    kept, model = tmp_path / "run", Counted()
    objective = score(baseline=RunningBaseline())
    with pytest.raises(Killed):
        run(model, kept, objective=Dying(objective, 7), checkpoint_steps=1)
    assert int(model.norm.num_batches_tracked) > 0
    assert int(model.likelihood.batches) > 0
    run(model, kept, objective=objective, checkpoint_steps=1)
    whole = Counted()
    run(whole, objective=score(baseline=RunningBaseline()))
    assert same(model, whole)


LOOKED = 0  # what an objective in a notebook counts by


def test_looking_moves_nothing() -> None:
    """Neither the weights, nor the streams, nor what an objective keeps, wherever it keeps it."""
    model, baseline, generator = small(), RunningBaseline(), torch.Generator().manual_seed(4)
    seen: list[int] = []
    counts = {"calls": 0}

    def objective(
        model: VAE,
        x: Tensor,
        labels: Tensor,
        noise: Any,
        *,
        held: list[int] = [],  # noqa: B006
    ) -> dict[str, Tensor]:
        global LOOKED
        LOOKED += 1
        counts["calls"] += 1
        seen.append(len(x))
        held.append(len(x))
        random.random()
        np.random.rand()
        torch.rand(1), torch.rand(1, generator=generator)
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
        bound = elbo(model, x, gradient="score-function", baseline=baseline, validate=False)
        return {"loss": -bound.total}

    def state() -> list[Any]:
        return [
            LOOKED, counts["calls"], list(seen), list((objective.__kwdefaults__ or {})["held"]),
            baseline.value, generator.get_state().tolist(), torch.get_rng_state().tolist(),
            random.getstate(), np.random.get_state()[1].tolist(),  # type: ignore[index]
            [values.tolist() for values in model.state_dict().values()], model.training,
            [parameter.grad for parameter in model.parameters()], torch.get_num_threads(),
        ]  # fmt: skip

    before = state()
    cpu = torch.device("cpu")
    for _ in range(2):
        found = behaviour(model, objective, images(), "dynamic", torch.float32, cpu)
        assert state() == before
    assert len(found["numbers"]) > 4
    assert behaviour(model, objective, images(), "dynamic", torch.float32, cpu) == found
    objective(model, images().images / 255, images().labels, None)
    assert state() != before


def test_a_checkpoint_may_go_on_where_numbers_round_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor's last digits are no other run; a thousandth of a setting is."""
    kept = tmp_path / "run"
    run(small(), kept)
    held = _checkpoint.from_bytes(kept.read_bytes(), kept)
    numbers = held.facts["identity"]["behaviour"]["numbers"]
    for factor, taken in ((1 + 1e-9, True), (1 + 1e-4, False)):
        held.facts["identity"]["behaviour"]["numbers"] = [n * factor for n in numbers]
        kept.write_bytes(held.to_bytes())
        if taken:
            run(small(), kept)
        else:
            with pytest.raises(ValueError, match="is of another run"):
                run(small(), kept)
