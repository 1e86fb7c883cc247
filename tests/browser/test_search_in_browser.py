"""The search of a small book: both spellings, questions, and chapters before methods."""

from __future__ import annotations

import json

import pytest
import small_book
from playwright.sync_api import Browser
from search_order import SearchBook
from test_search_order import ALIKE, LANGUAGE

API = "# Models\n\nThe reparameterization and the ELBO, KL divergence of a Gaussian: methods.\n"
CHAPTER = "The ELBO and the KL divergence of a Gaussian. The reparameterization trick."
BLUR = "A VAE gives blurred images, because the decoder gives a mean."


def test_a_query_is_folded_as_the_index_is(browser: Browser) -> None:
    words = sorted({word for pair in ALIKE for word in pair} | {"elbo", "divergence", "vae"})
    page = browser.new_page()
    stems = page.evaluate(
        f"{SearchBook.js_stemmer_code}; (() => {{ const stemmer = new Stemmer();"
        f"return {json.dumps(words)}.map((word) => stemmer.stemWord(word)); }})()"
    )
    page.close()
    assert stems == [LANGUAGE.stem(word) for word in words]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = small_book.write(
        tmp_path_factory.mktemp("searched") / "book",
        {"04_kl": [("markdown", CHAPTER)], "10_blur": [("markdown", BLUR)]},
    )
    (folder / "book" / "api").mkdir()
    (folder / "book" / "api" / "models.md").write_text(API, "utf-8")
    toc = folder / "_toc.yml"
    toc.write_text(toc.read_text("utf-8") + "- file: book/api/models\n", "utf-8")
    small_book.build(folder)
    return (folder / "_build" / "html" / "search.html").as_uri()


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("ELBO", "04_kl"),
        ("KL divergence Gaussian", "04_kl"),
        ("reparameterisation", "04_kl"),
        ("reparameterization", "04_kl"),
        ("why is my VAE blurry", "10_blur"),
    ],
)
def test_the_first_result_is_the_chapter(
    built: str, browser: Browser, query: str, first: str
) -> None:
    page = browser.new_page()
    page.goto(f"{built}?q={query.replace(' ', '+')}")
    link = page.locator("ul.search li a").first
    link.wait_for()
    assert first in (link.get_attribute("href") or "")
    page.close()
