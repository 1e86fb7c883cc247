"""Stored results on another processor: last digits may differ, results may not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import glued
import nbformat
import pytest
from helpers import ROOT

from vae_core import notebook

LOADS = ["import math", "vae = zoo.load('vae-2')", "glue('x', f(vae))"]


@pytest.mark.parametrize(
    ("stored", "found", "relative", "same"),
    [
        ("13.197723388671875", "13.1977233886", glued.ROUNDING, True),
        ("13.197723388671875", "13.21", glued.ROUNDING, False),
        ("13.197723388671875", "13.21", glued.TRAINING, True),
        ("13.197723388671875", "14.2", glued.TRAINING, False),
        ("0.25", "-0.25", glued.TRAINING, False),  # a sign
        ("76.18", "52.80", glued.TRAINING, False),  # bits for nats
        ("1e-15", "-3e-16", glued.ROUNDING, True),
        ("0.001", "0.0", glued.TRAINING, False),
        ("nan", "1.0", glued.TRAINING, False),
        ("178", "179", glued.TRAINING, False),  # a count is exact
        ("178", "178.0", glued.TRAINING, False),
        ("'10'", "'11'", glued.TRAINING, False),  # a text is exact
        ("'3'", "'3'", glued.ROUNDING, True),
        ("'0.838 ± 0.077'", "'0.91 ± 0.08'", glued.ROUNDING, True),
        ("'0.838 ± 0.077'", "'1.30 ± 0.08'", glued.TRAINING, False),
        ("'0.838 ± 0.077'", "'0.838 ± 0.5'", glued.TRAINING, False),  # not by stating more noise
        ("'−0.0173 ± 0.0073'", "'-0.02 ± 0.007'", glued.TRAINING, True),
        ("'(4.82 ± 0.10)e-6'", "'(4.75 ± 0.10)e-6'", glued.ROUNDING, True),
        ("'(4.82 ± 0.10)e-6'", "'(4.82 ± 0.10)e-5'", glued.TRAINING, False),
        ("'0.838 ± 0.077 nats'", "'0.838 ± 0.077 bits'", glued.TRAINING, False),
    ],
)
def test_what_counts_as_the_same(stored: str, found: str, relative: float, same: bool) -> None:
    assert glued.agree(stored, found, relative) is same
    assert glued.agree(found, stored, relative) is same


def test_only_a_trained_model_loosens_the_comparison() -> None:
    assert glued.tolerance(LOADS[:1]) == glued.ROUNDING
    assert glued.tolerance(LOADS) == glued.TRAINING
    assert glued.tolerance(["training.fit(model, digits)"]) == glued.TRAINING


def output(name: str, text: str | list[str]) -> dict:
    return {
        "output_type": "display_data",
        "data": {glued.GLUED: text},
        "metadata": {"scrapbook": {"name": name}},
    }


def test_values_are_paired_by_name() -> None:
    stored = [output("a", "1.0"), output("b", ["2.0"])]
    found = [output("b", "2.00001"), output("c", "1.0"), {"output_type": "stream", "text": "1.0"}]
    settled = glued.settle(found, stored, glued.ROUNDING)
    assert settled == [output("b", "2.0"), *found[1:]]
    assert found[0]["data"][glued.GLUED] == "2.00001"  # the caller's own stays


def claims(*described: dict) -> dict:
    kept = {"name": "claims-1", "mime_prefix": "application/vnd.vae-core."}
    data = {glued.CLAIMS: list(described)}
    return {"output_type": "display_data", "data": data, "metadata": {"scrapbook": kept}}


def test_the_type_of_claims_is_the_one_that_chapters_store() -> None:
    assert glued.CLAIMS == notebook.CLAIMS


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"margin": 3.1}, True),
        ({"margin": "1.4 x"}, True),
        ({"sentence": "b"}, False),
        ({"refuted_by": "d"}, False),
        ({"seeds": 4}, False),
    ],
)
def test_a_claim_may_have_another_margin_and_nothing_else(change: dict, same: bool) -> None:
    one = {"sentence": "a", "refuted_by": "c", "margin": 3.2, "seeds": 3}
    stored, found = claims(one, {"sentence": "z"}), claims({**one, **change}, {"sentence": "z"})
    assert (glued.settle([found], [stored], glued.ROUNDING) == [stored]) is same


def test_claims_of_a_cell_that_was_stored_without_any_do_not_count() -> None:
    stream = {"output_type": "stream", "text": "✓ a"}
    assert glued.settle([stream, claims({"sentence": "a"})], [stream], 0.0) == [stream]


CELL = "from myst_nb import glue\nglue('x', {value}, display=False)"
CLAIM = "from vae_core.notebook import claim\nclaim(True, 'a', refuted_by='c', margin=2.0)"


def test_nbval_is_told(tmp_path: Path) -> None:
    """The whole way: a notebook with three stored values, of which the last is another result."""
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    results = {}
    for name, value in {"same": 2.5, "close": 2.50001, "other": 2.6}.items():
        cell = nbformat.v4.new_code_cell(CELL.format(value=value))
        cell.outputs = [nbformat.from_dict(output("x", "2.5"))]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    # A claim that holds by another margin on this machine, and one with another control.
    for name, control in {"margin": "c", "control": "another"}.items():
        cell = nbformat.v4.new_code_cell(CLAIM)
        printed = nbformat.v4.new_output("stream", name="stdout", text="✓ a\n")
        stored = claims({"sentence": "a", "refuted_by": control, "margin": 3.0})
        cell.outputs = [printed, nbformat.from_dict(stored)]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    paths = f"{ROOT / 'book' / '_tools'} {ROOT / 'book' / '_ext'}"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {paths}\n")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "--junit-xml=r.xml", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            results[line.split("::")[0].removeprefix("FAILED ")] = line
    assert sorted(results) == ["control.ipynb", "other.ipynb"], done.stdout + done.stderr
    assert "3 passed" in done.stdout
