"""Models with one latent number, against closed forms and SciPy's quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from vae_core.evaluation import OneLatent

MODELS = [
    OneLatent("line", x=1.5, sigma=0.8),
    OneLatent("line", x=-0.7, sigma=0.3, weight=-1.8),
    OneLatent("exponential", x=1.5, sigma=0.5),
    OneLatent("exponential", x=0.4, sigma=0.5, weight=0.7),
    OneLatent("square", x=2.0, sigma=0.5),
    OneLatent("square", x=1.2, sigma=0.4, weight=1.3),
]
QS = [(0.0, 1.0), (-1.2, 0.3), (1.4, 0.05), (2.0, 1.5), (-4.0, 2.0)]


@pytest.mark.parametrize("model", MODELS[:2])
@pytest.mark.parametrize("q", QS)
def test_linear_model_has_its_closed_forms(model: OneLatent, q: tuple[float, float]) -> None:
    """X ~ N(0, w² + s²); z|X ~ N(w X / (w² + s²), s² / (w² + s²)); every term by hand."""
    (mean, sigma), w, s, x = q, model.weight, model.sigma, model.x
    total = w * w + s * s
    terms = model.terms(q)
    log_p = -0.5 * math.log(2 * math.pi * total) - x * x / (2 * total)
    assert terms.evidence == pytest.approx(log_p, abs=1e-12)
    squared = (x - w * mean) ** 2 + (w * sigma) ** 2
    expected = -0.5 * math.log(2 * math.pi * s * s) - squared / (2 * s * s)
    assert terms.reconstruction == pytest.approx(expected, rel=1e-12, abs=1e-12)
    centre, spread = w * x / total, s / math.sqrt(total)
    ratio = sigma / spread
    gap = (ratio**2 - 1 + ((mean - centre) / spread) ** 2) / 2 - math.log(ratio)
    assert terms.gap == pytest.approx(gap, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_evidence_equals_scipys(model: OneLatent) -> None:
    integral, _ = quad(
        lambda z: math.exp(model.log_joint(z)), -10, 10, points=(-1.5, 0, 1.5), limit=400
    )
    assert model.evidence == pytest.approx(math.log(integral), abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("q", QS)
def test_evidence_is_bound_plus_gap(model: OneLatent, q: tuple[float, float]) -> None:
    """The gap is integrated on its own, so this is the identity itself."""
    terms = model.terms(q)
    assert terms.elbo == terms.reconstruction - terms.kl
    assert terms.gap >= -1e-12
    assert terms.elbo + terms.gap == pytest.approx(terms.evidence, rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("q", QS)
def test_means_under_q_have_their_closed_forms(q: tuple[float, float]) -> None:
    """E[e^z] = exp(m + s²/2), E[z⁴] = m⁴ + 6 m² s² + 3 s⁴."""
    mean, sigma = q
    first, second = math.exp(mean + sigma**2 / 2), math.exp(2 * mean + 2 * sigma**2)
    model = MODELS[2]
    squared = model.x**2 - 2 * model.x * first + second
    expected = -0.5 * math.log(2 * math.pi * 0.25) - squared / 0.5
    assert model.terms(q).reconstruction == pytest.approx(expected, rel=1e-11)
    model = MODELS[4]
    fourth = mean**4 + 6 * mean**2 * sigma**2 + 3 * sigma**4
    squared = model.x**2 - 2 * model.x * (mean**2 + sigma**2) + fourth
    expected = -0.5 * math.log(2 * math.pi * 0.25) - squared / 0.5
    assert model.terms(q).reconstruction == pytest.approx(expected, rel=1e-11)


def test_posterior_integrates_to_one() -> None:
    z = np.linspace(-10, 10, 4001)
    for model in MODELS:
        assert np.trapezoid(np.exp(model.log_posterior(z)), z) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_best_q_is_not_beaten(model: OneLatent) -> None:
    best = model.best_q()
    height = model.elbo(best)
    for mean in np.linspace(-3, 3, 25):
        for sigma in np.geomspace(0.06, 1.9, 15):
            assert model.elbo((mean, sigma)) <= height + 1e-9
    for dm, ds in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert model.elbo((best.mean + dm, best.sigma + ds)) < height


def test_best_q_of_a_line_is_the_posterior_and_elsewhere_a_gap_stays() -> None:
    best = MODELS[0].best_q((-3.0, 2.0))
    assert best.mean == pytest.approx(1.5 / 1.64, abs=1e-9)
    assert best.sigma == pytest.approx(0.8 / math.sqrt(1.64), abs=1e-9)
    assert MODELS[0].terms(best).gap == pytest.approx(0, abs=1e-12)
    for model in MODELS[2:]:
        assert model.terms(model.best_q()).gap > 0.01


def test_of_two_equal_modes_the_nearer_is_found() -> None:
    assert MODELS[4].best_q((-0.5, 0.5)).mean < 0 < MODELS[4].best_q((0.5, 0.5)).mean


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cube", 1.0, 0.5), "decoder must be one of"),
        (("line", math.nan, 0.5), "x and weight must be finite"),
        (("line", 1.0, 0.0), "sigma must be at least 0.1, got 0.0"),
    ],
)
def test_unfit_models_are_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OneLatent(*arguments)


@pytest.mark.parametrize("q", [(0.0, 0.0), (5.0, 1.0), (0.0, math.nan)])
def test_unfit_q_is_refused(q: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Q needs a mean in"):
        MODELS[0].terms(q)
