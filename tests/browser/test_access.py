"""Every page for every reader: axe, words for pictures, colour, motion, no script, paper."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from bs4 import BeautifulSoup
from pypdf import PdfReader
from test_pages import PAGES
from visit import Visit, box_once_fetched

Open = Callable[..., Visit]
CHAPTERS = [name for name in PAGES if name.startswith("notebooks/")]

# Rules of axe whose verdict depends on the theme: run again in the dark.
BY_COLOUR = ["color-contrast", "link-in-text-block"]

# Formulas and listings are most of a page, made alike on all of them, and most of axe's time: they
# are looked at on one page, and on every page by `make access`, which looks at phones as well.
WHOLE = bool(os.environ.get("AXE_WHOLE"))
ALIKE = "notebooks/04_kl_divergence.html"
WIDTHS = [1280, 360] if WHOLE else [1280]

AXE = """async ([rules, whole]) => {
  const options = { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } };
  if (rules) Object.assign(options, { runOnly: rules, rules: {} });
  const part = whole ? document : { exclude: [["mjx-container"], ["pre > span"]] };
  const { violations } = await axe.run(part, options);
  const where = (v) => v.nodes.slice(0, 5).map((node) => node.html.slice(0, 200));
  return violations.map((v) => [v.id, v.help, where(v)]);
}"""

# Done when no colour is on its way any more; an animation without an end is not waited for.
GO_DARK = """async () => {
  document.documentElement.dataset.theme = "dark";
  const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go, 0)));
  for (let k = 0; k < 3; k++) {
    await frame();
    const ended = Promise.allSettled(document.getAnimations().map((each) => each.finished));
    await Promise.race([ended, new Promise((go) => setTimeout(go, 2000))]);
  }
}"""

WIDGETS_READY = "[...document.querySelectorAll('.vae-static > div')].every((el) => el.__vae)"


def open_and_settle(open_page: Open, path: Path, **options: Any) -> Visit:
    """The page once its formulas are drawn and its widgets work."""
    visit = open_page(path, **options)
    visit.page.evaluate("() => window.MathJax?.startup?.promise")
    visit.page.wait_for_function(WIDGETS_READY)
    visit.page.wait_for_timeout(250)  # scripts that wait for the formulas
    return visit


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, width: int, book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / name, width=width, reduced_motion="reduce")
    visit.page.evaluate(AXE_SCRIPT)
    whole = WHOLE or name == ALIKE
    assert visit.page.evaluate(AXE, [None, whole]) == []
    visit.page.evaluate(GO_DARK)
    assert visit.page.evaluate(AXE, [BY_COLOUR, whole]) == []


def test_axe_finds_a_fault(book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / "book/about.html")
    visit.page.evaluate(AXE_SCRIPT)
    visit.page.evaluate(
        "document.querySelector('article').insertAdjacentHTML('beforeend',"
        " '<img src=x><p style=\"color: #bbb; background: #fff\">pale</p>')"
    )
    found = {rule for rule, *_ in visit.page.evaluate(AXE, [None, False])}
    assert {"image-alt", "color-contrast"} <= found


def test_nothing_moves_for_a_reader_who_asked_for_less_motion(book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / CHAPTERS[0], reduced_motion="reduce")
    moving = """() => {
      document.documentElement.dataset.theme = "dark";
      document.body.offsetWidth;
      return document.getAnimations().length;
    }"""
    assert visit.page.evaluate(moving) == 0


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_figure_is_put_into_words(name: str, book: Path) -> None:
    article = BeautifulSoup((book / name).read_text("utf-8"), "html.parser").article
    assert article is not None
    # A widget's picture has its words for itself, a figure shows them below it.
    words = [image.get("alt", "") for image in article.select("img.vae-still")]
    captions = [said.get_text() for said in article.select("figure .caption-text")]
    assert words + captions
    for text in words + captions:
        assert len(text) >= 40, text
        assert not re.search(r"\.(png|svg|jpe?g)\b|_images/|[0-9a-f]{16}", text), text
    assert len(set(captions)) == len(captions)
    figures = article.select("figure")
    assert len(captions) == len(figures)
    assert {len(f.select("img")) for f in figures} <= {1, 2}
    loose = [i for i in article.select("img:not(.vae-still)") if not i.find_parent("figure")]
    assert loose == []
    named = {i["alt"] for figure in figures for i in figure.select("img")}
    assert len(named) == len(figures)
    assert all(name not in caption for name in named for caption in captions)


@pytest.mark.parametrize("name", CHAPTERS)
def test_canvases_have_names_and_live_words(name: str, book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / name)
    unnamed = visit.page.eval_on_selector_all(
        ".vae-widget canvas:not([aria-hidden], button canvas)",
        "(all) => all.filter((c) => !c.role || (c.ariaLabel ?? '').length < 5)"
        ".map((c) => c.outerHTML)",
    )
    assert unnamed == []
    counts = visit.page.eval_on_selector_all(
        ".vae-widget", "(all) => all.map((w) => w.querySelectorAll('[aria-live=polite]').length)"
    )
    assert all(count == 1 for count in counts)


# --- no script, and paper --------------------------------------------------------------------


def stills(visit: Visit) -> list[Any]:
    return list(visit.page.locator("img.vae-still").all())


@pytest.mark.parametrize("name", ["book/index.html", *CHAPTERS])
def test_pictures_stand_in_where_no_script_runs(name: str, book: Path, open_page: Open) -> None:
    widgets = (book / name).read_text("utf-8").count('class="vae-static"')
    visit = open_page(book / name, java_script_enabled=False)
    shown = stills(visit)
    assert len(shown) == widgets
    for still in shown:
        box = box_once_fetched(visit.page, still)
        assert box["width"] > 300
        assert box["height"] > 100
    assert visit.sideways() <= 0
    pictures = {url for url in visit.requests if "/_images/" in url}
    assert len(pictures) >= widgets


def test_a_browser_with_scripts_leaves_the_pictures_out(book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / "notebooks/04_kl_divergence.html")
    visit.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    visit.page.wait_for_load_state("networkidle")
    addresses = [still.get_attribute("src").split("/")[-1] for still in stills(visit)]
    page = (book / "notebooks/04_kl_divergence.html").read_text("utf-8")
    assert len(addresses) == page.count('class="vae-static"')
    assert len(addresses) >= 2
    assert not [url for url in visit.requests if url.split("/")[-1] in addresses]
    assert not any(still.is_visible() for still in stills(visit))


def test_a_widget_that_fails_shows_its_picture(book: Path, open_page: Open, browser: Any) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto((book / "notebooks/12_ae_vs_vae.html").resolve().as_uri())
    page.wait_for_selector(".vae-static[data-failed]", state="attached")
    still = page.locator("img.vae-still").first
    still.evaluate("(image) => image.scrollIntoView()")  # it loads when it comes near
    still.wait_for(state="visible")
    context.close()


@pytest.mark.parametrize("name", ["notebooks/04_kl_divergence.html", "notebooks/12_ae_vs_vae.html"])
def test_a_page_prints_its_pictures_and_answers(name: str, book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / name, dark=True)
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    visit.page.emulate_media(media="print")
    assert visit.page.evaluate("document.documentElement.dataset.theme") == "light"
    shown = [still.evaluate("(e) => getComputedStyle(e).display") for still in stills(visit)]
    assert set(shown) == {"block"}
    assert not any(widget.is_visible() for widget in visit.page.locator(".vae-widget").all())
    assert all(said.is_visible() for said in visit.page.locator(".vae-quiz .feedback").all())
    # On the paper itself all pictures are there, those included that no reader scrolled to.
    printed = PdfReader(io.BytesIO(visit.page.pdf()))
    drawn = {image.hash_bin() for page in printed.pages for image in pictures_of(page)}
    assert len(drawn) >= visit.page.locator("article img:not(.vae-in-dark)").count()
    visit.page.emulate_media(media="screen")
    visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert not any(still.is_visible() for still in stills(visit))


def pictures_of(page: Any) -> list[Any]:
    """The images that a page of a PDF draws."""
    objects = page["/Resources"].get("/XObject")
    found = [entry.get_object() for entry in objects.get_object().values()] if objects else []
    return [entry for entry in found if entry.get("/Subtype") == "/Image"]


# --- colour and motion -----------------------------------------------------------------------


def test_digit_classes_are_named_in_the_planes(book: Path, open_page: Open, browser: Any) -> None:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(
        "window.written = []; const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {"
        " if (/^(700|bold) 16px/.test(this.font)) written.push(text);"
        " return fill.call(this, text, ...at); };"
    )
    page.goto((book / "notebooks/12_ae_vs_vae.html").resolve().as_uri())
    page.wait_for_function(WIDGETS_READY)
    page.locator(".vw-plane canvas").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert set("0123456789") <= set(page.evaluate("written"))
    legend = page.locator("[aria-label='Classes, to bring one out']").first.get_by_role("button")
    assert legend.all_inner_texts() == list("0123456789")
    context.close()


@pytest.mark.parametrize("name", ["book/index.html", "notebooks/12_ae_vs_vae.html"])
def test_less_motion_means_none(name: str, book: Path, open_page: Open) -> None:
    visit = open_and_settle(open_page, book / name, reduced_motion="reduce")
    visit.page.locator(".vae-widget button").first.hover()
    moving = visit.page.evaluate(
        "() => [...document.querySelectorAll('body *')].map((el) => getComputedStyle(el))"
        ".filter((s) => [s.transitionDuration, s.animationDuration].some("
        "  (all) => all.split(',').some((d) => parseFloat(d) > 0.001))"
        "  || s.scrollBehavior === 'smooth').length"
    )
    assert moving == 0
