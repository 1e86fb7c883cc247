"""The zoo with one small recipe and a fault, for tests that need a process of their own.

``python tiny_zoo.py CORES`` fills it; ``import tiny_zoo`` makes the process's zoo this one. Each
training that begins is written to the file "trained". ``$FAULT`` says what goes wrong.
"""

from __future__ import annotations

import os
import pathlib
import resource
import signal
import sys
import time
from typing import Any

from torch import nn

from vae_core import data, objectives, training, zoo

FAULT = os.environ.get("FAULT", "")
TINY = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, epochs=1, batch_size=100)

few = data.load("mnist", "test").first(300)
real = training.fit


def fit(model: nn.Module, images: data.ImageData, *, seed: int, **options: Any) -> Any:
    """``training.fit``, told of and disturbed."""
    with open("trained", "a", encoding="utf-8") as log:
        log.write(f"{os.getpid()} {seed}\n")
    if FAULT == "hang at 2" and seed == 2:
        time.sleep(3600)
    if FAULT == "slow":
        time.sleep(1)  # so that two that begin at once do meet
    if FAULT == "killed while training":
        steps: list[int] = []
        usual = objectives.objective_for(model)

        def objective(*arguments: Any) -> Any:
            steps.append(0)
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(*arguments)

        options["objective"] = objective
    return real(model, images, seed=seed, **options)


def slow_disk() -> None:
    """Every file is written in two halves, and moved, with a pause before each."""
    replace, write_bytes = os.replace, pathlib.Path.write_bytes

    def later(source: Any, target: Any) -> None:
        time.sleep(0.3)
        replace(source, target)

    def halves(path: pathlib.Path, content: bytes) -> int:
        write_bytes(path, content[: len(content) // 2])
        time.sleep(0.3)
        with path.open("ab") as file:
            return file.write(content[len(content) // 2 :])

    os.replace = later  # type: ignore[assignment]
    pathlib.Path.write_bytes = halves  # type: ignore[method-assign, assignment]


data.load = lambda name, split: few  # type: ignore[assignment]
training.fit = fit  # type: ignore[assignment]
zoo.RECIPES = {"tiny": TINY}
zoo.USED = tuple(("tiny", seed) for seed in range(3))
if FAULT == "slow":
    slow_disk()
if FAULT == "full disk":
    # A real refusal: the system lets no file grow beyond this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))

if __name__ == "__main__":
    os.cpu_count = lambda: int(sys.argv[1])  # type: ignore[assignment]
    sys.exit(zoo.main(["fill"]))
