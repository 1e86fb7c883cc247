"""Answers to the exercises of chapter 14."""

from __future__ import annotations

import math

import torch
from sklearn.metrics import roc_auc_score

from answers import right, wrong

WEIGHTS = "imputation_weights"


@right(WEIGHTS)
def softmax_of_the_logs(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood + log_prior - log_q, dim=0)


@right(WEIGHTS)
def by_logsumexp(log_likelihood, log_prior, log_q):
    logs = log_likelihood + log_prior - log_q
    return (logs - logs.logsumexp(0)).exp()


@wrong(WEIGHTS, "naive_logsumexp")
def plain_exponentials(log_likelihood, log_prior, log_q):
    w = (log_likelihood + log_prior - log_q).exp()
    return w / w.sum(0)


@wrong(WEIGHTS, "naive_logsumexp")
def guarded_exponentials(log_likelihood, log_prior, log_q):
    w = (log_likelihood + log_prior - log_q).clamp(max=700).exp()
    return w / (w.sum(0) + 1e-30)


@wrong(WEIGHTS, "no_density_ratio")
def likelihood_alone(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood, dim=0)


@wrong(WEIGHTS, "inverse_ratio")
def ratio_upside_down(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood + log_q - log_prior, dim=0)


@wrong(WEIGHTS, "normalised_over_batch")
def over_the_images(log_likelihood, log_prior, log_q):
    return torch.softmax(log_likelihood + log_prior - log_q, dim=1)


@wrong(WEIGHTS, "sum_not_one")
def mean_weight(log_likelihood, log_prior, log_q):
    return (log_likelihood + log_prior - log_q).exp() / len(log_q)


FILLED = "imputed"


@right(FILLED)
def by_where(x, observed, weights, decoded):
    mean = (weights[:, :, None, None] * decoded).sum(0)
    return torch.where(observed, x, mean), 1 / (weights**2).sum(0)


@right(FILLED)
def by_assignment(x, observed, weights, decoded):
    out = torch.einsum("kb,kbij->bij", weights, decoded)
    out[observed] = x[observed]
    return out, weights.sum(0) ** 2 / weights.square().sum(0)


@wrong(FILLED, "weights_ignored")
def plain_mean(x, observed, weights, decoded):
    return torch.where(observed, x, decoded.mean(0)), 1 / (weights**2).sum(0)


@wrong(FILLED, "given_overwritten")
def paints_everything(x, observed, weights, decoded):
    return (weights[:, :, None, None] * decoded).sum(0), 1 / (weights**2).sum(0)


@wrong(FILLED, "mask_inverted")
def keeps_the_holes(x, observed, weights, decoded):
    return by_where(x, ~observed, weights, decoded)


@wrong(FILLED, "draws_counted")
def all_draws(x, observed, weights, decoded):
    image, _ = by_where(x, observed, weights, decoded)
    return image, torch.full((len(x),), float(len(weights)))


@wrong(FILLED, "inverse_count")
def without_the_reciprocal(x, observed, weights, decoded):
    image, size = by_where(x, observed, weights, decoded)
    return image, 1 / size


AREA = "auroc"


@right(AREA)
def by_pairs(home, away):
    return (home[:, None] > away).double().mean() + 0.5 * (home[:, None] == away).double().mean()


@right(AREA)
def by_scikit_learn(home, away):
    truth = torch.cat([torch.ones(len(home)), torch.zeros(len(away))])
    return roc_auc_score(truth.numpy(), torch.cat([home, away]).numpy())


@wrong(AREA, "scores_reversed")
def strangers_above(home, away):
    return by_pairs(away, home)


@wrong(AREA, "ties_ignored")
def strictly_above(home, away):
    return (home[:, None] > away).double().mean()


@wrong(AREA, "pairs_in_order")
def side_by_side(home, away):
    n = min(len(home), len(away))
    return (home[:n] > away[:n]).double().mean()


@wrong(AREA, "accuracy_for_auroc")
def best_accuracy(home, away):
    n = len(home) + len(away)
    cuts = torch.cat([home, away])
    return max(((home >= c).sum() + (away < c).sum()).item() / n for c in cuts)


PAIRED = "paired_difference"


@right(PAIRED)
def of_the_gaps(first, second):
    gaps = first - second
    return gaps.mean(), gaps.std() / math.sqrt(len(gaps))


@right(PAIRED)
def by_hand(first, second):
    gaps = [a - b for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    n = len(gaps)
    mean = sum(gaps) / n
    return mean, math.sqrt(sum((g - mean) ** 2 for g in gaps) / (n - 1) / n)


@wrong(PAIRED, "unpaired_error")
def two_errors(first, second):
    error = math.hypot(first.std() / math.sqrt(len(first)), second.std() / math.sqrt(len(second)))
    return (first - second).mean(), error


@wrong(PAIRED, "spread_for_error")
def standard_deviation(first, second):
    return (first - second).mean(), (first - second).std()


@wrong(PAIRED, "difference_sign")
def second_minus_first(first, second):
    return of_the_gaps(second, first)


@wrong(PAIRED, "variance_for_sigma")
def variance_of_the_mean(first, second):
    gaps = first - second
    return gaps.mean(), gaps.var() / len(gaps)


BALANCE = "detailed_balance"

right(BALANCE)(
    [
        "= p * v * (s * q / (v * p))",
        "= s * q   # p and v cancel; back from z' every proposal is accepted",
    ]
)
right(BALANCE)(["= q * s"])
wrong(BALANCE, None)(["= p * v * (s * p / (v * q))", "= s * q"])
wrong(BALANCE, None)(["= p * v * (s * q / (v * p))", "= s * v   # the wrong flow"])
