"""Long work that is stopped for real: by SIGINT, as a terminal sends it, and in a notebook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from helpers import ROOT
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")

FIT = """
import hashlib, json, sys, time, torch
from vae_core import data, models, objectives, training

torch.set_num_threads(1)
pause, kept = float(sys.argv[1]), sys.argv[2] or None
model = models.VAE(2, hidden=(16,), seed=1)
own = objectives.objective_for(model)

def objective(*arguments):
    time.sleep(pause)
    return own(*arguments)

history = training.fit(
    model, data.load("mnist", "train").first(500), epochs=4, batch_size=50, seed=3, device="cpu",
    objective=objective, checkpoint=kept,
)
weights = b"".join(values.numpy().tobytes() for values in model.state_dict().values())
finite = all(bool(values.isfinite().all()) for values in model.state_dict().values())
print(json.dumps([history.interrupted, history.steps, len(history.terms.get("loss", [])),
                  model.training, finite, hashlib.sha256(weights).hexdigest()]))
"""
FILL = """
from vae_core import zoo

tiny = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, examples=200, epochs=1)
long = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, examples=200, epochs=10**6)
zoo.RECIPES.clear()
zoo.RECIPES.update({"tiny": tiny, "long": long})
zoo.USED = (("tiny", 0), ("long", 0), ("long", 1), ("long", 2))
if __name__ == "__main__":  # the processes that train read this file too
    raise SystemExit(zoo.main(["fill"]))
"""
SENTENCE = (
    "the model keeps what it has learned; where a checkpoint was named, "
    "the same call goes on from its last save."
)
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start Python code from a file, in a process group of its own, with an empty cache."""

    def started(code: str, *arguments: object) -> subprocess.Popen[str]:
        file = tmp_path / "work.py"
        file.write_text(code, encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(file), *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "VAE_CORE_CACHE": str(tmp_path / "cache"),
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return started


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.02)


def finished(process: subprocess.Popen[str]) -> tuple[list[Any], str]:
    """What a training told on its two streams."""
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return json.loads(out), error


def test_a_stopped_training_keeps_its_steps_and_goes_on_exactly(
    start: Start, tmp_path: Path
) -> None:
    whole, error = finished(start(FIT, 0, ""))
    assert whole[:5] == [False, 40, 4, False, True]
    assert error == ""

    kept = tmp_path / "run.checkpoint"
    process = start(FIT, 0.05, kept)
    until(kept.exists, "the first epoch's checkpoint")
    time.sleep(0.12)  # into the second epoch
    process.send_signal(signal.SIGINT)
    (interrupted, steps, epochs, training, finite, digest), error = finished(process)
    assert interrupted
    assert 10 <= steps < 40
    assert epochs >= 1
    assert 0 <= steps - 10 * epochs <= 10
    assert not training
    assert finite
    assert digest != whole[5]
    assert error == f"training VAE stopped after {epochs} of 4 epochs: {SENTENCE}\n"

    again, error = finished(start(FIT, 0, kept))
    assert again == whole  # bit for bit
    assert error == ""


def test_the_command_keeps_the_weights_beside_the_whole_models_place(
    start: Start, tmp_path: Path
) -> None:
    output, kept = tmp_path / "vae.safetensors", tmp_path / "run.checkpoint"
    output.write_bytes(b"a whole model")
    command = "from vae_core.training.__main__ import main\nraise SystemExit(main())"
    options = f"--hidden 8 --first 500 --batch-size 1 --epochs 100000 --output {output}"
    process = start(command, *options.split(), "--checkpoint", kept)
    until(kept.exists, "the first epoch's checkpoint")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.count("\n") == 1
    assert SENTENCE in error
    assert f"weights: {tmp_path / 'vae.stopped.safetensors'}" in out
    assert (tmp_path / "vae.stopped.safetensors").stat().st_size > 1000
    assert output.read_bytes() == b"a whole model"


@pytest.mark.parametrize("whom", ["all", "parent"])
def test_a_stopped_fill_keeps_finished_models(whom: str, start: Start, tmp_path: Path) -> None:
    """``all``: as a terminal's Ctrl-C; ``parent``: as ``kill -INT``."""
    process = start(FILL)
    models = tmp_path / "cache" / "zoo"
    until(lambda: list(models.glob("tiny-*.safetensors")), "the tiny model")
    time.sleep(0.5)
    (os.killpg if whom == "all" else os.kill)(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.strip() == (
        "stopped: 1 of 4 models are finished and kept; "
        "`python -m vae_core.zoo fill` trains the others"
    )
    assert out.splitlines()[0] == "4 of 4 models are to be trained"
    assert [path.name.split("-")[0] for path in models.iterdir()] == ["tiny"]

    def gone() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(gone, "the end of the processes that trained", 30)


def test_a_notebooks_stop_button(tmp_path: Path) -> None:
    """A real kernel's interrupt: the cell ends without an error, the display says what was kept."""
    manager, client = start_new_kernel(
        kernel_name="python3", env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    cell = """
import torch
from vae_core import data, models, training

torch.set_num_threads(1)
model = models.VAE(2, hidden=(16,), seed=1)
few = data.load("mnist", "train").first(500)
history = training.fit(model, few, epochs=100_000, batch_size=10, device="cpu")
within = history.steps - 50 * len(history.terms.get("loss", []))
print(history.interrupted, 0 <= within <= 50, model.training)
"""
    shown, text, errors, stopped = "", "", [], False
    try:
        request = client.execute(cell)
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            try:
                message = client.get_iopub_msg(timeout=5)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("display_data", "update_display_data"):
                shown = content["data"].get("text/html", "")
            if not stopped and " left</div>" in shown:
                manager.interrupt_kernel()
                stopped = True
            if kind == "stream":
                text += content["text"]
            if kind == "error":
                errors.append(content["ename"])
            if kind == "status" and content["execution_state"] == "idle":
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert stopped
    assert errors == []
    assert text.split() == ["True", "True", "False"]
    assert "of 100000 epochs · loss" in shown
    assert "stopped after" in shown
    assert shown.endswith(f"{SENTENCE}</div>")
    assert "<progress" not in shown
