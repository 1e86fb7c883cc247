"""A build that is killed at any moment leaves nothing that the next one takes for whole."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_book
import surroundings
from reporting import many, reported

PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);"
# What a widget of the book leaves in a page, without the seconds that its library takes to load.
WIDGET = """\
from IPython.display import HTML
HTML('<div class="vae-static" data-widget="a" data-picture="b"><script type="application/json">{}'
     '</script></div><style>p {color: #111}</style><b style="width: 3em" onclick="f()">x</b>'
     '<script type="module">\\nconst a = 1;\\nmountStatic(render, "a");\\n</script>')"""
NOTEBOOKS = {
    "01_picture": [PICTURE, "print(sum(range(10)))"],
    "02_widget": [WIDGET, "21 * 2"],
}
KILLED = Path(__file__).with_name("killed_build.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


def pages(folder: Path) -> dict[str, bytes]:
    """All that a reader of the build gets.

    But for two things that depend on the builds before: the checksums that Sphinx adds to addresses
    (a first build lacks some, because it adds them before it has copied the files), and words of
    the search that stand nowhere any more.
    """
    root = folder / "_build" / "html"
    kept = {
        path.relative_to(root).as_posix(): re.sub(rb"\?v=[0-9a-f]+", b"", path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and "mathjax" not in path.parts and not path.name.startswith(".")
    }
    del kept["objects.inv"]  # compressed, with the time
    index = kept["searchindex.js"].decode()
    found = json.loads(index[index.index("(") + 1 : index.rindex(")")])
    found["terms"] = {word: places for word, places in found["terms"].items() if places != []}
    kept["searchindex.js"] = json.dumps(found, sort_keys=True).encode()
    return kept


def environment() -> dict[str, str]:
    """As the build's own start has it: without a second start, the kill meets the work."""
    return {**surroundings.cleaned(os.environ), "JOBS": "1"}


def edit(folder: Path, number: int) -> None:
    """A writer's change of a page and of a notebook's cell: what is built before is out of date."""
    page = folder / "book" / "intro.md"
    page.write_text(f"{small_book.INTRO}\nEdition {number}.\n", "utf-8")
    path = folder / "notebooks" / "01_picture.ipynb"
    text = re.sub(r"sum\(range\(\d+\)\)", f"sum(range({10 + number}))", path.read_text("utf-8"))
    path.write_text(text, "utf-8")


class Reference:
    """The book, built without any fault, in both editions; and a folder in which to spoil it."""

    def __init__(self, place: Path) -> None:
        self.folder = small_book.write(place / "right", NOTEBOOKS)
        started = time.monotonic()
        done = self.killed(self.folder, 0)
        self.seconds = time.monotonic() - started
        assert done.returncode == 0, done.stdout + done.stderr
        self.files = int(done.stdout.split("opened ")[-1])
        self.first = pages(self.folder)
        self.kept = place / "kept"
        shutil.copytree(self.folder, self.kept, symlinks=True)
        edit(self.folder, 1)
        started = time.monotonic()
        done = self.killed(self.folder, 0)
        self.again_seconds = time.monotonic() - started
        self.again_files = int(done.stdout.split("opened ")[-1])
        self.second = pages(self.folder)
        assert self.second != self.first

    def killed(self, folder: Path, number: int) -> subprocess.CompletedProcess[str]:
        """A build that kills itself at the ``number``-th file that it writes."""
        return subprocess.run(
            [sys.executable, str(KILLED), str(number), "--keep-going"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def killed_after(self, folder: Path, seconds: float) -> bool:
        """A build that somebody kills after so long; whether it was still at work."""
        build = subprocess.Popen(
            small_book.command("--keep-going"),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            build.wait(seconds)
        except subprocess.TimeoutExpired:
            build.send_signal(signal.SIGKILL)
        return build.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    place = tmp_path_factory.mktemp("killed")
    yield Reference(place)
    shutil.rmtree(place, ignore_errors=True)


def whole(folder: Path, right: dict[str, bytes]) -> list[str]:
    """What a build after a kill gets wrong."""
    done = small_book.build(folder, "--keep-going", check=False, **environment())
    if done.returncode:
        return [done.stdout[-2000:] + done.stderr[-2000:]]
    found = pages(folder)
    return sorted(
        name for name in right.keys() | found.keys() if right.get(name) != found.get(name)
    )


def test_the_next_build_is_right_and_whole(reference: Reference, tmp_path: Path) -> None:
    chance = random.Random(20240229)
    with reported(
        "build-killed",
        "A build is killed just as it begins to write a file: the next build gives every page, "
        "byte for byte.",
        "A build is killed at a random moment: the next build gives every page, byte for byte.",
    ) as (at_a_file, at_a_moment):
        for number in range(many(2, 50)):
            folder, again = tmp_path / f"file{number}", number % 2 == 1
            if again:  # pages, pictures and results of an earlier build are there
                shutil.copytree(reference.kept, folder, symlinks=True)
                edit(folder, 1)
            else:
                small_book.write(folder, NOTEBOOKS)
            which = chance.randint(1, reference.again_files if again else reference.files)
            done = reference.killed(folder, which)
            assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
            wrong = whole(folder, reference.second if again else reference.first)
            at_a_file.tried(not wrong, f"file {which}, again {again}: {wrong}")
            shutil.rmtree(folder)
        for number in range(many(1, 50)):
            folder, again = tmp_path / f"moment{number}", number % 2 == 1
            if again:
                shutil.copytree(reference.kept, folder, symlinks=True)
                edit(folder, 1)
            else:
                small_book.write(folder, NOTEBOOKS)
            seconds = chance.random() * (reference.again_seconds if again else reference.seconds)
            reference.killed_after(folder, seconds)
            wrong = whole(folder, reference.second if again else reference.first)
            at_a_moment.tried(not wrong, f"after {seconds:.2f} s, again {again}: {wrong}")
            shutil.rmtree(folder)
