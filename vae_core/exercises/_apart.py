"""Have an answer tried in a process of its own: the side that asks; see ``_judge`` for the other.

What was measured decided for a judge of its own, not for a fork of the notebook: a fork costs the
same (about a tenth of a second) and no second torch in memory, but a child of a notebook that has
used two threads hangs unless it keeps to one, its autograd refuses to work on every machine with a
GPU, macOS aborts it, Windows has none, and it inherits whatever the notebook has replaced. A fresh
process for each answer would take seconds to import torch. So the judge is started in the
background when a notebook imports the checks, and keeps.

The answer travels as cloudpickle sends it: functions of a notebook by value, with the variables
that they use, functions of modules by name.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from vae_core import _text
from vae_core.exercises import _judge

__all__ = ["GRADER", "GRADING", "SENT", "NoProcess", "NotHere", "packed", "tried", "wanted", "warm"]

GRADER = "VAE_CORE_JUDGE"  # the judge of a grader, as JSON: address and key
GRADING = 20_261  # the seed of the inputs that a grader tries
HERE = "VAE_CORE_CHECK_HERE"  # set: try answers in the notebook's own process, to debug them
IDLE = 20 * 60.0  # seconds after which a judge that nobody asks ends; the next check starts another
SENT = "an answer that can be handed to the process that tries it"

inside = False  # whether this is the process that tries an answer: set there


# --- packing an answer ----------------------------------------------------------------------------


class NotHere(Exception):
    """An answer used something that could not come with it."""


class NoProcess(Exception):
    """This system starts no other process."""


class Live:
    """Stands for what cannot leave the notebook: an open file, a running generator, a lock."""

    def __init__(self, kind: str) -> None:
        self.__dict__["kind"] = kind

    def __getattr__(self, name: str) -> Any:
        raise NotHere(f"one that uses a {self.kind} of the notebook's")

    __call__ = __iter__ = __next__ = __enter__ = lambda self, *a: self.anything


def _generator(device: str, state: torch.Tensor) -> torch.Generator:
    generator = torch.Generator(device)
    generator.set_state(state)
    return generator


def _stream(name: str) -> Any:
    return getattr(sys, name)


_LIVE = (types.GeneratorType, types.CoroutineType, types.FrameType, threading.Thread, io.IOBase)
_LIVE += (type(threading.Lock()), type(threading.RLock()))  # type: ignore[assignment]


class _Pickler(cloudpickle.Pickler):
    """cloudpickle's, for what a notebook may hold besides."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Generator):
            return _generator, (str(obj.device), obj.get_state())
        for name in ("stdout", "stderr"):
            if obj is getattr(sys, name):
                return _stream, (name,)
        if isinstance(obj, _LIVE) and not isinstance(obj, io.BytesIO | io.StringIO):
            return Live, (type(obj).__name__,)
        return super().reducer_override(obj)


def packed(answer: Any) -> bytes:
    """The answer as bytes; raises what pickling raises."""
    with io.BytesIO() as file:
        _Pickler(file).dump(answer)
        return file.getvalue()


# --- the judge ------------------------------------------------------------------------------------


class _Judge:
    """The judge of this process, or a grader's, started when it is first needed."""

    def __init__(self, *, idle: float | None = IDLE, forks: bool | None = None) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pid, self.idle, self.forks = os.getpid(), idle, forks
        self.place: dict[str, Any] = {}
        self.folder = ""
        self.key, self.owner = secrets.token_hex(16), secrets.token_hex(16)

    def start(self) -> None:
        """Begin a process; the first question reads its address."""
        self.stop()
        self.folder = tempfile.mkdtemp(prefix="judge-")
        own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        drop = (GRADER, "PYTHONWARNINGS", "PYTHONSTARTUP")
        environment = {k: v for k, v in os.environ.items() if k not in drop} | own
        alone: dict[str, Any] = {"start_new_session": True}  # Ctrl-C is not for the judge
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            alone = {"creationflags": flags}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(_judge.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                **alone,
            )
        except (OSError, ValueError, NotImplementedError) as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise NoProcess(str(error)) from None
        setup = {
            "key": self.key,
            "owner": self.owner,
            "idle": self.idle,
            "path": [e for e in sys.path if isinstance(e, str)],
        }
        setup |= {"folder": self.folder} | ({} if self.forks is None else {"forks": self.forks})
        _judge._tell(self.process, setup)

    def stop(self) -> None:
        process, self.process, self.place = self.process, None, {}
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            if self.pid == os.getpid():
                try:
                    process.wait(2)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def asked(self, header: dict[str, Any], blob: bytes = b"") -> Iterator[tuple[dict, bytes]]:
        """Send a question; its messages as they come. ``OSError`` if the judge cannot be had."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        assert self.process is not None
        assert self.process.stdout is not None
        if not self.place:
            line = self.process.stdout.readline()
            if not line:
                raise OSError("the judge did not start")
            self.place = json.loads(line)
        yield from _asked(self.place["address"], {"key": self.owner, **header}, blob)


def _asked(address: Any, header: dict[str, Any], blob: bytes) -> Iterator[tuple[dict, bytes]]:
    with _judge.connect(address) as judge:
        _judge.send(judge, header, blob)
        while (message := _judge.receive(judge)) is not None:
            yield message
            if "end" in message[0]:
                return


_own: _Judge | None = None


def own() -> _Judge:
    """The judge of this process; a fork of it gets another."""
    global _own
    if _own is None or _own.pid != os.getpid():
        _own = _Judge()
        atexit.register(_own.stop)
    return _own


def wanted() -> bool:
    """Whether answers are to be tried in a process of their own."""
    return not (inside or os.environ.get(HERE))


def warm() -> None:
    """Start the judge in the background, unless there is one or none is wanted."""
    if wanted() and not os.environ.get(GRADER):
        with contextlib.suppress(NoProcess, OSError):
            own().start()


def _questions(header: dict[str, Any], blob: bytes) -> Iterator[tuple[dict, bytes]]:
    grader = os.environ.get(GRADER)
    if grader:
        place = json.loads(grader)
        return _asked(place["address"], {"key": place["key"], **header}, blob)
    return own().asked(header, blob)


# --- one answer -----------------------------------------------------------------------------------


def tried(
    exercise: str, blob: bytes, *, seed: int, thorough: bool, start: int
) -> tuple[list[dict[str, Any]], str, int]:
    """What each step said, in order, and how the process ended that tried them.

    It ended "clean" or "done" with all steps, or it "died" (with its exit code; minus a signal), or
    it was "hung N", ended after more than N seconds in one call, or "lost", with the judge itself,
    twice. What it prints is printed here. Raises ``NoProcess`` where there is none to be had.
    """
    header = {
        "do": "check",
        "exercise": exercise,
        "seed": seed,
        "thorough": thorough,
        "start": start,
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "folder": os.getcwd(),
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }
    for _ in range(2):
        with contextlib.suppress(OSError, ValueError):
            return _once(header, blob)
        if not os.environ.get(GRADER):
            own().stop()
    return [], "lost", 0


def _once(header: dict[str, Any], blob: bytes) -> tuple[list[dict[str, Any]], str, int]:
    results: list[dict[str, Any]] = []
    text = io.IncrementalNewlineDecoder(_decoder(), translate=True)
    for message, part in _questions(header, blob):
        if "printed" in message:
            print(_text.fitting(text.decode(part)), end="")
        elif "result" in message:
            results.append(message["result"])
        elif message.get("end") == "nobody":
            break
        elif "end" in message:
            if message["more"]:
                print(f"\n... and {message['more']:,} bytes more")
            return results, message["end"], int(message["code"])
    raise OSError("the judge was lost")


def _decoder() -> Any:
    import codecs

    return codecs.getincrementaldecoder("utf-8")("replace")
