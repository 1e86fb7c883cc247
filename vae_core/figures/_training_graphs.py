"""Graphs of computation, and what a draw from noise looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.figures._picture import Picture, _subplots

Point = tuple[float, float]


# Of diagrams: what is drawn at random, what is a loss, where gradients pass and where they stop.
_SAMPLED, _LOSS, _PLAIN, _PASS, _STOP = "#c53030", "#2b6cb0", "#f2f4f7", "#2f855a", "#c53030"


def _node(axes: Axes, at: Point, text: str, color: str = _PLAIN, size: Point = (2.5, 0.8)) -> None:
    """A box centred at ``at``: filled plain, or in ``color`` with white words."""
    x, y = at
    plain = color == _PLAIN
    box = FancyBboxPatch(
        (x - size[0] / 2, y - size[1] / 2), *size, boxstyle="round,pad=0,rounding_size=0.15",
        facecolor=color, edgecolor="#7b8794" if plain else color, linewidth=1,
    )  # fmt: skip
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", color=INK if plain else "white", fontsize=8.5)


def _arrow(axes: Axes, start: Point, end: Point, color: str = "#52606d", **style: Any) -> None:
    settings: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 10, "lw": 1.2, **style}
    axes.add_patch(FancyArrowPatch(start, end, color=color, shrinkA=0, shrinkB=0, **settings))


def _blank(axes: Axes, x: Point, y: Point) -> None:
    axes.set(xlim=x, ylim=y, aspect="equal")
    axes.set_axis_off()


def _training_graph(axes: Axes, *, reparameterized: bool) -> None:
    """One of the two graphs: the encoder below, the losses at its side and at the top."""
    back = {"linestyle": (0, (3, 2)), "lw": 1.4}
    _node(axes, (2.0, 0.5), "image $X$")
    _node(axes, (2.0, 2.0), "encoder $Q$")
    _node(axes, (2.0, 3.5), r"$\mu(X),\ \sigma(X)$")
    _node(axes, (5.6, 3.5), r"$\mathcal{D}[Q(z|X)\,\Vert\,P(z)]$", _LOSS, (3.3, 0.8))
    _node(axes, (2.0, 7.0), "decoder $P$")
    _node(axes, (2.0, 8.5), r"$-\log P(X|z)$", _LOSS)
    _arrow(axes, (2.0, 0.9), (2.0, 1.6))
    _arrow(axes, (2.0, 2.4), (2.0, 3.1))
    _arrow(axes, (3.25, 3.5), (3.95, 3.5))
    _arrow(axes, (2.0, 7.4), (2.0, 8.1))
    if reparameterized:
        _node(axes, (2.0, 5.25), r"$z = \mu + \sigma\,\varepsilon$")
        _node(axes, (5.6, 5.25), r"draw $\varepsilon \sim \mathcal{N}(0, I)$", _SAMPLED, (3.3, 0.8))
        _arrow(axes, (3.95, 5.25), (3.25, 5.25))
    else:
        _node(axes, (2.0, 5.25), r"draw $z \sim Q(z|X)$", _SAMPLED)
    _arrow(axes, (2.0, 3.9), (2.0, 4.85))
    _arrow(axes, (2.0, 5.65), (2.0, 6.6))
    # The way of the reconstruction's gradient, down the left side.
    steps = [(8.1, 7.4), (6.6, 5.65), (4.85, 3.9), (3.1, 2.4)]
    passed = len(steps) if reparameterized else 2
    for top, bottom in steps[:passed]:
        _arrow(axes, (1.15, top), (1.15, bottom), _PASS, **back)
    if not reparameterized:
        axes.text(1.15, 4.38, "✕", color=_STOP, ha="center", va="center", fontsize=15)
    _arrow(axes, (3.95, 3.25), (3.25, 3.25), _PASS, **back)
    if not reparameterized:  # below the draw, only the KL term's gradient goes on
        _arrow(axes, (1.15, 3.1), (1.15, 2.4), _PASS, **back)


def training_graphs() -> Picture:
    """A VAE's training as two graphs of computation: z drawn directly, and z made from noise.

    Solid arrows compute the losses; broken ones carry gradients back. After Doersch 2016, figure 4.
    """
    figure, axes = _subplots(2, 4.6)
    titles = ("z drawn from Q: gradients stop", "z made from noise: gradients pass")
    for place, title, reparameterized in zip(axes[0], titles, (False, True), strict=True):
        _blank(place, (0.3, 7.5), (-0.1, 9.1))
        place.set_title(title, color=INK)
        _training_graph(place, reparameterized=reparameterized)
    return Picture(figure)


def conditional_graphs() -> Picture:
    """A conditional VAE in training and in use, as graphs: X is given, Y is predicted.

    After Doersch 2016, figure 6, with a prior that may look at X (Sohn et al. 2015).
    """
    figure, axes = _subplots(2, 4.2)
    titles = ("training: X and Y are known", "use: X is known, Y is asked")
    for place, title, training in zip(axes[0], titles, (True, False), strict=True):
        _blank(place, (-0.2, 8.6), (-0.1, 7.4))
        place.set_title(title, color=INK)
        _node(place, (6.9, 0.5), "given $X$")
        _node(place, (6.9, 2.2), "prior $P(z|X)$")
        _arrow(place, (6.9, 0.9), (6.9, 1.8))
        _node(place, (4.2, 5.2), "decoder $P$")
        _arrow(place, (8.15, 0.5), (5.45, 5.2), connectionstyle="arc3,rad=0.55")
        if training:
            _node(place, (1.5, 0.5), "image $Y$")
            _node(place, (1.5, 2.2), "encoder $Q$")
            _node(place, (4.2, 2.2), r"$\mathcal{D}[Q\,\Vert\,P]$", _LOSS, (1.7, 0.8))
            _node(place, (1.5, 3.7), "$z$ from $Q(z|Y, X)$", _SAMPLED, (3.1, 0.8))
            _node(place, (4.2, 6.8), r"$-\log P(Y|z, X)$", _LOSS, (3.0, 0.8))
            _arrow(place, (1.5, 0.9), (1.5, 1.8))
            _arrow(place, (5.65, 0.6), (2.75, 1.9))
            _arrow(place, (1.5, 2.6), (1.5, 3.3))
            _arrow(place, (2.75, 2.2), (3.35, 2.2))
            _arrow(place, (5.65, 2.2), (5.05, 2.2))
            _arrow(place, (2.4, 4.1), (3.5, 4.8))
        else:
            _node(place, (4.2, 3.7), "$z$ from $P(z|X)$", _SAMPLED, (3.1, 0.8))
            _node(place, (4.2, 6.8), "a possible $Y$", size=(3.0, 0.8))
            _arrow(place, (5.9, 2.6), (5.2, 3.3))
            _arrow(place, (4.2, 4.1), (4.2, 4.8))
        _arrow(place, (4.2, 5.6), (4.2, 6.4))
    return Picture(figure)


def noise_diagram(mu: float = 1.0, sigma: float = 0.6) -> Picture:
    """Where z = mu + sigma * noise takes nine quantiles of the noise, both axes in one unit."""
    figure, axes = _subplots(1, 3.0)
    place = axes[0, 0]
    grid = np.linspace(-4, 4, 400)
    hill = np.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi)
    for base, x, height, color in (
        (2.0, grid, hill, _SAMPLED),
        (0.0, mu + sigma * grid, hill / sigma, ACCENT),
    ):
        place.fill_between(x, base, base + height, color=color, alpha=0.25, lw=0)
        place.plot(x, base + height, color=color, lw=1.2)
        place.plot((-4, 4), (base, base), color=INK, lw=1)
    for share in np.linspace(0.1, 0.9, 9):
        noise = float(NormalDist().inv_cdf(share))
        _arrow(place, (noise, 2.0), (mu + sigma * noise, 0.0), "#7b8794", lw=0.9)
    words = (
        (2.0, r"$\varepsilon \sim \mathcal{N}(0, 1)$"),
        (0.0, r"$z = \mu + \sigma\,\varepsilon$"),
    )
    for base, text in words:
        place.text(-4, base + 0.2, text, color=INK, fontsize=10)
        for tick in range(-3, 4):
            place.plot((tick, tick), (base - 0.05, base), color=INK, lw=0.8)
            place.text(tick, base - 0.1, str(tick), ha="center", va="top", fontsize=7.5, color=INK)
    place.annotate(
        "", (mu + sigma, -0.42), (mu, -0.42), arrowprops={"arrowstyle": "<->", "color": ACCENT}
    )
    place.text(mu + sigma / 2, -0.48, r"$\sigma$", color=ACCENT, ha="center", va="top")
    place.text(mu, -0.48, r"$\mu$", color=ACCENT, ha="center", va="top")
    _blank(place, (-4.1, 4.1), (-0.75, 2.5))
    return Picture(figure)


def growth(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    points: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
) -> Picture:
    """Positive ``curves`` (name -> [len(x)]) and measured ``points`` on logarithmic axes."""
    figure, axes = _subplots(1, 3.2)
    place = axes[0, 0]
    for (name, values), color in zip(curves.items(), CLASSES, strict=False):
        place.plot(x, values, color=color, lw=1.4, label=name)
        if name in points:
            place.plot(x, points[name], "o", color=color, ms=4)
    place.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    place.legend()
    return Picture(figure)
