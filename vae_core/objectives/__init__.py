"""What is maximised (or minimised): one value an example, in nats."""

from __future__ import annotations

from vae_core.objectives._bounds import (
    ELBO,
    GRADIENTS,
    Baseline,
    RunningBaseline,
    elbo,
    exact_elbo,
    importance_weighted_bound,
    log_weights,
)
from vae_core.objectives._reconstruction import (
    Corruption,
    GaussianNoise,
    MaskingNoise,
    SaltAndPepper,
    reconstruction,
    set_sigma,
)
from vae_core.objectives._training import (
    Objective,
    Terms,
    denoising,
    elbo_objective,
    importance_weighted_objective,
    objective_for,
)

__all__ = [
    "ELBO",
    "GRADIENTS",
    "Baseline",
    "Corruption",
    "GaussianNoise",
    "MaskingNoise",
    "Objective",
    "RunningBaseline",
    "SaltAndPepper",
    "Terms",
    "denoising",
    "elbo",
    "elbo_objective",
    "exact_elbo",
    "importance_weighted_bound",
    "importance_weighted_objective",
    "log_weights",
    "objective_for",
    "reconstruction",
    "set_sigma",
]
