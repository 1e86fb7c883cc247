"""The solutions that the chapters print: each one passes the check that its exercise names."""

from __future__ import annotations

import importlib
import json
import math
import re
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
MODULES = ("coding", "data", "distributions", "evaluation", "maps", "models", "objectives")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


class Solution(NamedTuple):
    chapter: str
    exercise: str
    answer: str
    code: str


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
    # Solutions with executed cells stand between gates.
    answered |= dict.fromkeys(re.findall(r"\{solution-start\} *(\S+)", text), "")
    solutions = []
    for label, body in asked.items():
        code = "\n\n".join(CODE.findall(answered.get(label, "")))
        for name, answer in CHECK.findall(body):
            solutions.append(Solution(chapter, name, answer, code))
    return list(asked), list(answered), solutions


@cache
def chapter_functions(chapter: str) -> dict[str, Any]:
    """What a chapter's solutions may use: its small top-level functions, and the package."""
    scope: dict[str, Any] = {"torch": torch, "math": math}
    scope |= {name: importlib.import_module(f"vae_core.{name}") for name in MODULES}
    cells = json.loads((ROOT / "notebooks" / chapter).read_text("utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    for block in re.findall(r"^def .*\n(?:[ \t].*\n|\n)*", source + "\n", re.MULTILINE):
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
