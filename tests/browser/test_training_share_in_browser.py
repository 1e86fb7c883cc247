"""The training lab's link and its lines of Python: the same runs, in the page and by the lines."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sharing import copied, opened
from stage import MODEL, state, written
from visit import Visit

from vae_core import data
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.widgets import TrainingLab

Open = Callable[..., Visit]
STEPS = 60
SMALL: dict[str, Any] = {"hidden": [16], "batch": 16}
NEAR = 1e-6  # relative: both compute in double precision, and sum in other orders


def at(link: str, tmp_path: Path, open_page: Open, lab: TrainingLab | None = None) -> Visit:
    lab = lab or TrainingLab(**SMALL)
    return opened(open_page, written(tmp_path, lab.to_html()), f"#training_lab={link}")


def trained(visit: Visit, step: int = STEPS) -> list[dict[str, Any]]:
    """The page's runs at this step."""
    visit.page.evaluate(f"(n) => {MODEL}.set('step', n)", step)
    visit.page.wait_for_function(
        "(n) => !vae.lab.running && vae.state().step === n && vae.state().steps.at(-1) === n",
        arg=step,
    )
    runs: list[dict[str, Any]] = state(visit)["runs"]
    return runs


def run(code: str, names: dict[str, Any]) -> tuple[list[Any], str]:
    """What the lines find, and what they print."""
    found = dict(names)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "copied", "exec"), found)  # the lines under test, as a reader runs them
    return found["runs"], printed.getvalue()


def same(page: list[dict[str, Any]], lines: list[Any]) -> None:
    for shown, ours in zip(page, lines, strict=True):
        last = {name: values[-1] for name, values in shown["history"].items()}
        assert ours.step == STEPS
        assert last["heldOut"] == pytest.approx(ours.elbo, rel=NEAR)
        assert last["train"] == pytest.approx(ours.elbo_train, rel=NEAR)
        assert last["reconstruction"] == pytest.approx(ours.reconstruction, rel=NEAR)
        assert last["loss"] == pytest.approx(ours.loss, rel=NEAR)
        assert last["perLatent"] == pytest.approx(ours.kl, rel=NEAR, abs=1e-9)


LINKS = [
    "settings:beta=4,seed=7",
    "settings:likelihood=gaussian,sigma=0.15,rate=0.001",
    "settings:hidden=12+8,activation=silu,likelihood=gaussian,sigma=optimal",
    "settings:latents=3,likelihood=gaussian,sigma=learned;chosen:7",
    "settings:estimator=score-function%20with%20a%20baseline",
    "settings:faults=printed-kl+shared-noise;forks:beta=2/faults=",
    "settings:model=AE;forks:model=VAE",
    "settings:likelihood=gaussian;forks:likelihood=bernoulli",
    "settings:data=moons,hidden=16+16,activation=tanh,likelihood=gaussian;speed:100",
    "settings:data=drawn,points=0.5+-1+1+1.25+-1+0.3,likelihood=gaussian,sigma=0.2",
    "settings:data=five,likelihood=gaussian;forks:estimator=stopped/same",
]


@pytest.mark.parametrize("link", LINKS)
def test_link_and_python_give_what_is_seen(link: str, tmp_path: Path, open_page: Open) -> None:
    visit = at(link, tmp_path, open_page)
    assert not state(visit)["running"]
    assert state(visit)["step"] == 0
    assert copied(visit, "Copy link").endswith(f"#training_lab={link}")
    visit.page.evaluate(f"{MODEL}.set('speed', 0)")
    page = trained(visit)
    given = copied(visit)
    visit.check()
    one = TrainingLab(**SMALL)
    for name in (*one.STATE, "step"):
        setattr(one, name, visit.page.evaluate(f"(name) => {MODEL}.get(name)", name))
    assert given == one.to_python()
    lines, printed = run(given, {})
    same(page, lines)
    assert printed.count("ELBO") == len(lines)


def test_a_readers_own_model_is_named_and_trains_to_the_same(
    tmp_path: Path, open_page: Open
) -> None:
    model = VAE(2, hidden=(8,), likelihood=BernoulliLikelihood(), seed=1)
    test = data.load("mnist", "test").first(60)
    lab = TrainingLab(model, test, batch=16)
    link = "settings:beta=2"
    visit = at(link + ",hidden=4,data=moons", tmp_path, open_page, lab)
    assert copied(visit, "Copy link").endswith(f"#training_lab={link}")
    page = trained(visit)
    given = copied(visit)
    assert "model = ...  # the model that this widget was made of" in given
    assert 'images = data.load("mnist", "test").first(60)' in given
    lines, _ = run(given.replace("model = ...", ""), {"model": model})
    same(page, lines)
    visit.check()


def test_what_a_link_may_not_say_is_passed_over(tmp_path: Path, open_page: Open) -> None:
    hostile = (
        "settings:beta=4,rate=fast,hidden=0,gamma=1,faults=%3Cimg%3E,data=own,latents=1e9,"
        "likelihood=__proto__,points=1+2+3,seed=-1,constructor=1;forks:same/same/same;chosen:9999"
    )
    visit = at(hostile, tmp_path, open_page)
    assert state(visit)["settings"] == {**TrainingLab(**SMALL).settings, "beta": 4}
    assert state(visit)["forks"] == []
    assert state(visit)["chosen"] == 0
    # Points with a Bernoulli likelihood do not go together: the page takes the Gaussian.
    visit = at("settings:data=ring", tmp_path, open_page)
    assert state(visit)["settings"]["likelihood"] == "gaussian"
    same(trained(visit), run(copied(visit), {})[0])
    visit.check()


def test_lines_say_where_settings_were_changed_on_the_way(tmp_path: Path, open_page: Open) -> None:
    visit = at("settings:beta=2", tmp_path, open_page)
    trained(visit)
    assert "# Settings were changed" not in copied(visit)
    visit.page.get_by_label("β", exact=True).select_option(label="10")
    visit.page.wait_for_function(f"{MODEL}.get('settings').beta === 10")
    assert "# Settings were changed while it trained." in copied(visit)
    visit.page.get_by_role("button", name="Reset", exact=True).click()
    same(trained(visit), run(copied(visit), {})[0])
    visit.page.get_by_role("button", name="Fork: compare from here").click()
    assert "# Settings were changed" in copied(visit)
    visit.check()
