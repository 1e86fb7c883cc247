"""Exercises in named steps, and the report that a student reads."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vae_core import _text
from vae_core.exercises import _apart
from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._guard import Hung, guarded, kept
from vae_core.exercises._mistakes import GENERAL, MISTAKES

__all__ = ["CheckFailed", "Exercise", "Report", "Result"]

StepFunction = Callable[[Attempt], None]
WIDTH = 88  # of a report as text, in characters
STEP_LIMIT = 60.0  # seconds of a whole step, its reference included


class CheckFailed(AssertionError):
    """An answer that is not right yet; ``report`` says why, and so does its text.

    In a notebook, where the report is shown anyway, it is one line without a traceback.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(f"\n{report!r}")
        self.report = report

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: none of the paths that are in one."""
        return [f"{type(self).__name__}: {self.report.title}: not yet; the report says why."]


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
        lines = (
            textwrap.fill(line, WIDTH, subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2))
            for line in self._lines()
        )
        return _text.fitting("\n".join(lines))

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
        """Try ``answer`` in a process of its own; see ``vae_core.exercises.check``.

        In this process where there can be no other (and inside another check): then what it changes
        is put back as far as it can be, and an answer stuck outside Python cannot be stopped.
        """
        results: list[Result] = []
        failed = False
        while len(results) < len(self.steps):
            name, _, alone = self.steps[len(results)]
            if failed and not alone:
                results.append(Result(name, None))
                continue
            found = self._apart(answer, seed, thorough, len(results))
            if found is None:
                with kept():
                    found = list(self.results(answer, seed, thorough, len(results)))
            results += found
            failed = failed or not all(result.ok for result in found)
        return Report(self.name, self.title, tuple(results))

    def results(self, answer: Any, seed: int, thorough: bool, start: int = 0) -> Iterator[Result]:
        """Try ``answer`` in this process: what each step from ``start`` on says."""
        failed = False
        for name, function, alone in self.steps[start:]:
            if failed and not alone:
                yield Result(name, None)
                continue
            result = self._try(name, function, Attempt(answer, seed=seed, thorough=thorough))
            failed = failed or not result.ok
            yield result

    def _apart(self, answer: Any, seed: int, thorough: bool, start: int) -> list[Result] | None:
        """What the steps from ``start`` on say in a process of its own, up to one that ends it.

        None where no other process can be had.
        """
        if not _apart.wanted():
            return None
        name = self.steps[start][0]
        try:
            blob = _apart.packed(answer)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"[:300]
            return [Result(name, False, _apart.SENT, what, "not_sent")]
        try:
            told, end, code = _apart.tried(
                self.name, blob, seed=seed, thorough=thorough, start=start
            )
        except _apart.NoProcess:
            return None
        results = [Result(**result) for result in told]
        if end not in ("done", "clean"):
            name = self.steps[start + len(results)][0]
            results.append(_ended(name, end, code))
        return results

    def _try(self, name: str, function: StepFunction, attempt: Attempt) -> Result:
        try:
            guarded(lambda: function(attempt), STEP_LIMIT)
        except Failure as failure:
            return Result(name, False, failure.expected, failure.found, failure.mistake)
        except Hung as error:
            return Result(name, False, "a result in time", str(error), "hung")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the answer gave something that no step foresaw
            found = f"something that led to {type(error).__name__}: {_said(error)}"[:300]
            return Result(name, False, "a result of the kind that was asked for", found, "type")
        return Result(name, True)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # an answer may raise an error of its own making
        return "(an error that has no text)"


# How a process may end that tries an answer, by its exit code; minus a signal.
_SIGNALS = {4: "illegal instruction", 6: "abort", 7: "bus error", 8: "arithmetic error"}
_SIGNALS |= {11: "segmentation fault"}


def _ended(name: str, end: str, code: int) -> Result:
    """What is said of the step in which the process ended that tried it."""
    if end.startswith("hung "):
        seconds = end.removeprefix("hung ")
        return Result(name, False, "a result in time", f"not back after {seconds} s", "hung")
    if end == "lost":
        found = "the process that tries answers ended, twice: restart the kernel"
        return Result(name, False, "a result", found)
    found = f"a process that ended itself, with the exit code {code}"
    if code == -9:
        found = "a process that the system ended: was too much memory asked for?"
    elif code < 0:
        found = f"a process that crashed ({_SIGNALS.get(-code, f'signal {-code}')})"
    return Result(name, False, "a result", found, "died")
