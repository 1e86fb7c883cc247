"""Computed numbers set as a printer would: Python writes -0.5 ± 0.1, 7.1e-06 and 2325507."""

from __future__ import annotations

import re

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# A sign, not the hyphen of a word or a range.
_SIGN = re.compile(r"(?<![\w.)])-(?=\d)")
_POWER = re.compile(r"(?<=[\d)])e([+-]?\d+)\b")
_LONG = re.compile(r"(?<![\w.,])\d{5,}(?![\w])")
_WHOLE = re.compile(r"(?<![\w.,])\d{4,}(?![\w])")


def raised(power: int) -> str:
    """``power`` as an exponent: ⁻⁶."""
    return str(power).translate(_RAISED)


def typeset(text: str) -> str:
    """``text`` with true minus signs, powers of ten, and thousands marked; ± ends no line."""
    text = _SIGN.sub("−", text)
    text = _POWER.sub(lambda match: f" × 10{raised(int(match[1]))}", text)
    if _LONG.search(text):  # then its error, too, though it be shorter
        text = _WHOLE.sub(lambda match: f"{int(match[0]):,}", text)
    return text.replace(" ± ", " ±\N{NO-BREAK SPACE}")
