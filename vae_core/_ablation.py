"""A VAE with one latent fewer: what a refit without a latent starts from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import as_tensor, check_finite
from vae_core.data import binarize, to_float
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE


def _kept(layer: nn.Linear, keep: Tensor, *, rows: bool) -> nn.Linear:
    """``layer`` with only its rows (outputs) or columns (inputs) ``keep``."""
    weight = layer.weight[keep] if rows else layer.weight[:, keep]
    rows_left, columns_left = weight.shape
    smaller = nn.Linear(columns_left, rows_left, device=weight.device, dtype=weight.dtype)
    smaller.weight.copy_(weight)
    smaller.bias.copy_(layer.bias[keep] if rows else layer.bias)
    return smaller


@torch.no_grad()
def without_latent(model: VAE, index: int) -> VAE:
    """A copy of ``model`` without its latent ``index``, counted from 0.

    Its rows in the encoder's two heads and its column in the decoder's first layer are cut out: the
    decoder gets what it got at z_index = 0. All other weights stay as they are, so that neither
    network has learned yet to do without it.

    Raises ``ValueError`` for another model, one with a single latent, or an index it does not have.
    """
    if not isinstance(model, VAE) or model.latent_dim < 2:
        given = model.latent_dim if isinstance(model, VAE) else _check.kind(model)
        raise ValueError(f"model must be a VAE with two latents or more; got {given}")
    index = _check.whole("index", index, least=0)
    if index >= model.latent_dim:
        raise ValueError(f"index must be 0 to {model.latent_dim - 1}; got {index}")
    check_finite("the model", model)
    smaller = copy.deepcopy(model)
    others = [i for i in range(model.latent_dim) if i != index]
    keep = torch.tensor(others, device=model.encoder.mean.weight.device)
    smaller.latent_dim = len(keep)
    assert smaller.encoder.log_sigma is not None
    smaller.encoder.mean = _kept(smaller.encoder.mean, keep, rows=True)
    smaller.encoder.log_sigma = _kept(smaller.encoder.log_sigma, keep, rows=True)
    first = smaller.decoder.layers[0]
    assert isinstance(first, nn.Linear)
    smaller.decoder.layers[0] = _kept(first, keep, rows=False)
    return smaller


@torch.no_grad()
def latents_by_rate(model: VAE, images: Tensor) -> Tensor:
    """The latents of ``model`` [latent], those with the highest mean KL on ``images`` first.

    ``images``: uint8 [n, *shape]; a Bernoulli model gets them in black and white, in "fixed" mode.

    Raises ``ValueError`` for another model, one that diverged, or other images.
    """
    if not isinstance(model, VAE):
        raise ValueError(f"latents_by_rate takes a VAE; got {_check.kind(model)}")
    check_finite("the model", model)
    images = as_tensor("images", images)
    black_white = isinstance(model.likelihood, BernoulliLikelihood)
    x = binarize(images, "fixed") if black_white else to_float(images)
    x = x.to(model.encoder.mean.weight)
    return model.encode(x).kl_per_dimension().mean(0).argsort(descending=True)
