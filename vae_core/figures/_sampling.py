"""Figures of chapter 02."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from vae_core._plot import CLASSES, plain
from vae_core.figures._picture import Picture, _subplots


class Curve(NamedTuple):
    """One line of :func:`draw_curves`: ``color`` counts the class colours, None is grey."""

    x: Sequence[float] | Tensor
    y: Sequence[float] | Tensor
    color: int | None = None
    label: str = ""
    dashed: bool = False


def draw_curves(
    panels: Mapping[str, Sequence[Curve]], xlabel: str, ylabels: Sequence[str], logs: Sequence[str]
) -> Picture:
    """Curves side by side, a panel for each title; ``logs``: for each, "x", "y", "xy" or ""."""
    figure, axes = _subplots(len(panels), 2.9)
    for k, (place, (title, curves)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        for curve in curves:
            color = curve.color
            place.plot(
                *(plain(values) for values in (curve.x, curve.y)),
                color="#9aa5b1" if color is None else CLASSES[color % len(CLASSES)],
                lw=0.8 if color is None else 1.6,
                ls="--" if curve.dashed else "-",
                label=curve.label or None,
                zorder=1 if color is None else 2,
            )
        if "x" in logs[k]:
            place.set_xscale("log")
        if "y" in logs[k]:
            place.set_yscale("log")
            low, high = place.get_ylim()
            if high < 10 * low:  # between two powers of ten: plain numbers say more than powers
                place.yaxis.set_major_formatter("{x:g}")
                place.yaxis.set_minor_formatter("{x:g}")
        place.set(title=title, xlabel=xlabel, ylabel=ylabels[k])
        place.grid(color="#e4e8ec", lw=0.6)
        place.set_axisbelow(True)
        if any(curve.label for curve in curves):
            place.legend(fontsize=7.5, handlelength=1.6)
    return Picture(figure)
