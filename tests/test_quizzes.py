"""Quizzes: the order of their answers, what is said to them, and formulas in them."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from functools import cache
from typing import Any

import normalise
import pytest
import stored
from edition.cells import questions
from helpers import ROOT

from vae_core import _edition, _tex
from vae_core.notebook import Choice, Question, quiz

# "the first answer", "answer b", "the choice above": the order is not the one in the source.
BY_PLACE = re.compile(
    r"\b(?:first|second|third|fourth|last|next|previous|former|latter|upper|lower|middle)"
    r"\s+(?:of\s+the\s+)?(?:answer|choice|option)s?\b"
    r"|\b(?:answer|choice|option)s?\s+(?:above|below|\(?[a-d1-4]\)?(?![\w’'-]))",
    re.IGNORECASE,
)


@cache
def asked() -> list[tuple[str, dict[str, Any]]]:
    """(chapter, question) of the whole book, as its sources have them."""
    found = []
    for path in stored.chapters(ROOT):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = normalise.text_of(cell["source"])
            if cell["cell_type"] == "code":
                found += [(path.stem, question) for question in questions(source) or []]
    return found


def place_of_right(question: dict[str, Any]) -> int:
    shown = _edition.shuffled(question["text"], question["choices"])
    return [right for *_, right in shown].index(True)


# --- the book's own ---------------------------------------------------------------------------


def test_right_answers_stand_in_no_place_more_than_half_the_time() -> None:
    places = Counter(place_of_right(question) for _, question in asked())
    assert sum(places.values()) == len(asked()) >= 50
    assert max(places.values()) <= len(asked()) / 2, places
    assert len(places) >= 3


def test_no_word_refers_to_an_answer_by_its_place() -> None:
    for chapter, question in asked():
        for said in itertools.chain(
            [question["text"]], *(choice[:2] for choice in question["choices"])
        ):
            assert not BY_PLACE.search(said), f"{chapter}: {said}"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("As the first answer says.", True),
        ("See the last of the choices.", True),
        ("Option b forgets it.", True),
        ("The answer above.", True),
        ("Squared error has the same best answer.", False),
        ("The first 8 components.", False),
        ("Its answer is a mean.", False),
    ],
)
def test_what_refers_to_a_place(said: str, found: bool) -> None:
    assert bool(BY_PLACE.search(said)) is found


def test_every_formula_can_be_read_as_text() -> None:
    for chapter, question in asked():
        for said in itertools.chain(
            [question["text"]], *(choice[:2] for choice in question["choices"])
        ):
            plain = re.sub(r"`[^`]*`", "", _edition.plain_words(said))
            assert not re.search(r"[\\{}$]", plain), f"{chapter}: {plain}"


# --- the order --------------------------------------------------------------------------------


def test_the_order_depends_on_the_words_of_the_question_alone() -> None:
    three = ["a", "b", "c"]
    once = _edition.shuffled("Why is it so?", three)
    assert sorted(once) == three
    assert three == ["a", "b", "c"]
    assert _edition.shuffled("Why is\n  it so?", ["x", "y", "z"]) == [
        {"a": "x", "b": "y", "c": "z"}[each] for each in once
    ]
    # Fixed for ever: a build next year shows what this one shows.
    assert [_edition.shuffled(f"Question {k}?", "abc") for k in range(4)] == KNOWN


KNOWN = [list("acb"), list("cab"), list("abc"), list("cab")]


def test_all_orders_are_drawn_about_equally_often() -> None:
    orders = Counter("".join(_edition.shuffled(f"{k}?", "abc")) for k in range(6000))
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values())  # five standard errors


def test_page_edition_and_text_have_one_order_and_a_new_question_moves_none() -> None:
    def question(k: int) -> Question:
        answers = [Choice(f"{k}-{name}", f"said to {name}") for name in "abcd"]
        answers[1].right = True
        return Question(f"Which, {k}?", answers)

    def order(page: str) -> list[str]:
        return re.findall(r"\d-[abcd]", page)

    some = [question(k) for k in range(3)]
    shown = order(quiz(some)._repr_html_())
    assert shown != [f"{k}-{name}" for k in range(3) for name in "abcd"]
    assert order(repr(quiz(some))) == shown
    plain = [
        {"text": q.text, "choices": [[c.answer, c.feedback, c.right] for c in q.choices]}
        for q in some
    ]
    assert order(_edition.quiz_page(plain)) == order(_edition.quiz_text(plain)) == shown
    assert order(quiz([question(7), *some])._repr_html_())[4:] == shown
    # What is said to an answer goes with it.
    for page in (quiz(some)._repr_html_(), _edition.quiz_page(plain)):
        pairs = re.findall(r"\d-([abcd]).*?(Right\.|Not quite\.)</strong> said to ([abcd])", page)
        assert len(pairs) == 12
        assert all(own == other for own, _, other in pairs)
        assert {own for own, verdict, _ in pairs if verdict == "Right."} == {"b"}


# --- formulas ---------------------------------------------------------------------------------


def test_formulas_between_dollars_are_set_by_mathjax() -> None:
    said = _edition.words(r"Is $a<b$ `$x$` at 5$ or $\sigma^2$?")
    math = '<span class="math notranslate nohighlight">'
    assert said == (
        rf"Is {math}\(a&lt;b\)</span> <code>$x$</code> at 5$ or {math}\(\sigma^2\)</span>?"
    )
    assert _edition.plain_words(r"Is $a<b$ `$x$` or $\sigma^2$?") == "Is a<b `$x$` or σ²?"


@pytest.mark.parametrize("said", ["5$ and 6$", "$ 5 $", "no dollar", "a$5 b$5"])
def test_other_dollars_are_themselves(said: str) -> None:
    assert _edition.words(said) == said == _edition.plain_words(said)


@pytest.mark.parametrize(
    ("formula", "plain"),
    [
        (r"\sigma^2", "σ²"),
        (r"\mathcal D[Q(z|X)\,\|\,P(z)]", "D[Q(z|X) ‖ P(z)]"),
        (r"\frac{1}{2\sigma^2}\|X-\hat X\|^2", "1/(2σ²)‖X−X̂‖²"),
        (r"\mathcal N(0, \tfrac12 I)", "N(0, ½ I)"),
        (r"E_{z\sim Q}[\log P(X|z)] \le \log P(X)", "E_(z ~ Q)[log P(X|z)] ≤ log P(X)"),
        (r"e^{-z^2/2}", "e^(−z²/2)"),
        (r"x_{ij}^{-1}", "xᵢⱼ⁻¹"),
        (r"\sqrt{2\pi}\, 1/\sqrt2", "√(2π) 1/√2"),
        (r"W^\top W + \lambda", "Wᵀ W + λ"),
        (r"\theta' \to \Theta", "θ′ → Θ"),
        (r"\log_{10} \unknown{x}", "log ₁₀ unknown x"),
    ],
)
def test_tex_as_text(formula: str, plain: str) -> None:
    assert _tex.readable(formula) == plain
