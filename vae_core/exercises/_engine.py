"""Exercises in named steps, and the report that a student reads."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vae_core._progress import in_notebook
from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._guard import Hung, guarded
from vae_core.exercises._mistakes import GENERAL, MISTAKES

__all__ = ["CheckFailed", "Exercise", "Report", "Result"]

StepFunction = Callable[[Attempt], None]
WIDTH = 88  # of a report as text, in characters
STEP_LIMIT = 60.0  # seconds of a whole step, its reference included


class CheckFailed(AssertionError):
    """An answer that is not right yet; its text is the report."""


@dataclass(frozen=True)
class Result:
    """What one step said. ok: None where the step waits for an earlier one."""

    name: str
    ok: bool | None
    expected: str = ""
    found: str = ""
    mistake: str | None = None

    @property
    def sentence(self) -> str:
        """What the mistake is, if it looks like a known one."""
        if self.mistake is None:
            return ""
        return (
            GENERAL.get(self.mistake)
            or "This looks like a known mistake. " + MISTAKES[self.mistake]
        )


@dataclass(frozen=True)
class Report:
    """The verdict on one answer, step by step; true if every step holds."""

    exercise: str
    title: str
    results: tuple[Result, ...]

    def __bool__(self) -> bool:
        return all(result.ok for result in self.results)

    @property
    def mistake(self) -> str | None:
        """The diagnosis of the first step that failed."""
        return next((r.mistake for r in self.results if r.ok is False), None)

    def _lines(self) -> Iterator[str]:
        yield f"{self.title}: {'right' if self else 'not yet'}"
        for result in self.results:
            yield f"  {'✓' if result.ok else '✗' if result.ok is False else '·'} {result.name}"
            if result.ok is False:
                if result.mistake != "not_answered":
                    yield f"      expected {result.expected}"
                    yield f"      found {result.found}"
                if result.sentence:
                    yield f"      {result.sentence}"
            elif result.ok is None:
                yield "      waits for the step before it"

    def __repr__(self) -> str:
        # Wrapped: in a traceback, and so on nbgrader's feedback, a long line is cut off.
        return "\n".join(
            textwrap.fill(line, WIDTH, subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2))
            for line in self._lines()
        )

    def _repr_html_(self) -> str:
        rows = "\n".join(html.escape(line) for line in self._lines())
        return f'<pre class="vae-check" style="white-space: pre-wrap">{rows}</pre>'


@dataclass
class Exercise:
    """One exercise: its name, what is asked for, and the steps that check it.

    chapter: 1 to 14. kind: "derivation", "code" or "experiment". signature: what the answer is, as
    a student reads it. mistakes: the known ones (keys of ``MISTAKES``) that its steps can tell.
    """

    name: str
    chapter: int
    kind: str
    title: str
    signature: str
    mistakes: Sequence[str] = ()
    steps: list[tuple[str, StepFunction, bool]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        unknown = set(self.mistakes) - set(MISTAKES)
        if unknown:
            raise ValueError(f"{self.name}: no mistake is called {sorted(unknown)}")
        if self.kind not in ("derivation", "code", "experiment"):
            raise ValueError(f"{self.name}: kind must be derivation, code or experiment")

    def step(self, name: str, *, alone: bool = False) -> Callable[[StepFunction], StepFunction]:
        """Add a step. It waits for those before it, unless it can be judged ``alone``."""

        def add(function: StepFunction) -> StepFunction:
            self.steps.append((name, function, alone))
            return function

        return add

    def check(self, answer: Any, *, seed: int = 0, thorough: bool = False) -> Report:
        """Try ``answer``; see ``vae_core.exercises.check``."""
        results: list[Result] = []
        failed = False
        for name, function, alone in self.steps:
            if failed and not alone:
                results.append(Result(name, None))
                continue
            result = self._try(name, function, Attempt(answer, seed=seed, thorough=thorough))
            failed = failed or not result.ok
            results.append(result)
        return Report(self.name, self.title, tuple(results))

    def _try(self, name: str, function: StepFunction, attempt: Attempt) -> Result:
        try:
            guarded(lambda: function(attempt), STEP_LIMIT)
        except Failure as failure:
            return Result(name, False, failure.expected, failure.found, failure.mistake)
        except Hung as error:
            return Result(name, False, "a result in time", str(error), "hung")
        except Exception as error:  # the answer gave something that no step foresaw
            found = f"something that led to {type(error).__name__}: {error}"[:300]
            return Result(name, False, "a result of the kind that was asked for", found, "type")
        return Result(name, True)


def show(report: Report) -> None:
    """Display a report: as HTML in a notebook, as text elsewhere."""
    if in_notebook():
        from IPython.display import display

        display(report)
    else:
        print(report)
