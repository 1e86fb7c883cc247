"""Exercises of chapter 13: representations, and how to judge them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_core.exercises._attempt import Attempt, Failure
from vae_core.exercises._engine import Exercise
from vae_core.exercises._values import short

__all__ = ["EXERCISES"]

Array = NDArray[np.float64]

trust = Exercise(
    "trustworthiness",
    chapter=13,
    kind="code",
    title="Trustworthiness from its definition",
    signature="trustworthiness(points, codes, k) -> a number; points: array [n, d] and codes: "
    "array [n, m], row i of both the same example; k: how many neighbours, less than n / 2",
    mistakes=("spaces_exchanged", "own_neighbour", "rank_not_reduced", "wrong_scale"),
)


def _ranks(points: Array) -> Array:
    """r[i, j]: j is the r-th nearest neighbour of i; 0 for i itself."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, -1)
    return np.asarray(distance.argsort(1).argsort(1), dtype=np.float64)


def _trust(points: Array, codes: Array, k: int, ranks_less: int = 0) -> float:
    n, there, here = len(points), _ranks(points), _ranks(codes)
    near = (here >= 1) & (here <= k) & (there > k)
    fine = ((there - k) * near).sum()
    return float(1 - 2 * fine / (n * k * (2 * n - 3 * k - 1)))


def _trust_mistakes(points: Array, codes: Array, k: int) -> dict[str, Any]:
    n, there, here = len(points), _ranks(points), _ranks(codes)
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    near = (here >= 1) & (here <= k) & (there > k)
    fine = ((there - k) * near).sum()
    # Whoever counts a point among its neighbours looks at one real neighbour less.
    short = (here < k) & (there >= k)
    return {
        "spaces_exchanged": _trust(codes, points, k),
        "own_neighbour": [
            1 - scale * ((there - k) * short).sum(),
            1 - scale * ((there + 1 - k) * short).sum(),
            1 - scale * ((there - k) * (here < k) * (there > k)).sum(),
        ],
        "rank_not_reduced": [1 - scale * (there * near).sum(), 1 - scale * near.sum()],
        "wrong_scale": [1 - fine / (n * k), 1 - 2 * fine / (n * k), fine, scale * fine, -fine],
    }


@trust.step("is the mean fine for false neighbours, taken from 1")
def _trust_values(attempt: Attempt) -> None:
    from sklearn.manifold import trustworthiness

    for n, k in [(30, 4), (24, 7)] + [(60, 1)] * attempt.thorough:
        points = attempt.normal(n, 5).numpy()
        codes = points[:, :2] + 0.4 * attempt.normal(n, 2).numpy()
        found = attempt.number(attempt(points.copy(), codes.copy(), k))
        attempt.close(
            found,
            trustworthiness(points, codes, n_neighbors=k),
            f"scikit-learn's value for {n} points and k = {k}",
            mistakes=_trust_mistakes(points, codes, k),
        )


@trust.step("is 1 for a map that keeps all distances")
def _trust_one(attempt: Attempt) -> None:
    points = attempt.normal(20, 3).numpy()
    attempt.close(attempt.number(attempt(points.copy(), 2 * points, 5)), 1, "a faithful map")


angle = Exercise(
    "largest_angle",
    chapter=13,
    kind="code",
    title="The angle between two spaces",
    signature="largest_angle(first, second) -> a number in degrees, the largest principal angle "
    "of the spaces spanned by the columns; tensors [d, k], columns linearly independent but of any "
    "length and not at right angles",
    mistakes=("not_orthonormal", "radians", "smallest_angle", "axes_for_space"),
)


@angle.step("is the largest principal angle, whatever the axes")
def _angle(attempt: Attempt) -> None:
    for d, k in [(6, 2), (9, 3)] + [(5, 1)] * (attempt.thorough and attempt.seed < 0):
        base = attempt.normal(d, k)
        first = base @ (attempt.normal(k, k) + 2 * torch.eye(k, dtype=base.dtype))
        second = base + 0.5 * attempt.normal(d, k)
        basis, other = torch.linalg.qr(first).Q, torch.linalg.qr(second).Q
        cosines = torch.linalg.svdvals(basis.mT @ other).clamp(max=1)
        angles = torch.rad2deg(cosines.arccos())
        unit, unit_other = first / first.norm(dim=0), second / second.norm(dim=0)
        raw = torch.linalg.svdvals(first.mT @ second)
        scaled = torch.linalg.svdvals(unit.mT @ unit_other)
        between = torch.rad2deg((unit * unit_other).sum(0).clamp(-1, 1).arccos())
        found = attempt(first, second)
        nan = isinstance(found, (Tensor, float)) and math.isnan(float(found))
        attempt.require(not nan, "an angle", found, "not_orthonormal")
        attempt.close(
            attempt.number(found),
            angles.max(),
            f"the angle between two spaces of {k} dimensions, spanned at random",
            mistakes={
                "radians": angles.max() * math.pi / 180,
                "smallest_angle": angles.min(),
                # Not the angle 0, which is cut off a cosine above 1, but comes of much else too.
                "not_orthonormal": [
                    angle
                    for v in (raw, scaled)
                    if (angle := torch.rad2deg(v.clamp(max=1).arccos()).max()) > 0
                ],
                "axes_for_space": [between.max(), between.mean(), between.min()],
            },
            rtol=1e-5,
        )


probe = Exercise(
    "linear_probe",
    chapter=13,
    kind="code",
    title="A linear probe",
    signature="linear_probe(codes, labels, new_codes) -> array or tensor [m], the predicted class "
    "of each new code, by a linear classifier fitted to codes (array [n, k]) and labels (array "
    "[n]); new_codes: array [m, k]",
    mistakes=("test_leak", "label_as_number", "nonlinear_probe"),
)


def _predicted(attempt: Attempt, codes: Array, labels: Any, new: Array) -> Any:
    found = attempt(codes.copy(), labels.copy(), new.copy(), seconds=20)
    try:
        array = np.asarray(found).astype(float)
    except (TypeError, ValueError):
        raise Failure("an array of classes", short(found), "type") from None
    attempt.require(
        array.shape == (len(new),), f"the shape [{len(new)}]", f"{array.shape}", "shape"
    )
    return array


@probe.step("judges each new code by itself")
def _probe_alone(attempt: Attempt) -> None:
    labels = np.arange(120) % 3
    centres = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    codes = centres[labels] + 0.6 * attempt.normal(120, 2).numpy()
    new = attempt.normal(60, 2).numpy() * 2 + 1
    far = np.array([[900.0, -400.0]] * 30)  # a leak would move or shrink all codes with these
    alone = _predicted(attempt, codes, labels, new)
    beside = _predicted(attempt, codes, labels, np.concatenate([new, far]))[: len(new)]
    attempt.require(
        bool((alone == beside).all()),
        "the same class for a code, whatever other codes are to be judged",
        f"{int((alone != beside).sum())} of {len(new)} classes that changed with their company",
        "test_leak",
    )


@probe.step("tells classes apart that a line separates, however they are numbered")
def _probe_classes(attempt: Attempt) -> None:
    turns = 2 * math.pi * np.array([0, 2, 4, 1, 3]) / 5
    centres = 4 * np.stack([np.cos(turns), np.sin(turns)], 1) + 7
    labels = np.arange(250) % 5
    codes = centres[labels] + 0.5 * attempt.normal(250, 2).numpy()
    new = centres[labels] + 0.5 * attempt.normal(250, 2).numpy()
    found = _predicted(attempt, codes, labels, new)
    design = np.column_stack([np.ones(250), codes])
    slopes = np.linalg.lstsq(design, labels.astype(float), rcond=None)[0]
    fitted = np.column_stack([np.ones(250), new]) @ slopes
    numbers = bool((np.abs(found - fitted) <= 0.51).mean() > 0.9)
    right = float((found == labels).mean())
    attempt.require(
        right > 0.95,
        "nearly all classes right",
        f"{right:.0%}",
        "label_as_number" if numbers else None,
    )


@probe.step("is linear")
def _probe_linear(attempt: Attempt) -> None:
    codes = attempt.normal(300, 2).numpy()
    labels = (codes[:, 0] * codes[:, 1] > 0).astype(int)
    new = attempt.normal(300, 2).numpy()
    right = float((_predicted(attempt, codes, labels, new) == (new.prod(1) > 0)).mean())
    attempt.require(
        right < 0.85,
        "no line that separates opposite quadrants",
        f"{right:.0%} of them told apart",
        "nonlinear_probe",
    )


projection = Exercise(
    "error_of_the_best_encoder",
    chapter=13,
    kind="derivation",
    title="The best encoder of two pixels",
    signature="a list of lines, typed in the workbench's notation, for two uncorrelated pixels of "
    "variance c and d and one latent with decoder (a, b) and its best encoder, from "
    "c * (1 - a^2 / (a^2 + b^2))^2 + d * (a * b / (a^2 + b^2))^2 + "
    "c * (a * b / (a^2 + b^2))^2 + d * (1 - b^2 / (a^2 + b^2))^2 to a single fraction",
)


@projection.step("each line follows from the one before, and the last is one fraction")
def _projection_chain(attempt: Attempt) -> None:
    attempt.derivation("error_of_the_best_encoder")


EXERCISES = (trust, angle, probe, projection)
