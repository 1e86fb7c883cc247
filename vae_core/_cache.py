"""The user's cache folder: files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs

VARIABLE = "VAE_CORE_CACHE"
_told: set[Path] = set()


def folder() -> Path:
    """Where cached files go: ``$VAE_CORE_CACHE``, else the operating system's own cache folder."""
    moved = os.environ.get(VARIABLE)
    return Path(moved) if moved else Path(platformdirs.user_cache_dir("vae-core", appauthor=False))


def write(path: Path, save: Callable[[Path], object]) -> bool:
    """Call ``save(temporary)`` and move the result to ``path``: a kill leaves old or new, whole.

    Returns whether the file stands. Where the folder can't be written (read-only home, full disk),
    a warning says so in one sentence, once a folder, and the caller goes on with what it holds in
    memory. ``save`` must report a failed write as ``OSError``.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if path.parent not in _told:
            _told.add(path.parent)
            warnings.warn(
                f"the cache folder {path.parent} can't be written ({error.strerror or error}); "
                f"going on in memory. Set {VARIABLE} to a folder that can be written.",
                RuntimeWarning,
                stacklevel=3,
            )
        return False
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return True
