"""Exercises of chapter 12: codes of a test set, their distance from the prior, the best code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vae_core.distributions import DiagonalGaussian
from vae_core.exercises._attempt import Attempt
from vae_core.exercises._chapter12 import Toy
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES"]

codes = Exercise(
    "codes_of",
    chapter=12,
    kind="code",
    title="The codes of a test set",
    signature="codes_of(encode, x, batch_size) -> tensor of shape [n, latent], the code of each "
    "image, through which no gradient flows; encode(x): mu and log_sigma, [batch, latent] each, "
    "for at most batch_size images at a time",
    mistakes=("sampled_mean", "last_batch_dropped", "graph_kept", "no_exp", "second_output"),
)


@codes.step("gives the code of each image, also of the last ones")
def _codes_values(attempt: Attempt) -> None:
    for n, size in [(10, 4), (6, 3)] + [(5, 8), (7, 1)] * attempt.thorough:
        toy = Toy(attempt, n)
        lengths: list[int] = []

        def encode(x: Tensor, toy: Toy = toy, lengths: list[int] = lengths) -> object:
            lengths.append(len(x))
            return toy.encode(x)

        found = attempt.tensor(
            attempt(encode, toy.x, size),
            (n, 3),
            shapes={(n // size * size, 3): "last_batch_dropped"},
        )
        attempt.require(
            max(lengths) <= size, f"at most {size} images at a time", f"{max(lengths)}", "shape"
        )
        mu, log_sigma = toy.encode(toy.x)
        again = attempt.tensor(attempt(encode, toy.x, size), (n, 3))
        attempt.require(torch.equal(found, again), "the same codes twice", "others", "sampled_mean")
        wrong = {"no_exp": mu + log_sigma, "second_output": [log_sigma, log_sigma.exp()]}
        attempt.close(found, mu, "the codes", mistakes=wrong)


@codes.step("keeps no graph")
def _codes_graph(attempt: Attempt) -> None:
    toy = Toy(attempt, 4)
    toy.into.requires_grad_()
    found = attempt.tensor(attempt(toy.encode, toy.x, 3), (4, 3))
    attempt.require(
        not found.requires_grad, "codes without a graph", "a graph behind them", "graph_kept"
    )


gain = Exercise(
    "held_out_gain",
    chapter=12,
    kind="code",
    title="How far from the prior, on codes not seen before",
    signature="held_out_gain(train_codes, test_codes) -> a number, in nats: what a diagonal "
    "Gaussian fitted to the training codes gains over N(0, I), in the mean log-density of a test "
    "code; both: [n, latent]",
    mistakes=("test_leak", "train_for_test", "difference_sign", "missing_log_sigma",
              "variance_for_sigma", "mean_over_pixels", "sum_over_batch"),
)  # fmt: skip


def _mean_gain(fitted: Tensor, judged: Tensor, unbiased: bool = True, power: float = 1) -> Tensor:
    mean, spread = fitted.mean(0), fitted.std(0, correction=int(unbiased)) ** power
    q = DiagonalGaussian(mean.expand_as(judged), spread.log().expand_as(judged))
    return (q.log_prob(judged) - DiagonalGaussian.standard(judged).log_prob(judged)).mean()


@gain.step("is the mean gain on the test codes")
def _gain_values(attempt: Attempt) -> None:
    for n, m, k in [(60, 40, 3), (50, 30, 4)] + [(40, 80, 1)] * attempt.thorough:
        shift, width = attempt.normal(k), (0.3 * attempt.normal(k) - 0.6).exp()
        train = attempt.normal(n, k) * width + shift
        test = attempt.normal(m, k) * width * 1.2 + shift + 0.1
        found = attempt.number(attempt(train, test))
        right = _mean_gain(train, test)
        also = _mean_gain(train, test, unbiased=False).item()
        if abs(found - also) <= 1e-6 * max(1.0, abs(also)):
            continue  # dividing by n is as good as by n - 1
        both = (True, False)
        log_spread = train.std(0).log().sum(), train.std(0, correction=0).log().sum()
        attempt.close(
            found,
            right,
            f"the gain in {k} dimensions",
            mistakes={
                "test_leak": [
                    *(_mean_gain(test, test, b) for b in both),
                    *(_mean_gain(torch.cat([train, test]), test, b) for b in both),
                ],
                "train_for_test": [_mean_gain(train, train, b) for b in both],
                "difference_sign": [-right, -torch.tensor(also)],
                "missing_log_sigma": [right + log_spread[0], torch.tensor(also) + log_spread[1]],
                "variance_for_sigma": [
                    *(_mean_gain(train, test, b, 2) for b in both),
                    *(_mean_gain(train, test, b, 0.5) for b in both),
                ],
                "sum_over_batch": [right * m, torch.tensor(also) * m],
                "mean_over_pixels": [right / k, torch.tensor(also) / k],
            },
        )


best = Exercise(
    "best_code",
    chapter=12,
    kind="code",
    title="The best code of one image",
    signature="best_code(z_star, c) -> mu and sigma, the best ones in the mean of "
    "-c (z - z_star)^2 over N(mu, sigma^2) minus the KL divergence from N(0, 1); floats",
    mistakes=("variance_for_sigma", "half_the_weight", "kl_missing_half", "kl_sign"),
)


@best.step("is where the bound is largest")
def _best_values(attempt: Attempt) -> None:
    for c in [0.8, 3.0, 0.05] + [40.0] * attempt.thorough:
        a = attempt.normal(1).item() + 1.5
        found = attempt(a, c)
        attempt.require(
            isinstance(found, (tuple, list)) and len(found) == 2, "two numbers", found, "type"
        )
        pair = [attempt.number(v) for v in found]

        def at(mean: float, variance: float) -> list[float]:
            return [mean, math.sqrt(variance)]

        width = 1 / (1 + 2 * c)
        attempt.close(
            pair,
            at(2 * c * a * width, width),
            f"mu and sigma for z_star = {a:.3f}, c = {c}",
            mistakes={
                "variance_for_sigma": [[2 * c * a * width, width]],
                # Half of c, or twice the divergence: the same optimum.
                "half_the_weight": [at(c * a / (1 + c), 1 / (1 + c))],
                "kl_missing_half": [at(c * a / (1 + c), 1 / (2 * (1 + c)))],
                "kl_sign": ([at(2 * c * a / (2 * c - 1), 1 / (2 * c - 1))] if c > 0.5 else []),
            },
        )


chain = Exercise(
    "code_of_one_image",
    chapter=12,
    kind="derivation",
    title="The bound of one image, as a function of its code",
    signature="a list of lines, typed in the workbench's notation, from "
    "E[-c * (z - a)^2] - KL(N(z; mu, sigma^2) || N(z; 0, 1)), where z has the density "
    "N(z; mu, sigma^2), to a closed form in mu, sigma, a and c",
)


@chain.step("each line follows from the one before, and the last is the closed form")
def _chain(attempt: Attempt) -> None:
    attempt.derivation("code_of_one_image")


EXERCISES = (codes, gain, best, chain)
