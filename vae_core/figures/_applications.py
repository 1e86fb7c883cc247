"""Figures of chapter 14: where scores lie, and gains with their errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.evaluation import Estimate
from vae_core.figures._picture import Picture, _subplots


def score_histograms(scores: Mapping[str, Tensor], xlabel: str) -> Picture:
    """Named ``scores`` [n] on one axis, a row each, every row to its own height."""
    figure, axes = _subplots(1, 0.62 * len(scores) + 0.5, rows=len(scores))
    values = {name: each.cpu().double().numpy() for name, each in scores.items()}
    pooled = np.concatenate(list(values.values()))
    bins = np.linspace(pooled.min(), pooled.max(), 60)
    for k, (name, row) in enumerate(values.items()):
        place = axes[k, 0]
        place.hist(row, bins=bins, color=CLASSES[k % len(CLASSES)])
        place.set_yticks([])
        place.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        if k + 1 < len(values):
            place.set_xticklabels([])
    axes[-1, 0].set_xlabel(xlabel)
    return Picture(figure)


def differences(estimates: Mapping[str, Estimate], xlabel: str) -> Picture:
    """Named differences from 0, each with a bar of two standard errors either way."""
    figure, axes = _subplots(1, 0.36 * len(estimates) + 0.7)
    place, rows = axes[0, 0], range(len(estimates))
    place.axvline(0, color=INK, lw=0.9)
    place.errorbar(
        [each.value for each in estimates.values()],
        rows,
        xerr=[2 * each.standard_error for each in estimates.values()],
        fmt="o",
        ms=5,
        capsize=3,
        color=ACCENT,
    )
    place.set_yticks(rows, list(estimates))
    place.set(ylim=(len(estimates) - 0.5, -0.5), xlabel=xlabel)
    return Picture(figure)
