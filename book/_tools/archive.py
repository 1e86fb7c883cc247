"""Pack the built book into one archive that opens from disk.

    python book/_tools/archive.py [--output FILE] [--weights]

The archive (by default _build/NAME.zip, NAME being the repository's) has one folder at its top, and
in it the pages as built, `index.html` to start with, and the licence; with --weights also the
trained models, which no page reads. It is written under another name and moved, so that an
interrupted run leaves the old archive or the new one, whole.
"""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from pathlib import Path

import repository

ROOT = Path(__file__).resolve().parents[2]
# What a build keeps for itself, and weights for notebooks elsewhere: no page reads them.
LEFT_OUT = {".buildinfo", ".buildinfo.bak", ".doctrees", "reports", "objects.inv"}
WEIGHTS = "_zoo"


def contents(pages: Path, weights: bool = False) -> list[Path]:
    """The files of the built book, in order; trained models among them only where ``weights``."""
    out = LEFT_OUT if weights else LEFT_OUT | {WEIGHTS}
    files = (path for path in pages.rglob("*") if path.is_file())
    return sorted(path for path in files if not out & set(path.relative_to(pages).parts))


def pack(pages: Path, extra: list[Path], top: str, output: Path, weights: bool = False) -> int:
    """Write the archive ``output``; give its number of files.

    Raises ``ValueError`` where there is no built book, ``OSError`` where it can't be written.
    """
    if not (pages / "index.html").is_file():
        raise ValueError(f"{pages} holds no built book; run `make book` first")
    files = {path: path.relative_to(pages) for path in contents(pages, weights)}
    files |= {path: Path(path.name) for path in extra}
    part = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in files.items():
                archive.write(path, (Path(top) / name).as_posix())
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)
    return len(files)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--weights", action="store_true", help="with the trained models")
    options = parser.parse_args(argv)
    top = repository.configured(root).rsplit("/", 1)[1]
    output = options.output or root / "_build" / f"{top}.zip"
    try:
        pages = root / "_build" / "html"
        number = pack(pages, [root / "LICENSE"], top, output, options.weights)
    except (ValueError, OSError) as error:
        print(f"no archive was made: {error}", file=sys.stderr)
        return 1
    print(f"The book: {output.resolve()} ({number} files, {output.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
