"""What the derivation desk carries and refuses, without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vae_core.symbolic import desk
from vae_core.symbolic.entries import ENTRIES
from vae_core.symbolic.tasks import TASKS
from vae_core.widgets import DerivationDesk
from vae_core.widgets._base import bundle


@pytest.fixture(scope="module")
def widget() -> DerivationDesk:
    return DerivationDesk(["elbo-from-kl", "elbo-two-terms"], ["elbo_chain"], by_hand=True)


def test_sheets_in_order(widget: DerivationDesk) -> None:
    found = widget.payload["sheets"]
    assert [sheet["id"] for sheet in found] == [
        "elbo-from-kl-1", "elbo-from-kl-2", "elbo-from-kl-3", "elbo-two-terms", "elbo_chain",
        "kl-by-hand",
    ]  # fmt: skip
    assert widget.sheet == "elbo-from-kl-1"
    two = found[3]
    assert two["lines"][-1] == "= E[log P(X|z)] - KL(Q(z|X) || P(z))"
    assert two["goal"] == "E[log P(X|z)] - KL(Q(z|X) || P(z))"
    assert len(two["reasons"]) == len(two["lines"]) == 3
    assert two["blanks"] == [1]


def test_a_sheets_reference_is_what_python_checks(widget: DerivationDesk) -> None:
    for sheet in widget.payload["sheets"]:
        if sheet["kind"] == "derivation":
            question = {"kind": "check", **sheet["ref"], "lines": sheet["lines"]}
            found = json.loads(desk.answer(json.dumps(question)))
            assert {line["state"] for line in found["lines"]} == {"holds"}
            assert found["goal"] == "met"


def test_an_exercises_solution_is_not_in_the_page(widget: DerivationDesk) -> None:
    sheet = widget.payload["sheets"][4]
    assert "lines" not in sheet
    assert "reasons" not in sheet
    assert sheet["goal"] == TASKS["elbo_chain"].goal


@pytest.mark.parametrize("name", [*TASKS, *ENTRIES])
def test_every_derivation_exercise_can_be_on_a_desk(name: str) -> None:
    made = DerivationDesk(exercises=[name])
    known = {**TASKS, **ENTRIES}[name]
    assert made.payload["sheets"][0]["names"] == sorted(known.names)
    assert made.to_png().startswith(b"\x89PNG")


def test_a_sheet_begins_as_its_mode_says(widget: DerivationDesk) -> None:
    one = DerivationDesk(["elbo-two-terms"], ["elbo_chain", "lognormal_map"], by_hand=True)
    whole = one.shown()
    one.mode = "blanks"
    assert [a == b for a, b in zip(whole, one.shown(), strict=True)] == [True, False, True]
    one.mode = "fault"
    assert sum(a != b for a, b in zip(whole, one.shown(), strict=True)) == 1
    one.mode = "empty"
    assert one.shown() == ["= "]
    one.sheet = "lognormal_map"
    assert one.shown() == [""] * 6
    one.sheet = "kl-by-hand"
    assert one.shown() == [""]


@pytest.mark.parametrize(
    ("sheet", "lines", "told"),
    [
        ("elbo-from-kl-2", ["= log P(X)"], "line (a) does not follow"),
        ("elbo_chain", ["= log P(X) + 1"], "does not follow from the line before"),
        ("lognormal_map", ["log(X) / w", "", "", "", "", ""], "'slope'"),
        ("kl-by-hand", ["= mu^2"], "This is not the divergence"),
    ],
)
def test_what_is_copied_runs(
    widget: DerivationDesk, capsys: pytest.CaptureFixture[str], sheet: str, lines: list[str],
    told: str,
) -> None:  # fmt: skip
    one = DerivationDesk(["elbo-from-kl"], ["elbo_chain", "lognormal_map"], by_hand=True)
    one.sheet, one.lines = sheet, lines
    exec(one.to_python(), {})
    assert told in capsys.readouterr().out


def test_traits(widget: DerivationDesk) -> None:
    one = DerivationDesk(["elbo-two-terms"], ["elbo_chain"])
    assert one.shown()[0].startswith("= E[log((P(X|z)")
    one.sheet, one.lines = "elbo_chain", ["= E[log P(X)]"]
    assert one.shown() == ["= E[log P(X)]"]
    assert '"sheet": "elbo_chain"' in one.to_html()
    assert one.to_python() == (
        'from vae_core import exercises\n\nlines = [\n    "= E[log P(X)]",\n]\n'
        'print(exercises.check("elbo_chain", lines))\n'
    )
    for name, value in (("sheet", "no"), ("mode", "no"), ("lines", [1]), ("lines", ["x"] * 41)):
        with pytest.raises(ValueError, match=name):
            setattr(one, name, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a desk needs a derivation"),
        ({"derivations": ["no"]}, "no derivation 'no'"),
        ({"derivations": "elbo-two-terms"}, "derivations must be a list of names"),
        ({"derivations": ["kl-two-gaussians"]}, "the plain notation has no words"),
        ({"exercises": ["no"]}, "no derivation exercise is called 'no'"),
        ({"exercises": ["elbo_chain"], "sheet": "no"}, "sheet must be one of elbo_chain"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DerivationDesk(**arguments)


def test_the_page_stays_small(widget: DerivationDesk) -> None:
    assert len(widget.to_html()) < 120_000
    assert "class Chart" not in bundle("derivation_desk")
    assert "innerHTML" not in bundle("derivation_desk")
