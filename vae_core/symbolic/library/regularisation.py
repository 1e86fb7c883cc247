"""The decoder's sigma as a knob: scaling z, beta-VAE, the best sigma, collapse, and sigma -> 0."""

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
s, sigma, lam = sp.symbols("s sigma lambda", positive=True)
HALF = sp.Rational(1, 2)
INTEGRATED = (integration(),)
ALGEBRA = (algebra(),)


@derived("scaled-latent-kl")
def scaled_latent_kl() -> Derivation:
    """The divergence does not notice that z is multiplied by lambda everywhere."""
    return Derivation(
        "scaled-latent-kl",
        KL(Normal(y, lam * mu, lam**2 * s**2), Normal(y, 0, lam**2)),
        [
            Step(
                times(
                    HALF,
                    written(
                        over(lam**2 * s**2, lam**2),
                        over((lam * mu) ** 2, lam**2),
                        -1,
                        minus(log(over(lam**2 * s**2, lam**2))),
                    ),
                ),
                "the closed form between two Gaussians",
            ),
            Step(times(HALF, written(s**2, mu**2, -1, -log(s**2))), "$\\lambda$ cancels"),
            Step(KL(Normal(z, mu, s**2), Normal(z, 0, 1)), "the closed form, read backwards"),
        ],
        interpretations=INTEGRATED,
    )


@derived("scaled-latent-reconstruction")
def scaled_latent_reconstruction() -> Derivation:
    """A decoder that divides by lambda first reconstructs as before (a linear one here)."""
    scaled = Normal(y, lam * mu, lam**2 * s**2)
    return Derivation(
        "scaled-latent-reconstruction",
        Expectation(log(Normal(X, w * y / lam + b, sigma**2)), y, scaled),
        [
            Step(
                Expectation(log(Normal(X, w * z + b, sigma**2)), z, Normal(z, mu, s**2)),
                "$y = \\lambda z$ with $z \\sim \\mathcal{N}(\\mu, s^2)$, and the decoder divides "
                "by $\\lambda$",
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


@derived("best-sigma")
def best_sigma() -> Derivation:
    """No variance gives a higher likelihood than the mean squared error per pixel."""
    mse = sp.Symbol("m", positive=True)
    return Derivation(
        "best-sigma",
        written(times(-HALF, D), times(-1, over(D, 2), log(2 * sp.pi * mse))),
        [
            Step(
                written(
                    times(-1, over(D * mse, 2 * mse)), times(-1, over(D, 2), log(2 * sp.pi * mse))
                ),
                "the log-likelihood at $\\sigma^2 = m$, the mean squared error per pixel",
            ),
            Step(
                written(
                    times(-1, over(D * mse, 2 * sigma**2)),
                    times(-1, over(D, 2), log(2 * sp.pi * sigma**2)),
                ),
                "at any other $\\sigma^2$ it is lower, by $\\tfrac{D}{2}(r - 1 - \\log r)$ with "
                "$r = m / \\sigma^2$",
                relation=">=",
                gap=times(over(D, 2), TangentGap(mse / sigma**2)),
            ),
        ],
        interpretations=ALGEBRA,
    )


# --- where a latent direction of a linear VAE collapses ------------------------------------


def evidence(variance: sp.Expr, data: sp.Expr) -> sp.Expr:
    """Mean log-likelihood along a direction of variance ``data``, under a model's ``variance``."""
    return written(
        times(-HALF, log(times(2, sp.pi, variance))), times(-1, over(data, times(2, variance)))
    )


@derived("linear-vae-open")
def linear_vae_open() -> Derivation:
    """A direction whose variance exceeds sigma^2 is best modelled with w^2 = variance - sigma^2."""
    excess = sp.Symbol("a", positive=True)
    data = written(sigma**2, excess)
    model = written(sigma**2, w**2)
    return Derivation(
        "linear-vae-open",
        evidence(data, data),
        [
            Step(
                evidence(model, data),
                "with $w^2 = a$ the model has the data’s variance $\\sigma^2 + a$; any other $w$ "
                "does no better",
                relation=">=",
                gap=times(HALF, TangentGap(data / model)),
            )
        ],
        interpretations=ALGEBRA,
    )


@derived("linear-vae-collapse")
def linear_vae_collapse() -> Derivation:
    """A direction whose variance is at most sigma^2 is best left out: w = 0."""
    data = sp.Symbol("lambda", positive=True)
    lack = sp.Symbol("a", nonnegative=True)
    variance = written(data, lack)
    model = written(data, lack, w**2)
    return Derivation(
        "linear-vae-collapse",
        evidence(variance, data),
        [
            Step(
                evidence(model, data),
                "with $w = 0$ the model’s variance is $\\sigma^2 = \\lambda + a$, and $a \\geq 0$; "
                "any other $w$ does no better",
                relation=">=",
                gap=written(
                    times(HALF, TangentGap(variance / model)),
                    lack * w**2 / (2 * variance * model),
                ),
            )
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
