"""Answers to the exercises of chapter 10."""

from __future__ import annotations

import copy
import math

import torch
from torch.distributions import Normal

from answers import right, wrong

KNOB = "price_of_a_nat"


@right(KNOB)
def two_beta_variances(sigma, beta):
    return 2 * beta * sigma**2


@right(KNOB)
def by_the_equal_sigma(sigma, beta):
    equal = math.sqrt(beta) * sigma  # the ordinary VAE that is the same
    return torch.tensor(2 * equal**2, dtype=torch.float64)


@wrong(KNOB, "missing_half_square")
def one_variance(sigma, beta):
    return beta * sigma**2


@wrong(KNOB, "variance_for_sigma")
def not_squared(sigma, beta):
    return 2 * beta * sigma


@wrong(KNOB, "inverse_price")
def upside_down(sigma, beta):
    return beta / (2 * sigma**2)


@wrong(KNOB, "beta_forgotten")
def without_beta(sigma, beta):
    return 2 * sigma**2


BEST = "optimal_sigma"


@right(BEST)
def root_mean_square(x, x_hat):
    return (x - x_hat).square().mean().sqrt()


@right(BEST)
def by_newton(x, x_hat):
    log_sigma = torch.zeros((), dtype=x.dtype, requires_grad=True)
    lbfgs = torch.optim.LBFGS([log_sigma], max_iter=200, tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        lbfgs.zero_grad()
        loss = -Normal(x_hat, log_sigma.exp()).log_prob(x).mean()
        loss.backward()
        return loss

    lbfgs.step(closure)
    return log_sigma.exp().item()


@wrong(BEST, "variance_for_sigma")
def no_root(x, x_hat):
    return (x - x_hat).square().mean()


@wrong(BEST, "error_per_image")
def summed_over_pixels(x, x_hat):
    return (x - x_hat).square().flatten(1).sum(1).mean().sqrt()


@wrong(BEST, "mean_of_roots")
def mean_of_norms(x, x_hat):
    return (x - x_hat).square().flatten(1).mean(1).sqrt().mean()


@wrong(BEST, "mean_of_roots")
def mean_absolute_error(x, x_hat):
    return (x - x_hat).abs().mean()


@wrong(BEST, "mean_removed")
def standard_deviation(x, x_hat):
    return (x - x_hat).std()


OWN = "gain_of_own_sigmas"


@right(OWN)
def mean_of_logs_against_log_of_mean(errors):
    return 0.5 * len(errors) * (errors.mean().log() - errors.log().mean())


@right(OWN)
def both_bounds(errors):
    def best(variance):
        return -0.5 * (torch.log(2 * math.pi * variance) + errors / variance).sum()

    return (best(errors) - best(errors.mean())).item()


@wrong(OWN, "mean_over_pixels")
def per_pixel(errors):
    return 0.5 * (errors.mean().log() - errors.log().mean())


@wrong(OWN, "lost_half")
def without_half(errors):
    return (errors.mean().log() - errors.log()).sum()


@wrong(OWN, "gain_sign")
def loss_for_gain(errors):
    return 0.5 * (errors.log() - errors.mean().log()).sum()


@wrong(OWN, "variance_for_sigma")
def mean_of_sigmas(errors):
    sigmas = errors.sqrt()
    return (sigmas.mean().log() - sigmas.log()).sum()


COLUMNS = "column_lengths"


@right(COLUMNS)
def above_the_noise(eigenvalues, sigma):
    return (eigenvalues - sigma**2).clamp(min=0).sqrt()


@right(COLUMNS)
def one_by_one(eigenvalues, sigma):
    lengths = [math.sqrt(v - sigma**2) if v > sigma**2 else 0.0 for v in eigenvalues.tolist()]
    return torch.tensor(lengths)


@wrong(COLUMNS, "variance_for_sigma")
def sigma_not_squared(eigenvalues, sigma):
    return (eigenvalues - sigma).clamp(min=0).sqrt()


@wrong(COLUMNS, "variance_for_sigma")
def squared_lengths(eigenvalues, sigma):
    return torch.relu(eigenvalues - sigma**2)


@wrong(COLUMNS, "noise_not_subtracted")
def root_of_the_eigenvalue(eigenvalues, sigma):
    return torch.where(eigenvalues > sigma**2, eigenvalues.sqrt(), 0.0)


@wrong(COLUMNS, "collapse_missed")
def root_of_a_negative(eigenvalues, sigma):
    return (eigenvalues - sigma**2).sqrt()


@wrong(COLUMNS, "collapse_missed")
def absolute_value(eigenvalues, sigma):
    return (eigenvalues - sigma**2).abs().sqrt()


TURN = "rotated"


def matrix(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


@right(TURN)
@torch.no_grad()
def both_ends(model, angle):
    twin, turn = copy.deepcopy(model), matrix(angle)
    twin.encoder.mean.weight.copy_(turn @ model.encoder.mean.weight)
    twin.encoder.mean.bias.copy_(turn @ model.encoder.mean.bias)
    twin.decoder.layers[0].weight.copy_(model.decoder.layers[0].weight @ turn.T)
    return twin


@right(TURN)
def by_state(model, angle):
    twin, weights, turn = copy.deepcopy(model), dict(model.state_dict()), matrix(angle)
    for name in ("encoder.mean.weight", "encoder.mean.bias"):
        weights[name] = turn @ weights[name]
    weights["decoder.layers.0.weight"] = torch.linalg.solve(
        turn, weights["decoder.layers.0.weight"], left=False
    )
    twin.load_state_dict(weights)
    return twin


@wrong(TURN, "rotation_reversed")
def clockwise(model, angle):
    return both_ends(model, -angle)


@wrong(TURN, "rotation_reversed")
@torch.no_grad()
def decoder_turned_on(model, angle):
    twin, turn = both_ends(model, angle), matrix(angle)
    twin.decoder.layers[0].weight.copy_(model.decoder.layers[0].weight @ turn)
    return twin


@wrong(TURN, "decoder_not_undone")
@torch.no_grad()
def encoder_only(model, angle):
    twin = both_ends(model, angle)
    twin.decoder.layers[0].weight.copy_(model.decoder.layers[0].weight)
    return twin


@wrong(TURN, "bias_forgotten")
@torch.no_grad()
def without_the_bias(model, angle):
    twin = both_ends(model, angle)
    twin.encoder.mean.bias.copy_(model.encoder.mean.bias)
    return twin


LOSS = "one_pixels_sigma"

right(LOSS)(
    [
        "= m / (2 * s^2) - 1/2 + log(2 * pi * s^2) / 2 - log(2 * pi * m) / 2",
        "= m / (2 * s^2) - 1/2 - log(m / s^2) / 2   # 2 pi cancels",
        "= (m / s^2 - 1 - log(m / s^2)) / 2",
    ]
)
right(LOSS)(["= m / (2 * s^2) - 1/2 + log(s) - log(m) / 2"])
wrong(LOSS, None)(
    [
        "= m / (2 * s^2) - 1/2 - log(m / s^2) / 2",
        "= (m / s^2 - 1 - log(m / s)) / 2   # a square lost",
    ]
)
wrong(LOSS, None)(["= (m / s^2 - log(m / s^2)) / 2   # the constant lost"])
