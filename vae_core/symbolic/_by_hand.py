"""A reader's own formula for the KL term: is it the divergence, and what would it train?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from vae_core.symbolic._compare import compare
from vae_core.symbolic._interpretations import integration
from vae_core.symbolic._limit import OutOfTimeError, within
from vae_core.symbolic._nodes import Normal
from vae_core.symbolic._parse import NotationError, parse
from vae_core.symbolic._plain import plain

__all__ = ["DATA_VARIANCE", "by_hand", "lowest", "settles"]

MU, SIGMA = sp.Symbol("mu", real=True), sp.Symbol("sigma", positive=True)
Z = sp.Symbol("z", real=True)
NAMES = {"mu": MU, "sigma": SIGMA}
RIGHT = (SIGMA**2 + MU**2 - 1) / 2 - sp.log(SIGMA)
DATA_VARIANCE = 5.0  # of the one number that chapter 4's small model is trained on
SECONDS = 15.0  # of work for one formula
FAR = 14.0  # |log sigma| or |mu| beyond which a formula has no minimum
Function = Callable[[float, float], float]

# Nodes and weights of Gauss and Hermite for the mean over a standard normal: exact for polynomials
# up to degree 15.
_NODES = (
    (0.3811869902073221, 0.6611470125582415 / 1.772453850905516),
    (1.1571937124467802, 0.2078023258148919 / 1.772453850905516),
    (1.9816567566958429, 0.0170779830074134 / 1.772453850905516),
    (2.930637420257244, 0.0001996040722113676 / 1.772453850905516),
)


def _function(e: Any) -> Callable[[dict[Any, float]], float]:
    """``e`` as a function of numbers: its tree is walked, and nothing is executed."""
    if e.is_Symbol:
        return lambda at: at[e]
    if e.is_number and not e.has(sp.Symbol):
        value = float(e)
        return lambda at: value
    parts = [_function(a) for a in e.args]
    if e.is_Add:
        return lambda at: math.fsum(p(at) for p in parts)
    if e.is_Mul:
        return lambda at: math.prod(p(at) for p in parts)
    if e.is_Pow:
        return lambda at: parts[0](at) ** parts[1](at)
    if isinstance(e, sp.exp):
        return lambda at: math.exp(parts[0](at))
    if isinstance(e, sp.log):
        return lambda at: math.log(parts[0](at))
    raise NotationError("a formula in mu and sigma is asked for: numbers, powers, log and exp")


def _of(e: Any) -> Function:
    """f(mu, log sigma); infinite where the formula has no real value."""
    function = _function(e)

    def value(mu: float, log_sigma: float) -> float:
        try:
            found = function({MU: mu, SIGMA: math.exp(log_sigma)})
        except (ArithmeticError, ValueError):
            return math.inf
        return found if isinstance(found, float) and math.isfinite(found) else math.inf

    return value


def lowest(f: Function, start: Sequence[float], far: float = FAR) -> tuple[list[float], float]:
    """Where ``f`` of two numbers is lowest from ``start`` on, by Nelder and Mead; and its value.

    It stops once a coordinate is ``far`` away: then there is no minimum on this side.
    """
    points = [[*start], [start[0] + 0.5, start[1]], [start[0], start[1] + 0.5]]
    ranked = sorted((f(*p), p) for p in points)
    for _ in range(600):
        (low, best), (middle, second), (high, worst) = ranked
        if max(abs(x) for x in best) > far:
            break
        size = max(abs(a - b) for p in (second, worst) for a, b in zip(p, best, strict=True))
        if size < 1e-9:
            break
        centre = [(a + b) / 2 for a, b in zip(best, second, strict=True)]

        def along(by: float, centre: list[float] = centre, worst: list[float] = worst) -> Any:
            p = [c + by * (c - w) for c, w in zip(centre, worst, strict=True)]
            return f(*p), p

        tried = along(1.0)
        if tried[0] < low:
            further = along(2.0)
            new = min(tried, further)
        elif tried[0] < middle:
            new = tried
        else:
            new = along(0.5) if tried[0] < high else along(-0.5)
        if new[0] < high:
            ranked = sorted([ranked[0], ranked[1], new])
        else:
            shrunk = [[(a + b) / 2 for a, b in zip(p, best, strict=True)] for p in (second, worst)]
            ranked = sorted([ranked[0], *((f(*p), p) for p in shrunk)])
    return ranked[0][1], ranked[0][0]


def settles(f: Function, v: float = DATA_VARIANCE) -> dict[str, float] | None:
    """What chapter 4's model of one number ends at, trained with ``f`` as its KL term.

    X ~ N(0, v), decoder N(wz, 1), encoder N(aX, t²): loss ½E[(X - wz)²] + E[f(aX, t)]. The
    codes' variance a²v + t², and w; None where the loss falls for ever.
    """
    root = math.sqrt(v)

    def loss(a: float, log_t: float) -> float:
        t2 = math.exp(2 * log_t)
        w = a * v / (a * a * v + t2)  # the best decoder for this encoder
        error = v * (1 - w * a) ** 2 + w * w * t2
        means = 0.0
        for node, weight in _NODES:
            x = a * root * node * math.sqrt(2)
            means += weight * (f(x, log_t) + f(-x, log_t))
        return 0.5 * error + means

    found = [lowest(loss, start, 30.0) for start in ((0.5, 0.0), (0.2, -1.0))]
    (a, log_t), value = min(found, key=lambda pair: pair[1])
    if not math.isfinite(value) or abs(log_t) > FAR or abs(a) > FAR:
        return None
    t2 = math.exp(2 * log_t)
    return {"variance": a * a * v + t2, "w": a * v / (a * a * v + t2), "loss": value}


def by_hand(formula: str) -> dict[str, Any]:
    """What a reader's formula in mu and sigma is, as JSON: see the keys below.

    state: unread, equal, constant (a constant apart: the same gradients), different, or undecided
    where that takes too long. text: one sentence. minimum: of the formula alone. settles: as
    :func:`settles`. sound: that of the divergence.
    """
    try:
        return within(lambda: _by_hand(formula), SECONDS)
    except OutOfTimeError:
        return {"state": "undecided", "text": f"this was not decided within {SECONDS:g} s of work"}


def _by_hand(formula: str) -> dict[str, Any]:
    try:
        expression = parse(formula.strip().removeprefix("="), NAMES, Normal(Z, MU, SIGMA**2))
        value = integration().of(expression)
        unknown = value.free_symbols - {MU, SIGMA}
        if unknown:
            raise NotationError(f"{min(map(str, unknown))} has no value: use mu and sigma")
        found = compare(value, RIGHT)
        f = _of(sp.sympify(value))
    except NotationError as error:
        return {"state": "unread", "text": str(error)}
    except (ValueError, ArithmeticError, TypeError, NotImplementedError):
        return {"state": "unread", "text": "this is not a formula in mu and sigma with one value"}
    if found.equal in ("exact", "numeric"):
        return {"state": "equal", "text": "This is the divergence, for every mu and sigma."}
    gap = sp.simplify(value - RIGHT)
    out: dict[str, Any] = {"state": "different"}
    if gap.is_number and gap.is_real:
        out["state"] = "constant"
        out["text"] = (
            f"This is the divergence {'plus' if gap > 0 else 'minus'} {plain(abs(gap))}. "
            "A constant has no gradient: it trains the same model, and reports another loss."
        )
    else:
        point = found.point or {}
        at = " and ".join(f"{s} = {v}" for s, v in sorted(point.items(), key=str))
        left, right = (sp.Float(x, 6) for x in (found.left, found.right)) if point else (None, None)
        out["text"] = (
            f"This is not the divergence: at {at} it is {left}, and the divergence is {right}."
            if point
            else "This is not the divergence."
        )
    starts = ((0.0, 0.0), (1.0, -1.0), (-2.0, 1.0))
    (mu, log_sigma), least = min((lowest(f, s) for s in starts), key=lambda pair: pair[1])
    bounded = max(abs(mu), abs(log_sigma)) < FAR and math.isfinite(least)
    out["minimum"] = (
        {"mu": round(mu, 6) + 0.0, "sigma": math.exp(log_sigma), "value": least}
        if bounded
        else None
    )
    out["at_prior"] = f(0.0, 0.0) + 0.0 if math.isfinite(f(0.0, 0.0)) else None
    out["settles"] = settles(f) if bounded else None
    out["sound"] = settles(_of(RIGHT))
    return out
