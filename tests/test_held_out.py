"""Test data are measured on, and nothing is fitted to them or chosen by them."""

from __future__ import annotations

import json
from pathlib import Path

import held_out
import pytest
from helpers import ROOT


@pytest.mark.parametrize(
    "path", held_out.files(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_nothing_is_fitted_to_test_data_or_chosen_by_them(path: Path) -> None:
    found, _ = held_out.offenders(held_out.uses_in(path), held_out.allowances())
    assert not found, "\n".join(found)


def test_no_exception_is_left_that_nothing_needs() -> None:
    everything = [use for path in held_out.files() for use in held_out.uses_in(path)]
    _, unused = held_out.offenders(everything, held_out.allowances())
    assert not unused, "\n".join(unused)


START = 'train, test = data.load("mnist", "train"), data.load("mnist", "test")\n'


def found_in(code: str, folder: Path, start: str = START) -> list[str]:
    path = folder / "cells.py"
    path.write_text(start + code, encoding="utf-8")
    return [use.code for use in held_out.uses_in(path, folder)]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("training.fit(model, test)", "training.fit(model, test)"),
        ("x = data.to_float(test.images)\nPCA(2).fit(x)", "PCA(2).fit(x)"),
        ("x = test.images[:9]\nx = x / 2\ny = PCA(2).fit_transform(x)", "PCA(2).fit_transform(x)"),
        ("objectives.set_sigma(vae, test.images)", "objectives.set_sigma(vae, test.images)"),
        ("few = [test.first(9)]\nfor part in few:\n    fit(m, part)", "fit(m, part)"),
        ("few = []\nfew.append(test)\nfit(m, few[0])", "fit(m, few[0])"),
        ("def go(images):\n    fit(m, images)\ngo(train)\ngo(test)", "fit(m, images)"),
        ("def go():\n    fit(m, test)", "fit(m, test)"),
        ("def half(a):\n    return a / 2\nfit(m, half(test.images))", "fit(m, half(test.images))"),
        ("s = {k: error(m, test) for k in ks}\nbest = min(s, key=s.get)", "min(s, key=s.get)"),
        ("s = [error(m, test) for m in ms]\nm = ms[np.argmin(s)]", "np.argmin(s)"),
        ("s = torch.tensor([e(m, test) for m in ms])\nm = ms[s.argmin()]", "s.argmin()"),
        ("s = (x_of(test) - m).std()\nlog_prob(x, sigma=s)", "log_prob(x, sigma=s)"),
        ("def p(x, sigma):\n    return x\np(1, test.images.std())", "p(1, test.images.std())"),
        (
            "for step in range(9):\n    loss = f(test)\n    loss.backward()\n    adam.step()",
            "loss.backward()",
        ),
        ("if a:\n    x = test\nelse:\n    x = train\nfit(m, x)", "fit(m, x)"),
        ("for k in ks:\n    fit(m, x)\n    x = test", "fit(m, x)"),
        ("cross_val_score(probe, z(test), k)", "cross_val_score(probe, z(test), k)"),
    ],
)  # fmt: skip
def test_what_is_fitted_to_test_data_or_chosen_by_them_is_found(
    code: str, found: str, tmp_path: Path
) -> None:
    assert found_in(code, tmp_path) == [found]


@pytest.mark.parametrize(
    "code",
    [
        "training.fit(model, train)",
        "x = test.images\nx = train.images\nfit(m, x)",
        "fit(m, train.first(len(test.images)), shape=test.images.shape)",
        "error = evaluation.mean_estimate(score(model.fit(train), test))",
        "right = classify(judge, test.images).argmax(1) == test.labels",
        "worst = max(error(m, test) for m in ms)\nclaim(min(a, b) < worst, 'x')",
        "def embed(m, images):\n    return m(images)\ny = embed(m, test)\nfit(p, embed(m, train))",
        "loss = f(test)\nloss.backward()\nnorm = m.weight.grad.norm()",
        "def go(x):\n    x = train\n    fit(m, x)\ngo(test)",
        "names = sorted(test.classes, key=len)",
        "train, other = load('train'), test\nfit(m, train)",
    ],
)
def test_measuring_on_test_data_is_no_fault(code: str, tmp_path: Path) -> None:
    assert found_in(code, tmp_path) == []


def test_other_ways_to_load_them_are_known(tmp_path: Path) -> None:
    for load in (
        "new_data('test')",
        "data.load(folder, split='test', size=8)",
        "load('m', 'test')",
    ):
        assert found_in(f"mine = {load}\nfit(m, mine)", tmp_path, "") == ["fit(m, mine)"]
    assert found_in("mine = load('m', 'validation')\nfit(m, mine)", tmp_path, "") == []


def test_cells_and_listings_of_a_notebook_are_one_program(tmp_path: Path) -> None:
    solution = "Text.\n\n```python\ndef again(m):\n    fit(m, x)\n```\n\n```text\nfit(\n```"
    cells = [
        {"cell_type": "code", "id": "a", "source": "%pip install y\n" + START},
        {"cell_type": "code", "id": "b", "source": ["x = test.images\n", "fit(m, train)"]},
        {"cell_type": "markdown", "id": "c", "source": solution},
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (use,) = held_out.uses_in(path, tmp_path)
    assert str(use) == "n.ipynb, cell 2 (c): test data are fitted to: fit(m, x)"


def test_an_exception_frees_what_it_names(tmp_path: Path) -> None:
    uses = [
        held_out.Use("a.py", "", "fit(m, test)", "w"),
        held_out.Use("b.py", "", "fit(m, test)", "w"),
    ]
    entries = [
        {"file": "a.py", "code": "fit(m", "why": "x"},
        {"file": "a.py", "code": "PCA", "why": "x"},
    ]
    left, unused = held_out.offenders(uses, entries)
    assert left == ["b.py, : w: fit(m, test)"]
    assert unused == ["a.py: nothing uses test data in 'PCA'"]
    (tmp_path / "x.toml").write_text('[[allowed]]\nfile = "a"\ncode = "b"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="an entry has file, code and why"):
        held_out.allowances(tmp_path / "x.toml")
