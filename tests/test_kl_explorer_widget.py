"""What the KL explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vae_core import evaluation
from vae_core.widgets import KLExplorer
from vae_core.widgets._base import bundle
from vae_core.widgets._page import bare
from vae_core.widgets.kl_explorer import two_peaks


@pytest.fixture(scope="module")
def widget() -> KLExplorer:
    return KLExplorer(mu=0.3, sigma=1.4)


def test_against_the_prior_it_reads_torchs_divergence(widget: KLExplorer) -> None:
    q = Normal(torch.tensor(0.3, dtype=torch.float64), torch.tensor(1.4, dtype=torch.float64))
    prior = Normal(torch.zeros(()).double(), torch.ones(()).double())
    assert widget.divergence == pytest.approx(float(kl_divergence(q, prior)), abs=1e-12)
    assert widget.printed == pytest.approx(1.4**2 + 0.3**2 - math.log(1.4) - 0.5)


def test_against_two_peaks_each_direction_is_its_own_integral() -> None:
    widget = KLExplorer(mu=0.3, sigma=1.4, mode="peaks")
    q, p = (
        Normal(torch.tensor(0.3, dtype=torch.float64), torch.tensor(1.4, dtype=torch.float64)),
        two_peaks(),
    )
    expected = evaluation.divergence_on_line(q.log_prob, p.log_prob, -16.0, 17.0)
    assert widget.divergence == pytest.approx(float(expected), abs=1e-9)
    widget.direction = "forward"
    expected = evaluation.divergence_on_line(p.log_prob, q.log_prob, -16.0, 17.0)
    assert widget.divergence == pytest.approx(float(expected), abs=1e-9)


def test_the_optima_it_carries_are_lowest(widget: KLExplorer) -> None:
    optima, here = widget.payload["optima"], KLExplorer(mode="peaks")
    for direction, (mu, sigma) in (
        ("forward", optima["forward"]),
        ("reverse", optima["reverse"][0]),
        ("reverse", optima["reverse"][1]),
    ):
        here.direction, here.mu, here.sigma = direction, mu, sigma
        least = here.divergence
        for dm, ds in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)):
            here.mu, here.sigma = mu + dm, sigma + ds
            assert here.divergence > least
    assert optima["reverse"][0][0] < 0 < optima["reverse"][1][0]  # the heavier peak first


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("mu", 3.5, r"mu must lie in \[-3, 3\], got 3.5"),
        ("mu", float("nan"), "mu must lie in"),
        ("sigma", 0.0, r"sigma must lie in \[0.05, 3\], got 0.0"),
        ("sigma", -1.0, "sigma must lie in"),
        ("mode", "posterior", "mode must be one of"),
        ("direction", "sideways", "direction must be one of"),
    ],
)
def test_unfit_traits_are_refused(widget: KLExplorer, name: str, bad: object, words: str) -> None:
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=words):
        setattr(widget, name, bad)
    assert getattr(widget, name) == before
    with pytest.raises(ValueError, match=words):
        KLExplorer(**{name: bad})


def test_html_needs_nothing_else_and_is_small(widget: KLExplorer) -> None:
    html = widget.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert html.count("<script") == html.count("</script>") == 2
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*widget.STATE, "payload", "share"}
    assert len(html) < 120_000
    code = bare(bundle("kl_explorer"))
    assert bare(code) == code


def test_print_shows_either_mode(widget: KLExplorer) -> None:
    for mode in ("prior", "peaks"):
        figure = KLExplorer(mode=mode, sigma=0.8).figure()
        assert len(figure.axes) == 4
        assert all(axes.lines for axes in figure.axes)
    assert widget.to_png().startswith(b"\x89PNG\r\n\x1a\n")
