"""Sphinx extension of the book: what Jupyter Book does not do by itself.

- A weight blob that several widgets of a page share is stored in the page once, and the widgets'
  kernel state and their pictures for notebooks, which no page reads, not at all.
- Results cached from an older `vae_core` or torch are forgotten, so no page shows a stale number.
- One plain line on standard output for each notebook, with the seconds it took and the time left.
- `{{ repository }}` in a page is the address from `_config.yml`, `{{ reading_time }}` its minutes;
  `{{ reading_time 3 4 }}` and `{{ running_time 3 4 }}` are those of chapters 3 and 4 together.
- Derivations know that they are shown in the book, where their equations carry labels.
- Mathematics needs no web fonts. Colab's button and badge stand where Colab can open the page.
- Buttons that open or fetch a chapter's notebook lead to its edition for readers, notebooks/run.
- A search from disk lists titles only, and so asks for nothing a browser would refuse.
- The reference reads the package's docstrings as they are written: shapes in brackets, plain words.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import time
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import myst_nb.core.read
import quick
from docutils import nodes
from filelock import FileLock, Timeout
from myst_nb.sphinx_ import NbMetadataCollector
from reading import reading_minutes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.ext.napoleon import Config, GoogleDocstring

BLOB = re.compile(r'<script\b[^>]*\bdata-vae-blob="([0-9a-f]+)"[^>]*>.*?</script>\s*', re.DOTALL)

# A widget's picture for a notebook whose scripts are not trusted: a page runs its scripts.
STILL = re.compile(r"(<noscript>[^\n]*?)<img [^\n]*?(</noscript>)")

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
# A live view's place, and what joins it to its twin: new in each run, and nothing in a page.
VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">[^<]*</script>\s*'
    r'|(?<=") data-mark="[0-9a-f]{12}"(?= data-picture=)'
)

TIMES = re.compile(r"\{\{ (reading|running)_time((?: \d+)+) \}\}")
TEACHING = "book/teaching"  # the page that tells what each chapter takes

EDITIONS = "notebooks/run"  # the notebooks that readers open, made from the chapters
# The menus that open a chapter's notebook elsewhere, or fetch it.
NOTEBOOK_BUTTONS = {"launch-buttons", "download-buttons"}

# What can change the result of a cell besides the cell itself.
SOURCES = ("*.py", "*.js", "*.css")
VERSIONED = ("torch", "torchvision", "numpy", "scikit-learn", "sympy")


# --- pages ---------------------------------------------------------------------------------


def first_blobs_only(html: str) -> str:
    """Drop every `<script data-vae-blob="sha">` whose sha came earlier in the page.

    The widgets find a blob by its sha anywhere in the page, so one copy serves all of them.
    """
    seen: set[str] = set()

    def keep(match: re.Match[str]) -> str:
        if match[1] in seen:
            return ""
        seen.add(match[1])
        return match[0]

    return BLOB.sub(keep, html)


def with_badge(body: str, buttons: list[dict]) -> str:
    """Put a plain "Open in Colab" under a page's title, where the theme has a button for it."""
    launch = [b for group in buttons for b in group.get("buttons", [group])]
    links = [b["url"] for b in launch if "colab.research" in b.get("url", "")]
    if not links:
        return body
    badge = f'<p class="vae-colab"><a href="{escape(links[0])}">Open in Colab</a></p>'
    return body.replace("</h1>", f"</h1>\n{badge}", 1)


def to_run(url: str) -> str:
    """A link that opens or fetches a chapter's notebook, turned to its edition for readers."""
    return re.sub(r"(?<=notebooks/)(?=\d\d_\w+\.ipynb)", "run/", url)


def finish_page(app: Sphinx, pagename: str, template: str, context: dict, doctree: Any) -> None:
    if context.get("body"):
        context["body"] = STILL.sub(r"\1\2", VIEW.sub("", first_blobs_only(context["body"])))
    # The kernel's copy of every widget's data: without a widget manager nothing would read it.
    scripts = context.get("script_files", [])
    scripts[:] = [s for s in scripts if getattr(s, "attributes", {}).get("type") != WIDGET_STATE]
    # Colab opens .ipynb files only; on any other page its button would lead to an error.
    if not str(app.env.doc2path(pagename)).endswith(".ipynb"):
        buttons = context.get("header_buttons", [])
        context["header_buttons"] = [b for b in buttons if b.get("label") != "launch-buttons"]
        return
    edition = Path(app.srcdir, EDITIONS, Path(app.env.doc2path(pagename)).name)
    groups = context.get("header_buttons", []) if edition.is_file() else []
    for group in groups:
        if group.get("label") in NOTEBOOK_BUTTONS:
            for button in group.get("buttons", []):
                if "url" in button:
                    button["url"] = to_run(button["url"])
    if context.get("body"):
        context["body"] = with_badge(context["body"], context.get("header_buttons", []))


def add_editions(app: Sphinx, exception: Exception | None) -> None:
    """Put the editions where a page's download button looks, in place of their sources."""
    found = sorted(Path(app.srcdir, EDITIONS).glob("[0-9][0-9]_*.ipynb"))
    if exception or not found or not app.config.html_copy_source:
        return
    folder = Path(app.outdir, "_sources", EDITIONS)
    folder.mkdir(parents=True, exist_ok=True)
    for path in found:
        shutil.copy2(path, folder / path.name)
        Path(app.outdir, "_sources", "notebooks", path.name).unlink(missing_ok=True)


def fill_placeholders(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the repository's address, and the page's reading time, where a page asks for them."""
    address = app.config.html_theme_options.get("repository_url", "")
    source[0] = source[0].replace("{{ repository }}", address)
    if "{{ reading_time }}" in source[0]:
        minutes = str(reading_minutes(source[0]))
        source[0] = source[0].replace("{{ reading_time }}", minutes)

    def reading(match: re.Match[str]) -> str:
        if match[1] == "running":
            return match[0]  # known once the chapters have run; see fill_running_times
        texts = (Path(app.env.doc2path(d)).read_text("utf-8") for d in chapters(app.env, match[2]))
        return str(sum(reading_minutes(text) for text in texts))

    source[0] = TIMES.sub(reading, source[0])


def chapters(env: BuildEnvironment, numbers: str) -> list[str]:
    """The pages of chapters by their numbers, "3 4"; a number without a page is an error."""
    by_number = {m[1]: d for d in env.found_docs if (m := re.match(r"notebooks/(\d\d)_", d))}
    wanted = [f"{int(n):02}" for n in numbers.split()]
    if missing := [n for n in wanted if n not in by_number]:
        raise SphinxError(f"a page asks for the times of chapters that are not there: {missing}")
    return [by_number[n] for n in wanted]


def fill_running_times(app: Sphinx, doctree: Any, docname: str) -> None:
    """Put what the chapters' code took, in seconds or minutes, where a page asks for it."""

    def running(match: re.Match[str]) -> str:
        runs = [NbMetadataCollector.get_exec_data(app.env, d) for d in chapters(app.env, match[2])]
        if not all(run and run["runtime"] is not None for run in runs):
            return "not run"
        seconds = round(sum(run["runtime"] for run in runs))
        return f"{seconds} s" if seconds < 100 else f"{round(seconds / 60)} min"

    for text in list(doctree.findall(nodes.Text)):
        if TIMES.search(text):
            text.parent.replace(text, nodes.Text(TIMES.sub(running, text)))


def search_from_disk(app: Sphinx, exception: Exception | None) -> None:
    """Let a search ask for no extracts where the page was opened from disk.

    The search itself works there; but for an extract it fetches the page found, which a browser
    refuses to a page from disk. Such a search then lists titles only.
    """
    options = Path(app.outdir, "_static", "documentation_options.js")
    if exception or not options.exists():
        return
    text = options.read_text("utf-8")
    whole = "SHOW_SEARCH_SUMMARY: true"
    options.write_text(text.replace(whole, 'SHOW_SEARCH_SUMMARY: location.protocol !== "file:"'))


def mathjax_without_fonts(app: Sphinx, config: Any) -> None:
    """Draw mathematics as SVG: a browser may refuse web fonts to a page opened from disk."""
    config.mathjax_path = "mathjax/tex-svg.js"


# --- docstrings ----------------------------------------------------------------------------

# A shape or an interval in brackets, such as [batch, *shape]; not inside a literal.
BRACKETS = re.compile(r"(?<![`\w])(\[[^\[\]`]*\])(?![`(])")
# A named tuple lists its fields as a function its arguments.
NAPOLEON = Config(napoleon_custom_sections=[("Fields", "params_style")])
LITERAL = re.compile(r"(``.*?``|:\w+:`[^`]*`)", re.DOTALL)


def as_markup(docstring: str) -> str:
    """Show bracketed shapes as code, and take stars and bars for what they are."""

    def plain(text: str) -> str:
        pieces = BRACKETS.split(text)  # text, brackets, text, ...
        for k, piece in enumerate(pieces):
            pieces[k] = f"``{piece}``" if k % 2 else re.sub(r"([*|])", r"\\\1", piece)
        return "".join(pieces)

    parts = LITERAL.split(docstring)
    return "".join(part if k % 2 else plain(part) for k, part in enumerate(parts))


def read_docstring(
    app: Sphinx, what: str, name: str, described: Any, options: Any, lines: list[str]
) -> None:
    """Turn a docstring's lines into reStructuredText, in place."""
    text = as_markup("\n".join(lines))
    # Napoleon would take a property's "Standard deviation: ..." for a type and its description.
    sections = what in {"class", "exception", "function", "method"}
    lines[:] = GoogleDocstring(text, NAPOLEON).lines() if sections else text.split("\n")


def own_arguments(
    app: Sphinx, what: str, name: str, described: Any, options: Any, given: str | None, back: Any
) -> tuple[str, None] | None:
    """A widget's arguments are those of its ``__init__``; Sphinx shows its metaclass's, any at all.

    Without types: the text below names them, and most belong to other pages' modules.
    """
    if what != "class" or not (given or "").startswith("(*args"):
        return None
    signature = inspect.signature(described)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty)), None


def skip_field(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out a named tuple's fields, of which Python says only their number."""
    return True if str(getattr(member, "__doc__", "")).startswith("Alias for field") else None


# --- cached results ------------------------------------------------------------------------


def engine_hash(root: Path) -> str:
    """SHA-256 over the package's sources, the libraries' versions and the kept results."""
    digest = hashlib.sha256()
    files = {path for pattern in SOURCES for path in (root / "vae_core").rglob(pattern)}
    files |= set((root / "benchmarks" / "records").glob("*.json"))
    for path in sorted(path for path in files if path.parent.name[0] != "."):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in VERSIONED:
        try:
            digest.update(f"{name}=={version(name)}\n".encode())
        except PackageNotFoundError:
            digest.update(f"{name} absent\n".encode())
    return digest.hexdigest()


def is_notebook(env: BuildEnvironment, docname: str) -> bool:
    path = Path(env.doc2path(docname))
    if path.suffix == ".ipynb":
        return True
    return path.suffix == ".md" and myst_nb.core.read.is_myst_markdown_notebook(
        path.read_text("utf-8")
    )


def time_left(seconds: float) -> str:
    """How a line about one of several notebooks ends: nothing where little is left."""
    return f", about {max(1, round(seconds / 60))} min left" if seconds > 30 else ""


class Execution:
    """The notebooks' runs within one build: which are stale, and how far the build has come."""

    def __init__(self) -> None:
        self.stale = False
        self.started = self.reading = time.time()
        self.queue: list[str] = []
        self.done = 0
        self.lock: FileLock | None = None

    def wait_for_others(self, app: Sphinx, config: Any) -> None:
        """Let one build at a time write into the book's folder; a killed one holds up nobody."""
        place = Path(app.outdir).parent / "build.lock"
        self.lock = FileLock(place)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=0)
        except Timeout:
            print("another build of this book is running; waiting until it has ended", flush=True)
            self.lock.acquire()
        except (OSError, NotImplementedError):
            self.lock = None  # no locks on this disk: then nobody waits

    def let_others(self, app: Sphinx, exception: Exception | None) -> None:
        if self.lock is not None:
            self.lock.release()

    def forget_stale_results(self, app: Sphinx) -> None:
        """Empty the execution cache when the engine is not the one that filled it.

        Runs before MyST-NB opens the cache. The stamp is written before execution: a build that
        is interrupted leaves results of the new engine only, so the stamp never lies.
        """
        if quick.wanted():  # shows results of the engine as it was, and says so
            self.stale = False
            return
        configured = app.config.nb_execution_cache_path
        cache = Path(configured or Path(app.outdir).parent / ".jupyter_cache")
        stamp = cache / "engine.sha256"
        now = engine_hash(Path(app.srcdir))
        self.stale = not stamp.exists() or stamp.read_text("utf-8") != now
        if self.stale:
            if cache.exists():
                print("vae_core or a library changed: every notebook runs anew", flush=True)
                shutil.rmtree(cache)
            cache.mkdir(parents=True)
            stamp.write_text(now, "utf-8")

    def outdated(
        self, app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set
    ) -> list[str]:
        """Name the notebooks to read again: Sphinx itself looks at a page's own text only."""
        pages = {d for d in env.found_docs if is_notebook(env, d)}
        found = pages if self.stale else set()
        if TEACHING in env.found_docs and (found or pages & (added | changed)):
            found = found | {TEACHING}
        return sorted(found)

    def count(self, app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
        self.queue = [d for d in docnames if is_notebook(env, d)]
        self.reading = time.time()

    def report(self, app: Sphinx, doctree: Any) -> None:
        """Print one line for the notebook just read: its place in the queue and its seconds."""
        docname = app.env.docname
        if docname not in self.queue:
            return
        self.done += 1
        run = NbMetadataCollector.get_exec_data(app.env, docname)
        if run is None:
            result = "shown as stored, not executed"
        elif not run["succeeded"]:
            result = f"FAILED: {run['error']}"
        else:
            verb = "executed" if run["mtime"] >= self.started else "unchanged, was executed"
            result = f"{verb} in {run['runtime'] or 0:.1f} s"
        left = len(self.queue) - self.done
        if left:
            result += time_left((time.time() - self.reading) / self.done * left)
        print(f"\n[{self.done} of {len(self.queue)}] {docname}: {result}", flush=True)


def forget_failed_build(app: Sphinx, exception: Exception | None) -> None:
    """After a warning or an error, let the next build read every page anew.

    Sphinx warns while it reads a page and takes the page for done: without this the same fault
    would fail the first build and pass the second in silence. Executed notebooks stay cached.
    """
    if exception or app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    execution = Execution()
    # The notebooks' kernels inherit it: there derivations give their equations labels.
    os.environ["VAE_CORE_BOOK"] = "1"
    # First of all: before anything that an earlier build left is read.
    app.connect("config-inited", execution.wait_for_others, priority=1)
    # Before MyST-NB's own builder-inited handler (default priority 500) opens the cache.
    app.connect("builder-inited", execution.forget_stale_results, priority=100)
    app.connect("env-get-outdated", execution.outdated)
    # After side_by_side has executed what it could: the time it took says nothing of the time left.
    app.connect("env-before-read-docs", execution.count, priority=950)
    app.connect("doctree-read", execution.report)
    app.connect("config-inited", mathjax_without_fonts, priority=900)
    app.connect("source-read", fill_placeholders)
    app.connect("doctree-resolved", fill_running_times)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", own_arguments)
    app.connect("autodoc-skip-member", skip_field)
    # After the theme has made its buttons (its handlers run at the default priority).
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", search_from_disk)
    app.connect("build-finished", add_editions)
    app.connect("build-finished", forget_failed_build, priority=900)
    # Last of all, after the pages were made slim.
    app.connect("build-finished", execution.let_others, priority=990)
    # Notebooks run one after another: side by side they would compete for the same cores.
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
