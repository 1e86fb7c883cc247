"""The plain two-part code, without bits back: tell a bin for each latent, then X given the bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core import _check
from vae_core.models import VAE


class TwoPart(NamedTuple):
    """What the plain code takes, in bits: ``total`` [batch] = ``z`` (one number) + ``x`` [batch].

    ``places`` [batch, latent]: the bin that is told of each latent, counted from 0.
    """

    z: float
    x: Tensor
    total: Tensor
    places: Tensor


def bin_medians(count: int) -> Float[Tensor, " count"]:
    """The medians of ``count`` bins of equal mass under N(0, 1): float64 [count]."""
    count = _check.whole("count", count)
    middle = torch.arange(count, dtype=torch.float64, device="cpu") + 0.5
    return torch.special.ndtri(middle / count)


@torch.no_grad()
def two_parts(
    model: VAE, x: Float[Tensor, " batch *shape"], bins: Sequence[int], *, sweeps: int = 0
) -> TwoPart:
    """The plain two-part code of images ``x`` [batch, *shape] in the likelihood's range.

    Latent i is cut into ``bins[i]`` bins of equal prior mass; telling one takes log2(bins[i]) bits,
    and stands for the bin's median. X given the medians takes -log2 P(X|z) bits.

    The receiver need not know why a bin was told, so the sender may tell any. With ``sweeps`` = 0
    it is the one that holds the mean of Q. Otherwise the sender starts there and goes ``sweeps``
    times through the latents (fewer when nothing changes any more), each time telling of one latent
    the bin that makes X cheapest, all others held. The bits can only fall. What is found need not
    be the best of all combinations.

    Raises ``ValueError`` unless ``bins`` are whole numbers >= 1, one a latent, or for wrong images.
    """
    model.check_images(x)
    model.likelihood.check(x)
    counts = [_check.whole("bins", count) for count in bins]
    if len(counts) != model.latent_dim:
        raise ValueError(f"bins must be one a latent, {model.latent_dim}; got {len(counts)}")
    medians = [bin_medians(count).to(x) for count in counts]
    q = model.encode(x)
    total = torch.tensor(counts, device=x.device)
    places = (torch.special.ndtr(q.mean) * total).floor().long()
    places = torch.minimum(places, total - 1)  # ndtr may round to 1
    z = torch.stack([medians[i][places[:, i]] for i in range(len(counts))], dim=1)
    log_p = model.log_likelihood(x, z)
    for _ in range(_check.whole("sweeps", sweeps, least=0)):
        before = log_p
        for i, values in enumerate(medians):
            trial = z.expand(len(values), *z.shape).clone()  # [bins, batch, latent]
            trial[:, :, i] = values[:, None]
            log_p, places[:, i] = model.log_likelihood(x, trial).max(0)
            z[:, i] = values[places[:, i]]
        if torch.equal(log_p, before):
            break
    pixels = -log_p / math.log(2)
    of_z = sum(map(math.log2, counts))
    return TwoPart(of_z, pixels, of_z + pixels, places)
