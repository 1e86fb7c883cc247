"""Claims become marks in the text, folded code a word, and nothing is lost: on small pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joined
import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from helpers import ROOT

from vae_core.notebook import CLAIMS

CONF = """
extensions = ["myst_nb", "claims_register", "quiet_proof"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
nb_merge_streams = True
html_static_path = [{static!r}]
root_doc = "book/claims"
exclude_patterns = ["_build"]
"""
REGISTER = """# Register

```{claims-register}
```

```{toctree}
../notebooks/01_one
```
"""
text = nbformat.v4.new_markdown_cell
counted = iter(range(1, 1000))


def cell(
    *claims: dict[str, Any], tags: Sequence[str] = (), html: str = "", says: str = "", code: str
) -> nbformat.NotebookNode:
    """An executed cell with these claims, that shows ``html`` and prints ``says`` besides."""
    made = nbformat.v4.new_code_cell(code)
    made.metadata["tags"] = list(tags)
    printed = says + "".join(f"✓ {claim['sentence']}\n" for claim in claims)
    if printed:
        made.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=printed))
    if html:
        made.outputs.append(nbformat.v4.new_output("display_data", data={"text/html": html}))
    if claims:
        kept = {"name": f"claims-{next(counted)}", "mime_prefix": "application/vnd.vae-core."}
        output = nbformat.v4.new_output(
            "display_data", data={CLAIMS: list(claims)}, metadata={"scrapbook": kept}
        )
        made.outputs.append(output)
    return made


HIDE, WHOLE = ["hide-input"], ["hide-cell"]
FIRST = {"sentence": "a < b & c", "refuted_by": "b refitted", "margin": 3.2, "seeds": 3}
CELLS = [
    text("# First things\n\nAn opening."),
    cell(tags=WHOLE, code="import first"),
    cell(tags=WHOLE, code="import second"),
    text("## Codes\n\nSome words. A sentence with a proof."),
    cell(FIRST, {"sentence": "the gap is 0.25"}, tags=HIDE, code="prove_a()"),
    cell({"sentence": "and once more"}, tags=HIDE, code="prove_again()"),
    text("- one\n- two, which is proved\n\nA table follows."),
    cell(
        {"sentence": "of the table"},
        tags=HIDE,
        html="<table><tr><td>7</td></tr></table>",
        code="table()",
    ),
    text("- one\n- two, with a mark"),
    cell({"sentence": "of the list"}, tags=WHOLE, code="prove_list()"),
    text("## Images"),
    cell({"sentence": "after a heading"}, tags=HIDE, code="prove_heading()"),
    cell({"sentence": "of shown code"}, says="loss 2.5\n", code="shown_code()"),
    text("The formula\n\n$$a = b$$"),
    cell({"sentence": "after a formula"}, tags=HIDE, code="prove_formula()"),
    text("A picture."),
    cell(tags=HIDE, html="<b>picture</b>", code="draw()"),
    cell({"sentence": "of the picture"}, tags=HIDE, code="prove_picture()"),
    text("Ask."),
    cell(tags=HIDE, html='<form class="vae-quiz"></form>', code="quiz(right=True)"),
    cell(code="nothing_said()"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    (root / "notebooks").mkdir()
    (root / "book").mkdir()
    extension, static = str(ROOT / "book" / "_ext"), str(ROOT / "book" / "_static")
    path = f"import sys\nsys.path.insert(0, {extension!r})\n"
    (root / "conf.py").write_text(path + CONF.format(static=static), encoding="utf-8")
    (root / "book/claims.md").write_text(REGISTER, encoding="utf-8")
    notebook = nbformat.v4.new_notebook(cells=CELLS)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.kernelspec = kernel
    nbformat.write(notebook, root / "notebooks/01_one.ipynb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "."]
    done = subprocess.run(
        [*command, "_build/html"], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "_build/html"


@pytest.fixture(scope="module")
def page(built: Path) -> BeautifulSoup:
    return BeautifulSoup((built / "notebooks/01_one.html").read_text("utf-8"), "html.parser")


def words(tag: Tag | None) -> str:
    assert tag is not None
    return " ".join(tag.get_text(" ").split())


def mark_of(page: BeautifulSoup, sentence: str) -> Tag:
    """The mark that shows a claim, which must be the only one."""
    (found,) = [m for m in page.select("details.vae-proof") if sentence in words(m)]
    return found


def before(mark: Tag) -> str:
    """The text that the mark stands behind, on its own line."""
    other = mark.find_previous_sibling()
    return words(other) if other is not None else ""


def code_in(tag: Tag) -> list[str]:
    return [code.get_text().strip() for code in tag.select("pre")]


def test_a_mark_ends_the_paragraph_and_tells_all_that_is_known(page: BeautifulSoup) -> None:
    mark = mark_of(page, "a < b & c")
    assert before(mark) == "Some words. A sentence with a proof."
    assert mark.summary is not None
    assert mark.summary.get_text() == "✓"
    # Two cells in a row prove one paragraph: one mark.
    assert mark.summary["aria-label"] == "Proof: 3 claims"
    assert [[words(p) for p in item.select("p")] for item in mark.select("li")] == [
        ["a < b & c", "Refuted by: b refitted", "Holds by: margin 3.2 standard errors, 3 seeds"],
        ["the gap is 0.25"],
        ["and once more"],
    ]
    assert code_in(mark) == ["prove_a()", "prove_again()"]
    assert [words(d.summary) for d in mark.select("details")] == ["Show the code"] * 2
    assert not mark.has_attr("open")


def test_it_is_valid_without_script(page: BeautifulSoup) -> None:
    for mark in page.select("details.vae-proof"):
        assert not re.search(r"\son\w+=|\sstyle=|<script", str(mark))
        assert mark.find_parent("p") is None  # a browser would end the paragraph there
        assert mark.find_parent("details") is None
    names = [tag["id"] for tag in page.select("[id]")]
    assert len(set(names)) == len(names)


def test_a_cell_that_only_claims_is_gone(page: BeautifulSoup) -> None:
    outside = [code for code in page.select("pre") if not code.find_parent(class_="vae-proof")]
    assert any("draw()" in code.get_text() for code in outside)
    assert not any("prove_" in code.get_text() for code in outside)
    assert all("✓ " not in pre.get_text() for pre in page.select("pre"))


def test_a_cell_that_shows_more_keeps_it_and_its_code(page: BeautifulSoup) -> None:
    mark = mark_of(page, "of the table")
    assert before(mark) == "A table follows."
    (cell,) = [c for c in page.select("div.cell") if "table()" in c.get_text()]
    assert words(cell.select_one("table")) == "7"
    fold = cell.select_one("details.vae-code")
    assert fold is not None
    assert words(fold.summary) == "code"
    assert code_in(fold) == ["table()"]
    assert code_in(mark) == []
    link = mark.select_one(".vae-to-code, .vae-to-code a")
    assert link is not None
    assert link["href"] == f"#{fold['id']}"
    assert "of the table" not in words(cell)


def test_a_list_gets_its_mark_at_the_end_of_its_last_item(page: BeautifulSoup) -> None:
    mark = mark_of(page, "of the list")
    assert before(mark) == "two, with a mark"
    assert mark.find_parent("li") is not None
    assert code_in(mark) == ["prove_list()"]


@pytest.mark.parametrize(
    "sentence", ["after a heading", "of shown code", "after a formula", "of the picture"]
)
def test_without_text_before_it_a_mark_stands_by_itself(page: BeautifulSoup, sentence: str) -> None:
    mark = mark_of(page, sentence)
    assert mark.parent is not None
    assert "vae-alone" in mark.parent["class"]
    assert before(mark) == ""


def test_after_another_cell_a_mark_stands_at_its_corner(page: BeautifulSoup) -> None:
    cell = mark_of(page, "of the picture").find_parent("div", class_="cell")
    assert isinstance(cell, Tag)
    assert "draw()" in cell.get_text()
    # The mark, and then the word for the picture's code, in one row.
    assert [words(d.summary) for d in cell.select("details")] == ["✓", "Show the code", "code"]


def test_shown_code_stays_and_so_does_what_it_prints(page: BeautifulSoup) -> None:
    mark = mark_of(page, "of shown code")
    cell = mark.find_parent("div", class_="cell")
    assert isinstance(cell, Tag)
    assert code_in(cell) == ["shown_code()", "loss 2.5"]
    assert "Show the code" not in words(mark)
    plain = [c for c in page.select("div.cell") if "nothing_said()" in c.get_text()]
    assert len(plain) == 1
    assert not plain[0].select("details")


def test_other_folded_code_is_a_word_under_what_it_shows(page: BeautifulSoup) -> None:
    (cell,) = [c for c in page.select("div.cell") if "draw()" in c.get_text()]
    fold = cell.select_one("details.vae-code")
    assert fold is not None
    assert words(fold.summary) == "code"
    assert fold.summary is not None
    assert fold.summary["aria-label"] == "Show the code"
    picture = cell.select_one("b")
    assert picture in fold.find_all_previous("b")
    assert code_in(fold) == ["draw()"]


def test_what_prepares_is_one_word(page: BeautifulSoup) -> None:
    (fold,) = [d for d in page.select("details") if words(d.summary) == "Set-up code"]
    assert code_in(fold) == ["import first", "import second"]


def test_a_quiz_does_not_tell_its_answers(page: BeautifulSoup) -> None:
    assert page.select_one("form.vae-quiz")
    assert "right=True" not in page.get_text()


def test_the_register_and_the_marks_lead_to_each_other(page: BeautifulSoup, built: Path) -> None:
    html = (built / "book/claims.html").read_text("utf-8")
    register = BeautifulSoup(html, "html.parser")
    links = register.select(".vae-claims-register li a")
    assert len(links) == 9
    for link in links:
        path, _, anchor = str(link["href"]).partition("#")
        assert path == "../notebooks/01_one.html"
        target = page.select_one(f"#{anchor}")
        assert target is not None
        assert words(link) in words(target)
        # The target lies within the box, so that browsers open it.
        assert target.find_parent("details", class_="vae-proof") is not None
    for mark in page.select("details.vae-proof"):
        link = mark.select_one(".vae-proof-more a")
        assert link is not None
        path, _, anchor = str(link["href"]).partition("#")
        assert path == "../book/claims.html"
        target = register.select_one(f"#{anchor}")
        assert target is not None
        assert target.find_parent("details", class_="vae-claims") is not None


def test_print_has_plain_marks_where_links_arrive(page: BeautifulSoup, tmp_path: Path) -> None:
    body = page.select_one("div.body, article, section#first-things")
    (tmp_path / "one.html").write_text(
        f'<article class="bd-article">{body}</article>', encoding="utf-8"
    )
    printed = joined.article(tmp_path, "one.html")
    marks = printed.select(".vae-mark")
    assert [words(mark) for mark in marks] == ["✓"] * len(page.select("details.vae-proof"))
    assert "Refuted by" not in printed.get_text()
    assert "Show the code" not in printed.get_text()
    assert "Set-up code" not in printed.get_text()
    ids = {tag["id"] for tag in printed.select("[id]")}
    assert {tag["id"] for tag in page.select(".vae-proof-cell")} <= ids
