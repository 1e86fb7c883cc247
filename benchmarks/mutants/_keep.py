"""The record of what was tried on each claim: benchmarks/results/claims.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks import report
from benchmarks.mutants._mutate import Found

PATH = report.RESULTS / "claims.json"
KEPT_FACTS = (
    "processor",
    "cores",
    "threads",
    "device",
    "system",
    "python",
    "torch",
    "numpy",
    "day",
)


def masked(sentence: str) -> str:
    """A sentence without its numbers, which may differ by machine."""
    return re.sub(r"[−-]?\d[\d.,]*(?:e[-+]?\d+)?", "#", sentence)


def read(path: Path = PATH) -> dict[str, Any]:
    """The record of each chapter, by the stem of its notebook."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def described(found: Found) -> dict[str, Any]:
    """A claim's part of the record; what does not apply is left out."""
    known: dict[str, Any] = {
        "sentence": found.sentence,
        "cell": found.cell,
        "tried": found.tried,
        "killed_by": found.killed_by,
        "survived": found.survived,
    }
    for name in ("errors", "late", "by_control", "trouble"):
        if getattr(found, name):
            known[name] = getattr(found, name)
    return known


def keep(
    chapter: str,
    found: Iterable[Found],
    seconds: float,
    facts: Mapping[str, Any],
    path: Path = PATH,
) -> None:
    """Put a chapter's claims in the place of what was known of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        everything = read(path)
        everything[chapter] = {
            "machine": {name: facts[name] for name in KEPT_FACTS},
            "seconds": round(seconds),
            "claims": [described(claim) for claim in found],
        }
        ordered = {name: everything[name] for name in sorted(everything)}
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)


def of_sentence(claims: Sequence[Mapping[str, Any]], sentence: str) -> Mapping[str, Any] | None:
    """What is known of the claim of that sentence: as it is, else but for its numbers."""
    for alike in (str, masked):
        for claim in claims:
            if alike(claim["sentence"]) == alike(sentence):
                return claim
    return None


def survivors(claims: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each claim that nothing killed, or only its control given the tested value."""
    lines = []
    for claim in claims:
        where = f"code cell {claim['cell']}: {claim['sentence']}"
        tried = "; ".join(claim["survived"][:6]) or "nothing that it rests on could be changed"
        if claim.get("trouble"):
            lines.append(f"TROUBLE  {where}\n           {claim['trouble']}")
        elif not claim["killed_by"]:
            lines.append(f"SURVIVES {where}\n           survived: {tried}")
        elif claim.get("by_control"):
            lines.append(
                f"WEAK     {where}\n           fails only with {claim['killed_by'][0]}; "
                f"survived: {tried}"
            )
    return lines
