"""A short formula in TeX as plain text, for terminals and print: ``\\sigma^2`` is σ²."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["readable"]

_TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|\s+|.", re.DOTALL)
_SIGNS = {
    "|": "‖", "Vert": "‖", "lVert": "‖", "rVert": "‖", "parallel": "‖", "mid": " | ", "vert": "|",
    "lvert": "|", "rvert": "|", "le": " ≤ ", "leq": " ≤ ", "ge": " ≥ ", "geq": " ≥ ", "ne": " ≠ ",
    "neq": " ≠ ", "approx": " ≈ ", "sim": " ~ ", "to": " → ", "rightarrow": " → ", "mapsto": " ↦ ",
    "propto": " ∝ ", "equiv": " ≡ ", "ll": " ≪ ", "gg": " ≫ ", "in": " ∈ ", "cdot": " · ",
    "times": " × ", "pm": " ± ", "infty": "∞", "int": "∫", "sum": "Σ", "prod": "Π", "partial": "∂",
    "nabla": "∇", "top": "ᵀ", "dots": "…", "ldots": "…", "cdots": "…", "ell": "ℓ", "circ": "∘",
    "{": "{", "}": "}", "%": "%", "$": "$", "_": "_", "&": "&", "#": "#", "varepsilon": "ε",
    "epsilon": "ε", "varphi": "φ", "quad": " ", "qquad": " ", " ": " ", ",": " ", ";": " ",
}  # fmt: skip
_NOTHING = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "!", "displaystyle"}
_LETTERS = {
    "mathcal", "mathrm", "mathbf", "mathbb", "mathit", "text", "textrm", "textit", "operatorname",
    "boldsymbol", "bm",
}  # fmt: skip
_ACCENTS = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304", "dot": "\u0307", "vec": "\u20d7"}
_RAISED = str.maketrans("-+0123456789Tnk", "⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹ᵀⁿᵏ")
_LOWERED = str.maketrans("-+0123456789ijkn", "₋₊₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₙ")


def readable(formula: str) -> str:
    """``formula``, TeX without its dollars, in signs and letters; unknown commands by name."""
    text = _read(iter(_TOKEN.findall(formula)))
    return re.sub(r"(?<=[(\[]) ", "", re.sub(r"\s+", " ", text)).strip()


def _read(tokens: Iterator[str], end: str = "") -> str:
    """What ``tokens`` say, up to ``end``."""
    said = ""
    for token in tokens:
        if token == end:
            break
        said += _one(token, tokens)
    return said


def _argument(tokens: Iterator[str]) -> str:
    """What the next token or group says."""
    for token in tokens:
        if not token.isspace():
            return _one(token, tokens).strip()
    return ""


def _one(token: str, tokens: Iterator[str]) -> str:
    if token == "{":
        return _read(tokens, "}")
    if token in ("^", "_"):
        return _shifted(token, _argument(tokens))
    if token == "-":
        return "−"
    if token == "'":
        return "′"
    if token.isspace() or not token.startswith("\\"):
        return " " if token.isspace() else token
    return _command(token[1:], tokens)


def _command(name: str, tokens: Iterator[str]) -> str:
    if name in _NOTHING:
        return ""
    if name in _SIGNS:
        return _SIGNS[name]
    if name in _LETTERS:
        return _argument(tokens)
    if name in _ACCENTS:
        return unicodedata.normalize("NFC", _argument(tokens) + _ACCENTS[name])
    if name in ("frac", "tfrac", "dfrac"):
        above, below = _argument(tokens), _argument(tokens)
        return "½" if (above, below) == ("1", "2") else f"{_held(above)}/{_held(below)}"
    if name == "sqrt":
        return f"√{_held(_argument(tokens))}"
    case = "SMALL" if name[0].islower() else "CAPITAL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper()}".replace("LAMBDA", "LAMDA"))
    except KeyError:
        return f" {name} "


def _held(part: str) -> str:
    """``part`` in brackets, unless it holds together by itself."""
    return part if re.fullmatch(r"\w[²³′]?|\d+(\.\d+)?", part) else f"({part})"


def _shifted(sign: str, part: str) -> str:
    """An exponent or an index: in small digits where there are such."""
    plain = part.replace("−", "-")
    shifted = plain.translate(_RAISED if sign == "^" else _LOWERED)
    if part and not set(shifted) & set(plain):
        return shifted
    if part in ("ᵀ", "′"):
        return part
    return f"{sign}{part if part.isalnum() else _held(part)}"
