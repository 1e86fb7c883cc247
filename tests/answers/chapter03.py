"""Answers to the exercises of chapter 3."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from scipy.special import logsumexp

from answers import right, wrong

SAMPLED = "elbo_from_draws"


def summed_up(draws):
    return draws.mean(), draws.std(ddof=1) / math.sqrt(len(draws))


@right(SAMPLED)
def by_scipy(model, q, z):
    log_q = stats.norm(*q).logpdf(z)
    return summed_up(model.log_likelihood(z) - log_q + stats.norm.logpdf(z))


@right(SAMPLED)
def by_the_joint(model, q, z):
    mean, sigma = q
    log_q = -(((z - mean) / sigma) ** 2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2
    draws = model.log_joint(z) - log_q
    return float(np.mean(draws)), float(np.std(draws) / np.sqrt(z.size))


@wrong(SAMPLED, "log_of_mean")
def evidence_for_bound(model, q, z):
    draws = model.log_joint(z) - stats.norm(*q).logpdf(z)
    return logsumexp(draws) - math.log(len(z)), summed_up(draws)[1]


@wrong(SAMPLED, "missing_log_q")
def joint_only(model, q, z):
    return summed_up(model.log_joint(z))


@wrong(SAMPLED, "kl_missing")
def reconstruction_only(model, q, z):
    return summed_up(model.log_likelihood(z))


@wrong(SAMPLED, "missing_log_2pi")
def q_without_2pi(model, q, z):
    log_q = -0.5 * ((z - q[0]) / q[1]) ** 2 - math.log(q[1])
    return summed_up(model.log_joint(z) - log_q)


@wrong(SAMPLED, "missing_log_2pi")
def prior_without_2pi(model, q, z):
    return summed_up(model.log_likelihood(z) - 0.5 * z**2 - stats.norm(*q).logpdf(z))


@wrong(SAMPLED, "missing_log_sigma")
def q_without_sigma(model, q, z):
    log_q = -0.5 * ((z - q[0]) / q[1]) ** 2 - 0.5 * math.log(2 * math.pi)
    return summed_up(model.log_joint(z) - log_q)


@wrong(SAMPLED, "missing_log_sigma")
def both_without_constants(model, q, z):
    log_q = -0.5 * ((z - q[0]) / q[1]) ** 2
    return summed_up(model.log_joint(z) - log_q)


@wrong(SAMPLED, "variance_for_sigma")
def q_with_variance(model, q, z):
    return summed_up(model.log_joint(z) - stats.norm(q[0], q[1] ** 2).logpdf(z))


@wrong(SAMPLED, "kl_sign")
def divergence_added(model, q, z):
    log_q = stats.norm(*q).logpdf(z)
    return summed_up(model.log_likelihood(z) + log_q - stats.norm.logpdf(z))


@wrong(SAMPLED, "loss_for_bound")
def loss(model, q, z):
    value, error = by_scipy(model, q, z)
    return -value, error


@wrong(SAMPLED, "spread_for_error")
def spread(model, q, z):
    draws = model.log_joint(z) - stats.norm(*q).logpdf(z)
    return draws.mean(), draws.std()


@wrong(SAMPLED, "variance_for_error")
def variance_of_mean(model, q, z):
    draws = model.log_joint(z) - stats.norm(*q).logpdf(z)
    return draws.mean(), draws.var() / len(z)


CLOSED = "elbo_with_closed_kl"


@right(CLOSED)
def closed_by_formula(model, q, z):
    mean, sigma = q
    value, error = summed_up(model.log_likelihood(z))
    return value - (sigma**2 + mean**2 - 1) / 2 + math.log(sigma), error


@right(CLOSED)
def closed_by_torch(model, q, z):
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(*map(torch.tensor, map(float, q))),
        torch.distributions.Normal(0.0, 1.0),
    )
    draws = torch.as_tensor(model.log_likelihood(z)) - kl
    return draws.mean(), draws.std() / len(z) ** 0.5


def with_kl(kl):
    def answer(model, q, z):
        value, error = summed_up(model.log_likelihood(z))
        return value - kl(*q), error

    return answer


@wrong(CLOSED, "log_of_mean")
def closed_log_of_mean(model, q, z):
    mean, sigma = q
    likelihood = model.log_likelihood(z)
    kl = (sigma**2 + mean**2 - 1) / 2 - math.log(sigma)
    return np.log(np.exp(likelihood).mean()) - kl, summed_up(likelihood)[1]


wrong(CLOSED, "kl_sign")(with_kl(lambda m, s: math.log(s) - (s**2 + m**2 - 1) / 2))
wrong(CLOSED, "kl_sign")(with_kl(lambda m, s: math.log(s) + (s**2 + m**2 - 1) / 2))
wrong(CLOSED, "kl_missing_half")(with_kl(lambda m, s: s**2 + m**2 - math.log(s) - 1 / 2))
wrong(CLOSED, "kl_doubled")(with_kl(lambda m, s: s**2 + m**2 - 1 - 2 * math.log(s)))
wrong(CLOSED, "kl_missing_one")(with_kl(lambda m, s: (s**2 + m**2) / 2 - math.log(s)))
wrong(CLOSED, "variance_for_sigma")(with_kl(lambda m, s: (s + m**2 - 1 - math.log(s)) / 2))


@wrong(CLOSED, "spread_for_error")
def closed_spread(model, q, z):
    value, error = closed_by_formula(model, q, z)
    return value, error * math.sqrt(len(z))


GAP = "discrete_gap"


@right(GAP)
def to_the_posterior(prior, likelihood, q):
    joint = prior * likelihood
    posterior = joint / joint.sum()
    return torch.special.xlogy(q, q / posterior).sum()


@right(GAP)
def as_a_difference(prior, likelihood, q):
    reach = q > 0
    evidence = (prior * likelihood).sum().log()
    q, joint = q[reach], (prior * likelihood)[reach]
    return (evidence - (q * (joint.log() - q.log())).sum()).item()


@wrong(GAP, "kl_reversed")
def gap_reversed(prior, likelihood, q):
    posterior = prior * likelihood / (prior * likelihood).sum()
    return (posterior * (posterior / q).log()).sum()


@wrong(GAP, "prior_for_posterior")
def kl_to_prior(prior, likelihood, q):
    return (q * (q / prior).log()).sum()


@wrong(GAP, "joint_for_posterior")
def not_divided(prior, likelihood, q):
    return (q * (q / (prior * likelihood)).log()).sum()


@wrong(GAP, "kl_sign")
def gap_negative(prior, likelihood, q):
    return -to_the_posterior(prior, likelihood, q)


TURNS = "bound_round"


@right(TURNS)
def in_turn(x, theta, m, t, alpha):
    total = theta**2 + 1
    m = (1 - alpha) * m + alpha * theta * x / total
    t = (1 - alpha) * t + alpha / math.sqrt(total)
    return (x * m).sum() / (m**2 + t**2).sum(), m, t


@right(TURNS)
def in_turn_torch(x, theta, m, t, alpha):
    x, m = torch.as_tensor(x), torch.as_tensor(m)
    variance = 1 / (1 + theta**2)
    m = torch.lerp(m, theta * variance * x, alpha)
    t = t + alpha * (variance**0.5 - t)
    return x.dot(m) / (m.dot(m) + len(x) * t**2), m, t


@wrong(TURNS, "stale_q")
def theta_first(x, theta, m, t, alpha):
    new_theta = (x * m).sum() / (m**2 + t**2).sum()
    _, m, t = in_turn(x, theta, m, t, alpha)
    return new_theta, m, t


@wrong(TURNS, "missing_variance")
def regression(x, theta, m, t, alpha):
    _, m, t = in_turn(x, theta, m, t, alpha)
    return (x * m).sum() / (m**2).sum(), m, t


@wrong(TURNS, "variance_for_sigma")
def t_is_variance(x, theta, m, t, alpha):
    total = theta**2 + 1
    m = (1 - alpha) * m + alpha * theta * x / total
    t = (1 - alpha) * t + alpha / total
    return (x * m).sum() / (m**2 + t**2).sum(), m, t


CHAIN = "elbo_chain"

right(CHAIN)(
    [
        "= log(int(P(X|z) * P(z), z))  # marginalisation",
        "= log(E[P(X|z) * P(z) / Q(z|X)])  # multiplied and divided by Q",
        ">= E[log(P(X|z) * P(z) / Q(z|X))] gap KL(Q(z|X) || P(z|X))  # Jensen",
        "= E[log P(X|z)] - KL(Q(z|X) || P(z))",
    ]
)
right(CHAIN)(
    [
        "= E[log P(X)]",
        "= E[log P(X|z) + log P(z) - log P(z|X)]",
        "= E[log P(X|z)] - KL(Q(z|X) || P(z)) + KL(Q(z|X) || P(z|X))",
        ">= E[log P(X|z)] - KL(Q(z|X) || P(z)) gap KL(Q(z|X) || P(z|X))",
    ]
)
wrong(CHAIN, None)(
    [
        "= log(E[P(X|z) * P(z) / Q(z|X)])",
        "= E[log(P(X|z) * P(z) / Q(z|X))]",
        "= E[log P(X|z)] - KL(Q(z|X) || P(z))",
    ]
)
wrong(CHAIN, None)([">= E[log P(X|z)] - KL(Q(z|X) || P(z)) gap KL(P(z|X) || Q(z|X))"])
wrong(CHAIN, None)(["= log(int(P(X|z) * P(z), z))", "= E[log P(X|z)] - KL(Q(z|X) || P(z))"])
