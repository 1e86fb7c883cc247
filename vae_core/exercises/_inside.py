"""In the process that tries an answer: unpack it, try it step by step, tell what each step said."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch

from vae_core.exercises import _apart, _guard
from vae_core.exercises._engine import Result
from vae_core.exercises._judge import send
from vae_core.exercises._registry import get
from vae_core.exercises._tamper import Watch

__all__ = ["confine", "serve"]

MEMORY = 4 << 30  # bytes that an answer may take beyond what torch needs


def confine() -> None:
    """Let the system end this process rather than another where memory gives out (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        lines = Path("/proc/self/status").read_text().splitlines()
        now = int(next(t.split()[1] for t in lines if t.startswith("VmData"))) << 10
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = now + MEMORY if hard == resource.RLIM_INFINITY else min(now + MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def serve(judge: socket.socket, question: dict[str, Any], blob: bytes) -> None:
    """Try one answer and send what each step says, then how many there are."""

    def told(seconds: float | None) -> None:
        send(judge, {"ends": True} if seconds is None else {"begins": seconds})

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    exercise = get(question["exercise"])
    sys.path[:] = question["path"]
    with contextlib.suppress(OSError):
        os.chdir(question["folder"])
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, question["dtype"]))
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(question["seed"] % 2**32)
    _apart.inside = True
    watch = Watch()  # of what there is before the answer is unpacked
    _guard.watcher[:], _guard.replaced[:] = [told], [watch.changed]
    start, clean = question["start"], True
    try:
        answer = cloudpickle.loads(blob)
    except BaseException as error:
        what = f"{type(error).__name__}: {error}"[:300]
        results = iter([Result(exercise.steps[start][0], False, _apart.SENT, what, "not_sent")])
    else:
        results = exercise.results(
            answer, seed=question["seed"], thorough=question["thorough"], start=start
        )
    for result in results:
        clean = clean and result.ok is True
        send(judge, {"result": vars(result)})
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _guard.watcher.clear()
    untouched = watch.changed() is None
    done = "clean" if clean and untouched else "done"
    send(judge, {"done": done, "steps": len(exercise.steps) - start})
