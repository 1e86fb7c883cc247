"""The book's notation as SymPy expressions: densities, expectations, divergences, quadratic forms.

Every node is an ordinary SymPy expression: it can be added, multiplied, replaced.
What a node *means* is decided by an interpretation (``_interpretations.py``), not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp
from sympy.core.symbol import Str

__all__ = [
    "KL",
    "Density",
    "Expectation",
    "IntegralOver",
    "Named",
    "Normal",
    "QuadraticForm",
    "TangentGap",
    "integral",
    "log",
    "minus",
    "over",
    "times",
    "written",
]

log = sp.log


class _Node(sp.Expr):
    """A scalar of the book's notation: real, commuting, rewritten only when asked."""

    is_commutative = True

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_is_finite(self) -> bool:
        return True


def _symbols(given: Any) -> sp.Tuple:
    """One symbol or several, as a SymPy tuple."""
    if isinstance(given, Iterable) and not isinstance(given, sp.MatrixExpr):
        return sp.Tuple(*given)
    return sp.Tuple(given)


class Density(_Node):
    """A probability density (or mass) such as P(X), P(X, z), P(X | z), Q(z | X).

    name: ``"P"`` for the model, any other letter for another distribution, usually ``"Q"``.
    variables: the symbol, or the tuple of symbols, it is a density of.
    given: the symbols behind the bar.
    """

    def __new__(cls, name: Any, variables: Any, given: Any = ()) -> Density:
        letter = name if isinstance(name, Str) else Str(str(name))
        behind = _symbols(given)
        before = _symbols(variables)
        if not before:
            raise ValueError(f"a density is a density of something: {name}()")
        if set(before) & set(behind):
            raise ValueError(f"a symbol stands on both sides of the bar of {name}")
        return super().__new__(cls, letter, before, behind)

    @property
    def name(self) -> str:
        return self.args[0].name

    @property
    def variables(self) -> tuple[sp.Symbol, ...]:
        return tuple(self.args[1])

    @property
    def given(self) -> tuple[sp.Symbol, ...]:
        return tuple(self.args[2])

    def _eval_is_positive(self) -> bool:
        return True


class Normal(_Node):
    """The Gaussian density N(z; mean, covariance): of a scalar, or of a column of k numbers.

    For a scalar ``z`` the third argument is the variance; for a vector, the covariance matrix.
    """

    def __new__(cls, z: Any, mean: Any, covariance: Any) -> Normal:
        return super().__new__(cls, sp.sympify(z), sp.sympify(mean), sp.sympify(covariance))

    z = property(lambda self: self.args[0])
    mean = property(lambda self: self.args[1])
    covariance = property(lambda self: self.args[2])

    @property
    def variables(self) -> tuple[Any, ...]:
        return (self.args[0],)

    def _eval_is_positive(self) -> bool:
        return True

    def explicit(self) -> sp.Expr:
        """The density written out, as the tutorial prints it."""
        z, mean, covariance = self.args
        if not isinstance(z, sp.MatrixExpr):
            return times(
                over(1, sp.sqrt(2 * sp.pi * covariance)),
                sp.exp(-((z - mean) ** 2) / (2 * covariance), evaluate=False),
            )
        k = z.shape[0]
        unit = isinstance(covariance, sp.Identity)
        spread = sp.S.One if unit else sp.sqrt(sp.Determinant(covariance))
        centred = z if isinstance(mean, sp.ZeroMatrix) else sp.MatAdd(z, -mean)
        form = QuadraticForm(centred, None if unit else sp.Inverse(covariance))
        scale = over(
            1, times((2 * sp.pi) ** (k / 2), spread) if not unit else (2 * sp.pi) ** (k / 2)
        )
        return times(scale, sp.exp(times(sp.Rational(-1, 2), form), evaluate=False))


class Expectation(_Node):
    """E_{z ~ q}[f]: the mean of ``f`` over draws of ``z`` from the density ``q``."""

    def __new__(cls, f: Any, z: Any, q: Any) -> Expectation:
        if z not in getattr(q, "variables", ()):
            raise ValueError(f"{q} is not a density of {z}")
        return super().__new__(cls, sp.sympify(f), z, q)

    f = property(lambda self: self.args[0])
    z = property(lambda self: self.args[1])
    q = property(lambda self: self.args[2])

    @property
    def free_symbols(self) -> set[Any]:
        return (self.f.free_symbols | self.q.free_symbols) - {self.z}

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.f.is_nonnegative else None

    def _eval_is_positive(self) -> bool | None:
        return True if self.f.is_positive else None


class IntegralOver(_Node):
    """The integral of ``f`` over all values of ``z``, a symbol or a vector."""

    def __new__(cls, f: Any, z: Any) -> IntegralOver:
        return super().__new__(cls, sp.sympify(f), z)

    f = property(lambda self: self.args[0])
    z = property(lambda self: self.args[1])

    @property
    def free_symbols(self) -> set[Any]:
        return self.f.free_symbols - {self.z}

    def _eval_is_positive(self) -> bool | None:
        return True if self.f.is_positive else None


class _Defined(_Node):
    """A node that stands for a longer expression."""

    def definition(self) -> sp.Expr:
        raise NotImplementedError


class KL(_Defined):
    """The divergence D[q || p] = E_{z ~ q}[log q - log p], which is never negative."""

    def __new__(cls, q: Any, p: Any, z: Any = None) -> KL:
        z = z if z is not None else q.variables[0]
        if z not in getattr(q, "variables", ()) or z not in getattr(p, "variables", ()):
            raise ValueError(f"a divergence needs two densities of {z}, not {q} and {p}")
        return super().__new__(cls, q, p, z)

    q = property(lambda self: self.args[0])
    p = property(lambda self: self.args[1])
    z = property(lambda self: self.args[2])

    @property
    def free_symbols(self) -> set[Any]:
        return (self.q.free_symbols | self.p.free_symbols) - {self.z}

    def definition(self) -> sp.Expr:
        return Expectation(log(self.q) - log(self.p), self.z, self.q)

    def _eval_is_nonnegative(self) -> bool:
        return True


class TangentGap(_Defined):
    """r - 1 - log r for r > 0: how far log r lies below its tangent at 1, so never negative.

    Its derivative 1 - 1/r is negative below r = 1 and positive above; at r = 1 it is 0.
    """

    def __new__(cls, r: Any) -> TangentGap:
        r = sp.sympify(r)
        if not r.is_positive:
            raise ValueError(f"{r} is not known to be positive")
        return super().__new__(cls, r)

    def definition(self) -> sp.Expr:
        return self.args[0] - 1 - log(self.args[0])

    def _eval_is_nonnegative(self) -> bool:
        return True


class Named(_Defined):
    """``expression`` under a short name: shown as the name (LaTeX), computed as the expression."""

    def __new__(cls, name: Any, expression: Any) -> Named:
        letter = name if isinstance(name, Str) else Str(str(name))
        return super().__new__(cls, letter, sp.sympify(expression))

    name = property(lambda self: self.args[0].name)

    def definition(self) -> sp.Expr:
        return self.args[1]

    def _eval_is_nonnegative(self) -> bool | None:
        return self.args[1].is_nonnegative

    def _eval_is_positive(self) -> bool | None:
        return self.args[1].is_positive


class QuadraticForm(_Node):
    """vᵀ A v, a number, for a column ``v`` and a symmetric ``A`` (the identity if left out)."""

    def __new__(cls, v: Any, A: Any = None) -> QuadraticForm:
        k = v.shape[0]
        return super().__new__(cls, v, sp.Identity(k) if A is None else A)

    v = property(lambda self: self.args[0])
    A = property(lambda self: self.args[1])

    def _eval_is_nonnegative(self) -> bool | None:
        return True if isinstance(self.A, sp.Identity) else None


def integral(f: Any, z: Any) -> IntegralOver:
    """∫ f dz over all values of ``z``."""
    return IntegralOver(f, z)


def written(*terms: Any) -> sp.Expr:
    """The sum of ``terms``, shown in the order written."""
    return sp.Add(*map(sp.sympify, terms), evaluate=False)


def times(*factors: Any) -> sp.Expr:
    """The product of ``factors``, shown in the order written and not multiplied out."""
    return sp.Mul(*map(sp.sympify, factors), evaluate=False)


def over(numerator: Any, denominator: Any) -> sp.Expr:
    """The fraction, shown as written: common factors are not cancelled."""
    below = sp.Pow(sp.sympify(denominator), -1, evaluate=False)
    return sp.Mul(sp.sympify(numerator), below, evaluate=False)


def minus(expression: Any) -> sp.Expr:
    """``-expression``, shown as written: the minus sign is not distributed over a sum."""
    return sp.Mul(-1, sp.sympify(expression), evaluate=False)
