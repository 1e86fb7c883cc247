"""Exercises of chapter 5: likelihoods of pixels, with all their constants."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _one_each(attempt: Attempt, found: Any, batch: int, right: Tensor, x: Tensor) -> Tensor:
    """``found``, one number an image; or a failure that tells by its value what was done."""
    found = attempt.array(found)
    if isinstance(found, Tensor) and found.ndim == 0:
        each = right.mean()
        means = [each, each / x[0].numel(), -each, -each / x[0].numel()]
        sums = {"sum_over_batch": [right.sum(), -right.sum()], "mean_over_batch": means}
        attempt.close(found, right, "one number for each image", mistakes=sums)
    shapes = {tuple(x.shape): "not_summed", (batch, x[0].numel()): "not_summed"}
    if isinstance(found, Tensor) and tuple(found.shape) != (batch,):
        attempt.tensor(found, (batch,), shapes=shapes)
    if not isinstance(found, Tensor):
        raise Failure("a tensor", short(found), "type")
    return found


# --- black-and-white pixels -----------------------------------------------------------------

bernoulli = Exercise(
    "bernoulli_log_likelihood",
    chapter=5,
    kind="code",
    title="The log-likelihood of black-and-white pixels",
    signature="bernoulli_log_likelihood(x, logits) -> tensor of shape [batch], in nats; x: "
    "[batch, 1, height, width], each 0 or 1; logits: of the same shape",
    mistakes=(
        "logits_as_probabilities",
        "mean_over_pixels",
        "not_summed",
        "sum_over_batch",
        "mean_over_batch",
        "softmax_for_sigmoid",
        "loss_for_likelihood",
        "saturated_sigmoid",
    ),
)


def _bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    return _sum(x * logits - F.softplus(logits))


def _competing(x: Tensor, logits: Tensor) -> list[Tensor]:
    x, log_p = x.flatten(1), logits.flatten(1).log_softmax(1)
    both = x * log_p + (1 - x) * torch.log1p(-log_p.exp())
    return [both.sum(1), (x * log_p).sum(1)]


def _black(attempt: Attempt, shape: tuple[int, ...]) -> Tensor:
    return (torch.rand(shape, generator=attempt.generator) < 0.4).double()


@bernoulli.step("gives each image the log of its probability, a sum over its pixels")
def _bernoulli_values(attempt: Attempt) -> None:
    for case, (batch, side) in enumerate([(3, 4), (2, 7)] + [(1, 28), (5, 2)] * attempt.thorough):
        shape = (batch, 1, side, side)
        x, logits = _black(attempt, shape), 2 * attempt.normal(*shape)
        if not case:  # logits that have a logarithm, for whoever takes one
            logits = logits.sigmoid()
        right = _bernoulli(x, logits)
        found = _one_each(attempt, attempt(x, logits), batch, right, x)
        as_probability = [logits.clamp(eps, 1 - eps) for eps in (1e-6, 1e-7, 1e-8, 1e-12)]
        attempt.close(
            attempt.tensor(found, (batch,)),
            right,
            f"log P(X|z) of {batch} images",
            mistakes={
                "mean_over_pixels": [right / side**2, -right / side**2],
                "loss_for_likelihood": -right,
                "logits_as_probabilities": [
                    _bernoulli(x, logits.sigmoid()),
                    *[_sum(x * p.log() + (1 - x) * (1 - p).log()) for p in as_probability],
                ],
                "softmax_for_sigmoid": _competing(x, logits),
            },
        )


@bernoulli.step("gives all images together a probability of one")
def _bernoulli_total(attempt: Attempt) -> None:
    bits = torch.tensor([[k >> i & 1 for i in range(6)] for k in range(64)]).double()
    x = bits.reshape(64, 1, 2, 3)
    logits = attempt.normal(1, 1, 2, 3).expand(64, 1, 2, 3)
    found = attempt.tensor(attempt(x, logits), (64,))
    attempt.close(found.exp().sum(), 1.0, "the sum over the 64 images of six pixels", rtol=1e-5)


@bernoulli.step("keeps its digits for large logits, in single precision too")
def _bernoulli_extreme(attempt: Attempt) -> None:
    for level in (30.0, 150.0, 1000.0):
        logits = level * torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 2, 2)
        x = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
        found = attempt.array(attempt(x, logits))
        right = _bernoulli(x.double(), logits.double())
        lost = isinstance(found, Tensor) and not torch.allclose(
            found.double(), right, rtol=1e-4, atol=0
        )
        attempt.require(
            not lost,
            f"{right.item():.6g} for a decoder that is sure (logits ±{level:g}), and half wrong",
            found,
            "saturated_sigmoid",
        )


@bernoulli.step("lets the gradient through to the logits")
def _bernoulli_gradient(attempt: Attempt) -> None:
    x, logits = _black(attempt, (2, 1, 3, 3)), attempt.normal(2, 1, 3, 3).requires_grad_()
    found = attempt.tensor(attempt(x, logits), (2,))
    attempt.close(attempt.gradient(found, logits), x - logits.detach().sigmoid(), "the gradient")


# --- pixels of any value --------------------------------------------------------------------

gaussian = Exercise(
    "gaussian_log_likelihood",
    chapter=5,
    kind="code",
    title="The log-likelihood of pixels of any value",
    signature="gaussian_log_likelihood(x, mean, sigma) -> tensor of shape [batch], in nats; x and "
    "mean: [batch, 1, height, width]; sigma: a float",
    mistakes=(
        "missing_log_2pi",
        "missing_log_sigma",
        "missing_half_square",
        "squared_error_only",
        "variance_for_sigma",
        "mean_over_pixels",
        "not_summed",
        "constant_once",
        "sum_over_batch",
        "mean_over_batch",
        "loss_for_likelihood",
    ),
)


@gaussian.step("gives each image its log density, all constants included")
def _gaussian_values(attempt: Attempt) -> None:
    for batch, side, sigma in [(3, 4, 0.3), (2, 5, 1.7)] + [(4, 28, 0.1)] * attempt.thorough:
        x, mean = attempt.normal(batch, 1, side, side), attempt.normal(batch, 1, side, side)
        right, n = _sum(Normal(mean, sigma).log_prob(x)), side**2
        found = _one_each(attempt, attempt(x, mean, sigma), batch, right, x)
        squares, log, c = _sum((x - mean) ** 2), math.log(sigma), math.log(2 * math.pi) / 2
        halves = -squares / (2 * sigma**2)
        attempt.close(
            attempt.tensor(found, (batch,)),
            right,
            f"log P(X|z) of {batch} images, σ = {sigma}",
            mistakes={
                "missing_log_2pi": halves - n * log,
                "missing_log_sigma": [halves - n * c, halves],
                "missing_half_square": [2 * halves - n * log - n * c, 2 * halves - n * log],
                "squared_error_only": [
                    *[f * s for f in (1, 0.5) for s in (squares, -squares)],
                    *[f * s / n for f in (1, 0.5) for s in (squares, -squares)],
                ],
                "variance_for_sigma": [
                    -squares / (2 * sigma) - n * log * f - n * c * (not bare)
                    for f in (0.5, 1)
                    for bare in (False, True)
                ],
                "mean_over_pixels": right / n,
                "constant_once": halves - log - c,
                "loss_for_likelihood": -right,
            },
        )


@gaussian.step("is a density: its exponential integrates to one")
def _gaussian_integral(attempt: Attempt) -> None:
    for sigma in (0.2, 1.5):
        grid = torch.linspace(-12 * sigma, 12 * sigma, 2001, dtype=torch.float64)
        x = grid.reshape(-1, 1, 1, 1) + 0.3
        found = attempt.tensor(attempt(x, torch.full_like(x, 0.3), sigma), (2001,))
        area = torch.trapezoid(found.exp(), grid)
        attempt.close(area, 1.0, f"the integral over one pixel, σ = {sigma}", rtol=1e-5)


# --- grey pixels ----------------------------------------------------------------------------

continuous = Exercise(
    "continuous_bernoulli_log_prob",
    chapter=5,
    kind="code",
    title="Cross-entropy, counted",
    signature="continuous_bernoulli_log_prob(x, logits) -> tensor of shape [batch], in nats; x: "
    "[batch, 1, height, width], each from 0 to 1; logits: of the same shape, from -50 to 50",
    mistakes=(
        "grey_cross_entropy",
        "normaliser_sign",
        "normaliser_once",
        "mean_over_pixels",
        "logits_as_probabilities",
        "singular_at_zero",
    ),
)


def _log_c(logits: Tensor) -> Tensor:
    """log(l / tanh(l / 2)) of each pixel, from its series where l is small."""
    size = logits.abs().double()
    safe = size.clamp(min=1e-3)
    series = math.log(2) + size**2 / 12 - 7 * size**4 / 1440
    return torch.where(size < 1e-3, series, (safe / torch.tanh(safe / 2)).log())


@continuous.step("is cross-entropy made a density, on grey images")
def _continuous_values(attempt: Attempt) -> None:
    for batch, side in [(3, 4), (2, 6)] + [(1, 28)] * attempt.thorough:
        x = torch.rand(batch, 1, side, side, generator=attempt.generator, dtype=torch.float64)
        logits = 3 * attempt.normal(batch, 1, side, side)
        logits = torch.where(logits.abs() < 0.6, torch.full_like(logits, 0.8), logits)
        plain, normaliser = _bernoulli(x, logits), _log_c(logits)
        right = plain + _sum(normaliser)
        found = _one_each(attempt, attempt(x, logits), batch, right, x)
        squashed = logits.sigmoid()
        attempt.close(
            attempt.tensor(found, (batch,)),
            right,
            f"the log density of {batch} images",
            mistakes={
                "grey_cross_entropy": [plain, -plain],
                "normaliser_sign": plain - _sum(normaliser),
                "normaliser_once": [
                    plain + _log_c(logits.flatten(1).mean(1)),
                    plain + normaliser.flatten(1).mean(1),
                    plain + _log_c(_sum(logits)),
                ],
                "mean_over_pixels": right / side**2,
                "logits_as_probabilities": _bernoulli(x, squashed) + _sum(_log_c(squashed)),
            },
        )


@continuous.step("integrates to one over all greys, whatever the logit")
def _continuous_integral(attempt: Attempt) -> None:
    grid = torch.linspace(0, 1, 4001, dtype=torch.float64)
    x = grid.reshape(-1, 1, 1, 1)
    for logit in (-20.0, -1.0, 0.7, 6.0):
        found = attempt.tensor(attempt(x, torch.full_like(x, logit)), (4001,))
        area = torch.trapezoid(found.exp(), grid)
        attempt.close(area, 1.0, f"the integral for a logit of {logit:g}", rtol=1e-4)


@continuous.step("is exact to six digits at 0, near 0 and at ±50")
def _continuous_exact(attempt: Attempt) -> None:
    special = [0.0, 1e-12, -1e-9, 1e-6, -1e-4, 0.01, -0.1, 0.3, 20.0, -35.0, 50.0, -50.0]
    for logit in special:
        x = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
        logits = torch.full_like(x, logit)
        found = attempt.array(attempt(x, logits))
        right = _bernoulli(x, logits) + _sum(_log_c(logits))
        off = isinstance(found, Tensor) and not torch.allclose(
            found.detach().double(), right, rtol=1e-6, atol=1e-6
        )
        attempt.require(
            not (off and abs(logit) < 1),
            f"the limit of the formula, for a logit of {logit:g}",
            found,
            "singular_at_zero",
        )
        what = f"for a logit of {logit:g}"
        attempt.close(attempt.tensor(found, (3,)), right, what, atol=1e-6, exact=True)


@continuous.step("has a finite gradient everywhere, so that it can train a decoder")
def _continuous_gradient(attempt: Attempt) -> None:
    logits = torch.tensor([0.0, 2.0, -30.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    logits.requires_grad_()
    x = torch.full_like(logits, 0.25).detach()
    found = attempt.tensor(attempt(x, logits), (3,))
    slope = attempt.gradient(found, logits)
    attempt.require(
        torch.isfinite(slope).all(), "finite slopes at 0, 2 and −30", slope, "singular_at_zero"
    )


# --- the best sigma -------------------------------------------------------------------------

sigma = Exercise(
    "best_sigma",
    chapter=5,
    kind="code",
    title="The best σ for a fixed decoder",
    signature="best_sigma(x, mean) -> σ, a number; x and mean: [batch, 1, height, width]",
    mistakes=("variance_for_sigma", "sum_over_pixels", "mean_of_roots", "absolute_error"),
)


@sigma.step("is the σ under which the images are most likely")
def _sigma_values(attempt: Attempt) -> None:
    for batch, side in [(5, 4), (8, 3)] + [(30, 10)] * attempt.thorough:
        scale = torch.linspace(0.1, 0.9, batch, dtype=torch.float64).reshape(-1, 1, 1, 1)
        mean = attempt.normal(batch, 1, side, side)
        x = mean + scale * attempt.normal(batch, 1, side, side)
        found = attempt.number(attempt(x, mean))
        squares = (x - mean) ** 2
        right = squares.mean().sqrt().item()
        attempt.close(
            found,
            right,
            f"σ for {batch} images",
            mistakes={
                "variance_for_sigma": right**2,
                "sum_over_pixels": [
                    _sum(squares).mean().sqrt(),
                    squares.sum().sqrt(),
                    _sum(squares).mean(),
                ],
                "mean_of_roots": [
                    squares.flatten(1).mean(1).sqrt().mean(),
                    _sum(squares).sqrt().mean(),
                ],
                "absolute_error": (x - mean).abs().mean(),
            },
        )


# --- a derivation ---------------------------------------------------------------------------

bound = Exercise(
    "best_sigma_bound",
    chapter=5,
    kind="derivation",
    title="No σ does better",
    signature="a list of lines, typed in the workbench's notation, from "
    "-D * m / (2 * sigma^2) - D/2 * log(2 * pi * sigma^2) up to the value at the best σ; names: D, "
    "m (the mean squared error per pixel), sigma, and T for r - 1 - log(r) with r = m / sigma^2",
)


@bound.step("each line follows from the one before, and the last holds no σ")
def _bound_chain(attempt: Attempt) -> None:
    attempt.derivation("best_sigma_bound")


EXERCISES = (bernoulli, gaussian, continuous, sigma, bound)
