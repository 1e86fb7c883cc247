"""The pipeline widget in a browser, from its static rendition alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import MODEL, put, ready, settle, state, written
from visit import Visit

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.widgets import PipelineExplorer

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def widget() -> PipelineExplorer:
    torch.manual_seed(0)
    vae = VAE(hidden=(32,), likelihood=BernoulliLikelihood(), seed=1).eval()
    return PipelineExplorer(vae, data.load("mnist", "test").first(200))


@pytest.fixture(scope="module")
def path(widget: PipelineExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("pipeline"), widget.to_html())


def numbers(visit: Visit) -> dict[str, float]:
    """The loss and its terms as they are read."""
    rows = visit.page.evaluate(
        "Object.entries(vae.pipeline.bars).map(([key, bar]) => [key, bar.number.textContent])"
    )
    return {k: float(text.replace(" nats", "").replace("−", "-")) for k, text in rows}


def widths(visit: Visit) -> dict[str, list[float]]:
    """Where each bar begins and ends, in pixels of its track."""
    found = visit.page.evaluate(
        """Object.fromEntries(Object.entries(vae.pipeline.bars).map(([k, { pieces }]) => {
            const left = pieces[0].parentElement.getBoundingClientRect().left;
            const ends = pieces.map((p) => p.getBoundingClientRect());
            return [k, [ends[0].left - left, ends.at(-1).right - left]];
        }))"""
    )
    return dict(found)


def landed(visit: Visit) -> dict[str, Any]:
    """The state once z has arrived where it was drawn."""
    visit.page.wait_for_function(
        f"{MODEL}.get('noise').every((v, i) => v === vae.pipeline.noise[i])"
    )
    settle(visit)
    return state(visit)


def test_the_page_computes_what_python_does(
    path: Path, widget: PipelineExplorer, open_page: Open
) -> None:
    visit = ready(open_page(path))
    for digit in (0, 4, 7):
        visit.page.get_by_role("button", name=f"Load a test digit, {digit}").click()
        now = put(visit, noise=[0.5, -1.25])
        widget.pixels, widget.noise = now["pixels"], [0.5, -1.25]
        for name in ("mean", "log_sigma", "z"):
            assert now[name] == pytest.approx(getattr(widget, name), abs=1e-4)
        for name in ("reconstruction", "kl", "elbo"):
            assert now[name] == pytest.approx(getattr(widget, name), abs=2e-3)
    visit.check()


def test_the_bars_add_up(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    for digit in range(10):
        visit.page.get_by_role("button", name=f"Load a test digit, {digit}").click()
        now, shown, bars = state(visit), numbers(visit), widths(visit)
        assert shown["reconstruction"] + shown["kl"] == pytest.approx(shown["loss"], abs=1e-9)
        assert shown["loss"] == pytest.approx(-now["elbo"], abs=5.1e-3)
        assert shown["kl"] == pytest.approx(now["kl"], abs=5.1e-3)
        assert bars["kl"][0] == pytest.approx(bars["reconstruction"][1], abs=0.5)
        assert bars["kl"][1] == pytest.approx(bars["loss"][1], abs=0.5)
        share = shown["reconstruction"] / shown["loss"]
        assert bars["reconstruction"][1] / bars["loss"][1] == pytest.approx(share, abs=0.01)
    visit.check()


def test_draw_again_moves_z_and_leaves_the_posterior(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    before, scores = state(visit), []
    for _ in range(12):
        visit.page.get_by_role("button", name="Draw again").click()
        now = landed(visit)
        assert now["mean"] == before["mean"]
        assert now["kl"] == before["kl"]
        assert now["z"] != before["z"]
        scores += [
            (z - m) / math.exp(s)
            for z, m, s in zip(now["z"], now["mean"], now["log_sigma"], strict=True)
        ]
    assert max(map(abs, scores)) < 6
    assert statistics.pstdev(scores) > 0.3
    visit.check()


def test_without_motion_z_arrives_at_once(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    visit.page.emulate_media(reduced_motion="reduce")
    visit.page.get_by_role("button", name="Draw again").click()
    glided = "vae.pipeline.noise"
    first = visit.page.evaluate(glided)
    visit.page.wait_for_timeout(500)
    assert visit.page.evaluate(glided) == first
    visit.check()


def test_keys_draw_a_digit(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    visit.page.get_by_role("button", name="Clear").click()
    assert not any(state(visit)["pixels"])
    visit.page.locator(".vw-pad canvas").focus()
    for key in ("Space", "Shift+ArrowDown", "Space"):
        visit.page.keyboard.press(key)
    drawn = state(visit)
    assert max(drawn["pixels"]) > 200
    visit.page.keyboard.press("s")
    assert landed(visit)["z"] != drawn["z"]
    visit.page.keyboard.press("u")
    assert not any(state(visit)["pixels"])
    visit.page.wait_for_function(
        "/^Mean .*Loss .* nats/.test(document.querySelector('.vw-sr').textContent)"
    )
    visit.check()


def test_a_term_points_at_what_it_compares(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path))
    lit = "document.querySelector('.vw-pipe').dataset.lit ?? ''"
    for name in ("reconstruction", "kl"):
        visit.page.locator(f".vw-pipe-{name} th").hover()
        assert visit.page.evaluate(lit) == name
    visit.page.mouse.move(1, 1)
    assert visit.page.evaluate(lit) == ""


def test_on_a_phone_it_goes_down_and_up_again(path: Path, open_page: Open) -> None:
    visit = ready(open_page(path, width=360, touch=True))
    assert visit.sideways() == 0
    boxes = {
        name: visit.page.locator(f".vw-pipe-{name}").bounding_box()
        for name in ("x", "encoder", "z", "decoder", "out")
    }
    assert boxes["x"]["y"] < boxes["encoder"]["y"] < boxes["z"]["y"]
    assert boxes["out"]["y"] < boxes["decoder"]["y"] < boxes["z"]["y"]
    assert boxes["x"]["x"] < boxes["out"]["x"]
    visit.page.get_by_role("button", name="Load a test digit, 3").tap()
    visit.page.get_by_role("button", name="Clear").tap()
    pad = visit.page.locator(".vw-pad canvas").bounding_box()
    visit.page.touchscreen.tap(pad["x"] + pad["width"] / 2, pad["y"] + pad["height"] / 2)
    assert max(state(visit)["pixels"]) > 200
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_it_follows_the_theme(path: Path, dark: bool, open_page: Open) -> None:
    visit = ready(open_page(path, dark=dark))
    picture = "document.querySelector('.vw-pipe-out canvas').toDataURL()"
    settle(visit)
    before = visit.page.evaluate(picture)
    other = "light" if dark else "dark"
    visit.page.evaluate(f"document.documentElement.dataset.theme = '{other}'")
    visit.page.wait_for_function(
        f"document.querySelector('.vae-widget').dataset.vwTheme === '{other}'"
    )
    settle(visit)
    assert visit.page.evaluate(picture) != before
    visit.check()
