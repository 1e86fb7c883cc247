"""Answers to the exercises of chapter 11."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence

from answers import right, wrong

ELBO = "elbo_given_label"


def one_hot_of(label, y):
    return F.one_hot(label, 10).to(y.dtype)


def bound(encode, decode, y, noise, to_encoder, to_decoder):
    mu, log_sigma = encode(torch.cat([y, to_encoder], 1))
    logits = decode(torch.cat([mu + log_sigma.exp() * noise, to_decoder], 1))
    log_p = -F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1)
    kl = (0.5 * (mu**2 + (2 * log_sigma).exp() - 1) - log_sigma).sum(1)
    return log_p, kl


@right(ELBO)
def label_in_both(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    log_p, kl = bound(encode, decode, y, noise, given, given)
    return log_p - kl


@right(ELBO)
def by_distributions(encode, decode, y, label, noise):
    given = torch.eye(10, dtype=y.dtype)[label]
    mu, log_sigma = encode(torch.hstack([y, given]))
    q = Normal(mu, torch.exp(log_sigma))
    logits = decode(torch.hstack([q.mean + q.stddev * noise, given]))
    return (Bernoulli(logits=logits).log_prob(y)).sum(-1) - kl_divergence(q, Normal(0.0, 1.0)).sum(
        -1
    )


@wrong(ELBO, "label_missing_encoder")
def blind_encoder(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    log_p, kl = bound(encode, decode, y, noise, torch.zeros_like(given), given)
    return log_p - kl


@wrong(ELBO, "label_missing_decoder")
def blind_decoder(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    log_p, kl = bound(encode, decode, y, noise, given, torch.zeros_like(given))
    return log_p - kl


@wrong(ELBO, "label_as_number")
def number_ten_times(encode, decode, y, label, noise):
    given = label[:, None].to(y.dtype).expand(-1, 10)
    log_p, kl = bound(encode, decode, y, noise, given, given)
    return log_p - kl


@wrong(ELBO, "label_as_number")
def number_and_zeros(encode, decode, y, label, noise):
    given = torch.zeros(len(y), 10, dtype=y.dtype)
    given[:, 0] = label
    log_p, kl = bound(encode, decode, y, noise, given, given)
    return log_p - kl


@wrong(ELBO, "logits_as_probabilities")
def clamped_logits(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    mu, log_sigma = encode(torch.cat([y, given], 1))
    p = decode(torch.cat([mu + log_sigma.exp() * noise, given], 1)).clamp(1e-6, 1 - 1e-6)
    _, kl = bound(encode, decode, y, noise, given, given)
    return (y * p.log() + (1 - y) * (1 - p).log()).sum(1) - kl


@wrong(ELBO, "logits_as_probabilities")
def sigmoid_twice(encode, decode, y, label, noise):
    return label_in_both(encode, lambda pair: torch.sigmoid(decode(pair)), y, label, noise)


@wrong(ELBO, "mean_over_pixels")
def pixel_mean(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    log_p, kl = bound(encode, decode, y, noise, given, given)
    return log_p / y.shape[1] - kl


@wrong(ELBO, "kl_missing_half")
def without_half(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    mu, log_sigma = encode(torch.cat([y, given], 1))
    log_p, _ = bound(encode, decode, y, noise, given, given)
    return log_p - (mu**2 + (2 * log_sigma).exp() - log_sigma - 0.5).sum(1)


@wrong(ELBO, "kl_sign")
def kl_added(encode, decode, y, label, noise):
    given = one_hot_of(label, y)
    log_p, kl = bound(encode, decode, y, noise, given, given)
    return log_p + kl


@wrong(ELBO, "no_noise")
def at_the_mean(encode, decode, y, label, noise):
    return label_in_both(encode, decode, y, label, torch.zeros_like(noise))


PART = "hidden_log_prob"


@right(PART)
def by_mask(x, logits, given):
    each = -F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return each.masked_fill(given, 0).sum((1, 2))


@right(PART)
def by_index(x, logits, given):
    return Bernoulli(logits=logits[:, ~given]).log_prob(x[:, ~given]).sum(1)


@wrong(PART, "counts_given")
def the_whole_image(x, logits, given):
    return Bernoulli(logits=logits).log_prob(x).sum((1, 2))


@wrong(PART, "counts_given")
def zeroed_logits(x, logits, given):  # each given pixel still costs log 2
    return Bernoulli(logits=logits * ~given).log_prob(x).sum((1, 2))


@wrong(PART, "mask_inverted")
def the_given_ones(x, logits, given):
    return by_mask(x, logits, ~given)


@wrong(PART, "mean_over_pixels")
def mean_of_the_hidden(x, logits, given):
    return Bernoulli(logits=logits[:, ~given]).log_prob(x[:, ~given]).mean(1)


@wrong(PART, "logits_as_probabilities")
def squashed_first(x, logits, given):
    return by_mask(x, torch.sigmoid(logits), given)


MERGE = "complete"


@right(MERGE)
def by_where(x, given, drawn):
    return torch.where(given, x, drawn)


@right(MERGE)
def by_assignment(x, given, drawn):
    out = drawn.clone()
    out[..., given] = x[:, given]
    return out


@wrong(MERGE, "mask_inverted")
def keeps_the_hidden(x, given, drawn):
    return torch.where(given, drawn, x)


@wrong(MERGE, "given_overwritten")
def keeps_nothing(x, given, drawn):
    return drawn.clone()


@wrong(MERGE, "mean_of_draws")
def one_picture(x, given, drawn):
    return torch.where(given, x, drawn.mean(0))


EVIDENCE = "conditional_log_likelihood"


@right(EVIDENCE)
def log_mean_exp(log_likelihood, log_prior, log_q):
    weights = log_likelihood + log_prior - log_q
    return torch.logsumexp(weights, dim=0) - math.log(len(weights))


@right(EVIDENCE)
def largest_taken_out(log_likelihood, log_prior, log_q):
    weights = log_likelihood + log_prior - log_q
    top = weights.max(0).values
    return top + (weights - top).exp().mean(0).log()


@wrong(EVIDENCE, "mean_of_logs")
def the_bound(log_likelihood, log_prior, log_q):
    return (log_likelihood + log_prior - log_q).mean(0)


@wrong(EVIDENCE, "missing_log_n")
def log_of_the_sum(log_likelihood, log_prior, log_q):
    return torch.logsumexp(log_likelihood + log_prior - log_q, dim=0)


@wrong(EVIDENCE, "no_density_ratio")
def as_if_from_the_prior(log_likelihood, log_prior, log_q):
    return torch.logsumexp(log_likelihood, dim=0) - math.log(len(log_q))


@wrong(EVIDENCE, "missing_log_q")
def without_q(log_likelihood, log_prior, log_q):
    return torch.logsumexp(log_likelihood + log_prior, dim=0) - math.log(len(log_q))


@wrong(EVIDENCE, "inverse_ratio")
def upside_down(log_likelihood, log_prior, log_q):
    return torch.logsumexp(log_likelihood - log_prior + log_q, dim=0) - math.log(len(log_q))


@wrong(EVIDENCE, "naive_logsumexp")
def plain(log_likelihood, log_prior, log_q):
    return (log_likelihood + log_prior - log_q).exp().mean(0).log()


@wrong(EVIDENCE, "mean_over_batch")
def one_number(log_likelihood, log_prior, log_q):
    return log_mean_exp(log_likelihood, log_prior, log_q).mean()


ALPHA = "loss_with_alpha"

right(ALPHA)(
    [
        "= 2 * s^2 * K - 2 * s^2 * E[log N(Y; w * z, s^2)]",
        "= 2 * s^2 * K + 2 * s^2 * E[(Y - w * z)^2 / (2 * s^2) + log(2 * pi * s^2) / 2]",
        "= E[(Y - w * z)^2] + 2 * s^2 * K + s^2 * log(2 * pi * s^2)   # alpha is the factor of K",
    ]
)
right(ALPHA)(["= s^2 * log(2 * pi * s^2) + 2 * K * s^2 + E[Y^2 - 2 * w * z * Y + w^2 * z^2]"])
wrong(ALPHA, None)(
    [
        "= 2 * s^2 * K + 2 * s^2 * E[(Y - w * z)^2 / (2 * s^2) + log(2 * pi * s^2) / 2]",
        "= E[(Y - w * z)^2] + s^2 * K + s^2 * log(2 * pi * s^2)   # alpha half as large",
    ]
)
wrong(ALPHA, None)(["= E[(Y - w * z)^2] + 2 * s^2 * K   # the constant forgotten"])
