"""Exercises of chapter 10: sigma, the regularization parameter, and directions that collapse."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from vae_core.exercises._attempt import Attempt
from vae_core.exercises._engine import Exercise
from vae_core.models import VAE

__all__ = ["EXERCISES"]

knob = Exercise(
    "price_of_a_nat",
    chapter=10,
    kind="code",
    title="The price of a nat",
    signature="price_of_a_nat(sigma, beta) -> a number: the factor of the KL term once the loss "
    "is written with a bare squared error; sigma: of each pixel, beta: the factor of a beta-VAE",
    mistakes=("missing_half_square", "variance_for_sigma", "inverse_price", "beta_forgotten"),
)


@knob.step("turns minus the bound into squared error plus price times rate, up to a constant")
def _knob(attempt: Attempt) -> None:
    for sigma, beta in [(0.3, 1.0), (1.7, 4.0)] + [(0.9, 0.25)] * attempt.thorough:
        price = 2 * beta * sigma**2
        attempt.close(
            attempt.number(attempt(sigma, beta)),
            price,
            f"the price at sigma = {sigma}, beta = {beta}",
            mistakes={
                "missing_half_square": price / 2,
                "variance_for_sigma": [2 * beta * sigma, 2 * beta * math.sqrt(sigma)],
                "inverse_price": [1 / price, beta / (2 * sigma**2), 2 * sigma**2 / beta],
                "beta_forgotten": 2 * sigma**2,
            },
        )


def _same_gradient(attempt: Attempt) -> None:
    sigma, beta = 0.4, 3.0
    w = attempt.normal(5).requires_grad_()
    x, price = attempt.normal(5), attempt.number(attempt(sigma, beta))
    error, rate = (x - w).square().sum(), (w**2 - 1).square().sum() + w.exp().sum()
    loss = error / (2 * sigma**2) + beta * rate
    whole = attempt.gradient(loss, w) * 2 * sigma**2
    attempt.close(attempt.gradient(error + price * rate, w), whole, "the direction of the gradient")


knob.step("leads the gradient the same way")(_same_gradient)

best = Exercise(
    "optimal_sigma",
    chapter=10,
    kind="code",
    title="The best sigma for given networks",
    signature="optimal_sigma(x, x_hat) -> a number, the one sigma for all pixels at which the mean "
    "log-likelihood of the images is highest; both [n, 1, height, width]",
    mistakes=("variance_for_sigma", "error_per_image", "mean_of_roots", "mean_removed"),
)


@best.step("is the sigma of the highest likelihood")
def _best(attempt: Attempt) -> None:
    for n, height, width in [(6, 3, 4), (3, 5, 5)] + [(1, 2, 9)] * attempt.thorough:
        x = attempt.normal(n, 1, height, width)
        x_hat = x + (0.2 + torch.rand(n, 1, 1, 1, generator=attempt.generator)) * (
            attempt.normal(n, 1, height, width) + 0.7
        )
        squares = (x - x_hat).square()
        per_pixel, per_image = squares.mean(), squares.flatten(1).sum(1)
        found = attempt.number(attempt(x, x_hat))
        attempt.close(
            found,
            per_pixel.sqrt(),
            f"the best sigma of {n} images",
            mistakes={
                "variance_for_sigma": per_pixel,
                "error_per_image": [per_image.mean().sqrt(), squares.sum().sqrt()],
                "mean_of_roots": [
                    squares.flatten(1).mean(1).sqrt().mean(),
                    squares.sqrt().mean(),
                    per_image.sqrt().mean(),
                ],
                "mean_removed": [(x - x_hat).std(), (x - x_hat).std(correction=0)],
            },
        )


own = Exercise(
    "gain_of_own_sigmas",
    chapter=10,
    kind="code",
    title="One sigma for each pixel",
    signature="gain_of_own_sigmas(errors) -> a number, in nats an image: how much the best bound "
    "gains when each pixel gets its own sigma in place of a common one; errors: [pixels], the mean "
    "squared error of each pixel, all positive",
    mistakes=("mean_over_pixels", "lost_half", "gain_sign", "variance_for_sigma"),
)


@own.step("is what the two best bounds differ by")
def _own(attempt: Attempt) -> None:
    for pixels in [6, 40] + [3] * attempt.thorough:
        errors = attempt.normal(pixels).exp()

        def at(variances: Tensor, errors: Tensor = errors) -> Tensor:
            return -0.5 * ((2 * math.pi * variances).log() + errors / variances).sum()

        right = at(errors) - at(errors.mean().expand_as(errors))
        spread = errors.sqrt()
        attempt.close(
            attempt.number(attempt(errors)),
            right,
            f"the gain over {pixels} pixels",
            mistakes={
                "mean_over_pixels": [right / pixels, 2 * right / pixels],
                "lost_half": 2 * right,
                "gain_sign": [-right, -2 * right],
                "variance_for_sigma": [
                    (spread.mean().log() - spread.log()).sum(),
                    0.5 * (spread.mean().log() - spread.log()).sum(),
                ],
            },
        )


@own.step("is never negative, and 0 for equal errors")
def _own_zero(attempt: Attempt) -> None:
    equal = torch.full((7,), 0.3, dtype=torch.float64)
    attempt.close(attempt.number(attempt(equal)), 0, "the gain for equal errors")
    found = attempt.number(attempt(attempt.normal(9).exp()))
    attempt.require(found >= 0, "a gain of at least 0", found, "gain_sign")


columns = Exercise(
    "column_lengths",
    chapter=10,
    kind="code",
    title="Which directions live",
    signature="column_lengths(eigenvalues, sigma) -> tensor as eigenvalues: the length of the "
    "decoder's column along each principal axis, in the best linear VAE with that sigma",
    mistakes=("variance_for_sigma", "noise_not_subtracted", "roots_subtracted", "collapse_missed"),
)


@columns.step("is what the eigenvalue leaves above the noise, and 0 for a collapsed direction")
def _columns(attempt: Attempt) -> None:
    for sigma in [0.7, 1.6] + [0.3] * attempt.thorough:
        noise = sigma**2
        above = noise * (1.2 + torch.rand(4, generator=attempt.generator).double() * 4)
        below = noise * (0.1 + torch.rand(3, generator=attempt.generator).double() * 0.8)
        values = torch.cat([above, below]).sort(descending=True).values
        left, by_sigma = values - noise, values - sigma
        found = attempt.array(attempt(values, sigma))
        missed = isinstance(found, Tensor) and found.shape == (7,) and bool(found.isnan().any())
        attempt.require(not missed, "a length for each direction", found, "collapse_missed")
        attempt.close(
            attempt.tensor(found, (7,)),
            left.clamp(min=0).sqrt(),
            f"the lengths at sigma = {sigma}",
            mistakes={
                "variance_for_sigma": [
                    by_sigma.clamp(min=0).sqrt(),
                    left.clamp(min=0),
                    by_sigma.clamp(min=0),
                    torch.where(values > sigma, left.clamp(min=0).sqrt(), 0.0),
                ],
                "noise_not_subtracted": [
                    values.sqrt(),
                    torch.where(left > 0, values.sqrt(), 0.0),
                ],
                "roots_subtracted": [
                    values.sqrt() - sigma,
                    (values.sqrt() - sigma).clamp(min=0),
                ],
                "collapse_missed": [left.abs().sqrt(), left, left.sign() * left.abs().sqrt()],
            },
        )


turn = Exercise(
    "rotated",
    chapter=10,
    kind="code",
    title="Undo a rotation",
    signature="rotated(model, angle) -> a new models.VAE with two latents, in which the mean code "
    "of each image is turned by angle (radians, counterclockwise) and decodes to the same picture; "
    "model is a models.VAE and stays as it is",
    mistakes=("rotation_reversed", "decoder_not_undone", "bias_forgotten"),
)


@turn.step("turns the codes, keeps the pictures and the model it was given")
def _turn(attempt: Attempt) -> None:
    for angle in [0.6, -2.0] + [3.0] * attempt.thorough:
        seed = attempt.seed % 1000
        model = VAE(2, (1, 3, 4), hidden=(5,), seed=seed).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * attempt.normal(*parameter.shape))
        before = copy.deepcopy(model.state_dict())
        x = torch.sigmoid(attempt.normal(6, 1, 3, 4))
        twin = attempt(model, angle)
        attempt.require(isinstance(twin, VAE), "a models.VAE", twin, "type")
        kept = all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        attempt.require(kept, "a model left as it was", "other weights in it", "mutates")
        c, s = math.cos(angle), math.sin(angle)
        matrix = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        with torch.no_grad():
            code, turned = model.encode(x).mean, twin.encode(x).mean
            bias = model.encoder.mean.bias
            attempt.close(
                turned,
                code @ matrix.T,
                f"the codes, turned by {angle}",
                mistakes={
                    "rotation_reversed": code @ matrix,
                    "bias_forgotten": [
                        (code - bias) @ matrix.T + bias,
                        (code - bias) @ matrix + bias,
                    ],
                },
            )
            z = attempt.normal(8, 2)
            attempt.close(
                twin.decode(z @ matrix.T),
                model.decode(z),
                "the pictures of turned codes",
                mistakes={
                    "decoder_not_undone": model.decode(z @ matrix.T),
                    "rotation_reversed": model.decode(z @ matrix.T @ matrix.T),
                },
            )


loss = Exercise(
    "one_pixels_sigma",
    chapter=10,
    kind="derivation",
    title="What a pixel loses with a sigma that is not its own",
    signature="a list of lines, typed in the workbench's notation, from "
    "m / (2 * s^2) + log(2 * pi * s^2) / 2 - (1 + log(2 * pi * m)) / 2, the loss of a pixel with "
    "mean squared error m at s^2 less the loss at m, to a function of m / s^2 alone",
)


@loss.step("each line follows from the one before, and the last is a function of the ratio")
def _loss_chain(attempt: Attempt) -> None:
    attempt.derivation("one_pixels_sigma")


EXERCISES = (knob, best, own, columns, turn, loss)
