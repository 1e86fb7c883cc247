"""What the zoo trains for conditional models, and the loss of a deterministic network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vae_core.models import CVAE
from vae_core.objectives import Objective, Terms

QUADRANTS = ("1-quadrant", "2-quadrants", "3-quadrants")
OBJECTIVES = ("prediction_objective",)  # of this module, not of vae_core.objectives


def prediction_objective() -> Objective:
    """-log P(Y|z = 0, X), for ``fit`` on a CVAE: its decoder becomes a deterministic network.

    With z held at zero a decoder is a plain function of the given pixels: weights that z would
    meet get no gradient, and the encoder is never called. What is trained is the network that
    Sohn et al. 2015 compare with, of the same widths as the CVAE's decoder.
    """

    def objective(
        model: CVAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        z = x.new_zeros(len(x), model.latent_dim)
        return {"loss": -model.log_likelihood(x, z, model.condition_of(x, labels))}

    return objective


def _recipe(options: dict[str, Any], epochs: int, **others: Any) -> dict[str, Any]:
    return {
        "model": "CVAE",
        "options": options,
        "likelihood": {"kind": "bernoulli"},
        "pixels": "dynamic",
        "epochs": epochs,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        **others,
    }


# Few given pixels leave much to learn: the passes are dealt out accordingly.
CONDITIONAL: dict[str, dict[str, Any]] = {
    "cvae-class": _recipe({"latent_dim": 2, "hidden": (256,), "classes": 10}, 8),
    "cvae-column": _recipe({"latent_dim": 16, "hidden": (256,), "observed": "centre-column"}, 5),
    **{
        f"cvae-{given}": _recipe(
            {"latent_dim": 32, "hidden": (400,), "observed": given, "prior": "learned"}, epochs
        )
        for given, epochs in zip(QUADRANTS, (10, 7, 5), strict=True)
    },
    # One latent that stays at zero: the network has no more to go by than the given pixels.
    **{
        f"net-{given}": _recipe(
            {"latent_dim": 1, "hidden": (400,), "observed": given},
            3,
            objective={"name": "prediction_objective"},
        )
        for given in QUADRANTS
    },
}
