"""A VAE with one latent cut out, and the order of latents by what they cost."""

from __future__ import annotations

import pytest
import torch

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.evaluation import latents_by_rate, without_latent
from vae_core.models import VAE, Autoencoder


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_a_latent_is_cut_out_and_all_else_stays(architecture: str) -> None:
    likelihood = BernoulliLikelihood()
    model = VAE(4, (1, 8, 8), (6,), likelihood, seed=1, architecture=architecture)
    smaller = without_latent(model, 2)
    x = (torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        q, less = model.encode(x), smaller.encode(x)
        keep = [0, 1, 3]
        assert torch.allclose(less.mean, q.mean[:, keep], atol=1e-6)
        assert torch.allclose(less.log_sigma, q.log_sigma[:, keep], atol=1e-6)
        # The decoder hears what it heard at z_2 = 0.
        silent = z.clone()
        silent[:, 2] = 0
        assert torch.allclose(smaller.decode(z[:, keep]), model.decode(silent), atol=1e-6)
        same = VAE(3, (1, 8, 8), (6,), likelihood, seed=9, architecture=architecture)
        same.load_state_dict(smaller.state_dict())  # as the zoo stores it
        for values in smaller.parameters():
            values.zero_()
        assert model.encode(x).mean.abs().sum() > 0  # a copy: the model is as it was


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="two latents or more; got Autoencoder"):
        without_latent(Autoencoder(2), 0)
    with pytest.raises(ValueError, match="two latents or more; got 1"):
        without_latent(VAE(1), 0)
    with pytest.raises(ValueError, match="index must be 0 to 1; got 2"):
        without_latent(VAE(2), 2)


def test_latents_are_ordered_by_their_rate() -> None:
    model = VAE(3, hidden=(5,), likelihood=BernoulliLikelihood(), seed=0)
    with torch.no_grad():
        # The narrower Q, the higher the rate, whatever X is; where Q is the prior it is 0.
        for head in (model.encoder.mean, model.encoder.log_sigma):
            head.weight.zero_()
            head.bias.zero_()
        model.encoder.log_sigma.bias.copy_(torch.tensor([0.0, -1.4, -0.7]))
    images = data.load("mnist", "test").images[:10]
    assert latents_by_rate(model, images).tolist() == [1, 2, 0]
