"""The interpretation that holds for all P and Q: a canonical form by the rules of probability.

Used: the definition of the divergence; linearity of the integral; that a density integrates to 1;
log of products, quotients and powers of positive numbers; and the rules a derivation names in
``given``, such as Bayes' rule. Two expressions with one canonical form are equal for all densities
for which the terms are finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._walk import Env, Walker

__all__ = ["Canonical", "Rule", "bayes_rule", "marginal_rule", "product_rule"]


@dataclass(frozen=True)
class Rule:
    """``left = right``, for a reason with a name; in a canonical form ``left`` becomes ``right``.

    ``left`` is a density, or the integral of a product of densities.
    """

    left: sp.Expr
    right: sp.Expr
    name: str


def product_rule(X: Any, z: Any, given: Any = ()) -> Rule:
    """P(X, z) = P(X | z) P(z), everything given ``given`` besides."""
    more = tuple(nodes._symbols(given))
    P = nodes.Density
    right = nodes.times(P("P", X, (z, *more)), P("P", z, more))
    return Rule(P("P", (X, z), more), right, "product rule")


def bayes_rule(X: Any, z: Any, given: Any = ()) -> Rule:
    """P(z | X) = P(X | z) P(z) / P(X), everything given ``given`` besides."""
    more = tuple(nodes._symbols(given))
    P = nodes.Density
    right = nodes.over(nodes.times(P("P", X, (z, *more)), P("P", z, more)), P("P", X, more))
    return Rule(P("P", z, (X, *more)), right, "Bayes’ rule")


def marginal_rule(X: Any, z: Any, given: Any = ()) -> Rule:
    """∫ P(X | z) P(z) dz = P(X), everything given ``given`` besides."""
    more = tuple(nodes._symbols(given))
    P = nodes.Density
    joint = P("P", X, (z, *more)) * P("P", z, more)
    return Rule(nodes.integral(joint, z), P("P", X, more), "marginalisation")


def _renamed(inside: sp.Expr, z: Any) -> sp.Expr:
    """The integral over ``z`` with a standard name for it, so that E[f(z)] and E[f(y)] are one."""
    level = sum(1 for s in inside.atoms(sp.Symbol) if s.name.startswith("bound"))
    bound = sp.Symbol(f"bound{level + 1}", real=True)
    return nodes.integral(inside.xreplace({z: bound}), bound)


class Canonical(Walker):
    """The canonical form for all densities, given ``rules``."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.densities = {r.left: r.right for r in rules if isinstance(r.left, nodes.Density)}
        self.integrals = {
            _renamed(r.left.f, r.left.z): r.right
            for r in rules
            if isinstance(r.left, nodes.IntegralOver)
        }

    def __call__(self, expression: Any) -> sp.Expr:
        return sp.expand(super().__call__(expression))

    def density(self, d: Any, env: Env) -> sp.Expr:
        return self.walk(self.densities[d], env) if d in self.densities else d

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        return self.log_of(self.densities[d], env) if d in self.densities else sp.log(d)

    def log_value(self, value: sp.Expr) -> sp.Expr:
        if value.is_Mul and all(f.is_positive for f in value.args):
            return sp.Add(*[self.log_value(f) for f in value.args])
        if value.is_Pow and value.base.is_positive and value.exp.is_real:
            return value.exp * self.log_value(value.base)
        return sp.log(value)

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        return self._integrate(sp.expand(self.walk(f, env)), z, self.walk(q, env))

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        return self._integrate(sp.expand(self.walk(f, env)), z, sp.S.One)

    def _integrate(self, f: sp.Expr, z: Any, weight: sp.Expr) -> sp.Expr:
        total = sp.S.Zero
        for term in sp.Add.make_args(f):
            outside, inside = sp.S.One, sp.S.One
            for factor in sp.Mul.make_args(term * weight):
                if z in factor.free_symbols:
                    inside *= factor
                else:
                    outside *= factor
            total += outside * self._known(inside, z)
        return total

    def _known(self, inside: sp.Expr, z: Any) -> sp.Expr:
        if isinstance(inside, nodes.Density) and inside.variables == (z,):
            return sp.S.One
        whole = _renamed(inside, z)
        return self.integrals.get(whole, whole)

    def matrix_number(self, e: Any, env: Env) -> sp.Expr:
        return e

    def quadratic(self, e: Any, env: Env) -> sp.Expr:
        return e
