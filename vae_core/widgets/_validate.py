"""What a widget accepts, told in one sentence when it is something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor, check_finite
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder, Decoder, LinearVAE

# Codes and sigmas beyond this are of a training that diverged: the prior's own sigma is 1.
MOST = 1e6
# What the browser computes of a model by itself. A class of one's own may compute another thing.
_METHODS = ("encode", "decode", "mean", "embed", "log_likelihood", "prior")


def check_model(name: str, model: Any, *, variational: bool = False) -> None:
    """A model of :mod:`vae_core.models` with two latent dimensions, as MLPs.

    Raises:
        ValueError: saying what was given instead.
    """
    wanted, words = (
        (VAE, "a VAE") if variational else (Autoencoder | VAE, "an Autoencoder or a VAE")
    )
    if not isinstance(model, wanted):
        raise ValueError(f"{name!r} must be {words} of vae_core.models, got {_check.kind(model)}")
    if model.latent_dim != 2:
        raise ValueError(
            f"{name!r} must have latent_dim 2 to be drawn on a plane, got {model.latent_dim}"
        )
    check_computable(name, model)
    if getattr(model.likelihood, "kind", None) == "per-pixel":
        raise ValueError(f"{name!r} must have one sigma for all pixels, not one for each")


def check_computable(name: str, model: Any) -> None:
    """Of a model of :mod:`vae_core.models`: what js/core.js computes as Python does.

    That is linear layers, grey images, and one number a pixel with a Bernoulli or a Gaussian
    likelihood; grey-level likelihoods read two numbers a pixel, which the browser would take for
    one.

    Raises:
        ValueError: for any other model, and for weights that are not finite.
    """
    if not isinstance(model.decoder, Decoder):
        raise ValueError(f"{name!r} must be made of linear layers (architecture='mlp')")
    if model.shape[0] != 1:
        raise ValueError(f"{name!r} must make grey images (1, height, width), got {model.shape}")
    if type(model.likelihood) not in (BernoulliLikelihood, GaussianLikelihood):
        raise ValueError(
            f"{name!r} must have a Bernoulli or Gaussian likelihood, which the browser can "
            f"compute, got {type(model.likelihood).__name__}"
        )
    known = next(kind for kind in (LinearVAE, VAE, CVAE, Autoencoder) if isinstance(model, kind))
    for method in _METHODS:
        if getattr(type(model), method, None) is not getattr(known, method, None):
            raise ValueError(
                f"{name!r} is a {type(model).__name__} with a {method} of its own, which the "
                f"browser does not know"
            )
    check_finite(repr(name), model)


def check_codes(name: str, codes: Tensor, sigma: Tensor | None = None) -> None:
    """Raise ``ValueError`` unless codes [n, k], and Q's sigmas, are numbers that can be drawn."""
    for what, values in (("code", codes), ("posterior sigma", sigma)):
        if values is None:
            continue
        largest = float(values.abs().max())
        if not largest <= MOST:  # NaN fails too
            raise ValueError(
                f"{name!r} has a {what} of {largest:.3g}, which no picture can show: its training "
                f"has diverged"
            )


def check_data(data: Any, shape: tuple[int, ...]) -> None:
    """Images uint8 [n, *shape] with a label in range for each.

    Raises:
        ValueError: saying what was given instead.
    """
    images, labels = getattr(data, "images", None), getattr(data, "labels", None)
    classes = getattr(data, "classes", None)
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor) or classes is None:
        raise ValueError(f"data must be an ImageData of vae_core.data, got {_check.kind(data)}")
    if images.is_meta or labels.is_meta:
        raise ValueError("data must hold images and labels with values, not on the meta device")
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(shape) or len(images) == 0:
        raise ValueError(
            f"data must hold uint8 images of the model's shape {tuple(shape)}, "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"data must hold a label for each image, got {tuple(labels.shape)} labels")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"data must hold whole numbers as labels, got {labels.dtype}")
    if not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"data must hold the classes' names as texts, got {_check.shown(classes)}")
    low, high, top = int(labels.min()), int(labels.max()), len(classes) - 1
    if low < 0 or high > top or top > 255:
        raise ValueError(f"labels must lie in 0..{min(top, 255)}, got {low}..{high}")


def check_models(models: Any, data: Any) -> tuple[int, ...]:
    """The shape of the images of one to three named models, which ``data`` must have too.

    Raises ``ValueError`` for anything else, saying what was given.
    """
    if not isinstance(models, Mapping) or not 1 <= len(models) <= 3:
        given = len(models) if isinstance(models, Mapping) else type(models).__name__
        raise ValueError(f"models must map one to three names to models, got {given}")
    check_keys("models", models)
    for name, model in models.items():
        check_model(name, model)
    shape = tuple(next(iter(models.values())).shape)
    for name, model in models.items():
        if tuple(model.shape) != shape:
            raise ValueError(f"{name!r} makes images {tuple(model.shape)}, the others {shape}")
    check_data(data, shape)
    return shape


def check_entries(entries: Any, count: int, least: int = 1, most: int | None = None) -> list[int]:
    """Numbers of images, 0 to ``count`` - 1, as a list; ``least`` to ``most`` of them."""
    wanted = f"be {least} to {most} numbers" if most else "name images"
    refusal = f"entries must {wanted} from 0 to {count - 1}"
    if not isinstance(entries, Iterable) or isinstance(entries, str | bytes):
        raise ValueError(f"{refusal}, got {_check.shown(entries)}")
    found = list(entries)
    whole = all(_check.is_whole(entry, 0) and int(entry) < count for entry in found)
    if not whole or not least <= len(found) <= (most or len(found)):
        raise ValueError(f"{refusal}, got {_check.shown(found)}")
    return [int(entry) for entry in found]


def check_names(names: Any, count: int) -> list[str]:
    """``count`` names as texts. Numbers are written; raises ``ValueError`` for anything else."""
    if not isinstance(names, Iterable):
        raise ValueError(f"names must be {count} texts, got {_check.shown(names)}")
    found = list(names)
    if len(found) != count:
        raise ValueError(f"names must name {count} images; got {len(found)}")
    if not all(isinstance(name, str) or _check.is_whole(name, -(2**63)) for name in found):
        raise ValueError(f"names must be texts, got {_check.shown(found)}")
    return [name if isinstance(name, str) else str(int(name)) for name in found]


def check_keys(what: str, mapping: Any) -> None:
    """Raise ``ValueError`` unless the keys of ``mapping``, names to show, are texts."""
    for key in mapping:
        if not isinstance(key, str):
            raise ValueError(f"the names of {what} must be texts, got {_check.shown(key)}")


def check_point(value: Any, what: str) -> list[float]:
    """Two finite numbers, as a list of floats."""
    try:
        point = [_check.real(v) for v in value]
    except TypeError:
        point = []
    if len(point) != 2 or not np.isfinite(point).all():
        raise ValueError(f"{what} must be two finite numbers, got {_check.shown(value)}")
    return point


def latents(z: Any) -> Tensor:
    """Points [n, 2] as a widget's twin takes them: float32 on the CPU, from arrays and lists too.

    Raises:
        ValueError: for another shape, or numbers that are not finite.
    """
    points = as_tensor("z", z).detach().to("cpu", torch.float32)
    if points.ndim != 2 or points.shape[1] != 2 or not bool(torch.isfinite(points).all()):
        raise ValueError(f"z must be finite [n, 2], got {_check.shown(points)}")
    return points
