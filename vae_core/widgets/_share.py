"""A widget's state as Python lines, and what a link may set: what js/share.js does, in Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

DIGITS = 6  # of a number in a link or in the lines: more than any page shows
FAR = 1e4  # as far from zero as a link may set a point of a plane
LONG = 4  # entries of a mapping that stand on one line
LEAST = 1e-6  # what is smaller than this is written as 0
_WHEN = re.compile(r"@(\w+)(!?)=(\S+) ")
Rule = dict[str, Any]


def between(low: float, high: float) -> Rule:
    """A link may set a number from ``low`` to ``high``, or a list of such numbers."""
    return {"low": low, "high": high}


def whole(low: int, high: int) -> Rule:
    """A link may set a whole number from ``low`` to ``high``, or a list of them."""
    return {"low": low, "high": high, "whole": True}


def among(values: Iterable[Any]) -> Rule:
    """A link may set one of ``values``: texts, numbers or booleans."""
    return {"among": list(values)}


def either(*rules: Rule) -> Rule:
    """A link may set what one of ``rules`` lets it."""
    return {"either": list(rules)}


def several(rule: Rule, most: int, size: int = 1) -> Rule:
    """A link may set a list of at most ``most`` values, or of lists of ``size`` values each."""
    return {"each": rule, "most": most, "size": size}


def mapping(fields: Mapping[str, Rule]) -> Rule:
    """A link may set the entries of a mapping, each by its own rule."""
    return {"fields": dict(fields)}


def literal(value: Any) -> str:
    """A trait's value as Python code: numbers to six digits, texts in double quotes.

    A list of texts has a line for each, and so has a mapping with more than four entries.
    """
    if isinstance(value, Mapping):
        entries = [f"{literal(name)}: {literal(part)}" for name, part in value.items()]
        if len(entries) > LONG:
            return "{\n" + "".join(f"    {entry},\n" for entry in entries) + "}"
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, list | tuple):
        if any(isinstance(part, str) for part in value):
            return "[\n" + "".join(f"    {literal(part)},\n" for part in value) + "]"
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) or float(value).is_integer():
        return str(int(value))
    if abs(value) < LEAST:
        return "0"
    rounded = Context(prec=DIGITS, rounding=ROUND_HALF_UP).create_decimal(Decimal(float(value)))
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def fill(template: str, state: Mapping[str, Any]) -> str:
    """The lines of ``template`` for ``state``.

    ``{{name}}`` stands for a trait's value as Python code. A line that begins with
    ``@name=value`` and a space is there only where the trait has that value, written as Python
    code without spaces (``@mode="prior"``, ``@best=True``), with ``@name!=value`` only where it
    has not; several such conditions may follow one another.
    """
    kept = []
    for line in template.split("\n"):
        while test := _WHEN.match(line):
            name, negated, wanted = test.groups()
            if (literal(state[name]) == wanted) == bool(negated):
                break
            line = line[test.end() :]
        else:
            kept.append(re.sub(r"\{\{(\w+)\}\}", lambda m: literal(state[m[1]]), line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)) + "\n"
