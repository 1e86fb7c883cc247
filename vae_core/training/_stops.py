"""Ctrl-C, or a notebook's stop button, obeyed where a training can be stopped: between two steps.

In the middle of a step it would leave weights of which some have moved and some have not; in
the middle of one of torch's own imports, a library that no later cell can use; in the exchange of
gradients, other processes that wait for this one for ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class Stops:
    """In here a stop is noted, and :meth:`obey` does what it would have done at once.

    A second one is not held back: the step may never end. ``before``: what was noted earlier is
    still to be obeyed. Threads other than the main one hear no signals.
    """

    def __init__(self, before: Stops | None = None) -> None:
        self.asked: bool = before is not None and before.asked
        self._usual: Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            usual = signal.getsignal(signal.SIGINT)
            if callable(usual):
                self._usual = usual
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self._usual is not None:
            self._usual(number, frame)
        self.asked = True

    def obey(self, asked: bool | None = None) -> None:
        """Stop, if that was asked for (or ``asked``, by another process): usually
        ``KeyboardInterrupt``."""
        if not (self.asked if asked is None else asked):
            return
        self.asked = False
        if self._usual is not None:
            self._usual(signal.SIGINT, None)
        else:
            raise KeyboardInterrupt

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._usual is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._usual)
