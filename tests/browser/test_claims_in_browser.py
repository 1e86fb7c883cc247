"""The register of claims in the built book: boxes that open, and a field to look for words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from visit import Visit

SHOWN = ".vae-claims-register li:not([hidden])"


@pytest.fixture
def register(open_page: Callable[..., Visit], book: Path) -> Callable[..., Visit]:
    return lambda **options: open_page(book / "book/claims.html", **options)


def test_every_chapter_is_a_box_that_opens_by_mouse_and_keys(
    register: Callable[..., Visit],
) -> None:
    visit = register()
    boxes = visit.page.locator(".vae-claims-register details")
    assert boxes.count() == 14
    first = boxes.first
    assert not first.locator("li").first.is_visible()
    first.locator("summary").click()
    assert first.locator("li").first.is_visible()
    first.locator("summary").press("Enter")
    assert not first.locator("li").first.is_visible()
    visit.check()


def test_the_field_shows_the_claims_with_all_its_words(register: Callable[..., Visit]) -> None:
    visit = register()
    page = visit.page
    field = page.get_by_label("Show claims with the words")
    everything = page.locator(".vae-claims-register li").count()
    assert everything > 100
    assert page.get_by_role("status").inner_text() == f"{everything} claims"
    field.fill("POSTERIOR the")
    found = page.locator(SHOWN).all_inner_texts()
    assert 0 < len(found) < everything
    assert all("posterior" in text.lower() and "the" in text.lower() for text in found)
    assert page.get_by_role("status").inner_text() == f"{len(found)} of {everything}"
    # Chapters without one are gone, the others are open.
    boxes = page.locator(".vae-claims-register details:visible")
    assert boxes.count() == page.locator(".vae-claims-register details[open]").count() < 14
    field.fill("nosuchword")
    assert page.get_by_role("status").inner_text() == f"0 of {everything}"
    assert page.locator(SHOWN).count() == 0
    field.fill("")
    assert page.locator(".vae-claims-register details:visible").count() == 14
    assert page.locator(".vae-claims-register details[open]").count() == 0
    visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_with_everything_open(register: Callable[..., Visit], dark: bool) -> None:
    visit = register(width=360, dark=dark, touch=True)
    visit.page.get_by_label("Show claims with the words").fill("a")
    assert visit.page.locator(SHOWN).count() > 100
    assert visit.sideways() <= 0
    visit.check()


def test_a_claim_leads_to_where_it_is_asserted(register: Callable[..., Visit]) -> None:
    visit = register()
    page = visit.page
    page.get_by_label("Show claims with the words").fill("a")
    link = page.locator(f"{SHOWN} a").first
    sentence = link.inner_text()
    link.click()
    page.wait_for_load_state()
    assert "/notebooks/" in page.url
    assert sentence in page.locator("article").inner_text()
    visit.check()
