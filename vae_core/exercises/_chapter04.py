"""Exercises of chapter 4: the KL divergence between Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from vae_core.exercises._attempt import Attempt
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES"]

kl = Exercise(
    "kl_to_standard_normal",
    chapter=4,
    kind="code",
    title="The divergence from N(0, I)",
    signature="kl_to_standard_normal(mu, log_sigma) -> tensor of shape [batch], in nats; "
    "mu and log_sigma: [batch, latent]",
    mistakes=(
        "kl_missing_half",
        "kl_doubled",
        "kl_sign",
        "kl_missing_one",
        "kl_reversed",
        "log_variance",
        "no_exp",
        "mean_over_pixels",
        "not_summed",
        "mean_over_batch",
        "sum_over_batch",
        "detached_sigma",
    ),
)


def _reference(mu: Tensor, log_sigma: Tensor) -> Tensor:
    q = Independent(Normal(mu, log_sigma.exp()), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return kl_divergence(q, p)


def _mistaken(mu: Tensor, log_sigma: Tensor) -> dict[str, Tensor | list[Tensor]]:
    """What each mistake gives for these inputs."""
    sigma, right = log_sigma.exp(), _reference(mu, log_sigma)
    half = 0.5 * (sigma**2 + mu**2 - 1)
    log_variance_kl = 0.5 * (log_sigma.exp() + mu**2 - 1 - log_sigma)
    back = kl_divergence(
        Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1),
        Independent(Normal(mu, sigma), 1),
    )
    printed = sigma**2 + mu**2 - log_sigma
    return {
        "kl_missing_half": [
            (printed - 0.5).sum(-1),
            (printed - 1).sum(-1),
        ],
        "kl_doubled": 2 * right,
        "kl_sign": [-right, (half + log_sigma).sum(-1)],
        "kl_missing_one": [(half + 0.5 - log_sigma).sum(-1), (half - 0.5 - log_sigma).sum(-1)],
        "kl_reversed": back,
        "log_variance": [
            log_variance_kl.sum(-1),
            (0.5 * ((4 * log_sigma).exp() + mu**2 - 1) - 2 * log_sigma).sum(-1),
            (half - 0.5 * log_sigma).sum(-1),
        ],
        "no_exp": (0.5 * (log_sigma**2 + mu**2 - 1) - log_sigma).sum(-1),
        "mean_over_pixels": right / mu.shape[-1],
    }


@kl.step("gives one finite number for each example")
def _shape(attempt: Attempt) -> None:
    mu, log_sigma = attempt.normal(5, 3), 0.5 * attempt.normal(5, 3)
    found = attempt.array(attempt(mu, log_sigma))
    right = _reference(mu, log_sigma)
    if isinstance(found, Tensor) and found.ndim == 0:
        betrayed = {"sum_over_batch": right.sum(), "mean_over_batch": right.mean()}
        attempt.close(found, right, "one number for each example", mistakes=betrayed)
    attempt.tensor(found, (5,), shapes={(5, 3): "not_summed"})


@kl.step("gives the divergence in nats")
def _values(attempt: Attempt) -> None:
    # Not two latents: half of a divergence would look like the mean over them.
    for batch, latent in [(4, 3), (7, 5)] + [(3, 1), (1, 40)] * attempt.thorough:
        mu, log_sigma = attempt.normal(batch, latent), 0.7 * attempt.normal(batch, latent)
        found = attempt.tensor(attempt(mu, log_sigma), (batch,))
        attempt.close(
            found,
            _reference(mu, log_sigma),
            f"the divergences of {batch} Gaussians with {latent} latents",
            mistakes=_mistaken(mu, log_sigma),
        )


@kl.step("is 0 at the prior itself, and only there")
def _zero(attempt: Attempt) -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64)
    found = attempt.tensor(attempt(zero, zero), (2,))
    attempt.close(found, torch.zeros(2), "the divergence of N(0, I) from itself")


@kl.step("lets the gradient through to both inputs")
def _gradient(attempt: Attempt) -> None:
    mu = attempt.normal(4, 3).requires_grad_()
    log_sigma = (0.5 * attempt.normal(4, 3)).requires_grad_()
    found = attempt.tensor(attempt(mu, log_sigma), (4,))
    by_mu = attempt.gradient(found, mu)
    by_log_sigma = attempt.gradient(found, log_sigma, "detached_sigma")
    right = _reference(mu, log_sigma)
    attempt.close(by_mu, attempt.gradient(right, mu), "the gradient with respect to mu")
    attempt.close(
        by_log_sigma,
        attempt.gradient(right, log_sigma),
        "the gradient with respect to log_sigma",
        mistakes={"detached_sigma": [torch.full_like(log_sigma, -1), 0 * log_sigma]},
    )


full = Exercise(
    "kl_full_covariance",
    chapter=4,
    kind="code",
    title="A full covariance, by its triangular factor",
    signature="kl_full_covariance(mu, factor) -> tensor of shape [batch], in nats; mu: [batch, k], "
    "factor: [batch, k, k], lower triangular with a positive diagonal, Sigma = factor @ factor.mT",
    mistakes=(
        "kl_missing_half",
        "kl_doubled",
        "kl_sign",
        "kl_missing_one",
        "missing_log_det",
        "log_det_factor",
    ),
)


def _factor(attempt: Attempt, batch: int, k: int) -> Tensor:
    lower = torch.tril(attempt.normal(batch, k, k), -1)
    return lower + torch.diag_embed((0.4 * attempt.normal(batch, k)).exp())


def _full_reference(mu: Tensor, factor: Tensor) -> Tensor:
    k = mu.shape[-1]
    prior = MultivariateNormal(torch.zeros(k, dtype=mu.dtype), torch.eye(k, dtype=mu.dtype))
    return kl_divergence(MultivariateNormal(mu, scale_tril=factor), prior)


@full.step("gives one finite number for each example")
def _full_shape(attempt: Attempt) -> None:
    attempt.tensor(attempt(attempt.normal(4, 3), _factor(attempt, 4, 3)), (4,))


@full.step("gives the divergence of a full Gaussian")
def _full_values(attempt: Attempt) -> None:
    for batch, k in [(4, 3), (2, 6)] + [(3, 1), (1, 25)] * attempt.thorough:
        mu, factor = attempt.normal(batch, k), _factor(attempt, batch, k)
        right = _full_reference(mu, factor)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        squares = factor.square().sum((-2, -1)) + mu.square().sum(-1)
        attempt.close(
            attempt.tensor(attempt(mu, factor), (batch,)),
            right,
            f"the divergences of {batch} Gaussians in {k} dimensions",
            mistakes={
                "kl_missing_half": [squares - 0.5 * log_det - k / 2, squares - 0.5 * log_det - k],
                "kl_doubled": [2 * right, squares - log_det],
                "kl_sign": [-right, right + log_det],
                "kl_missing_one": [right + k / 2, right - k / 2],
                "missing_log_det": right + log_det / 2,
                "log_det_factor": [right + log_det / 4, right - log_det / 2],
            },
        )


@full.step("agrees with the diagonal case")
def _full_diagonal(attempt: Attempt) -> None:
    mu, log_sigma = attempt.normal(5, 4), 0.5 * attempt.normal(5, 4)
    found = attempt.tensor(attempt(mu, torch.diag_embed(log_sigma.exp())), (5,))
    attempt.close(found, _reference(mu, log_sigma), "the divergence of a diagonal Gaussian")


@full.step("stays finite where a determinant would not")
def _full_large(attempt: Attempt) -> None:
    k = 400
    mu = torch.zeros(1, k, dtype=torch.float64)
    factor = 1e-3 * torch.eye(k, dtype=torch.float64)[None]
    found = attempt.tensor(attempt(mu, factor), (1,))
    attempt.close(found, _full_reference(mu, factor), f"a narrow Gaussian in {k} dimensions")


wide = Exercise(
    "kl_wide_prior",
    chapter=4,
    kind="derivation",
    title="A prior of another width",
    signature="a list of lines, typed in the workbench's notation, from "
    "KL(N(z; mu, sigma^2) || N(z; 0, tau^2)) to its closed form",
)


@wide.step("each line follows from the one before, and the last is the closed form")
def _wide_chain(attempt: Attempt) -> None:
    attempt.derivation("kl_wide_prior")


sweep = Exercise(
    "kl_factor_sweep",
    chapter=4,
    kind="experiment",
    title="The divergence weighed by a factor",
    signature="kl_factor_sweep(betas, v) -> a dict from each beta to (w, the codes' variance), as "
    "the chapter's train_tiny finds them with beta times the divergence, for data of variance v",
    mistakes=("kl_missing_half", "kl_doubled"),
)


@sweep.step("gives two numbers for each factor")
def _sweep_form(attempt: Attempt) -> None:
    found = attempt([1.0], 3.0, seconds=20)
    attempt.require(isinstance(found, dict) and set(found) == {1.0}, "a dict {1.0: ...}", found)
    pair = found[1.0]
    attempt.require(isinstance(pair, (tuple, list)) and len(pair) == 2, "two numbers", pair)
    for value in pair:
        attempt.number(value)


@sweep.step("finds the decoder and the codes of least loss")
def _sweep_values(attempt: Attempt) -> None:
    # The tiny model's optimum in closed form; printed: with the tutorial's term, weighed likewise.
    v = 4.0 + 2.0 * float(torch.rand((), generator=attempt.generator))
    betas = [0.5, 2.0] + [1.0, 8.0] * attempt.thorough
    found = attempt(betas, v, seconds=40)
    for beta in betas:
        w, variance = (attempt.number(value) for value in found[beta])
        used, twice = max(v - beta, 0.0), max(v - 2 * beta, 0.0)
        attempt.close(
            w**2,
            used,
            f"the decoder's w squared with beta = {beta:g} and v = {v:.3g}",
            mistakes={"kl_doubled": twice, "kl_missing_half": 2 * used},
            rtol=0.02,
            atol=0.02,
        )
        attempt.close(variance, 1.0, f"the codes' variance with beta = {beta:g}", rtol=0.02)


EXERCISES = (kl, full, wide, sweep)
