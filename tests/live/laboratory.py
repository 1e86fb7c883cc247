"""A running JupyterLab, and a notebook open in it."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

DONE = re.compile(r"\[\d+\]:")  # a cell's prompt, once it has run


class Laboratory(NamedTuple):
    """JupyterLab's address and folders."""

    server: dict[str, Any]
    folders: dict[str, Path]

    def ask(self, method: str, path: str) -> Any:
        """The server's REST interface."""
        request = urllib.request.Request(
            f"{self.server['url']}api/{path}",
            method=method,
            headers={"Authorization": f"token {self.server['token']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook of code cells in the server's folder, not run yet."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        path = self.folders["work"] / name
        nbformat.write(notebook, path)
        return path

    def open(self, page: Any, name: str) -> Notebook:
        """Open a notebook in a fresh workspace."""
        page.goto(f"{self.server['url']}lab/tree/{name}?token={self.server['token']}&reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        # A cell that is run before its kernel is there may be dropped.
        page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").wait_for(timeout=60_000)
        return Notebook(page)

    def stop_kernels(self) -> None:
        """End every session and its kernel."""
        for session in self.ask("GET", "sessions"):
            self.ask("DELETE", f"sessions/{session['id']}")


class Notebook(NamedTuple):
    """A notebook open in JupyterLab."""

    page: Any  # playwright.sync_api.Page

    def cell(self, index: int) -> Any:
        """The locator of a cell, by its place."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def run(self, index: int) -> str:
        """Run a cell as a reader does; the text it printed, once it is done."""
        cell = self.cell(index)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        until = time.monotonic() + 60
        while (now := prompt.inner_text()) == before or not DONE.fullmatch(now.strip()):
            assert time.monotonic() < until, f"cell {index} shows {now!r} after a minute"
            if now == before:  # JupyterLab may not have been ready for the keys
                cell.locator(".jp-InputArea-editor").click()
                self.page.keyboard.press("Control+Enter")
            self.page.wait_for_timeout(100)
        errors = cell.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert errors.all_inner_texts() == []
        return "".join(cell.locator(".jp-RenderedText pre").all_inner_texts()).strip()

    def save(self, path: Path) -> None:
        """Save with the keyboard, and wait until the file has it."""
        before = path.stat().st_mtime_ns
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+s")
        for _ in range(150):
            if path.stat().st_mtime_ns != before:
                return
            self.page.wait_for_timeout(200)
        raise AssertionError(f"{path.name} was not saved")
