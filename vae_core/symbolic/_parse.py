"""Reading what a reader types: a small grammar of its own, so that nothing typed is executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes

__all__ = ["NOTATION", "NotationError", "parse"]

NOTATION = """\
P(X|z)  P(X, z)  Q(z|X)     a density; a capital letter and what it is a density of
log P(X)   log(P(X, z) / Q(z|X))   exp(...)   sqrt(...)
E[ ... ]  or  E_Q[ ... ]    the mean over z from Q;  E_P[ ... ]  over z from P(z)
KL(Q(z|X) || P(z))          the divergence; D[Q(z|X) || P(z)] is the same
int(Q(z|X) * log P(X), z)   an integral over z
N(z; mu, sigma^2)           a Gaussian density with its variance
+  -  *  /  ^  ( )          as usual; write * between factors
"""

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[^\W\d_]+(?:_[^\W_]+)?)"
    r"|(?P<sign>\|\||[-+*/^()\[\],;|~]))"
)
SPELLINGS = {"‖": "||", "∥": "||", "∣": "|", "−": "-", "·": "*", "×": "*", "**": "^",
             "σ": "sigma", "μ": "mu", "ε": "epsilon", "π": "pi", "λ": "lambda"}  # fmt: skip
LONGEST = 600
DEEPEST = 25
HIGHEST = 6
LARGEST = 10_000  # bits of a power's value, were every variable a number of 8: more fills a memory


class NotationError(ValueError):
    """A line that cannot be read; the message says where and why."""


@dataclass
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            sign = text[position:].lstrip()[0]
            raise NotationError(f"the sign {sign!r} is not part of the notation")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return [*found, _Token("end", "the end of the line", len(text))]


def parse(text: str, names: Mapping[str, Any] | None = None, q: Any = None) -> sp.Expr:
    """The expression that ``text`` writes in plain notation (see ``NOTATION``).

    names: further symbols, ``{"mu": mu}``; X, Y and z are known. q: the density that ``E[...]``
    draws z from, Q(z|X) unless given. Raises ``NotationError`` (a ``ValueError``), one sentence.
    """
    for spelled, plain in SPELLINGS.items():
        text = text.replace(spelled, plain)
    if not text.strip():
        raise NotationError("the line is empty")
    if len(text) > LONGEST:
        raise NotationError(f"the line has {len(text)} letters, more than {LONGEST}")
    reader = _Reader(_tokens(text), dict(names or {}), q)
    expression = reader.sum()
    reader.expect("end")
    return expression


def _bits(expression: Any) -> int:
    """About how many bits the value of ``expression`` has, were every variable a number of 8.

    SymPy works out powers of numbers exactly, in one call that nothing can stop.
    """
    if expression.is_Rational:
        return max(int(part).bit_length() for part in (expression.p, expression.q))
    inner = [_bits(part) for part in expression.args]
    if not inner:
        return 8
    if isinstance(expression, sp.Pow) and expression.exp.is_Rational:
        return max(inner[0], int(sp.ceiling(inner[0] * abs(expression.exp))))
    return max(inner) + len(inner) if isinstance(expression, sp.Add) else sum(inner)


class _Reader:
    """Recursive descent, one method for each rule of the grammar."""

    def __init__(self, tokens: list[_Token], names: dict[str, Any], q: Any) -> None:
        self.tokens, self.position, self.depth = tokens, 0, 0
        self.names = {
            **{n: sp.Symbol(n, real=True) for n in ("X", "Y", "z")},
            "pi": sp.pi,
            **names,
        }
        self.q = q if q is not None else nodes.Density("Q", self.names["z"], self.names["X"])

    # --- tokens -----------------------------------------------------------------------------

    @property
    def now(self) -> _Token:
        return self.tokens[self.position]

    def take(self, *texts: str) -> str | None:
        if self.now.kind == "sign" and self.now.text in texts:
            self.position += 1
            return self.tokens[self.position - 1].text
        return None

    def expect(self, *texts: str) -> str:
        if texts == ("end",):
            if self.now.kind == "end":
                return ""
            if self.now.kind in ("name", "number") or self.now.text in "([":
                raise NotationError(f"an operator is missing before {self.now.text!r}: write *")
            raise NotationError(f"{self.now.text!r} has nothing to close or to separate")
        found = self.take(*texts)
        if found is None:
            wanted = " or ".join(map(repr, texts))
            raise NotationError(f"{wanted} was expected before {self.now.text!r}")
        return found

    # --- grammar ----------------------------------------------------------------------------

    def sum(self) -> sp.Expr:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotationError(f"more than {DEEPEST} levels of brackets")
        terms = [self.product()]
        while sign := self.take("+", "-"):
            term = self.product()
            terms.append(term if sign == "+" else nodes.minus(term))
        self.depth -= 1
        return terms[0] if len(terms) == 1 else nodes.written(*terms)

    def product(self) -> sp.Expr:
        result = self.signed()
        while sign := self.take("*", "/"):
            factor = self.signed()
            result = nodes.times(result, factor) if sign == "*" else nodes.over(result, factor)
        return result

    def signed(self) -> sp.Expr:
        negative = False
        while sign := self.take("+", "-"):
            negative ^= sign == "-"
        value = self.power()
        return nodes.minus(value) if negative else value

    def power(self) -> sp.Expr:
        base = self.atom()
        if not self.take("^"):
            return base
        negative = self.take("-") is not None
        exponent = self.atom()
        if exponent.is_number and not (exponent.is_Rational and abs(exponent) <= HIGHEST):
            raise NotationError(f"a power above {HIGHEST} is not read")
        if self.now.text == "^":
            raise NotationError("a power of a power needs brackets")
        if _bits(base) * abs(exponent if exponent.is_Rational else 1) > LARGEST:
            raise NotationError("powers of powers as high as this are not read")
        return base ** (-exponent if negative else exponent)

    def atom(self) -> sp.Expr:
        token = self.now
        if token.kind == "number":
            self.position += 1
            return sp.Rational(token.text)
        if self.take("("):
            inside = self.sum()
            self.expect(")")
            return inside
        if token.kind != "name":
            raise NotationError(f"a formula was expected before {token.text!r}")
        self.position += 1
        name = token.text
        if name == "log":
            # log(X)^2 is the square of the logarithm; log P(X)^2 that of the density.
            inside = self.atom() if self.now.text == "(" else self.power()
            return nodes.log(inside, evaluate=False)
        if name in ("exp", "sqrt"):
            self.expect("(")
            inside = self.sum()
            self.expect(")")
            return sp.exp(inside, evaluate=False) if name == "exp" else sp.sqrt(inside)
        if name in ("KL", "D") and self.now.text in ("(", "["):
            return self.divergence()
        if name == "E" or name.startswith("E_"):
            return self.expectation(name[2:])
        if name == "int":
            return self.integral()
        if name == "N" and self.now.text == "(":
            return self.gaussian()
        if self.now.text == "(" and len(name) == 1 and name.isupper():
            return self.density(name)
        if self.now.text == "(":
            raise NotationError(
                f"{name!r} is not a function of the notation (log, exp, sqrt, E, KL, int, N are)"
            )
        return self.symbol(name)

    def symbol(self, name: str) -> Any:
        if name not in self.names:
            known = ", ".join(sorted(self.names))
            raise NotationError(f"the name {name!r} is not known; known are {known}")
        return self.names[name]

    def variables(self) -> list[Any]:
        found = []
        while True:
            if self.now.kind != "name":
                raise NotationError(f"a variable was expected before {self.now.text!r}")
            self.position += 1
            found.append(self.symbol(self.tokens[self.position - 1].text))
            if not self.take(","):
                return found

    def density(self, name: str) -> sp.Expr:
        self.expect("(")
        before = self.variables()
        behind = self.variables() if self.take("|") else []
        self.expect(")")
        return self.refused(lambda: nodes.Density(name, tuple(before), tuple(behind)))

    def gaussian(self) -> sp.Expr:
        self.expect("(")
        z = self.sum()
        self.expect(";", ",")
        mean = self.sum()
        self.expect(",")
        variance = self.sum()
        self.expect(")")
        return nodes.Normal(z, mean, variance)

    def distribution(self) -> Any:
        found = self.atom()
        if not isinstance(found, nodes.Density | nodes.Normal):
            raise NotationError("a divergence stands between two densities, as KL(Q(z|X) || P(z))")
        return found

    def divergence(self) -> sp.Expr:
        closing = {"(": ")", "[": "]"}[self.expect("(", "[")]
        first = self.distribution()
        self.expect("||", ",")
        second = self.distribution()
        self.expect(closing)
        return self.refused(lambda: nodes.KL(first, second))

    def expectation(self, over: str) -> sp.Expr:
        if over in ("", "Q"):
            q = self.q
        elif over == "P":
            q = nodes.Density("P", self.names["z"])
        else:
            raise NotationError(f"an expectation is E[...], E_Q[...] or E_P[...], not E_{over}")
        closing = {"(": ")", "[": "]"}[self.expect("[", "(")]
        inside = self.sum()
        self.expect(closing)
        return nodes.Expectation(inside, q.variables[0], q)

    def integral(self) -> sp.Expr:
        closing = {"(": ")", "[": "]"}[self.expect("(", "[")]
        inside = self.sum()
        self.expect(",")
        (z,) = self.variables()
        self.expect(closing)
        return nodes.integral(inside, z)

    @staticmethod
    def refused(make: Any) -> Any:
        try:
            return make()
        except ValueError as error:
            raise NotationError(str(error)) from None
