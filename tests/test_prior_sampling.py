"""The naive estimate of log P(X), and the divergence that says how many draws it needs."""

from __future__ import annotations

import math

import pytest
import torch
from exact_models import linear_gaussian

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood
from vae_core.models import VAE


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    """The first 400 test digits."""
    test = data.load("mnist", "test")
    return test._replace(images=test.images[:400], labels=test.labels[:400])


@pytest.mark.parametrize("pixels", ["grey", "binary"])
def test_prior_sampling_is_monte_carlo_on_shared_draws(pixels: str, few: data.ImageData) -> None:
    likelihood = BernoulliLikelihood() if pixels == "binary" else GaussianLikelihood(0.7)
    model = VAE(3, hidden=(8,), likelihood=likelihood, seed=2).double()
    x = few.images[:4].double() / 255
    x = (x > 0.5).double() if pixels == "binary" else x
    found = evaluation.prior_sampling(model, x, (500, 1, 20), chunk=64, seed=5)
    assert found.counts == (1, 20, 500)
    assert found.value.shape == (3, 4)
    # The draws again, in the same pieces: a count ends a piece.
    generator = torch.Generator().manual_seed(5)
    rows = 64 if pixels == "binary" else 16
    sizes, done = [], 0
    for end in found.counts:
        while done < end:
            sizes.append(min(rows, end - done))
            done += sizes[-1]
    z = torch.cat([torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in sizes])
    with torch.no_grad():
        log_p = torch.stack([model.log_likelihood(x, row.expand(4, 3)) for row in z])
    for k, n in enumerate(found.counts):
        share = log_p[:n].softmax(0)
        expected = log_p[:n].logsumexp(0) - math.log(n)
        assert found.value[k].tolist() == pytest.approx(expected.tolist(), abs=1e-8)
        size = 1 / share.square().sum(0)
        assert found.effective_samples[k].tolist() == pytest.approx(size.tolist())
        assert found.largest_share[k].tolist() == pytest.approx(share.max(0).values.tolist())
        if n > 1:
            spread = log_p[:n].sub(expected).exp().std(0) / math.sqrt(n)  # in units of the mean
            assert found.standard_error[k].tolist() == pytest.approx(spread.tolist())
    assert found.standard_error[0].isnan().all()


def test_prior_sampling_takes_images_of_any_number_of_pixels() -> None:
    model = VAE(2, (1, 3, 5), (), BernoulliLikelihood(), seed=1).double()
    x = (torch.rand(3, 1, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    shared = evaluation.prior_sampling(model, x, (20_000,))
    own = evaluation.log_likelihood(model, x, 20_000, proposal="prior", seed=1)
    error = (shared.standard_error[0].square() + own.standard_error.square()).sqrt()
    assert ((shared.value[0] - own.value).abs() < 4 * error).all()


def test_prior_sampling_refuses(few: data.ImageData) -> None:
    model = VAE(2, hidden=(4,), likelihood=BernoulliLikelihood())
    with pytest.raises(ValueError, match="counts must name"):
        evaluation.prior_sampling(model, few.images[:1], ())
    with pytest.raises(ValueError, match="each count"):
        evaluation.prior_sampling(model, few.images[:1], (0,))
    with pytest.raises(ValueError, match="0 or 1"):
        evaluation.prior_sampling(model, few.images[:1], (1,))


# ------------------------------------------------------------------ how far from the prior


def exact_ratio(posterior: DiagonalGaussian) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of log P(z|X)/P(z) under a diagonal Gaussian P(z|X)."""
    m, v = posterior.mean, posterior.sigma.square()
    variance = (v - 1).square() / 2 + m.square() * v
    return posterior.kl(), variance.sum(1).sqrt()


@pytest.mark.parametrize("proposal", ["posterior", "wider", "prior"])
def test_prior_divergence_is_the_linear_models(proposal: str) -> None:
    """From Q's draws, from given ones and from the prior's: 20 times, within 4 standard errors."""
    exact = linear_gaussian(2, shift=0.1, widen=1.2)
    x = exact.images(3)
    value, deviation = exact_ratio(exact.posterior(x))
    other: str | DiagonalGaussian = proposal
    if proposal == "wider":
        p = exact.posterior(x)
        other = DiagonalGaussian(p.mean + 0.1, p.log_sigma + 0.3)
    runs = [
        evaluation.prior_divergence(exact.model, x, 4000, proposal=other, seed=seed, chunk=999)
        for seed in range(20)
    ]
    for name, expected in (
        ("value", value),
        ("deviation", deviation),
        ("log_likelihood", exact.log_p(x)),
    ):
        found = torch.stack([getattr(run, name) for run in runs])
        error = found.std(0) / math.sqrt(len(runs))
        assert ((found.mean(0) - expected).abs() < 4 * error + 0.002).all()
        assert (error < 0.05).all()


def test_prior_divergence_of_the_exact_posterior_needs_no_luck() -> None:
    exact = linear_gaussian(3)
    x = exact.images(70)  # more than one chunk
    found = evaluation.prior_divergence(exact.model, x, 300)
    assert found.log_likelihood.tolist() == pytest.approx(exact.log_p(x).tolist(), abs=1e-9)
    assert found.effective_samples.tolist() == pytest.approx([300.0] * 70)
    value, deviation = exact_ratio(exact.posterior(x))
    assert ((found.value - value).abs() < 4.5 * deviation / math.sqrt(300)).all()


def test_a_grid_knows_the_divergence_too() -> None:
    exact = linear_gaussian(2)
    x = exact.images(4)
    grid = evaluation.true_posterior_grid(exact.model, x, ((-6, 6), (-7, 7)), 200)
    value, _ = exact_ratio(exact.posterior(x))
    assert grid.prior_divergence().tolist() == pytest.approx(value.tolist(), abs=1e-3)


def test_prior_divergence_refuses() -> None:
    exact = linear_gaussian()
    x = exact.images(2)
    with pytest.raises(ValueError, match="samples must be"):
        evaluation.prior_divergence(exact.model, x, 0)
    with pytest.raises(ValueError, match="proposal must be"):
        evaluation.prior_divergence(exact.model, x, 5, proposal="encoder")
    one = DiagonalGaussian.standard(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="one row an image"):
        evaluation.prior_divergence(exact.model, x, 5, proposal=one)
