"""A reader's own derivations, and derived formulas as functions of tensors."""

from __future__ import annotations

import contextlib

import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_core import distributions, symbolic
from vae_core.symbolic import (
    KL,
    Density,
    Expectation,
    Normal,
    NotationError,
    QuadraticForm,
    integral,
    integration,
    log,
    over,
    parse,
    times,
    to_torch,
    vector,
    workbench,
    written,
)

X, z = sp.symbols("X z", real=True)
Q, PRIOR = Density("Q", z, given=X), Density("P", z)
LIKELIHOOD, JOINT = Density("P", X, given=z), Density("P", (X, z))
k = sp.Symbol("k", integer=True, positive=True)

# --- reading -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log P(X)", log(Density("P", X))),
        ("E[log P(X|z)]", Expectation(log(LIKELIHOOD), z, Q)),
        ("E_Q[log P(X | z)]", Expectation(log(LIKELIHOOD), z, Q)),
        ("E_P[P(X|z)]", Expectation(LIKELIHOOD, z, PRIOR)),
        ("KL(Q(z|X) || P(z))", KL(Q, PRIOR)),
        ("D[Q(z∣X) ‖ P(z)]", KL(Q, PRIOR)),
        ("log(P(X, z) / Q(z|X))", log(over(JOINT, Q))),
        ("int(Q(z|X) * log P(X|z), z)", integral(times(Q, log(LIKELIHOOD)), z)),
        ("1 - X^2", written(1, -(X**2))),
        ("2*X - (z + 1)", written(2 * X, -(z + 1))),
        ("-X^2", -(X**2)),
        ("0.5 * X", X / 2),
    ],
)
def test_plain_notation(text: str, expected: sp.Expr) -> None:
    assert sp.simplify(parse(text) - expected) == 0


def test_a_product_binds_more_than_a_sum_and_a_power_more_than_a_sign() -> None:
    assert parse("1 + 2*3").doit() == 7
    assert parse("8/2/2").doit() == 2
    assert parse("-2^2").doit() == -4
    assert parse("2 - 3 - 4").doit() == -5
    assert parse("2^-1 * 4").doit() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the line is empty"),
        ("log P(X", r"'\)' was expected before 'the end of the line'"),
        ("log P(X) P(z)", "an operator is missing before 'P': write \\*"),
        ("foo", "the name 'foo' is not known; known are X, Y, pi, z"),
        ("sin(z)", "'sin' is not a function of the notation"),
        ("E_R[z]", "an expectation is E"),
        ("KL(Q(z|X) || z)", "a divergence stands between two densities"),
        ("KL(Q(z|X) || P(X))", "a divergence needs two densities of z"),
        ("P(z|z)", "both sides of the bar"),
        ("9^9^9", "a power above 6 is not read"),
        ("X)", "'\\)' has nothing to close"),
        ("X + ", "a formula was expected before 'the end of the line'"),
        ("__import__('os')", "the sign '_' is not part of the notation"),
        ("X.__class__", "the sign '.' is not part of the notation"),
        ("(" * 40 + "X" + ")" * 40, "more than 25 levels of brackets"),
        ("X + " * 400 + "X", "the line has 1601 letters, more than 600"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message):
        parse(text)


@given(st.text(alphabet="XzPQE()[]|,+-*/^ log0123KLint_;.#'\"", max_size=40))
def test_anything_typed_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(NotationError):
        assert isinstance(parse(text), sp.Basic)


def test_a_power_after_the_brackets_of_a_logarithm_is_the_logarithms() -> None:
    square = parse("log(X)^2").subs(sp.Symbol("X", real=True), sp.E**3)
    assert sp.simplify(square) == 9


def test_names_of_ones_own() -> None:
    mu, sigma = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
    names = {"mu": mu, "sigma": sigma}
    assert parse("mu^2 + σ^2", names) == mu**2 + sigma**2
    assert parse("N(z; mu, sigma^2)", names) == Normal(z, mu, sigma**2)


# --- the workbench -------------------------------------------------------------------------

CHAIN = [
    "= E[log P(X)]                                # does not depend on z",
    "= E[log(P(X, z) / P(z|X))]                   # Bayes",
    "= E[log(P(X, z) / Q(z|X))] + KL(Q(z|X) || P(z|X))",
    ">= E[log(P(X, z) / Q(z|X))] gap KL(Q(z|X) || P(z|X))",
    "= E[log P(X|z)] - KL(Q(z|X) || P(z))",
]


def test_a_right_chain_is_right_line_by_line() -> None:
    bench = workbench("log P(X)", CHAIN, goal="E[log P(X|z)] - KL(Q(z|X) || P(z))")
    assert bench
    assert len(bench.verdicts) == 6
    for letter, verdict in zip("abcde", bench.verdicts, strict=False):
        assert verdict.startswith(
            f"✓ line ({letter}) holds (for any distributions; for 2 and 3 states"
        )
    assert bench.verdicts[-1] == "✓ the last line is what was asked for"
    assert repr(bench).count("\n") == 5
    assert r"- $\geq E_{z \sim Q}" in bench._repr_markdown_()


def test_a_wrong_line_is_named_with_values_and_the_others_are_judged_too() -> None:
    lines = [*CHAIN[:2], "= E[log(P(X, z) / Q(z|X))] - KL(Q(z|X) || P(z|X))", "= log P(X)"]
    bench = workbench("log P(X)", "\n".join(lines))
    assert not bench
    assert [v[0] for v in bench.verdicts] == ["✓", "✓", "✗", "✗"]
    assert (
        "line (c) does not follow from the line before: under “2 states”, with P(X|z=1) = "
        in (bench.verdicts[2])
    )
    assert bench.report is not None
    assert bench.report.wrong is not None
    assert bench.report.wrong.letter == "c"


def test_a_line_that_cannot_be_read_ends_the_check() -> None:
    bench = workbench("log P(X)", [CHAIN[0], "= E[log P(X|z]", CHAIN[2]])
    assert not bench
    assert bench.verdicts[0].startswith("✓ line (a)")
    assert bench.verdicts[1:] == ("✗ line (b) cannot be read: ')' was expected before ']'",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (">= E[log P(X|z)]", "an inequality names what it leaves away"),
        ("= log P(X) gap X", "an equation has no gap"),
        (">= E[log P(X|z)] gap KL(Q(z|X) || P(z))", "do not differ by the gap it names"),
        (">= E[log P(X|z)] gap log P(X)", "is not known to be non-negative"),
        ("= exp(exp(exp(exp(999))))", "line (a) could not be computed"),
        ("= 1/0", "could not be proved"),
    ],
)
def test_other_faults_get_their_own_sentence(line: str, message: str) -> None:
    bench = workbench("log P(X)", [line])
    assert not bench
    assert message in repr(bench)


def test_a_right_chain_that_misses_its_goal() -> None:
    bench = workbench("log P(X)", CHAIN[:1], goal="E[log P(X|z)] - KL(Q(z|X) || P(z))")
    assert not bench
    assert bench.verdicts[-1].startswith("✗ the last line is not yet $E_{z")
    assert not workbench("log P(X)", [])


def test_gaussian_chains() -> None:
    mu, sigma = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
    names = {"mu": mu, "sigma": sigma}
    q = Normal(z, mu, sigma**2)
    start = KL(q, Normal(z, 0, 1))
    right = ["(sigma^2 + mu^2 - 1)/2 - log sigma"]
    tutorial = ["sigma^2 + mu^2 - log sigma - 1/2"]
    options = {"names": names, "q": q, "interpretations": (integration(),)}
    assert workbench(start, right, **options)  # type: ignore[arg-type]
    assert not workbench(start, tutorial, **options)  # type: ignore[arg-type]


# --- formulas as functions of tensors ------------------------------------------------------


def gaussians(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    mean = torch.randn(*shape, dtype=torch.float64)
    return mean, 0.2 + torch.rand(*shape, dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 20])
def test_the_derived_divergence_is_what_vae_core_computes(size: int) -> None:
    formula = symbolic.derivation("kl-gaussian-diagonal").right
    function = to_torch(formula, (vector("mu", k), vector("sigma", k)))
    mean, sigma = gaussians(6, size)
    kl = distributions.DiagonalGaussian(mean, sigma.log()).kl()
    torch.testing.assert_close(function(mean, sigma), kl)


def test_the_divergence_with_a_full_covariance_is_torchs() -> None:
    names = ("mu_0", "Sigma_0", "mu_1", "Sigma_1")
    arguments = [vector(n, k) if n.startswith("mu") else sp.MatrixSymbol(n, k, k) for n in names]
    function = to_torch(symbolic.derivation("kl-two-gaussians").right, arguments)
    for size in (1, 2, 3):
        roots = torch.randn(2, 5, size, size, dtype=torch.float64)
        spreads = roots @ roots.mT + 0.3 * torch.eye(size, dtype=torch.float64)
        means = torch.randn(2, 5, size, dtype=torch.float64)
        first, second = (
            torch.distributions.MultivariateNormal(means[i], spreads[i]) for i in (0, 1)
        )
        found = function(means[0], spreads[0], means[1], spreads[1])
        torch.testing.assert_close(found, torch.distributions.kl_divergence(first, second))


def test_the_derived_likelihoods_are_what_vae_core_computes() -> None:
    x, a = sp.symbols("X a", real=True)
    bernoulli = to_torch(symbolic.derivation("bernoulli-log-likelihood").right, (x, a))
    pixels = torch.randint(0, 2, (4, 1, 3, 3)).double()
    logits = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    expected = distributions.BernoulliLikelihood().log_prob(pixels, logits)
    torch.testing.assert_close(bernoulli(pixels, logits).flatten(1).sum(1), expected)

    size, sigma = sp.Symbol("D", integer=True, positive=True), sp.Symbol("sigma", positive=True)
    formula = symbolic.derivation("gaussian-log-likelihood").right
    gaussian = to_torch(formula, (vector("X", size), vector("f", size), sigma))
    mean, data = torch.rand(2, 4, 1, 3, 3, dtype=torch.float64)
    expected = distributions.GaussianLikelihood(sigma=0.3, link="identity").log_prob(data, mean)
    found = gaussian(data.flatten(1), mean.flatten(1), torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(found, expected)


def test_expectations_are_worked_out_first_and_gradients_flow() -> None:
    mu, sigma = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
    function = to_torch(Expectation(z**2, z, Normal(z, mu, sigma**2)), (mu, sigma))
    mean = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
    value = function(mean, torch.tensor(3.0, dtype=torch.float64))
    torch.testing.assert_close(value, mean.detach() ** 2 + 9)
    value.sum().backward()
    torch.testing.assert_close(mean.grad, 2 * mean.detach())


def test_to_torch_refuses_what_it_cannot_compute() -> None:
    with pytest.raises(ValueError, match="not among the arguments: z"):
        to_torch(X + z, (X,))
    with pytest.raises(ValueError, match="no tensor function for gamma"):
        to_torch(sp.gamma(X), (X,))
    square = to_torch(QuadraticForm(vector("v", k)), (vector("v", k),))
    with pytest.raises(ValueError, match="1 tensors expected, not 2"):
        square(torch.ones(2), torch.ones(2))
    both = to_torch(
        QuadraticForm(vector("v", k)) + QuadraticForm(vector("w", k)),
        (vector("v", k), vector("w", k)),
    )
    with pytest.raises(ValueError, match="w has 3 components, another has 2"):
        both(torch.ones(2), torch.ones(3))
