"""Sets of images against one another: what a classifier sees in them, and how near the data lie."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor
from vae_core.evaluation._estimate import Estimate
from vae_core.evaluation._images import image_chunks, wide
from vae_core.evaluation._models import check_results, ready
from vae_core.models import VAE, Autoencoder, Classifier

_CHUNK = 2000  # images in a classifier's or an autoencoder's batch


@torch.no_grad()
def classify(
    classifier: Classifier, images: Shaped[Tensor, " n *shape"]
) -> Float[Tensor, "n classes"]:
    """Class probabilities of ``images`` (uint8 or float in [0, 1], [n, *shape]): [n, classes]."""
    classifier = ready("classify", classifier)
    return torch.cat(
        [classifier(chunk).softmax(1) for chunk in image_chunks(classifier, images, _CHUNK)]
    )


@torch.no_grad()
def image_features(
    classifier: Classifier, images: Shaped[Tensor, " n *shape"]
) -> Float[Tensor, "n features"]:
    """Hidden features of ``images`` (uint8 or float, [n, *shape]): [n, features]."""
    classifier = ready("image_features", classifier, "features")
    return torch.cat(
        [classifier.features(chunk) for chunk in image_chunks(classifier, images, _CHUNK)]
    )


def frechet_distance(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features, [n, d] and [m, d].

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), in squared feature units (Heusel et al. 2017,
    section 2; there the features are Inception's, here those of a classifier trained on the data,
    so values compare only with values made by the same classifier and the same n, m).

    Raises ``ValueError`` for sets of different width or fewer than two rows.
    """
    first, second = as_tensor("first", first), as_tensor("second", second)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"features must be [n, d] and [m, d]; got {list(first.shape)}, {list(second.shape)}"
        )
    if min(len(first), len(second)) < 2:
        raise ValueError("each set of features needs at least two rows")
    a, b = wide(first), wide(second)
    b = b.to(a.device)
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError("features must be finite; got NaN or infinity")
    shift = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = (torch.atleast_2d(torch.cov(features.T)) for features in (a, b))
    # tr((AB)^(1/2)) = tr((A^(1/2) B A^(1/2))^(1/2)), whose argument is symmetric: eigh is exact.
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return (shift + cov_a.trace() + cov_b.trace() - 2 * cross).item()


class PrecisionRecall(NamedTuple):
    """Shares between 0 and 1, each with the standard error of a share of independent draws."""

    precision: Estimate
    recall: Estimate


def _squared_distances(
    rows: Float[Tensor, "n d"], others: Float[Tensor, "m d"]
) -> Float[Tensor, "n m"]:
    """[n, d] and [m, d] in float64 to [n, m], by one matrix product."""
    cross = rows @ others.T
    squares = rows.square().sum(1)[:, None] + others.square().sum(1)
    return squares.sub_(cross.mul_(2)).clamp_(min=0)


def _squared_radii(rows: Float[Tensor, "n d"], neighbours: int, chunk: int) -> Float[Tensor, " n"]:
    """Squared distance of each row to its k-th nearest other row: [n]."""
    radii = []
    for first, part in zip(range(0, len(rows), chunk), rows.split(chunk), strict=True):
        distances = _squared_distances(part, rows)
        # Itself is no neighbour, whatever rounding made of its distance to itself.
        own = torch.arange(len(part), device=distances.device)
        distances[own, first + own] = math.inf
        radii.append(distances.kthvalue(neighbours, 1).values)
    return torch.cat(radii)


def _share_within(rows: Tensor, centres: Tensor, squared_radii: Tensor, chunk: int) -> Estimate:
    """The share of ``rows`` that lie in at least one ball."""
    inside = [
        (_squared_distances(part, centres) <= squared_radii).any(1) for part in rows.split(chunk)
    ]
    share = torch.cat(inside).to(torch.float64).mean().item()
    return Estimate(share, math.sqrt(share * (1 - share) / len(rows)))


def precision_recall(
    real: Float[Tensor, "n d"],
    generated: Float[Tensor, "m d"],
    *,
    neighbours: int = 3,
    chunk: int = 500,
) -> PrecisionRecall:
    """Improved precision and recall of two sets of features, [n, d] and [m, d].

    Kynkäänniemi et al. 2019, equations 1-3: a set's manifold is the union of balls around its
    points, each reaching its k-th nearest other point (k = ``neighbours``, 3 in the paper).
    Precision is the share of generated points in the real manifold (are samples like data?),
    recall the share of real points in the generated manifold (is all data covered?). Both depend
    on n, m and d: compare only values from equally many images and the same features. The standard
    errors are those of the tested points with the manifold held as it is.

    Distances are taken in float64, ``chunk`` rows at a time. Raises ``ValueError`` for sets of
    different width, too few rows for ``neighbours``, or features that are not finite.
    """
    neighbours, chunk = _check.whole("neighbours", neighbours), _check.whole("chunk", chunk)
    real, generated = as_tensor("real", real), as_tensor("generated", generated)
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"features must be [n, d] and [m, d]; got {list(real.shape)}, {list(generated.shape)}"
        )
    if min(len(real), len(generated)) <= neighbours:
        raise ValueError(
            f"each set needs more rows than the {neighbours} neighbours; "
            f"got {len(real)} and {len(generated)}"
        )
    a, b = wide(real), wide(generated)
    b = b.to(a.device)
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise ValueError("features must be finite; got NaN or infinity")
    return PrecisionRecall(
        _share_within(b, a, _squared_radii(a, neighbours, chunk), chunk),
        _share_within(a, b, _squared_radii(b, neighbours, chunk), chunk),
    )


def nearest_distance(
    queries: Shaped[Tensor, " n *_"], reference: Shaped[Tensor, " m *_"], *, chunk: int = 500
) -> Float[Tensor, " n"]:
    """Euclidean distance from each query to its nearest reference: [n].

    ``queries`` [n, ...] and ``reference`` [m, ...] are floating and alike in all but their first
    dimension (pixels or features). Raises ``ValueError`` otherwise.
    """
    queries, reference = as_tensor("queries", queries), as_tensor("reference", reference)
    chunk = _check.whole("chunk", chunk)
    if not (queries.is_floating_point() and reference.is_floating_point()):
        raise ValueError(
            f"queries and reference must be floating; got {queries.dtype} and {reference.dtype}"
        )
    reference = reference.to(queries)
    if min(queries.ndim, reference.ndim) < 2 or len(queries) == 0:
        raise ValueError(
            f"queries and reference must be [n, ...] and [m, ...]; got {list(queries.shape)}, "
            f"{list(reference.shape)}"
        )
    if queries.shape[1:] != reference.shape[1:] or len(reference) == 0:
        raise ValueError(
            f"queries and reference must be alike; got {list(queries.shape)}, "
            f"{list(reference.shape)}"
        )
    flat = reference.flatten(1)
    return torch.cat(
        [torch.cdist(part.flatten(1), flat).min(1).values for part in queries.split(chunk)]
    )


@torch.no_grad()
def reconstruction_error(
    model: Autoencoder | VAE, images: Shaped[Tensor, " n *shape"]
) -> Float[Tensor, " n"]:
    """Summed squared error between each image and its reconstruction from the mean code: [n].

    ``images``: uint8 or float in [0, 1], [n, *shape]; the error is in squared pixel units.
    """
    model = ready("reconstruction_error", model)
    chunks = image_chunks(model, images, _CHUNK)
    errors = torch.cat([(x - model(x)).square().flatten(1).sum(1) for x in chunks])
    check_results("the error", errors)
    return errors
