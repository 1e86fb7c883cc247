"""The derivation exercises of the book: where a chain starts, where it ends, what it may use.

One table serves the exercise checker of a notebook and the derivation desk of a page, so that both
judge alike. It needs SymPy alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sympy as sp

from vae_core.symbolic._interpretations import Interpretation, algebra, integration
from vae_core.symbolic._nodes import TangentGap
from vae_core.symbolic._parse import parse
from vae_core.symbolic._workbench import Workbench, workbench

__all__ = ["TASKS", "Task", "Verdict", "judged", "lines_of", "options", "symbols"]

NOTHING = re.compile(r"\s*(>=|<=|=|≥|≤)?\s*(#.*)?", re.DOTALL)
CLOSED = ("KL", "D[", "E[", "E_", "int(")
X, z = sp.symbols("X z", real=True)


def _closed(last: str) -> bool:
    return not any(sign in last for sign in CLOSED)


# What the last line has to look like besides being equal to the goal.
RULES = {
    "closed": (_closed, "a closed form as the last line"),
    "no density": (lambda t: "N(" not in t, "the squared error in the last line"),
    "exponent": (lambda t: "N(" not in t, "the exponent written out in the last line"),
    "no pi": (lambda t: "pi" not in t and "π" not in t, "a last line in which pi is gone"),
    "one fraction": (lambda t: t.count("/") == 1, "one fraction as the last line"),
    "no fraction": (lambda t: "/" not in t, "a last line without a fraction"),
    "price": (
        lambda t: "P(z|X)" in t.replace(" ", "") and not any(s in t for s in ("E[", "E_", "int(")),
        "a last line that names the price of the best Q and the divergence",
    ),
}


@dataclass(frozen=True)
class Task:
    """A chain to be found.

    left, goal: its two ends, in plain notation. names: each further symbol with what it is:
    ``"real"``, ``"positive"``, ``"z"`` (another name of z) or ``"gap of r"`` (r - 1 - log r, in
    plain notation, which is never negative). q: the density that ``E[...]`` draws z from, unless it
    is Q(z|X). under: ``"usual"``, ``"integration"`` or ``"algebra"``. rule: of ``RULES``, for the
    last line. begin: how one might begin, in a sentence.
    """

    name: str
    chapter: int
    title: str
    left: str
    goal: str
    names: Mapping[str, str] = field(default_factory=dict)
    q: str = ""
    under: str = "usual"
    rule: str = ""
    begin: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)  # symbols of q alone


@dataclass(frozen=True)
class Verdict:
    """What became of an answer: the workbench's verdicts; what was expected and found, if wrong."""

    bench: Workbench
    expected: str = ""
    found: str = ""

    def __bool__(self) -> bool:
        return not self.expected


def symbols(names: Mapping[str, str]) -> dict[str, Any]:
    """The symbols that ``Task.names`` describes, by name."""
    found: dict[str, Any] = {}
    for name, kind in names.items():
        if kind == "z":
            found[name] = z
        elif not kind.startswith("gap of "):
            found[name] = sp.Symbol(name, **{kind: True})
    for name, kind in names.items():
        if kind.startswith("gap of "):
            found[name] = TangentGap(sp.simplify(parse(kind.removeprefix("gap of "), found)))
    return found


@lru_cache(maxsize=3)
def _meanings(under: str) -> tuple[Interpretation, ...]:
    """One set for all checks of a page: what was compared once is not compared again."""
    return {"usual": lambda: (), "integration": lambda: (integration(),)}.get(
        under, lambda: (algebra(),)
    )()


def options(task: Task) -> dict[str, Any]:
    """The keyword arguments of ``workbench`` for a task."""
    names = symbols(task.names)
    q = parse(task.q, {**names, **symbols(task.hidden)}) if task.q else None
    return {"names": names, "q": q, "interpretations": _meanings(task.under)}


def lines_of(lines: Sequence[str]) -> list[str]:
    """The lines that say something: no empty ones, nor a relation or a remark alone."""
    return [line for line in lines if not NOTHING.fullmatch(line)]


def judged(name: str, lines: Sequence[str], final: bool = True, **more: Any) -> Verdict:
    """What ``lines`` are worth as an answer to the task ``name``. more: as for ``workbench``.

    final: whether the last line has to be the goal already.

    Raises ``ValueError`` where no task has that name.
    """
    if name not in TASKS:
        raise ValueError(f"no derivation exercise is called {name!r}; there are {', '.join(TASKS)}")
    task = TASKS[name]
    bench = workbench(task.left, lines, goal=task.goal if final else None, **options(task), **more)
    if not bench:
        wrong = next(text for text in bench.verdicts if not text.startswith("✓"))
        if wrong.startswith("✗ the last line is not yet"):  # the goal may be the question
            wrong = f"a chain that holds, and ends at {lines[-1].strip()}"
        return Verdict(bench, "each line equal to the one before, and the goal at the end", wrong)
    last = lines[-1].partition("#")[0].strip()
    if task.rule and final:
        holds, expected = RULES[task.rule]
        if not holds(last):
            return Verdict(bench, expected, last)
    return Verdict(bench)


_GAUSSIAN = {"mu": "real", "sigma": "positive"}
_MOMENTS = {"v": "positive", "k": "positive", "delta": "z", "r": "z"}

_ALL = (
    Task(
        "correlated_pair", 1, "Two coordinates, one after the other",
        "log N(x; 0, 1) + log N((y - a*x) / s; 0, 1) - log(s)",
        "-log(2*pi) - log(s) - ((a^2 + s^2) * x^2 - 2*a*x*y + y^2) / (2*s^2)",
        {"x": "real", "y": "real", "a": "real", "s": "positive"},
        under="integration", rule="exponent",
        begin="Write each log density out: log N(x; 0, 1) is -x^2/2 - log(2*pi)/2.",
    ),
    Task(
        "rho_at_least_one", 2, "ρ is never below one",
        "(1 + a) / (2 * sqrt(a))", "1", {"a": "positive"}, under="algebra",
        begin="Bring (1 - sqrt(a))^2 in: a square is never negative, and may be left away.",
    ),
    Task(
        "elbo_chain", 3, "The bound, line by line",
        "log P(X)", "E[log P(X|z)] - KL(Q(z|X) || P(z))",
        begin="log P(X) does not depend on z, so it is its own mean: E[log P(X)].",
    ),
    Task(
        "kl_wide_prior", 4, "A prior of another width",
        "KL(N(z; mu, sigma^2) || N(z; 0, tau^2))",
        "log(tau / sigma) + (sigma^2 + mu^2) / (2 * tau^2) - 1/2",
        {**_GAUSSIAN, "tau": "positive"}, "N(z; mu, sigma^2)", "integration", "closed",
        begin="Begin with the definition: a mean of the difference of two log densities.",
    ),
    Task(
        "best_sigma_bound", 5, "No σ does better",
        "-D * m / (2 * sigma^2) - D/2 * log(2 * pi * sigma^2)",
        "-D/2 * (log(2 * pi * m) + 1)",
        {"D": "positive", "m": "positive", "sigma": "positive", "T": "gap of m / sigma^2"},
        under="algebra",
        begin="Write the line with T, which is m / sigma^2 - 1 - log(m / sigma^2).",
    ),
    Task(
        "path_variance_sigma", 6, "The derivative with respect to σ: the path’s variance",
        "E[(2 * z * (z - mu) / sigma)^2] - (2 * sigma)^2", "4 * mu^2 + 8 * sigma^2",
        _GAUSSIAN, "N(z; mu, sigma^2)", "integration", "closed",
        begin="Put z = mu + (z - mu) in, and multiply out under the mean.",
    ),
    Task(
        "score_variance_sigma", 6, "The derivative with respect to σ: the score’s variance",
        "E[(z^2 * ((z - mu)^2 - sigma^2) / sigma^3)^2] - (2 * sigma)^2",
        "2 * mu^4 / sigma^2 + 60 * mu^2 + 74 * sigma^2",
        _GAUSSIAN, "N(z; mu, sigma^2)", "integration", "closed",
        begin="Take sigma^6 out of the mean; what is left is a polynomial in z.",
    ),
    Task(
        "bound_rise", 7, "How fast the bound rises: the gap to second order",
        "-E[delta - delta^2 / 2]", "v / (2 * k)",
        _MOMENTS, "N(z; 0, v / k)", "integration", "closed",
        begin="A mean is linear: take it of each term.",
    ),
    Task(
        "bound_effective", 7, "How fast the bound rises: the effective sample size",
        "k * E[r]^2 / E[r^2]", "k / (1 + v)",
        _MOMENTS, "N(z; 1, v)", "integration", "closed",
        begin="E[r] is 1, and E[r^2] is the variance plus the square of the mean.",
    ),
    Task(
        "fine_of_q", 9, "What a digit costs, and the fine in it",
        "E[-log P(X|z) - log P(z) + log Q(z|X)]", "KL(Q(z|X) || P(z|X)) - log P(X)",
        rule="price",
        begin="P(X|z) P(z) is P(z|X) P(X): put that into the two logarithms.",
    ),
    Task(
        "one_pixels_sigma", 10, "What a pixel loses with a sigma that is not its own",
        "m / (2 * s^2) + log(2 * pi * s^2) / 2 - (1 + log(2 * pi * m)) / 2",
        "(m / s^2 - 1 - log(m / s^2)) / 2",
        {"m": "positive", "s": "positive"}, under="algebra", rule="no pi",
        begin="The difference of the two logarithms is the log of a ratio.",
    ),
    Task(
        "loss_with_alpha", 11, "What alpha in the loss is",
        "2 * s^2 * (K - E[log N(Y; w * z, s^2)])",
        "E[(Y - w * z)^2] + 2 * s^2 * K + s^2 * log(2 * pi * s^2)",
        {"w": "real", "s": "positive", "K": "positive"}, "N(z; m, t^2)",
        "integration", "no density",
        begin="Write log N(Y; w * z, s^2) out: a squared error over 2 * s^2, and a constant.",
        hidden={"m": "real", "t": "positive"},
    ),
    Task(
        "code_of_one_image", 12, "The bound of one image, as a function of its code",
        "E[-c * (z - a)^2] - KL(N(z; mu, sigma^2) || N(z; 0, 1))",
        "-c * ((mu - a)^2 + sigma^2) - (mu^2 + sigma^2 - 1) / 2 + log(sigma)",
        {"mu": "real", "a": "real", "sigma": "positive", "c": "positive"},
        "N(z; mu, sigma^2)", "integration", "closed",
        begin="The mean of (z - a)^2 is a squared distance plus a variance.",
    ),
    Task(
        "error_of_the_best_encoder", 13, "The best encoder of two pixels",
        "c * (1 - a^2 / (a^2 + b^2))^2 + d * (a * b / (a^2 + b^2))^2"
        " + c * (a * b / (a^2 + b^2))^2 + d * (1 - b^2 / (a^2 + b^2))^2",
        "(c * b^2 + d * a^2) / (a^2 + b^2)",
        dict.fromkeys("abcd", "positive"), under="algebra", rule="one fraction",
        begin="1 - a^2 / (a^2 + b^2) is b^2 / (a^2 + b^2).",
    ),
    Task(
        "detailed_balance", 14, "The correction is exact",
        "p * v * ((s / v) / (p / q))", "s * q",
        dict.fromkeys("pqsv", "positive"), under="algebra", rule="no fraction",
        begin="Dividing by a fraction is multiplying by it upside down.",
    ),
)  # fmt: skip
TASKS: dict[str, Task] = {task.name: task for task in _ALL}
