"""Every widget of the built book by finger on a phone, and by keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, CDPSession, Page
from test_pages import BOOK, PAGES

from vae_core import widgets

KIND = re.compile(r'<div class="vae-static" data-widget="(\w+)"')
# The first page that shows each kind of widget.
WHERE: dict[str, str] = {}
for _page in PAGES:
    for _kind in KIND.findall((BOOK / _page).read_text("utf-8")):
        if _page.startswith("notebooks/") or _page == "book/index.html":
            WHERE.setdefault(_kind, _page)
KINDS = {
    getattr(widgets, name).NAME
    for name in widgets.__all__
    if hasattr(getattr(widgets, name), "NAME")
}

# All that a reader could see of a widget: its words, its pictures, its switches.
SEEN = """(root) => {
  const parts = [root.innerText];
  root.querySelectorAll("canvas").forEach((c) => parts.push(c.toDataURL()));
  root.querySelectorAll("[aria-pressed], [aria-valuenow], input").forEach(
    (e) => parts.push(e.ariaPressed, e.getAttribute("aria-valuenow"), e.value));
  root.querySelectorAll("[style]").forEach((e) => parts.push(e.getAttribute("style")));
  return parts.join("|");
}"""

# A name for a screen reader: from its label, its text, or the label around it.
NAMED = "(e) => (e.ariaLabel || e.textContent || e.closest('label')?.textContent || '').trim()"

FOCUS_SHOWN = """(e) => {
  const s = getComputedStyle(e);
  return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1.5;
}"""

FOCUSABLE = (
    "button:not(:disabled), canvas[tabindex], .vw-handle, input, select:not(:disabled), textarea, "
    "summary, p[tabindex='0'], .vw-math[tabindex='0'], .vw-lab-card, .vw-lab-code[tabindex='0']"
)
MOVED = ".vw-handle, canvas[tabindex], input[type=range]"


class Shown(NamedTuple):
    """A widget on its page."""

    page: Page
    widget: Any  # its section
    cdp: CDPSession
    errors: list[str]

    def seen(self) -> str:
        self.page.wait_for_timeout(60)  # drawn in the next frame
        return str(self.widget.evaluate(SEEN))

    def drag(self, at: tuple[float, float], by: tuple[float, float]) -> None:
        """One finger: down, along in eight steps, up."""

        def touch(kind: str, points: list[dict[str, float]]) -> None:
            self.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", [{"x": at[0], "y": at[1]}])
        for step in range(1, 9):
            x, y = (start + part * step / 8 for start, part in zip(at, by, strict=True))
            touch("touchMove", [{"x": x, "y": y}])
        touch("touchEnd", [])


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Shown]]:
    contexts = []

    def go(kind: str, **options: Any) -> Shown:
        context = browser.new_context(offline=True, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((BOOK / WHERE[kind]).as_uri())
        page.evaluate("() => window.MathJax?.startup?.promise")
        static = page.locator(f".vae-static[data-widget={kind}]").first
        static.scroll_into_view_if_needed()
        page.wait_for_function(
            "(kind) => document.querySelector(`.vae-static[data-widget=${kind}] > div`)?.__vae",
            arg=kind,
        )
        page.wait_for_timeout(300)
        widget = static.locator("section.vae-widget")
        for summary in widget.locator("summary").all():
            summary.click()
        # A slider that waits for another choice: make that choice, so that it is tried as well.
        for choice in widget.locator("button[aria-pressed=false]").all():
            if widget.locator("input:disabled").count():
                choice.click()
        assert widget.locator("input:disabled").count() == 0
        return Shown(page, widget, context.new_cdp_session(page), errors)

    yield go
    for context in contexts:
        context.close()


def test_the_book_shows_every_kind() -> None:
    assert len(KINDS) >= 13
    assert set(WHERE) == KINDS


def centre(element: Any) -> tuple[float, float]:
    box = element.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("kind", sorted(WHERE))
def test_a_finger_uses_all_of_it(kind: str, show: Callable[..., Shown]) -> None:
    shown = show(kind, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page, widget = shown.page, shown.widget
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    # A finger finds every control: within the page, and 24 pixels each way (WCAG 2.2, 2.5.8).
    for control in widget.locator(FOCUSABLE).all():
        if not control.is_visible():
            continue
        box, name = control.bounding_box(), control.evaluate(NAMED)
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 360, name
        small = min(box["width"], box["height"])
        around = control.evaluate(
            "(e) => { const s = getComputedStyle(e, '::before');"
            " return e.matches('.vw-handle') ? -parseFloat(s.inset || s.top) * 2 : "
            " e.closest('label') ? e.closest('label').clientHeight - e.clientHeight : 0; }"
        )
        assert small + around >= 23.9, f"{name}: {small} + {around}"

    for control in widget.locator(f"{MOVED}, .vw-pad canvas").all():
        name = control.evaluate(NAMED)
        control.scroll_into_view_if_needed()
        before = shown.seen()
        for by in ((44, -25), (-60, 30)):
            x, y = centre(control)
            if control.evaluate("(e) => e.matches('input')"):
                # The thumb stands where the value says.
                x += control.evaluate(
                    "(e) => ((e.value - e.min) / (e.max - e.min) - 0.5) * (e.clientWidth - 16)"
                )
                by = (by[0], 0)
            shown.drag((x, y), by)
            if shown.seen() != before:
                break
        assert shown.seen() != before, f"a finger does not move {name!r}"

    changed = 0
    for control in widget.locator("button:not(:disabled)").all()[:8]:
        if control.is_visible():
            before = shown.seen()
            control.tap()
            changed += shown.seen() != before
    assert changed >= 1
    assert shown.errors == []


@pytest.mark.parametrize("kind", sorted(WHERE))
def test_keys_reach_and_move_all_of_it(kind: str, show: Callable[..., Shown]) -> None:
    shown = show(kind, viewport={"width": 1000, "height": 900})
    page, widget = shown.page, shown.widget
    wanted = [c for c in widget.locator(FOCUSABLE).all() if c.is_visible()]
    wanted[0].focus()
    for index, control in enumerate(wanted):
        name = control.evaluate(NAMED)
        assert name, control.evaluate("(e) => e.outerHTML.slice(0, 120)")
        # Tab leads from each to the next, and never into a trap.
        if index:
            page.keyboard.press("Tab")
        else:
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Tab")
        assert control.evaluate("(e) => e === document.activeElement"), f"Tab misses {name!r}"
        assert control.evaluate(FOCUS_SHOWN), f"no focus is shown on {name!r}"

    live = widget.locator("[aria-live]")
    for control in widget.locator(MOVED).all():
        name = control.evaluate(NAMED)
        control.focus()
        before = shown.seen()
        live.evaluate("(e) => { e.textContent = ''; }")
        for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
            page.keyboard.press(key)
            if shown.seen() != before:
                break
        assert shown.seen() != before, f"arrow keys do not move {name!r}"
        said = control.evaluate(
            "(e) => e.matches('.vw-handle, input') && e.getAttribute('aria-valuetext')"
        )
        if not said:
            page.wait_for_function(
                "(e) => e.textContent.length > 0", arg=live.element_handle(), timeout=3000
            )
    # What a button does is said as well.
    said = 0
    for control in widget.locator("button:not(:disabled)").all():
        if control.is_visible():
            live.evaluate("(e) => { e.textContent = ''; }")
            before = shown.seen()
            control.focus()
            page.keyboard.press("Enter")
            if shown.seen() != before:
                page.wait_for_timeout(2200)  # some speak at most every two seconds
                said += (
                    bool(live.text_content()) or control.get_attribute("aria-pressed") is not None
                )
                break
    assert said
    assert shown.errors == []
