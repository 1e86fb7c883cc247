"""The other direction of ``parse``: an expression in the plain notation that a reader types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._parse import HIGHEST, TOKEN

__all__ = ["plain"]

SUM, PRODUCT, POWER, ATOM = range(4)


def plain(expression: Any, q: Any = None, names: Mapping[str, Any] | None = None) -> str:
    """``expression`` as ``parse`` reads it, with the same ``q`` and ``names``.

    Raises ``ValueError`` for what the notation has no words for: matrices, derivatives, functions
    of a reader's own, means over other densities.
    """
    return _Writer(q, dict(names or {})).text(sp.sympify(expression), SUM)


class _Writer:
    def __init__(self, q: Any, names: dict[str, Any]) -> None:
        self.q = q
        self.short = {value: name for name, value in names.items() if not value.is_Symbol}

    def text(self, e: Any, strength: int) -> str:
        """``e``, in brackets unless it binds as strongly as its place asks."""
        if e in self.short:
            return self.short[e]
        binds, text = self.spelled(e)
        return text if binds >= strength else f"({text})"

    def spelled(self, e: Any) -> tuple[int, str]:
        if isinstance(e, sp.Symbol):
            match = TOKEN.fullmatch(e.name)
            if match is None or match["name"] is None:
                raise ValueError(f"the notation has no name for {e}")
            return ATOM, e.name
        if e is sp.pi:
            return ATOM, "pi"
        if e.is_Rational:
            whole = str(abs(e.p)) if e.q == 1 else f"{abs(e.p)}/{e.q}"
            kind = ATOM if e.q == 1 else PRODUCT
            return (kind, whole) if e.p >= 0 else (SUM, f"-{whole}")
        writers: tuple[tuple[Any, Any], ...] = (
            (sp.Add, self.added),
            (sp.Mul, self.multiplied),
            (sp.Pow, self.raised),
            (sp.log, self.called),
            (sp.exp, self.called),
            (nodes._Node, self.node),
        )
        for node, write in writers:
            if isinstance(e, node):
                found: tuple[int, str] = write(e)
                return found
        raise ValueError(f"the notation has no words for {type(e).__name__}")

    def added(self, e: Any) -> tuple[int, str]:
        out = ""
        for index, term in enumerate(e.args):
            text = self.text(term, PRODUCT if index and not _negative(term) else SUM)
            if term.is_Add:
                text = f"({text})" if not index else text
            if index and text.startswith("-"):
                out += f" - {text[1:]}"
            else:
                out += f" + {text}" if index else text
        return SUM, out

    def multiplied(self, e: Any) -> tuple[int, str]:
        above, below, sign = [], [], ""
        for factor in e.args:
            if factor == -1 and not sign:
                sign = "-"
            elif factor.is_Rational and not factor.is_Integer:
                if factor.p < 0:
                    sign = "" if sign else "-"
                above += [sp.Integer(abs(factor.p))] if abs(factor.p) != 1 else []
                below.append(sp.Integer(factor.q))
            elif factor.is_Rational and factor < 0:
                sign = "" if sign else "-"
                above.append(-factor)
            elif factor.is_Pow and factor.exp.is_Rational and factor.exp < 0:
                power = -factor.exp
                below.append(factor.base if power == 1 else sp.Pow(factor.base, power))
            else:
                above.append(factor)
        text = " * ".join(self.text(a, POWER) for a in above) or "1"
        for divisor in below:
            text += f" / {self.text(divisor, POWER)}"
        return (SUM if sign else PRODUCT), sign + text

    def raised(self, e: Any) -> tuple[int, str]:
        base, exponent = e.args
        if exponent == sp.Rational(1, 2):
            return ATOM, f"sqrt({self.text(base, SUM)})"
        if exponent.is_Rational and exponent < 0:
            under = base if exponent == -1 else sp.Pow(base, -exponent)
            return PRODUCT, f"1 / {self.text(under, POWER)}"
        if exponent.is_Integer and exponent <= HIGHEST:
            inside = self.text(base, ATOM)
            return POWER, f"{inside}^{exponent}"
        if exponent.is_Rational and exponent.q == 2 and exponent.p <= HIGHEST:
            return POWER, f"sqrt({self.text(base, SUM)})^{exponent.p}"
        if exponent.is_Symbol:
            return POWER, f"{self.text(base, ATOM)}^{self.text(exponent, ATOM)}"
        raise ValueError(f"the notation has no power {exponent}")

    def called(self, e: Any) -> tuple[int, str]:
        inside = e.args[0]
        if isinstance(e, sp.log) and isinstance(inside, nodes.Density | nodes.Normal):
            return ATOM, f"log {self.text(inside, ATOM)}"
        return ATOM, f"{'log' if isinstance(e, sp.log) else 'exp'}({self.text(inside, SUM)})"

    def node(self, e: Any) -> tuple[int, str]:
        def inner(part: Any) -> str:
            return self.text(part, SUM)

        if isinstance(e, nodes.Density):
            if len(e.name) != 1 or not e.name.isupper():
                raise ValueError(f"the notation has no density {e.name}")
            before = ", ".join(inner(v) for v in e.variables)
            behind = ", ".join(inner(v) for v in e.given)
            return ATOM, f"{e.name}({before}{'|' + behind if behind else ''})"
        if isinstance(e, nodes.Normal) and not isinstance(e.z, sp.MatrixExpr):
            return ATOM, f"N({inner(e.z)}; {inner(e.mean)}, {inner(e.covariance)})"
        if isinstance(e, nodes.KL):
            return ATOM, f"KL({self.text(e.q, ATOM)} || {self.text(e.p, ATOM)})"
        if isinstance(e, nodes.IntegralOver) and not isinstance(e.z, sp.MatrixExpr):
            return ATOM, f"int({inner(e.f)}, {inner(e.z)})"
        if isinstance(e, nodes.Expectation):
            if e.q == self.q:
                return ATOM, f"E[{inner(e.f)}]"
            if isinstance(e.q, nodes.Density) and e.q == nodes.Density("P", e.z):
                return ATOM, f"E_P[{inner(e.f)}]"
            raise ValueError(f"the notation has no mean over {e.q}")
        raise ValueError(f"the notation has no words for {type(e).__name__}")


def _negative(e: Any) -> bool:
    """Whether the text of a term begins with a minus sign, which a sum takes for its own."""
    if e.is_Rational:
        return bool(e < 0)
    if not e.is_Mul:
        return False
    signs = [f for f in e.args if f.is_Rational and f < 0]
    return len(signs) % 2 == 1
