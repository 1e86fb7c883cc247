"""Bring stored notebooks to one form, so that a re-run changes only what a reader would see.

    python book/_tools/normalise.py [--check] [notebook ...]

Without names: every notebook of the book. Removed: execution counts, widget state, widget
payloads (the page makes them anew), timings and editor settings. Kept: text, tables, pictures.
A cell that shows a widget is tagged `nbval-ignore-output`, since its stored output is partial.
With --check nothing is written; the exit status is 1 if a notebook is not in this form. A notebook
that was only run and saved (in JupyterLab, say), and differs from the committed one in no cell, is
told of in one line with the way to undo that, and is no fault.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import stored
from repository import write_whole

MAX_BYTES = 600_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PAYLOAD_MARK = "data-vae-blob"
KEPT_NOTEBOOK_METADATA = {"kernelspec", "language_info", "mystnb"}
KEPT_CELL_METADATA = {"tags", "mystnb", "nbgrader", "editable", "deletable"}
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
IGNORE_TAG = "nbval-ignore-output"


def text_of(value: str | list[str]) -> str:
    """Join a multi-line field, which nbformat stores as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def strip_payloads(data: dict) -> bool:
    """Remove widget payloads from a mimebundle in place; tell whether there was one."""
    had_view = data.pop(WIDGET_VIEW, None) is not None
    had_html = PAYLOAD_MARK in text_of(data.get("text/html", ""))
    if had_html:
        del data["text/html"]
    return had_view or had_html


def normalise_cell(cell: dict) -> None:
    metadata = cell.setdefault("metadata", {})
    cell["metadata"] = {k: v for k, v in metadata.items() if k in KEPT_CELL_METADATA}
    if cell["cell_type"] != "code":
        return
    cell["execution_count"] = None
    outputs = []
    for output in cell.get("outputs", []):
        if "execution_count" in output:
            output["execution_count"] = None
        if "data" in output:
            if strip_payloads(output["data"]):
                tags = cell["metadata"].setdefault("tags", [])
                if IGNORE_TAG not in tags:
                    tags.append(IGNORE_TAG)
            if not output["data"]:
                continue
            # Figure sizes and widget ids are no part of the result; glued names are.
            kept = {k: v for k, v in output.get("metadata", {}).items() if k == "scrapbook"}
            output["metadata"] = kept
        # Progress bars and warnings differ from run to run.
        if output.get("name") == "stderr":
            continue
        outputs.append(output)
    cell["outputs"] = outputs


def normalise(notebook: dict) -> dict:
    """Return `notebook` (format 4) in the stored form, changed in place."""
    metadata = notebook.get("metadata", {})
    kept = {k: v for k, v in metadata.items() if k in KEPT_NOTEBOOK_METADATA}
    kept["kernelspec"] = dict(KERNELSPEC)
    kept["language_info"] = {"name": "python"}
    notebook["metadata"] = kept
    for cell in notebook["cells"]:
        normalise_cell(cell)
    return notebook


def dump(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def sources(notebook: dict) -> list[tuple[Any, ...]]:
    """What a person wrote in a notebook: its cells' kinds, texts and tags."""
    return [
        (cell["cell_type"], text_of(cell["source"]), cell["metadata"].get("tags", []))
        for cell in notebook["cells"]
    ]


def committed(path: Path) -> str | None:
    """The text of ``path`` in the last commit; None where Git does not know it."""
    try:
        done = subprocess.run(
            ["git", "show", f"HEAD:./{path.name}"],
            cwd=path.parent,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def was_only_run(path: Path, notebook: dict) -> bool:
    """Whether a notebook, normalised here, is the committed one with other outputs."""
    before = committed(path)
    if before is None or dump(normalise(json.loads(before))) != before:
        return False
    return sources(notebook) == sources(json.loads(before))


def main(argv: list[str] | None = None, root: Path = Path()) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing, report what differs")
    options = parser.parse_args(argv)
    faults = []
    for path in options.notebooks or [p.relative_to(root) for p in stored.notebooks(root)]:
        before = (root / path).read_text("utf-8")
        notebook = normalise(json.loads(before))
        after = dump(notebook)
        if options.check and after != before and was_only_run(root / path, notebook):
            print(f"{path}: run and saved, no cell changed; `git restore {path}` undoes it")
            continue
        if len(after.encode()) > MAX_BYTES:
            faults.append(f"{path}: {len(after.encode()):,} bytes, more than {MAX_BYTES:,}")
        if after == before:
            continue
        if options.check:
            faults.append(f"{path}: not normalised; run `make notebooks`")
        else:
            write_whole(root / path, after)
            print(f"{path}: normalised")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
