"""Bits-back coding: what goes in comes out, at the price the ELBO says, and damage is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_core import coding, data
from vae_core.coding import _bits_back, _stack
from vae_core.distributions import (
    BernoulliLikelihood,
    DiagonalGaussian,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from vae_core.models import VAE, Autoencoder
from vae_core.objectives import elbo, log_weights

seeds = st.integers(0, 2**31)


def a_model(grey: bool, seed: int = 0, latent_dim: int = 3, size: float = 1.0) -> VAE:
    likelihood = DiscretizedLogisticLikelihood() if grey else BernoulliLikelihood()
    model = VAE(latent_dim, (1, 6, 5), (8,), likelihood, seed=seed)
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(size)
    return model.eval()


def some_images(grey: bool, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    top = 256 if grey else 2
    images = torch.randint(0, top, (n, 1, 6, 5), generator=generator)
    # A third of the pixels at the outer levels, as in pictures of ink on paper.
    outer = torch.rand(images.shape, generator=generator)
    images = torch.where(outer < 0.2, 0, torch.where(outer > 0.85, top - 1, images))
    return images.to(torch.uint8)


# ---- the stack --------------------------------------------------------------------------------


@given(seeds, st.integers(0, 40))
def test_what_is_pushed_is_popped_and_the_stack_is_as_before(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    p, answers = random.random(n), random.random(n) < 0.5
    stack = _stack.Stack(_stack.borrowed_words(5))
    before = stack.words().tolist()
    stack.push(answers, p)
    assert stack.pop(p).tolist() == answers.tolist()
    assert stack.words().tolist() == before


@given(seeds, st.integers(1, 30))
def test_popping_draws_and_pushing_gives_the_bits_back(seed: int, n: int) -> None:
    p = np.random.default_rng(seed).random(n)
    stack = _stack.Stack(_stack.borrowed_words(40))
    before = stack.words().tolist()
    drawn = stack.pop(p)
    assert stack.words().tolist() != before or n == 0
    stack.push(drawn, p)
    assert stack.words().tolist() == before


def test_a_longer_bottom_is_a_shorter_one_with_words_under_it() -> None:
    assert _stack.borrowed_words(9)[-4:].tolist() == _stack.borrowed_words(4).tolist()
    stack = _stack.Stack()
    stack.reserve(100)
    stack.push_uniform(np.arange(50), 64)
    stack.reserve(2000)
    assert stack.pop_uniform(50, 64).tolist() == list(range(50))
    assert stack.words().tolist() == _stack.borrowed_words(stack.borrowed).tolist()


def test_a_push_costs_minus_log_p() -> None:
    random = np.random.default_rng(0)
    p = random.random(20_000)
    answers = random.random(20_000) < p
    stack = _stack.Stack()
    stack.push(answers, p)
    wanted = -np.log2(np.where(answers, p, 1 - p)).sum()
    assert 32 * len(stack.words()) == pytest.approx(wanted, abs=64)


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grey", [False, True])
@given(seeds, st.integers(1, 40), st.integers(1, 14), st.sampled_from([0.0, 1.0, 8.0, 60.0]))
@settings(deadline=None, max_examples=40)
def test_images_come_back_bit_for_bit(
    grey: bool, seed: int, n: int, bins: int, size: float
) -> None:
    model = a_model(grey, seed % 7, size=size)  # at size 60, posteriors far out and sharp pixels
    images = some_images(grey, n, seed)
    content = coding.compress(model, images, bins=bins)
    restored = coding.decompress(model, content)
    assert restored.dtype == torch.uint8
    assert torch.equal(restored, images)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("level", [0, 255])
def test_images_of_one_level_come_back(grey: bool, level: int) -> None:
    images = torch.full((7, 1, 6, 5), level if grey else level // 255, dtype=torch.uint8)
    content = coding.compress(a_model(grey), images)
    assert torch.equal(coding.decompress(a_model(grey), content), images)


@pytest.mark.parametrize("latent_dim", [3, 100])
def test_few_bits_are_borrowed_however_many_latents_are_drawn(latent_dim: int) -> None:
    """Only the first slice borrows: two images' z, and a little."""
    model = VAE(latent_dim, hidden=(8,), likelihood=BernoulliLikelihood(), seed=0)
    with torch.no_grad():
        model.encoder.mean.weight.zero_()
        model.encoder.log_sigma.weight.zero_()  # Q is the prior: drawing takes all 12 bits
        digits = data.binarize(data.load("mnist", "test").images[:1500], "fixed")
        # The decoder knows the mean digit alone: an image takes some 300 bits, its draws 1,200.
        model.decoder.layers[-1].weight.zero_()
        model.decoder.layers[-1].bias.copy_(digits.mean(0).flatten().clamp(0.001, 0.999).logit())
    content = coding.compress(model, digits.to(torch.uint8))
    borrowed = 32 * _bits_back._HEADER.unpack(content[: _bits_back._HEADER.size])[3]
    assert borrowed <= 2 * latent_dim * 12 + 96


@pytest.mark.parametrize("grey", [False, True])
def test_the_rate_is_minus_the_elbo(grey: bool) -> None:
    model, images = a_model(grey, size=1.5), some_images(grey, 3000, 1)
    x = images.double() / (255 if grey else 1)
    with torch.no_grad():
        draws = -log_weights(
            model.double(), x, 4, generator=torch.Generator().manual_seed(0)
        ) / math.log(2)
    per_image = draws.mean(0)
    bits = 8 * len(coding.compress(model.float(), images))
    # The coder's own draws of z scatter as these do; the header and the borrowed bits are counted.
    spread = 4 * math.sqrt(len(images)) * draws[0].std().item()
    overhead = 8 * 29 + 16 * model.latent_dim * 12
    assert abs(bits - per_image.sum().item()) < spread + overhead
    assert spread + overhead < 0.02 * bits


def test_the_questions_tell_the_likelihoods_probability() -> None:
    """The product of the answers' probabilities is P(level) of the likelihood."""
    likelihood = DiscretizedLogisticLikelihood()
    for shift, log_steepness in ((0.3, 0.0), (-40.0, 6.0), (9.0, 3.0), (0.0, -9.0), (12.0, 4.0)):
        output = torch.tensor([shift, log_steepness], dtype=torch.float64).reshape(1, 2, 1, 1)
        levels = np.arange(256)
        x = torch.from_numpy(levels / 255).reshape(256, 1, 1, 1)
        wanted = likelihood.log_prob(x, output.expand(256, -1, -1, -1)).numpy()
        parts = [np.full(256, shift), np.full(256, log_steepness)]
        cost = np.zeros(256)

        class Counting(_stack.Stack):
            def push_symbols(self, symbols, low, high, share):  # type: ignore[no-untyped-def]
                def answer(which, middle, p):  # type: ignore[no-untyped-def]
                    upper = symbols[which] >= middle
                    cost[1:255][which] += np.log(np.where(upper, p, 1 - p))  # noqa: B023
                    return upper

                _stack._halve(low, high, share, answer)

            def push(self, answers, p):  # type: ignore[no-untyped-def]
                told = np.log(np.where(answers, p, 1 - p))
                cost[256 - len(p) :] += told  # noqa: B023

        with np.errstate(divide="ignore"):
            networks = _bits_back._Networks.of(a_model(True), 4)
            _bits_back._push_pixels(Counting(), networks, levels, parts)
        likely = wanted > math.log(1e-9)  # 1 - p has lost its digits where p is nearly 1
        assert np.allclose(cost[likely], wanted[likely], rtol=1e-6, atol=1e-6)
        assert likely.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_matter(threads: int) -> None:
    model, images = a_model(True, size=2.0), some_images(True, 200, 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - threads)
        content = coding.compress(model, images)
        torch.set_num_threads(threads)
        assert torch.equal(coding.decompress(model, content), images)
    finally:
        torch.set_num_threads(before)


# ---- damage -----------------------------------------------------------------------------------


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_changed_or_missing_byte_is_one_clear_error(data: st.DataObject) -> None:
    content = coding.compress(a_model(False), some_images(False, 5, 0))
    if data.draw(st.booleans()):
        broken = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at, by = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
        broken = content[:at] + bytes([content[at] ^ by]) + content[at + 1 :]
    with pytest.raises(coding.DamagedStream, match=r"no whole stream|damaged or cut"):
        coding.decompress(a_model(False), broken)


def test_another_models_stream_is_refused() -> None:
    content = coding.compress(a_model(False, 1), some_images(False, 5, 0))
    with pytest.raises(ValueError, match="made with another model"):
        coding.decompress(a_model(False, 2), content)


def test_probabilities_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the receiver's machine computed other numbers: an error, never wrong pixels."""
    model, images = a_model(False), some_images(False, 50, 0)
    content = coding.compress(model, images)
    monkeypatch.setattr(_bits_back, "GRID", 2.0**-3)
    with pytest.raises(coding.DamagedStream, match="computed different probabilities"):
        coding.decompress(model, content)


def test_what_cannot_be_coded_is_refused() -> None:
    images = some_images(False, 3, 0)
    with pytest.raises(ValueError, match="takes a VAE; got Autoencoder"):
        coding.compress(Autoencoder(), images)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"discrete pixels, .*; got GaussianLikelihood"):
        coding.compress(VAE(likelihood=GaussianLikelihood()), images)
    with pytest.raises(ValueError, match=r"images must be uint8 \[n, 1, 6, 5\], n >= 1; got"):
        coding.compress(a_model(False), images.float())
    with pytest.raises(ValueError, match=r"images must be uint8 .* got torch.uint8 \[0, 1, 6, 5\]"):
        coding.compress(a_model(False), images[:0])
    with pytest.raises(ValueError, match="pixels that are 0 or 1; got values up to 9"):
        coding.compress(a_model(False), images * 9)
    for bins in (0, 21, 1.5):
        with pytest.raises(ValueError, match="bins must be"):
            coding.compress(a_model(False), images, bins=bins)  # type: ignore[arg-type]


# ---- accounts ---------------------------------------------------------------------------------


def test_the_account_is_minus_the_elbo_in_bits() -> None:
    model, images = a_model(False).double(), some_images(False, 6, 0).double()
    noise = torch.randn(5, 6, 3, dtype=torch.float64)
    told = coding.account(model, images, noise=noise)
    with torch.no_grad():
        bound = elbo(model, images, 5, noise=noise)
    assert torch.allclose(told.total, -bound.total / math.log(2), rtol=1e-12)
    assert torch.allclose(told.z, bound.kl / math.log(2), rtol=1e-12)
    assert torch.allclose(told.dimensions.sum(1), told.z, rtol=1e-12)
    assert torch.equal(told.total, told.z + told.x)


def test_a_spoilt_posterior_is_moved_and_widened() -> None:
    q = DiagonalGaussian(torch.tensor([[1.0, 2.0]]), torch.log(torch.tensor([[0.5, 0.1]])))
    spoilt = coding.spoil(q, -2.0, 3.0)
    assert torch.allclose(spoilt.mean, torch.tensor([[0.0, 1.8]]))
    assert torch.allclose(spoilt.sigma, torch.tensor([[1.5, 0.3]]))
    for shift, scale in ((math.nan, 1.0), (0.0, 0.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="shift must be finite and scale positive"):
            coding.spoil(q, shift, scale)


def test_accounts_of_wrong_shapes_are_refused() -> None:
    model, x = a_model(False), some_images(False, 2, 0).float()
    with pytest.raises(ValueError, match=r"noise must be \[samples, 2, 3\]; got"):
        coding.account(model, x, noise=torch.zeros(2, 3))
    q = DiagonalGaussian(torch.zeros(1, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"posterior must be of \[2, 3\]; got \[1, 3\]"):
        coding.account(model, x, q, noise=torch.zeros(1, 2, 3))


# ---- the usual compressors --------------------------------------------------------------------


def test_general_compressors_keep_every_pixel_and_count_bits() -> None:
    noise = torch.randint(0, 256, (50, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    for rate in coding.general_purpose(noise.to(torch.uint8)).values():
        assert 8 <= rate < 9.5  # of noise, nothing can be saved
    coins = coding.general_purpose((noise % 2).to(torch.uint8))
    assert all(1 <= rate < 1.6 for rate in coins.values())
    blank = coding.general_purpose(torch.zeros(50, 1, 8, 8, dtype=torch.uint8))
    assert all(rate < 0.5 for rate in blank.values())
    assert {"gzip", "bz2", "PNG"} <= set(coins)
    with pytest.raises(ValueError, match=r"images must be uint8 \[n, 1, height, width\]"):
        coding.general_purpose(torch.zeros(3, 8, 8))
