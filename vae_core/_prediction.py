"""The loss of a deterministic network that fills in a part of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from vae_core.models import CVAE
from vae_core.objectives import Objective, Terms


def prediction_objective() -> Objective:
    """-log P(Y|z = 0, X), for ``fit`` on a CVAE: its decoder becomes a deterministic network.

    With z held at zero a decoder is a plain function of the given pixels: weights that z would
    meet get no gradient, and the encoder is never called. What is trained is the kind of network
    that Sohn et al. 2015 compare with, of the model's own widths.
    """

    def objective(
        model: CVAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        z = x.new_zeros(len(x), model.latent_dim)
        return {"loss": -model.log_likelihood(x, z, model.condition_of(x, labels))}

    return objective
