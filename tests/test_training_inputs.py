"""What callers hand to ``fit``: taken for what is meant, or refused before anything is changed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import one_sentence
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from vae_core.data import ImageData
from vae_core.models import CVAE, VAE, Classifier
from vae_core.objectives import elbo, elbo_objective
from vae_core.training import History, _setup, fit

SHAPE = (1, 4, 4)


def images(n: int = 40, classes: int = 5) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=generator)
    return ImageData(pixels, torch.arange(n) % classes, tuple("01234"), "noise", "train")


def small(seed: int = 0) -> VAE:
    return VAE(2, SHAPE, (6,), seed=seed)


def conditional() -> CVAE:
    return CVAE(2, SHAPE, (6,), classes=5)


def run(model: nn.Module, given: Any = None, **options: Any) -> History:
    chosen = {"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False, **options}
    return fit(model, images() if given is None else given, **chosen)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(first: nn.Module | dict[str, Tensor], second: nn.Module | dict[str, Tensor]) -> bool:
    a, b = (m.state_dict() if isinstance(m, nn.Module) else m for m in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refused(words: str, model: nn.Module, given: Any = None, **options: Any) -> str:
    """The sentence with which it is refused, once it is known that nothing was changed."""
    before, mode, state = weights(model), model.training, torch.get_rng_state()
    with pytest.raises(ValueError, match=words) as error:
        run(model, given, **options)
    assert same(model, before)
    assert model.training is mode
    assert torch.equal(state, torch.get_rng_state())
    return one_sentence(error)


# ---- images and labels in other containers -----------------------------------------------------


class Pairs(Dataset[Any]):
    """A map-style data set of whatever items it is given."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def as_pictures(data: ImageData) -> list[Any]:
    return [
        (Image.fromarray(image[0].numpy()), int(label))
        for image, label in zip(data.images, data.labels, strict=True)
    ]


def as_floats(data: ImageData) -> list[Any]:
    """What torchvision's ToTensor gives."""
    return [(i.float() / 255, n) for i, n in zip(data.images, data.labels.tolist(), strict=True)]


LIKE: dict[str, Callable[[ImageData], Any]] = {
    "a pair": lambda d: (d.images, d.labels),
    "a pair of arrays": lambda d: (d.images.numpy(), d.labels.numpy()),
    "a TensorDataset": lambda d: TensorDataset(d.images, d.labels),
    "a Subset": lambda d: Subset(TensorDataset(d.images, d.labels), range(len(d.labels))),
    "a Dataset of pictures": lambda d: Pairs(as_pictures(d)),
    "a Dataset of floats": lambda d: Pairs(as_floats(d)),
    "labels as a list": lambda d: d._replace(labels=d.labels.tolist()),
    "labels as an array": lambda d: d._replace(labels=d.labels.numpy()),
    "labels as int32": lambda d: d._replace(labels=d.labels.int()),
    "labels as uint8": lambda d: d._replace(labels=d.labels.to(torch.uint8)),
    "labels as whole floats": lambda d: d._replace(labels=d.labels.double()),
    "labels as a tuple of NumPy numbers": lambda d: d._replace(labels=tuple(d.labels.numpy())),
    "images as an array": lambda d: d._replace(images=d.images.numpy()),
}


@pytest.mark.parametrize("kind", LIKE)
def test_the_same_images_in_another_container_give_the_same_model(kind: str) -> None:
    expected, found = conditional(), conditional()
    run(expected)
    run(found, LIKE[kind](images()))
    assert same(expected, found)


@pytest.mark.parametrize("kind", ["tensor", "grey", "array", "dataset", "no labels"])
def test_images_without_labels_do_for_a_model_that_needs_none(kind: str) -> None:
    given = {
        "tensor": images().images,
        "grey": images().images[:, 0],  # as torchvision's MNIST().data
        "array": images().images.numpy(),
        "dataset": TensorDataset(images().images),
        "no labels": images()._replace(labels=None),  # type: ignore[arg-type]
    }[kind]
    expected, found = small(), small()
    run(expected, validation=images())
    run(found, given, validation=given)
    assert same(expected, found)
    message = "a CVAE with classes needs labels, and data has none"
    assert refused(message, conditional(), given) == message


def test_an_objective_sees_that_there_are_no_labels() -> None:
    seen: list[Tensor] = []

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        seen.append(labels)
        return {"loss": model(x).flatten(1).sum(1)}

    run(small(), images().images, objective=objective)
    assert torch.cat(seen).unique().tolist() == [-1]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from iter(TensorDataset(images().images))


REFUSED: dict[str, tuple[Any, str]] = {
    "a DataLoader": (
        DataLoader(TensorDataset(images().images)),
        "data is a DataLoader, but fit makes its own batches .*: give its dataset",
    ),
    "a stream": (Endless(), "a Dataset without a length"),
    "no images": (Pairs([]), "a Dataset of no images"),
    "a list": (images().images.tolist(), "data must be an ImageData .*; got a list"),
    "a path": ("mnist", "data must be an ImageData .*; got a str"),
    "floats": (images().images / 255, "must be uint8 .*; got torch.float32"),
    "normalised": (
        Pairs([(image / 255 - 0.5, 0) for image in images().images]),
        r"data\[0\] has pixels outside \[0, 1\]|pixels that are no bytes",
    ),
    "texts": (Pairs(["a", "b"]), "data.0. must be uint8|is a str, and no image"),
    "two sizes": (
        Pairs([torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 5, dtype=torch.uint8)]),
        "whose items are not alike",
    ),
    "named labels": (
        Pairs([(image, "cat") for image in images().images]),
        "data.labels must be whole numbers|whose labels are not whole numbers",
    ),
    "an object array": (np.array([None, 1]), "got an array of object"),
    "labels of parts": (
        images()._replace(labels=torch.arange(40) / 3),
        "data.labels must be whole numbers; got torch.float32 with others",
    ),
    "labels that are no numbers": (
        images()._replace(labels=torch.full((40,), math.nan)),
        "data.labels must be whole numbers",
    ),
    "one-hot labels": (
        images()._replace(labels=torch.eye(5, dtype=torch.int64)[torch.arange(40) % 5]),
        r"data.labels must be \[n\], one an image; got \[40, 5\]",
    ),
    "labels of text": (
        images()._replace(labels=["a"] * 40),  # type: ignore[arg-type]
        "data.labels must be whole numbers",
    ),
    "too few labels": (images()._replace(labels=[1, 2]), "40 images but 2 labels"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cant_be_meant_is_refused(kind: str) -> None:
    given, words = REFUSED[kind]
    refused(words, small(), given)


def test_validation_is_looked_at_as_well() -> None:
    assert refused("validation", small(), validation=3).startswith(
        "validation must be an ImageData"
    )
    words = r"validation.labels\[1\] is 7"
    other = images(3)._replace(labels=torch.tensor([0, 7, 1]))
    refused(words, conditional(), validation=other)


# ---- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, -2, 10**9])
@pytest.mark.parametrize("own", [True, False])
def test_a_label_that_is_no_class_is_told_before_the_first_step(wrong: int, own: bool) -> None:
    late = images()
    late.labels[37] = wrong
    message = f"labels must lie in 0 .. 4, for the model has 5 classes; data.labels[37] is {wrong}"
    objective = None if own else elbo_objective(beta=2.0)
    assert refused("labels must lie", conditional(), late, objective=objective) == message
    if own:
        assert refused("labels must lie", Classifier(5, SHAPE), late) == message


def test_labels_are_the_callers_where_the_objective_is() -> None:
    """What an objective of the caller's makes of them is not known here."""
    model = conditional()
    late = images()._replace(labels=images().labels + 100)

    def objective(model: CVAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        bound = elbo(model, x, generator=noise, validate=False, condition=labels - 100)
        return {"loss": -bound.total}

    run(model, late, objective=objective)
    expected = conditional()
    run(expected)
    assert same(model, expected)


# ---- numbers -----------------------------------------------------------------------------------


def test_numbers_of_other_libraries_are_the_same_numbers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "seed": 3, "patience": 1}
    expected, found, again = small(), small(), small()
    kept = {"validation": images(9), "checkpoint": tmp_path / "run", "checkpoint_steps": 2}
    run(expected, **options, learning_rate=0.125, **kept)
    numpy = {name: np.int64(value) for name, value in options.items()}
    kept["checkpoint_steps"] = np.int32(2)
    kept["checkpoint"] = tmp_path / "other"
    run(found, **numpy, learning_rate=np.float32(0.125), **kept)
    assert same(expected, found)
    kept["checkpoint"] = str(tmp_path / "run")  # the same run, so given back
    assert run(again, **numpy, learning_rate=torch.tensor(0.125), **kept).steps > 0
    assert same(expected, again)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": "0.001"}, "learning_rate must be a number; got '0.001'"),
        ({"learning_rate": None}, "learning_rate must be a number; got None"),
        ({"learning_rate": [1e-3]}, "learning_rate must be a number"),
        ({"learning_rate": True}, "learning_rate must be a number; got True"),
        ({"epochs": "3"}, "epochs must be a whole number of at least 1; got '3'"),
        ({"epochs": True}, "epochs must be a whole number of at least 1; got True"),
        ({"epochs": np.float64(2)}, "epochs must be a whole number"),
        ({"seed": 2**63}, "seed must be below"),
        ({"schedule": None}, "schedule must be one of"),
        ({"schedule": ["cosine"]}, "schedule must be one of"),
        ({"device": None}, "device 'None' can't be used here"),
        ({"device": 3.5}, "device '3.5' can't be used here"),
        ({"device": "meta"}, "device 'meta' can't be used here: it holds shapes"),
        ({"objective": 3}, "objective must be a function; got 3"),
        ({"checkpoint": 3}, "checkpoint must be a path; got 3"),
        ({"checkpoint": "~nobody-of-this-name/x"}, "checkpoint must be a path"),
    ],
)
def test_arguments_that_cant_be_meant(options: dict[str, Any], words: str) -> None:
    refused(words, small(), **options)


def test_seeds_that_are_one_float_are_two_seeds(tmp_path: Path) -> None:
    first, second, kept = small(), small(), tmp_path / "run"
    assert float(2**53) == float(2**53 + 1)
    run(first, seed=2**53, checkpoint=kept)
    refused("seed 9007199254740992, not 9007199254740993", second, seed=2**53 + 1, checkpoint=kept)
    run(second, seed=2**53 + 1)
    assert not same(first, second)


# ---- models ------------------------------------------------------------------------------------


class Odd(nn.Module):
    """A model of the caller's own."""

    def __init__(self, layer: nn.Module, weight: Tensor | None = None) -> None:
        super().__init__()
        self.layer = layer
        if weight is not None:
            self.steps = nn.Parameter(weight, requires_grad=False)

    def objective(self, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        return {"loss": self.layer(x.flatten(1)).square().sum(1)}


def own(model: Odd, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
    return model.objective(x, labels, noise)


def test_models_that_cant_be_trained_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module; got <class") as error:
        run(VAE)  # type: ignore[arg-type]
    one_sentence(error)
    with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module; got None"):
        run(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no weights yet: call the model on a batch first"):
        run(Odd(nn.LazyLinear(2)), objective=own)
    refused("has no weights that require gradients", small().requires_grad_(False))
    refused(
        "does not depend on any weight",
        small(),
        objective=lambda m, x, y, g: {"loss": x[:, 0, 0, 0]},
    )


def test_a_weight_that_is_no_float_stays_as_it_is(tmp_path: Path) -> None:
    model, again = (Odd(nn.Linear(16, 2), torch.tensor([3, 4])) for _ in range(2))
    again.load_state_dict(model.state_dict())
    before = weights(model)
    run(model, objective=own, checkpoint=tmp_path / "run")
    assert torch.equal(model.steps, before["steps"])
    assert not torch.equal(model.layer.weight, before["layer.weight"])
    run(again, objective=own, checkpoint=tmp_path / "run")
    assert same(model, again)


# ---- where gradients are off -------------------------------------------------------------------


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", [small, conditional])
def test_training_needs_no_gradients_around_it(
    off: Callable[[], Any], kind: Callable[[], nn.Module], tmp_path: Path
) -> None:
    expected, found = kind(), kind()
    run(expected, validation=images(9))
    with off():
        run(found, images(), validation=images(9), checkpoint=tmp_path / "run")
        assert not torch.is_grad_enabled()
    assert same(expected, found)


def test_training_after_gradients_were_switched_off() -> None:
    expected, found = small(), small()
    run(expected)
    torch.set_grad_enabled(False)
    try:
        run(found)
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert same(expected, found)


@pytest.mark.parametrize("inside", [True, False])
def test_a_model_made_in_inference_mode_is_trained_all_the_same(inside: bool) -> None:
    expected = small()
    run(expected)
    with torch.inference_mode():
        model, given = small(), images()
        if inside:
            run(model, given)
    if not inside:
        run(model, given)
    assert same(expected, model)
    assert not any(parameter.is_inference() for parameter in model.parameters())


def test_tied_weights_of_a_model_made_in_inference_mode_stay_tied() -> None:
    with torch.inference_mode():
        layer = nn.Linear(16, 16)
        model = Odd(nn.Sequential(layer, nn.Linear(16, 16)))
        model.layer[1].weight = layer.weight
    run(model, objective=own)
    assert model.layer[1].weight is model.layer[0].weight


@pytest.mark.parametrize("setting", [torch.float64, torch.bfloat16])
def test_the_default_dtype_is_no_part_of_training(setting: torch.dtype, tmp_path: Path) -> None:
    expected, found = small(), small()
    run(expected)
    torch.set_default_dtype(setting)
    try:
        run(found, checkpoint=tmp_path / "run")
        assert torch.get_default_dtype() == setting
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(expected, found)


@pytest.mark.parametrize("given", [images(), images().images, (images().images, [0] * 40)])
def test_the_default_device_is_no_part_of_training(given: Any, tmp_path: Path) -> None:
    """ "meta" stands for a GPU: what is made there by mistake can't be used."""
    expected, found = small(), small()
    run(expected, given)
    torch.set_default_device("meta")
    try:
        run(found, given, validation=given, checkpoint=tmp_path / "run")
    finally:
        torch.set_default_device(None)
    assert same(expected, found)


def test_images_without_pixels_are_refused() -> None:
    refused("lie on the device 'meta'", small(), images().images.to("meta"))


def test_mixed_precision_around_it_is_no_part_of_training(tmp_path: Path) -> None:
    expected, found = small(), small()
    run(expected)
    with torch.autocast("cpu", torch.bfloat16):
        run(found, checkpoint=tmp_path / "run")
    assert same(expected, found)


# ---- bfloat16 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("has", [True, False, None])
def test_bf16_is_refused_where_the_processor_has_none(
    has: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_setup, "_bf16_instructions", lambda: has)
    if has is False:
        sentence = refused("bf16 would be slower here", small(), bf16=True)
        assert "this processor has no instructions for bfloat16" in sentence
    else:
        run(small(), bf16=True)


def test_bf16_is_for_single_precision() -> None:
    refused("bf16 is for weights in float32; these are torch.float64", small().double(), bf16=True)


@pytest.mark.parametrize(
    ("told", "answer"),
    [({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({}, None)],
)
def test_the_processor_is_asked(
    told: dict[str, bool], answer: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert _setup._bf16_instructions() is answer


# ---- objectives --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (lambda x: x, "gives a dict of tensors, one of them 'loss'; got Tensor"),
        (lambda x: {"loss": x, "beta": 0.5}, "one of them 'loss'; got {'loss': 'Tensor', 'beta'"),
        (lambda x: {"loss": x, "mean": x.mean()}, r"terms are \[16\], one value an example; got"),
        (lambda x: {"loss": x, "pixels": x[:, None]}, r"terms are \[16\], one value an example"),
        (lambda x: {"loss": (x > 0).long()}, "loss is floating; got torch.int64"),
        (lambda x: {}, r"gives 'loss' \[16\], one an example; got {}"),
    ],
)
def test_terms_are_one_value_an_example(terms: Callable[[Tensor], Any], words: str) -> None:
    refused(words, small(), objective=lambda m, x, y, g: terms(m(x).flatten(1).sum(1)))


def test_terms_are_the_same_in_every_batch() -> None:
    count = 0

    def objective(model: VAE, x: Tensor, labels: Tensor, noise: Any) -> dict[str, Tensor]:
        nonlocal count
        count += 1
        loss = model(x).flatten(1).sum(1)
        return {"loss": loss, **({"late": loss} if count > 3 else {})}

    refused(
        r"gives the same terms for every batch; got \['loss', 'late'\]",
        small(),
        objective=objective,
    )
