"""How long each model of the zoo keeps a reader waiting who does not have it yet.

``python -m benchmarks.waits [NAME ...]`` times some steps of the recipes' trainings, all or those
named, on one core and by the processor's clock, and writes the quickest of some rounds into
``benchmarks/results/waits.json``: what else a machine does adds to a time and takes nothing away.
From it the editions say how long a chapter's first run takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from vae_core import _files, _weights, zoo

STEPS, ROUNDS = 120, 2


def measured(name: str, steps: int) -> dict[str, Any]:
    """Of a recipe: its settings when measured, its file's bytes, seconds of one core to train."""
    recipe, cpu = zoo.RECIPES[name], torch.device("cpu")
    seconds = _weights.foretold(recipe, cpu, zoo._made, time.process_time, steps, ROUNDS)
    weights = zoo._untrained(recipe, recipe.seed).state_dict()
    return {
        "settings": recipe.settings(),
        "bytes": len(_files.pack(weights)),
        "seconds": round(seconds, 1),
    }


def main(names: Sequence[str] = (), folder: Path = report.RESULTS, steps: int = STEPS) -> int:
    torch.set_num_threads(1)
    measured("vae-2", steps)  # the first trainings of a process are no measure
    place, used = folder / "waits.json", sorted({name for name, _ in zoo.USED})
    known = json.loads(place.read_text("utf-8"))["models"] if names else {}
    models = {name: found for name, found in known.items() if name in used}
    for name in names or used:
        models[name] = measured(name, steps)
        print(f"{name}: {models[name]['seconds']} s of one core", flush=True)
        kept = {"machine": report.machine(), "models": dict(sorted(models.items()))}
        _files.write_whole(place, (json.dumps(kept, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
