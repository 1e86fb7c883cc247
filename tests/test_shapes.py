"""The shapes that the package declares are checked while its tests run: see tests/shapes.py."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import pytest
import torch
from jaxtyping import Bool, Float
from shapes import ShapeError, checked
from torch import Tensor

from vae_core import distributions, evaluation, models, objectives
from vae_core.distributions import _bernoulli


class Pair(NamedTuple):
    rows: Float[Tensor, "n d"]
    kept: Bool[Tensor, " n"]


def sums(x: Float[Tensor, "n d"], weight: Float[Tensor, " d"] | None = None) -> Float[Tensor, " n"]:
    """Right as declared, unless the weight is a matrix."""
    return (x if weight is None else x * weight).sum(-1)


def transposed(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return x.T


def paired(x: Float[Tensor, "n d"], kept: Tensor) -> Pair:
    return Pair(x, kept)


def refusing(x: Float[Tensor, "n d"]) -> None:
    raise ValueError("x must have two dimensions")


def test_what_is_as_declared_passes() -> None:
    x = torch.ones(3, 2)
    assert checked(sums)(x).shape == (3,)
    assert checked(sums)(x, torch.ones(2)).tolist() == [2, 2, 2]
    assert checked(paired)(x, torch.ones(3, dtype=torch.bool)).rows is x


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (sums, (torch.ones(3, 2, dtype=torch.int64),), "sums: x is"),
        (sums, (torch.ones(3, 2), torch.ones(1, 2)), "weight is"),
        (sums, (torch.ones(4, 3, 2),), r"x is \(4, 3, 2\)"),
        (transposed, (torch.ones(3, 2),), r"return is \(2, 3\)"),
        (paired, (torch.ones(3, 2), torch.ones(2, dtype=torch.bool)), "Pair: kept is"),
        (paired, (torch.ones(3, 2), torch.ones(3)), "Pair: kept is"),
    ],
)
def test_what_is_not_is_named(function: object, arguments: tuple[Tensor, ...], told: str) -> None:
    with pytest.raises(ShapeError, match=told):
        checked(function)(*arguments)  # type: ignore[arg-type]


def test_a_functions_own_refusal_comes_first() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        checked(refusing)(torch.ones(2))


def test_one_size_has_one_name_through_a_call_and_is_free_in_the_next() -> None:
    for n in (3, 5):
        assert checked(sums)(torch.ones(n, n)).shape == (n,)


@pytest.mark.parametrize(
    "function",
    [
        distributions.DiagonalGaussian.kl,
        distributions.GaussianLikelihood.log_prob,
        models.VAE.forward,
        objectives.elbo,
        objectives.importance_weighted_bound,
        evaluation.log_likelihood,
    ],
)
def test_the_package_is_watched(function: object) -> None:
    assert hasattr(function, "__wrapped__")
    assert "[Tensor," in str(inspect.signature(function))  # type: ignore[arg-type]


def test_a_likelihood_of_another_shape_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: one number for a whole batch, the fault of a mean where a sum belongs."""

    def mean(values: Tensor, x: Tensor) -> Tensor:
        return values.mean()

    x = torch.zeros(3, 2)
    likelihood = distributions.BernoulliLikelihood()
    assert likelihood.log_prob(x, torch.zeros(3, 2)).shape == (3,)
    monkeypatch.setattr(_bernoulli, "sum_event", mean)
    with pytest.raises(ShapeError, match="return is"):
        likelihood.log_prob(x, torch.zeros(3, 2))
