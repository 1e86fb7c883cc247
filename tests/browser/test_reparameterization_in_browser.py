"""ReparameterizationExplorer in a browser, from the static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import written
from visit import Visit

from vae_core.widgets import ReparameterizationExplorer
from vae_core.widgets.reparameterization_explorer import FUNCTIONS, gradients, normal_draws

Open = Callable[..., Visit]
HANDLE = ".vw-handle[aria-label='{}']"
MU, SIGMA = HANDLE.format("Mean mu"), HANDLE.format("Standard deviation sigma")
EPSILON = HANDLE.format("Noise epsilon")


@pytest.fixture
def show(tmp_path: Path, open_page: Open) -> Callable[..., Visit]:
    def opened(widget: Any = None, **options: Any) -> Visit:
        widget = widget or ReparameterizationExplorer()
        visit = open_page(written(tmp_path, widget.to_html()), **options)
        visit.page.wait_for_function("document.querySelector('.vae-static > div')?.__vae")
        visit.page.wait_for_function("document.querySelector('.vw-handle').style.left")
        return visit

    return opened


def state(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = visit.page.evaluate(
        "document.querySelector('.vae-static > div').__vae.state()"
    )
    return found


def trait(visit: Visit, name: str) -> Any:
    """The trait as Python would see it, once what is pending was sent."""
    visit.page.wait_for_timeout(120)
    return visit.page.evaluate(f"document.querySelector('.vae-static').__model.get('{name}')")


@pytest.mark.parametrize("parameter", ["mu", "sigma"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_numbers_equal_pythons(function: str, parameter: str, show: Callable[..., Visit]) -> None:
    """Draws, both estimates, exact derivative and variances, within 1e-6 (both in double)."""
    widget = ReparameterizationExplorer(
        function=function, parameter=parameter, mu=-0.4, sigma=0.9, seed=2**32 - 5, draws=300
    )
    visit = show(widget)
    got, expected = state(visit), widget.estimates()
    for name, values in (
        ("noise", expected.noise),
        ("score", expected.score_function),
        ("path", expected.path_wise),
    ):
        assert got[name] == pytest.approx(values.tolist(), abs=1e-6)
    assert got["exact"] == pytest.approx(expected.exact, abs=1e-6)
    assert got["scoreVariance"] == pytest.approx(expected.score_variance, abs=1e-6)
    assert got["pathVariance"] == pytest.approx(expected.path_variance, abs=1e-6)
    assert got["summary"]["score"]["mean"] == pytest.approx(expected.score_function.mean())
    assert got["summary"]["path"]["spread"] == pytest.approx(
        expected.path_wise.std(ddof=1), abs=1e-6
    )
    assert got["epsilon"] == pytest.approx(expected.noise[-1])
    visit.check()


def test_buttons_draw_the_seeds_draws_and_say_so(show: Callable[..., Visit]) -> None:
    visit = show()
    for text, count in (("Draw 1", 1), ("Draw 100", 101), ("Draw 1000", 1101)):
        visit.page.get_by_role("button", name=text, exact=True).click()
        assert state(visit)["draws"] == count
        words = "1 draw" if count == 1 else f"{count} draws"
        assert visit.page.locator("output").inner_text().endswith(f", {words}")
    assert state(visit)["noise"] == pytest.approx(normal_draws(0, 1101).tolist())
    assert state(visit)["epsilon"] == pytest.approx(normal_draws(0, 1101)[-1])
    assert trait(visit, "draws") == 1101
    mean = gradients("square", "mu", 1.0, 0.5, normal_draws(0, 1101)).path_wise.mean()
    shown = visit.page.locator(".vw-repar-table tbody tr").nth(1).locator("td").nth(1)
    assert float(shown.inner_text()) == pytest.approx(mean, abs=5e-4)
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.startsWith('1101 draws')"
    )
    visit.page.get_by_role("button", name="New seed").click()
    assert (state(visit)["seed"], state(visit)["draws"]) == (1, 0)
    visit.page.get_by_role("button", name="Draw 1", exact=True).click()
    assert state(visit)["noise"] == pytest.approx(normal_draws(1, 1).tolist())
    for _ in range(11):
        visit.page.get_by_role("button", name="Draw 1000").click()
    assert state(visit)["draws"] == 10_000
    assert "the most" in visit.page.locator("output").inner_text()
    visit.page.get_by_role("button", name="Clear").click()
    assert state(visit)["draws"] == 0
    visit.check()


def test_mouse_moves_handles(show: Callable[..., Visit]) -> None:
    visit = show()
    for handle, name, low, high in (
        (MU, "mu", -2.5, 2.5),
        (SIGMA, "sigma", 0.1, 2.0),
        (EPSILON, "epsilon", -4.5, 4.5),
    ):
        before = state(visit)[name]
        visit.page.wait_for_timeout(60)  # until the handles stand where the last move put them
        box = visit.page.locator(handle).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        visit.page.mouse.move(x, y)
        visit.page.mouse.down()
        visit.page.mouse.move(x + 20, y, steps=3)
        assert state(visit)[name] > before
        # One scale for all: twenty pixels are as much for each.
        moved = state(visit)[name] - before
        visit.page.mouse.move(x + 900, y, steps=3)
        visit.page.mouse.up()
        assert state(visit)[name] == high
        assert trait(visit, name) == high
        chart = visit.page.locator(".vw-chart").first.bounding_box()
        assert moved == pytest.approx(20 * 10 / (chart["width"] - 58), rel=0.05)
        assert low < moved
    got = state(visit)
    assert got["z"] == pytest.approx(got["mu"] + got["sigma"] * got["epsilon"])
    visit.check()


def test_keys_move_handles_and_choices(show: Callable[..., Visit]) -> None:
    visit = show()
    visit.page.focus(MU)
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["mu"] == pytest.approx(1.05)
    visit.page.keyboard.press("Shift+ArrowLeft")
    assert state(visit)["mu"] == pytest.approx(0.55)
    visit.page.focus(SIGMA)
    visit.page.keyboard.press("ArrowUp")
    assert state(visit)["sigma"] == pytest.approx(0.55)
    visit.page.focus(EPSILON)
    visit.page.keyboard.press("Shift+ArrowRight")
    got = state(visit)
    assert got["epsilon"] == pytest.approx(0.5)
    expected = gradients("square", "mu", got["mu"], got["sigma"], [got["epsilon"]])
    assert got["here"]["score"] == pytest.approx(expected.score_function[0])
    assert got["here"]["path"] == pytest.approx(expected.path_wise[0])
    visit.page.get_by_role("button", name="step", exact=True).focus()
    visit.page.keyboard.press("Enter")
    visit.page.get_by_role("button", name="with respect to σ", exact=True).focus()
    visit.page.keyboard.press("Space")
    got = state(visit)
    assert (got["function"], got["parameter"]) == ("step", "sigma")
    assert "and wrong" in visit.page.locator(".vw-repar-note").inner_text()
    assert trait(visit, "function") == "step"
    visit.check()


def test_python_moves_the_page(show: Callable[..., Visit]) -> None:
    visit = show()
    visit.page.evaluate(
        """() => {
            const model = document.querySelector('.vae-static').__model;
            const values = { mu: -1.5, function: "sine", draws: 40 };
            for (const [name, value] of Object.entries(values)) model.set(name, value);
        }"""
    )
    got = state(visit)
    expected = gradients("sine", "mu", -1.5, 0.5, normal_draws(0, 40))
    assert got["score"] == pytest.approx(expected.score_function.tolist())
    pressed = visit.page.get_by_role("button", name="sin 3z").get_attribute("aria-pressed")
    assert pressed == "true"
    assert "seed 0, 40 draws" in visit.page.locator("output").inner_text()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_fits_and_follows_the_theme(dark: bool, width: int, show: Callable[..., Visit]) -> None:
    visit = show(ReparameterizationExplorer(draws=200), dark=dark, width=width)
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()


def test_touch_on_a_phone(show: Callable[..., Visit]) -> None:
    visit = show(width=360, touch=True)
    visit.page.get_by_role("button", name="Draw 100", exact=True).tap()
    assert state(visit)["draws"] == 100
    box = visit.page.locator(MU).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.locator(MU).scroll_into_view_if_needed()
    client = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    touch("touchMove", {"x": x - 30, "y": y})
    touch("touchEnd")
    assert state(visit)["mu"] < 0.6
    visit.check()
