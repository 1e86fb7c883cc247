"""Sphinx extension: the directive ``{faults}`` lists the faults that were injected, and what held.

The numbers are those of the suites' own reports, as ``make faults`` has stored them in
benchmarks/results/faults.json: what must hold, how many faults were tried, how many held, and when.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from licences import row, table
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective

RECORD = Path("benchmarks/results/faults.json")
FIELDS = {"what": str, "count": int, "held": int, "ran": str}


def read(path: Path) -> dict[str, Any]:
    """The stored record. Raises ``SphinxError`` where it is not one, with the place."""
    try:
        record = json.loads(path.read_text("utf-8"))
        rows = record["suites"]
        for found in rows:
            if any(type(found[name]) is not kind for name, kind in FIELDS.items()):
                raise TypeError(f"not a row of this table: {found}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SphinxError(f"{path} is no record of injected faults: {error}") from None
    return dict(record)


class Faults(SphinxDirective):
    """``{faults}``, without content or options."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / RECORD
        self.env.note_dependency(str(path))
        if not path.exists():
            return [nodes.paragraph("", "No record is stored here yet; `make faults` makes one.")]
        record = read(path)
        rows = [
            row(found["what"], f"{found['count']:,}", f"{found['held']:,}", found["ran"])
            for found in record["suites"]
        ]
        counted = sum(found["count"] for found in record["suites"])
        held = sum(found["held"] for found in record["suites"])
        machine = f"Tried on {record['machine']}."
        total = f"{counted:,} faults in all, of which {held:,} held."
        return [
            table(("What must hold", "tried", "held", "on"), rows),
            nodes.paragraph("", f"{total} {machine}"),
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("faults", Faults)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
