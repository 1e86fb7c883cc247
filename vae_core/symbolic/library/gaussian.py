"""The divergence between Gaussians in closed form (tutorial 4.2.1), line by line."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import integration
from vae_core.symbolic._matrices import Component, any_k, matrices, standard_normal, vector
from vae_core.symbolic._nodes import (
    KL,
    Expectation,
    Normal,
    QuadraticForm,
    integral,
    log,
    minus,
    over,
    times,
    written,
)
from vae_core.symbolic.library import derived

k = sp.Symbol("k", integer=True, positive=True)
z, mu = vector("z", k), vector("mu", k)
Sigma = sp.MatrixSymbol("Sigma", k, k)
HALF = sp.Rational(1, 2)
WRITTEN_OUT = (matrices(2), matrices(3))
MATRICES = (any_k(), *WRITTEN_OUT)


@derived("kl-gaussian")
def kl_gaussian() -> Derivation:
    """Tutorial 4.2.1: the divergence of N(mu, Sigma) from N(0, I), full Sigma."""
    q, p = Normal(z, mu, Sigma), standard_normal(z)
    front_q, bell_q = q.explicit().args
    front_p, bell_p = p.explicit().args
    log_det = log(sp.Determinant(Sigma))
    inner = QuadraticForm(sp.MatAdd(z, -mu), sp.Inverse(Sigma))
    square = QuadraticForm(z)
    moments = written(sp.Trace(Sigma), QuadraticForm(mu))
    return Derivation(
        "kl-gaussian",
        KL(q, p),
        [
            Step(integral(times(q, log(over(q, p))), z), "definition of the divergence"),
            Step(
                integral(times(q, log(over(q.explicit(), p.explicit()))), z),
                "the two densities written out",
            ),
            Step(
                integral(
                    times(
                        q,
                        written(
                            log(front_q),
                            log(bell_q, evaluate=False),
                            minus(log(front_p)),
                            minus(log(bell_p, evaluate=False)),
                        ),
                    ),
                    z,
                ),
                "the log of a product and of a quotient",
            ),
            Step(
                integral(
                    times(q, written(-HALF * log_det, -HALF * inner, HALF * square)),
                    z,
                ),
                "log and exp undo each other; $\\tfrac{k}{2}\\log 2\\pi$ cancels",
            ),
            Step(
                integral(times(q, written(-HALF * log_det, HALF * square, -HALF * inner)), z),
                "the terms reordered",
            ),
            Step(
                written(
                    times(-HALF, log_det, integral(q, z)),
                    times(-HALF, integral(times(q, inner), z)),
                    times(HALF, integral(times(q, square), z)),
                ),
                "the integral of a sum is the sum of the integrals",
            ),
            Step(
                written(-HALF * log_det, times(HALF, moments), -k / 2),
                "$\\int q = 1$, $E[z^\\top z] = \\operatorname{tr}\\Sigma + \\mu^\\top\\mu$, "
                "$E[(z-\\mu)^\\top\\Sigma^{-1}(z-\\mu)] = k$",
            ),
            Step(
                times(HALF, written(sp.Trace(Sigma), QuadraticForm(mu), -k, -log_det)),
                "terms collected",
            ),
        ],
        interpretations=MATRICES,
    )


# --- the rules of moments that `any_k` uses ------------------------------------------------


@derived("gaussian-moment")
def gaussian_moment() -> Derivation:
    """E[(z - a)ᵀ A (z - a)] for any symmetric A: the rule that stands behind ``any_k``."""
    A, a = sp.MatrixSymbol("A", k, k), vector("a", k)
    q = Normal(z, mu, Sigma)
    around = sp.MatAdd(mu, -a)
    return Derivation(
        "gaussian-moment",
        Expectation(QuadraticForm(sp.MatAdd(z, -a), A), z, q),
        [
            Step(
                written(
                    Expectation(QuadraticForm(sp.MatAdd(z, -mu), A), z, q), QuadraticForm(around, A)
                ),
                "$z - a = (z - \\mu) + (\\mu - a)$; the cross terms have mean 0",
            ),
            Step(
                written(sp.Trace(A * Sigma), QuadraticForm(around, A)),
                "$E[(z - \\mu)(z - \\mu)^\\top] = \\Sigma$, and "
                "$v^\\top A v = \\operatorname{tr}(A v v^\\top)$",
            ),
        ],
        interpretations=(matrices(1), *WRITTEN_OUT),
    )


@derived("gaussian-second-moment")
def gaussian_second_moment() -> Derivation:
    """E[zᵀz] = tr Σ + μᵀμ, as the tutorial uses it."""
    return Derivation(
        "gaussian-second-moment",
        Expectation(QuadraticForm(z), z, Normal(z, mu, Sigma)),
        [
            Step(
                written(sp.Trace(Sigma), QuadraticForm(mu)),
                "the moment rule with $A = I$ and $a = 0$",
            )
        ],
        interpretations=(any_k(), matrices(1), *WRITTEN_OUT),
    )


@derived("gaussian-whitened-moment")
def gaussian_whitened_moment() -> Derivation:
    """E[(z - μ)ᵀ Σ⁻¹ (z - μ)] = k, as the tutorial uses it."""
    inverse = sp.Inverse(Sigma)
    return Derivation(
        "gaussian-whitened-moment",
        Expectation(QuadraticForm(sp.MatAdd(z, -mu), inverse), z, Normal(z, mu, Sigma)),
        [
            Step(
                sp.Trace(sp.MatMul(inverse, Sigma)),
                "the moment rule with $A = \\Sigma^{-1}$ and $a = \\mu$",
            ),
            Step(sp.Trace(sp.Identity(k)), "$\\Sigma^{-1}\\Sigma = I$"),
            Step(k, "the identity has $k$ ones on its diagonal"),
        ],
        interpretations=(any_k(), matrices(1), *WRITTEN_OUT),
    )


# --- one dimension, diagonal, any two ------------------------------------------------------

y, m = sp.symbols("z mu", real=True)
s = sp.Symbol("sigma", positive=True)


@derived("kl-gaussian-1d")
def kl_gaussian_1d() -> Derivation:
    """One dimension, every integral worked out by SymPy."""
    q, p = Normal(y, m, s**2), Normal(y, 0, 1)
    centred = times(-HALF, over((y - m) ** 2, s**2))
    return Derivation(
        "kl-gaussian-1d",
        KL(q, p),
        [
            Step(integral(times(q, log(over(q, p))), y), "definition of the divergence"),
            Step(
                integral(times(q, written(-log(s), centred, HALF * y**2)), y),
                "log and exp undo each other; $\\tfrac12\\log 2\\pi$ cancels",
            ),
            Step(
                written(
                    -log(s),
                    times(-1, over(1, 2 * s**2), Expectation((y - m) ** 2, y, q)),
                    times(HALF, Expectation(y**2, y, q)),
                ),
                "the integral of a sum; $\\int q\\, dz = 1$",
            ),
            Step(
                written(-log(s), -HALF, times(HALF, written(m**2, s**2))),
                "$E[(z - \\mu)^2] = \\sigma^2$ and $E[z^2] = \\mu^2 + \\sigma^2$",
            ),
            Step(times(HALF, written(s**2, m**2, -1, -log(s**2))), "terms collected"),
        ],
        interpretations=(integration(),),
    )


@derived("kl-gaussian-diagonal")
def kl_gaussian_diagonal() -> Derivation:
    """A diagonal covariance: the divergence is a sum over the latent dimensions."""
    sigma = vector("sigma", k)
    spread = sp.DiagMatrix(sp.HadamardPower(sigma, 2))
    j = sp.Symbol("j", integer=True, positive=True)
    m_j, s_j = Component(mu, j), Component(sigma, j)

    def total(term: sp.Expr) -> sp.Expr:
        return sp.Sum(term, (j, 1, k))

    return Derivation(
        "kl-gaussian-diagonal",
        KL(Normal(z, mu, spread), standard_normal(z)),
        [
            Step(
                times(
                    HALF,
                    written(sp.Trace(spread), QuadraticForm(mu), -k, -log(sp.Determinant(spread))),
                ),
                "the closed form, with $\\Sigma = \\operatorname{diag}(\\sigma^2)$",
            ),
            Step(
                times(
                    HALF,
                    written(total(s_j**2), total(m_j**2), -k, -log(sp.Product(s_j**2, (j, 1, k)))),
                ),
                "the trace of a diagonal matrix is a sum, its determinant a product",
            ),
            Step(
                times(HALF, total(written(s_j**2, m_j**2, -1, -log(s_j**2)))),
                "the log of a product is a sum of logs; $k$ is a sum of ones",
            ),
        ],
        interpretations=(matrices(1), *WRITTEN_OUT),
    )


@derived("kl-two-gaussians")
def kl_two_gaussians() -> Derivation:
    """Between any two Gaussians of k dimensions."""
    other, spread = vector("mu_1", k), sp.MatrixSymbol("Sigma_1", k, k)
    mine, mine_spread = vector("mu_0", k), sp.MatrixSymbol("Sigma_0", k, k)
    q, p = Normal(z, mine, mine_spread), Normal(z, other, spread)
    to_q = QuadraticForm(sp.MatAdd(z, -mine), sp.Inverse(mine_spread))
    to_p = QuadraticForm(sp.MatAdd(z, -other), sp.Inverse(spread))
    logs = written(log(sp.Determinant(spread)), -log(sp.Determinant(mine_spread)))
    apart = QuadraticForm(sp.MatAdd(other, -mine), sp.Inverse(spread))
    trace = sp.Trace(sp.MatMul(sp.Inverse(spread), mine_spread))
    return Derivation(
        "kl-two-gaussians",
        KL(q, p),
        [
            Step(
                times(HALF, Expectation(written(*logs.args, -to_q, to_p), z, q)),
                "the two log densities written out; $\\tfrac{k}{2}\\log 2\\pi$ cancels",
            ),
            Step(
                times(HALF, written(*logs.args, -Expectation(to_q, z, q), Expectation(to_p, z, q))),
                "the expectation is linear, and the determinants are constants",
            ),
            Step(
                times(HALF, written(*logs.args, -k, trace, apart)),
                "the moment rule, once around $\\mu_0$ and once around $\\mu_1$",
            ),
            Step(
                times(HALF, written(trace, apart, -k, *logs.args)),
                "terms reordered",
            ),
        ],
        interpretations=MATRICES,
    )
