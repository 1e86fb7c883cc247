"""What a chapter calls besides its subject: glued numbers, claims, tables, quizzes."""

from __future__ import annotations

import html
import importlib.util
import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_core import _edition, _trial
from vae_core._progress import clock, in_notebook
from vae_core._text import fitting, say
from vae_core._typography import raised, typeset

__all__ = [
    "Choice",
    "Question",
    "claim",
    "edition",
    "folded_quiz",
    "glue",
    "glue_records",
    "numbers",
    "quiz",
    "table",
]

# The type of the output that holds a cell's claims.
CLAIMS = "application/vnd.vae-core.claims+json"
# Where a checkout of the book keeps results that took too long for a page.
_RECORDS = Path(__file__).parents[1] / "benchmarks" / "records"

_quiz_number = itertools.count(1)


def glue(name: str, value: Any) -> None:
    """Store ``value`` under ``name``, so that the page's prose can show it.

    In the book's build MyST-NB carries it to the page; in a notebook the sentences that
    ``numbers`` shows take it; in a script nothing happens.
    """
    if not in_notebook():
        return  # MyST-NB would start an IPython of its own here
    # A page formats plain numbers; NumPy's come with their type in their representation.
    plain = value.item() if isinstance(value, np.generic) else value
    _edition.put(name, plain)
    if _edition.running():
        return
    try:
        from myst_nb import glue as store
    except ImportError:
        return
    store(name, plain, display=False)


def glue_records(chapter: str) -> None:
    """Glue the kept results of a chapter's long computations, such as ``chapter`` "13".

    The result ``name`` of the record ``capacity`` is glued as ``ch13_capacity_name``;
    ``ch13_capacity_run`` says by which command it was computed, when and on what machine. The
    results lie in the book's checkout, in ``benchmarks/records``; elsewhere nothing happens.
    """
    path = _RECORDS / f"chapter{chapter}.json"
    if not path.is_file():
        return
    for record, kept in json.loads(path.read_text(encoding="utf-8")).items():
        for name, value in kept["results"].items():
            glue(f"ch{chapter}_{record}_{name}", value)
        machine = kept["machine"]
        where = f"{machine['threads']} of {machine['cores']} cores, {machine['processor']}"
        if machine["device"] != "cpu":
            where = machine["device"]
        told = f"{kept['command']}, {kept['day']}, {clock(kept['seconds'])} on {where}"
        glue(f"ch{chapter}_{record}_run", told)


def claim(
    holds: Any,
    sentence: str,
    *,
    refuted_by: str = "",
    margin: float | str | None = None,
    seeds: int | None = None,
) -> None:
    """Assert a chapter's claim: print it with a tick, or stop the chapter with ``AssertionError``.

    ``sentence`` states the claim in words. A page is built only while each of its claims holds.
    ``refuted_by`` says what would make the sentence false, and so what was computed beside it: the
    control, the rival, the points between. ``margin``: how far the numbers are from refuting it, in
    standard errors if it is a number, else in words ("exact", "1.7 x"). ``seeds``: of how many
    trainings or draws the claim was asked, where there is chance in it.

    In a notebook whose reader has stopped a training, and in a trial run with shortened ones, a
    claim that fails is told so instead, and the chapter goes on. Where the book is built, all this
    is stored with the cell too, unseen, for its register of claims.
    """
    if not bool(holds):
        reason = _trial.excuse() if in_notebook() else ""
        if not reason:
            raise AssertionError(f"this claim no longer holds: {sentence}")
        say(f"✗ {sentence} [{reason}]")
        return
    say(f"✓ {sentence}")
    for_page = in_notebook() and not _edition.running()
    if for_page and importlib.util.find_spec("myst_nb") is not None:
        _cell_claims.add(_described(sentence, refuted_by, margin, seeds))


def _described(
    sentence: str, refuted_by: str, margin: float | str | None, seeds: int | None
) -> dict[str, str | float | int]:
    """A claim in JSON's types; what was not said is left out."""
    known: dict[str, str | float | int] = {"sentence": sentence}
    if refuted_by:
        known["refuted_by"] = refuted_by
    if isinstance(margin, str):
        known["margin"] = margin
    elif margin is not None:
        # Three digits: the others are rounding. JSON has no infinity.
        known["margin"] = float(f"{margin:.3g}") if math.isfinite(margin) else str(float(margin))
    if seeds is not None:
        known["seeds"] = int(seeds)
    return known


class _CellClaims:
    """The claims of the cell that runs, stored as one output when it has ended.

    Each claim at once would cut what the cell prints into pieces. The output has the form of a
    glued value, which MyST-NB takes off the page.
    """

    def __init__(self) -> None:
        self.claims: list[dict[str, str | float | int]] = []
        self.number = 0
        self.shell: Any = None

    def add(self, described: dict[str, str | float | int]) -> None:
        shell = sys.modules["IPython"].get_ipython()
        if shell is not self.shell:
            shell.events.register("post_run_cell", self.store)
            self.shell = shell
        self.claims.append(described)

    def store(self, result: Any = None) -> None:
        if not self.claims:
            return
        self.number += 1
        claims, self.claims = self.claims, []
        kept = {"name": f"claims-{self.number}", "mime_prefix": CLAIMS.removesuffix("claims+json")}
        display = sys.modules["IPython.display"].display
        display({CLAIMS: claims}, raw=True, metadata={"scrapbook": kept})


_cell_claims = _CellClaims()


class _Shown:
    """HTML for a page, plain text for print and terminals."""

    def __init__(self, page: str, text: str) -> None:
        self._page, self._text = page, text

    def _repr_html_(self) -> str:
        return self._page

    def __repr__(self) -> str:
        return fitting(self._text)


def table(rows: Sequence[Mapping[str, Any]]) -> _Shown:
    """``rows``, alike in their keys, as a table; the first column heads each row.

    Floats are shown to four significant digits, very large and very small ones as people write
    them, 1.41 × 10⁸; anything else by its own ``str``. On a page signs and powers of ten are
    typeset, and thousands marked.
    """
    if not rows or any(list(row) != list(rows[0]) for row in rows):
        raise ValueError("a table needs at least one row, and the same columns in every row")

    def text(value: Any) -> str:
        if not isinstance(value, float):
            return str(value)
        digits, _, power = f"{value:.4g}".partition("e")
        if not power:
            return digits
        if 0 < int(power) < 6:
            return f"{float(f'{value:.4g}'):,.0f}"
        return f"{digits} × 10{raised(int(power))}"

    columns = list(rows[0])
    cells = [[text(row[column]) for column in columns] for row in rows]
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(typeset(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in cells
    )
    page = (
        f'<div class="vae-table"><table class="table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    widths = [max(map(len, column)) for column in zip(*[columns, *cells], strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [columns, *cells]
    ]
    return _Shown(page, "\n".join(lines))


class Choice:
    """One answer to choose, with what is said to a reader who chooses it."""

    def __init__(self, answer: str, feedback: str, *, right: bool = False) -> None:
        self.answer, self.feedback, self.right = answer, feedback, right


class Question:
    """A question with its choices, exactly one of them right."""

    def __init__(self, text: str, choices: Sequence[Choice]) -> None:
        if sum(choice.right for choice in choices) != 1:
            raise ValueError(f"exactly one choice must be right: {text!r}")
        self.text, self.choices = text, choices


# Feedback shows by the browser's own rules (:checked), so a quiz needs no script and no kernel.
_QUIZ_STYLE = """<style>
.vae-quiz fieldset {border: 1px solid #8886; border-radius: 6px; margin: 0 0 1em; padding: .6em 1em}
.vae-quiz legend {font-weight: 600; font-size: 1em; float: left; width: 100%; padding: 0;
  margin: 0 0 .3em}
.vae-quiz legend ~ * {clear: both}
.vae-quiz code {font-weight: inherit}
.vae-quiz label {display: block; margin: .35em 0; padding-left: 1.6em; cursor: pointer}
.vae-quiz input {margin-left: -1.6em; width: 1em; margin-right: .3em}
.vae-quiz .feedback {display: none; margin: .2em 0 .4em; padding-left: .6em;
  border-left: 3px solid #c53030}
.vae-quiz .right .feedback {border-left-color: #2f855a}
.vae-quiz input:checked ~ .feedback {display: block}
</style>"""


def quiz(questions: Sequence[Question]) -> _Shown:
    """Questions that answer back on the static page: each choice shows its own feedback.

    The answers are shown in an order that is drawn once from the words of their question. In
    questions, answers and feedback, words between backticks are set as code, and TeX between
    dollars, ``$\\sigma^2$``, as a formula.
    """
    number = next(_quiz_number)
    blocks = []
    for index, question in enumerate(questions, 1):
        labels = []
        for choice in _edition.shuffled(question.text, question.choices):
            verdict = _edition.RIGHT if choice.right else _edition.WRONG
            labels.append(
                f'<label class="{"right" if choice.right else "wrong"}">'
                f'<input type="radio" name="quiz-{number}-{index}"> {_edition.words(choice.answer)}'
                f'<span class="feedback"><strong>{verdict}</strong> '
                f"{_edition.words(choice.feedback)}</span></label>"
            )
        blocks.append(
            f"<fieldset><legend>{index}. {_edition.words(question.text)}</legend>"
            f"{''.join(labels)}</fieldset>"
        )
    page = f'<form class="vae-quiz">{_QUIZ_STYLE}{"".join(blocks)}</form>'
    text = _edition.quiz_text(
        {"text": q.text, "choices": [(c.answer,) for c in q.choices]} for q in questions
    )
    return _Shown(page, text)


def edition(equations: Mapping[str, str] | None = None) -> None:
    """Say that this notebook is one of the editions that readers run, in ``notebooks/run``.

    Then derivations show the numbers that their equations have in the book: ``equations`` maps a
    derivation's label to it, ``{"kl-gaussian-1d": "4.2"}``. Nothing is stored for a page's build.
    """
    _edition.begin(equations)


def numbers(text: str, book: Mapping[str, Any]) -> None:
    """Show Markdown ``text``, in which «name» or «name:.2f» stands for a value that was glued.

    ``book`` holds the values of the book's own run, shown until this run has glued its own: then
    the sentence is set anew, wherever it stands. Numbers are set by the rules of the book's pages.
    """
    _edition.show(text, book)


def folded_quiz(sealed: str) -> _Shown:
    """The quiz of a chapter, from the letters that its edition stores in place of the answers."""
    questions = _edition.unseal(sealed)
    return _Shown(_edition.quiz_page(questions), _edition.quiz_text(questions))
