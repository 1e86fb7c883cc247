"""What the sigma explorer carries and refuses, and the measurements behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from traitlets import TraitError

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.figures import collapsed_directions, sigma_sweep
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import SigmaExplorer
from vae_core.widgets import _payload as payload

SIGMAS = (0.7, 0.2, 1.5)


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    return data.load("mnist", "test").first(200)


def model_of(sigma: float, seed: int = 1) -> VAE:
    return VAE(hidden=(48,), likelihood=GaussianLikelihood(sigma), seed=seed).eval()


@pytest.fixture(scope="module")
def models() -> list[VAE]:
    return [model_of(sigma, seed) for seed, sigma in enumerate(SIGMAS)]


@pytest.fixture
def widget(models: list[VAE], few: data.ImageData) -> SigmaExplorer:
    return SigmaExplorer(models, few)


# ------------------------------------------------------------------ the measurement


def test_trade_off_is_rate_and_distortion(few: data.ImageData) -> None:
    model = model_of(0.3)
    found = evaluation.trade_off(model, few.images, samples=400)
    wanted = evaluation.rate_distortion(model, few.images, samples=400)
    assert found.rate.value == pytest.approx(wanted.rate.mean().item(), rel=1e-9)
    assert found.kl_per_dimension.tolist() == pytest.approx(wanted.kl_per_dimension.tolist())
    error = float((wanted.distortion_error.square().sum() * 2).sqrt()) / len(few.images)
    minus = -wanted.elbo.mean().item()
    assert abs(found.negative_elbo.value - minus) < 4 * error + 1e-3
    constant = 392 * math.log(2 * math.pi * 0.09)
    total = found.rate.value + found.squared_error.value / 0.18 + constant
    assert found.negative_elbo.value == pytest.approx(total, rel=1e-9)
    assert found.at_sigma(0.3) == pytest.approx(total, rel=1e-9)


def test_at_sigma_is_lowest_at_the_mean_squared_error(few: data.ImageData) -> None:
    point = evaluation.trade_off(model_of(0.3), few.images)
    best = math.sqrt(point.mean_squared_error)
    assert point.mean_squared_error == pytest.approx(point.squared_error.value / 784)
    assert all(point.at_sigma(best) < point.at_sigma(k * best) for k in (0.5, 0.99, 1.01, 2))
    with pytest.raises(ValueError, match="positive"):
        point.at_sigma(0.0)


def test_active_counts_what_carries_nats(few: data.ImageData) -> None:
    model = model_of(1.0)
    with torch.no_grad():
        for head in (model.encoder.mean, model.encoder.log_sigma):
            head.weight.zero_()
            head.bias.zero_()
        assert evaluation.trade_off(model, few.images).active == 0
        model.encoder.mean.bias[1] = 1.0
    point = evaluation.trade_off(model, few.images)
    assert point.active == 1
    assert point.rate.value == pytest.approx(0.5)


def test_trade_off_refuses_what_has_no_single_sigma(few: data.ImageData) -> None:
    per_pixel = VAE(hidden=(8,), likelihood=GaussianLikelihood("per-pixel"))
    for model in (VAE(likelihood=BernoulliLikelihood()), per_pixel):
        with pytest.raises(ValueError, match="one sigma"):
            evaluation.trade_off(model, few.images)
    with pytest.raises(ValueError, match="posterior"):
        evaluation.trade_off(Autoencoder(hidden=(8,)), few.images)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two"):
        evaluation.trade_off(model_of(1.0), few.images[:1])
    with pytest.raises(ValueError, match="samples"):
        evaluation.trade_off(model_of(1.0), few.images, samples=0)


def test_learned_sigma_is_read(few: data.ImageData) -> None:
    model = VAE(hidden=(8,), likelihood=GaussianLikelihood("learned"))
    assert evaluation.trade_off(model, few.images).sigma == 1.0


# ------------------------------------------------------------------ the widget


def test_models_stand_in_the_order_of_sigma(widget: SigmaExplorer, models: list[VAE]) -> None:
    assert widget.sigmas == pytest.approx((0.2, 0.7, 1.5))
    shown = [spec["sigma"] for spec in widget.payload["models"]]
    assert shown == list(widget.sigmas)
    codes = torch.randn(30, 2)
    for twin, model in zip(widget.twins, (models[1], models[0], models[2]), strict=True):
        with torch.no_grad():
            assert (twin.mean(codes) - model.mean(codes)).abs().max() < 0.01


def test_numbers_are_the_measured_ones(models: list[VAE], few: data.ImageData) -> None:
    points = [evaluation.trade_off(model, few.images, samples=3, seed=7) for model in models]
    widget = SigmaExplorer(models, few, points)
    for spec, point in zip(widget.payload["models"], widget.points, strict=True):
        assert spec["rate"] == point.rate.value
        assert spec["error"] == point.squared_error.value
        assert spec["negative_elbo"] == point.negative_elbo.value
        assert spec["active"] == point.active
    best = min(points, key=lambda point: point.negative_elbo.value)
    assert widget.sigma == best.sigma


def test_codes_and_spreads_are_the_posteriors(
    widget: SigmaExplorer, models: list[VAE], few: data.ImageData
) -> None:
    with torch.no_grad():
        q = models[1].encode(data.to_float(few.images))
    spec = widget.payload["models"][0]
    for key, wanted in (("codes", q.mean), ("spreads", q.sigma)):
        blob = payload.Blob(spec[key]["sha"], widget.blobs[spec[key]["sha"]])
        found = payload.unpack_codes(blob, spec[key]["scale"])
        np.testing.assert_allclose(found, wanted, atol=float(wanted.abs().max()) / 30_000)


def test_traits_are_checked(widget: SigmaExplorer) -> None:
    widget.sigma = 0.7
    assert widget.index == 1
    with pytest.raises((TraitError, ValueError), match=r"one of 0\.2, 0\.7, 1\.5"):
        widget.sigma = 0.6
    assert widget.sigma == pytest.approx(0.7)
    widget.digit = 199
    with pytest.raises((TraitError, ValueError), match="199"):
        widget.digit = 200
    with pytest.raises((TraitError, ValueError), match="two finite"):
        widget.z = [1.0, math.inf]
    widget.z = [0.5, -0.5]
    assert widget.decode(torch.tensor([widget.z])).shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: [m[0]], "two to twelve"),
        (lambda m: m[0], "two to twelve"),
        (lambda m: [m[0], VAE(likelihood=BernoulliLikelihood())], "Gaussian"),
        (lambda m: [m[0], Autoencoder()], "a VAE"),
        (lambda m: [m[0], VAE(3)], "latent_dim 2"),
        (lambda m: [m[0], model_of(0.7, 5)], "of its own"),
    ],
)
def test_refuses_what_it_cannot_show(
    change: object, words: str, models: list[VAE], few: data.ImageData
) -> None:
    with pytest.raises(ValueError, match=words):
        SigmaExplorer(change(models), few)  # type: ignore[operator]


def test_refuses_points_of_other_models(models: list[VAE], few: data.ImageData) -> None:
    point = evaluation.trade_off(models[0], few.images)
    with pytest.raises(ValueError, match="one a model"):
        SigmaExplorer(models, few, [point])
    with pytest.raises(ValueError, match="own"):
        SigmaExplorer(models, few, [point, point, point])


def test_pictures_are_drawn(widget: SigmaExplorer) -> None:
    assert widget.to_png().startswith(b"\x89PNG")
    points = list(widget.points)
    sweep = sigma_sweep(points[:2], {"learned": points[2]}, base=points[1])
    assert len(sweep.figure.axes) == 2
    # Each model is one dot of the curve, where it was measured.
    dots = sweep.figure.axes[0].lines[1].get_xydata()
    assert dots.tolist() == [[p.rate.value, p.squared_error.value] for p in points[:2]]
    values = torch.tensor([3.0, 2.0, 1.0])
    collapse = collapsed_directions(values, {1.5: torch.tensor([3.0, 2.0]), 0.5: values[:2]})
    assert len(collapse.figure.axes) == 2
    assert collapse._repr_png_().startswith(b"\x89PNG")
