"""How a model is described to the browser: its networks and its likelihood; and its codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vae_core.data import to_float
from vae_core.distributions import DiagonalGaussian, GaussianLikelihood
from vae_core.models import CVAE
from vae_core.widgets import _payload as payload
from vae_core.widgets._payload import LatentModel
from vae_core.widgets._validate import check_codes


def likelihood_spec(model: LatentModel | CVAE) -> dict[str, Any]:
    """The likelihood's kind, link and, for Gaussian pixels, their standard deviation."""
    likelihood = model.likelihood
    if not isinstance(likelihood, GaussianLikelihood):
        return {"kind": "bernoulli", "link": "sigmoid"}
    return {"kind": "gaussian", "link": likelihood.link, "sigma": likelihood.sigma.item()}


def decoder_spec(model: LatentModel | CVAE, packed: payload.Packed) -> dict[str, Any]:
    """The decoder and the link after it."""
    activation = model.decoder.activation
    link = getattr(model.likelihood, "link", "sigmoid")
    return {"sha": packed[0].sha, "activation": activation, "link": link, "layers": packed[1]}


def encoder_spec(model: LatentModel, packed: payload.Packed) -> dict[str, Any]:
    """The encoder, its heads stacked: mean, then log sigma."""
    return {"sha": packed[0].sha, "activation": model.encoder.activation, "layers": packed[1]}


@torch.no_grad()
def posteriors(
    name: str, model: LatentModel, images: Tensor, batch: int = 2048
) -> tuple[Tensor, Tensor | None]:
    """Codes [n, k] of uint8 images, and a VAE's log sigmas, float32 on the CPU: the model's own.

    (Not those of the quantised weights.) Raises ``ValueError`` for such as no picture can show,
    where the training of ``name`` diverged.
    """
    weight, means, spreads = next(model.parameters()), [], []
    for part in images.split(batch):
        code = model.encode(to_float(part).to(weight))
        if isinstance(code, DiagonalGaussian):
            spreads.append(code.log_sigma.float().cpu())
            code = code.mean
        means.append(code.float().cpu())
    codes, log_sigma = torch.cat(means), torch.cat(spreads) if spreads else None
    check_codes(name, codes, None if log_sigma is None else log_sigma.exp())
    return codes, log_sigma


def embed(name: str, model: LatentModel, images: Tensor) -> Tensor:
    """The codes alone, [n, k]."""
    return posteriors(name, model, images)[0]
