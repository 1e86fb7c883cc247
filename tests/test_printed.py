"""The tutorial's printed loss, which the book trains to show what it does."""

from __future__ import annotations

import torch

from vae_core._printed import printed_kl_objective
from vae_core.models import VAE
from vae_core.objectives import elbo


def test_the_loss_is_the_listings_term_and_a_true_likelihood() -> None:
    model = VAE(3, (1, 4, 4), hidden=(8,), seed=0)
    x = torch.rand(5, 1, 4, 4)
    labels = torch.zeros(5, dtype=torch.int64)
    with torch.no_grad():
        loss = printed_kl_objective()(model, x, labels, torch.Generator().manual_seed(1))["loss"]
        sound = elbo(model, x, generator=torch.Generator().manual_seed(1))
        q = model.encode(x)
    printed = (q.sigma**2 + q.mean**2 - torch.log(q.sigma) - 1 / 2).sum(1)
    assert torch.allclose(loss, -sound.reconstruction + printed, rtol=1e-5)
    # It is not the divergence, and not that divergence plus a constant.
    assert (printed - sound.kl).std() > 1e-3
