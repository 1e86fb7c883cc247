"""Figures of chapter 09."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES
from vae_core.figures._picture import Picture, _subplots


def bit_bars(z: Tensor, x: Tensor, names: Sequence[str]) -> Picture:
    """Stacked bars of bits, one for each name: ``z`` [n] below, ``x`` given z [n] above."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(len(names))
    place.bar(at, z.numpy(), color=ACCENT, label="z")
    place.bar(at, x.numpy(), bottom=z.numpy(), color=CLASSES[1], label="X given z")
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


def dimension_bars(rate: Tensor, saved: Tensor) -> Picture:
    """For each latent dimension [latent]: the bits it costs, and those it saves on X."""
    figure, axes = _subplots(1, 2.5)
    place, at = axes[0, 0], np.arange(1, len(rate) + 1)
    place.bar(at - 0.2, rate.numpy(), 0.4, color=ACCENT, label="rate: bits of z")
    place.bar(at + 0.2, saved.numpy(), 0.4, color=CLASSES[1], label="bits of X it saves")
    place.set_xticks(at)
    place.set(xlabel="latent dimension, by rate", ylabel="bits")
    place.legend()
    return Picture(figure)
