"""SamplingExplorer in a browser, from its static rendition: no kernel, no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import written
from visit import Visit

from vae_core import data
from vae_core.models import VAE
from vae_core.widgets import SamplingExplorer
from vae_core.widgets.sampling_explorer import SIGMAS

Open = Callable[..., Visit]
CANVAS = ".vw-plane > canvas"


@pytest.fixture(scope="module")
def widget() -> SamplingExplorer:
    test = data.load("mnist", "test")
    few = test._replace(images=test.images[:400], labels=test.labels[:400])
    return SamplingExplorer(VAE(hidden=(16,), seed=1).eval(), few)


@pytest.fixture(scope="module")
def page(widget: SamplingExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sampling"), widget.to_html())


def settled(visit: Visit) -> dict[str, Any]:
    """The widget's state, once it has all its draws."""
    visit.page.wait_for_function(
        "document.querySelector('.vae-static > div')?.__vae?.state().ready"
    )
    visit.page.evaluate("window.vae = document.querySelector('.vae-static > div').__vae")
    return dict(visit.page.evaluate("vae.state()"))


def trait(visit: Visit, name: str) -> Any:
    """What Python would be told: a page sends its traits within a moment."""
    visit.page.wait_for_timeout(120)
    return visit.page.evaluate(f"document.querySelector('.vae-static').__model.get('{name}')")


@pytest.mark.parametrize("proposal", ["prior", "posterior"])
def test_numbers_equal_the_engines(
    proposal: str, widget: SamplingExplorer, page: Path, open_page: Open
) -> None:
    """Draws, log-weights, estimate and effective sample size: float64 on both sides."""
    visit = open_page(page)
    settled(visit)
    for digit, level, n, seed in ((0, 3, 1000, 1), (4, 12, 200, 9)):
        wanted = {
            "digit": digit,
            "sigma": SIGMAS[level],
            "n": n,
            "seed": seed,
            "proposal": proposal,
        }
        visit.page.evaluate("(values) => vae.sampler.set(values)", wanted)
        state = settled(visit)
        for name, value in wanted.items():
            assert state[name] == value
            setattr(widget, name, value)
        drawn = [v for z in state["z"] for v in z]
        assert drawn == pytest.approx(widget.draws().flatten().tolist(), abs=1e-9)
        weights = widget.log_weights().tolist()
        assert state["weights"] == pytest.approx(weights, abs=1e-6, rel=1e-12)
        found = widget.estimate()
        assert state["estimate"] == pytest.approx(found.value.item(), abs=1e-6)
        assert state["effective"] == pytest.approx(found.effective_samples.item(), rel=1e-6)
        assert state["known"] == widget.known()[0]
        share = widget.log_weights().softmax(0).sort(descending=True).values.cumsum(0)
        assert state["carry"] == int((share < 0.99).sum()) + 1
    visit.check()


def test_a_trait_set_in_python_moves_the_page(page: Path, open_page: Open) -> None:
    visit = open_page(page)
    before = settled(visit)
    visit.page.evaluate(
        "() => { const m = document.querySelector('.vae-static').__model; m.set('n', 50);"
        " m.set('digit', 3); m.set('sigma', 0.2); }"
    )
    state = settled(visit)
    assert (state["n"], state["digit"]) == (50, 3)
    assert len(state["weights"]) == 50
    assert state["sigma"] == min(SIGMAS, key=lambda s: abs(s / 0.2 - 1))
    assert state["estimate"] != before["estimate"]
    readout = visit.page.locator(".vw-readout dd").all_inner_texts()
    assert readout[0].replace("−", "-").startswith(f"{state['estimate']:.1f}")


def test_buttons_and_sliders_set_the_traits(page: Path, open_page: Open) -> None:
    visit = open_page(page)
    settled(visit)
    visit.page.get_by_role("button", name="X: a digit 7").click()
    visit.page.get_by_role("button", name="z from Q(z|X)").click()
    visit.page.get_by_role("button", name="New draws").click()
    visit.page.get_by_role("slider", name="pixel σ").press("ArrowLeft")
    visit.page.get_by_role("slider", name="draws n").press("ArrowLeft")
    state = settled(visit)
    assert (state["digit"], state["proposal"], state["seed"]) == (7, "posterior", 2)
    assert state["sigma"] == SIGMAS[4]
    assert state["n"] == round(10**2.95)
    for name in ("digit", "proposal", "seed", "sigma", "n"):
        assert trait(visit, name) == state[name]
    visit.check()


def test_keys_walk_through_the_draws_by_weight_and_are_announced(
    page: Path, open_page: Open
) -> None:
    visit = open_page(page)
    weights = settled(visit)["weights"]
    visit.page.locator(CANVAS).focus()
    facts = visit.page.locator(".vw-facts dd")
    assert facts.nth(0).inner_text() == "1 of 1,000"
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    assert facts.nth(0).inner_text() == "3 of 1,000"
    assert weights[visit.page.evaluate("vae.sampler.chosen()")] == sorted(weights)[-3]
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.evaluate("vae.state().rank") == 1
    visit.page.wait_for_function(
        "document.querySelector('[aria-live]').textContent.includes('draw 2 by weight')"
    )
    visit.page.keyboard.press("n")
    assert settled(visit)["seed"] == 2
    visit.check()


def test_the_pointer_shows_the_draw_under_it_true_to_scale(page: Path, open_page: Open) -> None:
    visit = open_page(page)
    state = settled(visit)
    box = visit.page.locator(CANVAS).bounding_box()
    z = state["z"][5]
    # 7.6 units across, the origin in the middle.
    unit = box["width"] / 7.6
    visit.page.mouse.move(
        box["x"] + box["width"] / 2 + z[0] * unit, box["y"] + box["height"] / 2 - z[1] * unit
    )
    place = sorted(state["weights"], reverse=True).index(state["weights"][5]) + 1
    facts = visit.page.locator(".vw-facts dd")
    assert facts.nth(0).inner_text() == f"{place:,} of 1,000"
    visit.page.mouse.move(1, 1)
    assert facts.nth(0).inner_text() == "1 of 1,000"
    visit.check()


def test_the_handle_of_the_chart_changes_n_by_mouse_and_keys(page: Path, open_page: Open) -> None:
    visit = open_page(page)
    settled(visit)
    handle = visit.page.get_by_role("slider", name="Number of draws")
    box = handle.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.mouse.move(*at)
    visit.page.mouse.down()
    visit.page.mouse.move(at[0] - 60, at[1], steps=4)
    visit.page.mouse.up()
    dragged = settled(visit)["n"]
    assert 50 < dragged < 600
    handle.press("ArrowRight")
    assert settled(visit)["n"] > dragged
    assert handle.get_attribute("aria-valuetext") == f"{settled(visit)['n']} draws"
    visit.check()


def test_touch_on_a_phone_and_in_the_dark(page: Path, open_page: Open) -> None:
    visit = open_page(page, dark=True, width=360, touch=True)
    state = settled(visit)
    assert visit.sideways() <= 0
    assert visit.page.locator(".vae-widget").get_attribute("data-vw-theme") == "dark"
    canvas = visit.page.locator(CANVAS)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    visit.page.touchscreen.tap(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    near = min(range(1000), key=lambda i: sum(v * v for v in state["z"][i]))
    order = sorted(range(1000), key=lambda i: -state["weights"][i])
    assert visit.page.evaluate("vae.state().rank") == order.index(near)
    visit.page.get_by_role("button", name="X: a digit 2").tap()
    assert settled(visit)["digit"] == 2
    visit.check()


def test_other_draws_are_weighed_before_they_are_shown(page: Path, open_page: Open) -> None:
    """The pointer moves over the plane while new draws are still being decoded."""
    visit = open_page(page)
    settled(visit)
    visit.page.evaluate("vae.sampler.set({ n: 10000 })")
    settled(visit)
    counts = visit.page.evaluate(
        """() => {
            const { sampler } = vae;
            sampler.shownAt = performance.now();  // as if it had drawn a moment ago
            sampler.set({ proposal: "posterior" });
            sampler.point([0, 0], "hover");
            return [sampler.shown, sampler.set_.count];
        }"""
    )
    assert 0 < counts[0] <= counts[1] < 10_000
    visit.check()
