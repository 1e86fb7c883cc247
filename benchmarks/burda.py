"""Burda, Grosse & Salakhutdinov 2015, table 1, MNIST, one stochastic layer.

``python -m benchmarks.burda [--schedule paper|cosine] [--epochs N] [--quick] [--device cpu|cuda]``.

50 latents, two layers of 200 tanh units on either side, batches of 20, dynamic binarisation; the
VAE with k = 1 and the IWAE with k = 5 and 50. ``--schedule paper`` is the paper's: 3^i passes at
learning rate 0.001 * 10^(-i/7) for i = 0 .. 7, 3,280 in all. ``--schedule cosine`` spends
``--epochs`` passes on a rate that falls from 0.001 to 0. NLL: 5,000 draws of Q, all test digits.
Trained on all 60,000 digits, as the paper's; nothing is chosen, so none are kept for validation.

Differences from the paper: Adam starts afresh in each stage, with epsilon 1e-8 where the paper has
1e-4; first weights as torch's linear layers have them, except the output's bias.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bounds, report
from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.training import fit, pick_device

# k -> the paper's NLL in nats (table 1, one stochastic layer; k = 1 is the VAE)
PAPER = {1: 86.76, 5: 85.54, 50: 84.78}


def stages(schedule: str, epochs: int) -> list[tuple[int, float, str]]:
    """(passes, first learning rate, the rate's course) of each stage."""
    if schedule == "cosine":
        return [(epochs, 1e-3, "cosine")]
    return [(3**i, 1e-3 * 10 ** (-i / 7), "constant") for i in range(8)]


def measure(
    k: int, plan: list[tuple[int, float, str]], seed: int, device: str, chosen: Any
) -> dict[str, Any]:
    """Train with ``k`` samples; the NLL on held-out digits and the seconds it took."""
    digits, test = data.load("mnist", "train+validation"), data.load("mnist", "test")
    if chosen.quick:
        digits, test = digits.first(200), test.first(20)
    model = VAE(50, hidden=(200, 200), likelihood=BernoulliLikelihood(), activation="tanh")
    bounds.centre_output(model, digits)
    started = time.perf_counter()
    for number, (epochs, rate, course) in enumerate(plan):
        checkpoint = None
        if chosen.checkpoints is not None:
            checkpoint = chosen.checkpoints / f"burda-k{k}-stage{number}.safetensors"
        fit(
            model,
            digits,
            epochs=epochs,
            batch_size=chosen.batch_size,
            learning_rate=rate,
            schedule=course,
            pixels="dynamic",
            seed=seed + 10 * number,  # another order and other noise in each stage
            device=device,
            objective=bounds.objective(k),
            checkpoint=checkpoint,
            cuda_graph=chosen.cuda_graph,
        )
    seconds = time.perf_counter() - started
    images = bounds.black_and_white(test, device)
    samples = 100 if chosen.quick else 5000
    return {"NLL": bounds.negative_log_likelihood(model, images, samples), "seconds": seconds}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burda", description=__doc__)
    parser.add_argument("--schedule", choices=("paper", "cosine"), default="cosine")
    parser.add_argument("--epochs", type=int, help="passes of the cosine schedule (default 20)")
    parser.add_argument("--batch-size", type=int, default=20, help="(default 20, the paper's)")
    parser.add_argument(
        "--samples", type=int, nargs="*", default=list(PAPER), help="the k to train"
    )
    parser.add_argument("--quick", action="store_true", help="few digits, one pass: a try")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--cuda-graph", action="store_true", help="replay a recorded step")
    parser.add_argument("--checkpoints", type=Path, help="folder to go on from after a kill")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="folder to write to")
    chosen = parser.parse_args(arguments)
    device = pick_device(chosen.device).type
    plan = stages(chosen.schedule, chosen.epochs or (1 if chosen.quick else 20))
    passes = sum(epochs for epochs, _, _ in plan)
    described = report.machine(device)
    rows, runs = [], []
    for k in chosen.samples:
        found = measure(k, plan, 0, device, chosen)
        paper = PAPER.get(k)
        distance = "–" if paper is None else f"{found['NLL'].value - paper:+.2f}"
        name = "VAE, k = 1" if k == 1 else f"IWAE, k = {k}"
        rows.append([name, found["NLL"], paper or "–", distance, f"{found['seconds']:.0f}"])
        runs.append({"k": k, "paper": paper, **found})
        print(f"{name}: {found['NLL']} (the paper's {paper})", flush=True)
    quick = "**A quick run: few digits, no measure of quality.**\n\n" if chosen.quick else ""
    columns = ["model", "NLL (nats)", "Burda et al. 2015", "distance", "seconds"]
    text = (
        f"# Burda et al. 2015, table 1, one stochastic layer: {passes} passes, "
        f"{chosen.schedule} schedule, batches of {chosen.batch_size}\n\n{quick}"
        f"{report.table(columns, rows)}\n\nThe paper trains for 3,280 passes.\n\n"
        f"## Machine\n\n{report.described(described)}"
    )
    record = {
        "quick": chosen.quick,
        "schedule": chosen.schedule,
        "stages": plan,
        "batch size": chosen.batch_size,
        "runs": runs,
        "machine": described,
    }
    print("\n" + text)
    report.write(f"burda-{report.kind(described)}", text, record, chosen.results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
