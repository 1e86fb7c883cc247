"""Run a chapter once, and any part of it again from before any of its cells.

The process that runs the chapter forks before each cell. Its copy waits there, and forks again for
each part to be run: so a mutant costs only the cells from its change to the claim.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import gc
import io
import math
import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.mutants._chapter import REPORT, Chapter, Statement

FAILS, HOLDS, ERROR = "fails", "holds", "error"
Occurrence = tuple[str, int]  # a claim's place in the code, and the how-manieth time it is met


@dataclass
class Job:
    """What to run from a cell on, and how it is changed."""

    cells: Sequence[int]
    change: Callable[[dict[str, Any]], None] | None = None  # made first of all, in the namespace
    edits: dict[tuple[int, int], ast.stmt] = field(default_factory=dict)  # of statements
    only: set[tuple[int, int]] | None = None  # the statements to run, if not all
    seconds: float = 60.0  # of the processor, before it is given up


@dataclass
class Outcome:
    """How the claims that a job met came out, and which statements failed on the way."""

    claims: dict[Occurrence, str] = field(default_factory=dict)
    asserted: list[tuple[int, int]] = field(default_factory=list)  # ended by an AssertionError
    errors: list[tuple[tuple[int, int], str]] = field(default_factory=list)
    finished: bool = False
    seconds: float = 0.0

    def take(self, what: tuple[Any, ...]) -> None:
        """Enter what a process told."""
        if what[0] == "claim":
            self.claims[what[1]] = what[2]
        elif what[0] == "asserted":
            self.asserted.append(what[1])
        elif what[0] == "error":
            self.errors.append((what[1], what[2]))


# The clock goes on while a busy machine does other things: it only ends what hangs.
BUSY, WAIT = 10.0, 60.0


def _limit(seconds: float) -> None:
    """End this process when it has used so many seconds of the processor."""
    used = time.process_time()
    limit = math.ceil(used + seconds)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def _die_with_parent() -> None:
    """On Linux: a process that is left alone ends; elsewhere it waits for its pipe to close."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Runner:
    """Executes statements in one namespace and notes how claims come out."""

    def __init__(self, chapter: Chapter, tell: Callable[[tuple[Any, ...]], None]) -> None:
        self.chapter, self.tell = chapter, tell
        self.met: dict[str, int] = {}
        self.namespace: dict[str, Any] = {"__name__": "__main__", REPORT: self.report}

    def report(self, site: str, holds: Callable[[], Any], sentence: Callable[[], str]) -> None:
        occurrence = site, self.met.get(site, 0)
        self.met[site] = occurrence[1] + 1
        said = ""
        try:
            verdict = HOLDS if bool(holds()) else FAILS
        except AssertionError:
            verdict = FAILS
        except Exception as error:
            verdict = f"{ERROR}: {type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            said = sentence()
        self.tell(("claim", occurrence, verdict, said))

    def statement(self, statement: Statement, node: ast.stmt) -> None:
        """Execute ``node`` in the place of ``statement``; what fails leaves its names undefined."""
        for site in statement.sites:
            self.met[site] = 0
        begun = time.process_time()
        where = f"<cell {statement.cell}>"
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                if isinstance(node, ast.Expr):
                    eval(compile(ast.Expression(node.value), where, "eval"), self.namespace)
                else:
                    exec(compile(ast.Module([node], []), where, "exec"), self.namespace)
        except AssertionError:
            self.tell(("asserted", statement.key))
        except Exception as error:
            self.tell(("error", statement.key, f"{type(error).__name__}: {error}"))
        else:
            self.tell(("done", statement.key, time.process_time() - begun))
            return
        for name in statement.sets:
            self.namespace.pop(name, None)

    def cell(self, cell: int, job: Job | None = None) -> None:
        for statement in self.chapter.in_cell(cell):
            if job is not None and job.only is not None and statement.key not in job.only:
                continue
            node = statement.node
            if job is not None:
                node = job.edits.get(statement.key, node)
            self.statement(statement, node)


class Recorded:
    """A chapter that has run, with a process waiting before each of its cells.

    ``before(namespace, at)`` is called before all; ``at()`` gives the cell that runs. ``after(cell,
    namespace)`` is called when a cell has run.
    """

    def __init__(
        self,
        chapter: Chapter,
        before: Callable[[dict[str, Any], Callable[[], int]], None] = lambda namespace, at: None,
        after: Callable[[int, dict[str, Any]], None] = lambda cell, namespace: None,
    ) -> None:
        self.chapter, self.before, self.after = chapter, before, after
        self.at = -1
        self.sentences: dict[Occurrence, str] = {}
        self.outcome = Outcome()
        self.statement_seconds: dict[tuple[int, int], float] = {}
        self.waiting: dict[int, _Waiting] = {}
        self.runner = Runner(chapter, self._told)

    def _told(self, what: tuple[Any, ...]) -> None:
        self.outcome.take(what)
        if what[0] == "claim":
            self.sentences[what[1]] = what[3]
        elif what[0] == "done":
            self.statement_seconds[what[1]] = what[2]

    def __enter__(self) -> Recorded:
        warnings.simplefilter("ignore")
        self.before(self.runner.namespace, lambda: self.at)
        started = time.perf_counter()
        for cell in range(self.chapter.cells):
            self.waiting[cell] = _Waiting(self.runner)
            self.at = cell
            self.runner.cell(cell)
            self.after(cell, self.runner.namespace)
        self.outcome.finished = True
        self.outcome.seconds = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.waiting.values():
            process.close()

    def run(self, cell: int, job: Job) -> Outcome:
        """Run ``job`` from the state before ``cell``."""
        return self.waiting[cell].run(job)


class _Waiting:
    """A forked copy of the process, which runs jobs from where it was forked."""

    def __init__(self, runner: Runner) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # What the collector never visits stays one and the same memory in all these processes.
        gc.freeze()
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ours_in)
            os.close(ours_out)
            _die_with_parent()
            try:
                _serve(runner, theirs_in, theirs_out)
            finally:
                os._exit(0)
        os.close(theirs_in)
        os.close(theirs_out)
        self.incoming, self.outgoing = ours_in, ours_out

    def run(self, job: Job) -> Outcome:
        outcome = Outcome()
        started = time.perf_counter()
        _send(self.outgoing, job)
        for what in _received(self.incoming):
            if what[0] == "end":
                outcome.finished = what[1]
                break
            outcome.take(what)
        outcome.seconds = time.perf_counter() - started
        return outcome

    def close(self) -> None:
        os.close(self.incoming)
        os.close(self.outgoing)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _send(pipe: int, what: Any) -> None:
    content = pickle.dumps(what)
    content = len(content).to_bytes(8, "big") + content
    while content:
        content = content[os.write(pipe, content) :]


def _read(pipe: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(pipe, count)
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _received(pipe: int) -> Iterator[Any]:
    while head := _read(pipe, 8):
        yield pickle.loads(_read(pipe, int.from_bytes(head, "big")))


def _serve(runner: Runner, incoming: int, outgoing: int) -> None:
    """Run each job that comes in a process of its own; pass on what it tells, in its time."""
    for job in _received(incoming):
        inner_in, inner_out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(inner_in)
            _die_with_parent()
            runner.tell = partial(_send, inner_out)
            _limit(job.seconds)
            try:
                if job.change is not None:
                    job.change(runner.namespace)
                for cell in job.cells:
                    runner.cell(cell, job)
                _send(inner_out, ("end", True))
            except BaseException as error:  # of the machinery: told, since no claim is to blame
                _send(inner_out, ("error", (-1, -1), f"{type(error).__name__}: {error}"))
                _send(inner_out, ("end", False))
            finally:
                os._exit(0)
        os.close(inner_out)
        ended = False
        until = time.monotonic() + WAIT + BUSY * job.seconds
        while not ended:
            left = until - time.monotonic()
            if left <= 0 or not select.select([inner_in], [], [], left)[0]:
                break
            head = _read(inner_in, 8)
            if not head:
                break
            what = pickle.loads(_read(inner_in, int.from_bytes(head, "big")))
            ended = what[0] == "end"
            _send(outgoing, what)
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _send(outgoing, ("end", False))
        os.waitpid(pid, 0)
        os.close(inner_in)
