"""Wrong answers that lie next to another mistake, and must not be told that one."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from answers import (
    chapter01,
    chapter02,
    chapter03,
    chapter04,
    chapter05,
    chapter07,
    chapter09,
    chapter10,
    chapter11,
    chapter12,
    chapter12_codes,
    chapter14,
    wrong,
)

# --- a likelihood, a bound, a divergence: which sign, which factor, which part --------------------


@wrong(chapter03.CLOSED, "kl_missing")
def closed_without_kl(model, q, z):
    return chapter03.summed_up(model.log_likelihood(z))


@wrong(chapter03.CLOSED, "loss_for_bound")
def closed_loss(model, q, z):
    value, error = chapter03.closed_by_formula(model, q, z)
    return -value, error


@wrong(chapter11.ELBO, "loss_for_bound")
def labelled_loss(encode, decode, y, label, noise):
    return -chapter11.label_in_both(encode, decode, y, label, noise)


def labelled_parts(encode, decode, y, label, noise):
    one_hot = F.one_hot(label, 10).to(y.dtype)
    mu, log_sigma = encode(torch.cat([y, one_hot], 1))
    logits = decode(torch.cat([mu + log_sigma.exp() * noise, one_hot], 1))
    kl = 0.5 * ((2 * log_sigma).exp() + mu**2 - 1 - 2 * log_sigma)
    return y * logits - F.softplus(logits), kl


@wrong(chapter11.ELBO, "kl_doubled")
def labelled_twice_the_kl(*arguments):
    log_p, kl = labelled_parts(*arguments)
    return log_p.sum(1) - 2 * kl.sum(1)


@wrong(chapter11.ELBO, "loss_for_likelihood")
def labelled_cross_entropy(*arguments):
    log_p, kl = labelled_parts(*arguments)
    return -log_p.sum(1) - kl.sum(1)


@wrong(chapter11.ELBO, "not_summed")
def labelled_pixels(*arguments):
    log_p, kl = labelled_parts(*arguments)
    return log_p - kl.sum(1, keepdim=True)


@wrong(chapter11.ELBO, "one_number")
def labelled_batch(*arguments):
    log_p, kl = labelled_parts(*arguments)
    return log_p.sum() - kl.sum()


def bound_parts(encode, decode, x, noise, sigma):
    mu, log_sigma = encode(x)
    error = (x - decode(mu + log_sigma.exp() * noise)) ** 2 / (2 * sigma**2)
    log_p = -(error + math.log(sigma) + math.log(2 * math.pi) / 2).flatten(1)
    return log_p, 0.5 * ((2 * log_sigma).exp() + mu**2 - 1 - 2 * log_sigma)


@wrong(chapter12.ELBO, "kl_doubled")
def bound_twice_the_kl(*arguments):
    log_p, kl = bound_parts(*arguments)
    return log_p.sum(1) - 2 * kl.sum(1)


@wrong(chapter12.ELBO, "loss_for_likelihood")
def bound_of_a_loss(*arguments):
    log_p, kl = bound_parts(*arguments)
    return -log_p.sum(1) - kl.sum(1)


@wrong(chapter12.ELBO, "not_summed")
def bound_for_each_latent(*arguments):
    log_p, kl = bound_parts(*arguments)
    return log_p.sum(1, keepdim=True) - kl


@wrong(chapter04.FULL, "kl_missing_half")
def full_squares_whole(mu, factor):
    log_det = 2 * torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)
    return factor.square().sum((-2, -1)) + mu.square().sum(-1) - mu.shape[-1] / 2 - log_det / 2


@wrong(chapter05.GAUSSIAN, "not_summed")
def every_gaussian_pixel(x, mean, sigma):
    return torch.distributions.Normal(mean, sigma).log_prob(x)


# --- which dimension, and which number ------------------------------------------------------------


@wrong(chapter02.SIZE, "one_number")
def one_size(log_weights):
    return 1 / log_weights.flatten().softmax(0).square().sum()


@wrong(chapter02.MEAN, "divided_twice")
def mean_of_a_mean(log_weights):
    n = len(log_weights)
    return log_weights.logsumexp(0) - 2 * math.log(n)


@wrong(chapter07.NAME, "missing_prior")
def without_the_prior(log_p_x, log_p_z, log_q):
    return torch.logsumexp(log_p_x - log_q, 0) - math.log(len(log_p_x))


@wrong(chapter11.EVIDENCE, "missing_prior")
def evidence_without_the_prior(log_likelihood, log_prior, log_q):
    return torch.logsumexp(log_likelihood - log_q, 0) - math.log(len(log_q))


@wrong(chapter14.WEIGHTS, "missing_log_q")
def weights_without_q(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood + log_prior, 0)


@wrong(chapter14.WEIGHTS, "missing_prior")
def weights_without_the_prior(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood - log_q, 0)


@wrong(chapter09.RATE, "z_not_counted")
def bits_of_x_alone(log_p_x, log_p_z, log_q, pixels):
    return -log_p_x.mean().item() / pixels / math.log(2)


@wrong(chapter14.PAIRED, "divided_by_n")
def spread_over_n(first, second):
    gaps = first - second
    return gaps.mean(), gaps.std() / len(gaps)


# --- what is looked at ----------------------------------------------------------------------------


@wrong(chapter07.ACTIVE, "posterior_variance")
def width_of_q(encode, images, threshold):
    """Not random at all: a count of the latents in which Q is wide."""
    return int((encode(images).sigma.square().mean(0) > threshold).sum())


@wrong(chapter10.COLUMNS, "roots_subtracted")
def root_minus_sigma(eigenvalues, sigma):
    return (eigenvalues.sqrt() - sigma).clamp(min=0)


@wrong(chapter12_codes.GAIN, "train_for_test")
def gain_on_train(train_codes, test_codes):
    return chapter12_codes.fitted_to_train(train_codes, train_codes)


@wrong(chapter12.STEP, "bound_for_loss")
def returns_the_bound(vae, optimiser, x, generator):
    return -chapter12.descend(vae, optimiser, x, generator)


@wrong(chapter12.STEP, "graph_kept")
def returns_a_tensor(vae, optimiser, x, generator):
    noise = torch.randn(len(x), vae.latent_dim, generator=generator)
    loss = -vae.elbo(x, noise).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss


# --- maps and rounds ------------------------------------------------------------------------------


def standard_cdf(z):
    return torch.special.ndtr(torch.as_tensor(z)).numpy()


@wrong(chapter01.QUANTILE, "shares_not_one")
def masses_not_divided(z, edges, heights):
    shares = np.concatenate([[0.0], np.cumsum(heights * np.diff(edges))])
    return np.interp(standard_cdf(z), shares, edges)


@wrong(chapter01.QUANTILE, "order_reversed")
def from_the_upper_end(z, edges, heights):
    return chapter01.by_interpolation(-z, edges, heights)


@wrong(chapter03.TURNS, "share_ignored")
def all_the_way(x, theta, m, t, alpha):
    return chapter03.in_turn(x, theta, m, t, 1.0)


@wrong(chapter03.TURNS, "share_reversed")
def share_that_stays(x, theta, m, t, alpha):
    return chapter03.in_turn(x, theta, m, t, 1 - alpha)


@wrong(chapter03.TURNS, "theta_forgotten")
def towards_x_itself(x, theta, m, t, alpha):
    new_theta, _, new_t = chapter03.in_turn(x, theta, m, t, alpha)
    return new_theta, m + alpha * (x - m), new_t


@wrong(chapter12_codes.CODES, "no_exp")
def mean_plus_log_sigma(encode, x, batch_size):
    with torch.no_grad():
        return torch.cat([sum(encode(part)) for part in x.split(batch_size)])
