"""log P(X) from draws, against models whose log P(X) is known; and the sums it streams through."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from exact_models import PIXELS, SHAPE, SIGMA, linear_gaussian
from helpers import one_sentence
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.utils._python_dispatch import TorchDispatchMode

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood
from vae_core.evaluation import importance_sampling, log_likelihood, log_weights, monte_carlo
from vae_core.evaluation._importance import log_mean
from vae_core.models import VAE, Autoencoder
from vae_core.objectives import elbo

SWEEP = (1, 5, 50, 500)


def repeated(x: Tensor, n: int) -> Tensor:
    """One image, n times: as many independent estimates of one number."""
    return x[:1].expand(n, *x.shape[1:])


def bernoulli(latent: int = 2, dtype: torch.dtype = torch.float64) -> VAE:
    model = VAE(latent, SHAPE, (6,), BernoulliLikelihood(), seed=3).to(dtype)
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.weight.mul_(3)  # a decoder that z moves
    return model


def black_and_white(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(4)) > 0.5).to(dtype)


# ---- the estimate against the truth ----------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 5, 200])
def test_with_the_exact_posterior_every_weight_is_p_of_x(samples: int) -> None:
    exact = linear_gaussian(3)
    x = exact.images(70)
    found = log_likelihood(exact.model, x, samples, sweep=(1, samples))
    assert torch.allclose(found.value, exact.log_p(x), rtol=0, atol=1e-10)
    full = torch.full((70,), float(samples), dtype=torch.float64)
    assert torch.allclose(found.effective_samples, full, rtol=1e-10)
    assert torch.allclose(found.sweep[1].value, exact.log_p(x), rtol=0, atol=1e-10)
    if samples == 1:
        assert bool(found.standard_error.isnan().all())
    else:
        assert bool((found.standard_error < 1e-6).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("samples", [100, 1000, 5000])
@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_log_p_is_found_within_its_error(samples: int, proposal: str, dtype: torch.dtype) -> None:
    exact = linear_gaussian(2, shift=0.2, widen=1.3, dtype=dtype)
    x = exact.images(30)
    found = log_likelihood(exact.model, x, samples, proposal=proposal, seed=7)
    truth = exact.log_p(x)
    away = (found.value - truth) / found.standard_error
    assert bool((away.abs() < 4).all())
    mean = found.mean()
    # Below log P(X) on average by half the squared error: the logarithm is concave.
    bias = 0.5 * found.standard_error.square().mean().item()
    assert abs(mean.value + bias - truth.mean().item()) < 4 * mean.standard_error
    assert bool((found.effective_samples >= 1).all() & (found.effective_samples < samples).all())
    assert found.value.dtype == torch.float64
    assert found.samples == samples


@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_the_standard_error_is_the_spread_over_repeats(proposal: str) -> None:
    exact = linear_gaussian(2, shift=0.2, widen=1.4)
    x = exact.images(1)
    n = 3000
    found = log_likelihood(exact.model, repeated(x, n), 300, proposal=proposal)
    stated = found.standard_error.square().mean().sqrt().item()
    spread = found.value.std().item()
    # The error of a standard deviation from n values, and half as much again for the tails.
    assert stated == pytest.approx(spread, rel=6 / math.sqrt(2 * n))


def test_a_given_proposal_takes_the_encoders_place_row_by_row() -> None:
    exact = linear_gaussian(2, shift=3.0)
    x = exact.images(150)  # more than one group of images
    found = log_likelihood(exact.model, x, 4, proposal=exact.posterior(x), chunk=50)
    assert torch.allclose(found.value, exact.log_p(x), rtol=0, atol=1e-10)


def test_images_keep_their_order_whatever_the_chunk() -> None:
    exact = linear_gaussian(2, widen=1.2)
    x = exact.images(150)
    for chunk in (3, 64, 1000, None):
        found = log_likelihood(exact.model, x, 60, chunk=chunk, sweep=(1,))
        assert found.value.shape == found.sweep[1].value.shape == (150,)
        away = (found.value - exact.log_p(x)) / found.standard_error
        assert bool((away.abs() < 5).all())


# ---- bounds with fewer draws -----------------------------------------------------------------


def test_elbo_bounds_and_log_p_are_in_order_on_the_exact_model() -> None:
    exact = linear_gaussian(2, shift=0.4, widen=1.3)
    x, n = exact.images(1), 2000
    found = log_likelihood(exact.model, repeated(x, n), 500, sweep=SWEEP)
    truth, q = exact.log_p(x).item(), exact.model.encode(x)
    gap = q.kl(exact.posterior(x)).item()
    means = {k: bound.mean() for k, bound in found.sweep.items()}
    # With one draw, the ELBO: log P(X) less the divergence from the posterior.
    assert abs(means[1].value - (truth - gap)) < 4 * means[1].standard_error
    for k, following in ((1, 5), (5, 50), (50, 500)):
        rise = means[following].value - means[k].value
        assert rise > 4 * math.hypot(means[following].standard_error, means[k].standard_error) / 10
        assert means[k].value < truth - 4 * means[k].standard_error
    assert means[500].value < truth + 4 * means[500].standard_error


def test_bounds_rise_with_certainty_where_one_k_divides_the_next() -> None:
    model, x = bernoulli(), black_and_white(100)
    found = log_likelihood(model, x, 500, sweep=SWEEP, chunk=777)
    values = torch.stack([found.sweep[k].value for k in SWEEP])
    assert bool((values.diff(dim=0) > 0).all())
    assert torch.equal(values[-1], found.value)
    assert torch.equal(found.sweep[500].standard_error, found.standard_error)


@pytest.mark.parametrize("k", [5, 50])
def test_a_bound_from_blocks_has_the_mean_of_runs_with_k_draws(k: int) -> None:
    exact = linear_gaussian(2, shift=0.5)
    x, n = exact.images(1), 4000
    apart = log_likelihood(exact.model, repeated(x, n), k, seed=1)
    blocks = log_likelihood(exact.model, repeated(x, n // 10), 10 * k, sweep=(k,), seed=2).sweep[k]
    alone, together = evaluation.mean_estimate(apart.value), blocks.mean()
    error = math.hypot(alone.standard_error, together.standard_error)
    assert abs(alone.value - together.value) < 4 * error
    # The blocks' stated errors are their spread from image to image too.
    spread = evaluation.mean_estimate(blocks.value).standard_error
    assert together.standard_error == pytest.approx(spread, rel=0.2)


def test_the_elbo_of_the_objective_is_the_bound_with_one_draw() -> None:
    model, x = bernoulli(), black_and_white(20)
    bound = log_likelihood(model, x, 2000, sweep=(1,)).sweep[1]
    with torch.no_grad():
        many = elbo(model, x, 2000, generator=torch.Generator().manual_seed(5)).total
    assert bool(((bound.value - many).abs() < 8 * bound.standard_error).all())


# ---- the streamed sums -----------------------------------------------------------------------


@st.composite
def streams(draw: Any) -> tuple[Tensor, list[int], list[int]]:
    """Log weights [k, 3], sizes of the parts they come in, and the ks of a sweep."""
    k = draw(st.integers(1, 40))
    scale, offset = draw(st.floats(0, 30)), draw(st.floats(-1e5, 1e5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    weights = offset + scale * torch.randn(k, 3, generator=generator, dtype=torch.float64)
    cuts = sorted(draw(st.sets(st.integers(1, k - 1), max_size=8))) if k > 1 else []
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, k], strict=True)]
    return weights, sizes, draw(st.lists(st.integers(1, k), max_size=4))


def check_streamed(weights: Tensor, sizes: list[int], sweep: list[int]) -> None:
    """``log_mean`` of ``weights`` in parts of ``sizes``, against all of them at once."""
    k = len(weights)
    found = log_mean(iter(weights.split(sizes)), k, tuple(sweep))
    close = {"rtol": 1e-9, "atol": 1e-9}
    assert torch.allclose(found.value, weights.logsumexp(0) - math.log(k), **close)
    relative = (weights - weights.amax(0)).exp()
    expected = relative.sum(0) ** 2 / relative.square().sum(0)
    assert torch.allclose(found.effective_samples, expected, **close)
    assert bool((found.effective_samples >= 1).all() & (found.effective_samples <= k).all())
    if k > 1:
        error = relative.std(0) / math.sqrt(k) / relative.mean(0)
        # The root of a difference near zero keeps half the digits.
        assert torch.allclose(found.standard_error, error, rtol=1e-6, atol=1e-5)
    for size in sweep:
        m = k // size
        blocks = weights[: m * size].unflatten(0, (m, size)).logsumexp(1) - math.log(size)
        assert torch.allclose(found.sweep[size].value, blocks.mean(0), **close)
        if m > 1:
            error = blocks.std(0) / math.sqrt(m)
            assert torch.allclose(found.sweep[size].standard_error, error, rtol=1e-6, atol=1e-5)


@given(streams())
def test_streamed_sums_are_those_of_all_draws_at_once(
    stream: tuple[Tensor, list[int], list[int]],
) -> None:
    check_streamed(*stream)


@pytest.mark.parametrize("sizes", [[7, 5, 1, 17], [2, 28], [29, 1], [10, 10, 10], [1] * 30])
def test_blocks_go_on_from_part_to_part(sizes: list[int]) -> None:
    # Steps from block to block, so that a wrong merge of their spreads shows.
    weights = torch.arange(30.0).double()[:, None] * 0.3 + torch.randn(30, 4).double()
    check_streamed(weights, sizes, [1, 2, 3, 7, 15, 16, 30])


def test_stored_weights_are_the_draws_that_are_summed() -> None:
    exact = linear_gaussian(2, shift=0.3)
    x = exact.images(100)
    weights = log_weights(exact.model, x, 50, seed=9, chunk=130)
    assert weights.shape == (50, 100)
    assert weights.dtype == torch.float64
    found = log_likelihood(exact.model, x, 50, seed=9, chunk=130)
    assert torch.allclose(weights.logsumexp(0) - math.log(50), found.value, rtol=1e-12)


def test_no_weight_at_all_is_minus_infinity() -> None:
    found = log_mean(iter(torch.full((2, 3, 1), -math.inf)), 6, (1, 2, 6))
    assert found.value.item() == -math.inf
    assert all(bound.value.item() == -math.inf for bound in found.sweep.values())


def test_one_block_has_no_error() -> None:
    found = log_mean(iter([torch.randn(10, 2)]), 10, (6, 10))
    assert bool(found.sweep[6].standard_error.isnan().all())
    assert bool(found.sweep[10].standard_error.isfinite().all())


def test_a_mean_over_images_adds_their_errors() -> None:
    bound = evaluation.Bound(torch.tensor([1.0, 3.0]).double(), torch.tensor([0.3, 0.4]).double())
    assert bound.mean() == pytest.approx((2.0, 0.25))


# ---- conditional likelihoods, from callables alone -------------------------------------------


def conditional() -> tuple[Callable[[Tensor], Tensor], DiagonalGaussian, DiagonalGaussian, Tensor]:
    """log P(Y|X, z), P(z|X), P(z|X, Y) and log P(Y|X) for Y = W z + noise, P(z|X) not N(0, I)."""
    exact = linear_gaussian(2)
    w, n = exact.weight, 40
    generator = torch.Generator().manual_seed(1)
    prior = DiagonalGaussian(
        torch.randn(n, 2, generator=generator, dtype=torch.float64),
        torch.tensor([-0.5, 0.2]).double().expand(n, 2),
    )
    y = prior.rsample(generator=generator) @ w.T
    y = y + SIGMA * torch.randn(n, PIXELS, generator=generator, dtype=torch.float64)
    variance = prior.sigma[0] ** 2
    truth = MultivariateNormal(
        prior.mean @ w.T, w @ variance.diag() @ w.T + SIGMA**2 * torch.eye(PIXELS).double()
    ).log_prob(y)
    spread = 1 / (1 / variance + w.square().sum(0) / SIGMA**2)
    mean = spread * (prior.mean / variance + y @ w / SIGMA**2)
    likelihood = GaussianLikelihood(SIGMA, link="identity")
    return (
        lambda z: likelihood.log_prob(y, z @ w.T),
        prior,
        DiagonalGaussian(mean, 0.5 * spread.log().expand(n, 2)),
        truth,
    )


def test_conditional_log_likelihood_by_importance_sampling_is_exact_at_the_posterior() -> None:
    given_z, prior, posterior, truth = conditional()
    found = importance_sampling(lambda z: given_z(z) + prior.log_prob(z), posterior, 3)
    assert torch.allclose(found.value, truth, rtol=0, atol=1e-10)


def test_conditional_log_likelihood_is_found_both_ways_within_the_error() -> None:
    given_z, prior, posterior, truth = conditional()
    wide = DiagonalGaussian(posterior.mean + 0.1, posterior.log_sigma + 0.2)
    plain = monte_carlo(given_z, prior, 20_000, sweep=(1, 100), chunk=1000)
    better = importance_sampling(
        lambda z: given_z(z) + prior.log_prob(z), wide, 2000, sweep=(1, 100), chunk=1000
    )
    for found in (plain, better):
        assert bool(((found.value - truth).abs() < 4 * found.standard_error).all())
        assert bool((found.sweep[1].value < found.sweep[100].value).all())
        assert bool((found.sweep[100].value < found.value).all())
    # A tenth of the draws, and still the smaller error.
    assert better.mean().standard_error < plain.mean().standard_error


# ---- images, devices, memory -----------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """The size in bytes of the largest tensor any operation makes."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return out


def largest(call: Callable[[], object]) -> int:
    with LargestTensor() as mode:
        call()
    return mode.bytes


def test_no_tensor_grows_with_draws_or_images() -> None:
    model = VAE(2, hidden=(8,), likelihood=BernoulliLikelihood())
    x = data.binarize(data.load("mnist", "test").images[:300], "fixed")
    limit = 2**22  # bytes; all draws of all images at once would be 28 MB in the smallest case
    for n, k in ((90, 100), (90, 200), (300, 100)):
        found = largest(lambda n=n, k=k: log_likelihood(model, x[:n], k, sweep=(1, 5)))
        assert limit / 2 < found <= limit < n * k * 784 * 4 / 6
    few = x[:60].clone()
    assert largest(lambda: log_likelihood(model, few, 100, chunk=64)) == 60 * 784 * 4
    assert largest(lambda: evaluation.rate_distortion(model, x, 50)) <= 2**22
    # A grid decodes ``chunk`` latents at a time; a gradient's chunk is a quarter as long.
    found = largest(lambda: evaluation.true_posterior_grid(model, few[:10], count=60, chunk=200))
    assert found == 200 * 784 * 4 < 3600 * 784 * 4
    few = few[:8].clone()
    found = largest(lambda: evaluation.refine_posterior(model, few, 2, judged=400, chunk=64))
    assert found == 16 * 784 * 4 < 400 * 784 * 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own accounts")
def test_ten_thousand_digits_stay_far_under_two_gigabytes(python: Callable[..., Any]) -> None:
    done = python(
        "import re, torch\n"
        "from pathlib import Path\n"
        "from vae_core import data, evaluation, models\n"
        "from vae_core.distributions import BernoulliLikelihood\n"
        "torch.set_num_threads(1)\n"
        "def memory(name):\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(name + r':\\s+(\\d+) kB', status)[1]) / 1024\n"
        "model = models.VAE(2, hidden=(4,), likelihood=BernoulliLikelihood())\n"
        "x = data.binarize(data.load('mnist', 'test').images, 'fixed')\n"
        "evaluation.log_likelihood(model, x[:64], 2, sweep=(1,))\n"
        "before = memory('VmRSS')\n"
        "evaluation.log_likelihood(model, x, 12, sweep=(1, 5))\n"
        "print(len(x), memory('VmHWM') - before)\n"
    )
    assert done.returncode == 0, done.stderr
    n, grown = done.stdout.split()
    assert int(n) == 10_000
    # One tensor of all 120,000 decoded digits would be 376 MB; the peak is the same for any k.
    assert float(grown) < 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_and_floats_run_in_the_models_dtype(dtype: torch.dtype) -> None:
    images = (torch.rand(5, *SHAPE) * 255).to(torch.uint8)
    model = VAE(2, SHAPE, (6,)).to(dtype)
    as_bytes = log_likelihood(model, images, 10)
    as_floats = log_likelihood(model, data.to_float(images), 10)
    assert torch.equal(as_bytes.value, as_floats.value)
    assert torch.isfinite(as_bytes.value).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_a_gpu_reads_images_from_the_cpu() -> None:
    exact = linear_gaussian(2, widen=1.2)
    x = exact.images(100)
    model = exact.model.to("cuda")
    found = log_likelihood(model, x, 1000, sweep=(1, 10))
    assert found.value.device.type == "cuda"
    away = (found.value.cpu() - exact.log_p(x)) / found.standard_error.cpu()
    assert bool((away.abs() < 5).all())


def test_the_seed_decides_and_nothing_else_moves() -> None:
    model, x = bernoulli(), black_and_white(10)
    state = torch.get_rng_state()
    first = log_likelihood(model, x, 20, seed=1).value
    assert torch.equal(first, log_likelihood(model, x, 20, seed=1).value)
    assert not torch.equal(first, log_likelihood(model, x, 20, seed=2).value)
    assert torch.equal(state, torch.get_rng_state())
    assert not first.requires_grad
    # Each image has draws of its own.
    same = log_likelihood(model, repeated(x, 10), 20).value
    assert len(same.unique()) == 10


# ---- refusals --------------------------------------------------------------------------------


def gaussian(n: int = 2, latent: int = 2) -> DiagonalGaussian:
    return DiagonalGaussian.standard(torch.zeros(n, latent))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: log_likelihood(m, x, 0), "samples must be a whole number"),
        (lambda m, x: log_likelihood(m, x, 10, sweep=(11,)), "at most samples, 10; got 11"),
        (lambda m, x: log_likelihood(m, x, 10, sweep=(0,)), "each k of sweep must be a whole"),
        (lambda m, x: log_likelihood(m, x, 10, chunk=0), "chunk must be a whole number"),
        (lambda m, x: log_likelihood(m, x, 10, seed=-1), "seed must be a whole number"),
        (lambda m, x: log_likelihood(m, x, 10, proposal="q"), "'posterior', 'prior'"),
        (lambda m, x: log_likelihood(m, x, 10, proposal=gaussian(3)), "one row an image"),
        (lambda m, x: log_likelihood(m, x[:0], 10), "n >= 1"),
        (lambda m, x: log_likelihood(m, x[:, :, 1:], 10), "images must be"),
        (lambda m, x: log_likelihood(m, x.long(), 10), "uint8 or floating; got torch.int64"),
        (lambda m, x: log_likelihood(m, x / 2 + 0.2, 10), "binarize grey images first"),
        (lambda m, x: log_likelihood(Autoencoder(2, SHAPE), x, 10), "must have a posterior"),
        (lambda m, x: log_weights(m, x, 0), "samples must be a whole number"),
        (lambda m, x: importance_sampling(m, gaussian(), 0), "samples must be a whole number"),
        (lambda m, x: importance_sampling(m, (x, x)), "must be a DiagonalGaussian; got tuple"),
        (lambda m, x: monte_carlo(m, DiagonalGaussian(x, x)), r"\[batch, latent\]"),
        (lambda m, x: monte_carlo(lambda z: z, gaussian()), r"\[samples, batch\] = \[1000, 2\]"),
        (
            lambda m, x: monte_carlo(lambda z: z.sum(2) * math.nan, gaussian()),
            "the weights of 2 of 2 images are NaN or infinite",
        ),
        (lambda m, x: evaluation.rate_distortion(m, x, 0), "samples must be a whole number"),
        (lambda m, x: evaluation.rate_distortion(m, x / 2 + 0.2), "binarize grey images first"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call: Any, words: str) -> None:
    model = VAE(2, SHAPE, (5,), BernoulliLikelihood())
    with pytest.raises(ValueError, match=words) as error:
        call(model, black_and_white(2, torch.float32))
    one_sentence(error)


# ---- rate and distortion ---------------------------------------------------------------------


def test_rate_and_distortion_are_the_elbos_parts() -> None:
    exact = linear_gaussian(3, shift=0.2, widen=1.1)
    x = exact.images(1200)  # more than one group of images
    found = evaluation.rate_distortion(exact.model, x, 400)
    q, (mean, sigma) = exact.model.encode(x), (exact.model.embed(x), exact.model.encode(x).sigma)
    assert torch.allclose(found.rate, q.kl(), rtol=1e-10)
    # E_Q ||X - W z - b||^2 in closed form: at Q's mean, plus the part that Q's spread adds.
    left = x.flatten(1) - mean @ exact.weight.T - exact.bias
    squared = left.square().sum(1) + (sigma**2 * exact.weight.square().sum(0)).sum(1)
    truth = squared / (2 * SIGMA**2) + PIXELS / 2 * math.log(2 * math.pi * SIGMA**2)
    away = (found.distortion - truth) / found.distortion_error
    assert bool((away.abs() < 5).all())
    assert away.std().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(found.elbo, -found.rate - found.distortion)
    assert torch.allclose(found.kl_per_dimension, q.kl_per_dimension().mean(0), rtol=1e-10)
    assert torch.allclose(found.mean_variance, mean.var(0), rtol=1e-10)
    means = found.means()
    assert means["rate"] == evaluation.mean_estimate(q.kl())
    assert means["elbo"].value == pytest.approx(-means["rate"].value - means["distortion"].value)
    assert bool(evaluation.rate_distortion(exact.model, x[:3]).distortion_error.isnan().all())


def test_active_units_by_variance_and_by_kl_differ_where_q_is_constant_but_not_the_prior() -> None:
    exact = linear_gaussian(4)
    assert exact.model.encoder.log_sigma is not None
    with torch.no_grad():
        exact.model.encoder.mean.weight[1:3] = 0
        exact.model.encoder.mean.bias[1:3] = torch.tensor([1.0, 0.0])
        exact.model.encoder.log_sigma.bias[1:3] = 0
    x = exact.images(500)
    found = evaluation.rate_distortion(exact.model, x)
    # Latent 1 tells nothing of X and costs half a nat; latent 2 is the prior.
    assert found.kl_per_dimension[1].item() == pytest.approx(0.5)
    assert found.active_by_variance().tolist() == [True, False, False, True]
    assert found.active_by_kl().tolist() == [True, True, False, True]
    assert found.active_by_kl(0.6).tolist()[1] is False
    assert found.active_by_variance(1e9).tolist() == [False] * 4
    one = evaluation.rate_distortion(exact.model, x[:1])
    assert one.mean_variance.tolist() == [0.0] * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rate_distortion_runs_in_the_models_dtype(dtype: torch.dtype) -> None:
    found = evaluation.rate_distortion(bernoulli(2, dtype), black_and_white(9), 3, chunk=4)
    assert all(part.dtype == torch.float64 for part in found)
    assert found.rate.shape == found.distortion.shape == (9,)
