"""The reconstruction term's derivations hold, and cannot be spoilt unseen."""

from __future__ import annotations

import math

import pytest
import sympy as sp

from vae_core import symbolic
from vae_core.evaluation import ScalarVAE
from vae_core.symbolic import Step

NAMES = (
    "squared-error",
    "cross-entropy-integral",
    "gradient-inside-decoder",
    "gradient-inside-encoder",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_holds_exactly(name: str) -> None:
    report = symbolic.derivation(name).verify()
    assert report, report.sentence
    assert "numeric" not in str(report)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_line_is_the_line_named(name: str) -> None:
    derivation = symbolic.derivation(name)
    for index, step in enumerate(derivation.steps):
        for spoil in (lambda e: -e, lambda e: 2 * e, lambda e: e + 1):
            wrong = Step(spoil(step.expression), step.reason, left=step.left)
            report = derivation.with_step(index, wrong).verify(until=index + 1)
            assert not report
            assert report.wrong is report.lines[index]


def test_the_gradients_are_those_of_the_scalar_model() -> None:
    case = ScalarVAE(-0.8, 0.7, 0.4, 0.3, 1.0)
    decoder, encoder = (symbolic.derivation(name).right for name in NAMES[2:])
    numbers = {
        "w": case.decoder,
        "a": case.encoder,
        "X": 1.0,
        "sigma": case.sigma,
        "t": case.spread,
    }

    def value(e: sp.Expr) -> float:
        return float(e.doit().subs({s: numbers[s.name] for s in e.free_symbols}))

    assert math.isclose(value(decoder), case.law("decoder").truth)
    # The KL's own gradient, a X^2, comes off the reconstruction's.
    assert math.isclose(value(encoder) - case.encoder, case.law("encoder").truth)
