"""Exercises of chapter 6: draws that let gradients through, and the score function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

draw = Exercise(
    "reparameterised_draw",
    chapter=6,
    kind="code",
    title="A draw that gradients can pass",
    signature="reparameterised_draw(mu, log_sigma, generator) -> z of shape [batch, latent]; "
    "mu, log_sigma: [batch, latent], generator: a torch.Generator, the source of the noise",
    mistakes=(
        "no_noise",
        "shared_noise",
        "shared_noise_latents",
        "log_variance",
        "no_exp",
        "variance_for_sigma",
        "uniform_noise",
        "seed_in_loop",
        "generator_ignored",
        "global_generator",
        "sample_for_rsample",
        "detached_mean",
        "detached_sigma",
    ),
)

# Standard deviations whose squares, roots and logarithms are all far apart.
LOG_SIGMA = (-1.2, 0.35, 0.9)


def _generator(attempt: Attempt) -> torch.Generator:
    return torch.Generator().manual_seed(1000 + attempt.seed)


def _inputs(attempt: Attempt, rows: int) -> tuple[Tensor, Tensor]:
    mu = attempt.normal(1, 3).expand(rows, 3).clone()
    return mu, torch.tensor(LOG_SIGMA, dtype=mu.dtype).expand(rows, 3).clone()


@draw.step("gives one finite draw for each mean")
def _draw_shape(attempt: Attempt) -> None:
    mu, log_sigma = attempt.normal(6, 4), 0.3 * attempt.normal(6, 4)
    attempt.tensor(attempt(mu, log_sigma, _generator(attempt)), (6, 4))


@draw.step("gives every example and every latent noise of its own")
def _draw_noise(attempt: Attempt) -> None:
    mu, log_sigma = _inputs(attempt, 50)
    moved = attempt.tensor(attempt(mu, log_sigma, _generator(attempt)), (50, 3)).detach() - mu
    still = moved.abs().max(0).values < 1e-9  # the mean itself, in some latent
    attempt.require(not still.any(), "draws that differ from the mean", "the mean", "no_noise")
    rows = bool((moved.std(0) < 1e-9).any())
    other = torch.Generator().manual_seed(77 + attempt.seed)
    constant = rows and bool((attempt(mu, log_sigma, other).detach() - mu == moved).all())
    attempt.require(
        not rows,
        "draws that differ between examples",
        "the same in each",
        "no_noise" if constant else "shared_noise",
    )
    # Each latent's noise on its own scale: one common noise leaves two columns in proportion.
    scaled = moved / moved.std(0)
    alike = (scaled[:, 1:].abs() - scaled[:, :1].abs()).abs().max() < 1e-6
    attempt.require(
        not alike,
        "latents that move independently of each other",
        "latents that all move together",
        "shared_noise_latents",
    )


@draw.step("has the mean and the standard deviation that were asked for")
def _draw_spread(attempt: Attempt) -> None:
    n = 40_000
    mu, log_sigma = _inputs(attempt, n)
    z = attempt.tensor(attempt(mu, log_sigma, _generator(attempt)), (n, 3)).detach().double()
    wanted, raw = torch.tensor(LOG_SIGMA).double().exp(), z.std(0)  # torch.rand's mean is 1/2
    for name, values in (
        ("log_variance", wanted.sqrt()),
        ("no_exp", wanted.log().abs()),
        ("variance_for_sigma", wanted**2),
        ("uniform_noise", wanted / math.sqrt(12)),
        ("uniform_noise", wanted / math.sqrt(3)),
    ):
        explained = (raw - values).abs() < 6 * values / math.sqrt(2 * n)
        if bool(explained.all()) and bool(((raw - wanted).abs() > 0.03 * wanted).all()):
            raise Failure(f"the standard deviations {short(wanted)}", short(raw), name)
    for k, given in enumerate(LOG_SIGMA):
        sigma, centre = math.exp(given), mu[0, k].item()
        spread = (z[:, k] - centre).square().mean().sqrt().item()
        attempt.within(z[:, k].mean().item(), centre, sigma / math.sqrt(n), "the mean", errors=6)
        attempt.within(spread, sigma, sigma / math.sqrt(2 * n), "the standard deviation", errors=6)


@draw.step("draws from the generator, and each time anew")
def _draw_generator(attempt: Attempt) -> None:
    mu, log_sigma = _inputs(attempt, 20)
    generator = _generator(attempt)
    before = generator.get_state()
    one = attempt.tensor(attempt(mu, log_sigma, generator), (20, 3)).detach()
    used = not torch.equal(before, generator.get_state())
    two = attempt.tensor(attempt(mu, log_sigma, generator), (20, 3)).detach()
    attempt.require(
        not torch.equal(one, two),
        "another draw at the second call",
        "the same",
        "seed_in_loop" if used else "generator_ignored",
    )
    attempt.own_source(
        lambda: [attempt.tensor(attempt(mu, log_sigma, _generator(attempt)), (20, 3)).detach()]
    )


@draw.step("lets the gradient through to the mean and to log sigma")
def _draw_gradient(attempt: Attempt) -> None:
    mu = attempt.normal(5, 3).requires_grad_()
    log_sigma = (0.5 * attempt.normal(5, 3)).requires_grad_()
    z = attempt.tensor(attempt(mu, log_sigma, _generator(attempt)), (5, 3))
    attempt.require(z.requires_grad, "a gradient", "a draw without one", "sample_for_rsample")
    by_mu = attempt.gradient(z, mu, "detached_mean")
    by_log_sigma = attempt.gradient(z, log_sigma, "detached_sigma")
    attempt.close(by_mu, torch.ones_like(mu), "the gradient with respect to mu")
    attempt.close(by_log_sigma, (z - mu).detach(), "the gradient with respect to log_sigma")


loo = Exercise(
    "leave_one_out",
    chapter=6,
    kind="code",
    title="The score function with the other draws as its baseline",
    signature="leave_one_out(f, mu, sigma, noise) -> estimates of d E[f] / d mu, [draws]; "
    "f: a function of a tensor, element by element; mu, sigma: numbers; noise: [draws, k]",
    mistakes=(
        "biased_baseline",
        "baseline_missing",
        "variance_for_sigma",
        "score_without_sigma",
        "score_sign",
        "wrong_gradient",
        "sum_over_draws",
        "mean_over_batch",
    ),
)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "z²": torch.square,
    "sin 3z": lambda z: torch.sin(3 * z),
    "a step at 1": lambda z: (z.detach() > 1).to(z.dtype),
}


def _loo_parts(f: Any, mu: float, sigma: float, noise: Tensor) -> tuple[Tensor, ...]:
    values = f(mu + sigma * noise)
    k = noise.shape[1]
    others = (values.sum(1, keepdim=True) - values) / (k - 1)
    return values, values - others, noise / sigma


def _slope(f: Any, mu: float, sigma: float, noise: Tensor) -> Tensor:
    z = (mu + sigma * noise).requires_grad_()
    value = f(z)
    if not value.requires_grad:
        return torch.zeros_like(noise)
    return torch.autograd.grad(value.sum(), z)[0]


def _loo_compare(attempt: Attempt, name: str, draws: int, k: int) -> None:
    f, mu, sigma = FUNCTIONS[name], 0.8, 0.6
    noise = attempt.normal(draws, k)
    values, centred, score = _loo_parts(f, mu, sigma, noise)
    right = (centred * score).mean(1)
    slope = _slope(f, mu, sigma, noise).mean(1)
    found = attempt.array(attempt(f, mu, sigma, noise))
    if isinstance(found, Tensor) and found.ndim == 0:
        attempt.close(
            found, right, "one estimate a row", mistakes={"mean_over_batch": right.mean()}
        )
    attempt.close(
        attempt.tensor(found, (draws,)).detach(),
        right,
        f"the estimates for {name}",
        mistakes={
            "biased_baseline": [right * (k - 1) / k, ((values - values.mean()) * score).mean(1)],
            "baseline_missing": (values * score).mean(1),
            "variance_for_sigma": [right / sigma, right / math.sqrt(sigma)],
            "score_without_sigma": [right * sigma, right * sigma**2],
            "score_sign": -right,
            "wrong_gradient": [slope, right + slope, (values * score).mean(1) + slope],
            "sum_over_draws": (centred * score).sum(1),
        },
    )


@loo.step("gives one finite number for each row of noise")
def _loo_shape(attempt: Attempt) -> None:
    found = attempt.array(attempt(torch.square, 0.8, 0.6, attempt.normal(7, 4)))
    if not (isinstance(found, Tensor) and found.ndim == 0):
        attempt.tensor(found, (7,))


@loo.step("is the mean over the draws of (value minus baseline) times score")
def _loo_values(attempt: Attempt) -> None:
    _loo_compare(attempt, "z²", 9, 4)
    for k in (2, 8) * attempt.thorough:
        _loo_compare(attempt, "z²", 5, k)


@loo.step("needs nothing of f but its values")
def _loo_functions(attempt: Attempt) -> None:
    for name in ("sin 3z", "a step at 1"):
        _loo_compare(attempt, name, 9, 5)


@loo.step("is right on average, within five standard errors")
def _loo_unbiased(attempt: Attempt) -> None:
    n, mu = 20_000, 1.0
    found = attempt.tensor(attempt(torch.square, mu, 0.5, attempt.normal(n, 4)), (n,)).detach()
    error = found.std().item() / math.sqrt(n)
    attempt.within(found.mean().item(), 2 * mu, error, "the mean of the estimates", errors=6)


path = Exercise(
    "path_variance_sigma",
    chapter=6,
    kind="derivation",
    title="The derivative with respect to sigma: the path's variance",
    signature="a list of lines from E[(2 * z * (z - mu) / sigma)^2] - (2 * sigma)^2 "
    "to a polynomial in mu and sigma; z ~ N(mu, sigma^2)",
)


@path.step("each line follows from the one before, and the last has no mean left in it")
def _path_chain(attempt: Attempt) -> None:
    attempt.derivation("path_variance_sigma")


score = Exercise(
    "score_variance_sigma",
    chapter=6,
    kind="derivation",
    title="The derivative with respect to sigma: the score function's variance",
    signature="a list of lines from E[(z^2 * ((z - mu)^2 - sigma^2) / sigma^3)^2] - (2 * sigma)^2 "
    "to its closed form; z ~ N(mu, sigma^2)",
)


@score.step("each line follows from the one before, and the last has no mean left in it")
def _score_chain(attempt: Attempt) -> None:
    attempt.derivation("score_variance_sigma")


EXERCISES = (draw, loo, path, score)
