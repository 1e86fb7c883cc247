"""No result is typed by hand: what finds such numbers, and that there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typed
from helpers import ROOT


@pytest.mark.parametrize("path", typed.pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_result_on_a_page_is_typed_by_hand(path: Path) -> None:
    found, _ = typed.offenders(typed.typed_in(path), typed.allowances())
    assert not found, "\n".join(found)


def test_no_exception_is_left_that_nothing_needs() -> None:
    everything = [one for path in typed.pages() for one in typed.typed_in(path)]
    _, unused = typed.offenders(everything, typed.allowances())
    assert not unused, "\n".join(unused)


@pytest.mark.parametrize(
    ("markdown", "numbers"),
    [
        ("It gains 5.2 ± 0.6 nats.", ("5.2 ± 0.6",)),
        ("It gains $5.2 \\pm 0.6$ nats.", ("2 \\pm 0",)),
        ("It gains −588.6 ± 3.0.", ("−588.6 ± 3.0",)),
        ("So 88.4 % are right, and 7% wrong.", ("88.4 %", "7%")),
        ("It reached 0.84, *then* 1,250.5.", ("0.84", "250.5")),
        ("Here 12 against 1,300 won.", ("12 against 1,300",)),
        ("That costs 3 nats and 120 bits.", ("3 nats", "120 bits")),
        ("About 12, a factor of 3, 40 times it.", ("About 12", "factor of 3", "40 times")),
        ("| a | b |\n|---|---|\n| 1 | 224 |\n| 2 | −17 % |", ("224",)),
        ("The value $\\approx 3.14$ is measured.", ("\\approx 3.1",)),
        ("````{solution} x\n:class: dropdown\n\nIt gave 8.2 ± 1.1.\n````", ("8.2 ± 1.1",)),
        (":::{note}\nIt gave 8.25.\n:::", ("8.25",)),
        # No results:
        ("Take $\\sigma = 0.1$ and `0.25`, and {glue:text}`a:.2f` nats.", ()),
        ("Section 4.1, sections 4.2 and 5.1, table 1.2, chapters 3 to 5.", ()),
        ("It has 784 pixels, 2 latents and 400 features in 1987.", ()),
        ("Two lines (784-512-2) and 60,000 digits.", ()),
        ("```python\nx = 0.25\n```", ()),
        ("```{math}\nx = 0.25\n```", ()),
        ("$$\nx \\approx 0.25\n$$", ()),
        ("| seed | error |\n|---|---|\n| 0.1 | {glue:text}`a` |", ()),
        ("[1.25](https://doi.org/10.1000/1.25)", ("1.25",)),
    ],
)  # fmt: skip
def test_what_looks_like_a_result(markdown: str, numbers: tuple[str, ...]) -> None:
    found = [typed.suspects(*piece) for piece in typed.pieces(markdown)]
    assert [n for n in found if n][:1] == ([numbers] if numbers else [])


def test_what_quizzes_and_pictures_say_is_read() -> None:
    said = typed._said(
        "%pip install x\n"
        "quiz([Question('Why 0.5?', [Choice('By 3 nats.', 'No: `0.25`.', right=True)])])\n"
        "figures.show(x, alt='A curve at 12 %', width=0.75)\n"
        "claim(x < 0.5, 'less than 0.5')"
    )
    numbers = [typed.suspects(*piece) for text in said for piece in typed.pieces(text)]
    assert [n for n in numbers if n] == [("12 %",), ("0.5",), ("3 nats",)]


def notebook(folder: Path, *cells: str) -> Path:
    path = folder / "notebooks" / "05_x.ipynb"
    path.parent.mkdir(exist_ok=True)
    made = [{"cell_type": "markdown", "id": f"c{k}", "source": s} for k, s in enumerate(cells)]
    path.write_text(json.dumps({"cells": made}), encoding="utf-8")
    return path


def allowed(folder: Path, words: str, kind: str, name: str = "05") -> list[dict]:
    text = f'[[allowed]]\nwords = "{words}"\nkind = "{kind}"\nwhy = "because"\n'
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return typed.allowances(folder)


def test_an_exception_frees_its_sentence_and_no_other(tmp_path: Path) -> None:
    path = notebook(tmp_path, "Take 0.5 of it. Then 0.7 are left.", "Take 0.5 again.")
    found = typed.typed_in(path, tmp_path)
    assert [one.numbers for one in found] == [("0.5",), ("0.7",), ("0.5",)]
    left, unused = typed.offenders(found, allowed(tmp_path, "Take 0.5 of", "setting"))
    assert [line.split(": ")[0] for line in left] == [
        "notebooks/05_x.ipynb, cell 0 (c0)", "notebooks/05_x.ipynb, cell 1 (c1)",
    ]  # fmt: skip
    assert unused == []
    other = allowed(tmp_path, "Take 0.5 of", "setting", name="06")
    left, unused = typed.offenders(found, [e for e in other if e["list"] == "06"])
    assert len(left) == 3
    assert unused == ["typed_allowed/06.toml: no suspect sentence holds 'Take 0.5 of'"]


@pytest.mark.parametrize(("source", "fine"), [(" {cite:t}`b`", True), ("", False)])
def test_a_published_number_needs_its_source_beside_it(
    tmp_path: Path, source: str, fine: bool
) -> None:
    path = notebook(tmp_path, f"They report 86.76 nats{source}. A second sentence {{cite}}`b`.")
    entries = allowed(tmp_path, "They report", "published")
    left, _ = typed.offenders(typed.typed_in(path, tmp_path), entries)
    assert [line.endswith("cites no source") for line in left] == [True] * (not fine)


def test_an_exception_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"05\.toml: an entry has words, kind"):
        allowed(tmp_path, "x", "nonsense")
