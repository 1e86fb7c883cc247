"""What the suites of injected faults found, as JSON for ``make faults`` to collect.

A suite tries many faults of one kind, and says in one sentence what must hold. How many it tries:
few in every run of the tests, all where FAULTS=all. A test that fails writes what it found, too.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from helpers import ROOT

ALL = os.environ.get("FAULTS") == "all"
REPORTS = ROOT / "_build" / "reports"


def many(few: int, all_of_them: int) -> int:
    """How many faults to inject in this run."""
    return all_of_them if ALL else few


class Tally:
    """Counts the faults that were injected, and those that held."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.held = what, 0, 0
        self.failures: list[str] = []

    def tried(self, held: bool, which: str) -> None:
        """One fault was injected; ``which`` names it, to be tried again."""
        self.count += 1
        self.held += held
        if not held:
            self.failures.append(which)


@contextmanager
def reported(suite: str, *sentences: str) -> Iterator[list[Tally]]:
    """Tallies, one for each sentence, written to faults-``suite``.json; all must hold."""
    tallies = [Tally(sentence) for sentence in sentences]
    try:
        yield tallies
    finally:
        if ALL:
            REPORTS.mkdir(parents=True, exist_ok=True)
            today = datetime.date.today().isoformat()
            rows = [
                {"what": t.what, "count": t.count, "held": t.held, "ran": today} for t in tallies
            ]
            path = REPORTS / f"faults-{suite}.json"
            path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")
    failures = [failure for tally in tallies for failure in tally.failures]
    if failures:
        raise AssertionError("\n".join(failures))
    if not all(tally.count for tally in tallies):
        raise AssertionError("a suite that injects nothing finds nothing")
