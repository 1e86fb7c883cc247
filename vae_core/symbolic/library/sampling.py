"""The evidence by sampling: its gradient, and the variance of importance weights."""

from __future__ import annotations

from typing import Any

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import (
    Interpretation,
    _Discrete,
    _LinearGaussian,
    any_distributions,
    discrete,
    integration,
)
from vae_core.symbolic._nodes import Density, Expectation, Normal, integral, log, over, times
from vae_core.symbolic._rules import bayes_rule
from vae_core.symbolic.library import derived

X, z, theta, delta = sp.symbols("X z theta delta", real=True)
a = sp.Symbol("a", positive=True)


class _States(_Discrete):
    """P(X|z = i) = exp(u_i + v_i theta): at any theta, its value and its slope are free."""

    def density(self, d: Any, env: Any) -> sp.Expr:
        return super().density(d, env).subs(self.by_theta)

    @property
    def by_theta(self) -> dict[sp.Symbol, sp.Expr]:
        out = {}
        for i in range(1, self.n + 1):
            u, v = sp.symbols(f"u_{i} v_{i}", real=True)
            out[sp.Symbol(f"P({X}|z={i})", positive=True)] = sp.exp(u + v * theta)
        return out


def _with_theta() -> tuple[Interpretation, ...]:
    """Models in which the likelihood depends on theta and the prior does not."""
    gaussian = _LinearGaussian(X, frozenset({theta}))
    gaussian.w = theta
    states = _States(2, X, frozenset({theta}))
    return (
        Interpretation(
            "two states with any value and slope in θ", "proved for 2 states", states,
            constraints=states.constraints,
        ),
        Interpretation("the linear-Gaussian model with θ = w", "integrated (SymPy)", gaussian),
    )  # fmt: skip


@derived("gradient-of-the-evidence")
def gradient_of_the_evidence() -> Derivation:
    """Tutorial 4.1: the gradient of log P(X), as an average over the posterior."""
    evidence, prior = Density("P", X, given=theta), Density("P", z)
    likelihood = Density("P", X, given=(z, theta))
    posterior = Density("P", z, given=(X, theta))
    slope = sp.Derivative(log(likelihood), theta)
    return Derivation(
        "gradient-of-the-evidence",
        sp.Derivative(log(evidence), theta),
        [
            Step(
                times(over(1, evidence), sp.Derivative(evidence, theta)),
                "derivative of a logarithm",
            ),
            Step(
                times(
                    over(1, evidence),
                    sp.Derivative(integral(times(likelihood, prior), z), theta),
                ),
                "$P(X)$ written as an integral",
            ),
            Step(
                times(
                    over(1, evidence),
                    integral(times(prior, sp.Derivative(likelihood, theta)), z),
                ),
                "the prior does not depend on $\\theta$",
            ),
            Step(
                integral(times(likelihood, prior, sp.Pow(evidence, -1), slope), z),
                "derivative of a logarithm, the other way: $P' = P\\,(\\log P)'$",
            ),
            Step(integral(times(posterior, slope), z), "Bayes’ rule"),
        ],
        interpretations=_with_theta(),
    )


@derived("second-moment-of-weights")
def second_moment_of_weights() -> Derivation:
    """E[w^2] of the importance weight w = P(X|z) P(z) / Q(z|X), for any Q."""
    evidence, prior, likelihood = Density("P", X), Density("P", z), Density("P", X, given=z)
    posterior, q = Density("P", z, given=X), Density("Q", z, given=X)
    return Derivation(
        "second-moment-of-weights",
        Expectation(over(times(likelihood, prior), q) ** 2, z, q),
        [
            Step(
                Expectation(over(times(evidence, posterior), q) ** 2, z, q),
                "Bayes’ rule",
            ),
            Step(
                times(evidence**2, integral(over(posterior**2, q), z)),
                "$P(X)$ does not depend on $z$; definition of the expectation",
            ),
        ],
        interpretations=(any_distributions(), discrete(2), discrete(3)),
        given=(bayes_rule(X, z),),
    )


@derived("weights-of-a-gaussian")
def weights_of_a_gaussian() -> Derivation:
    """rho for the posterior N(0, 1) and draws from N(delta, c^2), with a = 2 c^2 - 1 > 0."""
    variance = (1 + a) / 2
    p, q = Normal(z, 0, 1), Normal(z, delta, variance)
    front = over(sp.sqrt(1 + a), 2 * sp.sqrt(sp.pi))
    bend = over(a, 1 + a)
    return Derivation(
        "weights-of-a-gaussian",
        integral(over(p**2, q), z),
        [
            Step(
                times(
                    front,
                    integral(sp.exp(-(z**2) + over((z - delta) ** 2, 1 + a), evaluate=False), z),
                ),
                "the densities written out",
            ),
            Step(
                times(
                    front,
                    sp.exp(delta**2 / a),
                    integral(
                        sp.exp(times(-1, bend, (z + delta / a) ** 2), evaluate=False),
                        z,
                    ),
                ),
                "completing the square",
            ),
            Step(
                times(over(1 + a, 2 * sp.sqrt(a)), sp.exp(delta**2 / a)),
                "the integral of a Gaussian bell, $\\sqrt{\\pi (1 + a)/a}$",
            ),
        ],
        interpretations=(integration(),),
    )
