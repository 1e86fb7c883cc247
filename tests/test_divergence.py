"""Divergences of Gaussians against torch's, and of two peaks against what must be true of them."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import one_sentence
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal
from torch.distributions import kl_divergence as torchs

from vae_core import evaluation
from vae_core.distributions import DiagonalGaussian


def gaussian(k: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(k, k, generator=generator, dtype=torch.float64)
    mean = torch.randn(k, generator=generator, dtype=torch.float64)
    return mean, root @ root.T + 0.1 * torch.eye(k, dtype=torch.float64)


def peaks(weight: float = 0.6) -> MixtureSameFamily:
    values = [[weight, 1 - weight], [-1.5, 2.0], [0.7, 0.5]]
    weights, means, sigmas = torch.tensor(values, dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), Normal(means, sigmas))


@pytest.mark.parametrize("k", [1, 2, 7])
def test_full_covariances_agree_with_torch(k: int) -> None:
    (m, s), (n, t) = gaussian(k, 1), gaussian(k, 2)
    q, p = MultivariateNormal(m, s), MultivariateNormal(n, t)
    prior = MultivariateNormal(torch.zeros_like(m), torch.eye(k, dtype=m.dtype))
    torch.testing.assert_close(evaluation.gaussian_divergence(m, s, n, t), torchs(q, p))
    torch.testing.assert_close(evaluation.gaussian_divergence(m, s), torchs(q, prior))


def test_a_batch_is_each_of_its_members_and_diagonal_is_the_packages_own() -> None:
    pairs = [gaussian(3, seed) for seed in range(4)]
    means, covariances = (torch.stack(part) for part in zip(*pairs, strict=True))
    expected = torch.stack([evaluation.gaussian_divergence(m, s) for m, s in pairs])
    torch.testing.assert_close(evaluation.gaussian_divergence(means, covariances), expected)
    log_sigma = 0.3 * means
    diagonal = evaluation.gaussian_divergence(means, torch.diag_embed((2 * log_sigma).exp()))
    torch.testing.assert_close(diagonal, DiagonalGaussian(means, log_sigma).kl())


def test_what_is_no_gaussian_is_refused() -> None:
    mean, covariance = gaussian(2, 0)
    for change, words in (
        ({"covariance": covariance[:1]}, r"covariance must be \[..., 2, 2\]"),
        ({"covariance": covariance + torch.tensor([[0, 1], [0, 0]])}, "symmetric"),
        ({"covariance": -covariance}, "positive definite"),
        ({"other_covariance": 0 * covariance}, "other_covariance must be positive definite"),
        ({"mean": mean.long()}, "mean must be floating"),
    ):
        arguments = {"mean": mean, "covariance": covariance, **change}
        with pytest.raises(ValueError, match=words) as error:
            evaluation.gaussian_divergence(**arguments)
        one_sentence(error)


def test_quadrature_gives_the_closed_form() -> None:
    for mean, sigma in ((0.0, 1.0), (1.3, 0.2), (-2.0, 1.7)):
        q = Normal(
            torch.tensor(mean, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64)
        )
        p = Normal(torch.tensor(0.5, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64))
        got = evaluation.divergence_on_line(q.log_prob, p.log_prob, -20, 20)
        torch.testing.assert_close(got, torchs(q, p), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="low must be below high"):
        evaluation.divergence_on_line(q.log_prob, p.log_prob, 1, 1)


def test_reverse_divergence_is_the_integral_of_its_definition() -> None:
    target = peaks()
    mean, sigma = torch.tensor(0.4, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)
    got = evaluation.reverse_divergence(target, mean, sigma.log())
    expected = evaluation.divergence_on_line(
        Normal(mean, sigma).log_prob, target.log_prob, -15.0, 16.0
    )
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_forward_fit_has_the_moments_and_no_better_neighbour() -> None:
    target = peaks()
    fit = evaluation.forward_fit(target)
    assert fit.mean == pytest.approx(0.6 * -1.5 + 0.4 * 2.0)
    assert fit.sigma**2 == pytest.approx(0.6 * (0.49 + 1.4**2) + 0.4 * (0.25 + 2.1**2))
    for dm, ds in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        near = Normal(
            torch.tensor(fit.mean + dm, dtype=torch.float64),
            torch.tensor(fit.sigma + ds, dtype=torch.float64),
        )
        value = evaluation.divergence_on_line(target.log_prob, near.log_prob, -15, 15)
        assert float(value) > fit.divergence


def test_reverse_fit_falls_into_the_valley_it_starts_in() -> None:
    target = peaks()
    left, right = (evaluation.reverse_fit(target, m, 0.6) for m in (-1.5, 2.0))
    assert left.mean == pytest.approx(-1.5, abs=0.05)
    assert right.mean == pytest.approx(2.0, abs=0.05)
    # A Gaussian on one of two separate peaks pays the log of that peak's weight.
    assert left.divergence == pytest.approx(-math.log(0.6), abs=0.02)
    assert right.divergence == pytest.approx(-math.log(0.4), abs=0.02)
    for fit in (left, right):
        place = torch.tensor([fit.mean, math.log(fit.sigma)]).double().requires_grad_()
        evaluation.reverse_divergence(target, place[0], place[1]).backward()
        assert place.grad is not None
        assert float(place.grad.abs().max()) < 1e-6


def test_a_gaussian_target_is_found_exactly() -> None:
    target = Normal(torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64))
    for fit in (evaluation.forward_fit(target), evaluation.reverse_fit(target, -1.0)):
        assert fit.mean == pytest.approx(0.7, abs=1e-6)
        assert fit.sigma == pytest.approx(0.4, abs=1e-6)
        assert fit.divergence == pytest.approx(0, abs=1e-9)
