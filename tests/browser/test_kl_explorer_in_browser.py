"""The KL explorer in a browser, from its static rendition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from visit import Visit

from vae_core.widgets import KLExplorer
from vae_core.widgets._base import bundle

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>widget</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }} body {{ margin: 8px }}</style><body>{}</body></html>"""
Open = Callable[..., Visit]


@pytest.fixture
def shown(tmp_path: Path, open_page: Open) -> Callable[..., Visit]:
    """Open a page with one explorer in the given state."""

    def show(page: dict[str, Any] | None = None, **state: Any) -> Visit:
        path = tmp_path / "page.html"
        path.write_text(PAGE.format(KLExplorer(**state).to_html()), encoding="utf-8")
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
    box = visit.page.get_by_role("slider", name=label, exact=True).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("mu", [-2.4, 0.0, 1.0])
@pytest.mark.parametrize("sigma", [0.05, 0.71, 1.0, 2.9])
def test_numbers_equal_pythons(shown: Callable[..., Visit], mu: float, sigma: float) -> None:
    """Formula, summed area and printed formula against vae_core's, in every mode."""
    visit = shown(mu=mu, sigma=sigma)
    for mode, direction in (("prior", "reverse"), ("peaks", "reverse"), ("peaks", "forward")):
        here = KLExplorer(mu=mu, sigma=sigma, mode=mode, direction=direction)
        visit.page.evaluate(f"vae.bench.setMode('{mode}'); vae.bench.setDirection('{direction}')")
        got = state(visit)
        assert got["divergence"] == pytest.approx(here.divergence, rel=1e-9, abs=1e-6)
        assert got["area"] == pytest.approx(here.divergence, rel=1e-9, abs=1e-6)
        assert got["printed"] == pytest.approx(here.printed, abs=1e-12)
    visit.check()


def test_area_on_the_canvas_is_the_divergence(shown: Callable[..., Visit]) -> None:
    """The polygon that is drawn, summed in the axes' own units."""
    visit = shown(mu=1.0, sigma=0.5)
    drawn = visit.page.evaluate(
        """() => {
            const { area: chart } = vae.bench, sums = [], original = chart.path;
            chart.path = function (ctx, xs, ys) {
                let sum = 0;
                for (let i = 0; i < xs.length; i++) {
                    const j = (i + 1) % xs.length;
                    sum += xs[i] * ys[j] - xs[j] * ys[i];
                }
                sums.push(-sum / 2);
                original.call(this, ctx, xs, ys);
            };
            chart.paint();
            delete chart.path;
            return sums.slice(0, 2);
        }"""
    )
    assert drawn[0] > 0 > drawn[1]
    assert sum(drawn) == pytest.approx(KLExplorer(mu=1.0, sigma=0.5).divergence, abs=1e-3)


def test_mouse_drags_both_handles(shown: Callable[..., Visit]) -> None:
    visit = shown(mu=0.0, sigma=1.0)
    mouse, scale = visit.page.mouse, "vae.bench.density.px(1) - vae.bench.density.px(0)"
    for label, by, expected in (
        ("Mean of Q", 1.5, {"mu": 1.5, "sigma": 1.0}),
        ("Standard deviation of Q", -0.6, {"mu": 1.5, "sigma": 0.4}),
    ):
        unit = visit.page.evaluate(scale)  # the picture widens as Q is set farther out
        x, y = middle(visit, label)
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + by * unit, y + 15, steps=4)
        mouse.up()
        settle(visit)
        got = state(visit)
        assert got["mu"] == pytest.approx(expected["mu"], abs=0.03)
        assert got["sigma"] == pytest.approx(expected["sigma"], abs=0.03)
    text = visit.page.locator(".vw-readout").inner_text()
    assert f"{state(visit)['divergence']:.4f}" in text
    visit.page.wait_for_function(
        "Math.abs(document.querySelector('.vae-static').__model.get('sigma') - vae.state().sigma)"
        " < 1e-12"
    )
    visit.check()


def test_dragging_far_keeps_the_frame_and_the_range(shown: Callable[..., Visit]) -> None:
    visit = shown(mu=0.0, sigma=1.0)
    x, y = middle(visit, "Standard deviation of Q")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 2000, y, steps=5)
    assert state(visit)["sigma"] == 3.0
    assert visit.page.evaluate("vae.bench.density.x") == [-5, 5]
    visit.page.mouse.up()
    assert visit.page.evaluate("vae.bench.density.x[1]") == pytest.approx(4.2 * 3)
    visit.check()


def test_keys_move_handles_and_are_announced(shown: Callable[..., Visit]) -> None:
    visit = shown(mu=0.0, sigma=1.0)
    handle = visit.page.get_by_role("slider", name="Mean of Q", exact=True)
    handle.focus()
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["mu"] == pytest.approx(0.02)
    visit.page.keyboard.press("Shift+ArrowLeft")
    assert state(visit)["mu"] == pytest.approx(-0.18)
    assert handle.get_attribute("aria-valuetext") == "μ −0.18"
    visit.page.get_by_role("slider", name="Standard deviation of Q, on the curve").focus()
    visit.page.keyboard.press("ArrowDown")
    assert state(visit)["sigma"] == pytest.approx(0.98)
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.includes('σ 0.98')", timeout=5000
    )
    visit.check()


def test_buttons_go_to_each_optimum(shown: Callable[..., Visit]) -> None:
    visit = shown(mu=1.0, sigma=0.5)
    press = lambda name: visit.page.get_by_role("button", name=name, exact=True).click()  # noqa: E731
    press("Lowest printed formula")
    got = state(visit)
    assert got["sigma"] == pytest.approx(1 / math.sqrt(2))
    assert got["printed"] == pytest.approx(0.5 * math.log(2))
    press("Lowest divergence")
    assert state(visit)["divergence"] == 0
    press("Q and two peaks")
    optima = KLExplorer().payload["optima"]
    for name, direction, place in (
        ("Lowest D[Q‖P]", "reverse", optima["reverse"][0]),
        ("Its other valley", "reverse", optima["reverse"][1]),
        ("Lowest D[P‖Q]", "forward", optima["forward"]),
    ):
        press(name)
        got = state(visit)
        assert (got["mode"], got["direction"]) == ("peaks", direction)
        assert [got["mu"], got["sigma"]] == pytest.approx(place)
    visit.check()


def test_a_trait_set_in_python_moves_the_page(shown: Callable[..., Visit]) -> None:
    visit = shown()
    model = "document.querySelector('.vae-static').__model"
    visit.page.evaluate(f"{model}.set('mode', 'peaks'); {model}.set('mu', -0.5)")
    got = state(visit)
    assert (got["mode"], got["mu"]) == ("peaks", -0.5)
    expected = KLExplorer(mu=-0.5, mode="peaks").divergence
    assert got["divergence"] == pytest.approx(expected, abs=1e-6)


def test_finger_drags_on_a_narrow_page(shown: Callable[..., Visit]) -> None:
    visit = shown({"width": 360, "touch": True}, mu=0.0, sigma=1.0)
    x, y = middle(visit, "Mean of Q")
    client = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, at: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": at, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    unit = visit.page.evaluate("vae.bench.density.px(1) - vae.bench.density.px(0)")
    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + 8 * step)
    touch("touchEnd", x + 40)
    assert state(visit)["mu"] == pytest.approx(40 / unit, abs=0.1)
    assert visit.sideways() <= 0
    visit.check()


@pytest.mark.parametrize("mode", ["prior", "peaks"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_page_fits_and_is_quiet(
    shown: Callable[..., Visit], mode: str, dark: bool, width: int
) -> None:
    visit = shown({"width": width, "dark": dark}, mode=mode)
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()


def test_module_renders_live_and_closes(tmp_path: Path, open_page: Open) -> None:
    """As a kernel serves it: the module is imported, and leaves nothing behind."""
    widget = KLExplorer()
    (tmp_path / "page.html").write_text(PAGE.format('<div id="here"></div>'), encoding="utf-8")
    visit = open_page(tmp_path / "page.html")
    values = {name: getattr(widget, name) for name in (*widget.STATE, "payload")}
    visit.page.evaluate(
        """async ([source, values]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const module = await import(address);
            const model = {
                get: (name) => values[name], set: (name, value) => { values[name] = value; },
                save_changes: () => { window.saved = (window.saved ?? 0) + 1; },
                on() {}, off() {},
            };
            window.el = document.getElementById("here");
            window.close = await module.default.render({ model, el });
        }""",
        [bundle(widget.NAME), values],
    )
    visit.page.get_by_role("button", name="Lowest divergence").click()
    visit.page.wait_for_function("window.saved > 0")
    visit.page.evaluate("window.close()")
    assert visit.page.evaluate("el.childElementCount") == 0
    visit.check()
