"""An edition in a real JupyterLab: as it lies there, run whole, its quiz answered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import ROOT
from laboratory import Laboratory

pytestmark = pytest.mark.slow

NAME = "04_kl_divergence.ipynb"
RAW = re.compile(r"\{[\w:]+\}`|^`{3,}|^:{3,}|«|\$\$", re.MULTILINE)
CODE = ".jp-Notebook .jp-CodeCell"
SHOWN = ".jp-Notebook .jp-RenderedMarkdown"
QUESTIONS = ".vae-questions"
SEED = "manual_seed(3))"  # of the draws that «scatter» is computed from
ERROR = "[data-mime-type='application/vnd.jupyter.error']"


@pytest.fixture(scope="module")
def page(laboratory: Laboratory, browser: Any) -> Iterator[Any]:
    """The edition of chapter 4 open in JupyterLab, not run and so not trusted."""
    whole = (ROOT / "notebooks" / "run" / NAME).read_text("utf-8")
    assert whole.count(SEED) == 1
    (laboratory.folders["work"] / NAME).write_text(whole.replace(SEED, "manual_seed(4))"), "utf-8")
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    opened = context.new_page()
    laboratory.open(opened, NAME)
    yield opened
    context.close()
    laboratory.stop_kernels()


def stored() -> dict[str, Any]:
    return dict(json.loads((ROOT / "notebooks" / "run" / NAME).read_text("utf-8")))


def choices() -> int:
    """How many answers the stored quiz offers."""
    outputs = [out for cell in stored()["cells"] for out in cell.get("outputs", ())]
    quizzes = ["".join(out.get("data", {}).get("text/html", "")) for out in outputs]
    return sum(text.count("<summary>") for text in quizzes if QUESTIONS[1:] in text)


def test_a_reader_sees_words_and_no_markup(page: Any) -> None:
    page.wait_for_function("() => document.querySelectorAll('mjx-container').length > 50")
    texts = page.locator(SHOWN).all_inner_texts()
    assert len(texts) > 30
    assert [text for text in texts if RAW.search(text)] == []


def test_folded_cells_are_folded(page: Any) -> None:
    folded = [c for c in stored()["cells"] if c["metadata"].get("cellView") == "form"]
    assert page.locator(f"{CODE} .jp-InputPlaceholder:visible").count() == len(folded)


def test_a_quiz_that_is_not_trusted_shows_no_answer(page: Any) -> None:
    said = page.locator(f"{QUESTIONS} blockquote")
    count = choices()
    assert count >= 12
    assert said.count() == count
    assert not any(said.nth(k).is_visible() for k in range(count))
    assert page.locator(f"{QUESTIONS} summary:visible").count() == count


def test_an_equations_number_leads_to_it(page: Any) -> None:
    link = page.locator(".jp-RenderedMarkdown a", has_text=re.compile(r"^\(4\.1\)$")).last
    link.scroll_into_view_if_needed()
    target = page.locator("[data-jupyter-id='ch04-definition'], #ch04-definition").first
    assert not in_view(target)
    link.click()
    page.wait_for_timeout(1500)
    assert in_view(target)


def in_view(element: Any) -> bool:
    box = element.evaluate("(el) => el.getBoundingClientRect().top")
    return bool(0 <= box <= 900)


def answer(page: Any) -> None:
    question = page.locator(f"{QUESTIONS} > div").first
    texts = question.locator("blockquote").all_text_contents()
    right = next(place for place in range(len(texts)) if "Right." in texts[place])
    for place, verdict in ((right, "✓ Right."), ((right + 1) % len(texts), "✗ Not quite.")):
        said = question.locator("blockquote").nth(place)
        assert not said.is_visible()
        question.locator("summary").nth(place).click()
        assert said.is_visible()
        assert verdict in said.inner_text()


def sentence(page: Any) -> Any:
    return page.locator(f"{CODE} .jp-RenderedMarkdown", has_text="one draw of the log ratio")


def test_it_runs_whole_and_its_sentences_follow(page: Any) -> None:
    """An answer is judged before a run and after; a sentence shows the numbers of the run."""
    answer(page)
    (cell,) = [c for c in stored()["cells"] if "«scatter" in "".join(c["source"])]
    text = cell["outputs"][0]["data"]["text/plain"]
    before = sentence(page).inner_text()
    assert numbers(before) == numbers("".join(text))
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    # A folded cell shows no count; of the others none may still say that it waits.
    page.wait_for_function(
        f"() => {{ const prompts = [...document.querySelectorAll('{CODE} .jp-InputPrompt')]"
        ".map((prompt) => prompt.textContent).filter((text) => text);"
        " return prompts.every((text) => /\\[\\d+\\]/.test(text)); }",
        timeout=480_000,
    )
    page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=60_000)
    assert page.locator(f"{CODE} {ERROR}").all_inner_texts() == []
    after = sentence(page).inner_text()
    assert len(numbers(after)) == len(numbers(before))
    assert numbers(after) != numbers(before)
    page.wait_for_function("() => document.querySelectorAll('.vw-panel, .vae-widget').length > 0")
    assert [text for text in page.locator(SHOWN).all_inner_texts() if RAW.search(text)] == []
    answer(page)


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+\.\d+", text)
