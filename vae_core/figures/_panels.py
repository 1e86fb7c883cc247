"""Figures of chapter 05."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from numpy.typing import ArrayLike

from vae_core._plot import CLASSES, plain
from vae_core.figures._picture import Picture, _subplots


class Panel(NamedTuple):
    """One plot of :func:`panels`: named ``curves`` (x, y) and ``points`` (x, y, error of y)."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]]
    points: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]] = {}
    log: bool = False


def panels(*plots: Panel, height: float = 2.7) -> Picture:
    """Plots side by side; points of a curve's name share its colour, bars are errors."""
    figure, axes = _subplots(len(plots), height)
    for place, plot in zip(axes[0], plots, strict=True):
        color = {name: CLASSES[k] for k, name in enumerate([*plot.curves, *plot.points])}
        for name, (x, y) in plot.curves.items():
            place.plot(plain(x), plain(y), color=color[name], label=name)
        for name, (x, y, error) in plot.points.items():
            label = None if name in plot.curves else name
            values = [plain(part) for part in (x, y, error)]
            place.errorbar(*values, fmt="o", ms=4, capsize=2, color=color[name], label=label)
        if plot.log:
            place.set(xscale="log", yscale="log")
        place.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
        place.legend(fontsize=8)
    return Picture(figure)
