"""Pictures become figures with captions, and derivations get their reasons, on a small book."""

from __future__ import annotations

import json
import re
from pathlib import Path

import dark_figures
import derivations
import pytest
import small_book
from bs4 import BeautifulSoup, Tag

from vae_core import symbolic
from vae_core.symbolic._render import aligned, letter

ROOT = Path(__file__).parents[1]
WORDS = "Two rows of noise & nothing: the first P(z|X) < 1, the second “blank”."
ROWS = """\
import torch
from vae_core import figures
figures.digit_rows({"noise": torch.rand(4, 1, 9, 9), "blank": torch.zeros(4, 1, 9, 9)})"""
BEFORE = """\
from IPython.display import Image
import io
from PIL import Image as Pillow
plain = io.BytesIO()
Pillow.new("RGB", (20, 10), "white").save(plain, format="png")
Image(plain.getvalue())"""
WIDGET = "from vae_core import widgets\nwidgets.KLExplorer()"
CHAIN = 'from vae_core import symbolic\nsymbolic.derivation("elbo-from-kl")'
REFERS = ("markdown", "As {numref}`fig-01-c1` shows; {eq}`elbo-from-kl`.")


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = [ROWS, BEFORE, WIDGET, CHAIN, REFERS]
    folder = small_book.write(tmp_path_factory.mktemp("figures") / "b", {"01_all": cells})
    path = folder / "notebooks" / "01_all.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    for index, words in ((1, WORDS), (2, "A plain white picture, stored long ago.")):
        notebook["cells"][index]["metadata"] = {"mystnb": {"image": {"alt": words}}}
    path.write_text(json.dumps(notebook), "utf-8")
    toc = folder / "_toc.yml"
    numbered = "options: {numbered: 1}\nchapters:"
    toc.write_text(toc.read_text("utf-8").replace("chapters:", numbered), "utf-8")
    small_book.build(folder, "-W", "-n", "--keep-going")
    return folder / "_build" / "html"


@pytest.fixture(scope="module")
def article(html: Path) -> Tag:
    text = (html / "notebooks" / "01_all.html").read_text("utf-8")
    found = BeautifulSoup(text, "html.parser").article
    assert found is not None
    return found


def test_a_picture_has_its_number_and_its_words(article: Tag) -> None:
    first, second = article.select("figure")
    assert first["id"] == "fig-01-c1"
    caption = first.figcaption
    assert caption is not None
    assert caption.select_one(".caption-text").get_text() == WORDS  # type: ignore[union-attr]
    assert [f.select_one(".caption-number").get_text().strip() for f in (first, second)] == [  # type: ignore[union-attr]
        "Figure 1.1",
        "Figure 1.2",
    ]
    for image in first.select("img"):
        assert image["alt"] == "Figure 1.1, described by its caption"
    link = article.select_one('a[href="#fig-01-c1"].internal')
    assert link is not None
    assert link.get_text() == "Figure 1.1"


def test_a_widget_gets_no_second_caption(article: Tag) -> None:
    assert article.select_one("figure .vae-static, figure .vae-still") is None
    assert len(article.select(".vae-static")) == 1


def test_each_version_is_loaded_by_its_own_theme_alone(article: Tag, html: Path) -> None:
    light, dark = article.select("figure")[0].select("img")
    assert light["class"] == ["vae-in-light"]
    assert light["loading"] == "lazy"
    assert "vae-in-dark" in dark["class"]
    assert dark["loading"] == "lazy"
    files = [html / "notebooks" / str(image["src"]) for image in (light, dark)]
    drawn = [path.read_bytes() for path in files]
    assert drawn[0] != drawn[1]
    assert light["width"] == dark["width"] == "792"
    css = (html / "_static" / "figures.css").read_text("utf-8")
    assert re.search(r"\.vae-in-dark\s*\{\s*display:\s*none", css)


def test_a_picture_that_does_not_say_where_images_are_stays_as_it_is(
    article: Tag, html: Path
) -> None:
    (only,) = article.select("figure")[1].select("img")
    assert only["class"] == ["vae-in-both"]
    stored = (html / "notebooks" / str(only["src"])).read_bytes()
    assert dark_figures.boxes(stored) is None


# --- derivations ---------------------------------------------------------------------------------


def test_reasons_stand_in_the_lines_of_a_derivation(article: Tag) -> None:
    made = symbolic.derivation("elbo-from-kl")
    listed = article.select_one("ol.vae-steps")
    assert listed is not None
    steps = listed.select("li.vae-step:not(.vae-left)")
    assert [s.select_one(".vae-letter").get_text() for s in steps] == ["(a)", "(b)", "(c)", "(d)"]  # type: ignore[union-attr]
    assert len(listed.select("li.vae-left")) == 2  # new left sides
    for step, line in zip(steps, made.steps, strict=True):
        reason = step.select_one(".vae-reason")
        assert reason is not None
        words = (
            re.sub(r"\W", "", text.replace("’", "'")) for text in (reason.get_text(), line.reason)
        )
        assert len(set(words)) == 1
        assert len(step.select(".math.notranslate")) >= 1
    assert not [t for t in article.select("table") if "reason" in t.get_text()]


def test_the_number_stays_with_the_left_side(article: Tag) -> None:
    block = article.select_one("#equation-elbo-from-kl")
    assert block is not None
    assert "vae-left" in block["class"]
    assert block.select_one(".eqno") is not None
    assert "aligned" not in block.get_text()
    assert article.select_one('a[href="#equation-elbo-from-kl"]') is not None


@pytest.mark.parametrize("name", sorted(symbolic.DERIVATIONS))
def test_every_derivation_can_be_taken_apart(name: str) -> None:
    """Letters and formulas of the list are those of the chain, nothing lost and nothing added."""
    made = symbolic.derivation(name)
    tex = aligned(made)
    found = derivations.lines(tex)
    letters = [line.letter for line in found if line.letter]
    assert letters == [f"({letter(k)})" for k in range(len(made.steps))]

    def bare(text: str) -> str:
        marks = r"\\(begin|end)\{aligned\}|\\\\(\[0\.6em\])?|\\q?quad|\{\}|&|\s"
        return re.sub(marks, "", re.sub(r"\\text\{\(\w\)\}", "", text))

    assert bare("".join(line.tex for line in found)) == bare(tex)


@pytest.mark.parametrize(
    "tex",
    [
        "a = b",
        "\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}",
        "\\begin{aligned}\n\\text{(a)} \\quad & = b\n\\end{aligned}",
    ],
)
def test_another_formula_is_left_alone(tex: str) -> None:
    assert derivations.lines(tex) == []


# --- the chapters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda p: p.stem
)
def test_every_picture_of_a_chapter_has_words_and_every_words_a_picture(path: Path) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        drawn = [o["data"] for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
        figures = [data for data in drawn if "<figure" in "".join(data["text/plain"]).lower()]
        worded = bool(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"))
        assert worded == bool(figures), cell["id"]
