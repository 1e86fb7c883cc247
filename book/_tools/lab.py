"""Open the chapters' editions and the assignments in JupyterLab, as the reader's own copies.

    python book/_tools/lab.py [--folder FOLDER] [--no-open]

JupyterLab saves what it runs; on the book's own notebooks that would show as changes of the
repository. The copies lie in my-notebooks/, which Git ignores. A copy that its reader changed is
never written over: where the book's notebook has changed too, a line says so.

nbgrader's menus and buttons, which are for those who make a class, are off in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import stored
from repository import write_whole

ROOT = Path(__file__).resolve().parents[2]
RECORD = ".copied.json"  # the digests of what was copied
NBGRADER_IN_PAGE = ("@jupyter/nbgrader",)
NBGRADER_IN_SERVER = (
    "nbgrader.server_extensions.assignment_list",
    "nbgrader.server_extensions.course_list",
    "nbgrader.server_extensions.formgrader",
    "nbgrader.server_extensions.validate_assignment",
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copies(root: Path, folder: Path) -> dict[Path, Path]:
    """Where each notebook goes: editions to the top, the students' assignments to exercises."""
    found = {path: folder / path.name for path in stored.editions(root)}
    return found | {path: folder / "exercises" / path.name for path in stored.students(root)}


def copy(root: Path, folder: Path) -> list[str]:
    """Copy what is new. Returns a line for each notebook that both the reader and the book changed.

    Raises ``OSError`` where the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    before = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    now, kept = dict(before), []
    for source, target in copies(root, folder).items():
        name = target.relative_to(folder).as_posix()
        book = digest(source)
        if target.exists() and digest(target) != before.get(name):
            if before.get(name) != book and digest(target) != book:
                kept.append(f"kept your {name}; the book's has changed: rename yours to get it")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        now[name] = book
    if now != before or not record.exists():
        record.touch()
        write_whole(record, json.dumps(now, indent=1, sort_keys=True) + "\n")
    return kept


def without_nbgrader(environment: dict[str, str], place: Path) -> dict[str, str]:
    """The environment of a JupyterLab without nbgrader's extensions; ``place``: for its settings.

    Installed, they are on for everybody: menus, a button *Validate*, a list of assignments.
    """
    (place / "labconfig").mkdir(parents=True)
    page = {"disabledExtensions": dict.fromkeys(NBGRADER_IN_PAGE, True)}
    (place / "labconfig" / "page_config.json").write_text(json.dumps(page), "utf-8")
    for program in ("jupyter_server_config", "jupyter_notebook_config"):
        extensions = dict.fromkeys(NBGRADER_IN_SERVER, False)
        settings = {"ServerApp": {"jpserver_extensions": extensions}}
        (place / f"{program}.json").write_text(json.dumps(settings), "utf-8")
    before = environment.get("JUPYTER_CONFIG_PATH", "")
    path = os.pathsep.join([str(place), *([before] if before else [])])
    return {**environment, "JUPYTER_CONFIG_PATH": path}


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=root / "my-notebooks")
    parser.add_argument("--no-open", action="store_true", help="copy, and start nothing")
    options = parser.parse_args(argv)
    try:
        for line in copy(root, options.folder):
            print(line)
    except OSError as error:
        print(f"{options.folder} can't be written: {error.strerror}", file=sys.stderr)
        return 1
    if options.no_open:
        return 0
    # The reader's own JupyterLab, with its settings; only the kernel is this environment's.
    program = shutil.which("jupyter-lab", path=str(Path(sys.executable).parent)) or "jupyter-lab"
    with tempfile.TemporaryDirectory(prefix="vae-lab-") as place:
        env = without_nbgrader({**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}, Path(place))
        try:
            return subprocess.run([program, str(options.folder)], env=env, check=False).returncode
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
