"""Pack the built book into one archive that opens from disk.

    python book/_tools/archive.py [--output FILE]

The archive (by default _build/NAME.zip, NAME being the repository's) has one folder at its top, and
in it the pages as built, `index.html` to start with, and the licence. It is written under another
name and moved, so that an interrupted run leaves the old archive or the new one, whole.
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
LEFT_OUT = {"_zoo", ".buildinfo", ".buildinfo.bak", ".doctrees", "reports", "objects.inv"}


def contents(pages: Path) -> list[Path]:
    """The files of the built book, in order."""
    files = (path for path in pages.rglob("*") if path.is_file())
    return sorted(path for path in files if not LEFT_OUT & set(path.relative_to(pages).parts))


def pack(pages: Path, extra: list[Path], top: str, output: Path) -> int:
    """Write the archive ``output``; give its number of files.

    Raises ``ValueError`` where there is no built book, ``OSError`` where it can't be written.
    """
    if not (pages / "index.html").is_file():
        raise ValueError(f"{pages} holds no built book; run `make book` first")
    files = {path: path.relative_to(pages) for path in contents(pages)}
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
    options = parser.parse_args(argv)
    top = repository.configured(root).rsplit("/", 1)[1]
    output = options.output or root / "_build" / f"{top}.zip"
    try:
        number = pack(root / "_build" / "html", [root / "LICENSE"], top, output)
    except (ValueError, OSError) as error:
        print(f"no archive was made: {error}", file=sys.stderr)
        return 1
    print(f"The book: {output.resolve()} ({number} files, {output.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
