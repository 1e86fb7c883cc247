"""Distributions against torch.distributions, in both precisions, and against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import one_sentence
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_core.distributions import (
    BernoulliLikelihood,
    DiagonalGaussian,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)

# What each precision owes to a reference computed in float64.
RELATIVE = {torch.float64: 1e-10, torch.float32: 1e-5}
dtypes = st.sampled_from([torch.float64, torch.float32])
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
seeds = st.integers(0, 2**31)


def uniform(seed: int, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Float64 values that float32 holds exactly: only the computation rounds, not the input."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(shape, generator=generator, dtype=torch.float32) * (high - low) + low
    return values.double()


def gaussian(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> DiagonalGaussian:
    mean = uniform(seed, shape, -4, 4)
    return DiagonalGaussian(mean.to(dtype), uniform(seed + 1, shape, -3, 2).to(dtype))


def reference(q: DiagonalGaussian) -> Independent:
    return Independent(Normal(q.mean.double(), q.log_sigma.double().exp()), 1)


def agree(ours: Tensor, theirs: Tensor, dtype: torch.dtype, scale: Tensor | float = 1.0) -> None:
    """Equal within the precision's tolerance, relative to the largest of the terms summed."""
    assert ours.dtype == dtype
    assert ours.shape == theirs.shape
    allowed = RELATIVE[dtype] * torch.clamp(theirs.abs(), min=torch.as_tensor(scale).double())
    assert bool(((ours.double() - theirs).abs() <= allowed).all())


@given(seeds, shapes, dtypes)
def test_gaussian_equals_torch(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    q, other = gaussian(seed, shape, dtype), gaussian(seed + 7, shape, dtype)
    z = uniform(seed + 3, shape, -3, 3)
    theirs, prior = reference(q), reference(DiagonalGaussian.standard(q.mean))
    terms = ((z - q.mean.double()) / q.log_sigma.double().exp()).square().sum(-1)
    agree(q.log_prob(z.to(dtype)), theirs.log_prob(z), dtype, scale=1 + terms)
    agree(q.entropy(), theirs.entropy(), dtype, scale=shape[-1] * 4.0)
    agree(q.kl(), kl_divergence(theirs, prior), dtype)
    agree(q.kl(other), kl_divergence(theirs, reference(other)), dtype)
    per_dimension = q.kl_per_dimension(other)
    assert per_dimension.shape == shape
    agree(per_dimension.sum(-1), kl_divergence(theirs, reference(other)), dtype)
    agree(q.sigma, q.log_sigma.double().exp(), dtype)


@given(seeds, shapes, dtypes)
def test_kl_to_the_prior_is_kl_to_a_standard_normal(
    seed: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    q = gaussian(seed, shape, dtype)
    prior = DiagonalGaussian.standard(q.mean)
    agree(q.kl(), q.kl(prior).double(), dtype)


@given(st.floats(-60, 40, width=32), st.floats(-1e4, 1e4, width=32), dtypes)
def test_kl_is_never_negative(log_sigma: float, mean: float, dtype: torch.dtype) -> None:
    q = DiagonalGaussian(torch.tensor([mean], dtype=dtype), torch.tensor([log_sigma], dtype=dtype))
    # Exact up to the rounding of the terms that cancel, each of the size of log sigma.
    rounding = 2 * torch.finfo(dtype).eps * abs(log_sigma)
    assert q.kl().item() >= -rounding
    assert q.kl(DiagonalGaussian.standard(q.mean)).item() >= -rounding


@pytest.mark.parametrize("dtype", RELATIVE)
def test_kl_close_to_the_prior_keeps_its_digits(dtype: torch.dtype) -> None:
    # D = l^2 + O(l^3) at mean 0 and log sigma l: what (sigma^2 - 1)/2 - l loses in float32.
    q = DiagonalGaussian(torch.zeros(1, dtype=dtype), torch.full((1,), 1e-3, dtype=dtype))
    assert q.kl().item() == pytest.approx(1e-6, rel=2e-3)


@pytest.mark.parametrize("dtype", RELATIVE)
def test_kl_is_exactly_zero_at_the_prior(dtype: torch.dtype) -> None:
    prior = DiagonalGaussian.standard(torch.randn(3, 5, dtype=dtype))
    assert prior.kl().tolist() == [0.0, 0.0, 0.0]
    assert prior.kl(prior).tolist() == [0.0, 0.0, 0.0]
    q = gaussian(3, (4, 2), dtype)
    assert q.kl(q).tolist() == [0.0] * 4


def test_known_values() -> None:
    """By hand: D[N(1, e^2) || N(0, 1)] = (e^2 + 1 - 1)/2 - 1; a standard normal's entropy."""
    q = DiagonalGaussian(torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert q.kl().item() == pytest.approx(math.e**2 / 2 - 1, rel=1e-14)
    assert q.sigma.item() == pytest.approx(math.e, rel=1e-15)
    prior = DiagonalGaussian.standard(q.mean)
    assert prior.entropy().item() == pytest.approx(0.5 * math.log(2 * math.pi * math.e), rel=1e-14)
    assert prior.log_prob(torch.zeros(1)).item() == pytest.approx(-0.5 * math.log(2 * math.pi))


def test_monte_carlo_agrees_within_four_standard_errors() -> None:
    q, p = gaussian(11, (3,), torch.float64), gaussian(12, (3,), torch.float64)
    n = 200_000
    noise = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    z = q.rsample(noise)
    for draws, exact in (
        (q.log_prob(z) - p.log_prob(z), q.kl(p)),
        (-q.log_prob(z), q.entropy()),
        (z[:, 0], q.mean[0]),
        ((z[:, 0] - q.mean[0]) ** 2, q.sigma[0] ** 2),
    ):
        assert abs(draws.mean() - exact) < 4 * draws.std() / math.sqrt(n)


def test_gradcheck() -> None:
    q, p = gaussian(1, (2, 3), torch.float64), gaussian(2, (2, 3), torch.float64)
    inputs = [value.clone().requires_grad_() for value in (*q, *p)]
    z = uniform(3, (2, 3), -2, 2).requires_grad_()

    def everything(mean: Tensor, log_sigma: Tensor, m: Tensor, s: Tensor, z: Tensor) -> Tensor:
        ours, other = DiagonalGaussian(mean, log_sigma), DiagonalGaussian(m, s)
        return torch.stack([ours.log_prob(z), ours.entropy(), ours.kl(), ours.kl(other)])

    assert torch.autograd.gradcheck(everything, (*inputs, z))


def test_rsample_is_the_reparameterization_and_sample_stops_gradients() -> None:
    mean = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    log_sigma = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    q = DiagonalGaussian(mean, log_sigma)
    noise = torch.randn(5, 4, 2, dtype=torch.float64)
    z = q.rsample(noise)
    assert torch.equal(z, mean + log_sigma.exp() * noise)
    by_mean, by_log_sigma = torch.autograd.grad(z.sum(), (mean, log_sigma))
    assert torch.allclose(by_mean, torch.full_like(mean, 5.0))
    assert torch.allclose(by_log_sigma, (log_sigma.exp() * noise).sum(0))
    assert not q.sample().requires_grad


def test_draws_come_from_the_generator_in_the_parameters_dtype() -> None:
    q = gaussian(1, (6, 2), torch.float64)
    first = q.rsample(generator=torch.Generator().manual_seed(3))
    again = q.sample(generator=torch.Generator().manual_seed(3))
    other = q.sample(generator=torch.Generator().manual_seed(4))
    assert first.dtype == torch.float64
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("shape", [(4,), (3, 2), (4, 1), (2, 3, 2), ()])
def test_noise_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    q = DiagonalGaussian(torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"noise must end in the mean's shape \(4, 2\); got"):
        q.rsample(torch.zeros(shape))


# ---- likelihoods -----------------------------------------------------------------------------

events = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(seeds, st.integers(1, 3), events, dtypes, st.sampled_from([(), (1,), (2, 3)]))
def test_bernoulli_equals_torch(
    seed: int, batch: int, event: tuple[int, ...], dtype: torch.dtype, leading: tuple[int, ...]
) -> None:
    x = (uniform(seed, (batch, *event), 0, 1) > 0.5).to(dtype)
    output = uniform(seed + 1, (*leading, batch, *event), -30, 30)
    theirs = Independent(Bernoulli(logits=output), len(event)).log_prob(
        x.double().expand(output.shape)
    )
    ours = BernoulliLikelihood()
    # Each pixel's two terms, x * logit and softplus(logit), are at most about 30.
    agree(ours.log_prob(x, output.to(dtype)), theirs, dtype, scale=30.0)
    assert ours.log_prob(x, output.to(dtype)).shape == (*leading, batch)
    agree(ours.mean(output.to(dtype)), torch.sigmoid(output), dtype)


@given(
    seeds,
    st.integers(1, 3),
    events,
    dtypes,
    st.sampled_from([(), (1,), (2, 3)]),
    st.sampled_from([0.05, 0.3, math.sqrt(0.5), 1.0, 2.5]),
    st.sampled_from(["sigmoid", "identity"]),
)
def test_gaussian_likelihood_equals_torch(
    seed: int,
    batch: int,
    event: tuple[int, ...],
    dtype: torch.dtype,
    leading: tuple[int, ...],
    sigma: float,
    link: str,
) -> None:
    x = uniform(seed, (batch, *event), 0, 1)
    output = uniform(seed + 1, (*leading, batch, *event), -3, 3)
    mean = torch.sigmoid(output) if link == "sigmoid" else output
    theirs = Independent(Normal(mean, sigma), len(event)).log_prob(x.expand(output.shape))
    ours = GaussianLikelihood(sigma, link=link).to(dtype)
    agree(ours.log_prob(x.to(dtype), output.to(dtype)), theirs, dtype, scale=4.0)
    agree(ours.mean(output.to(dtype)), mean, dtype)


def test_the_default_is_summed_squared_error_plus_half_n_log_pi() -> None:
    x, output = torch.rand(5, 1, 4, 3, dtype=torch.float64), torch.randn(5, 1, 4, 3).double()
    squared = (x - torch.sigmoid(output)).square().flatten(1).sum(1)
    expected = -(squared + 12 / 2 * math.log(math.pi))
    assert torch.allclose(GaussianLikelihood().log_prob(x, output), expected, rtol=1e-12, atol=0)


def test_bernoulli_sums_to_one_over_all_images() -> None:
    output = torch.randn(1, 3, dtype=torch.float64)
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    total = sum(BernoulliLikelihood().log_prob(x[None], output).exp().item() for x in images)
    assert total == pytest.approx(1, rel=1e-12)


def test_bernoulli_survives_extreme_logits() -> None:
    x = torch.tensor([[0.0, 1.0]])
    right, wrong = torch.tensor([[-1e4, 1e4]]), torch.tensor([[1e4, -1e4]])
    assert BernoulliLikelihood().log_prob(x, right).item() == 0
    assert BernoulliLikelihood().log_prob(x, wrong).item() == -2e4


def test_likelihood_gradcheck() -> None:
    x = (torch.rand(2, 1, 2, 2) > 0.5).double()
    output = torch.randn(3, 2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    for likelihood in (BernoulliLikelihood(), GaussianLikelihood(0.3), GaussianLikelihood(2.0)):
        assert torch.autograd.gradcheck(lambda o, f=likelihood: f.log_prob(x, o), (output,))


def test_a_learned_sigma_gets_the_derivative_of_the_density() -> None:
    """d/d(log sigma) of log N(x; mean, sigma^2 I) is ||x - mean||^2 / sigma^2 - n."""
    likelihood = GaussianLikelihood("learned", link="identity").double()
    with torch.no_grad():
        likelihood.log_sigma.fill_(-0.7)
    x, mean = torch.rand(4, 1, 3, 2, dtype=torch.float64), torch.rand(4, 1, 3, 2).double()
    likelihood.log_prob(x, mean).sum().backward()
    expected = ((x - mean).square().sum() / math.exp(-1.4)) - 4 * 6
    (parameter,) = likelihood.parameters()
    assert parameter.grad is not None
    assert parameter.grad.item() == pytest.approx(expected.item(), rel=1e-12)
    assert likelihood.sigma.item() == pytest.approx(math.exp(-0.7), rel=1e-12)


def test_a_fixed_sigma_is_not_trained() -> None:
    assert list(GaussianLikelihood(0.4).parameters()) == []
    assert GaussianLikelihood(0.4).sigma.item() == pytest.approx(0.4, rel=1e-6)
    assert len(list(GaussianLikelihood("learned").parameters())) == 1


def test_samples_have_the_stated_moments() -> None:
    n = 40_000
    output = torch.full((n, 1), 0.8)
    mean = torch.sigmoid(output[0]).item()
    pixels = BernoulliLikelihood().sample(output, generator=torch.Generator().manual_seed(1))
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    assert abs(pixels.mean().item() - mean) < 4 * math.sqrt(mean * (1 - mean) / n)
    likelihood = GaussianLikelihood(0.2)
    grey = likelihood.sample(output, generator=torch.Generator().manual_seed(1))
    assert abs(grey.mean().item() - mean) < 4 * 0.2 / math.sqrt(n)
    assert abs(grey.std().item() - 0.2) < 4 * 0.2 / math.sqrt(2 * n)
    again = likelihood.sample(output, generator=torch.Generator().manual_seed(1))
    assert torch.equal(grey, again)


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, "free", None, True, [1.0]])
def test_a_sigma_that_is_no_sigma_is_refused(sigma: object) -> None:
    with pytest.raises(ValueError, match=r"sigma must be a positive number, 'learned', .*; got"):
        GaussianLikelihood(sigma)  # type: ignore[arg-type]


def test_an_unknown_link_is_refused() -> None:
    with pytest.raises(ValueError, match="link must be 'sigmoid' or 'identity'; got 'tanh'"):
        GaussianLikelihood(link="tanh")


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, math.nan])
def test_bernoulli_refuses_pixels_that_are_not_black_or_white(value: float) -> None:
    x = torch.zeros(2, 1, 2, 2)
    BernoulliLikelihood().check(x)
    x[1, 0, 1, 1] = value
    with pytest.raises(ValueError, match=r"pixels that are 0 or 1; binarize grey images first"):
        BernoulliLikelihood().check(x)


@pytest.mark.parametrize(
    ("value", "link", "words"),
    [
        (math.nan, "sigmoid", "finite"),
        (math.inf, "identity", "finite"),
        (1.5, "sigmoid", "got values from 0 to 1.5"),
        (-0.25, "sigmoid", "got values from -0.25 to 0"),
    ],
)
def test_gaussian_refuses_pixels_out_of_range(value: float, link: str, words: str) -> None:
    x = torch.zeros(2, 1, 2, 2)
    GaussianLikelihood(link=link).check(x)
    x[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=words):
        GaussianLikelihood(link=link).check(x)


def test_an_identity_mean_takes_any_finite_pixel() -> None:
    GaussianLikelihood(link="identity").check(torch.tensor([[-5.0, 12.0]]))


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood()])
@pytest.mark.parametrize(
    ("x", "output"), [((3, 4), (4, 3)), ((3, 4), (3, 5)), ((3, 4), (4,)), ((4,), (4,))]
)
def test_shapes_that_do_not_fit_are_refused(
    likelihood: BernoulliLikelihood | GaussianLikelihood,
    x: tuple[int, ...],
    output: tuple[int, ...],
) -> None:
    with pytest.raises(ValueError, match="the decoder's output must end in the data's shape"):
        likelihood.log_prob(torch.zeros(x), torch.zeros(output))


# ---- sigma learned, per pixel, or optimal ----------------------------------------------------

KINDS = ["learned", "per-pixel", "optimal"]


def with_sigma(kind: str, event: tuple[int, ...], log_sigma: Tensor, link: str = "identity"):
    """A likelihood of ``kind`` in evaluation mode, float64, whose log sigma is as given."""
    likelihood = GaussianLikelihood(kind, link, shape=event).double().eval()
    with torch.no_grad():
        likelihood.log_sigma.copy_(log_sigma)  # type: ignore[union-attr]
    return likelihood


@given(
    seeds,
    st.integers(1, 3),
    events,
    dtypes,
    st.sampled_from([(), (1,), (2, 3)]),
    st.sampled_from(KINDS),
    st.sampled_from(["sigmoid", "identity"]),
)
def test_every_kind_of_sigma_equals_torch(
    seed: int,
    batch: int,
    event: tuple[int, ...],
    dtype: torch.dtype,
    leading: tuple[int, ...],
    kind: str,
    link: str,
) -> None:
    x = uniform(seed, (batch, *event), 0, 1)
    output = uniform(seed + 1, (*leading, batch, *event), -3, 3)
    log_sigma = uniform(seed + 2, event if kind == "per-pixel" else (), -1.5, 1)
    mean = torch.sigmoid(output) if link == "sigmoid" else output
    sigma = log_sigma.exp()
    theirs = Independent(Normal(mean, sigma), len(event)).log_prob(x.expand(output.shape))
    ours = with_sigma(kind, event, log_sigma, link).to(dtype)
    # The terms that are summed: squares in units of sigma, log sigma and half log 2 pi a pixel.
    terms = ((x - mean) / sigma).square() / 2 + log_sigma.abs() + 1
    scale = terms.flatten(-len(event)).sum(-1)
    found = ours.log_prob(x.to(dtype), output.to(dtype))
    assert found.shape == (*leading, batch)
    agree(found, theirs, dtype, scale=scale)
    agree(ours.sigma, sigma, dtype)
    assert ours.sample(output.to(dtype)).shape == output.shape
    assert ours.sample(output.to(dtype)).dtype == dtype


@pytest.mark.parametrize("kind", [*KINDS, 0.3])
@pytest.mark.parametrize("mode", ["as trained", "set from data"])
def test_the_density_integrates_to_one(kind: str | float, mode: str) -> None:
    """One image of two pixels, summed over a grid: in evaluation mode, sigma is no function of X.

    (In training mode "optimal" looks at the batch, so only there it is a density of no one image.)
    """
    likelihood = GaussianLikelihood(kind, "identity", shape=(2,)).double()
    if kind == "optimal":
        likelihood.log_prob(torch.rand(5, 2).double(), torch.rand(5, 2).double())
    if mode == "set from data" and kind != 0.3:
        error = [0.04, 0.3] if kind == "per-pixel" else 0.07
        likelihood.set_sigma(torch.tensor(error, dtype=torch.float64))
    likelihood.eval()
    axis = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    output = torch.tensor([0.2, 0.7], dtype=torch.float64).expand_as(x)
    total = likelihood.log_prob(x, output).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, rel=1e-9)


def test_sigma_gradcheck() -> None:
    x, output = torch.rand(2, 3, 2).double(), torch.randn(4, 2, 3, 2).double().requires_grad_()
    for kind, event in (("learned", ()), ("per-pixel", (3, 2))):
        likelihood = with_sigma(kind, (3, 2), uniform(1, event, -1, 1))
        (parameter,) = likelihood.parameters()

        def density(output: Tensor, log_sigma: Tensor, f: nn.Module = likelihood) -> Tensor:
            return torch.func.functional_call(f, {"log_sigma": log_sigma}, (x, output))

        likelihood.forward = likelihood.log_prob  # type: ignore[method-assign]
        assert torch.autograd.gradcheck(density, (output, parameter))


def test_the_optimal_sigma_is_the_batchs_root_mean_squared_error() -> None:
    likelihood = GaussianLikelihood("optimal").double()
    x, output = torch.rand(6, 1, 3, 2).double(), torch.randn(4, 6, 1, 3, 2).double()
    squared = (x - torch.sigmoid(output)).square()
    best = squared.mean().sqrt()
    found = likelihood.log_prob(x, output)
    assert torch.allclose(
        found,
        Independent(Normal(torch.sigmoid(output), best), 3).log_prob(x.expand_as(output)),
        rtol=1e-12,
    )
    # No other sigma gives the batch a higher density.
    for factor in (0.9, 0.999, 1.001, 1.1):
        other = GaussianLikelihood((best * factor).item()).log_prob(x, output)
        assert other.mean() < found.mean()
    assert list(likelihood.parameters()) == []


def test_no_gradient_is_lost_through_the_optimal_sigma() -> None:
    """The batch's sum has the derivative it would have with sigma a function of the output."""
    likelihood = GaussianLikelihood("optimal", "identity").double()
    x = torch.rand(5, 4).double()
    output = torch.rand(3, 5, 4).double().requires_grad_()
    (found,) = torch.autograd.grad(likelihood.log_prob(x, output).sum(), output)
    error = (x - output).square().mean()
    whole = -0.5 * (x - output).square().sum() / error - output.numel() / 2 * error.log()
    (expected,) = torch.autograd.grad(whole, output)
    assert torch.allclose(found, expected, rtol=1e-10)


def test_the_stored_sigma_keeps_no_graph_from_batch_to_batch() -> None:
    likelihood = GaussianLikelihood("optimal", "identity")
    x = torch.zeros(2, 3)
    for _ in range(3):
        output = torch.rand(2, 3, requires_grad=True)
        likelihood.log_prob(x, output).sum().backward()
        assert not likelihood.sigma.requires_grad
    assert likelihood.batches.item() == 3


@pytest.mark.parametrize("dtype", RELATIVE)
def test_the_stored_sigma_is_the_mean_of_the_batches_then_a_running_mean(
    dtype: torch.dtype,
) -> None:
    likelihood = GaussianLikelihood("optimal", "identity").to(dtype)
    assert likelihood.sigma.item() == 1  # before any batch
    errors = uniform(3, (130,), 0.1, 2)
    stored: list[float] = []
    for error in errors.tolist():
        x = torch.zeros(2, 3, dtype=dtype)
        likelihood.log_prob(x, torch.full((2, 3), math.sqrt(error), dtype=dtype))
        stored.append(likelihood.sigma.item() ** 2)
    assert stored[0] == pytest.approx(errors[0].item(), rel=1e-5)
    assert stored[99] == pytest.approx(errors[:100].mean().item(), rel=1e-4)
    expected = errors[:100].mean().item()
    for error in errors[100:].tolist():
        expected += 0.01 * (error - expected)
    assert stored[-1] == pytest.approx(expected, rel=1e-4)


def test_in_evaluation_the_optimal_sigma_stays_as_it_is() -> None:
    likelihood = GaussianLikelihood("optimal", "identity")
    likelihood.log_prob(torch.zeros(2, 3), torch.full((2, 3), 0.5))
    likelihood.eval()
    x, output = torch.rand(4, 3), torch.rand(4, 3)
    together = likelihood.log_prob(x, output)
    assert torch.allclose(together, GaussianLikelihood(0.5, "identity").log_prob(x, output))
    assert torch.equal(together[:1], likelihood.log_prob(x[:1], output[:1]))
    assert likelihood.sigma.item() == pytest.approx(0.5)
    twin = GaussianLikelihood("optimal", "identity").eval()
    twin.load_state_dict(likelihood.state_dict())
    assert torch.equal(twin.log_prob(x, output), together)


def test_a_perfect_reconstruction_keeps_the_optimal_sigma_above_zero() -> None:
    likelihood = GaussianLikelihood("optimal", "identity").double()
    x = torch.rand(2, 3).double()
    found = likelihood.log_prob(x, x)
    smallest = GaussianLikelihood.SMALLEST_SIGMA
    expected = -3 * (math.log(smallest) + 0.5 * math.log(2 * math.pi))
    assert found.tolist() == pytest.approx([expected] * 2, rel=1e-12)
    assert likelihood.eval().sigma.item() == pytest.approx(smallest)


def test_set_sigma() -> None:
    likelihood = GaussianLikelihood("per-pixel", shape=(2, 3))
    error = torch.rand(2, 3) + 0.1
    likelihood.set_sigma(error)
    assert torch.allclose(likelihood.sigma, error.sqrt())
    (parameter,) = likelihood.parameters()
    assert parameter.requires_grad
    for kind in ("learned", "optimal"):
        likelihood = GaussianLikelihood(kind)
        likelihood.set_sigma(torch.tensor(0.09))
        assert likelihood.sigma.item() == pytest.approx(0.3)
    likelihood.set_sigma(torch.tensor(0.0))
    assert likelihood.sigma.item() == pytest.approx(GaussianLikelihood.SMALLEST_SIGMA)
    likelihood.set_sigma(torch.tensor(0.09))
    with pytest.raises(ValueError, match=r"squared_error must be \[\]; got \[2\]") as error_:
        likelihood.set_sigma(torch.ones(2))
    one_sentence(error_)
    for wrong in (math.nan, math.inf, -0.1):
        with pytest.raises(ValueError, match="squared_error must be finite and at least 0"):
            likelihood.set_sigma(torch.tensor(wrong))
    assert likelihood.sigma.item() == pytest.approx(0.3)
    with pytest.raises(ValueError, match=r"sigma is fixed at 0.4: it can't be set"):
        GaussianLikelihood(0.4).set_sigma(torch.tensor(1.0))


def test_a_per_pixel_sigma_needs_the_images_shape() -> None:
    likelihood = GaussianLikelihood("per-pixel")
    x = torch.zeros(2, 3, 4)
    for call in (
        lambda: likelihood.log_prob(x, x),
        lambda: likelihood.sample(x),
        lambda: likelihood.sigma,
        lambda: likelihood.set_sigma(torch.ones(3, 4)),
    ):
        with pytest.raises(ValueError, match="a per-pixel sigma needs the images' shape") as error:
            call()
        one_sentence(error)
    likelihood.for_shape((3, 4))
    likelihood.for_shape((3, 4))
    assert likelihood.log_prob(x, x).shape == (2,)
    with pytest.raises(ValueError, match=r"images of shape \(3, 4\); got \(4, 3\)"):
        likelihood.for_shape((4, 3))
    with pytest.raises(ValueError, match=r"images of shape \(3, 4\); got \(4, 3\)"):
        likelihood.log_prob(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3))
    with pytest.raises(ValueError, match="shape must be whole numbers of at least 1; got"):
        GaussianLikelihood("per-pixel", shape=(3, 0))
    GaussianLikelihood("learned", shape=(3, 4)).for_shape((5,))  # takes any


def test_samples_per_pixel_have_their_own_sigma() -> None:
    n = 40_000
    likelihood = GaussianLikelihood("per-pixel", "identity", shape=(2,))
    likelihood.set_sigma(torch.tensor([0.01, 4.0]))
    drawn = likelihood.sample(
        torch.zeros(n, 2), generator=torch.Generator().manual_seed(1)
    ).detach()
    for pixel, sigma in enumerate((0.1, 2.0)):
        assert abs(drawn[:, pixel].std().item() - sigma) < 4 * sigma / math.sqrt(2 * n)
        assert abs(drawn[:, pixel].mean().item()) < 4 * sigma / math.sqrt(n)


# ---- 256 grey levels -------------------------------------------------------------------------


def grey_output(seed: int, batch: int = 2, channels: int = 1) -> Tensor:
    """A decoder's output [batch, 2 * channels, 2, 3]: shifts, then log steepnesses."""
    shift = uniform(seed, (batch, channels, 2, 3), -20, 20)
    return torch.cat([shift, uniform(seed + 1, shift.shape, -4, 7)], dim=1)


def every_level(dtype: torch.dtype) -> Tensor:
    """[256, 1, 2, 3]: image k holds level k in all of its six pixels."""
    return (torch.arange(256, dtype=dtype) / 255).reshape(256, 1, 1, 1).expand(256, 1, 2, 3)


@given(seeds)
def test_grey_levels_sum_to_one_and_have_the_stated_mean(seed: int) -> None:
    likelihood = DiscretizedLogisticLikelihood()
    output = grey_output(seed, 1)
    shift, log_steepness = output.chunk(2, dim=1)
    levels = torch.arange(256, dtype=torch.float64)
    # By its definition: differences of the logistic's distribution function at the bins' edges.
    edges = ((levels[:-1] + 0.5) / 255 - 0.5).reshape(255, 1, 1, 1)
    below = torch.sigmoid(log_steepness.exp() * edges - shift)
    zero, one = torch.zeros_like(shift), torch.ones_like(shift)
    probability = torch.cat([below, one]) - torch.cat([zero, below])  # [256, 1, 2, 3]
    image_log = likelihood.log_prob(every_level(torch.float64), output.expand(256, -1, -1, -1))
    likely = probability.flatten(1).prod(1)
    assert torch.allclose(image_log.exp(), likely, rtol=1e-9, atol=1e-14)
    expected = (probability * levels.reshape(256, 1, 1, 1)).sum(0) / 255
    assert torch.allclose(likelihood.mean(output)[0], expected, rtol=1e-9)
    # One pixel alone, all levels: a distribution.
    alone = output[:, :, :1, :1].expand(256, -1, -1, -1)
    total = likelihood.log_prob(every_level(torch.float64)[:, :, :1, :1], alone).exp().sum()
    assert total.item() == pytest.approx(1, rel=1e-9)


def test_grey_levels_in_single_precision_and_with_samples_in_front() -> None:
    likelihood = DiscretizedLogisticLikelihood()
    output = torch.stack([grey_output(s, 4, channels=3) for s in range(5)])
    x = torch.randint(0, 256, (4, 3, 2, 3), generator=torch.Generator().manual_seed(0)) / 255
    single = likelihood.log_prob(x, output.float())
    agree(single, likelihood.log_prob(x.double(), output), torch.float32)
    assert single.shape == (5, 4)
    assert likelihood.mean(output).shape == (5, 4, 3, 2, 3)


def test_grey_levels_far_out_stay_finite_with_a_finite_gradient() -> None:
    likelihood = DiscretizedLogisticLikelihood()
    for shift, log_steepness in ((1e4, 50.0), (-1e4, 50.0), (1e4, -50.0), (0.0, 50.0)):
        output = torch.tensor([shift, log_steepness]).reshape(1, 2, 1, 1).requires_grad_()
        x = torch.arange(256).reshape(256, 1, 1, 1) / 255
        value = likelihood.log_prob(x, output.expand(256, -1, -1, -1))
        (slope,) = torch.autograd.grad(value.sum(), output)
        assert bool(torch.isfinite(value).all())
        assert bool((value <= 0).all())
        assert bool(torch.isfinite(slope).all())


def test_grey_levels_gradcheck() -> None:
    x = torch.tensor([0, 3, 128, 254, 255, 255]).double().reshape(1, 1, 2, 3) / 255
    output = grey_output(4, 1).clamp(-5, 5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda o: DiscretizedLogisticLikelihood().log_prob(x, o), (output,)
    )


def test_grey_samples_follow_the_probabilities() -> None:
    n, likelihood = 40_000, DiscretizedLogisticLikelihood()
    output = torch.tensor([-0.7, 2.0]).reshape(2, 1, 1).expand(n, 2, 1, 1)
    drawn = likelihood.sample(output, generator=torch.Generator().manual_seed(1))
    likelihood.check(drawn)
    mean = likelihood.mean(output[:1]).item()
    assert abs(drawn.mean().item() - mean) < 4 * drawn.std().item() / math.sqrt(n)
    for level in (0, 100, 255):
        x = torch.full((1, 1, 1, 1), level / 255)
        p = likelihood.log_prob(x, output[:1]).exp().item()
        share = (drawn * 255).round().eq(level).float().mean().item()
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n) + 1e-6


@pytest.mark.parametrize("value", [0.5, -1 / 255, 256 / 255, math.nan])
def test_pixels_between_the_grey_levels_are_refused(value: float) -> None:
    x = torch.zeros(2, 1, 2, 2)
    DiscretizedLogisticLikelihood().check(x)
    x[1, 0, 1, 1] = value
    with pytest.raises(ValueError, match=r"takes grey pixels k/255, k = 0 .. 255"):
        DiscretizedLogisticLikelihood().check(x)


def test_an_output_that_is_not_two_numbers_a_pixel_is_refused() -> None:
    likelihood = DiscretizedLogisticLikelihood()
    with pytest.raises(ValueError, match=r"output must be \[..., 2 \* channels, height, width\]"):
        likelihood.mean(torch.zeros(4, 1, 2, 2))
    with pytest.raises(ValueError, match="must end in the data's shape"):
        likelihood.log_prob(torch.zeros(4, 1, 2, 2), torch.zeros(4, 2, 2, 3))
