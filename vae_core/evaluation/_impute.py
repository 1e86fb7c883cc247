"""Missing pixels: drawn from a VAE's P(missing | observed), or filled without a model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation._estimate import Estimate, mean_estimate
from vae_core.evaluation._images import as_images, image_chunks
from vae_core.evaluation._likelihood import log_joint_of, posterior_of
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE


class Imputation(NamedTuple):
    """Images with their missing pixels filled.

    - ``mean`` [n, *shape]: E[X | observed], the fill of least expected squared error;
    - ``draws`` [chains, n, *shape]: one completion from each chain, pixel noise included;
    - ``acceptance`` [n]: share of the proposed z that the corrected steps accepted (1 where no
      step was corrected).

    Observed pixels are as they were given.
    """

    mean: Tensor
    draws: Tensor
    acceptance: Tensor


def _mask(observed: Tensor, images: Shaped[Tensor, " n *shape"]) -> Bool[Tensor, " n *shape"]:
    """``observed`` as bool [n, *shape]."""
    observed = as_tensor("observed", observed)
    if observed.dtype != torch.bool:
        raise ValueError(
            f"observed must be bool, True where a pixel is given; got {observed.dtype}"
        )
    if tuple(observed.shape) not in (tuple(images.shape), tuple(images.shape[1:])):
        raise ValueError(
            f"observed must be {list(images.shape)} or {list(images.shape[1:])}; "
            f"got {list(observed.shape)}"
        )
    return observed.expand(images.shape)


@torch.no_grad()
def impute(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    observed: Bool[Tensor, "*_"],
    *,
    chains: int = 8,
    steps: int = 100,
    corrected: bool = True,
    seed: int = 0,
) -> Imputation:
    """Fill the missing pixels of ``images`` [n, *shape] by draws from P(missing | observed).

    ``observed``: bool [n, *shape] or [*shape], True where a pixel is given; the others are never
    read. Each of ``chains`` chains alternates, ``steps`` times, a draw of z given all pixels and a
    draw of the missing pixels given z (Rezende et al. 2014, appendix F: *pseudo-Gibbs*, because
    the first draw is from Q(z|X), which only resembles P(z|X)). The first half of the steps warms
    up. In the second half, if ``corrected``, the draw from Q is a proposal that a Metropolis step
    accepts or refuses, which makes P(missing | observed) the chain's exact limit (Mattei &
    Frellsen 2018, algorithm 1); ``mean`` averages the pixel means of that half over all chains.

    ``images`` are uint8, or float in the likelihood's range. Raises ``ValueError`` for wrong
    images, a mask of another shape or dtype, or counts below 1 (``steps`` below 2).
    """
    chains, steps = _check.whole("chains", chains), _check.whole("steps", steps, least=2)
    model = ready("impute", model, "encode", "decode", "likelihood")
    images = as_images(images)
    mask = _mask(observed, images)
    weight = next(model.parameters())
    generator = torch.Generator(weight.device)
    generator.manual_seed(_check.seed(seed))
    (given,) = image_chunks(model, images, len(images))
    posterior_of(model, torch.where(mask.to(given.device), given, 0))  # checks the images
    rows = (chains * len(images), *given.shape[1:])
    seen = mask.to(given.device).expand(chains, *mask.shape).reshape(rows)
    given = torch.where(seen, given.expand(chains, *given.shape).reshape(rows), 0)

    def fill(z: Tensor) -> tuple[Tensor, Tensor]:
        """The images [rows] completed by a draw given z, and by the mean given z."""
        output = model.decode(z)
        drawn = model.likelihood.sample(output, generator=generator)
        return torch.where(seen, given, drawn), torch.where(
            seen, given, model.likelihood.mean(output)
        )

    z = torch.randn(
        rows[0], model.latent_dim, generator=generator, dtype=torch.float32, device=weight.device
    ).to(weight)
    x, _ = fill(z)
    total, taken, warm_up = torch.zeros_like(x), z.new_zeros(rows[0]), steps // 2
    for step in range(steps):
        q = model.encode(x)
        proposed = q.sample(generator=generator)
        if corrected and step >= warm_up:
            accept = _accepted(model, x, q, z, proposed, generator)
            z = torch.where(accept[:, None], proposed, z)
        else:
            accept, z = torch.ones_like(taken, dtype=torch.bool), proposed
        x, mean = fill(z)
        if step >= warm_up:
            total += mean
            taken += accept
    kept = steps - warm_up
    check_results("a fill", x.unflatten(0, (chains, len(images))).transpose(0, 1))
    per_chain = (chains, len(images))
    return Imputation(
        torch.where(seen, given, total / kept).unflatten(0, per_chain).mean(0),
        x.unflatten(0, per_chain),
        (taken / kept).unflatten(0, per_chain).mean(0),
    )


def _accepted(
    model: VAE,
    x: Tensor,
    q: DiagonalGaussian,
    z: Tensor,
    proposed: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Which proposals from q an independence sampler of P(z|x) takes, bool [rows]."""
    both = torch.stack([proposed, z])  # [2, rows, latent]
    log_weight = log_joint_of(model, x)(both) - q.log_prob(both)
    uniform = torch.rand(len(z), generator=generator, device=z.device, dtype=z.dtype)
    return uniform.log() < log_weight[0] - log_weight[1]


class Coverage(NamedTuple):
    """How often the truth lies among draws, and how often it would if they were right."""

    found: Estimate
    ideal: float


def coverage(
    draws: Float[Tensor, "n batch *shape"],
    images: Shaped[Tensor, " batch *shape"],
    observed: Bool[Tensor, "*_"],
    level: float = 0.9,
) -> Coverage:
    """The share of missing pixels that lie in the middle ``level`` of their draws.

    ``draws`` [n, batch, *shape], ``images`` [batch, *shape], ``observed`` as for :func:`impute`.
    For each pixel the interval runs between the quantiles (1 - level) / 2 and (1 + level) / 2 of
    its draws, interpolated linearly between neighbours in order. If truth and draws come from one
    continuous distribution, each of the n + 1 gaps that the sorted draws leave holds the truth
    with the same probability, and the interval spans level * (n - 1) of them. So ``ideal`` is
    level * (n - 1) / (n + 1), below ``level`` however good the model is. (It is exact where the
    interval ends on draws, and nearly so where it ends between two.) ``found`` is the mean of the
    images' shares, with the standard error over images; an image without missing pixels is left
    out.

    Raises ``ValueError`` for other shapes, fewer than two draws, a level outside (0, 1), or no
    missing pixel.
    """
    if not 0 < _check.real(level) < 1:
        raise ValueError(f"level must lie in (0, 1); got {_check.shown(level)}")
    draws, images = as_tensor("draws", draws), as_tensor("images", images)
    images = images.to(draws)
    if len(draws) < 2 or draws.shape[1:] != images.shape:
        raise ValueError(
            f"draws must be [n, {', '.join(map(str, images.shape))}], n >= 2; "
            f"got {list(draws.shape)}"
        )
    missing = ~_mask(observed, images).flatten(1).to(draws.device)
    if not bool(missing.any()):
        raise ValueError("no pixel is missing")
    ordered = draws.sort(0).values
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        place = share * (len(draws) - 1)  # torch.quantile takes few numbers only
        below = min(int(place), len(draws) - 2)
        ends.append(ordered[below].lerp(ordered[below + 1], place - below))
    inside = ((ends[0] <= images) & (images <= ends[1])).flatten(1)
    counts = missing.sum(1)
    kept = counts > 0
    shares = wide((inside & missing).sum(1)[kept]) / wide(counts[kept])
    return Coverage(mean_estimate(shares), level * (len(draws) - 1) / (len(draws) + 1))


@torch.no_grad()
def fill_by_neighbours(
    images: Shaped[Tensor, " n *shape"],
    observed: Bool[Tensor, "*_"],
    reference: Shaped[Tensor, " m *shape"],
    neighbours: int = 1,
) -> Float[Tensor, " n *shape"]:
    """Fill missing pixels from the ``neighbours`` images of ``reference`` nearest by the others.

    ``images`` [n, *shape], ``reference`` [m, *shape], floating; ``observed`` bool [n, *shape] or
    [*shape]. Distance is squared, over the observed pixels; the neighbours' pixels are averaged
    (all of them: mean imputation). Memory grows with n * m. Raises ``ValueError`` for other shapes
    or dtypes, or more neighbours than ``reference`` has.
    """
    neighbours = _check.whole("neighbours", neighbours)
    images, reference = as_tensor("images", images), as_tensor("reference", reference)
    if not (images.is_floating_point() and reference.is_floating_point()):
        raise ValueError(f"images must be floating; got {images.dtype} and {reference.dtype}")
    if images.shape[1:] != reference.shape[1:]:
        raise ValueError(f"images {list(images.shape)} but reference {list(reference.shape)}")
    if neighbours > len(reference):
        raise ValueError(f"{neighbours} neighbours asked of {len(reference)} images")
    reference = reference.to(images)
    mask = _mask(observed, images).to(images.device)
    seen = mask.flatten(1).to(images.dtype)
    known, others = images.flatten(1).where(mask.flatten(1), 0), reference.flatten(1)
    # |x - r|^2 over the observed pixels; |x|^2 is the same for every neighbour.
    distance = seen @ others.square().T - 2 * known @ others.T
    nearest = distance.topk(neighbours, largest=False).indices  # [n, neighbours]
    fill = others[nearest].mean(1).reshape(images.shape)
    return torch.where(mask, images, fill)
