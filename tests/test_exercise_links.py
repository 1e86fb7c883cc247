"""Each exercise of a page leads to where it can be done: to a desk, or to its notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import exercise_links
import normalise
import pytest
import stored
from docutils import nodes
from docutils.utils import new_document
from helpers import ROOT

from vae_core.symbolic.entries import ENTRIES
from vae_core.symbolic.tasks import TASKS

LABELS = re.compile(r"\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)")
THEME = {
    "launch_buttons": {"colab_url": "https://colab.example"},
    "repository_url": "https://github.com/a/b",
    "repository_branch": "trunk",
}


@pytest.mark.parametrize("path", stored.chapters(ROOT), ids=lambda path: path.stem)
def test_every_exercise_of_the_book_has_its_place_in_the_edition(path: Path) -> None:
    texts = [
        normalise.text_of(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]
    ]
    labels = {label for text in texts for label in LABELS.findall(text)}
    assert labels
    edition = stored.edition(path, ROOT)
    found = exercise_links.cells(edition)
    assert labels <= set(found)
    ids = [cell["id"] for cell in json.loads(edition.read_text("utf-8"))["cells"]]
    assert set(found.values()) <= set(ids)
    # What a desk of the chapter judges, one of its exercises asks for.
    page = new_document("page")
    page += [nodes.literal_block("", text) for text in texts if "DerivationDesk(" in text]
    judged = exercise_links.desks(page) & (set(TASKS) | set(ENTRIES))
    assert judged
    assert judged & set(exercise_links.CHECK.findall("\n".join(texts)))


def test_a_desk_is_known_by_its_cell() -> None:
    page = new_document("page")
    page += nodes.literal_block("", 'widgets.DerivationDesk(\n    ["kl-1d"], ["rise", "fall"]\n)')
    page += nodes.literal_block("", 'exercises.check("other", lines)')
    assert exercise_links.desks(page) == {"rise", "fall"}


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, "https://colab.example/github/a/b/blob/trunk/notebooks/run/01_x.ipynb"),
        (
            {"repository_url": "https://github.com/a/b.git/"},
            "https://colab.example/github/a/b/blob/trunk/notebooks/run/01_x.ipynb",
        ),
        ({"repository_url": "https://elsewhere.example/a/b"}, ""),
        ({"launch_buttons": {}}, ""),
    ],
)
def test_where_colab_opens_an_edition(change: dict[str, Any], address: str) -> None:
    assert exercise_links.colab({**THEME, **change}, "01_x") == address
