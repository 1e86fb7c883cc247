"""What the posterior explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

import re

import pytest

from vae_core.widgets import PosteriorExplorer


def test_numbers_are_those_of_its_model() -> None:
    widget = PosteriorExplorer("gumbel", sigma=0.2, x=0.5)
    numbers = widget.numbers
    assert numbers.gap == pytest.approx(widget.model.gap(0.5, 0.2), abs=1e-12)
    assert numbers.mean_gap == widget.model.mean_gap(0.2)
    widget.best = True
    assert 0 < widget.numbers.gap < numbers.gap
    assert widget.numbers.evidence == numbers.evidence


def test_a_change_of_density_keeps_x_within_it() -> None:
    widget = PosteriorExplorer("logistic", x=-5.0)
    widget.density = "mixture"
    low = float(widget.model.f(-3.0))
    assert widget.x == pytest.approx(low)


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("sigma", 0.6, r"sigma must lie in \[0.005, 0.5\], got 0.6"),
        ("sigma", float("nan"), "sigma must lie in"),
        ("x", 9.0, r"x must lie in \[.*\] for 'mixture', got 9.0"),
        ("density", "uniform", "density must be one of"),
    ],
)
def test_unfit_traits_are_refused(name: str, bad: object, words: str) -> None:
    widget = PosteriorExplorer()
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=words):
        setattr(widget, name, bad)
    assert getattr(widget, name) == before
    with pytest.raises(ValueError, match=words):
        PosteriorExplorer(**{name: bad})


def test_html_needs_nothing_else_and_is_small() -> None:
    html = PosteriorExplorer().to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert len(html) < 300_000


def test_print_shows_a_picture() -> None:
    assert PosteriorExplorer("gumbel", x=1.0, zoom=True).to_png().startswith(b"\x89PNG")
