"""Pictures of whole numbers as few bytes: static models of their neighbourhoods, coded by rANS.

Digits at a few greys are pictures, and so are a decoder's last weights (one picture for each
hidden unit: what it adds to every pixel) and an encoder's first ones. A level is coded given a
*context*, made of the neighbours that come before it in reading order; how often each level
follows each context travels as a table. The coder is range asymmetric numeral systems (rANS:
Duda 2013, arXiv 1311.2540, section 3) with a 32-bit state in [2**16, 2**32) that is renormalised
by words of 16 bits, and frequencies of PRECISION bits.

Pictures are coded in lanes of ``per`` each. A lane is a stream of its own, so that numpy runs
all lanes side by side and the browser (js/entropy.js, the same decoder) unpacks only the lane that
holds the digit it wants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

PRECISION = 12  # bits of a frequency; js/entropy.js has the same number
TOTAL = 1 << PRECISION
LOWEST = 1 << 16  # of the state

# Neighbours as (rows up, columns left): W, N, NW, NE, WW, NN.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
ABOVE, LEFT, RIGHT = 2, 2, 1  # the frame of zeros that these reach into

# Contexts of signed levels. PREDICTED divides 32 times the expected level, on either side of zero;
# BUSY divides 2|W| + 2|N| + |NW| + |NE|, which grows with the spread around it.
PREDICTED = (8, 24, 40, 64, 96, 144, 224, 352)
BUSY = (1, 2, 3, 4, 5, 7, 10, 15, 22, 31, 45, 64, 90, 128, 181)
SIDES = 2 * len(PREDICTED) + 1

Context = Callable[[Sequence[np.ndarray]], np.ndarray]


class Lane(NamedTuple):
    """One coded stream: the state to start from, and the words read on the way, uint16."""

    state: int
    words: np.ndarray


# ---------------------------------------------------------------- frequencies


def table(counts: np.ndarray) -> np.ndarray:
    """Counts [contexts, levels] as bytes: small numbers exactly, larger ones to about 3 %.

    A row of more than TOTAL is scaled down first. Zero stays zero, and nothing else becomes it.
    """
    total = counts.sum(1, keepdims=True)
    share = np.maximum(np.rint(counts * (TOTAL / np.maximum(total, TOTAL))), 1)
    value = np.where(counts > 0, share, 0).astype(np.int64)
    # Four bits after the leading one: 16 codes for each doubling, as in :func:`frequencies`.
    doublings = np.maximum(np.floor(np.log2(np.maximum(value, 16))).astype(np.int64) - 4, 0)
    return (16 * doublings + np.rint(value / (1 << doublings)).astype(np.int64)).astype(np.uint8)


def frequencies(codes: np.ndarray) -> np.ndarray:
    """The frequencies that a table stands for, int64 [contexts, levels].

    Each row sums to TOTAL, and every level that the table counts has at least one; a context that
    it never saw has a row of zeros, and cannot be coded.
    """
    codes = codes.astype(np.int64)
    doublings = np.maximum(codes // 16 - 1, 0)
    value = (codes - 16 * doublings) << doublings
    sums = value.sum(1, keepdims=True)
    seen = value > 0
    spare = TOTAL - seen.sum(1, keepdims=True)  # what is left when every level has one
    result = np.where(seen, 1 + value * spare // np.maximum(sums, 1), 0)
    rows = np.arange(len(result))
    result[rows, value.argmax(1)] += np.where(sums[:, 0] > 0, TOTAL - result.sum(1), 0)
    return result


# ---------------------------------------------------------------- coder


def encode(symbols: np.ndarray, contexts: np.ndarray, freq: np.ndarray, per: int) -> list[Lane]:
    """Code ``symbols`` [n], each given its context [n], in lanes of ``per`` symbols.

    Args:
        freq: frequencies [contexts, symbols] of :func:`frequencies`.

    Raises:
        ValueError: for a symbol that its context gives no frequency.
    """
    n = len(symbols)
    own = freq[contexts, symbols].astype(np.uint64)
    if not own.all():
        raise ValueError("a symbol has no frequency in its context")
    first = (freq.cumsum(1) - freq)[contexts, symbols].astype(np.uint64)
    lanes = -(-n // per)
    last = n - (lanes - 1) * per  # symbols of the last lane
    padding = (0, lanes * per - n)
    own = np.ascontiguousarray(np.pad(own, padding, constant_values=1).reshape(lanes, per).T)
    first = np.ascontiguousarray(np.pad(first, padding).reshape(lanes, per).T)
    state = np.full(lanes, LOWEST, np.uint64)
    words = np.zeros((per, lanes), np.uint16)
    written = np.zeros((per, lanes), bool)
    bits, word = np.uint64(PRECISION), np.uint64(16)
    # Last in, first out: the symbol read first is coded last. A state that the next symbol
    # would carry beyond 32 bits gives its lower half away first.
    limit = own << np.uint64(32 - PRECISION)
    for step in range(per - 1, -1, -1):
        active = lanes if step < last else lanes - 1
        x, f = state[:active], own[step, :active]
        full = x >= limit[step, :active]
        words[step, :active] = x  # the lower 16 bits
        written[step, :active] = full
        x = np.where(full, x >> word, x)
        whole = x // f
        state[:active] = (whole << bits) + (x - whole * f) + first[step, :active]
    return [Lane(int(state[k]), words[written[:, k], k]) for k in range(lanes)]


def decode(
    lanes: Sequence[Lane],
    freq: np.ndarray,
    n: int,
    per: int,
    context: Callable[[int, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Read ``n`` symbols back, int64 [n]; ``context(step, symbols)`` gives each lane its context.

    ``symbols`` [lanes, per] holds what was read before ``step``.
    """
    after = freq.cumsum(1)
    before = after - freq
    last = n - (len(lanes) - 1) * per
    state = np.array([lane.state for lane in lanes], np.int64)
    starts = np.cumsum([0, *(len(lane.words) for lane in lanes)])
    at = starts[:-1].copy()
    words = np.concatenate([*(lane.words for lane in lanes), np.zeros(1, np.uint16)]).astype(
        np.int64
    )
    symbols = np.zeros((len(lanes), per), np.int64)
    for step in range(per):
        active = len(lanes) if step < last else len(lanes) - 1
        row = context(step, symbols)[:active]
        x = state[:active]
        slot = x & (TOTAL - 1)
        symbol = (after[row] <= slot[:, None]).sum(1)
        x = freq[row, symbol] * (x >> PRECISION) + slot - before[row, symbol]
        low = x < LOWEST
        state[:active] = np.where(low, (x << 16) | words[at[:active]], x)
        at[:active] += low
        symbols[:active, step] = symbol
    return symbols.reshape(-1)[:n]


# ---------------------------------------------------------------- contexts


def greys(near: Sequence[np.ndarray]) -> np.ndarray:
    """The context of a picture of four greys: its six neighbours, 4096 contexts."""
    context = np.zeros_like(near[0])
    for level in near:
        context = 4 * context + level
    return context


def signed(coefficients: Sequence[int]) -> Context:
    """The context of signed levels: what ``coefficients`` / 32 of the six neighbours predict."""

    def context(near: Sequence[np.ndarray]) -> np.ndarray:
        guess = sum(c * level for c, level in zip(coefficients, near, strict=True))
        west, north, northwest, northeast = map(np.abs, near[:4])
        busy = np.searchsorted(BUSY, 2 * west + 2 * north + northwest + northeast, "right")
        side = np.sign(guess) * np.searchsorted(PREDICTED, np.abs(guess), "right")
        return SIDES * busy + side + len(PREDICTED)

    return context


def neighbours(pictures: np.ndarray) -> list[np.ndarray]:
    """The six neighbours of every level of ``pictures`` [n, h, w], zero outside the picture."""
    _, height, width = pictures.shape
    framed = np.pad(pictures.astype(np.int64), ((0, 0), (ABOVE, 0), (LEFT, RIGHT)))
    return [
        framed[:, ABOVE - up : ABOVE - up + height, LEFT - left : LEFT - left + width]
        for up, left in NEIGHBOURS
    ]


def predictor(pictures: np.ndarray) -> list[int]:
    """How the neighbours predict a level, in 32nds: weighted least squares over all pictures."""
    near = np.stack(neighbours(pictures), -1).reshape(-1, len(NEIGHBOURS)).astype(np.float64)
    weight = 1 / (1 + np.abs(near).sum(1))  # a busy place has large errors, and counts for less
    solved = np.linalg.lstsq(near * weight[:, None], pictures.ravel() * weight, rcond=None)[0]
    return [int(c) for c in np.clip(np.rint(32 * solved), -127, 127)]


# ---------------------------------------------------------------- pictures


def pack(pictures: np.ndarray, per: int, *, four: bool = False) -> bytes:
    """Pictures [n, h, w] of levels from -127 to 127, ``per`` to a lane; ``four``: greys 0 to 3.

    Thirteen int32 (n, h, w, per, lowest level, number of levels, 1 for greys, six coefficients);
    the table; then for each lane its state, uint32, for each lane its number of words, uint32, and
    the words, uint16. The table and the words are padded to a multiple of 4 bytes.
    """
    n, height, width = pictures.shape
    low = 0 if four else int(pictures.min())
    levels = 4 if four else int(pictures.max()) - low + 1
    coefficients = [0] * len(NEIGHBOURS) if four else predictor(pictures)
    contexts = _context(four, coefficients)(neighbours(pictures)).ravel()
    symbols = pictures.astype(np.int64).ravel() - low
    cells = np.bincount(contexts * levels + symbols, minlength=_contexts(four) * levels)
    codes = table(cells.reshape(-1, levels))
    lanes = encode(symbols, contexts, frequencies(codes), per * height * width)
    header = [n, height, width, per, low, levels, int(four), *coefficients]
    parts = [
        np.array(header, "<i4").tobytes(),
        _padded(codes.tobytes()),
        np.array([lane.state for lane in lanes], "<u4").tobytes(),
        np.array([len(lane.words) for lane in lanes], "<u4").tobytes(),
        _padded(b"".join(lane.words.astype("<u2").tobytes() for lane in lanes)),
    ]
    return b"".join(parts)


def unpack(raw: bytes, at: int = 0) -> tuple[np.ndarray, int]:
    """What :func:`pack` wrote at ``at``: pictures int8 [n, h, w], and where they end."""

    def take(count: int, dtype: str) -> np.ndarray:
        nonlocal at
        values = np.frombuffer(raw, dtype, count, at)
        at += values.nbytes + -values.nbytes % 4
        return values

    n, height, width, per, low, levels, four, *coefficients = take(13, "<i4").tolist()
    freq = frequencies(take(_contexts(four) * levels, "u1").reshape(-1, levels))
    count = math.ceil(n / per)
    states, lengths = take(count, "<u4").tolist(), take(count, "<u4")
    words = np.split(take(int(lengths.sum()), "<u2"), np.cumsum(lengths)[:-1])
    lanes = [Lane(state, own) for state, own in zip(states, words, strict=True)]

    context = _context(four, coefficients)
    stride = LEFT + width + RIGHT
    framed = np.zeros((count, ABOVE + height, stride), np.int64).reshape(count, -1)
    places = [ABOVE * stride + LEFT + y * stride + x for y in range(height) for x in range(width)]

    def here(step: int, symbols: np.ndarray) -> np.ndarray:
        place = places[step % len(places)]
        if step:
            framed[:, places[(step - 1) % len(places)]] = symbols[:, step - 1] + low
        return context([framed[:, place - up * stride - left] for up, left in NEIGHBOURS])

    size = height * width
    symbols = decode(lanes, freq, n * size, per * size, here)
    return (symbols + low).astype(np.int8).reshape(n, height, width), at


def _context(four: int, coefficients: Sequence[int]) -> Context:
    return greys if four else signed(coefficients)


def _contexts(four: int) -> int:
    return 4 ** len(NEIGHBOURS) if four else SIDES * (len(BUSY) + 1)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
