"""Several processes give one process's result; each rank's share is checked by itself too."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT, one_sentence
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE, Autoencoder, Classifier
from vae_core.training import NonFiniteLossError, __main__, fit
from vae_core.training._world import BatchNoise, World, batch_dimensions

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
    "OMP_NUM_THREADS": "1",
}


def torchrun(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, *arguments], env=ENVIRONMENT, cwd=folder, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


def farthest(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# ---- one rank's share --------------------------------------------------------------------------


def world(size: int, rank: int) -> World:
    made = World(torch.device("cpu"))
    assert (made.size, made.rank) == (1, 0)  # no processes have joined
    made.size, made.rank = size, rank
    return made


@given(size=st.integers(1, 9), batch=st.integers(1, 40))
def test_the_ranks_share_a_batch_out(size: int, batch: int) -> None:
    shares = [world(size, rank).rows(batch) for rank in range(size)]
    counted = [i for rows, count in shares for i in list(range(batch))[rows][:count]]
    assert counted == list(range(batch))
    counts = [count for _, count in shares]
    assert max(counts) - min(counts) <= 1
    assert all(rows.stop - rows.start == max(count, 1) for rows, count in shares)


@given(
    batch=st.integers(1, 12),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    place=st.integers(0, 2),
    size=st.integers(2, 4),
    draw=st.sampled_from([torch.randn, torch.rand]),
)
def test_noise_is_the_whole_batchs_cut(
    batch: int, shape: list[int], place: int, size: int, draw: Any
) -> None:
    """The batch in any dimension, others of the same length beside it: still one process's."""
    place = min(place, len(shape) - 1)

    def noise(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        mine = [count if i == place else length for i, length in enumerate(shape)]
        first = draw(mine, generator=generator)
        shared = draw(3, generator=generator)
        return first, shared, draw(*mine, generator=generator)

    def fresh() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    generator = fresh()
    dimensions = batch_dimensions(lambda count: noise(count, generator), generator)
    assert dimensions == [place, None, place]
    assert torch.equal(generator.get_state(), fresh().get_state())
    expected = noise(batch, fresh())
    parts = []
    for rank in range(size):
        generator = fresh()
        rows, count = world(size, rank).rows(batch)
        with BatchNoise(generator, batch, rows, dimensions):
            mine = noise(max(count, 1), generator)
            other = torch.randn(3, generator=torch.Generator().manual_seed(5))
        assert torch.equal(other, torch.randn(3, generator=torch.Generator().manual_seed(5)))
        assert torch.equal(generator.get_state(), after(noise, batch, fresh()))
        if count:
            parts.append(mine)
    first, shared, last = zip(*parts, strict=True)
    assert torch.equal(torch.cat(first, place), expected[0])
    assert all(torch.equal(one, expected[1]) for one in shared)
    assert torch.equal(torch.cat(last, place), expected[2])


def after(noise: Any, batch: int, generator: torch.Generator) -> Tensor:
    noise(batch, generator)
    return generator.get_state()


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda n, g: torch.bernoulli(torch.full((n,), 0.5), generator=g), "this one calls berno"),
        (lambda n, g: torch.randn(n, n, generator=g), r"draws \[2, 2\] and \[3, 3\]"),
        (lambda n, g: torch.randn(2 * n, generator=g), r"draws \[4\] and \[6\]"),
        (lambda n, g: [torch.rand(n, generator=g) for _ in range(n)], r"draws \[\] and \[3\]"),
    ],
)
def test_noise_that_cant_be_cut_is_refused(draw: Any, words: str) -> None:
    generator = torch.Generator().manual_seed(1)
    with pytest.raises(ValueError, match=words) as error:
        batch_dimensions(lambda count: draw(count, generator), generator)
    one_sentence(error)
    with (
        BatchNoise(generator, 8, slice(0, 4), [0]),
        pytest.raises(ValueError, match="has drawn more often than it did at first") as error,
    ):
        torch.randn(4, generator=generator), torch.randn(4, generator=generator)
    one_sentence(error)


# ---- two processes -----------------------------------------------------------------------------

# Each case: name, model, options. 201 examples: the last of 25 batches of 8 holds one example, of
# which the second process has none.
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "vae float64": (
        lambda: VAE(3, hidden=(16,), likelihood=BernoulliLikelihood()).double(),
        {"pixels": "dynamic", "schedule": "cosine", "batch_size": 8},
    ),
    "vae float32": (
        lambda: VAE(2, hidden=(16,), likelihood=BernoulliLikelihood()),
        {"pixels": "dynamic", "batch_size": 50},
    ),
    "autoencoder": (lambda: Autoencoder(2, hidden=(16,)).double(), {"batch_size": 32}),
    "classifier": (lambda: Classifier().double(), {"batch_size": 67, "epochs": 1}),
    "early stop": (
        lambda: VAE(2, hidden=(16,)).double(),
        {"batch_size": 50, "patience": 1, "epochs": 6, "learning_rate": 0.05, "held": 31},
    ),
}


def train(name: str, **more: Any) -> tuple[dict[str, Tensor], Any]:
    make, options = CASES[name]
    options = {"epochs": 2, "seed": 3, "device": "cpu", "progress": False, **options, **more}
    digits = data.load("mnist", "test")
    held = options.pop("held", None)
    if held:
        options["validation"] = digits._replace(
            images=digits.images[-held:], labels=digits.labels[-held:]
        )
    model = make()
    history = fit(model, digits.first(201), **options)
    return model.state_dict(), history


def spoiled(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
    """A loss that is no number for one image, which one process alone holds."""
    loss = model(x).flatten(1).sum(1)
    return {"loss": torch.where(x.flatten(1).sum(1) > 200, loss * torch.nan, loss)}


def spoil() -> str:
    model = VAE(2, hidden=(4,))
    try:
        fit(
            model, data.load("mnist", "test").first(201), epochs=1, batch_size=4, device="cpu",
            progress=False, objective=spoiled,
        )  # fmt: skip
    except NonFiniteLossError as error:
        return str(error)
    return "no error"


def main() -> None:
    """What each of the two processes does."""
    import torch.distributed as dist
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    told: dict[str, Any] = {}
    for name in CASES:
        weights, history = train(name)
        save_file(weights, f"{name}-{rank}.safetensors")
        told[name] = [history.terms, history.validation, history.steps, history.best_epoch]
    told["spoiled"] = spoil()
    # Kept by two processes after the first epoch of two; another test goes on alone.
    ended: list[Tensor] = []
    real = torch.optim.Adam.step

    def dies(self: torch.optim.Adam, *arguments: Any) -> Any:
        ended.append(torch.zeros(()))
        if len(ended) == 7:  # 5 batches an epoch
            raise KeyboardInterrupt
        return real(self, *arguments)

    torch.optim.Adam.step = dies  # type: ignore[method-assign]
    train("vae float32", checkpoint=f"kept-{rank}.safetensors", checkpoint_steps=2)
    Path(f"told-{rank}.json").write_text(json.dumps(told), encoding="utf-8")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left their results."""
    folder = tmp_path_factory.mktemp("pair")
    done = torchrun(folder, str(Path(__file__).resolve()))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_one_processs_result(name: str, pair: Path) -> None:
    expected, history = train(name)
    first, second = (load_file(pair / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert farthest(first, second) == 0.0
    double = next(iter(expected.values())).dtype == torch.float64
    assert farthest(first, expected) <= (1e-9 if double else 1e-5)
    told = [json.loads((pair / f"told-{rank}.json").read_text())[name] for rank in (0, 1)]
    assert told[0] == told[1]
    terms, validation, steps, best_epoch = told[0]
    tolerance = 1e-9 if double else 1e-5
    for mine, theirs in ((history.terms, terms), (history.validation, validation)):
        assert mine.keys() == theirs.keys()
        for term in mine:
            assert theirs[term] == pytest.approx(mine[term], rel=tolerance, abs=tolerance)
    assert (steps, best_epoch) == (history.steps, history.best_epoch)


def test_the_seed_matters_more_than_the_tolerance() -> None:
    """What the comparisons above would see if a process drew its own noise or order."""
    for name in ("vae float64", "vae float32", "autoencoder"):
        assert farthest(train(name)[0], train(name, seed=4)[0]) > 1e-3


def test_a_loss_that_is_no_number_stops_every_process_at_its_step(pair: Path) -> None:
    alone = spoil()
    assert "the loss became nan at step" in alone
    for rank in (0, 1):
        assert json.loads((pair / f"told-{rank}.json").read_text())["spoiled"] == alone


def test_what_two_processes_kept_one_goes_on_with(pair: Path, tmp_path: Path) -> None:
    assert not (pair / "kept-1.safetensors").exists()  # the first process alone writes
    expected, _ = train("vae float32")
    weights, history = train("vae float32", checkpoint=pair / "kept-0.safetensors")
    assert history.steps == 10
    assert farthest(weights, expected) <= 1e-5
    assert len(history.terms["loss"]) == 2


# ---- the command -------------------------------------------------------------------------------

COMMAND = [
    "--first", "700", "--hidden", "24", "--latent-dim", "3", "--epochs", "3", "--batch-size", "33",
    "--likelihood", "bernoulli", "--pixels", "dynamic", "--dtype", "float64", "--device", "cpu",
    "--schedule", "linear", "--validation", "61",
]  # fmt: skip


@pytest.mark.slow
def test_the_command_under_torchrun_killed_and_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, pair, kept = (tmp_path / name for name in ("alone", "pair", "kept"))
    assert __main__.main([*COMMAND, "--output", str(alone)]) == 0
    assert "validation loss: " in capsys.readouterr().out
    module = ["-m", "vae_core.training", *COMMAND, "--checkpoint", str(kept)]
    module += ["--checkpoint-steps", "1", "--output", str(pair)]
    running = subprocess.Popen(
        [*TORCHRUN, *module], env=ENVIRONMENT, cwd=tmp_path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not kept.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)  # torchrun; its processes have sessions of their own
    running.wait()
    wait_for_silence(kept)
    done = torchrun(tmp_path, *module)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights: ") == 1
    assert farthest(load_file(alone), load_file(pair)) <= 1e-9


def wait_for_silence(path: Path) -> None:
    """Wait until nobody writes ``path`` any more: workers notice that torchrun is gone."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 2:
        now = path.stat().st_mtime_ns if path.exists() else 0
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.05)


def test_bad_arguments_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--epochs", "0"], "epochs must be a whole number of at least 1; got 0"),
        (["--first", "9", "--validation", "9"], "validation must leave images to train on"),
        (["--likelihood", "bernoulli"], "binarize grey images first"),
        (["--device", "abacus"], "device 'abacus' can't be used here"),
    ):
        assert __main__.main(words) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1


def test_every_option_of_the_command_is_explained() -> None:
    made = __main__.parser()
    told = made.format_help()
    assert "torchrun --nproc_per_node=2 -m vae_core.training" in told
    assert "--rdzv_endpoint=HOST:29500" in told
    for action in made._actions:
        assert action.help, action.option_strings
    chosen = made.parse_args([])
    defaults = inspect.signature(fit).parameters
    for name in ("epochs", "batch_size", "learning_rate", "schedule", "seed", "device", "pixels"):
        assert getattr(chosen, name) == defaults[name].default
    assert chosen.hidden is None  # 512, or 32 and 64 channels


if __name__ == "__main__":
    main()
