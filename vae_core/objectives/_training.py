"""Objectives in the form that ``fit`` takes: terms by name, one value an example, in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_core import _check
from vae_core.models import CVAE, VAE, Autoencoder, Classifier
from vae_core.objectives._bounds import (
    Baseline,
    RunningBaseline,
    check_gradient,
    elbo,
    importance_weighted_bound,
)
from vae_core.objectives._reconstruction import Corruption, reconstruction

# What training minimises and records: named terms, each [batch]; "loss" is the one minimised.
Terms = dict[str, Tensor]
Objective = Callable[[Any, Tensor, Tensor, torch.Generator | None], Terms]


def _condition_of(model: VAE | CVAE, x: Tensor, labels: Tensor) -> Tensor | None:
    return model.condition_of(x, labels) if isinstance(model, CVAE) else None


def elbo_objective(
    samples: int = 1,
    *,
    beta: float = 1.0,
    gradient: str = "path-wise",
    baseline: Baseline = None,
) -> Objective:
    """-ELBO as an objective for ``fit``, for a VAE or a CVAE; arguments as for :func:`elbo`.

    ``baseline`` may also be "running", for a :class:`RunningBaseline` of its own.
    """
    samples = _check.whole("samples", samples)
    kept = RunningBaseline() if baseline == "running" else baseline
    check_gradient(gradient, kept, samples)

    def objective(
        model: VAE | CVAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        bound = elbo(
            model,
            x,
            samples,
            generator=generator,
            validate=False,
            condition=_condition_of(model, x, labels),
            beta=beta,
            gradient=gradient,
            baseline=kept,
        )
        return {"loss": -bound.total, "reconstruction": bound.reconstruction, "kl": bound.kl}

    return objective


def importance_weighted_objective(samples: int) -> Objective:
    """Minus the importance-weighted bound of ``samples`` draws, for ``fit``: the IWAE's loss."""
    samples = _check.whole("samples", samples)

    def objective(
        model: VAE | CVAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        condition = _condition_of(model, x, labels)
        bound = importance_weighted_bound(
            model, x, samples, generator=generator, validate=False, condition=condition
        )
        return {"loss": -bound}

    return objective


def denoising(corruption: Corruption) -> Objective:
    """-log P(X|z) with z the code of the corrupted image, for ``fit``: :func:`reconstruction`'s.

    ``corruption``: :class:`MaskingNoise`, :class:`SaltAndPepper`, :class:`GaussianNoise`, or any
    function of images [batch, *shape] and a generator that gives images of that shape.
    """

    if not callable(corruption):
        raise ValueError(
            f"corruption must be a function of images and a generator; "
            f"got {_check.shown(corruption)}"
        )

    def objective(
        model: Autoencoder, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        seen = reconstruction(model, x, validate=False, corruption=corruption, generator=generator)
        return {"loss": -seen}

    return objective


def _negative_reconstruction(
    model: Autoencoder, x: Tensor, labels: Tensor, generator: torch.Generator | None
) -> Terms:
    return {"loss": -reconstruction(model, x, validate=False)}


def _cross_entropy(
    model: Classifier, x: Tensor, labels: Tensor, generator: torch.Generator | None
) -> Terms:
    logits = model(x)
    wrong = (logits.argmax(1) != labels).to(x.dtype)
    return {"loss": F.cross_entropy(logits, labels, reduction="none"), "error_rate": wrong}


def objective_for(model: nn.Module) -> Objective:
    """The objective a model is trained on unless another is given.

    VAE, CVAE: -ELBO; Autoencoder: -log P(X|z); Classifier: cross-entropy (all in nats per example).
    Raises ``ValueError`` for any other model.
    """
    known: tuple[tuple[type | tuple[type, ...], Objective], ...] = (
        ((VAE, CVAE), elbo_objective()),
        (Autoencoder, _negative_reconstruction),
        (Classifier, _cross_entropy),
    )
    for kind, objective in known:
        if isinstance(model, kind):
            return objective
    raise ValueError(f"no objective is known for a {_check.kind(model)}: pass one to fit")
