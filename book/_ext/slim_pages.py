"""Sphinx extension that leaves in the built book only what its pages show.

The themes bring a framework: 0.55 MB of style rules, 1.5 MB of icons drawn by a script, and 0.3 MB
of icon fonts. The widgets need that room. After the build, over the whole output:

- style rules whose classes occur in no page and no script are dropped;
- the icon fonts are cut to the icons the remaining rules name, and put into the style sheet itself,
  because some browsers refuse font files to a page that is opened from disk;
- scripts lose their comments, and the one for tabs, where no page has any, its code;
- the icon script, which draws the same icons a second time, is emptied;
- the index of the whole book's words is loaded by the search page alone, not by each page.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def embed_icons(css: str, folder: Path) -> str:
    """Replace each icon font in `css` by one with only the icons that `css` names, as a data URI.

    folder: where the style sheet lies; its font addresses are relative to it.
    """
    icons = {int(m[1], 16) if m[1] else ord(m[0]) for m in ICON.finditer(css)}

    def embed(match: re.Match[str]) -> str:
        font = ttLib.TTFont(folder / match[1])
        if not icons & set(font.getBestCmap()):
            return ""
        subsetter = subset.Subsetter(subset.Options(layout_features=[], notdef_outline=True))
        subsetter.populate(unicodes=icons)
        subsetter.subset(font)
        font.flavor = "woff"
        data = io.BytesIO()
        font.save(data)
        uri = f"data:font/woff;base64,{base64.b64encode(data.getvalue()).decode()}"
        return re.sub(r"src:[^;}]*", lambda _: f'src:url({uri}) format("woff")', match[0])

    return FONT_FACE.sub(embed, css)


def slim_output(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    icon_script = static / "scripts" / "fontawesome.js"
    if icon_script.exists():
        icon_script.write_text("// Icons are glyphs of the font in the style sheet.\n", "utf-8")
    for source_map in static.rglob("*.map"):
        source_map.unlink()

    own = [path for path in static.rglob("*") if "mathjax" not in path.relative_to(static).parts]
    scripts = [path for path in own if path.suffix == ".js"]
    words: set[str] = set()
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text("utf-8")
        words.update(WORD.findall(page))
        if path.name != "search.html" and SEARCH.search(page):
            path.write_text(SEARCH.sub("", page), "utf-8")
    if "sd-tab-set" not in words:
        for path in static.glob("design-tabs.js"):
            path.write_text("// No page has tabs.\n", "utf-8")
    for path in scripts:
        words.update(WORD.findall(path.read_text("utf-8")))
    for path in scripts:
        path.write_text(COMMENT.sub("", path.read_text("utf-8")), "utf-8")
    for path in own:
        if path.suffix == ".css":
            css = purge(parse(path.read_text("utf-8")), words)
            path.write_text(embed_icons(css, path.parent), "utf-8")
    for fonts in static.rglob("webfonts"):
        for font in fonts.iterdir():
            font.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    # It tells every table it drops, and Sphinx prints what any logger says.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    # Last: after every other extension has written its files.
    app.connect("build-finished", slim_output, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
