"""The bits explorer's Python side: what it refuses, its accounts, its payload."""

from __future__ import annotations

import math

import pytest
import torch
import traitlets

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.objectives import elbo
from vae_core.widgets import BitsExplorer

IMAGES = data.binarize(data.load("mnist", "test").images[:3], "fixed").to(torch.uint8)
NAMES = ["7", "2", "1"]


def a_vae() -> VAE:
    return VAE(4, hidden=(30,), likelihood=BernoulliLikelihood(), seed=1).eval()


@pytest.fixture
def widget() -> BitsExplorer:
    return BitsExplorer(a_vae(), IMAGES, NAMES, samples=5)


def test_its_account_is_minus_the_elbo_of_the_twin(widget: BitsExplorer) -> None:
    widget.digit = 2
    told = widget.account()
    x = IMAGES[2:].double()
    with torch.no_grad():
        bound = elbo(widget.twin, x, 5, noise=widget.noise[:, None])
    assert told.total.item() == pytest.approx(-bound.total.item() / math.log(2), rel=1e-12)
    widget.shift = 2.0
    assert widget.account().total.item() != told.total.item()
    assert widget.account(0.0, 1.0).total.item() == told.total.item()


def test_traits_are_checked(widget: BitsExplorer) -> None:
    with pytest.raises(ValueError, match="digit must be 0 to 2, got 3"):
        widget.digit = 3
    for name, value in (("shift", 3.1), ("scale", 0.0), ("digit", -1)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(ValueError, match="a VAE with a Bernoulli likelihood"):
        BitsExplorer(VAE(), IMAGES, NAMES)
    conv = VAE(2, likelihood=BernoulliLikelihood(), architecture="conv")
    with pytest.raises(ValueError, match="made of linear layers"):
        BitsExplorer(conv, IMAGES, NAMES)
    with pytest.raises(ValueError, match=r"images must be uint8 \[n, 1, 28, 28\], got"):
        BitsExplorer(a_vae(), IMAGES.float(), NAMES)
    with pytest.raises(ValueError, match="with a name each, got 3, 1"):
        BitsExplorer(a_vae(), IMAGES, ["7"])
    with pytest.raises(ValueError, match="pixels must be 0 or 1, got up to 5"):
        BitsExplorer(a_vae(), IMAGES * 5, NAMES)


def test_it_shows_in_print_and_on_a_page(widget: BitsExplorer) -> None:
    assert widget.to_png()[:4] == b"\x89PNG"
    page = widget.to_html()
    assert page.count("data-vae-blob") >= len(widget.blobs) == 2
    assert '"scale": 1.0' in page
