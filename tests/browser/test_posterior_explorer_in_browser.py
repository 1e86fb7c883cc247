"""The posterior explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from visit import Visit

from vae_core.widgets import PosteriorExplorer
from vae_core.widgets._base import bundle

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>widget</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }} body {{ margin: 8px }}</style><body>{}</body></html>"""
Show = Callable[..., Visit]
MODEL = "document.querySelector('.vae-static').__model"


@pytest.fixture
def shown(tmp_path: Path, open_page: Callable[..., Visit]) -> Show:
    """Open a page with one explorer in the given state."""

    def show(page: dict[str, Any] | None = None, **state: Any) -> Visit:
        path = tmp_path / "page.html"
        path.write_text(PAGE.format(PosteriorExplorer(**state).to_html()), encoding="utf-8")
        visit = open_page(path, **(page or {}))
        visit.page.wait_for_function("document.querySelector('.vae-static > div').__vae")
        visit.page.evaluate("window.vae = document.querySelector('.vae-static > div').__vae")
        settle(visit)
        return visit

    return show


def settle(visit: Visit) -> None:
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    visit.page.evaluate(frame)


def state(visit: Visit) -> dict[str, Any]:
    found = visit.page.evaluate("vae.state()")
    assert isinstance(found, dict)
    return found


def middle(visit: Visit, label: str) -> tuple[float, float]:
    handle = visit.page.get_by_role("slider", name=label, exact=True)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


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
    widget = PosteriorExplorer()
    (tmp_path / "page.html").write_text(PAGE.format('<div id="here"></div>'), encoding="utf-8")
    visit = open_page(tmp_path / "page.html")
    values = {name: getattr(widget, name) for name in (*widget.STATE, "payload")}
    blobs = {sha: list(data) for sha, data in widget.blobs.items()}
    visit.page.evaluate(
        """async ([source, values, blobs]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const module = await import(address);
            values.blobs = Object.fromEntries(Object.entries(blobs).map(
                ([sha, bytes]) => [sha, new DataView(new Uint8Array(bytes).buffer)]));
            const model = {
                get: (name) => values[name], set: (name, value) => { values[name] = value; },
                save_changes: () => { window.saved = (window.saved ?? 0) + 1; },
                on() {}, off() {},
            };
            window.el = document.getElementById("here");
            window.close = await module.default.render({ model, el });
        }""",
        [bundle(widget.NAME), values, blobs],
    )
    visit.page.get_by_role("button", name="Best Gaussian").click()
    visit.page.wait_for_function("window.saved > 0")
    visit.page.evaluate("window.close()")
    assert visit.page.evaluate("el.childElementCount") == 0
    visit.check()
