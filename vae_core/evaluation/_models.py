"""What evaluation takes for a model, told in one sentence when it is something else."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import check_finite
from vae_core.models import CVAE

M = TypeVar("M", bound=nn.Module)

HALF = (torch.float16, torch.bfloat16)
# What serves a conditional model in place of a function that takes P(X) alone.
_SAMPLED = (
    "evaluation.importance_sampling, or objectives.importance_weighted_bound with condition=..."
)
_INSTEAD = {
    "log_likelihood": _SAMPLED,
    "log_weights": "objectives.log_weights with condition=...",
    "prior_divergence": _SAMPLED,
    "prior_sampling": "evaluation.monte_carlo, with model.prior(condition)",
    "residual_variances": "model(x, condition), and its difference from x",
    "rate_distortion": "objectives.elbo with condition=..., whose parts they are",
    "trade_off": "objectives.elbo with condition=..., whose parts they are",
    "latent_samples": "model.encode(x, condition).sample()",
    "reconstruction_error": "model(x, condition), and its squared difference from x",
    "refine_posterior": "objectives.elbo with condition=... and an optimiser of your own",
    "true_posterior_grid": "model.log_likelihood(x, z, condition) on a grid of z",
    "posterior_gradients": "objectives.elbo with condition=..., and torch.autograd.grad",
    "gradient_variance": "objectives.elbo with condition=..., and torch.autograd.grad",
    "impute": "a CVAE with observed=..., whose generate fills in what is not given",
}


def ready(function: str, model: M, *needs: str) -> M:
    """``model`` as ``function`` works with it; ``needs``: the attributes that it must have.

    Weights of 16 bits are worked on in a float32 copy: a sum over hundreds of pixels in 16 bits
    would be off by nats. Raises ``ValueError`` for a CVAE (with what to call in its place), for
    anything else that lacks what is needed, and for weights that are not finite.
    """
    if isinstance(model, CVAE) and function in _INSTEAD:
        raise ValueError(
            f"{function} takes a model of P(X), and a CVAE is one of P(X|Y): "
            f"call {_INSTEAD[function]}"
        )
    if not isinstance(model, nn.Module) or not all(hasattr(model, name) for name in needs):
        raise ValueError(f"{function} takes a model of vae_core.models; got {_check.kind(model)}")
    weight = next(model.parameters(), None)
    if weight is None:
        raise ValueError(f"{function} takes a model with weights; this one has none")
    check_finite("the model", model)
    if weight.dtype in HALF:
        return copy.deepcopy(model).float()
    # Weights that were made in inference mode take part in no gradient; copies of them do.
    aside = weight.is_inference() and not torch.is_inference_mode_enabled()
    return copy.deepcopy(model) if aside else model


def check_results(what: str, *values: Tensor) -> None:
    """Raise ``ValueError`` unless all of ``values`` [n, ...] are finite: the model has diverged."""
    for value in values:
        wrong = ~torch.isfinite(value)
        if bool(wrong.any()):
            count = int(wrong.flatten(1).any(1).sum()) if wrong.ndim > 1 else int(wrong.sum())
            raise ValueError(
                f"{what} is not finite for {count} of {len(value)} images: "
                f"the model's training has diverged"
            )
