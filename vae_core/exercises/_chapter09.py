"""Exercises of chapter 9: bits, bins, whole-number frequencies and a stack of bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

LN2 = math.log(2)

account = Exercise(
    "bits_back_rate",
    chapter=9,
    kind="code",
    title="What a digit costs, in bits a pixel",
    signature="bits_back_rate(log_p_x, log_p_z, log_q, pixels) -> bits a pixel, one number; "
    "log P(X|z), log P(z) and log Q(z|X) in nats, each [images]; pixels: of one image",
    mistakes=(
        "log_base",
        "bits_not_back",
        "z_not_counted",
        "rate_sign",
        "sum_over_batch",
        "per_image",
    ),
)


def _three(attempt: Attempt, n: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        -80 + 10 * attempt.normal(n),
        -28 + 3 * attempt.normal(n),
        -4 + 3 * attempt.normal(n),
    )


@account.step("is what is pushed minus what is popped, in bits a pixel")
def _account_values(attempt: Attempt) -> None:
    for n, pixels in ((7, 784), (4, 12)):
        log_p_x, log_p_z, log_q = three = _three(attempt, n)
        nats = (log_q - log_p_x - log_p_z).mean().item() / pixels
        forgotten = (-log_p_x - log_p_z).mean().item() / pixels
        right = nats / LN2
        found = attempt.array(attempt(*three, pixels))
        if isinstance(found, Tensor) and found.numel() > 1:
            raise Failure("one number for all images", f"the shape {list(found.shape)}", "shape")
        attempt.close(
            attempt.number(found),
            right,
            f"bits a pixel of {n} images of {pixels} pixels",
            mistakes={
                "log_base": [nats, nats * LN2],
                "bits_not_back": [
                    forgotten / LN2,
                    (-log_p_x - log_p_z - log_q).mean().item() / pixels / LN2,
                ],
                "z_not_counted": -log_p_x.mean().item() / pixels / LN2,
                "rate_sign": -right,
                "sum_over_batch": right * n,
                "per_image": right * pixels,
            },
        )


levels = Exercise(
    "discretised_logistic",
    chapter=9,
    kind="code",
    title="A probability for each grey level",
    signature="discretised_logistic(x, mean, log_scale) -> log-probabilities in nats, x's shape; "
    "x: whole numbers 0 to 255 in a float tensor; a logistic of this mean and log scale, both in "
    "levels, cut at the halves; what lies below 0 counts for 0, what lies above 255 for 255",
    mistakes=("missing_edges", "density_for_mass", "no_exp", "sigma_for_scale", "tail_lost"),
)


def _mass(x: Tensor, mean: Tensor, scale: Tensor, edges: bool = True) -> Tensor:
    above, below = (x + 0.5 - mean) / scale, (x - 0.5 - mean) / scale
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), in logs
    inside = (
        torch.nn.functional.logsigmoid(above)
        + torch.nn.functional.logsigmoid(-below)
        + (-torch.expm1(-1 / scale)).log()
    )
    if not edges:
        return inside
    inside = torch.where(x == 0, torch.nn.functional.logsigmoid(above), inside)
    return torch.where(x == 255, torch.nn.functional.logsigmoid(-below), inside)


@levels.step("gives one finite number for each pixel")
def _levels_shape(attempt: Attempt) -> None:
    x = torch.tensor([[100.0, 110.0, 119.0], [120.0, 130.0, 140.0]], dtype=torch.float64)
    mean = torch.full_like(x, 120.0)
    attempt.tensor(attempt(x, mean, torch.full_like(x, 2.5)), (2, 3))


@levels.step("is the mass of each level's bin")
def _levels_values(attempt: Attempt) -> None:
    x = torch.arange(100, 150, 7, dtype=torch.float64)
    # Near the mean, where a plain difference of distribution functions is exact too.
    mean = x + (3 * attempt.normal(len(x))).clamp(-6, 6)
    log_scale = 1.5 + (0.2 * attempt.normal(len(x))).clamp(-0.5, 0.5)
    scale = log_scale.exp()
    t = (x - mean) / scale
    density = -t - log_scale - 2 * torch.nn.functional.softplus(-t)
    # a logistic's standard deviation is pi / sqrt(3) times its scale
    attempt.close(
        attempt.tensor(attempt(x, mean, log_scale), tuple(x.shape)),
        _mass(x, mean, scale),
        "the log-probabilities",
        mistakes={
            "density_for_mass": density,
            "no_exp": _mass(x, mean, log_scale),
            "sigma_for_scale": [
                _mass(x, mean, scale * math.sqrt(3) / math.pi),
                _mass(x, mean, scale * math.pi / math.sqrt(3)),
            ],
        },
    )


@levels.step("sums to 1 over the 256 levels")
def _levels_sum(attempt: Attempt) -> None:
    x = torch.arange(256, dtype=torch.float64)
    for centre, log_scale in ((120.0, 2.0), (3.0, 2.5), (251.0, 3.0), (260.0, 1.0)):
        mean, spread = torch.full_like(x, centre), torch.full_like(x, log_scale)
        found = attempt.tensor(attempt(x, mean, spread), (256,))
        total = found.exp().sum().item()
        inside = _mass(x, mean, spread.exp(), edges=False).exp().sum().item()
        attempt.close(total, 1.0, "the sum", rtol=1e-6, mistakes={"missing_edges": inside})


@levels.step("stays finite far out, where the two distribution functions round to the same")
def _levels_tails(attempt: Attempt) -> None:
    x = torch.tensor([0.0, 3.0, 40.0, 200.0, 254.0, 255.0], dtype=torch.float64)
    mean = torch.tensor([255.0, 255, 0, 5, 0, 0], dtype=torch.float64)
    log_scale = torch.zeros(6, dtype=torch.float64)
    found = attempt.array(attempt(x, mean, log_scale))
    right = _mass(x, mean, log_scale.exp())
    if isinstance(found, Tensor) and found.shape == x.shape:
        close = torch.isfinite(found) & ((found - right).abs() < 1e-3)
        attempt.require(close.all(), f"{right.tolist()}", f"{found.tolist()}", "tail_lost")
    attempt.close(found, right, "the log-probabilities", rtol=1e-4)


whole = Exercise(
    "whole_frequencies",
    chapter=9,
    kind="code",
    title="Probabilities as whole numbers",
    signature="whole_frequencies(p, total) -> whole numbers that sum to total, none of them 0, "
    "nearly in proportion to p; p: [symbols], sums to 1; total: a power of two above the number "
    "of symbols; a tensor of integers or a list",
    mistakes=("zero_frequency", "sum_off", "flat_code"),
)


def _frequencies(attempt: Attempt, p: Tensor, total: int) -> Tensor:
    found = attempt.array(attempt(p, total))
    if not isinstance(found, Tensor):
        raise Failure("a tensor of integers or a list", short(found), "type")
    if found.shape != p.shape:
        raise Failure(f"the shape {list(p.shape)}", f"{list(found.shape)}", "shape")
    if found.is_floating_point():
        attempt.require((found == found.round()).all(), "whole numbers", found, "type")
    return found.to(torch.int64)


def _laws(attempt: Attempt) -> list[tuple[Tensor, int]]:
    skewed = (3 * attempt.normal(40)).softmax(0)
    tiny = torch.full((300,), 1e-9, dtype=torch.float64)
    tiny[7] = 1 - 299e-9
    even = torch.full((7,), 1 / 7, dtype=torch.float64)
    return [(skewed, 4096), (tiny, 4096), (even, 16), ((5 * attempt.normal(256)).softmax(0), 65536)]


@whole.step("gives every symbol a frequency")
def _whole_zero(attempt: Attempt) -> None:
    for p, total in _laws(attempt):
        found = _frequencies(attempt, p, total)
        least = int(found.min())
        mistake = "zero_frequency" if least == 0 else None
        attempt.require(least >= 1, "frequencies of 1 or more", f"{least}", mistake)


@whole.step("sums to the total, exactly")
def _whole_sum(attempt: Attempt) -> None:
    for p, total in _laws(attempt):
        found = int(_frequencies(attempt, p, total).sum())
        attempt.require(found == total, f"the sum {total}", f"{found}", "sum_off")


@whole.step("costs hardly more bits than p itself")
def _whole_cost(attempt: Attempt) -> None:
    for p, total in _laws(attempt):
        found = _frequencies(attempt, p, total).double() / total
        extra = (p * (p / found).log()).sum().item() / LN2
        # Each symbol may take a unit or two from the others.
        allowed = 3 * len(p) / total / LN2
        flat = bool(found.max() <= 2 * found.min()) and bool(p.max() > 4 * p.min())
        attempt.require(
            extra <= allowed,
            f"at most {allowed:.3g} bits a symbol more for {len(p)} symbols and {total}",
            f"{extra:.3g}",
            "flat_code" if flat else None,
        )


stack = Exercise(
    "bit_stack",
    chapter=9,
    kind="code",
    title="A stack of bits",
    signature="bit_stack(frequencies) -> (push, pop); frequencies: a list of whole numbers; "
    "push(state, symbol) -> state and pop(state) -> (state, symbol), a state being one "
    "whole number of any size",
    mistakes=("cumulative_missing", "flat_code", "float_state", "not_reversed"),
)


def _pair(
    attempt: Attempt, frequencies: list[int]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    found = attempt(frequencies)
    if not (isinstance(found, (tuple, list)) and len(found) == 2 and all(map(callable, found))):
        raise Failure("two functions, push and pop", short(found), "type")
    push, pop = found
    return push, pop


def _popped(attempt: Attempt, pop: Callable[..., Any], state: int) -> tuple[int, int]:
    found = Attempt(pop, seed=attempt.seed)(state)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failure("a state and a symbol from pop", short(found), "type")
    return found[0], found[1]


def _whole_state(state: Any) -> None:
    if not isinstance(state, int):
        raise Failure("a state that is a whole number", short(state), "float_state")


def _symbols(attempt: Attempt, frequencies: list[int], n: int) -> list[int]:
    p = torch.tensor(frequencies, dtype=torch.float64)
    return torch.multinomial(p, n, replacement=True, generator=attempt.generator).tolist()


FREQUENCIES = [[1, 3, 4], [5, 1, 2, 8], [3, 9, 1, 12, 7]]


def _there_and_back(attempt: Attempt, start: int, n: int, broken: str) -> None:
    for frequencies in FREQUENCIES:
        push, pop = _pair(attempt, frequencies)
        pushed = Attempt(push, seed=attempt.seed)
        told = _symbols(attempt, frequencies, n)
        state: Any = start
        for symbol in told:
            state = pushed(state, symbol)
            _whole_state(state)
        back = []
        for _ in told:
            state, symbol = _popped(attempt, pop, state)
            back.append(symbol)
        expected = "the symbols pushed, the last first"
        mistake = "not_reversed" if back == told != told[::-1] else broken
        attempt.require(back == told[::-1], expected, "other symbols", mistake)
        attempt.require(state == start, f"the state {start} of before", f"{state}", broken)


@stack.step("pops what was pushed, the last first, and leaves the state as it was")
def _stack_returns(attempt: Attempt) -> None:
    for start in (1, 7, 12_345):
        _there_and_back(attempt, start, 6, "cumulative_missing")


@stack.step("does so for states of any size")
def _stack_large(attempt: Attempt) -> None:
    for start in (7, 3**90):
        _there_and_back(attempt, start, 40, "float_state")


@stack.step("can pop what nobody has pushed, and pushing that puts the same bits back")
def _stack_draws(attempt: Attempt) -> None:
    for frequencies in FREQUENCIES:
        push, pop = _pair(attempt, frequencies)
        for start in (10**6 + 17, 5**80):
            state: Any = start
            drawn = []
            for _ in range(6):
                state, symbol = _popped(attempt, pop, state)
                _whole_state(state)
                drawn.append(symbol)
            for symbol in drawn[::-1]:
                state = Attempt(push, seed=attempt.seed)(state, symbol)
            attempt.require(state == start, "the state of before", "another", "cumulative_missing")


@stack.step("grows by -log2 p for each symbol")
def _stack_grows(attempt: Attempt) -> None:
    for frequencies in FREQUENCIES:
        push, _ = _pair(attempt, frequencies)
        total, start = sum(frequencies), 3**200
        for symbol, frequency in enumerate(frequencies):
            grown = math.log2(Attempt(push, seed=attempt.seed)(start, symbol)) - math.log2(start)
            attempt.close(
                grown,
                math.log2(total / frequency),
                f"the bits for a symbol of frequency {frequency} in {total}",
                rtol=1e-6,
                atol=1e-6,
                mistakes={"flat_code": [math.log2(len(frequencies)), math.log2(total)]},
            )


fine = Exercise(
    "fine_of_q",
    chapter=9,
    kind="derivation",
    title="What a digit costs, and the fine in it",
    signature="a list of lines from E[-log P(X|z) - log P(z) + log Q(z|X)] to what the best Q "
    "would pay plus a divergence",
)


@fine.step("each line follows from the one before, and the last is the price plus the fine")
def _fine_chain(attempt: Attempt) -> None:
    attempt.derivation("fine_of_q")


EXERCISES = (account, levels, whole, stack, fine)
