"""Opening: what it carries, what it refuses, and that its numbers are the models'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import traitlets

from vae_core import data
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import Opening
from vae_core.widgets import _payload as payload
from vae_core.widgets._base import bundle

COUNTS = {"AE": [9, 0, 3, 1, 2, 0, 0, 5, 0, 0], "VAE": list(range(10))}


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    return data.load("mnist", "test").first(120)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        "AE": Autoencoder(hidden=(32,), seed=1).eval(),
        "VAE": VAE(hidden=(32,), seed=2).eval(),
    }


@pytest.fixture(scope="module")
def made(models: dict[str, Any], few: data.ImageData) -> Opening:
    return Opening(models, few, COUNTS)


@pytest.fixture
def opening(made: Opening) -> Iterator[Opening]:
    """One widget for all tests, each time as it was made."""
    before = {name: getattr(made, name) for name in (*made.STATE, "source")}
    yield made
    for name, value in before.items():
        setattr(made, name, value)


def test_it_opens_on_a_digit_at_its_code(opening: Opening, few: data.ImageData) -> None:
    """Nobody has to do anything: the digit is there, its code is the point, the VAE's map shows."""
    assert opening.model_name == "VAE"
    first = torch.tensor(opening.pixels, dtype=torch.uint8).reshape(28, 28)
    place = next(i for i in range(len(few.labels)) if torch.equal(few.images[i, 0], first))
    assert int(few.labels[place]) == 0
    assert opening.z == pytest.approx(opening.encode().tolist(), abs=1e-6)
    assert len(opening.draws) == 20


def test_its_numbers_are_the_models(
    opening: Opening, models: dict[str, Any], few: data.ImageData
) -> None:
    """Both networks of each model travel with it, and differ from the model's in rounding only."""
    opening.pixels = few.images[7].flatten().tolist()
    for name, model in models.items():
        with torch.no_grad():
            code = model.embed(few.images[7:8].float() / 255)[0]
            picture = model.mean(code[None])
        assert torch.allclose(opening.encode(name), code, atol=0.02)
        assert torch.allclose(opening.decode(code[None], name), picture, atol=0.02)


def test_every_class_has_a_digit_to_load(opening: Opening) -> None:
    shelf = opening.payload["digits"]
    assert sorted(shelf["labels"]) == list(range(10))
    raw = payload.Blob(shelf["sha"], opening.blobs[shelf["sha"]]).raw()
    assert len(raw) == 10 * 28 * 28


def test_all_blobs_are_named_and_carried(opening: Opening) -> None:
    spec = opening.payload
    named = {spec["labels"], spec["digits"]["sha"]}
    for one in spec["models"]:
        named |= {one[part]["sha"] for part in ("decoder", "encoder", "codes")}
    assert named == set(opening.blobs)
    assert len(named) == 8


def test_counts_are_plain_numbers(models: dict[str, Any], few: data.ImageData) -> None:
    """Tensors, arrays and lists alike; without them there are no bars."""
    given: dict[str, Any] = {"AE": torch.tensor(COUNTS["AE"]), "VAE": np.array(COUNTS["VAE"])}
    assert Opening(models, few, given).payload["counts"] == COUNTS
    assert Opening(models, few).payload["counts"] is None


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"VAE": [1] * 10}, "an entry for each"),
        ([1] * 10, "an entry for each"),
        ({"AE": [1] * 9, "VAE": [1] * 10}, "'AE' must be 10 whole numbers"),
        ({"AE": [1] * 10, "VAE": [0.5] * 10}, "'VAE' must be 10 whole numbers"),
        ({"AE": [1] * 10, "VAE": [-1] * 10}, "'VAE' must be 10 whole numbers"),
        ({"AE": "1111111111", "VAE": [1] * 10}, "'AE' must be 10 whole numbers"),
    ],
)
def test_wrong_counts_are_refused(
    counts: Any, words: str, models: dict[str, Any], few: data.ImageData
) -> None:
    with pytest.raises(ValueError, match=words):
        Opening(models, few, counts)


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("z", [1.0], "two finite numbers"),
        ("z", [1.0, float("nan")], "two finite numbers"),
        ("draws", [[0.0, 0.0]] * 19, "20 points, got 19"),
        ("draws", [[0.0, float("inf")]] * 20, "two finite numbers"),
        ("pixels", [0] * 783, "784 whole numbers"),
        ("pixels", [256] * 784, "784 whole numbers"),
        ("model_name", "GAN", "one of"),
    ],
)
def test_traits_are_checked(opening: Opening, trait: str, value: Any, words: str) -> None:
    before = getattr(opening, trait)
    with pytest.raises((ValueError, traitlets.TraitError), match=words):
        setattr(opening, trait, value)
    assert getattr(opening, trait) == before


def test_wrong_models_are_refused(models: dict[str, Any], few: data.ImageData) -> None:
    for wrong, words in (
        ({}, "one to three"),
        ([models["VAE"]], "one to three"),
        ({1: models["VAE"]}, "must be texts"),
        ({"VAE": VAE(3, hidden=(8,))}, "latent_dim 2"),
        ({"VAE": torch.nn.Linear(2, 2)}, "must be an Autoencoder or a VAE"),
    ):
        with pytest.raises(ValueError, match=words):
            Opening(wrong, few)
    with pytest.raises(ValueError, match="ImageData"):
        Opening(models, None)


def test_its_lines_compute_what_it_shows(opening: Opening, capsys: Any) -> None:
    opening.z, opening.model_name = [0.5, -1.0], "AE"
    opening.source = ""
    names: dict[str, Any] = {"models": opening.twins}
    exec(opening.to_python(), names)
    assert torch.allclose(names["code"], opening.encode("AE"), atol=1e-5)
    assert torch.allclose(names["decoded"], opening.decode(torch.tensor([[0.5, -1.0]]))[0, 0])
    draws = torch.tensor(opening.draws)
    for name, pictures in names["painted"].items():
        assert torch.allclose(pictures, opening.decode(draws, name)[:, 0], atol=1e-6)
    assert "the digit's code is" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2, 3])
def test_its_picture_holds_every_model(
    count: int, models: dict[str, Any], few: data.ImageData
) -> None:
    """Digit, map and decoded digit, and a sheet of draws for each model."""
    chosen = dict(list({**models, "third": models["VAE"]}.items())[:count])
    figure = Opening(chosen, few).figure()
    assert len(figure.axes) == 3 + count
    titles = [axes.get_title() for axes in figure.axes]
    assert [f"{name}: 20 draws from the prior" for name in chosen] == titles[3:]
    sheet = figure.axes[-1].images[0].get_array()
    assert sheet is not None
    assert sheet.shape == (2 * 28, 10 * 28)


def test_its_module_takes_no_charts_along() -> None:
    """Of the optional parts only the pad, the posterior's and the classes'."""
    text = bundle("opening")
    assert "class DigitPad" in text
    assert "const CLASS_MARKS" in text
    assert "class Chart" not in text
