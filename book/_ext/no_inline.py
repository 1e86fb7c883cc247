"""Sphinx extension that leaves no code and no style within a page: all of it stands in files.

Many hosts send a Content-Security-Policy that refuses inline scripts and styles, and a page that
carries them then shows neither widgets nor formulas. After the build, over all pages:

- a script becomes a file beside the theme's; adjacent ones share one. A widget's module becomes a
  script that waits for the page, since browsers load no module from a page that is on disk; what
  all widgets have in common is a script of its own, loaded once. Data blocks (weights, states)
  stay: no policy takes them for code.
- a style element becomes a style sheet, a style attribute a class;
- a click handler becomes an entry of one script;
- the icons' fonts are files; a page on disk gets them within a style sheet (slim_pages, start.js).

A file's name holds the digest of its content, so that it may be cached for ever.
"""

from __future__ import annotations

import hashlib
import html
import json
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

from vae_core.widgets._base import kit, script, with_kit

FOLDER = "_static/own"
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
# Scripts that the page runs one after another at one place.
RUN = re.compile(r"(?:<script>(?:(?!</script>).)*</script>\s*){2,}", re.DOTALL)
STYLE = re.compile(r"<style\b[^>]*>(.*?)</style>", re.DOTALL)
TYPE = re.compile(r'\btype="([^"]*)"')
EMPTY = re.compile(r'[ \t]*<script\b[^>]*\bsrc="([^"?]+)[^"]*"[^>]*></script>\n?')
TAG = re.compile(r"<[a-zA-Z][^\s>]*(?:\s+[^\s=>]+(?:=(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*\s*/?>")
ATTRIBUTE = re.compile(r'\s(style|on\w+)="([^"]*)"')
CODE = {"", "text/javascript", "application/javascript", "module"}
EXPORT = re.compile(r"^export default \{ render \};\n?", re.MULTILINE)
MODULE_ONLY = re.compile(r"^(?:export|import)\b|\bimport\.meta\b", re.MULTILINE)
# As strong as an attribute: an id that no element has.
CLASS = ".{}:not(#_) {{ {} }}\n"
ICONS = (
    '<link rel="stylesheet" href="{named}" data-disk="{held}">\n'
    '<noscript><link rel="stylesheet" href="{held}"></noscript>\n'
)
NAMED = re.compile(rf"{FOLDER}/([\w.-]+)")
FONT = re.compile(r"url\(([\w.-]+)\)")
LISTEN = """\
// What the theme writes as onclick attributes.
const handlers = {{
{handlers}
}};
document.addEventListener("click", (event) => {{
  const found = event.target.closest?.("[data-on-click]");
  if (found) handlers[found.dataset.onClick].call(found, event);
}});
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def classic(module: str) -> str:
    """An ES module that imports nothing, as a script: its names stay its own."""
    code = EXPORT.sub("", module)
    if found := MODULE_ONLY.search(code):
        line = code[found.start() :].split("\n", 1)[0]
        raise SphinxError(f"a widget's module must stand alone, but says: {line[:80]}")
    return f'(() => {{\n"use strict";\n{code.strip()}\n}})();\n'


class Files:
    """The files that the pages' code and styles go to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: dict[str, str] = {}

    def put(self, stem: str, ending: str, text: str) -> str:
        """The address below the root of a file with ``text``."""
        address = f"{FOLDER}/{stem}-{digest(text)}.{ending}"
        if address not in self.written:
            path = self.root / address
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            self.written[address] = text
        return address


class Page:
    """One page on its way to hold no code."""

    def __init__(self, name: str, text: str, files: Files) -> None:
        self.text, self.files = text, files
        self.up = posixpath.relpath(".", posixpath.dirname(name) or ".") + "/"
        self.seen: set[str] = set()
        # By page, so that a page's files do not depend on which others are written with it.
        self.styles: dict[str, str] = {}
        self.handlers: dict[str, str] = {}

    def script(self, match: re.Match[str]) -> str:
        attributes, code = match[1], match[2]
        kind = TYPE.search(attributes)
        if "src=" in attributes or (kind and kind[1] not in CODE):
            return match[0]
        if kind and kind[1] == "module":
            found = re.search(r'^mountStatic\(render, "(\w+)"\);', code, re.MULTILINE)
            stem = found[1] if found else "module"
            # A widget that an older engine wrote carries all of its code itself.
            if found and code.strip() == script(stem):
                return self.once("widgets", kit()) + self.once(stem, classic(with_kit(stem)))
            return self.once(stem, classic(code))
        address = self.files.put("page", "js", code.strip() + "\n")
        return f'<script src="{self.up}{address}"></script>'

    def once(self, stem: str, code: str) -> str:
        """The tag of a script that waits for the page: one mounts every widget of its kind."""
        address = self.files.put(stem, "js", code)
        if address in self.seen:
            return ""
        self.seen.add(address)
        return f'<script defer src="{self.up}{address}"></script>'

    def style(self, match: re.Match[str]) -> str:
        address = self.files.put("page", "css", match[1].strip() + "\n")
        return f'<link rel="stylesheet" href="{self.up}{address}">'

    def tag(self, match: re.Match[str]) -> str:
        """A tag whose style is a class, and whose click handler is the name of one."""
        if not ATTRIBUTE.search(match[0]):
            return match[0]
        classes: list[str] = []

        def replaced(found: re.Match[str]) -> str:
            kind, meant = found[1], html.unescape(found[2]).strip()
            name = f"own-{digest(meant)[:8]}"
            if kind == "style":
                self.styles[name] = meant
                classes.append(name)
                return ""
            if kind != "onclick":
                raise SphinxError(f"a page has an inline handler: {kind}={meant!r}")
            self.handlers[name] = meant
            return f' data-on-click="{name}"'

        tag = ATTRIBUTE.sub(replaced, match[0])
        if not classes:
            return tag
        if re.search(r'\sclass="', tag):
            return re.sub(r'(\sclass=")', rf"\g<1>{' '.join(classes)} ", tag, count=1)
        return re.sub(r"^(<[^\s/>]+)", rf'\g<1> class="{" ".join(classes)}"', tag, count=1)

    def taken_apart(self, emptied: set[str]) -> str:
        """The page's text, its code and styles in files. ``emptied``: scripts without any code."""

        def drop(match: re.Match[str]) -> str:
            return "" if posixpath.basename(match[1]) in emptied else match[0]

        def join(match: re.Match[str]) -> str:
            codes = SCRIPT.findall(match[0])
            lines = dict.fromkeys(code.strip() for _, code in codes)
            return "<script>" + ";\n".join(lines) + "</script>\n"

        text = RUN.sub(join, EMPTY.sub(drop, self.text))
        pieces, at = [], 0
        for match in SCRIPT.finditer(text):  # no tag is looked for within code or data
            pieces += [self.markup(text[at : match.start()]), self.script(match)]
            at = match.end()
        return "".join([*pieces, self.markup(text[at:])])

    def own_files(self) -> str:
        """The tags of the page's own classes and click handlers."""
        tags = ""
        if self.styles:
            rules = "".join(CLASS.format(*rule) for rule in sorted(self.styles.items()))
            address = self.files.put("styles", "css", rules)
            tags += f'<link rel="stylesheet" href="{self.up}{address}">\n'
        if self.handlers:
            listed = ",\n".join(
                f"  {json.dumps(name)}: function (event) {{ {code} }}"
                for name, code in sorted(self.handlers.items())
            )
            address = self.files.put("clicks", "js", LISTEN.format(handlers=listed))
            tags += f'<script defer src="{self.up}{address}"></script>\n'
        return tags

    def markup(self, text: str) -> str:
        return TAG.sub(self.tag, STYLE.sub(self.style, text))


def icon_links(files: Files) -> tuple[str, str]:
    """The addresses of the icons' sheets: the one that names files, the one for a page on disk."""
    folder = files.root / FOLDER
    found = []
    for name in ("icons", "icons-on-disk"):
        sheet = folder / f"{name}.css"
        if sheet.is_file():
            found.append(files.put(name, "css", sheet.read_text("utf-8")))
    return (found[0], found[1]) if len(found) == 2 else ("", "")


def sweep(files: Files, texts: Iterable[str]) -> None:
    """Remove what no page and no sheet names any more: an earlier build's."""
    folder = files.root / FOLDER
    named = {name for text in texts for name in NAMED.findall(text)}
    for sheet in [folder / name for name in named if name.endswith(".css")]:
        if sheet.is_file():
            named |= set(FONT.findall(sheet.read_text("utf-8")))
    for path in folder.glob("*"):
        if path.name not in named and path.name not in ("icons.css", "icons-on-disk.css"):
            path.unlink()


def take_apart(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    root, static = Path(app.outdir), Path(app.outdir, "_static")
    emptied = {p.name for p in static.rglob("*.js") if not p.stat().st_size}
    files = Files(root)
    pages: dict[Path, tuple[Page, str]] = {}
    for path in sorted(root.rglob("*.html")):
        name = path.relative_to(root).as_posix()
        if not name.startswith("_static/"):
            page = Page(name, path.read_text("utf-8"), files)
            pages[path] = page, page.taken_apart(emptied)
    named, held = icon_links(files)
    for path, (page, text) in pages.items():
        # Early, so that start.js finds it.
        if named and "data-disk=" not in text:
            icons = ICONS.format(named=page.up + named, held=page.up + held)
            text = text.replace("</title>", f"</title>\n{icons}", 1)
        text = text.replace("</head>", page.own_files() + "</head>", 1)
        if text != page.text:
            path.write_text(text, "utf-8")
    sweep(files, (path.read_text("utf-8") for path in pages))


def setup(app: Sphinx) -> dict[str, Any]:
    # Last of all that changes pages: after slim_pages, which looks for classes in them.
    app.connect("build-finished", take_apart, priority=960)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
