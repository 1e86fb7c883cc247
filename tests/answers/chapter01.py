"""Answers to the exercises of chapter 1."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import special, stats

from answers import right, wrong

BAYES = "class_posterior"


@right(BAYES)
def by_logaddexp(log_likelihood, prior):
    joint = log_likelihood + np.log(prior)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


@right(BAYES)
def by_the_maximum(log_likelihood, prior):
    top = log_likelihood.max(axis=1, keepdims=True)
    joint = np.exp(log_likelihood - top) * prior
    return joint / joint.sum(axis=1, keepdims=True)


@wrong(BAYES, "missing_prior")
def likelihoods_only(log_likelihood, prior):
    return special.softmax(log_likelihood, axis=1)


@wrong(BAYES, "sum_not_one")
def joint_only(log_likelihood, prior):
    return np.exp(log_likelihood) * prior


@wrong(BAYES, "sum_not_one")
def log_joint(log_likelihood, prior):
    return log_likelihood + np.log(prior)


@wrong(BAYES, "normalised_over_batch")
def over_examples(log_likelihood, prior):
    return special.softmax(log_likelihood + np.log(prior), axis=0)


@wrong(BAYES, "normalised_over_batch")
def over_everything(log_likelihood, prior):
    joint = np.exp(log_likelihood) * prior
    return joint / joint.sum()


@wrong(BAYES, "naive_logsumexp")
def as_written(log_likelihood, prior):
    with np.errstate(all="ignore"):
        joint = np.exp(log_likelihood) * prior
        return joint / joint.sum(axis=1, keepdims=True)


QUANTILE = "quantile_map"


@right(QUANTILE)
def by_interpolation(z, edges, heights):
    masses = heights * np.diff(edges)
    shares = np.concatenate([[0], np.cumsum(masses)]) / masses.sum()
    return np.interp(stats.norm.cdf(z), shares, edges)


@right(QUANTILE)
def by_bins(z, edges, heights):
    masses = np.diff(edges) * heights
    above = np.cumsum(masses / masses.sum())
    u = stats.norm.cdf(z)
    k = np.minimum(np.searchsorted(above, u), len(heights) - 1)
    below = np.concatenate([[0.0], above])[k]
    return edges[k] + (u - below) * masses.sum() / heights[k]


@right(QUANTILE)
def by_scipy(z, edges, heights):
    return stats.rv_histogram((heights, edges), density=True).ppf(stats.norm.cdf(z))


@wrong(QUANTILE, "no_cdf")
def z_for_a_share(z, edges, heights):
    masses = heights * np.diff(edges)
    shares = np.concatenate([[0], np.cumsum(masses)]) / masses.sum()
    return np.interp(z, shares, edges)


@wrong(QUANTILE, "heights_as_masses")
def without_widths(z, edges, heights):
    shares = np.concatenate([[0], np.cumsum(heights)]) / heights.sum()
    return np.interp(stats.norm.cdf(z), shares, edges)


@wrong(QUANTILE, "snapped_to_edges")
def left_edges(z, edges, heights):
    masses = heights * np.diff(edges)
    above = np.cumsum(masses) / masses.sum()
    return edges[np.minimum(np.searchsorted(above, stats.norm.cdf(z)), len(heights) - 1)]


@wrong(QUANTILE, "snapped_to_edges")
def middles(z, edges, heights):
    masses = heights * np.diff(edges)
    above = np.cumsum(masses) / masses.sum()
    bins = np.minimum(np.searchsorted(above, stats.norm.cdf(z)), len(heights) - 1)
    return (edges[bins] + edges[bins + 1]) / 2


@wrong(QUANTILE, "forward_for_inverse")
def shares_of_z(z, edges, heights):
    masses = heights * np.diff(edges)
    shares = np.concatenate([[0], np.cumsum(masses)]) / masses.sum()
    return np.interp(z, edges, shares)


INDUCED = "induced_log_density"


def log_normal(z):
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)


@right(INDUCED)
def by_jacrev(g, z):
    jacobian = torch.func.vmap(torch.func.jacrev(g))(z)
    return log_normal(z) - torch.linalg.slogdet(jacobian).logabsdet


@right(INDUCED)
def one_by_one(g, z):
    found = []
    for row in z:
        (a, b), (c, d) = torch.autograd.functional.jacobian(g, row)
        found.append(log_normal(row) - torch.log(torch.abs(a * d - b * c)))
    return torch.stack(found)


@wrong(INDUCED, "density_multiplied")
def multiplied(g, z):
    jacobian = torch.func.vmap(torch.func.jacrev(g))(z)
    return log_normal(z) + torch.linalg.slogdet(jacobian).logabsdet


@wrong(INDUCED, "no_jacobian")
def taken_over(g, z):
    return log_normal(z)


@wrong(INDUCED, "diagonal_jacobian")
def slopes_only(g, z):
    jacobian = torch.func.vmap(torch.func.jacrev(g))(z)
    return log_normal(z) - jacobian.diagonal(dim1=1, dim2=2).abs().log().sum(1)


@wrong(INDUCED, "missing_log_2pi")
def exponent_only(g, z):
    return by_jacrev(g, z) + math.log(2 * math.pi)


TASTE = "taste_posterior"


@right(TASTE)
def by_precision(x, W, mu, psi):
    covariance = np.linalg.inv(np.eye(W.shape[1]) + W.T @ np.diag(1 / psi) @ W)
    return (x - mu) / psi @ W @ covariance, covariance


@right(TASTE)
def by_conditioning(x, W, mu, psi):
    # The joint Gaussian of z and x, conditioned on x.
    gain = W.T @ np.linalg.inv(W @ W.T + np.diag(psi))
    return (x - mu) @ gain.T, np.eye(W.shape[1]) - gain @ W


@wrong(TASTE, "missing_prior")
def least_squares(x, W, mu, psi):
    covariance = np.linalg.inv(W.T / psi @ W)
    return (x - mu) / psi @ W @ covariance, covariance


@wrong(TASTE, "variance_for_sigma")
def psi_squared(x, W, mu, psi):
    return by_precision(x, W, mu, psi**2)


@wrong(TASTE, "mean_not_taken_off")
def raw_ratings(x, W, mu, psi):
    return by_precision(x + mu, W, mu, psi)


@wrong(TASTE, "no_noise_model")
def unit_noise(x, W, mu, psi):
    return by_precision(x, W, mu, np.ones_like(psi))


@wrong(TASTE, "no_noise_model")
def plain_regression(x, W, mu, psi):
    return (x - mu) @ np.linalg.pinv(W).T, np.linalg.inv(W.T @ W)


PAIR = "correlated_pair"

right(PAIR)(
    [
        "= -x^2/2 - log(2*pi)/2 - (y - a*x)^2 / (2*s^2) - log(2*pi)/2 - log(s)",
        "= -log(2*pi) - log(s) - (s^2 * x^2 + (y - a*x)^2) / (2*s^2)",
        "= -log(2*pi) - log(s) - ((a^2 + s^2) * x^2 - 2*a*x*y + y^2) / (2*s^2)",
    ]
)


@right(PAIR)
def pair_as_a_function():
    return [
        "= log N(x; 0, 1) + log N(y; a*x, s^2)  # the factors",
        "= -log(2*pi*s) - x^2/2 - (y - a*x)^2 / (2*s^2)  # and no N(...) any more",
    ]


right(PAIR)(
    [
        "= log N(x; 0, 1) + log N(y; a*x, s^2)",
        "= -log(2*pi*s) - x^2/2 - (y - a*x)^2 / (2*s^2)",
    ]
)
wrong(PAIR, None)(["= log N(x; 0, 1) + log N(y; a*x, s)", "= -log(2*pi*s) - x^2/2 - y^2/(2*s^2)"])
wrong(PAIR, None)(["= log N(x; 0, 1) + log N(y; a*x, s^2)"])
wrong(PAIR, None)(["= -log(2*pi) + log(s) - (s^2 * x^2 + (y - a*x)^2) / (2*s^2)"])
