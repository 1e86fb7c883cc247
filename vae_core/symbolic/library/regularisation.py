"""The decoder's sigma as a knob: scaling z, beta-VAE, the best variance, and sigma -> 0."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import algebra, integration
from vae_core.symbolic._nodes import (
    KL,
    Expectation,
    Named,
    Normal,
    TangentGap,
    log,
    minus,
    over,
    times,
    written,
)
from vae_core.symbolic.library import derived

X, z, y, mu, w, b = sp.symbols("X z y mu w b", real=True)
s, sigma, c = sp.symbols("s sigma c", positive=True)
HALF = sp.Rational(1, 2)
INTEGRATED = (integration(),)
ALGEBRA = (algebra(),)


@derived("scaled-latent-kl")
def scaled_latent_kl() -> Derivation:
    """The divergence does not notice that z is multiplied by c everywhere."""
    return Derivation(
        "scaled-latent-kl",
        KL(Normal(y, c * mu, c**2 * s**2), Normal(y, 0, c**2)),
        [
            Step(
                times(
                    HALF,
                    written(
                        over(c**2 * s**2, c**2),
                        over((c * mu) ** 2, c**2),
                        -1,
                        minus(log(over(c**2 * s**2, c**2))),
                    ),
                ),
                "the closed form between two Gaussians",
            ),
            Step(times(HALF, written(s**2, mu**2, -1, -log(s**2))), "$c$ cancels"),
            Step(KL(Normal(z, mu, s**2), Normal(z, 0, 1)), "the closed form, read backwards"),
        ],
        interpretations=INTEGRATED,
    )


@derived("scaled-latent-reconstruction")
def scaled_latent_reconstruction() -> Derivation:
    """A decoder that divides by c first reconstructs as before (a linear one here)."""
    scaled = Normal(y, c * mu, c**2 * s**2)
    return Derivation(
        "scaled-latent-reconstruction",
        Expectation(log(Normal(X, w * y / c + b, sigma**2)), y, scaled),
        [
            Step(
                Expectation(log(Normal(X, w * z + b, sigma**2)), z, Normal(z, mu, s**2)),
                "$y = c z$ with $z \\sim \\mathcal{N}(\\mu, s^2)$, and the decoder divides by $c$",
            )
        ],
        interpretations=INTEGRATED,
    )


D = sp.Symbol("D", integer=True, positive=True)
ERROR = Named(r"\lVert X - f(z) \rVert^2", sp.Symbol("r", positive=True))
RATE = Named(r"\mathcal{D}", sp.Symbol("R", nonnegative=True))


@derived("sigma-is-beta")
def sigma_is_beta() -> Derivation:
    """Minus the ELBO, times 2 sigma^2: squared error plus 2 sigma^2 times the KL."""
    constant = times(over(D, 2), log(2 * sp.pi * sigma**2))
    knob = Named(r"\lambda", 2 * sigma**2)
    return Derivation(
        "sigma-is-beta",
        times(2, sigma**2, written(over(ERROR, 2 * sigma**2), constant, RATE)),
        [
            Step(
                written(
                    ERROR, times(2, sigma**2, RATE), times(D, sigma**2, log(2 * sp.pi * sigma**2))
                ),
                "multiplied out",
            ),
            Step(
                written(ERROR, times(knob, RATE), times(D, over(knob, 2), log(sp.pi * knob))),
                "$\\lambda = 2\\sigma^2$; the last term holds no network’s parameter",
            ),
        ],
        interpretations=ALGEBRA,
    )


@derived("beta-vae-identity")
def beta_vae_identity() -> Derivation:
    """A beta-VAE of variance sigma^2 is a VAE of variance beta sigma^2, scaled and shifted."""
    beta = sp.Symbol("beta", positive=True)
    first = times(over(D, 2), log(2 * sp.pi * sigma**2))
    return Derivation(
        "beta-vae-identity",
        written(over(ERROR, 2 * sigma**2), first, times(beta, RATE)),
        [
            Step(
                written(times(beta, written(over(ERROR, times(2, beta, sigma**2)), RATE)), first),
                "$\\beta$ taken out",
            ),
            Step(
                written(
                    times(
                        beta,
                        written(
                            over(ERROR, times(2, beta, sigma**2)),
                            times(over(D, 2), log(2 * sp.pi * beta * sigma**2)),
                            RATE,
                        ),
                    ),
                    first,
                    times(-1, beta, over(D, 2), log(2 * sp.pi * beta * sigma**2)),
                ),
                "in the brackets stands minus the ELBO of a VAE with variance $\\beta\\sigma^2$",
            ),
        ],
        interpretations=ALGEBRA,
    )


# --- the best variance: of the pixels, and of a linear VAE along one direction --------------

v, m = sp.symbols("v m", positive=True)


def fit(variance: sp.Expr) -> sp.Expr:
    """Mean log-density of deviations whose mean square is m, under N(0, ``variance``)."""
    return written(times(-HALF, log(times(2, sp.pi, variance))), times(-1, over(m, 2 * variance)))


@derived("variance-slope")
def variance_slope() -> Derivation:
    """The derivative with respect to the variance: above zero below m, below zero above m."""
    return Derivation(
        "variance-slope",
        sp.Derivative(fit(v), v, evaluate=False),
        [
            Step(
                written(-over(1, 2 * v), over(m, 2 * v**2)),
                "differentiated, term by term",
            ),
            Step(
                over(written(m, -v), 2 * v**2),
                "on one denominator, which is positive: the sign is that of $m - v$",
            ),
        ],
        interpretations=INTEGRATED,
    )


@derived("variance-loss")
def variance_loss() -> Derivation:
    """What a variance v other than the best one, m, loses."""
    ratio = over(m, v)
    return Derivation(
        "variance-loss",
        written(fit(m), minus(fit(v))),
        [
            Step(
                written(
                    times(-HALF, log(times(2, sp.pi, m))),
                    -HALF,
                    times(HALF, log(times(2, sp.pi, v))),
                    over(m, 2 * v),
                ),
                "written out",
            ),
            Step(
                times(HALF, written(ratio, -1, minus(log(ratio)))),
                "the logarithms are joined",
            ),
            Step(
                sp.S.Zero, "$r - 1 \\ge \\log r$", relation=">=", gap=times(HALF, TangentGap(m / v))
            ),
        ],
        interpretations=ALGEBRA,
    )


# --- sigma -> 0 ----------------------------------------------------------------------------


def _error_term() -> tuple[sp.Expr, sp.Expr, tuple[Normal, Normal]]:
    """The error term of a linear decoder f(z) = wz + b, its closed form, and its two densities."""
    scale = sp.Symbol("w", positive=True)
    total = scale**2 + sigma**2
    q = Normal(z, (X - b) / scale, sigma**2 / scale**2)
    posterior = Normal(z, scale * (X - b) / total, sigma**2 / total)
    ratio = over(sigma**2, scale**2)
    closed = times(
        HALF,
        written(
            ratio,
            over(sigma**2 * (X - b) ** 2, times(scale**2, total)),
            minus(log(written(1, ratio))),
        ),
    )
    return KL(q, posterior), closed, (q, posterior)


@derived("error-term")
def error_term() -> Derivation:
    """Doersch's appendix A for a Gaussian truth, f = P⁻¹ ∘ Φ: the error term for a given sigma."""
    error, closed, (q, posterior) = _error_term()
    return Derivation(
        "error-term",
        error,
        [
            Step(
                Expectation(written(log(q), -log(posterior)), z, q), "definition of the divergence"
            ),
            Step(
                closed,
                "the moments of $Q$; the decoder is $f(z) = wz + b$, and $Q$ has the mean "
                "$f^{-1}(X)$ and the variance $\\sigma^2 / w^2$",
            ),
        ],
        interpretations=INTEGRATED,
    )


@derived("error-term-vanishes")
def error_term_vanishes() -> Derivation:
    """The error term goes to 0 like sigma²: divided by sigma², it has a finite limit."""
    error, closed, _ = _error_term()
    scale = sp.Symbol("w", positive=True)
    return Derivation(
        "error-term-vanishes",
        sp.Limit(over(error, sigma**2), sigma, 0),
        [
            Step(
                sp.Limit(over(closed, sigma**2), sigma, 0),
                "the error term in closed form",
            ),
            Step(
                over((X - b) ** 2, 2 * scale**4),
                "$\\log(1 + r) = r - r^2/2 + \\dots$ cancels the first term: the rest is finite, "
                "so the error term itself goes to 0 like $\\sigma^2$",
            ),
        ],
        interpretations=INTEGRATED,
    )
