"""Bring stored notebooks to one form, so that a re-run changes only what a reader would see.

    python book/_tools/normalise.py [--check] [notebook ...]

Without names: every notebook under notebooks/. Removed: execution counts, widget state, widget
payloads (the page makes them anew), timings and editor settings. Kept: text, tables, pictures.
A cell that shows a widget is tagged `nbval-ignore-output`, since its stored output is partial.
With --check nothing is written; the exit status is 1 if a notebook is not in this form.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing, report what differs")
    options = parser.parse_args(argv)
    paths = options.notebooks or sorted(Path("notebooks").rglob("*.ipynb"))
    faults = []
    for path in paths:
        if ".ipynb_checkpoints" in path.parts:
            continue
        before = path.read_text("utf-8")
        after = dump(normalise(json.loads(before)))
        if len(after.encode()) > MAX_BYTES:
            faults.append(f"{path}: {len(after.encode()):,} bytes, more than {MAX_BYTES:,}")
        if after == before:
            continue
        if options.check:
            faults.append(f"{path}: not normalised; run `make notebooks`")
        else:
            write_whole(path, after)
            print(f"{path}: normalised")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
