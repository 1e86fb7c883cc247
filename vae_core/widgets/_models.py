"""How a model is described to the browser: its networks and its likelihood; and its codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vae_core.data import to_float
from vae_core.distributions import GaussianLikelihood
from vae_core.models import CVAE
from vae_core.widgets import _payload as payload
from vae_core.widgets._payload import LatentModel


def likelihood_spec(model: LatentModel | CVAE) -> dict[str, Any]:
    """The likelihood's kind, link and, for Gaussian pixels, their standard deviation."""
    likelihood = model.likelihood
    if not isinstance(likelihood, GaussianLikelihood):
        return {"kind": "bernoulli", "link": "sigmoid"}
    return {"kind": "gaussian", "link": likelihood.link, "sigma": likelihood.sigma.item()}


def decoder_spec(model: LatentModel | CVAE, packed: payload.Packed) -> dict[str, Any]:
    """The decoder and the link after it."""
    activation = model.decoder.activation
    link = likelihood_spec(model)["link"]
    return {"sha": packed[0].sha, "activation": activation, "link": link, "layers": packed[1]}


def encoder_spec(model: LatentModel, packed: payload.Packed) -> dict[str, Any]:
    """The encoder, its heads stacked: mean, then log sigma."""
    return {"sha": packed[0].sha, "activation": model.encoder.activation, "layers": packed[1]}


@torch.no_grad()
def embed(model: LatentModel, images: Tensor, batch: int = 2048) -> Tensor:
    """Codes [n, 2] of uint8 images: the model's own, not those of the quantised weights."""
    device = next(model.parameters()).device
    pieces = [model.embed(to_float(part.to(device))).cpu() for part in images.split(batch)]
    return torch.cat(pieces)
