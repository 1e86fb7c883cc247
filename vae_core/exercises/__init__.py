"""Checks for the exercises: in named steps, with the mistake that a wrong answer looks like.

In a notebook::

    from vae_core import exercises

    def kl_to_standard_normal(mu, log_sigma):
        ...

    exercises.check("kl_to_standard_normal", kl_to_standard_normal)

A check tests properties, exact models, samples within their standard errors and the flow of
gradients, never a stored answer. Nothing an answer does stops it: errors, endless loops, ``None``,
wrong shapes, NaN and changed inputs each become a sentence.
"""

from __future__ import annotations

from typing import Any

from vae_core._progress import in_notebook
from vae_core.exercises import _apart, _show
from vae_core.exercises._apart import GRADING
from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import CheckFailed, Exercise, Report, Result
from vae_core.exercises._mistakes import GENERAL, MISTAKES
from vae_core.exercises._registry import EXERCISES, get

__all__ = [
    "EXERCISES",
    "GENERAL",
    "GRADING",
    "MISTAKES",
    "Attempt",
    "CheckFailed",
    "Exercise",
    "Failure",
    "Report",
    "Result",
    "check",
    "get",
    "grade",
]


def check(name: str, answer: Any, *, seed: int = 0) -> Report:
    """Check ``answer`` to the exercise ``name``, show the report and return it.

    Never raises for a wrong answer, so that a notebook runs on. seed: decides the inputs tried.
    Raises ``ValueError`` if no exercise has that name.
    """
    report = get(name).check(answer, seed=seed)
    _show.check(report)
    return report


def grade(name: str, answer: Any, *, seed: int = GRADING) -> None:
    """As ``check``, with other and more inputs; raises ``CheckFailed`` if wrong.

    What a grader runs: nbgrader counts a cell that raises as zero points. The report takes the
    place of the one that ``check`` has shown in the same cell.
    """
    report = get(name).check(answer, seed=seed, thorough=True)
    _show.grade(report)
    if not report:
        raise CheckFailed(report)


if in_notebook():
    _apart.warm()
