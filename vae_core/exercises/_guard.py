"""Run an answer so that nothing it does, or fails to do, stops the check."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["Hung", "guarded", "kept", "replaced", "watcher"]

LIMIT = 5.0  # seconds of one call; every exercise is answered in milliseconds
_WAITING = 4  # times as long may pass while the call waits, or the machine has no time for it
_AFTERLIFE = 2.0  # seconds in which a stopped call may end

# Told the limit of each call that begins, and None when one ends: by whoever can end this process.
watcher: list[Callable[[float | None], None]] = []
# Names what an answer has replaced of torch or of the checks since the last call, if anything.
replaced: list[Callable[[], str | None]] = []


class Hung(Exception):
    """The call was not back in time, and was told to stop."""


class _Stop(BaseException):
    """Raised inside the call that took too long; ``except Exception`` does not catch it."""


def guarded(call: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """The result of ``call()``, or its exception, or ``Hung`` after ``seconds``.

    They are seconds of work: on a machine that is busy with other things, or for a call that waits,
    four times as many may pass.

    The call runs in a thread of its own, whatever the system. One that takes too long gets an
    exception thrown into it, again and again while it swallows them. One stuck outside Python hears
    nothing: it is ended with its process, by the judge; see ``_judge``.
    """
    for told in watcher:
        told(seconds)
    try:
        return _guarded(call, seconds)
    finally:
        for told in watcher:
            told(None)


def _guarded(call: Callable[[], Any], seconds: float) -> Any:
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


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Leave the process as it was: generators, defaults, threads, warnings, folder, environment.

    For an answer that has to run in the notebook's own process; what it replaces in a module stays.
    """
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    threads, environment = torch.get_num_threads(), dict(os.environ)
    folder = os.getcwd()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        with contextlib.suppress(OSError):
            os.chdir(folder)
