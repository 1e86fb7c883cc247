"""A quick build: pages from results that exist already, so that text can be looked at in a minute.

``VAE_CORE_QUICK=yes`` executes no chapter: one whose cells are those of its last execution is shown
with the results of that run, widgets and all, whatever has changed in the package since; any other
is shown with the outputs stored in its notebook, where a widget is a picture. The front page is
treated alike: what stands for its outputs is front.py's. ``VAE_CORE_QUICK=12`` does the same, but
executes chapter 12 as the package is now, ``VAE_CORE_QUICK=0`` the front page.

The whole book (``make book``) is never built this way: it executes what is not up to date.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError

VARIABLE = "VAE_CORE_QUICK"
FRONT = "00"


def wanted() -> str:
    """'' for a whole build, 'yes' for a quick one, or the two digits of what to execute."""
    text = os.environ.get(VARIABLE, "").strip()
    if text in ("", "yes"):
        return text
    if text.isdecimal() and int(text) <= 99:
        return f"{int(text):02}"
    raise ConfigError(
        f"{VARIABLE} is yes or the number of a chapter, for example 12 (0: the front page); "
        f"got {text!r}"
    )


def borrow_results(app: Sphinx, config: Any) -> None:
    """Let MyST-NB look into the results of the whole book's builds."""
    if wanted():
        config.nb_execution_cache_path = str(Path(app.srcdir, "_build", ".jupyter_cache"))


def read(path: Path) -> Any:
    """A page as a notebook: an .ipynb file, or Markdown with code cells; None for any other."""
    if path.suffix == ".ipynb":
        return nbformat.read(path, as_version=4)
    text = path.read_text("utf-8") if path.suffix == ".md" else ""
    return read_myst_markdown_notebook(text) if is_myst_markdown_notebook(text) else None


def result_of(cache: Any, path: Path) -> Any:
    """The cache's record of a notebook with these very cells; None where it has none."""
    try:
        return cache.match_cache_notebook(read(path))
    except KeyError:
        return None


def choose(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Leave out of the execution every notebook but the one that was named."""
    if not (quick := wanted()):
        return
    settings: Any = env.mystnb_config  # type: ignore[attr-defined]
    cache = get_cache(settings.execution_cache_path)
    left_out, named = [], False
    for docname in docnames:
        path = Path(env.doc2path(docname))
        if read(path) is None:
            continue
        record = result_of(cache, path)
        front = docname == app.config.root_doc
        if path.name.startswith(f"{quick}_") or (front and quick == FRONT):
            named = True
            if record is not None:
                cache.remove_cache(record.pk)  # a result of the package as it was
        elif record is None:
            left_out.append(path.relative_to(app.srcdir).as_posix())
    app.vae_not_executed = set(left_out)  # type: ignore[attr-defined]
    if quick != "yes" and not named:
        raise ConfigError(f"no chapter begins with the number {quick}")
    settings.execution_excludepatterns = (*settings.execution_excludepatterns, *left_out)


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Notebooks and the front page are read every time: what they show may be of a later run."""
    if not wanted():
        return []
    own = {app.config.root_doc}
    return sorted(own | {d for d in env.found_docs if env.doc2path(d).endswith(".ipynb")})


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", borrow_results, priority=900)
    app.connect("env-get-outdated", outdated)
    # Before side_by_side executes what the cache lacks.
    app.connect("env-before-read-docs", choose, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
