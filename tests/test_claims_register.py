"""The register of claims is what the executed chapters say, and where they say it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import claims_register
import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from helpers import ROOT

from benchmarks.mutants import _keep
from vae_core.notebook import CLAIMS

CONF = """
extensions = ["myst_nb", "claims_register"]
nb_execution_mode = "off"
nb_merge_streams = True
html_static_path = [{static!r}]
root_doc = "book/claims"
exclude_patterns = ["_build"]
suppress_warnings = ["toc.not_included"]
"""

PAGE = """# Register

```{claims-register}
```

```{toctree}
../notebooks/01_one
../notebooks/02_two
```
"""


def asserting(number: int, *claims: dict) -> nbformat.NotebookNode:
    """A code cell that was executed, and asserted ``claims``."""
    cell = nbformat.v4.new_code_cell("claim(...)")
    printed = "".join(f"✓ {claim['sentence']}\n" for claim in claims)
    kept = {"name": f"claims-{number}", "mime_prefix": "application/vnd.vae-core."}
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=printed),
        nbformat.v4.new_output(
            "display_data", data={CLAIMS: list(claims)}, metadata={"scrapbook": kept}
        ),
    ]
    return cell


def write(root: Path, name: str, *cells: nbformat.NotebookNode) -> None:
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, root / "notebooks" / name)


def build(root: Path) -> BeautifulSoup:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        ".",
        "_build/html",
    ]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return BeautifulSoup((root / "_build/html/book/claims.html").read_text("utf-8"), "html.parser")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of a book of two chapters and the register."""
    root = tmp_path_factory.mktemp("book")
    for folder in ("notebooks", "book", "benchmarks/results", "benchmarks/mutants"):
        (root / folder).mkdir(parents=True)
    extension, static = str(ROOT / "book" / "_ext"), str(ROOT / "book" / "_static")
    path = f"import sys\nsys.path.insert(0, {extension!r})\n"
    (root / "conf.py").write_text(path + CONF.format(static=static), encoding="utf-8")
    (root / "book/claims.md").write_text(PAGE, encoding="utf-8")
    heading = nbformat.v4.new_markdown_cell
    write(
        root,
        "01_one.ipynb",
        heading("# First things"),
        heading("## Codes"),
        asserting(
            1,
            {"sentence": "a < b & c", "refuted_by": "b refitted", "margin": 3.2, "seeds": 3},
            {"sentence": "the gap is 0.25", "margin": "1.7 x"},
        ),
        heading("## Images"),
        asserting(2, {"sentence": "d", "margin": "exact", "seeds": 1}),
    )
    write(root, "02_two.ipynb", heading("# Second things"), asserting(1, {"sentence": "e"}))
    record = {
        "01_one": {
            "claims": [
                {
                    "sentence": "a < b & c",
                    "tried": 3,
                    "killed_by": ["noise", "x for y"],
                    "survived": [],
                },
                {
                    "sentence": "the gap is 0.26",
                    "tried": 1,
                    "killed_by": ["labels"],
                    "survived": [],
                },
                {"sentence": "d", "tried": 4, "killed_by": [], "survived": ["noise"]},
            ]
        }
    }
    (root / claims_register.RECORD).write_text(json.dumps(record), encoding="utf-8")
    spared = '[[claim]]\nchapter = "01_one"\nsentence = "d"\nreason = "it is arithmetic"\n'
    (root / claims_register.SPARED).write_text(spared, encoding="utf-8")
    return root


def items(page: BeautifulSoup) -> list[Tag]:
    return page.select(".vae-claims-register li")


def said(item: Tag) -> list[str]:
    return [" ".join(p.get_text().split()) for p in item.select("p")]


def test_every_claim_is_there_with_what_is_known_of_it(root: Path) -> None:
    page = build(root)
    boxes = page.select(".vae-claims-register details")
    heads = [" ".join(box.summary.get_text().split()) for box in boxes if box.summary]
    assert heads == ["1. First things 3 claims", "2. Second things 1 claim"]
    assert [said(item) for item in items(page)] == [
        [
            "a < b & c",
            "Refuted by: b refitted",
            "Holds by: margin 3.2 standard errors, 3 seeds",
            "Fails with: noise; x for y",
        ],
        # The number differs from the one on the machine that tried.
        ["the gap is 0.25", "Holds by: margin 1.7 x", "Fails with: labels"],
        ["d", "Holds by: exact, 1 seed", "Fails with: none of 4 changes: it is arithmetic"],
        ["e", "Fails with: not yet tried"],
    ]


def test_a_claim_leads_to_its_section(root: Path) -> None:
    page = build(root)
    links = [item.select_one("a") for item in items(page)]
    targets = [link["href"] for link in links if link]
    assert targets[0] == targets[1] == "../notebooks/01_one.html#codes"
    assert targets[2] == "../notebooks/01_one.html#images"
    chapter = BeautifulSoup(
        (root / "_build/html/notebooks/01_one.html").read_text("utf-8"), "html.parser"
    )
    for target in ("codes", "images"):
        assert chapter.select_one(f"#{target}")
    shown = chapter.select_one(".bd-article, .body")
    assert shown is not None
    assert "refuted" not in shown.get_text()  # the record is not on the page


def test_the_register_follows_a_chapter_that_changed(root: Path) -> None:
    build(root)
    write(
        root,
        "02_two.ipynb",
        nbformat.v4.new_markdown_cell("# Second things"),
        asserting(1, {"sentence": "f"}),
    )
    assert said(items(build(root))[-1])[0] == "f"
    record = json.loads((root / claims_register.RECORD).read_text("utf-8"))
    record["02_two"] = {
        "claims": [{"sentence": "f", "tried": 1, "killed_by": ["z"], "survived": []}]
    }
    (root / claims_register.RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert said(items(build(root))[-1])[-1] == "Fails with: z"


def test_its_script_and_style_are_on_its_page_alone(root: Path) -> None:
    build(root)
    for page, there in (("book/claims", True), ("notebooks/01_one", False)):
        html = (root / f"_build/html/{page}.html").read_text("utf-8")
        for name in claims_register.PAGE:
            assert bool(re.search(rf"_static/{re.escape(name)}", html)) is there


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({}, ""),
        ({"margin": 12.0}, "margin 12 standard errors"),
        ({"margin": "exact", "seeds": 5}, "exact, 5 seeds"),
        ({"margin": "0.3 nats"}, "margin 0.3 nats"),
        ({"seeds": 2}, "2 seeds"),
    ],
)
def test_margins_in_words(claim: dict, words: str) -> None:
    assert claims_register.margin_of(claim) == words


def test_it_knows_what_mutations_write() -> None:
    assert ROOT / claims_register.RECORD == _keep.PATH
    for sentence in ("a 0.25 b", "−3.1e-05 and 1,250", "none"):
        assert claims_register.masked(sentence) == _keep.masked(sentence)
