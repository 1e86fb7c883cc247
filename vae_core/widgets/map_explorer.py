"""MapExplorer: choose a map, drag points of z-space, see where they land and how densely."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from vae_core import maps
from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, among, between, whole
from vae_core.widgets._validate import check_point

REACH = 3.5  # |z| of a point, in each direction
POINTS = ((0.0, 1.0), (1.5, 0.5), (-1.0, -1.0))
LETTERS = "ABC"
# What the right-hand picture shows of x: low and high across, low and high up.
VIEWS = {
    "identity": (-3.9, 3.9, -3.9, 3.9),
    "ring": (-1.5, 1.5, -1.5, 1.5),
    "bent": (-4.4, 4.4, -4.4, 4.4),
    "uniform": (-0.1, 1.1, 0, 1.5),
    "exponential": (-0.3, 6.5, 0, 1.15),
    "arcsine": (-0.1, 1.1, 0, 3),
    "two-peaks": (-5, 5.5, 0, 0.32),
}


class Numbers(NamedTuple):
    """What the page says of one point: densities, not logarithms; all in float64."""

    z: list[float]
    x: list[float]
    base: float  # P(z)
    stretch: float  # |det dx/dz|
    density: float  # P(x)
    below: float  # Φ(z_1), the area to the left of z in one dimension


class MapExplorer(BrowserWidget):
    """Points of z-space under a map of :data:`vae_core.maps.MAPS`.

    Live traits: ``map_name``, a name of ``MAPS``; ``points``, three points of z-space, [z_1, z_2]
    each and within 3.5 of zero in each direction (maps on the line use z_1 alone); ``chosen``, the
    point whose numbers are shown: 0, 1 or 2. Setting one moves the page. ``numbers`` reads what the
    page shows.

    Raises:
        ValueError: for a trait out of its range, saying what was given.
    """

    NAME: ClassVar[str] = "map_explorer"
    PICTURE: ClassVar[str] = (
        "Draws of a standard normal z, and beside them where the chosen map takes them; "
        "three marked points, A, B and C, are shown before and after the map."
    )
    STATE: ClassVar[tuple[str, ...]] = ("map_name", "points", "chosen")
    RANGES: ClassVar[dict[str, Rule]] = {
        "map_name": among(maps.MAPS),
        "points": between(-REACH, REACH),
        "chosen": whole(0, len(LETTERS) - 1),
    }
    PYTHON: ClassVar[str] = """
    import torch

    from vae_core import maps

    g = maps.MAPS[{{map_name}}]
    z = torch.tensor({{points}}, dtype=torch.float64)[:, : g.dim]
    x, base, stretch = g(z), maps.log_normal(z).exp(), g.log_stretch(z).exp()
    density = base / stretch
    for k, letter in enumerate("ABC"):
        print(f"{letter}: P(z) {base[k]:.4g}, stretch {stretch[k]:.4g}, P(x) {density[k]:.4g}")
    """

    map_name = traitlets.Unicode("ring").tag(sync=True)
    points = traitlets.List([list(point) for point in POINTS]).tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(
            payload={
                "reach": REACH,
                "maps": {
                    name: {"title": item.title, "dim": item.dim, "view": VIEWS[name]}
                    for name, item in maps.MAPS.items()
                },
                "peaks": maps.TWO_PEAKS._asdict(),
            },
            blobs=[],
            **state,
        )

    @traitlets.validate("map_name")
    def _check_name(self, proposal: Any) -> str:
        if proposal["value"] not in maps.MAPS:
            raise ValueError(
                f"map_name must be one of {list(maps.MAPS)}, got {proposal['value']!r}"
            )
        return str(proposal["value"])

    @traitlets.validate("points")
    def _check_points(self, proposal: Any) -> list[list[float]]:
        value = proposal["value"]
        if len(value) != len(LETTERS):
            raise ValueError(f"points must be {len(LETTERS)} points, got {len(value)}")
        points = [check_point(point, f"points[{k}]") for k, point in enumerate(value)]
        if max(abs(v) for point in points for v in point) > REACH:
            raise ValueError(f"points must lie in [-{REACH}, {REACH}], got {points}")
        return points

    @traitlets.validate("chosen")
    def _check_chosen(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(LETTERS):
            raise ValueError(f"chosen must be 0, 1 or 2, got {proposal['value']!r}")
        return int(proposal["value"])

    @property
    def numbers(self) -> list[Numbers]:
        """What the page shows of each point."""
        item = maps.MAPS[self.map_name]
        z = torch.tensor(self.points, dtype=torch.float64, device="cpu")[:, : item.dim]
        x, base, stretch = item(z), maps.log_normal(z), item.log_stretch(z)
        return [
            Numbers(
                z[k].tolist(),
                x[k].tolist(),
                base[k].exp().item(),
                stretch[k].exp().item(),
                (base - stretch)[k].exp().item(),
                torch.special.ndtr(z[k, 0]).item(),
            )
            for k in range(len(z))
        ]

    def figure(self) -> Figure:
        """z-space with draws of the prior, and where the map takes them."""
        item, numbers = maps.MAPS[self.map_name], self.numbers
        figure = Figure(figsize=(8.4, 4.2 if item.dim == 2 else 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        double: Any = {"dtype": torch.float64, "device": "cpu"}
        generator = torch.Generator("cpu").manual_seed(1)
        z = torch.randn(1500, item.dim, generator=generator, **double)
        x, view = item(z), VIEWS[self.map_name]
        if item.dim == 2:
            left.scatter(*z.T, s=3, color=CLASSES[7], alpha=0.5, lw=0)
            right.scatter(*x.T, s=3, color=CLASSES[7], alpha=0.5, lw=0)
            turn = torch.linspace(0, 2 * math.pi, 400, **double)
            for radius in (1, 2, 3):
                circle = radius * torch.stack([turn.cos(), turn.sin()], 1)
                left.plot(*circle.T, color=ACCENT, lw=1)
                right.plot(*item(circle).T, color=ACCENT, lw=1)
            places = [(n.z, n.x) for n in numbers]
            left.set(xlim=(-3.9, 3.9), ylim=(-3.9, 3.9), aspect="equal")
            right.set(xlim=view[:2], ylim=view[2:], aspect="equal")
            left.set(xlabel="$z_1$", ylabel="$z_2$")
            right.set(xlabel="$x_1$", ylabel="$x_2$")
        else:
            line = torch.linspace(-3.9, 3.9, 801, **double)[:, None]
            left.plot(line[:, 0], maps.log_normal(line).exp(), color=ACCENT)
            right.hist(x[:, 0].numpy(), bins=40, density=True, color=CLASSES[7], alpha=0.4)
            image = item(line)
            density = np.exp((maps.log_normal(line) - item.log_stretch(line)).numpy())
            right.plot(image[:, 0], density, color=ACCENT)
            places = [([n.z[0], n.base], [n.x[0], n.density]) for n in numbers]
            left.set(xlim=(-3.9, 3.9), ylim=(0, 0.45), xlabel="$z$", ylabel="density")
            right.set(xlim=view[:2], ylim=view[2:], xlabel="$x$")
        for letter, color, (before, after) in zip(LETTERS, CLASSES[1:4], places, strict=True):
            for axes, place in ((left, before), (right, after)):
                axes.plot(*place, "o", color=color, ms=9, clip_on=False)
                axes.annotate(letter, place, color="white", fontsize=7, ha="center", va="center")
        left.set_title("z ~ N(0, I)" if item.dim == 2 else "z ~ N(0, 1)")
        right.set_title(f"x = g(z): {item.title}")
        for axes in (left, right):
            axes.tick_params(labelsize=7, colors=INK)
        return figure
