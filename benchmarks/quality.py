"""Held-out quality of a 784-400-20 Bernoulli VAE, and of a better recipe in no more time.

``python -m benchmarks.quality trials`` trains some recipes on MNIST's first 50,000 training digits
and scores them on the other 10,000, the validation digits: by these the better recipe was chosen.
``python -m benchmarks.quality report`` trains the baseline and the chosen recipe from several seeds
and measures both on the test digits, once. With ``--all`` it trains on all 60,000 digits, as
published numbers are.

Dynamic binarisation, 30 epochs. Reported in nats: -ELBO, and -log P(X) by importance sampling, of
digits that were binarised once. Seconds are of the processor, for training alone.
Other options: ``--quick --epochs N --seeds N --device cpu|cuda --results FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import bounds, report
from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.evaluation import Estimate
from vae_core.models import VAE
from vae_core.training import fit, pick_device


@dataclass(frozen=True)
class Recipe:
    """How a model is made and trained."""

    hidden: tuple[int, ...] = (400,)
    latent_dim: int = 20
    activation: str = "relu"
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    centred: bool = False  # the output's bias starts at the pixels' mean


BASELINE = Recipe()
# A rate that falls to zero takes the noise out of the last epochs, and so allows a higher one
# before. How high, for which activation and how many latents, is what the trials ask.
TRIALS = {
    "baseline": BASELINE,
    **{
        f"{activation}, {latents} latents, {rate:g}": Recipe(
            latent_dim=latents,
            activation=activation,
            learning_rate=rate,
            schedule="cosine",
            centred=True,
        )
        for activation, latents, rate in (
            ("relu", 32, 3e-3),
            ("silu", 24, 3e-3),
            ("silu", 32, 3e-3),
            ("silu", 24, 5e-3),
            ("silu", 32, 5e-3),
            ("silu", 24, 1e-2),
            ("silu", 32, 1e-2),
        )
    },
}
# To be the trial with the lowest NLL on the validation digits (results/quality-trials-*). Until all
# trials have run it is the recipe of an earlier choice, which was made on test digits.
CHOSEN = "silu, 32 latents, 0.005"
RECIPES = {"baseline": BASELINE, "better": TRIALS[CHOSEN]}


@dataclass(frozen=True)
class Plan:
    """What is trained on, and how it is measured: on which digits, with how many draws of Q."""

    fitted: str
    measured: str
    digits: int  # of them for the NLL, from the first on; -ELBO takes all
    draws: int


# More digits with fewer draws tell recipes apart; more draws come nearer to log P(X).
ON_VALIDATION = Plan("train", "validation", 10_000, 200)
ON_TEST = Plan("train", "test", 1000, 1000)
ON_TEST_FROM_ALL = Plan("train+validation", "test", 1000, 1000)


def measure(
    recipe: Recipe, plan: Plan, epochs: int, seed: int, device: str, quick: bool
) -> dict[str, Any]:
    """Train by ``recipe``; its bounds on held-out digits and the seconds it took."""
    digits, held_out = data.load("mnist", plan.fitted), data.load("mnist", plan.measured)
    if quick:
        digits, held_out = digits.first(512), held_out.first(64)
    model = VAE(
        recipe.latent_dim,
        hidden=recipe.hidden,
        likelihood=BernoulliLikelihood(),
        activation=recipe.activation,
        seed=seed,
    )
    if recipe.centred:
        bounds.centre_output(model, digits)
    started = time.process_time()  # of the processor: whatever else the machine does
    fit(
        model,
        digits,
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        schedule=recipe.schedule,
        pixels="dynamic",
        seed=seed,
        device=device,
        progress=False,
    )
    seconds = time.process_time() - started
    images = bounds.black_and_white(held_out, device)
    draws = 50 if quick else plan.draws
    return {
        "-ELBO": bounds.negative_elbo(model, images),
        "NLL": bounds.negative_log_likelihood(model, images[: plan.digits], draws),
        "seconds": round(seconds, 3),
    }


def kept(
    path: Path, plan: Plan, epochs: int, recipes: Mapping[str, Recipe], quick: bool
) -> dict[tuple[str, int], dict[str, Any]]:
    """The runs in ``path`` that were made by the same recipes and plan, by recipe and seed."""
    if quick or not path.is_file():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    if (record.get("plan"), record["epochs"], record["quick"]) != (asdict(plan), epochs, quick):
        return {}
    plain = json.loads(json.dumps({name: asdict(recipe) for name, recipe in recipes.items()}))
    return {
        (run["recipe"], run["seed"]): run
        for run in record["runs"]
        if record["recipes"].get(run["recipe"]) == plain.get(run["recipe"], {})
    }


def best(runs: Sequence[Mapping[str, Any]]) -> str:
    """The recipe of the run with the lowest NLL."""
    return str(min(runs, key=lambda run: run["NLL"][0])["recipe"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", choices=("report", "trials"), default="report")
    parser.add_argument("--all", action="store_true", help="train on all 60,000 digits")
    parser.add_argument("--epochs", type=int, help="(default 30)")
    parser.add_argument("--seeds", type=int, help="seeds of each recipe (default 3; trials 1)")
    parser.add_argument("--most", type=int, help="train so many now; the next call goes on")
    parser.add_argument("--quick", action="store_true", help="few digits, one epoch: a try")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="folder to write to")
    chosen = parser.parse_args(arguments)
    device = pick_device(chosen.device).type
    epochs = chosen.epochs or (1 if chosen.quick else 30)
    described = report.machine(device)
    if chosen.what == "trials":
        plan, recipes, stem, seeds = ON_VALIDATION, TRIALS, "quality-trials", chosen.seeds or 1
    else:
        plan = ON_TEST_FROM_ALL if chosen.all else ON_TEST
        stem = "quality-all" if chosen.all else "quality"
        recipes, seeds = RECIPES, chosen.seeds or (1 if chosen.quick else 3)
    path = chosen.results / f"{stem}-{report.kind(described)}.json"
    wanted = [(name, seed) for seed in range(seeds) for name in recipes]
    known = kept(path, plan, epochs, recipes, chosen.quick)
    for name, seed in [run for run in wanted if run not in known][: chosen.most]:
        found = measure(recipes[name], plan, epochs, seed, device, chosen.quick)
        known[name, seed] = {"recipe": name, "seed": seed, "day": described["day"], **found}
        print(
            f"{name}, seed {seed}: {found['-ELBO']}, {found['NLL']}, {found['seconds']} s",
            flush=True,
        )
    runs = [known[run] for run in wanted if run in known]
    rows = [
        [r["recipe"], r["seed"], Estimate(*r["-ELBO"]), Estimate(*r["NLL"]), f"{r['seconds']:.1f}"]
        for r in runs
    ]
    quick = "**A quick run: few digits, no measure of quality.**\n\n" if chosen.quick else ""
    number = len(data.load("mnist", plan.fitted).images)
    columns = ["recipe", "seed", "-ELBO", "NLL", "processor seconds"]
    chose = ""
    if len(runs) < len(wanted):
        chose = f"{len(wanted) - len(runs)} of {len(wanted)} runs are still to come.\n\n"
    elif chosen.what == "trials":
        chose = f"Lowest NLL: {best(runs)}.\n\n"
    text = (
        f"# Held-out quality, {epochs} epochs, dynamic binarisation (nats)\n\n{quick}"
        f"Trained on {number:,} digits ({plan.fitted}), measured on the {plan.measured} digits: "
        f"-ELBO on all, NLL on the first {plan.digits:,} with {plan.draws:,} draws.\n\n"
        f"{report.table(columns, rows)}\n\n{chose}"
        f"{report.described(recipes)}\n\n"
        f"## Machine\n\n{report.described(described)}"
    )
    record = {
        "quick": chosen.quick,
        "epochs": epochs,
        "plan": asdict(plan),
        "recipes": {name: asdict(recipe) for name, recipe in recipes.items()},
        "runs": runs,
        "machine": described,
    }
    print("\n" + text)
    report.write(f"{stem}-{report.kind(described)}", text, record, chosen.results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
