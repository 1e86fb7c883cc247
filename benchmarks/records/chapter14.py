"""Numbers of chapter 14: few labels, with more images that have none.

The data are scikit-learn's digits, cut as in the chapter; five images of each class have labels.
Draws of labels by seeds from 100 on choose, on validation images; draws by seeds from 200 on
measure, on test images. (Those by seeds from 0 on were measured with while this was made.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from torch import Tensor, nn

from vae_core import data, models, training
from vae_core.distributions import GaussianLikelihood
from vae_core.evaluation import mean_estimate
from vae_core.semi_supervised import UNLABELLED, SemiSupervisedVAE, semi_supervised_objective

SHAPE = (1, 8, 8)
PARTS = {"train": slice(1097), "validation": slice(1097, 1297), "test": slice(1297, None)}
EACH = 5  # labels a class
CHOOSING = (100, 101, 102)
MEASURING = range(200, 205)
NETWORK_STEPS = 500  # of the classifier that is given a CVAE's samples
# What the records named `_choice` chose; the chapter uses it too.
CHOSEN: dict[str, tuple[Any, ...]] = {
    "network": (500,),
    "shifts": (1000,),
    "samples": (8000,),
    "regression": (100.0,),
    "svm": (10.0, 0.02),
    "pca": (32, 1.0),
    "autoencoder": (32, 0.1),
    "vae": (10, 1.0),
    "spreading": (7, 0.8),
    "m2": (3, 1000.0, 200),
}
Way = Callable[[data.ImageData, int, tuple[Any, ...]], float]


def _digits(split: str) -> data.ImageData:
    digits = load_digits()
    grey = torch.from_numpy(digits.images / 16 * 255).round().to(torch.uint8)
    part = PARTS[split]
    labels = torch.from_numpy(digits.target).long()
    return data.ImageData(grey[part, None], labels[part], tuple("0123456789"), "digits", split)


def _few(seed: int) -> data.ImageData:
    return data.few_of_each(_digits("train"), EACH, seed=seed)


def _partly_labelled(seed: int) -> data.ImageData:
    """The training images, of which those of :func:`_few` keep their labels."""
    train = _digits("train")
    numbered = train._replace(images=torch.arange(len(train.images))[:, None, None, None])
    kept = data.few_of_each(numbered, EACH, seed=seed).images.flatten()
    labels = torch.full_like(train.labels, UNLABELLED)
    labels[kept] = train.labels[kept]
    return train._replace(labels=labels)


def _fit(model: nn.Module, part: data.ImageData, steps: int, seed: int) -> None:
    """``steps`` steps of 50 images, however many there are."""
    training.fit(
        model,
        part,
        epochs=max(1, round(steps / math.ceil(len(part.images) / 50))),
        batch_size=50,
        learning_rate=2e-3,
        schedule="cosine",
        seed=seed,
        device="cpu",
        progress=False,
    )


@torch.no_grad()
def _accuracy(model: nn.Module, part: data.ImageData) -> float:
    found = model(data.to_float(part.images)).argmax(1)
    return 100 * (found == part.labels).double().mean().item()


def _classifier(labelled: data.ImageData, part: data.ImageData, steps: int, seed: int) -> float:
    classifier = models.Classifier(10, SHAPE, seed=seed)
    _fit(classifier, labelled, steps, seed)
    return _accuracy(classifier, part)


def _network(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    return _classifier(_few(seed), part, setting[0], seed)


def _shifts(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    few = _few(seed)
    return _classifier(data.joined(few, data.shifted(few, 9, seed=seed)), part, setting[0], seed)


def _samples(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    """The network with samples of a CVAE that was trained for some steps on the same images."""
    few = _few(seed)
    cvae = models.CVAE(5, SHAPE, (128,), GaussianLikelihood("optimal"), classes=10, seed=seed)
    _fit(cvae, few, setting[0], seed)
    labels = few.labels.repeat(9)
    drawn = cvae.generate(labels, generator=torch.Generator().manual_seed(seed))
    made = few._replace(images=(drawn * 255).round().to(torch.uint8), labels=labels)
    return _classifier(data.joined(few, made), part, NETWORK_STEPS, seed)


def _flat(part: data.ImageData) -> Tensor:
    return data.to_float(part.images).flatten(1)


def _score(model: Any, few: data.ImageData, part: data.ImageData) -> float:
    """Accuracy of one of scikit-learn's classifiers of pixels, in percent."""
    return 100 * model.fit(_flat(few), few.labels).score(_flat(part), part.labels)


def _regression(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    return _score(LogisticRegression(C=setting[0], max_iter=3000), _few(seed), part)


def _svm(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    return _score(SVC(C=setting[0], gamma=setting[1]), _few(seed), part)


def _spreading(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    """Labels handed on from neighbour to neighbour over all training images, then to ``part``."""
    spread = LabelSpreading(kernel="knn", n_neighbors=setting[0], alpha=setting[1], max_iter=1000)
    with warnings.catch_warnings():
        # Images whose neighbours lead to no label are divided by 0, and count as a 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _score(spread, _partly_labelled(seed), part)


_fitted: dict[tuple[str, int], Any] = {}


def _coder(kind: str, dimensions: int) -> Callable[[Tensor], Tensor]:
    """Images to features that were learned from all training images without their labels."""
    if (kind, dimensions) in _fitted:
        return _fitted[kind, dimensions]
    train = _digits("train")
    if kind == "pca":
        pca = PCA(dimensions).fit(_flat(train))
        _fitted[kind, dimensions] = lambda x: torch.from_numpy(pca.transform(x.flatten(1)))
    else:
        model: models.Autoencoder | models.VAE
        if kind == "autoencoder":
            model = models.Autoencoder(dimensions, SHAPE, (128,))
        else:
            model = models.VAE(dimensions, SHAPE, (128,), GaussianLikelihood("optimal"))
        training.fit(
            model,
            train,
            epochs=200,
            batch_size=64,
            learning_rate=2e-3,
            validation=_digits("validation"),
            patience=10,
            device="cpu",
            progress=False,
        )
        _fitted[kind, dimensions] = model.embed
    return _fitted[kind, dimensions]


@torch.no_grad()
def _of_features(kind: str, part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    few, (dimensions, inverse_penalty) = _few(seed), setting
    with torch.enable_grad():
        features = _coder(kind, dimensions)
    inputs = [features(data.to_float(each.images)) for each in (few, part)]
    model = LogisticRegression(C=inverse_penalty, max_iter=3000).fit(inputs[0], few.labels)
    return 100 * model.score(inputs[1], part.labels)


def _m2(part: data.ImageData, seed: int, setting: tuple[Any, ...]) -> float:
    latents, weight, passes = setting
    model = SemiSupervisedVAE(latents, SHAPE, (128,), GaussianLikelihood(0.15), seed=seed)
    training.fit(
        model,
        _partly_labelled(seed),
        epochs=passes,
        batch_size=100,
        learning_rate=2e-3,
        schedule="cosine",
        seed=seed,
        objective=semi_supervised_objective(weight),
        device="cpu",
        progress=False,
    )
    return _accuracy(model, part)


PENALTIES = (0.1, 1.0, 10.0, 100.0)  # logistic regression's C, the inverse of one
Ways = dict[str, tuple[Way, Sequence[tuple[Any, ...]]]]
PLAIN: Ways = {
    "network": (_network, [(200,), (500,)]),
    "shifts": (_shifts, [(500,), (1000,)]),
    "regression": (_regression, [(c,) for c in PENALTIES]),
    "svm": (_svm, [(c, g) for c in (1.0, 10.0) for g in (0.02, 0.05, 0.1, 0.2)]),
}
SAMPLES: Ways = {"samples": (_samples, [(200,), (1000,), (3000,), (8000,)])}
FEATURES: Ways = {
    kind: (partial(_of_features, kind), [(d, c) for d in dimensions for c in PENALTIES])
    for kind, dimensions in (
        ("pca", (8, 16, 24, 32)),
        ("autoencoder", (8, 16, 32)),
        ("vae", (5, 10, 20)),
    )
}
SPREADING: Ways = {
    "spreading": (_spreading, [(k, a) for k in (5, 7, 10, 15) for a in (0.2, 0.5, 0.8)])
}
M2: Ways = {"m2": (_m2, [(3, weight, 200) for weight in (300.0, 1000.0)])}


def _choice(ways: Ways) -> dict[str, Any]:
    validation = _digits("validation")
    results: dict[str, Any] = {}
    for name, (run, settings) in ways.items():
        found = {
            setting: mean_estimate(torch.tensor([run(validation, s, setting) for s in CHOOSING]))
            for setting in settings
        }
        best = max(found, key=lambda setting: found[setting].value)
        results[name] = " and ".join(f"{value:,g}" for value in best)
        results[f"{name}_accuracy"] = found[best]
        if name == "samples":
            results |= {f"steps_{setting[0]}": value for setting, value in found.items()}
        print(name, {setting: str(value) for setting, value in found.items()}, flush=True)
    return results


def _run(name: str, setting: tuple[Any, ...] | None = None) -> Tensor:
    run = {**PLAIN, **SAMPLES}[name][0]
    test, setting = _digits("test"), setting or CHOSEN[name]
    return torch.tensor([run(test, seed, setting) for seed in MEASURING])


def _compared(runs: dict[str, Tensor], minus: Sequence[str]) -> dict[str, Any]:
    results: dict[str, Any] = {name: mean_estimate(found) for name, found in runs.items()}
    for base in minus:
        for name, found in runs.items():
            if name != base:
                results[f"{name}_minus_{base}"] = mean_estimate(found - runs[base])
    return results


def plain_choice() -> dict[str, Any]:
    """For ways to learn from five labelled images a class and no others: of some settings the one
    with the highest accuracy (%) on validation images, mean over three draws of labels."""
    return _choice(PLAIN)


def sample_choice() -> dict[str, Any]:
    """The steps of a CVAE whose samples help a network most that learns from five labelled images a
    class: accuracies (%) on validation images, means over three draws of labels."""
    return _choice(SAMPLES)


def feature_choice() -> dict[str, Any]:
    """For classifiers of features that were learned from all images without labels: of some
    settings the one with the highest accuracy (%) on validation images, three draws of labels."""
    return _choice(FEATURES)


def spreading_choice() -> dict[str, Any]:
    """The settings of label spreading with the highest accuracy (%) on validation images, mean over
    three draws of labels."""
    return _choice(SPREADING)


def semi_choice() -> dict[str, Any]:
    """The weight of labels of M2 with the highest accuracy (%) on validation images, mean over
    three draws of labels."""
    return _choice(M2)


def samples() -> dict[str, Any]:
    """Accuracies (%) on test images of a network that learns from five images a class, with and
    without samples of a CVAE, and of plain classifiers; means over five draws of labels."""
    names = ("network", "samples", "regression", "svm")
    runs = {name: _run(name) for name in names}
    results = _compared(runs, ["network"])
    gain = mean_estimate(runs["samples"] - runs["network"])
    student = 2.776  # 95 % of Student's t with four degrees of freedom
    results["lowest_gain"] = gain.value - student * gain.standard_error
    results["highest_gain"] = gain.value + student * gain.standard_error
    return results


def short_samples() -> dict[str, Any]:
    """Accuracies (%) on test images of the same network with shifted copies, and with samples of a
    CVAE that was trained for 200 steps; means over five draws of labels."""
    runs = {"network": _run("network"), "shifts": _run("shifts")}
    runs["samples"] = _run("samples", (200,))
    return _compared(runs, ["network"])
