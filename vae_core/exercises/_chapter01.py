"""Exercises of chapter 1: Bayes' rule, maps from a Gaussian, factor analysis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

# --- Bayes' rule ----------------------------------------------------------------------------

bayes = Exercise(
    "class_posterior",
    chapter=1,
    kind="code",
    title="A label from a generative model",
    signature="class_posterior(log_likelihood, prior) -> NumPy array [n, classes]; log_likelihood: "
    "log P(X|Y = y), [n, classes]; prior: P(Y = y), [classes]",
    mistakes=("missing_prior", "sum_not_one", "normalised_over_batch", "naive_logsumexp"),
)


def _softmax(log: np.ndarray, axis: int) -> np.ndarray:
    log = log - log.max(axis, keepdims=True)
    return np.exp(log) / np.exp(log).sum(axis, keepdims=True)


@bayes.step("is Bayes' rule, for each example")
def _bayes_values(attempt: Attempt) -> None:
    for n, classes in [(5, 3), (4, 6)] + [(1, 2), (200, 10)] * attempt.thorough:
        log = 2 * attempt.normal(n, classes).numpy()
        prior = attempt.normal(classes).softmax(0).numpy()
        joint = log + np.log(prior)
        attempt.close(
            attempt.tensor(attempt(log, prior), (n, classes)),
            _softmax(joint, 1),
            f"P(Y|X) of {n} examples",
            mistakes={
                "missing_prior": _softmax(log, 1),
                "sum_not_one": [
                    np.exp(joint),
                    np.exp(log),
                    joint,
                    prior * _softmax(log, 1),
                ],
                "normalised_over_batch": [
                    _softmax(joint, 0),
                    np.exp(joint) / np.exp(joint).sum(),
                ],
            },
        )


@bayes.step("works for pictures, whose log-likelihoods lie near −10,000")
def _bayes_extreme(attempt: Attempt) -> None:
    log = attempt.normal(4, 3).numpy() - 10_000
    prior = np.array([0.2, 0.5, 0.3])
    found = attempt.array(attempt(log, prior))
    if isinstance(found, Tensor) and not bool(torch.isfinite(found).all()):
        raise Failure("finite numbers near −10,000", "NaN", "naive_logsumexp")
    right = _softmax(log + np.log(prior), 1)
    what = "P(Y|X) for log-likelihoods near −10,000"
    attempt.close(attempt.tensor(found, (4, 3)), right, what, size=1e4)


# --- a map for a histogram ------------------------------------------------------------------

quantile = Exercise(
    "quantile_map",
    chapter=1,
    kind="code",
    title="A map for a density that you draw",
    signature="quantile_map(z, edges, heights) -> NumPy array [n]; z: [n], edges: [bins + 1], "
    "rising; heights: [bins], the target's density in each bin up to a common factor",
    mistakes=(
        "no_cdf",
        "heights_as_masses",
        "snapped_to_edges",
        "forward_for_inverse",
        "shares_not_one",
        "order_reversed",
    ),
)


def _phi(z: np.ndarray) -> np.ndarray:
    return torch.special.ndtr(torch.as_tensor(z)).numpy()


def _shares(edges: np.ndarray, masses: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()


def _histogram(attempt: Attempt, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges a varying distance apart, and heights."""
    widths = 0.2 + torch.rand(bins, generator=attempt.generator).double().numpy()
    heights = 0.1 + torch.rand(bins, generator=attempt.generator).double().numpy()
    return np.concatenate([[-1.0], -1 + np.cumsum(widths)]), heights


def _snapped(found: np.ndarray, edges: np.ndarray) -> bool:
    places = np.concatenate([edges, (edges[1:] + edges[:-1]) / 2])
    return bool((np.abs(found[:, None] - places).min(1) < 1e-9).all())


@quantile.step("takes each draw to the place with the same share below it")
def _quantile_values(attempt: Attempt) -> None:
    for bins in (4, 7) + (1, 40) * attempt.thorough:
        edges, heights = _histogram(attempt, bins)
        z = attempt.normal(50).numpy()
        found = attempt.tensor(attempt(z, edges, heights), (50,))
        widths = np.diff(edges)
        shares, u = _shares(edges, heights * widths), _phi(z)
        if bins > 1 and _snapped(found.double().numpy(), edges):
            raise Failure("a place within a bin for each draw", "edges only", "snapped_to_edges")
        whole = (heights * widths).sum()
        attempt.close(
            found,
            np.interp(u, shares, edges),
            f"where 50 draws land, for {bins} bins",
            mistakes={
                "heights_as_masses": np.interp(u, _shares(edges, heights), edges),
                "no_cdf": [
                    np.interp(z, shares, edges),
                    np.interp(np.clip(z, 0, 1), shares, edges),
                    np.interp((z - z.min()) / np.ptp(z), shares, edges),
                ],
                "forward_for_inverse": [
                    np.interp(z, edges, shares),
                    np.interp(u, edges, shares),
                    np.interp(z, edges, shares * whole),
                ],
                "shares_not_one": [
                    np.interp(u, shares * whole, edges),
                    np.interp(u, _shares(edges, heights) * heights.sum(), edges),
                ],
                "order_reversed": np.interp(1 - u, shares, edges),
            },
        )


@quantile.step("leaves a bin of height zero empty, and keeps the order of the draws")
def _quantile_empty(attempt: Attempt) -> None:
    edges, heights = _histogram(attempt, 6)
    heights[2] = 0
    z = np.sort(attempt.normal(400).numpy())
    found = attempt.tensor(attempt(z, edges, heights), (400,)).double().numpy()
    inside = (found > edges[2] + 1e-5) & (found < edges[3] - 1e-5)
    attempt.require(not inside.any(), "no draw in the empty bin", f"{int(inside.sum())} of 400")
    attempt.require((np.diff(found) >= -1e-6).all(), "a map that never falls", "one that does")
    within = (found >= edges[0] - 1e-6) & (found <= edges[-1] + 1e-6)
    attempt.require(within.all(), "all draws between the first edge and the last", "some outside")


# --- the density that a map makes -----------------------------------------------------------

induced = Exercise(
    "induced_log_density",
    chapter=1,
    kind="code",
    title="The density that a map makes",
    signature="induced_log_density(g, z) -> tensor [n], log P(x) at x = g(z) for z ~ N(0, I); g: a "
    "function from a tensor [2] to a tensor [2], one to one; z: [n, 2]",
    mistakes=("density_multiplied", "no_jacobian", "diagonal_jacobian", "missing_log_2pi"),
)


def _maps() -> dict[str, Any]:
    """One-to-one maps of the plane; the second turns it over."""
    return {
        "a sheared map": lambda z: torch.stack([z[0].exp() + 0.5 * z[1], 2 * z[1] - 0.3 * z[0]]),
        "a map that turns the plane over": lambda z: torch.stack([z[1] + z[0] ** 3, 0.4 * z[0]]),
        "the ring": lambda z: z / 10 + z / z.norm(),
    }


@induced.step("divides the density by what the map stretches")
def _induced_values(attempt: Attempt) -> None:
    for name, g in _maps().items():
        z = attempt.normal(6 + 20 * attempt.thorough, 2)
        jacobian = torch.stack([torch.autograd.functional.jacobian(g, row) for row in z])
        log_det = jacobian.det().abs().log()
        log_z = (-(z**2) / 2 - math.log(2 * math.pi) / 2).sum(1)
        diagonal = jacobian.diagonal(dim1=1, dim2=2).prod(1).abs().log()
        found = attempt.array(attempt(g, z))
        if isinstance(found, Tensor) and bool(torch.isnan(found).any()):
            raise Failure(f"finite numbers for {name}", "NaN", "not_finite")
        attempt.close(
            attempt.tensor(found, (len(z),)),
            log_z - log_det,
            f"log P(x) for {name}",
            mistakes={
                "density_multiplied": log_z + log_det,
                "no_jacobian": log_z,
                "diagonal_jacobian": [log_z - diagonal, log_z + diagonal],
                "missing_log_2pi": log_z - log_det + math.log(2 * math.pi),
            },
        )


# --- factor analysis ------------------------------------------------------------------------

taste = Exercise(
    "taste_posterior",
    chapter=1,
    kind="code",
    title="A taste from any ratings",
    signature="taste_posterior(x, W, mu, psi) -> (mean [n, k], covariance [k, k]) of z given x; x: "
    "[n, films], W: [films, k], mu: [films], psi: [films], the variances of the noise; "
    "NumPy arrays",
    mistakes=("missing_prior", "variance_for_sigma", "mean_not_taken_off", "no_noise_model"),
)


def _posterior(
    x: np.ndarray, W: np.ndarray, psi: np.ndarray, prior: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    precision = W.T / psi
    covariance = np.linalg.inv(prior * np.eye(W.shape[1]) + precision @ W)
    return x @ precision.T @ covariance, covariance


@taste.step("weighs ratings, noise and prior as Bayes' rule does")
def _taste_values(attempt: Attempt) -> None:
    for n, films, k in [(4, 6, 2), (3, 5, 1)] + [(5, 12, 3), (2, 3, 2)] * attempt.thorough:
        W, mu = attempt.normal(films, k).numpy(), 3 + attempt.normal(films).numpy()
        psi = 0.2 + torch.rand(films, generator=attempt.generator).double().numpy()
        x = mu + attempt.normal(n, films).numpy()
        found = attempt(x, W, mu, psi)
        if not (isinstance(found, tuple | list) and len(found) == 2):
            raise Failure("(mean, covariance)", short(found), "type")
        mean = attempt.tensor(found[0], (n, k))
        covariance = attempt.tensor(found[1], (k, k))
        centred = x - mu
        right = _posterior(centred, W, psi)
        no_prior = _posterior(centred, W, psi, 0.0)
        as_sigma = [_posterior(centred, W, psi**p) for p in (2, 0.5)]
        no_noise = [_posterior(centred, W, np.full_like(psi, level)) for level in (1.0, psi.mean())]
        no_noise.append(_posterior(centred, W, np.ones_like(psi), 0.0))
        attempt.close(
            covariance,
            right[1],
            "the covariance of z given x",
            mistakes={
                "missing_prior": no_prior[1],
                "variance_for_sigma": [c for _, c in as_sigma],
                "no_noise_model": [c for _, c in no_noise],
            },
        )
        attempt.close(
            mean,
            right[0],
            f"the mean of z, for {n} viewers",
            mistakes={
                "mean_not_taken_off": _posterior(x, W, psi)[0],
                "missing_prior": no_prior[0],
                "variance_for_sigma": [m for m, _ in as_sigma],
                "no_noise_model": [m for m, _ in no_noise],
            },
        )


# --- a derivation ---------------------------------------------------------------------------

pair = Exercise(
    "correlated_pair",
    chapter=1,
    kind="derivation",
    title="Two coordinates, one after the other",
    signature="a list of lines, typed in the workbench's notation, from "
    "log N(x; 0, 1) + log N((y - a*x) / s; 0, 1) - log(s), the change of variables, to the "
    "bivariate Gaussian's log density in x and y; names: x, y, a, s",
)


@pair.step("each line follows from the one before, and the last is a Gaussian's")
def _pair_chain(attempt: Attempt) -> None:
    attempt.derivation("correlated_pair")


EXERCISES = (bayes, quantile, induced, taste, pair)
