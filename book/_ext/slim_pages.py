"""Sphinx extension that leaves in the built book only what its pages show.

The themes bring a framework: 0.55 MB of style rules, 1.5 MB of icons drawn by a script, and 0.3 MB
of icon fonts. The widgets need that room. After the build, over the whole output:

- style rules whose classes occur in no page and no script are dropped;
- the icon fonts are cut to the icons the remaining rules name, and get two style sheets: one that
  names their files, and one that holds them, because browsers refuse font files to a page that is
  opened from disk (start.js chooses);
- scripts lose their comments, and the one for tabs, where no page has any, its code;
- the icon script, which draws the same icons a second time, is emptied;
- the index of the whole book's words is loaded by the search page alone, not by each page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import tinycss2
from fontTools import subset, ttLib
from sphinx.application import Sphinx

WORD = re.compile(r"[A-Za-z_][\w-]*")
CLASS = re.compile(r"\.((?:\\.|[\w-])+)")
FONT_FACE = re.compile(r"@font-face\s*\{[^}]*url\([\"']?([^)\"']+\.ttf)[\"']?\)[^}]*\}")
# The block of Unicode where an icon font keeps its icons, as characters or as CSS escapes.
ICON = re.compile(r"[\ue000-\uf8ff]|\\([ef][0-9a-f]{3})\b")
# Comments of a script that fill whole lines, but for those that name its licence.
COMMENT = re.compile(
    r"^[ \t]*(?:/\*(?!(?:(?!\*/).)*(?i:licen[cs]e|copyright)).*?\*/[ \t]*|//[^\n]*)\n",
    re.MULTILINE | re.DOTALL,
)
# What the theme loads into every page, and only the search page runs.
SEARCH = re.compile(
    r'[ \t]*<script src="[^"]*\b(?:searchtools|language_data|searchindex)\.js[^"]*"></script>\n?'
)
STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)  # of a page's own
WHOLE = {"mathjax", "python"}  # folders of _static that are left as they are
OWN = "own"  # the folder of what this book's extensions write
GROUPS = {"media", "supports", "layer", "container"}


def is_live(selector: str, words: set[str]) -> bool:
    """Tell whether every class that `selector` asks for occurs in `words`."""
    required = re.sub(r":not\([^()]*\)", "", selector)
    return all(name.replace("\\", "") in words for name in CLASS.findall(required))


def selectors(prelude: list[Any]) -> list[str]:
    """Split a rule's prelude at its top-level commas."""
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]


def purge(rules: Iterable[Any], words: set[str]) -> str:
    """Serialize the parsed CSS `rules` without those that can match nothing."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            live = [s for s in selectors(rule.prelude) if is_live(s, words)]
            if live:
                kept.append(f"{','.join(live)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.content and rule.lower_at_keyword in GROUPS:
            inner = purge(parse(rule.content), words)
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        else:
            kept.append(rule.serialize())
    return "".join(kept)


def parse(css: Any) -> list[Any]:
    return tinycss2.parse_rule_list(css, skip_comments=True, skip_whitespace=True)


class Faces(NamedTuple):
    """The icon fonts as rules of two style sheets, and as files."""

    named: list[str]
    held: list[str]
    files: dict[str, bytes]

    def take(self, css: str, folder: Path) -> str:
        """``css`` without its icon fonts, which are added here, cut to the icons it names.

        folder: where the style sheet lies; its font addresses are relative to it.
        """
        icons = {int(m[1], 16) if m[1] else ord(m[0]) for m in ICON.finditer(css)}

        def cut(match: re.Match[str]) -> str:
            font = ttLib.TTFont(folder / match[1], recalcTimestamp=False)
            if icons & set(font.getBestCmap()):
                subsetter = subset.Subsetter(
                    subset.Options(layout_features=[], notdef_outline=True)
                )
                subsetter.populate(unicodes=icons)
                subsetter.subset(font)
                font.flavor = "woff"
                data = io.BytesIO()
                font.save(data)
                self.add(Path(match[1]).stem, match[0], data.getvalue())
            return ""

        return FONT_FACE.sub(cut, css)

    def add(self, stem: str, rule: str, font: bytes) -> None:
        name = f"{stem}-{hashlib.sha256(font).hexdigest()[:16]}.woff"
        self.files[name] = font
        data = f"data:font/woff;base64,{base64.b64encode(font).decode()}"
        for rules, address in ((self.named, name), (self.held, data)):
            rules.append(re.sub(r"src:[^;}]*", f'src:url({address}) format("woff")', rule))

    def write(self, folder: Path) -> None:
        """The files, and the sheets icons.css and icons-on-disk.css, in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, font in self.files.items():
            (folder / name).write_bytes(font)
        for name, rules in (("icons.css", self.named), ("icons-on-disk.css", self.held)):
            (folder / name).write_text("\n".join(rules) + "\n", "utf-8")


def slim_output(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    icon_script = static / "scripts" / "fontawesome.js"
    if icon_script.exists():
        icon_script.write_text("// Icons are glyphs of the font in the style sheet.\n", "utf-8")
    for source_map in static.rglob("*.map"):
        source_map.unlink()

    found = [path for path in static.rglob("*") if path.relative_to(static).parts[0] not in WHOLE]
    # What was taken out of pages before is as it should be.
    own = [path for path in found if path.relative_to(static).parts[0] != OWN]
    # Only what stays counts as a place where a class occurs, so that the next build, which finds
    # pages and scripts as this one leaves them, keeps the same rules.
    words: set[str] = set()
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text("utf-8")
        if path.name != "search.html" and SEARCH.search(page):
            page = SEARCH.sub("", page)
            path.write_text(page, "utf-8")
        words.update(WORD.findall(STYLE.sub("", page)))
    if "sd-tab-set" not in words:
        for path in static.glob("design-tabs.js"):
            path.write_text("// No page has tabs.\n", "utf-8")
    for path in own:
        if path.suffix == ".js":
            path.write_text(COMMENT.sub("", path.read_text("utf-8")), "utf-8")
    for path in found:
        if path.suffix == ".js":
            words.update(WORD.findall(path.read_text("utf-8")))
    faces = Faces([], [], {})
    for path in own:
        if path.suffix == ".css":
            css = purge(parse(path.read_text("utf-8")), words)
            path.write_text(faces.take(css, path.parent), "utf-8")
    if faces.files:  # a build that copied no style sheet anew leaves those of the build before
        faces.write(static / OWN)
    for fonts in static.rglob("webfonts"):
        for font in fonts.iterdir():
            font.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    # It tells every table it drops, and Sphinx prints what any logger says.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    # Last: after every other extension has written its files.
    app.connect("build-finished", slim_output, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
