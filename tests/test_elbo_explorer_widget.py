"""What the ELBO explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

import re

import pytest

from vae_core.widgets import ELBOExplorer


def test_terms_are_those_of_its_model() -> None:
    widget = ELBOExplorer("bimodal", mean=1.0, sigma=0.4)
    assert widget.terms == widget.model.terms((1.0, 0.4))
    widget.posterior = "skewed"
    assert widget.model.decoder == "exponential"
    assert widget.terms.elbo + widget.terms.gap == pytest.approx(widget.terms.evidence, abs=1e-9)


def test_best_q_closes_the_gap_only_where_the_posterior_is_gaussian() -> None:
    left = {}
    for name in ("gaussian", "skewed", "bimodal"):
        widget = ELBOExplorer(name)
        widget.mean, widget.sigma = widget.best_q()
        left[name] = widget.terms.gap
    assert left["gaussian"] == pytest.approx(0, abs=1e-10)
    assert 0.01 < left["skewed"] < left["bimodal"]


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("mean", 4.5, r"mean must lie in \[-4, 4\], got 4.5"),
        ("mean", float("nan"), "mean must lie in"),
        ("sigma", 0.0, r"sigma must lie in \[0.05, 2\], got 0.0"),
        ("posterior", "cauchy", "posterior must be one of"),
    ],
)
def test_unfit_traits_are_refused(name: str, bad: object, words: str) -> None:
    widget = ELBOExplorer()
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=words):
        setattr(widget, name, bad)
    assert getattr(widget, name) == before
    with pytest.raises(ValueError, match=words):
        ELBOExplorer(**{name: bad})


def test_html_needs_nothing_else_and_is_small() -> None:
    html = ELBOExplorer().to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert html.count("<script") == html.count("</script>") == 2
    assert len(html) < 150_000


def test_print_shows_a_picture() -> None:
    assert ELBOExplorer("skewed").to_png().startswith(b"\x89PNG")
