"""The progress display where it is seen: a pipe, a terminal, a notebook."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import termios
from typing import Any

import nbformat
import pytest
from helpers import ROOT
from nbclient import NotebookClient

from vae_core import _progress
from vae_core._progress import Progress

RUN = """
from vae_core._progress import Progress
shown = Progress({task!r}, {total}, show={show}, leave={leave})
for epoch in range({done}):
    shown.advance(f"loss {{3 - epoch:.2f}}")
shown.close()
"""


def script(
    task: str = "training VAE",
    total: int = 3,
    done: int = 3,
    show: bool = True,
    leave: bool = True,
) -> str:
    return RUN.format(task=task, total=total, done=done, show=show, leave=leave)


def test_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    exec(script())
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("show", "shown"), [(True, True), (False, False)])
def test_show_false_is_silent_in_a_terminal_too(
    show: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    exec(script(show=show))
    assert bool(terminal.getvalue()) is shown


@pytest.mark.parametrize("leave", [True, False])
def test_a_bar_in_a_real_terminal(leave: bool) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script(leave=leave)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux reports the closed other end so
            break
        if not chunk:
            break
        written += chunk
    os.close(ours)
    assert done.stdout == b""
    last = written.decode().replace("\r\n", "").split("\r")[-1].strip()
    if leave:
        assert last.startswith("training VAE: 100%")
        assert "3/3" in last
        assert "loss 1.00" in last
    else:
        assert last == ""


@pytest.fixture(scope="module")
def outputs() -> list[list[nbformat.NotebookNode]]:
    """What four cells of a real notebook hold in the end."""
    cells = [
        script(),
        script(leave=False),
        script(total=5, done=2, task="a < b"),
        script(show=False),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute(
        env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return [cell.outputs for cell in notebook.cells]


def test_a_notebook_holds_one_finished_line(outputs: list[list[nbformat.NotebookNode]]) -> None:
    (output,) = outputs[0]
    markup = output.data["text/html"]
    assert markup.startswith("<div>training VAE: 3 of 3 epochs · loss 1.00 · ")
    assert markup.endswith(" s</div>")
    assert "<progress" not in markup  # no bar that seems to run still
    assert "left" not in markup


def test_brief_leaves_an_empty_output(outputs: list[list[nbformat.NotebookNode]]) -> None:
    (output,) = outputs[1]
    assert output.data["text/html"] == ""


def test_a_stopped_run_says_so(outputs: list[list[nbformat.NotebookNode]]) -> None:
    (output,) = outputs[2]
    markup = output.data["text/html"]
    assert markup.startswith("<div>a &lt; b: 2 of 5 epochs · loss 2.00 · stopped after ")
    assert "<progress" not in markup
    assert "left" not in markup


def test_show_false_leaves_no_output(outputs: list[list[nbformat.NotebookNode]]) -> None:
    assert outputs[3] == []


def test_while_it_runs_the_line_says_how_long_it_will(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 60.0, 130.0])
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: next(times))
    shown = Progress("training", 4, show=False)
    shown.advance("loss 2")
    assert shown._markup() == (
        '<div><progress max="4" value="1" aria-hidden="true"></progress> '
        "training: 1 of 4 epochs · loss 2 · 3 min 00 s left</div>"
    )
    for _ in range(3):
        shown.advance("loss 1")
    assert shown._markup() == "<div>training: 4 of 4 epochs · loss 1 · 2 min 10 s</div>"


class Clock:
    """A clock that the test moves, and that knows how often it was looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks = 100.0, 0
        monkeypatch.setattr(_progress.time, "perf_counter", self)

    def __call__(self) -> float:
        self.looks += 1
        return self.now


class Line:
    """A notebook's line; every state it was in."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def update(self, markup: str) -> None:
        self.states.append(markup)


def in_a_notebook(total: int, **options: Any) -> tuple[Progress, Line]:
    """A display whose line is the test's own."""
    shown, line = Progress("training", total, show=False, **options), Line()
    shown.show, shown._line, shown._html = True, line, lambda markup: markup
    return shown, line


def test_a_long_epoch_shows_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_progress.QUIET, raising=False)
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(2)
    for step in range(1, 101):  # 100 s
        clock.now += 1.0
        shown.within(step, 100, "loss 9.00" if step > 50 else "")
    assert line.states[0] == (
        '<div><progress max="2" value="0.02" aria-hidden="true"></progress> '
        "training: 0 of 2 epochs · step 2 of 100 · 3 min 18 s left</div>"
    )
    assert line.states[-1] == (
        '<div><progress max="2" value="0.99" aria-hidden="true"></progress> '
        "training: 0 of 2 epochs · step 99 of 100 · loss 9.00 · 1 min 41 s left</div>"
    )
    shown.advance("loss 8.00")
    assert line.states[-1] == (
        '<div><progress max="2" value="1" aria-hidden="true"></progress> '
        "training: 1 of 2 epochs · loss 8.00 · 1 min 40 s left</div>"
    )
    shown.within(1, 100)
    clock.now += 10
    shown.within(50, 100)
    assert "step 50 of 100" in line.states[-1]
    shown.close()  # stopped: what stays counts epochs alone
    assert (
        line.states[-1]
        == "<div>training: 1 of 2 epochs · loss 8.00 · stopped after 1 min 50 s</div>"
    )


# Steps of 0.1 ms, and looks at the clock: one in 32. Steps of 10 ms: one in two.
@pytest.mark.parametrize(("each", "most"), [(1e-4, 330), (0.01, 6700)])
def test_short_steps_change_nothing_twice_a_second_and_look_at_no_clock(
    each: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_progress.QUIET, raising=False)
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(3)
    for step in range(1, 10_001):
        clock.now += each
        shown.within(step, 10_000)
    assert len(line.states) <= 10_000 * each / 0.5
    assert len(line.states) >= 10_000 * each / 1.0 - 1
    assert clock.looks - len(line.states) <= most  # each state looks once more, for the time left


def test_steps_that_become_slow_are_shown_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_progress.QUIET, raising=False)
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(3)
    for step in range(1, 1001):
        clock.now += 1e-5
        shown.within(step, 2000)
    assert line.states == []
    for step in range(1001, 1101):
        clock.now += 5.0
        shown.within(step, 2000)
    assert len(line.states) >= 60


def test_epochs_done_before_it_could_be_read_show_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_progress.QUIET, raising=False)
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(20)
    for _ in range(20):
        for step in range(1, 11):
            clock.now += 0.04
            shown.within(step, 10)
        shown.advance("loss 1")
    assert len(line.states) == 20
    assert not any("step" in state for state in line.states)


def test_a_run_that_goes_on_counts_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_progress.QUIET, raising=False)
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(10, before=8.5, note="loss 5.00")
    assert shown._markup() == (
        '<div><progress max="10" value="8.5" aria-hidden="true"></progress> '
        "training: 8 of 10 epochs · loss 5.00</div>"
    )
    clock.now += 30
    shown.advance("loss 4.00")  # half an epoch in 30 s: one more in a minute
    assert "9 of 10 epochs · loss 4.00 · 1 min 00 s left" in line.states[-1]


def test_steps_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv(_progress.QUIET, raising=False)
    shown = Progress("training", 2)
    for step in range(1, 101):
        clock.now += 1.0
        shown.within(step, 100, "loss 9.00")
    assert "1/2 [" not in terminal.getvalue()
    shown.advance("loss 8.00")
    shown.close()
    states = [state.strip() for state in terminal.getvalue().split("\r")]
    (half,) = [state for state in states if "step 50 of 100" in state]
    assert half.startswith("training:  25%")
    assert "| 0/2 [00:50<02:29" in half
    assert "step 50 of 100, loss 9.00" in half
    assert "| 1/2 [01:40<01:40" in states[-1]
    assert "step" not in states[-1]


def test_a_build_sees_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_progress.QUIET, "1")
    clock = Clock(monkeypatch)
    shown, line = in_a_notebook(2)
    for step in range(1, 101):
        clock.now += 1.0
        shown.within(step, 100)
    assert line.states == []
    shown.advance("loss 1")
    assert len(line.states) == 1


def delayed(monkeypatch: pytest.MonkeyPatch, step: float, total: int) -> str:
    """What a terminal shows of work whose display waits 2 s, ``step`` seconds a piece."""
    now = [0.0]
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: now[0])
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Progress("log P(X)", total, leave=False, units="images", delay=2.0)
    for _ in range(total):
        now[0] += step
        shown.advance(by=1)
    shown.close()
    return terminal.getvalue()


def test_a_display_that_waits_comes_for_long_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "log P(X)" in delayed(monkeypatch, 1.0, 10)
    assert delayed(monkeypatch, 0.1, 10) == ""  # done before it could be read
    assert delayed(monkeypatch, 1.5, 2) == ""  # nearly done when it would come


def test_a_build_gets_no_passing_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook a display that is removed leaves an empty output behind."""
    monkeypatch.setattr(_progress, "in_notebook", lambda: True)
    monkeypatch.delenv(_progress.QUIET, raising=False)
    assert Progress("a", 3, leave=False, delay=9.0).show
    monkeypatch.setenv(_progress.QUIET, "1")
    assert not Progress("a", 3, leave=False, delay=9.0).show
    assert Progress("a", 3, delay=9.0).show


def test_a_callers_own_handler_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shown = Progress("a", 3)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        shown.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        shown = Progress("a", 3)
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        shown.close()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
