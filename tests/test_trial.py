"""Models that were not trained whole: a trial's, and those whose training a reader stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
import torch
from helpers import ROOT
from jupyter_client.manager import start_new_kernel

from vae_core import _trial, zoo

CPU = torch.device("cpu")


def test_a_trial_shortens_every_training_under_a_key_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("vae-2", "classifier")
    whole = {name: zoo._path(name, 0, CPU) for name in names}
    monkeypatch.setenv(_trial.TINY, "tiny")
    for name in zoo.names():
        recipe = zoo._recipe(name)
        assert recipe.epochs == 1
        assert recipe.examples is not None
        assert recipe.examples <= _trial.EXAMPLES
        assert replace(recipe, epochs=0, examples=0) == replace(
            zoo.RECIPES[name], epochs=0, examples=0
        )
    assert all(zoo._path(name, 0, CPU) != whole[name] for name in names)


def test_a_recipe_as_short_as_a_trials_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(zoo.RECIPES["vae-2"], epochs=1, examples=_trial.EXAMPLES)
    monkeypatch.setitem(zoo.RECIPES, "short", short)
    whole = zoo._path("short", 0, CPU)
    monkeypatch.setenv(_trial.TINY, "tiny")
    assert zoo._recipe("short") == short
    assert zoo._path("short", 0, CPU) != whole


@pytest.mark.parametrize("value", ["", "1", "TINY", "full"])
def test_nothing_else_makes_a_trial(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_trial.TINY, value)
    assert not _trial.tiny()
    assert zoo._recipe("vae-2") == zoo.RECIPES["vae-2"]


def test_the_book_is_never_built_as_a_trial() -> None:
    """Not even where somebody has the variable set: it is let in for the tool that sets it."""
    import surroundings

    assert _trial.TINY not in surroundings.cleaned({_trial.TINY: "tiny"})


# --- in a notebook ---------------------------------------------------------------------------

PREPARE = """
import time, torch
from vae_core import data, models, objectives, training, zoo
from vae_core.notebook import claim
torch.set_num_threads(1)
few = data.load("mnist", "test").first(500)
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # what torch loads late

def told(objective):
    steps = []
    def own(*arguments):
        steps.append(0)
        if len(steps) == 3:
            print("begun", flush=True)
        return objective(*arguments)
    return own
"""
FIT = """
model = models.VAE(2, hidden=(16,), seed=1)
before = model.decoder.layers[0].weight.detach().clone()
own = told(objectives.objective_for(model))
history = training.fit(
    model, few, epochs=10**6, batch_size=10, device="cpu", objective=own, progress=PROGRESS
)
print(history.interrupted, bool((model.decoder.layers[0].weight != before).any()))
claim(False, "what a whole training would show")
claim(True, "what holds anyway")
"""
LOOP = """
weight = torch.zeros(1, requires_grad=True)
def descend():
    for step in range(10**9):
        (weight - 1).square().sum().backward()
        with torch.no_grad():
            weight.sub_(0.1 * weight.grad)
            weight.grad = None
        if step == 3:
            print("begun", flush=True)
        time.sleep(0.001)
descend()
"""
ZOO = """
zoo.RECIPES["endless"] = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, epochs=10**6)
usual = training.objective_for
training.objective_for = lambda model: told(usual(model))
zoo.load("endless")
"""


class Kernel:
    """A real kernel, whose cells can be stopped as by a notebook's button."""

    def __init__(self, cache: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "VAE_CORE_CACHE": str(cache)}
        environment.pop("VAE_CORE_BOOK", None)
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=environment)

    def run(self, cell: str, stop: bool = False) -> tuple[str, list[str]]:
        """What a cell prints, and the lines of its error; stopped once it says "begun"."""
        request, text, error = self.client.execute(cell), "", []
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=120)
            except Empty:
                raise AssertionError(f"the cell does not end; it printed {text!r}") from None
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]
                if stop and "begun" in text:
                    self.manager.interrupt_kernel()
                    stop = False
            if kind == "error":
                error = content["traceback"]
            if kind == "status" and content["execution_state"] == "idle":
                return text, error


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    started = Kernel(tmp_path_factory.mktemp("kernel"))
    assert started.run(PREPARE) == ("", [])
    yield started
    started.client.stop_channels()
    started.manager.shutdown_kernel(now=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
class TestStopped:
    def test_a_claim_fails_before_anything_was_stopped(self, kernel: Kernel) -> None:
        _, error = kernel.run("claim(False, 'nothing')")
        assert "this claim no longer holds: nothing" in error[-1]

    @pytest.mark.parametrize("progress", ["False", "'brief'", "True"])
    def test_a_training_keeps_what_was_learned_and_says_one_line(
        self, progress: str, kernel: Kernel
    ) -> None:
        text, error = kernel.run(FIT.replace("PROGRESS", progress), stop=True)
        assert error == []
        lines: list[Any] = text.splitlines()[1:]
        if progress != "True":  # there the display says it
            assert lines.pop(0).startswith("training VAE stopped after 0 of 1000000 epochs")
        assert lines == [
            "True True",
            "✗ what a whole training would show [training VAE was stopped before its end]",
            "✓ what holds anyway",
        ]

    def test_a_loop_of_a_chapters_own_ends_with_one_line(self, kernel: Kernel) -> None:
        _, error = kernel.run(LOOP, stop=True)
        (line,) = error
        assert line.startswith("stopped: what earlier cells computed is kept")
        assert kernel.run("print(weight.item() > 0.1)") == ("True\n", [])

    def test_a_model_of_the_zoo_says_that_it_is_not_kept(self, kernel: Kernel) -> None:
        _, error = kernel.run(ZOO, stop=True)
        (line,) = error
        assert line == "stopped: training was stopped; the zoo keeps whole models only"

    def test_a_readers_own_handler_stays(self, kernel: Kernel) -> None:
        mine = (
            "get_ipython().set_custom_exc((KeyboardInterrupt,), lambda *a, **k: print('mine'))\n"
            "from vae_core._stopping import show_stops_in_one_line\n"
            "show_stops_in_one_line()\n"
            "raise KeyboardInterrupt"
        )
        text, _ = kernel.run(mine)
        assert text.startswith("mine")
