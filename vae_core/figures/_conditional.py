"""Figures of conditional models: what is given, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from vae_core._plot import CLASSES, INK, finite, plain
from vae_core.figures._picture import WIDTH, Picture, _subplots

_HIDDEN = np.array([0.80, 0.87, 0.94])  # pixels that are not given: neither paper nor ink


def _as_colours(images: Tensor, observed: Tensor | None) -> np.ndarray:
    """Images [rows, columns, 1, h, w] as one picture [rows * h, columns * w, 3]."""
    paper = 1 - finite("images", images).clip(0, 1)[:, :, 0]
    colours = np.repeat(paper[..., None], 3, axis=-1)
    if observed is not None:
        colours[:, :, ~plain(observed).reshape(paper.shape[-2:])] = _HIDDEN
    rows, columns, height, width, _ = colours.shape
    return colours.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def completion_rows(x: Tensor, observed: Tensor, groups: Mapping[str, Tensor]) -> Picture:
    """A digit a row: what is given of it, then named groups of pictures.

    ``x`` [n, 1, height, width] in [0, 1]; ``observed`` bool [1, height, width], True where a pixel
    is given; each of ``groups`` [n, 1, height, width], or [n, k, 1, height, width] for k pictures.
    """
    shown: dict[str, tuple[Tensor, Tensor | None]] = {"given": (x[:, None], observed)}
    for name, images in groups.items():
        shown[name] = (images if images.ndim == 5 else images[:, None], None)
    widths = [images.shape[1] for images, _ in shown.values()]
    gaps = 0.25 * (len(widths) - 1)
    figure, _ = _subplots(1, WIDTH * len(x) / (sum(widths) + gaps) + 0.35)
    figure.clear()
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    for place, (name, (images, mask)) in zip(axes, shown.items(), strict=True):
        place.imshow(_as_colours(images, mask), interpolation="nearest")
        place.set_title(name, fontsize=8)
        place.set_xticks([])
        place.set_yticks([])
        for side in place.spines.values():
            side.set(visible=True, color="#d5dbe1")
    return Picture(figure)


class Ladder(NamedTuple):
    """Estimates against the number of draws: ``draws`` and, for each, nats and their error."""

    draws: tuple[int, ...]
    nats: tuple[float, ...]
    errors: tuple[float, ...]


def ladders_by_draws(
    panels: Mapping[str, Mapping[str, Ladder]], levels: Mapping[str, Mapping[str, float]]
) -> Picture:
    """For each panel, its ladders on a logarithmic axis of draws, and its named levels."""
    figure, axes = _subplots(len(panels), 2.6)
    for place, (title, ladders) in zip(axes[0], panels.items(), strict=True):
        for k, (name, ladder) in enumerate(ladders.items()):
            place.errorbar(
                *ladder[:2], ladder[2], color=CLASSES[k], marker="o", ms=3, capsize=2, label=name
            )
        for name, level in levels.get(title, {}).items():
            place.axhline(level, color=INK, lw=1, ls="--", label=name)
        place.set(title=title, xscale="log", xlabel="draws of $z$")
    axes[0, 0].set_ylabel("$-\\log P(Y|X)$, nats")
    axes[0, -1].legend(fontsize=7.5)
    return Picture(figure)
