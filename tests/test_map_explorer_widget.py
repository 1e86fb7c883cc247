"""What the map explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

import json
import re

import pytest
from scipy import stats

from vae_core.maps import MAPS
from vae_core.widgets import MapExplorer
from vae_core.widgets._base import bundle
from vae_core.widgets._page import bare
from vae_core.widgets.map_explorer import VIEWS


def test_its_numbers_are_the_maps() -> None:
    widget = MapExplorer(map_name="ring", points=[[0, 2], [1, 0], [-0.6, 0.8]])
    first, second, third = widget.numbers
    assert first.x == pytest.approx([0, 1.2])
    assert second.x == pytest.approx([1.1, 0])
    assert third.x == pytest.approx([-0.66, 0.88])
    assert first.stretch == pytest.approx(0.1 * (0.1 + 0.5))
    assert first.base == pytest.approx(stats.multivariate_normal([0, 0]).pdf([0, 2]))
    assert first.density == pytest.approx(first.base / first.stretch)


def test_on_the_line_the_second_coordinate_does_not_count() -> None:
    one = MapExplorer(map_name="exponential", points=[[0.5, 1], [-1, 0], [2, 2]])
    other = MapExplorer(map_name="exponential", points=[[0.5, -3], [-1, 3], [2, 0]])
    assert one.numbers == other.numbers
    for number, z in zip(one.numbers, (0.5, -1, 2), strict=True):
        assert number.below == pytest.approx(stats.norm.cdf(z))
        assert stats.expon.cdf(number.x[0]) == pytest.approx(number.below)
        assert number.density == pytest.approx(stats.expon.pdf(number.x[0]))


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("map_name", "sphere", "map_name must be one of"),
        ("points", [[0, 0], [1, 1]], "points must be 3 points, got 2"),
        ("points", [[0, 0], [1, 1], [4, 0]], r"points must lie in \[-3.5, 3.5\]"),
        ("points", [[0, 0], [1, 1], [float("nan"), 0]], r"points\[2\] must be two finite numbers"),
        ("chosen", 3, "chosen must be 0, 1 or 2, got 3"),
    ],
)
def test_unfit_traits_are_refused(name: str, bad: object, words: str) -> None:
    widget = MapExplorer()
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=words):
        setattr(widget, name, bad)
    assert getattr(widget, name) == before
    with pytest.raises(ValueError, match=words):
        MapExplorer(**{name: bad})


def test_html_needs_nothing_else_and_is_small() -> None:
    widget = MapExplorer()
    html = widget.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert html.count("<script") == html.count("</script>") == 2
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*widget.STATE, "payload", "share"}
    assert len(html) < 120_000
    code = bare(bundle("map_explorer"))
    assert bare(code) == code


@pytest.mark.parametrize("name", MAPS)
def test_print_shows_every_map(name: str) -> None:
    left, right = MapExplorer(map_name=name).figure().axes
    assert (left.get_aspect() == right.get_aspect() == 1) == (MAPS[name].dim == 2)
    assert right.get_xlim() == VIEWS[name][:2]
    assert {text.get_text() for text in right.texts} == {"A", "B", "C"}
