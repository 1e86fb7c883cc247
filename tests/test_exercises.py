"""Every right answer is accepted, every wrong one rejected with its own diagnosis."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from answers import RIGHT, WRONG, Entry

from vae_core import exercises
from vae_core.exercises._guard import Hung, guarded


def here(entry: Entry, seed: int = 0, thorough: bool = False) -> exercises.Report:
    """The report, made in this process: quicker; test_exercise_process.py tries the other way."""
    exercise = exercises.get(entry.exercise)
    results = tuple(exercise.results(entry.answer, seed, thorough))
    return exercises.Report(exercise.name, exercise.title, results)


CODE = [name for name, exercise in exercises.EXERCISES.items() if exercise.kind == "code"]


@pytest.mark.parametrize("entry", RIGHT, ids=lambda e: e.label)
def test_right_answers_are_accepted(entry: Entry) -> None:
    for seed, thorough in ((0, False), (exercises.GRADING, True)):
        report = here(entry, seed, thorough)
        assert report, report


@pytest.mark.parametrize("entry", WRONG, ids=lambda e: e.label)
def test_wrong_answers_get_their_own_diagnosis(entry: Entry) -> None:
    for seed, thorough in ((0, False), (1, True)):
        report = here(entry, seed, thorough)
        assert not report
        assert report.mistake == entry.mistake, report
        # Without a mistake to name, a derivation's report says which line, or what is missing.
        assert entry.mistake or next(r for r in report.results if r.ok is False).found


def test_only_derivations_may_lack_a_diagnosis() -> None:
    without = {e.exercise for e in WRONG if e.mistake is None}
    assert {exercises.get(name).kind for name in without} <= {"derivation"}


def test_a_wrong_derivation_is_told_its_line_and_not_its_goal() -> None:
    def check(answer: Any) -> str:
        return repr(here(Entry("kl_wide_prior", None, answer)))

    assert "line (b)" in check(["KL(N(z; mu, sigma^2) || N(z; 0, tau^2))", "log(tau)"])
    unfinished = check(lambda: ["= KL(N(z; mu / tau, (sigma / tau)^2) || N(z; 0, 1))"])
    assert "not yet" in unfinished
    assert "log" not in unfinished


@pytest.mark.parametrize("name", CODE)
def test_the_bank_covers_every_mistake_an_exercise_names(name: str) -> None:
    banked = {e.mistake for e in WRONG if e.exercise == name}
    assert set(exercises.get(name).mistakes) == banked
    assert len(banked) >= 3
    assert Counter(e.exercise for e in RIGHT)[name] >= 2


def endless(*_: object, **__: object) -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def test_an_endless_answer_is_stopped() -> None:
    """One that works, after its seconds; one that waits, after four times as many."""

    def busy() -> None:
        while True:
            pass

    for answer, least in ((busy, 0.2), (endless, 0.8)):
        started = time.monotonic()
        with pytest.raises(Hung, match=r"not back after 0\.2 s"):
            guarded(answer, 0.2)
        assert time.monotonic() - started >= least


def test_a_busy_machine_makes_no_answer_wrong() -> None:
    """The limit is one of work: who only waits is given longer."""
    assert guarded(lambda: (time.sleep(0.5), 7)[1], 0.2) == 7


def raises(*_: object, **__: object) -> None:
    raise SystemExit("a student's exit()")


def nothing(*_: object, **__: object) -> None:
    return None


def unanswered(*_: object, **__: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize(
    ("answer", "mistake"), [(raises, "raises"), (nothing, "none"), (unanswered, "not_answered")]
)
def test_no_answer_stops_a_check(name: str, answer: object, mistake: str) -> None:
    report = here(Entry(name, None, answer))
    assert report.mistake == mistake, report
    assert all(not result.ok for result in report.results[:1])


@pytest.mark.parametrize(
    "answer", [3, "text", [1, 2], object()], ids=["3", "text", "list", "object"]
)
@pytest.mark.parametrize("name", list(exercises.EXERCISES))
def test_an_answer_of_another_kind_gets_a_sentence(name: str, answer: object) -> None:
    report = here(Entry(name, None, answer))
    assert not report
    assert report.results[0].found or report.mistake
