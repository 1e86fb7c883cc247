"""The coder of the widgets' pictures: everything comes back, in as few bytes as was said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vae_core import data
from vae_core.widgets import _entropy as entropy

COUNTS = arrays.arrays(
    np.int64,
    st.tuples(st.integers(1, 5), st.integers(1, 9)),
    elements=st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 10_000_000)),
)
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 6))


def read_back(lanes: list[entropy.Lane], freq: np.ndarray, row: np.ndarray, per: int) -> np.ndarray:
    """Decode symbols whose contexts ``row`` [n] are known beforehand."""
    padded = np.pad(row, (0, len(lanes) * per - len(row))).reshape(len(lanes), per)
    return entropy.decode(lanes, freq, len(row), per, lambda step, _: padded[:, step])


@given(COUNTS)
def test_frequencies_fill_every_context_that_was_seen(counts: np.ndarray) -> None:
    freq = entropy.frequencies(entropy.table(counts))
    seen = counts.sum(1) > 0
    assert ((freq > 0) == (counts > 0)).all()
    assert (freq[seen].sum(1) == entropy.TOTAL).all()
    assert (freq[~seen] == 0).all()


@given(COUNTS.filter(lambda counts: counts.sum() > 0))
def test_frequencies_are_close_to_the_counts(counts: np.ndarray) -> None:
    freq = entropy.frequencies(entropy.table(counts))
    for own, count in zip(freq, counts, strict=True):
        if count.sum():
            share = count / count.sum()
            # 1/16 for the four bits, twice (level and sum); one of TOTAL kept for each level.
            slack = 0.07 * share + 2 * len(count) / entropy.TOTAL
            largest = np.arange(len(count)) == own.argmax()  # takes what the others leave
            assert (np.abs(own / entropy.TOTAL - share) <= slack)[~largest].all()


def test_small_counts_travel_exactly() -> None:
    counts = np.arange(32)[None]
    assert entropy.table(counts).tolist() == counts.tolist()


@given(COUNTS.filter(lambda counts: counts.sum() > 0), st.integers(1, 400), st.data())
def test_any_symbols_come_back(counts: np.ndarray, n: int, draw: st.DataObject) -> None:
    freq = entropy.frequencies(entropy.table(counts))
    rng = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1)))
    row = rng.choice(np.flatnonzero(counts.sum(1)), n)
    # Uniform over what may occur, so that rare symbols come in number.
    symbols = np.array([rng.choice(np.flatnonzero(counts[r])) for r in row])
    per = draw.draw(st.integers(1, n))
    lanes = entropy.encode(symbols, row, freq, per)
    assert len(lanes) == -(-n // per)
    assert all(entropy.LOWEST <= lane.state < 2**32 for lane in lanes)
    np.testing.assert_array_equal(read_back(lanes, freq, row, per), symbols)


def test_a_certain_symbol_costs_nothing() -> None:
    freq = entropy.frequencies(entropy.table(np.array([[0, 5, 0]])))
    row = np.zeros(10_000, np.int64)
    (lane,) = entropy.encode(row + 1, row, freq, 10_000)
    assert len(lane.words) == 0
    np.testing.assert_array_equal(read_back([lane], freq, row, 10_000), row + 1)


@pytest.mark.parametrize(("symbol", "row"), [(0, 0), (1, 1)])  # unseen in its row; an empty row
def test_a_symbol_without_frequency_is_refused(symbol: int, row: int) -> None:
    freq = entropy.frequencies(entropy.table(np.array([[0, 5], [0, 0]])))
    with pytest.raises(ValueError, match="no frequency"):
        entropy.encode(np.array([symbol]), np.array([row]), freq, 1)


def test_the_stream_is_as_short_as_the_entropy() -> None:
    p = np.array([0.7, 0.2, 0.06, 0.04])
    symbols = np.random.default_rng(0).choice(4, 100_000, p=p)
    counts = np.bincount(symbols)[None]
    freq = entropy.frequencies(entropy.table(counts))
    lanes = entropy.encode(symbols, np.zeros_like(symbols), freq, 10_000)
    share = counts[0] / counts.sum()
    bits = -(share * np.log2(share)).sum() * len(symbols)
    assert bits < 16 * sum(len(lane.words) for lane in lanes) + 32 * len(lanes) < 1.01 * bits


@settings(deadline=None)
@given(SHAPES.flatmap(lambda s: arrays.arrays(np.int8, s, elements=st.integers(-127, 127))))
def test_signed_pictures_come_back(pictures: np.ndarray) -> None:
    raw = b"1234" + entropy.pack(pictures, 3) + b"more"
    got, end = entropy.unpack(raw, 4)
    np.testing.assert_array_equal(got, pictures)
    assert end == len(raw) - 4
    assert end % 4 == 0


@settings(deadline=None)
@given(SHAPES.flatmap(lambda s: arrays.arrays(np.int8, s, elements=st.integers(0, 3))))
def test_grey_pictures_come_back(pictures: np.ndarray) -> None:
    got, _ = entropy.unpack(entropy.pack(pictures, 2, four=True))
    np.testing.assert_array_equal(got, pictures)


@pytest.mark.parametrize("level", [-127, 0, 5])
def test_pictures_of_one_level_come_back(level: int) -> None:
    pictures = np.full((5, 4, 3), level, np.int8)
    np.testing.assert_array_equal(entropy.unpack(entropy.pack(pictures, 2))[0], pictures)


def test_neighbours_come_before() -> None:
    picture = np.arange(1, 13).reshape(1, 3, 4)
    near = [int(level[0, 2, 2]) for level in entropy.neighbours(picture)]
    assert near == [10, 7, 6, 8, 9, 3]  # W, N, NW, NE, WW, NN of 11
    assert [int(level[0, 0, 0]) for level in entropy.neighbours(picture)] == [0] * 6
    assert int(entropy.neighbours(picture)[3][0, 1, 3]) == 0  # NE of the last column


def test_neighbourhoods_are_worth_their_tables() -> None:
    images = data.load("mnist", "test").images[:1000, 0].numpy()
    levels = (images.astype(np.uint16) * 3 + 127) // 255
    counts = np.bincount(levels.ravel())
    share = counts / counts.sum()
    alone = -(share * np.log2(share)).sum() * levels.size / 8  # bytes, each pixel by itself
    assert len(entropy.pack(levels, 40, four=True)) < 0.65 * alone
