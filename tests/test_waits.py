"""What an edition says of the time that its models take: which they are, and what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import normalise
import pytest
import stored
import torch
from edition import waits
from edition.loads import loads, with_starts
from helpers import ROOT

from benchmarks import waits as measuring
from vae_core import _files, zoo

CHAPTERS = stored.chapters(ROOT)
CELL = re.compile(r"```\{code-cell\}[^\n]*\n(.*?)```", re.DOTALL)


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [normalise.text_of(c["source"]) for c in cells if c["cell_type"] == "code"]


def first_text(path: Path) -> str:
    return normalise.text_of(json.loads(path.read_text("utf-8"))["cells"][0]["source"])


def test_fill_trains_what_pages_load_and_no_more() -> None:
    found = {model for path in CHAPTERS for model in loads(code_of(path))}
    index = (ROOT / "book" / "index.md").read_text("utf-8")
    found |= set(loads([re.sub(r"(?m)^:tags:.*$", "", cell) for cell in CELL.findall(index)]))
    assert found == set(zoo.USED)


def test_every_name_that_a_chapter_writes_out_is_found() -> None:
    for path in CHAPTERS:
        named = set(re.findall(r'zoo\.load\("([\w.-]+)"', "\n".join(code_of(path))))
        assert named <= {name for name, _ in loads(code_of(path))}


def test_loops_conditions_and_functions_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        "%matplotlib inline\nfrom vae_core import zoo, data\nimport torch\nprint(torch.ones(3))",
        "step = 0\nwhile step < torch.ones(1):\n    step += 1\nprobe = 1 / (2 - torch.ones(1))",
        "def pair(seed, *, kinds=('ae', 'vae')):\n"
        "    return {k: zoo.load(f'{k}-2', seed) for k in kinds}",
        "models = [pair(seed) for seed in range(1, 3)]\na, b = torch.tensor([1.0, 2.0])",
        "if b > 1:\n    zoo.load('never')",
        "zoo.load('classifier')\nwith torch.no_grad():\n    zoo.load('classifier', seed=0)",
    ]
    pairs = [("ae-2", 1), ("vae-2", 1), ("ae-2", 2), ("vae-2", 2)]
    with pytest.raises(ValueError, match="which models does `if b > 1:` load"):
        loads(cells)
    del cells[4]
    assert loads(cells) == [*pairs, ("classifier", 0)]
    assert capsys.readouterr().out == ""


def test_a_training_that_goes_on_from_another_waits_for_both() -> None:
    models = [("refit-all", 2), ("refit-all", 1)]
    assert with_starts(models) == [("bernoulli-20", 0), *models]


def test_what_was_measured_is_todays() -> None:
    kept = json.loads((ROOT / waits.RECORD).read_text("utf-8"))
    assert kept["models"].keys() == {name for name, _ in zoo.USED}
    for name, found in kept["models"].items():
        settings = json.loads(json.dumps(zoo.RECIPES[name].settings()))
        assert found["settings"] == settings, "run `python -m benchmarks.waits`"
        assert found["seconds"] > 0
        weights = zoo._untrained(zoo.RECIPES[name], 5).state_dict()
        assert found["bytes"] == len(_files.pack(weights))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_an_edition_says_it_before_its_first_cell(path: Path) -> None:
    models = loads(code_of(path))
    text = first_text(stored.edition(path, ROOT))
    if not models:
        assert "The first time" not in text
        return
    size, seconds = waits.total(ROOT, models)
    assert f"({size / 1e6:.1f} MB, some seconds)" in text
    assert f"trained, which takes {waits.time_of(seconds)} on one processor core" in text
    assert ("its trained model is" if len(models) == 1 else f"its {len(models)} trained") in text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(3, "about 10 seconds"), (44, "about 40 seconds"), (91, "about 2 minutes"), (400, "about 7")],
)
def test_times_are_said_as_people_say_them(seconds: float, told: str) -> None:
    assert waits.time_of(seconds).startswith(told)


def test_a_model_that_was_not_measured_is_named(tmp_path: Path) -> None:
    (tmp_path / waits.RECORD).parent.mkdir(parents=True)
    (tmp_path / waits.RECORD).write_text('{"models": {}}')
    source = "from vae_core import zoo\nzoo.load('vae-2')"
    with pytest.raises(ValueError, match="lacks the model vae-2: run `python -m benchmarks"):
        waits.sentence(tmp_path, [source])
    assert waits.sentence(tmp_path, ["1 + 1"]) == ""


def test_measuring_writes_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads: Any = torch.get_num_threads()
    monkeypatch.setattr(zoo, "USED", (("classifier", 0),))
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    try:
        assert measuring.main(folder=tmp_path, steps=4) == 0
    finally:
        torch.set_num_threads(threads)
    kept = json.loads((tmp_path / "waits.json").read_text("utf-8"))
    assert kept["machine"]["threads"] == 1
    assert kept["models"]["classifier"]["settings"]["epochs"] == 3
    assert "classifier: " in capsys.readouterr().out
