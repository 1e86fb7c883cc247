"""Claims that stop a chapter, and numbers carried to its prose."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable

import nbformat
import numpy as np
import pytest
import torch
from helpers import ROOT, one_sentence
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from vae_core import notebook
from vae_core._typography import typeset
from vae_core.evaluation import Estimate
from vae_core.notebook import CLAIMS, Choice, Question, claim, quiz, table


@pytest.mark.parametrize("holds", [True, 1, torch.tensor(0.2) > 0.1])
def test_a_claim_that_holds_is_printed(holds: object, capsys: pytest.CaptureFixture[str]) -> None:
    claim(holds, "the VAE's codes are closer to N(0, I)")
    assert capsys.readouterr().out == "✓ the VAE's codes are closer to N(0, I)\n"


@pytest.mark.parametrize("holds", [False, 0, None, float("nan") > 0, torch.tensor(0.2) > 0.3])
def test_a_claim_that_fails_raises_with_its_sentence(
    holds: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError, match="this claim no longer holds: codes overlap") as error:
        claim(holds, "codes overlap")
    one_sentence(error)
    assert capsys.readouterr().out == ""


def execute(*cells: str) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute(
        env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return notebook


def test_glue_stores_where_myst_nb_is_and_does_nothing_where_it_is_not() -> None:
    notebook = execute(
        "from vae_core.notebook import glue\nglue('kl', 3.25)",
        "import sys\nsys.modules['myst_nb'] = None\nglue('kl', 3.25)",
    )
    stored, nothing = (cell.outputs for cell in notebook.cells)
    (output,) = stored
    assert output.metadata["scrapbook"]["name"] == "kl"
    assert output.data["application/papermill.record/text/plain"] == "3.25"
    assert "text/plain" not in output.data  # stored, not shown
    assert nothing == []


def test_a_failed_claim_stops_the_notebook() -> None:
    with pytest.raises(CellExecutionError, match="this claim no longer holds: 1 > 2"):
        execute("from vae_core.notebook import claim\nclaim(1 > 2, '1 > 2')")


def claims_of(cell: nbformat.NotebookNode) -> list[list[dict]]:
    return [o.data[CLAIMS] for o in cell.outputs if CLAIMS in o.get("data", {})]


def test_claims_leave_one_unseen_record_a_cell() -> None:
    cells = execute(
        "from vae_core.notebook import claim\n"
        "claim(True, 'a', refuted_by='b', margin=4.56789, seeds=3)\n"
        "claim(True, 'c', margin='exact')\n'shown'",
        "1 + 1",
        "import torch\n"
        "claim(True, 'd', margin=torch.tensor(0.25))\n"
        "claim(True, 'e', margin=float('inf'))",
    ).cells
    first, nothing, last = cells
    assert claims_of(first) == [
        [
            {"sentence": "a", "refuted_by": "b", "margin": 4.57, "seeds": 3},
            {"sentence": "c", "margin": "exact"},
        ]
    ]
    assert [output.output_type for output in first.outputs] == [
        "stream", "execute_result", "display_data",
    ]  # fmt: skip
    assert first.outputs[0].text == "✓ a\n✓ c\n"  # in one piece
    assert claims_of(nothing) == []
    assert claims_of(last) == [
        [{"sentence": "d", "margin": 0.25}, {"sentence": "e", "margin": "inf"}]
    ]
    kept = [
        o.metadata["scrapbook"] for c in cells for o in c.outputs if CLAIMS in o.get("data", {})
    ]
    # MyST-NB warns of a name that comes twice, and hides what has a prefix.
    assert [k["name"] for k in kept] == ["claims-1", "claims-2"]
    assert all(CLAIMS.startswith(k["mime_prefix"]) for k in kept)


def test_a_failing_claim_leaves_the_record_of_those_before_it() -> None:
    cell = nbformat.v4.new_code_cell(
        "from vae_core.notebook import claim\nclaim(True, 'a')\nclaim(False, 'b')"
    )
    cell.metadata.tags = ["raises-exception"]
    executed = nbformat.v4.new_notebook(cells=[cell])
    client = NotebookClient(executed, timeout=60, kernel_name="python3")
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert claims_of(executed.cells[0]) == [[{"sentence": "a"}]]


def test_claims_leave_no_record_where_no_book_is_built() -> None:
    (cell,) = execute(
        "import sys\nsys.modules['myst_nb'] = None\n"
        "from vae_core.notebook import claim\nclaim(True, 'a', margin=1.0)"
    ).cells
    assert [output.output_type for output in cell.outputs] == ["stream"]


def test_glue_outside_a_notebook_does_nothing(python: Callable[..., object]) -> None:
    done = python(
        "import sys\n"
        "from vae_core.notebook import glue\n"
        "glue('kl', 3.25)\n"
        "print('IPython' in sys.modules)\n"
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_table_is_html_for_a_page_and_aligned_text_for_print() -> None:
    shown = table([{"model": "a<b", "nats": 1.23456, "n": 3}, {"model": "c", "nats": 2.0, "n": 40}])
    page = shown._repr_html_()
    assert '<th scope="row">a&lt;b</th><td>1.235</td><td>3</td>' in page
    assert page.count("<tr>") == 3
    assert repr(shown).splitlines() == ["model  nats   n", "a<b    1.235  3", "c      2      40"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.23456e-4, "0.0001235"), (4.7621e-6, "4.762 × 10⁻⁶"), (14083.2, "14,080"),
        (999_951.0, "1 × 10⁶"), (-1.98312e10, "−1.983 × 10¹⁰"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_a_table_writes_large_and_small_numbers_as_people_do(value: float, written: str) -> None:
    assert f"<td>{written}</td>" in table([{"a": "b", "v": value}])._repr_html_()


def test_a_page_sets_the_signs_and_powers_of_a_table() -> None:
    row = {"model": "x-2", "a": -75.6, "b": 9.888e-05, "c": Estimate(-4.82e-6, 9.9e-8), "d": "1-2"}
    shown = table([row])
    page = shown._repr_html_()
    assert '<th scope="row">x-2</th><td>−75.6</td><td>9.888 × 10⁻⁵</td>' in page
    assert "<td>(−4.820 ±\N{NO-BREAK SPACE}0.099) × 10⁻⁶</td><td>1-2</td>" in page
    assert "-75.6  9.888 × 10⁻⁵  (-4.820 ± 0.099)e-6  1-2" in repr(shown)


def test_a_table_needs_rows_that_are_alike() -> None:
    for rows in ([], [{"a": 1}, {"b": 2}]):
        with pytest.raises(ValueError, match="same columns"):
            table(rows)


def test_a_quiz_gives_each_choice_its_feedback_and_hides_nothing_in_print() -> None:
    question = Question("1 + 1?", [Choice("2", "By counting.", right=True), Choice("3", "Count.")])
    first, second = quiz([question]), quiz([question])
    page = first._repr_html_()
    assert page.count('<input type="radio"') == page.count('class="feedback"') == 2
    assert page.count('<label class="right">') == 1
    assert "<script" not in page
    # Two quizzes on a page must not share a radio group.
    assert re.findall(r'name="([^"]+)"', page)[0] not in second._repr_html_()
    head, *answers = repr(first).splitlines()
    assert (head, sorted(answers)) == ("1. 1 + 1?", ["   ( ) 2", "   ( ) 3"])


def test_a_quiz_sets_code_between_backticks_and_nothing_else_as_markup() -> None:
    choices = [Choice("a < `f(x) < 1`", "`x`", right=True), Choice("b", "c")]
    page = quiz([Question("Is `a<b` & c?", choices)])._repr_html_()
    assert "1. Is <code>a&lt;b</code> &amp; c?</legend>" in page
    assert "a &lt; <code>f(x) &lt; 1</code>" in page
    assert "<code>x</code></span>" in page


def test_a_question_has_exactly_one_right_choice() -> None:
    for rights in ((False, False), (True, True)):
        with pytest.raises(ValueError, match="exactly one"):
            Question("?", [Choice("a", "b", right=right) for right in rights])


def test_glued_numpy_numbers_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's format, such as `.2f`, reads a plain number; NumPy's repr names its type."""
    myst_nb = pytest.importorskip("myst_nb")
    kept = {}
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: kept.update({name: value}))
    notebook.glue("a", np.float64(0.25))
    notebook.glue("b", np.int64(3))
    assert [repr(value) for value in kept.values()] == ["0.25", "3"]


@pytest.mark.parametrize(
    ("written", "set_"),
    [
        ("-0.034 ± 0.015", "−0.034 ±\N{NO-BREAK SPACE}0.015"),
        ("N(-1.5, 2)", "N(−1.5, 2)"),
        ("7.078e+04 and 4.8e-06", "7.078 × 10⁴ and 4.8 × 10⁻⁶"),
        ("(-4.820 ± 0.099)e-6", "(−4.820 ±\N{NO-BREAK SPACE}0.099) × 10⁻⁶"),
        ("2325507 of 0.0003245", "2,325,507 of 0.0003245"),
        ("12571 ± 1449", "12,571 ±\N{NO-BREAK SPACE}1,449"),
        ("3854", "3854"),
        ("vae-2, 3-5, -ELBO, f(x)-1, 1e5x", "vae-2, 3-5, -ELBO, f(x)-1, 1e5x"),
    ],
)
def test_computed_numbers_are_set_as_a_printer_would(written: str, set_: str) -> None:
    assert typeset(written) == set_
