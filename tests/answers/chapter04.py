"""Answers to the exercises of chapter 4."""

from __future__ import annotations

import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from answers import right, wrong

NAME = "kl_to_standard_normal"


@right(NAME)
def closed_form(mu, log_sigma):
    return (0.5 * (torch.exp(2 * log_sigma) + mu**2 - 1) - log_sigma).sum(dim=1)


@right(NAME)
def by_log_variance(mu, log_sigma):
    log_var = 2 * log_sigma
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)


@right(NAME)
def by_the_library(mu, log_sigma):
    return kl_divergence(Normal(mu, log_sigma.exp()), Normal(0.0, 1.0)).sum(-1)


@wrong(NAME, "kl_missing_half")
def the_tutorials(mu, log_sigma):
    return (torch.exp(log_sigma) ** 2 + mu**2 - log_sigma - 1 / 2).sum(-1)


@wrong(NAME, "kl_doubled")
def twice(mu, log_sigma):
    return (torch.exp(2 * log_sigma) + mu**2 - 1 - 2 * log_sigma).sum(-1)


@wrong(NAME, "kl_sign")
def kingmas_without_minus(mu, log_sigma):
    return 0.5 * (1 + 2 * log_sigma - mu**2 - torch.exp(2 * log_sigma)).sum(-1)


@wrong(NAME, "kl_sign")
def plus_log_sigma(mu, log_sigma):
    return (0.5 * (torch.exp(2 * log_sigma) + mu**2 - 1) + log_sigma).sum(-1)


@wrong(NAME, "kl_missing_one")
def without_the_one(mu, log_sigma):
    return (0.5 * (torch.exp(2 * log_sigma) + mu**2) - log_sigma).sum(-1)


@wrong(NAME, "kl_reversed")
def other_direction(mu, log_sigma):
    return kl_divergence(Normal(0.0, 1.0), Normal(mu, log_sigma.exp())).sum(-1)


@wrong(NAME, "log_variance")
def as_log_variance(mu, log_sigma):
    return -0.5 * (1 + log_sigma - mu**2 - log_sigma.exp()).sum(-1)


@wrong(NAME, "log_variance")
def half_a_logarithm(mu, log_sigma):
    return 0.5 * (torch.exp(2 * log_sigma) + mu**2 - 1 - log_sigma).sum(-1)


@wrong(NAME, "no_exp")
def sigma_is_log_sigma(mu, log_sigma):
    return (0.5 * (log_sigma**2 + mu**2 - 1) - log_sigma).sum(-1)


@wrong(NAME, "mean_over_pixels")
def mean_over_latents(mu, log_sigma):
    return closed_form(mu, log_sigma) / mu.shape[1]


@wrong(NAME, "not_summed")
def not_summed(mu, log_sigma):
    return 0.5 * (torch.exp(2 * log_sigma) + mu**2 - 1) - log_sigma


@wrong(NAME, "mean_over_batch")
def batch_mean(mu, log_sigma):
    return closed_form(mu, log_sigma).mean()


@wrong(NAME, "sum_over_batch")
def summed_over_everything(mu, log_sigma):
    return (0.5 * (torch.exp(2 * log_sigma) + mu**2 - 1) - log_sigma).sum()


@wrong(NAME, "detached_sigma")
def detached(mu, log_sigma):
    sigma = torch.exp(log_sigma).detach()
    return (0.5 * (sigma**2 + mu**2 - 1) - torch.log(sigma)).sum(-1)


FULL = "kl_full_covariance"


@right(FULL)
def from_the_factor(mu, factor):
    log_det = 2 * torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
    trace = factor.square().sum(dim=(-2, -1))
    return 0.5 * (trace + (mu * mu).sum(-1) - mu.shape[-1] - log_det)


@right(FULL)
def full_by_the_library(mu, factor):
    k = mu.shape[-1]
    prior = MultivariateNormal(torch.zeros(k, dtype=mu.dtype), torch.eye(k, dtype=mu.dtype))
    return kl_divergence(MultivariateNormal(mu, scale_tril=factor), prior)


@wrong(FULL, "kl_doubled")
def full_without_half(mu, factor):
    return 2 * from_the_factor(mu, factor)


@wrong(FULL, "kl_sign")
def full_negative(mu, factor):
    return -from_the_factor(mu, factor)


@wrong(FULL, "kl_sign")
def full_plus_log_det(mu, factor):
    sigma = factor @ factor.mT
    trace = sigma.diagonal(dim1=-2, dim2=-1).sum(-1)
    return 0.5 * (trace + mu.square().sum(-1) - mu.shape[-1] + torch.logdet(sigma))


@wrong(FULL, "kl_missing_one")
def full_without_k(mu, factor):
    return from_the_factor(mu, factor) + mu.shape[-1] / 2


@wrong(FULL, "missing_log_det")
def full_without_log_det(mu, factor):
    return 0.5 * (factor.square().sum((-2, -1)) + mu.square().sum(-1) - mu.shape[-1])


@wrong(FULL, "log_det_factor")
def log_det_of_the_factor(mu, factor):
    log_det = torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (factor.square().sum((-2, -1)) + mu.square().sum(-1) - mu.shape[-1] - log_det)


WIDE = "kl_wide_prior"


@right(WIDE)
def line_by_line():
    return [
        "= E[log N(z; mu, sigma^2) - log N(z; 0, tau^2)]      # the definition",
        "= E[log(tau / sigma) + z^2 / (2 * tau^2) - (z - mu)^2 / (2 * sigma^2)]",
        "= log(tau / sigma) + E[z^2] / (2 * tau^2) - 1/2      # a variance by itself",
        "= log(tau / sigma) + (sigma^2 + mu^2) / (2 * tau^2) - 1/2",
    ]


@right(WIDE)
def by_scaling():
    return """
    # z / tau is a Gaussian again, and the divergence does not change
    = KL(N(z; mu / tau, (sigma / tau)^2) || N(z; 0, 1))
    = ((sigma / tau)^2 + (mu / tau)^2 - 1) / 2 - log(sigma / tau)
    """


@wrong(WIDE, None)
def ratio_upside_down():
    return ["log(sigma / tau) + (sigma^2 + mu^2) / (2 * tau^2) - 1/2"]


@wrong(WIDE, None)
def without_the_half():
    return [line_by_line()[0], "= log(tau / sigma) + (sigma^2 + mu^2) / tau^2 - 1"]


@wrong(WIDE, None)
def stops_at_an_expectation():
    return line_by_line()[:3]


SWEEP = "kl_factor_sweep"


def train_tiny(kl, v, steps=400):
    w, a, log_t = (
        torch.tensor(x0, dtype=torch.float64, requires_grad=True) for x0 in (0.5, 0.5, 0.0)
    )
    adam = torch.optim.Adam([w, a, log_t], lr=0.05)
    for _ in range(steps):
        square, spread = a**2 * v, (2 * log_t).exp()
        loss = 0.5 * (v * (1 - w * a) ** 2 + w**2 * spread) + kl(square, spread, log_t)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return w.item(), (a**2 * v + (2 * log_t).exp()).item()


@right(SWEEP)
def trained(betas, v):
    return {b: train_tiny(lambda m2, s2, t, b=b: b * (0.5 * (m2 + s2 - 1) - t), v) for b in betas}


@right(SWEEP)
def solved_by_hand(betas, v):
    return {b: (max(v - b, 0) ** 0.5, 1.0) for b in betas}


@wrong(SWEEP, "kl_missing_half")
def sweeps_the_printed_term(betas, v):
    return {b: train_tiny(lambda m2, s2, t, b=b: b * (m2 + s2 - t - 0.5), v) for b in betas}


@wrong(SWEEP, "kl_doubled")
def sweeps_twice_the_term(betas, v):
    return {b: train_tiny(lambda m2, s2, t, b=b: b * (m2 + s2 - 1 - 2 * t), v) for b in betas}
