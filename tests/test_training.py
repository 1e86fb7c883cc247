"""The training loop: repeatable, whole or not at all, and honest about what it recorded."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from helpers import one_sentence
from torch import Tensor, nn

from vae_core import data
from vae_core.data import ImageData
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import VAE, Autoencoder, Classifier
from vae_core.objectives import elbo
from vae_core.training import (
    NonFiniteLossError,
    adam,
    fit,
    learning_rate_factor,
    pick_device,
    pixel_source,
)

SHAPE = (1, 4, 4)


def images(n: int = 50, shape: tuple[int, ...] = SHAPE, classes: int = 5) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    bytes_ = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    names = tuple(map(str, range(classes)))
    return ImageData(bytes_, torch.arange(n) % classes, names, "noise", "train")


def small(seed: int = 0, likelihood: object = None) -> VAE:
    return VAE(2, SHAPE, (6,), likelihood, seed=seed)  # type: ignore[arg-type]


def weights(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first | second)


def run(model: nn.Module, **options: object) -> object:
    chosen = {"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False, **options}
    return fit(model, images(), **chosen)  # type: ignore[arg-type]


def denormals(values: Tensor) -> int:
    """How many are neither 0 nor large enough for float32's full precision."""
    sizes = values.detach().abs()
    return int(((sizes > 0) & (sizes < torch.finfo(torch.float32).tiny)).sum())


# ---- determinism -----------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["grey", "dynamic", "fixed", "threshold"])
def test_the_seed_decides_the_weights(pixels: str) -> None:
    first, again, other = small(), small(), small()
    run(first, pixels=pixels, seed=1)
    torch.manual_seed(4)  # the global stream has no part in it
    run(again, pixels=pixels, seed=1)
    run(other, pixels=pixels, seed=2)
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_fit_leaves_the_global_stream_alone() -> None:
    state = torch.get_rng_state()
    run(small(), pixels="dynamic")
    run(small(), pixels="fixed")
    assert torch.equal(state, torch.get_rng_state())


def test_fit_is_adam_on_the_mean_loss_written_out() -> None:
    """Four steps by hand: order from the seed, noise from seed + 1, plain Adam.

    The last batch is half as large: Adam forgives a loss scaled alike in all batches.
    """
    seed, rate, held = 3, 0.01, images(7)
    model, by_hand = small(), small()
    history = fit(
        model, held, epochs=1, batch_size=2, learning_rate=rate, seed=seed, device="cpu",
        progress=False,
    )  # fmt: skip
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=rate)
    total = 0.0
    for index in order.split(2):
        bound = elbo(by_hand, held.images[index] / 255, generator=noise)
        total -= bound.total.sum().item()
        optimizer.zero_grad()
        (-bound.total.mean()).backward()
        optimizer.step()
    for name, value in by_hand.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, atol=1e-6), name
    assert history.steps == 4
    assert history.terms["loss"] == [pytest.approx(total / 7, rel=1e-5)]


def test_every_image_is_trained_with_its_own_label() -> None:
    held = images(20)
    held.images[:] = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    held = held._replace(labels=torch.arange(20) * 3)
    seen: list[int] = []

    def objective(model: nn.Module, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        number = (x[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(labels, number * 3)
        seen.extend(number.tolist())
        return {"loss": model(x).flatten(1).sum(1)}

    fit(small(), held, epochs=2, batch_size=6, objective=objective, device="cpu", progress=False)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:] != list(range(20))


# ---- learning --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VAE, Autoencoder, Classifier])
def test_the_loss_falls_on_real_digits(kind: type[nn.Module]) -> None:
    few = data.load("mnist", "test").first(600)
    model = Classifier(seed=0) if kind is Classifier else kind(2, hidden=(64,), seed=0)
    history = fit(
        model, few, epochs=4, batch_size=50, learning_rate=3e-3, device="cpu", progress=False
    )
    loss = history.terms["loss"]
    assert len(loss) == 4
    assert loss == sorted(loss, reverse=True)
    # Constants of the density do not fall: compare what is above them.
    floor = 392 * math.log(math.pi) if kind is not Classifier else 0.0
    assert loss[-1] - floor < 0.8 * (loss[0] - floor)
    if kind is Classifier:
        assert history.terms["error_rate"][-1] < 0.25
        wrong = model(data.to_float(few.images)).argmax(1) != few.labels
        assert wrong.double().mean() < 0.2
    if kind is VAE:
        for total, reconstruction, kl in zip(*history.terms.values(), strict=True):
            assert total == pytest.approx(kl - reconstruction, rel=1e-5)
        assert list(history.terms) == ["loss", "reconstruction", "kl"]


def test_history_and_the_models_state() -> None:
    model = small()
    history = run(model, epochs=3, batch_size=16)
    assert history.steps == 3 * 4  # 50 images: 16 + 16 + 16 + 2
    assert set(history.terms) == {"loss", "reconstruction", "kl"}
    assert all(len(values) == 3 for values in history.terms.values())
    assert all(isinstance(value, float) for value in history.terms["loss"])
    assert len(history.seconds) == 3
    assert all(second > 0 for second in history.seconds)
    assert history.device == "cpu"
    assert history.interrupted is False
    assert not model.training


def test_a_terms_mean_is_over_examples_not_batches() -> None:
    held = images(5)
    held.images[:] = torch.tensor([0, 51, 102, 153, 255], dtype=torch.uint8).view(5, 1, 1, 1)

    def objective(model: nn.Module, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        return {"loss": model(x).flatten(1).sum(1), "grey": x.flatten(1).mean(1)}

    history = fit(
        small(), held, epochs=1, batch_size=2, objective=objective, device="cpu", progress=False
    )
    assert history.terms["grey"] == [pytest.approx(561 / 5 / 255)]


def test_a_learned_sigma_is_trained() -> None:
    model = small(likelihood=GaussianLikelihood("learned"))
    before = model.likelihood.sigma.item()
    run(model, epochs=5)
    assert model.likelihood.sigma.item() < before  # uniform bytes: 0.29 is best, 1 the start


# ---- schedules -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_schedules(schedule: str, factors: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [learning_rate_factor(schedule, i / 4) for i in range(4)] == pytest.approx(factors)
    assert learning_rate_factor(schedule, 1) == pytest.approx(1 if schedule == "constant" else 0)
    rates: list[float] = []
    real = torch.optim.Adam.step

    def step(self: torch.optim.Adam, *arguments: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return real(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    fit(
        small(), images(8), epochs=2, batch_size=4, learning_rate=0.02, schedule=schedule,
        device="cpu", progress=False,
    )  # fmt: skip
    assert rates == pytest.approx([0.02 * factor for factor in factors])


def test_adam_is_torchs_and_trains_what_wants_gradients() -> None:
    model = small()
    model.decoder.requires_grad_(False)
    (group,) = adam(model, 0.5).param_groups
    assert len(group["params"]) == len(list(model.encoder.parameters()))
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.9, 0.999), 1e-8)


# ---- pixels ----------------------------------------------------------------------------------


def batches_seen(pixels: str, epochs: int = 2) -> list[Tensor]:
    """Each epoch's pixels in the order of the images."""
    held = images(12)
    held = held._replace(labels=torch.arange(12))
    seen: list[tuple[Tensor, Tensor]] = []

    def objective(model: nn.Module, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        seen.append((labels, x))
        return {"loss": model(x).flatten(1).sum(1)}

    fit(
        small(), held, epochs=epochs, batch_size=12, pixels=pixels, seed=5, objective=objective,
        device="cpu", progress=False,
    )  # fmt: skip
    return [x[labels.argsort()] for labels, x in seen]


def test_pixel_modes() -> None:
    held = images(12)
    grey = batches_seen("grey")
    assert torch.equal(grey[0], held.images / 255)
    assert torch.equal(grey[0], grey[1])
    first, second = batches_seen("dynamic")
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    first, second = batches_seen("fixed")
    assert torch.equal(first, second)
    assert torch.equal(first, data.binarize(held.images, "fixed", seed=5))
    first, second = batches_seen("threshold")
    assert torch.equal(first, (held.images > 127).float())
    assert torch.equal(first, second)


def test_an_unknown_pixel_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels must be one of grey, dynamic, fixed, threshold"):
        pixel_source(images(), "binary", torch.device("cpu"), 0)


# ---- what is refused changes nothing ---------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1; got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1; got 1.5"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1; got 2.5"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number; got 0.0"),
        ({"learning_rate": -1e-3}, "learning_rate must be a positive number; got -0.001"),
        ({"learning_rate": math.nan}, "learning_rate must be a positive number; got nan"),
        ({"learning_rate": math.inf}, "learning_rate must be a positive number; got inf"),
        ({"schedule": "step"}, "schedule must be one of constant, linear, cosine; got 'step'"),
        ({"pixels": "binary"}, "pixels must be one of"),
        ({"device": "abacus"}, "device 'abacus' can't be used here"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": None}, "seed must be a whole number of at least 0; got None"),
    ],
)
def test_bad_arguments_change_nothing(options: dict[str, object], words: str) -> None:
    model = small().train()
    before, state = weights(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=words) as error:
        run(model, **options)
    one_sentence(error)
    assert same(before, weights(model))
    assert model.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d._replace(images=d.images.float()), "must be uint8.* got torch.float32"),
        (lambda d: d._replace(images=d.images[:, 0]), r"must be uint8.* got torch.uint8 \[50, 4"),
        (lambda d: d._replace(images=d.images[:0], labels=d.labels[:0]), "n >= 1; got .*0, 1, 4"),
        (lambda d: d._replace(labels=d.labels[:-1]), "50 images but 49 labels"),
    ],
)
def test_bad_data_change_nothing(change: Callable[[ImageData], ImageData], words: str) -> None:
    model = small()
    before = weights(model)
    with pytest.raises(ValueError, match=words) as error:
        fit(model, change(images()), epochs=1, device="cpu", progress=False)
    one_sentence(error)
    assert same(before, weights(model))


@pytest.mark.parametrize("kind", [VAE, Classifier])
def test_images_of_another_shape_are_refused(kind: type[nn.Module]) -> None:
    model = kind()
    before = weights(model)
    with pytest.raises(ValueError, match=r"takes images of shape \(1, 28, 28\); noise has \(1, 4"):
        run(model)
    assert same(before, weights(model))


def test_grey_pixels_are_refused_for_a_bernoulli_likelihood() -> None:
    model = small(likelihood=BernoulliLikelihood())
    before = weights(model)
    with pytest.raises(ValueError, match="binarize grey images first"):
        run(model)
    assert same(before, weights(model))
    history = run(model, pixels="dynamic")
    assert history.steps == 8


def test_a_model_without_an_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="no objective is known for a Linear"):
        run(nn.Linear(2, 2))


@pytest.mark.parametrize(
    "terms", [lambda x: {"loss": x.mean()}, lambda x: {"nll": x.flatten(1).sum(1)}]
)
def test_an_objective_must_give_one_loss_an_example(
    terms: Callable[[Tensor], dict[str, Tensor]],
) -> None:
    model = small()
    before = weights(model)
    with pytest.raises(ValueError, match=r"an objective gives 'loss' \[16\], one an example; got"):
        run(model, objective=lambda model, x, labels, noise: terms(model(x)))
    assert same(before, weights(model))


def test_devices() -> None:
    best = pick_device("auto").type
    assert best == ("cuda" if torch.cuda.is_available() else best)
    assert best in ("cuda", "mps", "cpu")
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ValueError, match="device 'abacus' can't be used here") as error:
        pick_device("abacus")
    one_sentence(error)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device 'cuda' can't be used here") as error:
            pick_device("cuda")
        one_sentence(error)


# ---- trouble on the way ----------------------------------------------------------------------


def at_step(number: int, act: Callable[[Tensor], Tensor]) -> Callable[..., dict[str, Tensor]]:
    """An objective that does ``act`` to its loss at one step, counted from 1."""
    count = 0

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        loss = -elbo(model, x, validate=False).total
        return {"loss": act(loss) if count == number else loss}

    return objective


def interrupt(loss: Tensor) -> Tensor:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 4, 7, 8])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_at_its_step(step: int, value: float) -> None:
    model = small()
    before = weights(model)
    objective = at_step(step, lambda loss: loss * value)
    with pytest.raises(NonFiniteLossError, match=f"at step {step};") as error:
        run(model, epochs=9, objective=objective)
    message = one_sentence(error)
    assert "weights are as they were before" in message
    assert same(before, weights(model))
    assert not model.training


@pytest.mark.parametrize("step", [99, 100, 101, 205])
def test_the_step_is_right_beyond_the_first_look(step: int) -> None:
    objective = at_step(step, lambda loss: loss * math.nan)
    with pytest.raises(NonFiniteLossError, match=f"became nan at step {step};"):
        run(small(), epochs=10, batch_size=1, objective=objective)


def test_the_first_wrong_step_is_named() -> None:
    """A learning rate that ruins the weights: all losses after the first wrong one are wrong."""
    finite: list[bool] = []

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        loss = -elbo(model, x, validate=False).total
        finite.append(bool(loss.sum().isfinite()))
        return {"loss": loss}

    with pytest.raises(NonFiniteLossError) as error:
        run(small(), epochs=10, batch_size=10, learning_rate=1e30, objective=objective)
    assert not any(finite[finite.index(False) :])
    assert f"at step {finite.index(False) + 1};" in str(error.value)


def blow_up(loss: Tensor) -> Tensor:
    return loss * math.nan


@pytest.mark.parametrize("progress", [False, True, "brief"])
def test_an_interrupt_keeps_what_was_learned(progress: bool | str) -> None:
    model, shorter = small(), small()
    before = weights(model)
    history = run(model, epochs=5, objective=at_step(6, interrupt), progress=progress)
    assert history.interrupted
    assert history.steps == 5
    assert len(history.terms["loss"]) == len(history.seconds) == 1  # whole epochs only
    assert not same(before, weights(model))
    assert not model.training
    # At the end of an epoch what was learned is what a shorter run learns.
    torch.manual_seed(1)
    history = run(shorter, epochs=5, objective=at_step(5, interrupt))
    torch.manual_seed(1)
    one_epoch = small()
    run(one_epoch, epochs=1, objective=at_step(0, interrupt))
    assert history.steps == 4
    assert same(weights(shorter), weights(one_epoch))


def test_an_interrupt_does_not_keep_ruined_weights() -> None:
    model = small()
    before = weights(model)
    ruin = at_step(3, blow_up)
    stop = at_step(4, interrupt)

    def objective(*arguments: object) -> dict[str, Tensor]:
        stop(*arguments)
        return ruin(*arguments)

    with pytest.raises(NonFiniteLossError, match="at step 3;") as error:
        run(model, objective=objective)
    one_sentence(error)
    assert same(before, weights(model))


# ---- denormal numbers ------------------------------------------------------------------------


class DyingUnit(nn.Module):
    """A weight that has a gradient at its first steps and none after."""

    def __init__(self) -> None:
        super().__init__()
        self.alive, self.dead = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.steps = 0

    def objective(self, x: Tensor, labels: Tensor, noise: object) -> dict[str, Tensor]:
        self.steps += 1
        pull = self.alive.square().sum() + self.dead.square().sum() * float(self.steps < 5)
        return {"loss": x.flatten(1).sum(1) + pull}


def train_dying_unit(monkeypatch: pytest.MonkeyPatch) -> tuple[DyingUnit, torch.optim.Optimizer]:
    made: list[torch.optim.Optimizer] = []

    def remembered(*arguments: object, **options: object) -> torch.optim.Optimizer:
        made.append(adam(*arguments, **options))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr("vae_core.training.adam", remembered)
    model = DyingUnit()
    run(model, epochs=250, objective=lambda m, x, y, g: m.objective(x, y, g))
    assert model.steps == 1000
    return model, made[0]


def test_a_dead_units_moments_do_not_end_as_denormals(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.9^995 is below float32's normal numbers; with them a CPU is a hundred times slower."""
    model, optimizer = train_dying_unit(monkeypatch)
    assert denormals(optimizer.state[model.dead]["exp_avg"]) == 0

    monkeypatch.setattr("vae_core._denormals.drop_from_moments", lambda optimizer: None)
    other, left = train_dying_unit(monkeypatch)
    assert denormals(left.state[other.dead]["exp_avg"]) == 3
    assert same(weights(model), weights(other))  # to the bit


def test_a_black_pixels_gradient_is_no_denormal() -> None:
    """At logit -45 the squared error's gradient is about 2 exp(-90), far below what moves Adam."""
    output = torch.tensor([[-45.0, -30.0, 0.0, math.nan]], requires_grad=True)
    squared = (torch.sigmoid(output) - 0.0).square().sum()
    (plain,) = torch.autograd.grad(squared, output)
    assert denormals(plain) == 1
    GaussianLikelihood().log_prob(torch.zeros(1, 4), output).sum().backward()
    assert output.grad is not None
    assert output.grad[0, 0] == 0
    torch.testing.assert_close(output.grad[0, 1:], -plain[0, 1:], equal_nan=True)
