"""How nbval reads the stored notebooks; see book/_tools/normalise.py for their form."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import glued
import stored
import surroundings

ROOT = Path(__file__).parent


def pytest_configure(config: Any) -> None:
    """Notebooks are compared as the book executes them: without the reader's own settings."""
    if getattr(config.option, "nbval", False):
        surroundings.enter()
        os.environ["VAE_CORE_QUIET"] = "1"


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    """Leave alone what readers keep beside the book's notebooks: copies, checkpoints, their own."""
    if collection_path.suffix != ".ipynb" or not collection_path.is_relative_to(ROOT / "notebooks"):
        return None
    return True if collection_path not in stored.notebooks(ROOT) else None


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
