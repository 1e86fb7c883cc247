"""Processes that work for another: deaf to Ctrl-C, and gone when the one they work for is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def held_back_interrupts() -> Iterator[None]:
    """Ctrl-C waits; processes that start in here never hear it, and end when this one ends them.

    A terminal sends Ctrl-C to all processes alike: each would print a traceback of its own, or
    take up the next model. Windows has no such mask, and there they do.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(threads: int) -> None:
    """Take ``threads`` cores, and end with the process that asked for the work, however it ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)  # killed: nobody else would end this process, and its model may wait

        threading.Thread(target=watch, daemon=True).start()
