"""Classes told apart without their hue: the key that brings one out, and marks of ten shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import Open, ready, settle, written
from visit import Visit

from vae_core import data, zoo
from vae_core.widgets import DrawAndEncode, LatentExplorer, SigmaExplorer
from vae_core.widgets._base import BrowserWidget, bundle

# Where each widget keeps its key, its plane and the codes on it.
OWNERS = {
    "LatentExplorer": ("vae.explorer", "vae.explorer.panels.at(-1)", "codes"),
    "DrawAndEncode": ("vae.studio", "vae.studio", "codes"),
    "SigmaExplorer": ("vae.page", "vae.page", "now.codes"),
}
# How strongly the plane is inked at the codes of each class, whatever the hue: medians, 0 to 255.
INK = """(() => {{
    const owner = {owner}, plane = owner.plane, codes = owner.{codes};
    plane.paint();
    const {{ data, width, height }} = plane.still.getContext("2d")
        .getImageData(0, 0, plane.still.width, plane.still.height);
    const ink = codes.medians.map(() => []);
    for (let i = 0; i < codes.count; i++) {{
        const [x, y] = plane.toPixel(codes.at(i)).map((v) => Math.round(v * plane.ratio));
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
        ink[codes.labels[i]].push(data[4 * (y * width + x) + 3]);
    }}
    return ink.map((values) => values.sort((a, b) => a - b)[values.length >> 1]);
}})()"""


class Keyed:
    """A widget's page, and its key."""

    def __init__(self, visit: Visit, name: str) -> None:
        self.visit, self.page = visit, visit.page
        self.owner, plane, codes = OWNERS[name]
        self.plane = f"{plane}.plane"
        self._ink = INK.format(owner=plane, codes=codes)
        self.group = self.page.get_by_role("group", name="Classes, to bring one out")

    def entry(self, name: str) -> Any:
        return self.group.get_by_role("button", name=name, exact=True)

    def pressed(self) -> list[str]:
        return list(self.group.locator("[aria-pressed=true]").all_inner_texts())

    def ink(self) -> list[float]:
        settle(self.visit)
        return list(self.page.evaluate(self._ink))

    def check_out(self, k: int) -> None:
        """Class ``k`` stands out, in grey as well; all others are faded."""
        ink = self.ink()
        assert ink[k] > 190, ink
        # Where classes overlap, faded marks add up: the middle one of nine must be faint.
        others = sorted(ink[:k] + ink[k + 1 :])
        assert others[4] < 0.5 * ink[k], ink

    def check_alike(self) -> None:
        assert self.pressed() == []
        assert self.page.evaluate(f"{self.owner}.classKey.out") == -1
        assert max(self.ink()) < 4 * min(self.ink())

    def wait_heard(self, words: str) -> None:
        self.page.wait_for_function(
            "(words) => document.querySelector('[role=status]').textContent.includes(words)",
            arg=words,
        )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page for each widget that shows classes on a plane."""
    images = data.load("mnist", "test")
    vae = zoo.load("vae-2", progress=False)
    made: list[BrowserWidget] = [
        LatentExplorer({"VAE": vae}, images),
        DrawAndEncode(vae, images),
        SigmaExplorer([zoo.load(f"sigma-{s}", progress=False) for s in ("0.5", "2.0")], images),
    ]
    return {
        type(widget).__name__: written(tmp_path_factory.mktemp("key"), widget.to_html())
        for widget in made
    }


@pytest.fixture(params=list(OWNERS))
def keyed(
    request: pytest.FixtureRequest, pages: dict[str, Path], open_page: Open
) -> Callable[..., Keyed]:
    """``keyed(page options)``: one of the three widgets, open."""
    return lambda **options: Keyed(ready(open_page(pages[request.param], **options)), request.param)


def test_a_click_brings_a_class_out_and_another_lets_it_go(keyed: Callable[..., Keyed]) -> None:
    it = keyed()
    assert it.group.get_by_role("button").all_inner_texts() == list("0123456789")
    it.check_alike()
    it.entry("0").click()
    it.page.mouse.move(1, 1)
    assert it.pressed() == ["0"]
    it.check_out(0)
    it.wait_heard("Class 0 brought out, the others faded; median")
    it.entry("1").click()
    it.page.mouse.move(1, 1)
    assert it.pressed() == ["1"]  # one at a time
    it.check_out(1)
    it.entry("1").click()
    it.page.mouse.move(1, 1)
    it.check_alike()
    it.wait_heard("All classes alike")
    it.visit.check()


def test_the_mouse_shows_a_class_in_passing(keyed: Callable[..., Keyed]) -> None:
    it = keyed()
    it.entry("7").hover()
    it.check_out(7)
    assert it.pressed() == []
    it.page.mouse.move(1, 1)
    it.check_alike()


def test_keys_go_from_class_to_class(keyed: Callable[..., Keyed]) -> None:
    it = keyed(dark=True)
    it.entry("9").focus()
    it.page.keyboard.press("ArrowRight")  # around the end; nothing is brought out yet
    assert it.entry("0").evaluate("(el) => el === document.activeElement")
    it.check_alike()
    it.page.keyboard.press("Space")
    it.check_out(0)
    it.page.keyboard.press("ArrowRight")  # once one is out, it comes along
    assert it.pressed() == ["1"]
    it.check_out(1)
    it.page.keyboard.press("Escape")
    it.check_alike()
    it.visit.check()


def test_a_finger_brings_a_class_out_on_a_narrow_page(keyed: Callable[..., Keyed]) -> None:
    it = keyed(width=360, touch=True)
    box = it.entry("1").bounding_box()
    assert box["height"] >= 30
    assert box["width"] >= 34
    it.entry("1").tap()
    assert it.pressed() == ["1"]
    it.check_out(1)
    it.entry("1").tap()
    it.check_alike()
    assert it.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    it.visit.check()


SHAPES = """(radius) => {
    const size = 8 * radius, all = [];
    for (let k = 0; k < 10; k++) {
        const canvas = new OffscreenCanvas(size, size), pen = canvas.getContext("2d");
        drawClassMark(pen, k, size / 2, size / 2, radius, "#000");
        all.push(Array.from(pen.getImageData(0, 0, size, size).data.filter((_, i) => i % 4 === 3)));
    }
    return all;
}"""


def test_ten_marks_differ_in_shape_at_their_smallest(open_page: Open, tmp_path: Path) -> None:
    """Each pair differs in at least a fifth of its ink, at the least radius a shape has."""
    code = bundle("latent_explorer").replace("export default", "window.x =")
    script = f"<script>{code}\nwindow.marks = {SHAPES}; window.from = CLASS_MARK_FROM;</script>"
    visit = open_page(written(tmp_path, script))
    marks = visit.page.evaluate("marks(from)")
    for a in range(10):
        for b in range(a):
            both = sum(x + y for x, y in zip(marks[a], marks[b], strict=True))
            apart = sum(abs(x - y) for x, y in zip(marks[a], marks[b], strict=True))
            assert apart > 0.2 * both, (a, b, apart / both)


RADII = """(() => {{
    const plane = {plane}, own = plane.marks, seen = [];
    plane.marks = (...all) => {{ seen.push(all[4]); return own.apply(plane, all); }};
    plane.stale = true;
    plane.paint();
    delete plane.marks;
    return seen;
}})()"""


def test_dots_have_shapes_once_they_are_big_enough(keyed: Callable[..., Keyed]) -> None:
    """From a radius of 2.6 pixels (CLASS_MARK_FROM): on the whole plane dots, close by marks."""
    it = keyed()
    assert max(it.page.evaluate(RADII.format(plane=it.plane))) < 2.6
    it.page.evaluate(f"{it.plane}.zoom(1 / 8)")
    assert 2.6 < min(it.page.evaluate(RADII.format(plane=it.plane))) <= 4.5
