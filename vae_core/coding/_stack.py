"""A stack of bits (ANS, by the package ``constriction``) and symbols told by yes-or-no questions.

A symbol among many is found by halving: "is it in the upper half?", again and again. Each question
costs one evaluation of a distribution function, so a pixel of 256 levels needs at most 8, where a
table of its probabilities needs 256; and all symbols of an array answer a question in one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import constriction
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# (which symbols, low, middle, high) -> P(symbol >= middle | low <= symbol < high), each [questions]
Share = Callable[[Ints, Ints, Ints, Ints], Floats]

_YES_NO = constriction.stream.model.Bernoulli(perfect=False)
WORD = 32  # bits


def borrowed_words(count: int) -> NDArray[np.uint32]:
    """The bottom of every stack: ``count`` words that look random and that everybody knows.

    A longer bottom is a shorter one with words put under it.
    """
    stream = hashlib.shake_256(b"vae_core.coding").digest(4 * count)
    words = np.frombuffer(stream, dtype="<u4").astype(np.uint32)
    # No word is 0: the coder takes a 0 on top of a stack for the absence of a word.
    return np.maximum(words, 1)[::-1]


class Stack:
    """Last in, first out: ``pop`` with the probabilities of a ``push`` gives what was pushed.

    Popping what was never pushed draws symbols with the probabilities given, from the bits that lie
    on the stack; pushing these symbols gives the bits back. Asymmetric numeral systems (Duda 2009).
    Probabilities become whole numbers of 24 bits inside ``constriction``, none of them 0.
    """

    def __init__(self, words: NDArray[np.uint32] | None = None) -> None:
        self.borrowed = 0
        self._ans = constriction.stream.stack.AnsCoder(*([] if words is None else [words]))

    def words(self) -> NDArray[np.uint32]:
        """All that lies on the stack, bottom first."""
        return self._ans.get_compressed()

    def holds(self, bits: int) -> bool:
        """Whether at least ``bits`` lie on the stack, counted in whole words."""
        return self._ans.num_words() * WORD >= bits

    def reserve(self, bits: int) -> None:
        """Put known words under the bottom until at least ``bits`` lie on the stack."""
        missing = bits // WORD + 1 - self._ans.num_words()
        if missing > 0:
            self.borrowed += missing
            whole = np.concatenate([borrowed_words(self.borrowed)[:missing], self.words()])
            self._ans = constriction.stream.stack.AnsCoder(whole)

    def push(self, answers: NDArray[np.bool_], p: Floats) -> None:
        """Push answers [n] with probabilities [n] of True."""
        if len(answers):
            self._ans.encode_reverse(answers.astype(np.int32), _YES_NO, p)

    def pop(self, p: Floats) -> NDArray[np.bool_]:
        """The answers [n] on top, told with probabilities [n] of True."""
        if not len(p):
            return np.zeros(0, dtype=bool)
        return self._ans.decode(_YES_NO, p).astype(bool)

    def push_uniform(self, symbols: Ints, size: int) -> None:
        """Push symbols [n] of 0 .. size - 1, each as likely as the other."""
        model = constriction.stream.model.Uniform(size)
        self._ans.encode_reverse(symbols.astype(np.int32), model)

    def pop_uniform(self, count: int, size: int) -> Ints:
        """``count`` symbols of 0 .. size - 1, each as likely as the other."""
        model = constriction.stream.model.Uniform(size)
        return self._ans.decode(model, count).astype(np.int64)

    def push_symbols(self, symbols: Ints, low: Ints, high: Ints, share: Share) -> None:
        """Push symbols [n], low <= symbol < high, with the probabilities that ``share`` tells."""
        asked: list[tuple[NDArray[np.bool_], Floats]] = []

        def answer(which: Ints, middle: Ints, p: Floats) -> NDArray[np.bool_]:
            upper = symbols[which] >= middle
            asked.append((upper, p))
            return upper

        _halve(low, high, share, answer)
        for upper, p in reversed(asked):  # the first question is popped first, so pushed last
            self.push(upper, p)

    def pop_symbols(self, low: Ints, high: Ints, share: Share) -> Ints:
        """Symbols [n], low <= symbol < high, with the probabilities that ``share`` tells."""
        return _halve(low, high, share, lambda which, middle, p: self.pop(p))


def _halve(
    low: Ints,
    high: Ints,
    share: Share,
    answer: Callable[[Ints, Ints, Floats], NDArray[np.bool_]],
) -> Ints:
    """Halve low <= symbol < high by answers until one symbol is left in each: [n]."""
    low, high = low.copy(), high.copy()
    which = np.flatnonzero(high - low > 1)
    while len(which):
        lowest, highest = low[which], high[which]
        middle = (lowest + highest) // 2
        # Where a share can't be computed (0/0, far in a tail), both sides take the same even odds.
        p = np.nan_to_num(share(which, lowest, middle, highest), nan=0.5).clip(0.0, 1.0)
        upper = answer(which, middle, p)
        low[which] = np.where(upper, middle, lowest)
        high[which] = np.where(upper, highest, middle)
        which = which[high[which] - low[which] > 1]
    return low
