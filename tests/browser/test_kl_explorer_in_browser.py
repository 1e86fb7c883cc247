"""The KL explorer in a browser, from its static rendition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import middle, rendered_live, saves_and_closes, settle, state
from visit import Visit

from vae_core.widgets import KLExplorer

Open = Callable[..., Visit]
EXPLORER = KLExplorer  # the fixture `shown` opens it


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
    """The polygons that are filled on the canvas, summed in the axes' own units."""
    visit = shown(mu=1.0, sigma=0.5)
    drawn = visit.page.evaluate(
        """() => {
            const { area: chart } = vae.bench, ctx = chart.canvas.getContext("2d"), sums = [];
            const real = CanvasRenderingContext2D.prototype;
            let corners = [];
            ctx.beginPath = () => { corners = []; real.beginPath.call(ctx); };
            ctx.lineTo = (...point) => {
                corners.push(chart.toValue(point));
                real.lineTo.apply(ctx, point);
            };
            ctx.fill = () => {
                if (corners.length > 10) {
                    const cross = corners.map(([x, y], i) => {
                        const next = corners[(i + 1) % corners.length];
                        return x * next[1] - next[0] * y;
                    });
                    sums.push(-cross.reduce((sum, part) => sum + part, 0) / 2);
                }
                real.fill.call(ctx);
            };
            chart.paint();
            delete ctx.beginPath;
            delete ctx.lineTo;
            delete ctx.fill;
            return sums;
        }"""
    )
    assert len(drawn) == 2
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


@pytest.mark.parametrize("mode", ["prior", "peaks"])
def test_every_axis_has_two_numbers_or_more(shown: Callable[..., Visit], mode: str) -> None:
    visit = shown(mode=mode)
    for mu, sigma in ((1.0, 0.5), (0.4, 1.0), (0.0, 1.0), (-3.0, 0.05), (3.0, 3.0)):
        visit.page.evaluate(f"vae.bench.set({{ mu: {mu}, sigma: {sigma} }}, 'set')")
        counts = visit.page.evaluate(
            "vae.bench.charts.flatMap((c) => [0, 1].map((axis) => c.ticksOf(axis).length))"
        )
        assert min(counts) >= 2, (mu, sigma, counts)
        assert max(counts) <= 9
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
    visit = rendered_live(KLExplorer(), tmp_path, open_page)
    visit.page.get_by_role("button", name="Lowest divergence").click()
    saves_and_closes(visit)
