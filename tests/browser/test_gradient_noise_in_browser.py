"""The gradient-noise widget in a browser, from its static rendition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import ready, written
from visit import Visit

from vae_core.evaluation import ScalarVAE
from vae_core.widgets import GradientNoise

Open = Callable[..., Visit]
CASE = ScalarVAE(0.9, 0.6, 0.2, 0.4, 1.5)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("noise"), GradientNoise(CASE).to_html())


def state(visit: Visit) -> dict[str, Any]:
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    visit.page.evaluate(frame)
    return dict(visit.page.evaluate("vae.state()"))


def shown(visit: Visit) -> dict[str, str]:
    rows = "[...document.querySelectorAll('.vw-readout > div')].map((d) => [d.children[0].textContent, d.children[1].textContent])"  # noqa: E501
    return dict(visit.page.evaluate(rows))


def number(text: str) -> float:
    return float(text.split()[0].replace("−", "-"))


def test_law_and_estimates_equal_pythons(path: Path, open_page: Open) -> None:
    """Within 1e-6: exact law and single estimates, both in double precision."""
    visit = ready(open_page(path))
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(7, generator=generator, dtype=torch.float64)
    noise = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    for parameter in ("decoder", "encoder"):
        for hold in (False, True):
            law = CASE.law(parameter, hold_z=hold)
            got = visit.page.evaluate("([p, h]) => vae.law(p, h)", [parameter, hold])
            expected = (law.truth, law.mean, law.between_images, law.between_draws)
            names = ("truth", "mean", "betweenImages", "betweenDraws")
            assert [got[name] for name in names] == pytest.approx(expected, rel=1e-6)
            spread = visit.page.evaluate(
                "([p, h]) => vae.deviation(p, h, 16, 4)", [parameter, hold]
            )
            assert spread == pytest.approx(law.standard_deviation(16, 4), rel=1e-6)
            one = visit.page.evaluate(
                "([p, h, x, n]) => vae.estimate(p, h, x, n)",
                [parameter, hold, x.tolist(), noise.tolist()],
            )
            expected_one = CASE.estimate(x, noise, parameter, hold_z=hold).item()
            assert one == pytest.approx(expected_one, rel=1e-6)
    visit.check()


def test_the_estimates_shown_follow_the_law(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    for _ in range(3):
        visit.page.get_by_role("button", name="Draw again").click()
        now = state(visit)
        values = torch.tensor(now["values"], dtype=torch.float64)
        assert len(values) == 1000
        assert abs(values.mean() - now["mean"]) < 4.5 * values.std() / math.sqrt(1000)
        assert now["measured"]["deviation"] == pytest.approx(values.std().item(), rel=1e-9)
        assert now["measured"]["deviation"] == pytest.approx(now["deviation"], rel=0.15)
        page = shown(visit)
        assert number(page["true gradient"]) == pytest.approx(now["truth"], abs=6e-4)
        assert number(page["by the law"]) == pytest.approx(now["deviation"], abs=6e-4)
        assert page["bias"] == "0"
    assert now["seed"] == 4
    visit.check()


def test_mouse_moves_sliders_dot_and_switches(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    before = state(visit)
    dot = visit.page.get_by_role("slider", name="Draws of z per image", exact=True)
    box = dot.bounding_box()
    visit.page.mouse.move(box["x"] + 11, box["y"] + 11)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 140, box["y"] + 40, steps=5)
    visit.page.mouse.up()
    after = state(visit)
    assert after["draws"] > before["draws"]
    assert after["batch"] == before["batch"]
    assert after["deviation"] < before["deviation"]
    visit.page.get_by_role("button", name="encoder’s a").click()
    assert shown(visit)["bias"] == "0"
    visit.page.get_by_role("button", name="hold z fixed").click()
    held = state(visit)
    law = CASE.law("encoder", hold_z=True)
    assert held["mean"] == pytest.approx(law.mean, rel=1e-6)
    assert number(shown(visit)["bias"]) == pytest.approx(law.bias, abs=6e-4)
    assert "not at the truth" in visit.page.text_content(".vw-verdict")
    model = "document.querySelector('.vae-static').__model"
    visit.page.wait_for_function(f"{model}.get('hold_z') && {model}.get('parameter') === 'encoder'")
    # The decoder's gradient does not mind, and the page says why.
    visit.page.get_by_role("button", name="decoder’s w").click()
    assert shown(visit)["bias"] == "0"
    assert "changes nothing here" in visit.page.text_content(".vw-verdict")
    visit.check()


def test_an_error_has_as_many_places_as_its_value(path: Path, open_page: Open) -> None:
    mean, error = shown(ready(open_page(path)))["mean of the estimates"].split(" ± ")
    assert len(mean.split(".")[1]) == len(error.split(".")[1])


def test_the_curve_at_equal_cost_is_seen_whole(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    for name in ("encoder’s a", "hold z fixed"):
        visit.page.get_by_role("button", name=name).click()
    now = state(visit)
    low, high = visit.page.evaluate("vae.bench.law.y")
    cost, largest = now["batch"] * now["draws"], visit.page.evaluate("vae.bench.largest")
    law = CASE.law("encoder", hold_z=True)
    for batch in (min(cost, largest), max(1, cost // largest)):
        spread = math.sqrt((law.between_images + law.between_draws * batch / cost) / batch)
        assert low < spread < high


def test_keys_halve_and_double_at_equal_cost(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    visit.page.get_by_role("button", name="equal cost").click()
    dot = visit.page.get_by_role("slider", name="Draws of z per image", exact=True)
    dot.focus()
    visit.page.keyboard.press("ArrowRight")
    now = state(visit)
    assert (now["batch"], now["draws"]) == (4, 8)
    visit.page.keyboard.press("ArrowLeft")
    visit.page.keyboard.press("ArrowLeft")
    now = state(visit)
    assert (now["batch"], now["draws"]) == (16, 2)
    deviations = []
    for _ in range(8):  # beyond the end: it stays there, and so does the cost
        visit.page.keyboard.press("ArrowRight")
        now = state(visit)
        assert now["batch"] * now["draws"] == 32
        deviations.append(now["deviation"])
    assert (now["batch"], now["draws"]) == (1, 32)
    assert deviations == sorted(deviations)
    slider = visit.page.get_by_role("slider", name="images in the batch")
    slider.focus()
    visit.page.keyboard.press("ArrowRight")
    now = state(visit)
    assert (now["batch"], now["draws"]) == (2, 16)
    assert slider.get_attribute("aria-valuetext") == "2"
    visit.page.wait_for_function(
        "document.querySelector('.vw-sr').textContent.startsWith('2 images, 16 draws')"
    )
    visit.check()


def test_a_trait_set_in_python_moves_the_page(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    visit.page.evaluate(
        """() => {
            const model = document.querySelector(".vae-static").__model;
            for (const [name, value] of [["batch", 32], ["draws", 2], ["parameter", "encoder"],
                ["hold_z", true], ["equal_cost", true], ["seed", 9]]) model.set(name, value);
        }"""
    )
    now = state(visit)
    expected = {"batch": 32, "draws": 2, "parameter": "encoder", "hold_z": True, "seed": 9}
    assert {name: now[name] for name in expected} == expected
    assert shown(visit)["decoded draws"] == "32 × 2 = 64"
    for name in ("encoder’s a", "hold z fixed", "equal cost"):
        button = visit.page.get_by_role("button", name=name)
        assert button.get_attribute("aria-pressed") == "true"
    visit.check()


def test_a_finger_moves_it_on_a_phone(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path, width=360, touch=True))
    assert visit.sideways() == 0
    visit.page.get_by_role("button", name="encoder’s a").tap()
    assert state(visit)["parameter"] == "encoder"
    box = visit.page.get_by_role("slider", name="images in the batch").bounding_box()
    visit.page.touchscreen.tap(box["x"] + box["width"] - 9, box["y"] + box["height"] / 2)
    assert state(visit)["batch"] == 64
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_it_follows_the_theme(path: Path, dark: bool, open_page: Open) -> None:
    visit = ready(open_page(path, dark=dark))
    assert visit.page.evaluate("document.querySelector('.vae-widget').dataset.vwTheme") == (
        "dark" if dark else "light"
    )
    picture = "document.querySelector('.vw-chart canvas').toDataURL()"
    state(visit)
    before = visit.page.evaluate(picture)
    other = "light" if dark else "dark"
    visit.page.evaluate(f"document.documentElement.dataset.theme = '{other}'")
    visit.page.wait_for_function(
        f"document.querySelector('.vae-widget').dataset.vwTheme === '{other}'"
    )
    state(visit)
    assert visit.page.evaluate(picture) != before
    visit.check()
