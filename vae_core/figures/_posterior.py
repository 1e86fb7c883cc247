"""Figures of true posteriors beside Q, in one dimension and on the latent plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, STYLE, finite, plain
from vae_core.evaluation import Decay, GaussianQ, QuantileMap
from vae_core.figures._picture import Picture


def _panels(columns: int, height: float, rows: int = 1) -> tuple[Figure, np.ndarray]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def quantile_maps(models: Sequence[QuantileMap]) -> Picture:
    """f(z) above, the density it makes of N(0, 1) below, with quantiles; one column each."""
    figure, axes = _panels(len(models), 4.2, rows=2)
    z = np.linspace(-3, 3, 601)
    for column, m in enumerate(models):
        top, bottom = axes[:, column]
        x = m.f(z)
        top.plot(z, x, color=ACCENT)
        top.set(title=m.density.title, xlabel="z")
        bottom.plot(x, m.density.pdf(x), color=CLASSES[2])
        bottom.fill_between(x, m.density.pdf(x), color=CLASSES[2], alpha=0.15, lw=0)
        for k, code in enumerate((-2, -1, 0, 1, 2)):
            value = float(m.f(code))
            top.plot([code], [value], "o", ms=4, color=CLASSES[k])
            bottom.plot([value] * 2, [0, float(m.density.pdf(np.array(value)))], color=CLASSES[k])
        bottom.set(xlabel="X", ylim=(0, None))
    axes[0, 0].set_ylabel("f(z)")
    axes[1, 0].set_ylabel("density of X")
    return Picture(figure)


def shrinking_posteriors(m: QuantileMap, x: float, sigmas: Sequence[float]) -> Picture:
    """P(z|X) and Q(z|X) in units of Q: the axis is (z - mean) / width, one panel for each sigma."""
    figure, axes = _panels(len(sigmas), 2.5)
    t = np.linspace(-5, 5, 601)
    for place, sigma in zip(axes[0], sigmas, strict=True):
        mean, width = m.given_q(x, sigma)
        posterior = width * np.exp(m.log_posterior(mean + width * t, x, sigma))
        place.fill_between(t, posterior, color=CLASSES[1], alpha=0.2, lw=0)
        place.plot(t, posterior, color=CLASSES[1], label="P(z|X)")
        place.plot(t, np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi), color=ACCENT, label="Q(z|X)")
        place.set(
            title=f"σ = {sigma:g}: gap {m.gap(x, sigma):.2g} nats",
            xlabel="(z − g(X)) / (σ g′(X))", ylim=(0, 0.62), yticks=[],
        )  # fmt: skip
    axes[0, 0].legend(fontsize=8, loc="upper left")
    return Picture(figure)


def gap_decay(
    sigmas: np.ndarray, gaps: Mapping[str, np.ndarray], fits: Mapping[str, Decay]
) -> Picture:
    """Mean gap against sigma on log axes: dots, and each fitted power law as a line."""
    figure, axes = _panels(1, 3.4)
    place = axes[0, 0]
    for k, (name, values) in enumerate(gaps.items()):
        fit, color = fits[name], CLASSES[k]
        place.loglog(sigmas, values, "o", ms=4, color=color)
        place.plot(
            sigmas, fit.constant * sigmas**fit.rate, color=color,
            label=f"{name}: ${fit.constant:.3g}\\,\\sigma^{{{fit.rate:.3f}}}$",
        )  # fmt: skip
    place.set(xlabel="σ of P(X|z)", ylabel="mean gap, nats")
    place.legend()
    return Picture(figure)


def gradient_norms(sigmas: Sequence[float], norms: Mapping[str, Sequence[float]]) -> Picture:
    """The gradient's norm by each term of the bound against sigma, on log axes."""
    figure, axes = _panels(1, 2.8)
    for k, (name, values) in enumerate(norms.items()):
        axes[0, 0].loglog(sigmas, values, "o-", ms=4, color=CLASSES[k], label=name)
    axes[0, 0].set(xlabel="σ of P(X|z)", ylabel="norm of the gradient, nats per unit")
    axes[0, 0].legend()
    return Picture(figure)


def gap_histogram(gaps: np.ndarray, labels: np.ndarray) -> Picture:
    """Gaps of n images in nats on a log axis, a row of dots for each class, its mean as a bar."""
    figure, axes = _panels(1, 3.2)
    place, gaps, labels = axes[0, 0], finite("gaps", gaps), plain(labels)
    for k in range(10):
        own = gaps[labels == k]
        if not len(own):
            continue
        place.plot(own, np.full(len(own), k), "o", ms=3, alpha=0.5, color=CLASSES[k], mew=0)
        place.plot([own.mean()] * 2, [k - 0.35, k + 0.35], color="black", lw=1.4)
    place.set(xscale="log", yticks=range(10), xlabel="gap, nats", ylabel="digit")
    return Picture(figure)


class PlanePosterior(NamedTuple):
    """One image [1, h, w], its P(z|X) on a square grid of both latents' ``axis`` [n] as
    ``log_density`` [n, n] (first latent along columns), Q's mean and sigma, and the gap in nats."""

    image: Tensor
    axis: np.ndarray
    log_density: np.ndarray
    q: tuple[GaussianQ, GaussianQ]
    gap: float


def plane_posteriors(cases: Sequence[PlanePosterior]) -> Picture:
    """Each image above its posterior (filled at 0.01, 0.1 and 0.5 of its peak) and Q's 1σ and 2σ
    ellipses; every panel is to scale, and shows what of the plane either of the two takes up."""
    figure, axes = _panels(len(cases), 2 * 7.2 / len(cases) * 0.86, rows=2)
    for k, case in enumerate(cases):
        top, place = axes[:, k]
        top.imshow(finite("image", case.image)[0], cmap="gray_r", vmin=0, vmax=1)
        top.set_axis_off()
        top.set_title(f"{case.gap:.2g} nats", fontsize=9)
        relative = np.exp(case.log_density - case.log_density.max())
        place.contourf(
            case.axis, case.axis, relative, levels=[0.01, 0.1, 0.5, 1],
            colors=["#f9dcc4", "#f3b27a", "#dd6b20"],
        )  # fmt: skip
        centre = np.array([q.mean for q in case.q])
        spread = np.array([q.sigma for q in case.q])
        for times in (1, 2):
            wide, high = 2 * times * spread
            place.add_patch(Ellipse(tuple(centre), wide, high, fill=False, color=ACCENT, lw=1.3))
        rows, columns = np.nonzero(relative > 0.01)
        seen = np.array([case.axis[columns], case.axis[rows]])
        low = np.minimum(seen.min(1), centre - 2 * spread)
        high_ = np.maximum(seen.max(1), centre + 2 * spread)
        middle, half = (low + high_) / 2, 0.58 * float((high_ - low).max())
        place.set(
            xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half),
            aspect="equal", xlabel="$z_1$",
        )  # fmt: skip
        place.tick_params(labelsize=7.5)
        # Two numbers an axis: a panel this small has no room for more.
        place.xaxis.set_major_locator(MaxNLocator(2))
        place.yaxis.set_major_locator(MaxNLocator(3))
    axes[1, 0].set_ylabel("$z_2$")
    return Picture(figure)
