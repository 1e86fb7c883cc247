"""The memory that a notebook's kernel takes: ``python -m benchmarks.memory NOTEBOOK ...``.

Each notebook is executed from top to bottom in a kernel of its own, and the peak of the kernel's
resident memory is read when the last cell has run (``VmHWM`` of Linux, which the system counts by
itself: nothing is missed between two looks). ``benchmarks/results/memory.json`` keeps the peaks,
with day and machine; the book's page for teachers quotes their range. With ``--executed FOLDER``
the executed notebooks are kept too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock
from nbclient import NotebookClient

from benchmarks import report

PATH = report.RESULTS / "memory.json"
ROOT = Path(__file__).resolve().parents[1]
KEPT_FACTS = ("processor", "cores", "threads", "device", "system", "python", "torch")


def peak_of(pid: int) -> int:
    """The peak of a process's resident memory so far, in MB (of 1,000,000 bytes).

    Raises ``OSError`` where there is no ``/proc``, or no such process.
    """
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise OSError(f"process {pid} has no resident memory")
    return round(int(found[1]) * 1024 / 1e6)


def executed(path: Path, timeout: int = 1800) -> tuple[Any, int]:
    """The notebook at ``path``, executed in a new kernel, and the kernel's peak in MB."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel():
        assert client.km is not None
        pid = client.km.provisioner.pid  # type: ignore[union-attr]
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        return notebook, peak_of(pid)


def keep(name: str, peak: int, facts: dict[str, Any], path: Path = PATH) -> None:
    """Put the peak of a notebook in the place of what was known of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        known[name] = {"peak_mb": peak, "day": f"{datetime.date.today()}", "machine": facts}
        ordered = {key: known[key] for key in sorted(known)}
        path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Execute notebooks and keep the peak of the memory that each kernel takes.",
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--executed", type=Path, help="a folder for the executed notebooks")
    chosen = parser.parse_args(arguments)
    if not Path("/proc/self/status").is_file():
        print("the peak of a process's memory is read from /proc, as on Linux", file=sys.stderr)
        return 2
    machine = report.machine()
    facts = {name: machine[name] for name in KEPT_FACTS}
    for path in chosen.notebooks:
        path = path.resolve()
        notebook, peak = executed(path)
        keep(path.relative_to(ROOT).as_posix(), peak, facts)
        print(f"{path.name}: {peak} MB", flush=True)
        if chosen.executed:
            chosen.executed.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, chosen.executed / path.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
