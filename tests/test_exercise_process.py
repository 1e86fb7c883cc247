"""Answers are tried in a process of their own: it can be ended, and nothing of it comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers import RIGHT, WRONG, Entry
from answers.chapter04 import closed_form
from helpers import ROOT

from vae_core import exercises
from vae_core.exercises import _apart, _guard

KL = "kl_to_standard_normal"


def check(answer: Any) -> exercises.Report:
    return exercises.get(KL).check(answer)


def first(report: exercises.Report) -> exercises.Result:
    return next(result for result in report.results if result.ok is False)


@pytest.fixture(params=[True, False], ids=["forks", "worker"])
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Each way in which answers are tried: the second is that of Windows and macOS."""
    if request.param and not _can_fork():
        pytest.skip("this system has no safe fork")
    found = _apart._Judge(forks=request.param)
    monkeypatch.setattr(_apart, "_own", found)
    yield found
    found.stop()


def _can_fork() -> bool:
    return hasattr(os, "fork") and sys.platform != "darwin"


@pytest.mark.parametrize("entry", RIGHT, ids=lambda e: e.label)
def test_right_answers_are_accepted_there_too(entry: Entry) -> None:
    report = exercises.get(entry.exercise).check(entry.answer)
    assert report, report


@pytest.mark.parametrize("entry", WRONG[::12], ids=lambda e: e.label)
def test_wrong_answers_get_the_same_report_there(entry: Entry) -> None:
    exercise = exercises.get(entry.exercise)
    here = exercises.Report(
        exercise.name, exercise.title, tuple(exercise.results(entry.answer, 0, False))
    )
    # Each process draws the noise of its own generator where an answer ignores the one given.
    there = exercise.check(entry.answer)
    assert [(r.name, r.ok, r.mistake) for r in there.results] == [
        (r.name, r.ok, r.mistake) for r in here.results
    ]


# --- what an answer may do ------------------------------------------------------------------------


def crashes(mu: Any, log_sigma: Any) -> Any:
    import ctypes

    return ctypes.string_at(0)


def leaves(mu: Any, log_sigma: Any) -> Any:
    os._exit(3)


class Unspeakable:
    def __repr__(self) -> str:
        os._exit(1)


class Untold:
    def __repr__(self) -> str:
        sys.exit(1)


def raises_itself(mu: Any, log_sigma: Any) -> Any:
    class Odd(Exception):
        def __str__(self) -> str:
            raise SystemExit

    raise Odd


ENDS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a crash": (crashes, "died", "segmentation fault"),
    "exit": (leaves, "died", "exit code 3"),
    "exit in repr": (lambda mu, log_sigma: Unspeakable(), "died", "exit code 1"),
    "sys.exit in repr": (lambda mu, log_sigma: Untold(), "type", "text cannot be had"),
    "an error without a text": (raises_itself, "raises", "text cannot be had"),
}


@pytest.mark.parametrize("case", list(ENDS))
def test_an_answer_that_ends_its_process_costs_one_step(case: str) -> None:
    answer, mistake, found = ENDS[case]
    report = check(answer)
    assert first(report).mistake == mistake
    assert found in first(report).found
    assert [result.ok for result in report.results] == [False, None, None, None]
    assert check(closed_form), "the next answer is tried as if nothing had been"


def test_a_step_that_stands_alone_is_tried_after_one_that_ended_the_process() -> None:
    def answer() -> Any:
        class Once(dict):
            def __getitem__(self, key: str) -> Any:
                if key == "slope":
                    os._exit(5)
                return super().__getitem__(key)

        right = next(e.answer for e in RIGHT if e.exercise == "lognormal_map")
        return Once(right() if callable(right) else right)

    report = exercises.get("lognormal_map").check(answer)
    assert [result.ok for result in report.results].count(False) >= 1
    assert all(result.ok is not None for result in report.results)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_an_answer_that_takes_all_memory_is_stopped() -> None:
    report = check(lambda mu, log_sigma: torch.ones(3 * 10**9))
    assert first(report).mistake == "raises"
    assert "allocate" in first(report).found


def test_a_call_in_c_that_never_ends_is_ended(judge: Any) -> None:
    """No exception reaches it, and it holds the interpreter: nothing in its process can act."""
    report = check(lambda mu, log_sigma: sum(range(10**13)))
    assert first(report).mistake == "hung"
    assert first(check(crashes)).mistake == "died"
    assert check(closed_form)


def test_ctrl_c_ends_check_and_answer_at_once(tmp_path: Path) -> None:
    code = """
import pathlib, os
from vae_core import exercises
def answer(mu, log_sigma):
    pathlib.Path("pid").write_text(str(os.getpid()))
    return sum(range(10**13))
exercises.check("kl_to_standard_normal", lambda mu, log_sigma: mu.sum(1))
exercises.check("kl_to_standard_normal", answer)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = tmp_path / "pid"
    while process.poll() is None and not (told.exists() and told.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    for _ in range(100):
        try:
            os.kill(int(told.read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the answer works on")


# --- what it leaves -------------------------------------------------------------------------------


def meddles(mu: Any, log_sigma: Any) -> Any:
    """Changes what a process has to change, and gives the right result."""
    import signal as signals

    right = closed_form(mu, log_sigma)
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    torch.rand(3)
    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_num_threads(3)
    torch.use_deterministic_algorithms(True)
    warnings.simplefilter("error")
    os.environ["VAE"] = "changed"
    os.chdir("/")
    signals.getsignal(signals.SIGTERM)
    sys.modules["a_module_of_its_own"] = sys
    sys.path.insert(0, "/nowhere")
    sys.stdout = sys.stderr
    np.seterr(all="raise")
    torch.Tensor.of_its_own = 1
    exercises.own = 1
    return right


def state() -> dict[str, Any]:
    return {
        "generator": torch.random.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "modules": {n for n in sys.modules if n.startswith("a_module")},
        "path": list(sys.path),
        "out": (sys.stdout, sys.stderr),
        "numpy errors": np.geterr(),
        "own": (hasattr(torch.Tensor, "of_its_own"), hasattr(exercises, "own")),
        "threads of Python": {t.name for t in threading.enumerate()},
    }


def test_an_answer_changes_nothing_in_the_process_that_asks(judge: Any) -> None:
    check(closed_form)
    before = state()
    check(meddles)
    assert state() == before
    assert check(closed_form), "nor for the next answer"


def test_tried_in_the_same_process_it_changes_nothing_that_can_be_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(_apart.HERE, "1")

    def draws(mu: Any, log_sigma: Any) -> Any:
        torch.rand(3), random.random(), np.random.rand()
        torch.set_default_dtype(torch.float64)
        warnings.simplefilter("always")
        os.environ["VAE"] = "changed"
        os.chdir("/")
        return closed_form(mu, log_sigma)

    before = state()
    assert check(draws)
    assert state() == before


def test_what_an_answer_prints_is_shown(judge: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(mu: Any, log_sigma: Any) -> Any:
        print("σ is", log_sigma.shape)
        warnings.warn("a warning", stacklevel=1)
        os.write(1, b"from C\n")
        return closed_form(mu, log_sigma)

    assert check(answer)
    shown = capsys.readouterr()
    assert "σ is torch.Size([5, 3])" in shown.out
    assert "a warning" in shown.out
    assert "from C" in shown.out
    assert shown.err == "", "nbgrader takes anything there for a failure"


def test_of_what_an_answer_prints_without_end_the_beginning_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(lambda mu, log_sigma: (print("x" * 300_000), closed_form(mu, log_sigma))[1])
    out = capsys.readouterr().out
    assert len(out) < 120_000
    assert "bytes more" in out


# --- where it comes from --------------------------------------------------------------------------


def test_a_process_that_has_used_threads_and_autograd_may_ask() -> None:
    torch.set_num_threads(2)
    try:
        a = torch.randn(500, 500, requires_grad=True)
        (a @ a).sum().backward()
        assert check(closed_form)
        assert check(closed_form)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_answer_finds_the_default_dtype_that_it_was_written_for(dtype: torch.dtype) -> None:
    def answer(mu: Any, log_sigma: Any) -> Any:
        assert torch.zeros(1).dtype == dtype
        return closed_form(mu, log_sigma)

    torch.set_default_dtype(dtype)
    try:
        assert check(answer)
    finally:
        torch.set_default_dtype(torch.float32)


def test_variables_modules_and_classes_of_a_notebook_come_along(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def half(x):\n    return x / 2\n")
    code = f"""
import torch
import helper
from torch import nn
from vae_core import exercises
CONSTANT = torch.tensor(1.0)
generator = torch.Generator().manual_seed(3)
class Divergence(nn.Module):
    def forward(self, mu, log_sigma):
        assert generator.initial_seed() == 3
        each = torch.exp(2 * log_sigma) + mu**2 - CONSTANT - 2 * log_sigma
        return outer(each)
def outer(x):
    return helper.half(x).sum(1)
assert exercises.check({KL!r}, Divergence())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_lives_in_the_notebook_only_is_named() -> None:
    running = (n for n in range(3))
    report = check(lambda mu, log_sigma: next(running) + closed_form(mu, log_sigma))
    assert first(report).mistake == "not_sent"
    assert "generator" in first(report).found


# --- what checks cannot be patched ----------------------------------------------------------------


def wrong(mu: Any, log_sigma: Any) -> Any:
    return closed_form(mu, log_sigma) + 1


def patches_torch(mu: Any, log_sigma: Any) -> Any:
    torch.allclose = lambda *a, **k: True  # type: ignore[assignment]
    return wrong(mu, log_sigma)


def patches_the_attempt(mu: Any, log_sigma: Any) -> Any:
    exercises.Attempt.close = lambda *a, **k: None  # type: ignore[method-assign]
    return wrong(mu, log_sigma)


def patches_the_code(mu: Any, log_sigma: Any) -> Any:
    from vae_core.exercises import _values

    _values.close.__code__ = (lambda a, b, c, d, e, f: True).__code__
    return wrong(mu, log_sigma)


@pytest.mark.parametrize("answer", [patches_torch, patches_the_attempt, patches_the_code])
def test_an_answer_that_patches_what_checks_it_is_refused(answer: Any) -> None:
    report = check(answer)
    assert first(report).mistake == "replaced"


def test_a_patch_does_not_outlive_the_answer_that_made_it(judge: Any) -> None:
    assert first(check(patches_torch)).mistake == "replaced"
    assert check(closed_form)
    assert not check(wrong)


def test_what_a_notebook_has_patched_before_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "allclose", lambda *a, **k: True)
    monkeypatch.setattr(exercises.Attempt, "close", lambda *a, **k: None)
    monkeypatch.setattr(_guard, "guarded", lambda call, seconds=0: None)
    assert not check(wrong)


# --- the judge ------------------------------------------------------------------------------------


def test_a_judge_that_was_killed_is_replaced() -> None:
    assert check(closed_form)
    judge = _apart.own()
    assert judge.process is not None
    judge.process.kill()
    judge.process.wait()
    assert check(closed_form)


def test_an_answer_never_runs_here_because_the_judge_was_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken installation, say: what would end the judge must not come to run in the kernel."""
    broken = tmp_path / "_judge.py"
    broken.write_text("raise SystemExit(1)\n", "utf-8")
    monkeypatch.setattr(_apart, "_own", _apart._Judge())
    monkeypatch.setattr(_apart._judge, "__file__", str(broken))
    assert "twice" in first(check(leaves)).found


def test_where_no_process_can_be_had_the_answer_is_tried_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no processes here")

    monkeypatch.setattr(_apart, "_own", _apart._Judge())
    monkeypatch.setattr(subprocess, "Popen", refuses)
    assert check(closed_form)
    assert not check(wrong)


def test_a_judge_ends_with_the_process_that_started_it(judge: Any) -> None:
    assert check(closed_form)
    process = judge.process
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_judge_that_nobody_asks_ends() -> None:
    found = _apart._Judge(idle=0.5)
    try:
        found.start()
        assert found.process is not None
        assert found.process.wait(120) == 0
    finally:
        found.stop()


def test_only_who_knows_the_key_is_answered() -> None:
    found = _apart._Judge()
    try:
        list(found.asked({"do": "records"}))
        for question in ({"do": "check"}, {"do": "records", "key": found.key}, {"key": "no"}):
            assert list(_apart._asked(found.place["address"], question, b"")) == []
    finally:
        found.stop()
