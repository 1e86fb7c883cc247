"""The bound explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stage import put, ready, written
from visit import Visit

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.widgets import BoundExplorer

Open = Callable[..., Visit]
DRAWS, N = 2000, 10
TRAIT = "document.querySelector('.vae-static').__model"


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(5, hidden=(32,), likelihood=BernoulliLikelihood(), seed=1).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return data.binarize(data.load("mnist", "test").images[:N], "fixed")


@pytest.fixture(scope="module")
def widget(model: VAE, images: torch.Tensor) -> BoundExplorer:
    weights = evaluation.log_weights(model, images, DRAWS)
    return BoundExplorer(weights, images, range(N))


@pytest.fixture(scope="module")
def page(widget: BoundExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bound"), widget.to_html())


def test_numbers_equal_evaluation(
    page: Path, model: VAE, images: torch.Tensor, open_page: Open
) -> None:
    """Bound, error, log P(X) and effective sample size, within 1e-6 of ``log_likelihood``."""
    ks = (1, 5, 37, 500, 1500, DRAWS)
    expected = evaluation.log_likelihood(model, images, DRAWS, sweep=ks)
    visit = ready(open_page(page))
    for digit in (0, 4, 9):
        for k in ks:
            state = put(visit, k=k, digit=digit)
            bound = expected.sweep[k]
            assert state["bound"] == pytest.approx(bound.value[digit].item(), abs=1e-6)
            if bound.standard_error[digit].isfinite():
                error = bound.standard_error[digit].item()
                assert state["error"] == pytest.approx(error, abs=1e-6)
            assert state["log_likelihood"] == pytest.approx(expected.value[digit].item(), abs=1e-6)
            assert state["log_likelihood_error"] == pytest.approx(
                expected.standard_error[digit].item(), abs=1e-6
            )
            assert state["all_effective"] == pytest.approx(
                expected.effective_samples[digit].item(), abs=1e-6
            )
    visit.check()


def test_shuffled_numbers_equal_python(page: Path, widget: BoundExplorer, open_page: Open) -> None:
    visit = ready(open_page(page))
    for shuffle in (0, 1, 12345, 2**31 - 1):
        state = put(visit, k=50, digit=3, shuffle=shuffle)
        widget.k, widget.digit, widget.shuffle = 50, 3, shuffle
        first = widget.first()
        assert state["bound"] == pytest.approx(widget.bound.value.item(), abs=1e-6)
        assert state["first"] == pytest.approx(first.value.item(), abs=1e-6)
        assert state["effective"] == pytest.approx(first.effective_samples.item(), abs=1e-6)
        assert state["spread"] == pytest.approx(widget.blocks(50).std().item(), abs=1e-6)
        shares = widget.ordered()[:50].softmax(0).sort(descending=True).values
        assert state["shares"] == pytest.approx(shares.tolist(), abs=1e-9)


def test_slider_rises_with_k_and_sets_the_trait(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    slider = visit.page.get_by_role("slider", name="draws k", exact=True)
    slider.focus()
    visit.page.keyboard.press("Home")
    low = visit.page.evaluate("vae.state()")
    assert low["k"] == 1
    assert visit.page.get_by_text("The first weight", exact=True).is_visible()
    visit.page.keyboard.press("End")
    high = visit.page.evaluate("vae.state()")
    assert high["k"] == DRAWS
    assert high["bound"] > low["bound"]
    visit.page.wait_for_function(f"{TRAIT}.get('k') === {DRAWS}")
    visit.check()


def test_mouse_and_keys_move_the_handle(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=900))
    handle = visit.page.get_by_role("slider", name="Draws k", exact=True)
    before = visit.page.evaluate("vae.state().k")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 120, y, steps=4)
    visit.page.mouse.up()
    dragged = visit.page.evaluate("vae.state().k")
    assert dragged > before
    handle.focus()
    visit.page.keyboard.press("ArrowLeft")
    stepped = visit.page.evaluate("vae.state().k")
    assert stepped < dragged
    visit.page.wait_for_function(f"{TRAIT}.get('k') === {stepped}")
    canvas = visit.page.locator(".vw-chart canvas").first.bounding_box()
    visit.page.mouse.click(canvas["x"] + 0.9 * canvas["width"], canvas["y"] + 60)
    assert visit.page.evaluate("vae.state().k") > dragged
    visit.check()


def test_digits_and_shuffle_buttons(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    before = visit.page.evaluate("vae.state()")
    visit.page.get_by_role("button", name="Digit 7").click()
    other = visit.page.evaluate("vae.state()")
    assert other["digit"] == 7
    assert other["log_likelihood"] != before["log_likelihood"]
    visit.page.wait_for_function(f"{TRAIT}.get('digit') === 7")
    visit.page.get_by_role("button", name="Shuffle draws").press("Enter")
    mixed = visit.page.evaluate("vae.state()")
    assert mixed["shuffle"] == 1
    assert mixed["first"] != other["first"]
    assert mixed["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-9)
    visit.page.get_by_role("button", name="Own order").click()
    assert visit.page.evaluate("vae.state().first") == other["first"]
    visit.check()


def test_touch_on_a_phone(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=360, touch=True))
    assert visit.sideways() <= 0
    visit.page.get_by_role("button", name="Digit 2").tap()
    assert visit.page.evaluate("vae.state().digit") == 2
    visit.page.locator(".vw-chart canvas").first.scroll_into_view_if_needed()
    box = visit.page.locator(".vw-chart canvas").first.bounding_box()
    visit.page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"])
    assert visit.page.evaluate("vae.state().k") > 100
    visit.check()


def test_a_screen_reader_hears_the_numbers(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    visit.page.get_by_role("button", name="Digit 4").click()
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.startsWith('Digit 4, 5 draws: bound')"
    )
    label = visit.page.locator(".vw-chart canvas").first.get_attribute("aria-label")
    assert "nats at 5 draws" in label


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_fits_and_is_quiet(page: Path, dark: bool, width: int, open_page: Open) -> None:
    visit = ready(open_page(page, dark=dark, width=width))
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()
