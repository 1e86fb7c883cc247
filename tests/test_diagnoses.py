"""A diagnosis is given only for a mistake that was made.

Right answers are changed in ways of which it is known what they are: twice the result, its
negative, a mean over the latents. Whatever mistake a check then names must be one of those that do
just that. The bank of answers (test_exercises.py) shows the reverse: each mistake is named.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from answers import RIGHT, Entry
from torch import Tensor

from vae_core import exercises
from vae_core.exercises import _values

Change = Callable[[Tensor], Tensor]

CHANGES: dict[str, Change] = {
    "twice": lambda t: 2 * t,
    "half": lambda t: t / 2,
    "plus one": lambda t: t + 1,
    "minus one": lambda t: t - 1,
    "a little more": lambda t: 1.01 * t,
    "negative": lambda t: -t,
    "square": lambda t: t**2,
    "root": lambda t: t.abs().sqrt(),
    "exponential": lambda t: t.clamp(max=50).exp(),
    "logarithm": lambda t: t.abs().log(),
    "zero": lambda t: 0 * t,
    "mean over the last dimension": lambda t: t.mean(-1) if t.ndim > 1 else 1.37 * t,
    "mean of all": lambda t: t.mean(),
    "sum of all": lambda t: t.sum(),
    "rows and columns exchanged": lambda t: t.mT if t.ndim > 1 else t.flip(0) if t.ndim else t + 1,
    "shifted by a row": lambda t: t.roll(1, 0) if t.ndim else 1.5 * t,
}

# What a change may be called, whatever the exercise.
SIGNS = {
    "kl_sign",
    "loss_for_bound",
    "loss_for_likelihood",
    "bound_for_loss",
    "difference_sign",
    "rate_sign",
    "gain_sign",
    "score_sign",
}
ALLOWED: dict[str, set[str]] = {
    "twice": {"kl_doubled", "lost_half"},
    "half": set(),
    "plus one": set(),
    "minus one": set(),
    "a little more": set(),
    "negative": SIGNS,
    "square": {"variance_for_sigma", "variance_for_error", "squared_width"},
    "root": {"variance_for_sigma"},
    "exponential": {"exp_left_in"},
    "logarithm": {"log_constant"},
    "zero": {"no_noise", "naive_logsumexp", "snapped_to_edges"},
    "mean over the last dimension": {"mean_over_batch", "one_number", "mean_of_draws"},
    "mean of all": {"mean_over_batch", "one_number"},
    "sum of all": {"sum_over_batch", "one_number"},
    "rows and columns exchanged": {"transposed", "order_reversed"},
    "shifted by a row": set(),
}
# What it may be called in one exercise, with the reason.
HERE: dict[tuple[str, str], set[str]] = {
    # Half the price is what the squared error has without its own factor 1/2.
    ("price_of_a_nat", "half"): {"missing_half_square"},
    # Logs of weights do not sum to one.
    ("imputation_weights", "logarithm"): {"sum_not_one"},
}
# Trainings: the same answer is tried in closed form.
SLOW = {"trained"}

ENTRIES = [
    e
    for e in RIGHT
    if callable(e.answer)
    and exercises.get(e.exercise).kind != "derivation"
    and getattr(e.answer, "__name__", "") not in SLOW
]


def changed(value: Any, change: Change, place: int | None) -> Any:
    """``value`` with its numbers changed: all, or those in one place of a tuple or list."""
    if isinstance(value, Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f":
            return value
        return change(torch.from_numpy(value.copy())).numpy()
    if isinstance(value, float):
        return float(change(torch.tensor(float(value), dtype=torch.float64)))
    if isinstance(value, tuple | list):
        parts = enumerate(value)
        made = [changed(v, change, None) if place in (None, i) else v for i, v in parts]
        return type(value)(made)
    if isinstance(value, dict):
        return {k: changed(v, change, place) for k, v in value.items()}
    return value


def report(name: str, answer: Any, seed: int = 0) -> exercises.Report:
    exercise = exercises.get(name)
    with contextlib.redirect_stdout(io.StringIO()):
        results = tuple(exercise.results(answer, seed, False))
    return exercises.Report(exercise.name, exercise.title, results)


def test_every_change_says_what_it_may_be_called() -> None:
    assert set(ALLOWED) == set(CHANGES)
    named = set().union(*ALLOWED.values(), *HERE.values())
    assert named <= set(exercises.MISTAKES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.label)
def test_a_changed_answer_is_not_told_another_mistake(entry: Entry, change: str) -> None:
    allowed = ALLOWED[change] | HERE.get((entry.exercise, change), set())
    several = False

    for place in (None, 0, 1):

        def answer(*given: Any, **named: Any) -> Any:
            nonlocal several
            found = entry.answer(*given, **named)
            several = isinstance(found, tuple | list)
            return changed(found, CHANGES[change], place)  # noqa: B023

        if place is None or several:
            mistake = report(entry.exercise, answer).mistake
            if mistake in exercises.MISTAKES:
                assert mistake in allowed, exercises.MISTAKES[mistake]


# --- results in another form ----------------------------------------------------------------------


def as_form(value: Any, form: str) -> Any:
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(as_form(v, form) for v in value)
    if isinstance(value, Tensor) and not value.requires_grad:
        if form == "numpy":
            return value.numpy()
        if form == "list":
            return value.tolist()
        if form == "strides" and value.ndim:  # backwards through another array
            return np.asfortranarray(value.numpy()[::-1])[::-1]
        return value.float() if form == "single" and value.is_floating_point() else value
    if isinstance(value, np.ndarray):
        if form == "single" and value.dtype.kind == "f":
            return value.astype(np.float32)
        return value.tolist() if form == "list" else value
    if isinstance(value, float):
        one = {"numpy": np.float64, "single": np.float32}.get(form)
        return one(value) if one else torch.tensor(value, dtype=torch.float64)
    return value


@pytest.mark.parametrize("form", ["numpy", "list", "strides", "single", "0-d tensor"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.label)
def test_right_answers_are_right_in_any_form(entry: Entry, form: str) -> None:
    """NumPy arrays, lists of floats, 0-d tensors, and single precision within its tolerance."""

    def answer(*given: Any, **named: Any) -> Any:
        return as_form(entry.answer(*given, **named), form)

    found = report(entry.exercise, answer)
    assert found, found


def test_what_single_precision_may_be_off_by_is_not_allowed_to_double() -> None:
    right = torch.tensor([1.0, -2.0], dtype=torch.float64)
    off = right + 5e-5
    assert _values.close(off.float(), right, 1e-6, 1e-8)
    assert not _values.close(off, right, 1e-6, 1e-8)
    assert not _values.close(right.float() + 1e-3, right, 1e-6, 1e-8)
    assert _values.close(right.float() + 1e-3, right, 1e-6, 1e-8, size=1e4)
    assert not _values.close(off.float(), right, 1e-6, 1e-8, exact=True)


# --- what is said where two results differ --------------------------------------------------------


def said(found: Any, expected: Any) -> str:
    return " / ".join(_values.differ(found, expected))


def test_two_arrays_that_differ_are_told_apart() -> None:
    right = torch.linspace(0, 1, 50, dtype=torch.float64)
    wrong = right.clone()
    wrong[[7, 31]] += torch.tensor([1e-3, 0.5], dtype=torch.float64)
    text = said(wrong, right)
    assert "2 of 50 differ, most at [31]: by 0.5" in text
    assert "at [7], [31]" in text
    assert "0.14386" in text  # what is there
    assert "0.14286" in text  # and what should be


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_two_numbers_are_shown_with_the_digits_that_differ(gap: float) -> None:
    for right in (torch.tensor(0.123456789), 3.0, torch.tensor([1.0, 2.0], dtype=torch.float64)):
        one, two = _values.differ(right + gap * 10, right)
        if isinstance(right, float) or right.dtype == torch.float64:
            assert one != two


def test_a_report_never_shows_the_same_for_expected_and_found() -> None:
    """As once: "expected a float64 tensor of shape [50], found a float64 tensor of shape [50]"."""
    for entry in ENTRIES:

        def answer(*given: Any, **named: Any) -> Any:
            return changed(entry.answer(*given, **named), CHANGES["a little more"], None)  # noqa: B023

        for result in report(entry.exercise, answer).results:
            if result.ok is False:
                wanted = result.expected.rpartition(": ")[2]
                assert wanted != result.found, result
