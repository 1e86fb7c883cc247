"""Sphinx extension for the front page, and for what the world outside is told of every page.

- ``{{ route }}`` in the front page becomes a card for each chapter: its picture (of
  route_pictures.py), its title as the chapter has it, the question of ``book/route.yml``, minutes
  and level.
- Every page gets a description, and what previews of links show (Open Graph and Twitter): title,
  description and the book's card. The card's address must be a whole one, so it is given only where
  ``html.baseurl`` in ``_config.yml`` says where the book is published.
- The redirect at the root of the build has them too: it is the address that people pass on.
- The front page has the book's own title, and no list of its sections at its side.
- A quick build that does not execute the front page shows its widget as the picture stored with it.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import yaml
from route_pictures import picture
from sphinx.application import Sphinx

ROUTE = "book/route.yml"
CARD = "_static/social-card.png"
CARD_SIZE = (1200, 630)
SIDE = "html_theme.sidebar_secondary.remove"
CHAPTER = re.compile(r"notebooks/(\d\d)_\w+")
CODE = re.compile(r"```\{code-cell\}.*?```\n", re.DOTALL)
STILL = """\
```{image} _static/opening.png
:alt: The widget as a picture; make page N=0 computes it.
```
"""
GLUE = re.compile(r"\{glue:text\}`[^`]*`")

ROOT = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={first}">
<title>{title}</title>
{head}</head>
<body><p><a href="{first}">{title}</a></p></body>
</html>
"""

CARD_TEXT = """\
::::{{grid-item-card}} {number} · {title}
:link: ../{docname}
:link-type: doc
:class-card: vae-route-card

```{{raw}} html
{picture}
```

{question}

:::{{div}} vae-route-foot
{{{{ reading_time {number} }}}} min · {level}
:::
::::
"""


def route_of(app: Sphinx) -> dict[str, Any]:
    """What ``book/route.yml`` says; nothing in a book without it."""
    path = Path(app.srcdir, ROUTE)
    return yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}


def chapters(app: Sphinx) -> dict[int, str]:
    """The chapters' pages by their numbers."""
    found = {d: CHAPTER.fullmatch(d) for d in app.env.found_docs}
    return dict(sorted((int(m[1]), d) for d, m in found.items() if m))


def title_of(path: Path) -> str:
    """A chapter's title: the first heading of its notebook."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return next("".join(c["source"]) for c in cells).splitlines()[0].removeprefix("# ").strip()


def cards(app: Sphinx) -> str:
    """The route as a grid of cards, in MyST."""
    route, made = route_of(app), []
    for number, docname in chapters(app).items():
        own = route["chapters"][number]
        path = Path(app.env.doc2path(docname))
        app.env.note_dependency(str(path))
        made.append(
            CARD_TEXT.format(
                number=number,
                docname=docname,
                title=title_of(path),
                picture=picture(number),
                question=own["question"],
                level=route["levels"][own["level"]],
            )
        )
    grid = ":::::{grid} 1 2 3 3\n:gutter: 2\n:class-container: vae-route\n\n"
    return f"{grid}{''.join(made)}:::::"


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """The cards, and stored pictures where a quick build leaves the page unexecuted."""
    if docname != app.config.root_doc:
        return
    if "{{ route }}" in source[0]:
        app.env.note_dependency(str(Path(app.srcdir, ROUTE)))
        source[0] = source[0].replace("{{ route }}", cards(app))
    name = Path(app.env.doc2path(docname)).relative_to(app.srcdir).as_posix()
    if name in getattr(app, "vae_not_executed", ()):
        seen: list[str] = []

        def still(match: re.Match[str]) -> str:
            shown = "remove-cell" not in match[0] and not seen
            if shown:
                seen.append(match[0])
            return STILL if shown else ""

        source[0] = GLUE.sub("…", CODE.sub(still, source[0]))


# --- what a page says of itself ------------------------------------------------------------


def tags(
    title: str, description: str, site: str, address: str = "", base: str = "", card: str = ""
) -> str:
    """The tags of a page's head; addresses only where the book's own is known."""
    named = [("description", description), ("twitter:title", title)]
    named += [("twitter:description", description)]
    named += [("twitter:card", "summary_large_image" if base else "summary")]
    graph = [("og:type", "website"), ("og:site_name", site)]
    graph += [("og:title", title), ("og:description", description)]
    if base:
        image = base.rstrip("/") + "/" + CARD
        named += [("twitter:image", image), ("twitter:image:alt", card)]
        graph += [("og:url", base.rstrip("/") + "/" + address), ("og:image", image)]
        graph += [("og:image:width", str(CARD_SIZE[0])), ("og:image:height", str(CARD_SIZE[1]))]
        graph += [("og:image:alt", card)]
    lines = [f'<meta name="{key}" content="{escape(value)}">' for key, value in named]
    lines += [f'<meta property="{key}" content="{escape(value)}">' for key, value in graph]
    return "\n".join(lines) + "\n"


def told(app: Sphinx, pagename: str, title: str, site: str) -> tuple[str, str]:
    """The title and description of a page."""
    route = route_of(app)
    if not route:
        return title, site
    if pagename == app.config.root_doc:
        return route["title"], route["description"]
    found = CHAPTER.fullmatch(pagename)
    own = route["chapters"].get(int(found[1])) if found else None
    if own:
        return title, f"{own['question']} Chapter {int(found[1])} of {route['title']}."
    return title, f"{title}: a page of {route['title']}."


def describe(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    plain = re.sub(r"<[^>]*>", "", str(context.get("title", "")))
    site = app.config.html_title or app.config.project
    title, description = told(app, pagename, plain or site, site)
    route = route_of(app)
    if pagename == app.config.root_doc and route:
        context["title"], context["docstitle"] = title, ""
        context["meta"] = {**(context.get("meta") or {}), SIDE: True}
    context["metatags"] = context.get("metatags", "") + tags(
        title, description, site, f"{pagename}.html", app.config.html_baseurl, route.get("card", "")
    )


def describe_root(app: Sphinx, exception: Exception | None) -> None:
    """A whole page in place of the bare redirect: that is what a preview of the address reads."""
    path = Path(app.outdir, "index.html")
    if exception or app.builder.name != "html" or app.config.root_doc == "index":
        return
    site = app.config.html_title or app.config.project
    title, description = told(app, app.config.root_doc, site, site)
    first = f"{app.config.root_doc}.html"
    head = tags(
        title, description, site, "", app.config.html_baseurl, route_of(app).get("card", "")
    )
    language = app.config.language or "en"
    text = ROOT.format(language=language, first=first, title=escape(title), head=head)
    path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    # Before the times are filled in, which the cards ask for.
    app.connect("source-read", fill, priority=400)
    # Before the theme looks whether a page has a list of sections.
    app.connect("html-page-context", describe, priority=100)
    # After the redirect was made, and after all that is done to pages: this one shows nothing.
    app.connect("build-finished", describe_root, priority=970)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
