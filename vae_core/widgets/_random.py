"""The draws that js/chart.js's ``randomSource`` makes, for Python to make the same."""

from __future__ import annotations

import math

import numpy as np

STEP = 0x6D2B79F5  # from one state of mulberry32 to the next


def uniforms(seed: int, count: int) -> np.ndarray:
    """The first ``count`` numbers in [0, 1) of ``randomSource(seed)``: float64 [count]."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(STEP) + np.uint64(seed)
    t = steps.astype(np.uint32)  # modulo 2**32, as all that follows
    t = (t ^ (t >> np.uint32(15))) * (t | np.uint32(1))
    t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    return (t ^ (t >> np.uint32(14))) / 2.0**32


def normals(seed: int, count: int) -> np.ndarray:
    """The first ``count`` normal draws of ``randomSource(seed)``: float64 [count]."""
    pairs = uniforms(seed, 2 * count).reshape(-1, 2)
    return np.sqrt(-2 * np.log(1 - pairs[:, 0])) * np.cos(2 * math.pi * pairs[:, 1])


def normal_pairs(seed: int, count: int) -> np.ndarray:
    """``count`` normal draws, an even number, by both of Box and Muller's formulas: float64.

    Of the uniform numbers of ``randomSource(seed)`` each two make two.
    """
    pairs = uniforms(seed, count).reshape(-1, 2)
    radius, turn = np.sqrt(-2 * np.log(1 - pairs[:, 0])), 2 * math.pi * pairs[:, 1]
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1).ravel()
