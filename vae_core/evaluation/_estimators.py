"""How much the gradient of the reconstruction term varies from draw to draw."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE
from vae_core.objectives import RunningBaseline, elbo

CHUNK = 1000  # images decoded at a time


@torch.inference_mode(False)  # it needs gradients, whatever the caller's mode is
def posterior_gradients(
    model: VAE,
    x: Float[Tensor, " batch *shape"],
    draws: int,
    *,
    samples: int = 1,
    gradient: str = "path-wise",
    baseline: RunningBaseline | str | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "draws batch parameters"]:
    """Independent estimates of d E_Q[log P(X|z)] / d (mean, log sigma), in nats per unit.

    ``x``: [batch, *shape]. Returns [draws, batch, 2 * latent], the mean's components first; each
    estimate averages ``samples`` draws of z. ``gradient`` and ``baseline`` are those of
    :func:`vae_core.objectives.elbo`, which makes the estimates. Raises ``ValueError`` as it does,
    and for ``draws`` below 1.
    """
    draws, samples = _check.whole("draws", draws), _check.whole("samples", samples)
    model = ready("posterior_gradients", model, "encode", "likelihood")
    x = as_tensor("x", x)
    if x.is_floating_point():
        x = x.to(next(model.parameters()))
    with torch.no_grad():
        posterior = model.encode(x)
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(f"the model must have a posterior, as a VAE; got {_check.kind(model)}")
    stub, found, done = copy.copy(model), [], 0
    while done < draws:
        size = min(max(1, CHUNK // (len(x) * samples)), draws - done)
        done += size
        copies = [p.repeat(size, 1).requires_grad_() for p in posterior]
        given = DiagonalGaussian(*copies)
        vars(stub)["encode"] = lambda images, given=given: given  # in place of the network
        images = x.repeat(size, *(1 for _ in x.shape[1:]))
        bound = elbo(
            stub, images, samples, gradient=gradient, baseline=baseline, generator=generator
        )
        parts = torch.autograd.grad(bound.reconstruction.sum(), copies)
        found.append(torch.cat(parts, dim=1).unflatten(0, (size, len(x))))
    gradients = torch.cat(found)
    check_results("the gradient", gradients.transpose(0, 1))
    return gradients
