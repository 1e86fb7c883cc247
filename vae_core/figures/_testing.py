"""Figures of chapter 07."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, INK, finite
from vae_core.evaluation import Estimate
from vae_core.figures._picture import Picture, _subplots


def paths_through_a_vae() -> Picture:
    """What is used of a VAE to train it, to generate with it, and to score an image with it."""
    figure, axes = _subplots(1, 2.3)
    place = axes[0, 0]
    place.set(xlim=(0, 10.6), ylim=(-0.1, 2.9))
    place.axis("off")
    columns = {"X": 1.8, "Q": 3.9, "z": 6.1, "P": 8.0, "f": 10.0}
    rows = [
        ("score", ["X", "Q", "z", "P", "f"], "$z$ from $Q(z|X)$\nweighted", "$\\log P(X)$"),
        ("generate", ["z", "P", "f"], "$z$ from $N(0, I)$", "new $X$"),
        ("train", ["X", "Q", "z", "P", "f"], "$z$ from $Q(z|X)$", "bound"),
    ]
    for y, (name, used, draw, end) in enumerate(rows):
        words = {"X": "$X$", "Q": "encoder", "z": draw, "P": "decoder", "f": end}
        place.text(0.1, y + 0.4, name, weight="bold", va="center")
        for left, right in itertools.pairwise(columns):
            if left in used:
                place.annotate(
                    "", (columns[right] - 0.72, y + 0.4), (columns[left] + 0.72, y + 0.4),
                    arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.2},
                )  # fmt: skip
        for key, x in columns.items():
            if key not in used and key != "Q":
                continue
            boxed = key in "QP"
            tone = ACCENT if boxed and key in used else "#a9b3bd" if boxed else "none"
            style = "-" if key in used else ":"
            text = words[key] if key in used else "encoder\n(left out)"
            place.text(
                x, y + 0.4, text, ha="center", va="center", fontsize=8.5,
                color=INK if key in used else "#66717d",
                bbox={"boxstyle": "round,pad=0.4", "fc": "white", "ec": tone, "ls": style},
            )  # fmt: skip
    return Picture(figure)


def bounds_by_draws(
    curves: Mapping[str, Mapping[int, Estimate]], levels: Mapping[str, float] | None = None
) -> Picture:
    """Bounds in nats against the number of draws; each curve is k -> Estimate, shown ± 2 errors.

    ``levels``: horizontal lines by name, such as an exact value.
    """
    figure, axes = _subplots(1, 3.2)
    place = axes[0, 0]
    for number, (name, curve) in enumerate(curves.items()):
        values, errors = zip(*curve.values(), strict=True)
        place.errorbar(
            list(curve), values, yerr=[2 * e if e == e else 0 for e in errors],
            marker="o", ms=4, capsize=3, lw=1.4, color=CLASSES[number], label=name,
        )  # fmt: skip
    for name, level in (levels or {}).items():
        place.axhline(level, color=INK, ls="--", lw=1, label=name)
    place.set(xscale="log", xlabel="draws of z for each image, k", ylabel="nats per image")
    place.legend()
    return Picture(figure)


def bound_ladders(bounds: Mapping[str, Tensor]) -> Picture:
    """For each image, several bounds one above the other: name -> values in nats [n]."""
    figure, axes = _subplots(1, 3.0)
    place = axes[0, 0]
    ladders = [finite(name, values) for name, values in bounds.items()]
    order = np.argsort(-ladders[-1], kind="stable")
    where = range(len(order))
    stacked = np.stack([values[order] for values in ladders])
    place.vlines(where, stacked.min(0), stacked.max(0), color="#a9b3bd", lw=1.2, zorder=0)
    for number, (name, values) in enumerate(zip(bounds, stacked, strict=True)):
        place.plot(where, values, "osD^"[number % 4], ms=4.5, color=CLASSES[number], label=name)
    place.set(xlabel="test digit, likeliest first", ylabel="nats", xticks=[])
    place.legend()
    return Picture(figure)


def latent_use(models: Mapping[str, tuple[Tensor, Tensor]]) -> Picture:
    """How much each latent says: name -> (KL in nats [latent], variance of Q's mean [latent])."""
    figure, axes = _subplots(len(models), 4.2, rows=2)
    for column, (name, parts) in enumerate(models.items()):
        found = [finite(name, values) for values in parts]
        order = np.argsort(-found[0], kind="stable")
        for row, (values, words) in enumerate(
            zip(found, ("KL (nats)", "variance of Q's mean"), strict=True)
        ):
            place = axes[row, column]
            place.bar(range(1, len(order) + 1), values[order], color=ACCENT)
            if row:
                place.set(yscale="log", ylim=(1e-5, 3))
                place.axhline(0.01, color=INK, ls="--", lw=1)
                place.set_xlabel("latent, by its KL")
            else:
                place.set_title(name)
            if not column:
                place.set_ylabel(words)
    return Picture(figure)
