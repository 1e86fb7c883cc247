"""What the derivation desk asks of Python: questions and answers as JSON, with nothing executed.

It runs in a page (Pyodide) and in a notebook's kernel alike, and needs SymPy alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from vae_core.symbolic import _nodes as nodes
from vae_core.symbolic import entries
from vae_core.symbolic._by_hand import by_hand
from vae_core.symbolic._derivation import _usual
from vae_core.symbolic._faults import spoiled
from vae_core.symbolic._limit import OutOfTimeError, within
from vae_core.symbolic._missing import difference
from vae_core.symbolic._parse import NotationError, parse
from vae_core.symbolic._render import letter
from vae_core.symbolic._sheets import sheets
from vae_core.symbolic._workbench import Workbench, workbench
from vae_core.symbolic.library import derivation
from vae_core.symbolic.tasks import TASKS, judged, lines_of, options

__all__ = ["answer", "by_hand", "check", "checked"]

SECONDS = 15.0
MOST = 40  # lines
STATES = {"✓": "holds", "·": "unreached"}
UNDECIDED = ("was not decided", "could not be computed", "could not be proved")
UNREAD = (
    "cannot be read",
    "could not be read",
)  # by the notation, and by what is known of densities
ENDS = ("cannot be read", "was not decided within", "could not be computed")


def answer(request: str) -> str:
    """The answer to a question, both JSON.

    - ``{"kind": "check", "task": NAME, "lines": [...]}``, or ``"derivation": NAME, "part": 0`` in
      place of ``"task"``: see :func:`check`;
    - ``{"kind": "check", "entries": NAME, "lines": [...]}``: a line for each entry, in their order;
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
        if "entries" in asked:
            return json.dumps(_check_entries(str(asked["entries"]), lines))
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
    two sentences. ended: the index of the line at which the check ended early, or None.

    A line is called by its place among the given ones, as a page labels it.
    """
    kept = [index for index, line in enumerate(lines) if lines_of([line])]
    rows = [{"state": "empty", "text": ""} for _ in lines]
    result: dict[str, Any] = {"lines": rows, "goal": "unknown", "lacks": "", "hints": []}
    result["ended"] = None
    if not kept:
        return result
    if len(kept) > MOST:
        raise ValueError(f"more than {MOST} lines are not checked")
    texts = [lines[index] for index in kept]
    bench, lacks, used = _asked(sheet, texts, final)
    for index, verdict in zip(kept, bench.verdicts, strict=False):
        rows[index] = {"state": _state(verdict), "text": _sentence(verdict[2:], kept)}
        if result["ended"] is None and any(sign in verdict for sign in ENDS):
            result["ended"] = index
    for index in kept[len(bench.verdicts) :]:
        rows[index] = {"state": "unreached", "text": "this line was not reached"}
    if len(bench.verdicts) > len(kept):
        said = bench.verdicts[-1]
        result["goal"] = (
            ("form" if lacks else "met") if said.startswith("✓")
            else "undecided" if any(sign in said for sign in UNDECIDED) else "not yet"
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
    if any(sign in verdict for sign in UNREAD):
        return "unread"
    return "undecided" if any(sign in verdict for sign in UNDECIDED) else "wrong"


def _sentence(text: str, kept: Sequence[int]) -> str:
    """A verdict without LaTeX (the page shows it as text), with the page's letters for lines."""
    places = {letter(number): letter(index) for number, index in enumerate(kept)}
    text = re.sub(r"line \((\w+)\)", lambda m: f"line ({places.get(m[1], m[1])})", text)
    head, found, _ = text.partition(" is an inequality whose gap, ")
    return f"{head}{found.rstrip(', ')} is not known to be non-negative" if found else text


def _check_entries(name: str, lines: Sequence[str]) -> dict[str, Any]:
    """As :func:`check`, for expressions that have nothing to do with one another."""
    if name not in entries.ENTRIES:
        raise ValueError(f"no exercise with entries is called {name!r}")
    keys = list(entries.ENTRIES[name].keys)
    if len(lines) != len(keys):
        raise ValueError(f"{len(keys)} lines are asked for, one each for {', '.join(keys)}")
    rows = [_entry(name, key, line) for key, line in zip(keys, lines, strict=True)]
    states = {row["state"] for row in rows}
    goal = (
        "met" if states == {"holds"} else "not yet" if states <= {"holds", "empty"} else "unknown"
    )
    return {"lines": rows, "goal": goal, "lacks": "", "hints": [], "ended": None}


def _entry(name: str, key: str, line: str) -> dict[str, str]:
    text = line.partition("#")[0].strip().removeprefix("=")
    if not text.strip():
        return {"state": "empty", "text": ""}
    try:
        wrong = within(lambda: entries.judged(name, key, entries.read(name, text)), SECONDS)
    except NotationError as error:
        return {"state": "unread", "text": f"{key} cannot be read: {error}"}
    except OutOfTimeError:
        return {"state": "undecided", "text": f"{key} was not decided within {SECONDS:g} s of work"}
    except (ArithmeticError, MemoryError, NotImplementedError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        return {"state": "undecided", "text": f"{key} could not be computed: {told}"}
    if wrong is None:
        return {"state": "holds", "text": f"{key} is right"}
    return {"state": "wrong", "text": f"expected: {wrong[0]}; found: {wrong[1]}"}


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
