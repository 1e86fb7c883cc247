"""Opening: pointing, drawing and drawing from the prior, by mouse, finger and keys."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import put, ready, rendered_live, saves_and_closes, settle, state, written
from visit import Visit

from vae_core import data
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import Opening

Open = Callable[..., Visit]
COUNTS = {"AE": [5, 100, 0, 0, 0, 0, 0, 0, 0, 0], "VAE": [50] * 10}
BAD = (
    "() => [...document.querySelectorAll('.vae-widget')]"
    ".some((w) => /NaN|undefined|Infinity/.test(w.innerText))"
)


@functools.cache
def made() -> Opening:
    models = {
        "AE": Autoencoder(hidden=(24,), seed=1).eval(),
        "VAE": VAE(hidden=(24,), seed=2).eval(),
    }
    return Opening(models, data.load("mnist", "test").first(300), COUNTS)


@pytest.fixture
def show(tmp_path: Path, open_page: Open) -> Callable[..., Visit]:
    def go(**page: Any) -> Visit:
        visit = ready(open_page(written(tmp_path, made().to_html()), **page))
        settle(visit)
        return visit

    return go


def large(visit: Visit) -> str:
    """The large picture, as text."""
    return str(visit.page.eval_on_selector(".vw-out canvas", "(c) => c.toDataURL()"))


def sheets(visit: Visit) -> list[str]:
    found = visit.page.eval_on_selector_all(
        ".vw-sheet canvas", "(all) => all.map((c) => c.toDataURL())"
    )
    return list(found)


def box(visit: Visit, selector: str) -> dict[str, float]:
    place = visit.page.locator(selector).first
    place.scroll_into_view_if_needed()
    found = place.bounding_box()
    assert found is not None
    return dict(found)


def test_a_digit_its_code_and_its_picture_are_there_at_once(show: Callable[..., Visit]) -> None:
    visit = show()
    now, one = state(visit), made()
    assert now["model_name"] == "VAE"
    assert now["z"] == pytest.approx(one.z)
    assert now["z"] == pytest.approx(now["code"], abs=1e-5)
    filled = visit.page.eval_on_selector_all(
        ".vw-in canvas, .vw-map canvas, .vw-out canvas, .vw-sheet canvas",
        "(all) => all.map((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height)"
        ".data.filter((v, i) => i % 4 === 3 && v > 0).length)",
    )
    assert len(filled) == 5
    assert min(filled) > 100
    visit.check()


def test_what_it_computes_is_what_python_computes(show: Callable[..., Visit]) -> None:
    """Both networks of both models, on the weights that the page carries."""
    visit, one = show(), made()
    z = (torch.rand(40, 2, generator=torch.Generator().manual_seed(1)) - 0.5) * 8
    x = data.load("mnist", "test").images[:20].float() / 255
    for name in ("AE", "VAE"):
        got = visit.page.evaluate(
            "([zs, name]) => zs.map((z) => vae.decode(z, name))", [z.tolist(), name]
        )
        assert (torch.tensor(got) - one.decode(z, name).flatten(1)).abs().max() < 1e-5
        got = visit.page.evaluate(
            "([xs, name]) => xs.map((x) => vae.encode(x, name))", [x.flatten(1).tolist(), name]
        )
        with torch.no_grad():
            assert (torch.tensor(got) - one.twins[name].embed(x)).abs().max() < 1e-5
    painted = torch.tensor(state(visit)["painted"])  # [draw, model, pixel]
    for k, name in enumerate(("AE", "VAE")):
        expected = one.decode(torch.tensor(one.draws), name).flatten(1)
        assert (painted[:, k] - expected).abs().max() < 1e-5


def test_the_pointer_decodes_and_leaving_comes_back(show: Callable[..., Visit]) -> None:
    visit = show(width=900)
    before, at = state(visit), box(visit, ".vw-plane canvas")
    digit = large(visit)
    visit.page.mouse.move(at["x"] + 0.25 * at["width"], at["y"] + 0.7 * at["height"])
    settle(visit)
    assert large(visit) != digit
    assert state(visit)["z"] != before["z"]
    visit.page.mouse.move(2, 2)
    settle(visit)
    assert state(visit)["z"] == before["z"]
    assert large(visit) == digit
    # A click stays; dragging takes the point along, and leaves the map where it is.
    view = visit.page.evaluate("({ ...vae.view.plane.view })")
    visit.page.mouse.move(at["x"] + 0.3 * at["width"], at["y"] + 0.3 * at["height"])
    visit.page.mouse.down()
    visit.page.mouse.move(at["x"] + 0.8 * at["width"], at["y"] + 0.6 * at["height"], steps=5)
    visit.page.mouse.up()
    visit.page.mouse.move(2, 2)
    wanted = visit.page.evaluate(
        "([x, y]) => vae.view.plane.toPlane([x, y])", [0.8 * at["width"], 0.6 * at["height"]]
    )
    assert state(visit)["z"] == pytest.approx(wanted, abs=0.05)
    assert visit.page.evaluate("({ ...vae.view.plane.view })") == view
    assert not visit.page.evaluate(BAD)
    visit.check()


def test_the_wheel_scrolls_the_page_even_after_a_click(show: Callable[..., Visit]) -> None:
    visit = show(width=420)
    at = box(visit, ".vw-plane canvas")
    visit.page.mouse.click(at["x"] + 40, at["y"] + 40)
    view = visit.page.evaluate("({ ...vae.view.plane.view })")
    visit.page.evaluate("scrollTo(0, 0)")
    visit.page.mouse.wheel(0, 200)
    visit.page.wait_for_function("scrollY > 0")
    assert visit.page.evaluate("({ ...vae.view.plane.view })") == view


def test_the_switch_shows_the_other_map_and_the_same_digit(show: Callable[..., Visit]) -> None:
    visit = show()
    before = state(visit)
    visit.page.get_by_role("button", name="AE", exact=True).click()
    after = state(visit)
    assert after["model_name"] == "AE"
    assert after["pixels"] == before["pixels"]
    assert after["z"] == pytest.approx(made().encode("AE").tolist(), abs=1e-5)
    visit.check()


def test_a_stroke_begins_a_digit_and_moves_its_code(show: Callable[..., Visit]) -> None:
    visit = show(width=900)
    before, at = state(visit), box(visit, ".vw-pad canvas")
    visit.page.mouse.move(at["x"] + 0.5 * at["width"], at["y"] + 0.2 * at["height"])
    visit.page.mouse.down()
    visit.page.mouse.move(at["x"] + 0.5 * at["width"], at["y"] + 0.8 * at["height"], steps=8)
    visit.page.mouse.up()
    drawn = state(visit)
    # The loaded digit is gone: what is left is an upright bar, centred as MNIST's digits are.
    ink = torch.tensor(drawn["pixels"]).reshape(28, 28)
    assert int((ink > 60).any(0).sum()) < 8
    assert int((ink > 60).any(1).sum()) >= 18
    assert drawn["code"] != before["code"]
    assert drawn["z"] == drawn["code"]
    one = made()
    kept, one.pixels = one.pixels, drawn["pixels"]
    assert drawn["code"] == pytest.approx(one.encode("VAE").tolist(), abs=1e-5)
    one.pixels = kept
    # Undo brings the digit back; Another and Clear do what they say.
    visit.page.keyboard.press("u")
    assert state(visit)["pixels"] == before["pixels"]
    visit.page.get_by_role("button", name="Another test digit").click()
    other = state(visit)["pixels"]
    assert other != before["pixels"]
    assert sum(other) > 1000
    visit.page.get_by_role("button", name="Clear").click()
    assert sum(state(visit)["pixels"]) == 0
    assert not visit.page.evaluate(BAD)
    visit.check()


def test_new_draws_are_the_same_for_both_models(show: Callable[..., Visit]) -> None:
    visit = show()
    before, pictures = state(visit), sheets(visit)
    visit.page.get_by_role("button", name="Draw 20 from the prior").click()
    after = state(visit)
    assert len(after["draws"]) == 20
    assert after["draws"] != before["draws"]
    assert all(new != old for new, old in zip(sheets(visit), pictures, strict=True))
    for k, name in enumerate(("AE", "VAE")):
        expected = made().decode(torch.tensor(after["draws"]), name).flatten(1)
        assert (torch.tensor(after["painted"])[:, k] - expected).abs().max() < 1e-5
    visit.check()


def test_its_draws_are_standard_normal(show: Callable[..., Visit]) -> None:
    """Four thousand numbers: a tenth of a standard deviation is over six standard errors."""
    visit = show()
    drawn = torch.tensor(
        visit.page.evaluate(
            "Array.from({ length: 100 }, () => { vae.view.again(); return vae.view.draws; })"
        )
    ).flatten()
    assert abs(drawn.mean().item()) < 0.1
    assert abs(drawn.std().item() - 1) < 0.1


def test_a_draw_is_shown_large_with_the_model_that_painted_it(show: Callable[..., Visit]) -> None:
    visit = show()
    at = box(visit, ".vw-sheet:first-child canvas")
    visit.page.mouse.click(at["x"] + 0.35 * at["width"], at["y"] + 0.75 * at["height"])
    now = state(visit)
    assert now["picked"] == 13
    assert now["model_name"] == "AE"
    assert now["z"] == pytest.approx(now["draws"][13])
    # The other map keeps the draw: it is the same point of the prior.
    visit.page.get_by_role("button", name="VAE", exact=True).click()
    assert state(visit)["z"] == pytest.approx(now["draws"][13])
    visit.check()


def test_the_bars_say_what_was_counted(show: Callable[..., Visit]) -> None:
    visit = show()
    tallies = visit.page.locator(".vw-tally")
    for k, name in enumerate(("AE", "VAE")):
        words = tallies.nth(k).get_attribute("aria-label")
        assert words.startswith(f"Of {sum(COUNTS[name])} draws")
        assert f"{COUNTS[name][1]} as 1" in words
        heights = (
            tallies.nth(k).locator("i").evaluate_all("(all) => all.map((i) => i.offsetHeight)")
        )
        shares = [max(1, round(44 * count / 100)) for count in COUNTS[name]]
        assert heights == shares


def test_keys_do_all_of_it(show: Callable[..., Visit]) -> None:
    visit = show()
    page = visit.page
    page.locator(".vw-plane canvas").focus()
    before = state(visit)
    page.keyboard.press("ArrowRight")
    assert state(visit)["z"][0] > before["z"][0]
    page.keyboard.press("7")
    middle = page.evaluate("vae.view.part.codes.medians[7]")
    assert state(visit)["z"] == pytest.approx(middle)
    page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('nearest')")
    sheet = page.locator(".vw-sheet canvas").nth(1)
    sheet.focus()
    page.keyboard.press("ArrowRight")
    assert state(visit)["picked"] == 0
    page.keyboard.press("ArrowLeft")
    assert state(visit)["picked"] == 19
    page.keyboard.press("ArrowUp")
    assert state(visit)["picked"] == 9
    page.locator(".vw-pad canvas").focus()
    page.keyboard.press("n")
    assert state(visit)["pixels"] != before["pixels"]
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_a_finger_sees_the_picture_it_moves(dark: bool, show: Callable[..., Visit]) -> None:
    """On a phone picture and map are in sight together, and nothing is wider than the page."""
    visit = show(width=360, touch=True, dark=dark)
    visit.page.set_viewport_size({"width": 360, "height": 740})
    assert visit.sideways() <= 0
    visit.page.locator(".vw-flow").evaluate("(e) => scrollTo(0, e.offsetTop)")
    picture = visit.page.locator(".vw-out canvas").bounding_box()
    plane = visit.page.locator(".vw-plane").bounding_box()
    assert picture["width"] >= 160
    assert picture["y"] >= 0
    assert plane["y"] + plane["height"] <= 740
    before = large(visit)
    visit.page.touchscreen.tap(plane["x"] + 60, plane["y"] + 200)
    settle(visit)
    assert large(visit) != before
    visit.check()


def test_an_empty_pad_and_far_points_give_numbers(show: Callable[..., Visit]) -> None:
    visit = show()
    visit.page.get_by_role("button", name="Clear").click()
    for far in ([1e4, -1e4], [0.0, 0.0]):
        now = put(visit, z=far)
        assert all(0 <= v <= 1 for v in now["decoded"])
    now = put(visit, draws=[[50.0, -50.0]] * 20)
    assert all(0 <= v <= 1 for row in now["painted"] for one in row for v in one)
    assert not visit.page.evaluate(BAD)
    visit.check()


def test_python_moves_the_page(show: Callable[..., Visit]) -> None:
    visit = show()
    digit = data.load("mnist", "test").images[5].flatten().tolist()
    now = put(visit, pixels=digit)
    assert now["pixels"] == digit
    assert now["z"] == now["code"]
    now = put(visit, model_name="AE")
    assert now["model_name"] == "AE"
    now = put(visit, z=[0.5, -1.0])
    assert now["z"] == [0.5, -1.0]


def test_live_it_tells_python(tmp_path: Path, open_page: Open) -> None:
    visit = rendered_live(made(), tmp_path, open_page)
    visit.page.get_by_role("button", name="Draw 20 from the prior").click()
    saves_and_closes(visit)
