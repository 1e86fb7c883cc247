"""Training on Apple's GPU, or on its stand-in: the weights of the same run on a CPU."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_mps
import pytest
import torch
from torch import nn

from vae_core import data, models, objectives, training
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.ordered import OrderedLogitLikelihood

MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "VAE": (lambda: models.VAE(2, hidden=(8,)), {}),
    "VAE, sigma learned": (
        lambda: models.VAE(2, hidden=(8,), likelihood=GaussianLikelihood("learned")), {},
    ),
    "VAE, sigma optimal": (
        lambda: models.VAE(2, hidden=(8,), likelihood=GaussianLikelihood("optimal")), {},
    ),
    "VAE, dynamic pixels": (
        lambda: models.VAE(2, hidden=(8,), likelihood=BernoulliLikelihood()),
        {"pixels": "dynamic"},
    ),
    "VAE, fixed pixels": (
        lambda: models.VAE(2, hidden=(8,), likelihood=BernoulliLikelihood()), {"pixels": "fixed"},
    ),
    "VAE, ordered logits": (
        lambda: models.VAE(2, hidden=(8,), likelihood=OrderedLogitLikelihood()), {},
    ),
    "VAE, convolutions": (lambda: models.VAE(2, hidden=(4, 4), architecture="conv"), {}),
    "IWAE": (
        lambda: models.VAE(2, hidden=(8,)),
        {"objective": objectives.importance_weighted_objective(3)},
    ),
    "score function": (
        lambda: models.VAE(2, hidden=(8,)),
        {
            "objective": objectives.elbo_objective(
                2, gradient="score-function", baseline="leave-one-out"
            )
        },
    ),
    "CVAE, classes": (lambda: models.CVAE(2, hidden=(8,), classes=10), {}),
    "CVAE, quadrants": (
        lambda: models.CVAE(2, hidden=(8,), observed="2-quadrants", prior="learned"), {},
    ),
    "Autoencoder": (
        lambda: models.Autoencoder(2, hidden=(8,)),
        {"objective": objectives.denoising(objectives.MaskingNoise(0.5))},
    ),
    "Classifier": (models.Classifier, {"schedule": "linear"}),
    "LinearVAE": (lambda: models.LinearVAE(2), {}),
}  # fmt: skip


def run(name: str, device: str, **more: Any) -> tuple[dict[str, torch.Tensor], training.History]:
    make, options = MODELS[name]
    model, digits = make(), data.load("mnist", "test").first(200)
    history = training.fit(
        model, digits, epochs=2, batch_size=64, device=device, progress=False, **options, **more
    )
    return {key: values.cpu() for key, values in model.state_dict().items()}, history


def alike(found: Any, expected: Any) -> None:
    """The same run: bit for bit on the stand-in, which draws the CPU's numbers."""
    (weights, history), (other, reference) = found, expected
    assert history.device.startswith("mps")
    assert history.steps == reference.steps
    assert history.terms.keys() == reference.terms.keys()
    for key, values in weights.items():
        assert bool(torch.isfinite(values).all()), key
        if not fake_mps.is_real():
            torch.testing.assert_close(values, other[key])
    if not fake_mps.is_real():
        for term, means in history.terms.items():
            assert means == pytest.approx(reference.terms[term], rel=1e-5)
        for term, means in history.validation.items():
            assert means == pytest.approx(reference.validation[term], rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_training_on_apples_gpu(name: str) -> None:
    expected = run(name, "cpu")
    with fake_mps.apple_gpu() as device:
        alike(run(name, device), expected)


def test_the_device_chosen_by_itself_is_apples_gpu() -> None:
    expected = run("VAE", "cpu")
    with fake_mps.apple_gpu():
        assert training.pick_device("auto").type == "mps"
        alike(run("VAE", "auto"), expected)


def test_validation_patience_and_checkpoints_on_apples_gpu(tmp_path: Path) -> None:
    validation = data.load("mnist", "validation").first(100)
    options = {"validation": validation, "patience": 1}
    expected = run("VAE", "cpu", **options)
    with fake_mps.apple_gpu() as device:
        path = tmp_path / "run.checkpoint"
        alike(run("VAE", device, **options, checkpoint=path, checkpoint_steps=1), expected)
        alike(run("VAE", device, **options, checkpoint=path, checkpoint_steps=1), expected)


def test_a_stopped_run_goes_on_on_apples_gpu(tmp_path: Path) -> None:
    """Stopped by Ctrl-C before an epoch's last batch, of 8 digits: the weights of a whole run."""
    whole, at = 0, 0

    def stopping(model: Any, x: torch.Tensor, labels: torch.Tensor, generator: Any) -> Any:
        nonlocal whole
        whole += len(x) == 64  # that an objective does the same is tried on smaller batches
        if whole == at and len(x) == 64:
            signal.raise_signal(signal.SIGINT)
        return objectives.elbo_objective()(model, x, labels, generator)

    options: dict[str, Any] = {"objective": stopping, "checkpoint_steps": 1}
    expected = run("VAE", "cpu", checkpoint=tmp_path / "whole", **options)
    whole, at = 0, 3
    with fake_mps.apple_gpu() as device:
        options["checkpoint"] = tmp_path / "stopped"
        _, history = run("VAE", device, **options)
        assert history.interrupted
        assert history.steps == 3
        alike(run("VAE", device, **options), expected)
