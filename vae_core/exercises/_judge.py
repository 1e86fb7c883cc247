"""The process in which answers are tried: ``python _judge.py``. ``_apart`` starts it and asks it.

It imports torch and the checks from their files, so nothing that a notebook has changed is in it.
Each answer is tried in a child of its own: whatever the answer does (an endless call in C, a crash,
a changed generator, a replaced function) ends with the child, and a child can be ended at any time.
It is made by fork, which is safe, since this process never computes: it holds no thread, and no
state of autograd or CUDA that a fork could break. Where fork is not safe (macOS) or not there
(Windows), one worker tries the answers, until one fails or changes something; then a new worker.

Who knows the key may ask, one question at a time. The judge keeps a record of what it found, for a
grader who cannot trust the notebook that asks. Only the standard library is imported at the top:
where a worker does the work, the judge itself stays small.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import secrets
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# What steps import when they need it; loaded while nobody asks, so that no child has to.
LATER = ("vae_core.symbolic", "scipy.stats", "torch._dynamo", "sklearn.manifold")
TALK = 20.0  # seconds in which the other side must finish a message
SLACK = 2.5  # seconds beyond a limit before a call that does not stop by itself is ended
WAITING = 4  # times as long may pass where a call waits, or the machine has no time for it
UNPACKING = 60.0  # seconds to unpack an answer and import what it needs
SHOWN = 100_000  # bytes of what an answer prints


# --- messages: a header that becomes JSON, and bytes ----------------------------------------------


def send(to: socket.socket, header: dict[str, Any], blob: bytes = b"") -> None:
    head = json.dumps(header).encode()
    to.sendall(struct.pack("!IQ", len(head), len(blob)) + head + blob)


def receive(source: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None at the end of the connection, or where what comes is no message."""

    def exactly(n: int) -> bytes:
        parts = []
        while n:
            part = source.recv(min(n, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    try:
        head, blob = struct.unpack("!IQ", exactly(12))
        header = json.loads(exactly(head))
        return (header, exactly(blob)) if isinstance(header, dict) else None
    except (EOFError, OSError, ValueError):
        return None


def connect(address: Any) -> socket.socket:
    """A connection to the judge at ``address``: a path, or a host and a port."""
    if not isinstance(address, str):
        return socket.create_connection(tuple(address))
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.connect(address)
    return found


# --- the process that tries an answer -------------------------------------------------------------


def worked(pid: int) -> float | None:
    """Seconds of processor time that a process has used, where the system says so."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with contextlib.suppress(Exception):
        import psutil  # where there is a notebook there is psutil

        return float(sum(psutil.Process(pid).cpu_times()[:2]))
    return None


class Child:
    """A process that tries an answer, what it says, and how long it may take.

    limits: of the calls that it is in, the outermost first: seconds, and the time and the work
    done when the call began.
    """

    def __init__(self, pid: int, said: socket.socket, printed: Any) -> None:
        self.pid, self.said, self.printed = pid, said, printed
        self.limits: list[tuple[float, float, float | None]] = []
        self.bytes, self.gone = 0, False

    def begins(self, seconds: float) -> None:
        self.limits.append((seconds, time.monotonic(), worked(self.pid)))

    def late(self) -> float | None:
        """The limit that has passed, if one has, in seconds."""
        for seconds, since, before in self.limits:
            wall = time.monotonic() - since
            if wall > WAITING * seconds + SLACK:
                return seconds
            if wall > seconds + SLACK and before is not None:
                now = worked(self.pid)
                if now is not None and now - before > seconds + SLACK:
                    return seconds
        return None

    def output(self) -> bytes:
        """What it has printed since the last call."""
        with contextlib.suppress(OSError):
            if isinstance(self.printed, int):
                return os.read(self.printed, 1 << 16)
            return bytes(self.printed.recv(1 << 16))
        return b""

    def end(self) -> int:
        """End it and give its exit code: minus the signal if one ended it."""
        last = time.monotonic() + self.gone  # one that says nothing more is about to have ended
        found = os.waitpid(self.pid, os.WNOHANG)
        while not found[0] and time.monotonic() < last:
            time.sleep(0.01)
            found = os.waitpid(self.pid, os.WNOHANG)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it has started, too
        status = found[1] if found[0] else os.waitpid(self.pid, 0)[1]
        self.said.close()
        os.close(self.printed)
        return os.waitstatus_to_exitcode(status)


class Worker(Child):
    """One that stays for several answers."""

    def __init__(self, process: subprocess.Popen[bytes], said: socket.socket) -> None:
        near, far = socket.socketpair()
        super().__init__(process.pid, said, near)
        self.process = process

        def pump() -> None:  # not everywhere can a pipe be waited for together with sockets
            assert process.stdout is not None
            with far, process.stdout, contextlib.suppress(OSError):
                while part := os.read(process.stdout.fileno(), 1 << 16):
                    far.sendall(part)

        threading.Thread(target=pump, daemon=True).start()

    def end(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0 if self.gone else 0.0)
        self.process.kill()
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.said.close()
        self.printed.close()
        return code


# --- the judge ------------------------------------------------------------------------------------


class Judge:
    """Answers questions until standard input ends, or nobody has asked for ``idle`` seconds."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.key, self.owner, self.idle = setup["key"], setup["owner"], setup.get("idle")
        self.forks = setup.get("forks", hasattr(os, "fork") and sys.platform != "darwin")
        self.records: list[dict[str, Any]] = []
        self.later = list(LATER) if self.forks else []
        self.secret = secrets.token_hex(16)
        self.worker: Worker | None = None
        self.starting: subprocess.Popen[bytes] | None = None
        if setup.get("folder") and hasattr(socket, "AF_UNIX"):
            self.address: Any = str(Path(setup["folder"]) / "judge")
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(self.address)
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = list(self.listener.getsockname())
        self.listener.listen(16)
        # Standard input ends when the process ends that has started this one.
        self.life: Any = sys.stdin.fileno()
        if not self.forks:  # it cannot be waited for everywhere; and here a thread does no harm
            self.life, told = socket.socketpair()

            def wait() -> None:
                while os.read(0, 4096):
                    pass
                told.close()

            threading.Thread(target=wait, daemon=True).start()

    def serve(self) -> None:
        if self.forks:
            import torch

            torch.set_num_threads(1)
            _load(["vae_core.exercises._inside"])
        else:
            self._start_worker()
        last = time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(self.listener, selectors.EVENT_READ)
            ready.register(self.life, selectors.EVENT_READ)
            while self.idle is None or time.monotonic() - last < self.idle:
                events = [key.fileobj for key, _ in ready.select(0 if self.later else 5.0)]
                if self.life in events:
                    break
                if events:
                    self._accept()
                    last = time.monotonic()
                elif self.later:
                    _load(self.later)
        if self.worker or self.starting:
            (self.worker.process if self.worker else self.starting).kill()  # type: ignore[union-attr]

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        client.settimeout(TALK)
        header, blob = receive(client) or ({}, b"")
        key, wish = header.get("key"), header.get("do")
        if key == self.secret and self.starting is not None:
            self.worker, self.starting = Worker(self.starting, client), None
            return
        with client, contextlib.suppress(OSError):
            if key == self.owner and wish in ("begin", "records"):
                send(client, {"records": self.records})
                self.records = [] if wish == "begin" else self.records
            elif key in (self.key, self.owner) and wish == "check":
                self._check(client, header, blob)

    def _check(self, client: socket.socket, header: dict[str, Any], blob: bytes) -> None:
        make = self._fork if self.forks else self._ask_worker
        child = make(client, header, blob)
        if child is None:
            send(client, {"end": "nobody"})
            return
        child.begins(UNPACKING)
        try:
            end, steps, results = self._follow(client, child)
        except OSError:
            end, steps, results = "unheard", -1, []
        code = self._ended(child, keep=end == "clean")
        right = end in ("done", "clean") and len(results) == steps > 0 and all(results)
        if not header.get("start"):
            asked = {k: header.get(k) for k in ("exercise", "seed", "thorough")}
            self.records.append({**asked, "right": right})
        if end != "unheard":
            send(client, {"end": end, "code": code, "more": max(child.bytes - SHOWN, 0)})

    def _follow(self, client: socket.socket, child: Child) -> tuple[str, int, list[bool]]:
        """Pass on what a child says and prints; how it ended, its steps, which of them hold."""
        results: list[bool] = []
        with selectors.DefaultSelector() as ready:
            for source in (child.said, child.printed, client, self.life):
                ready.register(source, selectors.EVENT_READ)
            end, steps = "", -1
            while not end:
                events = [key.fileobj for key, _ in ready.select(0.2)]
                if client in events or self.life in events:
                    return "unheard", -1, []
                if child.printed in events and not self._print(client, child):
                    ready.unregister(child.printed)
                if child.said in events:
                    told, _ = receive(child.said) or ({"died": True}, b"")
                    if "begins" in told:
                        child.begins(float(told["begins"]))
                    elif "ends" in told:
                        del child.limits[-1:]
                    elif "result" in told:
                        results.append(told["result"].get("ok") is True)
                        send(client, told)
                    elif "done" in told:
                        end, steps = str(told["done"]), int(told["steps"])
                    else:
                        end, child.gone = "died", True
                elif (late := child.late()) is not None:
                    end = f"hung {late:g}"
        while child.bytes < 2 * SHOWN and self._print(client, child):
            pass
        return end, steps, results

    def _print(self, client: socket.socket, child: Child) -> bool:
        """Pass on what a child has printed; false where there is nothing."""
        with selectors.DefaultSelector() as ready:
            ready.register(child.printed, selectors.EVENT_READ)
            part = child.output() if ready.select(0.01) else b""
        if part and child.bytes < SHOWN:
            send(client, {"printed": True}, part[: SHOWN - child.bytes])
        child.bytes += len(part)
        return bool(part)

    def _ended(self, child: Child, keep: bool) -> int:
        """End a child; a worker in which nothing went wrong stays for the next answer."""
        if isinstance(child, Worker):
            child.bytes, child.limits = (0, []) if keep else (child.bytes, [])
            if keep:
                return 0
        code = child.end()
        if not self.forks:
            self._start_worker()
        return code

    def _fork(self, client: socket.socket, header: dict[str, Any], blob: bytes) -> Child:
        near, far = socket.socketpair()
        read, write = os.pipe()
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):  # the child does the same; who comes first?
                os.setpgid(pid, pid)
            far.close()
            os.close(write)
            near.settimeout(TALK)
            return Child(pid, near, read)
        try:
            os.setpgid(0, 0)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, to in ((nothing, 0), (write, 1), (write, 2)):
                os.dup2(number, to)
            for number in (nothing, read, write):
                os.close(number)
            for other in (client, self.listener, near):
                other.close()
            from vae_core.exercises import _inside

            _inside.confine()
            _inside.serve(far, header, blob)
        finally:
            os._exit(0)

    # --- where there is no fork ------------------------------------------------------------------

    def _start_worker(self) -> None:
        self.worker = None
        self.starting = subprocess.Popen(
            [sys.executable, "-P", __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        setup = {"address": self.address, "key": self.secret, "path": sys.path}
        _tell(self.starting, setup)

    def _ask_worker(self, _: Any, header: dict[str, Any], blob: bytes) -> Child | None:
        if self.worker is not None and self.worker.process.poll() is not None:
            self._ended(self.worker, keep=False)
        while self.worker is None:
            with selectors.DefaultSelector() as ready:
                ready.register(self.listener, selectors.EVENT_READ)
                if ready.select(0.5):
                    self._accept()
            if self.starting is not None and self.starting.poll() is not None:
                return None
        send(self.worker.said, header, blob)
        return self.worker


def _tell(process: subprocess.Popen[bytes], setup: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(setup).encode() + b"\n")
    process.stdin.flush()


def _work(setup: dict[str, Any]) -> None:
    """A worker: tries one answer after another, as it is told."""
    import torch

    torch.set_num_threads(1)
    from vae_core.exercises import _inside

    later = list(LATER)
    with connect(setup["address"]) as judge, selectors.DefaultSelector() as ready:
        send(judge, {"key": setup["key"]})
        ready.register(judge, selectors.EVENT_READ)
        while True:
            if later and not ready.select(0):
                _load(later)
            elif (task := receive(judge)) is not None:
                _inside.serve(judge, *task)
            else:
                return


def _load(later: list[str]) -> None:
    with contextlib.suppress(Exception):
        importlib.import_module(later.pop(0))
    gc.freeze()  # the children's garbage collector need not look through all this


def main() -> None:
    setup = json.loads(sys.stdin.buffer.readline())
    here = str(Path(__file__).resolve().parents[2])
    sys.path[:0] = [here] if here not in sys.path else []
    sys.path += [p for p in setup.pop("path", []) if p and p not in sys.path]
    if sys.argv[1:] == ["--worker"]:
        _work(setup)
        return
    judge = Judge(setup)
    print(json.dumps({"address": judge.address, "file": __file__}), flush=True)
    judge.serve()


if __name__ == "__main__":
    main()
