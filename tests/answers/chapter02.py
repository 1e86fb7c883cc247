"""Answers to the exercises of chapter 2."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.distributions import Normal

from answers import right, wrong

MEAN = "log_mean_exp"


@right(MEAN)
def by_the_maximum(log_weights):
    top = log_weights.max(dim=0).values
    return top + (log_weights - top).exp().mean(dim=0).log()


@right(MEAN)
def by_the_library(log_weights):
    return torch.logsumexp(log_weights, dim=0) - math.log(log_weights.shape[0])


@right(MEAN)
def by_pairs(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - math.log(len(log_weights))


@wrong(MEAN, "naive_logsumexp")
def as_it_is_written(log_weights):
    return torch.log(torch.exp(log_weights).mean(0))


@wrong(MEAN, "mean_of_logs")
def averaged_logs(log_weights):
    return log_weights.mean(0)


@wrong(MEAN, "missing_log_n")
def only_the_sum(log_weights):
    return log_weights.logsumexp(0)


@wrong(MEAN, "one_per_draw")
def along_the_batch(log_weights):
    return torch.logsumexp(log_weights, -1) - math.log(log_weights.shape[-1])


@wrong(MEAN, "one_number")
def over_everything(log_weights):
    return torch.logsumexp(log_weights.flatten(), 0) - math.log(log_weights.numel())


SIZE = "effective_sample_size"


@right(SIZE)
def by_shares(log_weights):
    return 1 / torch.softmax(log_weights, 0).pow(2).sum(0)


@right(SIZE)
def by_two_sums(log_weights):
    return (2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0)).exp()


@right(SIZE)
def by_largest(log_weights):
    w = torch.exp(log_weights - log_weights.amax(0, keepdim=True))
    return w.sum(0) ** 2 / (w**2).sum(0)


@wrong(SIZE, "naive_logsumexp")
def size_as_written(log_weights):
    w = log_weights.exp()
    return w.sum(0) ** 2 / (w**2).sum(0)


@wrong(SIZE, "log_weights_as_weights")
def size_of_logs(log_weights):
    return log_weights.sum(0) ** 2 / (log_weights**2).sum(0)


@wrong(SIZE, "raw_weights")
def size_without_sum(log_weights):
    return 1 / (log_weights.exp() ** 2).sum(0)


@wrong(SIZE, "raw_weights")
def size_without_square(log_weights):
    w = log_weights.exp()
    return w.sum(0) / (w**2).sum(0)


@wrong(SIZE, "inverse_count")
def size_inverted(log_weights):
    return log_weights.softmax(0).square().sum(0)


@wrong(SIZE, "one_per_draw")
def size_along_batch(log_weights):
    return 1 / log_weights.softmax(1).square().sum(1)


RUNNING = "running_evidence"


@right(RUNNING)
def with_a_maximum(state, log_weight):
    n, top, total, squares = state or (0, -math.inf, 0.0, 0.0)
    new = max(top, log_weight)
    old = math.exp(top - new)
    total = total * old + math.exp(log_weight - new)
    squares = squares * old**2 + math.exp(2 * (log_weight - new))
    n += 1
    return (n, new, total, squares), new + math.log(total / n), total**2 / squares


@right(RUNNING)
def with_logaddexp(state, log_weight):
    if state is None:
        state = {"n": 0, "sum": -np.inf, "squares": -np.inf}
    state["n"] += 1
    state["sum"] = np.logaddexp(state["sum"], log_weight)
    state["squares"] = np.logaddexp(state["squares"], 2 * log_weight)
    size = np.exp(2 * state["sum"] - state["squares"])
    return state, state["sum"] - np.log(state["n"]), size


@wrong(RUNNING, "naive_logsumexp")
def running_plain(state, log_weight):
    n, total, squares = state or (0, 0.0, 0.0)
    n, total, squares = n + 1, total + math.exp(log_weight), squares + math.exp(2 * log_weight)
    return (n, total, squares), math.log(total / n), total**2 / squares


@wrong(RUNNING, "naive_logsumexp")
def running_numpy(state, log_weight):
    with np.errstate(all="ignore"):
        n, total, squares = state or (0, np.float64(0), np.float64(0))
        w = np.exp(np.float64(log_weight))
        n, total, squares = n + 1, total + w, squares + w**2
        return (n, total, squares), np.log(total / n), total**2 / squares


@wrong(RUNNING, "old_scale")
def running_forgets(state, log_weight):
    n, top, total, squares = state or (0, -math.inf, 0.0, 0.0)
    top = max(top, log_weight)
    total += math.exp(log_weight - top)
    squares += math.exp(2 * (log_weight - top))
    n += 1
    return (n, top, total, squares), top + math.log(total / n), total**2 / squares


@wrong(RUNNING, "old_scale")
def running_squares_rescaled_once(state, log_weight):
    n, top, total, squares = state or (0, -math.inf, 0.0, 0.0)
    new = max(top, log_weight)
    old = math.exp(top - new)
    total = total * old + math.exp(log_weight - new)
    squares = squares * old + math.exp(2 * (log_weight - new))
    n += 1
    return (n, new, total, squares), new + math.log(total / n), total**2 / squares


@wrong(RUNNING, "missing_log_n")
def running_sum(state, log_weight):
    state, log_mean, size = with_a_maximum(state, log_weight)
    return state, log_mean + math.log(state[0]), size


@wrong(RUNNING, "mean_of_logs")
def running_mean_of_logs(state, log_weight):
    inner, n, total = state or (None, 0, 0.0)
    inner, _, size = with_a_maximum(inner, log_weight)
    return (inner, n + 1, total + log_weight), (total + log_weight) / (n + 1), size


@wrong(RUNNING, "growing_state")
def running_keeps_all(state, log_weight):
    state = [*(state or []), log_weight]
    values = torch.tensor(state, dtype=torch.float64)
    size = 1 / values.softmax(0).square().sum()
    return state, (values.logsumexp(0) - math.log(len(state))).item(), size.item()


@wrong(RUNNING, "inverse_count")
def running_inverse(state, log_weight):
    state, log_mean, size = with_a_maximum(state, log_weight)
    return state, log_mean, 1 / size


WEIGHTED = "importance_log_evidence"


@right(WEIGHTED)
def by_densities(log_likelihood, z, mu, log_sigma):
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_q = Normal(mu, log_sigma.exp()).log_prob(z).sum(-1)
    log_weights = log_likelihood + log_prior - log_q
    return torch.logsumexp(log_weights, 0) - math.log(len(z))


@right(WEIGHTED)
def by_hand(log_likelihood, z, mu, log_sigma):
    noise = (z - mu) / log_sigma.exp()
    ratio = (0.5 * noise**2 - 0.5 * z**2 + log_sigma).sum(dim=-1)
    return by_the_maximum(log_likelihood + ratio)


@wrong(WEIGHTED, "no_density_ratio")
def unweighted(log_likelihood, z, mu, log_sigma):
    return by_the_library(log_likelihood)


@wrong(WEIGHTED, "missing_log_q")
def prior_only(log_likelihood, z, mu, log_sigma):
    return by_the_library(log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(-1))


@wrong(WEIGHTED, "inverse_ratio")
def upside_down(log_likelihood, z, mu, log_sigma):
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_q = Normal(mu, log_sigma.exp()).log_prob(z).sum(-1)
    return by_the_library(log_likelihood + log_q - log_prior)


@wrong(WEIGHTED, "missing_log_sigma")
def without_log_sigma(log_likelihood, z, mu, log_sigma):
    noise = (z - mu) / log_sigma.exp()
    return by_the_library(log_likelihood + (0.5 * noise**2 - 0.5 * z**2).sum(-1))


@wrong(WEIGHTED, "missing_log_sigma")
def q_without_constants(log_likelihood, z, mu, log_sigma):
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_q = (-0.5 * ((z - mu) / log_sigma.exp()) ** 2).sum(-1)
    return by_the_library(log_likelihood + log_prior - log_q)


@wrong(WEIGHTED, "naive_logsumexp")
def weights_as_numbers(log_likelihood, z, mu, log_sigma):
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1).exp()
    q = Normal(mu, log_sigma.exp()).log_prob(z).sum(-1).exp()
    return (log_likelihood.exp() * prior / q).mean(0).log()


@wrong(WEIGHTED, "mean_of_logs")
def bound_for_evidence(log_likelihood, z, mu, log_sigma):
    noise = (z - mu) / log_sigma.exp()
    return (log_likelihood + (0.5 * noise**2 - 0.5 * z**2 + log_sigma).sum(-1)).mean(0)


@wrong(WEIGHTED, "missing_log_n")
def sum_of_weights(log_likelihood, z, mu, log_sigma):
    return by_densities(log_likelihood, z, mu, log_sigma) + math.log(len(z))


WIDTH = "best_width"


def best_a(delta):
    b = 1 + 2 * delta**2
    return (b + math.sqrt(b**2 + 8 * delta**2)) / 2


@right(WIDTH)
def by_the_formula(delta):
    return math.sqrt((1 + best_a(delta)) / 2)


@right(WIDTH)
def by_search(delta):
    def log_rho(log_a):
        a = math.exp(log_a)
        return math.log1p(a) - 0.5 * log_a + delta**2 / a

    found = minimize_scalar(log_rho, bounds=(-5, 12), method="bounded", options={"xatol": 1e-10})
    return math.sqrt((1 + math.exp(found.x)) / 2)


@wrong(WIDTH, "squared_width")
def a_itself(delta):
    return best_a(delta)


@wrong(WIDTH, "squared_width")
def variance_of_q(delta):
    return (1 + best_a(delta)) / 2


@wrong(WIDTH, "posterior_width")
def always_one(delta):
    return 1.0


@wrong(WIDTH, "narrow_width")
def one_over(delta):
    return 1 / by_the_formula(delta)


BOUND = "rho_at_least_one"


right(BOUND)(
    [
        "= 1 + (1 - 2*sqrt(a) + a) / (2*sqrt(a))  # add and take away 1",
        "= 1 + (sqrt(a) - 1)^2 / (2*sqrt(a))",
        ">= 1 gap (sqrt(a) - 1)^2 / (2*sqrt(a))",
    ]
)
right(BOUND)([">= 1 gap (1 - sqrt(a))^2 / (2 * sqrt(a))"])
wrong(BOUND, None)([">= 1 gap (a - 1)^2 / (2 * sqrt(a))"])
wrong(BOUND, None)(["= (1 + sqrt(a))^2 / (2*sqrt(a))", ">= 1 gap (1 + a) / (2*sqrt(a))"])
wrong(BOUND, None)(["= 1/2 * (1/sqrt(a) + sqrt(a))"])
