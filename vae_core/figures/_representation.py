"""Figures of chapter 13."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, StrMethodFormatter
from torch import Tensor

from vae_core._plot import CLASSES, HALO, INK, finite, medians
from vae_core.figures._picture import WIDTH, Picture, _subplots


def projections(points: Mapping[str, Tensor], labels: Tensor, classes: Sequence[str]) -> Picture:
    """Maps in the plane (name -> [n, 2]) two in a row, coloured by ``labels`` [n].

    Each map has its own centre and scale, its two axes the same unit. There are no circles: these
    planes have no prior in common. A map is cut to the square that holds 99 % of either axis.
    Raises ``ValueError`` for points that are not [n, 2] with n labels.
    """
    for name, own in points.items():
        if own.ndim != 2 or own.shape[1] != 2 or len(own) != len(labels):
            raise ValueError(f"{name!r} must be [{len(labels)}, 2]; got {list(own.shape)}")
    rows = -(-len(points) // 2)
    figure, axes = _subplots(2, rows * WIDTH / 2, rows=rows)
    colors = [CLASSES[k % len(CLASSES)] for k in labels.tolist()]
    for place in axes.flat[len(points) :]:
        place.set_axis_off()
    for place, (name, own) in zip(axes.flat, points.items(), strict=False):
        where = finite(name, own)
        place.scatter(*where.T, c=colors, s=7, alpha=0.65, linewidths=0)
        for k, middle in enumerate(medians(where, labels, len(classes))):
            if np.isfinite(middle).all():
                place.text(
                    *middle, classes[k], color=CLASSES[k % len(CLASSES)], path_effects=HALO,
                    fontsize=12, weight="bold", ha="center", va="center",
                )  # fmt: skip
        low, high = np.quantile(where, [0.005, 0.995], axis=0)
        (x, y), reach = (low + high) / 2, 0.54 * float((high - low).max())
        place.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), aspect="equal")
        place.set_title(name)
        place.tick_params(labelsize=7.5, colors=INK, length=2)
    return Picture(figure)


def against_latents(
    readings: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], label: str
) -> Picture:
    """Positive readings against the number of latents, on logarithmic axes.

    ``readings``: model -> what is read of it -> latents -> one value a seed. A model has a colour,
    each of its readings a line style; a line joins the means, a dot is one seed. ``label`` names
    the vertical axis.
    """
    figure, axes = _subplots(1, 3.4)
    place = axes[0, 0]
    sizes: set[int] = set()
    for color, (model, curves) in zip(CLASSES, readings.items(), strict=False):
        for style, (name, curve) in zip(("-", "--", ":"), curves.items(), strict=False):
            means = [float(np.mean(values)) for values in curve.values()]
            place.plot(list(curve), means, style, color=color, label=f"{model}, {name}")
            for size, values in curve.items():
                place.plot([size] * len(values), list(values), ".", ms=6, color=color)
            sizes |= set(curve)
    place.set(xscale="log", yscale="log", xlabel="latents", ylabel=label)
    place.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
    place.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    place.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    place.minorticks_off()
    place.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return Picture(figure)
