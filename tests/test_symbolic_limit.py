"""Work that SymPy never ends is stopped after a stated time, and said so; nothing runs on."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from vae_core import symbolic
from vae_core.symbolic import NotationError, integration, parse, workbench
from vae_core.symbolic._limit import OutOfTimeError, within

NAMES = {"mu": sp.Symbol("mu", real=True), "sigma": sp.Symbol("sigma", positive=True)}
ENDLESS = "int(N(z; mu, sigma^2) * log(z^2 + 1), z)"


def forever() -> None:
    for _ in itertools.count():
        pass


def stubborn() -> None:
    """Swallows what is raised in it, some times."""
    for _ in range(3):
        try:
            forever()
        except BaseException:
            continue
    forever()


def left_over() -> list[str]:
    """The threads of time limits that have not ended."""
    for thread in threading.enumerate():
        if thread.name == "time limit":
            thread.join(5)
    return [t.name for t in threading.enumerate() if t.name == "time limit"]


def test_what_ends_in_time_gives_its_result() -> None:
    assert within(lambda: 3, 10.0) == 3
    with pytest.raises(ZeroDivisionError):
        within(lambda: 1 // 0, 10.0)
    with pytest.raises(KeyboardInterrupt):
        within(lambda: (_ for _ in ()).throw(KeyboardInterrupt), 10.0)
    assert left_over() == []


@pytest.mark.parametrize("endless", [forever, stubborn, lambda: sum(1 for _ in itertools.count())])
def test_what_does_not_end_is_stopped(endless: Callable[[], Any]) -> None:
    with pytest.raises(OutOfTimeError, match=r"not done within 0\.2 s") as error:
        within(endless, 0.2)
    assert error.value.__cause__ is None
    assert left_over() == []


def test_work_that_waits_is_stopped_too() -> None:
    """It uses no processor: four times the limit is its end."""

    def waits() -> None:
        while True:
            time.sleep(0.01)

    with pytest.raises(OutOfTimeError):
        within(waits, 0.1)


def test_in_any_thread_and_in_several_at_once() -> None:
    found: list[str] = []

    def run() -> None:
        try:
            within(forever, 0.2)
        except OutOfTimeError as error:
            found.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert left_over() == []


def test_limits_within_limits_keep_apart() -> None:
    with pytest.raises(OutOfTimeError, match=r"0\.2 s"):
        within(lambda: within(forever, 60.0), 0.2)

    def inner() -> str:
        with pytest.raises(OutOfTimeError, match=r"0\.1 s"):
            within(forever, 0.1)
        return "went on"

    assert within(inner, 60.0) == "went on"
    assert left_over() == []


def test_nothing_is_raised_after_the_work_has_ended() -> None:
    """Work that ends as its time does: stopped or not, what follows runs undisturbed."""

    def about(seconds: float) -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    outcomes = set()
    for step in range(20):
        try:
            within(lambda step=step: about(0.04 + 0.004 * step), 0.08)
            outcomes.add("done")
        except OutOfTimeError:
            outcomes.add("stopped")
        total = sum(range(200_000))
        assert total == 19_999_900_000
    assert outcomes <= {"done", "stopped"}
    assert left_over() == []


def test_without_threads_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python in a browser starts none; the page ends such work itself."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert within(lambda: sum(range(10)), 1e-9) == 45


def test_a_stop_that_python_swallows_comes_again_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Python prints what is raised in a finaliser and goes on: the first stop is lost there."""

    class Slow:
        def __del__(self) -> None:
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                pass

    def work() -> None:
        Slow()
        forever()

    usual = sys.unraisablehook
    with pytest.raises(OutOfTimeError):
        within(work, 0.1)
    assert sys.unraisablehook is usual
    assert capsys.readouterr().err == ""


# ---- the workbench -----------------------------------------------------------------------------


def test_an_integral_without_end_is_told() -> None:
    bench = workbench(ENDLESS, ["= 1"], names=NAMES, interpretations=(integration(),), seconds=0.5)
    assert not bench
    assert bench.verdicts == (
        "✗ line (a) was not decided within 0.5 s of work, and the check was stopped: SymPy finds "
        "no value for an integral in it, or only after long",
    )
    assert bench.report is None
    assert bench._repr_markdown_().startswith("- $= 1$ — ✗ line (a) was not decided")
    assert left_over() == []
    # The same process, and SymPy's caches, are as good as before.
    right = workbench("int(N(z; mu, sigma^2), z)", ["= 1"], names=NAMES,
                      interpretations=(integration(),))  # fmt: skip
    assert right


def test_the_lines_before_and_after_are_told() -> None:
    lines = ["= mu^2 + sigma^2 - sigma^2", f"= {ENDLESS}", "= 2", "= 3"]
    bench = workbench(
        "mu^2", lines, goal="3", names=NAMES, interpretations=(integration(),), seconds=1.0
    )
    assert not bench
    first, second, *others = bench.verdicts
    assert first.startswith("✓ line (a) holds")
    assert second.startswith("✗ line (b) was not decided within 1 s of work")
    assert others == ["· line (c) was not reached", "· line (d) was not reached"]
    assert len(bench._repr_markdown_().splitlines()) == 4


def test_a_goal_without_end_is_told() -> None:
    options: dict[str, Any] = {"names": NAMES, "interpretations": (integration(),)}
    bench = workbench("mu", ["= mu + 1 - 1"], goal=ENDLESS, seconds=1.0, **options)
    assert not bench
    assert bench.verdicts[-1] == "✗ whether the last line is the goal was not decided in 1 s"


def test_in_a_thread_as_in_an_exercise() -> None:
    found: list[symbolic.Workbench] = []
    options: dict[str, Any] = {"names": NAMES, "interpretations": (integration(),)}
    thread = threading.Thread(
        target=lambda: found.append(workbench(ENDLESS, ["= 1"], seconds=0.5, **options))
    )
    thread.start()
    thread.join()
    assert found[0].verdicts[0].startswith("✗ line (a) was not decided within 0.5 s")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", None])
def test_a_limit_is_a_positive_number(seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds must be a positive number; got"):
        workbench("X", ["= X"], seconds=seconds)


def test_stop_reaches_the_work(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Ctrl-C in the middle of an endless integral ends it, as a notebook's stop button does."""
    done = python(
        "import _thread, threading\n"
        "import sympy as sp\n"
        "from vae_core import symbolic\n"
        "names = {'mu': sp.Symbol('mu', real=True), 'sigma': sp.Symbol('sigma', positive=True)}\n"
        "threading.Timer(1.0, _thread.interrupt_main).start()\n"
        "try:\n"
        f"    symbolic.workbench({ENDLESS!r}, ['= 1'], names=names,\n"
        "                       interpretations=(symbolic.integration(),), seconds=60)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
        "print([t.name for t in threading.enumerate() if t.name == 'time limit' and t.join(5)])\n"
    )
    assert done.stdout == "stopped\n[]\n", done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "((((((((((((9^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)",
        "((((((((((((X+1)^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)^6)",
        "(((((((((X^6+1)^6+1)^6+1)^6+1)^6+1)^6+1)^6+1)^6+1)^6+1)^6",
        "(1/((((7^6)^6)^6)^6)^6)^6",
        f"({'9' * 500}*{'9' * 60})^6",
    ],
)
def test_powers_of_powers_are_not_worked_out(text: str) -> None:
    """One such number would fill the memory, in C code that nothing can stop."""
    with pytest.raises(NotationError, match="powers of powers as high as this are not read"):
        parse(text)


def test_powers_that_people_write_are_read() -> None:
    for text in ("((X - mu)^2)^3", "(X^2 + z^2)^6 * (sigma^2)^3", "(1/(2*sigma^2))^2", "2^-1"):
        assert isinstance(parse(text, NAMES), sp.Basic)


def test_towers_of_exponentials_end() -> None:
    for line in ("= exp(exp(exp(exp(exp(9)))))", "= exp(9^6)*exp(exp(9^6))"):
        bench = workbench("X", [line], seconds=2.0)
        assert not bench
        assert "\n" not in bench.verdicts[0]
