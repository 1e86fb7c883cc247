"""Store what the suites of injected faults found, for the page that tells of them.

    python book/_tools/faults.py

The suites (tests/faults, run by `make faults`) write _build/reports/faults-*.json: lists of
{"what", "count", "held", "ran"}. They go into benchmarks/results/faults.json, with the kind of
machine. A suite that was not run this time keeps the row it has.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from repository import write_whole

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path("benchmarks/results/faults.json")
REPORTS = Path("_build/reports")


def machine() -> str:
    """The kind of machine, in a few words and without a name of its own."""
    cores = os.cpu_count() or 1
    return (
        f"{cores} core{'s' if cores > 1 else ''}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def merged(before: list[dict[str, Any]], reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stored rows with those of the reports: a row is known by what must hold."""
    new = {row["what"]: row for row in reports}
    kept = [new.pop(row["what"], row) for row in before]
    return [*kept, *new.values()]


def main(root: Path = ROOT) -> int:
    reports = sorted((root / REPORTS).glob("faults-*.json"))
    if not reports:
        print("no suite has left a report; run `make faults`", file=sys.stderr)
        return 1
    rows = [row for path in reports for row in json.loads(path.read_text("utf-8"))]
    record = root / RECORD
    before = json.loads(record.read_text("utf-8"))["suites"] if record.is_file() else []
    suites = merged(before, rows)
    record.touch()
    text = json.dumps({"machine": machine(), "suites": suites}, indent=1, ensure_ascii=False)
    write_whole(record, text + "\n")
    for row in suites:
        print(f"{row['held']:6} of {row['count']:6}  {row['what']}")
    return 0 if all(row["held"] == row["count"] for row in suites) else 1


if __name__ == "__main__":
    sys.exit(main())
