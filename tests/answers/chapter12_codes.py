"""Answers to the exercises of chapter 12 on codes."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal

from answers import right, wrong

CODES = "codes_of"


@right(CODES)
@torch.no_grad()
def means(encode, x, batch_size):
    return torch.cat([encode(part)[0] for part in x.split(batch_size)])


@right(CODES)
def filled(encode, x, batch_size):
    found = []
    for start in range(0, len(x), batch_size):
        mu, _ = encode(x[start : start + batch_size])
        found += list(mu.detach())
    return torch.stack(found)


@wrong(CODES, "sampled_mean")
@torch.no_grad()
def draws(encode, x, batch_size):
    pairs = [encode(part) for part in x.split(batch_size)]
    return torch.cat([torch.normal(mu, log_sigma.exp()) for mu, log_sigma in pairs])


@wrong(CODES, "last_batch_dropped")
@torch.no_grad()
def whole_batches(encode, x, batch_size):
    starts = range(0, len(x) - batch_size + 1, batch_size)
    return torch.cat([encode(x[i : i + batch_size])[0] for i in starts])


@wrong(CODES, "graph_kept")
def with_graph(encode, x, batch_size):
    return torch.cat([encode(part)[0] for part in x.split(batch_size)])


@wrong(CODES, "second_output")
@torch.no_grad()
def the_other_head(encode, x, batch_size):
    return torch.cat([encode(part)[1] for part in x.split(batch_size)])


GAIN = "held_out_gain"


def log_density(points, mean, sigma):
    return Normal(mean, sigma).log_prob(points).sum(1)


@right(GAIN)
def fitted_to_train(train_codes, test_codes):
    mean, sigma = train_codes.mean(0), train_codes.std(0)
    own, prior = log_density(test_codes, mean, sigma), log_density(test_codes, 0.0, 1.0)
    return (own - prior).mean().item()


@right(GAIN)
def by_squares(train_codes, test_codes):
    mean = train_codes.mean(0)
    variance = (train_codes - mean).square().mean(0)
    gain = test_codes**2 - (test_codes - mean) ** 2 / variance - variance.log()
    return 0.5 * gain.sum(1).mean()


@wrong(GAIN, "test_leak")
def fitted_to_test(train_codes, test_codes):
    return fitted_to_train(test_codes, test_codes)


@wrong(GAIN, "test_leak")
def fitted_to_both(train_codes, test_codes):
    return fitted_to_train(torch.cat([train_codes, test_codes]), test_codes)


@wrong(GAIN, "difference_sign")
def prior_minus_own(train_codes, test_codes):
    return -fitted_to_train(train_codes, test_codes)


@wrong(GAIN, "missing_log_sigma")
def without_the_width(train_codes, test_codes):
    mean, sigma = train_codes.mean(0), train_codes.std(0)
    gain = test_codes**2 - ((test_codes - mean) / sigma) ** 2
    return 0.5 * gain.sum(1).mean()


@wrong(GAIN, "variance_for_sigma")
def scale_is_variance(train_codes, test_codes):
    mean, variance = train_codes.mean(0), train_codes.var(0)
    own, prior = log_density(test_codes, mean, variance), log_density(test_codes, 0.0, 1.0)
    return (own - prior).mean().item()


@wrong(GAIN, "mean_over_pixels")
def mean_over_latents(train_codes, test_codes):
    return fitted_to_train(train_codes, test_codes) / test_codes.shape[1]


@wrong(GAIN, "sum_over_batch")
def summed_over_codes(train_codes, test_codes):
    return fitted_to_train(train_codes, test_codes) * len(test_codes)


BEST = "best_code"


@right(BEST)
def zero_gradient(z_star, c):
    return z_star / (1 + 1 / (2 * c)), 1 / math.sqrt(1 + 2 * c)


@right(BEST)
def as_a_posterior(z_star, c):  # a Gaussian observation of z with precision 2c
    precision = 1 + 2 * c
    return 2 * c * z_star / precision, torch.tensor(precision).double().rsqrt()


@wrong(BEST, "variance_for_sigma")
def variance(z_star, c):
    return z_star / (1 + 1 / (2 * c)), 1 / (1 + 2 * c)


@wrong(BEST, "half_the_weight")
def c_for_two_c(z_star, c):
    return c * z_star / (1 + c), (1 + c) ** -0.5


@wrong(BEST, "kl_missing_half")
def of_the_tutorials_loss(z_star, c):
    return c * z_star / (1 + c), (2 * (1 + c)) ** -0.5


@wrong(BEST, "kl_sign")
def of_the_wrong_sign(z_star, c):
    return 2 * c * z_star / (2 * c - 1), abs(2 * c - 1) ** -0.5


CHAIN = "code_of_one_image"

right(CHAIN)(
    [
        "= -c * E[(z - a)^2] - KL(N(z; mu, sigma^2) || N(z; 0, 1))   # c is a constant",
        "= -c * ((mu - a)^2 + sigma^2) - KL(N(z; mu, sigma^2) || N(z; 0, 1))  # bias and variance",
        "= -c * ((mu - a)^2 + sigma^2) - (mu^2 + sigma^2 - 1) / 2 + log(sigma)  # chapter 4",
    ]
)
right(CHAIN)(["= 1/2 + log(sigma) - c * a^2 + 2 * c * a * mu - (c + 1/2) * (mu^2 + sigma^2)"])
wrong(CHAIN, None)(
    [
        "= -c * E[(z - a)^2] - KL(N(z; mu, sigma^2) || N(z; 0, 1))",
        "= -c * (mu - a)^2 - KL(N(z; mu, sigma^2) || N(z; 0, 1))   # forgets the variance",
    ]
)
wrong(CHAIN, None)(
    [
        "= -c * ((mu - a)^2 + sigma^2) - KL(N(z; mu, sigma^2) || N(z; 0, 1))",
        "= -c * ((mu - a)^2 + sigma^2) - (mu^2 + sigma^2 - log(sigma) - 1/2)   # the tutorial's",
    ]
)
