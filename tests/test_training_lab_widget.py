"""The training lab without a browser: its settings, its data, its twin in PyTorch, its models."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
import torch

from vae_core import data, objectives
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import TrainingLab, _training_data, _training_settings
from vae_core.widgets._page import to_text
from vae_core.widgets._training_twin import Draws, Twin, trained_tensors

SMALL: dict[str, Any] = {**_training_settings.DEFAULTS, "hidden": [8], "batch": 8, "seed": 5}
SHAPE = (1, 4, 4)


def pixels(n: int = 40) -> np.ndarray:
    return (np.random.default_rng(1).random((n, 16)) < 0.3).astype(np.float64)


def few() -> data.ImageData:
    return data.load("mnist", "test").first(60)


def test_the_page_needs_nothing_else_and_is_small() -> None:
    lab = TrainingLab()
    html = lab.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*lab.STATE, "payload", "share"}
    (blob,) = lab.blobs.values()
    assert len(to_text(blob)) <= 250_000
    # One copy a page: every lab on digits names the same blob.
    assert TrainingLab(preset="sigma").blobs.keys() == lab.blobs.keys()
    assert len(html) < 400_000


def test_print_gets_a_picture_of_a_finished_run() -> None:
    lab = TrainingLab(data="ring", likelihood="gaussian", hidden=[8])
    shown = lab.static_output()
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
    curve = lab.figure().axes[2].lines[0]
    steps, bound = curve.get_xdata(), curve.get_ydata()
    assert steps[-1] == 400
    assert bound[-1] > bound[0]


def test_runs_in_python_stand_where_their_curves_end() -> None:
    """Forks on one set of numbers; a loss that is no number ends a run before."""
    lab = TrainingLab(
        hidden=[8], batch=8, likelihood="gaussian", forks=[{"likelihood": "bernoulli"}]
    )
    one, other = lab.trained(3)
    assert (one.step, other.step) == (3, 3)
    binary = _training_data.as_numbers(_training_data.digits().train, "bernoulli")
    twin = Twin(lab.settings, binary, (1, 14, 14))
    assert one.loss == [twin.train().loss for _ in range(3)][-1]
    assert one.elbo == pytest.approx(one.reconstruction - one.kl.sum(), rel=1e-12)
    assert TrainingLab(hidden=[8]).trained(0)[0].loss is None
    (failed,) = TrainingLab(hidden=[8], faults=["no-link"]).trained(5)
    assert failed.step == 0
    with pytest.raises(ValueError, match="steps must be a whole number"):
        lab.trained(-1)


def test_two_draws_are_the_same_only_at_the_same_place() -> None:
    one, other = Draws(1, "noise"), Draws(1, "batches")
    first = one.uniform(5000)
    assert abs(first.mean() - 0.5) < 4.5 / np.sqrt(12 * 5000)
    assert 0 <= first.min() < first.max() < 1
    assert not np.isin(first, other.uniform(5000)).any()
    again = Draws(1, "noise")
    assert np.array_equal(np.concatenate([again.uniform(2), again.uniform(3)]), first[:5])
    normal = Draws(1, "noise").normal(5000)
    assert abs(normal.mean()) < 4.5 / np.sqrt(5000)
    assert abs(normal.std() - 1) < 4.5 / np.sqrt(2 * 5000)


@pytest.mark.parametrize("estimator", ["path-wise", "score-function"])
@pytest.mark.parametrize(("likelihood", "sigma"), [("bernoulli", 1.0), ("gaussian", "learned")])
def test_without_a_fault_the_twins_loss_is_the_books_elbo(
    likelihood: str, sigma: Any, estimator: str
) -> None:
    settings = {
        **SMALL, "likelihood": likelihood, "sigma": sigma, "estimator": estimator, "beta": 2.0,
    }  # fmt: skip
    twin = Twin(settings, pixels(), SHAPE)
    x = twin.train_set[:8]
    eps = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss, terms = twin.loss(x, eps)
    bound = objectives.elbo(
        twin.model, x.view(-1, *SHAPE), noise=eps[None], beta=2.0, gradient=estimator
    )
    assert loss.item() == pytest.approx(-bound.total.mean().item(), rel=1e-12)
    assert terms.kl == pytest.approx(bound.kl.mean().item(), rel=1e-12)
    parameters = list(twin.model.parameters())
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(-bound.total.mean(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_each_fault_changes_the_loss_or_its_gradient() -> None:
    def first(faults: list[str]) -> tuple[float, np.ndarray]:
        settings = {**SMALL, "likelihood": "gaussian", "faults": faults}
        terms, gradients = Twin(settings, pixels(), SHAPE).gradients()
        return terms.loss, np.concatenate([g.flatten().numpy() for g in gradients.values()])

    loss, gradient = first([])
    for fault in _training_settings.FAULTS:
        broken, other = first([fault])
        same = broken == pytest.approx(loss, rel=1e-9)
        assert not (same and np.allclose(gradient, other, rtol=1e-6, atol=1e-9)), fault


def test_the_digits_are_means_of_four_pixels() -> None:
    digits = _training_data.digits()
    assert digits.train.shape == (2000, 196)
    assert digits.held_out.shape == (500, 196)
    whole = data.load("mnist", "train").first(1).images[0, 0].double()
    expected = whole.view(14, 2, 14, 2).mean((1, 3))
    assert np.abs(digits.train[0].reshape(14, 14) - expected.numpy()).max() <= 0.5


@pytest.mark.parametrize("name", _training_data.PLANAR)
def test_points_of_the_plane_are_where_they_should_be(name: str) -> None:
    points = _training_data.planar(name, 3, ((0.5, -1.0), (-1.0, 2.0)))
    assert points.train.shape == (1000, 2)
    assert points.held_out.shape == (300, 2)
    assert np.abs(points.train).max() < 2.5
    if name == "drawn":
        gap = np.linalg.norm(points.train[:, None] - np.array([[0.5, -1.0], [-1.0, 2.0]]), axis=2)
        assert gap.min(1).max() < 0.3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": -1}, "beta must be a number from 0 to 100"),
        ({"hidden": [0]}, "hidden must be at most three widths"),
        ({"faults": ["typo"]}, "faults must be a list of printed-kl"),
        ({"sigma": "guessed"}, "sigma must be a number from 0.01 to 10, 'learned' or 'optimal'"),
        (
            {"data": "moons", "likelihood": "bernoulli"},
            "points of the plane take likelihood='gaussian'",
        ),
        ({"data": "own"}, "data must stay 'own' for a model of one's own"),
        ({"preset": "none"}, "preset must be one of"),
        ({"forks": [{}, {}, {}]}, "there are 3 runs side by side, got 3"),
        ({"forks": [{"seed": 2}]}, "the same data and the same seed"),
        ({"forks": [{"gamma": 2}]}, "there is no setting 'gamma'"),
        ({"settings": {"gamma": 2}}, "there is no setting 'gamma'"),
        ({"gamma": 2}, "unknown traits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainingLab(**options)


def test_a_refused_setting_leaves_the_old_one() -> None:
    lab = TrainingLab()
    with pytest.raises(ValueError, match="rate must be"):
        lab.settings = {"rate": 0}
    assert lab.settings == _training_settings.DEFAULTS
    lab.settings = {"beta": 4, "hidden": (32, 16)}
    assert lab.settings == {**_training_settings.DEFAULTS, "beta": 4.0, "hidden": [32, 16]}


@pytest.mark.parametrize(
    "model",
    [
        VAE(2, hidden=(16,), likelihood=BernoulliLikelihood(), seed=1),
        VAE(3, hidden=(16, 8), likelihood=GaussianLikelihood("learned"), activation="silu", seed=1),
        Autoencoder(2, hidden=(), likelihood=GaussianLikelihood(0.5), seed=1),
    ],
)
def test_a_readers_own_model_comes_back(model: VAE | Autoencoder) -> None:
    lab = TrainingLab(model, few())
    again = lab.model()
    assert type(again) is type(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    # What the page sends at a pause, float64 in the order of the tensors, is what comes back then.
    sizes = [p.numel() for p in trained_tensors(model).values()]
    lab.weights = np.arange(sum(sizes), dtype="<f8").tobytes()
    assert next(iter(lab.model().parameters())).flatten()[1] == 1.0
    assert lab.payload["images"]["train"] == 48
    assert lab.payload["images"]["heldOut"] == 12
    with pytest.raises(ValueError, match="keep the shapes"):
        lab.settings = {**lab.settings, "hidden": [5]}


def test_a_model_that_the_page_cannot_train_is_refused() -> None:
    for model, words in (
        (VAE(2, architecture="conv"), "linear layers"),
        (VAE(2, hidden=(4,), likelihood=GaussianLikelihood("per-pixel")), "one sigma for all"),
        (VAE(2, hidden=(2000,)), "at most 1,000,000 weights"),
        (3, "model must be an Autoencoder or a VAE, got"),
    ):
        with pytest.raises(ValueError, match=words):
            TrainingLab(model, few())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data must be an ImageData"):
        TrainingLab(VAE(2, hidden=(4,)))
    with pytest.raises(ValueError, match="give a model, too"):
        TrainingLab(data=few())  # type: ignore[arg-type]
