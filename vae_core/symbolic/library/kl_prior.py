"""The KL term of one latent dimension: never negative; and what a wrong one is instead."""

from __future__ import annotations

import sympy as sp

from vae_core.symbolic._derivation import Derivation, Step
from vae_core.symbolic._interpretations import integration
from vae_core.symbolic._nodes import KL, Expectation, Normal, TangentGap, log, times, written
from vae_core.symbolic.library import derived

z, mu = sp.symbols("z mu", real=True)
sigma = sp.Symbol("sigma", positive=True)
HALF = sp.Rational(1, 2)
Q = Normal(z, mu, sigma**2)


@derived("kl-gaussian-nonnegative")
def kl_gaussian_nonnegative() -> Derivation:
    """The price of the width is the gap between log and its tangent; a square is left."""
    return Derivation(
        "kl-gaussian-nonnegative",
        KL(Q, Normal(z, 0, 1)),
        [
            Step(
                written(times(HALF, mu**2), times(HALF, written(sigma**2, -1, -log(sigma**2)))),
                "the closed form, in its two parts",
            ),
            Step(
                times(HALF, mu**2),
                "$r - 1 - \\log r \\ge 0$ at $r = \\sigma^2$",
                ">=",
                gap=HALF * TangentGap(sigma**2),
            ),
        ],
        interpretations=(integration(),),
    )


@derived("kl-printed")
def kl_printed() -> Derivation:
    """What the tutorial's code computes: the divergence from N(0, 1/2), and a constant."""
    narrow = Normal(z, 0, HALF)
    return Derivation(
        "kl-printed",
        KL(Q, narrow),
        [
            Step(Expectation(written(log(Q), -log(narrow)), z, Q), "definition of the divergence"),
            Step(
                written(Expectation(z**2, z, Q), -HALF, -log(sigma), -HALF * log(2)),
                "the densities written out; $E[(z - \\mu)^2] = \\sigma^2$",
            ),
            Step(
                written(sigma**2, mu**2, -log(sigma), -HALF, -HALF * log(2)),
                "$E[z^2] = \\sigma^2 + \\mu^2$",
            ),
        ],
        interpretations=(integration(),),
    )
