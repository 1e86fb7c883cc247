"""Files as a disk, a network or a careless editor leaves them: one mutation at a time."""

from __future__ import annotations

import random


def mutated(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """``content`` with one thing changed, never the same bytes; and what was done, in words."""
    kinds = (_bit, _bytes, _zeros, _cut, _longer, _without, _twice, _swapped, _text)
    while True:
        kind = draw.choice(kinds)
        changed, where = kind(bytearray(content), draw)
        if changed != content:
            return bytes(changed), f"{kind.__name__[1:]} {where}"


def _place(content: bytearray, draw: random.Random) -> int:
    """Half of the places lie in the first 300 bytes, where a file says what it is."""
    return draw.randrange(min(300, len(content)) if draw.random() < 0.5 else len(content))


def _bit(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at, bit = _place(content, draw), draw.randrange(8)
    content[at] ^= 1 << bit
    return bytes(content), f"{bit} of byte {at}"


def _bytes(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at, n = _place(content, draw), draw.choice([1, 4, 8, 64])
    content[at : at + n] = draw.randbytes(len(content[at : at + n]))
    return bytes(content), f"{n} at {at}"


def _zeros(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at, n = _place(content, draw), draw.choice([1, 16, 512])
    content[at : at + n] = bytes(len(content[at : at + n]))
    return bytes(content), f"{n} at {at}"


def _cut(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at = draw.randrange(len(content))
    return bytes(content[:at]), f"at {at}"


def _longer(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    n = draw.choice([1, 3, 4, 100])
    return bytes(content) + draw.randbytes(n), f"by {n}"


def _without(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at, n = _place(content, draw), draw.choice([1, 4, 32])
    del content[at : at + n]
    return bytes(content), f"{n} at {at}"


def _twice(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    at, n = _place(content, draw), draw.choice([1, 4, 32])
    content[at:at] = content[at : at + n]
    return bytes(content), f"{n} at {at}"


def _swapped(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    first, second = _place(content, draw), _place(content, draw)
    content[first], content[second] = content[second], content[first]
    return bytes(content), f"{first} and {second}"


def _text(content: bytearray, draw: random.Random) -> tuple[bytes, str]:
    """Another number or word, where the file holds any."""
    pairs = [(b"0", b"9"), (b"1", b"7"), (b"F32", b"I32"), (b"F32", b"F64"), (b"weight", b"wight")]
    pairs += [(b"null", b"true"), (b'"', b"'"), (b"metadata", b"metodata"), (b"bias", b"mean")]
    old, new = draw.choice(pairs)
    places = content.count(old)
    if not places:
        return bytes(content), ""
    at = -1
    for _ in range(draw.randrange(places) + 1):
        at = content.find(old, at + 1)
    content[at : at + len(old)] = new
    return bytes(content), f"{old!r} at {at}"
