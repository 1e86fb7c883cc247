"""Keep one repository address: the one in _config.yml.

    python book/_tools/repository.py [--check | --url URL]

--url writes a new address into _config.yml first. Then every place that must spell the address
out, because it is read outside the built book, is rewritten: `git clone` lines, the bootstrap
cells' `git+` requirements, Colab's and Binder's links and CITATION.cff. With --check nothing is
written; the exit status is 1 if a place names another address. The book's pages say
`{{ repository }}` instead. The address of the published pages, `baseurl` in _config.yml, goes into
the package, which fetches trained models from there.

The repository must be on GitHub: Colab opens notebooks from nowhere else, and the buttons of the
pages are made for it. The built pages themselves can stand on any host.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

CONFIG = "_config.yml"
ADDRESS = re.compile(r"^https://([\w.-]+)/[\w.-]+/[\w.-]+$")
CONFIG_LINE = re.compile(r"(?m)^(repository:\n  url: )(\S+)$")
PAGES_LINE = re.compile(r"(?m)^  baseurl: (\S*)")
PACKAGED = Path("vae_core", "published_at.txt")  # the package has no other way to know it
SUFFIXES = {".md", ".ipynb", ".cff", ".py", ".toml", ".yml", ".yaml"}
# Tests name addresses of their own; the rest is not the project's text.
SKIPPED = {"tests", "_build", ".venv", ".git", ".ipynb_checkpoints", "node_modules"}

# What stands before an address of this repository, then the address itself.
PLACES = [
    re.compile(r"(git\+)(https://[\w./-]*[\w-])"),
    re.compile(r"(git clone )(https://[\w./-]*[\w-])"),
    re.compile(r"(?m)^((?:repository-code|url): \"?)(https://[\w./-]*[\w-])"),
]
# Colab and Binder write the repository as owner/name.
HOSTS = re.compile(r"(colab\.research\.google\.com/github/|mybinder\.org/v2/gh/)([\w.-]+/[\w.-]+)")


def write_whole(path: Path, text: str) -> None:
    """Put ``text`` at ``path``: a full disk or a kill leaves the old file or the new one, whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.chmod(path.stat().st_mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def configured(root: Path) -> str:
    """Return the address in _config.yml."""
    match = CONFIG_LINE.search((root / CONFIG).read_text("utf-8"))
    if match is None:
        raise ValueError(f"{CONFIG} has no line `  url: ...` under `repository:`")
    return match[2]


def check(url: str) -> None:
    """Raise ``ValueError`` for what is no repository's address, and for hosts besides GitHub."""
    match = ADDRESS.match(url)
    if match is None:
        raise ValueError(f"expected an address like https://github.com/owner/name, got {url!r}")
    if match[1].lower() != "github.com":
        raise ValueError(
            f"{match[1]} will not do: Colab opens notebooks from GitHub alone, and the pages' "
            "buttons lead there. Name a copy of the repository on GitHub; the built pages may "
            "be on any host"
        )


def configure(root: Path, url: str) -> None:
    """Write `url` into _config.yml."""
    check(url)
    config = root / CONFIG
    write_whole(config, CONFIG_LINE.sub(rf"\g<1>{url}", config.read_text("utf-8")))


def published_at(root: Path) -> str:
    """The line of ``vae_core/published_at.txt``: where the pages of _config.yml's baseurl stand."""
    match = PAGES_LINE.search((root / CONFIG).read_text("utf-8"))
    return (match[1].strip("\"'") if match else "") + "\n"


def put_address(root: Path, write: bool) -> bool:
    """Whether the package names another address of the pages; put right if ``write``."""
    path = root / PACKAGED
    if not path.exists() or path.read_text("utf-8") == published_at(root):
        return False
    if write:
        write_whole(path, published_at(root))
        print(f"{path}: now names the pages' address")
    else:
        print(f"{path}: not the baseurl of {CONFIG}; run `make repository`", file=sys.stderr)
    return True


def texts(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix in SUFFIXES and not SKIPPED & set(relative.parts) and path.is_file():
            yield path


def rewrite(text: str, url: str) -> str:
    """Return `text` with every spelled-out repository address replaced by `url`."""
    for place in PLACES:
        text = place.sub(rf"\g<1>{url}", text)
    return HOSTS.sub(rf"\g<1>{url.removeprefix('https://github.com/')}", text)


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, report stray addresses")
    mode.add_argument("--url", help="the new address, https://github.com/owner/name")
    options = parser.parse_args(argv)
    try:
        if options.url:
            configure(root, options.url.removesuffix("/").removesuffix(".git"))
        url = configured(root)
        check(url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    stray = int(put_address(root, not options.check))
    for path in texts(root):
        before = path.read_text("utf-8")
        after = rewrite(before, url)
        if after == before:
            continue
        stray += 1
        if options.check:
            print(f"{path}: names another repository than {url}", file=sys.stderr)
        else:
            write_whole(path, after)
            print(f"{path}: now names {url}")
    return 1 if options.check and stray else 0


if __name__ == "__main__":
    sys.exit(main())
