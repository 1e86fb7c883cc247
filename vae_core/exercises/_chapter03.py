"""Exercises of chapter 3: the bound by sampling, its gap, and rounds of raising it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core.evaluation import OneLatent
from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

HALF_LOG_2PI = math.log(2 * math.pi) / 2
Q = tuple[float, float]

# --- the bound by sampling ------------------------------------------------------------------

sampled = Exercise(
    "elbo_from_draws",
    chapter=3,
    kind="code",
    title="The bound, all of it sampled",
    signature="elbo_from_draws(model, q, z) -> (value, standard_error), floats in nats; model: a "
    "OneLatent, q: (mean, sigma), z: NumPy array [n] of draws from q",
    mistakes=(
        "log_of_mean",
        "missing_log_q",
        "kl_missing",
        "missing_log_2pi",
        "missing_log_sigma",
        "variance_for_sigma",
        "kl_sign",
        "loss_for_bound",
        "spread_for_error",
        "variance_for_error",
    ),
)
closed = Exercise(
    "elbo_with_closed_kl",
    chapter=3,
    kind="code",
    title="The bound, with its divergence in closed form",
    signature="elbo_with_closed_kl(model, q, z) -> (value, standard_error), as elbo_from_draws",
    mistakes=(
        "log_of_mean",
        "kl_missing",
        "kl_sign",
        "loss_for_bound",
        "kl_missing_half",
        "kl_doubled",
        "kl_missing_one",
        "variance_for_sigma",
        "spread_for_error",
    ),
)


def _log_normal(z: np.ndarray, mean: float, sigma: float) -> np.ndarray:
    return -0.5 * ((z - mean) / sigma) ** 2 - math.log(sigma) - HALF_LOG_2PI


def _log_mean(values: np.ndarray) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).mean()))


def _cases(attempt: Attempt) -> list[tuple[OneLatent, Q, np.ndarray]]:
    """Models with a Q each, and draws from it."""
    found = []
    for decoder in ("line", "exponential", "square") * (1 + attempt.thorough):
        u = torch.rand(4, generator=attempt.generator, dtype=torch.float64).tolist()
        model = OneLatent(decoder, x=0.5 + 2 * u[0], sigma=0.5 + u[1])
        q = (1.2 * u[2] - 0.3, 0.3 + 0.4 * u[3])
        found.append((model, q, q[0] + q[1] * attempt.normal(400).numpy()))
    return found


def _pair(attempt: Attempt, found: Any) -> tuple[float, float]:
    if not (isinstance(found, tuple | list) and len(found) == 2):
        raise Failure("(value, standard_error)", short(found), "type")
    return attempt.number(found[0]), attempt.number(found[1])


def _error(attempt: Attempt, found: float, draws: np.ndarray) -> None:
    """The standard error; whether n or n - 1 was divided by is not judged."""
    spread, n = float(draws.std(ddof=1)), len(draws)
    attempt.close(
        found,
        spread / math.sqrt(n),
        f"the standard error of the mean of {n} draws",
        rtol=0.01,
        mistakes={
            "spread_for_error": spread,
            "variance_for_error": [spread**2, spread**2 / n],
        },
    )


@sampled.step("gives the mean over draws of what each is worth")
def _sampled_value(attempt: Attempt) -> None:
    for model, q, z in _cases(attempt):
        likelihood, prior = model.log_likelihood(z), _log_normal(z, 0.0, 1.0)
        log_q = _log_normal(z, *q)
        wide, narrow = _log_normal(z, q[0], q[1] ** 0.5), _log_normal(z, q[0], q[1] ** 2)
        right = likelihood + prior - log_q
        value, _ = _pair(attempt, attempt(model, q, z))
        attempt.close(
            value,
            right.mean(),
            f"the ELBO from {len(z)} draws",
            mistakes={
                "log_of_mean": _log_mean(right),
                "missing_log_q": (likelihood + prior).mean(),
                "kl_missing": likelihood.mean(),
                "missing_log_2pi": [right.mean() + HALF_LOG_2PI, right.mean() - HALF_LOG_2PI],
                "missing_log_sigma": [
                    right.mean() - math.log(q[1]),
                    right.mean() - math.log(q[1]) - HALF_LOG_2PI,
                ],
                "variance_for_sigma": [
                    (likelihood + prior - wide).mean(),
                    (likelihood + prior - narrow).mean(),
                ],
                "kl_sign": (likelihood - prior + log_q).mean(),
                "loss_for_bound": -right.mean(),
            },
        )


@sampled.step("knows its own error")
def _sampled_error(attempt: Attempt) -> None:
    for model, q, z in _cases(attempt):
        _, error = _pair(attempt, attempt(model, q, z))
        _error(attempt, error, model.log_joint(z) - _log_normal(z, *q))


@sampled.step("has no error at all where Q is the posterior")
def _sampled_tight(attempt: Attempt) -> None:
    model = OneLatent("line", x=1.5, sigma=0.8)
    variance = 0.8**2 / (1 + 0.8**2)
    q = (1.5 / (1 + 0.8**2), math.sqrt(variance))
    z = q[0] + q[1] * attempt.normal(50).numpy()
    value, error = _pair(attempt, attempt(model, q, z))
    attempt.close(value, model.evidence, "the ELBO where Q is the posterior")
    attempt.close(error, 0.0, "its standard error there", atol=1e-6, size=10)


@closed.step("gives the mean reconstruction less the divergence")
def _closed_value(attempt: Attempt) -> None:
    for model, (mean, sigma), z in _cases(attempt):
        likelihood = model.log_likelihood(z)
        kl = (sigma**2 + mean**2 - 1) / 2 - math.log(sigma)
        right = float(likelihood.mean()) - kl
        value, _ = _pair(attempt, attempt(model, (mean, sigma), z))
        attempt.close(
            value,
            right,
            f"the ELBO, its reconstruction from {len(z)} draws",
            mistakes={
                "log_of_mean": _log_mean(likelihood) - kl,
                "kl_missing": right + kl,
                "kl_sign": [right + 2 * kl, right + 2 * math.log(1 / sigma)],
                "loss_for_bound": -right,
                "kl_doubled": right - kl,
                "kl_missing_half": [
                    right + kl - (sigma**2 + mean**2 - math.log(sigma) - 0.5),
                    right + kl - (sigma**2 + mean**2 - math.log(sigma) - 1),
                ],
                "kl_missing_one": right - 0.5,
                "variance_for_sigma": [
                    right + kl - ((sigma + mean**2 - 1) / 2 - math.log(sigma) / 2),
                    right + kl - ((sigma + mean**2 - 1) / 2 - math.log(sigma)),
                ],
            },
        )


@closed.step("knows its own error")
def _closed_error(attempt: Attempt) -> None:
    for model, q, z in _cases(attempt):
        _, error = _pair(attempt, attempt(model, q, z))
        _error(attempt, error, model.log_likelihood(z))


@closed.step("agrees with the integrated bound, within its error")
def _closed_exact(attempt: Attempt) -> None:
    for model, q, _ in _cases(attempt):
        z = q[0] + q[1] * attempt.normal(20_000).numpy()
        value, error = _pair(attempt, attempt(model, q, z))
        attempt.within(value, model.elbo(q), error, "the ELBO by integration", errors=6.0)


# --- the gap --------------------------------------------------------------------------------

gap = Exercise(
    "discrete_gap",
    chapter=3,
    kind="code",
    title="The gap, for a z with a few states",
    signature="discrete_gap(prior, likelihood, q) -> the gap, a number in nats; prior: P(z), "
    "likelihood: P(X|z) of the X that was seen, q: Q(z|X); tensors [states]",
    mistakes=("kl_reversed", "prior_for_posterior", "joint_for_posterior", "kl_sign"),
)


def _kl(q: Tensor, p: Tensor) -> float:
    return float((torch.xlogy(q, q) - torch.xlogy(q, p)).sum())


@gap.step("is what the bound lacks")
def _gap_values(attempt: Attempt) -> None:
    for states in (3, 5) + (2, 30) * attempt.thorough:
        prior, q = attempt.normal(states).softmax(0), attempt.normal(states).softmax(0)
        likelihood = 0.8 * torch.rand(states, generator=attempt.generator).double() + 0.05
        joint = prior * likelihood
        posterior, right = joint / joint.sum(), 0.0
        right = float(joint.sum().log()) - float((q * (joint / q).log()).sum())
        attempt.close(
            attempt.number(attempt(prior, likelihood, q)),
            right,
            f"the gap for {states} states",
            mistakes={
                "kl_reversed": _kl(posterior, q),
                "prior_for_posterior": [_kl(q, prior), _kl(posterior, prior)],
                "joint_for_posterior": _kl(q, joint),
                "kl_sign": -right,
            },
        )


@gap.step("is 0 where Q is the posterior, and finite where Q leaves a state out")
def _gap_edges(attempt: Attempt) -> None:
    prior = attempt.normal(4).softmax(0)
    likelihood = torch.rand(4, generator=attempt.generator).double() + 0.1
    posterior = prior * likelihood / (prior * likelihood).sum()
    found = attempt.number(attempt(prior, likelihood, posterior))
    attempt.close(found, 0.0, "the gap where Q is the posterior")
    q = torch.tensor([0.0, 0.5, 0.5, 0.0], dtype=torch.float64)
    found = attempt.number(attempt(prior, likelihood, q))
    attempt.close(found, _kl(q, posterior), "the gap of a Q with two empty states")


# --- raising the bound in turns -------------------------------------------------------------

turns = Exercise(
    "bound_round",
    chapter=3,
    kind="code",
    title="One round of raising the bound in turns",
    signature="bound_round(x, theta, m, t, alpha) -> (theta, m, t) after one round; x: NumPy array "
    "[n] of observations, m: [n], the means of their Q, t: their common standard deviation",
    mistakes=(
        "stale_q",
        "missing_variance",
        "variance_for_sigma",
        "share_ignored",
        "share_reversed",
        "theta_forgotten",
    ),
)


def _round(x: np.ndarray, theta: float, m: np.ndarray, t: float, alpha: float) -> Any:
    best_m, best_t = theta * x / (theta**2 + 1), 1 / math.sqrt(theta**2 + 1)
    m, t = m + alpha * (best_m - m), t + alpha * (best_t - t)
    return float(x @ m / (m @ m + len(x) * t**2)), m, t


def _round_cases(attempt: Attempt) -> list[tuple[np.ndarray, float, np.ndarray, float, float]]:
    found = []
    for alpha in (1.0, 0.3, 0.05) + (0.8,) * attempt.thorough:
        x = math.sqrt(5) * attempt.normal(50).numpy()
        m = 0.2 * x + 0.1 * attempt.normal(50).numpy()
        found.append((x, 1.3, m, 0.8, alpha))
    return found


def _three(attempt: Attempt, found: Any, n: int) -> tuple[float, Tensor, float]:
    if not (isinstance(found, tuple | list) and len(found) == 3):
        raise Failure("(theta, m, t)", short(found), "type")
    return (
        attempt.number(found[0]),
        attempt.tensor(found[1], (n,)),
        attempt.number(found[2]),
    )


@turns.step("moves every Q its share of the way to the posterior")
def _turns_q(attempt: Attempt) -> None:
    for x, theta, m, t, alpha in _round_cases(attempt):
        found = _three(attempt, attempt(x, theta, m, t, alpha), len(x))
        _, right_m, right_t = _round(x, theta, m, t, alpha)
        best_m = theta * x / (theta**2 + 1)
        attempt.close(
            found[1],
            torch.as_tensor(right_m),
            f"the means after a share of {alpha}",
            mistakes={
                "share_ignored": torch.as_tensor(best_m),
                "share_reversed": torch.as_tensor((1 - alpha) * best_m + alpha * m),
                "theta_forgotten": [
                    torch.as_tensor(m + alpha * (best - m)) for best in (x, x / theta)
                ],
            },
        )
        variance = 1 / (theta**2 + 1)
        attempt.close(
            found[2],
            right_t,
            f"the standard deviation after a share of {alpha}",
            mistakes={"variance_for_sigma": t + alpha * (variance - t)},
        )


@turns.step("then sets θ to the top of the bound")
def _turns_theta(attempt: Attempt) -> None:
    for x, theta, m, t, alpha in _round_cases(attempt):
        found = _three(attempt, attempt(x, theta, m, t, alpha), len(x))
        right, new_m, _ = _round(x, theta, m, t, alpha)
        attempt.close(
            found[0],
            right,
            f"θ after a share of {alpha}",
            mistakes={
                "stale_q": float(x @ m / (m @ m + len(x) * t**2)),
                "missing_variance": float(x @ new_m / (new_m @ new_m)),
            },
        )


@turns.step("never lowers log P of the data if the whole way is gone")
def _turns_em(attempt: Attempt) -> None:
    x, theta, m, t, _ = _round_cases(attempt)[0]
    theta, m, t = _round(x, theta, m, t, 1.0)
    last = -math.inf
    for _ in range(8):
        variance = theta**2 + 1
        now = float(-(x**2).sum() / (2 * variance) - len(x) * math.log(variance) / 2)
        attempt.require(now >= last - 1e-9, "log P(data) never to fall for α = 1", "that it fell")
        last = now
        theta, found_m, t = _three(attempt, attempt(x, theta, m, t, 1.0), len(x))
        m = found_m.double().numpy()


# --- a derivation ---------------------------------------------------------------------------

chain = Exercise(
    "elbo_chain",
    chapter=3,
    kind="derivation",
    title="The bound, line by line",
    signature="a list of lines, typed in the workbench's notation, from log P(X) down to the bound "
    "as reconstruction less divergence; the inequality names what it leaves away after gap",
)


@chain.step("each line follows from the one before, and the last is the bound")
def _chain(attempt: Attempt) -> None:
    attempt.derivation("elbo_chain")


EXERCISES = (sampled, closed, gap, turns, chain)
