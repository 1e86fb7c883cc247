"""Figures of chapter 14: what images cost a model, and gains with their errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor

from vae_core._plot import ACCENT, INK, finite
from vae_core.evaluation import Estimate
from vae_core.figures._picture import Picture, _subplots


def cost_histograms(costs: Mapping[str, Tensor], xlabel: str) -> Picture:
    """Named positive ``costs`` [n], such as -log P(X), on one logarithmic axis, a row each.

    Sets whose costs differ by a factor of a hundred are all seen, which a linear axis does not
    allow. The first row is the set at home: the band in the other rows holds the middle 90 % of
    its costs. Every row is drawn to its own height. Raises ``ValueError`` for
    costs that are not positive and finite.
    """
    values = {name: finite(name, each).astype(np.float64) for name, each in costs.items()}
    for name, row in values.items():
        if row.ndim != 1 or not (np.isfinite(row) & (row > 0)).all():
            raise ValueError(f"the costs of {name!r} must be positive numbers [n]")
    figure, axes = _subplots(1, 0.62 * len(values) + 0.6, rows=len(values))
    pooled = np.concatenate(list(values.values()))
    low, high = pooled.min() / 1.1, pooled.max() * 1.1
    bins = np.geomspace(low, high, 90)
    home = np.quantile(next(iter(values.values())), [0.05, 0.95])
    for k, (name, row) in enumerate(values.items()):
        place = axes[k, 0]
        place.axvspan(*home, color=INK, alpha=0.1, lw=0)
        place.hist(row, bins=bins, color=ACCENT if k else INK)
        place.set(xscale="log", xlim=(low, high), yticks=[])
        place.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        place.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        place.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        place.xaxis.set_minor_formatter(NullFormatter())
        if k + 1 < len(values):
            place.tick_params(labelbottom=False)
    axes[-1, 0].set_xlabel(xlabel)
    return Picture(figure)


def differences(estimates: Mapping[str, Estimate], xlabel: str) -> Picture:
    """Named differences from 0, each with a bar of two standard errors either way."""
    figure, axes = _subplots(1, 0.36 * len(estimates) + 0.7)
    place, rows = axes[0, 0], range(len(estimates))
    finite("estimates", [tuple(each) for each in estimates.values()])
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
