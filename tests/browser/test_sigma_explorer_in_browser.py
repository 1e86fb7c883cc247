"""The sigma explorer in a browser, from its static rendition alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stage import ready, state, written
from visit import Visit

from vae_core import data, zoo
from vae_core.widgets import SigmaExplorer

Open = Callable[..., Visit]
READY = "document.querySelector('.vae-static > div')?.__vae"
NAMES = ("sigma-0.25", "sigma-1.0", "sigma-2.0", "sigma-3.0")


@pytest.fixture(scope="module")
def widget() -> SigmaExplorer:
    models = [zoo.load(name, progress=False) for name in NAMES]
    return SigmaExplorer(models, data.load("mnist", "test").first(500))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page(widget: SigmaExplorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sigma"), widget.to_html())


def texts(visit: Visit) -> list[str]:
    return [
        text.replace("−", "-") for text in visit.page.locator(".vw-readout dd").all_inner_texts()
    ]


def plane(visit: Visit) -> dict[str, float]:
    canvas = visit.page.locator(".vw-plane canvas")
    canvas.scroll_into_view_if_needed()
    return dict(canvas.bounding_box())


def test_decoders_and_posteriors_equal_pytorch(
    page: Path, widget: SigmaExplorer, open_page: Open
) -> None:
    """Pixels within 1e-5 of the twins' (float32); posteriors as packed, to 1e-6."""
    visit = ready(open_page(page))
    z = 2 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    for k, twin in enumerate(widget.twins):
        with torch.no_grad():
            wanted = twin.mean(z).flatten(1)
        got = visit.page.evaluate("([zs, k]) => zs.map((z) => vae.decode(z, k))", [z.tolist(), k])
        assert (torch.tensor(got) - wanted).abs().max() < 1e-5
        found = visit.page.evaluate("(k) => vae.posterior(3, k)", k)
        assert found["mean"] == pytest.approx(widget._codes[k][3].tolist(), abs=1e-6)
        assert all(0 < sigma < 1.2 for sigma in found["sigma"])


def test_numbers_are_the_engines(page: Path, widget: SigmaExplorer, open_page: Open) -> None:
    """They travel in double precision, so they are equal; shown, they are rounded."""
    visit = ready(open_page(page))
    for k, point in enumerate(widget.points):
        visit.page.evaluate("(k) => vae.page.setIndex(k)", k)
        now = state(visit)
        assert now["sigma"] == point.sigma
        assert now["rate"] == point.rate.value
        assert now["error"] == point.squared_error.value
        assert now["negative_elbo"] == point.negative_elbo.value
        assert texts(visit) == [
            f"{point.rate.value:.2f}",
            f"{point.squared_error.value:.2f}",
            f"{point.negative_elbo.value:.1f}",
            f"{point.mean_squared_error**0.5:.3f}",
            f"{point.active} of 2",
        ]


def test_slider_keys_change_sigma_and_keep_the_digit(
    page: Path, widget: SigmaExplorer, open_page: Open
) -> None:
    visit = ready(open_page(page))
    assert state(visit)["sigma"] == widget.sigma == widget.sigmas[0]
    visit.page.get_by_label("σ").last.focus()
    for k in (1, 2, 3):
        visit.page.keyboard.press("ArrowRight")
        now = state(visit)
        assert now["index"] == k
        assert now["digit"] == 0
        assert now["z"] == pytest.approx(widget._codes[k][0].tolist(), abs=1e-6)
    visit.page.keyboard.press("ArrowLeft")
    assert state(visit)["index"] == 2
    visit.page.wait_for_function("document.querySelector('[role=status]').textContent")
    assert "sigma 2.00" in visit.page.inner_text("[role=status]")
    visit.check()


def test_plane_is_used_by_mouse_and_keys(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    box = plane(visit)
    before = state(visit)
    visit.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    reach = visit.page.evaluate("vae.page.plane.view.reach")
    now = state(visit)
    assert now["z"] == pytest.approx([0.2 * reach, 0.2 * reach], abs=0.02 * reach)
    assert now["decoded"] != before["decoded"]
    visit.page.mouse.move(1, 1)
    assert state(visit)["z"] == before["z"]
    visit.page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    nearest = visit.page.evaluate("vae.page.now.codes.nearest(vae.page.point).index")
    assert state(visit)["digit"] == nearest
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["z"][0] == pytest.approx(0.2 * reach + reach / 40, abs=0.02 * reach)
    visit.page.keyboard.press("]")
    assert state(visit)["index"] == before["index"] + 1
    visit.page.keyboard.press("n")
    assert state(visit)["digit"] != nearest
    visit.check()


def test_one_scale_for_all_sigmas(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    scales, widths = [], []
    for k in range(4):
        visit.page.evaluate("(k) => vae.page.setIndex(k)", k)
        scales.append(visit.page.evaluate("vae.page.plane.scale"))
        widths.append(visit.page.evaluate("Math.max(...vae.page.now.codes.x.map(Math.abs))"))
    assert len(set(scales)) == 1
    assert widths[0] > widths[-1]  # the codes shrink on it


def test_a_dot_of_the_curve_chooses_its_sigma(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    chart = visit.page.locator(".vw-chart canvas")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    place = "vae.page.chart.toPixel([vae.page.models[1].rate, vae.page.models[1].error])"
    at = visit.page.evaluate(place)
    visit.page.mouse.click(box["x"] + at[0] + 2, box["y"] + at[1] - 2)
    assert state(visit)["index"] == 1


# The lines of a chart's next painting, as it hands them to the canvas, in the axes' values.
DASHED = """async () => {
    const chart = vae.page.chart, ctx = chart.canvas.getContext("2d"), lines = [];
    let points = [];
    const { beginPath, moveTo, lineTo, stroke } = ctx, own = { beginPath, moveTo, lineTo, stroke };
    const told = (name) => function (...at) { points.push(at); own[name].apply(ctx, at); };
    ctx.beginPath = () => { points = []; own.beginPath.apply(ctx); };
    ctx.moveTo = told("moveTo");
    ctx.lineTo = told("lineTo");
    ctx.stroke = () => {
        if (ctx.getLineDash().length) lines.push(points.map((at) => chart.toValue(at)));
        own.stroke.apply(ctx);
    };
    chart.paint();
    for (const name of Object.keys(own)) delete ctx[name];
    return lines;
}"""


def test_the_dashed_line_touches_the_curve_with_its_slope(
    page: Path, widget: SigmaExplorer, open_page: Open
) -> None:
    """Through the chosen dot with the slope -2 sigma^2, at every stop and in both widths."""
    for width in (800, 360):
        visit = ready(open_page(page, width=width))
        for k, point in enumerate(widget.points):
            visit.page.evaluate("(k) => vae.page.setIndex(k)", k)
            (line,) = visit.page.evaluate(DASHED)
            (x0, y0), (x1, y1) = line
            assert (y1 - y0) / (x1 - x0) == pytest.approx(-2 * point.sigma**2, rel=1e-9)
            at_dot = y0 + (y1 - y0) * (point.rate.value - x0) / (x1 - x0)
            assert at_dot == pytest.approx(point.squared_error.value, abs=1e-9)
            # All of it that is to be seen is drawn: it leaves the picture at both ends.
            inside = visit.page.evaluate(
                """(ends) => ends.map((end) => {
                    const { left, top, width, height } = vae.page.chart.inner;
                    const [x, y] = vae.page.chart.toPixel(end);
                    return x > left && x < left + width && y > top && y < top + height;
                })""",
                line,
            )
            assert inside == [False, False]


PATH = """([xs, ys]) => {
    const strokes = [], chart = vae.page.chart;
    chart.path({
        beginPath() {},
        moveTo(...at) { strokes.push([at]); },
        lineTo(...at) { strokes.at(-1).push(at); },
    }, xs, ys);
    return strokes.map((stroke) => stroke.map((at) => chart.toValue(at)));
}"""


def test_a_line_is_clipped_where_it_leaves_and_comes_back(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    (left, right), (low, high) = visit.page.evaluate("[vae.page.chart.x, vae.page.chart.y]")
    tall, middle = high - low, (left + right) / 2
    # Up and out at once, far above, and back down: two strokes, each with its own slope.
    xs, ys = [left, middle, right, right], [low, low + 1000 * tall, low, high]
    out, back = visit.page.evaluate(PATH, [xs, ys])
    slope = 1000 * tall / (middle - left)
    assert out[0] == pytest.approx([left, low])
    assert (out[1][1] - out[0][1]) / (out[1][0] - out[0][0]) == pytest.approx(slope, rel=1e-9)
    assert (back[1][1] - back[0][1]) / (back[1][0] - back[0][0]) == pytest.approx(-slope, rel=1e-9)
    assert back[1:] == [pytest.approx([right, low]), pytest.approx([right, high])]
    # What is inside is left as it is; what is not a number, and what is outside, is not drawn.
    xs = [left, middle, right]
    (whole,) = visit.page.evaluate(PATH, [xs, [low, high, low]])
    assert [x for x, _ in whole] == pytest.approx(xs)
    assert visit.page.evaluate(PATH, [xs, [low, float("nan"), high]]) == []
    assert visit.page.evaluate(PATH, [[left, right], [high + 50 * tall] * 2]) == []


def test_an_area_is_clipped_to_what_is_seen_of_it(page: Path, open_page: Open) -> None:
    """A triangle a thousand pictures high: its sides still rise as steeply as they should."""
    visit = ready(open_page(page))
    (left, right), (low, high) = visit.page.evaluate("[vae.page.chart.x, vae.page.chart.y]")
    middle, tall = (left + right) / 2, high - low
    corners = visit.page.evaluate(
        """([xs, ys, base]) => {
            const corners = [], chart = vae.page.chart;
            chart.area({
                beginPath() {}, closePath() {}, fill() {},
                lineTo(...at) { corners.push(chart.toValue(at)); },
            }, xs, ys, "red", { base });
            return corners;
        }""",
        [[left, middle, right], [low, low + 1000 * tall, low], low],
    )
    top = max(y for _, y in corners)
    assert high < top < high + 2 * tall
    steep = 1000 * tall / (middle - left)
    upper = sorted(x for x, y in corners if y == pytest.approx(top))
    assert upper == pytest.approx([left + (top - low) / steep, right - (top - low) / steep])
    assert min(x for x, _ in corners) == pytest.approx(left)
    assert max(x for x, _ in corners) == pytest.approx(right)


def test_grid_fills_and_is_blank_where_all_died(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page))
    visit.page.evaluate("vae.page.setIndex(3)")
    visit.page.get_by_role("button", name="Grid", exact=True).click()
    visit.page.wait_for_function(
        "[...vae.page.tiles.values()].some((t) =>"
        " t.length === Math.round(vae.page.plane.size / 27) ** 2)"
    )
    spread = visit.page.evaluate(
        "Math.max(...vae.decode([2, 2], 3).map((v, i) => Math.abs(v - vae.decode([-2, -2], 3)[i])))"
    )
    lively = visit.page.evaluate(
        "Math.max(...vae.decode([2, 2], 0).map((v, i) => Math.abs(v - vae.decode([-2, -2], 0)[i])))"
    )
    assert spread < 0.2 < lively
    visit.check()


def test_setting_a_trait_moves_the_page_and_back(
    page: Path, widget: SigmaExplorer, open_page: Open
) -> None:
    visit = ready(open_page(page))
    visit.page.evaluate("window.m = document.querySelector('.vae-static').__model")
    visit.page.evaluate("m.set('sigma', 2.0)")
    assert state(visit)["sigma"] == pytest.approx(2.0)
    visit.page.evaluate("m.set('z', [0.5, 0.25])")
    assert state(visit)["z"] == [0.5, 0.25]
    visit.page.evaluate("m.set('digit', 7)")
    assert state(visit)["z"] == pytest.approx(widget._codes[2][7].tolist(), abs=1e-6)
    visit.page.get_by_role("button", name="Another digit").click()
    visit.page.wait_for_function("m.get('digit') === 8")
    visit.page.evaluate("vae.page.setIndex(0)")
    visit.page.wait_for_function(f"Math.abs(m.get('sigma') - {widget.sigmas[0]}) < 1e-9")
    assert visit.page.evaluate("m.get('z')") == state(visit)["z"]


def test_a_finger_on_a_narrow_dark_page(page: Path, open_page: Open) -> None:
    visit = ready(open_page(page, width=360, touch=True, dark=True))
    assert visit.sideways() <= 0
    before = state(visit)
    box = plane(visit)
    visit.page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])
    now = state(visit)
    assert now["z"] != before["z"]
    assert visit.page.evaluate("vae.page.hover") is None  # it stays
    assert visit.page.evaluate("document.querySelector('.vae-widget').dataset.vwTheme") == "dark"
    visit.check()


def test_the_page_is_small(page: Path) -> None:
    assert page.stat().st_size < 450_000
