"""What an expression can mean: any densities, n states, a linear-Gaussian model.

An ``Interpretation`` is a name and a function from expression to expression. A line of a derivation
is right under an interpretation if both of its sides become the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._rules import Canonical
from vae_core.symbolic._walk import Env, Walker, integrate_over, normal_mean

__all__ = [
    "Interpretation",
    "algebra",
    "any_distributions",
    "discrete",
    "integration",
    "linear_gaussian",
]


@dataclass
class Interpretation:
    """A meaning under which the lines of a derivation are compared.

    name: for the page's table.
    verdict: what a line that holds exactly may say of itself.
    evaluate: expression -> expression.
    constraints: symbol -> expression, for probabilities that sum to 1.
    conclusive: whether unequal results refute a line (a canonical form only fails to prove it).
    needs_rules: evaluate takes the derivation's ``given`` rules as a second argument.
    """

    name: str
    verdict: str
    evaluate: Callable[..., sp.Expr]
    constraints: dict[Any, Any] = field(default_factory=dict)
    conclusive: bool = True
    needs_rules: bool = False
    compared: dict[Any, Any] = field(default_factory=dict, repr=False)
    _cache: dict[Any, sp.Expr] = field(default_factory=dict, repr=False)

    def of(self, expression: sp.Expr, given: tuple[Any, ...] = ()) -> sp.Expr:
        """``expression`` under this interpretation; worked out once for each expression."""
        key = (expression, given) if self.needs_rules else expression
        if key not in self._cache:
            arguments = (expression, given) if self.needs_rules else (expression,)
            self._cache[key] = self.evaluate(*arguments)
        return self._cache[key]


def any_distributions() -> Interpretation:
    """All densities for which the terms are finite: equal canonical forms prove a line."""

    def canonical(expression: sp.Expr, given: tuple[Any, ...]) -> sp.Expr:
        return Canonical(given)(expression)

    return Interpretation(
        "any distributions",
        "proved for any distributions",
        canonical,
        conclusive=False,
        needs_rules=True,
    )


# --- n states ------------------------------------------------------------------------------


def _split(d: nodes.Density, observed: Any, condition: frozenset[Any]) -> tuple[Any, ...]:
    """What kind of density ``d`` is in a model with one observation and one latent variable."""
    if condition & set(d.variables):
        raise ValueError(f"{d.args} is a density of what every density is given")
    before = set(d.variables) - condition
    behind = set(d.given) - condition
    latents = (before | behind) - {observed}
    if len(latents) > 1:
        raise ValueError(f"{d.args} has more than one latent variable")
    z = next(iter(latents), None)
    kinds = {
        (True, False, False, False): "evidence",
        (False, True, False, False): "prior",
        (True, False, False, True): "likelihood",
        (False, True, True, False): "posterior",
        (True, True, False, False): "joint",
    }
    key = (observed in before, z in before, observed in behind, z in behind)
    if key not in kinds:
        raise ValueError(f"the interpretation has no density of this kind: {d.args}")
    return kinds[key], z


class _Discrete(Walker):
    """apart: whether a density that is not given ``condition`` is another one than that given it.

    It is for a variable, as a conditional VAE's X; not for a parameter, which need not be named.
    """

    def __init__(
        self, n: int, observed: Any, condition: frozenset[Any], apart: bool = False
    ) -> None:
        self.n, self.observed, self.condition, self.apart = n, observed, condition, apart
        self.constraints: dict[Any, Any] = {}
        self.names: dict[str, tuple[sp.Symbol, ...]] = {}
        self._simplex("P(z)")

    def _simplex(self, name: str) -> tuple[sp.Symbol, ...]:
        """Probabilities of the n states; the last is 1 minus the others."""
        if name not in self.names:
            states = tuple(
                sp.Symbol(name.replace("z", f"z={i + 1}", 1), positive=True) for i in range(self.n)
            )
            self.names[name] = states
            self.constraints[states[-1]] = 1 - sum(states[:-1])
        return self.names[name]

    def density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Normal):
            raise ValueError("a Gaussian has no finite number of states")
        kind, z = _split(d, self.observed, self.condition)
        given = [v for v in d.given if v in self.condition and self.apart]
        behind = ", ".join(map(str, given))
        prior = self._simplex(f"P(z|{behind})" if behind else "P(z)")
        more = f", {behind}" if behind else ""
        like = [
            sp.Symbol(f"P({self.observed}|z={i + 1}{more})", positive=True) for i in range(self.n)
        ]
        joint = [p * like_i for p, like_i in zip(prior, like, strict=True)]
        if kind == "evidence":
            return sp.Add(*joint)
        state = env.get(z)
        if state is None:
            raise ValueError(f"{z} is free: it must stand under an expectation or an integral")
        i = state[0]
        if d.name != "P":
            if kind not in ("prior", "posterior"):
                raise ValueError(f"{d.name} must be a density of {z}")
            behind = ", ".join(map(str, d.given))
            return self._simplex(f"{d.name}(z{'|' + behind if behind else ''})")[i]
        values = {"prior": prior[i], "likelihood": like[i], "joint": joint[i]}
        return values[kind] if kind in values else joint[i] / sp.Add(*joint)

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        inner = [{**env, z: (i,)} for i in range(self.n)]
        return sp.Add(*[self.walk(q, e) * self.walk(f, e) for e in inner])

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        return sp.Add(*[self.walk(f, {**env, z: (i,)}) for i in range(self.n)])

    def walk(self, e: Any, env: Env) -> Any:
        if isinstance(env.get(e), tuple):
            return sp.Symbol(f"z_{env[e][0] + 1}", real=True)
        return super().walk(e, env)


def discrete(n: int, observed: Any = None, condition: Any = ()) -> Interpretation:
    """z takes ``n`` values, with free symbolic probabilities under P and under Q.

    observed: the symbol whose value is fixed and seen, X unless given. condition: symbols that
    stand behind the bars (a conditional VAE's X). P(z) is then another density than P(z|X).
    """
    if n < 2:
        raise ValueError(f"a latent variable needs at least 2 states, not {n}")
    seen = observed if observed is not None else sp.Symbol("X", real=True)
    walker = _Discrete(n, seen, frozenset(nodes._symbols(condition)), apart=True)
    return Interpretation(
        f"{n} states", f"proved for {n} states", walker, constraints=walker.constraints
    )


# --- Gaussians -----------------------------------------------------------------------------


class _Integrated(Walker):
    """Explicit densities of a real variable; SymPy integrates."""

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Normal):
            z, mean, variance = (self.walk(a, env) for a in d.args)
            constant = self.log_value(2 * sp.pi * variance)
            return sp.expand(-((z - mean) ** 2) / (2 * variance) - constant / 2)
        return super().log_density(d, env)

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        if isinstance(q, nodes.Normal) and q.z == z:
            mean, variance = self.walk(q.mean, env), self.walk(q.covariance, env)
            return normal_mean(sp.expand(self.walk(f, env)), z, mean, variance)
        return integrate_over(self.walk(f, env) * self.walk(q, env), z)

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        weight = [a for a in sp.Mul.make_args(f) if isinstance(a, nodes.Normal) and a.z == z]
        if weight:
            return self.expectation(sp.Mul(*_without(f, weight[0])), z, weight[0], env)
        return integrate_over(self.walk(f, env), z)


def _without(f: sp.Expr, factor: sp.Expr) -> list[sp.Expr]:
    factors = list(sp.Mul.make_args(f))
    factors.remove(factor)
    return factors


class _LinearGaussian(_Integrated):
    """apart: as for ``_Discrete``; the density that is not given ``condition`` has no numbers."""

    def __init__(self, observed: Any, condition: frozenset[Any], apart: bool = False) -> None:
        self.observed, self.condition, self.apart = observed, condition, apart
        self.w, self.b, self.m = sp.symbols("w b m", real=True)
        self.s, self.t = sp.symbols("s t", positive=True)

    def gaussian(self, d: nodes.Density) -> tuple[tuple[Any, Any, Any], ...]:
        """The Gaussians (variable, mean, variance) whose product ``d`` is."""
        kind, z = _split(d, self.observed, self.condition)
        if d.name == "P" and self.apart and self.condition - set(d.given):
            raise ValueError(f"the interpretation has no density of this kind: {d.args}")
        X, w, b, s = self.observed, self.w, self.b, self.s
        if d.name != "P":
            letters = (
                (self.m, self.t)
                if d.name == "Q"
                else (sp.Symbol(f"m_{d.name}", real=True), sp.Symbol(f"t_{d.name}", positive=True))
            )
            return ((z, letters[0], letters[1] ** 2),)
        likelihood, prior = (X, w * z + b if z is not None else b, s**2), (z, sp.S.Zero, sp.S.One)
        total = w**2 + s**2
        if kind == "posterior":
            return ((z, w * (X - b) / total, s**2 / total),)
        if kind == "evidence":
            return ((X, b, total),)
        return {"prior": (prior,), "likelihood": (likelihood,), "joint": (likelihood, prior)}[kind]

    def log_density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Normal):
            return super().log_density(d, env)
        parts = [nodes.Normal(*g) for g in self.gaussian(d)]
        return sp.Add(*[super(_LinearGaussian, self).log_density(p, env) for p in parts])

    def density(self, d: Any, env: Env) -> sp.Expr:
        if isinstance(d, nodes.Normal):
            return super().density(d, env)
        parts = [nodes.Normal(*g) for g in self.gaussian(d)]
        return sp.Mul(*[super(_LinearGaussian, self).density(p, env) for p in parts])

    def expectation(self, f: Any, z: Any, q: Any, env: Env) -> sp.Expr:
        if isinstance(q, nodes.Density):
            parts = self.gaussian(q)
            if len(parts) == 1:
                return super().expectation(f, z, nodes.Normal(*parts[0]), env)
        return super().expectation(f, z, q, env)

    def integral(self, f: Any, z: Any, env: Env) -> sp.Expr:
        for factor in sp.Mul.make_args(f):
            if isinstance(factor, nodes.Density) and factor.variables == (z,):
                return self.expectation(sp.Mul(*_without(f, factor)), z, factor, env)
        return super().integral(f, z, env)


def linear_gaussian(observed: Any = None, condition: Any = ()) -> Interpretation:
    """P(z) = N(0, 1), P(X|z) = N(wz + b, s²), Q = N(m, t²), all symbolic; SymPy integrates."""
    seen = observed if observed is not None else sp.Symbol("X", real=True)
    walker = _LinearGaussian(seen, frozenset(nodes._symbols(condition)), apart=True)
    return Interpretation("linear-Gaussian model", "integrated (SymPy)", walker)


def integration() -> Interpretation:
    """Explicit Gaussian densities of real variables: every expectation is integrated by SymPy."""
    return Interpretation("integration", "integrated (SymPy)", _Integrated())


def algebra() -> Interpretation:
    """Plain algebra: both sides are brought to one form as they stand."""
    return Interpretation("algebra", "proved by algebra", _Integrated())


# How a table says that a line was checked under an interpretation.
WORDS = {
    "any distributions": "for any distributions",
    "linear-Gaussian model": "in the linear-Gaussian model",
    "integration": "with SymPy’s integrals",
    "algebra": "by algebra",
    "any k": "for any $k$ (rules of trace and moments)",
}


def joined(names: Iterable[str]) -> str:
    """Names of interpretations for a table: ``2 states`` and ``3 states`` become one entry."""
    names = list(names)
    states = [n.split()[0] for n in names if n.endswith(" states")]
    sizes = [n.removeprefix("matrices k=") for n in names if n.startswith("matrices k=")]
    out = [n for n in names if not n.endswith(" states") and not n.startswith("matrices k=")]
    words = [WORDS.get(n, f"for {n}") for n in out]
    if states:
        words.insert(out[:1] == ["any distributions"], f"for {' and '.join(states)} states")
    if sizes:
        words.append(f"with matrices written out, $k = {', '.join(sizes)}$")
    return "; ".join(words)
