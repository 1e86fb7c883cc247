"""Derivations: each line of the book's is proved, each wrong one caught, and it looks right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp

from vae_core import symbolic
from vae_core.symbolic import (
    KL,
    Density,
    Derivation,
    DerivationError,
    Expectation,
    Interpretation,
    Normal,
    Step,
    TangentGap,
    algebra,
    any_distributions,
    discrete,
    integral,
    integration,
    latex,
    linear_gaussian,
    log,
    matrices,
    minus,
    over,
    times,
    written,
)
from vae_core.symbolic._faults import mutants

X, z = sp.symbols("X z", real=True)
Q, PRIOR = Density("Q", z, given=X), Density("P", z)
LIKELIHOOD, POSTERIOR = Density("P", X, given=z), Density("P", z, given=X)
JOINT, EVIDENCE = Density("P", (X, z)), Density("P", X)


# --- the notation --------------------------------------------------------------------------


def test_densities_hold_their_variables_and_expectations_bind_theirs() -> None:
    assert Q.free_symbols == {X, z}
    assert Q.is_positive
    assert Expectation(log(LIKELIHOOD), z, Q).free_symbols == {X}
    assert KL(Q, PRIOR, z).free_symbols == {X}
    assert KL(Q, PRIOR).is_nonnegative
    assert integral(Q * z, z).free_symbols == {X}
    assert Q.func(*Q.args) == Q


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Density("P", z, given=z), "both sides of the bar"),
        (lambda: Density("P", ()), "density of something"),
        (lambda: Expectation(z, z, EVIDENCE), "not a density of z"),
        (lambda: KL(Q, EVIDENCE, z), "two densities of z"),
        (lambda: TangentGap(z), "not known to be positive"),
        (lambda: Step(z, "no", relation="<"), "a relation is one of"),
        (lambda: Step(z, "no", relation=">="), "names its gap"),
        (lambda: Derivation("empty", z, []), "has no steps"),
        (lambda: discrete(1), "at least 2 states"),
        (lambda: matrices(0), "at least 1 component"),
        (lambda: symbolic.derivation("nothing"), "no derivation 'nothing'; there are: "),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (log(LIKELIHOOD), r"\log P(X \mid z)"),
        (written(log(Q), -log(PRIOR)), r"\log Q(z \mid X) - \log P(z)"),
        (written(-log(PRIOR), log(Q)), r"- \log P(z) + \log Q(z \mid X)"),
        (log(over(JOINT, Q)), r"\log \frac{P(X, z)}{Q(z \mid X)}"),
        (log(EVIDENCE + 1), r"\log \left( 1 + P(X) \right)"),
        (
            Expectation(log(LIKELIHOOD), z, Q),
            r"E_{z \sim Q}\left[ \log P(X \mid z) \right]",
        ),
        (KL(Q, PRIOR), r"\mathcal{D}\left[ Q(z \mid X) \,\Vert\, P(z) \right]"),
        (times(log(EVIDENCE), integral(Q, z)), r"\left( \log P(X) \right) \int Q(z \mid X) \, dz"),
        (minus(written(X, z)), r"- \left( X + z \right)"),
        (written(X, minus(written(X, -z))), r"X - \left( X - z \right)"),
        (sp.Rational(1, 2) * X, r"\frac{1}{2} X"),
        (X / (2 * z), r"\frac{X}{2 z}"),
        (-3 / (4 * z), r"- \frac{3}{4 z}"),
        (X**2 / 2, r"\frac{1}{2} X^{2}"),
        (Normal(z, X, 1), r"\mathcal{N}(z;\, X, 1)"),
    ],
)
def test_latex(expression: sp.Expr, expected: str) -> None:
    assert latex(expression) == expected


# --- verdicts ------------------------------------------------------------------------------


def one(
    before: sp.Expr, right: sp.Expr, *meanings: Interpretation, **more: object
) -> symbolic.Line:
    step = Step(right, "because", **more)  # type: ignore[arg-type]
    given = (symbolic.bayes_rule(X, z), symbolic.product_rule(X, z))
    return Derivation("one", before, [step], meanings, given=given).verify().lines[0]


def test_an_identity_is_proved_under_every_interpretation() -> None:
    line = one(log(EVIDENCE) - KL(Q, POSTERIOR), Expectation(log(LIKELIHOOD), z, Q) - KL(Q, PRIOR))
    assert line.verdict == "proved for any distributions"
    assert dict(line.checks) == {
        "any distributions": "proved for any distributions",
        "2 states": "proved for 2 states",
        "3 states": "proved for 3 states",
        "linear-Gaussian model": "integrated (SymPy)",
    }


@pytest.mark.parametrize(
    "meaning", [any_distributions(), discrete(2), discrete(3), linear_gaussian()]
)
def test_each_interpretation_alone_refutes_a_wrong_sign(meaning: Interpretation) -> None:
    line = one(
        log(EVIDENCE) - KL(Q, POSTERIOR),
        Expectation(log(LIKELIHOOD), z, Q) + KL(Q, PRIOR),
        meaning,
    )
    assert line.verdict == "wrong"
    assert line.complaint.startswith("line (a) does not follow from the line before: under “")
    assert line.values
    assert abs(line.left - line.right) > 1e-3


def test_without_bayes_rule_the_canonical_form_does_not_know_it() -> None:
    step = Step(LIKELIHOOD * PRIOR / EVIDENCE, "Bayes")
    proof = Derivation("bare", POSTERIOR, [step], [any_distributions()])
    assert proof.verify().wrong is not None
    assert "could not be proved" in proof.verify().sentence


def test_a_line_that_only_the_states_can_prove_says_so() -> None:
    # Marginalisation is not among the rules given.
    line = one(EVIDENCE, integral(times(LIKELIHOOD, PRIOR), z))
    assert line.verdict == "proved for 2 and 3 states"
    assert "any distributions" not in line.checks


def test_values_of_a_refuted_line_are_those_of_its_two_sides() -> None:
    line = one(Expectation(log(LIKELIHOOD), z, Q), log(EVIDENCE), discrete(2))
    values = {str(s): float(v) for s, v in line.values.items()}
    assert values["Q(z=1|X)"] + values["Q(z=2|X)"] == pytest.approx(1)
    left = sum(values[f"Q(z={i}|X)"] * sp.log(values[f"P(X|z={i})"]).evalf() for i in (1, 2))
    right = sp.log(sum(values[f"P(z={i})"] * values[f"P(X|z={i})"] for i in (1, 2)))
    assert float(line.left) == pytest.approx(float(left))
    assert float(line.right) == pytest.approx(float(right))


def test_a_difference_that_cannot_be_reduced_is_numeric_only() -> None:
    # SymPy does not know the dilogarithm's inversion formula; 50 digits agree.
    x = sp.Symbol("x", positive=True)
    left = sp.polylog(2, -x) + sp.polylog(2, -1 / x)
    right = -(sp.pi**2) / 6 - sp.log(x) ** 2 / 2
    line = one(left, right, algebra())
    assert line
    assert line.verdict == "numeric only"
    assert one(left, right + sp.Rational(1, 10**12), algebra()).verdict == "wrong"
    table = Derivation("dilogarithm", left, [Step(right, "inversion")], [algebra()]).table()
    assert table.note == "The line was checked by algebra, numerically only."


def test_an_inequality_needs_a_gap_that_is_known_and_right() -> None:
    bound = Expectation(log(over(JOINT, Q)), z, Q)
    assert one(log(EVIDENCE), bound, relation=">=", gap=KL(Q, POSTERIOR))
    assert one(bound, log(EVIDENCE), relation="<=", gap=KL(Q, POSTERIOR))
    wrong_gap = one(log(EVIDENCE), bound, relation=">=", gap=KL(Q, PRIOR))
    assert "do not differ by the gap" in wrong_gap.complaint
    unknown = one(log(EVIDENCE), bound, relation=">=", gap=log(EVIDENCE) - bound)
    assert "not known to be non-negative" in unknown.complaint


def test_a_new_left_side_is_an_equation_of_its_own() -> None:
    right = Expectation(log(LIKELIHOOD), z, Q) - KL(Q, PRIOR)
    assert one(z, right, discrete(2), left=log(EVIDENCE) - KL(Q, POSTERIOR))
    broken = one(z, right, discrete(2), left=log(EVIDENCE))
    assert "line (a) is not an equation" in broken.complaint


def test_integration_of_gaussians_against_known_values() -> None:
    mu = sp.Symbol("mu", real=True)
    sigma = sp.Symbol("sigma", positive=True)
    normal = Normal(z, mu, sigma**2)
    assert one(Expectation(z**4, z, normal), mu**4 + 6 * mu**2 * sigma**2 + 3 * sigma**4,
               integration())  # fmt: skip
    assert one(Expectation(sp.exp(z), z, normal), sp.exp(mu + sigma**2 / 2), integration())
    assert not one(Expectation(z**4, z, normal), mu**4 + 6 * mu**2 * sigma**2, integration())


def test_a_function_of_ones_own_is_an_interpretation() -> None:
    meaning = Interpretation("at X = 2", "shown at X = 2", lambda e: e.subs(X, 2))
    assert one(X**2, 2 * X, meaning).verdict == "shown at X = 2"


# --- the book's derivations ----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(symbolic.DERIVATIONS))
def test_every_derivation_of_the_book_holds(name: str) -> None:
    derived = symbolic.derivation(name)
    assert derived.name == name
    assert derived.check() is derived
    report = derived.verify()
    assert len(report.lines) == len(derived.steps)
    assert all(step.reason for step in derived.steps)


@pytest.mark.parametrize(
    "name", [n for n in symbolic.DERIVATIONS if n.startswith(("elbo", "kl-n"))]
)
def test_every_line_of_the_bound_is_proved_for_any_distributions(name: str) -> None:
    report = symbolic.derivation(name).verify()
    assert report.counts() == {"proved for any distributions": len(report.lines)}
    assert all(len(line.checks) == 4 for line in report.lines)


# Changes that leave a line right: the term's share of it is 0.
HARMLESS = {
    ("gradient-phi", 0, 1): "a constant under the derivative",
    ("unbiased-gradients-mu", 1, 0): "the score has mean 0, so the constant c_0 adds nothing",
    ("unbiased-gradients-sigma", 0, 0): "the noise has mean 0, so the slope c_1 adds nothing",
    ("unbiased-gradients-sigma", 1, 0): "the score has mean 0, so the constant c_0 adds nothing",
    ("unbiased-gradients-sigma", 1, 1): "nor does c_1 z, as E[z] does not depend on sigma",
}


@pytest.mark.parametrize("name", sorted(symbolic.DERIVATIONS))
def test_a_changed_term_is_caught_at_its_line(name: str) -> None:
    derived = symbolic.derivation(name)
    count = 0
    for index, step in enumerate(derived.steps):
        for what, changed in mutants(step.expression):
            spoilt = Step(changed, step.reason, step.relation, step.gap, step.left)
            report = derived.with_step(index, spoilt).verify(until=index + 1)
            if any(
                what.startswith(f"term {k} ") for n, i, k in HARMLESS if (n, i) == (name, index)
            ):
                assert report, f"{name} ({report.lines[-1].letter}): {what} is not harmless"
                continue
            assert report.wrong is not None, f"{name} ({report.lines[-1].letter}): {what}"
            assert report.wrong.index == index, f"{name}: {what} of line {index}"
            count += 1
    assert count >= 2 * len(derived.steps)


def test_a_wrong_derivation_raises_one_sentence() -> None:
    derived = symbolic.derivation("elbo-two-terms")
    step = derived.steps[2]
    spoilt = derived.with_step(2, Step(step.expression + KL(Q, PRIOR), step.reason))
    with pytest.raises(DerivationError, match=r"elbo-two-terms: line \(c\) does not follow"):
        spoilt.check()
    with pytest.raises(DerivationError):
        spoilt._repr_mimebundle_()


# --- what is shown -------------------------------------------------------------------------


def balanced(text: str) -> bool:
    depth = 0
    for sign in text.replace(r"\{", "").replace(r"\}", ""):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    pairs = [(r"\left", r"\right"), (r"\begin", r"\end")]
    return depth == 0 and all(text.count(a) == text.count(b) for a, b in pairs)


@pytest.mark.parametrize("name", sorted(symbolic.DERIVATIONS))
def test_latex_of_a_derivation(name: str) -> None:
    derived = symbolic.derivation(name)
    text = derived._repr_latex_()
    assert balanced(text)
    assert text.count(r")} \quad & ") == len(derived.steps)
    assert r"\text{(a)}" in text
    assert text.count(r"\Bigl") == text.count(r"\Bigr")
    for row in text.split("\\\\\n"):
        assert balanced(row.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", "")), row


def test_key_lines_are_printed_as_the_book_writes_them() -> None:
    assert latex(symbolic.derivation("elbo-from-kl").right) == (
        r"E_{z \sim Q}\left[ \log P(X \mid z) \right] "
        r"- \mathcal{D}\left[ Q(z \mid X) \,\Vert\, P(z) \right]"
    )
    assert latex(symbolic.derivation("kl-gaussian").right) == (
        r"\frac{1}{2} \left( \operatorname{tr}\left( \Sigma \right) + \mu^\top \mu - k "
        r"- \log \left| \Sigma \right| \right)"
    )


def test_the_page_gets_a_labelled_equation_and_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = symbolic.derivation("elbo-two-terms")
    monkeypatch.delenv("VAE_CORE_BOOK", raising=False)
    plain = derived._repr_mimebundle_()["text/markdown"]
    assert plain.startswith("$$\n\\begin{aligned}")
    monkeypatch.setenv("VAE_CORE_BOOK", "1")
    page = derived._repr_mimebundle_()["text/markdown"]
    assert page.startswith("```{math}\n:label: elbo-two-terms\n\n\\begin{aligned}")
    assert "| (c) | definition of the divergence |\n" in page
    assert "Every line was checked for any distributions; for 2 and 3 states; in the linear" in page
    other = derived.labelled("again")._repr_mimebundle_()["text/markdown"]
    assert ":label: again\n" in other
    assert ":label:" not in derived.labelled(None)._repr_mimebundle_()["text/markdown"]


def test_the_table_alone() -> None:
    table = symbolic.derivation("elbo-two-terms").table()
    assert repr(table).splitlines()[2].startswith("(c)   definition of the divergence")
    assert table._repr_markdown_().startswith("| line | reason |\n| --- | --- |")
    mixed = Derivation(
        "mixed",
        EVIDENCE,
        [
            Step(integral(times(LIKELIHOOD, PRIOR), z), "marginalisation"),
            Step(integral(times(PRIOR, LIKELIHOOD), z), "reordered"),
        ],
    )
    assert mixed.table()._repr_markdown_().splitlines() == [
        "| line | reason | how checked |",
        "| --- | --- | --- |",
        "| (a) | marginalisation | for 2 and 3 states; in the linear-Gaussian model |",
        "| (b) | reordered | for any distributions; for 2 and 3 states; in the linear-Gaussian "
        "model |",
    ]


def test_it_loads_without_torch(python: Callable[..., object]) -> None:
    done = python(
        "import sys\n"
        "from vae_core import symbolic\n"
        "print('torch' in sys.modules, symbolic.derivation('elbo-two-terms').verify().sentence)\n"
    )
    assert done.stdout == "False elbo-two-terms: all 3 lines hold\n", done.stderr  # type: ignore[attr-defined]
