"""A limit of time for work in pure Python, such as SymPy's: stopped where it is, in its own thread.

Some integrals keep SymPy busy for ever. The work stays in the thread that asked for it (so a stop
button still reaches it, and SymPy's caches serve it); another thread watches the clock and has an
exception raised in it. That works on every system, in notebooks and in threads alike, and nothing
runs on. What it can't end is one long call of C code; SymPy's are short.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["OutOfTimeError", "within"]

T = TypeVar("T")
_WAITING = 4  # times as long may pass on a machine that is busy with other things
_LOOK = 0.05  # seconds between two looks at the clock
_AGAIN = 0.2  # and between two exceptions, should the first be swallowed


class OutOfTimeError(Exception):
    """The work took longer than it may, and was stopped."""


class _Stop(BaseException):
    """Raised inside the work; no ``except Exception`` of SymPy's holds it up."""


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Have ``kind`` raised in ``thread``; None takes back what was not raised yet."""
    import ctypes

    what = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a word about a stop that came in a callback of Python's own, which swallows it.

    The next one is on its way.
    """
    usual = sys.unraisablehook

    def hook(told: sys.UnraisableHookArgs, /) -> None:
        if not issubclass(told.exc_type, _Stop):
            usual(told)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = usual


def within(call: Callable[[], T], seconds: float) -> T:
    """The result of ``call()``. Raises :class:`OutOfTimeError` after ``seconds`` of work.

    On a machine that is busy with other things four times as many may pass. Where no thread can be
    started (Python in a browser) there is no limit; the page ends such work itself.
    """

    class Stop(_Stop):
        """This call's own: limits may lie within one another."""

    here, done, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def watch() -> None:
        worked, began = time.process_time(), time.monotonic()
        while not done.wait(_LOOK):
            passed = time.monotonic() - began
            if passed >= seconds and (
                time.process_time() - worked >= seconds or passed >= _WAITING * seconds
            ):
                break
        while not done.is_set():
            with lock:  # never after the call has ended
                if not done.is_set():
                    _raise_in(here, Stop)
            done.wait(_AGAIN)

    watcher = threading.Thread(target=watch, daemon=True, name="time limit")
    try:
        watcher.start()
    except RuntimeError:
        return call()

    def end() -> None:
        """From here on nothing is raised any more."""
        while not done.is_set():
            try:
                with lock:
                    done.set()
                    _raise_in(here, None)
            except Stop:  # raised at the very end: the work is done all the same
                continue

    try:
        with _quiet():
            result = call()
    except Stop:
        end()
        raise OutOfTimeError(f"not done within {seconds:g} s") from None
    except BaseException:
        end()
        raise
    end()
    return result
