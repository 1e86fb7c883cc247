"""Each widget in a real JupyterLab with a real kernel, and in its notebook opened again without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from cases import CASES, SETUP
from laboratory import Laboratory, Notebook

from vae_core import widgets

pytestmark = pytest.mark.slow

NAME = "live.ipynb"
# A live view, not the static rendition that waits beside it.
LIVE = ".vae-widget:not(.vae-static *)"
LINK = """\
import ipywidgets
slider = ipywidgets.FloatSlider(0.5, min=-2, max=2, step=0.25, description="mean")
linked = widgets.KLExplorer()
ipywidgets.jslink((slider, "value"), (linked, "mu"))
ipywidgets.VBox([slider, linked])"""
REPORT = "import json; print(json.dumps({}))"
WIDGETS = sorted(widgets.__all__)
# Cells: the set-up; three for each widget (show it, tell of it, set a trait); three of a link.
CELLS = [SETUP]
for _name in WIDGETS:
    if _name in CASES:
        _make, _, _moved, _put, _value = CASES[_name]
        CELLS += [
            f"it = {_make}\nseen = []\nit.observe(seen.append, '{_moved}')\nit",
            REPORT.format(f"[it.{_moved}, len(seen), seen and seen[-1]['new']]"),
            f"it.{_put} = {_value!r}",
        ]
LINKED = len(CELLS)
CELLS += [LINK, REPORT.format("[slider.value, linked.mu]"), "linked.mu = -1.5"]


def first_cell(name: str) -> int:
    """Where a widget's three cells begin."""
    return CELLS.index(next(cell for cell in CELLS if cell.startswith(f"it = {CASES[name].make}")))


def test_every_widget_has_an_entry() -> None:
    """A widget that is added must be added to ``CASES``, and so to all that follows."""
    assert list(CASES) == WIDGETS


class Lab(NamedTuple):
    """The notebook of all widgets, open in JupyterLab."""

    notebook: Notebook
    path: Path
    errors: list[str]  # what went wrong in the page


@pytest.fixture(scope="module")
def open_page(browser: Any) -> Iterator[Callable[[], tuple[Any, list[str]]]]:
    """Fresh pages, each with the list of what goes wrong in it."""
    contexts = []

    def fresh() -> tuple[Any, list[str]]:
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        contexts.append(context)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield fresh
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def lab(laboratory: Laboratory, open_page: Callable[[], tuple[Any, list[str]]]) -> Lab:
    path = laboratory.write(NAME, CELLS)
    page, errors = open_page()
    notebook = laboratory.open(page, NAME)
    notebook.run(0)
    return Lab(notebook, path, errors)


def rounded(value: Any) -> Any:
    """``value``, with the numbers in it to nine places."""
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 9) if isinstance(value, float) else value


class Live:
    """A widget's live view in the page, beside its object in the kernel."""

    def __init__(self, notebook: Notebook, index: int) -> None:
        self.notebook, self.index = notebook, index
        notebook.run(index)
        self.widget = notebook.cell(index).locator(LIVE)
        self.widget.wait_for(timeout=30_000)
        self.wait("(vae) => vae")

    def wait(self, condition: str, argument: Any = None) -> None:
        """Until the page's own handle on the widget meets ``condition``."""
        self.widget.page.wait_for_function(
            f"([el, argument]) => ({condition})(el.parentElement.__vae, argument)",
            arg=[self.widget.element_handle(), argument],
            timeout=20_000,
        )

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        return dict(self.widget.evaluate("(el) => el.parentElement.__vae.state()"))

    def told(self, index: int) -> Any:
        """What a cell prints, read as JSON."""
        return json.loads(self.notebook.run(index))


@pytest.mark.parametrize("name", WIDGETS)
def test_page_and_kernel_move_each_other(name: str, lab: Lab) -> None:
    case, index = CASES[name], first_cell(name)
    live = Live(lab.notebook, index)
    # No gap, and no second widget: the static twin is out of the way.
    assert lab.notebook.cell(index).locator(".vae-widget").count() == 1

    before, seen, _ = live.told(index + 1)
    assert seen == 0
    case.act(live.widget, lab.notebook.page)
    live.widget.page.wait_for_timeout(300)  # a page sends what moved within 60 ms
    after, seen, newest = live.told(index + 1)
    assert after != before
    assert seen >= 1
    assert newest == after
    assert rounded(live.state()[case.moved]) == rounded(after)

    assert live.state()[case.put] != case.value
    lab.notebook.run(index + 2)
    same = "(vae, value) => JSON.stringify(vae.state()[value[0]]) === JSON.stringify(value[1])"
    live.wait(same, [case.put, case.value])
    assert lab.errors == []


def test_keys_in_a_widget_are_no_commands_of_the_notebook(lab: Lab) -> None:
    """JupyterLab moves to another cell at an arrow key, and makes a new one at B."""
    live = Live(lab.notebook, first_cell("KLExplorer"))
    page, cells = lab.notebook.page, lab.notebook.page.locator(".jp-Notebook .jp-Cell")
    before, sigma = cells.count(), live.state()["sigma"]
    handle = live.widget.get_by_role("slider", name="Standard deviation of Q, on the curve")
    handle.focus()
    for key in ("ArrowDown", "b", "ArrowDown"):
        page.keyboard.press(key)
    assert live.state()["sigma"] == pytest.approx(sigma - 0.04)
    assert handle.evaluate("(el) => el === document.activeElement")
    assert cells.count() == before


def test_a_slider_is_linked_in_the_page(lab: Lab) -> None:
    """``jslink`` joins an ipywidgets slider to a widget's trait, both ways, and Python hears it."""
    live = Live(lab.notebook, LINKED)
    lab.notebook.cell(LINKED).locator(".noUi-handle").focus()
    lab.notebook.page.keyboard.press("ArrowRight")
    live.wait("(vae) => vae.state().mu !== 1 && vae.state().mu !== 0.5")
    live.widget.page.wait_for_timeout(300)
    slider, mu = live.told(LINKED + 1)
    assert slider == mu == live.state()["mu"]
    lab.notebook.run(LINKED + 2)
    live.wait("(vae) => vae.state().mu === -1.5")
    text = lab.notebook.cell(LINKED).locator(".widget-readout")
    text.get_by_text(re.compile("[-−]1.50")).wait_for(timeout=10_000)
    assert live.told(LINKED + 1) == [-1.5, -1.5]


def test_a_box_with_a_live_view_shows_no_twin(lab: Lab) -> None:
    """The static twins of the widgets in a box are out of the way, and leave no gap."""
    live = Live(lab.notebook, LINKED)
    cell = lab.notebook.cell(LINKED)
    assert cell.locator(".vae-widget").count() == 1
    assert live.widget.is_visible()
    assert cell.locator(".noUi-handle").is_visible()
    heights = cell.locator(".jp-OutputArea-child").evaluate_all(
        "(all) => all.map((el) => el.offsetHeight)"
    )
    assert sum(height > 0 for height in heights) == 1


# --- the notebook opened again ------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(lab: Lab, laboratory: Laboratory) -> nbformat.NotebookNode:
    """The notebook as JupyterLab saved it, after its kernel is gone."""
    for name in WIDGETS:
        index = first_cell(name)
        if not lab.notebook.cell(index).locator(LIVE).count():  # where one test runs alone
            lab.notebook.run(index)
    if not lab.notebook.cell(LINKED).locator(LIVE).count():
        lab.notebook.run(LINKED)
    lab.notebook.save(lab.path)
    lab.notebook.page.context.close()
    laboratory.stop_kernels()
    return nbformat.read(lab.path, 4)


@pytest.fixture(scope="module")
def reopened(
    saved: nbformat.NotebookNode,
    laboratory: Laboratory,
    open_page: Callable[[], tuple[Any, list[str]]],
) -> Lab:
    page, errors = open_page()
    return Lab(laboratory.open(page, NAME), laboratory.folders["work"] / NAME, errors)


@pytest.fixture(scope="module")
def untrusted(
    saved: nbformat.NotebookNode,
    laboratory: Laboratory,
    open_page: Callable[[], tuple[Any, list[str]]],
) -> Lab:
    """The same notebook as another reader gets it, who has not run it."""
    # JupyterLab trusts what has this reader's signature: another cell, another signature.
    saved.cells.append(nbformat.v4.new_code_cell("'another notebook'"))
    path = laboratory.folders["work"] / "another.ipynb"
    nbformat.write(saved, path)
    page, errors = open_page()
    return Lab(laboratory.open(page, path.name), path, errors)


@pytest.mark.parametrize("name", WIDGETS)
def test_reopened_without_its_kernel_it_still_works(name: str, reopened: Lab) -> None:
    """The working static rendition, and nothing else: no blank, no "model not found"."""
    cell = reopened.notebook.cell(first_cell(name))
    static = cell.locator(".vae-static .vae-widget")
    static.wait_for(timeout=20_000)
    page = reopened.notebook.page
    page.wait_for_function(
        "(el) => el.parentElement.__vae", arg=static.element_handle(), timeout=20_000
    )
    error = cell.get_by_text("Error displaying widget")
    error.wait_for(state="attached", timeout=20_000)  # JupyterLab says so, out of sight
    assert not error.is_visible()
    case = CASES[name]
    state = "(el, name) => el.parentElement.__vae.state()[name]"
    before = static.evaluate(state, case.moved)
    case.act(static, page)
    assert static.evaluate(state, case.moved) != before
    overlap = """(el) => [...el.querySelectorAll('.vw-readout > div')].filter((row) => {
        const [name, value] = [...row.children].map((part) => part.getBoundingClientRect());
        return name.right > value.left + 1 && name.bottom > value.top + 1
            && value.bottom > name.top + 1;
    }).length"""
    assert static.evaluate(overlap) == 0  # a notebook's style of lists is not a widget's
    assert reopened.errors == []


@pytest.mark.parametrize("name", WIDGETS)
def test_a_notebook_not_trusted_shows_a_picture(name: str, untrusted: Lab) -> None:
    """JupyterLab removes scripts there: a sentence says what to do, and a picture stands for it."""
    cell = untrusted.notebook.cell(first_cell(name))
    cell.get_by_text("or trust the notebook").wait_for(timeout=20_000)
    picture = cell.get_by_role("img", name=name)
    assert picture.evaluate("(el) => el.complete && el.naturalWidth") > 300
    assert picture.is_visible()
    assert cell.locator(".vae-widget").count() == 0
    assert cell.get_by_text("Error displaying widget").count() == 0


# --- a widget inside a box of ipywidgets ----------------------------------------------------------


def test_a_box_opened_again_shows_the_widget_in_it(reopened: Lab) -> None:
    """What stands in the box for the kernel's sake is gone; the book's widget works, alone."""
    cell, page = reopened.notebook.cell(LINKED), reopened.notebook.page
    static = cell.locator(".vae-static .vae-widget")
    static.wait_for(timeout=20_000)
    page.wait_for_function("(el) => el.parentElement.__vae", arg=static.element_handle())
    error = cell.get_by_text("Error displaying widget")
    error.wait_for(state="attached", timeout=20_000)
    error.wait_for(state="hidden", timeout=20_000)
    state = "(el) => el.parentElement.__vae.state().mu"
    before = static.evaluate(state)
    CASES["KLExplorer"].act(static, page)
    assert static.evaluate(state) != before
    assert reopened.errors == []


def test_a_box_in_a_notebook_not_trusted_shows_a_picture(untrusted: Lab) -> None:
    cell = untrusted.notebook.cell(LINKED)
    cell.get_by_text("or trust the notebook").wait_for(timeout=20_000)
    picture = cell.get_by_role("img", name="KLExplorer")
    assert picture.is_visible()
    assert picture.evaluate("(el) => el.complete && el.naturalWidth") > 300
    assert cell.get_by_text("Error displaying widget").count() == 0
