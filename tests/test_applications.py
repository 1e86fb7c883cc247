"""Imputation against exact conditionals, AUROC against scikit-learn, and what they refuse."""

from __future__ import annotations

import io
import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from exact_models import PIXELS, SHAPE, SIGMA, Exact, linear_gaussian
from PIL import Image
from sklearn.impute import KNNImputer
from sklearn.metrics import roc_auc_score
from torch import Tensor

from vae_core.distributions import BernoulliLikelihood
from vae_core.evaluation import auroc, compressed_bits, coverage, fill_by_neighbours, impute
from vae_core.models import VAE

OBSERVED = (torch.arange(PIXELS) % 3 != 0).reshape(SHAPE)  # 8 of 12 pixels


def conditional(exact: Exact, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [n, missing] and covariance of P(missing | observed), a Gaussian's."""
    joint = exact.weight @ exact.weight.T + SIGMA**2 * torch.eye(PIXELS).double()
    o, m = observed.flatten().nonzero()[:, 0], (~observed).flatten().nonzero()[:, 0]
    gain = joint[m][:, o] @ torch.linalg.inv(joint[o][:, o])
    mean = exact.bias[m] + (x.double().flatten(1)[:, o] - exact.bias[o]) @ gain.T
    return mean, joint[m][:, m] - gain @ joint[o][:, m]


@pytest.mark.parametrize(
    ("shift", "widen", "corrected"), [(0.0, 1.0, False), (0.0, 1.0, True), (0.4, 1.3, True)]
)
def test_imputation_draws_from_the_exact_conditional(
    shift: float, widen: float, corrected: bool
) -> None:
    exact = linear_gaussian(2, shift=shift, widen=widen)
    x, chains = exact.images(3), 1200
    mean, covariance = conditional(exact, x, OBSERVED)
    # Many steps, or the average would remember where the chain came from.
    found = impute(exact.model, x, OBSERVED, chains=chains, steps=300, corrected=corrected)
    draws = found.draws.flatten(2)[:, :, ~OBSERVED.flatten()]  # [chains, n, missing]
    error = (covariance.diagonal() / chains).sqrt()
    assert bool(((draws.mean(0) - mean).abs() < 5 * error).all())
    spread = draws.var(0) / covariance.diagonal()
    assert bool(((spread - 1).abs() < 5 * math.sqrt(2 / chains)).all())
    # The mean of means varies less than that of draws.
    assert bool(((found.mean.flatten(1)[:, ~OBSERVED.flatten()] - mean).abs() < 3 * error).all())


def test_without_the_correction_a_poor_posterior_misleads() -> None:
    exact = linear_gaussian(2, shift=0.4, widen=1.3)
    x, chains = exact.images(3), 1200
    mean, covariance = conditional(exact, x, OBSERVED)
    found = impute(exact.model, x, OBSERVED, chains=chains, steps=60, corrected=False)
    error = (covariance.diagonal() / chains).sqrt()
    away = (found.draws.mean(0).flatten(1)[:, ~OBSERVED.flatten()] - mean).abs() / error
    assert away.max() > 10
    assert bool((found.acceptance == 1).all())


def test_missing_pixels_are_never_read_and_observed_ones_never_changed() -> None:
    exact = linear_gaussian(2)
    x = exact.images(4)
    spoiled = torch.where(OBSERVED, x, torch.full_like(x, 1e3))
    first, second = (impute(exact.model, i, OBSERVED, chains=2, steps=10) for i in (x, spoiled))
    assert torch.equal(first.draws, second.draws)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.draws[:, :, OBSERVED], x[:, OBSERVED].expand(2, -1, -1))
    assert torch.equal(first.mean[:, OBSERVED], x[:, OBSERVED])
    other = impute(exact.model, x, OBSERVED, chains=2, steps=10, seed=1)
    assert not torch.equal(first.draws, other.draws)


def test_a_bernoulli_models_draws_are_black_or_white() -> None:
    model = VAE(2, SHAPE, (8,), BernoulliLikelihood())
    x = (torch.rand(5, *SHAPE) < 0.5).float()
    found = impute(model, x, OBSERVED.expand(5, *SHAPE), chains=3, steps=4)
    assert found.draws.shape == (3, 5, *SHAPE)
    assert set(found.draws.unique().tolist()) == {0.0, 1.0}
    assert bool(((found.acceptance > 0) & (found.acceptance <= 1)).all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": OBSERVED.float()}, "observed must be bool"),
        ({"observed": OBSERVED[:, :2]}, r"observed must be \[4, 1, 3, 4\] or \[1, 3, 4\]"),
        ({"chains": 0}, "chains"),
        ({"steps": 1}, "steps"),
        ({"images": torch.rand(4, 1, 3, 3)}, "observed must be"),
    ],
)
def test_imputation_refuses(change: dict[str, Any], message: str) -> None:
    exact = linear_gaussian(2)
    arguments = {"images": exact.images(4), "observed": OBSERVED, **change}
    with pytest.raises(ValueError, match=message):
        impute(exact.model, **arguments)


@pytest.mark.parametrize("neighbours", [1, 5])
def test_neighbours_are_scikit_learns(neighbours: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, reference = (torch.rand(n, *SHAPE, generator=generator).double() for n in (20, 60))
    found = fill_by_neighbours(x, OBSERVED, reference, neighbours)
    holes = torch.where(OBSERVED, x, torch.nan).flatten(1).numpy()
    expected = KNNImputer(n_neighbors=neighbours).fit(reference.flatten(1).numpy()).transform(holes)
    assert np.allclose(found.flatten(1).numpy(), expected, rtol=0, atol=1e-12)


def test_all_neighbours_are_mean_imputation() -> None:
    x, reference = torch.rand(3, *SHAPE), torch.rand(7, *SHAPE)
    found = fill_by_neighbours(x, OBSERVED, reference, 7)
    assert torch.allclose(found, torch.where(OBSERVED, x, reference.mean(0)), atol=1e-6)
    with pytest.raises(ValueError, match="8 neighbours asked of 7 images"):
        fill_by_neighbours(x, OBSERVED, reference, 8)
    with pytest.raises(ValueError, match="floating"):
        fill_by_neighbours((x * 255).byte(), OBSERVED, reference)
    with pytest.raises(ValueError, match="reference"):
        fill_by_neighbours(x, OBSERVED, reference[:, :, :2])


@pytest.mark.parametrize(("n", "level"), [(2, 0.9), (20, 0.9), (20, 0.5), (200, 0.9)])
def test_draws_like_the_truth_cover_it_as_often_as_the_ideal_says(n: int, level: float) -> None:
    generator = torch.Generator().manual_seed(n)
    truth = torch.randn(3000, *SHAPE, generator=generator)
    draws = torch.randn(n, 3000, *SHAPE, generator=generator)
    found, ideal = coverage(draws, truth, OBSERVED, level)
    assert ideal == pytest.approx(level * (n - 1) / (n + 1))
    assert abs(found.value - ideal) < 4 * found.standard_error
    narrow = coverage(0.5 * draws, truth, OBSERVED, level).found
    assert narrow.value < ideal - 4 * narrow.standard_error


def test_coverage_looks_at_missing_pixels_and_interpolates_between_draws() -> None:
    draws = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])[:, None, None, None, None].expand(5, 2, 1, 1, 4)
    # The middle half of five draws runs from 1 to 3, the middle 90 % from 0.2 to 3.8.
    images = torch.tensor([0.9, 1.0, 3.0, 100.0]).expand(2, 1, 1, 4)
    observed = torch.tensor([[[False, False, False, True]]])
    half = coverage(draws, images, observed, 0.5)
    assert half.found.value == pytest.approx(2 / 3)
    assert half.ideal == pytest.approx(0.5 * 4 / 6)
    assert coverage(draws, images, observed).found.value == 1
    assert coverage(draws, images - 0.85, observed).found.value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, r"level must lie in \(0, 1\)"),
        ({"draws": torch.zeros(1, 2, *SHAPE)}, "n >= 2"),
        ({"draws": torch.zeros(5, 3, *SHAPE)}, "draws must be"),
        ({"observed": torch.ones(SHAPE, dtype=torch.bool)}, "no pixel is missing"),
        ({"observed": OBSERVED.float()}, "observed must be bool"),
    ],
)
def test_coverage_refuses(change: dict[str, Any], message: str) -> None:
    arguments = {"draws": torch.zeros(5, 2, *SHAPE), "images": torch.zeros(2, *SHAPE)}
    with pytest.raises(ValueError, match=message):
        coverage(**{**arguments, "observed": OBSERVED, **change})


def test_auroc_is_scikit_learns_ties_included() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = torch.randint(0, 20, (300,), generator=generator)
    outside = torch.randint(-5, 15, (200,), generator=generator)
    labels = [1] * 300 + [0] * 200
    expected = roc_auc_score(labels, torch.cat([inside, outside]).numpy())
    assert auroc(inside, outside).value == pytest.approx(expected, abs=1e-12)
    assert auroc(outside, inside).value == pytest.approx(1 - expected, abs=1e-12)


def test_the_error_of_an_auroc_is_its_spread_over_samples() -> None:
    generator = torch.Generator().manual_seed(1)
    found = [
        auroc(torch.randn(80, generator=generator) + 1, torch.randn(50, generator=generator))
        for _ in range(2000)
    ]
    values = torch.tensor([each.value for each in found])
    errors = torch.tensor([each.standard_error for each in found])
    # Two normals one apart: P(a > b) = Phi(1 / sqrt 2).
    exact = 0.5 * (1 + math.erf(0.5))
    assert abs(values.mean().item() - exact) < 5 * values.std().item() / math.sqrt(2000)
    assert errors.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.08)


def test_auroc_of_separate_sets_and_wrong_ones() -> None:
    assert auroc(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])) == (1.0, 0.0)
    for bad in (torch.ones(1), torch.ones(2, 2), torch.tensor([1.0, math.nan])):
        with pytest.raises(ValueError, match="inside"):
            auroc(bad, torch.ones(3))


@pytest.mark.parametrize("by", ["zlib", "xz", "png"])
def test_noise_takes_more_bits_than_a_blank_image(by: str) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (4, 1, 28, 28), generator=generator, dtype=torch.uint8)
    bits = compressed_bits(torch.cat([noise, torch.zeros_like(noise)]), by)
    assert bits.dtype == torch.float64
    assert bits[:4].min() > 0.95 * 8 * 784
    assert bits[4:].max() < 200
    with pytest.raises(ValueError, match="uint8"):
        compressed_bits(noise.float(), by)


def test_the_lengths_are_those_of_the_compressors_files() -> None:
    images = torch.arange(2 * 3 * 64, dtype=torch.uint8).reshape(2, 3, 8, 8)
    for image, bits in zip(images, compressed_bits(images), strict=True):
        assert bits == 8 * (len(zlib.compress(image.numpy().tobytes(), 9)) - 6)
    png = io.BytesIO()
    Image.fromarray(images[1].reshape(24, 8).numpy()).save(png, "PNG", optimize=True)
    assert compressed_bits(images, "png")[1] == 8 * (len(png.getvalue()) - 63)
    with pytest.raises(ValueError, match="zlib, xz, png; got 'zip'"):
        compressed_bits(images, "zip")
