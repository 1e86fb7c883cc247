"""How long the models of a chapter keep a reader waiting, in one sentence of its edition."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edition.loads import Model, loads, with_starts

# What benchmarks/waits.py has measured.
RECORD = Path("benchmarks", "results", "waits.json")


def time_of(seconds: float) -> str:
    """``seconds`` as people say them: "about 40 seconds", "about 7 minutes"."""
    if seconds < 90:
        return f"about {max(1, round(seconds / 10)) * 10} seconds"
    return f"about {round(seconds / 60)} minutes"


def total(root: Path, models: Sequence[Model]) -> tuple[int, float]:
    """Bytes of the models' files, and seconds of one core that training them takes.

    Raises ``ValueError`` for a model that has not been measured.
    """
    kept = json.loads((root / RECORD).read_text("utf-8"))["models"]
    for name, _ in with_starts(models):
        if name not in kept:
            place = RECORD.as_posix()
            raise ValueError(f"{place} lacks the model {name}: run `python -m benchmarks.waits`")
    size = sum(kept[name]["bytes"] for name, _ in models)
    return size, sum(kept[name]["seconds"] for name, _ in with_starts(models))


def sentence(root: Path, sources: Sequence[str]) -> str:
    """What is said of a chapter with these code cells, after a blank; "" if it loads no model."""
    models = loads(sources)
    if not models:
        return ""
    size, seconds = total(root, models)
    one = len(models) == 1
    what, them = ("model is", "it") if one else (f"{len(models)} trained models are", "them")
    return (
        f" The first time, its {'trained ' if one else ''}{what} fetched from the book's site "
        f"where that offers {them} ({size / 1e6:.1f} MB, some seconds), and otherwise trained, "
        f"which takes {time_of(seconds)} on one processor core; later runs on the same machine "
        f"find {them} ready."
    )
