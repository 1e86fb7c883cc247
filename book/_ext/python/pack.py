"""Runs in Pyodide, at build time: sources to one archive of compiled modules, for the same Python.

Docstrings and assertions are left out, which halves it; the archive is not compressed inside, since
it travels compressed as a whole and is then read without being unpacked again.
"""

import importlib.util
import io
import marshal
import os
import warnings
import zipfile

CODE_PAGES = ("cp", "iso", "mac_", "big5", "euc", "gb", "hz", "johab", "koi", "kz", "shift", "tis")
EPOCH = (1980, 1, 1, 0, 0, 0)


def compiled(source, name):
    """The bytes of a .pyc that is never compared with its source."""
    # Pyodide reads the docstrings of its own modules when it starts.
    level = 0 if name.startswith(("_pyodide/", "pyodide/")) else 2
    code = compile(source, name, "exec", dont_inherit=True, optimize=level)
    flags = (1).to_bytes(4, "little")  # by hash, unchecked
    return importlib.util.MAGIC_NUMBER + flags + bytes(8) + marshal.dumps(code)


def sources(root, parts, skip):
    """Pairs of a module's path and its source, below ``root`` or in a zip file of that name."""
    if zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as given:
            for name in sorted(given.namelist()):
                if name.endswith(".py") and not left_out(name, skip):
                    yield name, given.read(name)
        return
    for part in parts:
        whole = os.path.join(root, part)
        walk = [(root, [], [part])] if os.path.isfile(whole) else os.walk(whole)
        for folder, inner, files in walk:
            inner.sort()
            for file in sorted(files):
                path = os.path.join(folder, file)
                name = os.path.relpath(path, root)
                if name.endswith(".py") and not left_out(name, skip):
                    with open(path, "rb") as opened:
                        yield name, opened.read()


def left_out(name, skip):
    """Whether a module lies in a package that is left out, or is a test."""
    module = name.removesuffix(".py").removesuffix("/__init__")
    if {"tests", "benchmarks", "__pycache__"} & set(module.split("/")):
        return True
    if module.startswith("encodings/") and module.split("/")[1].startswith(CODE_PAGES):
        return True
    return any(module == part or module.startswith(f"{part}/") for part in skip)


def pack(jobs, skip):
    """The archive of all ``jobs``: a root, and the packages or files in it."""
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        warnings.simplefilter("ignore", SyntaxWarning)
        for root, parts in jobs:
            for name, source in sources(root, parts, skip):
                archive.writestr(zipfile.ZipInfo(f"{name}c", EPOCH), compiled(source, name))
    return written.getvalue()
