"""Grey levels on a learned scale: a distribution, with its gradient, its start and its coder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae_core import coding
from vae_core.distributions import DiscretizedLogisticLikelihood
from vae_core.models import VAE
from vae_core.objectives import log_weights
from vae_core.ordered import OrderedLogitLikelihood
from vae_core.training import fit

seeds = st.integers(0, 2**31)
DOUBLE = torch.float64


def a_likelihood(seed: int, spread: float = 2.0) -> OrderedLogitLikelihood:
    """Cut points with gaps of very different sizes."""
    likelihood = OrderedLogitLikelihood().double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        likelihood.first.copy_(torch.randn((), generator=generator, dtype=DOUBLE))
        gaps = torch.randn(254, generator=generator, dtype=DOUBLE)
        likelihood.log_gaps.copy_(spread * gaps - 4)
    return likelihood


def an_output(seed: int, *shape: int) -> Tensor:
    """Shifts, then log steepnesses: [*shape[:-3], 2 * channels, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    shift = 6 * torch.randn(shape, generator=generator, dtype=DOUBLE)
    return torch.cat([shift, torch.randn(shape, generator=generator, dtype=DOUBLE)], dim=-3)


def every_level(channels: int = 1) -> Tensor:
    """[256, channels, 1, 1]: image k is of level k."""
    return (torch.arange(256, dtype=DOUBLE) / 255).reshape(256, 1, 1, 1).repeat(1, channels, 1, 1)


def by_definition(likelihood: OrderedLogitLikelihood, output: Tensor) -> Tensor:
    """P(level) of one pixel with output [2]: differences of sigmoids at the cut points, [256]."""
    below = torch.sigmoid(output[1].exp() * likelihood.cuts() - output[0])
    zero, one = torch.zeros(1, dtype=DOUBLE), torch.ones(1, dtype=DOUBLE)
    return torch.cat([below, one]) - torch.cat([zero, below])


@given(seeds)
def test_the_256_probabilities_sum_to_one(seed: int) -> None:
    output = an_output(seed, 1, 1, 1, 1).expand(256, -1, -1, -1)
    told = a_likelihood(seed).log_prob(every_level(), output)
    assert told.exp().sum().item() == pytest.approx(1, abs=1e-10)


@given(seeds)
def test_probabilities_and_mean_are_those_of_the_definition(seed: int) -> None:
    likelihood, output = a_likelihood(seed), an_output(seed, 1, 1, 1, 1)
    wanted = by_definition(likelihood, output.flatten())
    told = likelihood.log_prob(every_level(), output.expand(256, -1, -1, -1)).exp()
    assert torch.allclose(told, wanted, rtol=1e-9, atol=1e-13)
    mean = (wanted * torch.arange(256) / 255).sum()
    assert likelihood.mean(output).item() == pytest.approx(mean.item(), rel=1e-9)


def test_it_starts_as_a_discretized_logistic() -> None:
    x = torch.arange(256, dtype=DOUBLE).reshape(1, 1, 16, 16) / 255
    output = an_output(3, 4, 1, 1, 16, 16)
    ours, plain = OrderedLogitLikelihood().double(), DiscretizedLogisticLikelihood()
    # Its cut points are single-precision numbers made double.
    assert torch.allclose(ours.log_prob(x, output), plain.log_prob(x, output), rtol=1e-6)
    assert torch.allclose(ours.mean(output), plain.mean(output), rtol=1e-5)


def test_levels_that_are_set_are_as_frequent_as_in_the_images() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5000,), generator=generator).square().div(256).byte()
    images[:3000] = 0
    likelihood = OrderedLogitLikelihood().double()
    likelihood.set_levels(images)
    counts = torch.bincount(images.long(), minlength=256).double() + 1
    told = by_definition(likelihood, torch.zeros(2, dtype=DOUBLE))
    assert torch.allclose(told, counts / counts.sum(), rtol=1e-9)
    for wrong in (images.float(), images[:0]):
        with pytest.raises(ValueError, match="set_levels takes uint8 images, one or more; got"):
            likelihood.set_levels(wrong)


def test_gradcheck_by_output_and_cut_points() -> None:
    x = torch.tensor([0, 3, 128, 254, 255, 255], dtype=DOUBLE).reshape(1, 1, 2, 3) / 255
    likelihood, output = a_likelihood(1, 0.5), an_output(4, 1, 1, 2, 3).requires_grad_()
    inputs = (output, likelihood.first, likelihood.log_gaps)
    assert torch.autograd.gradcheck(lambda o, *_: likelihood.log_prob(x, o), inputs)


def test_single_precision_channels_and_samples_in_front() -> None:
    likelihood, output = a_likelihood(2, 1.0), an_output(5, 3, 4, 3, 2, 5)
    x = torch.randint(0, 256, (4, 3, 2, 5), generator=torch.Generator().manual_seed(0)) / 255
    exact = likelihood.log_prob(x.double(), output)
    assert exact.shape == (3, 4)
    single = a_likelihood(2, 1.0).float()
    assert torch.allclose(single.log_prob(x, output.float()).double(), exact, rtol=1e-5)
    # Whether in front or in turn, and whichever channel: the same numbers.
    assert torch.allclose(likelihood.log_prob(x.double(), output[1]), exact[1], rtol=1e-12)
    by_channel = sum(
        likelihood.log_prob(x[:, c : c + 1].double(), output[:, :, [c, c + 3]]) for c in range(3)
    )
    assert torch.allclose(torch.as_tensor(by_channel), exact, rtol=1e-12)


def test_far_out_everything_stays_finite() -> None:
    for shift, log_steepness in ((1e4, 50.0), (-1e4, 50.0), (1e4, -50.0), (0.0, 50.0)):
        likelihood = a_likelihood(0).float()
        output = torch.tensor([shift, log_steepness]).reshape(1, 2, 1, 1).requires_grad_()
        value = likelihood.log_prob(every_level().float(), output.expand(256, -1, -1, -1))
        slopes = torch.autograd.grad(value.sum(), [output, *likelihood.parameters()])
        assert bool((torch.isfinite(value) & (value <= 0)).all())
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes)


def test_samples_follow_the_probabilities() -> None:
    n, likelihood = 40_000, a_likelihood(6)
    output = torch.tensor([0.7, 0.3], dtype=DOUBLE).reshape(2, 1, 1)
    drawn = likelihood.sample(output.expand(n, 2, 1, 1), generator=torch.Generator().manual_seed(1))
    likelihood.check(drawn)
    counts = torch.bincount((drawn.flatten() * 255).round().long(), minlength=256)
    wanted = n * by_definition(likelihood, output.flatten().detach())
    often = wanted > 20
    assert often.sum() > 10
    chi = ((counts - wanted)[often].square() / wanted[often]).sum().item()
    assert chi < often.sum().item() + 5 * math.sqrt(2 * often.sum().item())


def test_shapes_that_do_not_fit_are_refused() -> None:
    likelihood = OrderedLogitLikelihood()
    with pytest.raises(ValueError, match=r"output must be \[..., 2 \* channels, height, width\]"):
        likelihood.mean(torch.zeros(4, 1, 2, 2))
    with pytest.raises(ValueError, match="must end in the data's shape"):
        likelihood.log_prob(torch.zeros(4, 1, 2, 2), torch.zeros(4, 2, 2, 3))
    with pytest.raises(ValueError, match=r"takes grey pixels k/255, k = 0 .. 255"):
        likelihood.check(torch.full((1, 1, 1, 1), 0.5))


# ---- in a model, and in the coder -------------------------------------------------------------


def a_model(seed: int, size: float = 1.0, spread: float = 2.0) -> VAE:
    model = VAE(3, (1, 6, 5), (8,), a_likelihood(seed, spread).float(), seed=seed)
    with torch.no_grad():
        for values in (*model.encoder.parameters(), *model.decoder.parameters()):
            values.mul_(size)
    return model.eval()


def some_images(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 1, 6, 5), generator=generator)
    outer = torch.rand(images.shape, generator=generator)
    return torch.where(outer < 0.3, 0, torch.where(outer > 0.8, 255, images)).to(torch.uint8)


def test_training_moves_the_cut_points() -> None:
    from vae_core import data

    few = data.load("mnist", "test").first(200)
    model = VAE(2, hidden=(8,), likelihood=OrderedLogitLikelihood())
    model.likelihood.set_levels(few.images)
    before = model.likelihood.cuts().detach().clone()
    fit(model, few, epochs=2, batch_size=50, device="cpu", progress=False)
    after = model.likelihood.cuts().detach()
    assert bool((after.diff() > 0).all())
    assert not torch.allclose(before, after, atol=1e-3)


@given(seeds, st.integers(1, 40), st.sampled_from([0.0, 1.0, 8.0, 60.0]))
@settings(deadline=None, max_examples=30)
def test_images_come_back_bit_for_bit(seed: int, n: int, size: float) -> None:
    model, images = a_model(seed % 7, size), some_images(n, seed)
    assert torch.equal(coding.decompress(model, coding.compress(model, images)), images)


@pytest.mark.parametrize("level", [0, 1, 254, 255])
def test_images_of_one_level_come_back(level: int) -> None:
    images = torch.full((7, 1, 6, 5), level, dtype=torch.uint8)
    assert torch.equal(coding.decompress(a_model(0), coding.compress(a_model(0), images)), images)


def test_the_rate_is_minus_the_elbo() -> None:
    # No gap so small that a level takes more than the 24 bits of the coder's whole numbers.
    model, images = a_model(0, 1.5, spread=0.5), some_images(3000, 1)
    bits = 8 * len(coding.compress(model, images))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        draws = -log_weights(model.double(), images.double() / 255, 4, generator=generator)
    wanted = draws.mean(0).sum().item() / math.log(2)
    spread = 4 * math.sqrt(len(images)) * draws[0].std().item() / math.log(2)
    overhead = 8 * 29 + 16 * model.latent_dim * 12
    assert abs(bits - wanted) < spread + overhead
    assert spread + overhead < 0.02 * bits


def test_the_coder_asks_with_the_likelihoods_probabilities() -> None:
    """What the coder's questions say of a pixel is P(level), for every level."""
    networks = coding._bits_back._Networks.of(a_model(4), 4)
    likelihood = networks.model.likelihood
    for output in an_output(9, 5, 2, 1).reshape(5, -1)[:, :2]:
        parts = [np.full(1, value) for value in output.tolist()]
        grey, one = coding._bits_back._Grey(networks, parts), np.zeros(1, dtype=np.int64)
        inked, full = grey.inked().item(), grey.full(one).item()
        between = [
            grey.share(one, np.array([1]), np.array([k]), np.array([255])).item()
            for k in range(2, 255)
        ]
        above = np.array([1.0, *between, 0.0])  # P(level >= k | 0 < level < 255), k = 1 .. 255
        told = np.concatenate([[1 - inked], inked * (1 - full) * -np.diff(above), [inked * full]])
        wanted = by_definition(likelihood, output).detach().numpy()
        assert np.allclose(told, wanted, rtol=1e-6, atol=1e-9)
        assert told.sum() == pytest.approx(1, abs=1e-10)
