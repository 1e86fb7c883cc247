"""Exercises of chapter 8: decoders that make a given density, and how fast the gap falls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

student = Exercise(
    "student_map",
    chapter=8,
    kind="code",
    title="The decoder that makes Student's density",
    signature="student_map(z) -> f(z), a NumPy array of z's shape; f turns N(0, 1) into Student's "
    "density with 5 degrees of freedom; z: a NumPy array",
    mistakes=("map_inverted", "density_for_cdf", "moments_only", "tail_lost"),
)


def _array(attempt: Attempt, found: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = attempt.array(found)
    if not isinstance(found, Tensor):
        raise Failure("a NumPy array", short(found), "type")
    if found.shape != shape:
        raise Failure(f"the shape {list(shape)}", f"{list(found.shape)}", "shape")
    return found.detach().numpy()


@student.step("gives one number for each z, the median for the median")
def _student_shape(attempt: Attempt) -> None:
    found = _array(attempt, attempt(np.linspace(-2, 2, 5)), (5,))
    attempt.require(np.isfinite(found).all(), "finite numbers", str(found), "not_finite")


@student.step("carries each quantile of N(0, 1) to the same quantile of the data")
def _student_values(attempt: Attempt) -> None:
    from scipy import special, stats

    z = np.sort(attempt.normal(9).numpy())
    density = stats.t(5)
    with np.errstate(all="ignore"):
        mistakes = {
            "map_inverted": special.ndtri(density.cdf(z)),
            "density_for_cdf": density.ppf(stats.norm.pdf(z)),
            "moments_only": math.sqrt(5 / 3) * z,
        }
    found = _array(attempt, attempt(z), (9,))
    right = np.where(z < 0, 1, -1) * density.ppf(special.ndtr(-np.abs(z)))
    attempt.close(
        torch.from_numpy(found.copy()), torch.from_numpy(right), "f(z)", mistakes=mistakes
    )


@student.step("is right far out in both tails")
def _student_tails(attempt: Attempt) -> None:
    from scipy import special, stats

    z = np.array([-11.0, -9.0, -7.5, 7.5, 9.0, 11.0])
    found = _array(attempt, attempt(z), (6,))
    with np.errstate(all="ignore"):
        tail = stats.t(5).sf(np.abs(found))
        right = np.isfinite(found) & (np.sign(found) == np.sign(z))
        right &= np.abs(tail / special.ndtr(-np.abs(z)) - 1) < 1e-3
    attempt.require(right.all(), f"quantiles of z = {z.tolist()}", str(found.tolist()), "tail_lost")


decay = Exercise(
    "decay_law",
    chapter=8,
    kind="code",
    title="How fast does it fall?",
    signature="decay_law(sigmas, gaps) -> (rate, constant) of gap = constant * sigma^rate, fitted "
    "by least squares on logarithmic axes; both: [n]",
    mistakes=("no_logs", "log_constant", "axes_exchanged"),
)


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    centred = x - x.mean()
    slope = (centred @ y / (centred @ centred)).item()
    return slope, y.mean().item() - slope * x.mean().item()


def _decay_compare(attempt: Attempt, sigmas: Tensor, gaps: Tensor, what: str) -> None:
    found = attempt(sigmas, gaps)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failure("a pair of numbers, rate and constant", short(found), "type")
    rate, constant = attempt.number(found[0]), attempt.number(found[1])
    x, y = sigmas.log(), gaps.log()
    slope, height = _line(x, y)
    attempt.close(
        rate,
        slope,
        f"the rate of {what}",
        mistakes={
            "no_logs": [_line(sigmas, gaps)[0], _line(x, gaps)[0], _line(sigmas, y)[0]],
            "axes_exchanged": [1 / slope, _line(y, x)[0]],
        },
    )
    attempt.close(
        constant,
        math.exp(height),
        f"the constant of {what}",
        mistakes={"log_constant": [height, height / math.log(10), math.exp(height / math.log(10))]},
    )


@decay.step("finds an exact power law")
def _decay_exact(attempt: Attempt) -> None:
    sigmas = torch.logspace(-2.5, -0.5, 9, dtype=torch.float64)
    for rate, constant in ((2.0, 0.7), (1.3, 4.0)):
        _decay_compare(attempt, sigmas, constant * sigmas**rate, "a power law")


@decay.step("fits the gaps of a linear decoder")
def _decay_linear(attempt: Attempt) -> None:
    w, x = 1.3, 0.5 + attempt.normal(1).abs().item()
    sigmas = torch.logspace(-2.5, -0.5, 12, dtype=torch.float64)
    total = w**2 + sigmas**2
    gaps = kl_divergence(Normal(x / w, sigmas / w), Normal(w * x / total, sigmas / total.sqrt()))
    _decay_compare(attempt, sigmas, gaps, "the appendix's Q")


lognormal = Exercise(
    "lognormal_map",
    chapter=8,
    kind="derivation",
    title="The log-normal",
    signature="a dict of expressions in X and w, each a string in the workbench's notation, or a "
    "function that returns it: 'g', 'slope' (g'), 'score' (s), 'd', 'a' and 'c' (the constant)",
)


def _expressions(attempt: Attempt) -> dict[str, Any]:
    from vae_core.symbolic import NotationError, entries  # SymPy takes a second to import

    given = attempt() if callable(attempt.answer) else attempt.answer
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        raise Failure("a dict of strings", short(given), "type")
    found = {}
    for key in entries.ENTRIES["lognormal_map"].keys:
        if key not in given:
            raise Failure(f"an entry {key!r}", f"only {sorted(map(str, given))}", None)
        try:
            found[key] = entries.read("lognormal_map", given[key])
        except NotationError as error:
            raise Failure(f"an expression for {key!r}", str(error)) from None
    return found


def _entry(key: str, what: str) -> None:
    @lognormal.step(what, alone=True)
    def _step(attempt: Attempt) -> None:
        found = _expressions(attempt)[key]
        from vae_core.symbolic import entries

        wrong = entries.judged("lognormal_map", key, found)
        if wrong:
            raise Failure(*wrong)


for _key, _what in {
    "g": "g is the inverse of f",
    "slope": "the slope is g's derivative",
    "score": "the score is the derivative of the log of the density that f makes",
    "d": "d is g times its slope",
    "a": "a is the bend of f, in X",
    "c": "c is the constant of the appendix's Q",
}.items():
    _entry(_key, _what)

EXERCISES = (student, decay, lognormal)
