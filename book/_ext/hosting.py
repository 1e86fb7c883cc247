"""Sphinx extension for the page on hosting: the policy that is tested, and sizes that are measured.

``{{ policy }}`` in it is ``POLICY``, under which tests/browser/test_policies.py opens every page.
``{{ files }}``, ``{{ pages }}``, ``{{ size }}``, ``{{ sent }}``, ``{{ heaviest }}``,
``{{ python }}``, ``{{ mathjax }}`` and ``{{ weights }}`` are filled in when all files of the build
are there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PAGE = "book/hosting"
# Everything works under it: files of the same host, and nothing else.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    ]
)
LOADED = re.compile(r'<(?:script|link|img)\b[^>]*?\b(?:src|href)="([^"]+)"[^>]*>')
LATER = re.compile(r'\brel="(?:next|prev|search|index|icon)"|\bloading="lazy"|\bclass="vae-still"')


def fill_policy(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == PAGE:
        source[0] = source[0].replace("{{ policy }}", POLICY)


def always(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """The page is written by every build: its sizes are those of that build."""
    return [PAGE] if PAGE in env.found_docs else []


def sent(path: Path) -> int:
    """The bytes that a host sends for a file, compressed as hosts do."""
    return len(zlib.compress(path.read_bytes(), 6))


def loads(page: Path) -> set[Path]:
    """The files that a browser asks for when it opens a page, and the page itself."""
    found = {page}
    for match in LOADED.finditer(page.read_text("utf-8")):
        if not LATER.search(match[0]) and not urlsplit(match[1]).scheme:
            found.add((page.parent / unquote(urlsplit(match[1]).path)).resolve())
    return {path for path in found if path.is_file()}


def megabytes(paths: Iterable[Path]) -> str:
    return f"{sum(path.stat().st_size for path in paths) / 1e6:.1f} MB"


def measures(root: Path) -> dict[str, str]:
    """What the page says of the files below ``root``."""
    every = [path for path in root.rglob("*") if path.is_file()]
    weights = [path for path in every if path.relative_to(root).parts[0] == "_zoo"]
    files = [path for path in every if path not in set(weights)]
    mathjax = [path for path in files if "mathjax" in path.relative_to(root).parts]
    python = list((root / "_static" / "python").glob("*.js"))
    pages = [p for p in files if p.suffix == ".html" and "_static" not in p.relative_to(root).parts]
    own = {page: loads(page) - set(mathjax) for page in pages}
    heaviest = max(own.values(), key=lambda paths: sum(path.stat().st_size for path in paths))
    drawing = root / "_static" / "mathjax" / "tex-svg.js"
    return {
        "files": f"{len(files):,}",
        "pages": str(len(pages)),
        "size": megabytes(files),
        "weights": f"{megabytes(weights)} in {len(weights)} files" if weights else "nothing",
        "sent": f"{sum(map(sent, heaviest)) / 1e6:.1f} MB",
        "heaviest": megabytes(heaviest),
        "python": f"{sum(map(sent, python)) / 1e6:.1f} MB" if python else "nothing",
        "mathjax": f"{sent(drawing) / 1e6:.1f} MB" if drawing.exists() else "nothing",
    }


def fill_sizes(app: Sphinx, exception: Exception | None) -> None:
    page = Path(app.outdir, f"{PAGE}.html")
    if exception or app.builder.format != "html" or not page.exists():
        return
    text = page.read_text("utf-8")
    for name, value in measures(Path(app.outdir)).items():
        text = text.replace(f"{{{{ {name} }}}}", value)
    page.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", fill_policy)
    app.connect("env-get-outdated", always)
    # After all that changes a page or adds a file.
    app.connect("build-finished", fill_sizes, priority=970)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
