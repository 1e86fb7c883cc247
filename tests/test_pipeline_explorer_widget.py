"""The pipeline widget without a browser: what it carries, computes, draws and refuses."""

from __future__ import annotations

import base64
import json
import re

import pytest
import torch

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import DrawAndEncode, PipelineExplorer


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    return data.load("mnist", "test").first(60)


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(hidden=(16,), likelihood=BernoulliLikelihood(), seed=1).eval()


@pytest.fixture
def widget(vae: VAE, few: data.ImageData) -> PipelineExplorer:
    return PipelineExplorer(vae, few)


def test_the_page_needs_nothing_else(widget: PipelineExplorer) -> None:
    html = widget.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*widget.STATE, "payload", "share"}
    for sha in (
        state["payload"][part]["sha"] for part in ("encoder", "decoder", "codes", "digits")
    ):
        assert sha in widget.blobs


def test_it_shares_its_data_with_draw_and_encode(
    widget: PipelineExplorer, vae: VAE, few: data.ImageData
) -> None:
    """So that a page with both carries the networks once."""
    assert set(widget.blobs) == set(DrawAndEncode(vae, few).blobs)


def test_print_gets_a_picture(widget: PipelineExplorer) -> None:
    shown, _ = widget._repr_mimebundle_()
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_the_numbers_follow_from_the_traits(widget: PipelineExplorer, few: data.ImageData) -> None:
    widget.pixels = few.images[7].flatten().tolist()
    widget.noise = [1.5, -0.25]
    x = data.binarize(few.images[7:8], "threshold")
    with torch.no_grad():
        q = widget.twin.encode(x)
        z = q.mean + q.sigma * torch.tensor([[1.5, -0.25]])
        p = widget.twin.mean(z)
    pixels = torch.where(x > 0.5, p, 1 - p).clamp_min(1e-12).log().sum()
    kl = (0.5 * (q.mean**2 + q.sigma**2 - 1) - q.log_sigma).sum()
    assert widget.z == pytest.approx(z[0].tolist(), abs=1e-5)
    assert widget.reconstruction == pytest.approx(pixels.item(), abs=1e-2)
    assert widget.kl == pytest.approx(kl.item(), abs=1e-4)
    assert widget.elbo == pytest.approx(widget.reconstruction - widget.kl, abs=1e-3)


def test_what_it_cannot_show_is_refused(few: data.ImageData, widget: PipelineExplorer) -> None:
    with pytest.raises(ValueError, match="model"):
        PipelineExplorer(Autoencoder(hidden=(8,)), few)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pixels must be 784"):
        widget.pixels = [300] * 784
    with pytest.raises(ValueError, match="noise"):
        widget.noise = [0.0]
