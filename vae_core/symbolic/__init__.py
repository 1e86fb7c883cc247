r"""Derivations that prove themselves: the formula on a page and the formula checked are one object.

A chapter shows a derivation of the book by its name::

    from vae_core import symbolic

    symbolic.derivation("elbo-from-kl")            # as the last line of a cell

The page gets the aligned equations, lettered (a), (b), ..., under the label ``elbo-from-kl`` (cite
them as ``{eq}`elbo-from-kl```), and a table that says of each line why it holds and how it was
checked. Showing verifies first: a derivation with a wrong line cannot be shown. A label stands on
one page only; a second page shows ``derivation(...).labelled("other-name")``, or
``labelled(None)``.
``report = d.verify()`` gives the verdicts, ``d.check()`` raises ``DerivationError``, ``d.right`` is
the result, ``latex(d.right)`` its LaTeX, ``DERIVATIONS`` lists all names.

Making one::

    import sympy as sp
    from vae_core.symbolic import (
        KL, Density, Derivation, Expectation, Step, bayes_rule, log, written,
    )

    X, z = sp.symbols("X z", real=True)
    Q, prior = Density("Q", z, given=X), Density("P", z)
    posterior, likelihood = Density("P", z, given=X), Density("P", X, given=z)
    Derivation(
        "my-bound",
        KL(Q, posterior),
        (
            Step(Expectation(written(log(Q), -log(posterior)), z, Q), "definition"),
            Step(
                written(KL(Q, prior), -Expectation(log(likelihood), z, Q), log(Density("P", X))),
                "Bayes’ rule for $P(z \\mid X)$",
            ),
        ),
        given=(bayes_rule(X, z),),
    )

``written``, ``times``, ``over`` and ``minus`` keep sums, products and fractions as they stand.
A line with relation ``">="`` names its ``gap``: the line before minus this line, an expression
known to be non-negative (a divergence, a square, ``TangentGap``). ``Step(..., left=...)`` begins a
new equation with another left side.

What a line is compared under, ``interpretations=``:

- ``any_distributions()``, ``discrete(2)``, ``discrete(3)``, ``linear_gaussian()``: used if none is
  named; for P(X), P(z), P(X|z), P(z|X), P(X, z) and any Q. ``condition=X, observed=Y`` gives a
  conditional model, with X behind the bars; P(z) is another density than P(z|X) there.
- ``integration()``: explicit scalar Gaussians ``Normal(z, mu, sigma**2)``, integrated by SymPy;
  ``algebra()``: nothing but functions of numbers.
- ``matrices(2)``, ``matrices(3)``: vectors and full covariances, in symbols;
  ``any_k()``: the same for any dimension, by rules of trace and moments.
- ``Interpretation(name, verdict, function)``: your own, any function from expression to expression.

A reader checks a derivation of their own, typed in plain notation (``NOTATION`` lists it)::

    symbolic.workbench(
        "log P(X)",
        (
            "= E[log(P(X, z) / P(z|X))]   # Bayes",
            ">= E[log(P(X, z) / Q(z|X))] gap KL(Q(z|X) || P(z|X))",
        ),
        goal="E[log P(X|z)] - KL(Q(z|X) || P(z))",
    )

``to_torch(expression, symbols)`` makes a derived formula a function of tensors, to be compared with
the code that claims to compute it.

A line that SymPy cannot reduce is compared at random points with 50 digits, and then says so: its
verdict is "numeric only". A wrong line is named, with values at which its two sides differ.
"""

from __future__ import annotations

from vae_core.symbolic._derivation import Derivation, DerivationError, Line, Report, Step
from vae_core.symbolic._interpretations import (
    Interpretation,
    algebra,
    any_distributions,
    discrete,
    integration,
    linear_gaussian,
)
from vae_core.symbolic._latex import latex
from vae_core.symbolic._matrices import Component, any_k, matrices, standard_normal, vector
from vae_core.symbolic._nodes import (
    KL,
    Density,
    Expectation,
    IntegralOver,
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
from vae_core.symbolic._parse import NOTATION, NotationError, parse
from vae_core.symbolic._rules import Rule, bayes_rule, marginal_rule, product_rule
from vae_core.symbolic._torch import to_torch
from vae_core.symbolic._workbench import Workbench, workbench
from vae_core.symbolic.library import DERIVATIONS, derivation

__all__ = [
    "DERIVATIONS",
    "KL",
    "NOTATION",
    "Component",
    "Density",
    "Derivation",
    "DerivationError",
    "Expectation",
    "IntegralOver",
    "Interpretation",
    "Line",
    "Named",
    "Normal",
    "NotationError",
    "QuadraticForm",
    "Report",
    "Rule",
    "Step",
    "TangentGap",
    "Workbench",
    "algebra",
    "any_distributions",
    "any_k",
    "bayes_rule",
    "derivation",
    "discrete",
    "integral",
    "integration",
    "latex",
    "linear_gaussian",
    "log",
    "marginal_rule",
    "matrices",
    "minus",
    "over",
    "parse",
    "product_rule",
    "standard_normal",
    "times",
    "to_torch",
    "vector",
    "workbench",
    "written",
]
