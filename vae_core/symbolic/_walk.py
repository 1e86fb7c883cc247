"""Reading an expression of the book's notation: the recursion that every interpretation shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes

__all__ = ["Walker", "gaussian_moment", "integrate_over", "log_of_value", "normal_mean"]

Env = Mapping[Any, Any]


@cache
def gaussian_moment(n: int) -> sp.Expr:
    """E[u^n] for u ~ N(0, 1), integrated by SymPy."""
    u = sp.Symbol("u", real=True)
    density = sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)
    return sp.integrate(u**n * density, (u, -sp.oo, sp.oo))


def normal_mean(f: sp.Expr, z: sp.Symbol, mean: sp.Expr, variance: sp.Expr) -> sp.Expr:
    """E[f(z)] for z ~ N(mean, variance).

    With z = mean + sqrt(variance) u, a polynomial needs SymPy's integrals of u^n only; an
    exponential of a quadratic is folded into the density; anything else is integrated as it stands.
    """
    u = sp.Symbol("u", real=True)
    substituted = sp.expand(f.subs(z, mean + sp.sqrt(variance) * u))
    total = sp.S.Zero
    for term in sp.Add.make_args(substituted):
        if term.is_polynomial(u):
            poly = sp.Poly(term, u)
            total += sum(c * gaussian_moment(n) for (n,), c in poly.terms())
        else:
            density = sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)
            total += integrate_over(term * density, u)
    return total


def integrate_over(f: sp.Expr, z: sp.Symbol) -> sp.Expr:
    """The integral of ``f`` over the real line.

    Each term that is a polynomial times the exponential of a concave quadratic in ``z`` is brought
    to the moments of N(0, 1) by completing the square; anything else goes to ``sympy.integrate``.
    """
    total = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(f, power_exp=False)):
        front, exponent = sp.S.One, sp.S.Zero
        for factor in sp.Mul.make_args(term):
            if isinstance(factor, sp.exp):
                exponent += factor.args[0]
            elif factor.is_Pow and isinstance(factor.base, sp.exp):
                exponent += factor.base.args[0] * factor.exp
            else:
                front *= factor
        exponent = sp.expand(exponent)
        if not (front.is_polynomial(z) and exponent.is_polynomial(z)):
            total += sp.integrate(term, (z, -sp.oo, sp.oo))
            continue
        quadratic = sp.Poly(exponent, z)
        a, b, c = (quadratic.coeff_monomial(z**n) for n in (2, 1, 0))
        a = sp.factor(a)
        if quadratic.degree() != 2 or not (-a).is_positive:
            total += sp.integrate(term, (z, -sp.oo, sp.oo))
            continue
        variance = -1 / (2 * a)
        mean = b * variance
        scale = sp.sqrt(2 * sp.pi * variance) * sp.exp(sp.factor(c - b**2 / (4 * a)))
        total += scale * normal_mean(front, z, mean, variance)
    return total


@cache
def log_of_value(value: sp.Expr) -> sp.Expr:
    """The log of a positive value, split into logs of its factors where their signs are known."""
    value = sp.factor(sp.together(value))
    total, rest = sp.S.Zero, sp.S.One
    for factor in sp.Mul.make_args(value):
        base, power = factor.as_base_exp()
        if isinstance(factor, sp.exp):
            total += sp.expand(factor.args[0])
        elif factor.is_Rational:
            total += sp.expand_log(sp.log(factor), factor=True)
        elif base.is_positive:
            total += power * sp.log(base)
        elif power.is_even and base.is_real:
            total += power * sp.log(sp.Abs(base))
        else:
            rest *= factor
    return total if rest == 1 else total + sp.log(rest)


def is_positive(e: sp.Expr) -> bool:
    """Whether ``e`` is known to be positive; a determinant here is always a covariance's."""
    if e.is_positive or isinstance(e, (sp.Determinant, sp.exp)):
        return True
    if e.is_Mul:
        return all(map(is_positive, e.args))
    return bool(e.is_Pow and is_positive(e.base) and e.exp.is_real)


class Walker:
    """Rewrites an expression bottom-up; subclasses say what densities and expectations become.

    ``env`` holds what bound variables stand for while their expectation is worked out.
    """

    def __call__(self, expression: Any) -> sp.Expr:
        return self.walk(sp.sympify(expression), {})

    def walk(self, e: Any, env: Env) -> Any:
        if isinstance(e, nodes._Defined):
            return self.walk(e.definition(), env)
        if isinstance(e, nodes.Expectation):
            return self.expectation(e.f, e.z, e.q, env)
        if isinstance(e, nodes.IntegralOver):
            return self.integral(e.f, e.z, env)
        if isinstance(e, sp.Integral) and len(e.limits) == 1 and len(e.limits[0]) == 1:
            return self.integral(e.function, e.limits[0][0], env)
        if isinstance(e, (nodes.Density, nodes.Normal)):
            return self.density(e, env)
        if isinstance(e, nodes.QuadraticForm):
            return self.quadratic(e, env)
        if isinstance(e, (sp.Determinant, sp.Trace)):
            return self.matrix_number(e, env)
        if isinstance(e, sp.log):
            return self.log_of(e.args[0], env)
        if isinstance(e, sp.Derivative):
            inner = self.walk(e.expr, env)
            for variable, count in e.variable_count:
                inner = sp.diff(inner, variable, count)
            return inner
        if isinstance(e, sp.Limit):
            inner, variable, point, side = e.args
            return sp.limit(self.walk(inner, env), variable, point, str(side))
        if isinstance(e, sp.Subs):
            inner = self.walk(e.expr, env)
            return inner.subs(dict(zip(e.variables, e.point, strict=True)))
        if e in env:
            return env[e]
        if not e.args or isinstance(e, sp.MatrixExpr):
            return self.leaf(e, env)
        return e.func(*[self.walk(a, env) for a in e.args])

    def log_of(self, a: sp.Expr, env: Env) -> sp.Expr:
        """The log of ``a``, as logs of its factors where they are positive."""
        if a.is_Mul and all(map(is_positive, a.args)):
            return sp.Add(*[self.log_of(factor, env) for factor in a.args])
        if isinstance(a, sp.exp):
            return sp.expand(self.walk(a.args[0], env))
        if a.is_Pow and is_positive(a.base) and a.exp.is_real:
            return sp.expand(self.walk(a.exp, env) * self.log_of(a.base, env))
        if isinstance(a, (nodes.Density, nodes.Normal)):
            return self.log_density(a, env)
        return self.log_value(self.walk(a, env))

    # --- what an interpretation may decide ------------------------------------------------

    def leaf(self, e: Any, env: Env) -> Any:
        return e

    def log_value(self, value: sp.Expr) -> sp.Expr:
        return log_of_value(value)

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        return self.log_value(self.density(d, env))

    def density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Normal):
            z, mean, variance = (self.walk(a, env) for a in d.args)
            return sp.exp(-((z - mean) ** 2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)
        raise ValueError(f"{d} has no meaning here: an explicit density is needed")

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        raise NotImplementedError

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        raise NotImplementedError

    def quadratic(self, e: Any, env: Env) -> sp.Expr:
        raise ValueError("a quadratic form of vectors needs matrices(k) or any_k()")

    def matrix_number(self, e: Any, env: Env) -> sp.Expr:
        raise ValueError("a trace or a determinant needs matrices(k) or any_k()")
