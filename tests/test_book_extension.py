"""The book's Sphinx extensions, function by function; tests/browser looks at what they build."""

from __future__ import annotations

import base64
import inspect
import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import pytest

pytest.importorskip("sphinx")

import chapter_links
import reading
import slim_pages
import vae_book
from docutils import nodes
from sphinx.errors import SphinxError


def blob(sha: str, body: str = "QUJD") -> str:
    return f'<script type="text/plain" data-vae-blob="{sha}">{body}</script>'


class TestBlobs:
    def test_the_first_of_each_stays(self) -> None:
        page = f"<p>a</p>{blob('a1')}<p>b</p>{blob('b2')}<p>c</p>{blob('a1')}<p>d</p>"
        expected = f"<p>a</p>{blob('a1')}<p>b</p>{blob('b2')}<p>c</p><p>d</p>"
        assert vae_book.first_blobs_only(page) == expected

    def test_a_picture_for_notebooks_goes_and_its_sentence_stays(self) -> None:
        still = '<img alt="A" src="data:image/png;base64,AAAA">'
        page = f"<noscript><p>Words.</p>{still}</noscript>\n{still}"
        assert vae_book.STILL.sub(r"\1\2", page) == f"<noscript><p>Words.</p></noscript>\n{still}"

    def test_other_scripts_stay(self) -> None:
        page = "<script>f()</script>" * 2 + f'<script type="module">{"x" * 9}</script>' * 2
        assert vae_book.first_blobs_only(page) == page


class TestDocstrings:
    def test_shapes_become_code(self) -> None:
        assert (
            vae_book.as_markup("z [..., latent], in [0, 1]") == "z ``[..., latent]``, in ``[0, 1]``"
        )

    def test_a_widget_shows_the_arguments_of_its_own(self) -> None:
        class Shown:
            def __new__(cls, *args: object, **kwargs: object) -> Shown:
                return super().__new__(cls)

            def __init__(self, model: int, *, best: bool = False) -> None: ...

        def found(what: str, given: str) -> object:
            return vae_book.own_arguments(None, what, "Shown", Shown, None, given, None)  # type: ignore[arg-type]

        # Python itself looks at __new__ here; traitlets gives its classes a signature of their own.
        Shown.__signature__ = inspect.signature(  # type: ignore[attr-defined]
            lambda model, *, best=False: None
        )
        assert found("class", "(*args: t.Any, **kwargs: t.Any)") == ("(model, *, best=False)", None)
        assert found("class", "(model)") is None
        assert found("function", "(*args)") is None

    def test_stars_and_bars_are_themselves(self) -> None:
        assert vae_book.as_markup("D[q || p] = 2 * x") == r"D[q \|\| p] = 2 \* x"

    @pytest.mark.parametrize("text", ["``[a, *b]``", ":func:`elbo`", "plain words"])
    def test_markup_stays(self, text: str) -> None:
        assert vae_book.as_markup(text) == text

    def test_a_property_that_names_its_shape_keeps_its_words(self) -> None:
        lines = ["Standard deviation, [..., latent]: of Q."]
        vae_book.read_docstring(None, "property", "sigma", None, None, lines)  # type: ignore[arg-type]
        assert lines == ["Standard deviation, ``[..., latent]``: of Q."]

    def test_the_argument_section_becomes_fields(self) -> None:
        lines = ["Do.", "", "Args:", "    x: images [batch, *shape]."]
        vae_book.read_docstring(None, "function", "f", None, None, lines)  # type: ignore[arg-type]
        assert ":param x: images ``[batch, *shape]``." in lines


class TestStaleResults:
    @pytest.fixture
    def app(self, tmp_path: Path) -> SimpleNamespace:
        (tmp_path / "vae_core" / "js").mkdir(parents=True)
        (tmp_path / "vae_core" / "models.py").write_text("A = 1\n")
        (tmp_path / "vae_core" / "js" / "core.js").write_text("let a = 1;\n")
        config = SimpleNamespace(nb_execution_cache_path="")
        return SimpleNamespace(srcdir=tmp_path, outdir=tmp_path / "_build/html", config=config)

    def run(self, app: SimpleNamespace) -> bool:
        execution = vae_book.Execution()
        execution.forget_stale_results(app)
        return execution.stale

    def test_an_unchanged_engine_keeps_results(self, app: SimpleNamespace) -> None:
        assert self.run(app)
        result = app.srcdir / "_build/.jupyter_cache/result"
        result.write_text("kept")
        assert not self.run(app)
        assert result.exists()

    @pytest.mark.parametrize("name", ["models.py", "js/core.js"])
    def test_a_changed_source_forgets_them(self, app: SimpleNamespace, name: str) -> None:
        self.run(app)
        result = app.srcdir / "_build/.jupyter_cache/result"
        result.write_text("stale")
        source = app.srcdir / "vae_core" / name
        source.write_text(source.read_text() + "\n")
        assert self.run(app)
        assert not result.exists()

    def test_a_removed_source_counts(self, app: SimpleNamespace) -> None:
        self.run(app)
        (app.srcdir / "vae_core/js/core.js").unlink()
        assert self.run(app)

    def test_another_torch_counts(
        self, app: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run(app)
        monkeypatch.setattr(vae_book, "version", lambda name: "0.0.1")
        assert self.run(app)


def test_a_second_build_waits_for_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = SimpleNamespace(outdir=tmp_path / "_build" / "html")
    first, second = vae_book.Execution(), vae_book.Execution()
    first.wait_for_others(app, None)
    assert capsys.readouterr().out == ""
    waiting = threading.Thread(target=second.wait_for_others, args=(app, None), daemon=True)
    waiting.start()
    while "another build of this book is running" not in capsys.readouterr().out:
        assert waiting.is_alive()
    assert waiting.is_alive()
    first.let_others(app, None)
    waiting.join(60)
    assert not waiting.is_alive()
    second.let_others(app, None)


def test_no_lock_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app = SimpleNamespace(outdir=tmp_path / "file" / "html")
    execution = vae_book.Execution()
    execution.wait_for_others(app, None)
    execution.let_others(app, None)


def test_a_search_from_disk_fetches_nothing(tmp_path: Path) -> None:
    options = tmp_path / "_static" / "documentation_options.js"
    options.parent.mkdir()
    options.write_text("const DOCUMENTATION_OPTIONS = {\n    SHOW_SEARCH_SUMMARY: true,\n};")
    vae_book.search_from_disk(SimpleNamespace(outdir=tmp_path), None)
    assert 'SHOW_SEARCH_SUMMARY: location.protocol !== "file:",' in options.read_text()


def test_repository_is_filled_in_from_the_configuration() -> None:
    config = SimpleNamespace(html_theme_options={"repository_url": "https://x.org/a/b"})
    source = ["git clone {{ repository }} here"]
    vae_book.fill_placeholders(SimpleNamespace(config=config), "page", source)
    assert source == ["git clone https://x.org/a/b here"]


class TestTimes:
    @pytest.fixture
    def app(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        for name, words in (("03_elbo", 200), ("04_kl", 1400)):
            (tmp_path / f"{name}.md").write_text("word " * words)
        seconds = {"notebooks/03_elbo": 20.2, "notebooks/04_kl": 100.0}
        env = SimpleNamespace(
            found_docs=set(seconds) | {"book/teaching"},
            doc2path=lambda d: str(tmp_path / f"{Path(d).name}.md"),
        )
        monkeypatch.setattr(
            vae_book.NbMetadataCollector,
            "get_exec_data",
            lambda env, d: {"runtime": seconds[d], "succeeded": True},
        )
        config = SimpleNamespace(html_theme_options={})
        return SimpleNamespace(env=env, config=config)

    def test_reading_times_are_those_of_the_chapters(self, app: SimpleNamespace) -> None:
        source = ["{{ reading_time 3 }} and {{ reading_time 3 4 }}, {{ running_time 3 }}"]
        vae_book.fill_placeholders(app, "book/teaching", source)
        assert source == ["5 and 15, {{ running_time 3 }}"]

    def test_running_times_come_from_the_build(self, app: SimpleNamespace) -> None:
        page = nodes.paragraph("", "", nodes.Text("{{ running_time 3 }}, {{ running_time 3 4 }}"))
        vae_book.fill_running_times(app, page, "book/teaching")
        assert page.astext() == "20 s, 2 min"

    def test_a_chapter_that_is_not_there_stops_the_build(self, app: SimpleNamespace) -> None:
        with pytest.raises(SphinxError, match="07"):
            vae_book.fill_placeholders(app, "book/teaching", ["{{ reading_time 7 }}"])


def test_the_index_of_words_is_loaded_by_the_search_page_alone(tmp_path: Path) -> None:
    scripts = "".join(
        f'<script src="../{name}"></script>\n'
        for name in ("_static/searchtools.js?v=1", "_static/language_data.js", "searchindex.js")
    )
    other = '<script src="../_static/book.js"></script>\n'
    (tmp_path / "_static").mkdir()
    for name in ("chapter.html", "search.html"):
        (tmp_path / name).write_text(f"<head>\n{scripts}{other}</head>")
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    slim_pages.slim_output(app, None)
    assert (tmp_path / "chapter.html").read_text() == f"<head>\n{other}</head>"
    assert (tmp_path / "search.html").read_text() == f"<head>\n{scripts}{other}</head>"


class TestSlimPages:
    def purge(self, css: str, words: str) -> str:
        return slim_pages.purge(slim_pages.parse(css), set(words.split()))

    def test_keeps_what_can_match(self) -> None:
        assert self.purge("h1,.a .b{x:1}.c{x:2}", "a b") == "h1,.a .b{x:1}"

    def test_keeps_only_live_selectors_of_a_rule(self) -> None:
        assert self.purge(".a,.gone>.a{x:1}", "a") == ".a{x:1}"

    def test_looks_into_media_queries(self) -> None:
        assert self.purge("@media print{.gone{x:1}}@media print{.a{x:1}}", "a") == (
            "@media print{.a{x:1}}"
        )

    def test_a_class_that_must_be_absent_may_be_absent(self) -> None:
        assert self.purge("p:not(.gone){x:1}", "") == "p:not(.gone){x:1}"

    def test_keeps_font_faces_keyframes_and_variables(self) -> None:
        css = "@keyframes k{from{x:1}}:root{--a:1}"
        assert self.purge(css, "") == css

    def test_the_embedded_font_holds_the_named_icons_only(self, tmp_path: Path) -> None:
        # Any font with characters in the icon block serves; matplotlib ships one.
        fonts = Path(matplotlib.get_data_path(), "fonts/ttf")
        source = fonts / "STIXNonUni.ttf"
        (tmp_path / "f.ttf").write_bytes(source.read_bytes())
        cmap = slim_pages.ttLib.TTFont(source).getBestCmap()
        icon = next(c for c in cmap if 0xE000 <= c <= 0xF8FF)
        css = f'@font-face{{font-family:F;src:url(f.ttf)}}.i{{content:"\\{icon:x}"}}'
        faces = slim_pages.Faces([], [], {})
        assert faces.take(css, tmp_path) == f'.i{{content:"\\{icon:x}"}}'
        ((name, font),) = faces.files.items()
        assert font[:4] == b"wOFF"
        assert len(font) < source.stat().st_size / 4
        faces.write(tmp_path / "own")
        named, held = (
            (tmp_path / "own" / f"{n}.css").read_text() for n in ("icons", "icons-on-disk")
        )
        assert named == f'@font-face{{font-family:F;src:url({name}) format("woff")}}\n'
        data = re.findall(r"src:url\(data:font/woff;base64,([^)]+)\)", held)
        assert [base64.b64decode(text) for text in data] == [font]
        assert (tmp_path / "own" / name).read_bytes() == font
        cut = slim_pages.ttLib.TTFont(tmp_path / "own" / name)
        assert set(cut.getBestCmap()) == {icon}

    def test_the_same_icons_give_the_same_bytes(self, tmp_path: Path) -> None:
        fonts = Path(matplotlib.get_data_path(), "fonts/ttf")
        (tmp_path / "f.ttf").write_bytes((fonts / "STIXNonUni.ttf").read_bytes())
        cmap = slim_pages.ttLib.TTFont(tmp_path / "f.ttf").getBestCmap()
        icon = next(c for c in cmap if 0xE000 <= c <= 0xF8FF)
        css = f'@font-face{{font-family:F;src:url(f.ttf)}}.i{{content:"\\{icon:x}"}}'
        made = []
        for _ in range(2):
            faces = slim_pages.Faces([], [], {})
            faces.take(css, tmp_path)
            made.append(faces.files)
            time.sleep(1.1)  # a font file would hold the second in which it was written
        assert made[0] == made[1]

    def test_a_font_with_none_of_the_icons_goes(self, tmp_path: Path) -> None:
        fonts = Path(matplotlib.get_data_path(), "fonts/ttf")
        (tmp_path / "f.ttf").write_bytes((fonts / "cmr10.ttf").read_bytes())
        css = '@font-face{font-family:F;src:url(f.ttf)}.i{content:"\\f00c"}'
        faces = slim_pages.Faces([], [], {})
        assert faces.take(css, tmp_path) == '.i{content:"\\f00c"}'
        assert not faces.files


def test_reading_time_counts_prose_formulas_and_widgets() -> None:
    assert reading.reading_minutes("word " * 10) == 5
    assert reading.reading_minutes("word " * 1125) == 10
    assert reading.reading_minutes("word " * 1124) == 5
    hidden = "$many words here$ `and here` ```\nand here too\n```" * 100
    assert reading.reading_minutes("word " * 1124 + hidden) == 5
    assert reading.reading_minutes("word " * 1124 + "$$a b\nc d$$") == 10


def test_reading_time_of_a_notebook_leaves_out_code_and_exercises() -> None:
    def made(widgets: int, **more: Any) -> int:
        code = {"cell_type": "code", "metadata": {}, "outputs": [], **more}
        cells = [
            {"cell_type": "markdown", "source": ["word " * 700, "word " * 50]},
            {**code, "source": ["word " * 5000]},
            *[{**code, "source": ["x = 1\n", "widgets.Explorer(x)"]}] * widgets,
            {"cell_type": "markdown", "source": ["## Exercises\n", "word " * 5000]},
            {"cell_type": "markdown", "source": ["### One\n", "$$a$$ " * 50]},
            {"cell_type": "markdown", "source": ["## Summary\n", "word " * 74]},
        ]
        return reading.reading_minutes(json.dumps({"cells": cells}))

    assert made(0) == 5  # 5.5 minutes
    assert made(1) == 10  # 8.5
    assert made(3) == 15  # 14.5
    assert made(1, metadata={"tags": ["remove-cell"]}) == 5
    derivation = {"data": {"text/markdown": ["$$\n", "a\n", "$$"]}}
    assert made(0, outputs=[derivation] * 2) == 10  # 7.5


@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("", True),
        ("It is so. ", True),
        ("Why? (", True),
        ("It is so, see ", False),
        ("Read ", False),
    ],
)
def test_a_link_to_a_chapter_that_begins_a_sentence_begins_with_a_capital(
    before: str, found: bool
) -> None:
    node = chapter_links.chapter_link("", number=4, section="")
    nodes.paragraph("", "", nodes.Text(before), node)
    assert chapter_links.begins_sentence(node) is found
