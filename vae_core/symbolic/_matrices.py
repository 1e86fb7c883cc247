"""Vectors and matrices: written out for k = 2, 3, or by the rules of trace and moments for any k.

``matrices(k)`` gives every vector its k components and every covariance its Cholesky factor,
Σ = LLᵀ with a positive diagonal. Each positive definite Σ is of that form, so nothing is lost.
``any_k()`` leaves k alone and uses

    E[(z - a)ᵀ A (z - a)] = tr(A S) + (m - a)ᵀ A (m - a)   for z ~ N(m, S),

with linearity of E and of the trace; ``library.gaussian`` proves that rule for k = 1, 2, 3.
"""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._interpretations import Interpretation
from vae_core.symbolic._walk import Env, Walker, gaussian_moment

__all__ = ["Component", "any_k", "matrices", "standard_normal", "vector"]


class Component(nodes._Node):
    """The j-th component of a vector, counted from 1."""

    def __new__(cls, v: Any, j: Any) -> Component:
        return super().__new__(cls, v, sp.sympify(j))

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].name.startswith("sigma") else None


def vector(name: str, k: Any) -> sp.MatrixSymbol:
    """A column of ``k`` numbers; ``sigma``… is a column of positive ones."""
    return sp.MatrixSymbol(name, k, 1)


def standard_normal(z: Any) -> nodes.Normal:
    """N(z; 0, I), or N(z; 0, 1) for a scalar."""
    if isinstance(z, sp.MatrixExpr):
        return nodes.Normal(z, sp.ZeroMatrix(*z.shape), sp.Identity(z.shape[0]))
    return nodes.Normal(z, 0, 1)


class _Explicit(Walker):
    """Everything written out in components, for one k."""

    def __init__(self, size: int, k: sp.Symbol) -> None:
        self.size, self.k = size, k
        self.factors: dict[str, sp.Matrix] = {}

    # --- matrices ---------------------------------------------------------------------------

    def components(self, name: str) -> sp.Matrix:
        signs = {"positive": True} if name.startswith("sigma") else {"real": True}
        return sp.Matrix([sp.Symbol(f"{name}_{i + 1}", **signs) for i in range(self.size)])

    def factor(self, covariance: Any) -> sp.Matrix:
        """L with L Lᵀ = covariance."""
        if isinstance(covariance, sp.Identity):
            return sp.eye(self.size)
        if isinstance(covariance, sp.MatMul) and isinstance(covariance.args[-1], sp.Identity):
            scale = sp.Mul(*covariance.args[:-1])
            return sp.sqrt(self.walk(scale, {})) * sp.eye(self.size)
        if isinstance(covariance, sp.DiagMatrix):
            return sp.diag(*[sp.sqrt(c) for c in self.matrix(covariance.args[0], {})])
        if isinstance(covariance, sp.MatrixSymbol):
            if covariance.name not in self.factors:
                tag = covariance.name.replace("Sigma", "l")
                self.factors[covariance.name] = sp.Matrix(
                    self.size,
                    self.size,
                    lambda i, j: (
                        0
                        if j > i
                        else sp.Symbol(
                            f"{tag}_{i + 1}{j + 1}", real=True, positive=True if i == j else None
                        )
                    ),
                )
            return self.factors[covariance.name]
        raise ValueError(f"{covariance} is not a covariance this interpretation knows")

    def is_covariance(self, e: Any) -> bool:
        return isinstance(e, sp.MatrixSymbol) and e.name.startswith("Sigma")

    def matrix(self, e: Any, env: Env) -> sp.Matrix:
        """A matrix expression, written out."""
        if e in env:
            return env[e]
        if isinstance(e, sp.Identity):
            return sp.eye(self.size)
        if isinstance(e, sp.ZeroMatrix):
            return sp.zeros(*(self.size if d == self.k else int(d) for d in e.shape))
        if self.is_covariance(e):
            return self.factor(e) * self.factor(e).T
        if isinstance(e, sp.MatrixSymbol):
            if e.shape[1] == 1:
                return self.components(e.name)
            return sp.Matrix(
                self.size,
                self.size,
                lambda i, j: sp.Symbol(f"{e.name}_{min(i, j) + 1}{max(i, j) + 1}", real=True),
            )
        if isinstance(e, sp.DiagMatrix):
            return sp.diag(*self.matrix(e.args[0], env))
        if isinstance(e, sp.HadamardPower):
            return self.matrix(e.base, env).applyfunc(lambda c: c**e.exp)
        if isinstance(e, sp.Inverse):
            inside = e.args[0]
            if self.is_covariance(inside) or isinstance(inside, sp.DiagMatrix):
                root = self.factor(inside).inv()
                return root.T * root
            return self.matrix(inside, env).inv()
        if isinstance(e, sp.Transpose):
            return self.matrix(e.arg, env).T
        if isinstance(e, sp.MatAdd):
            first, *rest = (self.matrix(a, env) for a in e.args)
            return sum(rest, start=first)
        if isinstance(e, sp.MatMul):
            product: Any = sp.S.One
            for a in e.args:
                product = product * (
                    self.matrix(a, env) if isinstance(a, sp.MatrixExpr) else self.walk(a, env)
                )
            return product
        raise ValueError(f"{e} cannot be written out in components")

    # --- numbers ----------------------------------------------------------------------------

    def walk(self, e: Any, env: Env) -> Any:
        if isinstance(e, Component):
            return self.matrix(e.args[0], env)[int(self.walk(e.args[1], env)) - 1]
        if isinstance(e, (sp.Sum, sp.Product)):
            ((j, low, high),) = e.limits
            low, high = int(self.walk(low, env)), int(self.walk(high, env))
            values = [
                self.walk(e.function, {**env, j: sp.Integer(i)}) for i in range(low, high + 1)
            ]
            return sp.Add(*values) if isinstance(e, sp.Sum) else sp.Mul(*values)
        return super().walk(e, env)

    def leaf(self, e: Any, env: Env) -> Any:
        return sp.Integer(self.size) if e == self.k else e

    def quadratic(self, e: Any, env: Env) -> sp.Expr:
        v = self.matrix(e.v, env)
        return sp.expand((v.T * self.matrix(e.A, env) * v)[0, 0])

    def matrix_number(self, e: Any, env: Env) -> sp.Expr:
        inside = e.args[0]
        if isinstance(e, sp.Determinant) and self.is_covariance(inside):
            return sp.Mul(*[self.factor(inside)[i, i] ** 2 for i in range(self.size)])
        value = self.matrix(inside, env)
        return value.det() if isinstance(e, sp.Determinant) else sp.expand(value.trace())

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Density):
            return super().log_density(d, env)
        if not isinstance(d.z, sp.MatrixExpr):
            return self.log_of(d.explicit(), env)
        z, mean = self.matrix(d.z, env), self.matrix(d.mean, env)
        root = self.factor(d.covariance)
        u = root.inv() * (z - mean)
        scale = sp.Add(*[self.log_value(root[i, i]) for i in range(self.size)])
        constant = sp.Rational(self.size, 2) * (sp.log(2) + sp.log(sp.pi))
        return sp.expand(-(u.T * u)[0, 0] / 2) - scale - constant

    def density(self, d: Any, env: Env) -> sp.Expr:
        return (
            sp.exp(self.log_density(d, env))
            if isinstance(d, nodes.Normal)
            else (super().density(d, env))
        )

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        if not isinstance(q, nodes.Normal) or not isinstance(z, sp.MatrixExpr):
            raise ValueError(f"matrices(k) needs a Gaussian vector, not {q}")
        u = [sp.Symbol(f"u_{i + 1}", real=True) for i in range(self.size)]
        here = self.matrix(q.mean, env) + self.factor(q.covariance) * sp.Matrix(u)
        value = sp.expand(self.walk(f, {**env, z: here}))
        total = sp.S.Zero
        for powers, c in sp.Poly(value, *u).terms() if value.has(*u) else [((0,), value)]:
            total += c * sp.Mul(*map(gaussian_moment, powers))
        return total

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        weight, rest = _weight(f, z)
        return self.expectation(rest, z, weight, env)


def _weight(f: sp.Expr, z: Any) -> tuple[nodes.Normal, sp.Expr]:
    """Split an integrand into a Gaussian density of ``z`` and what it weights."""
    factors = list(sp.Mul.make_args(f))
    for factor in factors:
        if isinstance(factor, nodes.Normal) and factor.z == z:
            factors.remove(factor)
            return factor, sp.Mul(*factors)
    raise ValueError(f"no Gaussian density of {z} to integrate against")


def matrices(size: int, k: sp.Symbol | None = None) -> Interpretation:
    """Vectors of ``size`` components and full symbolic covariances; every moment integrated.

    Matrix symbols called Sigma… are covariances, columns called sigma… are positive.
    """
    if size < 1:
        raise ValueError(f"a vector has at least 1 component, not {size}")
    dimension = k if k is not None else sp.Symbol("k", integer=True, positive=True)
    verdict = f"explicit matrices k={size}"
    return Interpretation(f"matrices k={size}", verdict, _Explicit(size, dimension))


class _AnyK(Walker):
    """Rules of trace, determinant and second moments, whatever k is."""

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        return self.log_of(d.explicit(), env)

    def density(self, d: Any, env: Env) -> sp.Expr:
        raise ValueError("a density stands here neither under a log nor as a weight")

    def matrix_number(self, e: Any, env: Env) -> sp.Expr:
        inside = e.args[0]
        if isinstance(e, sp.Determinant):
            scale, unit = inside.as_coeff_mmul() if isinstance(inside, sp.MatMul) else (1, inside)
            if isinstance(unit.doit(), sp.Identity):
                return self.walk(scale, env) ** unit.shape[0]
            return sp.Symbol(f"|{inside}|", positive=True)
        return self._trace(inside.doit())

    @staticmethod
    def _trace(inside: Any) -> sp.Expr:
        return sp.Add(*[sp.trace(sp.expand(a)) for a in sp.MatAdd.make_args(inside)])

    def quadratic(self, e: Any, env: Env) -> sp.Expr:
        """vᵀAv with v = Σ cᵢ sᵢ multiplied out, so that equal forms look equal."""
        pairs = itertools.product(_terms(e.v), repeat=2)
        ((scale, A),) = _terms(e.A)
        return sp.Add(*[scale * a * b * _Pairing(s, A, t) for (a, s), (b, t) in pairs])

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        if not isinstance(q, nodes.Normal):
            raise ValueError(f"any_k() needs a Gaussian vector, not {q}")
        total = sp.S.Zero
        for term in sp.Add.make_args(sp.expand(self.walk(f, env))):
            touching = [a for a in sp.Mul.make_args(term) if a.has(z)]
            if not touching:
                total += term
                continue
            if len(touching) > 1 or not isinstance(touching[0], _Pairing):
                raise ValueError("only linear and quadratic forms have a rule for any k")
            s, A, t = touching[0].args
            means = [q.mean if v == z else v for v in (s, t)]
            moved = (
                sp.S.Zero
                if any(isinstance(m, sp.ZeroMatrix) for m in means)
                else sp.Add(
                    *[
                        a * b * _Pairing(left, A, right)
                        for (a, left), (b, right) in itertools.product(*map(_terms, means))
                    ]
                )
            )
            if s == t == z:
                moved += self._trace((A * q.covariance).doit())
            total += term / touching[0] * moved
        return sp.expand(total)

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        weight, rest = _weight(f, z)
        return self.expectation(rest, z, weight, env)


class _Pairing(nodes._Node):
    """sᵀ A t for symmetric A; the same for (t, s)."""

    def __new__(cls, s: Any, A: Any, t: Any) -> _Pairing:
        first, second = sorted((s, t), key=str)
        return super().__new__(cls, first, A, second)


def _terms(v: Any) -> list[tuple[Any, Any]]:
    """Coefficients and matrices of a sum."""
    out = []
    for term in sp.MatAdd.make_args(v.doit()):
        coefficient, matrix = term.as_coeff_mmul() if isinstance(term, sp.MatMul) else (1, term)
        out.append((sp.sympify(coefficient), matrix))
    return out


def any_k() -> Interpretation:
    """Gaussian vectors of any dimension, by the rules this module states."""
    return Interpretation("any k", "proved for any k", _AnyK(), conclusive=False)
