"""The pages a reader starts with, as built: what they promise works, from disk, offline."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from visit import Visit

from vae_core import zoo
from vae_core._edition import words
from vae_core.widgets._page import from_text
from vae_core.widgets._payload import Blob, dequantised

FRONT = "book/index.html"
CHAPTER = "notebooks/12_ae_vs_vae.html"
EXPLORER = ".vae-static[data-widget=latent_explorer]"
PLACES = {FRONT: ".vae-static[data-widget=opening]", CHAPTER: EXPLORER}
Open = Callable[..., Visit]


@pytest.fixture
def visit(book: Path, open_page: Open) -> Callable[..., Visit]:
    """Open a page of the book and wait until its widgets have unpacked their data."""

    def go(name: str, **options: Any) -> Visit:
        opened = open_page(book / name, **options)
        opened.page.wait_for_function(
            "document.querySelector('.vae-static') &&"
            " [...document.querySelectorAll('.vae-static > div')].every((el) => el.__vae)"
        )
        return opened

    return go


def pictures(visit: Visit) -> list[str]:
    """Every panel's decoded digit, as text."""
    return visit.page.eval_on_selector_all(
        ".vw-panel .vw-digit:first-child canvas, .vw-panel .vw-digit canvas",
        "(all) => all.map((canvas) => canvas.toDataURL())",
    )


def test_both_decoders_follow_mouse_and_keys(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER, width=1280)
    planes = opened.page.locator(f"{EXPLORER} .vw-plane canvas")
    assert planes.count() >= 2
    for index in range(2):
        plane = planes.nth(index)
        plane.scroll_into_view_if_needed()
        before = pictures(opened)
        box = plane.bounding_box()
        assert box is not None
        opened.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
        pointed = pictures(opened)
        assert pointed != before
        opened.page.mouse.move(1, 1)
        plane.focus()
        for _ in range(3):
            opened.page.keyboard.press("Shift+ArrowLeft")
        assert pictures(opened) not in (before, pointed)
    opened.check()


@pytest.mark.parametrize("name", [FRONT, CHAPTER])
def test_the_page_decodes_as_pytorch_does(name: str, visit: Callable[..., Visit]) -> None:
    opened = visit(name)
    z = torch.tensor([[0.0, 0.0], [1.3, -0.7], [-1.1, 1.4]])
    state = opened.page.evaluate(
        "(explorer) => JSON.parse(document.querySelector("
        "`${explorer} script[type='application/json']`).text)",
        PLACES[name],
    )
    for spec, model in zip(state["payload"]["models"], ("ae-2", "vae-2"), strict=True):
        sha, layers = spec["decoder"]["sha"], spec["decoder"]["layers"]
        text = opened.page.evaluate(
            "(sha) => document.querySelector(`script[data-vae-blob='${sha}']`).text", sha
        )
        carried = from_text(text)
        assert hashlib.sha256(carried).hexdigest() == sha
        trained = zoo.load(model)
        with torch.no_grad():
            exact = trained.mean(z).flatten(1)
            expected = dequantised(trained, decoder=(Blob(sha, carried), layers)).mean(z).flatten(1)
        got = torch.tensor(
            opened.page.evaluate(
                "([zs, name, place]) => {"
                " const { __vae } = document.querySelector(`${place} > div`);"
                " return zs.map((z) => __vae.decode(z, name)); }",
                [z.tolist(), spec["name"], PLACES[name]],
            )
        )
        assert (got - expected).abs().max() < 1e-5
        # Eight bits: close to the trained model, so the page's weights are that model's.
        assert (got - exact).abs().max() < 0.1


def test_a_stroke_moves_the_posterior(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER, width=1280)
    opened.page.get_by_role("button", name="Clear").click()
    pad = opened.page.locator(".vw-pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    state = "document.querySelector('[data-widget=draw_and_encode] > div').__vae.state()"
    empty = opened.page.evaluate(state)
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"])
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.8 * box["height"], steps=10)
    opened.page.mouse.up()
    drawn = opened.page.evaluate(state)
    assert drawn["mean"] != empty["mean"]
    assert drawn["elbo"] == pytest.approx(drawn["reconstruction"] - drawn["kl"])
    opened.check()


def test_numbers_and_claims_reach_the_page(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER)
    text = opened.page.locator("article").inner_text()
    assert "glue:" not in text
    assert opened.page.locator(".vae-proof-cell li").count() >= 15  # claims
    assert re.search(r"autoencoder’s codes must be moved by \d+\.\d+\s±\s\d", text)
    assert re.search(r"variances of the VAE’s codes are \d\.\d\d and \d\.\d\d", text)
    drawn = opened.page.eval_on_selector_all(
        "article figure:has(.caption-number)",
        "(all) => Promise.all(all.map(async (f) => {"
        "  const image = f.querySelector('img');"
        "  image.loading = 'eager';"
        "  await image.decode();"
        "  const number = f.querySelector('.caption-number').textContent.trim();"
        "  return [image.naturalWidth, number, f.innerText];"
        "}))",
    )
    # Digits, two maps, two grids, samples, walks.
    assert [number for _, number, _ in drawn] == [f"Figure 12.{k}" for k in range(1, 6)]
    assert all(width > 300 and len(caption) > 40 for width, _, caption in drawn)


def test_a_quiz_answers_each_choice(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER)
    questions = opened.page.locator(".vae-quiz fieldset")
    assert questions.count() >= 3
    for index in range(questions.count()):
        choices = questions.nth(index).locator("label")
        verdicts = []
        for choice in range(choices.count()):
            feedback = choices.nth(choice).locator(".feedback")
            assert not feedback.is_visible()
            choices.nth(choice).locator("input").check()
            assert feedback.is_visible()
            verdicts.append(re.match(r"[^.]*\.", feedback.inner_text())[0])
        assert verdicts.count("Right.") == 1
        assert verdicts.count("Not quite.") == len(verdicts) - 1


def test_a_quiz_is_answered_by_keys(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER)
    first = opened.page.locator(".vae-quiz fieldset").first
    first.locator("input").first.focus()
    opened.page.keyboard.press("Space")
    opened.page.keyboard.press("ArrowDown")
    assert first.locator(".feedback").nth(1).is_visible()
    assert not first.locator(".feedback").nth(0).is_visible()


def test_a_formula_of_a_quiz_is_drawn_as_the_pages_own_are(visit: Callable[..., Visit]) -> None:
    opened = visit(CHAPTER)
    opened.page.evaluate("() => MathJax.startup.promise")
    said = words(r"Is $\sigma^2$ below `x`?")
    drawn = opened.page.evaluate(
        "async (said) => { const label = document.querySelector('.vae-quiz legend');"
        " label.innerHTML = said; await MathJax.typesetPromise([label]);"
        " return [label.querySelectorAll('mjx-container svg').length, label.innerText]; }",
        said,
    )
    assert drawn[0] == 1
    assert "sigma" not in drawn[1]
    opened.check()
    # As the build left them: none with TeX in sight.
    for formula in opened.page.locator(".vae-quiz .math").all():
        assert formula.locator("svg").count() == 1
