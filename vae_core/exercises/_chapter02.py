"""Exercises of chapter 2: averages of tiny numbers, and how many draws stand behind them."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

# --- the log of a mean ----------------------------------------------------------------------

mean = Exercise(
    "log_mean_exp",
    chapter=2,
    kind="code",
    title="The log of a mean of exponentials",
    signature="log_mean_exp(log_weights) -> tensor of shape [batch], in nats; "
    "log_weights: [n, batch], one row a draw",
    mistakes=("naive_logsumexp", "mean_of_logs", "missing_log_n", "divided_twice",
              "one_per_draw", "one_number"),
)  # fmt: skip


def _log_mean(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def _one_each(found: Any, n: int, batch: int) -> None:
    """Fail if there is one number for each draw, or a single one, in place of one an example."""
    if isinstance(found, Tensor) and tuple(found.shape) == (n,):
        raise Failure(f"the shape [{batch}]", f"[{n}]", "one_per_draw")
    if isinstance(found, int | float) or (isinstance(found, Tensor) and found.ndim == 0):
        raise Failure("one number for each example", "one number", "one_number")


def _mean_mistakes(log_weights: Tensor) -> dict[str, Any]:
    right, n = _log_mean(log_weights), len(log_weights)
    return {
        "missing_log_n": right + math.log(n),
        "divided_twice": right - math.log(n),
        "mean_of_logs": log_weights.mean(0),
    }


@mean.step("gives one finite number for each example, the log of the mean over draws")
def _mean_values(attempt: Attempt) -> None:
    for n, batch in [(6, 4), (50, 3)] + [(1, 2), (2000, 5)] * attempt.thorough:
        log_weights = 2 * attempt.normal(n, batch) - 1
        found = attempt.array(attempt(log_weights))
        _one_each(found, n, batch)
        attempt.close(
            attempt.tensor(found, (batch,)),
            _log_mean(log_weights),
            f"the log of the mean of {n} weights",
            mistakes=_mean_mistakes(log_weights),
        )


@mean.step("works for weights far below and far above what a float can hold")
def _mean_extreme(attempt: Attempt) -> None:
    for level in (-10_000.0, 10_000.0):
        log_weights = attempt.normal(20, 3) + level
        found = attempt.array(attempt(log_weights))
        if isinstance(found, Tensor) and not bool(torch.isfinite(found).all()):
            raise Failure(
                f"finite numbers, for log-weights near {level:,.0f}", str(found), "naive_logsumexp"
            )
        attempt.close(
            attempt.tensor(found, (3,)),
            _log_mean(log_weights),
            f"for log-weights near {level:,.0f}",
            mistakes=_mean_mistakes(log_weights),
            size=1e4,
        )


@mean.step("gives each draw its share of the gradient")
def _mean_gradient(attempt: Attempt) -> None:
    log_weights = (3 * attempt.normal(8, 2)).requires_grad_()
    found = attempt.tensor(attempt(log_weights), (2,))
    attempt.close(
        attempt.gradient(found, log_weights),
        log_weights.detach().softmax(0),
        "the gradient with respect to the log-weights",
    )


# --- effective sample size ------------------------------------------------------------------

size = Exercise(
    "effective_sample_size",
    chapter=2,
    kind="code",
    title="The effective sample size",
    signature="effective_sample_size(log_weights) -> tensor of shape [batch]; "
    "log_weights: [n, batch], one row a draw",
    mistakes=("naive_logsumexp", "log_weights_as_weights", "raw_weights", "inverse_count",
              "one_per_draw", "one_number"),
)  # fmt: skip


def _size(log_weights: Tensor) -> Tensor:
    return 1 / log_weights.softmax(0).square().sum(0)


@size.step("is what its definition says")
def _size_values(attempt: Attempt) -> None:
    for n, batch in [(7, 4), (40, 3)] + [(1, 3), (500, 2)] * attempt.thorough:
        log_weights = attempt.normal(n, batch) - 0.5
        found = attempt.array(attempt(log_weights))
        _one_each(found, n, batch)
        right, weights = _size(log_weights), log_weights.exp()
        squares = weights.square().sum(0)
        attempt.close(
            attempt.tensor(found, (batch,)),
            right,
            f"the effective size of {n} draws",
            mistakes={
                "inverse_count": 1 / right,
                "raw_weights": [1 / squares, weights.sum(0) ** 2, weights.sum(0) / squares],
                "log_weights_as_weights": log_weights.sum(0) ** 2 / log_weights.square().sum(0),
            },
        )


@size.step("is n for equal weights and 1 for a single one that counts, at any scale")
def _size_extreme(attempt: Attempt) -> None:
    for level in (-10_000.0, 0.0, 10_000.0):
        equal = torch.full((12, 1), level, dtype=torch.float64)
        single = equal.clone()
        single[5] += 200
        log_weights = torch.cat([equal, single], 1)
        found = attempt.array(attempt(log_weights))
        if isinstance(found, Tensor) and not bool(torch.isfinite(found).all()):
            raise Failure(
                f"finite numbers, for log-weights near {level:,.0f}", str(found), "naive_logsumexp"
            )
        what = f"for log-weights near {level:,.0f}"
        attempt.close(attempt.tensor(found, (2,)), _size(log_weights), what, size=1e4)


# --- one draw at a time ---------------------------------------------------------------------

running = Exercise(
    "running_evidence",
    chapter=2,
    kind="code",
    title="Log-sum-exp, one draw at a time",
    signature="running_evidence(state, log_weight) -> (state, log_mean, effective_size); state: "
    "None before the first draw, then what the call before gave; log_weight: a float",
    mistakes=(
        "naive_logsumexp",
        "old_scale",
        "missing_log_n",
        "mean_of_logs",
        "growing_state",
        "inverse_count",
    ),
)


def _feed(attempt: Attempt, log_weights: Tensor) -> tuple[Any, float, float]:
    """State, log mean and effective size after all log-weights."""
    state: Any = None
    log_mean = effective = math.nan
    for log_weight in log_weights.tolist():
        step = attempt
        if callable(attempt.answer):  # the state may be changed in place: it is the answer's own
            step = Attempt(functools.partial(attempt.answer, state))
        found = step(log_weight)
        if not (isinstance(found, tuple | list) and len(found) == 3):
            raise Failure("(state, log_mean, effective_size)", short(found), "type")
        state, log_mean, effective = found
    return state, log_mean, effective


def _stale(log_weights: list[float]) -> list[tuple[float, float]]:
    """What running sums give whose scale is not, or wrongly, moved to a new maximum."""
    found = []
    for factor in (0.0, 1.0):  # the power of the squares' sum that is rescaled, where any is
        top, total, squares = -math.inf, 0.0, 0.0
        for value in log_weights:
            if value > top:
                total *= math.exp(factor * (top - value)) if factor else 1.0
                squares *= math.exp(factor * (top - value)) if factor else 1.0
                top = value
            total += math.exp(value - top)
            squares += math.exp(2 * (value - top))
        found.append((top + math.log(total / len(log_weights)), total**2 / squares))
    return found


@running.step("follows the mean and the effective size, whatever the order of the draws")
def _running_values(attempt: Attempt) -> None:
    rising = torch.linspace(-3, 2, 9, dtype=torch.float64)
    drawn = [2 * attempt.normal(n) for n in [1, 15] + [60] * attempt.thorough]
    for log_weights in [*drawn, rising, rising.flip(0)]:
        _, log_mean, effective = _feed(attempt, log_weights)
        right, stale = _log_mean(log_weights), _stale(log_weights.tolist())
        n = len(log_weights)
        shown = f"after {n} draw{'s' * (n > 1)}"
        attempt.close(
            attempt.number(log_mean),
            right.item(),
            f"the log of the mean {shown}",
            mistakes={**_mean_mistakes(log_weights), "old_scale": [v for v, _ in stale]},
        )
        count = _size(log_weights).item()
        attempt.close(
            attempt.number(effective),
            count,
            f"the effective sample size {shown}",
            mistakes={"old_scale": [v for _, v in stale], "inverse_count": 1 / count},
        )


@running.step("works near −10,000 and near 10,000")
def _running_extreme(attempt: Attempt) -> None:
    for level in (-10_000.0, 10_000.0):
        log_weights = 2 * attempt.normal(12) + level
        shown = f"for log-weights near {level:,.0f}"
        try:
            _, log_mean, effective = _feed(attempt, log_weights)
        except Failure as failure:
            if failure.mistake != "raises":
                raise
            raise Failure(f"a result {shown}", failure.found, "naive_logsumexp") from None
        if not (math.isfinite(log_mean) and math.isfinite(effective)):
            raise Failure(f"finite numbers {shown}", f"{log_mean}, {effective}", "naive_logsumexp")
        attempt.close(attempt.number(log_mean), _log_mean(log_weights).item(), shown, size=1e4)
        attempt.close(attempt.number(effective), _size(log_weights).item(), shown, size=1e4)


def _held(state: Any) -> int:
    """How many values a state holds."""
    if isinstance(state, Tensor):
        return state.numel()
    if isinstance(state, np.ndarray):
        return state.size
    if isinstance(state, Mapping):
        return sum(map(_held, state.values()))
    if isinstance(state, list | tuple | set | frozenset | deque):
        return sum(map(_held, state))
    return sum(map(_held, vars(state).values())) if hasattr(state, "__dict__") else 1


@running.step("keeps a state that does not grow")
def _running_memory(attempt: Attempt) -> None:
    log_weights = attempt.normal(300)
    sizes = []
    for n in (30, 300):
        state, _, _ = _feed(attempt, log_weights[:n])
        sizes.append(_held(state))
    attempt.require(
        sizes[1] < sizes[0] + 10,
        "as many numbers in the state after 30 as after 300 draws",
        f"{sizes[0]} and {sizes[1]}",
        "growing_state",
    )


# --- importance sampling --------------------------------------------------------------------

weighted = Exercise(
    "importance_log_evidence",
    chapter=2,
    kind="code",
    title="Log P(X) from draws of Q",
    signature="importance_log_evidence(log_likelihood, z, mu, log_sigma) -> tensor of shape "
    "[batch], in nats; log_likelihood: [n, batch], z: [n, batch, latent], drawn from "
    "N(mu, sigma²); mu and log_sigma: [batch, latent]",
    mistakes=(
        "no_density_ratio",
        "missing_log_q",
        "inverse_ratio",
        "missing_log_sigma",
        "naive_logsumexp",
        "mean_of_logs",
        "missing_log_n",
    ),
)


def _densities(z: Tensor, mu: Tensor, log_sigma: Tensor) -> tuple[Tensor, Tensor]:
    """log P(z) and log Q(z|X), [n, batch]."""
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return prior.log_prob(z), Independent(Normal(mu, log_sigma.exp()), 1).log_prob(z)


@weighted.step("weighs each draw as a draw of Q")
def _weighted_values(attempt: Attempt) -> None:
    for n, batch, latent in [(9, 3, 2), (40, 2, 5)] + [(1, 2, 1), (300, 4, 3)] * attempt.thorough:
        mu, log_sigma = attempt.normal(batch, latent), 0.5 * attempt.normal(batch, latent) - 0.5
        z = mu + log_sigma.exp() * attempt.normal(n, batch, latent)
        log_likelihood = 2 * attempt.normal(n, batch) - 4
        p, q = _densities(z, mu, log_sigma)
        right = log_likelihood + p - q
        attempt.close(
            attempt.tensor(attempt(log_likelihood, z, mu, log_sigma), (batch,)),
            _log_mean(right),
            f"log P(X) from {n} draws",
            mistakes={
                "no_density_ratio": _log_mean(log_likelihood),
                "missing_log_q": _log_mean(log_likelihood + p),
                "inverse_ratio": _log_mean(log_likelihood + q - p),
                "missing_log_sigma": [
                    _log_mean(right - log_sigma.sum(-1)),
                    _log_mean(right - log_sigma.sum(-1)) - latent * math.log(2 * math.pi) / 2,
                ],
                **_mean_mistakes(right),
            },
        )


@weighted.step("needs a single draw where Q is the posterior, and no exponent underflows")
def _weighted_exact(attempt: Attempt) -> None:
    """X = z + noise of variance 1/4: every weight is P(X) itself, the density N(0, 5/4)."""
    for d, level in ((3, 0.0), (3, -9_000.0)):
        x = 1.2 * attempt.normal(2, d)
        mu = x / 1.25
        log_sigma = torch.full_like(mu, 0.5 * math.log(0.2))
        z = mu + log_sigma.exp() * attempt.normal(5, 2, d)
        log_likelihood = Normal(z, 0.5).log_prob(x).sum(-1) + level
        exact = Normal(0.0, math.sqrt(1.25)).log_prob(x).sum(-1) + level
        found = attempt.array(attempt(log_likelihood, z, mu, log_sigma))
        if isinstance(found, Tensor) and not bool(torch.isfinite(found).all()):
            raise Failure("finite numbers near −9,000", str(found), "naive_logsumexp")
        attempt.close(attempt.tensor(found, (2,)), exact, "log P(X), known exactly", size=1e4)


# --- the width of Q -------------------------------------------------------------------------

width = Exercise(
    "best_width",
    chapter=2,
    kind="code",
    title="The best wide q",
    signature="best_width(delta) -> the spread c of q, a float above 1/√2, that makes ρ smallest; "
    "delta: how far the mean of q is off; both in posterior standard deviations",
    mistakes=("squared_width", "posterior_width", "narrow_width"),
)


def _rho(c: float, delta: float) -> float:
    a = 2 * c**2 - 1
    return (1 + a) / (2 * math.sqrt(a)) * math.exp(delta**2 / a)


def _best_width(delta: float) -> float:
    """By halving the bracket of the one sign change of log ρ's slope in a = 2c² − 1."""
    low, high = 1e-9, 10 + 4 * delta**2
    for _ in range(200):
        a = (low + high) / 2
        low, high = (low, a) if 1 / (1 + a) - 1 / (2 * a) > delta**2 / a**2 else (a, high)
    return math.sqrt((1 + low) / 2)


@width.step("is the posterior's own spread where the mean is right")
def _width_zero(attempt: Attempt) -> None:
    attempt.close(attempt.number(attempt(0.0)), 1.0, "c for an offset of 0", rtol=1e-5)


@width.step("makes ρ as small as it can be")
def _width_values(attempt: Attempt) -> None:
    drawn = (3 * torch.rand(4, generator=attempt.generator) + 0.2).tolist()
    for delta in [*drawn, -1.0] + [10.0] * attempt.thorough:
        found, right = attempt.number(attempt(delta)), _best_width(delta)
        if 0 < found < 1 - 1e-6:
            raise Failure(f"a spread above 1 for δ = {delta:.3g}", f"{found:.4g}", "narrow_width")
        attempt.close(
            found,
            right,
            f"c for δ = {delta:.3g}, where ρ is {_rho(right, delta):.4g}",
            rtol=1e-4,
            mistakes={"squared_width": [right**2, 2 * right**2 - 1], "posterior_width": 1.0},
        )


# --- a derivation ---------------------------------------------------------------------------

bound = Exercise(
    "rho_at_least_one",
    chapter=2,
    kind="derivation",
    title="ρ is never below one",
    signature="a list of lines, typed in the workbench's notation, from (1 + a) / (2 * sqrt(a)), "
    "for a > 0, down to 1; an inequality names what it leaves away after the word gap",
)


@bound.step("each line follows from the one before, and the last is 1")
def _bound_chain(attempt: Attempt) -> None:
    attempt.derivation("rho_at_least_one")


EXERCISES = (mean, size, running, weighted, width, bound)
