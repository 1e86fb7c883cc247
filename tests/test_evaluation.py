"""Latents against the prior and samples against data: closed forms, limits, and known answers."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import one_sentence
from torch.distributions import MultivariateNormal, kl_divergence

from vae_core import data, evaluation, models


def draws(n: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_moments_are_those_of_numpy_for_one_and_more_dimensions() -> None:
    for k in (1, 3):
        codes = draws(500, k)
        mean, covariance = evaluation.moments(codes)
        centred = codes - codes.mean(0)
        torch.testing.assert_close(mean, codes.mean(0))
        torch.testing.assert_close(covariance, centred.T @ centred / 499)


def test_moment_divergence_is_torchs_kl_of_the_fitted_gaussian() -> None:
    codes = draws(1000, 3) @ draws(3, 3, seed=1) + torch.tensor([1.0, -2.0, 0.5])
    mean, covariance = evaluation.moments(codes)
    fitted = MultivariateNormal(mean, covariance)
    prior = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    expected = kl_divergence(fitted, prior).item()
    assert evaluation.moment_divergence(codes) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_mmd_of_a_shifted_gaussian_has_its_closed_form(scale: float) -> None:
    # For N(m, I) against N(0, I): MMD^2 = 2 (s^2/(s^2+2))^(k/2) (1 - exp(-m'm / (2 (s^2 + 2)))).
    k, shift = 2, torch.tensor([0.7, -0.4], dtype=torch.float64)
    expected = (
        2
        * (scale**2 / (scale**2 + 2)) ** (k / 2)
        * (1 - math.exp(-(shift @ shift).item() / (2 * (scale**2 + 2))))
    )
    found = evaluation.maximum_mean_discrepancy(draws(10_000, k) + shift, scale=scale)
    assert abs(found.value - expected) < 4 * found.standard_error


def test_mmd_is_zero_within_its_error_at_the_prior() -> None:
    found = evaluation.maximum_mean_discrepancy(draws(10_000, 2, seed=3))
    assert abs(found.value) < 4 * found.standard_error


def test_mmd_sees_what_moments_do_not() -> None:
    angle = 2 * math.pi * torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    ring = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], 1)  # mean 0, covariance I
    assert evaluation.moment_divergence(ring) < 0.01
    found = evaluation.maximum_mean_discrepancy(ring)
    assert found.value > 10 * found.standard_error


@pytest.mark.parametrize(("shift", "scale"), [(3.0, 1.0), (0.0, 2.0), (1.0, 0.5)])
def test_sliced_wasserstein_in_one_dimension_has_its_closed_form(
    shift: float, scale: float
) -> None:
    # W2 between N(m, s^2) and N(0, 1) is sqrt(m^2 + (s - 1)^2); one direction is all there is.
    found = evaluation.sliced_wasserstein(scale * draws(20_000, 1) + shift)
    expected = math.hypot(shift, scale - 1)
    # Blocks of 2,000: the quantile fit of a finite block adds a little, of order 1/sqrt(2000).
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error + 0.02)


def test_sliced_wasserstein_falls_with_the_number_of_draws_of_the_prior() -> None:
    few = evaluation.sliced_wasserstein(draws(500, 2)).value
    many = evaluation.sliced_wasserstein(draws(50_000, 2)).value
    assert 0 < many < few / 3


def test_frechet_distance_of_gaussians_has_its_closed_form() -> None:
    base = draws(4000, 3)
    base = (base - base.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.cov(base.T))
    ).T  # exactly mean 0 and covariance I
    scale, shift = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([1.0, 0.0, -2.0]).double()
    expected = (shift @ shift + ((scale - 1) ** 2).sum()).item()
    found = evaluation.frechet_distance(base, base * scale + shift)
    assert found == pytest.approx(expected, rel=1e-9)
    assert evaluation.frechet_distance(base, base) == pytest.approx(0, abs=1e-9)
    one = evaluation.frechet_distance(base[:, :1], base[:, :1] + 2)
    assert one == pytest.approx(4, rel=1e-9)


def test_nearest_distance_is_the_brute_force_minimum() -> None:
    queries, reference = draws(7, 5), draws(11, 5, seed=1)
    expected = (queries[:, None] - reference[None]).norm(dim=2).min(1).values
    torch.testing.assert_close(evaluation.nearest_distance(queries, reference, chunk=3), expected)


def test_latent_samples_are_draws_for_a_vae_and_codes_for_an_autoencoder() -> None:
    images = data.load("mnist", "test").images[:300]
    vae, ae = models.VAE(seed=1), models.Autoencoder(seed=1)
    posterior = vae.encode(data.to_float(images))
    standard = (evaluation.latent_samples(vae, images, seed=2) - posterior.mean) / posterior.sigma
    assert abs(standard.mean().item()) < 4 / math.sqrt(600)
    assert standard.std().item() == pytest.approx(1, abs=0.15)
    torch.testing.assert_close(
        evaluation.latent_samples(ae, images), ae.encode(data.to_float(images))
    )


def test_reconstruction_error_sums_over_pixels() -> None:
    images = data.load("mnist", "test").images[:5]
    model = models.Autoencoder(seed=0)
    x = data.to_float(images)
    expected = torch.stack([((a - model(a[None])[0]) ** 2).sum() for a in x])
    torch.testing.assert_close(evaluation.reconstruction_error(model, images), expected)


def test_classify_gives_probabilities_in_the_order_of_the_images() -> None:
    images = data.load("mnist", "test").images[:4100]  # more than one chunk
    judge = models.Classifier(seed=0)
    found = evaluation.classify(judge, images)
    torch.testing.assert_close(found.sum(1), torch.ones(4100))
    with torch.no_grad():
        alone = judge(data.to_float(images[4000:4001])).softmax(1)
    torch.testing.assert_close(found[4000:4001], alone, atol=1e-5, rtol=1e-4)


def test_estimate_shows_its_error_to_two_digits() -> None:
    assert str(evaluation.Estimate(3.14159, 0.0123)) == "3.142 ± 0.012"
    assert str(evaluation.Estimate(314.159, 12.3)) == "314 ± 12"
    assert str(evaluation.Estimate(2302182.3, 524058.2)) == "2300000 ± 520000"
    assert str(evaluation.Estimate(-3.0, 512.0)) == "0 ± 510"
    assert str(evaluation.Estimate(0.0173, 0.0073)) == "0.0173 ± 0.0073"
    assert str(evaluation.Estimate(-4.82e-6, 9.9e-8)) == "(-4.820 ± 0.099)e-6"
    assert str(evaluation.Estimate(6e-6, 9.1e-5)) == "(0.6 ± 9.1)e-5"
    assert str(evaluation.Estimate(2.5, 1e-9)) == "2.5000000000 ± 0.0000000010"
    exact = evaluation.mean_estimate(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert exact == pytest.approx((2.5, math.sqrt(5 / 3) / 2))


@pytest.mark.parametrize(
    "call",
    [
        lambda: evaluation.moments(torch.zeros(3)),
        lambda: evaluation.moments(torch.zeros(3, 2, dtype=torch.int64)),
        lambda: evaluation.moments(torch.full((3, 2), math.nan)),
        lambda: evaluation.maximum_mean_discrepancy(torch.zeros(10, 2), scale=0),
        lambda: evaluation.maximum_mean_discrepancy(torch.zeros(10, 2)),
        lambda: evaluation.sliced_wasserstein(torch.zeros(100, 2), projections=0),
        lambda: evaluation.frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3)),
        lambda: evaluation.frechet_distance(torch.zeros(1, 2), torch.zeros(5, 2)),
        lambda: evaluation.nearest_distance(torch.zeros(5, 2), torch.zeros(5, 3)),
        lambda: evaluation.nearest_distance(torch.zeros(5, 2), torch.zeros(0, 2)),
        lambda: evaluation.mean_estimate(torch.zeros(1)),
    ],
)
def test_bad_input_gets_one_clear_sentence(call) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        call()


# ---- precision and recall --------------------------------------------------------------------


def by_hand(real: torch.Tensor, generated: torch.Tensor, k: int) -> tuple[float, float]:
    """Kynkäänniemi et al. 2019, algorithm 1, point by point."""

    def share(points: torch.Tensor, centres: torch.Tensor) -> float:
        radii = []
        for i, centre in enumerate(centres):
            others = torch.cat([centres[:i], centres[i + 1 :]])
            radii.append((others - centre).norm(dim=1).sort().values[k - 1])
        inside = [
            any((p - c).norm() <= r for c, r in zip(centres, radii, strict=True)) for p in points
        ]
        return sum(inside) / len(inside)

    return share(generated, real), share(real, generated)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("chunk", [500, 7])
def test_precision_and_recall_are_the_papers_algorithm(k: int, chunk: int) -> None:
    real, generated = draws(40, 3), 1.5 * draws(30, 3, seed=1) + 0.5
    found = evaluation.precision_recall(real, generated, neighbours=k, chunk=chunk)
    precision, recall = by_hand(real, generated, k)
    assert (found.precision.value, found.recall.value) == pytest.approx((precision, recall))
    assert 0 < recall != precision < 1
    error = math.sqrt(precision * (1 - precision) / 30)
    assert found.precision.standard_error == pytest.approx(error)
    assert found.recall.standard_error == pytest.approx(math.sqrt(recall * (1 - recall) / 40))


def test_precision_and_recall_tell_a_missing_mode_from_a_false_one() -> None:
    left, right = draws(500, 4), draws(500, 4, seed=1) + 20
    missing = evaluation.precision_recall(torch.cat([left, right]), draws(500, 4, seed=2))
    assert missing.precision.value > 0.9
    assert 0.4 < missing.recall.value < 0.55
    false = evaluation.precision_recall(left, torch.cat([draws(500, 4, seed=2), right]))
    assert 0.4 < false.precision.value < 0.55
    assert false.recall.value > 0.9


def test_precision_and_recall_of_a_copy_are_one_and_of_strangers_zero() -> None:
    points = draws(200, 5).to(torch.float32) + 100  # far from the origin: rounding must not show
    same = evaluation.precision_recall(points, points.clone())
    assert same == ((1.0, 0.0), (1.0, 0.0))
    apart = evaluation.precision_recall(points, points + 1000)
    assert apart == ((0.0, 0.0), (0.0, 0.0))
    # A collapsed sampler covers nothing but its own point.
    collapsed = evaluation.precision_recall(points, points[:1].expand(50, 5))
    assert collapsed.precision.value == 1
    assert collapsed.recall.value == 1 / 200


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: evaluation.precision_recall(f, f[:, :1]), r"\[n, d\] and \[m, d\]"),
        (lambda f: evaluation.precision_recall(f, f[:3]), "more rows than the 3 neighbours"),
        (lambda f: evaluation.precision_recall(f, f, neighbours=0), "neighbours must be a whole"),
        (lambda f: evaluation.precision_recall(f, f * math.nan), "features must be finite"),
        (lambda f: evaluation.classify(models.Classifier(), f.long()), "uint8 or floating"),
        (lambda f: evaluation.latent_samples(models.VAE(), f[:0]), "n >= 1"),
    ],
)
def test_bad_features_and_images_get_one_clear_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        call(draws(5, 2))
    one_sentence(error)


def test_images_are_read_in_the_models_dtype() -> None:
    images = data.load("mnist", "test").images[:20]
    for model in (models.VAE(seed=1), models.Autoencoder(seed=1)):
        single = evaluation.latent_samples(model, images)
        double = evaluation.latent_samples(model.double(), images)
        assert double.dtype == torch.float64
        torch.testing.assert_close(double, single.double(), rtol=1e-4, atol=1e-4)
        assert evaluation.reconstruction_error(model, images).dtype == torch.float64
