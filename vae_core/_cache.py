"""The user's cache folder: files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs

VARIABLE = "VAE_CORE_CACHE"
_told: set[Path] = set()
# Nothing takes so long to write: an older temporary file is what a killed process left.
_LEFT_SECONDS = 3600.0


def folder() -> Path:
    """Where cached files go: ``$VAE_CORE_CACHE``, else the operating system's own cache folder."""
    moved = os.environ.get(VARIABLE)
    return Path(moved) if moved else Path(platformdirs.user_cache_dir("vae-core", appauthor=False))


def check() -> None:
    """Raise ``OSError``, in one sentence, where the cache folder can't be written."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder()) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise OSError(
            f"the cache folder {folder()} can't be written ({error.strerror or error}). "
            f"Set {VARIABLE} to a folder that can be written."
        ) from None


def _sweep(path: Path) -> None:
    """Remove what killed processes left of ``path``; a process at work keeps its own."""
    for left in path.parent.glob(f".{path.name}.*"):
        try:
            if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                left.unlink()
        except OSError:
            continue  # another process was faster, or may and this one may not


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
        _sweep(path)
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
