"""A progress display that behaves in a terminal, in a notebook and in a built page.

In a terminal it is tqdm's bar. In a notebook it is one HTML line, updated in place, so that a page
built from the notebook holds a single finished line. Where nobody watches (a pipe, a log file) it
is silent.
"""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from tqdm import tqdm


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Progress:
    """Counts ``total`` epochs of ``task``; ``leave=False`` removes the display at the end."""

    def __init__(self, task: str, total: int, *, show: bool = True, leave: bool = True) -> None:
        self.task, self.total, self.leave = task, total, leave
        self.done, self.note = 0, ""
        self.started = time.perf_counter()
        self._closed = False
        self._bar: Any = None
        self._line: Any = None
        if not show:
            return
        if in_notebook():
            from IPython.display import HTML, display

            self._html = HTML
            self._line = display(HTML(self._markup()), display_id=True)
        elif sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=task, unit="epoch", leave=leave)

    def _markup(self) -> str:
        elapsed = time.perf_counter() - self.started
        parts = [f"{html.escape(self.task)}: {self.done} of {self.total} epochs"]
        if self.note:
            parts.append(html.escape(self.note))
        if self._closed and self.done < self.total:
            parts.append(f"stopped after {_clock(elapsed)}")
        elif 0 < self.done < self.total:
            parts.append(f"{_clock(elapsed / self.done * (self.total - self.done))} left")
        elif self.done:
            parts.append(_clock(elapsed))
        bar = f'<progress max="{self.total}" value="{self.done}" aria-hidden="true"></progress> '
        running = self.done < self.total and not self._closed
        return f"<div>{bar if running else ''}{' · '.join(parts)}</div>"

    def advance(self, note: str) -> None:
        """One epoch is done; ``note`` is a short reading such as the loss."""
        self.done += 1
        self.note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()
        if self._line is not None:
            self._line.update(self._html(self._markup()))

    def close(self) -> None:
        """Leave the finished (or stopped) line, or nothing."""
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        if self._line is not None and not self.leave:
            self._line.update(self._html(""))
        elif self._line is not None and self.done < self.total:
            self._line.update(self._html(self._markup()))
