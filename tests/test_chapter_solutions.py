"""The solutions that the chapters print: each one passes the check that its exercise names."""

from __future__ import annotations

import ast
import importlib
import json
import math
import os
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import stored
import torch
from helpers import ROOT

from vae_core import exercises

DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<kind>exercise|solution)\}(?P<title>.*)\n"
    r"(?P<body>(?:.*\n)*?)(?P=fence)\s*$",
    re.MULTILINE,
)
CHECK = re.compile(r"exercises\.check\(\s*\"(\w+)\",\s*(\w+)\s*\)")
CODE = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^(?:import|from) (?!vae_core)[\w. ]+(?:, \w+)*$", re.MULTILINE)
MODULES = ("coding", "data", "distributions", "evaluation", "maps", "models", "objectives")
CHAPTERS = stored.chapters(ROOT)


class Solution(NamedTuple):
    chapter: str
    exercise: str
    answer: str
    code: str


def functions(code: str) -> str:
    """The imports and functions of a cell: what an answer is, without what is done with it."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    kept = [node for node in ast.parse(code).body if isinstance(node, kinds)]
    return "\n\n".join(ast.get_source_segment(code, node) or "" for node in kept)


def gated(cells: list[dict[str, Any]]) -> dict[str, str]:
    """Solutions with cells, between gates, by the label they answer; the cells' code as fences."""
    found: dict[str, str] = {}
    label = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and label:
            found[label] += f"```python\n{functions(source)}\n```\n"
        elif cell["cell_type"] == "markdown":
            for gate in re.finditer(r"\{solution-(?:start\} *(\S+)|end\})", source):
                label = gate[1] or ""
                if label:
                    found[label] = ""
    return found


@cache
def read(chapter: str) -> tuple[list[str], list[str], list[Solution]]:
    """The exercises' labels, the labels that solutions answer, and the solutions with a check."""
    cells = json.loads((ROOT / "notebooks" / chapter).read_text("utf-8"))["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown") + "\n"
    asked: dict[str, str] = {}
    answered: dict[str, str] = {}
    for match in DIRECTIVE.finditer(text):
        if match["kind"] == "exercise":
            asked[re.search(r":label: *(\S+)", match["body"])[1]] = match["body"]  # type: ignore[index]
        else:
            answered[match["title"].strip()] = match["body"]
    answered |= gated(cells)
    solutions = []
    for label, body in asked.items():
        code = "\n\n".join(CODE.findall(answered.get(label, "")))
        for name, answer in CHECK.findall(body):
            solutions.append(Solution(chapter, name, answer, code))
    return list(asked), list(answered), solutions


@cache
def chapter_functions(chapter: str) -> dict[str, Any]:
    """What a chapter's solutions may use: its imports and small functions, and the package."""
    scope: dict[str, Any] = {"torch": torch, "math": math}
    scope |= {name: importlib.import_module(f"vae_core.{name}") for name in MODULES}
    cells = json.loads((ROOT / "notebooks" / chapter).read_text("utf-8"))["cells"]
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "%pip" in source:
            continue
        for line in IMPORT.findall(source):
            exec(line, scope)
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                with suppress(NameError):  # a default that only the whole chapter can compute
                    exec(ast.get_source_segment(source, node) or "", scope)
    return scope


SOLUTIONS = [solution for path in CHAPTERS for solution in read(path.name)[2]]


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda s: s.exercise)
def test_a_printed_solution_passes_its_check(solution: Solution) -> None:
    if not solution.code:
        pytest.fail(f"{solution.chapter}: the solution to {solution.exercise} has no python block")
    scope = dict(chapter_functions(solution.chapter))
    exec(solution.code, scope)
    exercises.grade(solution.exercise, scope[solution.answer])


# What a type checker says of a name, an argument or an attribute that is not there.
UNKNOWN = re.compile(r"^(\S+?\.py):(\d+): error: .*\[(?:name-defined|call-arg|attr-defined)\]$")


def test_printed_code_calls_only_what_is_there(tmp_path: Path) -> None:
    """Also the code that no check tries and that would take minutes to run: experiments."""
    printed = {}
    for path in CHAPTERS:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        lines = [t for t in "\n".join(code).splitlines() if not t.lstrip().startswith("%")]
        # Where only the magic line stood in a block.
        lines = [re.sub(r"^if importlib.util.*", "", line) for line in lines]
        printed[f"chapter{path.name[:2]}.py"] = len(lines)
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        solutions = [m["body"] for m in DIRECTIVE.finditer(text + "\n") if m["kind"] == "solution"]
        lines += "\n".join(block for body in solutions for block in CODE.findall(body)).splitlines()
        (tmp_path / f"chapter{path.name[:2]}.py").write_text("\n".join(lines) + "\n", "utf-8")
    options = ("--check-untyped-defs", "--ignore-missing-imports", "--follow-imports=silent")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", *options, *sorted(printed)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error" in done.stdout or not done.returncode, done.stdout + done.stderr
    found = [m for line in done.stdout.splitlines() if (m := UNKNOWN.match(line))]
    assert [m[0] for m in found if int(m[2]) > printed[m[1]]] == []


@pytest.mark.parametrize(
    "chapter", [p.name for p in CHAPTERS if read(p.name)[0]], ids=lambda n: n[:2]
)
def test_every_exercise_has_its_solution(chapter: str) -> None:
    asked, answered, _ = read(chapter)
    assert sorted(asked) == sorted(answered)
    assert len(asked) == len(set(asked)) >= 3
    assert all(label.startswith(f"ch{chapter[:2]}-ex-") for label in asked)


def test_a_chapter_names_checks_of_its_own() -> None:
    assert SOLUTIONS
    for solution in SOLUTIONS:
        assert exercises.get(solution.exercise).chapter == int(solution.chapter[:2])
