"""How `nbgrader autograde` reads and runs what was handed in, so that no student costs another.

- ``HandedIn`` reads each notebook as ``handed_in`` puts it right. One that cannot be read is graded
  as an empty one, with a line in the log and at the top of the student's page.
- ``Run`` runs it. The answers are tried by a judge, a process that ``Run`` starts once for the
  class, outside the reach of the notebook; only what the judge has found right counts. A cell that
  hangs or ends the kernel is left out, and the notebook is run again without it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import DeadKernelError
from nbclient.util import ensure_async
from nbconvert.exporters import NotebookExporter
from nbformat.notebooknode import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute
from traitlets import Integer

from vae_class import handed_in

__all__ = ["HandedIn", "Run"]

GRADER = (
    "VAE_CORE_JUDGE"  # where a notebook's checks find the judge: as vae_core.exercises reads it
)
GRADED = re.compile(r"^exercises\.grade\(\s*[\"'](\w+)[\"']", re.MULTILINE)
SKIP = "skip-execution"  # nbclient leaves out cells with this tag
TRIES = 3  # runs of a notebook whose cells hang or end the kernel


# --- reading --------------------------------------------------------------------------------------


class HandedIn(NotebookExporter):
    """Reads a notebook that a student has handed in; see ``handed_in``."""

    def from_filename(
        self, filename: str, resources: Any = None, **options: Any
    ) -> tuple[str, dict[str, Any]]:
        if not getattr(self.parent, "_sanitizing", False):  # it has been read, and put right
            return super().from_filename(filename, resources=resources, **options)
        place = resources["nbgrader"]
        resources["metadata"] = {"name": Path(filename).stem, "path": str(Path(filename).parent)}
        given = self._given(place["assignment"], place["notebook"])
        notes: list[str] = []
        if given is None:
            return super().from_filename(filename, resources=resources, **options)
        try:
            try:
                data = Path(filename).read_bytes()
            except OSError as error:
                raise handed_in.SetAside(f"a file that cannot be read ({error.strerror})") from None
            found, notes = handed_in.repaired(data, given, self._others(place["assignment"]))
            told = f"put right: {'; '.join(notes)}"
        except handed_in.SetAside as error:
            nothing = json.dumps({"cells": [slot.cell for slot in given.slots]}).encode()
            found, _ = handed_in.repaired(nothing, given)
            notes = [str(error)]
            told = f"SET ASIDE, graded as unanswered: what was handed in is {error}"
        if notes:
            self.log.warning("%s, %s: %s", place["student"], place["notebook"], told[:400])
            said = f"*Before it was graded, this notebook was {told[:1].lower()}{told[1:400]}.*"
            said = said.replace("sET ASIDE", "set aside")
            cell = {"cell_type": "markdown", "id": "handed-in", "metadata": {}, "source": said}
            found["cells"].insert(0, cell)
        notebook = nbformat.from_dict(found)
        self._with_checks(notebook, place)
        return self.from_notebook_node(notebook, resources=resources)

    def _given(self, assignment: str, name: str) -> handed_in.Given | None:
        course = self.parent.coursedir
        for kind in (course.release_directory, course.source_directory):
            path = Path(course.format_path(kind, ".", assignment)) / f"{name}.ipynb"
            with contextlib.suppress(OSError, handed_in.SetAside):
                return handed_in.Given.read(name, path.read_bytes())
        return None

    def _others(self, assignment: str) -> list[handed_in.Given]:
        course, found = self.parent.coursedir, []
        for path in sorted(Path(course.root, course.release_directory).glob("*/*.ipynb")):
            if path.parent.name != assignment:
                with contextlib.suppress(OSError, handed_in.SetAside):
                    found.append(handed_in.Given.read(path.stem, path.read_bytes()))
        return found

    @staticmethod
    def _with_checks(notebook: NotebookNode, place: dict[str, str]) -> None:
        """Put the teacher's cells in, hidden tests included: nbgrader finds nothing to warn of."""
        with Gradebook(place["db_url"]) as book:
            stored = book.find_notebook(place["notebook"], place["assignment"]).source_cells
            own = {cell.name: cell.source for cell in stored if cell.locked}
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            cell.source = own.get(name, cell.source)


# --- the judge of the class -----------------------------------------------------------------------

# Finds the judge without importing the package, and becomes it.
START = """
import importlib.util, pathlib, runpy, sys
spec = importlib.util.find_spec("vae_core")
sys.exit("no vae_core") if spec is None else None
path = pathlib.Path(spec.origin).with_name("exercises") / "_judge.py"
runpy.run_path(str(path), run_name="__main__")
"""


class Judge:
    """The process that tries all answers of a class, started with the kernel's own Python."""

    def __init__(self, python: str) -> None:
        self.python, self.key, self.owner = python, secrets.token_hex(16), secrets.token_hex(16)
        self.folder = tempfile.mkdtemp(prefix="judge-")
        one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        environment = {k: v for k, v in os.environ.items() if k not in (GRADER, "PYTHONWARNINGS")}
        self.process = subprocess.Popen(
            [python, "-P", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | one,
            **({"start_new_session": True} if os.name == "posix" else {}),
        )
        setup = {"key": self.key, "owner": self.owner, "folder": self.folder}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(setup).encode() + b"\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline() or b"{}")
        if not told:
            self.stop()
            raise OSError(f"{python} has no vae_core whose checks can be used")
        self.address = told["address"]
        self.talk = SimpleNamespace(**_definitions(told["file"]))

    def ask(self, wish: str) -> list[dict[str, Any]]:
        """The records so far; ``begin`` starts them anew."""
        with self.talk.connect(self.address) as judge:
            self.talk.send(judge, {"key": self.owner, "do": wish})
            answer = self.talk.receive(judge)
        if answer is None:
            raise OSError("the judge does not answer")
        return list(answer[0]["records"])

    def place(self) -> str:
        return json.dumps({"address": self.address, "key": self.key})

    def stop(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _definitions(path: str) -> dict[str, Any]:
    """What the judge's file defines: how to talk to it."""
    import runpy

    return runpy.run_path(path)


# --- running --------------------------------------------------------------------------------------


class Stuck(Exception):
    """The kernel does not answer an interrupt."""


class Left(Exception):
    """A cell has asked the kernel to end, which it does a moment later."""


class Run(Execute):
    """Runs a notebook; what its checks say counts only where the judge has found it right."""

    patience = Integer(10, help="Seconds for a kernel to heed an interrupt.").tag(config=True)
    judge: Judge | None = None  # of the class, for all notebooks of one command

    def preprocess(self, nb: NotebookNode, resources: Any = None, **options: Any) -> Any:
        student = (resources or {}).get("nbgrader", {}).get("student", "")
        judge, skipped = self._judge(nb), {}
        for _ in range(TRIES):
            self.place = None
            try:
                with self._reachable(judge):
                    nb, resources = super().preprocess(nb, resources, **options)
                break
            except (DeadKernelError, Left, Stuck, TimeoutError) as error:
                what = "hangs and hears no interrupt" if isinstance(error, Stuck) else "ends Python"
                if self.place is None:
                    raise
                self.log.warning("%s: cell %d %s; left out", student, self.place + 1, what)
                skipped[self.place] = what
                self._leave_out(nb, self.place)
        for place, what in skipped.items():
            tags = nb.cells[place].metadata.tags
            tags.remove(SKIP)
            nb.cells[place].outputs = [_failure(f"This cell {what}, so it was not run.")]
        if judge is not None:
            self._believe(nb, judge, student)
        self._without_paths(nb)
        return nb, resources

    def _judge(self, nb: NotebookNode) -> Judge | None:
        """The class's judge, or None where there can be none; a dead one is replaced."""
        name = nb.metadata.get("kernelspec", {}).get("name", "python3")
        python = sys.executable
        with contextlib.suppress(Exception):
            first = KernelSpecManager().get_kernel_spec(name).argv[0]
            python = first if os.path.isabs(first) and os.path.exists(first) else python
        kept = type(self).judge
        if kept is not None and (kept.process.poll() is not None or kept.python != python):
            kept.stop()
            kept = None
        try:
            if kept is None:
                kept = type(self).judge = Judge(python)
                atexit.register(kept.stop)
            kept.ask("begin")
            return kept
        except OSError as error:
            self.log.warning("Answers are tried in the notebooks themselves: %s", error)
            type(self).judge = None
            return None

    @contextlib.contextmanager
    def _reachable(self, judge: Judge | None) -> Any:
        if judge is not None:
            os.environ[GRADER] = judge.place()
        try:
            yield
        finally:
            os.environ.pop(GRADER, None)

    def _leave_out(self, nb: NotebookNode, place: int) -> None:
        nb.cells[place].metadata.setdefault("tags", []).append(SKIP)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None

    def _believe(self, nb: NotebookNode, judge: Judge, student: str) -> None:
        """Fail each graded cell that names an exercise which the judge has not found right."""
        try:
            records = judge.ask("records")
        except OSError:
            records = []
        right = {r["exercise"] for r in records if r["right"] and r["thorough"]}
        for cell in nb.cells:
            given = cell.metadata.get("nbgrader", {})
            if cell.cell_type != "code" or not given.get("grade") or given.get("solution"):
                continue
            missing = [name for name in GRADED.findall(cell.source) if name not in right]
            if missing and not any(output.output_type == "error" for output in cell.outputs):
                self.log.warning(
                    "%s: %s did not fail, but its check was not passed: 0 points",
                    student,
                    given.get("grade_id"),
                )
                cell.outputs.append(_failure("The check of this answer was replaced, or ended."))

    def _without_paths(self, nb: NotebookNode) -> None:
        """Leave the grader's own folders out of what a student reads."""
        own = [str(Path.cwd()), str(Path(sys.prefix)), str(Path.home())]
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                for key in ("traceback", "text", "evalue"):
                    value = output.get(key)
                    for folder in own:
                        if isinstance(value, list):
                            value = [line.replace(folder, "…") for line in value]
                        elif isinstance(value, str) and len(folder) > 3:
                            value = value.replace(folder, "…")
                    if value is not None:
                        output[key] = value

    # --- nbclient's: which cell it is at, and what it does with one that takes too long -----------

    async def async_execute_cell(
        self, cell: Any, cell_index: int, *args: Any, **options: Any
    ) -> Any:
        self.place = cell_index
        return await super().async_execute_cell(cell, cell_index, *args, **options)

    execute_cell = None  # set below, as nbclient does

    def on_cell_executed(self, **told: Any) -> None:
        super().on_cell_executed(**told)
        payload = told["execute_reply"]["content"].get("payload") or []
        if any(part.get("source") == "ask_exit" for part in payload):
            raise Left

    async def _async_handle_timeout(self, timeout: int, cell: Any = None) -> Any:
        reply = await super()._async_handle_timeout(timeout, cell)
        try:
            await ensure_async(self.kc.shell_channel.get_msg(timeout=self.patience))
        except Exception:
            raise Stuck from None
        return reply


def _failure(text: str) -> NotebookNode:
    return nbformat.v4.new_output("error", ename="NotGraded", evalue=text, traceback=[text])


from jupyter_core.utils import run_sync  # noqa: E402

Run.execute_cell = run_sync(Run.async_execute_cell)  # type: ignore[assignment]
