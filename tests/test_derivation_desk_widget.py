"""What the derivation desk carries and refuses, without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vae_core.symbolic import desk
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


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_can_be_on_a_desk(name: str) -> None:
    made = DerivationDesk(exercises=[name])
    assert made.payload["sheets"][0]["names"] == sorted(TASKS[name].names)
    assert made.to_png().startswith(b"\x89PNG")


def test_traits(widget: DerivationDesk) -> None:
    one = DerivationDesk(["elbo-two-terms"], ["elbo_chain"])
    assert one.shown()[0].startswith("= E[log((P(X|z)")
    one.sheet, one.lines = "elbo_chain", ["= E[log P(X)]"]
    assert one.shown() == ["= E[log P(X)]"]
    assert '"sheet": "elbo_chain"' in one.to_html()
    assert "from log P(X)" in desk.own(one.sheet)
    assert desk.own("elbo-from-kl-2").startswith("log P(X) - KL(Q(z) || P(z|X))")
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
