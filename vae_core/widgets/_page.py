"""How a widget travels inside a page: bytes as text, and code without its comments."""

from __future__ import annotations

import re

import numpy as np

# All of printable ASCII but what a page, a JSON string or a template might read as more than
# text: 91 characters. The space stands last, where it is used least.
ALPHABET = "".join(chr(code) for code in range(33, 127) if chr(code) not in '<&"\\') + " "
BITS = 13  # 2**13 = 8192 values in 91**2 = 8281 pairs of characters: 23 % more than the bytes
BYTES = np.frombuffer(ALPHABET.encode(), np.uint8)
DIGITS = np.zeros(128, np.int64)
DIGITS[BYTES] = np.arange(len(ALPHABET))


def to_text(data: bytes) -> str:
    """Bytes as pairs of characters, 13 bits to a pair; the first pair counts the padding bits."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    padding = -len(bits) % BITS
    groups = np.pad(bits, (0, padding)).reshape(-1, BITS).astype(np.int64)
    values = np.concatenate([[padding], groups @ (1 << np.arange(BITS)[::-1])])
    pairs = np.stack([values % len(ALPHABET), values // len(ALPHABET)], 1)
    return BYTES[pairs].tobytes().decode()


def from_text(text: str) -> bytes:
    """What :func:`to_text` wrote."""
    digits = DIGITS[np.frombuffer(text.encode(), np.uint8)].reshape(-1, 2)
    padding, *values = digits[:, 0] + digits[:, 1] * len(ALPHABET)
    groups = np.array(values, np.int64).reshape(-1, 1) >> np.arange(BITS)[::-1] & 1
    bits = groups.astype(np.uint8).ravel()
    return np.packbits(bits[: len(bits) - padding]).tobytes()


def bare(code: str) -> str:
    """JavaScript or CSS without indentation, empty lines and lines that are only a comment.

    Line by line: a comment after code stays, and a template literal that spans lines is left as
    it is. Backticks are counted, so one inside a trailing comment needs a partner there.
    """
    kept, in_template, in_comment = [], False, False
    for line in code.split("\n"):
        short = line.strip()
        if in_comment or (short.startswith("/*") and not in_template):
            in_comment, rest = "*/" not in short, short.partition("*/")[2].strip()
            if in_comment or not rest:
                continue
            short = rest
        elif not in_template and (short.startswith("//") or not short):
            continue
        turns = len(re.findall(r"(?<!\\)`", short)) % 2 == 1  # an escaped one opens nothing
        if in_template:
            kept.append(line)
        else:
            kept.append(line.lstrip() if turns else short)
        in_template ^= turns
    return "\n".join(kept)
