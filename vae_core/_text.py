"""Text that the stream it goes to can write.

On Windows a pipe or a file speaks the system's old code page (cp1252 and others), which has no
tick, no minus and no Greek: printing them there raises ``UnicodeEncodeError``.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_PLAIN = {
    "✓": "[ok]", "✗": "[no]", "·": "-", "−": "-", "≥": ">=", "≤": "<=", "≠": "!=", "‖": "||",
    "→": "->", "∞": "infinity", "×": "x", "±": "+-", "½": "1/2", "…": "...",
    "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "Φ": "Phi", "α": "alpha",
    "β": "beta", "ε": "epsilon", "λ": "lambda", "μ": "mu", "π": "pi", "σ": "sigma", "Σ": "Sigma",
    "√": "sqrt ",
}  # fmt: skip
_RAISED = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def fitting(text: str, stream: Any = None) -> str:
    """``text`` as ``stream`` (stdout unless given) can write it: unchanged wherever it can.

    Where it cannot, signs are spelled out: ✓ as [ok], 10⁻⁹ as 10^-9, σ as sigma, others as "?".
    """
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None)
    if not isinstance(encoding, str) or getattr(stream, "errors", "strict") != "strict":
        return text  # a stream of text, or one that has its own way with what it can't write

    def can(part: str) -> bool:
        try:
            part.encode(encoding)
        except UnicodeEncodeError:
            return False
        except LookupError:  # nobody knows what it can
            return True
        return True

    if can(text):
        return text

    # Once some signs must be spelled, all are: one spelling in one text.
    text = _RAISED.sub(lambda run: "^" + run.group().translate(_DIGITS), text)
    text = "".join(_PLAIN.get(sign) or (sign if can(sign) else "?") for sign in text)
    return text if can(text) else text.encode("ascii", "replace").decode()


def say(text: str, *, stream: Any = None, flush: bool = False) -> None:
    """Print ``text`` on ``stream`` (stdout unless given), spelled as the stream can write it."""
    print(fitting(text, stream), file=stream, flush=flush)


def spare_the_streams() -> None:
    """Let stdout and stderr replace what they can't write: a command's output never raises."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", "") == "strict":
            reconfigure(errors="backslashreplace")
