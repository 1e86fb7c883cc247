"""The solutions that the chapters print: each one passes the check that its exercise names."""

from __future__ import annotations

import ast
import importlib
import json
import math
import re
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import pytest
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
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    for line in IMPORT.findall(source):
        exec(line, scope)
    for block in re.findall(r"^def .*\n(?:[ \t].*\n|\n)*", source + "\n", re.MULTILINE):
        with suppress(NameError):  # a default that only the whole chapter can compute
            exec(block, scope)
    return scope


SOLUTIONS = [solution for path in CHAPTERS for solution in read(path.name)[2]]


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda s: s.exercise)
def test_a_printed_solution_passes_its_check(solution: Solution) -> None:
    if not solution.code:
        pytest.fail(f"{solution.chapter}: the solution to {solution.exercise} has no python block")
    scope = dict(chapter_functions(solution.chapter))
    exec(solution.code, scope)
    exercises.grade(solution.exercise, scope[solution.answer])


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
