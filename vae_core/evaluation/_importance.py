"""log of an expectation, from draws that pass by once: what every estimate of log P(X) rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core import _check
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._estimate import Estimate
from vae_core.evaluation._images import wide


class Bound(NamedTuple):
    """A lower bound on log P(X) of each image, in nats: both [n].

    ``standard_error`` is NaN where one draw, or one block of draws, is all there is.
    """

    value: Tensor
    standard_error: Tensor

    def mean(self) -> Estimate:
        """The mean over these images, with its Monte Carlo error alone.

        For the error of a statement about all images of the kind, these being a sample of them,
        take ``mean_estimate(bound.value)``, whose spread holds both.
        """
        n = len(self.value)
        spread = self.standard_error.square().sum().sqrt().item() / n
        return Estimate(self.value.mean().item(), spread)


class LogLikelihood(NamedTuple):
    """log P(X) of each image from k = ``samples`` draws each, in nats, in float64.

    - ``value`` [n]: log((1/k) sum of weights), a weight being P(X, z) / Q(z|X). On average it lies
      below log P(X), by about ``standard_error**2 / 2``;
    - ``standard_error`` [n]: by the delta method, the weights' standard error over their mean;
      too small where ``effective_samples`` is only a few. NaN for k = 1;
    - ``effective_samples`` [n]: (sum of weights)^2 / (sum of squared weights), between 1 and k
      (Kong 1992); k when all weights are equal, which is when Q is the posterior;
    - ``sweep``: for each k asked for, the importance-weighted bound with k draws.
    """

    value: Tensor
    standard_error: Tensor
    effective_samples: Tensor
    samples: int
    sweep: dict[int, Bound]

    def mean(self) -> Estimate:
        """As :meth:`Bound.mean`, for the whole number of draws."""
        return Bound(self.value, self.standard_error).mean()


class _Blocks:
    """The average, over consecutive blocks of k draws, of the log mean weight in a block.

    Each block's value has the expectation of the k-draw bound, so their average has it too, and
    their spread gives its error. Draws left over at the end, fewer than k, are not used.
    """

    def __init__(self, k: int) -> None:
        self.k, self.filled, self.count = k, 0, 0
        self.open: Tensor | None = None  # log sum of the block in progress
        # Sum of the blocks' values, and of their squared differences from their mean.
        self.sum = self.spread = torch.zeros((), dtype=torch.float64, device="cpu")

    def add(self, log_weights: Float[Tensor, "draws n"]) -> None:
        """``log_weights`` [draws, n], in the order of the draws."""
        if self.open is not None:
            head, log_weights = log_weights.tensor_split([self.k - self.filled])
            self._extend(head)
            if self.filled == self.k:
                self._finish(self.open[None] - math.log(self.k))
                self.open, self.filled = None, 0
        whole = len(log_weights) // self.k * self.k
        body, tail = log_weights.tensor_split([whole])
        if whole:
            self._finish(body.unflatten(0, (-1, self.k)).logsumexp(1) - math.log(self.k))
        if len(tail):
            self._extend(tail)

    def _extend(self, part: Tensor) -> None:
        total = part.logsumexp(0)
        self.open = total if self.open is None else torch.logaddexp(self.open, total)
        self.filled += len(part)

    def _finish(self, values: Tensor) -> None:
        """Merge blocks' values [m, n] into sum and spread (Chan, Golub & LeVeque 1979)."""
        m, mean = len(values), values.mean(0)
        self.spread = self.spread + (values - mean).square().sum(0)
        if self.count:
            shift = mean - self.sum / self.count
            self.spread = self.spread + shift**2 * (self.count * m / (self.count + m))
        self.sum = self.sum + values.sum(0)
        self.count += m

    def bound(self) -> Bound:
        value = self.sum / self.count
        if self.count < 2:
            return Bound(value, torch.full_like(value, math.nan))
        return Bound(value, (self.spread / (self.count - 1) / self.count).sqrt())


def check_sweep(samples: int, sweep: Iterable[int]) -> tuple[int, tuple[int, ...]]:
    """``samples`` and ``sweep`` as whole numbers; ``ValueError`` for a k above ``samples``."""
    samples = _check.whole("samples", samples)
    if not isinstance(sweep, Iterable):
        raise ValueError(
            f"sweep must be numbers of draws, such as (1, 5); got {_check.shown(sweep)}"
        )
    ks = tuple(_check.whole("each k of sweep", k) for k in sweep)
    if ks and max(ks) > samples:
        raise ValueError(f"each k of sweep must be at most samples, {samples}; got {max(ks)}")
    return samples, ks


def log_mean(
    parts: Iterator[Float[Tensor, "draws n"]], samples: int, sweep: tuple[int, ...]
) -> LogLikelihood:
    """Read log weights, [draws, n] at a time and ``samples`` draws in all; keep sums alone."""
    blocks = {k: _Blocks(k) for k in sweep}
    total = squares = torch.tensor(-math.inf, dtype=torch.float64, device="cpu")
    for part in parts:
        part = wide(part)
        total, squares = total.to(part.device), squares.to(part.device)
        total = torch.logaddexp(total, part.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * part).logsumexp(0))
        for block in blocks.values():
            block.add(part)
    value = total - math.log(samples)
    wrong = int((value.isnan() | (value == math.inf)).sum())
    if wrong:
        raise ValueError(
            f"the weights of {wrong} of {len(value)} images are NaN or infinite: "
            f"the model's output or the proposal is not finite there"
        )
    effective = torch.exp(2 * total - squares).clamp(1, samples)
    if samples > 1:
        error = ((samples / effective - 1) / (samples - 1)).sqrt()
    else:
        error = torch.full_like(value, math.nan)
    bounds = {
        k: Bound(value, error) if k == samples else block.bound() for k, block in blocks.items()
    }
    return LogLikelihood(value, error, effective, samples, bounds)


def check_proposal(proposal: DiagonalGaussian, name: str) -> None:
    """Raise ``ValueError`` unless ``proposal`` is a DiagonalGaussian [batch, latent]."""
    if not isinstance(proposal, DiagonalGaussian):
        raise ValueError(f"{name} must be a DiagonalGaussian; got {type(proposal).__name__}")
    mean, log_sigma = proposal
    if not isinstance(mean, Tensor) or not isinstance(log_sigma, Tensor):
        raise ValueError(f"{name} must be of tensors; got {_check.shown(mean)}")
    if not mean.is_floating_point() or mean.device != log_sigma.device:
        raise ValueError(f"{name} must be floating, on one device; got {mean.dtype}")
    if mean.ndim != 2 or log_sigma.shape != mean.shape or len(mean) == 0:
        raise ValueError(
            f"{name} must have a mean and log_sigma [batch, latent], batch >= 1; "
            f"got {list(mean.shape)} and {list(log_sigma.shape)}"
        )


def drawn_parts(
    log_weight: Callable[[Tensor], Tensor],
    proposal: DiagonalGaussian,
    samples: int,
    chunk: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Log weights [draws, batch] of draws from ``proposal``, at most ``chunk`` latents a time."""
    batch = len(proposal.mean)
    step = max(1, chunk // batch)
    for done in range(0, samples, step):
        shape = (min(step, samples - done), *proposal.mean.shape)
        noise = torch.randn(
            shape, generator=generator, dtype=proposal.mean.dtype, device=proposal.mean.device
        )
        found = log_weight(proposal.rsample(noise))
        if not isinstance(found, Tensor):
            raise ValueError(f"the callable must give a tensor; got {_check.shown(found)}")
        if found.shape != shape[:2]:
            raise ValueError(
                f"the callable must give [samples, batch] = {list(shape[:2])}; "
                f"got {list(found.shape)}"
            )
        yield found


def importance_sampling(
    log_joint: Callable[[Tensor], Tensor],
    proposal: DiagonalGaussian,
    samples: int = 1000,
    *,
    sweep: Iterable[int] = (),
    chunk: int = 4096,
    seed: int = 0,
) -> LogLikelihood:
    """log of the integral of a joint density over z, by draws from ``proposal`` [batch, latent].

    ``log_joint`` takes z [draws, batch, latent] and gives, for each, the log of what is to be
    integrated, in nats, [draws, batch]: log P(X, z) for log P(X); log P(Y, z|X) = log P(Y|X, z) +
    log P(z|X) for the conditional log P(Y|X) (Sohn, Lee & Yan 2015, section 4.2, importance
    sampling). The estimate is log((1/k) sum exp(log_joint - log proposal)), k = ``samples``
    (Burda et al. 2015, equation 8); as many latents as ``chunk`` (at least one a batch row) are
    evaluated at a time, without gradients. ``seed`` and ``chunk`` decide the draws.

    Raises ``ValueError`` for wrong shapes, counts below 1, a k of ``sweep`` above ``samples``, or
    weights that are NaN or infinite.
    """
    check_proposal(proposal, "proposal")
    samples, ks = check_sweep(samples, sweep)
    generator = torch.Generator(proposal.mean.device).manual_seed(_check.seed(seed))
    chunk = _check.whole("chunk", chunk)
    with torch.no_grad():
        parts = drawn_parts(
            lambda z: log_joint(z) - proposal.log_prob(z), proposal, samples, chunk, generator
        )
        return log_mean(parts, samples, ks)


def monte_carlo(
    log_conditional: Callable[[Tensor], Tensor],
    prior: DiagonalGaussian,
    samples: int = 1000,
    *,
    sweep: Iterable[int] = (),
    chunk: int = 4096,
    seed: int = 0,
) -> LogLikelihood:
    """log of the mean of P(X|z) over draws of z from ``prior`` [batch, latent], in nats.

    ``log_conditional`` takes z [draws, batch, latent] and gives log P(X|z), or log P(Y|X, z) with
    P(z|X) as the prior, [draws, batch] (Sohn, Lee & Yan 2015, equation 6). Without bias before
    the logarithm, as importance sampling is, but few draws hit where P(X|z) is large: see
    ``effective_samples``. The rest as in :func:`importance_sampling`.
    """
    check_proposal(prior, "prior")
    samples, ks = check_sweep(samples, sweep)
    generator = torch.Generator(prior.mean.device).manual_seed(_check.seed(seed))
    chunk = _check.whole("chunk", chunk)
    with torch.no_grad():
        parts = drawn_parts(log_conditional, prior, samples, chunk, generator)
        return log_mean(parts, samples, ks)
