"""Answers to the exercises of chapter 6."""

from __future__ import annotations

import torch
from torch.distributions import Normal

from answers import right, wrong

NAME = "reparameterised_draw"


@right(NAME)
def by_hand(mu, log_sigma, generator):
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@right(NAME)
def in_place_noise(mu, log_sigma, generator):
    eps = torch.empty_like(mu).normal_(generator=generator)
    return torch.addcmul(mu, torch.exp(log_sigma), eps)


@right(NAME)
def by_the_quantiles(mu, log_sigma, generator):
    u = torch.rand(mu.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    return mu + log_sigma.exp() * torch.special.ndtri(u)


@wrong(NAME, "no_noise")
def only_the_mean(mu, log_sigma, generator):
    return mu + 0 * log_sigma


@wrong(NAME, "shared_noise")
def one_noise_for_all_rows(mu, log_sigma, generator):
    noise = torch.randn(mu.shape[-1], generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@wrong(NAME, "shared_noise")
def one_number(mu, log_sigma, generator):
    return mu + log_sigma.exp() * torch.randn(1, generator=generator, dtype=mu.dtype)


@wrong(NAME, "shared_noise_latents")
def one_noise_for_all_latents(mu, log_sigma, generator):
    noise = torch.randn(mu.shape[0], 1, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@wrong(NAME, "log_variance")
def as_log_variance(mu, log_sigma, generator):
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + torch.exp(0.5 * log_sigma) * noise


@wrong(NAME, "no_exp")
def sigma_is_log_sigma(mu, log_sigma, generator):
    return mu + log_sigma * torch.randn(mu.shape, generator=generator, dtype=mu.dtype)


@wrong(NAME, "variance_for_sigma")
def times_the_variance(mu, log_sigma, generator):
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() ** 2 * noise


@wrong(NAME, "uniform_noise")
def rand_for_randn(mu, log_sigma, generator):
    noise = torch.rand(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@wrong(NAME, "uniform_noise")
def centred_uniform(mu, log_sigma, generator):
    noise = 2 * torch.rand(mu.shape, generator=generator, dtype=mu.dtype) - 1
    return mu + log_sigma.exp() * noise


@wrong(NAME, "seed_in_loop")
def seeds_it_again(mu, log_sigma, generator):
    generator.manual_seed(0)
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@wrong(NAME, "generator_ignored")
def seeds_the_global_one(mu, log_sigma, generator):
    torch.manual_seed(3)
    return mu + log_sigma.exp() * torch.randn_like(mu)


@wrong(NAME, "generator_ignored")
def from_the_global_one(mu, log_sigma, generator):
    return mu + log_sigma.exp() * torch.randn_like(mu)


@wrong(NAME, "generator_ignored")
def seeds_from_the_clock(mu, log_sigma, generator):
    generator.seed()
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + log_sigma.exp() * noise


@wrong(NAME, "global_generator")
def draws_twice(mu, log_sigma, generator):
    noise = torch.randn_like(mu).normal_(generator=generator)  # the first draw is thrown away
    return mu + log_sigma.exp() * noise


@wrong(NAME, "sample_for_rsample")
def under_no_grad(mu, log_sigma, generator):
    with torch.no_grad():
        return torch.normal(mu, log_sigma.exp(), generator=generator)


@wrong(NAME, "sample_for_rsample")
def detached_altogether(mu, log_sigma, generator):
    return by_hand(mu, log_sigma, generator).detach()


@wrong(NAME, "detached_mean")
def mean_cut(mu, log_sigma, generator):
    return by_hand(mu.detach(), log_sigma, generator)


@wrong(NAME, "detached_sigma")
def sigma_cut(mu, log_sigma, generator):
    return by_hand(mu, log_sigma.detach(), generator)


LOO = "leave_one_out"


@right(LOO)
def sum_without_own(f, mu, sigma, noise):
    values = f(mu + sigma * noise)
    k = noise.shape[1]
    baseline = (values.sum(1, keepdim=True) - values) / (k - 1)
    return ((values - baseline) * noise / sigma).mean(1)


@right(LOO)
def from_the_row_mean(f, mu, sigma, noise):
    values = f(mu + sigma * noise)
    k = noise.shape[-1]
    centred = (values - values.mean(-1, keepdim=True)) * k / (k - 1)
    return torch.einsum("nk,nk->n", centred, noise) / (k * sigma)


@right(LOO)
def by_a_surrogate(f, mu, sigma, noise):
    k = noise.shape[1]
    location = torch.full((len(noise), 1), mu, dtype=noise.dtype, requires_grad=True)
    z = (location + sigma * noise).detach()
    values = f(z)
    others = (1 - torch.eye(k, dtype=noise.dtype)) / (k - 1)
    surrogate = (values - values @ others).detach() * Normal(location, sigma).log_prob(z)
    (gradient,) = torch.autograd.grad(surrogate.mean(1).sum(), location)
    return gradient[:, 0]


@wrong(LOO, "biased_baseline")
def mean_of_all(f, mu, sigma, noise):
    values = f(mu + sigma * noise)
    return ((values - values.mean(1, keepdim=True)) * noise / sigma).mean(1)


@wrong(LOO, "baseline_missing")
def plain(f, mu, sigma, noise):
    return (f(mu + sigma * noise) * noise / sigma).mean(1)


@wrong(LOO, "variance_for_sigma")
def over_the_variance(f, mu, sigma, noise):
    return sum_without_own(f, mu, sigma, noise) / sigma


@wrong(LOO, "score_without_sigma")
def noise_for_score(f, mu, sigma, noise):
    return sum_without_own(f, mu, sigma, noise) * sigma


@wrong(LOO, "score_sign")
def as_a_loss(f, mu, sigma, noise):
    return -sum_without_own(f, mu, sigma, noise)


@wrong(LOO, "wrong_gradient")
def the_path(f, mu, sigma, noise):
    z = (mu + sigma * noise).requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0].mean(1)


@wrong(LOO, "wrong_gradient")
def surrogate_with_a_live_f(f, mu, sigma, noise):
    location = torch.full_like(noise, mu).requires_grad_()
    z = location + sigma * noise
    values = f(z).detach()
    surrogate = values * Normal(location, sigma).log_prob(z.detach()) + f(z)
    return torch.autograd.grad(surrogate.sum(), location)[0].mean(1)


@wrong(LOO, "sum_over_draws")
def summed(f, mu, sigma, noise):
    return sum_without_own(f, mu, sigma, noise) * noise.shape[1]


@wrong(LOO, "mean_over_batch")
def one_number_for_all(f, mu, sigma, noise):
    return sum_without_own(f, mu, sigma, noise).mean()


right("path_variance_sigma")(
    [
        "4 * E[z^2 * (z - mu)^2] / sigma^2 - 4 * sigma^2",
        "4 * (mu^2 * sigma^2 + 3 * sigma^4) / sigma^2 - 4 * sigma^2",
        "4 * mu^2 + 8 * sigma^2",
    ]
)


@right("path_variance_sigma")
def path_chain():
    return ["= 4 * (mu^2 + 3 * sigma^2) - 4 * sigma^2  # moments", "= 8 * sigma^2 + 4 * mu^2"]


right("score_variance_sigma")(
    [
        "E[z^4 * ((z - mu)^2 - sigma^2)^2] / sigma^6 - 4 * sigma^2",
        "(2 * mu^4 + 60 * mu^2 * sigma^2 + 78 * sigma^4) / sigma^2 - 4 * sigma^2",
        "2 * mu^4 / sigma^2 + 60 * mu^2 + 74 * sigma^2",
    ]
)
wrong("path_variance_sigma", None)(["4 * mu^2 + 12 * sigma^2"])
wrong("path_variance_sigma", None)(["4 * E[z^2 * (z - mu)^2] / sigma^2 - 4 * sigma^2"])
wrong("score_variance_sigma", None)(
    ["E[z^4 * ((z - mu)^2 - sigma^2)^2] / sigma^6", "2 * mu^4 / sigma^2 + 60 * mu^2 + 78 * sigma^2"]
)
