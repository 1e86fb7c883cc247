"""log P(X) of a VAE by importance sampling, and the bound in its two parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._progress import Progress
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._estimate import Estimate, mean_estimate
from vae_core.evaluation._images import as_images, decoded_at_once, image_chunks, wide
from vae_core.evaluation._importance import (
    Bound,
    LogLikelihood,
    check_proposal,
    check_sweep,
    drawn_parts,
    log_mean,
)
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE

# Images that share a tensor of draws: their pixels stay in the processor's cache from draw to draw.
_IMAGES = 64


def posterior_of(model: VAE, x: Tensor) -> DiagonalGaussian:
    """Q(z|X) of a chunk of images, whose shape, dtype and pixels are checked here."""
    model.check_images(x)
    model.likelihood.check(x)
    posterior = model.encode(x)
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(f"the model must have a posterior, as a VAE; got {type(model).__name__}")
    return posterior


def given_latent(model: VAE, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The function from z [draws, batch, latent] to log P(X|z) [draws, batch], in nats."""
    return lambda z: model.likelihood.log_prob(x, model.decode(z))


def log_joint_of(model: VAE, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The function from z [draws, batch, latent] to log P(X, z) [draws, batch], in nats."""
    given = given_latent(model, x)
    return lambda z: given(z) + DiagonalGaussian.standard(z).log_prob(z)


def _weigher(
    log_joint: Callable[[Tensor], Tensor], q: DiagonalGaussian
) -> Callable[[Tensor], Tensor]:
    return lambda z: log_joint(z) - q.log_prob(z)


def check_which(proposal: str | DiagonalGaussian, images: Tensor) -> None:
    """Raise ``ValueError`` unless ``proposal`` is one that ``images`` can have their draws from."""
    if isinstance(proposal, DiagonalGaussian):
        check_proposal(proposal, "proposal")
        if len(proposal.mean) != len(images):
            raise ValueError(
                f"proposal must have one row an image; got {len(proposal.mean)} rows, "
                f"{len(images)} images"
            )
    elif not isinstance(proposal, str) or proposal not in ("posterior", "prior"):
        raise ValueError(
            f"proposal must be 'posterior', 'prior' or a DiagonalGaussian; "
            f"got {_check.shown(proposal)}"
        )


def _weight_parts(
    model: VAE,
    images: Tensor,
    samples: int,
    proposal: str | DiagonalGaussian,
    chunk: int | None,
    seed: int,
) -> Iterator[Iterator[Tensor]]:
    """For each group of images in turn, its log weights, some draws at a time: [draws, group]."""
    rows = decoded_at_once(model, tuple(images.shape[1:]), chunk)
    generator = torch.Generator(next(model.parameters()).device)
    generator.manual_seed(_check.seed(seed))
    size = min(_IMAGES, rows)
    for number, x in enumerate(image_chunks(model, images, size)):
        q = posterior_of(model, x)
        if isinstance(proposal, DiagonalGaussian):
            mine = slice(number * size, number * size + len(x))
            q = DiagonalGaussian(proposal.mean[mine].to(x), proposal.log_sigma[mine].to(x))
        if proposal == "prior":
            q = DiagonalGaussian.standard(q.mean)
            weigh = given_latent(model, x)  # P(z) cancels
        else:
            weigh = _weigher(log_joint_of(model, x), q)
        yield drawn_parts(weigh, q, samples, rows, generator)


@torch.no_grad()
def log_weights(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    samples: int = 1000,
    *,
    proposal: str | DiagonalGaussian = "posterior",
    chunk: int | None = None,
    seed: int = 0,
) -> Float[Tensor, "samples n"]:
    """The weights themselves, log P(X, z) - log q(z) in nats and float64: [samples, n].

    All of them are held at once, for a picture of a few images; :func:`log_likelihood` sums the
    same draws as they pass. Arguments and errors are its own.
    """
    samples = _check.whole("samples", samples)
    model = ready("log_weights", model, "encode", "decode", "likelihood")
    images = as_images(images)
    check_which(proposal, images)
    groups = _weight_parts(model, images, samples, proposal, chunk, seed)
    return torch.cat([torch.cat([wide(part) for part in parts]) for parts in groups], 1)


@torch.no_grad()
def log_likelihood(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    samples: int = 1000,
    *,
    sweep: Iterable[int] = (),
    proposal: str | DiagonalGaussian = "posterior",
    chunk: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LogLikelihood:
    """log P(X) of ``images`` [n, *shape] in nats, by importance sampling.

    The mean weight P(X|z) P(z) / q(z) over ``samples`` draws of z from q, in log space (Burda et
    al. 2015, equation 8), each image with its own draws. q is Q(z|X) (``proposal="posterior"``),
    P(z) (``"prior"``: plain Monte Carlo), or a DiagonalGaussian [n, latent] such as a refined
    posterior. ``images``: uint8, or float in the likelihood's range.

    ``sweep``, such as (1, 5, 50, 500), gives the k-draw bound for each k from the same draws: the
    mean of log mean weights over blocks of k, whose expectation is exactly that bound's. Where one
    k divides the next and both divide ``samples``, the bounds rise on every image, with certainty
    (Jensen's inequality).

    Memory does not grow with ``samples``, and with n only by the results: ``chunk`` latents are
    decoded at a time, by default as many as keep a decoder's tensor near 4 MB in float32 on a CPU,
    near 128 MB on other devices (about five such tensors live at once).
    ``seed`` and ``chunk`` decide the draws. With ``progress``, work of more than some seconds shows
    how far it is and how long it will take; the display goes when it is done.

    Raises ``ValueError`` for wrong images, counts below 1, a k of ``sweep`` above ``samples``, or
    weights that are not finite.
    """
    samples, ks = check_sweep(samples, sweep)
    model = ready("log_likelihood", model, "encode", "decode", "likelihood")
    images = as_images(images)
    check_which(proposal, images)
    groups = _weight_parts(model, images, samples, proposal, chunk, seed)
    shown = Progress("log P(X)", len(images), show=progress, leave=False, units="images", delay=2.0)
    found = []
    try:
        for parts in groups:
            found.append(log_mean(parts, samples, ks))
            shown.advance(by=len(found[-1].value))
    finally:
        shown.close()
    return LogLikelihood(
        torch.cat([part.value for part in found]),
        torch.cat([part.standard_error for part in found]),
        torch.cat([part.effective_samples for part in found]),
        samples,
        {
            k: Bound(
                torch.cat([part.sweep[k].value for part in found]),
                torch.cat([part.sweep[k].standard_error for part in found]),
            )
            for k in ks
        },
    )


class RateDistortion(NamedTuple):
    """The ELBO of each image in its two parts, in nats and float64: ELBO = -(rate + distortion).

    - ``rate`` [n]: D[Q(z|X) || P(z)], exact;
    - ``distortion`` [n]: -E_Q[log P(X|z)], the mean of draws; ``distortion_error`` [n]: its Monte
      Carlo standard error (NaN for one draw);
    - ``kl_per_dimension`` [latent]: the rate's parts, each a mean over images;
    - ``mean_variance`` [latent]: variance over images of Q's mean (zero for a single image).
    """

    rate: Tensor
    distortion: Tensor
    distortion_error: Tensor
    kl_per_dimension: Tensor
    mean_variance: Tensor

    @property
    def elbo(self) -> Float[Tensor, " n"]:
        """The bound of each image, in nats: [n]."""
        return -(self.rate + self.distortion)

    def means(self) -> dict[str, Estimate]:
        """Mean rate, distortion and elbo, the images being a sample of all: errors hold both.

        At least two images, else ``ValueError``.
        """
        parts = {"rate": self.rate, "distortion": self.distortion, "elbo": self.elbo}
        return {name: mean_estimate(values) for name, values in parts.items()}

    def active_by_variance(self, threshold: float = 0.01) -> Bool[Tensor, " latent"]:
        """Which latents are used, bool [latent]: the variance of Q's mean exceeds ``threshold``.

        Burda et al. 2015, section 5.2, A_u = Cov_X(E_Q[u]) > 0.01.
        """
        return self.mean_variance > threshold

    def active_by_kl(self, threshold: float = 0.01) -> Bool[Tensor, " latent"]:
        """Which latents are used, bool [latent]: their mean KL exceeds ``threshold`` nats."""
        return self.kl_per_dimension > threshold


@torch.no_grad()
def rate_distortion(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    samples: int = 1,
    *,
    chunk: int | None = None,
    seed: int = 0,
) -> RateDistortion:
    """Rate and distortion of ``images`` [n, *shape], uint8 or float (Alemi et al. 2018, section 2).

    The distortion averages ``samples`` draws of z from Q(z|X); ``chunk`` latents are decoded at a
    time. Raises ``ValueError`` for wrong images or counts below 1.
    """
    samples = _check.whole("samples", samples)
    model = ready("rate_distortion", model, "encode", "decode", "likelihood")
    images = as_images(images)
    rows = decoded_at_once(model, tuple(images.shape[1:]), chunk)
    generator = torch.Generator(next(model.parameters()).device)
    generator.manual_seed(_check.seed(seed))
    kl, means, distortion, error = [], [], [], []
    for x in image_chunks(model, images, min(1000, rows)):
        q = posterior_of(model, x)
        kl.append(wide(q.kl_per_dimension()))
        means.append(wide(q.mean))
        parts = drawn_parts(given_latent(model, x), q, samples, rows, generator)
        draws = -torch.cat([wide(part) for part in parts])  # [samples, batch]
        distortion.append(draws.mean(0))
        spread = draws.std(0) if samples > 1 else torch.full_like(draws[0], math.nan)
        error.append(spread / math.sqrt(samples))
    kl_all, mean_all, cost = torch.cat(kl), torch.cat(means), torch.cat(distortion)
    check_results("the rate or the distortion", kl_all.sum(1) + cost)
    return RateDistortion(
        kl_all.sum(1),
        cost,
        torch.cat(error),
        kl_all.mean(0),
        # Two passes over the means: near zero, E[m^2] - E[m]^2 would keep no digit.
        (mean_all - mean_all.mean(0)).square().sum(0) / max(1, len(mean_all) - 1),
    )
