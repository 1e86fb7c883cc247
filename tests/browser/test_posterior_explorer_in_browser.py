"""The posterior explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stage import middle, rendered_live, saves_and_closes, state
from visit import Visit

from vae_core.widgets import PosteriorExplorer

Show = Callable[..., Visit]
EXPLORER = PosteriorExplorer  # the fixture `shown` opens it
MODEL = "document.querySelector('.vae-static').__model"


@pytest.mark.parametrize("density", ["mixture", "gumbel", "logistic"])
def test_numbers_equal_pythons(shown: Show, density: str) -> None:
    """Evidence, ELBO, gap, mean gap and Q against QuantileMap's.

    Within 1e-6 everywhere, and the gaps, which go down to 1e-6 themselves, to a thousandth.
    """
    visit = shown(density=density)
    for sigma, x, best in ((0.5, -1.2, False), (0.5, 0.4, True), (0.1, 1.7, True), (0.005, 0, 0)):
        visit.page.evaluate(
            f"vae.view.set({{ sigma: {sigma}, x: {x}, best: {str(bool(best)).lower()} }}, 'set')"
        )
        got = state(visit)
        widget = PosteriorExplorer(density, sigma=sigma, x=x, best=bool(best))
        expected = {**widget.numbers._asdict(), "mean": widget.q.mean, "width": widget.q.sigma}
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, abs=1e-6), (name, sigma)
        for name in ("gap", "mean_gap"):
            assert got[name] == pytest.approx(expected[name], rel=1e-3), (name, sigma)
    visit.check()


def test_curve_is_pythons_and_is_drawn_where_the_axes_say(shown: Show) -> None:
    visit = shown(density="gumbel")
    sigmas, curve = visit.page.evaluate("[vae.view.places, vae.view.curve()]")
    model = PosteriorExplorer("gumbel").model
    assert curve == pytest.approx([model.mean_gap(s) for s in sigmas], rel=1e-6)
    x, y = middle(visit, "Sigma on the curve")
    box = visit.page.locator("canvas").nth(2).bounding_box()
    at = visit.page.evaluate(f"vae.view.decay.toValue([{x - box['x']}, {y - box['y']}])")
    assert at[0] == pytest.approx(0.3, rel=0.02)
    assert at[1] == pytest.approx(model.mean_gap(0.3), rel=0.1)


def test_mouse_drags_x_and_sigma(shown: Show) -> None:
    visit = shown(sigma=0.3, x=-0.3)
    unit = visit.page.evaluate("vae.view.data.px(1) - vae.view.data.px(0)")
    x, y = middle(visit, "The chosen X")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + unit, y + 8, steps=4)
    visit.page.mouse.up()
    assert state(visit)["x"] == pytest.approx(0.7, abs=0.03)
    decade = visit.page.evaluate("vae.view.decay.px(0.1) - vae.view.decay.px(0.01)")
    x, y = middle(visit, "Sigma on the curve")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x - decade, y, steps=4)
    visit.page.mouse.up()
    assert state(visit)["sigma"] == pytest.approx(0.03, rel=0.05)
    visit.page.mouse.move(5, 5)
    visit.page.wait_for_function(f"Math.abs({MODEL}.get('sigma') - vae.state().sigma) < 1e-12")
    visit.check()


def test_buttons_choose_density_q_and_zoom(shown: Show) -> None:
    visit = shown(density="logistic", x=-5.0)
    before = state(visit)
    visit.page.get_by_role("button", name="Best Gaussian").click()
    assert state(visit)["gap"] < before["gap"]
    assert state(visit)["mean_gap"] == before["mean_gap"]
    visit.page.get_by_role("button", name="Zoom to Q").click()
    low, high = visit.page.evaluate("vae.view.codesChart.x")
    now = state(visit)
    assert (high - low) / 10 == pytest.approx(now["width"])
    visit.page.get_by_role("button", name="Two Gaussians").click()
    low = float(PosteriorExplorer("mixture").model.f(-3.0))
    assert state(visit)["x"] == pytest.approx(low)
    visit.page.wait_for_function(f"{MODEL}.get('density') === 'mixture'")
    visit.check()


def test_keys_move_handles_and_are_announced(shown: Show) -> None:
    visit = shown(sigma=0.3, x=0.0)
    handle = visit.page.get_by_role("slider", name="The chosen X", exact=True)
    handle.focus()
    visit.page.keyboard.press("ArrowRight")
    moved = state(visit)["x"]
    assert moved > 0
    visit.page.keyboard.press("Shift+ArrowLeft")
    assert state(visit)["x"] == pytest.approx(-9 * moved, rel=1e-6)
    visit.page.get_by_role("slider", name="σ of P(X|z)").focus()
    visit.page.keyboard.press("ArrowLeft")
    assert state(visit)["sigma"] < 0.3
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.includes('mean over the data')", timeout=5000
    )
    visit.check()


def test_a_trait_set_in_python_moves_the_page(shown: Show) -> None:
    visit = shown()
    visit.page.evaluate(f"{MODEL}.set('density', 'gumbel'); {MODEL}.set('x', 1.5)")
    got = state(visit)
    assert (got["density"], got["x"]) == ("gumbel", 1.5)
    expected = PosteriorExplorer("gumbel", x=1.5).numbers
    assert got["gap"] == pytest.approx(expected.gap, abs=1e-6)
    pressed = visit.page.locator(".vw-choice button[aria-pressed=true]").first.inner_text()
    assert pressed == "Gumbel"


def test_finger_drags_on_a_narrow_page(shown: Show) -> None:
    visit = shown({"width": 360, "touch": True}, x=0.0)
    x, y = middle(visit, "The chosen X")
    client = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, at: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": at, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + 8 * step)
    touch("touchEnd", x + 40)
    unit = visit.page.evaluate("vae.view.data.px(1) - vae.view.data.px(0)")
    assert state(visit)["x"] == pytest.approx(40 / unit, abs=0.1)
    assert visit.sideways() <= 0
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_page_fits_and_is_quiet(shown: Show, dark: bool, width: int) -> None:
    visit = shown({"width": width, "dark": dark}, density="gumbel", best=True, zoom=True)
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()


def test_module_renders_live_and_closes(tmp_path: Path, open_page: Callable[..., Visit]) -> None:
    """As a kernel serves it: the module is imported, and leaves nothing behind."""
    visit = rendered_live(PosteriorExplorer(), tmp_path, open_page)
    visit.page.get_by_role("button", name="Best Gaussian").click()
    saves_and_closes(visit)
