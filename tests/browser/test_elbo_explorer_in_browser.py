"""The ELBO explorer in a browser, from its static rendition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import middle, rendered_live, saves_and_closes, settle, state
from visit import Visit

from vae_core.widgets import ELBOExplorer

Show = Callable[..., Visit]
EXPLORER = ELBOExplorer  # the fixture `shown` opens it
TERMS = ("evidence", "elbo", "gap", "reconstruction", "kl")


@pytest.mark.parametrize("posterior", ["gaussian", "skewed", "bimodal"])
def test_numbers_equal_pythons(shown: Show, posterior: str) -> None:
    """All five terms against OneLatent.terms, within 1e-6, or 1e-9 of what is larger than 1000."""
    visit = shown(posterior=posterior)
    for mean, sigma in ((-0.5, 1.0), (1.3, 0.2), (0.0, 0.05), (-4.0, 2.0), (4.0, 2.0)):
        visit.page.evaluate(f"vae.balance.set({{ mean: {mean}, sigma: {sigma} }}, 'set')")
        got = state(visit)
        expected = ELBOExplorer(posterior, mean=mean, sigma=sigma).terms
        for name in TERMS:
            assert got[name] == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-6), name
    visit.check()


@pytest.mark.parametrize("posterior", ["gaussian", "skewed", "bimodal"])
@pytest.mark.parametrize("start", [(-0.5, 1.0), (3.0, 0.1), (-2.5, 1.8)])
def test_best_q_equals_pythons(shown: Show, posterior: str, start: tuple[float, float]) -> None:
    visit = shown(posterior=posterior, mean=start[0], sigma=start[1])
    expected = ELBOExplorer(posterior, mean=start[0], sigma=start[1]).best_q()
    visit.page.get_by_role("button", name="Best Q").click()
    got = state(visit)
    assert [got["mean"], got["sigma"]] == pytest.approx(list(expected), abs=1e-6)
    assert (abs(got["gap"]) < 1e-9) == (posterior == "gaussian")
    visit.check()


@pytest.mark.parametrize("posterior", ["gaussian", "skewed", "bimodal"])
def test_the_best_q_fits_into_the_picture(shown: Show, posterior: str) -> None:
    visit = shown(posterior=posterior)
    visit.page.get_by_role("button", name="Best Q").click()
    top = visit.page.evaluate("vae.balance.density.y[1]")
    assert top > 1 / (state(visit)["sigma"] * math.sqrt(2 * math.pi))
    visit.check()


def test_both_bars_end_at_minus_elbo(shown: Show) -> None:
    """The rectangles as drawn, in the axis's own units."""
    visit = shown(posterior="skewed", mean=0.5, sigma=0.6)
    drawn = visit.page.evaluate(
        """() => {
            const { bars: chart } = vae.balance, found = [];
            const ctx = chart.canvas.getContext("2d"), original = ctx.fillRect;
            ctx.fillRect = (x, y, w, h) => {
                found.push([chart.toValue([x, y])[0], chart.toValue([x + w, y])[0]]);
                original.call(ctx, x, y, w, h);
            };
            chart.paint();
            delete ctx.fillRect;
            return found;
        }"""
    )
    now = state(visit)
    assert [end for _, end in drawn] == pytest.approx(
        [-now["evidence"], -now["elbo"], -now["reconstruction"], -now["elbo"]], abs=1e-6
    )
    assert [begin for begin, _ in drawn] == pytest.approx(
        [0, -now["evidence"], 0, -now["reconstruction"]], abs=1e-6
    )


def test_mouse_drags_both_handles(shown: Show) -> None:
    visit = shown(mean=0.0, sigma=1.0)
    unit = visit.page.evaluate("vae.balance.density.px(1) - vae.balance.density.px(0)")
    for label, by, expected in (
        ("Mean of Q", 1.0, (1.0, 1.0)),
        ("Standard deviation of Q", -0.6, (1.0, 0.4)),
    ):
        x, y = middle(visit, label)
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        visit.page.mouse.move(x + by * unit, y + 12, steps=4)
        visit.page.mouse.up()
        settle(visit)
        got = state(visit)
        assert [got["mean"], got["sigma"]] == pytest.approx(expected, abs=0.03)
    text = visit.page.locator(".vw-readout").inner_text().replace("−", "-")
    assert f"{state(visit)['elbo']:.4f}" in text
    assert f"{state(visit)['gap']:.4f}" in text
    visit.page.wait_for_function(
        "Math.abs(document.querySelector('.vae-static').__model.get('sigma') - vae.state().sigma)"
        " < 1e-12"
    )
    visit.check()


def test_dragging_far_stays_in_range(shown: Show) -> None:
    visit = shown(mean=0.0, sigma=1.0)
    x, y = middle(visit, "Standard deviation of Q")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 3000, y, steps=3)
    assert state(visit)["sigma"] == 2.0
    visit.page.mouse.move(x - 3000, y, steps=3)
    assert state(visit)["sigma"] == 0.05
    visit.page.mouse.up()
    visit.check()


def test_keys_move_handles_and_are_announced(shown: Show) -> None:
    visit = shown(mean=0.0, sigma=1.0)
    handle = visit.page.get_by_role("slider", name="Mean of Q", exact=True)
    handle.focus()
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["mean"] == pytest.approx(0.02)
    visit.page.keyboard.press("Shift+ArrowLeft")
    assert state(visit)["mean"] == pytest.approx(-0.18)
    assert handle.get_attribute("aria-valuetext") == "μ −0.18"
    visit.page.get_by_role("slider", name="Standard deviation of Q").focus()
    visit.page.keyboard.press("ArrowDown")
    assert state(visit)["sigma"] == pytest.approx(0.98)
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.includes('σ 0.98: log P(X)')", timeout=5000
    )
    visit.check()


def test_a_trait_set_in_python_moves_the_page(shown: Show) -> None:
    visit = shown()
    model = "document.querySelector('.vae-static').__model"
    visit.page.evaluate(f"{model}.set('posterior', 'bimodal'); {model}.set('mean', 1.25)")
    got = state(visit)
    assert (got["posterior"], got["mean"]) == ("bimodal", 1.25)
    expected = ELBOExplorer("bimodal", mean=1.25).terms
    assert got["elbo"] == pytest.approx(expected.elbo, abs=1e-6)
    pressed = visit.page.locator(".vw-choice button[aria-pressed=true]").inner_text()
    assert pressed == "Two modes"


def test_finger_drags_on_a_narrow_page(shown: Show) -> None:
    visit = shown({"width": 360, "touch": True}, mean=0.0, sigma=1.0)
    x, y = middle(visit, "Mean of Q")
    client = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, at: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": at, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + 8 * step)
    touch("touchEnd", x + 40)
    unit = visit.page.evaluate("vae.balance.density.px(1) - vae.balance.density.px(0)")
    assert state(visit)["mean"] == pytest.approx(40 / unit, abs=0.1)
    assert visit.sideways() <= 0
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_page_fits_and_is_quiet(shown: Show, dark: bool, width: int) -> None:
    visit = shown({"width": width, "dark": dark}, posterior="bimodal")
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()


def test_module_renders_live_and_closes(tmp_path: Path, open_page: Callable[..., Visit]) -> None:
    """As a kernel serves it: the module is imported, and leaves nothing behind."""
    visit = rendered_live(ELBOExplorer(), tmp_path, open_page)
    visit.page.get_by_role("button", name="Best Q").click()
    saves_and_closes(visit)
