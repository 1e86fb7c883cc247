"""The notebooks that readers run: current, without raw markup, live, and silent about answers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import editions
import nbformat
import normalise
import pytest
import stored
import vae_book
from edition import book, cells, myst
from helpers import ROOT
from nbclient import NotebookClient

from vae_core import _edition, notebook
from vae_core.symbolic import derivation

CHAPTERS = stored.chapters(ROOT)
HANDED_OUT = [*stored.editions(ROOT), *stored.assignments(ROOT), *stored.students(ROOT)]
# What VS Code's own renderers show; an output that has none of these is an error message there.
SHOWN = {"text/html", "text/markdown", "text/latex", "text/plain", "image/png", "image/svg+xml"}
COLAB = "https://colab.research.google.com/github/a/b/blob/main"
FOLDED = re.compile(r"#@title [^{}\n][^\n]* \{ display-mode: \"form\" \}\n")


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


def source(cell: dict[str, Any]) -> str:
    return normalise.text_of(cell["source"])


def prose(found: dict[str, Any]) -> list[str]:
    """All Markdown that a reader of the notebook sees: its text cells and what cells show."""
    texts = [source(cell) for cell in found["cells"] if cell["cell_type"] == "markdown"]
    for cell in found["cells"]:
        for output in cell.get("outputs", []):
            texts.append(normalise.text_of(output.get("data", {}).get("text/markdown", "")))
    return texts


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def edition(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(stored.edition(request.param, ROOT))


def test_every_chapter_has_its_edition_of_today() -> None:
    assert editions.main(["--check"], ROOT) == 0
    tracked = subprocess.check_output(
        ["git", "ls-files", stored.EDITIONS], cwd=ROOT, text=True
    ).split()
    assert tracked == sorted(f"{stored.EDITIONS}/{path.name}" for path in CHAPTERS)


def test_a_changed_chapter_makes_its_edition_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small(tmp_path, "Text.")
    assert editions.main([], root) == 0
    assert editions.main(["--check"], root) == 0
    path = root / "notebooks" / "03_small.ipynb"
    path.write_text(path.read_text().replace("Text.", "Other text."))
    assert editions.main(["--check"], root) == 1
    assert "notebooks/run/03_small.ipynb: not today's" in capsys.readouterr().err


@pytest.mark.parametrize("path", HANDED_OUT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_cell_shows_raw_markup(path: Path) -> None:
    assert [place for text in prose(read(path)) for place in myst.raw(text)] == []


def test_the_chapters_themselves_do() -> None:
    """The finder of markup finds it where it is: some hundred places in the sources."""
    found = [place for path in CHAPTERS for text in prose(read(path)) for place in myst.raw(text)]
    assert sum("glue:text" in place for place in found) > 300
    assert sum(place.startswith("directive: {exercise}") for place in found) > 50


@pytest.mark.parametrize(
    "text",
    [
        "See {cite:t}`kingma2013`.", "{eq}`a`", "$$\na\n$$ (label)", "(here)=\n# A", "% a comment",
        "```{note}\nA\n```", ":::{note}\nA\n:::", "+++", "Term\n: definition", "A[^1]\n\n[^1]: b",
        "{{ reading_time }}", "[a](../book/notation.md)", "![a](picture.png)", "It is «a:.2f».",
        "- one\n\n  ```{figure} a.png\n  ```", "> {glue:text}`x`", ":field: value", "`a`{.python}",
    ],
)  # fmt: skip
def test_every_construct_is_found(text: str) -> None:
    assert myst.raw(text)


@pytest.mark.parametrize(
    "text",
    [
        "A `{glue:text}` in code.", "$$\na_{b}\n\\tag{3.1}\n$$", "| a | b |\n|---|---|\n| 1 | 2 |",
        "> **Note.** quoted", "<details>\n<summary>a</summary>\n\n$x$\n\n</details>", "[(1)](#a)",
        "```python\nf'{a}`b`'\n```", "- [ ] a task", "{ braces } of $\\{a\\}$",
    ],
)  # fmt: skip
def test_plain_markdown_is_left_in_peace(text: str) -> None:
    assert myst.raw(text) == []


class TestStored:
    def test_it_is_small_enough_and_valid(self, edition: dict[str, Any]) -> None:
        assert len(normalise.dump(edition).encode()) < editions.MAX_BYTES == 900_000
        nbformat.validate(nbformat.from_dict(edition))

    def test_links_within_it_have_their_place(self, edition: dict[str, Any]) -> None:
        texts = "\n".join(prose(edition))
        places = set(re.findall(r'<a id="([\w-]+)" name="\1"></a>', texts))
        assert set(re.findall(r"\]\(#([\w-]+)\)", texts)) <= places

    def test_what_the_page_hides_is_folded(self, edition: dict[str, Any]) -> None:
        for cell in edition["cells"]:
            hidden = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
            assert hidden == (cell["metadata"].get("cellView") == "form")
            assert hidden == bool(FOLDED.match(source(cell)))

    def test_every_output_is_of_a_type_that_front_ends_show(self, edition: dict[str, Any]) -> None:
        for cell in edition["cells"]:
            for output in cell.get("outputs", []):
                assert set(output.get("data", {"text/plain": ""})) <= SHOWN

    def test_the_quiz_keeps_its_answers_to_itself(self, edition: dict[str, Any]) -> None:
        (cell,) = [c for c in edition["cells"] if "folded_quiz(" in source(c)]
        (sealed,) = re.findall(r'folded_quiz\("(.*)"\)', source(cell))
        for question in _edition.unseal(sealed):
            assert sum(right for *_, right in question["choices"]) == 1
            for answer, feedback, _ in question["choices"]:
                assert answer not in source(cell)
                assert feedback not in source(cell)
                assert feedback not in cell["outputs"][0]["data"]["text/plain"]
        assert "right=" not in source(cell)
        page = cell["outputs"][0]["data"]["text/html"]
        # Closed by the browser itself: without styles and scripts no answer shows.
        outside = re.sub(r"<blockquote>.*?</blockquote></details>", "", page)
        assert "Right." not in outside
        assert "Not quite." not in outside
        assert not re.search(r"<details[^>]*\bopen", page)
        assert "<style" not in page
        assert "<script" not in page

    def test_every_exercise_can_be_answered_and_its_solution_is_folded(
        self, edition: dict[str, Any]
    ) -> None:
        ids = [cell["id"] for cell in edition["cells"]]
        texts = {cell["id"]: source(cell) for cell in edition["cells"]}
        headed = [name for name, text in texts.items() if "### Exercise " in text]
        assert headed
        for name in headed:
            assert f"{name}-answer" in ids
            text = texts[name] + texts.get(f"{name}-text", "")
            for check in re.findall(r"`exercises\.check\(\"(\w+)\"", re.sub(r"\s+", " ", text)):
                assert f'exercises.check("{check}"' in texts[f"{name}-check"]
        for text in texts.values():
            for found in re.finditer(r"Solution to Exercise", text):
                assert re.search(r"(<summary><b>|#@title )$", text[: found.start()])

    def test_sentences_show_the_books_numbers_before_a_run(self, edition: dict[str, Any]) -> None:
        shown = [c for c in edition["cells"] if "\nnumbers(" in source(c)]
        assert shown
        for cell in shown:
            (output,) = cell["outputs"]
            assert "«" not in output["data"]["text/markdown"]
            assert output["metadata"]["vae_core"]["from_book"]


# --- what a chapter becomes -------------------------------------------------------------------

CODE = """\
import numpy as np

from vae_core import symbolic
from vae_core.notebook import Choice, Question, glue, quiz

seed = 0
"""
DRAW = """\
draws = np.random.default_rng(seed).normal(size=3)
glue("first", draws[0])
glue("pair", f"{draws[1]:.3f} ± 0.020")
glue("small", -7.1e-6 * (seed + 1))
"""


def small(folder: Path, *texts: str, code: tuple[str, ...] = ()) -> Path:
    """A book of one chapter, 3, whose texts stand before its code."""
    (folder / "notebooks").mkdir()
    (folder / "book").mkdir()
    for name in ("_config.yml", "book/references.bib", "book/notation.md"):
        (folder / name).symlink_to(ROOT / name)
    toc = "root: book/notation\nchapters:\n  - file: notebooks/03_small\n"
    (folder / "_toc.yml").write_text(toc)
    made = [nbformat.v4.new_markdown_cell("# Small")]
    made += [nbformat.v4.new_markdown_cell(text) for text in texts]
    made += [nbformat.v4.new_code_cell(text) for text in code]
    nbformat.write(nbformat.v4.new_notebook(cells=made), folder / "notebooks" / "03_small.ipynb")
    return folder


def made_from(folder: Path, *texts: str, code: tuple[str, ...] = ()) -> dict[str, Any]:
    root = small(folder, *texts, code=code)
    return dict(json.loads(editions.edition(root / "notebooks" / "03_small.ipynb", root)))


def executed(found: dict[str, Any]) -> Any:
    whole = nbformat.reads(json.dumps(found), as_version=4)
    return NotebookClient(whole, timeout=300, kernel_name="python3").execute()


class TestWords:
    def text(self, folder: Path, words: str) -> str:
        return source(made_from(folder, words)["cells"][-1])

    def test_citations_are_authors_and_years_with_a_link(self, tmp_path: Path) -> None:
        words = "{cite:t}`kingma2013` and {cite}`rezende2014,doersch2016`"
        page = f"{book.site(ROOT)}book/references.html"
        assert self.text(tmp_path, words) == (
            "[Kingma and Welling (2013)](https://arxiv.org/abs/1312.6114) and "
            f"([Rezende *et al.*, 2014]({page}); "
            "[Doersch, 2016](https://arxiv.org/abs/1606.05908))"
        )

    def test_equations_are_numbered_and_found(self, tmp_path: Path) -> None:
        found = made_from(
            tmp_path,
            "$$\na\n$$ (one)\n\n- in {eq}`two`\n\n  $$\n  b\n  $$ (two)",
            "See {eq}`one` and {eq}`eq-elbo`.",
            code=('symbolic.derivation("kl-nonnegative")',),
        )
        first, second = (source(cell) for cell in found["cells"][1:3])
        place = '<a id="{0}" name="{0}"></a>\n\n'
        assert place.format("one") + "$$\na\n\\tag{3.1}\n$$" in first
        assert "- in [(3.2)](#two)" in first
        assert "  $$\n  b\n  \\tag{3.2}\n  $$" in first
        page = f"{book.site(ROOT)}book/notation.html#equation-eq-elbo"
        assert second == f"See [(3.1)](#one) and [(1)]({page})."

    def test_a_figure_is_named_by_its_number_and_found_on_the_page(self, tmp_path: Path) -> None:
        root = small(tmp_path, "See {numref}`fig-03-second`.", code=("1", "2", "3"))
        path = root / "notebooks" / "03_small.ipynb"
        notebook = json.loads(path.read_text("utf-8"))
        for name, cell in zip(("first", "hidden", "second"), notebook["cells"][-3:], strict=True):
            tags = ["remove-cell"] if name == "hidden" else []
            cell |= {"id": name, "metadata": {"mystnb": {"image": {"alt": name}}, "tags": tags}}
        path.write_text(json.dumps(notebook), "utf-8")
        made = json.loads(editions.edition(path, root))
        page = f"{book.site(ROOT)}notebooks/03_small.html#fig-03-second"
        said = [source(cell) for cell in made["cells"] if cell["cell_type"] == "markdown"]
        assert f"See [Figure 3.2]({page})." in said

    def test_a_link_to_a_page_leads_to_the_published_one(self, tmp_path: Path) -> None:
        words = "[the *notation*](../book/notation.md#x) and [web](https://a.b/c.md)"
        assert self.text(tmp_path, words) == (
            f"[the *notation*]({book.site(ROOT)}book/notation.html#x) and [web](https://a.b/c.md)"
        )

    def test_an_admonition_is_a_quote(self, tmp_path: Path) -> None:
        words = ":::{warning}\nTake {eq}`one`.\n\nMore.\n:::\n\n$$\na\n$$ (one)"
        assert "> **Warning.** Take [(3.1)](#one).\n> \n> More." in self.text(tmp_path, words)

    def test_code_that_looks_like_markup_stays(self, tmp_path: Path) -> None:
        words = "`{eq}` and ``{eq}`one` `` and {eq}`one`.\n\n```text\n{eq}`one`\n```\n\n$$a$$ (one)"
        text = self.text(tmp_path, words)
        assert text.startswith("`{eq}` and ``{eq}`one` `` and [(3.1)](#one).\n")
        assert "```text\n{eq}`one`\n```" in text

    @pytest.mark.parametrize(
        ("words", "fault"),
        [
            ("{glue:text}`absent`", "no cell glues absent"),
            ("{eq}`absent`", "no equation has the label absent"),
            ("{numref}`fig-absent`", "no figure has the label fig-absent"),
            ("{term}`a`", "a notebook has nothing for {term}`a`"),
            ("```{tableofcontents}\n```", "a notebook has nothing for {tableofcontents}"),
            ("[a](absent.ipynb)", "is no page of the book"),
        ],
    )
    def test_what_has_no_form_is_named(self, words: str, fault: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=re.escape(fault)):
            made_from(tmp_path, words)

    def test_the_address_is_that_of_the_settings(self, tmp_path: Path) -> None:
        text = (ROOT / "_config.yml").read_text("utf-8")
        (tmp_path / "_config.yml").write_text(text)
        owner, name = book.settings(ROOT)["repository"]["url"].split("/")[-2:]
        if not book.settings(ROOT)["html"]["baseurl"]:
            assert book.site(tmp_path) == f"https://{owner}.github.io/{name}/"
        stated = re.sub(r'baseurl: ".*"', 'baseurl: "https://a.b/book"', text)
        (tmp_path / "_config.yml").write_text(stated)
        assert book.site(tmp_path) == "https://a.b/book/"


def test_a_stub_has_the_solutions_arguments() -> None:
    solution = "lines = ['a']\nfound = {'a': 1}\n\ndef f(x, *, scale=1):\n    return x"
    assert cells.stub("f", solution).startswith("def f(x, *, scale=1):\n    raise NotImplemented")
    assert cells.stub("lines", solution) == "lines = []  # your answer here"
    assert cells.stub("found", solution) == "found = {}  # your answer here"
    assert cells.stub("other", solution) == "other = None  # your answer here"


@pytest.mark.parametrize(
    ("value", "specification", "shown"),
    [
        (-0.5, ".1f", "−0.5"), (-7.1e-6, ".1e", "−7.1 × 10⁻⁶"), (2325507, "", "2,325,507"),
        ("-0.31 ± 0.02", "", "−0.31 ±\N{NO-BREAK SPACE}0.02"), ("a_b", "", "a_b"),
        ("'a'", "", "'a'"), ((3, 613), "", "(3, 613)"), ("3,613", "", "3,613"),
        (3.0, "d", "3"), ("12", ".1f", "12.0"), (0.257, ".1%", "25.7%"),
    ],
)  # fmt: skip
def test_numbers_are_set_as_on_the_page(value: Any, specification: str, shown: str) -> None:
    from myst_nb.core.variables import format_plain_text

    from vae_core._typography import typeset

    assert _edition.formatted(value, specification) == shown
    assert typeset(format_plain_text(repr(value), specification or "s")) == shown


def test_values_are_no_markup() -> None:
    filled = _edition.filled("«run» costs «n».\n«n». Then", {"run": "a -m b_c *d* $x$ <i>", "n": 1})
    assert filled == "a -m b\\_c \\*d\\* \\$x\\$ \\<i\\> costs 1.\n1\\. Then"


def test_a_numbered_derivation_names_its_place() -> None:
    notebook.edition({"kl-nonnegative": "3.2"})
    try:
        shown = derivation("kl-nonnegative")._repr_mimebundle_()
        other = derivation("elbo-from-kl")._repr_mimebundle_()
    finally:
        notebook.edition()
        _edition._state.on = False
    assert shown["text/markdown"].startswith('<a id="kl-nonnegative" name="kl-nonnegative"></a>')
    assert "\\tag{3.2}\n$$" in shown["text/markdown"]
    assert "\\tag" not in other["text/markdown"]
    assert myst.raw(shown["text/markdown"]) == []


# --- an edition that runs ---------------------------------------------------------------------

SENTENCES = "Later {glue:text}`first:.4f`, {glue:text}`pair` and {glue:text}`small:.1e`."


@pytest.mark.slow
def test_the_numbers_of_sentences_follow_the_run(tmp_path: Path) -> None:
    """Before a run the stored ones, then this run's: also above the cell that computes them."""
    root = small(tmp_path, code=(CODE, DRAW, 'symbolic.derivation("kl-nonnegative")'))
    path = root / "notebooks" / "03_small.ipynb"
    ran = nbformat.read(path, as_version=4)
    NotebookClient(ran, timeout=300).execute()
    ran.cells.insert(1, nbformat.v4.new_markdown_cell(SENTENCES))
    ran.cells[1]["id"] = "above"
    install = "import importlib.util\n\nimportlib.util.find_spec('vae_core')"
    ran.cells.insert(1, nbformat.v4.new_code_cell(install))
    nbformat.write(ran, path)
    found = dict(json.loads(editions.edition(path, root)))

    def shown(cells: Any) -> str:
        (cell,) = [cell for cell in cells if cell["id"] == "above"]
        return normalise.text_of(cell["outputs"][0]["data"]["text/markdown"])

    book_run = shown(found["cells"])
    assert book_run == "Later 0.1257, −0.132 ±\N{NO-BREAK SPACE}0.020 and −7.1 × 10⁻⁶."
    same = executed(found)
    assert shown(same.cells) == book_run
    for cell in found["cells"]:
        cell["source"] = source(cell).replace("seed = 0", "seed = 1")
    other = executed(found)
    assert shown(other.cells) == "Later 0.3456, 0.822 ±\N{NO-BREAK SPACE}0.020 and −1.4 × 10⁻⁵."
    (sentence,) = [cell for cell in other.cells if cell["id"] == "above"]
    assert sentence["outputs"][0]["metadata"]["vae_core"] == {"from_book": []}
    equation = normalise.text_of(other.cells[-1]["outputs"][0]["data"]["text/markdown"])
    assert "\\tag{3.1}" in equation
    # Nothing is stored for a page's build, which no front end could show.
    for cell in other.cells:
        for output in cell.get("outputs", []):
            assert set(output.get("data", {"text/plain": ""})) <= SHOWN


class TestPages:
    """The buttons of a chapter's page lead to its edition; the page's source stays its own."""

    def test_links_to_a_chapters_notebook_lead_to_its_edition(self) -> None:
        opened = "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/notebooks/04_kl_divergence"
        assert vae_book.to_run(f"{opened}.ipynb").endswith("/notebooks/run/04_kl_divergence.ipynb")
        for other in ("../book/about.md", f"{opened}.html", "notebooks/exercises/ch01_a.ipynb"):
            assert vae_book.to_run(other) == other

    def test_buttons_and_badge(self) -> None:
        page = "notebooks/04_kl_divergence"
        groups = [
            {"label": "launch-buttons", "buttons": [{"url": f"{COLAB}/{page}.ipynb"}]},
            {"label": "download-buttons", "buttons": [{"url": f"_sources/{page}.ipynb"}, {}]},
            {"label": "repository-buttons", "buttons": [{"url": f"edit/{page}.ipynb"}]},
        ]
        context = {"body": "<h1>T</h1>", "header_buttons": groups}
        env = SimpleNamespace(doc2path=lambda name: f"{name}.ipynb")
        app = SimpleNamespace(env=env, srcdir=ROOT)
        vae_book.finish_page(app, page, "", context, None)
        edition = page.replace("notebooks/", "notebooks/run/")
        urls = [button["url"] for group in groups for button in group["buttons"] if button]
        assert urls == [
            f"{COLAB}/{edition}.ipynb", f"_sources/{edition}.ipynb", f"edit/{page}.ipynb",
        ]  # fmt: skip
        assert f'<a href="{COLAB}/{edition}.ipynb">Open in Colab</a>' in context["body"]

    def test_the_built_book_holds_the_editions_for_download(self, tmp_path: Path) -> None:
        for name in ("src/notebooks/run", "out/_sources/notebooks"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "src/notebooks/run/04_a.ipynb").write_text("edition")
        (tmp_path / "out/_sources/notebooks/04_a.ipynb").write_text("source")
        config = SimpleNamespace(html_copy_source=True)
        app = SimpleNamespace(srcdir=tmp_path / "src", outdir=tmp_path / "out", config=config)
        vae_book.add_editions(app, None)
        files = {p.name: p.read_text() for p in (tmp_path / "out").rglob("*.ipynb")}
        assert files == {"04_a.ipynb": "edition"}
        assert (tmp_path / "out/_sources/notebooks/run/04_a.ipynb").is_file()

    def test_readme_and_workflows_name_no_chapter_to_open(self) -> None:
        for path in (ROOT / "README.md", *(ROOT / "book").glob("*.md")):
            text = path.read_text("utf-8")
            assert not re.search(
                r"(labpath=|blob/\w+/|lab/tree/)notebooks(?!/run|/exercises)", text
            )
