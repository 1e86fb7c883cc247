"""The marks of proofs and the folded code in the built chapters: mouse, keys, touch, no script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from test_access import AXE, GO_DARK
from visit import Visit

PAGE = "notebooks/03_elbo.html"
IN_TEXT = ".vae-proved:not(.vae-alone) > .vae-proof"
CARD = ".vae-proof-card"


@pytest.fixture
def chapter(open_page: Callable[..., Visit], book: Path) -> Callable[..., Visit]:
    return lambda **options: open_page(book / PAGE, **options)


def marks(visit: Visit) -> Any:
    found = visit.page.locator(IN_TEXT)
    assert found.count() >= 2
    return found


def sign(mark: Any) -> Any:
    return mark.locator("> summary")


def away(visit: Visit) -> None:
    visit.page.mouse.move(1, 1)


def test_a_mark_stands_on_the_last_line_of_its_paragraph(chapter: Callable[..., Visit]) -> None:
    for width in (1280, 360):
        visit = chapter(width=width)
        visit.page.evaluate("() => window.MathJax?.startup?.promise")
        for mark in marks(visit).all():
            line, box = mark.evaluate(
                "(m) => { const p = m.parentElement.querySelector(':scope > p');"
                " const rect = (e) => { const r = [...e.getClientRects()].at(-1);"
                " return { top: r.top, bottom: r.bottom, right: r.right }; };"
                " return [rect(p), rect(m.querySelector('summary'))]; }"
            )
            middle = (box["top"] + box["bottom"]) / 2
            assert line["top"] - 2 <= middle <= line["bottom"] + 2
            assert box["right"] <= width
        assert visit.sideways() <= 0
        visit.check()


def test_hover_shows_the_claims_and_leaving_hides_them(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=1280)
    mark = marks(visit).first
    card = mark.locator(CARD)
    assert not card.is_visible()
    sign(mark).hover()
    card.wait_for(state="visible")
    assert "Refuted by: " in card.inner_text()
    assert "Holds by: " in card.inner_text()
    card.locator("li").first.hover()  # one can go into it
    visit.page.wait_for_timeout(600)
    assert card.is_visible()
    away(visit)
    card.wait_for(state="hidden")
    visit.check()


def test_a_click_keeps_it_open_until_the_next_or_one_elsewhere(
    chapter: Callable[..., Visit],
) -> None:
    visit = chapter(width=1280)
    mark, other = marks(visit).nth(0), marks(visit).nth(1)
    sign(mark).hover()
    mark.locator(CARD).wait_for(state="visible")
    sign(mark).click()
    away(visit)
    visit.page.wait_for_timeout(600)
    assert mark.locator(CARD).is_visible()
    sign(mark).click()
    away(visit)
    mark.locator(CARD).wait_for(state="hidden")
    sign(mark).click()
    mark.locator(CARD).wait_for(state="visible")
    sign(other).click()
    other.locator(CARD).wait_for(state="visible")
    assert not mark.locator(CARD).is_visible()
    visit.page.locator("article h1").click()
    other.locator(CARD).wait_for(state="hidden")
    visit.check()


def test_keys_show_it_go_through_it_and_escape_closes(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=1280)
    page, mark = visit.page, marks(visit).first
    name = sign(mark).get_attribute("aria-label")
    assert name.startswith("Proof: ")
    page.keyboard.press("Tab")  # from here on the focus is shown
    sign(mark).focus()
    mark.locator(CARD).wait_for(state="visible")
    page.keyboard.press("Tab")
    assert mark.evaluate("(m) => m.contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert not mark.locator(CARD).is_visible()
    assert sign(mark).evaluate("(s) => s === document.activeElement")
    page.keyboard.press("Enter")
    mark.locator(CARD).wait_for(state="visible")
    for _ in range(6):  # through all that it holds, and on
        page.keyboard.press("Tab")
    assert not mark.evaluate("(m) => m.contains(document.activeElement)")
    assert not mark.locator(CARD).is_visible()
    visit.check()


def test_the_code_is_unfolded_in_the_text_and_stays(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=1280)
    mark = visit.page.locator(f"{IN_TEXT}:has(.vae-proof-code)").first
    sign(mark).click()
    mark.get_by_text("Show the code").first.click()
    code = mark.locator(".vae-proof-code pre").first
    code.wait_for(state="visible")
    assert "claim(" in code.inner_text()
    away(visit)
    visit.page.wait_for_timeout(600)
    assert code.is_visible()
    # It stands in the text: what follows the paragraph is below it.
    ends = mark.locator(CARD).bounding_box()
    following = mark.evaluate(
        "(m) => { let e = m.parentElement; while (!e.nextElementSibling) e = e.parentElement;"
        " return e.nextElementSibling.getBoundingClientRect().y; }"
    )
    assert ends is not None
    assert following >= ends["y"] + ends["height"] - 1
    visit.page.keyboard.press("Escape")
    assert not code.is_visible()
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_a_tap_on_a_phone_shows_it_within_the_screen(
    chapter: Callable[..., Visit], dark: bool
) -> None:
    visit = chapter(width=360, touch=True, dark=dark)
    mark = marks(visit).first
    sign(mark).scroll_into_view_if_needed()
    sign(mark).tap()
    card = mark.locator(CARD)
    card.wait_for(state="visible")
    box = card.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert visit.sideways() <= 0
    visit.page.touchscreen.tap(5, 200)
    card.wait_for(state="hidden")
    visit.check()


def test_it_opens_where_no_script_runs(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=800, java_script_enabled=False)
    mark = marks(visit).first
    sign(mark).click()
    card = mark.locator(CARD)
    assert card.is_visible()
    text = mark.locator("xpath=..").bounding_box()
    box = card.bounding_box()
    # Beside no script's help it stands below its paragraph, and within it.
    assert text is not None
    assert box is not None
    assert box["x"] >= text["x"] - 1
    assert box["x"] + box["width"] <= text["x"] + text["width"] + 1
    assert visit.sideways() <= 0
    sign(mark).click()
    assert not card.is_visible()


def test_axe_finds_nothing_in_an_open_mark(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=1280, reduced_motion="reduce")
    mark = marks(visit).first
    sign(mark).click()
    visit.page.locator(".vae-code > summary").first.click()
    visit.page.evaluate(AXE_SCRIPT)
    assert visit.page.evaluate(AXE, [None, False]) == []
    visit.page.evaluate(GO_DARK)
    assert visit.page.evaluate(AXE, [["color-contrast"], False]) == []


def test_paper_has_the_mark_alone(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=800)
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    visit.page.emulate_media(media="print")
    for mark in visit.page.locator(".vae-proof").all():
        assert sign(mark).is_visible()
        assert not mark.locator(CARD).is_visible()
    assert not any(word.is_visible() for word in visit.page.locator(".vae-code").all())


def test_no_line_with_a_tick_and_no_bar_is_left(book: Path) -> None:
    for path in sorted((book / "notebooks").glob("*.html")):
        page = path.read_text("utf-8")
        assert "Show code cell" not in page
        assert 'details class="admonition hide' not in page
        assert ">✓ " not in page
        assert "vae-proof-cell" in page


def test_a_chapter_leads_to_its_claims_and_back(chapter: Callable[..., Visit]) -> None:
    visit = chapter(width=1280)
    page, mark = visit.page, marks(visit).first
    sign(mark).click()
    sentence = mark.locator(".vae-claim").first.inner_text()
    mark.get_by_role("link", name="All claims of this chapter").click()
    page.wait_for_load_state()
    opened = page.locator(".vae-claims-register details[open]")
    opened.first.wait_for(state="attached")
    assert opened.count() == 1
    opened.get_by_role("link", name=sentence, exact=True).first.click()
    page.wait_for_load_state()
    shown = page.locator(f"{CARD}:visible")
    shown.first.wait_for(state="visible")
    assert sentence in shown.first.inner_text()
    visit.check()
