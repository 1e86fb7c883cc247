"""Figures of chapter 09."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, INK, finite
from vae_core.figures._picture import Picture, _subplots


def bit_bars(z: Float[Tensor, " n"], x: Float[Tensor, " n"], names: Sequence[str]) -> Picture:
    """Stacked bars of bits, one for each name: ``z`` [n] below, ``x`` given z [n] above."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(len(names))
    below = finite("z", z)
    place.bar(at, below, color=ACCENT, label="z")
    place.bar(at, finite("x", x), bottom=below, color=CLASSES[1], label="X given z")
    place.set_xticks(at, names)
    place.set(xlabel="digit", ylabel="bits")
    place.legend(loc="upper left", ncols=2)
    place.margins(y=0.2)
    return Picture(figure)


def fine_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    coded: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: Mapping[str, str],
) -> Picture:
    """The fine in bits over what spoils Q, a panel a name: curves, and dots of a real coder."""
    figure, axes = _subplots(len(curves), 2.7)
    for place, (name, (x, y)) in zip(axes[0], curves.items(), strict=True):
        place.plot(x, y, color=ACCENT, label="the accounts")
        if name in coded:
            place.plot(*coded[name], "o", color=CLASSES[1], ms=5, label="the coder, weighed")
        place.set(xlabel=labels[name], ylabel="fine, bits a digit", ylim=(0, None))
        place.legend(loc="upper center")
    axes[0, -1].set_xscale("log", base=2)
    return Picture(figure)


def bits_ledger(heights: Sequence[float], names: Sequence[str]) -> Picture:
    """A stack's height in bits [1 + 3 names] as digits are sent: pop z, push X, push z for each.

    Heights are drawn from the first one on. Below each name stands the digit's net cost.
    """
    height = finite("heights", heights).astype(np.float64)
    height = height - height[0]
    steps = (("pop z with Q(z|X)", CLASSES[2]), ("push X", CLASSES[1]), ("push z", ACCENT))
    figure, axes = _subplots(1, 3.0)
    place, low, high = axes[0, 0], height[:-1], height[1:]
    for k, (label, color) in enumerate(steps):
        at = np.arange(k, len(low), 3)
        place.bar(at, high[at] - low[at], 0.8, bottom=low[at], color=color, alpha=0.85, label=label)
    for k in range(len(low)):  # where one step ends the next one begins
        place.plot([k - 0.4, k + 1.4], [high[k]] * 2, color=INK, lw=0.6)
    net = height[3::3] - height[:-1:3]
    place.set_xticks(
        np.arange(1, len(low), 3),
        [f"{name}\n{cost:+.0f}" for name, cost in zip(names, net, strict=True)],
    )
    place.axhline(0, color=INK, lw=0.8, ls=":")
    place.set(xlabel="digit, and its net cost in bits", ylabel="bits on the stack", xlim=(-1, None))
    place.legend(loc="upper left")
    return Picture(figure)


def dimension_bars(rate: Float[Tensor, " latent"], relied: Float[Tensor, " latent"]) -> Picture:
    """For each latent [latent]: its bits, and by how many X rises when noise takes its place."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(1, len(rate) + 1)
    place.bar(at - 0.2, finite("rate", rate), 0.4, color=ACCENT, label="its rate: bits of z")
    place.bar(
        at + 0.2,
        finite("relied", relied),
        0.4,
        color=CLASSES[1],
        label="rise of X with noise in its place",
    )
    place.set_xticks(at)
    place.set(xlabel="latent dimension, by rate", ylabel="bits", yscale="log")
    place.legend()
    return Picture(figure)
