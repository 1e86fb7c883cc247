"""Exercises of chapter 12: the bound of a batch, the picture, the training step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vae_core.distributions import LOG_2PI, DiagonalGaussian
from vae_core.exercises._attempt import Attempt
from vae_core.exercises._engine import Exercise

__all__ = ["EXERCISES", "Toy"]

bound = Exercise(
    "elbo_of_a_batch",
    chapter=12,
    kind="code",
    title="The ELBO of a batch",
    signature="elbo_of_a_batch(encode, decode, x, noise, sigma) -> tensor of shape [batch], in "
    "nats; encode(x): mu and log_sigma, [batch, latent] each; decode(z): the mean of each pixel, "
    "as x; x: [batch, 1, height, width] in [0, 1]; noise: [batch, latent]; sigma: of each pixel",
    mistakes=(
        "kl_missing_half",
        "kl_doubled",
        "kl_sign",
        "loss_for_bound",
        "loss_for_likelihood",
        "mean_over_pixels",
        "not_summed",
        "mean_over_batch",
        "sum_over_batch",
        "log_variance",
        "no_exp",
        "no_noise",
        "shared_noise",
        "grey_cross_entropy",
        "missing_log_2pi",
        "missing_log_sigma",
        "squared_error_only",
        "sample_for_rsample",
    ),
)


class Toy:
    """Random networks for images of 3 by 4 pixels and three latents, in double precision.

    Three: half of a divergence would look like the mean over two.
    """

    def __init__(self, attempt: Attempt, batch: int = 5) -> None:
        self.x = torch.sigmoid(2 * attempt.normal(batch, 1, 3, 4))
        self.noise = attempt.normal(batch, 3)
        self.into = 0.5 * attempt.normal(12, 6)
        self.out = 0.7 * attempt.normal(3, 12)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_sigma = (x.flatten(1) @ self.into).chunk(2, 1)
        return mu, 0.5 * torch.tanh(log_sigma) - 0.4

    def logits(self, z: Tensor) -> Tensor:
        return (z @ self.out).unflatten(-1, (1, 3, 4))

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(z))

    def squares(self, z: Tensor) -> Tensor:
        return (self.x - self.decode(z)).square().flatten(1).sum(1)


def _bound(toy: Toy, sigma: float) -> Tensor:
    """The right bound, [batch]."""
    mu, log_sigma = toy.encode(toy.x)
    q = DiagonalGaussian(mu, log_sigma)
    error = toy.squares(q.rsample(toy.noise))
    return -error / (2 * sigma**2) - 12 * (math.log(sigma) + LOG_2PI / 2) - q.kl()


def _bound_mistakes(toy: Toy, sigma: float) -> dict[str, Tensor | list[Tensor]]:
    mu, log_sigma = toy.encode(toy.x)
    q = DiagonalGaussian(mu, log_sigma)
    constant = 12 * (math.log(sigma) + LOG_2PI / 2)

    def log_p(z: Tensor) -> Tensor:
        return -toy.squares(z) / (2 * sigma**2) - constant

    z, kl = q.rsample(toy.noise), q.kl()
    right = log_p(z) - kl
    by_variance = DiagonalGaussian(mu, log_sigma / 2)
    no_exp = (0.5 * (log_sigma**2 + mu**2 - 1) - log_sigma).sum(1)
    printed = [((2 * log_sigma).exp() + mu**2 - log_sigma - c).sum(1) for c in (0.5, 1)]
    cross = torch.nn.functional.binary_cross_entropy(toy.decode(z), toy.x, reduction="none")
    shared = [log_p(q.rsample(toy.noise[:1].expand_as(mu))), log_p(mu + q.sigma * toy.noise[0, 0])]
    error = toy.squares(z)
    raw = toy.noise * log_sigma
    return {
        "kl_missing_half": [log_p(z) - term for term in printed],
        "kl_doubled": log_p(z) - 2 * kl,
        "kl_sign": log_p(z) + kl,
        "loss_for_bound": -right,
        "loss_for_likelihood": -log_p(z) - kl,
        "no_noise": log_p(mu) - kl,
        "shared_noise": [value - kl for value in shared],
        "log_variance": [
            log_p(by_variance.rsample(toy.noise)) - by_variance.kl(),
            log_p(by_variance.rsample(toy.noise)) - kl,
            log_p(z) - by_variance.kl(),
        ],
        "no_exp": [log_p(mu + raw) - kl, log_p(z) - no_exp, log_p(mu + raw) - no_exp],
        "mean_over_pixels": [
            log_p(z) / 12 - kl,
            -error / (24 * sigma**2) - math.log(sigma) - LOG_2PI / 2 - kl / 3,
            -error / (24 * sigma**2) - constant - kl,
            log_p(z) - kl / 3,
        ],
        "grey_cross_entropy": -cross.flatten(1).sum(1) - kl,
        "missing_log_2pi": right + 6 * LOG_2PI,
        "missing_log_sigma": [right + 12 * math.log(sigma), right + constant],
        "squared_error_only": [-error - kl, -error / 2 - kl],
    }


@bound.step("gives one finite number for each example")
def _bound_shape(attempt: Attempt) -> None:
    toy = Toy(attempt)
    found = attempt.array(attempt(toy.encode, toy.decode, toy.x, toy.noise, 0.4))
    right = _bound(toy, 0.4)
    if isinstance(found, Tensor) and found.ndim == 0:
        betrayed = {"sum_over_batch": right.sum(), "mean_over_batch": right.mean()}
        attempt.close(found, right, "one bound for each example", mistakes=betrayed)
    attempt.tensor(found, (5,), shapes={(5, 3): "not_summed"})


@bound.step("gives the bound in nats, with all its constants")
def _bound_values(attempt: Attempt) -> None:
    for batch, sigma in [(5, 0.4), (3, 0.8)] + [(1, 0.1), (7, 1.7)] * attempt.thorough:
        toy = Toy(attempt, batch)
        attempt.close(
            attempt.tensor(attempt(toy.encode, toy.decode, toy.x, toy.noise, sigma), (batch,)),
            _bound(toy, sigma),
            f"the bounds of {batch} images at sigma = {sigma}",
            mistakes=_bound_mistakes(toy, sigma),
        )


@bound.step("lets the gradient through the draw to the encoder")
def _bound_gradient(attempt: Attempt) -> None:
    toy = Toy(attempt)
    toy.into.requires_grad_()
    found = attempt.tensor(attempt(toy.encode, toy.decode, toy.x, toy.noise, 0.4), (5,))
    mu, log_sigma = toy.encode(toy.x)
    kl_alone = attempt.gradient(-DiagonalGaussian(mu, log_sigma).kl(), toy.into)
    attempt.close(
        attempt.gradient(found, toy.into, "sample_for_rsample"),
        attempt.gradient(_bound(toy, 0.4), toy.into),
        "the gradient with respect to the encoder's weights",
        mistakes={"sample_for_rsample": kl_alone},
    )


paint = Exercise(
    "paint",
    chapter=12,
    kind="code",
    title="From the last layer to a picture",
    signature="paint(logits, height, width) -> tensor of shape [batch, 1, height, width], the "
    "probability of ink in each pixel; logits: [batch, height * width], row after row",
    mistakes=("softmax_for_sigmoid", "logits_as_probabilities", "transposed"),
)


@paint.step("gives a picture for each example, of probabilities, row after row")
def _paint_values(attempt: Attempt) -> None:
    for batch, height, width in [(3, 4, 6), (2, 5, 5)] + [(1, 7, 2)] * attempt.thorough:
        logits = 2 * attempt.normal(batch, height * width)
        tall = logits.unflatten(1, (width, height)).mT
        right = torch.sigmoid(logits.unflatten(1, (height, width)))[:, None]
        attempt.close(
            attempt.tensor(
                attempt(logits, height, width),
                (batch, 1, height, width),
                shapes={(batch, 1, width, height): "transposed"},
            ),
            right,
            f"{batch} pictures of {height} by {width} pixels",
            mistakes={
                "softmax_for_sigmoid": [
                    torch.softmax(logits, 1).unflatten(1, (1, height, width)),
                    torch.softmax(logits.unflatten(1, (1, height, width)), -1),
                ],
                "logits_as_probabilities": [
                    logits.unflatten(1, (1, height, width)),
                    logits.unflatten(1, (1, height, width)).clamp(0, 1),
                    logits.exp().unflatten(1, (1, height, width)),
                ],
                "transposed": [
                    torch.sigmoid(tall)[:, None],
                    *([right.mT] if height == width else []),
                ],
            },
        )


step = Exercise(
    "training_step",
    chapter=12,
    kind="code",
    title="One step of training",
    signature="training_step(vae, optimiser, x, generator) -> the loss as a float, after one step "
    "of the optimiser; vae.elbo(x, noise): [batch], the bound of each image at noise [batch, "
    "vae.latent_dim], which is drawn with generator (a torch.Generator) and nothing else",
    mistakes=(
        "gradient_accumulates",
        "loss_sign",
        "bound_for_loss",
        "not_updated",
        "sum_over_batch",
        "graph_kept",
        "no_noise",
        "shared_noise",
        "seed_in_loop",
        "generator_ignored",
        "global_generator",
    ),
)


class _Line(nn.Module):
    """A model small enough to follow by hand; it keeps the noise that it was given."""

    latent_dim = 2

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self.weight = nn.Parameter(attempt.normal(2, 3))
        self.given: list[Tensor] = []

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        self.given.append(noise.detach().clone())
        return self.value(x, noise, self.weight)

    @staticmethod
    def value(x: Tensor, noise: Tensor, weight: Tensor) -> Tensor:
        z = noise.to(x.dtype) + 0.3
        return -(x - z @ weight).square().sum(1) - 0.1 * weight.square().sum()


def _first_step() -> None:
    """Take the seconds in which a process first loads the optimisers: they are not the answer's."""
    weight = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=0.1)
    weight.sum().backward()
    optimiser.step()


def _noises(
    attempt: Attempt, model: _Line, x: Tensor, generator: torch.Generator, steps: int
) -> list[Tensor]:
    _first_step()
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        attempt(model, sgd, x, generator)
    attempt.require(
        len(model.given) == steps and all(n.shape == (len(x), 2) for n in model.given),
        "one call of vae.elbo a step, with noise of shape [batch, latent_dim]",
        f"{len(model.given)} calls in {steps} steps, with {[list(n.shape) for n in model.given]}",
        "shared_noise" if any(n.numel() == 2 for n in model.given) else "shape",
    )
    return model.given


@step.step("draws new noise for each example and each step, from the generator alone")
def _step_noise(attempt: Attempt) -> None:
    x = attempt.normal(400, 3)
    seed = int(attempt.normal(1).abs().item() * 1e6)
    generator = torch.Generator().manual_seed(seed)
    before = generator.get_state()
    first, second = _noises(attempt, _Line(attempt), x, generator, 2)
    used = not torch.equal(before, generator.get_state())
    attempt.require(bool(first.std() > 1e-6), "noise", "the same value everywhere", "no_noise")
    attempt.require(
        bool((first.std(0) > 1e-6).all()), "other noise for each example", first[0], "shared_noise"
    )
    attempt.require(
        not torch.equal(first, second),
        "new noise in each step",
        first[0],
        "seed_in_loop" if used else "generator_ignored",
    )
    attempt.own_source(
        lambda: _noises(attempt, _Line(attempt), x, torch.Generator().manual_seed(seed), 2)
    )
    attempt.within(first.mean().item(), 0, 800**-0.5, "the mean of the noise")
    attempt.within(first.var().item(), 1, (2 / 799) ** 0.5, "the variance of the noise")


@step.step("moves the parameters once, downhill on the mean of minus the bound")
def _step_moves(attempt: Attempt) -> None:
    model, x, rate = _Line(attempt), attempt.normal(6, 3), 0.01
    _first_step()
    sgd = torch.optim.SGD(model.parameters(), lr=rate)
    weight = model.weight.detach().clone()
    generator = torch.Generator().manual_seed(attempt.seed + 1)
    previous = torch.zeros_like(weight)
    for round_ in range(2):
        found = attempt(model, sgd, x, generator)
        source = weight.clone().requires_grad_()
        loss = -model.value(x, model.given[-1], source).mean()
        gradient = attempt.gradient(loss, source)
        attempt.close(
            model.weight,
            weight - rate * gradient,
            f"the weights after step {round_ + 1}",
            mistakes={
                "not_updated": weight,
                "loss_sign": weight + rate * gradient,
                "sum_over_batch": weight - 6 * rate * gradient,
                "gradient_accumulates": weight - rate * (gradient + previous),
            },
        )
        graph = isinstance(found, Tensor) and found.requires_grad
        attempt.require(not graph, "the loss as a float", "a tensor with its graph", "graph_kept")
        value = attempt.number(found)
        mistakes = {"bound_for_loss": -loss.item(), "sum_over_batch": 6 * loss.item()}
        attempt.close(value, loss.item(), "the loss", mistakes=mistakes)
        weight, previous = model.weight.detach().clone(), gradient


EXERCISES = (bound, paint, step)
