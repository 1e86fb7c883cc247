"""The reconstruction term (tutorial 4.2.1): squared error, cross-entropy on greys, its gradient."""

from __future__ import annotations

from typing import Any

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import Interpretation, algebra, integration
from vae_core.symbolic._nodes import Expectation, Named, Normal, log, minus, over, times, written
from vae_core.symbolic.library import derived

X, z, w, a, x = sp.symbols("X z w a x", real=True)
mean = sp.Symbol(r"\hat{X}", real=True)
sigma, t = sp.symbols("sigma t", positive=True)
ell = sp.Symbol("ell", real=True, nonzero=True)
HALF = sp.Rational(1, 2)


@derived("squared-error")
def squared_error() -> Derivation:
    """One pixel's Gaussian log density with sigma^2 = 1/2 is minus the squared error, shifted."""
    square = (X - mean) ** 2
    variance = sigma**2
    return Derivation(
        "squared-error",
        log(Normal(X, mean, variance)),
        [
            Step(
                written(-square / (2 * variance), -HALF * log(2 * sp.pi * variance)),
                "the density written out",
            ),
            Step(
                written(-square, -HALF * log(sp.pi)),
                "the same at $\\sigma^2 = \\tfrac12$",
                left=log(Normal(X, mean, HALF)),
            ),
        ],
        interpretations=(_closed_form("algebra", "proved by algebra"),),
    )


@derived("cross-entropy-integral")
def cross_entropy_integral() -> Derivation:
    """exp(-cross-entropy) of one pixel, integrated over all greys, is (2p - 1) / logit."""
    p = Named("p", 1 / (1 + sp.exp(-ell)))
    return Derivation(
        "cross-entropy-integral",
        sp.Integral(times(p**x, (1 - p) ** (1 - x)), (x, 0, 1)),
        [
            Step(
                times(1 - p, sp.Integral(sp.exp(ell * x), (x, 0, 1))),
                "$\\ell = \\log\\frac{p}{1-p}$, so that $p^x (1-p)^{-x} = e^{\\ell x}$",
            ),
            Step(
                times(1 - p, over(written(sp.exp(ell), -1), ell)), "the integral of an exponential"
            ),
            Step(over(written(2 * p, -1), ell), "$(1-p)\\,e^{\\ell} = p$"),
        ],
        interpretations=(Interpretation("integration", "integrated (SymPy)", _over_greys),),
    )


@derived("gradient-inside-decoder")
def gradient_inside_decoder() -> Derivation:
    """The gradient with respect to the decoder's w may move inside (all Gaussian)."""
    likelihood, q = Normal(X, w * z, sigma**2), Normal(z, a * X, t**2)
    return Derivation(
        "gradient-inside-decoder",
        sp.Derivative(Expectation(log(likelihood), z, q), w),
        [
            Step(
                Expectation(sp.Derivative(log(likelihood), w), z, q),
                "$w$ stands in the integrand only",
            ),
            Step(
                Expectation(times(over(1, sigma**2), X - w * z, z), z, q),
                "the derivative of a Gaussian’s logarithm",
            ),
            Step(
                times(
                    over(1, sigma**2),
                    written(a * X**2, minus(times(w, written(a**2 * X**2, t**2)))),
                ),
                "$E[z] = aX$, $E[z^2] = a^2X^2 + t^2$",
            ),
        ],
        interpretations=(_closed_form("integration", "integrated (SymPy)"),),
    )


@derived("gradient-inside-encoder")
def gradient_inside_encoder() -> Derivation:
    """The gradient with respect to the encoder's a is lost by moving it inside (all Gaussian)."""
    likelihood, q = Normal(X, w * z, sigma**2), Normal(z, a * X, t**2)
    return Derivation(
        "gradient-inside-encoder",
        sp.Derivative(Expectation(log(likelihood), z, q), a),
        [
            Step(
                Expectation(times(log(likelihood), sp.Derivative(log(q), a)), z, q),
                "$a$ stands in the density, and $\\partial Q = Q\\,\\partial\\log Q$; "
                "$\\partial \\log P / \\partial a = 0$",
            ),
            Step(
                Expectation(times(log(likelihood), over(times(X, z - a * X), t**2)), z, q),
                "the derivative of a Gaussian’s logarithm",
            ),
            Step(
                times(over(1, sigma**2), w * X**2, written(1, minus(a * w))),
                "moments of $Q$",
            ),
        ],
        interpretations=(_closed_form("integration", "integrated (SymPy)"),),
    )


def _closed_form(name: str, verdict: str) -> Interpretation:
    """Explicit Gaussians, their logarithms and expectations worked out, and then derivatives."""
    inner: Any = integration().evaluate

    def evaluate(e: sp.Expr) -> sp.Expr:
        def is_log(n: Any) -> bool:
            return isinstance(n, sp.log) and isinstance(n.args[0], Normal)

        # From the leaves up: a derivative finds its function explicit already.
        e = e.replace(is_log, inner)
        e = e.replace(
            lambda n: isinstance(n, sp.Derivative | Expectation),
            lambda n: n.doit() if isinstance(n, sp.Derivative) else inner(n),
        )
        return algebra().evaluate(e.doit())

    return Interpretation(name, verdict, evaluate)


def _over_greys(e: sp.Expr) -> sp.Expr:
    """Names replaced by what they stand for, in the logit, and integrals over [0, 1] taken."""
    e = e.replace(lambda n: isinstance(n, Named), lambda n: n.definition())

    def integrated(n: sp.Integral) -> sp.Expr:
        # The logarithm of p^x (1 - p)^(1 - x) is linear in x, with slope log(p / (1 - p)) = ell;
        # SymPy knows the integral of an exponential, but does not see that this is one.
        exponent = sp.expand_log(sp.log(n.function), force=True)
        slope = sp.simplify(sp.logcombine(sp.diff(exponent, x), force=True))
        return sp.integrate(n.function.subs(x, 0) * sp.exp(slope * x), *n.limits)

    return e.replace(lambda n: isinstance(n, sp.Integral), integrated)
