"""Sphinx extension: the search finds both spellings and puts chapters before methods.

Words are folded before they are stemmed, alike in the index (here) and in the query
(search_order.js): "reparametrisation" and "reparameterization" are one word, and so are "blurry"
and "blurred". Words of questions ("why is my ...") are left out: Sphinx wants all words on a page.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

SCRIPT = Path(__file__).with_suffix(".js")
# (what is replaced, by what), in this order; JavaScript reads the same list.
FOLDS = [
    (r"is(e|ed|es|er|ers|ing|ation|ations)$", r"iz$1"),
    (r"^(re)?parametriz", "$1parameteriz"),
    (r"^blur(ry|red|rier|riness|ring)$", "blur"),
    (r"^grey", "gray"),
    (r"^colour", "color"),
    (r"^(learnt)$", "learned"),
]
QUESTION_WORDS = {
    "why", "how", "what", "when", "which", "who", "my", "me", "i", "you", "your", "does", "do",
    "did", "can", "should", "am", "has", "have", "so", "very", "all", "get",
}  # fmt: skip


def fold(word: str) -> str:
    """One spelling for all spellings of a word."""
    for found, better in FOLDS:
        word = re.sub(found, better.replace("$1", r"\g<1>"), word)
    return word


class SearchBook(SearchEnglish):
    """English, with one spelling; its script also holds the order of the results."""

    lang = "en"
    stopwords = SearchEnglish.stopwords | QUESTION_WORDS
    js_stemmer_code = (
        SearchEnglish.js_stemmer_code
        + f"\nvar vaeFolds = {json.dumps(FOLDS)};\n"
        + SCRIPT.read_text("utf-8")
    )

    def stem(self, word: str) -> str:
        return super().stem(fold(word.lower()))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(SearchBook)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
