"""The benchmarks run, do the work they say, and write down what they found."""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import __main__ as epoch
from benchmarks import bounds, burda, contestants, quality, report
from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.objectives import elbo

SETTING = contestants.Setting(n=300)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_quick_run_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--rounds", "2", "--device", "cpu", "--results", str(tmp_path)]
    assert epoch.main(options) == 0
    printed = capsys.readouterr().out
    (page,) = tmp_path.glob("*.md")
    (file,) = tmp_path.glob("*.json")
    assert page.read_text(encoding="utf-8").strip() in printed
    record = json.loads(file.read_text(encoding="utf-8"))
    assert set(record["seconds an epoch"]) | set(record["not run"]) == set(contestants.CONTESTANTS)
    assert {"vae_core", "floor"} <= set(record["seconds an epoch"])
    for name, seconds in record["seconds an epoch"].items():
        assert len(seconds) == 2
        assert all(second > 0 for second in seconds)
        assert f"| {name} " in printed
    for name in record["not run"]:
        assert name == "Pythae's trainer"  # the one that need not be installed
        assert "Pythae can't be imported" in printed
    assert record["machine"]["threads"] == 1
    assert record["machine"]["torch"] == torch.__version__.split("+")[0]
    assert record["machine"]["processor"] in printed
    assert "A quick run" in printed
    assert record["import seconds"]["vae_core"] < record["import seconds"]["torch"]


def test_rounds_are_interleaved_and_repeats_are_shared_out() -> None:
    calls: list[str] = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = epoch.interleave(runs, 3, 2)
    assert calls == list("aabb") * 3
    assert [len(times[name]) for name in "ab"] == [3, 3]


def test_the_ratios_are_of_medians() -> None:
    times = {
        "vae_core": [2.0, 1.0, 30.0],
        "floor": [1.0, 9.0, 1.6],
        "the tutorial's way": [7.0, 7.0, 9.0],
    }
    first, second, third = epoch.goals(times, "cpu")
    assert first["value"] == pytest.approx(2.0 / 1.6)
    assert (first["aim"], first["reached"]) == ("at most 1.4", True)
    assert second["value"] == pytest.approx(3.5)
    assert (second["aim"], second["reached"]) == ("at least 4", False)
    assert (third["value"], third["reached"]) == (None, None)
    record = {
        "quick": False,
        "settings": {"batch": 128},
        "machine": {"cores": 2},
        "seconds an epoch": times,
        "not run": {"x": "why"},
        "goals": [first, second, third],
        "import seconds": {"torch": 1.0},
    }
    text = epoch.text_of(record)
    row = next(line for line in text.splitlines() if line.startswith("| the tutorial's way |"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "7.000", "7.000 to 9.000", "3.50", f"{7 / 1.6:.2f}",
    ]  # fmt: skip
    assert statistics.median(times["vae_core"]) == 2.0
    assert "not measured" in text
    assert "A quick run" not in text


def products(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_every_contestant_does_the_floors_products() -> None:
    """The floor has the matrix products of an epoch: no more, or it would be no floor; no less."""
    floor = products(contestants.floor(SETTING))
    macs = 784 * 512 * 2 + 3 * 512 * 2
    # Forward, and the gradients of weights and inputs, but not of the images.
    assert floor == 2 * 300 * (3 * macs - 784 * 512)
    # Ours first looks at a sample of the pixels, which takes no product.
    assert products(contestants.ours(SETTING)) == floor
    assert products(contestants.tutorial(SETTING)) == floor
    assert products(contestants.pytorch_example(SETTING)) == floor


def test_every_contestant_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    real = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *rest: (steps.append(1), real(self, *rest))[1]
    )
    for make in (contestants.tutorial, contestants.pytorch_example, contestants.ours):
        run = make(SETTING)
        steps.clear()
        losses = [run() for _ in range(3)]
        assert len(steps) == 3 * len(SETTING.batch_sizes) == 9
        if make is contestants.pytorch_example:
            assert losses[2] < losses[0]
    assert contestants.Setting(256, 128).batch_sizes == [128, 128]
    assert SETTING.batch_sizes == [128, 128, 44]


def test_names_of_machines() -> None:
    cpu = {"device": "cpu", "processor": "AMD EPYC(tm) 7", "cores": 2, "threads": 1}
    assert report.kind(cpu) == "amd-epyc-tm-7-2-cores-1-thread"
    assert report.kind({**cpu, "device": "NVIDIA H100"}) == "nvidia-h100"


def test_tables_line_up() -> None:
    lines = report.table(["a", "b"], [["long name", 1], ["x", 22.5]]).splitlines()
    assert lines[0] == "| a         |    b |"
    assert lines[1] == "|-----------|-----:|"
    assert len({len(line) for line in lines}) == 1


# ---- quality -----------------------------------------------------------------------------------


def test_the_bound_rises_from_the_elbo() -> None:
    digits = data.load("mnist", "test").first(50)
    model = VAE(3, hidden=(16,), likelihood=BernoulliLikelihood())
    x = bounds.black_and_white(digits, "cpu")
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        one = torch.stack(
            [
                bounds.importance_weighted_bound(model, x, 1, generator=noise).mean()
                for _ in range(400)
            ]
        )
        exact = torch.stack([elbo(model, x, generator=noise).total.mean() for _ in range(400)])
        many = bounds.importance_weighted_bound(model, x, 500, generator=noise).mean()
    error = math.hypot(one.std() / 20, exact.std() / 20)
    assert abs(one.mean() - exact.mean()) < 4 * error
    assert many > one.mean() + 4 * error
    estimate = bounds.negative_log_likelihood(model, x, 500)
    assert estimate.value == pytest.approx(-float(many), abs=0.2)
    assert estimate.standard_error > 0


def test_the_output_starts_at_the_pixels_mean() -> None:
    digits = data.load("mnist", "test").first(200)
    model = VAE(3, hidden=(16,), likelihood=BernoulliLikelihood())
    bounds.centre_output(model, digits)
    mean = torch.sigmoid(model.decoder.layers[-1].bias).view(28, 28)
    expected = (digits.images / 255).mean((0, 1)).clamp(1e-3, 1 - 1e-3)
    assert torch.allclose(mean, expected, atol=1e-5)


@pytest.mark.parametrize(("module", "stem"), [(quality, "quality"), (burda, "burda")])
def test_the_quality_tables_quickly(
    module: Any, stem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--quick", "--device", "cpu", "--results", str(tmp_path)]) == 0
    assert "A quick run" in capsys.readouterr().out
    (file,) = tmp_path.glob(f"{stem}-*.json")
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
    assert len(runs) == (2 if module is quality else 3)
    for run in runs:
        mean, error = run["NLL"]
        assert 100 < mean < 784 * math.log(2)  # a coin a pixel; hardly trained
        assert 0 < error < mean
        assert run["seconds"] > 0


def kept(stem: str) -> list[dict[str, Any]]:
    """The stored results of benchmarks.quality, with a stem such as "quality-trials"."""
    paths = report.RESULTS.glob("quality-*.json")
    found = [p for p in paths if re.match(rf"{stem}-(?!trials|all)", p.name)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def test_the_better_recipe_was_chosen_on_validation_digits() -> None:
    found = kept("quality-trials")
    if not found or len(found[0]["runs"]) < len(quality.TRIALS):
        pytest.skip("the trials are not finished: `python -m benchmarks.quality trials` goes on")
    (trials,) = found
    assert (trials["plan"]["fitted"], trials["plan"]["measured"]) == ("train", "validation")
    assert [run["recipe"] for run in trials["runs"]] == list(quality.TRIALS)
    assert trials["recipes"] == json.loads(
        json.dumps({name: asdict(recipe) for name, recipe in quality.TRIALS.items()})
    )
    assert quality.best(trials["runs"]) == quality.CHOSEN
    assert quality.RECIPES["better"] == quality.TRIALS[quality.CHOSEN]


@pytest.mark.parametrize(
    ("stem", "fitted"), [("quality", "train"), ("quality-all", "train+validation")]
)
def test_both_recipes_were_measured_on_test_digits_from_three_seeds(stem: str, fitted: str) -> None:
    measured = [record for record in kept(stem) if "plan" in record]
    if not measured:
        pytest.skip("the recipes are not measured yet: `python -m benchmarks.quality report`")
    for record in measured:
        assert (record["plan"]["fitted"], record["plan"]["measured"]) == (fitted, "test")
        runs = [(run["recipe"], run["seed"]) for run in record["runs"]]
        assert runs == [(name, seed) for seed in range(3) for name in quality.RECIPES]
        assert record["recipes"]["better"] == json.loads(
            json.dumps(asdict(quality.RECIPES["better"]))
        )


def test_trials_go_on_where_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[quality.Recipe, int]] = []

    def measure(
        recipe: quality.Recipe, plan: Any, epochs: int, seed: int, *_: Any
    ) -> dict[str, Any]:
        asked.append((recipe, seed))
        nll = 90.0 + len(asked) if recipe != quality.TRIALS["silu, 24 latents, 0.003"] else 80.0
        return {"-ELBO": (100.0, 0.5), "NLL": (nll, 0.5), "seconds": 1.0}

    monkeypatch.setattr(quality, "measure", measure)
    command = ["trials", "--device", "cpu", "--results", str(tmp_path)]
    assert quality.main([*command, "--most", "2"]) == 0
    assert len(asked) == 2
    assert (
        f"{len(quality.TRIALS) - 2} of {len(quality.TRIALS)} runs are still to come"
        in capsys.readouterr().out
    )
    assert quality.main(command) == 0
    assert [recipe for recipe, _ in asked] == list(quality.TRIALS.values())  # none of them twice
    assert "Lowest NLL: silu, 24 latents, 0.003." in capsys.readouterr().out
    monkeypatch.setitem(quality.TRIALS, "baseline", quality.Recipe(latent_dim=3))
    assert quality.main(command) == 0
    assert len(asked) == len(quality.TRIALS) + 1  # what changed is trained anew


def test_the_papers_schedule() -> None:
    plan = burda.stages("paper", 0)
    assert sum(epochs for epochs, _, _ in plan) == 3280
    assert plan[0] == (1, 1e-3, "constant")
    assert plan[-1] == (2187, pytest.approx(1e-4), "constant")
    assert burda.stages("cosine", 7) == [(7, 1e-3, "cosine")]


def test_a_contestant_that_is_absent_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythae", None)
    monkeypatch.setattr(epoch, "CONTESTANTS", {"Pythae's trainer": contestants.pythae})
    ready, absent = epoch.prepare(SETTING)
    assert ready == {}
    assert "Pythae can't be imported" in absent["Pythae's trainer"]
