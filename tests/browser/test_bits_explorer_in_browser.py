"""The bits explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stage import put, ready, state, written
from visit import Visit

from vae_core import coding, data, zoo
from vae_core.distributions import DiagonalGaussian
from vae_core.widgets import BitsExplorer

Open = Callable[..., Visit]
READY = "document.querySelector('.vae-static > div').__vae"


@pytest.fixture(scope="module")
def widget() -> BitsExplorer:
    test = data.load("mnist", "test")
    first = [int((test.labels == k).nonzero()[0]) for k in range(10)]
    images = data.binarize(test.images, "fixed")[first].to(torch.uint8)
    return BitsExplorer(zoo.load("bernoulli-20", progress=False), images, list("0123456789"))


@pytest.fixture(scope="module")
def page(widget: BitsExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bits"), widget.to_html())


def test_bits_equal_the_engines(page: Path, widget: BitsExplorer, open_page: Open) -> None:
    """Same weights, draws and posterior, both in double precision: equal to 1e-9 relative."""
    visit = ready(open_page(page))
    for digit, shift, scale in ((0, 0.0, 1.0), (3, 1.5, 1.0), (8, -3.0, 4.0), (1, 0.25, 0.25)):
        widget.digit = digit
        wanted = widget.account(shift, scale)
        found = visit.page.evaluate("(a) => vae.account(...a)", [digit, shift, scale])
        for name in ("z", "x", "total"):
            assert found[name] == pytest.approx(getattr(wanted, name).item(), rel=1e-9)
        assert found["dimensions"] == pytest.approx(wanted.dimensions[0].tolist(), rel=1e-9)
    assert found["z"] + found["x"] == pytest.approx(found["total"], rel=1e-12)


def test_the_pictures_are_draws_of_the_chosen_q(
    page: Path, widget: BitsExplorer, open_page: Open
) -> None:
    """Six decoded draws, as PyTorch's; a wider Q decodes to pictures that differ more."""
    visit = ready(open_page(page))
    spreads = []
    for digit, shift, scale in ((4, 0.0, 0.25), (4, 1.0, 2.0), (4, 0.0, 4.0)):
        q = coding.spoil(DiagonalGaussian(*(p[digit] for p in widget.posterior)), shift, scale)
        with torch.no_grad():
            wanted = widget.twin.mean(q.rsample(widget.noise[:6])).flatten(1)
        found = torch.tensor(
            visit.page.evaluate("(a) => vae.drawn(...a)", [digit, shift, scale]),
            dtype=torch.float64,
        )
        assert found.shape == (6, 784)
        assert (found - wanted).abs().max() < 1e-5
        spreads.append(found.std(0).mean())
    assert spreads[0] < 0.5 * spreads[2]
    canvases = visit.page.locator(".vw-bits-draws canvas")
    assert canvases.count() == 6
    shots = []
    for scale in (0.25, 4.0):
        put(visit, digit=4, scale=scale)
        shots.append(canvases.first.evaluate("(canvas) => canvas.toDataURL()"))
    assert shots[0] != shots[1]  # what is shown follows the slider
    assert "draw 1 of Q for the digit 4" in canvases.first.get_attribute("aria-label")


def test_keys_and_mouse_move_the_bits(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    assert state(visit)["fine"] == 0
    visit.page.get_by_role("button", name="5", exact=True).click()
    assert state(visit)["digit"] == 5
    assert state(visit)["fine"] == 0
    slider = visit.page.get_by_label("Shift of Q, in σ").last
    slider.focus()
    for _ in range(20):
        visit.page.keyboard.press("ArrowRight")
    moved = state(visit)
    assert moved["shift"] == pytest.approx(1.0)
    assert moved["fine"] > 1
    shown = visit.page.locator(".vw-readout dd").all_inner_texts()
    assert shown[2] == f"{moved['yours']['total']:.1f}"
    boxes = visit.page.eval_on_selector_all(
        ".vw-bits-bar i", "(bars) => bars.map((b) => b.getBoundingClientRect().toJSON())"
    )
    encoder, yours = moved["encoder"], moved["yours"]
    # True to scale: both bars in the same unit, and each part as long as its bits.
    unit = boxes[0]["width"] / encoder["z"]
    parts = [encoder["z"], encoder["x"], 0, yours["z"], yours["x"], moved["fine"]]
    assert [box["width"] / unit for box in boxes] == pytest.approx(parts, rel=0.01, abs=0.5)
    # The fine lies over the end of the bar, from the encoder's total to the end.
    assert boxes[5]["left"] == pytest.approx(boxes[1]["right"], abs=1)
    assert boxes[5]["right"] == pytest.approx(boxes[4]["right"], abs=1)
    said = visit.page.inner_text(".vw-bits-verdict")
    change = yours["x"] - encoder["x"]
    assert f"X given z {abs(change):.1f} bits {'more' if change > 0 else 'less'}" in said
    visit.page.wait_for_function("document.querySelector('[role=status]').textContent")
    assert "fine" in visit.page.inner_text("[role=status]")
    visit.page.get_by_role("button", name="Back to the encoder's Q").click()
    assert state(visit)["fine"] == 0
    assert "encoder's own Q" in visit.page.inner_text(".vw-bits-verdict")


def test_setting_a_trait_moves_the_page_and_back(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    visit.page.evaluate(
        "window.m = document.querySelector('.vae-static').__model; m.set('scale', 2)"
    )
    assert state(visit)["scale"] == 2
    assert state(visit)["fine"] > 0
    visit.page.get_by_role("button", name="7", exact=True).click()
    visit.page.wait_for_function("m.get('digit') === 7")


def test_a_finger_on_a_narrow_dark_page(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=360, touch=True, dark=True))
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    visit.page.get_by_role("button", name="9", exact=True).tap()
    assert state(visit)["digit"] == 9
    visit.page.get_by_label("σ of Q, times").last.tap()
    assert visit.page.evaluate("document.querySelector('.vae-widget').dataset.vwTheme") == "dark"


def test_the_page_is_small_and_quiet(page: Path, open_page: Open) -> None:
    assert page.stat().st_size < 500_000
    visit = ready(open_page(page))
    visit.page.wait_for_timeout(200)
    assert visit.errors == []
    assert [url for url in visit.requests if not url.startswith("file:")] == []
