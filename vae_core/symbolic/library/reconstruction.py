"""The reconstruction term: the log-likelihoods of pixels, and the bound of a conditional VAE."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import (
    algebra,
    any_distributions,
    discrete,
    linear_gaussian,
)
from vae_core.symbolic._matrices import any_k, matrices, vector
from vae_core.symbolic._nodes import (
    KL,
    Density,
    Expectation,
    Named,
    Normal,
    QuadraticForm,
    TangentGap,
    integral,
    log,
    minus,
    over,
    times,
    written,
)
from vae_core.symbolic._rules import bayes_rule, marginal_rule, product_rule
from vae_core.symbolic.library import derived

D = sp.Symbol("D", integer=True, positive=True)
sigma = sp.Symbol("sigma", positive=True)
HALF = sp.Rational(1, 2)


@derived("gaussian-log-likelihood")
def gaussian_log_likelihood() -> Derivation:
    """The Gaussian log-likelihood is a squared error, scaled and shifted."""
    X, f = vector("X", D), vector("f", D)
    error = sp.MatAdd(X, -f)
    spread = sigma**2 * sp.Identity(D)
    return Derivation(
        "gaussian-log-likelihood",
        log(Normal(X, f, spread)),
        [
            Step(
                written(
                    minus(log(times((2 * sp.pi) ** (D / 2), sp.sqrt(sp.Determinant(spread))))),
                    times(-HALF, QuadraticForm(error, sp.Inverse(spread))),
                ),
                "the density written out; log and exp undo each other",
            ),
            Step(
                written(
                    -log((2 * sp.pi * sigma**2) ** (D / 2), evaluate=False),
                    times(-1, over(QuadraticForm(error), 2 * sigma**2)),
                ),
                "$|\\sigma^2 I| = \\sigma^{2D}$ and $(\\sigma^2 I)^{-1} = I / \\sigma^2$",
            ),
            Step(
                written(
                    times(-1, over(QuadraticForm(error), 2 * sigma**2)),
                    times(-1, over(D, 2), log(2 * sp.pi * sigma**2)),
                ),
                "the log of a power",
            ),
        ],
        interpretations=(any_k(), matrices(1, D), matrices(2, D), matrices(3, D)),
    )


@derived("bernoulli-log-likelihood")
def bernoulli_log_likelihood() -> Derivation:
    """One Bernoulli pixel: minus the cross-entropy, in terms of the logit a."""
    x, a = sp.symbols("X a", real=True)
    on = Named("p", 1 / (1 + sp.exp(-a)))
    off = written(1, -on)
    return Derivation(
        "bernoulli-log-likelihood",
        log(times(on**x, off ** (1 - x))),
        [
            Step(
                written(times(x, log(on)), times(written(1, -x), log(off))),
                "the log of a product and of powers: minus the cross-entropy of $X$ and $p$",
            ),
            Step(
                written(times(x, written(log(on), -log(off))), log(off)),
                "the terms with $X$ collected",
            ),
            Step(
                written(times(x, a), -log(1 + sp.exp(a))),
                "$p = 1 / (1 + e^{-a})$, so $\\log p - \\log(1 - p) = a$ and "
                "$1 - p = 1 / (1 + e^a)$",
            ),
        ],
        interpretations=(algebra(),),
    )


# --- the conditional VAE -------------------------------------------------------------------


@derived("cvae-bound")
def cvae_bound() -> Derivation:
    """The bound of a conditional VAE, from its own joint: everything given X."""
    X, Y, z = sp.symbols("X Y z", real=True)
    evidence = Density("P", Y, given=X)
    joint = Density("P", (Y, z), given=X)
    likelihood = Density("P", Y, given=(z, X))
    prior = Density("P", z, given=X)
    posterior = Density("P", z, given=(Y, X))
    q = Density("Q", z, given=(Y, X))
    reconstruction = Expectation(log(likelihood), z, q)
    return Derivation(
        "cvae-bound",
        log(evidence),
        [
            Step(Expectation(log(evidence), z, q), "$\\log P(Y \\mid X)$ does not depend on $z$"),
            Step(
                Expectation(log(over(joint, posterior)), z, q),
                "$P(Y, z \\mid X) = P(z \\mid Y, X)\\, P(Y \\mid X)$",
            ),
            Step(
                written(
                    Expectation(log(over(joint, q)), z, q),
                    Expectation(log(over(q, posterior)), z, q),
                ),
                "multiplied and divided by $Q(z \\mid Y, X)$, then split",
            ),
            Step(
                written(Expectation(log(over(joint, q)), z, q), KL(q, posterior)),
                "definition of the divergence",
            ),
            Step(
                Expectation(log(over(joint, q)), z, q),
                "a divergence is never negative",
                relation=">=",
                gap=KL(q, posterior),
            ),
            Step(
                Expectation(log(over(times(likelihood, prior), q)), z, q),
                "$P(Y, z \\mid X) = P(Y \\mid z, X)\\, P(z \\mid X)$",
            ),
            Step(
                written(reconstruction, Expectation(log(over(prior, q)), z, q)),
                "the log of a product is a sum",
            ),
            Step(written(reconstruction, -KL(q, prior)), "definition of the divergence"),
        ],
        interpretations=(
            any_distributions(),
            discrete(2, observed=Y, condition=X),
            discrete(3, observed=Y, condition=X),
            linear_gaussian(observed=Y, condition=X),
        ),
        given=(bayes_rule(Y, z, given=X), product_rule(Y, z, given=X)),
    )


@derived("importance-weighted-bound")
def importance_weighted_bound() -> Derivation:
    """Two importance samples: log P(X) is above their bound, and theirs above the ELBO."""
    X, one, two = sp.symbols("X z_1 z_2", real=True)
    evidence = Density("P", X)

    def weight(z: sp.Symbol) -> sp.Expr:
        return over(Density("P", (X, z)), Density("Q", z, given=X))

    def both(f: sp.Expr) -> sp.Expr:
        return Expectation(
            Expectation(f, two, Density("Q", two, given=X)), one, Density("Q", one, given=X)
        )

    mean = over(written(weight(one), weight(two)), 2)
    to_evidence = TangentGap(over(mean, evidence))
    shares = written(TangentGap(over(weight(one), mean)), TangentGap(over(weight(two), mean)))
    rules = [r for z in (one, two) for r in (product_rule(X, z), marginal_rule(X, z))]
    return Derivation(
        "importance-weighted-bound",
        log(evidence),
        [
            Step(
                log(both(mean)),
                "each weight has mean $\\int P(X, z)\\, dz = P(X)$, and so has their average",
            ),
            Step(
                both(log(mean)),
                "Jensen’s inequality: the log is concave",
                relation=">=",
                gap=both(to_evidence),
            ),
            Step(
                both(times(HALF, written(log(weight(one)), log(weight(two))))),
                "Jensen’s inequality again, for the average of two numbers",
                relation=">=",
                gap=times(HALF, both(shares)),
            ),
            Step(
                Expectation(log(weight(one)), one, Density("Q", one, given=X)),
                "both draws are from the same $Q$: this is the ELBO",
            ),
        ],
        interpretations=(any_distributions(), discrete(2), discrete(3)),
        given=rules,
    )


@derived("marginal-likelihood-estimate")
def marginal_likelihood_estimate() -> Derivation:
    """Importance sampling is unbiased: the mean of the weights is P(X)."""
    X, z = sp.symbols("X z", real=True)
    q = Density("Q", z, given=X)
    likelihood, prior = Density("P", X, given=z), Density("P", z)
    return Derivation(
        "marginal-likelihood-estimate",
        Density("P", X),
        [
            Step(integral(times(likelihood, prior), z), "marginalisation"),
            Step(
                integral(times(q, over(times(likelihood, prior), q)), z),
                "multiplied and divided by $Q(z \\mid X)$",
            ),
            Step(
                Expectation(over(times(likelihood, prior), q), z, q),
                "definition of the expectation",
            ),
        ],
        interpretations=(any_distributions(), discrete(2), discrete(3)),
        given=(marginal_rule(X, z),),
    )
