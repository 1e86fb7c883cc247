"""What a build makes of pages, on a small book: no code within them, licences, true sizes."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import hosting
import licences
import no_inline
import pytest
import small_book
from sphinx.errors import SphinxError

WIDGETS = "from vae_core import widgets\nfor _ in range(2):\n    display(widgets.KLExplorer())"
QUIZ = """\
from vae_core.notebook import Choice, Question, quiz
quiz([Question("One?", [Choice("a", "no"), Choice("b", "yes", right=True)])])"""
STYLED = """\
from IPython.display import HTML
HTML('<p style="color: red" class="a">x</p><p style="color: red">y</p>'
     '<button onclick="window.print()">z</button>')"""
PARTS = """\
$$a = 1$$

```{dropdown} More
inside
```

```{exercise} One
:label: ex-1
Do it.
```

```{solution} ex-1
:class: dropdown
Done.
```

```{prf:theorem} Two
:label: th-2
So it is.
```"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with everything that writes code or styles into pages."""
    cells = [("markdown", PARTS), WIDGETS, QUIZ, STYLED]
    pages = ["book/licences", "book/hosting"]
    made = small_book.write(tmp_path_factory.mktemp("pages") / "b", {"01_all": cells}, pages)
    small_book.build(made)
    return made


@pytest.fixture
def html(folder: Path) -> Path:
    return folder / "_build" / "html"


def pages(html: Path) -> Iterator[Path]:
    for path in sorted(html.rglob("*.html")):
        if not path.is_relative_to(html / "_static"):
            yield path


def check_nothing_inline(text: str) -> None:
    for attributes, code in re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL):
        data = re.search(r'type="(application/json|text/plain)"', attributes)
        assert data or ("src=" in attributes and not code.strip()), attributes + code[:80]
    markup = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    assert "<style" not in markup
    assert not re.findall(r'<[^>]*\s(?:style|on\w+)="', markup)
    assert "javascript:" not in markup


def test_no_page_holds_code_or_style(html: Path) -> None:
    names = set()
    for path in pages(html):
        check_nothing_inline(path.read_text("utf-8"))
        names.add(path.relative_to(html).as_posix())
    assert {"notebooks/01_all.html", "search.html", "genindex.html", "index.html"} <= names


def test_a_page_names_files_that_are_there(html: Path) -> None:
    for path in pages(html):
        for address in re.findall(r'(?:src|href|data-disk)="([^"#]+)"', path.read_text("utf-8")):
            parts = urlsplit(address)
            if not parts.scheme and parts.path:
                assert (path.parent / unquote(parts.path)).exists(), (path, address)


def test_widgets_of_a_kind_share_one_script(html: Path) -> None:
    text = (html / "notebooks" / "01_all.html").read_text("utf-8")
    assert text.count('data-widget="kl_explorer"') == 2
    (address,) = re.findall(r'<script defer src="\.\./(_static/own/kl_explorer-\w+\.js)">', text)
    code = (html / address).read_text("utf-8")
    assert code.startswith('(() => {\n"use strict";\n')
    assert "\nexport " not in code
    assert 'mountStatic(render, "kl_explorer");' in code


def test_styles_and_handlers_keep_their_effect(html: Path) -> None:
    text = (html / "notebooks" / "01_all.html").read_text("utf-8")
    name = f"own-{no_inline.digest('color: red')[:8]}"
    assert f'<p class="{name} a">x</p><p class="{name}">y</p>' in text
    (sheet,) = re.findall(r'href="\.\./(_static/own/styles-\w+\.css)"', text)
    assert f".{name}:not(#_) {{ color: red }}" in (html / sheet).read_text("utf-8")
    click = f"own-{no_inline.digest('window.print()')[:8]}"
    assert f'<button data-on-click="{click}">z</button>' in text
    (script,) = re.findall(r'src="\.\./(_static/own/clicks-\w+\.js)"', text)
    assert f'"{click}": function (event) {{ window.print() }}' in (html / script).read_text("utf-8")


def test_icons_are_files_and_a_sheet_for_pages_on_disk(html: Path) -> None:
    text = (html / "book" / "intro.html").read_text("utf-8")
    found = re.search(r'<link rel="stylesheet" href="\.\./(\S+)" data-disk="\.\./(\S+)">', text)
    assert found is not None
    assert text.index(found[0]) < text.index("start.js")
    named, held = ((html / address).read_text("utf-8") for address in found.groups())
    fonts = re.findall(r"url\(([^)]+)\)", named)
    assert len(fonts) == 3
    for font in fonts:
        assert (html / "_static" / "own" / font).read_bytes()[:4] == b"wOFF"
    assert held.count("url(data:font/woff;base64,") == 3
    for sheet in (html / "_static" / "styles").glob("*.css"):
        assert "@font-face" not in sheet.read_text("utf-8")


def test_a_second_build_keeps_what_pages_name_and_no_more(folder: Path, html: Path) -> None:
    own = html / "_static" / "own"
    before = {path.name for path in own.iterdir()}
    (own / "page-left.js").write_text("old")
    (folder / "book" / "intro.md").write_text("# Another\n\nWords.\n", "utf-8")
    small_book.build(folder)
    after = {path.name for path in own.iterdir()}
    assert before == after
    test_no_page_holds_code_or_style(html)
    test_a_page_names_files_that_are_there(html)
    assert "Another" in (html / "book" / "intro.html").read_text("utf-8")


class TestNoInline:
    def taken(self, text: str, tmp_path: Path, name: str = "a/b.html") -> str:
        return no_inline.Page(name, text, no_inline.Files(tmp_path)).taken_apart(set())

    def test_data_blocks_stay(self, tmp_path: Path) -> None:
        blob = '<script type="text/plain" data-vae-blob="ab">style="x" <b onclick="y"></script>'
        assert self.taken(blob, tmp_path) == blob
        state = '<script type="application/json">{"a": "style=\\"x\\""}</script>'
        assert self.taken(state, tmp_path) == state

    def test_adjacent_scripts_share_a_file_in_their_order(self, tmp_path: Path) -> None:
        text = (
            "<script>var a = 1;</script>\n  <script>var b = a</script> <script>var a = 1;</script>"
        )
        out = self.taken(text, tmp_path, "b.html")
        (address,) = re.findall(r'src="\./([^"]+)"', out)
        assert (tmp_path / address).read_text() == "var a = 1;;\nvar b = a\n"

    def test_a_module_that_imports_is_refused(self, tmp_path: Path) -> None:
        text = '<script type="module">\nimport x from "y";\n</script>'
        with pytest.raises(SphinxError, match="must stand alone, but says: import x"):
            self.taken(text, tmp_path)

    def test_another_handler_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SphinxError, match="inline handler: onload='f\\(\\)'"):
            self.taken('<img src="a" onload="f()">', tmp_path)

    def test_text_that_only_looks_like_it_stays(self, tmp_path: Path) -> None:
        text = '<p>&lt;b style="x"&gt; and on="y"</p><img alt="his style=none, onclick" src="a">'
        assert self.taken(text, tmp_path) == text

    def test_what_is_escaped_in_an_attribute_is_meant_plain(self, tmp_path: Path) -> None:
        files = no_inline.Files(tmp_path)
        page = no_inline.Page("b.html", '<i style="font-family: &quot;A&quot;"></i>', files)
        page.taken_apart(set())
        assert list(page.styles.values()) == ['font-family: "A"']


def test_the_hosting_page_tells_the_sizes_of_this_build(html: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (html / "book" / "hosting.html").read_text("utf-8"))
    text = text.replace("&#39;", "'")
    assert "{{" not in text
    assert f"Content-Security-Policy: {hosting.POLICY}" in text
    # The trained models beside the pages are told apart.
    files = [p for p in html.rglob("*") if p.is_file() and p.relative_to(html).parts[0] != "_zoo"]
    found = re.search(r"([\d,]+) files, ([\d.]+) MB in all; (\d+) pages", text)
    assert found is not None
    assert int(found[1].replace(",", "")) == len(files)
    assert float(found[2]) == pytest.approx(sum(p.stat().st_size for p in files) / 1e6, abs=0.1)
    assert int(found[3]) == len(list(pages(html)))
    mathjax = (html / "_static" / "mathjax" / "tex-svg.js").read_bytes()
    sent = re.search(r"MathJax is ([\d.]+) MB more", text)
    assert sent is not None
    assert float(sent[1]) == pytest.approx(len(gzip.compress(mathjax)) / 1e6, abs=0.06)


# --- licences --------------------------------------------------------------------------------

# What the book's own extensions write, and the book's own files.
OWN = re.compile(
    r"own/.*|book\.(css|js)|start\.js|(claims|glossary|quiet_proof)\.(css|js)|figures\.css|"
    r"favicon\.svg|logo-(light|dark)\.svg|(opening|social-card)\.png"
)


def origin(name: str) -> str:
    """The distribution whose file a file below _static is."""
    plain = re.sub(r"\.[0-9a-f]{32,}(?=\.css$)", "", Path(name).name)
    if plain == "pygments.css":
        return "pygments"  # written by it, for its style
    for carried in licences.CARRIED:
        for file in distribution(carried).files or ():
            if re.sub(r"(_t|\.jinja)$", "", file.name) == plain:
                return carried
    return ""


def test_every_file_of_the_pages_is_of_a_named_origin(html: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (html / "book" / "licences.html").read_text("utf-8"))
    found = set()
    for path in (html / "_static").rglob("*"):
        name = path.relative_to(html / "_static").as_posix()
        if path.is_file() and not OWN.fullmatch(name):
            assert origin(name), f"{name}: whose is it? Name it in book/_ext/licences.py"
            found.add(origin(name))
    assert found == set(licences.CARRIED)  # and nothing is named that no page carries
    for name in found:
        assert distribution(name).metadata["Name"] in text
        assert distribution(name).version in text


def test_every_name_in_a_banner_is_named(html: Path) -> None:
    """Files that others wrote say so at their top; each of these names stands in the page."""
    text = (html / "book" / "licences.html").read_text("utf-8")
    names = {
        r"Bootstrap v(\S+)": "Bootstrap",
        r"Font Awesome Free (\S+)": "Font Awesome",
        r"clipboard\.js v(\S+)": "clipboard.js",
        r"Martin Hensel()": "Martin Hensel",
        r"Popper()": "Popper",
        r"Speech Rule Engine()|SRE v()": "Speech Rule Engine",
        r"the Sphinx team()": "Sphinx",
        r"Executable Books?()": "myst-nb",
        r"Apache License, Version ()2\.0": "Apache-2.0",
    }
    # At the start of a line: MathJax's code holds such signs within texts, too.
    banner = re.compile(r"^\s*/\*[!*]?\s(?:(?!\*/).){1,1500}\*/", re.MULTILINE | re.DOTALL)
    said_there = re.compile(r"licen[cs]e|copyright|©", re.IGNORECASE)
    seen = set()
    for path in (html / "_static").rglob("*"):
        if path.suffix not in {".js", ".css", ".txt"} or "own" in path.parts:
            continue
        content = path.read_text("utf-8", errors="replace")
        for said in filter(said_there.search, banner.findall(content)):
            known = [name for pattern, name in names.items() if re.search(pattern, said)]
            referred = "LICENSE.txt" in said
            assert known or referred, f"{path.name} names somebody unknown: {said[:200]}"
            seen |= set(known)
    assert {"Bootstrap", "Font Awesome", "clipboard.js", "Martin Hensel", "Apache-2.0"} <= seen
    for name in seen:
        assert name in text, name
    for part in licences.WITHIN:
        assert licences.version_of(part)
        assert licences.version_of(part) in text


def test_licences_that_ask_for_their_text_are_there(html: Path) -> None:
    text = (html / "book" / "licences.html").read_text("utf-8")
    folded = re.findall(r"<details><summary>(.*?)</summary>", text)
    assert set(folded) >= {"Sphinx", "sphinx-book-theme", "pydata-sphinx-theme", "Pygments"}
    assert set(folded) >= {"Apache-2.0", "MIT", "OFL-1.1"}
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "SIL OPEN FONT LICENSE Version 1.1" in text
