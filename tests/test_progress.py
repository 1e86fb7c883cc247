"""The progress display where it is seen: a pipe, a terminal, a notebook."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import termios

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
