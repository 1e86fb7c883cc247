"""Answers to the exercises of chapter 9."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate

import torch
import torch.nn.functional as F

from answers import right, wrong

RATE = "bits_back_rate"


@right(RATE)
def pushed_minus_popped(log_p_x, log_p_z, log_q, pixels):
    nats = -log_p_x - log_p_z + log_q
    return (nats / math.log(2) / pixels).mean()


@right(RATE)
def minus_elbo_in_bits(log_p_x, log_p_z, log_q, pixels):
    elbo = torch.mean(log_p_x + log_p_z - log_q).item()
    return -elbo * math.log2(math.e) / pixels


@wrong(RATE, "log_base")
def in_nats(log_p_x, log_p_z, log_q, pixels):
    return (log_q - log_p_x - log_p_z).mean() / pixels


@wrong(RATE, "log_base")
def times_log_2(log_p_x, log_p_z, log_q, pixels):
    return (log_q - log_p_x - log_p_z).mean() / pixels * math.log(2)


@wrong(RATE, "bits_not_back")
def plain_two_part(log_p_x, log_p_z, log_q, pixels):
    return (-log_p_x - log_p_z).mean() / pixels / math.log(2)


@wrong(RATE, "bits_not_back")
def popping_as_a_cost(log_p_x, log_p_z, log_q, pixels):
    return -(log_p_x + log_p_z + log_q).mean() / pixels / math.log(2)


@wrong(RATE, "rate_sign")
def the_elbo(log_p_x, log_p_z, log_q, pixels):
    return (log_p_x + log_p_z - log_q).mean() / pixels / math.log(2)


@wrong(RATE, "sum_over_batch")
def of_all_images(log_p_x, log_p_z, log_q, pixels):
    return (log_q - log_p_x - log_p_z).sum() / pixels / math.log(2)


@wrong(RATE, "per_image")
def bits_an_image(log_p_x, log_p_z, log_q, pixels):
    return (log_q - log_p_x - log_p_z).mean() / math.log(2)


LEVELS = "discretised_logistic"


@right(LEVELS)
def in_logs(x, mean, log_scale):
    scale = log_scale.exp()
    above, below = (x + 0.5 - mean) / scale, (x - 0.5 - mean) / scale
    middle = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(below - above))
    low = torch.where(x == 0, F.logsigmoid(above), middle)
    return torch.where(x == 255, F.logsigmoid(-below), low)


@right(LEVELS)
def infinite_edges(x, mean, log_scale):
    scale = torch.exp(log_scale)
    above = torch.where(x > 254.5, math.inf, (x + 0.5 - mean) / scale)
    below = torch.where(x < 0.5, -math.inf, (x - 0.5 - mean) / scale)
    # On the side where both distribution functions are small the difference is exact.
    flip = below > 0
    high, low = torch.where(flip, -below, above), torch.where(flip, -above, below)
    a, b = F.logsigmoid(high), F.logsigmoid(low)
    return a + torch.log1p(-torch.exp(b - a))


def _difference(x, mean, scale, edges=True):
    above = torch.sigmoid((x + 0.5 - mean) / scale)
    below = torch.sigmoid((x - 0.5 - mean) / scale)
    if edges:
        above = torch.where(x == 255, 1.0, above)
        below = torch.where(x == 0, 0.0, below)
    return above - below


@wrong(LEVELS, "missing_edges")
def without_the_tails(x, mean, log_scale):
    return _difference(x, mean, log_scale.exp(), edges=False).log()


@wrong(LEVELS, "density_for_mass")
def the_density(x, mean, log_scale):
    t = (x - mean) / log_scale.exp()
    return -t - log_scale - 2 * F.softplus(-t)


@wrong(LEVELS, "no_exp")
def scale_is_log_scale(x, mean, log_scale):
    return _difference(x, mean, log_scale).log()


@wrong(LEVELS, "sigma_for_scale")
def of_that_standard_deviation(x, mean, log_scale):
    return _difference(x, mean, log_scale.exp() * math.sqrt(3) / math.pi).log()


@wrong(LEVELS, "tail_lost")
def plain_difference(x, mean, log_scale):
    return _difference(x, mean, log_scale.exp()).log()


@wrong(LEVELS, "tail_lost")
def clamped_difference(x, mean, log_scale):
    return _difference(x, mean, log_scale.exp()).clamp_min(1e-12).log()


WHOLE = "whole_frequencies"


@right(WHOLE)
def one_each_then_by_p(p, total):
    found = 1 + torch.floor(p * (total - len(p))).long()
    found[p.argmax()] += total - found.sum()
    return found


@right(WHOLE)
def by_the_edges(p, total):
    edges = torch.cat([torch.zeros(1), p.cumsum(0)])
    edges = torch.round(edges * (total - len(p))).long() + torch.arange(len(p) + 1)
    edges[-1] = total
    return edges.diff()


@right(WHOLE)
def largest_remainders(p, total):
    ideal = p * (total - len(p))
    found = ideal.floor().long()
    left = total - len(p) - int(found.sum())
    for k in (ideal - found).argsort(descending=True)[:left]:
        found[k] += 1
    return [int(v) + 1 for v in found]


@wrong(WHOLE, "zero_frequency")
def rounded_down(p, total):
    found = torch.floor(p * total).long()
    found[p.argmax()] += total - found.sum()
    return found


@wrong(WHOLE, "sum_off")
def rounded(p, total):
    return torch.round(p * total).long().clamp_min(1)


@wrong(WHOLE, "flat_code")
def all_alike(p, total):
    found = torch.full((len(p),), total // len(p))
    found[0] += total - found.sum()
    return found


STACK = "bit_stack"


@right(STACK)
def asymmetric_numerals(frequencies):
    starts = [0, *accumulate(frequencies)]
    total = starts[-1]

    def push(state, symbol):
        f = frequencies[symbol]
        return state // f * total + starts[symbol] + state % f

    def pop(state):
        rest = state % total
        symbol = bisect_right(starts, rest) - 1
        return frequencies[symbol] * (state // total) + rest - starts[symbol], symbol

    return push, pop


@right(STACK)
def by_a_table(frequencies):
    slots = [s for s, f in enumerate(frequencies) for _ in range(f)]
    first = [slots.index(s) for s in range(len(frequencies))]

    def push(state, symbol):
        high, low = divmod(state, frequencies[symbol])
        return high * len(slots) + first[symbol] + low

    def pop(state):
        high, slot = divmod(state, len(slots))
        symbol = slots[slot]
        return high * frequencies[symbol] + slot - first[symbol], symbol

    return push, pop


@wrong(STACK, "cumulative_missing")
def no_starts_in_push(frequencies):
    _, pop = asymmetric_numerals(frequencies)

    def push(state, symbol):
        f = frequencies[symbol]
        return state // f * sum(frequencies) + state % f

    return push, pop


@wrong(STACK, "cumulative_missing")
def no_starts_in_pop(frequencies):
    push, right_pop = asymmetric_numerals(frequencies)
    total = sum(frequencies)

    def pop(state):
        _, symbol = right_pop(state)
        return frequencies[symbol] * (state // total) + state % total, symbol

    return push, pop


@wrong(STACK, "flat_code")
def digits_of_a_number(frequencies):
    n = len(frequencies)
    return (lambda state, symbol: state * n + symbol), (lambda state: divmod(state, n))


@wrong(STACK, "float_state")
def with_a_plain_division(frequencies):
    starts = [0, *accumulate(frequencies)]
    total = starts[-1]

    def push(state, symbol):
        f = frequencies[symbol]
        return int(state / f) * total + starts[symbol] + state % f

    def pop(state):
        rest = state % total
        symbol = bisect_right(starts, rest) - 1
        return frequencies[symbol] * int(state / total) + rest - starts[symbol], symbol

    return push, pop


@wrong(STACK, "not_reversed")
def a_queue(frequencies):
    n = len(frequencies)
    queue = []

    def push(state, symbol):
        queue.append(symbol)
        return state * n + symbol

    def pop(state):
        return state // n, queue.pop(0)

    return push, pop


FINE = "fine_of_q"
right(FINE)(
    [
        "= E[log(Q(z|X) / P(X, z))]  # the product rule",
        "= E[log(Q(z|X) / P(z|X))] - log P(X)",
        "= KL(Q(z|X) || P(z|X)) - log P(X)",
    ]
)


@right(FINE)
def through_the_bound():
    return [
        "KL(Q(z|X) || P(z)) - E[log P(X|z)]",
        "-log P(X) + KL(Q(z|X) || P(z|X))",
    ]


wrong(FINE, None)(["KL(Q(z|X) || P(z)) + E[log P(X|z)]"])
wrong(FINE, None)(["KL(Q(z|X) || P(z)) - E[log P(X|z)]"])
wrong(FINE, None)(["KL(Q(z|X) || P(z)) - E[log P(X|z)]", "-log P(X) - KL(Q(z|X) || P(z|X))"])
