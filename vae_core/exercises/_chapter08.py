"""Exercises of chapter 8: true posteriors and the gap of a Q."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

posterior = Exercise(
    "grid_posterior",
    chapter=8,
    kind="code",
    title="The true posterior on a grid",
    signature="grid_posterior(log_p_x, grid) -> log P(z|X) at the grid's places, [n, places]; "
    "log_p_x: log P(X|z), [n, places]; grid: places of z in equal steps, [places]; P(z) = N(0, 1)",
    mistakes=(
        "prior_missing",
        "cell_width",
        "naive_logsumexp",
        "normalised_over_batch",
        "exp_left_in",
    ),
)


def _grid(places: int = 401, reach: float = 6.0) -> Tensor:
    return torch.linspace(-reach, reach, places, dtype=torch.float64)


def _normalised(log_joint: Tensor, grid: Tensor) -> Tensor:
    return log_joint - log_joint.logsumexp(1, keepdim=True) - (grid[1] - grid[0]).log()


def _linear(attempt: Attempt, n: int) -> tuple[Tensor, float, float]:
    """Observations X [n], the slope and the sigma of P(X|z) = N(w z, s^2)."""
    return 1.5 * attempt.normal(n), 1.4, 0.7


@posterior.step("gives a finite number at each place for each X")
def _posterior_shape(attempt: Attempt) -> None:
    x, w, s = _linear(attempt, 3)
    grid = _grid(201)
    attempt.tensor(attempt(Normal(w * grid, s).log_prob(x[:, None]), grid), (3, 201))


@posterior.step("is the posterior of a linear decoder, which is known")
def _posterior_values(attempt: Attempt) -> None:
    for places in (401, 801):
        x, w, s = _linear(attempt, 4)
        grid = _grid(places)
        log_p_x = Normal(w * grid, s).log_prob(x[:, None])
        total = w**2 + s**2
        exact = Normal(w * x[:, None] / total, s / math.sqrt(total)).log_prob(grid)
        joint = log_p_x + Normal(0.0, 1.0).log_prob(grid)
        attempt.close(
            attempt.tensor(attempt(log_p_x, grid), (4, places)),
            exact,
            "log P(z|X)",
            rtol=1e-5,
            atol=1e-5,
            mistakes={
                "prior_missing": [_normalised(log_p_x, grid), log_p_x.log_softmax(1)],
                "cell_width": joint.log_softmax(1),
                "normalised_over_batch": [
                    joint.log_softmax(0),
                    joint.log_softmax(0) - (grid[1] - grid[0]).log(),
                ],
                "exp_left_in": [exact.exp(), joint.softmax(1)],
            },
        )


@posterior.step("survives log-likelihoods of real images")
def _posterior_small(attempt: Attempt) -> None:
    grid = _grid(101)
    shape = -3 * (grid - attempt.normal(2, 1)).abs()
    for shift in (-900.0, 900.0):
        found = attempt.array(attempt(shape + shift, grid))
        if isinstance(found, Tensor) and found.shape == shape.shape:
            attempt.require(
                torch.isfinite(found).all(),
                f"finite numbers for log P(X|z) near {shift:g}",
                "infinite ones",
                "naive_logsumexp",
            )
        right = _normalised(shape + Normal(0.0, 1.0).log_prob(grid), grid)
        attempt.close(found, right, "log P(z|X)", size=1e3)


gap = Exercise(
    "grid_gap",
    chapter=8,
    kind="code",
    title="The gap of a given Q, in nats",
    signature="grid_gap(log_joint, mu, log_sigma, grid) -> D[Q(z|X) || P(z|X)] in nats, [n]; "
    "log_joint: log P(X, z), [n, places]; Q = N(mu, sigma^2), mu, log_sigma: [n]; grid: [places]",
    mistakes=(
        "kl_reversed",
        "kl_sign",
        "joint_for_posterior",
        "cell_width",
        "log_variance",
        "log_base",
        "naive_logsumexp",
    ),
)


def _gap_terms(
    log_joint: Tensor, mu: Tensor, log_sigma: Tensor, grid: Tensor
) -> tuple[Tensor, dict[str, Any]]:
    """The divergence, and what each mistake gives."""
    step = grid[1] - grid[0]

    def log_q(scale: Tensor) -> Tensor:
        return Normal(mu[:, None], scale.exp()[:, None]).log_prob(grid)

    def divergence(a: Tensor, b: Tensor) -> Tensor:
        return (a.exp() * (a - b)).sum(1) * step

    q, p = log_q(log_sigma), _normalised(log_joint, grid)
    right = divergence(q, p)
    evidence = log_joint.logsumexp(1) + step.log()
    return right, {
        "kl_reversed": divergence(p, q),
        "kl_sign": -right,
        "joint_for_posterior": [right - evidence, -(right - evidence)],
        "cell_width": [right / step, right - step.log(), right + step.log()],
        "log_variance": [divergence(log_q(log_sigma / 2), p), divergence(log_q(2 * log_sigma), p)],
        "log_base": [right / math.log(2), right * math.log(2)],
    }


@gap.step("gives one finite number for each X")
def _gap_shape(attempt: Attempt) -> None:
    x, w, s = _linear(attempt, 3)
    grid = _grid()
    joint = Normal(w * grid, s).log_prob(x[:, None]) + Normal(0.0, 1.0).log_prob(grid)
    attempt.tensor(attempt(joint, 0.3 * x, torch.full_like(x, -0.5), grid), (3,))


@gap.step("is the divergence from the true posterior of a linear decoder")
def _gap_values(attempt: Attempt) -> None:
    for places in (401, 801):
        x, w, s = _linear(attempt, 4)
        grid = _grid(places, 8.0)
        joint = Normal(w * grid, s).log_prob(x[:, None]) + Normal(0.0, 1.0).log_prob(grid)
        mu, log_sigma = 0.5 * x + 0.1, -0.8 + 0.2 * attempt.normal(4)
        total = w**2 + s**2
        exact = kl_divergence(
            Normal(mu, log_sigma.exp()), Normal(w * x / total, s / math.sqrt(total))
        )
        _, mistakes = _gap_terms(joint, mu, log_sigma, grid)
        found = attempt.tensor(attempt(joint, mu, log_sigma, grid), (4,))
        attempt.close(found, exact, "the gap", rtol=1e-5, atol=1e-6, mistakes=mistakes)


@gap.step("works for a posterior with two peaks, far below 1")
def _gap_peaks(attempt: Attempt) -> None:
    grid = _grid()
    peaks = torch.logaddexp(Normal(-1.5, 0.4).log_prob(grid), Normal(1.0, 0.6).log_prob(grid))
    for shift in (0.0, -900.0):
        joint = peaks.expand(3, -1) + shift + Normal(0.0, 1.0).log_prob(grid)
        mu, log_sigma = 0.8 * attempt.normal(3), torch.full((3,), -0.6, dtype=torch.float64)
        found = attempt.array(attempt(joint, mu, log_sigma, grid))
        if isinstance(found, Tensor) and found.shape == (3,):
            attempt.require(
                torch.isfinite(found).all(),
                f"finite numbers for log P(X, z) near {shift:g}",
                "infinite ones",
                "naive_logsumexp",
            )
        right, mistakes = _gap_terms(joint, mu, log_sigma, grid)
        attempt.close(found, right, "the gap", rtol=1e-5, atol=1e-6, mistakes=mistakes, size=1e3)


linear = Exercise(
    "linear_posterior",
    chapter=8,
    kind="code",
    title="The posterior of a linear decoder",
    signature="linear_posterior(W, b, sigma, x) -> (mean [n, latent], covariance "
    "[latent, latent]); P(X|z) = N(W z + b, sigma^2 I), P(z) = N(0, I); W: [pixels, latent], "
    "b: [pixels], x: [n, pixels]",
    mistakes=("prior_missing", "variance_for_sigma", "not_centred", "precision_for_covariance"),
)


def _linear_reference(W: Tensor, b: Tensor, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """By conditioning the joint Gaussian of z and X, not by the formula that is asked for."""
    of_x = W @ W.T + sigma**2 * torch.eye(len(W), dtype=W.dtype)
    gain = torch.linalg.solve(of_x, W).T  # cov(z, X) cov(X)^-1
    return (x - b) @ gain.T, torch.eye(W.shape[1], dtype=W.dtype) - gain @ W


@linear.step("gives a mean for each X, and one covariance")
def _linear_shape(attempt: Attempt) -> None:
    W = attempt.normal(7, 3)
    found = attempt(W, attempt.normal(7), 0.6, attempt.normal(5, 7))
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failure("a pair: means and covariance", short(found), "type")
    attempt.tensor(found[0], (5, 3))
    attempt.tensor(found[1], (3, 3))


@linear.step("is what conditioning the joint Gaussian of z and X gives")
def _linear_values(attempt: Attempt) -> None:
    for pixels, latent in [(7, 3), (4, 2)] + [(3, 3), (30, 1)] * attempt.thorough:
        W, b, x, sigma = attempt.normal(pixels, latent), attempt.normal(pixels), None, 0.6
        x = attempt.normal(5, pixels) + 1
        mean, covariance = _linear_reference(W, b, sigma, x)
        identity = torch.eye(latent, dtype=W.dtype)
        no_prior = torch.linalg.inv(W.T @ W) * sigma**2
        wrong_s = torch.linalg.inv(identity + W.T @ W / sigma)
        found = attempt(W, b, sigma, x)
        attempt.close(
            found[1],
            covariance,
            "the covariance",
            mistakes={
                "prior_missing": no_prior,
                "variance_for_sigma": [wrong_s, torch.linalg.inv(identity + W.T @ W / sigma**4)],
                "precision_for_covariance": torch.linalg.inv(covariance),
            },
        )
        attempt.close(
            found[0],
            mean,
            "the means",
            mistakes={
                "not_centred": _linear_reference(W, 0 * b, sigma, x)[0],
                "prior_missing": (x - b) @ W @ no_prior / sigma**2,
                "variance_for_sigma": mean * sigma,
            },
        )


@linear.step("agrees with Bayes' rule at any z")
def _linear_bayes(attempt: Attempt) -> None:
    W, b, sigma = attempt.normal(5, 2), attempt.normal(5), 0.8
    x, z = attempt.normal(1, 5), attempt.normal(6, 2)
    parts = [attempt.array(part) for part in attempt(W, b, sigma, x)]
    single = any(part.dtype != torch.float64 for part in parts)
    mean, covariance = (part.double() for part in parts)
    joint = Normal(z @ W.T + b, sigma).log_prob(x).sum(1) + Normal(0.0, 1.0).log_prob(z).sum(1)
    left = joint - MultivariateNormal(mean[0], covariance).log_prob(z)
    what = "log P(X, z) - log P(z|X), the same at all z"
    attempt.close(left, left.mean().expand_as(left), what, rtol=1e-4 if single else 1e-6)


EXERCISES = (posterior, gap, linear)
