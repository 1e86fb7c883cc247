"""Exercises of chapter 7: log P(X) by importance sampling, in one go and in a stream; latents."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_core.distributions import DiagonalGaussian
from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

log_p = Exercise(
    "importance_log_p",
    chapter=7,
    kind="code",
    title="log P(X) from weighted draws of Q",
    signature="importance_log_p(log_p_x, log_p_z, log_q) -> log P(X) in nats, [batch]; "
    "each [k, batch]: log P(X|z), log P(z) and log Q(z|X) at k draws z of Q",
    mistakes=(
        "naive_logsumexp",
        "mean_of_logs",
        "missing_log_n",
        "no_density_ratio",
        "missing_log_q",
        "missing_prior",
        "inverse_ratio",
        "mean_over_batch",
    ),
)


def _three(attempt: Attempt, k: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logs of a size for which every mistake is computed without under- or overflow."""
    return (
        attempt.normal(k, batch) - 2,
        0.5 * attempt.normal(k, batch) - 1.5,
        0.7 * attempt.normal(k, batch) - 0.4,
    )


def _log_mean(log_w: Tensor) -> Tensor:
    return log_w.logsumexp(0) - math.log(len(log_w))


def _finite(attempt: Attempt, found: Any, shape: Sequence[int], what: str) -> Tensor:
    """As ``attempt.tensor``; here, numbers that are not finite are an underflow."""
    if isinstance(found, Tensor) and found.shape == torch.Size(shape):
        attempt.require(
            torch.isfinite(found.detach().double()).all(), what, found, "naive_logsumexp"
        )
    return attempt.tensor(found, shape)


@log_p.step("gives one finite number for each image")
def _log_p_shape(attempt: Attempt) -> None:
    three = _three(attempt, 6, 4)
    found = attempt.array(attempt(*three))
    if isinstance(found, Tensor) and found.ndim == 0:
        mean = _log_mean(three[0] + three[1] - three[2]).mean()
        attempt.close(
            found, torch.zeros(4), "one number an image", mistakes={"mean_over_batch": mean}
        )
    attempt.tensor(found, (4,))


@log_p.step("is the log of the mean weight")
def _log_p_values(attempt: Attempt) -> None:
    for k, batch in [(6, 4), (50, 3)] + [(1, 2), (200, 5)] * attempt.thorough:
        log_p_x, log_p_z, log_q = three = _three(attempt, k, batch)
        log_w = log_p_x + log_p_z - log_q
        attempt.close(
            attempt.tensor(attempt(*three), (batch,)),
            _log_mean(log_w),
            f"log P(X) of {batch} images from {k} draws",
            mistakes={
                "mean_of_logs": log_w.mean(0),
                "missing_log_n": log_w.logsumexp(0),
                "no_density_ratio": [_log_mean(log_p_x), log_p_x.logsumexp(0)],
                "missing_log_q": _log_mean(log_p_x + log_p_z),
                "missing_prior": _log_mean(log_p_x - log_q),
                "inverse_ratio": [_log_mean(log_p_x + log_q - log_p_z), _log_mean(-log_w)],
            },
        )


@log_p.step("is exact for a linear decoder whose Q is the posterior, from any number of draws")
def _log_p_exact(attempt: Attempt) -> None:
    w, s, k = 1.7, 0.6, 5
    x = attempt.normal(4) * 2
    total = w**2 + s**2
    q = Normal(w * x / total, s / math.sqrt(total))
    z = q.mean + q.stddev * attempt.normal(k, 4)
    found = attempt(Normal(w * z, s).log_prob(x), Normal(0.0, 1.0).log_prob(z), q.log_prob(z))
    exact = Normal(0.0, math.sqrt(total)).log_prob(x)
    attempt.close(attempt.tensor(found, (4,)), exact, "the exact log P(X)")


@log_p.step("survives the logs of real images")
def _log_p_small(attempt: Attempt) -> None:
    for shift in (-900.0, 900.0):  # black-and-white digits; grey ones have densities
        log_p_x, log_p_z, log_q = _three(attempt, 6, 4)
        found = attempt.array(attempt(log_p_x + shift, log_p_z, log_q))
        found = _finite(attempt, found, (4,), f"a finite number for log P(X|z) near {shift:g}")
        right = _log_mean(log_p_x + log_p_z - log_q) + shift
        attempt.close(found, right, "log P(X)", size=1e3)


stream = Exercise(
    "stream_bound",
    chapter=7,
    kind="code",
    title="The bound in a stream",
    signature="stream_bound(portions) -> (log of the mean weight, effective sample size), two "
    "numbers; portions: an iterator of log weights, each a tensor [some draws]",
    mistakes=(
        "naive_logsumexp",
        "missing_log_n",
        "mean_of_logs",
        "unequal_portions",
        "stale_maximum",
        "squares_not_rescaled",
        "holds_all",
    ),
)


def _ess(log_w: Tensor) -> Tensor:
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


def _pair(attempt: Attempt, found: Any, what: str) -> tuple[float, float]:
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failure("two numbers, the bound and the effective sample size", short(found), "type")
    try:
        return attempt.number(found[0]), attempt.number(found[1])
    except Failure as failure:
        if failure.mistake == "not_finite" and what:
            raise Failure(what, failure.found, "naive_logsumexp") from None
        raise


def _portions(log_w: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    return list(log_w.split(list(sizes)))


def _judge(attempt: Attempt, parts: list[Tensor], heavy: bool = False) -> None:
    whole = torch.cat(parts)
    bound, effective = _pair(attempt, attempt(iter(parts)), "finite numbers" if heavy else "")
    means = torch.stack([_log_mean(p) for p in parts])
    # Each portion on the scale of its own maximum, added up as if the scales were one.
    own = [(p - p.max()).exp() for p in parts]
    tops = [p.max() for p in parts]
    stale = [
        (torch.cat(own).sum() / len(whole)).log() + top for top in (tops[-1], max(tops), tops[0])
    ]
    attempt.close(
        bound,
        _log_mean(whole).item(),
        "the log of the mean weight",
        size=1e3 if heavy else 1.0,
        mistakes={
            "missing_log_n": whole.logsumexp(0).item(),
            "mean_of_logs": [whole.mean().item(), means.mean().item()],
            "unequal_portions": [
                _log_mean(means).item(),
                (whole.logsumexp(0) - math.log(len(parts))).item(),
            ],
            "stale_maximum": [value.item() for value in stale],
        },
    )
    attempt.close(
        effective,
        _ess(whole).item(),
        "the effective sample size",
        size=1e3 if heavy else 1.0,
        mistakes={
            "squares_not_rescaled": _stale_squares(parts, 0) + _stale_squares(parts, 1),
            "unequal_portions": [
                sum(_ess(p).item() for p in parts),
                sum(_ess(p).item() for p in parts) / len(parts),
            ],
        },
    )


def _stale_squares(parts: list[Tensor], power: int) -> list[float]:
    """The effective size if the squares so far get the factor's power 0 or 1, where 2 is right."""
    top, total, squares = parts[0].max(), torch.zeros(()).double(), torch.zeros(()).double()
    for part in parts:
        new = torch.maximum(top, part.max())
        factor = (top - new).exp()
        total = total * factor + (part - new).exp().sum()
        squares = squares * factor**power + (2 * (part - new)).exp().sum()
        top = new
    return [(total**2 / squares).item()]


@stream.step("gives the bound and the effective sample size of all draws")
def _stream_values(attempt: Attempt) -> None:
    _judge(attempt, _portions(attempt.normal(12), (12,)))
    _judge(attempt, _portions(attempt.normal(15), (3, 7, 5)))
    if attempt.thorough:
        _judge(attempt, _portions(attempt.normal(30), (1, 20, 2, 7)))


@stream.step("does not mind which portion is the heaviest")
def _stream_order(attempt: Attempt) -> None:
    for lifts in ((0.0, 2.0, 1.0), (1.0, 0.0, 3.0), (3.0, 1.0, 0.0)):
        parts = _portions(attempt.normal(15), (3, 7, 5))
        _judge(attempt, [p + lift for p, lift in zip(parts, lifts, strict=True)])


@stream.step("survives weights like e^-800, and a second portion 500 nats heavier")
def _stream_small(attempt: Attempt) -> None:
    for lifts in ((-800.0, -800.0), (-900.0, -400.0), (-400.0, -900.0), (800.0, 800.0)):
        parts = _portions(attempt.normal(12), (5, 7))
        _judge(attempt, [p + lift for p, lift in zip(parts, lifts, strict=True)], heavy=True)


@stream.step("never holds more than a portion")
def _stream_holds(attempt: Attempt) -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def source() -> Iterator[Tensor]:
        nonlocal most
        for _ in range(12):
            # The one before may still have its name in the caller's loop.
            most = max(most, sum(r() is not None for r in alive))
            portion = attempt.normal(4)
            alive.append(weakref.ref(portion))
            yield portion
            del portion

    attempt(source())
    attempt.require(
        most <= 2, "at most the last portion still held", f"{most} portions held", "holds_all"
    )


active = Exercise(
    "active_units",
    chapter=7,
    kind="code",
    title="Count the latents that are used",
    signature="active_units(encode, images, threshold) -> a whole number; encode(images) gives "
    "Q(z|X) with .mean and .log_sigma, [images, latent]; a latent is active if the variance of "
    "its mean over the images is above the threshold",
    mistakes=(
        "sampled_mean",
        "posterior_variance",
        "variance_for_sigma",
        "transposed",
        "uncentred",
    ),
)


@active.step("counts the latents whose mean moves with the image")
def _active_count(attempt: Attempt) -> None:
    # The counts that mistakes lead to are more than one apart from the right one and each other.
    for n, latent, used in [(200, 21, 7), (150, 34, 9)] + [(400, 12, 0)] * attempt.thorough:
        threshold = 0.01
        images = attempt.normal(n, latent)
        # Used latents move by much, and Q is narrow in them; of the rest three sit aside and two
        # tremble, and Q is narrow in one.
        spread = torch.full((latent,), 0.002, dtype=images.dtype)
        spread[-used or latent :] = 0.7
        spread[[0, 2]] = 0.05
        offset = torch.zeros(latent, dtype=images.dtype)
        offset[[1, 3, 4]] = 1.5
        centred = (images - images.mean(0)) / images.std(0)
        mean = centred * spread + offset
        wide = spread < 0.5
        wide[5] = False
        log_sigma = torch.where(wide, 0.0, -3.5).to(mean.dtype).expand_as(mean).clone()
        q = DiagonalGaussian(mean, log_sigma)
        count = attempt.number(attempt(lambda _, q=q: q, images, threshold))
        # The variance of a draw of Q is that of the mean and that of Q around it.
        drawn = int((mean.var(0) + q.sigma.square().mean(0) > threshold).sum())
        means_square = int((mean.square().mean(0) > threshold).sum())
        across = int((mean.var(1) > threshold).sum())
        attempt.close(
            count,
            used,
            f"active latents of {latent}",
            mistakes={
                "variance_for_sigma": int((mean.std(0) > threshold).sum()),
                "sampled_mean": drawn,
                "posterior_variance": int(wide.sum()),
                "transposed": across,
                "uncentred": means_square,
            },
        )


rise = Exercise(
    "bound_rise",
    chapter=7,
    kind="derivation",
    title="How fast the bound rises: the gap to second order",
    signature="a list of lines from -E[delta - delta^2 / 2], with E[delta] = 0 and "
    "E[delta^2] = v / k, to an expression in v and k",
)


@rise.step("each line follows from the one before, and the last has no mean left in it")
def _rise_chain(attempt: Attempt) -> None:
    attempt.derivation("bound_rise")


sizes = Exercise(
    "bound_effective",
    chapter=7,
    kind="derivation",
    title="How fast the bound rises: the effective sample size",
    signature="a list of lines from k * E[r]^2 / E[r^2], where r = w / P(X) has the mean 1 and "
    "the variance v, to an expression in v and k",
)


@sizes.step("each line follows from the one before, and the last has no mean left in it")
def _sizes_chain(attempt: Attempt) -> None:
    attempt.derivation("bound_effective")


EXERCISES = (log_p, stream, active, rise, sizes)
