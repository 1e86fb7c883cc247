"""Gradients of expectations: what may move inside, and two estimators with their variances."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import Interpretation, integration
from vae_core.symbolic._nodes import Expectation, Normal, log, minus, over, times, written
from vae_core.symbolic.library import derived

z, mu, epsilon, theta, X = sp.symbols("z mu epsilon theta X", real=True)
sigma, s = sp.symbols("sigma s", positive=True)
Q = Normal(z, mu, sigma**2)
NOISE = Normal(epsilon, 0, 1)
PATH = written(mu, times(sigma, epsilon))
INTEGRATED = (integration(),)


def d(f: sp.Expr, by: sp.Symbol) -> sp.Expr:
    """The derivative, shown and not yet worked out."""
    return sp.Derivative(f, by, evaluate=False)


def noisy(f: sp.Expr) -> sp.Expr:
    return Expectation(f, epsilon, NOISE)


def _states(n: int) -> Interpretation:
    """The sum over states of z written out for n states."""
    size = sp.Symbol("n", integer=True, positive=True)
    return Interpretation(f"{n} states", f"proved for {n} states", lambda e: e.subs(size, n).doit())


@derived("gradient-of-an-expectation")
def gradient_of_an_expectation() -> Derivation:
    """For any Q with parameter phi: the product rule leaves two terms, not one."""
    j, n = sp.symbols("z n", integer=True, positive=True)
    phi = sp.Symbol("phi", real=True)
    q, f = sp.Function("Q", positive=True)(j, phi), sp.Function("f", real=True)(j, phi)

    def total(term: sp.Expr) -> sp.Expr:
        return sp.Sum(term, (j, 1, n))

    return Derivation(
        "gradient-of-an-expectation",
        d(total(times(q, f)), phi),
        [
            Step(
                total(written(times(q, d(f, phi)), times(f, d(q, phi)))),
                "the product rule in every term",
            ),
            Step(
                written(total(times(q, d(f, phi))), total(times(q, f, d(log(q), phi)))),
                "$\\partial Q = Q\\, \\partial \\log Q$; the second term is missing when the "
                "gradient is only moved inside",
            ),
        ],
        interpretations=(_states(2), _states(3)),
    )


@derived("gradient-theta")
def gradient_theta() -> Derivation:
    """For the decoder's parameter the gradient may move inside: Q does not depend on it."""
    likelihood = Normal(X, theta * z, s**2)
    residual = over(times(z, written(X, -theta * z)), s**2)
    return Derivation(
        "gradient-theta",
        d(Expectation(log(likelihood), z, Q), theta),
        [
            Step(
                Expectation(d(log(likelihood), theta), z, Q),
                "$Q$ does not depend on $\\theta$",
            ),
            Step(Expectation(residual, z, Q), "$P(X \\mid z) = \\mathcal{N}(X; \\theta z, s^2)$"),
            Step(
                over(written(mu * X, -theta * (mu**2 + sigma**2)), s**2),
                "$E[z] = \\mu$ and $E[z^2] = \\mu^2 + \\sigma^2$",
            ),
        ],
        interpretations=INTEGRATED,
    )


@derived("gradient-phi")
def gradient_phi() -> Derivation:
    """For the encoder's parameter a term is missing if the gradient only moves inside."""
    return Derivation(
        "gradient-phi",
        d(Expectation(z**2, z, Q), mu),
        [
            Step(d(mu**2 + sigma**2, mu), "$E[z^2] = \\mu^2 + \\sigma^2$"),
            Step(2 * mu, "differentiated"),
            Step(
                Expectation(times(z**2, d(log(Q), mu)), z, Q),
                "the gradient moved inside gives $E[\\partial z^2 / \\partial \\mu] = 0$; "
                "all of it is in the term with $\\partial \\log Q$",
            ),
            Step(
                noisy(d(PATH**2, mu)),
                "with $z = \\mu + \\sigma\\varepsilon$ the noise does not depend on $\\mu$, and "
                "the gradient may move inside",
            ),
        ],
        interpretations=INTEGRATED,
    )


COEFFICIENTS = sp.symbols("c_0:5", real=True)


def polynomial(x: sp.Expr) -> sp.Expr:
    """A polynomial of degree 4 with free coefficients."""
    return written(*[c if n == 0 else c * x**n for n, c in enumerate(COEFFICIENTS)])


def slope(x: sp.Expr) -> sp.Expr:
    return written(*[n * c * x ** (n - 1) for n, c in enumerate(COEFFICIENTS) if n])


def _unbiased(name: str, by: sp.Symbol, direction: sp.Expr, score: sp.Expr) -> Derivation:
    return Derivation(
        name,
        d(Expectation(polynomial(z), z, Q), by),
        [
            Step(
                noisy(times(slope(PATH), direction)) if direction != 1 else noisy(slope(PATH)),
                "path-wise: $z = \\mu + \\sigma\\varepsilon$, chain rule inside",
            ),
            Step(
                Expectation(times(polynomial(z), score), z, Q),
                "score function: $f(z)\\, \\partial \\log Q(z)$",
            ),
        ],
        interpretations=INTEGRATED,
    )


@derived("unbiased-gradients-mu")
def unbiased_gradients_mu() -> Derivation:
    """Both estimators of the gradient in mu are unbiased, for every polynomial of degree 4."""
    return _unbiased("unbiased-gradients-mu", mu, sp.S.One, over(z - mu, sigma**2))


@derived("unbiased-gradients-sigma")
def unbiased_gradients_sigma() -> Derivation:
    """Both estimators of the gradient in sigma are unbiased, for every polynomial of degree 4."""
    score = over(written((z - mu) ** 2, -(sigma**2)), sigma**3)
    return _unbiased("unbiased-gradients-sigma", sigma, epsilon, score)


def _variance(name: str, sample: sp.Expr, mean: sp.Expr, square: sp.Expr, end: sp.Expr,
              path: bool) -> Derivation:  # fmt: skip
    average = noisy if path else (lambda f: Expectation(f, z, Q))
    return Derivation(
        name,
        written(average(sample**2), minus(average(sample) ** 2)),
        [
            Step(
                written(average(sample**2), minus(mean**2)),
                "the estimator is unbiased, so its mean is the gradient",
            ),
            Step(written(square, minus(mean**2)), "the moments of a Gaussian"),
            Step(end, "terms collected"),
        ],
        interpretations=INTEGRATED,
    )


SCORE = over(z - mu, sigma**2)


@derived("path-variance-square")
def path_variance_square() -> Derivation:
    """Variance of the path-wise gradient in mu of E[z^2]."""
    return _variance("path-variance-square", times(2, PATH), 2 * mu,
                     written(4 * mu**2, 4 * sigma**2), 4 * sigma**2, True)  # fmt: skip


@derived("score-variance-square")
def score_variance_square() -> Derivation:
    """Variance of the score-function gradient in mu of E[z^2]."""
    square = written(mu**4 / sigma**2, 18 * mu**2, 15 * sigma**2)
    end = written(mu**4 / sigma**2, 14 * mu**2, 15 * sigma**2)
    return _variance("score-variance-square", times(z**2, SCORE), 2 * mu, square, end, False)


@derived("path-variance-linear")
def path_variance_linear() -> Derivation:
    """Variance of the path-wise gradient in mu of E[z]: none."""
    return _variance("path-variance-linear", sp.S.One, sp.S.One, sp.S.One, sp.S.Zero, True)


@derived("score-variance-linear")
def score_variance_linear() -> Derivation:
    """Variance of the score-function gradient in mu of E[z]."""
    square = written(mu**2 / sigma**2, 3)
    end = written(mu**2 / sigma**2, 2)
    return _variance("score-variance-linear", times(z, SCORE), sp.S.One, square, end, False)
