"""LaTeX of the book's notation: terms in the order written, no superfluous parentheses."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE

from vae_core.symbolic._nodes import Density, Normal

__all__ = ["latex"]


class _Printer(LatexPrinter):
    """SymPy's printer, with the order of terms and the spelling of the notation page."""

    def __init__(self) -> None:
        super().__init__({"order": "none", "fold_short_frac": False})

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:
        text: str = super()._print_Symbol(expr, style)
        return r"\varepsilon" if text == r"\epsilon" else text

    # --- sums, products, powers -----------------------------------------------------------

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        text = ""
        for term in expr.args:
            piece = self._print(term)
            if term.is_Add:
                piece = rf"\left( {piece} \right)"
            if not text:
                text = piece
            elif piece.startswith("-"):
                text += f" - {piece[1:].lstrip()}"
            else:
                text += f" + {piece}"
        return text

    def _print_Mul(self, expr: Any) -> str:
        coefficient, above, below = sp.S.One, [], []
        for factor in expr.args:
            if factor.is_Rational:
                coefficient *= factor
            elif factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
                below.append(factor.base if factor.exp == -1 else factor.base ** (-factor.exp))
            else:
                above.append(factor)
        sign = "- " if coefficient < 0 else ""
        p, q = abs(coefficient.p), coefficient.q
        if below:
            top = ([str(p)] if p != 1 or not above else []) + self._factors(above)
            alone = len(below) == 1 and q == 1
            bottom = ([str(q)] if q != 1 else []) + (
                [self._print(below[0])] if alone else self._factors(below)
            )
            if len(above) == 1 and p == 1:
                top = [self._print(above[0])]
            return rf"{sign}\frac{{{' '.join(top)}}}{{{' '.join(bottom)}}}"
        front = [] if coefficient in (1, -1) and above else [str(p)]
        if q != 1:
            front = [rf"\frac{{{p}}}{{{q}}}"]
        return sign + self._joined(front, self._factors(above))

    @staticmethod
    def _joined(front: list[str], factors: list[str]) -> str:
        return (
            r" \, ".join([" ".join(front), " ".join(factors)])
            if front and factors and (factors[0][:1].isdigit())
            else " ".join([*front, *factors])
        )

    def _factors(self, factors: list[Any]) -> list[str]:
        texts = []
        for position, factor in enumerate(factors):
            text = self._print(factor)
            last = position == len(factors) - 1
            open_ended = isinstance(factor, (sp.log, sp.Sum, sp.Product)) or (
                type(factor).__name__ == "IntegralOver"
            )
            if isinstance(factor, sp.log) and isinstance(factor.args[0], sp.Determinant):
                open_ended = False
            if factor.is_Add or text.startswith("-") or (open_ended and not last):
                text = rf"\left( {text} \right)"
            texts.append(text)
        return texts

    def _print_Pow(self, expr: Any) -> str:
        if expr.exp.is_Rational and expr.exp.is_negative:
            return self._print_Mul(sp.Mul(1, expr, evaluate=False))
        if expr.exp.is_Mul and expr.exp.args[0] == sp.S.Half and len(expr.exp.args) == 2:
            base = self.parenthesize(expr.base, PRECEDENCE["Pow"])
            return rf"{base}^{{{self._print(expr.exp.args[1])}/2}}"
        if type(expr.base).__name__ == "Component":
            v, j = map(self._print, expr.base.args)
            return rf"{v}_{{{j}}}^{{{self._print(expr.exp)}}}"
        if isinstance(expr.base, (sp.log, Density, Normal)) or expr.base.is_Add:
            return rf"\left( {self._print(expr.base)} \right)^{{{self._print(expr.exp)}}}"
        return super()._print_Pow(expr)

    # --- functions ------------------------------------------------------------------------

    def _print_log(self, expr: Any, exp: Any = None) -> str:
        argument = expr.args[0]
        text = self._print(argument)
        fraction = text.startswith(r"\frac") and argument.is_Mul and _closes(text)
        bare = (
            argument.is_Atom or fraction or isinstance(argument, (Density, Normal, sp.Determinant))
        )
        bare = bare or isinstance(argument, sp.exp)
        bare = bare or (type(argument).__name__ == "Named" and text.isalnum())
        body = rf"\log {text}" if bare else rf"\log \left( {text} \right)"
        return rf"\left( {body} \right)^{{{exp}}}" if exp else body

    def _print_ExpBase(self, expr: Any, exp: Any = None) -> str:
        body = rf"\exp \left( {self._print(expr.args[0])} \right)"
        return rf"{body}^{{{exp}}}" if exp else body

    _print_exp = _print_ExpBase

    # --- the book's nodes -----------------------------------------------------------------

    def _print_Density(self, expr: Any) -> str:
        inside = ", ".join(map(self._print, expr.variables))
        if expr.given:
            inside += r" \mid " + ", ".join(map(self._print, expr.given))
        return f"{expr.name}({inside})"

    def _print_Normal(self, expr: Any) -> str:
        z, *rest = map(self._print, expr.args)
        inside = rf"{z};\, {', '.join(rest)}"
        tall = r"\frac" in inside
        return rf"\mathcal{{N}}\left( {inside} \right)" if tall else rf"\mathcal{{N}}({inside})"

    def _distribution(self, q: Any) -> str:
        """``q`` without its own variable: what stands behind ~ in an expectation."""
        if isinstance(q, Normal):
            inside = ", ".join(map(self._print, q.args[1:]))
            tall = r"\frac" in inside
            return rf"\mathcal{{N}}\left( {inside} \right)" if tall else rf"\mathcal{{N}}({inside})"
        return q.name if isinstance(q, Density) else self._print(q)

    def _print_Expectation(self, expr: Any) -> str:
        where = rf"{self._print(expr.z)} \sim {self._distribution(expr.q)}"
        return rf"E_{{{where}}}\left[ {self._print(expr.f)} \right]"

    def _print_IntegralOver(self, expr: Any) -> str:
        body = self._print(expr.f)
        if expr.f.is_Add:
            body = rf"\left( {body} \right)"
        return rf"\int {body} \, d{self._print(expr.z)}"

    def _print_KL(self, expr: Any) -> str:
        first, second = (
            self._distribution(d) if isinstance(d, Normal) else self._print(d)
            for d in (expr.q, expr.p)
        )
        return rf"\mathcal{{D}}\left[ {first} \,\Vert\, {second} \right]"

    def _print_TangentGap(self, expr: Any) -> str:
        return self._print(written_gap(expr.args[0]))

    def _print_Named(self, expr: Any) -> str:
        return expr.name

    def _print_QuadraticForm(self, expr: Any) -> str:
        v = self._print(expr.v)
        if not isinstance(expr.v, sp.MatrixSymbol):
            v = rf"\left( {v} \right)"
        middle = "" if isinstance(expr.A, sp.Identity) else f"{self._print(expr.A)} "
        return rf"{v}^\top {middle}{v}"

    def _print_Component(self, expr: Any) -> str:
        v, j = map(self._print, expr.args)
        return rf"{v}_{{{j}}}"

    def _print_DiagMatrix(self, expr: Any) -> str:
        return rf"\operatorname{{diag}}\left( {self._print(expr.args[0])} \right)"

    def _print_HadamardPower(self, expr: Any) -> str:
        return f"{self._print(expr.base)}^{{{self._print(expr.exp)}}}"

    def _print_Identity(self, expr: Any) -> str:
        return "I"

    def _print_ZeroMatrix(self, expr: Any) -> str:
        return "0"

    def _print_Trace(self, expr: Any) -> str:
        return rf"\operatorname{{tr}}\left( {self._print(expr.args[0])} \right)"

    def _print_Determinant(self, expr: Any, exp: Any = None) -> str:
        body = rf"\left| {self._print(expr.args[0])} \right|"
        return rf"{body}^{{{exp}}}" if exp else body

    def _print_Transpose(self, expr: Any) -> str:
        inside = self._print(expr.arg)
        return rf"{inside}^\top" if expr.arg.is_Atom else rf"\left( {inside} \right)^\top"


def _closes(text: str) -> bool:
    r"""Tell whether ``text`` is one \frac and nothing behind it."""
    depth, groups = 0, 0
    for position, sign in enumerate(text[5:], 5):
        depth += (sign == "{") - (sign == "}")
        if sign == "}" and depth == 0:
            groups += 1
            if groups == 2:
                return position == len(text) - 1
    return False


def written_gap(r: Any) -> Any:
    """r - 1 - log r in the order written."""
    return sp.Add(r, sp.Integer(-1), sp.Mul(-1, sp.log(r), evaluate=False), evaluate=False)


def latex(expression: Any) -> str:
    """LaTeX of ``expression`` in the book's notation, without delimiters."""
    return _Printer().doprint(sp.sympify(expression))
