"""When a glued number counts as the stored one, for nbval: on another processor digits differ.

- A whole number or a text must be the same.
- A number computed without a trained model differs by rounding alone: 1 part in 10,000.
- Training amplifies rounding until two runs differ as two seeds do, and not more: 1 part in 20 once
  the notebook has trained or loaded a model. What must hold whatever the digits is a claim in the
  chapter, and fails there.
- A text `value ± error` states its own noise: values may differ by three standard errors of their
  difference, and the errors by a factor of two.
- A cell's claims are the same if their sentences, what could refute them and their seeds are: the
  margin is told for the machine that ran them, and a claim that fails stops its cell.

So a wrong sign, unit or factor is caught, and another order of summation is not.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

GLUED = "application/papermill.record/text/plain"
CLAIMS = "application/vnd.vae-core.claims+json"
ROUNDING, TRAINING = 1e-4, 0.05
TRAINS = re.compile(r"\bzoo\.load\(|\btraining\.fit\(|\bfit\(|\.backward\(|\boptim\.")
WHOLE = re.compile(r"[+-]?\d+")
NUMBER = r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
WITH_ERROR = re.compile(rf"(['\"]?\(?)({NUMBER}) ± ({NUMBER})(.*)", re.DOTALL)


def tolerance(sources: Sequence[str]) -> float:
    """How far a number may be from the stored one, as a part of it, after these cells have run."""
    return TRAINING if any(TRAINS.search(source) for source in sources) else ROUNDING


def _number(text: str) -> float | None:
    try:
        value = float(text.replace("−", "-"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def agree(stored: str, found: str, relative: float) -> bool:
    """Whether two glued texts are the same result."""
    if stored == found:
        return True
    if WHOLE.fullmatch(stored) or WHOLE.fullmatch(found):
        return False
    first, second = _number(stored), _number(found)
    if first is not None and second is not None:
        # Below 1e-12 a difference of equal numbers is left, whose every digit is rounding.
        return math.isclose(first, second, rel_tol=relative, abs_tol=1e-12)
    one, two = WITH_ERROR.fullmatch(stored), WITH_ERROR.fullmatch(found)
    if one is None or two is None or (one[1], one[4]) != (two[1], two[4]):
        return False
    values, errors = ([_number(m[k]) or 0.0 for m in (one, two)] for k in (2, 3))
    return max(errors) <= 2 * min(errors) and abs(values[0] - values[1]) <= 3 * math.hypot(*errors)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _glued(output: Any) -> tuple[str, str] | None:
    """Name and text of an output that glues, else None."""
    data, metadata = output.get("data", {}), output.get("metadata", {})
    if GLUED not in data:
        return None
    return metadata.get("scrapbook", {}).get("name", ""), _text(data[GLUED])


def _claims(outputs: Sequence[Any]) -> list[Any]:
    return [output for output in outputs if CLAIMS in output.get("data", {})]


def _without_margins(output: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in claim.items() if k != "margin"} for claim in output["data"][CLAIMS]]


def settle(found: Sequence[Any], stored: Sequence[Any], relative: float) -> list[Any]:
    """The outputs ``found``, with the stored text wherever a glued one agrees with it.

    Likewise claims. Where a cell was stored before claims left a trace, those found are dropped.
    """
    known = dict(filter(None, map(_glued, stored)))
    claims = iter(_claims(stored))
    settled = []
    for output in found:
        glued = _glued(output)
        if glued and glued[0] in known and agree(known[glued[0]], glued[1], relative):
            output = copy.deepcopy(output)
            output["data"][GLUED] = known[glued[0]]
        if CLAIMS in output.get("data", {}):
            if not _claims(stored):
                continue
            other = next(claims, None)
            if other is not None and _without_margins(other) == _without_margins(output):
                output = other
        settled.append(output)
    return settled


def tolerant(compare: Callable[..., bool], relative: float) -> Callable[..., bool]:
    """nbval's ``compare(found, stored, skip)``, told which glued texts agree."""

    def compare_outputs(found: Sequence[Any], stored: Sequence[Any], skip: Any = None) -> bool:
        stored = [copy.deepcopy(output) for output in stored]
        for output in stored:
            if GLUED in output.get("data", {}):
                output["data"][GLUED] = _text(output["data"][GLUED])
        return compare(settle(found, stored, relative), stored, skip)

    return compare_outputs
