"""Both spellings are one word, in the index and in the browser's query."""

from __future__ import annotations

import pytest
from search_order import SearchBook

ALIKE = [
    ("reparameterisation", "reparameterization"),
    ("reparametrization", "reparameterization"),
    ("reparametrisation", "reparameterisation"),
    ("blurry", "blurred"),
    ("normalising", "normalizing"),
    ("binarised", "binarized"),
    ("amortisation", "amortization"),
    ("grey", "gray"),
]
LANGUAGE = SearchBook({})


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_spellings_are_one_word_in_the_index(first: str, second: str) -> None:
    assert LANGUAGE.stem(first) == LANGUAGE.stem(second)


def test_different_words_stay_different() -> None:
    words = ["prior", "posterior", "likelihood", "encoder", "decoder", "rate", "blur", "bias"]
    assert len({LANGUAGE.stem(word) for word in words}) == len(words)
