"""The loss of the tutorial's printed code, whose KL term is not the KL divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.models import VAE
from vae_core.objectives import Objective, Terms


def printed_kl_objective() -> Objective:
    """-log P(X|z) + sum of (sigma² + mu² - log sigma - 1/2), for ``fit`` on a VAE.

    The tutorial's listing has this term where the divergence from N(0, I) is
    (sigma² + mu² - 1)/2 - log sigma. It exists so that the book can show what the difference does
    to a trained model (chapters 4 and 12), one draw of z an example, in nats an example.
    """

    def objective(
        model: VAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        posterior = model.encode(x)
        z = posterior.rsample(generator=generator)
        printed = posterior.sigma**2 + posterior.mean**2 - posterior.log_sigma - 0.5
        return {"loss": printed.sum(1) - model.log_likelihood(x, z)}

    return objective
