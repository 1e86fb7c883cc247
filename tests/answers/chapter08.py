"""Answers to the exercises of chapter 8."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special, stats
from torch.distributions import Normal

from answers import right, wrong

GRID = "grid_posterior"


def _joint(log_p_x, grid):
    return log_p_x - grid**2 / 2 - math.log(2 * math.pi) / 2


@right(GRID)
def by_logsumexp(log_p_x, grid):
    joint = _joint(log_p_x, grid)
    step = grid[1] - grid[0]
    return joint - torch.logsumexp(joint, dim=1, keepdim=True) - torch.log(step)


@right(GRID)
def by_the_trapezoid(log_p_x, grid):
    joint = Normal(0.0, 1.0).log_prob(grid) + log_p_x
    top = joint.amax(1, keepdim=True)
    return joint - top - torch.trapezoid((joint - top).exp(), grid, dim=1).log()[:, None]


@wrong(GRID, "prior_missing")
def likelihood_only(log_p_x, grid):
    return log_p_x.log_softmax(1) - (grid[1] - grid[0]).log()


@wrong(GRID, "cell_width")
def sums_to_one(log_p_x, grid):
    return _joint(log_p_x, grid).log_softmax(1)


@wrong(GRID, "naive_logsumexp")
def as_it_stands(log_p_x, grid):
    p = _joint(log_p_x, grid).exp()
    return (p / (p.sum(1, keepdim=True) * (grid[1] - grid[0]))).log()


@wrong(GRID, "normalised_over_batch")
def over_the_images(log_p_x, grid):
    return _joint(log_p_x, grid).log_softmax(0) - (grid[1] - grid[0]).log()


@wrong(GRID, "exp_left_in")
def the_density(log_p_x, grid):
    return by_logsumexp(log_p_x, grid).exp()


GAP = "grid_gap"


@right(GAP)
def on_the_grid(log_joint, mu, log_sigma, grid):
    step = grid[1] - grid[0]
    q = Normal(mu[:, None], log_sigma.exp()[:, None]).log_prob(grid)
    p = log_joint - log_joint.logsumexp(1, keepdim=True) - step.log()
    return (q.exp() * (q - p)).sum(1) * step


@right(GAP)
def evidence_minus_bound(log_joint, mu, log_sigma, grid):
    q = Normal(mu[:, None], log_sigma.exp()[:, None]).log_prob(grid)
    top = log_joint.amax(1)
    evidence = top + torch.trapezoid((log_joint - top[:, None]).exp(), grid).log()
    return evidence - torch.trapezoid(q.exp() * (log_joint - q), grid)


def _q_and_p(log_joint, mu, log_sigma, grid):
    step = grid[1] - grid[0]
    q = Normal(mu[:, None], log_sigma.exp()[:, None]).log_prob(grid)
    return q, log_joint - log_joint.logsumexp(1, keepdim=True) - step.log(), step


@wrong(GAP, "kl_reversed")
def from_the_posterior(log_joint, mu, log_sigma, grid):
    q, p, step = _q_and_p(log_joint, mu, log_sigma, grid)
    return (p.exp() * (p - q)).sum(1) * step


@wrong(GAP, "kl_sign")
def p_minus_q(log_joint, mu, log_sigma, grid):
    q, p, step = _q_and_p(log_joint, mu, log_sigma, grid)
    return (q.exp() * (p - q)).sum(1) * step


@wrong(GAP, "joint_for_posterior")
def from_the_joint(log_joint, mu, log_sigma, grid):
    q, _, step = _q_and_p(log_joint, mu, log_sigma, grid)
    return (q.exp() * (q - log_joint)).sum(1) * step


@wrong(GAP, "cell_width")
def sum_for_integral(log_joint, mu, log_sigma, grid):
    q, p, _ = _q_and_p(log_joint, mu, log_sigma, grid)
    return (q.exp() * (q - p)).sum(1)


@wrong(GAP, "cell_width")
def density_against_mass(log_joint, mu, log_sigma, grid):
    q, _, step = _q_and_p(log_joint, mu, log_sigma, grid)
    return (q.exp() * (q - log_joint.log_softmax(1))).sum(1) * step


@wrong(GAP, "log_variance")
def as_log_variance(log_joint, mu, log_sigma, grid):
    return on_the_grid(log_joint, mu, 0.5 * log_sigma, grid)


@wrong(GAP, "log_base")
def in_bits(log_joint, mu, log_sigma, grid):
    return on_the_grid(log_joint, mu, log_sigma, grid) / math.log(2)


@wrong(GAP, "naive_logsumexp")
def exponentials_first(log_joint, mu, log_sigma, grid):
    q, _, step = _q_and_p(log_joint, mu, log_sigma, grid)
    p = log_joint.exp() / (log_joint.exp().sum(1, keepdim=True) * step)
    return (q.exp() * (q - p.log())).sum(1) * step


LINEAR = "linear_posterior"


@right(LINEAR)
def by_the_precision(W, b, sigma, x):
    precision = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / sigma**2
    covariance = torch.linalg.inv(precision)
    return (x - b) @ W @ covariance / sigma**2, covariance


@right(LINEAR)
def as_pca_books_have_it(W, b, sigma, x):
    m = W.mT @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype)
    return torch.linalg.solve(m, W.mT @ (x - b).mT).mT, sigma**2 * torch.linalg.inv(m)


@wrong(LINEAR, "prior_missing")
def least_squares(W, b, sigma, x):
    covariance = sigma**2 * torch.linalg.inv(W.T @ W)
    return (x - b) @ torch.linalg.pinv(W).T, covariance


@wrong(LINEAR, "variance_for_sigma")
def sigma_for_its_square(W, b, sigma, x):
    covariance = torch.linalg.inv(torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / sigma)
    return (x - b) @ W @ covariance / sigma, covariance


@wrong(LINEAR, "not_centred")
def without_b(W, b, sigma, x):
    return by_the_precision(W, 0 * b, sigma, x)


@wrong(LINEAR, "precision_for_covariance")
def not_inverted(W, b, sigma, x):
    mean, covariance = by_the_precision(W, b, sigma, x)
    return mean, torch.linalg.inv(covariance)


STUDENT = "student_map"


@right(STUDENT)
def by_the_smaller_tail(z):
    return -np.sign(z) * stats.t(5).ppf(special.ndtr(-np.abs(z)))


@right(STUDENT)
def two_branches(z):
    low = stats.t.ppf(stats.norm.cdf(np.minimum(z, 0)), df=5)
    high = stats.t.isf(stats.norm.sf(np.maximum(z, 0)), df=5)
    return np.where(z < 0, low, high)


@wrong(STUDENT, "map_inverted")
def the_encoder(z):
    return stats.norm.ppf(stats.t(5).cdf(z))


@wrong(STUDENT, "density_for_cdf")
def of_the_density(z):
    return stats.t(5).ppf(stats.norm.pdf(z))


@wrong(STUDENT, "moments_only")
def stretched(z):
    return z * stats.t(5).std()


@wrong(STUDENT, "tail_lost")
def plain_quantiles(z):
    return stats.t(5).ppf(stats.norm.cdf(z))


@wrong(STUDENT, "tail_lost")
def clipped(z):
    return stats.t(5).ppf(np.clip(stats.norm.cdf(z), 1e-12, 1 - 1e-12))


DECAY = "decay_law"


@right(DECAY)
def by_polyfit(sigmas, gaps):
    rate, height = np.polyfit(np.log(sigmas.numpy()), np.log(gaps.numpy()), 1)
    return rate, np.exp(height)


@right(DECAY)
def by_moments(sigmas, gaps):
    x, y = torch.log10(sigmas), torch.log10(gaps)
    rate = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return rate, 10 ** (y.mean() - rate * x.mean())


@wrong(DECAY, "no_logs")
def a_straight_line(sigmas, gaps):
    rate, height = np.polyfit(sigmas.numpy(), gaps.numpy(), 1)
    return rate, height


@wrong(DECAY, "no_logs")
def half_logarithmic(sigmas, gaps):
    rate, height = np.polyfit(sigmas.numpy(), np.log(gaps.numpy()), 1)
    return rate, np.exp(height)


@wrong(DECAY, "log_constant")
def height_for_constant(sigmas, gaps):
    return tuple(np.polyfit(np.log(sigmas.numpy()), np.log(gaps.numpy()), 1))


@wrong(DECAY, "log_constant")
def ten_and_e(sigmas, gaps):
    rate, height = np.polyfit(np.log10(sigmas.numpy()), np.log10(gaps.numpy()), 1)
    return rate, np.exp(height)


@wrong(DECAY, "axes_exchanged")
def sigma_on_gap(sigmas, gaps):
    rate, height = np.polyfit(np.log(gaps.numpy()), np.log(sigmas.numpy()), 1)
    return rate, np.exp(height)


MAP = "lognormal_map"
LOGNORMAL = {
    "g": "log(X) / w",
    "slope": "1 / (w * X)",
    "score": "-(1 + log(X) / w^2) / X",
    "d": "log(X) / (w^2 * X)",
    "a": "1 / X",
    "c": "(15 * w^4 + 12 * w^2 * log(X) + 4 * log(X)^2) / (8 * w^4 * X^2)",
}
right(MAP)(LOGNORMAL)


@right(MAP)
def lognormal_by_parts():
    d, s = "log(X) / (w^2 * X)", "(-1 / X - log(X) / (w^2 * X))"
    c = f"(15 * {s}^2 + 18 * ({d}) * {s} + 7 * ({d})^2) / 8"
    return {**LOGNORMAL, "d": d, "score": s, "c": c}


wrong(MAP, None)({**LOGNORMAL, "g": "w * log(X)"})
wrong(MAP, None)({**LOGNORMAL, "score": "-log(X) / (w^2 * X)"})
wrong(MAP, None)({**LOGNORMAL, "c": "3 / (4 * X^2)"})
wrong(MAP, None)({k: v for k, v in LOGNORMAL.items() if k != "a"})
