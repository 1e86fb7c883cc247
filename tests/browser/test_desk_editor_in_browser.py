"""The derivation desk's editor in a browser, without Python: typing, setting, keeping, copying."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import ready, rendered_live, saves_and_closes, state, written
from visit import Visit

from vae_core import symbolic
from vae_core.symbolic import NotationError, parse
from vae_core.symbolic._sheets import sheets
from vae_core.symbolic.tasks import TASKS, options
from vae_core.widgets import DerivationDesk

Open = Callable[..., Visit]
BROKEN = [
    "", "log P(X", "log P(X) P(z)", "foo", "sin(z)", "E_R[z]", "KL(Q(z|X) || z)", "P(z|z)", "9^9",
    "X)", "X + ", "__import__('os')", "X.__class__", "(" * 40 + "X" + ")" * 40, "X + " * 400 + "X",
    "X^2^2", "KL(Q(z|X), P(z)", "int(X)", "E[", "N(z; 1)", "2 3", "P()", "σ", "log", "<b>X</b>",
    "X $ Y",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    widget = DerivationDesk(
        ["elbo-from-evidence", "elbo-two-terms", "kl-gaussian-1d"],
        ["elbo_chain", "kl_wide_prior", "lognormal_map"],
        by_hand=True,
    )
    equation = '<div id="equation-elbo-two-terms" class="math">an equation of the page</div>'
    return written(tmp_path_factory.mktemp("editor"), equation + widget.to_html())


@pytest.fixture
def visit(page: Path, open_page: Open) -> Callable[..., Visit]:
    return lambda **options: ready(open_page(page, **options))


def field(opened: Visit, letter: str) -> Any:
    return opened.page.get_by_role("textbox", name=f"Line {letter}", exact=True)


def choose(opened: Visit, sheet: str) -> None:
    opened.page.get_by_role("combobox", name="Derivation").select_option(sheet)


def test_it_reads_and_refuses_what_python_does(visit: Callable[..., Visit]) -> None:
    """The same texts are read, and what is refused gets the same sentence, at a place in it."""
    opened = visit()
    for text in BROKEN:
        found = opened.page.evaluate("(text) => vae.read('= ' + text, [])", text)
        with pytest.raises(NotationError) as refused:
            parse(f" {text}")
        assert found["message"] == str(refused.value)
        assert 0 <= found["from"] < found["to"]
    for name in symbolic.DERIVATIONS:
        for sheet in sheets(name):
            for line in sheet.lines:
                found = opened.page.evaluate(
                    "([text, names]) => vae.read(text, names)", [line, sorted(sheet.names)]
                )
                assert "tree" in found, (line, found)
    for task in TASKS.values():
        names = sorted(options(task)["names"])
        for text in (task.left, task.goal):
            assert "tree" in opened.page.evaluate(
                "([text, names]) => vae.read(text, names)", [text, names]
            )
    opened.check()


def test_a_line_is_set_while_it_is_typed_and_a_fault_underlined(
    visit: Callable[..., Visit],
) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    field(opened, "a").fill("= E[log(P(X, z) / Q(z|X))]  # Bayes")
    line = opened.page.locator(".vw-line").first
    assert line.locator("math mfrac").count() == 1
    assert line.locator("math").text_content().startswith("=")
    assert line.locator("small").inner_text() == "Bayes"
    field(opened, "a").fill("= E[log(P(X, z) / R(z|X)]")
    assert line.locator(".vw-fault").inner_text() == "]"
    assert field(opened, "a").get_attribute("aria-invalid") == "true"
    described = field(opened, "a").get_attribute("aria-describedby")
    assert "')' was expected before ']'" in opened.page.locator(f"#{described}").inner_text()
    opened.check()


def test_nothing_typed_becomes_html(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    text = "= X # <img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    field(opened, "a").fill(text)
    assert opened.page.locator(".vw-line img, .vw-line script").count() == 0
    assert opened.page.evaluate("window.hit") is None
    assert "<img src=x" in opened.page.locator(".vw-line small").inner_text()
    opened.check()


def test_keys(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    keyboard = opened.page.keyboard
    field(opened, "a").focus()
    keyboard.press("End")
    keyboard.type("log P(X)")
    keyboard.press("Enter")
    keyboard.type("E[log P(X)]")
    assert state(opened)["lines"] == ["= log P(X)", "= E[log P(X)]"]
    keyboard.press("Alt+ArrowUp")
    assert opened.page.evaluate("document.activeElement.ariaLabel") == "Line a"
    keyboard.press("Alt+ArrowDown")
    keyboard.press("Enter")
    assert len(state(opened)["lines"]) == 3
    keyboard.press("Backspace")
    assert len(state(opened)["lines"]) == 2
    assert opened.page.evaluate("document.activeElement.ariaLabel") == "Line b"
    opened.check()


def test_buttons_insert_at_the_cursor(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    field(opened, "a").focus()
    opened.page.keyboard.press("End")
    press = opened.page.get_by_role("toolbar").get_by_role("button")
    press.filter(has_text="E[ ]").click()
    press.filter(has_text="log").first.click()
    press.filter(has_text="P(X|z)").click()
    assert state(opened)["lines"] == ["= E[log P(X|z)]"]
    opened.check()


def test_pasted_lines_become_lines(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    field(opened, "a").fill("= X\n= Y\n\n= z")
    assert state(opened)["lines"] == ["= X", "= Y", "= z"]


def test_blanks_faults_and_an_empty_sheet(visit: Callable[..., Visit]) -> None:
    opened = visit()
    whole = state(opened)["lines"]
    press = opened.page.get_by_role("button", name="Fill blanks")
    press.click()
    blanks = state(opened)["lines"]
    assert [text for text in blanks if text.strip() in ("=", ">=")]
    assert [text for text in blanks if text in whole]
    opened.page.get_by_role("button", name="Find the fault").click()
    assert sum(a != b for a, b in zip(whole, state(opened)["lines"], strict=True)) == 1
    opened.page.get_by_role("button", name="From scratch").click()
    assert state(opened)["lines"] == ["= "]
    opened.check()


def test_what_was_typed_is_kept(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    field(opened, "a").fill("= E[log P(X)]")
    choose(opened, "kl_wide_prior")
    assert state(opened)["lines"] == ["= "]  # each sheet has its own
    choose(opened, "elbo_chain")
    assert state(opened)["lines"] == ["= E[log P(X)]"]
    opened.page.reload()
    ready(opened)
    choose(opened, "elbo_chain")
    assert state(opened)["lines"] == ["= E[log P(X)]"]
    opened.page.get_by_role("button", name="Start over").click()
    assert state(opened)["lines"] == ["= "]
    opened.check()


def test_each_beginning_is_kept_by_itself(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo-two-terms")
    field(opened, "a").fill("= X")
    opened.page.get_by_role("button", name="Fill blanks").click()
    assert state(opened)["lines"][1] == "= "
    assert state(opened)["lines"][0] != "= X"
    opened.page.get_by_role("button", name="Break a line", exact=True).click()
    assert state(opened)["lines"][0] == "= X"
    opened.check()


def test_it_is_copied_as_python(visit: Callable[..., Visit]) -> None:
    """By the button that every widget has: what stands on the desk, and what judges it."""
    opened = visit()
    opened.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    assert opened.page.get_by_role("button", name="Copy as Python").count() == 1

    def copied() -> str:
        opened.page.get_by_role("button", name="Copy as Python").click()
        return opened.page.get_by_role("textbox", name="Copy as Python").input_value()

    scope: dict[str, Any] = {}
    exec(copied().replace("print", "found ="), scope)
    assert scope["found"]
    choose(opened, "kl_wide_prior")
    line = "= log(tau / sigma) + (sigma^2 + mu^2) / (2 * tau^2) - 1/2"
    field(opened, "a").fill(line)
    opened.page.wait_for_timeout(100)
    twin = DerivationDesk(exercises=["kl_wide_prior"])
    twin.lines = [line]
    assert copied() == twin.to_python()


def test_entries_have_names_and_stay(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "lognormal_map")
    assert state(opened)["lines"] == [""] * 6
    first = opened.page.get_by_role("textbox", name="g: the inverse of f, at X")
    first.fill("log(X) / w")
    assert opened.page.locator(".vw-line math mfrac").count() == 1
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.ariaLabel").startswith("slope: ")
    opened.page.keyboard.press("Backspace")
    assert state(opened)["lines"] == ["log(X) / w", *[""] * 5]
    assert opened.page.get_by_role("button", name="Add a line").count() == 0
    assert opened.page.get_by_role("button", name="Remove line").count() == 0
    opened.check()


def test_an_equation_of_the_page_opens_in_it(visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.page.get_by_role("button", name="Try to break a line of this").click()
    assert state(opened)["sheet"] == "elbo-two-terms"
    assert state(opened)["mode"] == "whole"
    assert opened.page.evaluate("document.activeElement.ariaLabel") == "Line a"
    opened.check()


def test_a_page_without_python_says_so(visit: Callable[..., Visit]) -> None:
    opened = visit()
    assert opened.page.locator(".vw-check-all").is_disabled()
    assert "Open the chapter as a notebook" in opened.page.locator(".vw-desk-status").inner_text()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800])
def test_fits_and_is_quiet(visit: Callable[..., Visit], dark: bool, width: int) -> None:
    opened = visit(dark=dark, width=width)
    assert opened.sideways() <= 0
    theme = opened.page.eval_on_selector(".vae-widget", "(el) => el.dataset.vwTheme")
    assert theme == ("dark" if dark else "light")
    opened.check()


def test_live_a_kernel_answers(tmp_path: Path, open_page: Open) -> None:
    """In a notebook the question goes to the kernel, and the answer comes back as a message."""
    widget = DerivationDesk(exercises=["elbo_chain"])
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    widget._asked(widget, {"id": 7, "request": '{"kind": "by hand", "formula": "mu"}'}, [])
    widget._asked(widget, {"id": 8, "request": "{}"}, [])
    assert [content["id"] for content in sent] == [7, 8]
    assert '"state": "different"' in sent[0]["answer"]
    assert "no question" in sent[1]["failed"]
    opened = rendered_live(widget, tmp_path, open_page)
    opened.page.locator(".vw-line textarea").first.fill("= E[log P(X)]")
    saves_and_closes(opened)
