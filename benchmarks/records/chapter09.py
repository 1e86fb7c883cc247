"""Numbers of chapter 9's solutions: short trainings on grey digits.

This one is written and was not run yet: without the underscore before its name, ``_haste`` is a
record.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from vae_core import coding, data, distributions, evaluation, models, ordered, training, zoo

_EPOCHS = (1, 2, 5)
_GROUPS = {"paper": (0, 0), "between": (1, 251), "ink": (252, 255)}  # levels


def _model(kind: str, hidden: int) -> models.VAE:
    """A model like the zoo's grey-50, "ordered", or with equal steps, "even"."""
    if kind == "even":
        likelihood = distributions.DiscretizedLogisticLikelihood()
    else:
        likelihood = ordered.OrderedLogitLikelihood()
        likelihood.set_levels(data.load("mnist", "train").images)
    return models.VAE(50, hidden=(hidden,), likelihood=likelihood)


def _trained(kind: str, hidden: int, epochs: int) -> tuple[models.VAE, float]:
    """The model after that many passes, and the seconds of training."""
    train, model = data.load("mnist", "train"), _model(kind, hidden)
    began = time.perf_counter()
    training.fit(
        model, train, epochs=epochs, batch_size=128, learning_rate=2e-3, schedule="cosine",
        seed=0, progress=False, device="cpu",
    )  # fmt: skip
    return model.eval(), time.perf_counter() - began


def _bits(model: models.VAE) -> tuple[float, float, float]:
    """Minus the ELBO of the test digits, its distortion and its rate, in bits a pixel."""
    parts = evaluation.rate_distortion(model, data.load("mnist", "test").images, seed=1)
    unit = 784 * math.log(2)
    distortion, rate = parts.distortion.mean().item() / unit, parts.rate.mean().item() / unit
    return distortion + rate, distortion, rate


@torch.no_grad()
def _bits_by_level(model: models.VAE) -> dict[str, float]:
    """The bits of X given a drawn z, a pixel of the test digits on average, by groups of levels."""
    noise, found = torch.Generator().manual_seed(1), dict.fromkeys(_GROUPS, 0.0)
    images = data.load("mnist", "test").images
    for part in images.split(1000):
        q = model.encode(data.to_float(part))
        z = q.rsample(torch.randn(len(part), 50, generator=noise))
        output = model.decode(z).permute(0, 2, 3, 1).reshape(-1, 2, 1, 1)
        pixels = part.reshape(-1, 1, 1, 1)
        bits = -model.likelihood.log_prob(data.to_float(pixels), output) / math.log(2)
        for name, (low, high) in _GROUPS.items():
            inside = (pixels.flatten() >= low) & (pixels.flatten() <= high)
            found[name] += bits[inside].sum().item() / images.numel()
    return found


def _haste() -> dict[str, Any]:
    """Models like grey-50, with ordered logits and with equal steps, after one pass, two and five
    over the training digits, and one with ordered logits and 800 hidden units in place of 400
    after five, seed 0 each. Bits a pixel of the test digits."""
    results: dict[str, Any] = {}
    for kind in ("ordered", "even"):
        for epochs in _EPOCHS:
            model, seconds = _trained(kind, 400, epochs)
            total, distortion, rate = _bits(model)
            results[f"{kind}_{epochs}"] = total
            results[f"{kind}_{epochs}_seconds"] = seconds
        results[f"{kind}_distortion"], results[f"{kind}_rate"] = distortion, rate
        for name, value in _bits_by_level(model).items():
            results[f"{kind}_{name}"] = value
    total, distortion, rate = _bits(_trained("ordered", 800, _EPOCHS[-1])[0])
    results["wide"], results["wide_distortion"], results["wide_rate"] = total, distortion, rate
    levels = data.load("mnist", "test").images
    for name, (low, high) in _GROUPS.items():
        share = ((levels >= low) & (levels <= high)).double().mean().item()
        results[f"share_{name}"] = 100 * share
    results["kept"] = _bits(zoo.load("grey-50"))[0]
    results["bz2"] = coding.general_purpose(levels)["bz2"]
    return results
