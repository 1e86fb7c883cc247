"""The user's cache folder: files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs

from vae_core import _files

VARIABLE = "VAE_CORE_CACHE"
_told: set[Path] = set()


def folder() -> Path:
    """Where cached files go: ``$VAE_CORE_CACHE``, else the operating system's own cache folder."""
    moved = os.environ.get(VARIABLE)
    if moved:
        return _files.place(VARIABLE, moved)
    return Path(platformdirs.user_cache_dir("vae-core", appauthor=False))


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


def write(path: Path, save: bytes | Callable[[Path], object]) -> bool:
    """Put ``save``, content or a function that writes it to a name, at ``path``, whole.

    As :func:`vae_core._files.write_whole`. Returns whether the file stands. Where the folder can't
    be written (read-only home, full disk), a warning says so in one sentence, once a folder, and
    the caller goes on with what it holds in memory.
    """
    try:
        _files.write_whole(path, save)
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
    return True
