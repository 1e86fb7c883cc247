"""The naive estimate of log P(X), from draws of the prior, and what decides how good it is.

Many draws of z from P(z), shared by all images; and D[P(z|X) || P(z)], whose exponential is about
the number of draws that such an estimate needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian
from vae_core.evaluation._images import as_images, decoded_at_once, image_chunks, wide
from vae_core.evaluation._likelihood import check_which, given_latent, posterior_of
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE

_GROUP = 16  # factors of at most 2 multiplied before a logarithm is taken: 65,536 at the most


class PriorSampling(NamedTuple):
    """log of the mean of P(X|z) over the first n draws of z from P(z), for each n of ``counts``.

    Each tensor is [counts, images], in float64: ``value`` in nats; ``standard_error`` by the delta
    method, in nats (NaN for n = 1, and far too small while ``effective_samples`` is near 1);
    ``effective_samples``, (sum of weights)^2 / (sum of squared weights) (Kong 1992);
    ``largest_share``, the part of the sum that its largest term makes up, from 1/n to 1.
    """

    counts: tuple[int, ...]
    value: Tensor
    standard_error: Tensor
    effective_samples: Tensor
    largest_share: Tensor


def _bernoulli_pairs(
    x: Float[Tensor, "images pixels"], output: Float[Tensor, "draws pixels"]
) -> Float[Tensor, "draws images"]:
    """log P(x|output) of all pairs: x [images, pixels] of 0 and 1, output [draws, pixels] logits.

    softplus(a) is max(a, 0) + log(1 + exp(-|a|)); the second parts, being logarithms of numbers in
    (1, 2], are multiplied by sixteens before the logarithm, which is what would take the time.
    """
    pixels = output.shape[1]
    factors = torch.exp(-output.abs()).add_(1)
    if pixels % _GROUP:
        filler = factors.new_ones(len(factors), _GROUP - pixels % _GROUP)
        factors = torch.cat([factors, filler], 1)
    first, *others = factors.tensor_split(_GROUP, 1)
    product = first.clone()
    for part in others:
        product *= part
    normaliser = product.log_().sum(1) + output.relu().sum(1)
    return output @ x.T - normaliser[:, None]


def _pairs(
    model: VAE, x: Float[Tensor, " images *shape"], z: Float[Tensor, "draws latent"]
) -> Float[Tensor, "draws images"]:
    """log P(X|z) of every image x [images, *shape] at every z [draws, latent]: [draws, images]."""
    output = model.decode(z)
    if isinstance(model.likelihood, BernoulliLikelihood):
        return _bernoulli_pairs(x.flatten(1), output.flatten(1))
    return model.likelihood.log_prob(x, output.unsqueeze(1).expand(len(z), *x.shape))


@torch.no_grad()
def prior_sampling(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    counts: Iterable[int],
    *,
    chunk: int | None = None,
    seed: int = 0,
) -> PriorSampling:
    """log P(X) of ``images`` [n, *shape] from P(X) = E[P(X|z)], z from P(z) = N(0, I), in nats.

    Every draw is decoded once and compared with all images, so their estimates share the draws:
    each is as good as any, but their errors are not independent. That is what makes a million draws
    affordable; :func:`log_likelihood` with ``proposal="prior"`` gives each image its own.
    ``images`` are uint8, or float as the likelihood takes them; about ``chunk`` latents are decoded
    at a time; ``seed`` and ``chunk`` decide the draws.

    Raises ``ValueError`` for wrong images, no counts, or a count below 1.
    """
    if not isinstance(counts, Iterable):
        raise ValueError(f"counts must be numbers of draws; got {_check.shown(counts)}")
    ends = sorted({_check.whole("each count", count) for count in counts})
    if not ends:
        raise ValueError("counts must name at least one number of draws; got none")
    model = ready("prior_sampling", model, "encode", "decode", "likelihood")
    images = as_images(images)
    (x,) = image_chunks(model, images, len(images))
    model.check_images(x)
    model.likelihood.check(x)
    rows = decoded_at_once(model, tuple(images.shape[1:]), chunk)
    if not isinstance(model.likelihood, BernoulliLikelihood):
        rows = max(1, rows // len(x))  # each pair has its own differences
    weight = next(model.parameters())
    generator = torch.Generator(weight.device).manual_seed(_check.seed(seed))
    total = squares = most = torch.full((len(x),), -math.inf, dtype=torch.float64, device="cpu")
    found, done = [], 0
    for end in ends:
        while done < end:
            size = min(rows, end - done)
            z = torch.randn(
                size,
                model.latent_dim,
                generator=generator,
                dtype=weight.dtype,
                device=weight.device,
            )
            part = wide(_pairs(model, x, z))
            total = torch.logaddexp(total.to(part), part.logsumexp(0))
            squares = torch.logaddexp(squares.to(part), (2 * part).logsumexp(0))
            most = torch.maximum(most.to(part), part.max(0).values)
            done += size
        if bool((total.isnan() | (total == math.inf)).any()):
            raise ValueError("log P(X|z) is not finite: the model's training has diverged")
        effective = torch.exp(2 * total - squares).clamp(1, end)
        error = ((end / effective - 1) / (end - 1)).sqrt() if end > 1 else effective * math.nan
        found.append((total - math.log(end), error, effective, (most - total).exp()))
    return PriorSampling(tuple(ends), *(torch.stack(column) for column in zip(*found, strict=True)))


class PriorDivergence(NamedTuple):
    """How far P(z|X) is from P(z), for each of n images; each tensor is [n], in float64.

    ``value``: D[P(z|X) || P(z)] = E[log r] in nats, the mean being over P(z|X) and r the ratio
    P(z|X) / P(z) = P(X|z) / P(X); ``deviation``: the standard deviation of log r under P(z|X), in
    nats. About exp(``value``) draws of the prior are needed for log P(X), up or down by a factor
    exp(t) with t of a few ``deviation`` (Chatterjee & Diaconis 2018, theorem 1.1).
    ``log_likelihood``: log P(X) from the same draws. ``effective_samples``: of the draws behind it
    all (Kong 1992); where it is only a few, nothing here is worth much.
    """

    value: Tensor
    deviation: Tensor
    log_likelihood: Tensor
    effective_samples: Tensor


@torch.no_grad()
def prior_divergence(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    samples: int = 5000,
    *,
    proposal: str | DiagonalGaussian = "posterior",
    chunk: int | None = None,
    seed: int = 0,
) -> PriorDivergence:
    """D[P(z|X) || P(z)] of ``images`` [n, *shape], by self-normalised importance sampling.

    P(z|X) is the model's exact posterior, not Q: ``samples`` draws of z, from Q(z|X) or from a
    DiagonalGaussian [n, latent], count in proportion to P(X, z) / proposal(z). Images, ``chunk``
    and ``seed`` are as in :func:`log_likelihood`; the log weights of a chunk of images are held at
    once.

    Raises ``ValueError`` for wrong images, a proposal of another kind, or counts below 1.
    """
    samples = _check.whole("samples", samples)
    model = ready("prior_divergence", model, "encode", "decode", "likelihood")
    images = as_images(images)
    check_which(proposal, images)
    rows = decoded_at_once(model, tuple(images.shape[1:]), chunk)
    generator = torch.Generator(next(model.parameters()).device)
    generator.manual_seed(_check.seed(seed))
    size, found = min(64, rows), []
    for number, x in enumerate(image_chunks(model, images, size)):
        q = posterior_of(model, x)
        if isinstance(proposal, DiagonalGaussian):
            mine = slice(number * size, number * size + len(x))
            q = DiagonalGaussian(*(part[mine].to(x) for part in proposal))
        elif proposal == "prior":
            q = DiagonalGaussian.standard(q.mean)
        given, ratios, weights = given_latent(model, x), [], []
        for done in range(0, samples, max(1, rows // len(x))):
            count = min(max(1, rows // len(x)), samples - done)
            noise = torch.randn(
                (count, *q.mean.shape), generator=generator, dtype=x.dtype, device=x.device
            )
            z = q.rsample(noise)
            ratios.append(wide(given(z)))
            weights.append(
                ratios[-1] + wide(DiagonalGaussian.standard(z).log_prob(z) - q.log_prob(z))
            )
        log_p, log_w = torch.cat(ratios), torch.cat(weights)  # [samples, batch]
        value, share = log_w.logsumexp(0) - math.log(samples), log_w.softmax(0)
        log_r = log_p - value
        mean = (share * log_r).sum(0)
        spread = (share * (log_r - mean).square()).sum(0).sqrt()
        found.append((mean, spread, value, 1 / share.square().sum(0)))
    result = PriorDivergence(*(torch.cat(column) for column in zip(*found, strict=True)))
    check_results("D[P(z|X) || P(z)]", result.value + result.log_likelihood)
    return result
