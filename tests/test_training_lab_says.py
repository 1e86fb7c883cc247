"""What the training lab's switches and its chapters tell a reader to watch is there to be seen."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from vae_core.widgets import TrainingLab, _training_data
from vae_core.widgets._training_run import Run, Trained

STEPS = 1000


@functools.cache
def after(*faults: str, steps: int = STEPS) -> Trained:
    """The lab's own run on digits, with these faults."""
    return TrainingLab(faults=list(faults)).trained(steps)[0]


def losses(*faults: str) -> np.ndarray:
    """The losses as printed of steps 501 to 700, on the same batches for any faults."""
    run = Run(TrainingLab(faults=list(faults)).settings, _training_data.digits(), b"").train(500)
    return np.array([run.twin.train().loss for _ in range(200)])


def reach(run: Trained) -> float:
    """The codes' distance from the origin, as a root mean square."""
    return float(np.sqrt((run.codes**2).sum(1).mean()))


def width(run: Trained) -> float:
    """The median sigma of Q at held-out digits."""
    x = _training_data.as_numbers(_training_data.digits().held_out, "bernoulli")
    with torch.no_grad():
        q = run.model.encode(torch.from_numpy(x).view(-1, 1, 14, 14))
    return float(q.sigma.median())  # type: ignore[union-attr]


def test_the_right_program_learns_a_map_and_begins_to_overfit() -> None:
    begun, soon, end = after(steps=0), after(steps=50), after()
    assert begun.kl.sum() < 0.1
    assert reach(begun) < 0.2
    assert soon.kl.sum() > 2
    assert end.elbo > soon.elbo + 10
    assert end.elbo_train > end.elbo + 1


def test_tutorials_kl_narrows_the_codes_and_hardly_costs_a_nat() -> None:
    right, broken = after(), after("printed-kl")
    assert 0.6 < reach(broken) / reach(right) < 0.85
    assert 0.6 < width(broken) / width(right) < 0.9
    assert -1 < broken.elbo - right.elbo < 0.2


def test_kls_sign_sends_the_codes_off_while_the_loss_falls() -> None:
    soon, late = after("kl-sign", steps=100), after("kl-sign")
    assert reach(late) > 50 * reach(soon) > 1000
    assert soon.loss is not None
    assert late.loss is not None
    assert late.loss < soon.loss < -100


@pytest.mark.parametrize("fault", ["mean-over-pixels", "stopped"])
def test_the_kl_goes_to_zero(fault: str) -> None:
    soon, late = after(fault, steps=50), after(fault)
    assert soon.kl.sum() < 0.01
    assert late.kl.sum() < 1e-3
    assert reach(late) < 0.05


def test_log_variance_as_log_sigma_halves_the_ellipses() -> None:
    right, broken = after(), after("variance-as-sigma")
    assert 0.4 < width(broken) / width(right) < 0.65
    assert broken.kl.sum() > right.kl.sum() + 0.5
    assert (losses("variance-as-sigma") - losses()).mean() < -0.5


def test_without_noise_the_loss_is_better_and_the_bound_worse_and_worse() -> None:
    soon, late, right = after("no-noise", steps=300), after("no-noise"), after()
    assert abs(width(late) - 1) < 0.05
    assert (losses("no-noise") - losses()).mean() < -1
    assert late.elbo < soon.elbo - 10 < right.elbo - 20


def test_shared_noise_makes_the_loss_jump_and_the_bound_climb_later() -> None:
    # From step to step: the batches' own differences are the same in both.
    right, broken = losses(), losses("shared-noise")
    assert np.diff(broken).std() > 1.1 * np.diff(right).std()
    assert after("shared-noise", steps=500).elbo < after(steps=500).elbo


def test_without_its_link_black_and_white_stops_and_grey_hardly_differs() -> None:
    assert after("no-link").step == 0
    grey = [{"faults": ["no-link"]}]
    right, broken = TrainingLab(likelihood="gaussian", forks=grey).trained(STEPS)
    assert abs(right.elbo - broken.elbo) < 3


def ends(preset: str, steps: int) -> list[Trained]:
    return TrainingLab(preset=preset).trained(steps)


def test_three_estimators() -> None:
    path, score, stopped = ends("estimators", 500)
    assert path.elbo > score.elbo + 1 > stopped.elbo + 5
    assert min(path.kl.sum(), score.kl.sum()) > 1.5
    assert stopped.kl.sum() < 0.01


def test_two_sigmas() -> None:
    one, optimal = ends("sigma", STEPS)
    assert one.kl.sum() < 0.1
    assert optimal.kl.sum() > 3


def test_a_large_beta_collapses_the_map_and_one_brings_it_back() -> None:
    right, broken = ends("collapse", 500)
    assert broken.kl.sum() < 0.01 < right.kl.sum()
    settings: dict[str, Any] = TrainingLab(beta=20.0).settings
    run = Run(settings, _training_data.digits(), b"").train(500)
    run.twin.settings["beta"] = 1.0
    assert run.train(1000).trained().kl.sum() > 1.5


def test_an_autoencoders_map_reaches_farther() -> None:
    autoencoder, vae = ends("ae-or-vae", 500)
    assert reach(autoencoder) > 2 * reach(vae)


def test_a_bridge_joins_the_moons_and_is_stretched() -> None:
    """Some draws of the prior, not many, fall between; the decoder spreads them over more room."""
    (run,) = ends("plane", 1500)
    draws = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double()
    decode = lambda z: run.model.mean(z[None]).reshape(2)  # noqa: E731
    points = torch.stack([decode(z) for z in draws]).detach()
    away = torch.cdist(points, torch.from_numpy(_training_data.planar("moons", 1).train))
    nearest = away.min(1).values
    assert 0.02 < (nearest > 0.2).double().mean() < 0.3
    stretch = torch.stack(
        [torch.linalg.det(torch.autograd.functional.jacobian(decode, z)).abs() for z in draws]
    )
    assert stretch[nearest > 0.2].median() > 1.5 * stretch[nearest < 0.1].median()
