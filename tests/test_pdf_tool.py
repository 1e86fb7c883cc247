"""The pages joined for print: ids, links, widgets, and faults that stop it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from joined import Place, contents, join

NAV = """<nav class="bd-links"><a class="reference internal" href="#">Front</a>
<p class="caption">Chapters</p>
<a class="reference internal" href="../notebooks/01_a.html">1. First</a>
<a class="reference internal" href="../notebooks/02_b.html">Second</a></nav>"""

WIDGET = '<div class="output text_html"><div class="vae-static">live</div></div>'
STILL = '<img class="vae-still" loading="lazy" alt="a picture" src="../_images/a.png">'


def page(body: str, nav: str = "") -> str:
    return f'{nav}<article class="bd-article">{body}</article>'


@pytest.fixture
def book(tmp_path: Path) -> Path:
    pages = {
        "book/index.html": page('<section id="front"><h1>Front</h1></section>', NAV),
        "notebooks/01_a.html": page(
            '<section id="one"><h1><span class="section-number">1. </span>First'
            '<a class="headerlink" href="#one">#</a></h1>'
            '<section id="same"><h2>What \\(\\mathcal D\\) is</h2></section>'
            '<a id="out" href="02_b.html#same">there</a><a id="up" href="../book/index.html">up</a>'
            '<a id="away" href="https://example.org/x">away</a>'
            '<a id="raw" href="../a.ipynb">raw</a>'
            f"{WIDGET}{STILL}<script>1</script><details><p>solution</p></details></section>"
        ),
        "notebooks/02_b.html": page(
            '<section id="two"><h1>Second</h1><section id="same"><h2>Same</h2></section></section>'
        ),
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_contents_are_the_sidebars(book: Path) -> None:
    assert contents(book) == [
        ("book/index.html", "Front"),
        ("", "Chapters"),
        ("notebooks/01_a.html", "First"),
        ("notebooks/02_b.html", "Second"),
    ]


def test_equal_ids_of_two_pages_stay_apart_and_links_follow(book: Path) -> None:
    soup = BeautifulSoup(join(book).html, "html.parser")
    ids = [str(tag["id"]) for tag in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    links = {a.get_text(): a["href"] for a in soup.select("a")}
    assert links == {
        "there": "#notebooks-02_b--same",
        "up": "#book-index",
        "away": "https://example.org/x",
    }
    assert {link[1:] for link in links.values() if link.startswith("#")} <= set(ids)
    assert "raw" in soup.get_text()


def test_a_widget_is_its_picture_and_what_is_folded_opens(book: Path) -> None:
    soup = BeautifulSoup(join(book).html, "html.parser")
    assert not soup.select(".vae-static, script, .headerlink")
    picture = soup.select_one("img")
    assert picture is not None
    assert picture["src"] == "/_images/a.png"
    assert not picture.has_attr("loading")
    details = soup.select_one("details")
    assert details is not None
    assert details.has_attr("open")


def test_paper_takes_the_dark_ink_and_the_caption(book: Path) -> None:
    path = book / "notebooks/02_b.html"
    figure = (
        '<figure id="fig-02-x"><img class="vae-in-light" src="../_images/l.png">'
        '<img class="vae-in-dark" loading="lazy" src="../_images/d.png">'
        "<figcaption>Figure 2.1</figcaption></figure>"
    )
    path.write_text(path.read_text("utf-8").replace("</article>", f"{figure}</article>"), "utf-8")
    made = BeautifulSoup(join(book).html, "html.parser").select_one("#notebooks-02_b--fig-02-x")
    assert made is not None
    assert [image["src"] for image in made.select("img")] == ["/_images/l.png"]
    assert made.get_text() == "Figure 2.1"


def test_places_name_and_number_the_chapters(book: Path) -> None:
    assert join(book).places == [
        Place("book-index", "Front", 1),
        Place("part-chapters", "Chapters", 0),
        Place("notebooks-01_a", "1 First", 1),
        Place("notebooks-01_a--same", "What D is", 2),
        Place("notebooks-02_b", "2 Second", 1),
        Place("notebooks-02_b--same", "Same", 2),
    ]


def test_a_reference_to_nothing_stops_it(book: Path) -> None:
    path = book / "notebooks/02_b.html"
    path.write_text(page('<p id="same"></p><a href="01_a.html#gone">x</a>'), "utf-8")
    with pytest.raises(ValueError, match=r"01_a\.html#gone, which is not there"):
        join(book)


def test_a_widget_without_its_picture_stops_it(book: Path) -> None:
    (book / "notebooks/02_b.html").write_text(page(WIDGET), "utf-8")
    with pytest.raises(ValueError, match="no still picture"):
        join(book)
