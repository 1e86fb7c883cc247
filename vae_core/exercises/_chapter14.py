"""Exercises of chapter 14: imputation, belonging, and differences with their errors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_core.exercises._attempt import Attempt
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES"]

weights = Exercise(
    "imputation_weights",
    chapter=14,
    kind="code",
    title="Weights of the draws",
    signature="imputation_weights(log_likelihood, log_prior, log_q) -> tensor [draws, batch], the "
    "normalised importance weight of each draw; each argument [draws, batch]: log P(X_o|z) of the "
    "observed pixels, log P(z), log Q(z)",
    mistakes=("naive_logsumexp", "no_density_ratio", "missing_log_q", "missing_prior",
              "inverse_ratio", "normalised_over_batch", "sum_not_one"),
)  # fmt: skip


@weights.step("is proportional to P(X_o|z) P(z) / Q(z), and sums to 1 over the draws of an image")
def _weights(attempt: Attempt) -> None:
    for draws, batch in [(5, 3), (9, 4)] + [(40, 2)] * attempt.thorough:
        likelihood, prior, q = (attempt.normal(draws, batch) - shift for shift in (3, 2, 1))
        logs = likelihood + prior - q
        attempt.close(
            attempt.tensor(attempt(likelihood, prior, q), (draws, batch)),
            torch.softmax(logs, 0),
            f"the weights of {draws} draws for each of {batch} images",
            mistakes={
                "no_density_ratio": torch.softmax(likelihood, 0),
                "missing_log_q": torch.softmax(likelihood + prior, 0),
                "missing_prior": torch.softmax(likelihood - q, 0),
                "inverse_ratio": [
                    torch.softmax(likelihood - prior + q, 0),
                    torch.softmax(-logs, 0),
                ],
                "normalised_over_batch": [
                    torch.softmax(logs, 1),
                    torch.softmax(logs.flatten(), 0).view_as(logs),
                ],
                "sum_not_one": [logs.exp(), logs.exp() / draws, logs.log_softmax(0)],
            },
        )


@weights.step("survives log-likelihoods of images")
def _weights_large(attempt: Attempt) -> None:
    for shift in (-4000.0, 4000.0):
        likelihood, prior, q = (2 * attempt.normal(6, 3) + s for s in (shift, -5, 0))
        found = attempt.array(attempt(likelihood, prior, q))
        finite = isinstance(found, Tensor) and bool(torch.isfinite(found).all())
        attempt.require(finite, f"finite weights near {shift:g} nats", found, "naive_logsumexp")
        attempt.close(
            found,
            torch.softmax(likelihood + prior - q, 0),
            f"the weights near {shift:g} nats",
            mistakes={"naive_logsumexp": torch.zeros(6, 3)},
            size=1e4,
        )


filled = Exercise(
    "imputed",
    chapter=14,
    kind="code",
    title="The imputed image, and how many draws it rests on",
    signature="imputed(x, observed, weights, decoded) -> images [batch, height, width] and "
    "effective sample sizes [batch]; x: [batch, height, width]; observed: bool, as x; weights: "
    "[draws, batch], normalised; decoded: pixel means of the draws, [draws, batch, height, width]",
    mistakes=(
        "weights_ignored",
        "given_overwritten",
        "mask_inverted",
        "draws_counted",
        "inverse_count",
    ),
)


@filled.step("averages the hidden pixels by the weights, and counts the draws that matter")
def _filled(attempt: Attempt) -> None:
    for draws in [7, 3] + [30] * attempt.thorough:
        x, decoded = attempt.normal(4, 3, 5), attempt.normal(draws, 4, 3, 5)
        seen = torch.rand(4, 3, 5, generator=attempt.generator) < 0.5
        seen[:, 0, 0], seen[:, 0, 1] = True, False
        weight = torch.softmax(1.5 * attempt.normal(draws, 4), 0)
        found = attempt(x, seen, weight, decoded)
        pair = isinstance(found, (tuple, list)) and len(found) == 2
        attempt.require(pair, "images and effective sample sizes", found, "type")
        mean = torch.einsum("kb,kbhw->bhw", weight, decoded)
        attempt.close(
            attempt.tensor(found[0], (4, 3, 5)),
            torch.where(seen, x, mean),
            "the imputed images",
            mistakes={
                "weights_ignored": torch.where(seen, x, decoded.mean(0)),
                "given_overwritten": mean,
                "mask_inverted": torch.where(seen, mean, x),
            },
        )
        attempt.close(
            attempt.tensor(found[1], (4,)),
            1 / weight.square().sum(0),
            "the effective sample sizes",
            mistakes={
                "inverse_count": weight.square().sum(0),
                "draws_counted": [
                    torch.full((4,), float(draws)),
                    (weight > 1e-3).sum(0),
                    draws * weight.square().sum(0),
                    weight.sum(0),
                ],
            },
        )


area = Exercise(
    "auroc",
    chapter=14,
    kind="code",
    title="The area under the curve",
    signature="auroc(home, away) -> a number: how often an image that belongs scores higher than "
    "one that does not; home: scores [n] of images that belong, away: scores [m] of the others; a "
    "tie counts half",
    mistakes=("scores_reversed", "ties_ignored", "pairs_in_order", "accuracy_for_auroc"),
)


@area.step("is the share of pairs in the right order")
def _area(attempt: Attempt) -> None:
    for n, m in [(41, 31), (17, 61)] + [(7, 11)] * attempt.thorough:
        # Rounded scores: many pairs are ties, as with images of few grey levels.
        home = ((attempt.normal(n) + 0.8) * 2).round() / 2
        away = (attempt.normal(m) * 2).round() / 2
        higher = (home[:, None] > away).double().mean()
        ties = (home[:, None] == away).double().mean()
        right = higher + ties / 2
        short = min(n, m)
        sides = (home[:short] > away[:short]).double().mean()
        level = (home[:short] == away[:short]).double().mean()
        cuts = torch.cat([home, away])
        share = torch.stack([((home >= c).sum() + (away < c).sum()) / (n + m) for c in cuts]).max()
        attempt.close(
            attempt.number(attempt(home, away)),
            right,
            f"the area for {n} and {m} scores",
            mistakes={
                "scores_reversed": 1 - right,
                "ties_ignored": [higher, higher + ties, higher / (1 - ties)],
                "pairs_in_order": [sides, sides + level / 2],
                "accuracy_for_auroc": [
                    share,
                    ((home > cuts.mean()).sum() + (away <= cuts.mean()).sum()) / (n + m),
                    ((home > cuts.median()).sum() + (away <= cuts.median()).sum()) / (n + m),
                    ((home > 0).sum() + (away <= 0).sum()) / (n + m),
                ],
            },
        )


paired = Exercise(
    "paired_difference",
    chapter=14,
    kind="code",
    title="A difference with its standard error",
    signature="paired_difference(first, second) -> the mean of first - second and its standard "
    "error, two numbers; both [n], entry i of both from the same seed and the same test images",
    mistakes=(
        "unpaired_error",
        "spread_for_error",
        "difference_sign",
        "variance_for_sigma",
        "divided_by_n",
    ),
)


@paired.step("pairs what belongs together")
def _paired(attempt: Attempt) -> None:
    # Not 10: its two standard deviations, by n and by n - 1, differ by a plain factor.
    for n in [12, 25] + [4] * attempt.thorough:
        common = 3 * attempt.normal(n)
        first, second = (common + 0.5 * attempt.normal(n) + shift for shift in (0.7, 0.0))
        gaps = first - second
        found = attempt(first, second)
        pair = isinstance(found, (tuple, list)) and len(found) == 2
        attempt.require(pair, "a mean and its standard error", found, "type")
        mean, error = (attempt.number(v) for v in found)
        attempt.close(
            mean, gaps.mean(), "the mean difference", mistakes={"difference_sign": -gaps.mean()}
        )
        right = gaps.std() / math.sqrt(n)
        if math.isclose(error, gaps.std(correction=0) / math.sqrt(n), rel_tol=1e-6):
            attempt.require(False, "a spread estimated from n numbers (n - 1)", error)
        unpaired = (first.var() + second.var()) / n
        attempt.close(
            error,
            right,
            "the standard error",
            mistakes={
                "unpaired_error": [
                    unpaired.sqrt(),
                    ((first.var(correction=0) + second.var(correction=0)) / n).sqrt(),
                    (first.std() + second.std()) / math.sqrt(n),
                ],
                "spread_for_error": [gaps.std(), gaps.std(correction=0)],
                "variance_for_sigma": [gaps.var() / n, gaps.var()],
                "divided_by_n": gaps.std() / n,
            },
        )


balance = Exercise(
    "detailed_balance",
    chapter=14,
    kind="derivation",
    title="The correction is exact",
    signature="a list of lines, typed in the workbench's notation, from p * v * (w / u), the flow "
    "from z to z' where w < u, with u = p / q and w = s / v put in by you, to the flow back; "
    "p = P(z|X), q = Q(z|X), s = P(z'|X), v = Q(z'|X). It starts at p * v * ((s / v) / (p / q))",
)


@balance.step("each line follows from the one before, and the last is the flow back")
def _balance_chain(attempt: Attempt) -> None:
    attempt.derivation("detailed_balance")


EXERCISES = (weights, filled, area, paired, balance)
