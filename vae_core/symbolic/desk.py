"""What the derivation desk asks of Python: questions and answers as JSON, with nothing executed.

It runs in a page (Pyodide) and in a notebook's kernel alike, and needs SymPy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic._by_hand import by_hand
from vae_core.symbolic._derivation import _usual
from vae_core.symbolic._faults import spoiled
from vae_core.symbolic._missing import difference
from vae_core.symbolic._parse import NOTATION, parse
from vae_core.symbolic._sheets import sheets
from vae_core.symbolic._workbench import Workbench, workbench
from vae_core.symbolic.library import DERIVATIONS, derivation
from vae_core.symbolic.tasks import TASKS, judged, lines_of, options

__all__ = ["answer", "by_hand", "check", "checked", "own"]

SECONDS = 15.0
MOST = 40  # lines
STATES = {"✓": "holds", "·": "unreached"}


def answer(request: str) -> str:
    """The answer to a question, both JSON.

    - ``{"kind": "check", "task": NAME, "lines": [...]}``, or ``"derivation": NAME, "part": 0`` in
      place of ``"task"``: see :func:`check`;
    - ``{"kind": "by hand", "formula": TEXT}``: see ``by_hand``;
    - ``{"kind": "derivation", "derivation": NAME}``: the verdicts on the book's own lines;
    - ``{"kind": "spoiled", "derivation": NAME, "step": 0, "mutant": 0}``: the verdict on a step of
      which one term is changed.

    Raises ``ValueError`` for anything else.
    """
    asked = json.loads(request)
    if not isinstance(asked, dict):
        raise ValueError("a question is an object")
    if asked.get("kind") == "by hand":
        return json.dumps(by_hand(str(asked.get("formula", ""))))
    if asked.get("kind") == "check":
        lines = asked.get("lines")
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise ValueError("the lines are a list of strings")
        return json.dumps(check(asked, lines, final=asked.get("final") is not False))
    if asked.get("kind") == "derivation":
        report = derivation(str(asked["derivation"])).verify()
        return json.dumps([[line.verdict, line.complaint] for line in report.lines])
    if asked.get("kind") == "spoiled":
        what, line = spoiled(str(asked["derivation"]), int(asked["step"]), int(asked["mutant"]))
        return json.dumps({"changed": what, "holds": bool(line), "text": line.complaint})
    raise ValueError(f"there is no question of the kind {asked.get('kind')!r}")


def checked(name: str, lines: Sequence[str], part: int = 0) -> Workbench:
    """The verdicts on ``lines`` as a derivation of the book, or an exercise, called ``name``."""
    sheet = {"task": name} if name in TASKS else {"derivation": name, "part": part}
    return _asked(sheet, lines_of(lines), True)[0]


def own(sheet: str) -> str:
    """The verdicts on the book's own lines of a desk's sheet; of an exercise, its two ends."""
    if sheet in TASKS:
        return f"from {TASKS[sheet].left}\nto   {TASKS[sheet].goal}"
    name, _, number = sheet.rpartition("-")
    if sheet not in DERIVATIONS and name in DERIVATIONS and number.isdigit():
        parts, part = sheets(name), int(number) - 1
    else:
        name, parts, part = sheet, sheets(sheet) if sheet in DERIVATIONS else (), 0
    if not 0 <= part < len(parts):
        return NOTATION
    chosen = parts[part]
    verdicts = checked(name, chosen.lines, part).verdicts
    rows = [f"{line}\n  {said}" for line, said in zip(chosen.lines, verdicts, strict=False)]
    return "\n".join([chosen.start, *rows])


def _asked(
    sheet: Mapping[str, Any], lines: Sequence[str], final: bool
) -> tuple[Workbench, str, dict[str, Any]]:
    """The workbench's verdicts, what the last line lacks besides them, and the options used."""
    if "task" in sheet:
        verdict = judged(str(sheet["task"]), lines, final=final, seconds=SECONDS)
        task = TASKS[str(sheet["task"])]
        lacks = verdict.expected if verdict.bench and not verdict else ""
        return verdict.bench, lacks, {**options(task), "goal": task.goal}
    parts = sheets(str(sheet.get("derivation")))
    part = sheet.get("part", 0)
    if not isinstance(part, int) or not 0 <= part < len(parts):
        raise ValueError("the derivation has no such part")
    chosen = parts[part]
    goal = chosen.goal
    used = chosen.options()
    bench = workbench(chosen.start, lines, goal=goal if final else None, seconds=SECONDS, **used)
    return bench, "", {**used, "goal": goal}


def check(sheet: Mapping[str, Any], lines: Sequence[str], final: bool = True) -> dict[str, Any]:
    """The verdict on every line, the goal, and hints.

    final: whether to compare the last line with the goal, and to look for hints.

    lines: one entry for each of the given ones: ``state`` (holds, wrong, unread, undecided,
    unreached, empty) and ``text``. goal: met, form (equal, but not in the form that is asked for),
    not yet, undecided, or unknown where a line is wrong. lacks: what the form lacks. hints: none or
    two sentences.
    """
    kept = [index for index, line in enumerate(lines) if lines_of([line])]
    rows = [{"state": "empty", "text": ""} for _ in lines]
    result: dict[str, Any] = {"lines": rows, "goal": "unknown", "lacks": "", "hints": []}
    if not kept:
        return result
    if len(kept) > MOST:
        raise ValueError(f"more than {MOST} lines are not checked")
    texts = [lines[index] for index in kept]
    bench, lacks, used = _asked(sheet, texts, final)
    if len(bench.verdicts) == 1 and bench.verdicts[0].startswith("✗ this could not be computed"):
        rows[kept[0]] = {"state": "undecided", "text": bench.verdicts[0][2:]}
        return result
    for index, verdict in zip(kept, bench.verdicts, strict=False):
        rows[index] = {"state": _state(verdict), "text": _sentence(verdict[2:])}
    for index in kept[len(bench.verdicts) :]:
        rows[index] = {"state": "unreached", "text": "this line was not reached"}
    if len(bench.verdicts) > len(kept):
        said = bench.verdicts[-1]
        result["goal"] = (
            ("form" if lacks else "met") if said.startswith("✓")
            else "undecided" if "was not decided" in said else "not yet"
        )  # fmt: skip
    result["lacks"] = lacks
    if lacks:
        asked = f"{lacks[0].upper()}{lacks[1:]} is asked for."
        result["hints"] = ["The value is right; its form is not what is asked for.", asked]
    elif not final:
        return result
    elif result["goal"] == "not yet" or any(r["state"] == "wrong" for r in rows):
        result["hints"] = list(_hints(bench, used) or ())
    return result


def _state(verdict: str) -> str:
    for sign, state in STATES.items():
        if verdict.startswith(sign):
            return state
    if "cannot be read" in verdict:
        return "unread"
    return "undecided" if "was not decided within" in verdict else "wrong"


def _sentence(text: str) -> str:
    """A verdict without LaTeX: the page shows it as text."""
    head, found, _ = text.partition(" is an inequality whose gap, ")
    return f"{head}{found.rstrip(', ')} is not known to be non-negative" if found else text


def _hints(bench: Workbench, used: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is missing, in two steps: of the first wrong line, or between the last and the goal."""
    chain = bench.derivation
    if chain is None or bench.report is None:
        return None
    goal = parse(used["goal"], used["names"], used["q"])
    steps = chain.steps
    wrong = bench.report.wrong
    if wrong is not None and not wrong.values:
        return None  # its gap may be negative, or nothing was proved: no difference is known
    if wrong is None:
        first, second, words = chain.right, goal, ("the last line", "the goal")
    else:
        step = steps[wrong.index]
        first = steps[wrong.index - 1].expression if wrong.index else chain.left
        second, words = step.expression, ("the line before", "this line")
        if step.gap is not None:
            second = second + step.gap if step.relation == ">=" else second - step.gap
            words = ("the line before", "this line with its gap")
    meanings = [m for m in (chain.interpretations or _usual()) if m.conclusive]
    context = [chain.left, goal, *(s.expression for s in steps), *(s.gap for s in steps if s.gap)]
    q = used["q"] or nodes.Density("Q", *sp.symbols("z X", real=True))
    context += _divergences(q, chain.given)
    for meaning in meanings:
        try:
            found = difference(
                first, second, meaning, chain.given, context, words, q, used["names"]
            )
        except (ArithmeticError, NotImplementedError, RecursionError, TypeError):
            continue
        if found:
            return found
    return None


def _divergences(q: Any, given: Sequence[Any]) -> list[Any]:
    """The divergence of ``q`` from the posterior, which a bound leaves away."""
    bayes = [r.left for r in given if r.name == "Bayes’ rule"]
    return [nodes.KL(q, p) for p in bayes if q.variables[0] in p.variables]
