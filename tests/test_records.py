"""Kept results of long computations: none stale, none missing, each glued by its name."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers import ROOT

from benchmarks.records import _keep
from benchmarks.records.__main__ import main
from vae_core import notebook, zoo
from vae_core.evaluation import Estimate

GLUED = re.compile(r"\{glue:\w+\}`(ch\d\d_\w+)(?::[^`]*)?`")


@pytest.mark.parametrize("chapter", _keep.chapters())
def test_no_record_of_the_book_is_stale_or_was_never_run(chapter: str) -> None:
    faults = _keep.faults(chapter)
    assert not faults, "\n".join(faults)


def missing_names(texts: list[str], chapter: str) -> list[str]:
    """Names of kept results that the Markdown ``texts`` glue and no record of ``chapter`` gives."""
    offered = {
        f"ch{chapter}_{record}_{name}"
        for record, kept in _keep.read(chapter).items()
        for name in (*kept["results"], "run")
    }
    asked = [name for text in texts for name in GLUED.findall(text)]
    return sorted({name for name in asked if name not in offered})


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_kept_result_that_a_chapter_shows_is_there(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    missing = missing_names(texts, path.name[:2])
    assert not missing, f"{path.name} shows {', '.join(missing)}, which no record of it computes"


def test_a_name_that_no_record_gives_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_keep, "read", lambda chapter: {"mixture": {"results": {"ae_1": "2"}}})
    text = (
        "so {glue:text}`ch13_mixture_ae_1` and {glue:text}`ch13_mixture_none:.2f` of {glue:text}`x`"
    )
    assert missing_names([text], "13") == ["ch13_mixture_none"]


SOURCE = '''
import math
from vae_core import zoo

WIDTH = 3
OTHER = 4


def _half(x):
    """Helps."""
    return x / 2  # exactly


def power():
    """Two to the third,
    and its half."""
    return {"whole": 2**WIDTH, "half": _half(2**WIDTH), "text": str(math.pi)[:4]}


def loads():
    """A model's latents."""
    return {"latents": zoo.load("ae-2").latent_dim}
'''


def chapter_of(source: str, folder: Path) -> ModuleType:
    path = folder / "chapter99.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("chapter99", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a source the module of a chapter 99, whose results lie in ``tmp_path``."""

    def become(source: str) -> None:
        module = chapter_of(source, tmp_path)
        monkeypatch.setattr(_keep, "module_of", lambda chapter: module)

    become(SOURCE)
    return become


def test_a_record_is_kept_with_all_that_it_takes_to_repeat_it(
    chapter: Callable[[str], None], tmp_path: Path
) -> None:
    assert _keep.faults("99", tmp_path) == [
        f"record '{name}' of chapter 99 was never run: run `python -m benchmarks.records 99 {name}`"
        for name in ("power", "loads")
    ]
    _keep.make("99", "power", tmp_path)
    kept = _keep.read("99", tmp_path)["power"]
    assert kept["results"] == {"whole": 8, "half": 4.0, "text": "3.14"}
    assert kept["what"] == "Two to the third, and its half."
    assert kept["command"] == "python -m benchmarks.records 99 power"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kept["day"])
    assert kept["seconds"] >= 0
    assert kept["machine"]["torch"] == torch.__version__.split("+")[0]
    assert {"processor", "cores", "threads"} < set(kept["machine"])
    assert kept["models"] == {}
    assert len(_keep.faults("99", tmp_path)) == 1  # of the other, that was not run


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("2**WIDTH,", "3**WIDTH,", True),
        ("WIDTH = 3", "WIDTH = 4", True),
        ("x / 2", "x / 3", True),
        ("import math\n", "import math\nimport cmath as math\n", True),
        ("OTHER = 4", "OTHER = 5", False),
        ("  # exactly", "  # or nearly", False),
        ('"""Helps."""', '"""Helps a lot."""', False),
        ("and its half", "and half of it", False),
        ("\n\n\ndef _half", "\n\ndef _half", False),
        ('"A model', '"The model', False),
    ],
)
def test_a_record_is_stale_when_its_code_changed_and_not_before(
    chapter: Callable[[str], None], tmp_path: Path, old: str, new: str, stale: bool
) -> None:
    for record in ("power", "loads"):
        if record == "power":
            _keep.make("99", record, tmp_path)
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    chapter(changed)
    faults = [fault for fault in _keep.faults("99", tmp_path) if "power" in fault]
    assert [("is stale, its code changed since: run" in fault) for fault in faults] == [
        True
    ] * stale


def test_a_record_is_stale_when_the_recipe_of_a_model_it_loads_changed(
    chapter: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "load", lambda name: zoo._untrained(zoo.RECIPES[name], 0))
    _keep.make("99", "power", tmp_path)
    kept = _keep.make("99", "loads", tmp_path)
    assert kept["results"] == {"latents": 2}
    assert list(kept["models"]) == ["ae-2"]
    assert _keep.faults("99", tmp_path) == []
    monkeypatch.setitem(zoo.RECIPES, "ae-2", zoo.RECIPES["vae-2"])
    (fault,) = _keep.faults("99", tmp_path)
    assert "record 'loads' of chapter 99 is stale, the recipe of ae-2 changed since" in fault


def test_results_of_a_record_that_is_gone_and_a_record_without_words_are_named(
    chapter: Callable[[str], None], tmp_path: Path
) -> None:
    for record in ("power", "loads"):
        kept = {"results": {"a": 1}, "source": _keep.source_digest(SOURCE, record), "models": {}}
        path = _keep.path_of("99", tmp_path)
        path.write_text(json.dumps({**_keep.read("99", tmp_path), record: kept}))
    chapter(
        SOURCE[: SOURCE.index("def loads")].replace(
            '"""Two to the third,\n    and its half."""', ""
        )
    )
    gone, wordless = _keep.faults("99", tmp_path)
    assert gone == "chapter 99 keeps results of 'loads', which is no record any more"
    assert wordless == "record 'power' of chapter 99 has no docstring that says what is run"


def test_only_texts_and_numbers_are_results() -> None:
    found = {"a": torch.tensor(2.5), "b": Estimate(1.0, 0.25), "c": "yes", "d": 3}
    assert _keep.results_of(found) == {"a": 2.5, "b": "1.00 ± 0.25", "c": "yes", "d": 3}
    with pytest.raises(ValueError, match="'a' is a list"):
        _keep.results_of({"a": [1]})
    for name in ("A", "a-b", "run", "_a"):
        with pytest.raises(ValueError, match="can't be a result's name"):
            _keep.results_of({name: 1})
    with pytest.raises(ValueError, match="at least one"):
        _keep.results_of({})


def test_the_command_names_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["98"]) == 2
    assert "no records for chapter '98'" in capsys.readouterr().err
    assert main(["13", "nothing"]) == 2
    assert "has no record 'nothing'" in capsys.readouterr().err
    assert main(["13", "--list"]) == 0
    assert "13 mixture: kept" in capsys.readouterr().out


def test_a_chapter_glues_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glued: dict[str, object] = {}
    monkeypatch.setattr(notebook, "glue", lambda name, value: glued.update({name: value}))
    monkeypatch.setattr(notebook, "_RECORDS", tmp_path)
    notebook.glue_records("99")  # as in an installed wheel, or in Colab
    assert glued == {}
    machine = {"processor": "A Processor", "cores": 4, "threads": 1, "device": "cpu"}
    kept = {
        "results": {"mean": 1.5, "text": "2 ± 1"},
        "command": "python -m benchmarks.records 99 capacity",
        "day": "2026-01-02",
        "seconds": 125.0,
        "machine": machine,
    }
    (tmp_path / "chapter99.json").write_text(json.dumps({"capacity": kept}), encoding="utf-8")
    notebook.glue_records("99")
    assert glued == {
        "ch99_capacity_mean": 1.5,
        "ch99_capacity_text": "2 ± 1",
        "ch99_capacity_run": (
            "python -m benchmarks.records 99 capacity, 2026-01-02, 2 min 05 s "
            "on 1 of 4 cores, A Processor"
        ),
    }


def test_records_lie_where_a_checkout_keeps_them() -> None:
    assert notebook._RECORDS == _keep.FOLDER


def test_chapter_14_uses_what_its_records_chose() -> None:
    from benchmarks.records import chapter14

    kept = _keep.read("14")
    chosen = {
        name: value
        for record, made in kept.items()
        if record.endswith("_choice")
        for name, value in made["results"].items()
    }
    for name, setting in chapter14.CHOSEN.items():
        assert chosen[name] == " and ".join(f"{value:,g}" for value in setting), name
    cells = json.loads((ROOT / "notebooks" / "14_applications.ipynb").read_text("utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    one = {name: setting[0] for name, setting in chapter14.CHOSEN.items()}
    other = {name: setting[-1] for name, setting in chapter14.CHOSEN.items()}
    latents, weight, passes = chapter14.CHOSEN["m2"]
    for used in (
        f"BASE, CVAE_STEPS = {one['network']}, {one['samples']}",
        f"latents={latents}, weight={weight}, passes={passes}",
        f"regression(C={one['regression']:g}), flat",
        f"SVC(C={one['svm']:g}, gamma={other['svm']:g})",
        f"PCA({one['pca']})",
        f"regression(C={other['pca']:g}),\n        lambda x: pca",
        f"Autoencoder({one['autoencoder']},",
        f"regression(C={other['autoencoder']:g}), autoencoder",
        f"VAE({one['vae']}, shape",
        f"regression(C={other['vae']:g}), m1",
        f"n_neighbors={one['spreading']}, alpha={other['spreading']:g}",
    ):
        assert used in code, used
