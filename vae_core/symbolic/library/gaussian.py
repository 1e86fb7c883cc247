"""The divergence between Gaussians in closed form (tutorial 4.2.1), line by line."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._matrices import any_k, matrices, standard_normal, vector
from vae_core.symbolic._nodes import (
    KL,
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
MATRICES = (any_k(), matrices(2), matrices(3))


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
