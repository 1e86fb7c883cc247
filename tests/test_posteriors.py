"""The true posterior on a grid, and refined ones, against posteriors known in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_models import SHAPE, linear_gaussian
from helpers import one_sentence
from torch import Tensor

from vae_core import data, evaluation, training
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian
from vae_core.evaluation import log_likelihood, refine_posterior, true_posterior_grid
from vae_core.models import VAE

# ---- the grid --------------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "widen"), [(0.0, 1.0), (0.3, 0.8), (-0.5, 1.5)])
def test_the_grid_knows_p_of_x_the_posterior_and_its_divergence(shift: float, widen: float) -> None:
    exact = linear_gaussian(2, shift=shift, widen=widen)
    x = exact.images(70)  # more than one group of images
    found = true_posterior_grid(exact.model, x, (-10, 10), 200)
    assert torch.allclose(found.log_likelihood, exact.log_p(x), rtol=0, atol=1e-9)
    assert bool((found.error < 1e-6).all())
    assert bool((found.edge < 1e-6).all())
    assert torch.allclose(found.posterior_mass, torch.ones(70).double(), atol=1e-9)

    posterior, q = exact.posterior(x), exact.model.encode(x)
    assert torch.allclose(found.divergence, q.kl(posterior), rtol=0, atol=1e-8)
    # log P(X) = ELBO + D[Q || P(z|X)].
    bound = evaluation.rate_distortion(exact.model, x, 2000)
    away = (found.log_likelihood - found.divergence - bound.elbo) / bound.distortion_error
    assert bool((away.abs() < 5).all())

    z = torch.stack(torch.meshgrid(found.first, found.second, indexing="xy"), -1)
    for i in (0, 69):
        expected = DiagonalGaussian(posterior.mean[i], posterior.log_sigma[i]).log_prob(z)
        assert torch.allclose(found.log_density[i], expected, rtol=0, atol=1e-8)


def test_rows_are_the_second_latent_and_columns_the_first() -> None:
    exact = linear_gaussian(2)
    x = exact.images(5)
    found = true_posterior_grid(exact.model, x, ((-5, 6), (-8, 7)), 300)
    assert (found.first[0], found.first[-1]) == (-5, 6)
    assert (found.second[0], found.second[-1]) == (-8, 7)
    best = found.log_density.flatten(1).argmax(1)
    row, column = best // 300, best % 300
    mean = exact.posterior(x).mean
    steps = torch.tensor([11 / 299, 15 / 299]) / 2 + 1e-9
    peak = torch.stack([found.first[column], found.second[row]], 1)
    assert bool(((peak - mean).abs() <= steps).all())
    assert torch.allclose(found.log_likelihood, exact.log_p(x), rtol=0, atol=1e-9)


def test_the_density_integrates_to_one() -> None:
    exact = linear_gaussian(2)
    # The limits cut the posterior, so that the weights of edges and corners matter.
    found = true_posterior_grid(exact.model, exact.images(3), ((-0.5, 0.6), (-1, 0.2)), 50)
    rows = torch.trapezoid(found.log_density.exp(), found.first, dim=2)
    assert torch.allclose(torch.trapezoid(rows, found.second, dim=1), torch.ones(3).double())
    assert bool((found.edge > 0.01).all())


def test_error_edge_and_mass_show_a_grid_that_is_coarse_or_tight() -> None:
    exact = linear_gaussian(2)
    x = exact.images(20)
    truth = exact.log_p(x)
    for count in (24, 28, 32, 40):
        coarse = true_posterior_grid(exact.model, x, (-7, 7), count)
        off = (coarse.log_likelihood - truth).abs()
        assert bool((off < 0.2 * coarse.error + 1e-9).all())
    coarse = true_posterior_grid(exact.model, x, (-7, 7), 12)
    assert coarse.error.max().item() > 0.1
    tight = true_posterior_grid(exact.model, x, (-0.5, 0.5), 50)
    assert bool((tight.edge > 0.01).all())
    assert bool((tight.posterior_mass < 0.9).all())
    assert bool((tight.divergence >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [None, 37])
def test_a_network_with_kinks_agrees_with_draws(dtype: torch.dtype, chunk: int | None) -> None:
    model = VAE(2, SHAPE, (6,), BernoulliLikelihood(), seed=3).to(dtype)
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.weight.mul_(3)
    x = (torch.rand(10, *SHAPE) > 0.5).to(dtype)
    grid = true_posterior_grid(model, x, (-6, 6), 100, chunk=chunk)
    draws = log_likelihood(model, x, 3000)
    away = (draws.value - grid.log_likelihood) / draws.standard_error
    assert bool((away.abs() < 4).all())
    finer = true_posterior_grid(model, x, (-6, 6), 399)
    off = (grid.log_likelihood - finer.log_likelihood).abs()
    assert bool((off < grid.error).all())
    assert bool((grid.error < 1e-2).all())
    bound = evaluation.rate_distortion(model, x, 3000)
    gap = grid.log_likelihood - bound.elbo
    assert bool(((grid.divergence - gap).abs() < 4 * bound.distortion_error + 1e-3).all())
    assert grid.log_density.dtype == torch.float64


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: true_posterior_grid(VAE(3, SHAPE), x), "2 latents; got 3"),
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, count=3), "count must be a whole number"),
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, (1, 1)), r"limits must be \(low, high\)"),
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, (0, math.inf)), "limits must be"),
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, ((0, 1), (2, 1))), "limits must be"),
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, 3), "limits must be"),  # type: ignore
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x, ((0, 1),)), "limits must be"),  # type: ignore
        (lambda x: true_posterior_grid(VAE(2, SHAPE), x + 1), r"pixels must lie in \[0, 1\]"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x, 0), "steps must be a whole number"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x, samples=0), "samples must be a whole"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x, judged=3), "judged must be a whole number"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x, learning_rate=0), "learning_rate must be"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x, learning_rate=math.nan), "got nan"),
        (lambda x: refine_posterior(VAE(2, SHAPE), x[:0]), "n >= 1"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        call(torch.rand(2, *SHAPE))
    one_sentence(error)


# ---- refinement ------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [1, 3])
def test_refinement_finds_the_posterior_and_gains_the_divergence(latent: int) -> None:
    exact = linear_gaussian(latent, shift=0.4, widen=1.3)
    x = exact.images(40)
    found = refine_posterior(exact.model, x, 400, 0.02, samples=16)
    posterior, q = exact.posterior(x), exact.model.encode(x)
    assert bool((found.posterior.kl(posterior) < 5e-3).all())
    assert found.posterior.kl(posterior).mean().item() < 1e-3
    # The truth: what the divergence fell by. The draws are common, so the error is small.
    truth = q.kl(posterior) - found.posterior.kl(posterior)
    assert bool(((found.gain - truth).abs() < 4 * found.gain_error + 1e-12).all())
    assert torch.allclose(found.after - found.before, found.gain, rtol=0, atol=1e-12)
    assert bool((found.gain > 0.02).all())
    assert torch.allclose(
        found.posterior.log_sigma, posterior.log_sigma, rtol=0, atol=0.05
    )  # not the mean alone


@pytest.mark.parametrize("learning_rate", [5.0, 1e30])
def test_a_destructive_rate_leaves_the_start(learning_rate: float) -> None:
    exact = linear_gaussian(2)
    x = exact.images(10)
    start = exact.model.encode(x)
    found = refine_posterior(exact.model, x, 3, learning_rate)
    assert torch.equal(found.posterior.mean, start.mean)
    assert torch.equal(found.posterior.log_sigma, start.log_sigma)
    assert torch.equal(found.gain, torch.zeros(10).double())
    assert torch.equal(found.before, found.after)


@pytest.mark.parametrize("learning_rate", [0.003, 0.1, 0.5])
def test_no_bound_gets_worse_than_it_was(learning_rate: float) -> None:
    """Short and rough, from the optimum itself and from a little off it."""
    for shift in (0.0, 0.05):
        exact = linear_gaussian(2, shift=shift)
        x = exact.images(200)
        found = refine_posterior(exact.model, x, 5, learning_rate, samples=1, judged=50)
        q, posterior = exact.model.encode(x), exact.posterior(x)
        lost = found.posterior.kl(posterior) - q.kl(posterior)
        # Choosing by 50 common draws errs by what those draws can't tell.
        assert bool((lost < 4 * found.gain_error + 1e-12).all())
        assert bool((found.gain > -4 * found.gain_error - 1e-12).all())
        assert lost.mean().item() <= 2e-3


def test_the_model_stays_as_it_is() -> None:
    exact = linear_gaussian(2, shift=0.3)
    x = exact.images(5)
    before = [p.detach().clone() for p in exact.model.parameters()]
    state = torch.get_rng_state()
    with torch.no_grad():
        first = refine_posterior(exact.model, x, 5, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    for p, q in zip(exact.model.parameters(), before, strict=True):
        assert torch.equal(p, q)
        assert p.grad is None
        assert p.requires_grad
    exact.model.requires_grad_(False)
    again = refine_posterior(exact.model, x, 5, seed=1)
    assert torch.equal(first.posterior.mean, again.posterior.mean)
    assert torch.equal(first.gain, again.gain)
    assert not again.posterior.mean.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_refinement_keeps_order_and_dtype_over_chunks(dtype: torch.dtype) -> None:
    exact = linear_gaussian(2, shift=0.4, dtype=dtype)
    x = exact.images(23)
    found = refine_posterior(exact.model, x, 150, 0.03, samples=2, chunk=40)  # five at a time
    assert found.posterior.mean.dtype == dtype
    assert found.gain.dtype == torch.float64
    better = DiagonalGaussian(found.posterior.mean.double(), found.posterior.log_sigma.double())
    assert bool((better.kl(exact.posterior(x)) < 0.05).all())


# ---- on digits -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, Tensor]:
    """A small VAE, trained for a moment, and digits it has not seen."""
    few = data.load("mnist", "train").first(8000)
    model = VAE(2, hidden=(64,), likelihood=BernoulliLikelihood())
    training.fit(model, few, epochs=6, pixels="dynamic", device="cpu", progress=False)
    return model, data.binarize(data.load("mnist", "test").images[:10], "fixed")


@pytest.mark.slow
def test_on_digits_draws_grid_bound_and_refinement_agree(trained: tuple[VAE, Tensor]) -> None:
    model, x = trained
    grid = true_posterior_grid(model, x, (-10, 10), 250)
    assert bool((grid.error < 0.01).all())
    assert bool((grid.edge < 1e-6).all())
    draws = log_likelihood(model, x, 2000, sweep=(1, 5, 50, 500), seed=1)
    bounds = torch.stack([bound.value for bound in draws.sweep.values()])
    assert bool((bounds.diff(dim=0) > 0).all())
    assert bool((bounds < grid.log_likelihood + 4 * draws.standard_error).all())

    gap, error = grid.log_likelihood - bounds[0], draws.sweep[1].standard_error
    assert bool(((grid.divergence - gap).abs() < 5 * error + 0.01).all())
    refined = refine_posterior(model, x, 150)
    assert bool((refined.gain > -4 * refined.gain_error).all())
    # What refinement gains is at most the divergence from the posterior.
    assert bool((refined.gain < grid.divergence + 4 * refined.gain_error + 0.01).all())
    assert refined.gain.mean().item() > 0.5

    # A refined Q is the better proposal; a little wider, its weights have a light tail.
    wider = DiagonalGaussian(refined.posterior.mean, refined.posterior.log_sigma + 0.5)
    better = log_likelihood(model, x, 2000, proposal=wider)
    assert better.effective_samples.min() > 500 > draws.effective_samples.min()
    assert better.mean().standard_error < draws.mean().standard_error / 2
    away = (better.value - grid.log_likelihood) / better.standard_error
    assert bool((away.abs() < 4).all())
