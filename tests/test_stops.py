"""A stop is obeyed between two steps: nothing is half done, and what follows works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from small_runs import own, run, same, small
from torch import Tensor

from vae_core.models import VAE
from vae_core.training._stops import Stops

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_stop_is_noted_and_then_obeyed() -> None:
    usual = signal.getsignal(signal.SIGINT)
    with Stops() as stops:
        stops.obey()  # nobody asked
        interrupt()
        assert stops.asked
        with pytest.raises(KeyboardInterrupt):
            stops.obey()
        assert not stops.asked
    assert signal.getsignal(signal.SIGINT) == usual


def test_a_second_stop_is_obeyed_at_once() -> None:
    with Stops():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_a_stop_is_handed_on() -> None:
    with Stops() as early:
        interrupt()
    with Stops(early) as stops, pytest.raises(KeyboardInterrupt):
        stops.obey()


def test_a_callers_own_handler_decides_what_a_stop_is() -> None:
    heard: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with Stops() as stops:
            interrupt()
            assert heard == []
            stops.obey()
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, usual)


def test_other_threads_hear_nothing_and_change_nothing() -> None:
    usual, found = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Stops() as stops:
            found.append(signal.getsignal(signal.SIGINT) == usual)
            stops.obey()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]


class Pressing:
    """An objective in the middle of whose step the reader stops, at a step counted from 1."""

    def __init__(self, step: int) -> None:
        self.step, self.count, self.after = step, 0, 0

    def __call__(self, model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        self.count += 1
        if self.count == self.step:
            interrupt()
            self.after += 1  # the step goes on
        return own(1.0)(model, x, labels, noise)


@pytest.mark.parametrize("step", [1, 4, 6, 12])
def test_the_step_that_was_begun_is_finished(step: int) -> None:
    """The weights are exactly those of so many steps."""
    objective, model, expected = Pressing(step), small(), small()
    history = run(model, objective=objective)
    assert objective.after == 1
    assert history.interrupted
    assert history.steps == step
    assert len(history.terms.get("loss", [])) == len(history.seconds) == step // 4
    assert not model.training
    ended = 0

    def until(*arguments: Any) -> dict[str, Tensor]:
        nonlocal ended
        ended += 1
        if ended > step:
            raise KeyboardInterrupt
        return own(1.0)(*arguments)

    run(expected, objective=until)
    assert same(model, expected)


def test_a_stop_before_the_first_step_leaves_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from vae_core import training

    monkeypatch.setattr(training, "first_step", interrupt)
    model = small()
    history = run(model, progress=True)
    assert (history.interrupted, history.steps, history.terms) == (True, 0, {})
    assert same(model, small())
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_stopped_run_goes_on_from_its_last_save(tmp_path: Path) -> None:
    kept, whole, model = tmp_path / "run", small(), small()
    run(whole, objective=own(1.0))
    history = run(model, kept, objective=Pressing(7), checkpoint_steps=3)
    assert (history.interrupted, history.steps) == (True, 7)
    history = run(model, kept, objective=Pressing(99), checkpoint_steps=3)
    assert not history.interrupted
    assert same(model, whole)


# ---- in the first second -----------------------------------------------------------------------

# Torch imports some nine hundred modules at its first step. A child is stopped at some moment of
# that, and then trains again, as the next cell of a notebook would.
EARLY = """
import json, os, signal, sys, threading, time
from vae_core import data, models, training

few = data.load("mnist", "test").first(100)

def fit():
    return training.fit(models.VAE(2, hidden=(4,)), few, epochs=300, device="cpu", progress=False,
                        batch_size=50)

for delay in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if os.fork() == 0:
        assert "torch._dynamo" not in sys.modules, "nothing is left to be imported"
        signal.signal(signal.SIGINT, signal.default_int_handler)
        check = training._inputs.check_model
        def press():
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)
        def begun(*arguments):  # the call has begun
            training._inputs.check_model = check
            threading.Thread(target=press).start()
            return check(*arguments)
        training._inputs.check_model = begun
        try:
            first = fit()
            few, told = few.first(50), [first.interrupted, first.steps]
            second = training.fit(models.VAE(2, hidden=(4,)), few, epochs=2, device="cpu",
                                  progress=False)
            told += [second.interrupted, second.steps]
        except BaseException as error:
            told = repr(error)
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    print(os.fdopen(read).read(), flush=True)
    os.wait()
"""


@pytest.mark.slow
def test_a_stop_in_the_first_second_leaves_the_kernel_usable(tmp_path: Path) -> None:
    delays = [0.0, 0.1, 0.3, 0.6]
    done = subprocess.run(
        [sys.executable, "-c", EARLY, json.dumps(delays)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(delays)
    assert all(isinstance(one, list) for one in told), told
    for interrupted, steps, again, steps_again in told:
        assert interrupted
        assert steps < 600
        assert (again, steps_again) == (False, 2)


# ---- two processes -----------------------------------------------------------------------------

PAIR = """
import hashlib, json, os, signal, sys, time
import torch
import torch.distributed as dist
from small_runs import images, run, small

torch.set_num_threads(1)
folder, whom = sys.argv[1:]
children = []
for rank in (0, 1):
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank,
                                world_size=2)
        model = small()
        steps = []
        def mark(*arguments):
            from vae_core.objectives import objective_for
            steps.append(0)
            if len(steps) == 30:
                open(f"{folder}/begun-{rank}", "w").close()
            return objective_for(model)(*arguments)
        history = run(model, f"{folder}/kept", epochs=5000, batch_size=33, data=images(401),
                      objective=mark)
        weights = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
        told = [history.interrupted, history.steps, hashlib.sha256(weights).hexdigest()]
        with open(f"{folder}/told-{rank}", "w") as file:
            json.dump(told, file)
        dist.destroy_process_group()
        os._exit(0)
    children.append(child)
while not all(os.path.exists(f"{folder}/begun-{rank}") for rank in (0, 1)):
    time.sleep(0.02)
for rank, child in enumerate(children):
    if whom in ("both", str(rank)):
        os.kill(child, signal.SIGINT)
ended = [os.waitpid(child, 0)[1] for child in children]
assert ended == [0, 0], ended
"""


@pytest.mark.parametrize("whom", ["both", "1"])
def test_a_stop_ends_two_processes_at_the_same_step(whom: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PAIR, str(tmp_path), whom],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"told-{rank}").read_text()) for rank in (0, 1))
    assert first == second
    interrupted, steps, _ = first
    assert interrupted
    assert 30 <= steps < 5000 * 13
    assert (tmp_path / "kept").is_file()
