"""The noise of a stochastic gradient, against autograd and brute force."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import one_sentence
from torch import Tensor

from vae_core import models
from vae_core.distributions import BernoulliLikelihood
from vae_core.evaluation import GradientVariance, ScalarVAE, gradient_variance, mean_estimate
from vae_core.objectives import elbo, exact_elbo

CASES = (ScalarVAE(), ScalarVAE(-1.2, 0.8, 0.4, 0.3, 2.0), ScalarVAE(0.5, 0.5, 1.0, 0.45, 0.7))


def linear(case: ScalarVAE) -> models.LinearVAE:
    """The same model, as vae_core's linear VAE in double precision."""
    model = models.LinearVAE(1, (1, 1, 1), sigma=case.sigma).double()
    with torch.no_grad():
        model.linear_decoder.weight.fill_(case.decoder)
        model.linear_decoder.bias.zero_()
        model.encoder.mean.weight.fill_(case.encoder)
        model.encoder.mean.bias.zero_()
        assert model.encoder.log_sigma is not None
        model.encoder.log_sigma.bias.fill_(math.log(case.spread))
    return model


def by_autograd(model: models.LinearVAE, total: Tensor, parameter: str) -> float:
    layer = model.linear_decoder if parameter == "decoder" else model.encoder.mean
    return torch.autograd.grad(total, layer.weight, retain_graph=True)[0].item()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("parameter", ["decoder", "encoder"])
def test_an_estimate_is_autograds(case: ScalarVAE, parameter: str) -> None:
    model = linear(case)
    x = torch.randn(6, dtype=torch.float64)
    noise = torch.randn(3, 6, dtype=torch.float64)
    bound = elbo(model, x.reshape(-1, 1, 1, 1), 3, noise=noise[..., None])
    expected = by_autograd(model, bound.total.mean(), parameter)
    assert case.estimate(x, noise, parameter).item() == pytest.approx(expected, rel=1e-9)
    held = by_autograd(model, -bound.kl.mean(), "encoder")
    got = case.estimate(x, noise, "encoder", hold_z=True).item()
    assert got == pytest.approx(held, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("parameter", ["decoder", "encoder"])
def test_the_truth_is_the_exact_bounds_gradient(case: ScalarVAE, parameter: str) -> None:
    model = linear(case)
    # Two points of variance data^2: the bound is quadratic in X, so the mean needs no more.
    x = case.data * torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    expected = by_autograd(model, exact_elbo(model, x).total.mean(), parameter)
    law = case.law(parameter)
    assert law.truth == pytest.approx(expected, rel=1e-9)
    assert law.bias == 0
    assert case.law("decoder", hold_z=True) == case.law("decoder")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("parameter", "hold"), [("decoder", False), ("encoder", False), ("encoder", True)]
)
def test_the_law_is_what_estimates_do(case: ScalarVAE, parameter: str, hold: bool) -> None:
    law = case.law(parameter, hold_z=hold)
    for batch, draws in ((1, 1), (1, 5), (4, 2)):
        x = case.data * torch.randn(3000, batch, dtype=torch.float64)
        noise = torch.randn(3000, draws, batch, dtype=torch.float64)
        values = torch.stack(
            [case.estimate(*row, parameter, hold_z=hold) for row in zip(x, noise, strict=True)]
        )
        mean = mean_estimate(values)
        assert abs(mean.value - law.mean) < 4.5 * mean.standard_error
        square = mean_estimate((values - law.mean).square())
        expected = law.standard_deviation(batch, draws) ** 2
        assert abs(square.value - expected) < 4.5 * square.standard_error


def test_sources_match_the_law_on_a_linear_model() -> None:
    """Two weights of the scalar model, biases included by brute force."""
    case = ScalarVAE()
    model = linear(case)
    x = case.data * torch.randn(4000, 1, 1, 1, dtype=torch.float64)
    found = gradient_variance(
        model.requires_grad_(True), x, generator=torch.Generator().manual_seed(1)
    )
    noise = torch.randn(2, 4000, dtype=torch.float64)
    w, s, a, t, _ = case
    flat = x.flatten()
    z = a * flat + t * noise
    error = (flat - w * z) / s**2
    # Decoder: weight and bias; encoder: mean's weight and bias, log sigma's bias (its weight: x).
    decoder = torch.stack([error * z, error], -1)
    mean = error * w - a * flat
    log_sigma = error * w * t * noise + 1 - t**2
    encoder = torch.stack([mean * flat, mean, log_sigma * flat, log_sigma], -1)
    for name, gradients in (("decoder", decoder), ("encoder", encoder)):
        one, two = gradients
        draws = (one - two).square().sum(1).mean() / 2
        images = ((one - one.mean(0)) * (two - two.mean(0))).sum(1).mean()
        got = found[name]
        assert got.between_draws.value == pytest.approx(float(draws), rel=0.1)
        assert got.between_images.value == pytest.approx(float(images), rel=0.1)


def test_sources_match_gradients_taken_one_by_one() -> None:
    model = models.VAE(3, (1, 4, 4), (5,), BernoulliLikelihood(), seed=2).double()
    x = (torch.rand(40, 1, 4, 4, dtype=torch.float64) < 0.4).double()
    found = gradient_variance(model, x, blocks=2, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    for name, part in (("decoder", model.decoder), ("encoder", model.encoder)):
        generator.manual_seed(3)
        rows = []
        for block in x.split(20):
            noise = torch.randn(2, 20, 3, generator=generator, dtype=torch.float64)
            g = torch.stack(
                [
                    torch.stack(
                        [
                            torch.cat(
                                [
                                    p.flatten()
                                    for p in torch.autograd.grad(
                                        elbo(
                                            model, block[i : i + 1], noise=own[None, i : i + 1]
                                        ).total.sum(),
                                        list(part.parameters()),
                                    )
                                ]
                            )
                            for i in range(20)
                        ]
                    )
                    for own in noise
                ]
            )  # [draws, images, parameters]
            draws = g.var(0).sum(1).mean()
            means = g.mean(0)
            rows.append((means.var(0).sum() - draws / 2, draws))
        images, between = (torch.stack(column).mean().item() for column in zip(*rows, strict=True))
        assert found[name].between_images.value == pytest.approx(images, rel=1e-9)
        assert found[name].between_draws.value == pytest.approx(between, rel=1e-9)


def test_the_variance_of_a_batch_follows_from_its_sources() -> None:
    sources = GradientVariance(mean_estimate(torch.ones(3)), mean_estimate(3 * torch.ones(3)))
    assert sources.variance(1, 1) == 4
    assert sources.variance(4, 3) == 0.5
    assert sources.share_of_draws == 0.75


def test_what_makes_no_sense_is_refused() -> None:
    vae = models.VAE(2, (1, 4, 4), (5,), BernoulliLikelihood())
    x = torch.zeros(8, 1, 4, 4)
    learned = models.LinearVAE(1, (1, 4, 4))  # sigma is a parameter of no layer
    conv = models.VAE(2, (1, 4, 4), (5,), BernoulliLikelihood(), architecture="conv")
    for act, words in (
        (lambda: gradient_variance(models.Autoencoder(2, (1, 4, 4), (5,)), x), "takes a VAE"),  # type: ignore[arg-type]
        (lambda: gradient_variance(vae, x, blocks=5), "8 images can't be cut into 5 blocks"),
        (lambda: gradient_variance(vae, x, blocks=1), "blocks must be"),
        (lambda: gradient_variance(learned, x, blocks=2), "all in linear layers"),
        (lambda: gradient_variance(conv, x, blocks=2), "all in linear layers"),
        (lambda: ScalarVAE().law("prior"), "parameter must be one of"),
        (lambda: ScalarVAE(sigma=0.0).check(), "must be positive"),
        (lambda: ScalarVAE(math.nan).check(), "must be finite"),
        (lambda: ScalarVAE(sigma=1e-100).check(), "not below 1e-30"),
        (lambda: ScalarVAE(decoder=10**300).check(), "may be above 1e\\+30 in size"),
        (lambda: ScalarVAE().law("decoder").standard_deviation(0, 1), "images must be"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            act()
        one_sentence(error)
