"""Time of one epoch of a 784-512-2 VAE, side by side, and of ``import vae_core``.

``python -m benchmarks [--epochs N] [--rounds N] [--quick] [--device cpu|cuda] [--threads N]``.

In every round each contestant runs once, so that what else the machine does falls on all alike; a
contestant's time is its median over the rounds. ``benchmarks/results/<machine>.md`` and ``.json``
hold the outcome. ``--quick`` takes few batches and says nothing about speed; a test runs it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.contestants import CONTESTANTS, Epoch, NotRun, Setting, ours
from vae_core.training import pick_device

# What is aimed at: (what, contestant, over which, at most or at least, value)
GOALS = {
    "cpu": (
        ("vae_core / floor", "vae_core", "floor", "at most", 1.4),
        ("the tutorial's way / vae_core", "the tutorial's way", "vae_core", "at least", 4.0),
        ("Pythae's trainer / vae_core", "Pythae's trainer", "vae_core", "at least", 2.2),
    ),
    "cuda": (
        ("the tutorial's way / vae_core", "the tutorial's way", "vae_core", "at least", 60.0),
    ),
}
IMPORT_GOAL = 0.3
ENGINE = "data, distributions, evaluation, models, objectives, training, zoo"


def interleave(
    epochs: Mapping[str, Callable[[], Any]],
    rounds: int,
    repeats: int,
    synchronize: Callable[[], Any] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds an epoch of each contestant in each round; the rounds go through all in turn."""
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            synchronize()
            started = time.perf_counter()
            for _ in range(repeats):
                epoch()
            synchronize()
            times[name].append((time.perf_counter() - started) / repeats)
    return times


def goals(times: Mapping[str, Sequence[float]], device: str) -> list[dict[str, Any]]:
    """Each goal with its ratio of medians and whether it is met (None: not measured)."""
    found = []
    for name, above, below, sense, value in GOALS.get(device, ()):
        ratio = None
        if above in times and below in times:
            ratio = statistics.median(times[above]) / statistics.median(times[below])
        met = None if ratio is None else ratio <= value if sense == "at most" else ratio >= value
        found.append({"ratio": name, "value": ratio, "aim": f"{sense} {value:g}", "reached": met})
    return found


def import_seconds(rounds: int) -> dict[str, float]:
    """Medians, over fresh interpreters, of seconds to import vae_core once torch is there."""
    code = (
        "import time; start = time.perf_counter(); import torch; a = time.perf_counter()\n"
        f"import vae_core; b = time.perf_counter(); from vae_core import {ENGINE}\n"
        "print(a - start, b - a, time.perf_counter() - a)"
    )
    rows = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        rows.append([float(word) for word in done.stdout.split()])
    torch_, bare, engine = (statistics.median(column) for column in zip(*rows, strict=True))
    return {"torch": torch_, "vae_core": bare, f"vae_core and {ENGINE}": engine}


def prepare(setting: Setting) -> tuple[dict[str, Epoch], dict[str, str]]:
    """The contestants that can run here, warmed up on one small epoch's code; why others can't."""
    ready: dict[str, Epoch] = {}
    absent: dict[str, str] = {}
    contestants = dict(CONTESTANTS)
    if setting.device == "cuda":
        contestants["vae_core, CUDA graph"] = lambda held: ours(held, cuda_graph=True)
    for name, make in contestants.items():
        try:
            # Kernels are chosen and caches filled before the first round, on a few batches.
            make(Setting(4 * setting.batch_size, setting.batch_size, setting.device))()
            ready[name] = make(setting)
        except NotRun as error:
            absent[name] = str(error)
    return ready, absent


def text_of(record: Mapping[str, Any]) -> str:
    """The page of a record."""
    times: Mapping[str, Sequence[float]] = record["seconds an epoch"]
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{min(values):.3f} to {max(values):.3f}",
            f"{medians[name] / medians['vae_core']:.2f}",
            f"{medians[name] / medians['floor']:.2f}",
        ]
        for name, values in times.items()
    ]
    rows += [[name, "not run", why, "–", "–"] for name, why in record["not run"].items()]
    aims = [
        [
            aim["ratio"],
            "not measured" if aim["value"] is None else f"{aim['value']:.2f}",
            aim["aim"],
            {True: "yes", False: "no", None: "–"}[aim["reached"]],
        ]
        for aim in record["goals"]
    ]
    imports = [[name, f"{seconds:.3f}"] for name, seconds in record["import seconds"].items()]
    quick = "**A quick run: few batches, no measure of speed.**\n\n" if record["quick"] else ""
    columns = ["one epoch", "median (s)", "range (s)", "over vae_core's", "over the floor"]
    parts = [
        f"# One epoch of a 784-512-2 VAE\n\n{quick}{report.described(record['settings'])}",
        report.table(columns, rows),
        report.table(["ratio of medians", "found", "aim", "reached"], aims) if aims else "",
        report.table(["import", "seconds (median)"], imports)
        + f"\n\nAim: at most {IMPORT_GOAL} s over torch's own.",
        f"## Machine\n\n{report.described(record['machine'])}",
    ]
    return "\n\n".join(part for part in parts if part)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--epochs", type=int, default=1, help="epochs a round (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--quick", action="store_true", help="few batches: a try, no measure")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="folder to write to")
    chosen = parser.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device = pick_device(chosen.device).type
    setting = Setting(n=1000 if chosen.quick else 60_000, device=device)
    described = report.machine(device)
    torch.manual_seed(0)
    ready, absent = prepare(setting)
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = interleave(ready, chosen.rounds, chosen.epochs, synchronize)
    record = {
        "quick": chosen.quick,
        "settings": {
            "examples": setting.n,
            "batch": setting.batch_size,
            "rounds": chosen.rounds,
            "epochs a round": chosen.epochs,
            "order": "interleaved: every contestant once a round",
        },
        "machine": described,
        "seconds an epoch": times,
        "not run": absent,
        "goals": goals(times, device),
        "import seconds": import_seconds(1 if chosen.quick else 5),
    }
    if device == "cuda" and not chosen.quick:
        twenty = interleave({"20": lambda: [ready["vae_core"]() for _ in range(20)]}, 1, 1)
        record["settings"]["20 epochs of vae_core (s)"] = round(twenty["20"][0], 2)
    text = text_of(record)
    print(text)
    paths = report.write(report.kind(described), text, record, chosen.results)
    print(f"\nWritten: {', '.join(map(str, paths))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
