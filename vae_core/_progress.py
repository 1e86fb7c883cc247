"""A progress display that behaves in a terminal, in a notebook and in a built page.

In a terminal it is tqdm's bar. In a notebook it is one HTML line, updated in place, so that a page
built from the notebook holds a single finished line. Where nobody watches (a pipe, a log file) it
is silent. All say how far the work is, within an epoch too, and how long it will take; where a
reader stops it, what was kept and how to go on.
"""

from __future__ import annotations

import html
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from tqdm import tqdm

# Set while a book is built or checked: there a passing display would leave a trace in the page.
QUIET = "VAE_CORE_QUIET"
# Seconds between two changes within a unit. Where steps are shorter than a look at the clock is
# worth, up to so many go by without one.
_PAUSE, _WORTH, _UNSEEN = 0.5, 0.02, 32


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def clock(seconds: float) -> str:
    """A time for a reader: "2 min 05 s", or "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class _Stops:
    """Takes note of Ctrl-C or a notebook's stop button, which goes on to its usual effect."""

    def __init__(self) -> None:
        self.seen = False
        # Only the main thread hears signals; a handler of the caller's own is left alone.
        here = threading.current_thread() is threading.main_thread()
        self.mine = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.mine:
            signal.signal(signal.SIGINT, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        signal.default_int_handler(number, frame)

    def close(self) -> None:
        if self.mine and signal.getsignal(signal.SIGINT) == self._heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class _Bar(tqdm):
    """tqdm's bar that moves within a unit too, and counts whole units."""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar's format may name; ``whole`` is ours."""
        known: dict[str, Any] = super().format_dict
        return {**known, "whole": int(known["n"] + 1e-9)}


_FORMAT = "{l_bar}{bar}| {whole}/{total} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Progress:
    """Counts ``total`` ``units`` of ``task``.

    ``before``: how many were done by an earlier run that this one goes on from, parts included.
    ``leave=False`` removes the display at the end. ``delay``: the display waits so many seconds,
    and does not come for work that is then nearly done. ``stopped``: what is told, after "stopped
    after 3 of 20 epochs: ", where a reader stops work whose display is to stay.
    """

    def __init__(
        self,
        task: str,
        total: int,
        *,
        show: bool = True,
        leave: bool = True,
        units: str = "epochs",
        delay: float = 0.0,
        before: float = 0.0,
        note: str = "",
        stopped: str = (
            "the model keeps what it has learned; where a checkpoint was named, "
            "the same call goes on from its last save"
        ),
    ) -> None:
        self.task, self.total, self.units, self.leave = task, total, units, leave
        self.stopped, self.delay = stopped, delay
        self.done, self.note, self.before = int(before), note, before
        self.part = before - self.done  # of the unit that is worked on
        self.steps = ""  # the same in words
        self._look_at, self._stride, self._looked, self._told = 0, 1, 0.0, 0.0
        self.started = time.perf_counter()
        self._quiet = bool(os.environ.get(QUIET))
        self.show = show and not (not leave and in_notebook() and self._quiet)
        self._closed = False
        self._bar: Any = None
        self._line: Any = None
        self._stops = _Stops() if show and leave else None
        if not delay:
            self._open()

    def _open(self) -> None:
        if not self.show:
            return
        if in_notebook():
            from IPython.display import HTML, display

            self._html = HTML
            self._line = display(HTML(self._markup()), display_id=True)
        elif sys.stderr.isatty():
            self._bar = _Bar(
                total=self.total,
                initial=self.done + self.part,
                desc=self.task,
                unit=self.units.removesuffix("s"),
                leave=self.leave,
                bar_format=_FORMAT,
                miniters=0,  # steps are fractions of a unit
            )
            self._bar.start_t -= time.perf_counter() - self.started

    def _markup(self) -> str:
        elapsed = time.perf_counter() - self.started
        parts = [f"{html.escape(self.task)}: {self.done} of {self.total} {self.units}"]
        worked = self.done + self.part - self.before
        if self.steps and not self._closed:
            parts.append(self.steps)
        if self.note:
            parts.append(html.escape(self.note))
        if self._closed and self.done < self.total:
            parts.append(f"stopped after {clock(elapsed)}")
        elif worked > 0 and self.done < self.total:
            left = elapsed / worked * (self.total - self.done - self.part)
            parts.append(f"{clock(left)} left")
        elif worked > 0:
            parts.append(clock(elapsed))
        at = f"{self.done + self.part:g}"
        bar = f'<progress max="{self.total}" value="{at}" aria-hidden="true"></progress> '
        running = self.done < self.total and not self._closed
        told = f"<br>{html.escape(self._sentence())}" if self._interrupted else ""
        return f"<div>{bar if running else ''}{' · '.join(parts)}{told}</div>"

    @property
    def _interrupted(self) -> bool:
        """Whether a reader stopped the work before its end."""
        seen = self._stops is not None and self._stops.seen
        return self._closed and seen and self.done < self.total

    def _sentence(self) -> str:
        return (
            f"{self.task} stopped after {self.done} of {self.total} {self.units}: {self.stopped}."
        )

    def advance(self, note: str = "", by: int = 1) -> None:
        """``by`` more are done; ``note`` is a short reading such as the loss."""
        self.done += by
        self.note = note
        self.part, self.steps, self._look_at = 0.0, "", 0
        if self.delay:
            elapsed = time.perf_counter() - self.started
            if elapsed < self.delay or elapsed / self.done * (self.total - self.done) < self.delay:
                return
            self.delay = 0.0
            self._open()
            return
        self._refresh()

    def within(self, done: int, of: int, note: str = "") -> None:
        """``done`` of the ``of`` steps of the unit at work are done: to be called after each.

        The display follows twice a second at most, and most calls cost one comparison.
        """
        if done < self._look_at or not self.show or self._quiet:
            return
        now = time.perf_counter()
        quick = now - self._looked < _WORTH
        self._stride = min(2 * self._stride, _UNSEEN) if quick else 1
        if not self._look_at:
            self._told = now  # a unit that is done before it could be read is shown whole
        self._look_at, self._looked = done + self._stride, now
        if now - self._told < _PAUSE or done >= of:
            return
        self._told, self.part, self.steps = now, done / of, f"step {done} of {of}"
        self.note = note or self.note
        self._refresh()

    def _refresh(self) -> None:
        if self._bar is not None:
            told = ", ".join(text for text in (self.steps, self.note) if text)
            self._bar.set_postfix_str(told, refresh=False)
            self._bar.update(self.done + self.part - self._bar.n)
        if self._line is not None:
            self._line.update(self._html(self._markup()))

    def close(self) -> None:
        """Leave the finished (or stopped) line, or nothing."""
        self._closed = True
        if self._stops is not None:
            self._stops.close()
        if self._bar is not None:
            self._bar.close()
        if self._line is not None and not self.leave:
            self._line.update(self._html(""))
        elif self._line is not None and self.done < self.total:
            self._line.update(self._html(self._markup()))
        elif self._interrupted:
            print(self._sentence(), file=sys.stderr, flush=True)

    def tell_stop(self) -> None:
        """In a notebook, one line for work that a reader stopped and that had no display."""
        if in_notebook():
            task = f"{self.task} stopped after {self.done} of {self.total} {self.units}"
            print(f"{task}; the model keeps what it has learned" if self.leave else task)
