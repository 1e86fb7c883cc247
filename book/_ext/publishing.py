"""Sphinx extension: the trained models are published beside the pages, in ``_zoo/``.

Nothing is trained for that: what the build's own notebooks have loaded lies in the cache. A build
from fetched weights (``make preview``) or from results of earlier runs (``make quick``) publishes
none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import quick
from sphinx.application import Sphinx


def publish(app: Sphinx, exception: Exception | None) -> None:
    """Put the weights and their index into the built book."""
    if exception or app.builder.format != "html" or quick.wanted():
        return
    if os.environ.get("VAE_CORE_WEIGHTS") != "train":
        return
    from vae_core import zoo

    number = zoo.publish(Path(app.outdir, "_zoo"))
    if number:
        print(f"_zoo: the weights of {number} of {len(zoo.USED)} models", flush=True)


def setup(app: Sphinx) -> dict[str, Any]:
    # Before the page on hosting is told the sizes.
    app.connect("build-finished", publish, priority=960)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
