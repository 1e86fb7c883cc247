"""Sphinx extension: what a build leaves is whole, and nothing of an earlier one stays in it.

Sphinx, MyST-NB and its cache write their files in place. A kill (or a full disk) at the wrong
moment leaves half a page, half a picture or an entry without its file, newer than its source, and
so never made again. A mark stands in the build's folder while a build is at work. Where the next
one finds it, everything is made anew, from those results of notebooks that are whole.

After a build, pages and pictures that no source has any more are removed: they would go on to be
found, searched and handed out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.cache.db import NbCacheRecord
from sphinx.application import Sphinx

# Pages of Sphinx's own, which have no source. A build in which no page has changed writes none of
# them, so that they may be as old as the first build.
GENERATED = {"index", "genindex", "search"}
NOTICE = "the last build did not end: its pages are made anew, from the results that are whole"


def cache_folder(app: Sphinx) -> Path:
    """Where MyST-NB keeps the results of notebooks."""
    configured = app.config.nb_execution_cache_path
    return Path(configured or Path(app.outdir).parent / ".jupyter_cache")


def mend_cache(folder: Path) -> None:
    """Leave only whole results in a cache; nothing where its table can't be read."""
    if not folder.is_dir():
        return
    try:
        cache = get_cache(str(folder))
        for record in cache.list_cache_records():
            try:
                cache.get_cache_bundle(record.pk)
            except Exception:  # no file, an empty one, half of one
                shutil.rmtree(folder / "executed" / record.hashkey, ignore_errors=True)
                NbCacheRecord.remove_record(record.pk, cache.db)
    except Exception:  # its database is half made; it says so in several ways
        shutil.rmtree(folder, ignore_errors=True)


class Build:
    """A build from its beginning to its end."""

    def mark(self, app: Sphinx) -> Path:
        return Path(app.outdir).parent / "unfinished"

    def begin(self, app: Sphinx, config: Any) -> None:
        """Clear away what a killed build may have left half done, and set the mark."""
        mark = self.mark(app)
        if mark.exists():
            print(NOTICE, flush=True)
            mend_cache(cache_folder(app))
            pictures = Path(app.outdir).parent / "jupyter_execute"
            for folder in (Path(app.doctreedir), Path(app.outdir), pictures):
                shutil.rmtree(folder, ignore_errors=True)
            Path(app.outdir).mkdir(parents=True, exist_ok=True)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def end(self, app: Sphinx, exception: Exception | None) -> None:
        """Take the mark away where the build came to its end, if with warnings."""
        if exception is None:
            self.mark(app).unlink(missing_ok=True)

    def remove_old(self, app: Sphinx, exception: Exception | None) -> None:
        """Remove pages without a source, and pictures that no page shows."""
        if exception or app.builder.format != "html":
            return
        root = Path(app.outdir)
        own = {*app.env.found_docs, *GENERATED, *app.config.html_additional_pages}
        if app.env.get_domain("py").data.get("modules"):
            own.add("py-modindex")
        for path in root.rglob("*.html"):
            name = path.relative_to(root).with_suffix("").as_posix()
            if name not in own and not name.startswith("_static/"):
                path.unlink()
        shown = {name for _, name in app.env.images.values()}
        for path in (root / "_images").glob("*"):
            if path.name not in shown:
                path.unlink()
        for path in (root / "_sources").rglob("*"):
            name = path.relative_to(root / "_sources").with_suffix("").as_posix()
            if path.is_file() and name not in app.env.found_docs:
                path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    build = Build()
    # After the lock against other builds (vae_book), before anything of an earlier build is read.
    app.connect("config-inited", build.begin, priority=2)
    # Before all that looks at the pages.
    app.connect("build-finished", build.remove_old, priority=100)
    # After all that changes them, before others may begin.
    app.connect("build-finished", build.end, priority=980)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
