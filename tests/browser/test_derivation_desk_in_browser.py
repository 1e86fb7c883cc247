"""The derivation desk in a browser, with the real runtime: Python in the page, offline."""

from __future__ import annotations

import http.server
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import answers
import hosting
import no_inline
import pytest
import python_in_page
from stage import PAGE, ready, state
from visit import Visit, served

from vae_core import symbolic
from vae_core.symbolic import desk
from vae_core.symbolic._faults import fault, mutants
from vae_core.symbolic._sheets import sheets
from vae_core.symbolic.entries import ENTRIES
from vae_core.symbolic.tasks import TASKS
from vae_core.widgets import DerivationDesk

Open = Callable[..., Visit]
RIGHT = ["= E[log P(X)]", "= E[log(P(X, z) / P(z|X))]"]
WRONG = [RIGHT[0], "= E[log(P(X, z) / Q(z|X))]"]
MUTANTS = 60
WAIT = 120_000  # milliseconds: a machine that is busy with other tests is no fault


@pytest.fixture(scope="module")
def runtime() -> dict[str, str]:
    """The files that the build puts into the book."""
    try:
        return python_in_page.runtime()
    except python_in_page.NotToBeHad as error:
        pytest.skip(f"the book's pages have no Python either: {error}")


@pytest.fixture(scope="module")
def folder(runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site: a page with a desk, and Python beside it."""
    root = tmp_path_factory.mktemp("desk")
    python_in_page.write(runtime, root / "_static" / "python")
    widget = DerivationDesk(
        ["elbo-from-evidence", "elbo-two-terms"],
        ["elbo_chain", "kl_wide_prior", "lognormal_map"],
        by_hand=True,
    )
    head = python_in_page.meta("_static/python/", runtime)
    equation = '<div id="equation-elbo-two-terms">an equation</div>'
    page = PAGE.format(equation + widget.to_html()).replace("<title>", f"{head}<title>")
    (root / "page.html").write_text(page, "utf-8")
    return root


@pytest.fixture
def visit(folder: Path, open_page: Open) -> Callable[..., Visit]:
    return lambda **options: ready(open_page(folder / "page.html", **options))


def fields(visit: Visit) -> Any:
    return visit.page.locator(".vw-line textarea")


def choose(visit: Visit, sheet: str) -> None:
    visit.page.get_by_role("combobox", name="Derivation").select_option(sheet)


def typed(visit: Visit, lines: list[str]) -> None:
    """Type a chain with the keyboard, as a reader does."""
    field = fields(visit).first
    field.fill(lines[0])
    for line in lines[1:]:
        visit.page.keyboard.press("Enter")
        visit.page.keyboard.press("ControlOrMeta+a")
        visit.page.keyboard.type(line)


def checked(visit: Visit) -> dict[str, Any]:
    visit.page.locator(".vw-check-all").click()
    visit.page.wait_for_function("() => vae.state().verdict !== ''", timeout=WAIT)
    return state(visit)


def test_right_and_wrong_chains_offline_from_disk(
    visit: Callable[..., Visit], record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = visit()
    assert not opened.page.evaluate("performance.getEntriesByType('resource').length > 40")
    assert [url for url in opened.requests if "_static/python" in url] == []
    choose(opened, "elbo_chain")
    typed(opened, WRONG)
    began = time.monotonic()
    found = checked(opened)
    cold = time.monotonic() - began
    assert found["states"] == ["holds", "wrong"]
    assert found["said"][1].startswith("line (b) does not follow from the line before: under “2 s")
    assert "P(X|z=1) = 13/20" in found["said"][1]
    began = time.monotonic()
    typed(opened, RIGHT)  # the second line of before stands below them
    opened.page.get_by_role("button", name="Remove line c").click()
    found = checked(opened)
    warm = time.monotonic() - began
    assert found["states"] == ["holds", "holds"]
    assert found["verdict"] == "open"
    with capsys.disabled():
        print(f"\nfirst verdict {cold:.1f} s after the click, a later chain {warm:.1f} s", end=" ")
    opened.check()


def test_the_goal_is_met_and_hints_come_in_two_steps(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "kl_wide_prior")
    typed(opened, ["= log(tau / sigma) + (sigma^2 + mu^2) / (2 * tau^2)"])
    found = checked(opened)
    assert found["verdict"] == "wrong"
    opened.page.get_by_role("button", name="What is missing?").click()
    hints = opened.page.locator(".vw-hints p")
    assert hints.all_inner_texts() == ["The line before and this line differ by a constant."]
    opened.page.get_by_role("button", name="And exactly?").press("Enter")
    assert hints.nth(1).inner_text() == "The line before is 1/2 less than this line."
    fields(opened).first.fill("= log(tau / sigma) + (sigma^2 + mu^2) / (2 * tau^2) - 1/2")
    assert checked(opened)["verdict"] == "right"
    fields(opened).first.fill("= KL(N(z; mu, sigma^2) || N(z; 0, tau^2))")
    assert checked(opened)["verdict"] == "form"
    opened.check()


def test_a_formula_for_the_kl_term(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "kl-by-hand")
    fields(opened).first.fill("sigma^2 + mu^2 - log sigma - 1/2")
    assert checked(opened)["verdict"] == "different"
    told = opened.page.locator(".vw-result").inner_text()
    assert "0.347 at μ = 0.000, σ = 0.707" in told
    assert "variance 0.500 and a decoder with w = 2.828 (with the divergence: 1.000 and 2.0" in told
    fields(opened).first.fill("(sigma^2 + mu^2 - 1) / 2 - log sigma")
    assert checked(opened)["verdict"] == "equal"
    fields(opened).first.fill("(sigma^2 + mu^2 - 1) / 2 + log sigma")
    assert checked(opened)["verdict"] == "different"
    assert "settles nowhere" in opened.page.locator(".vw-result").inner_text()
    opened.check()


def test_entries_are_judged_one_by_one(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "lognormal_map")
    for index, text in enumerate(["log(X) / w", "1 / (w * X)", "-1 / X"]):
        fields(opened).nth(index).fill(text)
    found = checked(opened)
    assert found["states"] == ["holds", "holds", "wrong", "", "", ""]
    assert found["said"][2] == "expected: at X = 0.5, w = 0.8 the value 0.166085; found: -2"
    assert "2 of 3 entries are right." in opened.page.locator(".vw-result").inner_text()
    opened.check()


def test_what_is_typed_while_python_comes_is_checked(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "elbo_chain")
    typed(opened, WRONG)
    opened.page.locator(".vw-check-all").click()
    fields(opened).nth(1).fill(RIGHT[1])  # Python takes seconds to come
    opened.page.wait_for_function("() => vae.state().verdict !== ''", timeout=WAIT)
    assert state(opened)["states"] == ["holds", "holds"]
    opened.check()


def test_same_verdicts_as_outside(visit: Callable[..., Visit]) -> None:
    """Every derivation of the book, whole and with its fault, mutated steps, the bank's answers."""
    questions: list[dict[str, Any]] = []
    for name in symbolic.DERIVATIONS:
        for part, sheet in enumerate(sheets(name)):
            ref = {"kind": "check", "derivation": name, "part": part}
            questions.append({**ref, "lines": list(sheet.lines)})
            wrong = fault(name, part)
            if wrong:
                lines = list(sheet.lines)
                lines[wrong[0]] = wrong[1]
                questions.append({**ref, "lines": lines})
    for entry in [*answers.WRONG, *answers.RIGHT]:
        if entry.exercise in TASKS:
            given = entry.answer() if callable(entry.answer) else entry.answer
            lines = given.splitlines() if isinstance(given, str) else list(given)
            if all(isinstance(line, str) for line in lines):
                questions.append({"kind": "check", "task": entry.exercise, "lines": lines})
        if entry.exercise in ENTRIES:
            given = entry.answer() if callable(entry.answer) else entry.answer
            lines = [given.get(key, "") for key in ENTRIES[entry.exercise].keys]
            questions.append({"kind": "check", "entries": entry.exercise, "lines": lines})
    every = []
    for name in symbolic.DERIVATIONS:
        for index, step in enumerate(symbolic.derivation(name).steps):
            steps = {"kind": "spoiled", "derivation": name, "step": index}
            every += [{**steps, "mutant": k} for k, _ in enumerate(mutants(step.expression))]
    questions += random.Random(1).sample(every, MUTANTS)
    questions += [{"kind": "derivation", "derivation": name} for name in symbolic.DERIVATIONS]
    opened = visit()
    for question in questions:
        found = opened.page.evaluate("(question) => vae.ask(question)", question)
        assert found == json.loads(desk.answer(json.dumps(question))), question
    opened.check()


# SymPy looks for a value of this integral for longer than anybody waits.
ENDLESS = "= int(N(z; mu, sigma^2) * log(z^2 + 1), z)"


def test_a_line_that_takes_long_can_be_stopped(visit: Callable[..., Visit]) -> None:
    opened = visit()
    choose(opened, "kl_wide_prior")
    typed(opened, ["= E[log N(z; mu, sigma^2) - log N(z; 0, tau^2)]", ENDLESS])
    opened.page.locator(".vw-check-all").click()
    opened.page.wait_for_function("vae.state().states[0] === 'holds'", timeout=WAIT)
    stop = opened.page.get_by_role("button", name="Stop")
    stop.wait_for()
    stop.click()
    opened.page.wait_for_function("vae.state().verdict === 'stopped'")
    assert state(opened)["states"] == ["holds", ""]
    assert "Stopped." in opened.page.locator(".vw-desk-status").inner_text()
    opened.page.get_by_role("button", name="Remove line b").click()
    assert checked(opened)["states"] == ["holds"]  # Python has started anew
    opened.check()


def test_without_a_worker_the_page_does_the_work(folder: Path, open_page: Open) -> None:
    opened = ready(open_page(folder / "page.html"))
    opened.page.evaluate("() => { globalThis.Worker = undefined; }")
    choose(opened, "elbo_chain")
    typed(opened, WRONG)
    assert checked(opened)["states"] == ["holds", "wrong"]
    assert opened.page.get_by_role("button", name="Stop").count() == 0
    opened.check()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder under the policy that its address begins with."""

    policies: dict[str, str] = {  # noqa: RUF012
        "hosting": hosting.POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
        "bare": "script-src 'self' 'unsafe-inline'",
    }

    def translate_path(self, path: str) -> str:
        return super().translate_path("/" + "/".join(path.split("/")[2:]))

    def end_headers(self) -> None:
        policy = self.policies.get(self.path.split("/")[1], "")
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[str]:
    """The small site on a server, its page's code in files as the build leaves it."""
    files = no_inline.Files(folder)
    page = no_inline.Page("page.html", (folder / "page.html").read_text("utf-8"), files)
    text = page.taken_apart(set())
    text = text.replace("<body>", page.own_files() + "<body>", 1)
    (folder / "served.html").write_text(text, "utf-8")
    with served(folder, Handler) as address:
        yield address


def taken_up(page: Any) -> None:
    """As ``ready``, by functions: a policy lets no text be run, the tests' own neither."""
    page.wait_for_function("() => document.querySelector('.vae-static > div')?.__vae")
    page.evaluate("() => { window.vae = document.querySelector('.vae-static > div').__vae; }")


def test_under_the_policy_that_the_book_states(browser: Any, host: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    opened = Visit(page, [], [])
    page.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.goto(f"{host}/hosting/served.html")
    taken_up(page)
    choose(opened, "elbo_chain")
    typed(opened, WRONG)
    assert checked(opened)["states"] == ["holds", "wrong"]
    assert opened.errors == []
    assert any("worker-" in url for url in opened.requests)
    assert all(url.startswith((host, "blob:")) for url in opened.requests)
    context.close()


def test_a_policy_without_webassembly_is_told(browser: Any, host: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{host}/bare/served.html")
    taken_up(page)
    opened = Visit(page, [], [])
    choose(opened, "elbo_chain")
    typed(opened, RIGHT)
    assert checked(opened)["verdict"] == "failed"
    told = page.locator(".vw-desk-status").inner_text()
    assert "Content-Security-Policy keeps WebAssembly from running" in told
    context.close()


def test_an_exercise_opens_its_own_sheet(open_page: Callable[..., Visit], book: Path) -> None:
    visit = open_page(book / "notebooks/03_elbo.html", width=1280)
    page = visit.page
    page.wait_for_function("document.querySelector('[data-widget=derivation_desk] > div')?.__vae")
    link = page.get_by_role("link", name="Derive it at the desk")
    assert link.count() == 1
    name = link.get_attribute("href").split("sheet:")[1]
    link.click()
    desk = "document.querySelector('[data-widget=derivation_desk] > div')"
    page.wait_for_function(f"{desk}?.__vae?.state().sheet === '{name}'")
    shown = page.locator("[data-widget=derivation_desk]").bounding_box()
    assert shown is not None
    assert -shown["height"] < shown["y"] < 900
    # Every other exercise leads to its notebook, which is there.
    for other in page.locator(".vae-do-it a", has_text="Fetch the notebook").all():
        assert (book / "notebooks" / other.get_attribute("href")).resolve().is_file()
    visit.check()
