"""What the book mends for screen readers, and the picture that stands beside a widget."""

from __future__ import annotations

import pytest
from access import PICTURE, mend

from vae_core import widgets
from vae_core.widgets._base import BrowserWidget

KINDS = [getattr(widgets, name) for name in widgets.__all__]
KINDS = [kind for kind in KINDS if isinstance(kind, type) and issubclass(kind, BrowserWidget)]


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        (
            '<a href="#">API</a><details><summary><i></i></summary>',
            '<a href="#">API</a><details><summary aria-label="Pages of API"><i></i></summary>',
        ),
        ('<th class="head"><p></p></th>', "<td></td>"),
        ('<th class="head"><p>x</p></th>', '<th class="head"><p>x</p></th>'),
        (
            '<div class="citation" id="id1" role="doc-biblioentry">',
            '<div class="citation" id="id1" role="listitem">',
        ),
        (
            '<div id="pst-primary-sidebar" class="bd-sidebar">',
            '<div id="pst-primary-sidebar" class="bd-sidebar" role="region" aria-label="Sidebar">',
        ),
    ],
)
def test_mending(written: str, mended: str) -> None:
    assert mend(written) == mended
    assert mend(mended) == mended


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_widget_says_what_its_picture_shows(kind: type[BrowserWidget]) -> None:
    assert len(kind.PICTURE) >= 80
    assert kind.PICTURE.endswith(".")


def test_a_widget_carries_its_words_to_the_page() -> None:
    page = widgets.ELBOExplorer().to_html()
    found = PICTURE.search(page)
    assert found
    assert found[1] == widgets.ELBOExplorer.PICTURE.replace("'", "&#x27;")
