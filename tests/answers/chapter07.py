"""Answers to the exercises of chapter 7."""

from __future__ import annotations

import math

import torch

from answers import right, wrong

NAME = "importance_log_p"


@right(NAME)
def by_logsumexp(log_p_x, log_p_z, log_q):
    log_w = log_p_x + log_p_z - log_q
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


@right(NAME)
def largest_first(log_p_x, log_p_z, log_q):
    log_w = log_p_x + log_p_z - log_q
    most = log_w.amax(0)
    return most + (log_w - most).exp().mean(0).log()


@right(NAME)
def one_at_a_time(log_p_x, log_p_z, log_q):
    total = torch.full_like(log_q[0], -math.inf)
    for a, b, c in zip(log_p_x, log_p_z, log_q, strict=True):
        total = torch.logaddexp(total, a + b - c)
    return total - math.log(len(log_q))


@wrong(NAME, "naive_logsumexp")
def as_it_stands(log_p_x, log_p_z, log_q):
    return (log_p_x + log_p_z - log_q).exp().mean(0).log()


@wrong(NAME, "naive_logsumexp")
def density_times_ratio(log_p_x, log_p_z, log_q):
    return torch.log(torch.mean(log_p_x.exp() * log_p_z.exp() / log_q.exp(), dim=0))


@wrong(NAME, "mean_of_logs")
def the_elbo(log_p_x, log_p_z, log_q):
    return (log_p_x + log_p_z - log_q).mean(0)


@wrong(NAME, "missing_log_n")
def sum_for_mean(log_p_x, log_p_z, log_q):
    return torch.logsumexp(log_p_x + log_p_z - log_q, 0)


@wrong(NAME, "no_density_ratio")
def as_if_from_the_prior(log_p_x, log_p_z, log_q):
    return torch.logsumexp(log_p_x, 0) - math.log(len(log_p_x))


@wrong(NAME, "missing_log_q")
def without_q(log_p_x, log_p_z, log_q):
    return torch.logsumexp(log_p_x + log_p_z, 0) - math.log(len(log_p_x))


@wrong(NAME, "inverse_ratio")
def ratio_upside_down(log_p_x, log_p_z, log_q):
    return torch.logsumexp(log_p_x + log_q - log_p_z, 0) - math.log(len(log_p_x))


@wrong(NAME, "mean_over_batch")
def averaged_over_images(log_p_x, log_p_z, log_q):
    return by_logsumexp(log_p_x, log_p_z, log_q).mean()


STREAM = "stream_bound"


@right(STREAM)
def two_running_logs(portions):
    first, second, n = torch.tensor(-math.inf), torch.tensor(-math.inf), 0
    for log_w in portions:
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
        n += len(log_w)
    return (first - math.log(n)).item(), (2 * first - second).exp().item()


@right(STREAM)
def running_maximum(portions):
    most, total, squares, n = -math.inf, 0.0, 0.0, 0
    for log_w in portions:
        new = max(most, log_w.max().item())
        factor = math.exp(most - new)
        w = (log_w - new).exp()
        total = total * factor + w.sum()
        squares = squares * factor**2 + w.square().sum()
        most, n = new, n + len(log_w)
    return most + math.log(total / n), total**2 / squares


def _running(portions, *, factor=None, power=2, end=None):
    """The running maximum with one thing left out or replaced."""
    most, total, squares, n = -math.inf, 0.0, 0.0, 0
    for log_w in portions:
        new = max(most, log_w.max().item())
        f = math.exp(most - new) if factor is None else factor
        w = (log_w - new).exp()
        total, squares = total * f + w.sum().item(), squares * f**power + w.square().sum().item()
        most, n = new, n + len(log_w)
    return most + math.log(total / n), total**2 / squares


@wrong(STREAM, "naive_logsumexp")
def plain_sums(portions):
    total, squares, n = 0.0, 0.0, 0
    for log_w in portions:
        total = total + log_w.exp().sum()
        squares = squares + log_w.exp().square().sum()
        n += len(log_w)
    return torch.log(total / n), total**2 / squares


@wrong(STREAM, "missing_log_n")
def log_of_the_sum(portions):
    first, second = torch.tensor(-math.inf), torch.tensor(-math.inf)
    for log_w in portions:
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
    return first.item(), (2 * first - second).exp().item()


@wrong(STREAM, "mean_of_logs")
def mean_of_the_portions_bounds(portions):
    bounds, first, second = [], torch.tensor(-math.inf), torch.tensor(-math.inf)
    for log_w in portions:
        bounds.append(log_w.logsumexp(0) - math.log(len(log_w)))
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
    return torch.stack(bounds).mean(), (2 * first - second).exp()


@wrong(STREAM, "unequal_portions")
def mean_of_the_portions_means(portions):
    means, first, second = [], torch.tensor(-math.inf), torch.tensor(-math.inf)
    for log_w in portions:
        means.append(log_w.logsumexp(0) - math.log(len(log_w)))
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
    bound = torch.stack(means).logsumexp(0) - math.log(len(means))
    return bound, (2 * first - second).exp()


@wrong(STREAM, "unequal_portions")
def sum_of_the_effective_sizes(portions):
    first, effective, n = torch.tensor(-math.inf), 0.0, 0
    for log_w in portions:
        first = torch.logaddexp(first, log_w.logsumexp(0))
        n += len(log_w)
        w = log_w.softmax(0)
        effective += (1 / w.square().sum()).item()
    return first - math.log(n), effective


@wrong(STREAM, "stale_maximum")
def sums_left_on_the_old_scale(portions):
    most, total, squares, n = -math.inf, 0.0, 0.0, 0
    for log_w in portions:
        most = log_w.max()
        total = total + (log_w - most).exp().sum()
        squares = squares + (2 * (log_w - most)).exp().sum()
        n += len(log_w)
    return most + torch.log(total / n), total**2 / squares


@wrong(STREAM, "squares_not_rescaled")
def squares_once(portions):
    return _running(portions, power=1)


@wrong(STREAM, "squares_not_rescaled")
def squares_never(portions):
    return _running(portions, power=0)


@wrong(STREAM, "holds_all")
def all_at_once(portions):
    log_w = list(portions)
    whole = torch.cat(log_w)
    bound = whole.logsumexp(0) - math.log(len(whole))
    return bound, 1 / whole.softmax(0).square().sum()


ACTIVE = "active_units"


@right(ACTIVE)
def variance_of_means(encode, images, threshold):
    return int((encode(images).mean.var(dim=0) > threshold).sum())


@right(ACTIVE)
def by_moments(encode, images, threshold):
    mean = encode(images).mean
    variance = (mean**2).mean(0) - mean.mean(0) ** 2
    return (variance > threshold).sum()


@wrong(ACTIVE, "sampled_mean")
def variance_of_draws(encode, images, threshold):
    return int((encode(images).rsample().var(0) > threshold).sum())


@wrong(ACTIVE, "variance_for_sigma")
def deviation_above_threshold(encode, images, threshold):
    return int((encode(images).mean.std(0) > threshold).sum())


@wrong(ACTIVE, "transposed")
def variance_over_latents(encode, images, threshold):
    return int((encode(images).mean.var(1) > threshold).sum())


@wrong(ACTIVE, "uncentred")
def mean_square(encode, images, threshold):
    return int((encode(images).mean.square().mean(0) > threshold).sum())


right("bound_rise")(["= E[delta^2] / 2 - E[delta]", "= v / k / 2 - 0", "= v / (2 * k)"])
right("bound_rise")(["v / (2 * k)"])
wrong("bound_rise", None)(["E[delta^2] / 2 - E[delta]", "-v / (2 * k)"])
wrong("bound_rise", None)(["E[delta^2] / 2 - E[delta]"])
right("bound_effective")(["k * 1 / (v + 1^2)  # variance plus mean squared", "k / (1 + v)"])
wrong("bound_effective", None)(["k / v"])
