"""Figures drawn again for the dark theme: contrasts, colours, and pictures left as they are."""

from __future__ import annotations

import colorsys
import io
import itertools
import re

import dark_figures
import numpy as np
import pytest
import torch
from dark_figures import GROUND, WHITE, contrast, for_dark
from helpers import ROOT
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from vae_core import figures
from vae_core._plot import ACCENT, CLASSES, INK, image_boxes
from vae_core.figures import Picture

INKS = ("black", INK, ACCENT, *CLASSES)


def over(figure: bytes, ground: dark_figures.Colour) -> np.ndarray:
    """A figure's pixels, [height, width, 3] from 0 to 255, as they are seen on ``ground``."""
    with Image.open(io.BytesIO(figure)) as image:
        shown = image.convert("RGBA")
    page = Image.new("RGBA", shown.size, tuple(round(255 * v) for v in (*ground, 1.0)))
    page.alpha_composite(shown)
    return np.asarray(page.convert("RGB"))


def opacity(figure: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(figure)) as image:
        return np.asarray(image.convert("RGBA"))[..., 3]


@pytest.fixture(scope="module")
def rows() -> Picture:
    noise = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return figures.digit_rows({"noise": noise, "blank": torch.zeros(4, 1, 28, 28)})


@pytest.fixture(scope="module")
def diagram() -> Picture:
    return figures.training_graphs()


# --- colours -----------------------------------------------------------------------------------


def theme(name: str) -> list[str]:
    """The colours of one of the widgets' themes: words, lesser words, accent, ten classes."""
    text = (ROOT / "vae_core/widgets/js/core.js").read_text("utf-8")
    own = text.split(f"  {name}: {{")[1].split("},")[0]
    single = [re.search(rf'{key}: "(#\w+)"', own)[1] for key in ("fg", "muted", "accent")]  # type: ignore[index]
    return [*single, *re.findall(r"#\w+", own.split("classes:")[1])]


def test_the_twins_are_the_widgets_colours() -> None:
    light, dark = theme("light"), theme("dark")
    assert {INK, ACCENT, *CLASSES} <= set(light)
    assert dict(zip(light, dark, strict=True)) == dark_figures.TWINS


@pytest.mark.parametrize(("light", "dark"), dark_figures.TWINS.items())
def test_an_ink_becomes_its_twin_and_words_in_it_can_be_read(light: str, dark: str) -> None:
    """WCAG asks 4.5 : 1 of words; classes are written in their colours."""
    assert for_dark(to_rgb(light)) == pytest.approx(to_rgb(dark), abs=1e-9)
    assert contrast(to_rgb(dark), GROUND) >= 4.5
    # A step at the edge of a line: as far from the one ground as from the other.
    half = (np.array(to_rgb(light)) + 1) / 2
    assert for_dark(tuple(half)) == pytest.approx((np.array(to_rgb(dark)) + GROUND) / 2, abs=0.05)


@pytest.mark.parametrize("name", ["#e377c2", "#17becf", "#66717d", "#9aa5b1", "#f3b27a", "#ffeedd"])
def test_another_colour_keeps_its_hue_and_stands_out(name: str) -> None:
    colour = to_rgb(name)
    found = dark_figures.lightened(colour)
    before, after = colorsys.rgb_to_hls(*colour), colorsys.rgb_to_hls(*found)
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert after[2] == pytest.approx(before[2], abs=1e-6)
    on_white = contrast(colour, WHITE)
    assert contrast(found, GROUND) == pytest.approx(dark_figures.wanted(on_white), rel=1e-3)


def test_what_stands_out_on_white_stands_out_in_the_dark() -> None:
    """Of any colour: 3 : 1 and 4.5 : 1 on white are no less on the dark ground."""
    for colour in itertools.product(np.linspace(0, 1, 12).tolist(), repeat=3):
        on_white = contrast(colour, WHITE)
        in_dark = contrast(for_dark(colour), GROUND)
        for asked in (3.0, 4.5):
            assert on_white < asked or in_dark >= asked, colour


def test_what_is_darker_on_paper_is_brighter_in_the_dark() -> None:
    greys = [dark_figures.lightened((v, v, v)) for v in np.linspace(0, 1, 256).tolist()]
    found = [contrast(grey, GROUND) for grey in greys]
    assert found == sorted(found, reverse=True)
    assert found[0] > 13
    assert for_dark(WHITE) == pytest.approx(GROUND)  # paper is the page's ground


@pytest.mark.parametrize("ground", [WHITE, GROUND])
@pytest.mark.parametrize("name", [*INKS, "white", "#d5dbe1", "#f2f4f7"])
def test_ink_laid_on_its_ground_is_the_colour(name: str, ground: dark_figures.Colour) -> None:
    *ink, alpha = dark_figures.unlaid(to_rgb(name), ground)
    share = alpha / 255
    seen = [share * v + (1 - share) * 255 * under for v, under in zip(ink, ground, strict=True)]
    assert seen == pytest.approx([255 * v for v in to_rgb(name)], abs=1.0)
    assert (alpha == 0) == (to_rgb(name) == ground)


# --- whole figures -------------------------------------------------------------------------------


def test_a_stored_figure_says_where_its_pictures_are(rows: Picture, diagram: Picture) -> None:
    stored = rows._repr_png_()
    found = dark_figures.boxes(stored)
    assert found == image_boxes(rows.figure, len(over(stored, WHITE)))
    assert found is not None
    assert len(found) == 2
    pixels = over(stored, WHITE).min(axis=2)
    left, top, right, bottom = found[0]
    # Noise fills the first box to its edges, and nothing but white is just outside it.
    noisy = pixels[top:bottom, left:right]
    for edge in (noisy[0], noisy[-1], noisy[:, 0], noisy[:, -1]):
        assert (edge < 250).mean() > 0.9
    assert (pixels[top:bottom, right : right + 2] > 250).all()
    assert (pixels[bottom : bottom + 2, left:right] > 250).all()
    assert dark_figures.boxes(diagram._repr_png_()) == []


def test_digits_are_not_inverted(rows: Picture) -> None:
    stored = rows._repr_png_()
    before, after = over(stored, WHITE), over(dark_figures.dark(stored), GROUND)
    inside = np.zeros(before.shape[:2], dtype=bool)
    for left, top, right, bottom in dark_figures.boxes(stored) or ():
        inside[top:bottom, left:right] = True
    assert np.array_equal(before[inside], after[inside])
    words = ~inside & (before.max(axis=2) < 60)
    assert words.sum() > 50  # the rows' names
    assert after[words].min() > 180


def test_the_ground_is_transparent(rows: Picture, diagram: Picture) -> None:
    for picture in (rows, diagram):
        stored = picture._repr_png_()
        paper = (over(stored, WHITE) == 255).all(axis=2)
        for left, top, right, bottom in dark_figures.boxes(stored) or ():
            paper[top:bottom, left:right] = False
        for made in (dark_figures.light(stored), dark_figures.dark(stored)):
            assert (opacity(made)[paper] == 0).all()
        assert np.array_equal(over(dark_figures.light(stored), WHITE), over(stored, WHITE))


def test_words_and_lines_of_a_whole_figure_stand_out(diagram: Picture) -> None:
    """In each column of the figure that has ink, the strongest pixel has a contrast of 3 : 1."""
    stored = diagram._repr_png_()
    light = over(stored, WHITE) / 255
    dark = over(dark_figures.dark(stored), GROUND) / 255

    def strongest(pixels: np.ndarray, ground: dark_figures.Colour) -> np.ndarray:
        linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
        y = linear @ [0.2126, 0.7152, 0.0722] + 0.05
        own = dark_figures.luminance(ground) + 0.05
        return np.maximum(y / own, own / y).max(axis=0)

    drawn = strongest(light, WHITE) >= 3
    assert drawn.mean() > 0.5
    assert (strongest(dark, GROUND)[drawn] >= 4.3).all()


def test_the_same_figure_gives_the_same_bytes(diagram: Picture) -> None:
    stored = diagram._repr_png_()
    for draw in (dark_figures.light, dark_figures.dark):
        assert draw(stored) == draw(stored)
        assert len(draw(stored)) < len(stored) + 2_000


def test_a_figure_stored_before_says_nothing(rows: Picture) -> None:
    with Image.open(io.BytesIO(rows._repr_png_())) as image:
        bare = io.BytesIO()
        Image.fromarray(np.asarray(image.convert("RGB"))).save(bare, format="PNG")
    assert dark_figures.boxes(bare.getvalue()) is None


def test_no_words_are_too_small(rows: Picture, diagram: Picture) -> None:
    """7.5 points are 9 pixels where a page shows a figure narrowest, in a solution."""
    codes = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    plane = figures.latent_maps(
        {"codes": codes}, torch.arange(60) % 10, [str(k) for k in range(10)]
    )
    for picture in (rows, diagram, plane, figures.noise_diagram(), figures.paths_through_a_vae()):
        texts = [text for text in picture.figure.findobj(Text) if text.get_text().strip()]
        assert texts
        assert min(text.get_fontsize() for text in texts) >= 7.5
