"""The evidence lower bound: both derivations of the tutorial (4.1.1, 4.1.2), and Jensen's."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._nodes import (
    KL,
    Density,
    Expectation,
    TangentGap,
    integral,
    log,
    over,
    times,
    written,
)
from vae_core.symbolic._rules import bayes_rule, marginal_rule, product_rule
from vae_core.symbolic.library import derived

X, z = sp.symbols("X z", real=True)
EVIDENCE = Density("P", X)
PRIOR = Density("P", z)
LIKELIHOOD = Density("P", X, given=z)
JOINT = Density("P", (X, z))
POSTERIOR = Density("P", z, given=X)
Q = Density("Q", z, given=X)
ANY_Q = Density("Q", z)

RULES = (bayes_rule(X, z), product_rule(X, z))


@derived("elbo-from-kl")
def elbo_from_kl() -> Derivation:
    """Tutorial 4.1.1: from the divergence between any Q and the true posterior."""
    to_posterior = KL(ANY_Q, POSTERIOR)
    return Derivation(
        "elbo-from-kl",
        to_posterior,
        [
            Step(
                Expectation(written(log(ANY_Q), -log(POSTERIOR)), z, ANY_Q),
                "definition of the divergence",
            ),
            Step(
                written(
                    Expectation(written(log(ANY_Q), -log(LIKELIHOOD), -log(PRIOR)), z, ANY_Q),
                    log(EVIDENCE),
                ),
                "Bayes’ rule for $P(z \\mid X)$; $\\log P(X)$ does not depend on $z$, so it comes "
                "out of the expectation",
            ),
            Step(
                written(Expectation(log(LIKELIHOOD), z, ANY_Q), -KL(ANY_Q, PRIOR)),
                "both sides negated and rearranged; $E[\\log Q(z) - \\log P(z)]$ is a divergence",
                left=written(log(EVIDENCE), -to_posterior),
            ),
            Step(
                written(Expectation(log(LIKELIHOOD), z, Q), -KL(Q, PRIOR)),
                "$Q$ was arbitrary, so it may depend on $X$",
                left=written(log(EVIDENCE), -KL(Q, POSTERIOR)),
            ),
        ],
        given=RULES,
    )


@derived("elbo-from-evidence")
def elbo_from_evidence() -> Derivation:
    """Tutorial 4.1.2, first chain: from log P(X) to the bound."""
    bound = Expectation(log(over(JOINT, Q)), z, Q)
    gap = KL(Q, POSTERIOR)
    return Derivation(
        "elbo-from-evidence",
        log(EVIDENCE),
        [
            Step(times(log(EVIDENCE), integral(Q, z)), "$\\int Q(z \\mid X)\\, dz = 1$"),
            Step(
                integral(times(Q, log(EVIDENCE)), z),
                "$\\log P(X)$ does not depend on $z$, so it may go inside",
            ),
            Step(Expectation(log(EVIDENCE), z, Q), "definition of the expectation"),
            Step(
                Expectation(log(over(JOINT, POSTERIOR)), z, Q),
                "$P(X) = P(X, z) / P(z \\mid X)$",
            ),
            Step(
                Expectation(log(over(times(JOINT, Q), times(POSTERIOR, Q))), z, Q),
                "multiplied and divided by $Q(z \\mid X)$",
            ),
            Step(
                written(bound, Expectation(log(over(Q, POSTERIOR)), z, Q)),
                "the log of a product is a sum; the expectation is linear",
            ),
            Step(written(bound, gap), "definition of the divergence"),
            Step(bound, "a divergence is never negative", relation=">=", gap=gap),
        ],
        given=RULES,
    )


@derived("elbo-two-terms")
def elbo_two_terms() -> Derivation:
    """Tutorial 4.1.2, second chain: the bound as reconstruction minus divergence to the prior."""
    reconstruction = Expectation(log(LIKELIHOOD), z, Q)
    return Derivation(
        "elbo-two-terms",
        Expectation(log(over(JOINT, Q)), z, Q),
        [
            Step(
                Expectation(log(over(times(LIKELIHOOD, PRIOR), Q)), z, Q),
                "$P(X, z) = P(X \\mid z)\\, P(z)$",
            ),
            Step(
                written(reconstruction, Expectation(log(over(PRIOR, Q)), z, Q)),
                "the log of a product is a sum; the expectation is linear",
            ),
            Step(written(reconstruction, -KL(Q, PRIOR)), "definition of the divergence"),
        ],
        given=RULES,
    )


@derived("kl-nonnegative")
def kl_nonnegative() -> Derivation:
    """Why a divergence is never negative: log r lies below its tangent r - 1."""
    ratio = over(PRIOR, Q)
    return Derivation(
        "kl-nonnegative",
        KL(Q, PRIOR),
        [
            Step(Expectation(log(over(Q, PRIOR)), z, Q), "definition of the divergence"),
            Step(-Expectation(log(ratio), z, Q), "the log of a quotient changes sign upside down"),
            Step(
                -Expectation(written(ratio, -1), z, Q),
                "$\\log r \\leq r - 1$ for every $r > 0$",
                relation=">=",
                gap=Expectation(TangentGap(ratio), z, Q),
            ),
            Step(
                written(1, -integral(PRIOR, z)),
                "linearity; $Q$ cancels in $E_{z \\sim Q}[P(z) / Q(z \\mid X)] = \\int P(z)\\, dz$",
            ),
            Step(0, "$\\int P(z)\\, dz = 1$"),
        ],
    )


@derived("elbo-from-jensen")
def elbo_from_jensen() -> Derivation:
    """The third route: Jensen's inequality for the logarithm, with its gap named."""
    weight = over(JOINT, Q)
    return Derivation(
        "elbo-from-jensen",
        log(EVIDENCE),
        [
            Step(log(integral(JOINT, z)), "marginalisation: $P(X) = \\int P(X, z)\\, dz$"),
            Step(
                log(integral(times(Q, weight), z)),
                "multiplied and divided by $Q(z \\mid X)$",
            ),
            Step(log(Expectation(weight, z, Q)), "definition of the expectation"),
            Step(
                Expectation(log(weight), z, Q),
                "Jensen’s inequality: the log is concave; "
                "the gap is $\\mathcal{D}[Q(z \\mid X) \\,\\Vert\\, P(z \\mid X)]$",
                relation=">=",
                gap=KL(Q, POSTERIOR),
            ),
            Step(
                written(Expectation(log(LIKELIHOOD), z, Q), -KL(Q, PRIOR)),
                "the product rule, and the definition of the divergence",
            ),
        ],
        given=(*RULES, marginal_rule(X, z)),
    )
