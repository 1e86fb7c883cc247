"""Answers to the exercises of chapter 13."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import subspace_angles
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from answers import right, wrong

TRUST = "trustworthiness"


def ranks(points):
    distance = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, -1)
    return distance.argsort(1).argsort(1)


@right(TRUST)
def by_ranks(points, codes, k):
    n, there, here = len(points), ranks(points), ranks(codes)
    false = (here >= 1) & (here <= k) & (there > k)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * ((there - k) * false).sum()


@right(TRUST)
def by_loops(points, codes, k):
    n, fine = len(points), 0
    there = ranks(points)
    near = NearestNeighbors(n_neighbors=k).fit(codes).kneighbors(return_distance=False)
    for i in range(n):
        for j in near[i]:
            fine += max(0, there[i, j] - k)
    return float(1 - 2 * fine / (n * k * (2 * n - 3 * k - 1)))


@wrong(TRUST, "spaces_exchanged")
def continuity(points, codes, k):
    return trustworthiness(codes, points, n_neighbors=k)


@wrong(TRUST, "own_neighbour")
def counts_itself(points, codes, k):
    n, there = len(points), ranks(points)
    near = ranks(codes) < k
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * (np.maximum(there - k, 0) * near).sum()


@wrong(TRUST, "rank_not_reduced")
def full_rank(points, codes, k):
    n, there, here = len(points), ranks(points), ranks(codes)
    false = (here >= 1) & (here <= k) & (there > k)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * (there * false).sum()


@wrong(TRUST, "wrong_scale")
def mean_fine(points, codes, k):
    n, there, here = len(points), ranks(points), ranks(codes)
    false = (here >= 1) & (here <= k) & (there > k)
    return 1 - ((there - k) * false).sum() / (n * k)


ANGLE = "largest_angle"


@right(ANGLE)
def by_qr(first, second):
    basis, other = torch.linalg.qr(first).Q, torch.linalg.qr(second).Q
    least = torch.linalg.svdvals(basis.T @ other).min().clamp(max=1)
    return torch.rad2deg(torch.arccos(least))


@right(ANGLE)
def by_scipy(first, second):
    return math.degrees(subspace_angles(first.numpy(), second.numpy()).max())


@wrong(ANGLE, "not_orthonormal")
def columns_as_they_are(first, second):
    return torch.rad2deg(torch.arccos(torch.linalg.svdvals(first.T @ second).min()))


@wrong(ANGLE, "not_orthonormal")
def columns_of_length_one(first, second):
    first, second = first / first.norm(dim=0), second / second.norm(dim=0)
    least = torch.linalg.svdvals(first.T @ second).min().clamp(max=1)
    return torch.rad2deg(torch.arccos(least))


@wrong(ANGLE, "radians")
def in_radians(first, second):
    return subspace_angles(first.numpy(), second.numpy()).max()


@wrong(ANGLE, "smallest_angle")
def the_smallest(first, second):
    return math.degrees(subspace_angles(first.numpy(), second.numpy()).min())


@wrong(ANGLE, "axes_for_space")
def column_by_column(first, second):
    cosine = torch.nn.functional.cosine_similarity(first, second, dim=0)
    return torch.rad2deg(cosine.arccos()).max()


PROBE = "linear_probe"


@right(PROBE)
def logistic(codes, labels, new_codes):
    return LogisticRegression(max_iter=1000).fit(codes, labels).predict(new_codes)


@right(PROBE)
def scaled_by_the_training_codes(codes, labels, new_codes):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return torch.as_tensor(model.fit(codes, labels).predict(new_codes))


@right(PROBE)
def least_squares_on_one_hot(codes, labels, new_codes):
    classes = np.unique(labels)
    target = (labels[:, None] == classes).astype(float)
    fit = LinearRegression().fit(codes, target)
    return classes[fit.predict(new_codes).argmax(1)]


@wrong(PROBE, "test_leak")
def scaled_by_the_new_codes(codes, labels, new_codes):
    model = LogisticRegression(max_iter=1000).fit(StandardScaler().fit_transform(codes), labels)
    return model.predict(StandardScaler().fit_transform(new_codes))


@wrong(PROBE, "test_leak")
def scaled_by_all_codes(codes, labels, new_codes):
    scaler = StandardScaler().fit(np.concatenate([codes, new_codes]))
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(codes), labels)
    return model.predict(scaler.transform(new_codes))


@wrong(PROBE, "label_as_number")
def regression_on_the_label(codes, labels, new_codes):
    return LinearRegression().fit(codes, labels).predict(new_codes).round()


@wrong(PROBE, "nonlinear_probe")
def neighbours(codes, labels, new_codes):
    return KNeighborsClassifier(5).fit(codes, labels).predict(new_codes)


CHAIN = "error_of_the_best_encoder"

right(CHAIN)(
    [
        "= c * (b^2 / (a^2 + b^2))^2 + (c + d) * (a * b / (a^2 + b^2))^2 + d * (a^2/(a^2 + b^2))^2",
        "= (c * b^4 + (c + d) * a^2 * b^2 + d * a^4) / (a^2 + b^2)^2",
        "= (c * b^2 + d * a^2) / (a^2 + b^2)   # a^2 + b^2 cancels",
    ]
)
right(CHAIN)(["= (d * a^2 + b^2 * c) / (b^2 + a^2)"])
wrong(CHAIN, None)(
    [
        "= (c * b^4 + (c + d) * a^2 * b^2 + d * a^4) / (a^2 + b^2)^2",
        "= (c * a^2 + d * b^2) / (a^2 + b^2)   # what is kept, for what is lost",
    ]
)
