"""Answers to the exercises of chapter 12."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from answers import right, wrong

ELBO = "elbo_of_a_batch"


def parts(encode, decode, x, noise, sigma):
    mu, log_sigma = encode(x)
    z = mu + log_sigma.exp() * noise
    error = (x - decode(z)).square().flatten(1).sum(1)
    pixels = x[0].numel()
    log_p = -error / (2 * sigma**2) - pixels / 2 * math.log(2 * math.pi * sigma**2)
    kl = (0.5 * (mu**2 + torch.exp(2 * log_sigma) - 1) - log_sigma).sum(1)
    return mu, log_sigma, z, error, log_p, kl


@right(ELBO)
def five_lines(encode, decode, x, noise, sigma):
    *_, log_p, kl = parts(encode, decode, x, noise, sigma)
    return log_p - kl


@right(ELBO)
def elbo_by_the_library(encode, decode, x, noise, sigma):
    mu, log_sigma = encode(x)
    q = Normal(mu, log_sigma.exp())
    log_p = Normal(decode(mu + q.scale * noise), sigma).log_prob(x).sum(dim=(1, 2, 3))
    return log_p - kl_divergence(q, Normal(0.0, 1.0)).sum(-1)


@wrong(ELBO, "kl_missing_half")
def the_tutorials_kl(encode, decode, x, noise, sigma):
    mu, log_sigma, *_, log_p, _ = parts(encode, decode, x, noise, sigma)
    return log_p - (torch.exp(log_sigma) ** 2 + mu**2 - log_sigma - 1 / 2).sum(1)


@wrong(ELBO, "kl_sign")
def plus_the_kl(encode, decode, x, noise, sigma):
    *_, log_p, kl = parts(encode, decode, x, noise, sigma)
    return log_p + kl


@wrong(ELBO, "loss_for_bound")
def the_loss(encode, decode, x, noise, sigma):
    return -five_lines(encode, decode, x, noise, sigma)


@wrong(ELBO, "mean_over_pixels")
def mean_of_log_p(encode, decode, x, noise, sigma):
    _, _, z, _, _, kl = parts(encode, decode, x, noise, sigma)
    return Normal(decode(z), sigma).log_prob(x).flatten(1).mean(1) - kl


@wrong(ELBO, "mean_over_pixels")
def mean_squared_error(encode, decode, x, noise, sigma):
    _, _, z, _, _, kl = parts(encode, decode, x, noise, sigma)
    error = F.mse_loss(decode(z), x, reduction="none").flatten(1).mean(1)
    constant = x[0].numel() / 2 * math.log(2 * math.pi * sigma**2)
    return -error / (2 * sigma**2) - constant - kl


@wrong(ELBO, "mean_over_batch")
def one_mean(encode, decode, x, noise, sigma):
    return five_lines(encode, decode, x, noise, sigma).mean()


@wrong(ELBO, "sum_over_batch")
def one_sum(encode, decode, x, noise, sigma):
    return five_lines(encode, decode, x, noise, sigma).sum()


@wrong(ELBO, "log_variance")
def takes_log_variance(encode, decode, x, noise, sigma):
    def halved(x):
        mu, log_variance = encode(x)
        return mu, 0.5 * log_variance

    return five_lines(halved, decode, x, noise, sigma)


@wrong(ELBO, "log_variance")
def kingmas_kl_with_log_sigma(encode, decode, x, noise, sigma):
    mu, log_sigma, *_, log_p, _ = parts(encode, decode, x, noise, sigma)
    return log_p + 0.5 * (1 + log_sigma - mu**2 - log_sigma.exp()).sum(1)


@wrong(ELBO, "no_exp")
def raw_spread(encode, decode, x, noise, sigma):
    mu, log_sigma, *_, kl = parts(encode, decode, x, noise, sigma)
    x_hat = decode(mu + log_sigma * noise)
    return Normal(x_hat, sigma).log_prob(x).flatten(1).sum(1) - kl


@wrong(ELBO, "no_noise")
def decodes_the_mean(encode, decode, x, noise, sigma):
    mu, *_, kl = parts(encode, decode, x, noise, sigma)
    return Normal(decode(mu), sigma).log_prob(x).flatten(1).sum(1) - kl


@wrong(ELBO, "shared_noise")
def first_noise_for_all(encode, decode, x, noise, sigma):
    return five_lines(encode, decode, x, noise[0], sigma)


@wrong(ELBO, "grey_cross_entropy")
def cross_entropy(encode, decode, x, noise, sigma):
    _, _, z, _, _, kl = parts(encode, decode, x, noise, sigma)
    return -F.binary_cross_entropy(decode(z), x, reduction="none").flatten(1).sum(1) - kl


@wrong(ELBO, "missing_log_2pi")
def without_two_pi(encode, decode, x, noise, sigma):
    *_, error, _, kl = parts(encode, decode, x, noise, sigma)
    return -error / (2 * sigma**2) - x[0].numel() * math.log(sigma) - kl


@wrong(ELBO, "missing_log_sigma")
def without_log_sigma(encode, decode, x, noise, sigma):
    *_, error, _, kl = parts(encode, decode, x, noise, sigma)
    return -error / (2 * sigma**2) - x[0].numel() / 2 * math.log(2 * math.pi) - kl


@wrong(ELBO, "missing_log_sigma")
def without_any_constant(encode, decode, x, noise, sigma):
    *_, error, _, kl = parts(encode, decode, x, noise, sigma)
    return -error / (2 * sigma**2) - kl


@wrong(ELBO, "squared_error_only")
def bare_squares(encode, decode, x, noise, sigma):
    *_, error, _, kl = parts(encode, decode, x, noise, sigma)
    return -error - kl


@wrong(ELBO, "sample_for_rsample")
def cut_at_the_draw(encode, decode, x, noise, sigma):
    mu, log_sigma = encode(x)
    with torch.no_grad():
        z = mu + log_sigma.exp() * noise
    log_p = Normal(decode(z), sigma).log_prob(x).flatten(1).sum(1)
    return log_p - kl_divergence(Normal(mu, log_sigma.exp()), Normal(0.0, 1.0)).sum(1)


PAINT = "paint"


@right(PAINT)
def by_unflatten(logits, height, width):
    return torch.sigmoid(logits).unflatten(1, (1, height, width))


@right(PAINT)
def by_view(logits, height, width):
    return 1 / (1 + (-logits.view(-1, 1, height, width)).exp())


@wrong(PAINT, "softmax_for_sigmoid")
def competing_pixels(logits, height, width):
    return logits.softmax(dim=1).reshape(-1, 1, height, width)


@wrong(PAINT, "logits_as_probabilities")
def no_link(logits, height, width):
    return logits.reshape(-1, 1, height, width)


@wrong(PAINT, "logits_as_probabilities")
def clamped(logits, height, width):
    return logits.reshape(-1, 1, height, width).clamp(0, 1)


@wrong(PAINT, "transposed")
def width_first(logits, height, width):
    return torch.sigmoid(logits).reshape(-1, 1, width, height)


@wrong(PAINT, "transposed")
def column_after_column(logits, height, width):
    return torch.sigmoid(logits).reshape(-1, 1, width, height).transpose(2, 3)


STEP = "training_step"


@right(STEP)
def descend(vae, optimiser, x, generator):
    noise = torch.randn(len(x), vae.latent_dim, generator=generator, dtype=x.dtype, device=x.device)
    loss = -vae.elbo(x, noise).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


@right(STEP)
def clears_afterwards(vae, optimiser, x, generator):
    noise = torch.empty(len(x), vae.latent_dim, device=x.device).normal_(generator=generator)
    loss = vae.elbo(x, noise).neg().sum() / len(x)
    loss.backward()
    optimiser.step()
    for parameter in vae.parameters():
        parameter.grad = None
    return loss.item()


def one_step(vae, optimiser, x, noise, sign=-1.0, reduce=torch.mean, clear=True, move=True):
    loss = sign * reduce(vae.elbo(x, noise))
    if clear:
        optimiser.zero_grad()
    loss.backward()
    if move:
        optimiser.step()
    return loss.item()


def drawn(vae, x, generator):
    return torch.randn(len(x), vae.latent_dim, generator=generator)


@wrong(STEP, "gradient_accumulates")
def never_clears(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, drawn(vae, x, generator), clear=False)


@wrong(STEP, "loss_sign")
def climbs_down(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, drawn(vae, x, generator), sign=1.0)


@wrong(STEP, "not_updated")
def forgets_to_step(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, drawn(vae, x, generator), move=False)


@wrong(STEP, "sum_over_batch")
def sums(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, drawn(vae, x, generator), reduce=torch.sum)


@wrong(STEP, "no_noise")
def no_draw(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, torch.zeros(len(x), vae.latent_dim))


@wrong(STEP, "shared_noise")
def one_draw_for_all(vae, optimiser, x, generator):
    noise = torch.randn(1, vae.latent_dim, generator=generator).expand(len(x), -1)
    return one_step(vae, optimiser, x, noise)


@wrong(STEP, "shared_noise")
def one_draw_broadcast(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, torch.randn(vae.latent_dim, generator=generator))


@wrong(STEP, "seed_in_loop")
def seeds_each_time(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, drawn(vae, x, generator.manual_seed(0)))


@wrong(STEP, "generator_ignored")
def torchs_own_noise(vae, optimiser, x, generator):
    return one_step(vae, optimiser, x, torch.randn(len(x), vae.latent_dim))


@wrong(STEP, "global_generator")
def seeds_torchs_own(vae, optimiser, x, generator):
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    return one_step(vae, optimiser, x, torch.randn(len(x), vae.latent_dim))
