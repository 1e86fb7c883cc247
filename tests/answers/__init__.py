"""The bank of answers: for every code exercise right ones, written differently, and wrong ones.

A wrong answer names the mistake that it makes, as a student would make it; the check must say so.
A module ``chapterNN.py`` holds those of one chapter; importing the package fills the lists.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import cloudpickle

# As a notebook's functions travel: by value, not by a name that has to be imported.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

RIGHT: list[Entry] = []
WRONG: list[Entry] = []


class Entry(NamedTuple):
    exercise: str
    mistake: str | None
    answer: Any

    @property
    def label(self) -> str:
        name = getattr(self.answer, "__name__", "answer")
        return f"{self.exercise}-{self.mistake or 'right'}-{name}"


def right(exercise: str) -> Callable[[Any], Any]:
    """Mark a function as a right answer to ``exercise``."""

    def add(answer: Any) -> Any:
        RIGHT.append(Entry(exercise, None, answer))
        return answer

    return add


def wrong(exercise: str, mistake: str | None) -> Callable[[Any], Any]:
    """Mark a function as a wrong answer, whose diagnosis must be ``mistake``.

    A derivation's is None: its report names the wrong line instead.
    """

    def add(answer: Any) -> Any:
        WRONG.append(Entry(exercise, mistake, answer))
        return answer

    return add


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
