"""A widget's state in the page's address: followed, restored, refused; and the foot's buttons."""

from __future__ import annotations

import http.server
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hosting
import no_inline
import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from sharing import copied, opened
from stage import MODEL, PAGE, STATIC, rendered_live, state, written
from visit import Visit, served

from vae_core.widgets import KLExplorer, MapExplorer, PosteriorExplorer

Open = Callable[..., Visit]
REFUSE = "() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }"
HASH = "decodeURI(location.hash)"
FAR = '<h2 id="far-off" style="margin-top: 3000px">Far off</h2><p style="height: 2000px"></p>'


def until(visit: Visit, fragment: str) -> None:
    """Wait until the address says this."""
    visit.page.wait_for_function(f"(wanted) => {HASH} === wanted", arg=fragment, timeout=5000)


def models(visit: Visit, trait: str) -> list[Any]:
    """This trait of every widget on the page."""
    found = visit.page.evaluate(
        "(t) => [...document.querySelectorAll('.vae-static')].map((el) => el.__model.get(t))", trait
    )
    assert isinstance(found, list)
    return found


def test_address_follows_and_the_history_stays(tmp_path: Path, open_page: Open) -> None:
    visit = opened(open_page, written(tmp_path, KLExplorer(mu=1.0, sigma=0.5).to_html()))
    page, before = visit.page, visit.page.evaluate("history.length")
    assert page.evaluate(HASH) == ""
    page.get_by_role("button", name="Lowest printed formula").click()
    until(visit, "#kl_explorer=mu:0;sigma:0.707107")
    for _ in range(5):
        page.get_by_role("slider", name="Mean of Q", exact=True).press("ArrowRight")
    until(visit, "#kl_explorer=mu:0.1;sigma:0.707107")
    assert page.evaluate("history.length") == before
    page.reload()
    page.wait_for_function(f"{STATIC}?.__vae")
    assert page.evaluate(f"{STATIC}.__vae.state().mu") == 0.1
    page.evaluate(f"{MODEL}.set('mu', 1); {MODEL}.set('sigma', 0.5)")
    until(visit, "")  # as the page was made: nothing to say
    visit.check()


def test_several_widgets_and_a_heading_share_an_address(tmp_path: Path, open_page: Open) -> None:
    """Each has its own part; a heading's anchor stays one, alone or before them."""
    body = "\n".join([
        KLExplorer().to_html(), KLExplorer().to_html(), MapExplorer().to_html(),
        '<a id="go" href="#far-off">go</a>', FAR,
    ])  # fmt: skip
    path = written(tmp_path, body)
    there = "#far-off&kl_explorer-2=mu:2&map_explorer=chosen:1"
    visit = opened(open_page, path, there)
    page = visit.page
    assert models(visit, "mu")[:2] == [1.0, 2]
    assert models(visit, "chosen")[2] == 1
    place = "document.getElementById('far-off').getBoundingClientRect().top"
    page.wait_for_function(f"Math.abs({place}) < 200")
    page.evaluate(f"{MODEL}.set('mu', -1)")
    until(visit, f"{there}&kl_explorer=mu:-1")
    link = copied(visit, "Copy link", 1)
    assert link.endswith("page.html#kl_explorer-2=mu:2")
    page.evaluate("scrollTo(0, 0); document.getElementById('go').click()")
    page.wait_for_function(f"Math.abs({place}) < 200")
    # The order is that of who speaks first.
    page.wait_for_function(f"{HASH}.startsWith('#far-off&')")
    page.wait_for_function(f"{HASH}.split('&').length === 4")
    assert models(visit, "mu")[:2] == [-1, 2]

    page.evaluate("location.hash = '#kl_explorer=mu:0.5;mode:peaks'")  # a link of this page's own
    page.wait_for_function(f"{STATIC}.__vae?.state().mode === 'peaks'")
    page.wait_for_function("document.querySelectorAll('.vw-foot').length === 3")
    assert models(visit, "mu")[:2] == [0.5, 2]
    assert page.evaluate("document.querySelectorAll('section.vae-widget').length") == 3
    page.evaluate("location.hash = '#far-off'")
    page.wait_for_function(f"Math.abs({place}) < 200")
    visit.check()


HOSTILE = [
    "#kl_explorer=<img src=x onerror=hacked()>",
    "#kl_explorer=mode:<img src=x onerror=hacked()>;direction:%22%29;hacked()",
    "#kl_explorer=mode:%3Cscript%3Ehacked()%3C/script%3E",
    "#kl_explorer=mu:1e999;sigma:-1;mode:;direction",
    "#kl_explorer=mu:NaN;sigma:Infinity",
    "#kl_explorer=mu:0x10;sigma:;sigma:0.5.5",
    "#kl_explorer=mu:3.1;sigma:0.04",
    "#kl_explorer=mu:1,2;sigma:[0.5]",
    "#kl_explorer=mu:%E0%A4%A;sigma:%",
    "#kl_explorer=__proto__:1;constructor:2;payload:3;share:4;blobs:5;toString:6",
    "#kl_explorer=" + "mu:2;" * 5000,
    "#kl_explorer",
    "#kl_explorer=",
    "#=&&=;:&kl_explorer-9=mu:2&KL_EXPLORER=mu:2",
    "#%kl_explorer&%E0%A4%A&kl_explorer-2=mu:2",
    "#javascript:hacked()",
]


def test_what_a_link_may_not_say_is_passed_over(tmp_path: Path, open_page: Open) -> None:
    """No error, no other state, nothing run, nothing in the page that was not there."""
    visit = opened(open_page, written(tmp_path, KLExplorer().to_html()))
    count = "document.querySelectorAll('*').length"
    before, traits = visit.page.evaluate(count), state(visit)
    for fragment in HOSTILE:
        visit.page.goto("about:blank")
        visit.page.goto((tmp_path / "page.html").as_uri() + fragment)
        visit.page.wait_for_function("document.querySelector('.vw-foot')")
        assert visit.page.evaluate(f"{STATIC}.__vae.state()") == traits, fragment[:80]
        assert visit.page.evaluate(count) == before, fragment[:80]
    for fragment in HOSTILE:  # and in a page that is open
        visit.page.evaluate("(to) => { location.hash = to; }", fragment)
        visit.page.wait_for_timeout(20)
        assert visit.page.evaluate(f"{STATIC}.__vae.state()") == traits, fragment[:80]
    visit.page.evaluate("location.hash = '#kl_explorer=mu:9;nothing:1;sigma:0.25;mode:peaks;x'")
    visit.page.wait_for_function(f"{STATIC}.__vae?.state().sigma === 0.25")
    assert state_now(visit) == (1.0, 0.25, "peaks")
    visit.check()


def state_now(visit: Visit) -> tuple[float, float, str]:
    """mu, sigma and mode of the first widget."""
    shown = visit.page.evaluate(f"{STATIC}.__vae.state()")
    return shown["mu"], shown["sigma"], shown["mode"]


def test_lists_must_have_their_length(tmp_path: Path, open_page: Open) -> None:
    visit = opened(open_page, written(tmp_path, MapExplorer().to_html()))
    traits = models(visit, "points")
    for wrong in ("0*7", "0*99999", "1,2", "0*5,4", "0*5,", "0*5,x", "0**6", "(0,0)*3", "0*0"):
        visit.page.evaluate("(to) => { location.hash = to; }", f"#map_explorer=points:{wrong}")
        visit.page.wait_for_timeout(20)
        assert models(visit, "points") == traits, wrong
    visit.page.evaluate("location.hash = '#map_explorer=points:0*5,1.5'")
    visit.page.wait_for_function(f"{MODEL}.get('points')[2][1] === 1.5")
    assert models(visit, "points") == [[[0, 0], [0, 0], [0, 1.5]]]
    visit.check()


def test_a_value_that_hangs_on_another_is_held(tmp_path: Path, open_page: Open) -> None:
    """X beyond what the density allows is brought to its limit, as where Python sets it."""
    path = written(tmp_path, PosteriorExplorer().to_html())
    visit = opened(open_page, path, "#posterior_explorer=x:99;density:logistic")
    limit = PosteriorExplorer(density="logistic").model.f(np.array([3.0]))[0]
    assert state(visit)["x"] == pytest.approx(limit, rel=1e-6)
    visit.page.wait_for_function(f"{MODEL}.get('x') < 10")
    visit.check()


def test_where_the_clipboard_is_refused_the_text_is_selected(
    tmp_path: Path, open_page: Open
) -> None:
    visit = opened(open_page, written(tmp_path, KLExplorer().to_html()), width=360)
    page = visit.page
    page.evaluate(REFUSE)
    for name, least in (("Copy link", "#kl_explorer="), ("Copy as Python", "DiagonalGaussian")):
        page.get_by_role("button", name=name, exact=True).press("Enter")
        field = page.locator(".vw-foot textarea")
        field.wait_for()
        assert field.count() == 1
        assert field.get_attribute("aria-label") == name
        chosen = "(el) => el.value.slice(el.selectionStart, el.selectionEnd)"
        assert field.evaluate(chosen) == field.input_value()
        assert least in field.input_value()
        assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
        assert visit.sideways() <= 0
    assert "refused" in page.locator(".vw-foot [role=status]").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".vw-foot textarea").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "Copy as Python"
    page.evaluate("() => { Object.defineProperty(navigator, 'clipboard', { value: undefined }); }")
    page.keyboard.press("Enter")  # a page without encryption has no clipboard at all
    page.locator(".vw-foot textarea").wait_for()
    visit.check()


def test_the_clipboard_gets_it_and_a_reader_hears_of_it(tmp_path: Path, open_page: Open) -> None:
    """The browser's own clipboard, from a file."""
    path = written(tmp_path, KLExplorer(mu=0.25).to_html())
    visit = opened(open_page, path, permissions=["clipboard-read", "clipboard-write"])
    visit.page.get_by_role("button", name="Copy as Python", exact=True).click()
    said = visit.page.locator(".vw-foot [role=status]")
    visit.page.wait_for_function("document.querySelector('.vw-foot [role=status]').textContent")
    assert said.inner_text() == "Copied"
    assert visit.page.evaluate("navigator.clipboard.readText()") == KLExplorer(mu=0.25).to_python()
    visit.check()


def test_a_notebook_has_no_link(tmp_path: Path, open_page: Open) -> None:
    """A kernel's view and the twin in an output: the address is not that of a page to share."""
    live = rendered_live(KLExplorer(mu=0.25), tmp_path, open_page)
    live.page.wait_for_function("document.querySelector('.vw-foot')")
    assert live.page.locator(".vw-foot button").all_inner_texts() == ["Copy as Python"]
    assert copied(live) == KLExplorer(mu=0.25).to_python()
    body = f'<div class="jp-OutputArea">{KLExplorer().to_html()}</div>'
    twin = opened(open_page, written(tmp_path, body), "#kl_explorer=mu:2")
    assert twin.page.locator(".vw-foot button").all_inner_texts() == ["Copy as Python"]
    assert models(twin, "mu") == [1.0]
    twin.page.evaluate(f"{MODEL}.set('mu', 0)")
    twin.page.wait_for_timeout(600)
    assert twin.page.evaluate(HASH) == "#kl_explorer=mu:2"
    for visit in (live, twin):
        visit.check()


@pytest.mark.parametrize("dark", [False, True])
def test_the_foot_is_quiet_legible_and_not_printed(
    dark: bool, tmp_path: Path, open_page: Open
) -> None:
    path = written(tmp_path, KLExplorer().to_html())
    visit = opened(open_page, path, dark=dark, width=360)
    page = visit.page
    page.evaluate(REFUSE)
    page.get_by_role("button", name="Copy as Python", exact=True).click()
    page.locator(".vw-foot textarea").wait_for()
    page.add_style_tag(content=f"body {{ background: {'#14181d' if dark else '#ffffff'} }}")
    page.evaluate(AXE_SCRIPT)  # which takes a page without a background for white
    wrong = page.evaluate(
        "axe.run('.vw-foot').then((r) => r.violations.map((v) => [v.id, v.nodes[0].html]))"
    )
    assert wrong == []
    assert visit.sideways() <= 0
    page.emulate_media(media="print")
    assert not page.locator(".vw-foot").is_visible()
    visit.check()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with the policy that the book recommends."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", hosting.POLICY)
        super().end_headers()

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # a browser asks for one by itself
            self.send_response(204)
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A server for ``tmp_path``."""
    with served(tmp_path, Handler) as address:
        yield address


def test_links_work_under_the_recommended_policy(tmp_path: Path, host: str, browser: Any) -> None:
    """The page as the book's extension writes it: its code in files."""
    start = Path(__file__).parents[2] / "book" / "_static" / "start.js"
    (tmp_path / "start.js").write_text(start.read_text("utf-8"), "utf-8")
    text = PAGE.format('<script src="start.js"></script>' + KLExplorer().to_html())
    page_of = no_inline.Page("page", text, no_inline.Files(tmp_path))
    (tmp_path / "page.html").write_text(page_of.taken_apart(set()), "utf-8")
    page, complaints = browser.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{host}/page.html#kl_explorer=mu:2.5")
    page.locator(".vw-foot").wait_for()
    assert page.evaluate(f"{STATIC}.__vae.state().mu") == 2.5
    page.evaluate(REFUSE)
    page.get_by_role("button", name="Copy link", exact=True).click()
    assert page.locator(".vw-foot textarea").input_value() == f"{host}/page.html#kl_explorer=mu:2.5"
    page.get_by_role("button", name="Lowest divergence").click()
    page.wait_for_url("**/page.html#kl_explorer=mu:0;sigma:1")
    assert complaints == []
    page.close()
