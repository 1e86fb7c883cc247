"""SamplingExplorer in a browser, from its static rendition: no kernel, no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stage import middle, put, rendered_live, saves_and_closes, settle, state
from visit import Visit

from vae_core.widgets import SamplingExplorer

Open = Callable[..., Visit]
EXPLORER = SamplingExplorer  # the fixture `shown` opens it
SETTINGS = (
    {},
    {"d": 3, "sigma": 0.25, "n": 777, "seed": 9, "run": 19},
    {"d": 20, "proposal": "posterior", "n": 5000},
    {"d": 1, "proposal": "posterior", "width": 0.5, "sigma": 2.0, "n": 1},
)


def shown_numbers(visit: Visit) -> dict[str, str]:
    """The readout: its names and what stands under them, with plain minus signs."""
    rows = "[...document.querySelectorAll('.vw-readout > div')].map((d) => [d.children[0].textContent, d.children[1].textContent.replaceAll('−', '-')])"  # noqa: E501
    return dict(visit.page.evaluate(rows))


def test_numbers_equal_pythons(shown: Callable[..., Visit]) -> None:
    """Exact value, 𝒟, ρ, every run's error and effective size, and where one run's draws lie."""
    visit = shown()
    plain = {name: getattr(SamplingExplorer(), name) for name in SamplingExplorer.STATE}
    for setting in SETTINGS:
        wanted = {**plain, **setting}
        here = SamplingExplorer(**wanted)
        got = put(visit, **wanted)
        assert {name: got[name] for name in wanted} == wanted
        ours = here.numbers
        assert got["exact"] == pytest.approx(ours.exact, rel=1e-12)
        assert got["divergence"] == pytest.approx(ours.divergence, rel=1e-12)
        rho = visit.page.evaluate("String(vae.state().rho)").replace("Infinity", "inf")
        assert float(rho) == pytest.approx(ours.rho, rel=1e-9)
        assert got["errors"] == pytest.approx(ours.errors, abs=1e-5)
        assert got["effective"] == pytest.approx(ours.effective, rel=1e-5)
        assert got["below"] == int((ours.errors < 0).sum())
        distance, share = here.shares()
        assert got["largest_share"] == pytest.approx(share.max(), rel=1e-5)
        edges = np.linspace(0, 8, 41)
        held = np.minimum(distance, 7.999)
        inside = (np.abs(held[:, None] - edges) > 1e-6).all(1)  # a rounding may change the bin
        assert inside.all()
        drawn = np.histogram(held, edges)[0] / here.n
        carried = np.histogram(held, edges, weights=share)[0]
        assert got["drawn"] == pytest.approx(drawn, abs=1e-9)
        assert got["carried"] == pytest.approx(carried, abs=1e-5)
        places = [0.4, 1.0, 2.1]
        density = visit.page.evaluate("(rs) => rs.map((r) => vae.density(r))", places)
        assert density == pytest.approx(here.density(np.array(places)), rel=1e-9)
    visit.check()


def test_the_lines_drawn_are_pythons(shown: Callable[..., Visit]) -> None:
    visit = shown(d=6)
    lines = SamplingExplorer(d=6).lines()
    for run in (0, 19):
        marks, values = zip(*visit.page.evaluate(f"vae.line({run})"), strict=True)
        assert (marks[0], marks[-1]) == (1, 10_000)
        assert list(values) == pytest.approx(lines[run][np.array(marks) - 1], abs=1e-5)


def test_the_failure_is_in_the_picture_and_the_range_stays(shown: Callable[..., Visit]) -> None:
    visit = shown()
    got, low_high = state(visit), visit.page.evaluate("vae.bench.fan.y")
    assert got["below"] == 20
    # All ends can be seen, and lie visibly under the line: 1 nat is more than 5 pixels.
    assert low_high[0] < min(got["errors"]) < max(got["errors"]) < -1
    assert visit.page.evaluate("vae.bench.fan.py(0) - vae.bench.fan.py(1)") > 5
    numbers = shown_numbers(visit)
    assert numbers["runs that are too low"] == "20 of 20"
    assert numbers["log P(X)"] == f"{got['exact']:.2f} nats"
    assert float(numbers["mean error of the runs"].split()[0]) == pytest.approx(
        np.mean(got["errors"]), abs=0.051
    )
    visit.page.get_by_role("button", name="z from Q(z|X)").click()
    assert max(map(abs, state(visit)["errors"])) < 0.3
    visit.page.get_by_role("button", name="z from P(z)").click()
    visit.page.get_by_role("slider", name="noise σ").press("Home")
    assert max(state(visit)["errors"]) < -20
    settle(visit)
    assert visit.page.evaluate("vae.bench.fan.y") == low_high
    assert "20 of 20 runs are below log P(X)" in visit.page.locator(".vw-verdict").inner_text()
    visit.check()


def test_buttons_and_sliders_set_the_traits(shown: Callable[..., Visit]) -> None:
    visit = shown()
    width = visit.page.get_by_role("slider", name="width of Q")
    assert width.is_disabled()
    visit.page.get_by_role("button", name="z from Q(z|X)").click()
    assert width.is_enabled()
    width.press("ArrowLeft")
    visit.page.get_by_role("slider", name="dimensions d").press("ArrowLeft")
    visit.page.get_by_role("slider", name="noise σ").press("ArrowRight")
    visit.page.get_by_role("button", name="New draws").click()
    visit.page.get_by_role("button", name="Next run").click()
    got = state(visit)
    assert (got["proposal"], got["d"], got["seed"], got["run"]) == ("posterior", 19, 2, 1)
    assert got["width"] < 1.2
    assert got["sigma"] == pytest.approx(0.5 * 2**0.125)
    visit.page.wait_for_function(
        "['d', 'sigma', 'width', 'seed', 'run', 'proposal'].every((name) =>"
        " document.querySelector('.vae-static').__model.get(name) === vae.state()[name])"
    )
    SamplingExplorer(**{name: got[name] for name in SamplingExplorer.STATE})  # and Python takes it
    visit.check()


def test_every_place_of_the_sliders_is_one_that_python_takes(shown: Callable[..., Visit]) -> None:
    visit = shown(proposal="posterior")
    for name in ("dimensions d", "noise σ", "width of Q"):
        for end in ("Home", "End"):
            visit.page.get_by_role("slider", name=name).press(end)
            got = state(visit)
            SamplingExplorer(**{trait: got[trait] for trait in SamplingExplorer.STATE})
    assert (got["d"], got["sigma"], got["width"]) == (20, 2, 2)
    visit.check()


def test_the_dot_changes_n_by_mouse_and_keys_and_is_announced(shown: Callable[..., Visit]) -> None:
    visit = shown(d=2)
    x, y = middle(visit, "Number of draws")
    decade = visit.page.evaluate("vae.bench.fan.px(10) - vae.bench.fan.px(1)")
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x - decade, y, steps=4)
    visit.page.mouse.up()
    dragged = state(visit)["n"]
    assert dragged == pytest.approx(1000, rel=0.05)
    handle = visit.page.get_by_role("slider", name="Number of draws", exact=True)
    handle.press("ArrowLeft")
    assert state(visit)["n"] < dragged
    handle.press("Shift+ArrowLeft")
    n = state(visit)["n"]
    assert handle.get_attribute("aria-valuetext").startswith(f"{n} draws, mean error")
    visit.page.wait_for_function(
        f"document.querySelector('[aria-live]').textContent.startsWith('2 dimensions, {n} draws')"
    )
    for _ in range(60):
        handle.press("Shift+ArrowLeft")
    assert state(visit)["n"] == 1
    visit.check()


def test_a_click_brings_out_the_run_that_passes_there(shown: Callable[..., Visit]) -> None:
    visit = shown()
    box = visit.page.locator(".vw-chart canvas").first.bounding_box()
    lines = SamplingExplorer().lines()
    for run in (12, 5):
        spot = visit.page.evaluate(f"vae.bench.fan.toPixel([2000, {lines[run][1999]}])")
        visit.page.mouse.click(box["x"] + spot[0], box["y"] + spot[1])
        chosen = state(visit)["run"]
        assert abs(lines[chosen][1999] - lines[run][1999]) < 0.2
    visit.check()


def test_touch_on_a_phone_and_in_the_dark(shown: Callable[..., Visit]) -> None:
    visit = shown({"dark": True, "width": 360, "touch": True})
    assert visit.sideways() <= 0
    assert visit.page.locator(".vae-widget").get_attribute("data-vw-theme") == "dark"
    visit.page.get_by_role("button", name="z from Q(z|X)").tap()
    box = visit.page.get_by_role("slider", name="dimensions d").bounding_box()
    visit.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    got = state(visit)
    assert got["proposal"] == "posterior"
    assert 8 <= got["d"] <= 13
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_it_follows_the_theme(shown: Callable[..., Visit], dark: bool) -> None:
    visit = shown({"dark": dark})
    picture = "document.querySelector('.vw-chart canvas').toDataURL()"
    before = visit.page.evaluate(picture)
    other = "light" if dark else "dark"
    visit.page.evaluate(f"document.documentElement.dataset.theme = '{other}'")
    visit.page.wait_for_function(
        f"document.querySelector('.vae-widget').dataset.vwTheme === '{other}'"
    )
    settle(visit)
    assert visit.page.evaluate(picture) != before
    visit.check()


def test_module_renders_live_and_closes(tmp_path: Path, open_page: Open) -> None:
    """As a kernel serves it: the module is imported, and leaves nothing behind."""
    visit = rendered_live(SamplingExplorer(), tmp_path, open_page)
    visit.page.get_by_role("button", name="New draws").click()
    saves_and_closes(visit)
