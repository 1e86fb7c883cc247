"""Bounds on log P(X): the ELBO, with a choice of gradients, and the importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, drawing
from vae_core.distributions import LOG_2PI, DiagonalGaussian, GaussianLikelihood
from vae_core.models import CVAE, VAE, LinearVAE

GRADIENTS = ("path-wise", "score-function")


class ELBO(NamedTuple):
    """The evidence lower bound of each example, in nats, in its parts: each [batch].

    total = reconstruction - kl (- beta * kl, where a beta is given); reconstruction estimates
    E_Q[log P(X|z)], kl is D[Q(z|X) || P(z)].
    """

    reconstruction: Float[Tensor, "*batch"]
    kl: Float[Tensor, "*batch"]
    total: Float[Tensor, "*batch"]


class RunningBaseline:
    """The running mean of past log P(X|z), in nats: a baseline for the score-function gradient.

    The first call finds none and takes 0; later ones take what earlier batches left, which does not
    depend on the draws at hand, so that the gradient stays unbiased. ``decay`` in [0, 1) is the
    weight of the past. Raises ``ValueError`` for any other. ``state_dict`` and ``load_state_dict``
    let a training that was stopped go on with it.
    """

    def __init__(self, decay: float = 0.9) -> None:
        if not 0 <= _check.real(decay) < 1:
            raise ValueError(f"decay must lie in [0, 1); got {decay!r}")
        self.decay = float(decay)
        self.value: Tensor | None = None

    @torch.no_grad()
    def follow(self, log_p: Tensor) -> Tensor:
        """The baseline before ``log_p`` [...] counts, []; then count it."""
        mean = log_p.mean()
        if self.value is None:
            self.value = mean
            return torch.zeros_like(mean)
        if (self.value.device, self.value.dtype) != (mean.device, mean.dtype):
            self.value = self.value.to(mean)  # from a checkpoint
        before = self.value.clone()
        self.value.lerp_(mean, 1 - self.decay)  # in place, as a CUDA graph needs it
        return before

    def state_dict(self) -> dict[str, Tensor | None]:
        """What it holds: its value [], or None before the first call."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Tensor | None]) -> None:
        """Hold what ``state_dict`` gave; with {}, nothing, as at first."""
        value = state.get("value")
        self.value = None if value is None else value.clone()


Baseline = RunningBaseline | str | None


class _Inference(NamedTuple):
    """What a bound needs of a model at a batch; ``prior`` is None for N(0, I)."""

    posterior: DiagonalGaussian
    prior: DiagonalGaussian | None
    log_likelihood: Callable[[Tensor], Tensor]  # of latents [samples, batch, latent]


def _infer(
    name: str, model: VAE | CVAE, x: Tensor, condition: Tensor | None, validate: bool
) -> _Inference:
    """Q(z|X), the prior and P(X|z), after the checks that every bound makes."""
    if not hasattr(model, "check_images"):
        raise ValueError(f"{name} takes a VAE or a CVAE; got {_check.kind(model)}")
    model.check_images(x)
    if validate:
        model.likelihood.check(x)
    if isinstance(model, CVAE):
        if condition is None:
            if model.classes is not None:
                raise ValueError(f"{name} of a CVAE with classes takes condition=labels")
            condition = x
        elif validate:
            condition = model.check_condition(condition)
        given = condition
        return _Inference(
            model.encode(x, given),
            model.prior(given) if model.has_prior_network else None,
            lambda z: model.log_likelihood(x, z, given),
        )
    if condition is not None:
        raise ValueError(f"a {type(model).__name__} takes no condition")
    posterior = model.encode(x)
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(
            f"{name} takes a model whose encode gives a posterior; got {type(model).__name__}"
        )
    return _Inference(posterior, None, lambda z: model.log_likelihood(x, z))


def _draws(
    posterior: DiagonalGaussian,
    samples: int,
    noise: Float[Tensor, "samples batch latent"] | None,
    generator: torch.Generator | None,
) -> Float[Tensor, "samples batch latent"]:
    """Noise [samples, batch, latent] from N(0, I), unless it is given."""
    mean = posterior.mean
    shape = (samples, *mean.shape)
    if noise is None:
        with drawing(generator, mean.device):
            return torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
    noise = as_tensor("noise", noise)
    if noise.shape != shape:
        raise ValueError(f"noise must be {list(shape)}; got {list(noise.shape)}")
    return noise.to(mean)


def check_gradient(gradient: str, baseline: Baseline, samples: int) -> None:
    _check.chosen("gradient", gradient, GRADIENTS)
    if baseline is None:
        return
    if gradient != "score-function":
        raise ValueError("a baseline belongs to gradient='score-function'")
    if baseline != "leave-one-out" and not isinstance(baseline, RunningBaseline):
        raise ValueError(f"baseline must be 'leave-one-out' or a RunningBaseline; got {baseline!r}")
    if baseline == "leave-one-out" and samples < 2:
        raise ValueError("the baseline 'leave-one-out' needs at least 2 samples; got 1")


def _with_score(
    log_p: Float[Tensor, "samples batch"],
    z: Float[Tensor, "samples batch latent"],
    posterior: DiagonalGaussian,
    baseline: Baseline,
) -> Float[Tensor, "samples batch"]:
    """``log_p`` [samples, batch], with the score-function gradient by the posterior added.

    The value is unchanged; the gradient gains (log P(X|z) - baseline) d log Q(z|X) for each draw.
    """
    signal = log_p.detach()
    if isinstance(baseline, RunningBaseline):
        signal = signal - baseline.follow(signal)
    elif baseline is not None:  # the mean of the other draws for the same example
        signal = signal - (signal.sum(0) - signal) / (len(signal) - 1)
    score = signal * posterior.log_prob(z)
    return log_p + (score - score.detach())


def elbo(
    model: VAE | CVAE,
    x: Float[Tensor, " batch *shape"],
    samples: int = 1,
    *,
    noise: Float[Tensor, "samples batch latent"] | None = None,
    generator: torch.Generator | None = None,
    validate: bool = True,
    condition: Tensor | None = None,
    beta: float = 1.0,
    gradient: str = "path-wise",
    baseline: Baseline = None,
) -> ELBO:
    """The ELBO of images ``x`` [batch, *shape], in nats (Kingma & Welling 2013, equation 10).

    The reconstruction term averages ``samples`` draws of z; the KL term is exact. ``noise``
    [samples, batch, latent] replaces the draws. ``validate=False`` leaves out the check of every
    pixel's value (shapes are always checked). Gradients flow to encoder, decoder and likelihood.

    For a :class:`~vae_core.models.CVAE` this is the bound on log P(X|Y) (Sohn et al. 2015,
    section 4): ``condition`` is what its ``encode`` takes; a part of the image is taken from
    ``x`` itself unless given.

    ``beta`` multiplies the KL in ``total`` (Higgins et al. 2017); ``kl`` stays as it is.

    ``gradient`` says how the reconstruction term's gradient by the posterior is estimated; both
    ways are unbiased, and the values are the same:

    - "path-wise": through z = mean + sigma * noise (Kingma & Welling 2013, section 2.4);
    - "score-function": log P(X|z) d log Q(z|X), z held fixed (Williams 1992; Mnih & Gregor
      2014). ``baseline`` is subtracted from log P(X|z) to lower the variance: None,
      "leave-one-out" (the mean of the example's other draws; Mnih & Rezende 2016),
      or a :class:`RunningBaseline`.

    Raises ``ValueError`` for a wrong shape, dtype or range, ``samples`` < 1, a beta below 0, an
    unknown estimator, or a condition missing or given in vain.
    """
    samples = _check.whole("samples", samples)
    if not _check.real(beta) >= 0:
        raise ValueError(f"beta must be a number of at least 0; got {_check.shown(beta)}")
    check_gradient(gradient, baseline, samples)
    posterior, prior, log_likelihood = _infer("elbo", model, x, condition, validate)
    noise = _draws(posterior, samples, noise, generator)
    z = posterior.rsample(noise)  # [samples, batch, latent]
    if gradient == "path-wise":
        log_p = log_likelihood(z)  # [samples, batch]
    else:
        z = z.detach()
        log_p = _with_score(log_likelihood(z), z, posterior, baseline)
    reconstruction = log_p.mean(0)
    kl = posterior.kl(prior)
    return ELBO(reconstruction, kl, reconstruction - (kl if beta == 1 else beta * kl))


def log_weights(
    model: VAE | CVAE,
    x: Float[Tensor, " batch *shape"],
    samples: int = 1,
    *,
    noise: Float[Tensor, "samples batch latent"] | None = None,
    generator: torch.Generator | None = None,
    validate: bool = True,
    condition: Tensor | None = None,
) -> Float[Tensor, "samples batch"]:
    """log P(X|z) + log P(z) - log Q(z|X) at ``samples`` draws of z from Q, in nats.

    Returns [samples, batch]. Arguments and errors as for :func:`elbo`.
    """
    samples = _check.whole("samples", samples)
    posterior, prior, log_likelihood = _infer("log_weights", model, x, condition, validate)
    noise = _draws(posterior, samples, noise, generator)
    z = posterior.rsample(noise)
    # log Q at its own draw, from the noise: (z - mean) / sigma would lose the digits of a small
    # sigma.
    log_q = (-0.5 * noise**2 - posterior.log_sigma - 0.5 * LOG_2PI).sum(-1)
    log_prior = (prior or DiagonalGaussian.standard(z)).log_prob(z)
    return log_likelihood(z) + (log_prior - log_q)


def importance_weighted_bound(
    model: VAE | CVAE,
    x: Float[Tensor, " batch *shape"],
    samples: int,
    *,
    noise: Float[Tensor, "samples batch latent"] | None = None,
    generator: torch.Generator | None = None,
    validate: bool = True,
    condition: Tensor | None = None,
) -> Float[Tensor, " batch"]:
    """The bound on log P(X) of ``samples`` draws, in nats: [batch] (Burda et al. 2015, equation 8).

    log of the mean of exp(:func:`log_weights`), by log-sum-exp. Its expectation is the ELBO's at
    one sample, rises with ``samples``, and tends to log P(X). Gradients are path-wise. For a
    :class:`~vae_core.models.CVAE`, the bound on log P(X|Y). Arguments and errors as for
    :func:`elbo`.
    """
    weights = log_weights(
        model, x, samples, noise=noise, generator=generator, validate=validate, condition=condition
    )
    return weights.logsumexp(0) - math.log(len(weights))


def exact_elbo(model: LinearVAE, x: Float[Tensor, " batch *shape"]) -> ELBO:
    """The ELBO of a linear VAE with no draws, in nats, in its parts: each [batch].

    E_Q ||X - Wz - b||^2 = ||X - Wm - b||^2 + sum of the columns' squared norms times Q's
    variances (Lucas et al. 2019). Raises ``ValueError`` for another model, or a wrong shape or
    dtype.
    """
    if not isinstance(model, LinearVAE):
        raise ValueError(f"exact_elbo takes a LinearVAE; got {_check.kind(model)}")
    posterior = model.encode(x)
    columns = model.linear_decoder.weight.square().sum(0)
    spread = (posterior.sigma.square() * columns).sum(-1)
    likelihood = model.likelihood
    assert isinstance(likelihood, GaussianLikelihood)
    at_mean = likelihood.log_prob(x, model.decode(posterior.mean))
    reconstruction = at_mean - 0.5 * spread * likelihood._sigma_to(-2)
    kl = posterior.kl()
    return ELBO(reconstruction, kl, reconstruction - kl)
