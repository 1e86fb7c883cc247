"""The front page's two stored pictures: the card that previews of links show, and a still widget.

``book/_static/social-card.png``, 1200 × 630: the book's title beside a grid of digits that the
book's VAE decodes. ``book/_static/opening.png``: what a quick build shows in place of the widget.
Run it again when the title in ``book/route.yml`` or the zoo's VAE has changed.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from PIL import Image

from vae_core import data, widgets, zoo

BOOK = Path(__file__).parents[1]
SIZE = (1200, 630)
ACROSS, DOWN = 9, 9  # digits
GROUND, INK, ACCENT = "#0d2137", "#ffffff", "#7cc0ff"
COLOURS = 24


def digits() -> np.ndarray:
    """Digits decoded at equal steps of the prior's probability, as one picture in [0, 1]."""
    steps = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.03, 0.97, ACROSS))
    z = torch.cartesian_prod(steps.flip(0), steps).flip(1)  # rows from the top
    with torch.no_grad():
        made = zoo.load("vae-2").mean(z)[:, 0].numpy()
    height, width = made.shape[1:]
    grid = made.reshape(DOWN, ACROSS, height, width).swapaxes(1, 2)
    return np.asarray(grid.reshape(DOWN * height, ACROSS * width))


def card(title: str, subtitle: str) -> Image.Image:
    """The card: title and logo on the left, digits on the right."""
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor=GROUND)
    axes = figure.add_axes((1 - SIZE[1] / SIZE[0], 0, SIZE[1] / SIZE[0], 1))
    axes.imshow(digits(), cmap="gray", vmin=0, vmax=1, alpha=digits(), interpolation="bilinear")
    axes.set_axis_off()
    left = figure.add_axes((0, 0, 1, 1))
    left.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    left.set_axis_off()
    left.patch.set_alpha(0)
    left.add_patch(Circle((118, 500), 54, fill=False, ec=ACCENT, lw=5, ls=(0, (2.6, 1.8))))
    left.add_patch(Ellipse((128, 510), 60, 34, angle=35, fill=False, ec=INK, lw=5))
    left.add_patch(Circle((128, 510), 8, color=ACCENT))
    left.text(58, 395, title.replace(" ", "\n"), size=44, weight="bold", color=INK, va="top")
    left.text(
        60, 205, "\n".join(textwrap.wrap(subtitle, 32)), size=20, color=ACCENT, va="top",
        linespacing=1.5,
    )  # fmt: skip
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=100, facecolor=GROUND)
    return Image.open(raw).convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    """As a PNG of few colours; its bytes depend on the picture alone."""
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, format="png", optimize=True)
    print(f"{path}: {picture.size[0]} x {picture.size[1]}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    title, subtitle = yaml.safe_load((BOOK / "route.yml").read_text("utf-8"))["title"].split(": ")
    subtitle = f"{subtitle[0].upper()}{subtitle[1:]}: derive it, build it, play with it"
    save(card(title, subtitle), BOOK / "_static" / "social-card.png")
    models = {"Autoencoder": zoo.load("ae-2"), "VAE": zoo.load("vae-2")}
    still = widgets.Opening(models, data.load("mnist", "test")).to_png()
    (BOOK / "_static" / "opening.png").write_bytes(still)
    print(f"{BOOK / '_static' / 'opening.png'}: {len(still) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
