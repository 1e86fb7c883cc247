"""What the conditional explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import traitlets

from vae_core import data
from vae_core.data import ImageData
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import CVAE, VAE
from vae_core.widgets import ConditionalExplorer
from vae_core.widgets import _payload as payload
from vae_core.widgets._random import normals

GIVEN = {"one": "1-quadrant", "two": "2-quadrants", "three": "3-quadrants"}


def labelled(**options: Any) -> CVAE:
    chosen = {"latent_dim": 2, "classes": 10, "hidden": (24,), "seed": 1, **options}
    return CVAE(likelihood=BernoulliLikelihood(), **chosen)


def completer(observed: str = "1-quadrant", prior: str = "learned", seed: int = 2) -> CVAE:
    return CVAE(
        5,
        hidden=(48,),
        likelihood=BernoulliLikelihood(),
        observed=observed,
        prior=prior,
        seed=seed,
    )


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return data.load("mnist", "test").first(300)


@pytest.fixture(scope="module")
def widget(digits: ImageData) -> ConditionalExplorer:
    completers = {name: completer(given, seed=k) for k, (name, given) in enumerate(GIVEN.items())}
    completers["standard"] = completer("centre-column", "standard")
    return ConditionalExplorer(labelled(), completers, digits)


def test_same_z_in_every_class(widget: ConditionalExplorer) -> None:
    widget.z = [0.7, -1.1]
    decoded = widget.decode()
    assert decoded.shape == (10, 1, 28, 28)
    z = torch.tensor([[0.7, -1.1]])
    for k in (0, 9):
        assert torch.allclose(decoded[k], widget.class_twin.mean(z, k)[0], atol=1e-6)
    # Another class is another picture, and 7 bits keep near the model's own.
    assert not torch.allclose(decoded[0], decoded[1])
    assert (decoded[3] - labelled().mean(z, 3)[0]).abs().max() < 0.02


@pytest.mark.parametrize("given", [*GIVEN, "standard"])
def test_completions_keep_what_is_given(widget: ConditionalExplorer, given: str) -> None:
    widget.given, widget.digit, widget.seed = given, 4, 7
    every, twin = widget.completions(), widget.twins[given]
    digit = data.binarize(data.load("mnist", "test").images[:10], "fixed", seed=0)[4:5]
    assert every.shape == (100, 1, 28, 28)
    assert torch.equal(every[:, twin.observed], digit[:, twin.observed].expand(100, -1))
    # The third draw by hand: noise by the seed, the prior's mean and sigma, the decoder.
    noise = torch.from_numpy(normals(7, 500).astype(np.float32)).reshape(100, 5)[2:3]
    prior = twin.prior(digit)
    by_hand = twin.mean(prior.mean + prior.sigma * noise, digit)
    assert torch.allclose(every[2:3], by_hand, atol=1e-6)
    mean = widget.mean_prediction()
    assert torch.allclose(mean, every.mean(0))
    single, together = widget.undecided()
    assert together >= single  # p (1 - p) is concave
    assert together == pytest.approx((4 * mean * (1 - mean)).sum().item(), rel=1e-6)


def test_seed_draws_anew_and_digit_changes_the_question(widget: ConditionalExplorer) -> None:
    widget.given, widget.digit, widget.seed = "one", 0, 1
    first = widget.completions()
    widget.seed = 2
    assert not torch.allclose(widget.completions(), first)
    widget.seed = 1
    assert torch.equal(widget.completions(), first)
    widget.digit = 1
    assert not torch.allclose(widget.completions(), first)


@pytest.mark.parametrize(("given", "target"), [("1-quadrant", 588), ("3-quadrants", 196)])
def test_only_the_pixels_to_predict_travel(
    widget: ConditionalExplorer, given: str, target: int
) -> None:
    name = next(name for name, mask in GIVEN.items() if mask == given)
    spec = next(one for one in widget.payload["completers"] if one["name"] == name)
    assert spec["decoder"]["layers"][-1]["rows"] == target == len(spec["target"])
    raw = payload.Blob("", widget.blobs[spec["decoder"]["sha"]]).raw()
    last = payload.unpack_layers(raw, spec["decoder"]["layers"])[-1]
    twin = widget.twins[name].decoder.layers[-1]
    assert torch.equal(torch.tensor(last.weight), twin.weight[spec["target"]])


def test_figure_and_picture(widget: ConditionalExplorer) -> None:
    assert len(widget.figure().axes) == 2
    assert widget.to_png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": VAE(2)}, "'model' must be a CVAE made of linear layers"),
        ({"model": completer()}, r"'model' must be a CVAE with classes=\.\.\."),
        ({"model": labelled(latent_dim=3)}, "latent_dim 2 to be drawn on a plane, got 3"),
        ({"model": labelled(prior="learned")}, "must have the standard prior"),
        ({"model": labelled(classes=4)}, "model has 4 classes, data 10"),
        ({"completers": {}}, "completers must map one to four names to CVAEs"),
        ({"completers": {"x": labelled()}}, r"'x' must be a CVAE with observed=\.\.\."),
        ({"entries": [0]}, r"entries must be 2 to 12 numbers from 0 to 299, got \[0\]"),
        ({"entries": [0, 300]}, "entries must be 2 to 12 numbers"),
    ],
)
def test_wrong_arguments(digits: ImageData, change: dict[str, Any], message: str) -> None:
    arguments = {"model": labelled(), "completers": {"x": completer()}, "data": digits, **change}
    with pytest.raises(ValueError, match=message):
        ConditionalExplorer(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "other"),
        ("given", "four"),
        ("digit", 10),
        ("label", -1),
        ("seed", 2**32),
        ("z", [1.0]),
    ],
)
def test_wrong_traits(widget: ConditionalExplorer, name: str, value: Any) -> None:
    before = getattr(widget, name)
    with pytest.raises((ValueError, traitlets.TraitError), match=f"{name} must be"):
        setattr(widget, name, value)
    assert getattr(widget, name) == before
