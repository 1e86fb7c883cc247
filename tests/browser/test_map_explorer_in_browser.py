"""The map explorer in a browser, from its static rendition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stage import rendered_live, saves_and_closes, settle, state
from visit import Visit

from vae_core.maps import MAPS
from vae_core.widgets import MapExplorer

Open = Callable[..., Visit]
EXPLORER = MapExplorer  # the fixture `shown` opens it
# The middle, both sides, and the far tails, where a careless Φ loses its digits.
PLACES = ([0.1, -0.2], [2.99, 3.01], [-3.5, 3.5], [1.3, -2.2], [-0.7, 0.4], [3.5, -1.0])


def middle(visit: Visit, letter: str) -> tuple[float, float]:
    name = f"Point {letter} in z-space"
    box = visit.page.get_by_role("slider", name=name, exact=True).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("name", MAPS)
def test_numbers_equal_pythons(shown: Callable[..., Visit], name: str) -> None:
    """z, x, P(z), stretch, P(x), Φ(z) against vae_core.maps, in double precision on both sides."""
    model = "document.querySelector('.vae-static').__model"
    visit = shown(map_name=name)
    for places in (PLACES[:3], PLACES[3:]):
        here = MapExplorer(map_name=name, points=list(places))
        visit.page.evaluate(f"(points) => {model}.set('points', points)", list(places))
        got = state(visit)
        for theirs, direct, ours in zip(got["numbers"], got["direct"], here.numbers, strict=True):
            for key, value in ours._asdict().items():
                assert theirs[key] == pytest.approx(value, rel=1e-6, abs=1e-9), key
            assert direct == pytest.approx(ours.density, rel=1e-6, abs=1e-9)
    visit.check()


@pytest.mark.parametrize("name", ["identity", "ring", "bent"])
def test_the_drawn_disc_has_the_area_that_the_map_gives_it(
    shown: Callable[..., Visit], name: str
) -> None:
    """The outlines that are drawn, summed in each picture's own units; the stretch, averaged."""
    points = [[1.2, -0.9], [0, 1], [1, 0]]
    visit = shown(map_name=name, points=points, chosen=0)
    areas = visit.page.evaluate(
        """() => [vae.bench.left, vae.bench.right].map((chart) => {
            const original = chart.path, sums = [];
            chart.path = function (ctx, xs, ys) {
                let sum = 0;
                for (let i = 0; i < xs.length; i++) {
                    const j = (i + 1) % xs.length;
                    sum += xs[i] * ys[j] - xs[j] * ys[i];
                }
                sums.push(Math.abs(sum / 2));
                original.call(this, ctx, xs, ys);
            };
            chart.paint();
            delete chart.path;
            return sums.at(-1);
        })"""
    )
    assert areas[0] == pytest.approx(math.pi * 0.6**2, rel=2e-3)
    # The mean of the stretch over the disc, on rings of equal area.
    turn = torch.arange(60, dtype=torch.float64) * 2 * math.pi / 60
    radius = 0.6 * ((torch.arange(40, dtype=torch.float64) + 0.5) / 40).sqrt()
    offsets = radius[:, None, None] * torch.stack([turn.cos(), turn.sin()], 1)
    disc = offsets.reshape(-1, 2) + torch.tensor(points[0], dtype=torch.float64)
    stretch = MAPS[name].log_stretch(disc).exp().mean().item()
    assert areas[1] / areas[0] == pytest.approx(stretch, rel=5e-3)


@pytest.mark.parametrize("width", [360, 800])
def test_the_patch_around_the_point_is_not_hidden_by_its_handle(
    shown: Callable[..., Visit], width: int
) -> None:
    """In z-space, and the letter in x-space: both cover less than a third of the disc."""
    visit = shown({"width": width}, map_name="identity")
    unit = visit.page.evaluate("vae.bench.left.px(0.6) - vae.bench.left.px(0)")
    handle = visit.page.get_by_role("slider", name="Point A in z-space", exact=True).bounding_box()
    assert (handle["width"] / 2 / unit) ** 2 < 1 / 3
    unit = visit.page.evaluate("vae.bench.right.px(0.6) - vae.bench.right.px(0)")
    assert (7.5 / unit) ** 2 < 1 / 3


def test_pictures_of_the_plane_are_true_to_scale(shown: Callable[..., Visit]) -> None:
    visit = shown(map_name="ring")
    for side in ("left", "right"):
        chart = f"vae.bench.{side}"
        across = visit.page.evaluate(f"{chart}.px(1) - {chart}.px(0)")
        up = visit.page.evaluate(f"{chart}.py(0) - {chart}.py(1)")
        assert across == pytest.approx(up, rel=0.01)


def test_mouse_drags_a_point_and_a_click_sets_it(shown: Callable[..., Visit]) -> None:
    visit = shown(map_name="ring")
    mouse = visit.page.mouse
    unit = visit.page.evaluate("vae.bench.left.px(1) - vae.bench.left.px(0)")
    x, y = middle(visit, "B")
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - unit, y + unit, steps=4)
    mouse.up()
    settle(visit)
    got = state(visit)
    assert got["chosen"] == 1
    assert got["points"][1] == pytest.approx([0.5, -0.5], abs=0.03)
    box = visit.page.locator(".vw-chart canvas").first.bounding_box()
    spot = visit.page.evaluate("vae.bench.left.toPixel([-2, -2.5])")
    mouse.click(box["x"] + spot[0], box["y"] + spot[1])
    settle(visit)
    assert state(visit)["points"][1] == pytest.approx([-2, -2.5], abs=0.03)
    visit.page.wait_for_function(
        "JSON.stringify(document.querySelector('.vae-static').__model.get('points'))"
        " === JSON.stringify(vae.state().points)"
    )
    assert "B" in visit.page.locator(".vw-readout").inner_text()
    visit.check()


def test_a_point_cannot_leave_the_picture(shown: Callable[..., Visit]) -> None:
    visit = shown(map_name="bent")
    x, y = middle(visit, "A")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x - 3000, y, steps=3)
    visit.page.mouse.up()
    assert state(visit)["points"][0][0] == -3.5
    visit.check()


def test_keys_move_points_and_are_announced(shown: Callable[..., Visit]) -> None:
    visit = shown(map_name="uniform", points=[[0, 0], [1, 0], [-1, 0]])
    handle = visit.page.get_by_role("slider", name="Point C in z-space", exact=True)
    handle.focus()
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["points"][2] == pytest.approx([-0.95, 0])
    visit.page.keyboard.press("Shift+ArrowDown")  # on a line all four arrows count
    assert state(visit)["points"][2] == pytest.approx([-1.45, 0])
    assert handle.get_attribute("aria-valuetext") == "z −1.45, x 0.07"
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.includes('C lands at 0.07')", timeout=5000
    )
    visit.check()


def test_every_map_has_a_button_and_a_trait_moves_it(shown: Callable[..., Visit]) -> None:
    visit = shown()
    for name, item in MAPS.items():
        button = visit.page.get_by_role("button", name=item.title, exact=True)
        button.click()
        settle(visit)
        assert state(visit)["map_name"] == name
        assert visit.page.locator(".vw-maps .vw-chart").count() == 2
        assert visit.page.locator('.vw-choice button[aria-pressed="true"]').count() == 1
    model = "document.querySelector('.vae-static').__model"
    visit.page.evaluate(f"{model}.set('map_name', 'ring'); {model}.set('chosen', 2)")
    got = state(visit)
    assert (got["map_name"], got["chosen"]) == ("ring", 2)
    visit.check()


def test_new_draws_are_others(shown: Callable[..., Visit]) -> None:
    visit = shown()
    before = visit.page.evaluate("vae.bench.draws.slice(0, 3)")
    moments = visit.page.evaluate("vae.bench.draws.map((z) => z[0] * z[0])")
    assert sum(moments) / len(moments) == pytest.approx(1, abs=0.15)
    visit.page.get_by_role("button", name="New draws").click()
    assert visit.page.evaluate("vae.bench.draws.slice(0, 3)") != before
    visit.check()


def test_finger_drags_on_a_narrow_page(shown: Callable[..., Visit]) -> None:
    visit = shown({"width": 360, "touch": True}, map_name="two-peaks")
    x, y = middle(visit, "A")
    client = visit.page.context.new_cdp_session(visit.page)

    def touch(kind: str, at: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": at, "y": y}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    unit = visit.page.evaluate("vae.bench.left.px(1) - vae.bench.left.px(0)")
    touch("touchStart", x)
    for step in range(1, 6):
        touch("touchMove", x + 8 * step)
    touch("touchEnd", x + 40)
    assert state(visit)["points"][0][0] == pytest.approx(40 / unit, abs=0.1)
    assert visit.sideways() <= 0
    visit.check()


@pytest.mark.parametrize("name", ["ring", "arcsine"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_page_fits_and_is_quiet(
    shown: Callable[..., Visit], name: str, dark: bool, width: int
) -> None:
    visit = shown({"width": width, "dark": dark}, map_name=name)
    assert visit.sideways() <= 0
    theme = visit.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    visit.check()


def test_module_renders_live_and_closes(tmp_path: Path, open_page: Open) -> None:
    """As a kernel serves it: the module is imported, and leaves nothing behind."""
    visit = rendered_live(MapExplorer(), tmp_path, open_page)
    visit.page.get_by_role("button", name="Arcsine").click()
    saves_and_closes(visit)
