"""The conditional explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stage import put, ready, written
from visit import Visit

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import CVAE
from vae_core.widgets import ConditionalExplorer

Open = Callable[..., Visit]
TRAIT = "document.querySelector('.vae-static').__model"


def completer(observed: str, prior: str) -> CVAE:
    # Wide enough that matrices are quantised, as those of the chapter are.
    options = {"hidden": (96,), "observed": observed, "prior": prior, "seed": 2}
    return CVAE(5, likelihood=BernoulliLikelihood(), **options)


@pytest.fixture(scope="module")
def widget() -> ConditionalExplorer:
    labelled = CVAE(2, hidden=(32,), likelihood=BernoulliLikelihood(), classes=10, seed=1)
    completers = {
        "1 quadrant": completer("1-quadrant", "learned"),
        "3 quadrants": completer("3-quadrants", "learned"),
        "column": completer("centre-column", "standard"),
    }
    return ConditionalExplorer(labelled, completers, data.load("mnist", "test").first(300))


@pytest.fixture(scope="module")
def page(widget: ConditionalExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("conditional"), widget.to_html())


def test_ten_classes_equal_pytorch(
    page: Path, widget: ConditionalExplorer, open_page: Open
) -> None:
    """Every pixel of every class, within 1e-5 of PyTorch on the same quantised weights."""
    visit = ready(open_page(page))
    for z in ([0.0, 0.0], [1.3, -0.8], [-3.1, 2.7]):
        state = put(visit, mode="classes", z=z)
        widget.z = z
        shown = torch.tensor(state["decoded"]).reshape(10, 1, 28, 28)
        assert (shown - widget.decode()).abs().max() < 1e-5
    visit.check()


@pytest.mark.parametrize("given", ["1 quadrant", "3 quadrants", "column"])
def test_completions_equal_pytorch(
    page: Path, widget: ConditionalExplorer, given: str, open_page: Open
) -> None:
    """All hundred completions, their mean, and both counts of undecided pixels."""
    visit = ready(open_page(page))
    for digit, seed in ((0, 1), (7, 12345)):
        state = put(visit, mode="completions", given=given, digit=digit, seed=seed)
        widget.given, widget.digit, widget.seed = given, digit, seed
        found = visit.page.evaluate(
            "([g, d, s]) => vae.complete(g, d, s).every", [given, digit, seed]
        )
        every = torch.tensor(found).reshape(100, 1, 28, 28)
        assert (every - widget.completions()).abs().max() < 1e-5
        mean = torch.tensor(state["mean"]).reshape(1, 28, 28)
        assert (mean - widget.mean_prediction()).abs().max() < 1e-5
        single, together = widget.undecided()
        assert state["single"] == pytest.approx(single, rel=1e-4)
        assert state["together"] == pytest.approx(together, rel=1e-4)
    visit.check()


def test_mouse_and_keys_move_z_and_class(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=900))
    plane = visit.page.get_by_role("application")
    box = plane.bounding_box()
    visit.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    z = visit.page.evaluate("vae.state().z")
    # The plane reaches from -3.4 to 3.4: a quarter of it is 1.7.
    assert z == pytest.approx([1.7, 1.7], abs=0.06)
    visit.page.wait_for_function(f"Math.abs({TRAIT}.get('z')[0] - {z[0]}) < 1e-9")
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.evaluate("vae.state().z[0]") < z[0]
    visit.page.keyboard.press("7")
    visit.page.wait_for_function(f"{TRAIT}.get('label') === 7")
    visit.page.get_by_role("button", name="Class 3").click()
    assert visit.page.evaluate("vae.state().label") == 3
    before = visit.page.evaluate("vae.state().z")
    visit.page.get_by_role("button", name="Draw z from the prior").press("Enter")
    assert visit.page.evaluate("vae.state().z") != before
    visit.check()


def test_buttons_change_the_question_and_resample(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    visit.page.get_by_role("button", name="Complete a digit").click()
    assert visit.page.get_by_role("application").count() == 0  # the other page is hidden
    first = visit.page.evaluate("vae.state()")
    visit.page.get_by_role("button", name="Resample").click()
    second = visit.page.evaluate("vae.state()")
    assert second["seed"] == first["seed"] + 1
    assert second["mean"] != first["mean"]
    visit.page.keyboard.press("r")
    visit.page.wait_for_function(f"{TRAIT}.get('seed') === {first['seed'] + 2}")
    visit.page.get_by_role("button", name="3 quadrants").click()
    assert visit.page.evaluate("vae.state().given") == "3 quadrants"
    visit.page.get_by_role("button", name="Test digit 5").press("Enter")
    visit.page.wait_for_function(f"{TRAIT}.get('digit') === 4")
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.includes('pixels undecided')"
    )
    visit.check()


def test_touch_on_a_phone(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=360, touch=True))
    plane = visit.page.get_by_role("application")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    visit.page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert visit.page.evaluate("vae.state().z[0]") == pytest.approx(-1.7, abs=0.06)
    visit.page.get_by_role("button", name="Complete a digit").tap()
    visit.page.get_by_role("button", name="Test digit 3").tap()
    assert visit.page.evaluate("vae.state().digit") == 2
    assert visit.sideways() <= 0
    visit.check()


@pytest.mark.parametrize("mode", ["classes", "completions"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_fits_and_is_quiet(page: Path, mode: str, dark: bool, width: int, open_page: Open) -> None:
    visit = ready(open_page(page, dark=dark, width=width))
    put(visit, mode=mode)
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()
