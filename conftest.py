"""How nbval reads the stored notebooks; see book/_tools/normalise.py for their form."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import glued


def pytest_collection_modifyitems(items: list[Any]) -> None:
    ran: dict[Any, list[str]] = defaultdict(list)  # the notebook's cells so far
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is None:
            continue
        # nbval takes a cell with outputs and no count for one that was never run; ours are
        # stored without counts, because counts differ from run to run and say nothing.
        if cell.outputs and cell.execution_count is None:
            cell.execution_count = 0
        # Standard error (progress bars) is not stored, so it is not compared.
        if "stderr" not in item.parent.skip_compare:
            item.parent.skip_compare = (*item.parent.skip_compare, "stderr")
        ran[item.parent].append(cell.source)
        # Another processor's last digits are no fault of a contributor's.
        item.compare_outputs = glued.tolerant(
            item.compare_outputs, glued.tolerance(ran[item.parent])
        )
