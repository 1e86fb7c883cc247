"""The posterior P(z|X) itself: on a grid where z has two dimensions, and how near Q can come."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._images import as_images, decoded_at_once, image_chunks, wide
from vae_core.evaluation._likelihood import given_latent, posterior_of
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE


class PosteriorGrid(NamedTuple):
    """P(z|X) of n images on a grid of two latents, in nats and float64.

    Rows run along the second latent, columns along the first, as on a plot:
    ``log_density[i, r, c]`` is log P(z|X) of image i at z = (``first[c]``, ``second[r]``).

    - ``first`` [columns], ``second`` [rows]: the latents' values;
    - ``log_density`` [n, rows, columns]: integrates to one by the trapezoidal rule;
    - ``log_likelihood`` [n]: log P(X) by that rule; ``error`` [n]: the largest difference from it
      of the four grids of twice the spacing that make up the grid. Where it is below a tenth of a
      nat, the rule's own error is smaller still; what lies outside the limits it can't see;
    - ``edge`` [n]: share of P(z|X) on the grid's outermost points; not near zero, the limits are
      too tight;
    - ``divergence`` [n]: D[Q(z|X) || P(z|X)] on the grid's points; ``posterior_mass`` [n]: what
      Q sums to there; not near one, the grid is too coarse or too small for Q.
    """

    first: Tensor
    second: Tensor
    log_density: Tensor
    log_likelihood: Tensor
    error: Tensor
    edge: Tensor
    divergence: Tensor
    posterior_mass: Tensor

    def prior_divergence(self) -> Float[Tensor, " n"]:
        """D[P(z|X) || P(z)] of each image, in nats: [n], a sum over the grid's points."""
        place = torch.cartesian_prod(self.second, self.first).flip(1)  # as log_density is laid out
        prior = DiagonalGaussian.standard(place).log_prob(place).to(self.log_density)
        log_p = self.log_density.flatten(1)
        return (log_p.softmax(1) * (log_p - prior)).sum(1)


Pair = tuple[float, float]


def _axes(limits: Pair | tuple[Pair, Pair]) -> tuple[Pair, Pair]:
    """The two axes' limits. Raises ``ValueError`` unless each is finite and rising."""
    try:
        pairs = limits if isinstance(limits[0], tuple | list) else (limits, limits)
        (a, b), (c, d) = pairs
        numbers = [float(value) for value in (a, b, c, d)]
    except (TypeError, ValueError, IndexError):
        numbers = [math.nan] * 4
    a, b, c, d = numbers
    if not (all(map(math.isfinite, numbers)) and a < b and c < d):
        raise ValueError(
            f"limits must be (low, high), or one such pair for each latent; got {limits!r}"
        )
    return (a, b), (c, d)


def _log_trapezoid(low: float, high: float, count: int) -> Float[Tensor, " count"]:
    """Log weights of the trapezoidal rule at ``count`` equal steps: [count]."""
    step = math.log((high - low) / (count - 1))
    weights = torch.full((count,), step, dtype=torch.float64, device="cpu")
    weights[[0, -1]] -= math.log(2)
    return weights


@torch.no_grad()
def true_posterior_grid(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    limits: Pair | tuple[Pair, Pair] = (-5.0, 5.0),
    count: int = 200,
    *,
    chunk: int | None = None,
) -> PosteriorGrid:
    """P(z|X) = P(X|z) P(z) / P(X) on ``count`` x ``count`` points, for a model with two latents.

    ``images``: uint8 or float [n, *shape]; ``limits``: (low, high) of both latents, or a pair for
    each. Everything is summed in log space. The grid must be finer than the posterior's standard
    deviation, and reach beyond it: the result's ``error``, ``edge`` and ``posterior_mass`` say
    whether it was. Exact to rounding where P(X|z) is smooth and they are small; at a decoder's
    kinks (relu) the rule errs by the square of the spacing. ``chunk`` values of log P(X|z) are
    worked out at a time; the result holds n x count x count numbers.

    Raises ``ValueError`` for a model whose latents are not two, wrong images, limits or count.
    """
    count = _check.whole("count", count, least=4)
    model = ready("true_posterior_grid", model, "encode", "decode", "likelihood", "latent_dim")
    images = as_images(images)
    if model.latent_dim != 2:
        raise ValueError(f"a grid needs a model with 2 latents; got {model.latent_dim}")
    (a, b), (c, d) = _axes(limits)
    first = torch.linspace(a, b, count, dtype=torch.float64, device="cpu")
    second = torch.linspace(c, d, count, dtype=torch.float64, device="cpu")
    places = torch.stack(torch.meshgrid(first, second, indexing="xy"), -1).reshape(-1, 2)
    log_area = (_log_trapezoid(c, d, count)[:, None] + _log_trapezoid(a, b, count)).flatten()
    rows = decoded_at_once(model, tuple(images.shape[1:]), chunk)

    joint, log_q = [], []
    for x in image_chunks(model, images, min(64, rows)):
        q = posterior_of(model, x)
        q = DiagonalGaussian(wide(q.mean), wide(q.log_sigma))
        place = places.to(q.mean.device)
        log_q.append(q.log_prob(place[:, None]).T)  # [batch, points]
        parts = []
        for z in places.split(max(1, rows // len(x))):
            # Decoded once for all images of the chunk.
            output = model.decode(z.to(x)).unsqueeze(1)
            output = output.expand(len(z), *x.shape)
            parts.append(wide(model.likelihood.log_prob(x, output)))
        prior = DiagonalGaussian.standard(place).log_prob(place)
        joint.append(torch.cat(parts).T + prior)
    log_joint, log_posterior = torch.cat(joint), torch.cat(log_q)  # [n, points]

    area = log_area.to(log_joint.device)
    log_likelihood = (log_joint + area).logsumexp(1)
    check_results("log P(X)", log_likelihood)
    mass = log_joint + area - log_likelihood[:, None]  # log of each point's share
    square = (len(log_joint), count, count)
    # Every second point, from either start on either axis: the same integral at twice the spacing.
    quarters = torch.stack(
        [
            (mass.reshape(square)[:, i::2, j::2]).flatten(1).logsumexp(1) + math.log(4)
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
    inner = mass.reshape(square)[:, 1:-1, 1:-1].flatten(1).logsumexp(1)
    log_shares = log_posterior + area
    total = log_shares.logsumexp(1)
    log_shares = log_shares - total[:, None]
    return PosteriorGrid(
        first,
        second,
        (log_joint - log_likelihood[:, None]).reshape(square),
        log_likelihood,
        quarters.abs().amax(0),
        torch.expm1(inner.clamp(max=0)).abs(),
        (log_shares.exp() * (log_shares - mass)).sum(1).clamp(min=0),
        total.exp(),
    )


class Refinement(NamedTuple):
    """Q(z|X) before and after its own optimisation, in nats.

    - ``posterior``: mean and log sigma [n, latent], in the model's dtype;
    - ``before``, ``after`` [n]: the bound of the encoder's Q and of the refined one, on the same
      draws; ``gain`` [n]: their difference, the amortisation gap closed (Cremer et al. 2018,
      section 3.1); ``gain_error`` [n]: its standard error.
    """

    posterior: DiagonalGaussian
    before: Tensor
    after: Tensor
    gain: Tensor
    gain_error: Tensor


def _mirrored(draws: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise [2, draws, *like]: each draw with its mirror image, so that odd terms cancel."""
    half = torch.randn(
        draws, *like.shape, generator=generator, dtype=like.dtype, device=like.device
    )
    return torch.stack([half, -half])


def _bounds(model: VAE, x: Tensor, q: DiagonalGaussian, noise: Tensor, rows: int) -> Tensor:
    """The ELBO of Q, one value for each mirrored pair of draws: [pairs, batch], the KL exact."""
    given = given_latent(model, x)
    parts = noise.split(max(1, rows // (2 * len(x))), 1)
    return torch.cat([wide(given(q.rsample(part))).mean(0) for part in parts]) - wide(q.kl())


def _difference(
    after: Float[Tensor, "pairs batch"], before: Float[Tensor, "pairs batch"]
) -> tuple[Tensor, Tensor]:
    """Mean of paired differences [pairs, batch] and its standard error, each [batch]."""
    gain = after - before
    return gain.mean(0), gain.std(0) / math.sqrt(len(gain))


def _optimise(
    model: VAE,
    x: Tensor,
    start: DiagonalGaussian,
    steps: int,
    learning_rate: float,
    samples: int,
    generator: torch.Generator,
) -> DiagonalGaussian:
    mean = start.mean.detach().clone().requires_grad_()
    log_sigma = start.log_sigma.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([mean, log_sigma], lr=learning_rate)
    given = given_latent(model, x)
    for step in range(steps):
        # Down to zero, so that the last draws' noise does not stay in the result.
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        q = DiagonalGaussian(mean, log_sigma)
        z = q.rsample(_mirrored((samples + 1) // 2, mean, generator))  # [2, pairs, batch, latent]
        loss = (q.kl() - given(z).mean((0, 1))).sum()
        # Not backward(): the model's own gradients stay as they were.
        mean.grad, log_sigma.grad = torch.autograd.grad(loss, (mean, log_sigma))
        optimizer.step()
    return DiagonalGaussian(mean.detach(), log_sigma.detach())


@torch.inference_mode(False)  # it needs gradients, whatever the caller's mode is
def refine_posterior(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    steps: int = 200,
    learning_rate: float = 0.02,
    *,
    samples: int = 8,
    judged: int = 200,
    chunk: int | None = None,
    seed: int = 0,
) -> Refinement:
    """Optimise each image's own mean and log sigma of Q, from the encoder's (Cremer et al. 2018).

    ``steps`` of Adam on the ELBO, its rate falling linearly to zero, each with ``samples`` fresh
    draws in mirrored pairs. Then start and result are compared on ``judged`` common draws, and
    the result is kept, image by image, where it is better by more than the comparison's standard
    error; ``before`` and ``after`` come from other draws, common to the two, so that choosing does
    not flatter. The model is not changed. ``images``: uint8 or
    float [n, *shape]; about ``chunk`` latents are decoded at a time.

    Raises ``ValueError`` for wrong images, counts below 1, ``judged`` below 4, or a rate that is
    not a positive number.
    """
    steps, samples = _check.whole("steps", steps), _check.whole("samples", samples)
    judged = _check.whole("judged", judged, least=4)
    learning_rate = _check.positive("learning_rate", learning_rate)
    model = ready("refine_posterior", model, "encode", "decode", "likelihood")
    images = as_images(images)
    # A gradient keeps every layer's result: a quarter of what is decoded without one.
    rows = max(1, decoded_at_once(model, tuple(images.shape[1:]), chunk) // 4)
    generator = torch.Generator(next(model.parameters()).device)
    generator.manual_seed(_check.seed(seed))
    found = []
    for x in image_chunks(model, images, max(1, rows // samples)):
        with torch.no_grad():
            start = posterior_of(model, x)
        with torch.enable_grad():
            end = _optimise(model, x, start, steps, learning_rate, samples, generator)
        with torch.no_grad():
            choose, report = (_mirrored(judged // 2, start.mean, generator) for _ in range(2))
            gain, error = _difference(
                _bounds(model, x, end, choose, rows), _bounds(model, x, start, choose, rows)
            )
            better = (gain > error).to(x.device)[:, None]  # False where the result is NaN
            best = DiagonalGaussian(
                torch.where(better, end.mean, start.mean),
                torch.where(better, end.log_sigma, start.log_sigma),
            )
            before = _bounds(model, x, start, report, rows)
            after = _bounds(model, x, best, report, rows)
            found.append((*best, before.mean(0), after.mean(0), *_difference(after, before)))
    mean, log_sigma, *numbers = (torch.cat(column) for column in zip(*found, strict=True))
    check_results("the bound", numbers[0] + numbers[1])
    return Refinement(DiagonalGaussian(mean, log_sigma), *numbers)
