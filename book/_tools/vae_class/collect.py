"""Whose a file is, whatever it is called and packed in, for `nbgrader zip_collect`.

``Extractor`` unpacks; an archive that does not open costs nobody else. ``Collector`` says whose
each notebook is: by its name, by that which Moodle, Canvas or Blackboard gave it, or by its folder.
Each file that is left out, and why, is one line in the log.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tarfile
import unicodedata
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import unzip

from vae_class import handed_in

__all__ = ["Collector", "Extractor", "plan", "whose"]

LARGEST = 2 << 30  # bytes that one archive may unpack to
JUNK = re.compile(
    r"^(\._.*|\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX|\.ipynb_checkpoints)$", re.IGNORECASE
)
ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz")


# --- unpacking ------------------------------------------------------------------------------------


class Extractor(ExtractorPlugin):
    """nbgrader's, but an archive that does not open is named and left out."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        source, to = Path(archive_path), Path(extracted_path)
        files = [p for p in sorted(source.rglob("*")) if p.is_file()]
        if not files:
            self.log.warning("No files found in directory: %s", source)
        for path in files:
            inside = path.relative_to(source)
            if any(JUNK.match(part) for part in inside.parts):
                continue
            folder = to / inside.parent
            folder.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() not in ARCHIVES:
                shutil.copy(path, folder / path.name)
                continue
            try:
                _fit(path)
                unzip(
                    str(path),
                    str(folder),
                    zip_ext=[path.suffix],
                    create_own_folder=True,
                    tree=False,
                )
                for inner in sorted((folder / _bare(path)).rglob("*")):
                    if inner.suffix.lower() in ARCHIVES and inner.is_file():
                        _fit(inner)
                        unzip(
                            str(inner),
                            str(inner.parent),
                            zip_ext=[inner.suffix],
                            create_own_folder=True,
                        )
                        inner.unlink()
            except Exception as error:
                what = str(error).splitlines()[0] if str(error) else type(error).__name__
                self.log.warning("%s: left out, an archive that does not open (%s)", inside, what)
        tidied(to)


def _bare(path: Path) -> str:
    """The name of the folder that nbgrader unpacks an archive into."""
    return Path(path.stem).stem if Path(path.stem).suffix == ".tar" else path.stem


def _fit(path: Path) -> None:
    """Raise ``ValueError`` for an archive that would fill the disk."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if any(member.flag_bits & 1 for member in archive.infolist()):
                raise ValueError("it asks for a password")
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            size = sum(member.size for member in archive)
    else:
        raise ValueError("it is no archive that can be read here")
    if size > LARGEST:
        raise ValueError(f"it would unpack to {size >> 30} GB")


def tidied(root: Path) -> None:
    """Remove what systems leave in archives; mend names; let each notebook end in .ipynb."""
    for path in sorted(root.rglob("*"), key=lambda p: -len(p.parts)):
        if JUNK.match(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        name = mended(path.name)
        if path.is_file() and re.search(r"\.ipynb\.(txt|json|html?)$", name, re.IGNORECASE):
            name = name.rpartition(".")[0]
        if path.is_file() and name.lower().endswith(".ipynb"):
            name = name[:-6] + ".ipynb"
        if name != path.name and not (path.parent / name).exists():
            path.rename(path.parent / name)


def mended(name: str) -> str:
    """A file's name as it was meant: out of zip's old encoding, with one form of umlauts."""
    with contextlib.suppress(UnicodeError):
        name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name)


# --- whose a file is ------------------------------------------------------------------------------

COPY = re.compile(
    r"^(?:(?:copy|kopie|copie|copia|cópia|kopia|kopio|kópia|másolat|копия|копія) "
    r"(?:of|von|de|di|van|av|z)? ?(?:\(\d+\) ?)?|副本)+",
    re.IGNORECASE,
)
LAST = re.compile(r"(?:^|[ _-])(?:copy|kopie|copie|copia)(?: (?:of|von|de|di))? *$", re.IGNORECASE)
AGAIN = re.compile(
    r"(?:[ _]*\((\d+)\)|-copy(\d*)|[ _-]+(?:copy|kopie|copie|copia)(?: ?\(?(\d+)\)?)?|-(\d{1,2}))$",
    re.IGNORECASE,
)
MOODLE = re.compile(
    r"^(?P<who>.+?)_\d+_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)$", re.DOTALL
)
CANVAS = re.compile(r"^(?P<who>[^_]+?)(?:_LATE)?_\d{3,}_\d{3,}_(?P<rest>.*)$", re.DOTALL)
BLACKBOARD = re.compile(r"^.*?_(?P<who>[^_]+)_attempt_[\d-]{16,}_?(?P<rest>.*)$", re.DOTALL)
# Folders that are nobody's.
NOBODY = re.compile(
    r"(all|alle|archive|assignments?|submissions?|abgaben?|downloads?|extracted|homework|files?|"
    r"students?|class|course|notebooks?|new folder.*|neuer ordner.*|zip|tmp|temp|ch\d\d.*|\d+|)",
    re.IGNORECASE,
)


class Whose(NamedTuple):
    """A student, how many times the file says it was saved, and how this was told."""

    student: str
    again: int
    by: str


def _named(text: str, assignment: str) -> tuple[str | None, int, bool]:
    """The student in a name, the number of the copy, and whether the assignment is named."""
    text = COPY.sub("", mended(text).strip())
    for pattern in (MOODLE, CANVAS, BLACKBOARD):
        found = pattern.match(text)
        if found:
            again = _named(found["rest"], assignment)[1] if found["rest"] else 0
            return found["who"].strip(), again, assignment.lower() in _plain(found["rest"])
    again = 0
    while (found := AGAIN.search(text)) and not text.lower().endswith(assignment.lower()):
        again = max(again, *(int(n) for n in found.groups("0") if n), 1)
        text = text[: found.start()]
    plain = _plain(text)
    at = plain.rfind(assignment.lower())
    if at < 0:
        return None, again, False
    who = COPY.sub("", LAST.sub("", text[:at]).strip(" _-"))
    return (who or None), again, True


def _plain(text: str) -> str:
    return re.sub(r"[ -]", "_", text.lower())


def whose(inside: Path, assignment: str, alone: bool) -> Whose | None:
    """Whose the file is at ``inside`` the folder of all; alone: the only notebook in its folder."""
    stem = inside.stem
    who, again, _ = _named(stem, assignment)
    if who:
        return Whose(who, again, "name")
    folders = inside.parts[-2::-1]
    for folder in folders:
        who, _, _ = _named(folder, assignment)
        if who:
            return Whose(who, again, "folder")
    for folder in folders if alone else ():
        if assignment.lower() not in _plain(folder) and not NOBODY.fullmatch(folder.strip()):
            return Whose(mended(folder).strip(), again, "folder")
    return None


def plan(root: Path, assignment: str, given: handed_in.Given | None) -> tuple[dict, list[str]]:
    """For each notebook below ``root`` its student, and a line for each file that is left out."""
    found: dict[str, list[tuple[tuple, Path]]] = defaultdict(list)
    lines: list[str] = []
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.name != "timestamp.txt"]
    notebooks = [p for p in files if p.suffix == ".ipynb"]
    for path in files:
        inside = path.relative_to(root)
        if path.suffix != ".ipynb":
            lines.append(f"{inside}: left out, not a notebook")
            continue
        other = re.search(r"ch\d\d_[a-z_]+", _plain(path.stem))
        if other and assignment.lower() not in _plain(path.stem) and _is_other(path, given):
            lines.append(f"{inside}: left out, it belongs to {other[0].strip('_')}")
            continue
        alone = sum(p.parent == path.parent for p in notebooks) == 1
        owner = whose(inside, assignment, alone)
        if owner is None:
            lines.append(
                f"{inside}: left out, nobody's name is on it; call it STUDENT_{assignment}.ipynb"
            )
            continue
        answers = _answers(path, given)
        found[owner.student].append(((answers > 0, owner.again, answers, str(inside)), path))
        if owner.by == "folder" and not any(
            pattern.match(part) for part in inside.parts for pattern in (MOODLE, CANVAS, BLACKBOARD)
        ):
            lines.append(f"{inside}: taken for {owner.student}'s, by its folder's name")
    taken = {}
    for student, several in found.items():
        best = max(several)[1]
        taken[best] = student
        for _, path in several:
            if path != best:
                inside, kept = path.relative_to(root), best.relative_to(root)
                lines.append(f"{inside}: left out, {student} has handed in {kept}, too")
    return taken, lines


def _is_other(path: Path, given: handed_in.Given | None) -> bool:
    if given is None:
        return True
    try:
        return handed_in.fits(handed_in.cells_of(path.read_bytes()), given) < 0.3
    except (OSError, handed_in.SetAside):
        return True


def _answers(path: Path, given: handed_in.Given | None) -> int:
    """How many answers a notebook holds; -1 if it cannot be read."""
    if given is None:
        return 0
    try:
        return handed_in.answers(path.read_bytes(), given)
    except (OSError, handed_in.SetAside):
        return -1


class Collector(FileNameCollectorPlugin):
    """Says whose a file is; looks at all of them together, the first time."""

    def collect(self, submitted_file: str) -> dict[str, Any] | None:
        app = self.parent
        assignment = app.coursedir.assignment_id
        root = Path(app._format_collect_path(app.extracted_directory))
        if getattr(self, "_of", None) != root:
            course = app.coursedir
            release = Path(course.format_path(course.release_directory, ".", assignment))
            given = None
            with contextlib.suppress(OSError, handed_in.SetAside):
                name = next(iter(sorted(release.glob("*.ipynb"))))
                given = handed_in.Given.read(name.stem, name.read_bytes())
            self._plan, lines = plan(root, assignment, given)
            self._of, self._name = root, given.name if given else assignment
            for line in lines:
                self.log.warning("%s", line)
        student = self._plan.get(Path(submitted_file))
        return None if student is None else {"student_id": student, "file_id": self._name}
