"""What the derivation desk asks of Python: sheets, faults, hints, tasks, and a formula by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import sympy as sp

from vae_core import exercises, symbolic
from vae_core.symbolic import Derivation, NotationError, Step, _by_hand, desk, parse
from vae_core.symbolic._by_hand import RIGHT, by_hand, lowest
from vae_core.symbolic._faults import fault
from vae_core.symbolic._missing import _constant
from vae_core.symbolic._plain import plain
from vae_core.symbolic._sheets import sheets
from vae_core.symbolic.entries import ENTRIES
from vae_core.symbolic.tasks import RULES, TASKS, judged, options

NAMES = sorted(name for name in symbolic.DERIVATIONS if sheets(name))


def asked(**question: Any) -> dict[str, Any]:
    found = json.loads(desk.answer(json.dumps(question)))
    assert isinstance(found, dict)
    return found


# --- the notation, written -----------------------------------------------------------------


def test_half_of_the_derivations_have_words() -> None:
    assert len(NAMES) >= 19
    assert not sheets("kl-two-gaussians")  # matrices
    assert len(sheets("elbo-from-kl")) == 3  # it begins anew twice


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_as_what_it_was(name: str) -> None:
    """Each line read back is equal to the line written, and the whole chain holds."""
    for part, sheet in enumerate(sheets(name)):
        for step, line in zip(sheet.steps, sheet.lines, strict=True):
            text = line.partition(" ")[2].partition(" gap ")[0]
            read = parse(text, sheet.names, sheet.q)
            same = Derivation(
                "", step.expression, [Step(read, "")], sheet.derivation.interpretations,
                sheet.derivation.given,
            )  # fmt: skip
            assert same.verify(), text
        assert desk.checked(name, sheet.lines, part)


@pytest.mark.parametrize(
    "text",
    [
        "1 - (2 - X)", "X / (Y * z)", "X * (Y / z)", "-X^2", "(X + Y)^2", "X / Y / z", "-(X + Y)",
        "1 / (2 * X)", "sqrt(X)^3", "log(X + 1)", "log P(X)", "E_P[P(X|z)]", "3/4 * X",
        "X - (-Y)", "exp(-X^2 / 2)", "int(Q(z|X) * log P(X), z)", "N(z; X, Y^2)",
    ],
)  # fmt: skip
def test_brackets_stand_where_they_are_needed(text: str) -> None:
    expression = parse(text)
    q = symbolic.Density("Q", *sp.symbols("z X", real=True))
    again = parse(plain(expression, q))
    assert sp.simplify((again - expression).doit()) == 0


@pytest.mark.parametrize(
    "expression", [sp.sin(sp.Symbol("x")), sp.MatrixSymbol("A", 2, 2), sp.Symbol("a_{b}"), sp.oo]
)
def test_what_has_no_words_is_refused(expression: Any) -> None:
    with pytest.raises(ValueError, match="the notation has no"):
        plain(expression)


# --- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n != "path-variance-linear"])
def test_a_fault_is_found_at_its_line_and_can_be_typed(name: str) -> None:
    for part, sheet in enumerate(sheets(name)):
        found = fault(name, part)
        assert found is not None
        index, text = found
        lines = list(sheet.lines)
        lines[index] = text
        report = asked(kind="check", derivation=name, part=part, lines=lines)
        states = [line["state"] for line in report["lines"]]
        assert states[:index] == ["holds"] * index
        assert states[index] == "wrong"


# --- verdicts ------------------------------------------------------------------------------


def test_rows_keep_their_places() -> None:
    lines = ["= E[log P(X)]", "", "# a remark", "= E[log(P(X, z) / Q(z|X))]"]
    found = asked(kind="check", task="elbo_chain", lines=lines)
    assert [line["state"] for line in found["lines"]] == ["holds", "empty", "empty", "wrong"]
    assert "line (d) does not follow" in found["lines"][3]["text"]  # as the page labels it
    assert found["ended"] is None
    assert found["hints"] == [
        "The line before and this line differ by a divergence.",
        "The line before less this line is KL(Q(z|X) || P(z|X)).",
    ]


@pytest.mark.parametrize(
    ("task", "lines", "first", "second"),
    [
        ("elbo_chain", ["= E[log P(X)]"], "a divergence", "the goal is KL(Q(z|X) || P(z|X))"),
        ("kl_wide_prior", ["= E[log N(z; 0, tau^2) - log N(z; mu, sigma^2)]"], "signs", "minus"),
        ("detailed_balance", ["= 2 * s * q"], "a multiple", "is 1/2 times this line"),
        ("one_pixels_sigma", ["= (m / s^2 - log(m / s^2)) / 2"], "a constant", "1/2 less than"),
        ("code_of_one_image", ["= -c * (mu - a)^2 - (mu^2 + sigma^2 - 1) / 2 + log(sigma)"],
         "depends on c and sigma", "is -c * sigma^2"),
    ],
)  # fmt: skip
def test_hints_name_what_is_missing(task: str, lines: list[str], first: str, second: str) -> None:
    hints = asked(kind="check", task=task, lines=lines)["hints"]
    assert first in hints[0]
    assert second in hints[1]


def test_a_form_that_is_not_asked_for() -> None:
    task = TASKS["kl_wide_prior"]
    found = asked(kind="check", task="kl_wide_prior", lines=[f"= {task.left}"])
    assert found["goal"] == "form"
    assert found["lacks"] == "a closed form as the last line"


@pytest.mark.parametrize(
    ("lines", "states"),
    [
        ([], []),
        (["", "#"], ["empty", "empty"]),
        (["= log P(X"], ["unread"]),
        (["= log P(X)", "= foo", "= log P(X)"], ["holds", "unread", "unreached"]),
        ([">= log P(X) gap log P(X)"], ["wrong"]),
        (["= exp(exp(exp(exp(999))))"], ["undecided"]),
        (["= log P(X)", "= exp(exp(exp(exp(999))))", "= X"], ["holds", "undecided", "unreached"]),
        (["= 1 / 0"], ["undecided"]),
        (["= "], ["empty"]),
        (["<script>alert(1)</script>"], ["unread"]),
        (["__import__('os').system('x')"], ["unread"]),
    ],
)
def test_anything_typed_gets_a_state(lines: list[str], states: list[str]) -> None:
    found = asked(kind="check", task="elbo_chain", lines=lines)
    assert [line["state"] for line in found["lines"]] == states
    assert found["goal"] == "unknown"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ([], "a question is an object"),
        ({"kind": "else"}, "no question of the kind"),
        ({"kind": "check", "task": "no", "lines": ["= 1"]}, "no derivation exercise is called"),
        ({"kind": "check", "derivation": "no", "lines": ["= 1"]}, "no derivation 'no'"),
        ({"kind": "check", "derivation": "elbo-two-terms", "part": 7, "lines": ["1"]}, "no such"),
        ({"kind": "check", "task": "elbo_chain", "lines": "= 1"}, "a list of strings"),
        ({"kind": "check", "task": "elbo_chain", "lines": ["= 1"] * 41}, "more than 40 lines"),
        ({"kind": "check", "entries": "no", "lines": [""]}, "no exercise with entries"),
        ({"kind": "check", "entries": "lognormal_map", "lines": [""]}, "6 lines are asked for"),
        ({"kind": "spoiled", "derivation": "elbo-two-terms", "step": 9, "mutant": 0}, "no step 9"),
    ],
)  # fmt: skip
def test_other_questions_are_refused(question: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        desk.answer(json.dumps(question))


def test_a_verdict_does_not_depend_on_what_was_checked_before() -> None:
    lines = ["= E[log Q(z) - log P(X|z) - log P(z)] - log P(X)"]
    first = asked(kind="check", derivation="elbo-from-kl", part=0, lines=lines)
    asked(kind="check", task="elbo_chain", lines=["= E[log P(X|z)]"])
    from vae_core.symbolic import _derivation, _sheets

    _derivation._usual.cache_clear()
    _sheets.sheets.cache_clear()
    symbolic.DERIVATIONS["elbo-from-kl"].cache_clear()  # type: ignore[attr-defined]
    assert asked(kind="check", derivation="elbo-from-kl", part=0, lines=lines) == first


@pytest.mark.parametrize(
    ("index", "line"),
    [
        (0, "= E[log P(Y)]"),
        (3, "= E[log(P(Y, z|X) / Q(z|Y, X))] + KL(Q(z|X) || P(z|Y, X))"),
        (5, "= E[log((P(Y|z) * P(z|X)) / Q(z|Y, X))]"),
        (7, "= E[log P(Y|z, X)] - KL(Q(z|Y, X) || P(z))"),
    ],
)
def test_a_condition_may_not_be_left_away(index: int, line: str) -> None:
    """A conditional VAE's densities without X are others than those given X."""
    lines = list(sheets("cvae-bound")[0].lines)
    lines[index] = line
    found = asked(kind="check", derivation="cvae-bound", part=0, lines=lines)["lines"]
    assert found[index]["state"] == "wrong"
    assert "|X) = " in found[index]["text"] or ", X) = " in found[index]["text"]


def test_what_is_given_has_no_density() -> None:
    lines = list(sheets("cvae-bound")[0].lines)
    lines[5] = "= E[log((P(Y|z, X) * P(z, X)) / Q(z|Y, X))]"
    found = asked(kind="check", derivation="cvae-bound", part=0, lines=lines)["lines"]
    assert found[5]["state"] == "undecided"


# --- tasks ---------------------------------------------------------------------------------


def test_every_derivation_exercise_can_be_judged() -> None:
    kinds = {e.name for e in exercises.EXERCISES.values() if e.kind == "derivation"}
    assert kinds == {*TASKS, *ENTRIES}
    assert {task.rule for task in TASKS.values()} - {""} == set(RULES)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_tasks_ends_can_be_read(name: str) -> None:
    task = TASKS[name]
    used = options(task)
    for text in (task.left, task.goal):
        parse(text, used["names"], used["q"])
    assert task.title
    assert task.begin.endswith(".")
    verdict = judged(name, [f"= {task.goal} + 1"])
    assert not verdict
    assert "does not follow" in verdict.found
    assert exercises.get(name).chapter == task.chapter


LOGNORMAL = [
    "log(X) / w", "1 / (w * X)", "-(1 + log(X) / w^2) / X", "= log(X) / (w^2 * X)", "1 / X",
    "(15 + 12 * log(X) / w^2 + 4 * log(X)^2 / w^4) / (8 * X^2)",
]  # fmt: skip


def test_entries_are_judged_one_by_one() -> None:
    found = asked(kind="check", entries="lognormal_map", lines=LOGNORMAL)
    assert {line["state"] for line in found["lines"]} == {"holds"}
    assert found["goal"] == "met"
    lines = ["w * log(X)", "", "1 / (w *", "z", "1 / X", "int(exp(-z^4), z)"]
    found = asked(kind="check", entries="lognormal_map", lines=lines)
    states = [line["state"] for line in found["lines"]]
    assert states == ["wrong", "empty", "unread", "wrong", "holds", "wrong"]
    assert found["goal"] == "unknown"
    assert found["lines"][0]["text"] == (
        "expected: at X = 3.1, w = 0.6 the value 1.88567; found: 0.678841"
    )
    assert "an expression in X and w for 'd'" in found["lines"][3]["text"]
    found = asked(kind="check", entries="lognormal_map", lines=[LOGNORMAL[0], *[""] * 5])
    assert found["goal"] == "not yet"


def test_entries_are_judged_as_the_exercise_does() -> None:
    wrong = dict(zip(ENTRIES["lognormal_map"].keys, LOGNORMAL, strict=True)) | {"d": "1 / X"}
    [failed] = [r for r in exercises.get("lognormal_map").check(wrong).results if not r.ok]
    lines = list(wrong.values())
    said = asked(kind="check", entries="lognormal_map", lines=lines)["lines"][3]["text"]
    assert said == f"expected: {failed.expected}; found: {failed.found}"


# --- a formula by hand ---------------------------------------------------------------------


def test_the_printed_formula_trains_a_narrower_prior() -> None:
    found = by_hand("sigma^2 + mu^2 - log sigma - 1/2")
    assert found["state"] == "different"
    assert found["at_prior"] == pytest.approx(0.5)
    assert found["minimum"]["sigma"] == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert found["minimum"]["value"] == pytest.approx(math.log(2) / 2, abs=1e-9)
    assert found["settles"]["variance"] == pytest.approx(0.5, abs=1e-5)
    assert found["sound"]["variance"] == pytest.approx(1, abs=1e-5)
    assert found["settles"]["w"] == pytest.approx(math.sqrt(2) * found["sound"]["w"], abs=1e-5)


@pytest.mark.parametrize(
    ("formula", "state"),
    [
        ("(sigma^2 + mu^2 - 1) / 2 - log sigma", "equal"),
        ("KL(N(z; mu, sigma^2) || N(z; 0, 1))", "equal"),
        ("(mu^2 + sigma^2 - 1 - log(sigma^2)) / 2", "equal"),
        ("(sigma^2 + mu^2) / 2 - log sigma", "constant"),
        ("(sigma^2 + mu^2 - 1) / 2 + log sigma", "different"),
        ("exp(exp(exp(sigma)))", "different"),
        ("P(X)", "unread"), ("mu +", "unread"), ("X^2", "unread"), ("1/0", "unread"),
        ("E[log P(X)]", "unread"), ("= mu", "different"),
    ],
)  # fmt: skip
def test_a_formula_is_what_it_is(formula: str, state: str) -> None:
    found = by_hand(formula)
    assert found["state"] == state
    assert found["text"]
    json.dumps(found, allow_nan=False)


# The stop may fall into a weak reference's callback, where it is ignored; the next one counts.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_formula_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_by_hand, "SECONDS", 0.5)
    found = by_hand("E[log(z^2 + 1)]")
    assert found == {"state": "undecided", "text": "this was not decided within 0.5 s of work"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "1/2"), (math.log(2) / 3, "log(2) / 3"), (0.3712345678901, "about 0.371235"), (3, "3")],
)
def test_a_constant_is_named_only_where_it_is_one(value: float, text: str) -> None:
    assert _constant(value) == text


def test_a_formula_without_a_minimum_settles_nowhere() -> None:
    found = by_hand("(sigma^2 + mu^2 - 1) / 2 + log sigma")
    assert found["minimum"] is None
    assert found["settles"] is None


def test_the_search_finds_a_minimum_that_is_known() -> None:
    where, least = lowest(lambda x, y: (x - 1) ** 2 + 3 * (y + 2) ** 2 + 4, (0.0, 0.0))
    assert where == pytest.approx([1, -2], abs=1e-4)
    assert least == pytest.approx(4, abs=1e-8)


def test_the_divergence_is_the_derivations() -> None:
    derived = symbolic.derivation("kl-gaussian-1d").right
    mu, sigma = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
    gap = sp.expand_log(derived - RIGHT, force=True)
    assert (
        sp.simplify(gap.subs({s: {"mu": mu, "sigma": sigma}[s.name] for s in gap.free_symbols}))
        == 0
    )


def test_names_beyond_the_notation_are_refused() -> None:
    with pytest.raises(NotationError):
        parse("mu")
