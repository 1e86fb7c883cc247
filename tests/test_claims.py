"""Every claim says what could refute it, and fails when what it rests on changes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import claims_register
import pytest
from helpers import ROOT

from benchmarks.mutants import _keep
from vae_core.notebook import CLAIMS

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
RECORD = _keep.read()
SPARED = claims_register.spared(ROOT / claims_register.SPARED)


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def claim_calls(source: str) -> list[ast.Call]:
    tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "claim"]


def says_what_refutes(call: ast.Call) -> bool:
    """Whether a call of ``claim`` names what could refute it, in at least two words."""
    for keyword in call.keywords:
        if keyword.arg == "refuted_by":
            parts = [
                node.value for node in ast.walk(keyword.value) if isinstance(node, ast.Constant)
            ]
            return len(" ".join(p for p in parts if isinstance(p, str)).split()) > 1
    return False


def stored(path: Path) -> list[dict[str, Any]]:
    """The claims in a notebook's stored outputs."""
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    return [claim for output in outputs for claim in output.get("data", {}).get(CLAIMS, [])]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_claim_says_what_could_refute_it(path: Path) -> None:
    lacking = [
        f"{path.name}, cell {cell['id']}: {ast.unparse(call.args[1])[:90]}"
        for cell in code_cells(path)
        for call in claim_calls(text(cell["source"]))
        if not says_what_refutes(call)
    ]
    assert not lacking, f"{len(lacking)} claims lack refuted_by=:\n" + "\n".join(lacking)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_claim_that_is_printed_is_stored(path: Path) -> None:
    """The register is made from these; a notebook that was stored before it lacks them."""
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    streams = "".join(text(o["text"]) for o in outputs if o.get("name") == "stdout")
    printed = [line[2:] for line in streams.splitlines() if line.startswith("✓ ")]
    sentences = [line for claim in stored(path) for line in claim["sentence"].splitlines()[:1]]
    assert sorted(sentences) == sorted(printed), f"execute {path.name} anew: `make notebooks`"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_claim_fails_when_what_it_rests_on_changes(path: Path) -> None:
    if path.stem not in RECORD:
        pytest.skip(f"no mutation of {path.stem} is recorded yet: run `make mutants`")
    known = RECORD[path.stem]["claims"]
    again = f"run `python -m benchmarks.mutants {path.stem[:2]}`"
    wrong = []
    for claim in stored(path):
        sentence = claim["sentence"]
        tried = _keep.of_sentence(known, sentence)
        if tried is None:
            wrong.append(f"never tried: {sentence}: {again}")
        elif not tried["killed_by"] and (path.stem, sentence) not in SPARED:
            reason = tried.get("trouble") or f"survives {tried['tried']} changes"
            wrong.append(f"{reason}: {sentence}")
    assert not wrong, "\n".join(wrong)


def test_no_claim_is_spared_that_is_gone_or_fails_as_it_should() -> None:
    claims = {path.stem: [claim["sentence"] for claim in stored(path)] for path in CHAPTERS}
    for (chapter, sentence), reason in SPARED.items():
        assert sentence in claims.get(chapter, []), f"{chapter} has no claim {sentence!r}"
        assert len(reason.split()) > 3, f"a reader is owed a reason: {sentence}"
        tried = _keep.of_sentence(RECORD[chapter]["claims"], sentence)
        assert tried is not None
        assert not tried["killed_by"], f"{sentence!r} needs no sparing: {tried['killed_by']}"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("claim(a, 'b')", False),
        ("claim(a, 'b', refuted_by='')", False),
        ("claim(a, 'b', refuted_by='x')", False),
        ("claim(a, 'b', refuted_by='a refitted rival')", True),
        ("claim(a, 'b', refuted_by=f'{k} refitted rivals')", True),
    ],
)
def test_a_word_is_no_refutation(call: str, says: bool) -> None:
    (found,) = claim_calls(f"%pip install x\n{call}")
    assert says_what_refutes(found) is says
