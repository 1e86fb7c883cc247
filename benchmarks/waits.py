"""How long each model of the zoo keeps a reader waiting who does not have it yet.

``python -m benchmarks.waits`` times some steps of every recipe's training, on one core and by the
processor's clock, and writes the quickest of some rounds into ``benchmarks/results/waits.json``:
what else a machine does adds to a time and takes nothing away. From it the editions say how long a
chapter's first run takes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from vae_core import _files, _weights, zoo

STEPS, ROUNDS = 80, 3


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


def main(folder: Path = report.RESULTS, steps: int = STEPS) -> int:
    torch.set_num_threads(1)
    measured("vae-2", steps)  # the first trainings of a process are no measure
    kept: dict[str, Any] = {"machine": report.machine(), "steps timed": steps, "models": {}}
    for name in sorted({name for name, _ in zoo.USED}):
        kept["models"][name] = measured(name, steps)
        print(f"{name}: {kept['models'][name]['seconds']} s of one core", flush=True)
    _files.write_whole(folder / "waits.json", (json.dumps(kept, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
