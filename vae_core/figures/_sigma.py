"""The decoder's sigma: rate against squared error, the bound, and directions that collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, HALO, INK, finite
from vae_core.evaluation import TradeOff
from vae_core.figures._picture import Picture, _subplots

# The second is hollow and larger, so that both can be seen where they meet.
MARKS: tuple[dict[str, Any], ...] = (
    {"marker": "*", "ms": 8},
    {"marker": "D", "ms": 10, "mfc": "none", "mew": 1.6},
)


def _draw_trade_off(
    axes: Any, points: Sequence[TradeOff], others: Mapping[str, TradeOff], reach: float
) -> None:
    """Squared error over rate, with the slope -2 sigma^2 at each point, ``reach`` nats long."""
    rates = np.array([point.rate.value for point in points])
    errors = np.array([point.squared_error.value for point in points])
    axes.plot(rates, errors, "-", color=INK, lw=0.8, alpha=0.6)
    axes.plot(rates, errors, "o", color=INK, ms=4.5)
    for k, point in enumerate(points):
        x, y = rates[k], errors[k]
        # As long in the picture wherever it is steep.
        half = min(reach, 2.2 / (2 * point.sigma**2))
        run = np.array([-half, half])
        axes.plot(x + run, y - 2 * point.sigma**2 * run, color=ACCENT, lw=1.6)
        axes.annotate(
            f"{point.sigma:g}", (x, y), (6, 5), textcoords="offset points", path_effects=HALO
        )
    for (name, point), mark in zip(others.items(), MARKS, strict=False):
        at = point.rate.value, point.squared_error.value
        axes.plot(*at, ls="", color=CLASSES[1], label=f"σ {name}", **mark)
    axes.set(xlabel="rate, nats", ylabel="squared error", title="rate and squared error")
    axes.legend(loc="upper right")


def _draw_bound(
    axes: Any, points: Sequence[TradeOff], others: Mapping[str, TradeOff], base: TradeOff
) -> None:
    """-ELBO over sigma: each model at its own, and one model's networks at every sigma."""
    sigmas = np.geomspace(0.9 * points[0].sigma, 1.1 * points[-1].sigma, 200)
    curve = [base.at_sigma(float(sigma)) for sigma in sigmas]
    axes.plot(sigmas, curve, color=ACCENT, lw=1.4, label=f"networks of σ = {base.sigma:g}, σ moved")
    axes.plot(
        [point.sigma for point in points],
        [point.negative_elbo.value for point in points],
        "o", color=INK, ms=4.5, label="trained at this σ",
    )  # fmt: skip
    for (name, point), mark in zip(others.items(), MARKS, strict=False):
        at = point.sigma, point.negative_elbo.value
        axes.plot(*at, ls="", color=CLASSES[1], label=f"σ {name}", **mark)
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    top = max(point.negative_elbo.value for point in points)
    low = min(point.negative_elbo.value for point in [*points, *others.values()])
    axes.set(xlabel="σ, pixel units", ylabel="−ELBO, nats", title="the bound")
    axes.set_ylim(low - 0.08 * (top - low), 1.5 * top)  # the legend needs the room above
    axes.legend(loc="upper center", fontsize=8)


def _draw_collapse(axes: Any, values: Tensor, variance: float, learned: Tensor) -> None:
    """PCA's eigenvalues [n], sigma^2, and the variance a linear VAE learned along each column."""
    at = np.arange(1, len(learned) + 1)
    heights = finite("values", values[: len(learned)])
    axes.bar(at, heights, 0.7, color=ACCENT, alpha=0.3, label="eigenvalue")
    axes.axhline(variance, color=CLASSES[1], lw=1.3, label=f"σ² = {variance:.2f}")
    axes.plot(at, finite("learned", learned), "o", color=INK, ms=4.5, label="learned w² + σ²")
    axes.set(xlabel="direction", ylabel="variance", ylim=(0, None))
    axes.set_xticks(at)
    axes.legend(loc="upper right", fontsize=8)


def sigma_sweep(
    points: Sequence[TradeOff], others: Mapping[str, TradeOff], base: TradeOff
) -> Picture:
    """Models trained at rising sigma, and ``others`` that found theirs: error, rate and bound.

    ``base`` is the model whose -ELBO is drawn at every sigma, its networks left as they are.
    """
    figure, axes = _subplots(2, 3.3)
    _draw_trade_off(axes[0, 0], points, others, reach=1.2)
    _draw_bound(axes[0, 1], points, others, base)
    return Picture(figure)


def collapsed_directions(values: Tensor, runs: Mapping[float, Tensor]) -> Picture:
    """A panel for each sigma^2 of ``runs``: eigenvalues [n], and the variances learned [latent]."""
    figure, axes = _subplots(len(runs), 2.7)
    for place, (variance, learned) in zip(axes[0], runs.items(), strict=True):
        _draw_collapse(place, values, variance, learned)
    return Picture(figure)


def rates_near_collapse(eigenvalues: Sequence[float], rates: Mapping[float, Tensor]) -> Picture:
    """The KL of each latent over sigma^2: networks, and what a linear VAE's latents would take.

    ``eigenvalues`` of the data, in falling order, one a latent: (1/2) log(eigenvalue / sigma^2)
    nats while it exceeds sigma^2. ``rates``: for each sigma^2 the networks' KL [latent].
    """
    figure, axes = _subplots(1, 2.9)
    place, variances = axes[0, 0], np.array(sorted(rates))
    low, high = variances[0], variances[-1]
    for rank, eigenvalue in enumerate(eigenvalues):
        color = CLASSES[rank]
        at = np.geomspace(low, max(low, eigenvalue), 100)
        place.plot(
            [*at, high], [*(0.5 * np.log(eigenvalue / at)), 0.0], color=color, lw=1.4,
            label=f"linear, eigenvalue {eigenvalue:.2f}",
        )  # fmt: skip
        place.axvline(eigenvalue, color=color, lw=0.8, ls=":")
        found = [np.sort(finite("rates", rates[v]))[::-1][rank] for v in variances]
        place.plot(variances, found, "o", color=color, ms=4.5, label=f"network, latent {rank + 1}")
    place.set_xscale("log")
    ticks = [tick for tick in (1, 2, 3, 4, 5, 7, 9) if low <= tick <= high]
    place.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    place.minorticks_off()
    place.set(xlabel="σ², squared pixel units", ylabel="KL of a latent, nats")
    place.legend(fontsize=8)
    return Picture(figure)
