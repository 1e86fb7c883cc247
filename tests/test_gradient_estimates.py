"""posterior_gradients: unbiased for a closed form, and the objectives' own gradients."""

from __future__ import annotations

import math

import pytest
import torch

from vae_core.distributions import BernoulliLikelihood
from vae_core.evaluation import posterior_gradients
from vae_core.models import VAE, LinearVAE
from vae_core.objectives import RunningBaseline, elbo


def model(latent: int = 3) -> VAE:
    return VAE(latent, (1, 4, 4), (8,), BernoulliLikelihood(), seed=1).double()


def images(n: int = 2) -> torch.Tensor:
    uniform = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return (uniform < 0.4).double()


@pytest.mark.parametrize("gradient", ["path-wise", "score-function"])
def test_one_estimate_is_the_objectives_gradient(gradient: str) -> None:
    vae, x = model(), images()
    got = posterior_gradients(
        vae, x, 1, gradient=gradient, generator=torch.Generator().manual_seed(4)
    )
    posterior = vae.encode(x)
    vae.encode = lambda x: posterior  # type: ignore[method-assign]
    bound = elbo(vae, x, gradient=gradient, generator=torch.Generator().manual_seed(4))
    expected = torch.cat(torch.autograd.grad(bound.reconstruction.sum(), posterior), dim=1)
    torch.testing.assert_close(got[0], expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient": "score-function"},
        {"gradient": "score-function", "baseline": "leave-one-out", "samples": 4},
        {"gradient": "score-function", "baseline": RunningBaseline()},
    ],
)
def test_means_are_the_exact_gradient_of_a_linear_decoder(options: dict[str, object]) -> None:
    vae = LinearVAE(2, (1, 2, 2), seed=3).double()
    x = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    # E_Q log P(X|z) of a linear decoder: at the mean, minus the spread's part.
    with torch.no_grad():
        mean, log_sigma = vae.encode(x)
    mean, log_sigma = (p.expand(2, -1).clone().requires_grad_() for p in (mean, log_sigma))
    at_mean = vae.log_likelihood(x, mean)
    columns = vae.linear_decoder.weight.square().sum(0)
    precision = vae.likelihood.sigma.double() ** -2
    value = at_mean - 0.5 * precision * ((2 * log_sigma).exp() * columns).sum(-1)
    exact = torch.cat(torch.autograd.grad(value.sum(), (mean, log_sigma)), dim=1)
    found = posterior_gradients(
        vae, x, 20_000, generator=torch.Generator().manual_seed(2), **options
    )
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - exact).abs() < 4.5 * error + 1e-9).all()


def test_the_model_is_left_as_it_was() -> None:
    vae, x = model(), images()
    before = vae.encode(x)
    found = posterior_gradients(vae, x, 1200, generator=torch.Generator().manual_seed(0))
    assert found.shape == (1200, 2, 6)
    assert "encode" not in vars(vae)
    torch.testing.assert_close(vae.encode(x), before)
    assert all(p.grad is None for p in vae.parameters())
    assert len({round(v, 9) for v in found[:, 0, 0].tolist()}) == 1200
    with pytest.raises(ValueError, match="draws"):
        posterior_gradients(vae, x, 0)
    with pytest.raises(ValueError, match="gradient must be one of"):
        posterior_gradients(vae, x, 1, gradient="magic")
