"""The page's training engine against PyTorch: same first weights, batches and noise, 300 steps.

Both compute in double precision; the reference is vae_core/widgets/_training_twin.py, whose loss
without faults is held against the book's own objectives in tests/test_training_lab_widget.py.
"""

# ruff: noqa: E501 (JavaScript, a statement a line)
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stage import STATIC, written

from vae_core.widgets import TrainingLab, _training_data, _training_settings
from vae_core.widgets._training_twin import Draws, Twin, trained_tensors

STEPS = 300
SHAPE = (1, 4, 4)
BASE: dict[str, Any] = {
    **_training_settings.DEFAULTS, "hidden": [10], "batch": 8, "seed": 7, "rate": 1e-3,
}  # fmt: skip
LIKELIHOODS: tuple[dict[str, Any], ...] = (
    {},
    {"likelihood": "gaussian", "sigma": 0.3},
    {"likelihood": "gaussian", "sigma": "learned"},
    {"likelihood": "gaussian", "sigma": "optimal"},
)
CASES: list[dict[str, Any]] = [
    *({**each, "estimator": how} for each in LIKELIHOODS for how in _training_settings.ESTIMATORS),
    *({**each, "faults": [f]} for each in LIKELIHOODS[:2] for f in _training_settings.FAULTS),
    {"faults": ["printed-kl", "variance-as-sigma"]},
    *({"activation": how} for how in ("tanh", "silu", "softplus")),
    {"model": "AE"},
    {"model": "AE", "likelihood": "gaussian", "sigma": "optimal"},
    {"latents": 3, "hidden": [12, 6], "beta": 4.0, "batch": 7},
    {"hidden": []},
]
JOB = """([settings, rows, heldOut, steps, weights]) => {
    const { Trainer, sizeOf } = vae.engine, pixels = 16, link = "sigmoid";
    const data = { pixels, link, train: Float64Array.from(rows) };
    const made = () => new Trainer(settings, data, weights && Float64Array.from(weights));
    const one = made(), names = one.tensors.map(([name]) => name), first = Array.from(one.theta);
    one.makeRoom(settings.batch);
    one.fill(settings.batch, one.nextBatch());
    one.drawNoise(settings.batch);
    one.gradients(settings.batch);
    const run = made(), losses = [];
    for (let i = 0; i < steps; i++) losses.push(String(run.train().loss));
    const scoring = run.score(Float64Array.from(heldOut));
    let step = scoring.next();
    while (!step.done) step = scoring.next();
    const { reconstruction, kl } = step.value;
    return { names, sizes: one.tensors.map(sizeOf), first, slopes: Array.from(one.slopes, String),
        losses, theta: Array.from(run.theta, String), failed: run.failed ?? null,
        score: [String(reconstruction), ...Array.from(kl, String)] };
}"""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    context = browser.new_context(offline=True)
    page = context.new_page()
    path = written(tmp_path_factory.mktemp("engine"), TrainingLab().to_html())
    page.goto(path.as_uri())
    page.wait_for_function(f"{STATIC}?.__vae")
    page.evaluate(f"window.vae = {STATIC}.__vae")
    yield page
    context.close()


def examples(likelihood: str, count: int) -> np.ndarray:
    uniform = np.random.default_rng(count).random((count, 16))
    return (uniform < 0.3).astype(np.float64) if likelihood == "bernoulli" else uniform**2


def flat(tensors: Any) -> np.ndarray:
    return np.concatenate([t.detach().flatten().numpy() for t in tensors])


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case) if case else "plain")
def test_300_steps_equal_pytorchs(page: Any, case: dict[str, Any]) -> None:
    """Losses within 1e-4 relative, weights within 1e-4, first gradients within 1e-6."""
    settings = {**BASE, **case}
    train, held_out = (examples(settings["likelihood"], n) for n in (40, 60))
    begun = Twin(settings, train, SHAPE)
    first = {name: p.detach().numpy().copy() for name, p in trained_tensors(begun.model).items()}
    _, gradients = begun.gradients()
    twin = Twin(settings, train, SHAPE, weights=first)
    losses = np.array([twin.train().loss for _ in range(STEPS)])
    score = twin.score(held_out)

    found = page.evaluate(
        JOB, [settings, train.ravel().tolist(), held_out.ravel().tolist(), STEPS, None]
    )
    assert found["names"] == list(first)
    assert np.concatenate([w.ravel() for w in first.values()]) == pytest.approx(
        np.array(found["first"]), abs=1e-12
    )
    slopes = dict(zip(found["names"], np.split(
        np.array(found["slopes"], float), np.cumsum(found["sizes"])[:-1]), strict=True))  # fmt: skip
    ours = np.array(found["losses"], float)
    if case.get("faults") == ["no-link"] and settings["likelihood"] == "bernoulli":
        # The logarithm of a negative number: both stop at the first step and keep their weights.
        assert math.isnan(losses[0])
        assert found["failed"] == {"step": 1, "loss": "NaN"}
        assert np.array(found["theta"], float) == pytest.approx(np.array(found["first"]))
        return
    for name, gradient in gradients.items():
        assert slopes[name] == pytest.approx(gradient.flatten().numpy(), abs=1e-6), name
    assert np.isfinite(losses).all()
    assert ours == pytest.approx(losses, rel=1e-4)
    assert np.array(found["theta"], float) == pytest.approx(flat(twin.model.parameters()), abs=1e-4)
    expected = [score.reconstruction, *score.kl]
    assert np.array(found["score"], float) == pytest.approx(np.array(expected), rel=1e-4, abs=1e-6)


def test_weights_from_python_are_where_it_begins(page: Any) -> None:
    rng, settings = np.random.default_rng(2), {**BASE, "activation": "silu"}
    train = examples("bernoulli", 40)
    shapes = {
        n: tuple(p.shape) for n, p in trained_tensors(Twin(settings, train, SHAPE).model).items()
    }
    weights = {name: 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}
    twin = Twin(settings, train, SHAPE, weights=weights)
    losses = [twin.train().loss for _ in range(20)]
    given = np.concatenate([w.ravel() for w in weights.values()]).tolist()
    found = page.evaluate(
        JOB, [settings, train.ravel().tolist(), train.ravel().tolist(), 20, given]
    )
    assert np.array(found["losses"], float) == pytest.approx(losses, rel=1e-9)


@pytest.mark.parametrize("name", _training_data.PLANAR)
def test_points_of_the_plane_equal_pythons_and_train_alike(page: Any, name: str) -> None:
    drawn = ((0.5, -1.0), (-1.0, 2.0))
    points = _training_data.planar(name, 11, drawn)
    settings = {**BASE, **_training_settings.ON_THE_PLANE, "hidden": [8], "data": name, "seed": 11}
    found = page.evaluate(
        """([settings, drawn]) => {
            const data = trainPlanarForTests(settings.data, settings.seed, drawn);
            const run = new vae.engine.Trainer(settings, data), losses = [];
            for (let i = 0; i < 100; i++) losses.push(run.train().loss);
            return { train: Array.from(data.train), heldOut: Array.from(data.heldOut), labels: Array.from(data.labels), losses };
        }""".replace("trainPlanarForTests", "vae.planar"),
        [settings, drawn],
    )
    assert np.array(found["train"]) == pytest.approx(points.train.ravel(), abs=1e-9)
    assert np.array(found["heldOut"]) == pytest.approx(points.held_out.ravel(), abs=1e-9)
    assert found["labels"] == points.labels[1000:].tolist()
    twin = Twin(settings, points.train, points.shape, "identity")
    losses = [twin.train().loss for _ in range(100)]
    assert np.array(found["losses"]) == pytest.approx(np.array(losses), rel=1e-6)


def test_digits_and_draws_equal_pythons(page: Any) -> None:
    digits = _training_data.digits()
    sums = page.evaluate(
        "[vae.lab.images.greys.reduce((a, b) => a + b, 0), vae.lab.images.labels.reduce((a, b) => a + b, 0),"
        " Array.from(vae.lab.images.greys.subarray(196 * 2100, 196 * 2101))]"
    )
    assert sums[0] == int(digits.train.sum(dtype=np.int64) + digits.held_out.sum(dtype=np.int64))
    assert sums[1] == digits.labels.sum()
    assert sums[2] == digits.held_out[100].tolist()
    for stream, number in (("weights", 0), ("noise", 2)):
        draws = page.evaluate(
            "(n) => { const d = new vae.engine.Draws(2**31 - 1, n); return [d.uniform(), d.normal(), d.normal()]; }",
            number,
        )
        ours = Draws(2**31 - 1, stream)
        assert draws == pytest.approx([*ours.uniform(1), *ours.normal(2)], rel=1e-12)


def test_a_fork_goes_the_same_way_until_something_is_changed(page: Any) -> None:
    found = page.evaluate(
        """([settings, rows]) => {
            const data = { pixels: 16, link: "sigmoid", train: Float64Array.from(rows) };
            const one = new vae.engine.Trainer(settings, data);
            for (let i = 0; i < 37; i++) one.train();
            const same = one.fork(settings), other = one.fork({ ...settings, beta: 3 });
            const losses = [one, same, other].map((run) => { for (let i = 0; i < 50; i++) run.train(); return Array.from(run.theta); });
            return losses;
        }""",
        [BASE, examples("bernoulli", 40).ravel().tolist()],
    )
    assert found[0] == found[1]
    assert found[0] != found[2]
