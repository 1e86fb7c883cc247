"""Run an answer so that nothing it does, or fails to do, stops the check."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Hung", "guarded"]

LIMIT = 5.0  # seconds of one call; every exercise is answered in milliseconds
_WAITING = 4  # times as long may pass while the call waits, or the machine has no time for it
_AFTERLIFE = 2.0  # seconds in which a stopped call may end


class Hung(Exception):
    """The call was not back in time, and was told to stop."""


class _Stop(BaseException):
    """Raised inside the call that took too long; ``except Exception`` does not catch it."""


def guarded(call: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """The result of ``call()``, or its exception, or ``Hung`` after ``seconds``.

    They are seconds of work: on a machine that is busy with other things, or for a call that waits,
    four times as many may pass.

    The call runs in a thread of its own, whatever the system. One that takes too long gets an
    exception thrown into it, again and again while it swallows them; one stuck outside Python is
    left behind, and ends with the process.
    """
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # an answer may raise anything, SystemExit included
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True, name="answer")
    worked, latest = time.process_time(), time.monotonic() + _WAITING * seconds
    thread.start()
    thread.join(seconds)
    while (
        thread.is_alive() and time.process_time() - worked < seconds and time.monotonic() < latest
    ):
        thread.join(0.05)
    if thread.is_alive():
        last = time.monotonic() + _AFTERLIFE
        while thread.is_alive() and time.monotonic() < last:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop)
            )
            thread.join(0.05)
        raise Hung(f"not back after {seconds:g} s")
    if failure:
        raise failure[0]
    return result[0]
