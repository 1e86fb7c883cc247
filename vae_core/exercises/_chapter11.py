"""Exercises of chapter 11: the conditional VAE."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_core.distributions import DiagonalGaussian
from vae_core.exercises._attempt import Attempt
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES"]

labelled = Exercise(
    "elbo_given_label",
    chapter=11,
    kind="code",
    title="The bound, given the label",
    signature="elbo_given_label(encode, decode, y, label, noise) -> tensor of shape [batch], in "
    "nats; encode: [batch, pixels + 10] to mu and log_sigma, [batch, latent] each; decode: "
    "[batch, latent + 10] to the logits of the pixels, [batch, pixels]; y: [batch, pixels], 0 or "
    "1; label: int64 [batch], 0 to 9; noise: [batch, latent]. The label goes last in both",
    mistakes=(
        "label_missing_encoder",
        "label_missing_decoder",
        "label_as_number",
        "logits_as_probabilities",
        "mean_over_pixels",
        "not_summed",
        "one_number",
        "kl_missing_half",
        "kl_doubled",
        "kl_sign",
        "loss_for_bound",
        "loss_for_likelihood",
        "no_noise",
    ),
)


class _Labelled:
    """Random linear networks that see a label; in double precision."""

    def __init__(self, attempt: Attempt, batch: int) -> None:
        self.y = (torch.rand(batch, 8, generator=attempt.generator) < 0.4).double()
        self.label = torch.randint(0, 10, (batch,), generator=attempt.generator)
        self.label[:2] = torch.tensor([0, 7])
        # Three latents: half of a divergence would look like the mean over two.
        self.noise = attempt.normal(batch, 3)
        self.into, self.out = 0.5 * attempt.normal(18, 6), attempt.normal(13, 8)

    def encode(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_sigma = (pair @ self.into).chunk(2, 1)
        return mu, 0.5 * torch.tanh(log_sigma)

    def decode(self, pair: Tensor) -> Tensor:
        return pair @ self.out

    def pieces(self, to_encoder: Tensor, to_decoder: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL, [batch] each, for what is put beside y and z."""
        mu, log_sigma = self.encode(torch.cat([self.y, to_encoder], 1))
        q = DiagonalGaussian(mu, log_sigma)
        logits = self.decode(torch.cat([q.rsample(self.noise), to_decoder], 1))
        return (self.y * logits - F.softplus(logits)).sum(1), q.kl()


@labelled.step("gives the bound in nats")
def _labelled_values(attempt: Attempt) -> None:
    for batch in (6, 3) + (2, 20) * attempt.thorough:
        toy = _Labelled(attempt, batch)
        one_hot = F.one_hot(toy.label, 10).double()
        none, number = torch.zeros_like(one_hot), toy.label[:, None].double()
        numbers = [number.expand(-1, 10), F.pad(number, (0, 9)), F.pad(number, (9, 0))]
        log_p, kl = toy.pieces(one_hot, one_hot)

        def of(first: Tensor, second: Tensor, toy: _Labelled = toy) -> Tensor:
            found, divergence = toy.pieces(first, second)
            return found - divergence

        mu, log_sigma = toy.encode(torch.cat([toy.y, one_hot], 1))
        still = toy.decode(torch.cat([mu, one_hot], 1))
        logits = toy.decode(
            torch.cat([DiagonalGaussian(mu, log_sigma).rsample(toy.noise), one_hot], 1)
        )
        taken = logits.clamp(1e-6, 1 - 1e-6)
        attempt.close(
            attempt.tensor(
                attempt(toy.encode, toy.decode, toy.y, toy.label, toy.noise),
                (batch,),
                shapes={(batch, 8): "not_summed", (): "one_number"},
            ),
            log_p - kl,
            f"the bounds of {batch} images",
            mistakes={
                "label_missing_encoder": [of(none, one_hot), of(none, none)],
                "label_missing_decoder": of(one_hot, none),
                "label_as_number": [of(a, a) for a in numbers]
                + [of(n, n) for n in (a / 9 for a in numbers)],
                "mean_over_pixels": [log_p / 8 - kl, log_p - kl / 3, log_p / 8 - kl / 3],
                "kl_doubled": log_p - 2 * kl,
                "kl_missing_half": [
                    log_p - ((2 * log_sigma).exp() + mu**2 - log_sigma - c).sum(1) for c in (0.5, 1)
                ],
                "kl_sign": log_p + kl,
                "loss_for_bound": kl - log_p,
                "loss_for_likelihood": -log_p - kl,
                "no_noise": (toy.y * still - F.softplus(still)).sum(1) - kl,
                "logits_as_probabilities": [
                    (toy.y * taken.log() + (1 - toy.y) * (1 - taken).log()).sum(1) - kl,
                    (toy.y * logits.sigmoid() - F.softplus(logits.sigmoid())).sum(1) - kl,
                ],
            },
        )


part = Exercise(
    "hidden_log_prob",
    chapter=11,
    kind="code",
    title="Only what is not given counts",
    signature="hidden_log_prob(x, logits, given) -> tensor of shape [batch], in nats: the "
    "log-probability of the pixels that are not given; x: [batch, height, width], 0 or 1; logits: "
    "as x; given: bool [height, width], true where a pixel is given",
    mistakes=("counts_given", "mask_inverted", "mean_over_pixels", "logits_as_probabilities"),
)


@part.step("counts the hidden pixels, and these alone")
def _part_values(attempt: Attempt) -> None:
    for batch, height, width in [(4, 4, 6), (2, 3, 3)] + [(1, 8, 8)] * attempt.thorough:
        x = (torch.rand(batch, height, width, generator=attempt.generator) < 0.5).double()
        logits = 2 * attempt.normal(batch, height, width)
        given = torch.rand(height, width, generator=attempt.generator) < 0.4
        given[0, 0], given[0, 1] = True, False
        each = x * logits - F.softplus(logits)
        right = (each * ~given).sum((1, 2))
        squashed = logits.sigmoid()
        taken = logits.clamp(1e-6, 1 - 1e-6)
        attempt.close(
            attempt.tensor(attempt(x, logits, given), (batch,)),
            right,
            f"the log-probabilities of the {int((~given).sum())} pixels that are not given",
            mistakes={
                "counts_given": [
                    each.sum((1, 2)),
                    right - given.sum() * math.log(2),
                    (each * ~given - (x * given * 0 + F.softplus(logits) * given)).sum((1, 2)),
                ],
                "mask_inverted": (each * given).sum((1, 2)),
                "mean_over_pixels": [
                    right / (height * width),
                    right / (~given).sum(),
                    each.mean((1, 2)),
                ],
                "logits_as_probabilities": [
                    ((x * squashed - F.softplus(squashed)) * ~given).sum((1, 2)),
                    ((x * taken.log() + (1 - x) * (1 - taken).log()) * ~given).sum((1, 2)),
                ],
            },
        )


def _compose(attempt: Attempt) -> None:
    x = (torch.rand(3, 4, 5, generator=attempt.generator) < 0.5).double()
    logits = attempt.normal(3, 4, 5)
    first = torch.zeros(4, 5, dtype=torch.bool)
    first[:2] = True
    halves = sum(attempt.tensor(attempt(x, logits, part), (3,)) for part in (first, ~first))
    both = attempt.tensor(attempt(x, logits, torch.zeros_like(first)), (3,))
    attempt.close(halves, both, "upper half plus lower half: the whole image")


part.step("adds up: two halves make the whole")(_compose)

merge = Exercise(
    "complete",
    chapter=11,
    kind="code",
    title="A completion keeps what was given",
    signature="complete(x, given, drawn) -> tensor [draws, batch, height, width]; x: [batch, "
    "height, width]; given: bool [height, width], true where a pixel is given; drawn: what the "
    "decoder paints, [draws, batch, height, width]",
    mistakes=("mask_inverted", "given_overwritten", "mean_of_draws"),
)


@merge.step("takes the given pixels from x and the others from each draw")
def _merge_values(attempt: Attempt) -> None:
    x, drawn = attempt.normal(3, 4, 5), attempt.normal(6, 3, 4, 5)
    given = torch.rand(4, 5, generator=attempt.generator) < 0.5
    given[0, 0], given[0, 1] = True, False
    found = attempt.tensor(
        attempt(x, given, drawn), (6, 3, 4, 5), shapes={(3, 4, 5): "mean_of_draws"}
    )
    attempt.close(
        found,
        torch.where(given, x, drawn),
        "the completions",
        mistakes={
            "mask_inverted": torch.where(given, drawn, x),
            "given_overwritten": [drawn, drawn * ~given, torch.where(given, x + drawn, drawn)],
        },
    )


evidence = Exercise(
    "conditional_log_likelihood",
    chapter=11,
    kind="code",
    title="log P(Y|X) from weighted draws",
    signature="conditional_log_likelihood(log_likelihood, log_prior, log_q) -> tensor of shape "
    "[batch], the estimate of log P(Y|X) in nats; each [draws, batch], at the same draws of z "
    "from Q(z|Y, X): log P(Y|z, X), log P(z|X), log Q(z|Y, X)",
    mistakes=("mean_of_logs", "missing_log_n", "no_density_ratio", "missing_log_q",
              "missing_prior", "inverse_ratio", "naive_logsumexp", "mean_over_batch"),
)  # fmt: skip


def _log_weights(attempt: Attempt, draws: int, batch: int, shift: float) -> list[Tensor]:
    likelihood = 2 * attempt.normal(draws, batch) + shift
    return [likelihood, attempt.normal(draws, batch) - 3, attempt.normal(draws, batch) - 1]


@evidence.step("is the log of the mean weight of each example")
def _evidence_values(attempt: Attempt) -> None:
    for draws, batch in [(12, 4), (1, 3), (50, 2)] + [(300, 1)] * attempt.thorough:
        likelihood, prior, q = _log_weights(attempt, draws, batch, -4.0)
        weights, n = likelihood + prior - q, math.log(draws)
        right = torch.logsumexp(weights, 0) - n
        found = attempt.array(attempt(likelihood, prior, q))
        if isinstance(found, Tensor) and found.ndim == 0:
            betrayed = [right.mean(), torch.logsumexp(weights.flatten(), 0) - n - math.log(batch)]
            attempt.close(found, right, "one estimate each", mistakes={"mean_over_batch": betrayed})
        attempt.close(
            attempt.tensor(found, (batch,)),
            right,
            f"the estimates from {draws} draws",
            mistakes={
                "mean_of_logs": weights.mean(0),
                "missing_log_n": [right + n, right + 2 * n],
                "no_density_ratio": torch.logsumexp(likelihood, 0) - n,
                "missing_log_q": torch.logsumexp(likelihood + prior, 0) - n,
                "missing_prior": torch.logsumexp(likelihood - q, 0) - n,
                "inverse_ratio": torch.logsumexp(likelihood - prior + q, 0) - n,
            },
        )


@evidence.step("survives log-likelihoods of images")
def _evidence_large(attempt: Attempt) -> None:
    for shift in (-5000.0, 5000.0):
        likelihood, prior, q = _log_weights(attempt, 9, 3, shift)
        found = attempt.array(attempt(likelihood, prior, q))
        finite = isinstance(found, Tensor) and bool(torch.isfinite(found).all())
        attempt.require(finite, f"finite estimates near {shift:g} nats", found, "naive_logsumexp")
        right = torch.logsumexp(likelihood + prior - q, 0) - math.log(9)
        attempt.close(found, right, f"the estimates near {shift:g} nats", size=1e4)


alpha = Exercise(
    "loss_with_alpha",
    chapter=11,
    kind="derivation",
    title="What alpha in the loss is",
    signature="a list of lines, typed in the workbench's notation, from "
    "2 * s^2 * (K - E[log N(Y; w * z, s^2)]), minus the bound of a pixel Y times 2 s^2 (K stands "
    "for the divergence, w * z for the decoder), to a squared error, a factor times K and a "
    "constant",
)


@alpha.step("each line follows from the one before, and the last is the loss")
def _alpha_chain(attempt: Attempt) -> None:
    attempt.derivation("loss_with_alpha")


EXERCISES = (labelled, part, merge, evidence, alpha)
