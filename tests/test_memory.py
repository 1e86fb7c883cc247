"""The measured memory of notebooks' kernels: how it is read, kept, and quoted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from benchmarks import memory

ROOT = Path(__file__).resolve().parents[1]
on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="a peak is read from /proc, as on Linux"
)


@on_linux
def test_a_peak_outlives_what_made_it() -> None:
    program = (
        "import os, sys; x = b'1' * 300_000_000; del x;"
        "from benchmarks.memory import peak_of; print(peak_of(os.getpid()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(done.stdout) > 300


@on_linux
def test_a_process_that_is_gone_has_no_peak() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(OSError, match="No such file"):
        memory.peak_of(gone.pid)


@on_linux
def test_a_notebook_is_executed_in_a_kernel_of_its_own_and_its_peak_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.setattr(memory.keep, "__defaults__", (tmp_path / "memory.json",))
    sources = "x = b'1' * 300_000_000", "del x", "import os; print(os.getpid())"
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = tmp_path / "made_up.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert memory.main([str(path), "--executed", str(tmp_path / "done")]) == 0
    kept = json.loads((tmp_path / "memory.json").read_text("utf-8"))
    assert list(kept) == ["made_up.ipynb"]
    assert kept["made_up.ipynb"]["peak_mb"] > 300
    done = nbformat.read(tmp_path / "done" / "made_up.ipynb", as_version=4)
    assert int(done.cells[2].outputs[0].text) != os.getpid()


def test_the_page_for_teachers_quotes_the_peaks_that_were_kept() -> None:
    kept = json.loads(memory.PATH.read_text("utf-8"))
    text = " ".join((ROOT / "book" / "teaching.md").read_text("utf-8").split())
    ((low, high, most, day, notebook),) = re.findall(
        r"takes up to (\d\.\d) or (\d\.\d) GB of resident memory .*? takes the most, (\d\.\d) GB: "
        r"peaks recorded on (20\d\d-\d\d-\d\d) .*? "
        r"`python -m benchmarks\.memory (notebooks/\w+\.ipynb)`",
        text,
    )
    peaks = {name: found["peak_mb"] / 1000 for name, found in kept.items()}
    assignments = [peak for name, peak in peaks.items() if name.startswith("notebooks/exercises/")]
    assert (low, high) == (f"{min(assignments):.1f}", f"{max(assignments):.1f}")
    assert most == f"{peaks[notebook]:.1f}"
    assert max(peaks, key=lambda name: peaks[name]) == notebook
    assert {found["day"] for found in kept.values()} == {day}
