"""The gradient-noise widget without a browser: what it carries, draws and refuses."""

from __future__ import annotations

import base64
import json
import re

import pytest
from traitlets import TraitError

from vae_core.evaluation import ScalarVAE, mean_estimate
from vae_core.widgets import GradientNoise


@pytest.fixture
def widget() -> GradientNoise:
    return GradientNoise(ScalarVAE(0.9, 0.6, 0.2, 0.4, 1.5))


def test_the_page_needs_nothing_else(widget: GradientNoise) -> None:
    html = widget.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert len(html) < 300_000
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*widget.STATE, "payload", "share"}
    assert state["payload"]["case"] == widget.case._asdict()


def test_print_gets_a_picture(widget: GradientNoise) -> None:
    shown, _ = widget._repr_mimebundle_()
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_pythons_estimates_follow_the_law(widget: GradientNoise) -> None:
    widget.batch, widget.draws = 8, 2
    for parameter, hold in (("decoder", False), ("encoder", False), ("encoder", True)):
        widget.parameter, widget.hold_z = parameter, hold
        mean = mean_estimate(widget.estimates(4000))
        assert abs(mean.value - widget.law().mean) < 4.5 * mean.standard_error
    assert widget.law().bias < 0


def test_traits_are_checked(widget: GradientNoise) -> None:
    for name, bad, words in (
        ("batch", 3, "batch must be a power of two from 1 to 64, got 3"),
        ("draws", 128, "draws must be a power of two"),
        ("draws", 0, "draws must be a power of two"),
        ("parameter", "prior", "parameter must be one of"),
    ):
        before = getattr(widget, name)
        with pytest.raises(ValueError, match=words):
            setattr(widget, name, bad)
        assert getattr(widget, name) == before
    with pytest.raises(TraitError):
        widget.seed = -1


def test_a_case_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="case must be a ScalarVAE, got str"):
        GradientNoise("small")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be positive"):
        GradientNoise(ScalarVAE(spread=-1.0))
