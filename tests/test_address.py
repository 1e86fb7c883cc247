"""While the repository has no address, pages link to none and say what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from helpers import ROOT

pytest.importorskip("sphinx")

import address
import repository

PAGE = "At <{{ repository }}/tree/main/x>. {{ address_note }}{{ rocket_note }}"


def book(url: str) -> Any:
    options = {"repository_url": url}
    return SimpleNamespace(config=SimpleNamespace(html_theme_options=options))


def test_the_placeholder_is_no_link() -> None:
    app, source = book(address.PLACEHOLDER), [PAGE]
    address.say(app, "page", source)
    assert source[0].startswith("At `{{ repository }}/tree/main/x`. (")
    assert source[0].count("make repository URL=") == 2


def test_an_address_is_linked_and_nothing_is_said_of_it() -> None:
    app, source = book("https://github.com/a/b"), [PAGE]
    address.say(app, "page", source)
    assert source == ["At <{{ repository }}/tree/main/x>. "]


def test_the_notes_stand_where_the_address_and_the_rocket_are_named() -> None:
    for name in ("index", "how_to_read", "about", "teaching"):
        text = (ROOT / "book" / f"{name}.md").read_text("utf-8")
        if "{{ repository }}" in text:
            assert "{{ address_note }}" in text, name
        if "In Colab**" in text:
            assert "{{ rocket_note }}" in text, name


def test_the_readme_says_how_to_replace_the_address() -> None:
    url = repository.configured(ROOT)
    if url == address.PLACEHOLDER:
        text = (ROOT / "README.md").read_text("utf-8")
        assert "placeholder" in text
        assert "make repository URL=" in text
