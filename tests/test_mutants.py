"""Mutations: what a claim rests on, what is changed of it, and which claims then fail."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from benchmarks.mutants import _changes, _keep, _local, _mutate, _world
from benchmarks.mutants.__main__ import main
from benchmarks.mutants._chapter import Chapter, read
from vae_core import _fingerprint, data, symbolic, training, zoo
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation import Estimate, _importance, mean_estimate
from vae_core.models import VAE, Autoencoder
from vae_core.objectives import _bounds

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forked processes")


def texts(statements: list) -> list[str]:
    return [ast.unparse(statement.node) for statement in statements]


# --- what a claim depends on ----------------------------------------------------------------------


def test_a_claim_depends_on_what_its_values_come_from_and_on_nothing_else() -> None:
    chapter = Chapter(
        [
            "import numpy as np\na, b = 1, 2\nother = 5",
            "def double(x):\n    return x * factor",
            "factor = 2\nfigures.show(a)\nother += 1",
            "c = double(a)\nc_list = []\nc_list.append(b)",
            "d = [x + other for x in range(3)]",
            "claim(c == 2 * a and len(c_list) == 1, 'yes')\nclaim(d, 'd')",
        ]
    )
    first, second = chapter.of_site["5:0"], chapter.of_site["5:1"]
    assert texts(chapter.depends_on(first)) == [
        "c_list.append(b)", "c_list = []", "c = double(a)", "factor = 2",
        "def double(x):\n    return x * factor", "a, b = (1, 2)",
    ]  # fmt: skip
    assert texts(chapter.depends_on(second)) == [
        "d = [x + other for x in range(3)]", "other += 1", "other = 5",
    ]  # fmt: skip


def test_a_value_that_was_replaced_has_no_say() -> None:
    chapter = Chapter(["x = 1\nx = 2\ny = x\nx = 3", "claim(y == 2, 'y')"])
    assert texts(chapter.depends_on(chapter.of_site["1:0"])) == ["y = x", "x = 2"]


def test_what_must_run_takes_every_call_for_a_change() -> None:
    chapter = Chapter(
        ["model = make()", "learn(model)\nh = learn(model)\nprint(model)", "claim(model, '')"]
    )
    claim = chapter.of_site["2:0"]
    assert texts(chapter.depends_on(claim)) == ["learn(model)", "model = make()"]
    assert texts(chapter.depends_on(claim, wide=True)) == [
        "h = learn(model)",
        "learn(model)",
        "model = make()",
    ]


def test_claims_in_loops_and_functions_are_found() -> None:
    chapter = Chapter(
        ["def go(x):\n    claim(x, 'a')\n\nfor k in (1, 2):\n    claim(k, f'{k}')\n%pip install x"]
    )
    assert list(chapter.of_site) == ["0:0", "0:1"]


# --- changes at the edge --------------------------------------------------------------------------


@pytest.fixture
def restored() -> Iterator[None]:
    with _world.untouched():
        yield


def entered(world: str, namespace: dict | None = None) -> None:
    edges = _world.Edges()
    edges.watch(namespace or {}, lambda: 0)
    edges.apply(world, namespace or {})


def test_every_world_has_what_it_replaces() -> None:
    """The functions are there, and so is the source that two of them edit."""
    for world in _world.WORLDS:
        for (owner, name), make in world.makes.items():
            assert callable(make(getattr(owner, name))), world.name
    with pytest.raises(ValueError, match="mean_estimate has no 'nonsense' any more"):
        _changes.edited(mean_estimate, "nonsense", "x")


def test_worlds_of_data(restored: None) -> None:
    before = data.load("mnist", "test").first(300)
    namespace = {"load": data.load}
    entered("labels", namespace)
    for load in (data.load, namespace["load"]):  # under whatever name it is held
        after = load("mnist", "test").first(300)
        assert torch.equal(after.images, before.images)
        assert (after.labels != before.labels).float().mean() > 0.8


def test_noise_keeps_the_histogram_and_moved_pixels_the_ink(restored: None) -> None:
    digits = data.load("mnist", "test").first(2000)
    noise, moved = _changes.noise(digits), _changes.moved_pixels(digits)
    inks = [d.images.float().mean().item() for d in (digits, noise)]
    assert inks[1] == pytest.approx(inks[0], rel=0.01)
    spread = [d.images.float().mean(0).std() for d in (digits, noise)]
    assert spread[1] < 0.1 * spread[0]  # no pixel is darker than another
    assert torch.equal(moved.images.long().sum((1, 2, 3)), digits.images.long().sum((1, 2, 3)))
    assert not torch.equal(moved.images, digits.images)


def test_splits_are_exchanged(restored: None) -> None:
    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    entered("splits")
    other = data.load("mnist", "test")
    assert torch.equal(other.images, train.images[:10_000])
    assert torch.equal(data.load("mnist", "train").images, test.images)


def test_worlds_of_models(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    monkeypatch.setattr(
        zoo, "load", lambda name, seed=None: made.setdefault(name, VAE(2, hidden=(8,)))
    )
    x, z = torch.rand(3, 1, 28, 28), torch.randn(3, 2)
    plain = VAE(2, hidden=(8,))
    with torch.no_grad():
        mirrored, blind = VAE(2, hidden=(8,)), VAE(2, hidden=(8,))
        _changes.mirror(mirrored)
        _changes.blind(blind)
        assert torch.allclose(mirrored.decode(-z), plain.decode(z))
        assert torch.equal(blind.encode(x).mean[0], blind.encode(x).mean[1])
        assert not torch.equal(plain.encode(x).mean[0], plain.encode(x).mean[1])
    entered("untrained")
    assert zoo.load("vae-2").latent_dim == 2
    assert made == {}  # nothing was loaded


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ae-2", "vae-2"), ("vae-2", "ae-2"), ("vae-8", "ae-8"),
        ("bernoulli-20", "bernoulli-2"),
        ("burda-vae-short", "burda-iwae-short"), ("burda-iwae-short", "burda-vae-short"),
        ("sigma-learned", "sigma-1.0"), ("cvae-1-quadrant", "net-1-quadrant"), ("unknown", None),
    ],
)  # fmt: skip
def test_a_model_is_taken_for_another_of_its_family(name: str, other: str | None) -> None:
    known = {
        "ae-2", "vae-2", "ae-8", "vae-8", "bernoulli-2", "bernoulli-20",
        "burda-vae-short", "burda-iwae-short", "sigma-learned", "sigma-1.0",
        "cvae-1-quadrant", "net-1-quadrant", "unknown",
    }  # fmt: skip
    assert _changes.partner(name, dict.fromkeys(known)) == other


def test_worlds_of_what_is_computed(restored: None) -> None:
    q = DiagonalGaussian(torch.full((1, 2), 0.5), torch.zeros(1, 2))
    values = torch.arange(5.0)
    kl, error = q.kl().item(), mean_estimate(values).standard_error
    model, x = VAE(2, hidden=(8,)), torch.rand(1, 1, 28, 28)
    width = model.encode(x).sigma
    entered("kl x 2")
    assert q.kl().item() == pytest.approx(2 * kl)
    entered("errors x 10")
    assert mean_estimate(values).standard_error == pytest.approx(10 * error)
    assert Estimate(1.0, 2.0) == (1.0, 20.0)
    entered("wide")
    assert torch.allclose(model.encode(x).sigma, 1.5 * width)


def test_weights_are_summed_and_not_averaged(restored: None) -> None:
    likelihood = VAE(2, hidden=(8,), seed=1)
    x, noise = torch.rand(4, 1, 28, 28), torch.randn(7, 4, 2)
    before = _bounds.importance_weighted_bound(likelihood, x, 7, noise=noise)
    parts = torch.randn(7, 4)
    estimate = _importance.log_mean(iter([parts]), 7, ())
    entered("no log n")
    after = _bounds.importance_weighted_bound(likelihood, x, 7, noise=noise)
    assert torch.allclose(after - before, torch.log(torch.tensor(7.0)))
    summed = _importance.log_mean(iter([parts]), 7, ()).value
    assert torch.allclose(summed - estimate.value, torch.log(torch.tensor(7.0)).double())


def test_a_derivation_gets_a_wrong_end(restored: None) -> None:
    name = "kl-nonnegative"
    assert symbolic.derivation(name).verify()
    entered("derivation")
    assert not symbolic.derivation(name).verify()


def test_training_stops_after_one_step(restored: None) -> None:
    digits = data.load("mnist", "test").first(500)
    entered("one step")
    model = Autoencoder(2, hidden=(8,))
    history = training.fit(model, digits, epochs=50, batch_size=100, progress=False, device="cpu")
    assert history.steps == 1


def test_a_mutant_trains_and_keeps_nothing(
    restored: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a model nor the fingerprint of one, which later trainings would go by."""
    monkeypatch.setenv("VAE_CORE_CACHE", str(tmp_path))
    _fingerprint.forget()
    _fingerprint.of_data("mnist")

    def kept() -> list[str]:
        return [path.name for path in (tmp_path / "fingerprints").iterdir()]

    before = kept()
    assert len(before) == 1  # so they would be written
    _world.keep_the_zoo()
    with pytest.raises(RuntimeError, match="would have to train"):
        zoo.load("ae-2")
    _fingerprint.forget()
    assert kept() == before
    assert not (tmp_path / "zoo").exists()


# --- changes of statements ------------------------------------------------------------------------


def mutants(*cells: str) -> list[str]:
    """What is tried on the last claim of some cells, as code."""
    chapter = Chapter(cells)
    site = list(chapter.of_site)[-1]
    alike = _local.Alike()
    alike.note(0, {"a": 1.0, "b": 2.0, "text": "x", "f": len})
    every = _local.of_claim(chapter.of_site[site], chapter, alike)
    return [ast.unparse(mutant.node) for mutant in every]


def test_one_thing_is_changed_at_a_time() -> None:
    found = mutants("a, b = 1.0, 2.0", "c = f(a, 3, scale=0.5) - a * 4", "claim(c > 0, 'c')")
    assert {
        "c = f(3, a, scale=0.5) - a * 4",
        "c = f(a, 3, scale=0.5) + a * 4",
        "c = f(a, 3, scale=0.5) - a / 4",
        "c = f(a, 6, scale=0.5) - a * 4",
        "c = f(a, 3, scale=1.0) - a * 4",
        "c = f(a, 3) - a * 4",
        "c = f(b, 3, scale=0.5) - a * 4",
        "c = f(a, 3, scale=0.5) - b * 4",
        "a, b = (2.0, 1.0)",
    } <= set(found)
    assert len(found) == len(set(found))
    assert not any("claim" in mutant for mutant in found)


def test_pairs_exchange_their_second_parts() -> None:
    found = mutants(
        "x = 1",
        "rows = {k: v for k, v in (('A', one), ('B', two))}",
        "claim(rows['A'] < rows['B'], 'r')",
    )
    assert "rows = {k: v for k, v in (('A', two), ('B', one))}" in found


def test_seeds_tolerances_pictures_and_comparisons_are_left_alone() -> None:
    found = mutants(
        "a = 1.0",
        "g = torch.Generator().manual_seed(5)\n"
        "c = near(f(a, seed=3), 7, rtol=0.125)\n"
        "e = torch.allclose(c, 13 * g)\n"
        "d = c > 9\n"
        "figures.show(c, 11)",
        "claim(d + c + e > 0, 'c')",
    )
    assert any("14" in mutant for mutant in found)
    for number in ("10", "6)", "0.25", "18", "22", "26"):
        assert not any(number in mutant for mutant in found), number


def test_where_a_verdict_was_reached_before_nothing_is_changed_either() -> None:
    found = mutants("a = 1.0", "c = f(a, 3)\nsame = near(c, 7)", "claim(same and not (c > 5), 'c')")
    assert "c = f(a, 6)" in found
    assert not any("near" in mutant for mutant in found)
    found = mutants("a = 1.0", "c = f(a, 3)\nok = [c < 7]", "claim(all(ok), 'c')")
    assert not any("ok" in mutant for mutant in found)


def test_a_control_is_given_the_tested_value() -> None:
    chapter = Chapter(
        ["for k in ks:\n    x = 1\n    claim(error['AE', k] < 2 * error['VAE', k], 'x')"]
    )
    found = [ast.unparse(m.node) for m in _local.controls(chapter.of_site["0:0"], "0:0")]
    assert len(found) == 2
    assert "    error['VAE', k] = error['AE', k]\n    __claim__" in found[0]
    assert "    error['AE', k] = error['VAE', k]\n    __claim__" in found[1]
    plain = Chapter(["claim(all(a < b for a, b in zip(c, d)) and low.value < high.mean(), 'x')"])
    found = [ast.unparse(m.node) for m in _local.controls(plain.of_site["0:0"], "0:0")]
    assert ["    high = low" in one for one in found] == [True, False]
    assert all("a = b" not in one for one in found)


# --- whole runs -----------------------------------------------------------------------------------

NOTEBOOK = [
    "import torch\nfrom vae_core import data\nfrom vae_core.notebook import claim",
    "digits = data.load('mnist', 'test').first(2000)\n"
    "ink = digits.images.float().flatten(1).mean(1)\n"
    "of_class = {k: ink[digits.labels == k].mean() for k in range(10)}",
    "least = min(of_class, key=of_class.get)\nlimit = 1000",
    "claim(least == 1, 'ones have the least ink')\n"  # strong
    "claim(ink.mean() < limit, 'there is less ink than there could be')\n"  # weak
    "claim(ink is ink, 'ink is ink')\n"  # vacuous
    "claim(ink.mean() < 0, 'this never held')",
    "half, whole = 0.5, 1.0\nq = 2 * half",
    "for k in (1, 2):\n    claim(q * k == k * whole, f'{k}: two halves')",
]


def tried(folder: Path, *options: str) -> tuple[str, dict]:
    """What the command prints and writes of the made-up notebook in ``folder``."""
    command = [sys.executable, "-m", "benchmarks.mutants", str(folder / "01_made_up.ipynb")]
    done = subprocess.run(
        [*command, "--results", str(folder / "claims.json"), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, _keep.read(folder / "claims.json")["01_made_up"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the made-up notebook lies."""
    folder = tmp_path_factory.mktemp("mutants")
    cells = [{"cell_type": "code", "id": str(k), "source": s} for k, s in enumerate(NOTEBOOK)]
    (folder / "01_made_up.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict]:
    """What the command writes about it, by claim."""
    said, record = tried(folder)
    assert "01_made_up: 3 of 6 claims killed" in said
    assert record["machine"]["threads"] == 1
    return {claim["sentence"]: claim for claim in record["claims"]}


def test_a_strong_claim_is_killed_by_what_it_is_about(found: dict[str, dict]) -> None:
    claim = found["ones have the least ink"]
    assert claim["killed_by"] == ["noise of the same histogram for images", "shuffled labels"]


def test_a_weak_and_a_vacuous_claim_survive(found: dict[str, dict]) -> None:
    for sentence in ("there is less ink than there could be", "ink is ink"):
        claim = found[sentence]
        assert claim["killed_by"] == []
        assert {"shuffled labels", "noise of the same histogram for images"} <= set(
            claim["survived"]
        )
        assert claim["tried"] >= 3
    lines = _keep.survivors(found.values())
    assert [line.split()[0] for line in lines] == ["SURVIVES", "SURVIVES", "TROUBLE"]


def test_what_no_world_touches_is_killed_in_its_own_statements(found: dict[str, dict]) -> None:
    for k in (1, 2):
        claim = found[f"{k}: two halves"]
        assert len(claim["killed_by"]) == 1
        assert not claim.get("by_control")
    assert "it fails" in found["this never held"]["trouble"]


def test_cheap_claims_of_a_chapter_are_all_killed() -> None:
    """One real chapter: those of its claims that need no model and no data."""
    (path,) = (ROOT / "notebooks").glob("04_*.ipynb")
    whole = read(path)
    cheap: set[int] = set()
    for claim in {s.key: s for s in whole.of_site.values()}.values():
        needed = [claim, *whole.depends_on(claim, wide=True)]
        code = "\n".join(ast.unparse(statement.node) for statement in needed)
        if "sympy" in code and not any(
            word in code for word in ("zoo.", "data.", "fit(", "backward")
        ):
            cheap |= {statement.cell for statement in needed}
    assert cheap, "chapter 4 has no claim about formulas alone any more"
    sources = [
        c["source"]
        for c in json.loads(path.read_text("utf-8"))["cells"]
        if c["cell_type"] == "code"
    ]
    kept = ["".join(source) if cell in cheap else "" for cell, source in enumerate(sources)]
    # In a process of its own: this one has threads, and would fork with them.
    program = (
        "import json, sys, torch\n"
        "from benchmarks.mutants import _mutate, _chapter, _keep\n"
        "torch.set_num_threads(1)\n"
        "found = _mutate.Mutation(_chapter.Chapter(json.load(sys.stdin))).run(worlds=False)\n"
        "print(json.dumps([_keep.described(claim) for claim in found]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(kept),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    claims = json.loads(done.stdout)
    assert len(claims) >= 3
    assert all(claim["killed_by"] for claim in claims), _keep.survivors(claims)


def test_the_rest_alone_is_tried_again(found: dict[str, dict], folder: Path) -> None:
    path = folder / "claims.json"
    record = _keep.read(path)
    for claim in record["01_made_up"]["claims"]:
        if claim["killed_by"]:
            claim["killed_by"] = ["what was found before"]
    path.write_text(json.dumps(record), "utf-8")
    said, again = tried(folder, "--rest")
    assert "01_made_up: 3 of 6 claims killed" in said
    assert "shuffled labels: 0 of 2" in said  # the strong claim is not among them
    for claim in again["claims"]:
        before = found[claim["sentence"]]
        if before["killed_by"]:
            assert claim["killed_by"] == ["what was found before"]
        else:
            assert claim == before


# --- the record -----------------------------------------------------------------------------------


def test_a_claim_is_known_by_its_words_if_not_by_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    facts = dict.fromkeys(_keep.KEPT_FACTS, "x")
    _keep.keep("02_b", [_mutate.Found("gap 0.25", 3, ["noise"])], 1.0, facts, path)
    _keep.keep("01_a", [_mutate.Found("c", 1, survived=["labels"], errors=2)], 2.0, facts, path)
    record = _keep.read(path)
    assert list(record) == ["01_a", "02_b"]
    (claim,) = record["01_a"]["claims"]
    assert (claim["tried"], claim["survived"], claim["errors"]) == (3, ["labels"], 2)
    claims = record["02_b"]["claims"]
    assert _keep.of_sentence(claims, "gap 0.26") == claims[0]
    assert _keep.of_sentence(claims, "gap") is None


# --- the machinery --------------------------------------------------------------------------------

JOBS = """
import ast
from benchmarks.mutants._chapter import Chapter
from benchmarks.mutants._run import Job, Recorded

chapter = Chapter([
    "a = 1",
    "b = a + 1",
    "if b > 5:\\n    raise ValueError('no')\\nassert b < 4",
    "c = b",
    "claim(c == 2, 'c')",
])
first, second = chapter.statements[:2]

def changed(statement, code):
    return {statement.key: ast.parse(code).body[0]}

with Recorded(chapter) as recorded:
    print(recorded.outcome.claims)
    for edits, seconds in (
        ({}, 20),
        (changed(first, "a = 0"), 20),
        (changed(first, "a = 4"), 20),
        (changed(first, "a = 9"), 20),
        (changed(second, "b = nothing"), 20),
        (changed(second, "while True: pass"), 1),
        ({}, 20),
    ):
        outcome = recorded.run(0, Job(range(5), edits=edits, seconds=seconds))
        verdicts, errors = list(outcome.claims.values()), len(outcome.errors)
        print(verdicts, outcome.asserted, errors, outcome.finished)
    late = recorded.run(3, Job([3, 4], edits=changed(first, "a = 0")))
    print(list(late.claims.values()))
"""


def test_a_part_runs_again_from_before_any_cell(python: Callable[..., object]) -> None:
    done = python(JOBS, OMP_NUM_THREADS="1")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "{('4:0', 0): 'holds'}",
        "['holds'] [] 0 True",
        "['fails'] [] 0 True",
        "['fails'] [(2, 1)] 0 True",  # an assertion before it, too
        "['fails'] [(2, 1)] 1 True",
        "[\"error: NameError: name 'c' is not defined\"] [] 4 True",
        "[] [] 0 False",  # given up
        "['holds'] [] 0 True",  # and nothing of all this is left
        "['holds']",  # from cell 3 on, a change of the first comes too late
    ]


def test_the_command_names_a_notebook_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["none.ipynb"]) == 2
    assert "no such notebook" in capsys.readouterr().err
