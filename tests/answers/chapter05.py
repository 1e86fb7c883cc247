"""Answers to the exercises of chapter 5."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Categorical, Normal

from answers import right, wrong

BERNOULLI = "bernoulli_log_likelihood"


@right(BERNOULLI)
def by_softplus(x, logits):
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)


@right(BERNOULLI)
def by_cross_entropy(x, logits):
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -loss.sum(dim=(1, 2, 3))


@right(BERNOULLI)
def by_torch(x, logits):
    return Bernoulli(logits=logits).log_prob(x).flatten(1).sum(-1)


@right(BERNOULLI)
def by_logsigmoid(x, logits):
    each = x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)
    return each.reshape(len(x), -1).sum(1)


@wrong(BERNOULLI, "logits_as_probabilities")
def squashed_twice(x, logits):
    return by_softplus(x, torch.sigmoid(logits))


@wrong(BERNOULLI, "logits_as_probabilities")
def not_squashed(x, logits):
    p = logits.clamp(1e-6, 1 - 1e-6)
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)


@wrong(BERNOULLI, "logits_as_probabilities")
def unclamped(x, logits):
    return (x * logits.log() + (1 - x) * (1 - logits).log()).flatten(1).sum(1)


@wrong(BERNOULLI, "mean_over_pixels")
def averaged(x, logits):
    return (x * logits - F.softplus(logits)).flatten(1).mean(1)


@wrong(BERNOULLI, "not_summed")
def every_pixel(x, logits):
    return x * logits - F.softplus(logits)


@wrong(BERNOULLI, "sum_over_batch")
def summed(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@wrong(BERNOULLI, "mean_over_batch")
def batch_mean(x, logits):
    return by_softplus(x, logits).mean()


@wrong(BERNOULLI, "mean_over_batch")
def mean_of_everything(x, logits):
    return -F.binary_cross_entropy_with_logits(logits, x)


@wrong(BERNOULLI, "softmax_for_sigmoid")
def competing(x, logits):
    p = logits.flatten(1).softmax(1)
    x = x.flatten(1)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(1)


@wrong(BERNOULLI, "softmax_for_sigmoid")
def categorical(x, logits):
    return (x.flatten(1) * Categorical(logits=logits.flatten(1)).logits).sum(1)


@wrong(BERNOULLI, "loss_for_likelihood")
def loss(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


@wrong(BERNOULLI, "saturated_sigmoid")
def as_the_formula_says(x, logits):
    p = torch.sigmoid(logits)
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)


@wrong(BERNOULLI, "saturated_sigmoid")
def clamped(x, logits):
    return -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").flatten(1).sum(1)


GAUSSIAN = "gaussian_log_likelihood"


@right(GAUSSIAN)
def with_all_constants(x, mean, sigma):
    error = (x - mean).square().flatten(1).sum(1)
    n = x[0].numel()
    return -error / (2 * sigma**2) - n / 2 * math.log(2 * math.pi * sigma**2)


@right(GAUSSIAN)
def gaussian_by_torch(x, mean, sigma):
    return Normal(mean, sigma).log_prob(x).sum(dim=[1, 2, 3])


def per_pixel(pixel, reduce=torch.sum):
    def answer(x, mean, sigma):
        return reduce(pixel(x - mean, sigma).flatten(1), dim=1)

    return answer


C = 0.5 * math.log(2 * math.pi)
wrong(GAUSSIAN, "missing_log_2pi")(per_pixel(lambda e, s: -0.5 * (e / s) ** 2 - math.log(s)))
wrong(GAUSSIAN, "missing_log_sigma")(per_pixel(lambda e, s: -0.5 * (e / s) ** 2 - C))
wrong(GAUSSIAN, "missing_log_sigma")(per_pixel(lambda e, s: -0.5 * (e / s) ** 2))
wrong(GAUSSIAN, "missing_half_square")(per_pixel(lambda e, s: -((e / s) ** 2) - math.log(s) - C))
wrong(GAUSSIAN, "squared_error_only")(per_pixel(lambda e, s: -(e**2)))
wrong(GAUSSIAN, "squared_error_only")(per_pixel(lambda e, s: e**2))
wrong(GAUSSIAN, "squared_error_only")(per_pixel(lambda e, s: -0.5 * e**2))
wrong(GAUSSIAN, "variance_for_sigma")(
    per_pixel(lambda e, s: -0.5 * e**2 / s - 0.5 * math.log(s) - C)
)
wrong(GAUSSIAN, "variance_for_sigma")(per_pixel(lambda e, s: -0.5 * e**2 / s - math.log(s) - C))
wrong(GAUSSIAN, "mean_over_pixels")(
    per_pixel(lambda e, s: -0.5 * (e / s) ** 2 - math.log(s) - C, torch.mean)
)


@wrong(GAUSSIAN, "constant_once")
def constant_once(x, mean, sigma):
    error = (x - mean).square().flatten(1).sum(1)
    return -error / (2 * sigma**2) - 0.5 * math.log(2 * math.pi * sigma**2)


@wrong(GAUSSIAN, "mean_over_batch")
def gaussian_batch_mean(x, mean, sigma):
    return with_all_constants(x, mean, sigma).mean()


@wrong(GAUSSIAN, "sum_over_batch")
def gaussian_sum(x, mean, sigma):
    return Normal(mean, sigma).log_prob(x).sum()


@wrong(GAUSSIAN, "loss_for_likelihood")
def gaussian_loss(x, mean, sigma):
    return -with_all_constants(x, mean, sigma)


CONTINUOUS = "continuous_bernoulli_log_prob"


def log_c(logits):
    size = logits.abs().double().clamp(min=1e-6)
    return (size / torch.tanh(size / 2)).log()


@right(CONTINUOUS)
def with_normaliser(x, logits):
    return (x * logits - F.softplus(logits) + log_c(logits)).flatten(1).sum(1)


@right(CONTINUOUS)
def by_series_near_zero(x, logits):
    size = logits.abs().double()
    near = size < 1e-2
    safe = torch.where(near, torch.ones_like(size), size)
    series = math.log(2) + size**2 / 12 - 7 * size**4 / 1440
    normaliser = torch.where(near, series, torch.log(safe) - torch.log(torch.tanh(safe / 2)))
    return (-F.binary_cross_entropy_with_logits(logits, x, reduction="none") + normaliser).sum(
        dim=(1, 2, 3)
    )


@wrong(CONTINUOUS, "grey_cross_entropy")
def plain_cross_entropy(x, logits):
    return by_cross_entropy(x, logits)


@wrong(CONTINUOUS, "normaliser_sign")
def divided(x, logits):
    return (x * logits - F.softplus(logits) - log_c(logits)).flatten(1).sum(1)


@wrong(CONTINUOUS, "normaliser_once")
def of_the_mean_logit(x, logits):
    return by_softplus(x, logits) + log_c(logits.flatten(1).mean(1))


@wrong(CONTINUOUS, "normaliser_once")
def averaged_normaliser(x, logits):
    return by_softplus(x, logits) + log_c(logits).flatten(1).mean(1)


@wrong(CONTINUOUS, "mean_over_pixels")
def continuous_mean(x, logits):
    return with_normaliser(x, logits) / x[0].numel()


@wrong(CONTINUOUS, "logits_as_probabilities")
def continuous_squashed(x, logits):
    return with_normaliser(x, logits.sigmoid())


@wrong(CONTINUOUS, "singular_at_zero")
def as_in_the_book(x, logits):
    p = torch.sigmoid(logits)
    c = torch.log(logits / (2 * p - 1))
    return (x * logits - F.softplus(logits) + c).flatten(1).sum(1)


@wrong(CONTINUOUS, "singular_at_zero")
def cut_too_wide(x, logits):
    size = logits.abs().clamp(min=0.5)
    c = torch.log(size / torch.tanh(size / 2))
    return (x * logits - F.softplus(logits) + c).flatten(1).sum(1)


SIGMA = "best_sigma"


@right(SIGMA)
def root_mean_square(x, mean):
    return (x - mean).square().mean().sqrt()


@right(SIGMA)
def by_numpy(x, mean):
    return float(np.sqrt(np.mean((x.numpy() - mean.numpy()) ** 2)))


@wrong(SIGMA, "variance_for_sigma")
def mean_square(x, mean):
    return F.mse_loss(mean, x).item()


@wrong(SIGMA, "sum_over_pixels")
def square_of_images(x, mean):
    return (x - mean).square().flatten(1).sum(1).mean().sqrt()


@wrong(SIGMA, "mean_of_roots")
def one_sigma_an_image(x, mean):
    return (x - mean).square().flatten(1).mean(1).sqrt().mean()


@wrong(SIGMA, "absolute_error")
def mean_absolute(x, mean):
    return (x - mean).abs().mean()


BOUND = "best_sigma_bound"

right(BOUND)(
    [
        "= -D/2 * (m / sigma^2 + log(2*pi*sigma^2))",
        "= -D/2 * (log(2*pi*m) + 1) - D/2 * (m/sigma^2 - 1 - log(m / sigma^2))",
        "<= -D/2 * (log(2*pi*m) + 1) gap D/2 * T",
    ]
)
right(BOUND)(["<= -D/2 * (log(2*pi*m) + 1) gap D * T / 2"])
wrong(BOUND, None)(["<= -D/2 * (log(2*pi*m) + 1) gap D * T"])
wrong(BOUND, None)(
    ["= -D * m / sigma^2 - D/2 * log(2*pi*sigma^2)", "<= -D/2 * (log(2*pi*m) + 1) gap D/2 * T"]
)
wrong(BOUND, None)(["<= -D/2 * log(2*pi*m) gap D/2 * T"])
