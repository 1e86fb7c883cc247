"""What a widget accepts, told in one sentence when it is something else."""

from __future__ import annotations

from typing import Any

import torch

from vae_core.models import VAE, Autoencoder, Decoder


def check_model(name: str, model: Any, *, variational: bool = False) -> None:
    """A model of :mod:`vae_core.models` with two latent dimensions, as MLPs.

    Raises:
        ValueError: saying what was given instead.
    """
    wanted, words = (
        (VAE, "a VAE") if variational else (Autoencoder | VAE, "an Autoencoder or a VAE")
    )
    if not isinstance(model, wanted):
        raise ValueError(f"{name!r} must be {words} of vae_core.models, got {type(model).__name__}")
    if model.latent_dim != 2:
        raise ValueError(
            f"{name!r} must have latent_dim 2 to be drawn on a plane, got {model.latent_dim}"
        )
    if not isinstance(model.decoder, Decoder):
        raise ValueError(f"{name!r} must be made of linear layers (architecture='mlp')")
    if getattr(model.likelihood, "kind", None) == "per-pixel":
        raise ValueError(f"{name!r} must have one sigma for all pixels, not one for each")
    if model.shape[0] != 1:
        raise ValueError(f"{name!r} must make grey images (1, height, width), got {model.shape}")


def check_data(data: Any, shape: tuple[int, ...]) -> None:
    """Images uint8 [n, *shape] with a label in range for each.

    Raises:
        ValueError: saying what was given instead.
    """
    images, labels = getattr(data, "images", None), getattr(data, "labels", None)
    if not isinstance(images, torch.Tensor) or not isinstance(labels, torch.Tensor):
        raise ValueError(f"data must be an ImageData of vae_core.data, got {type(data).__name__}")
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(shape) or len(images) == 0:
        raise ValueError(
            f"data must hold uint8 images of the model's shape {tuple(shape)}, "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"data must hold a label for each image, got {tuple(labels.shape)} labels")
    low, high, top = int(labels.min()), int(labels.max()), len(data.classes) - 1
    if low < 0 or high > top or top > 255:
        raise ValueError(f"labels must lie in 0..{min(top, 255)}, got {low}..{high}")


def check_point(value: Any, what: str) -> list[float]:
    """Two finite numbers, as a list of floats."""
    try:
        point = [float(v) for v in value]
    except (TypeError, ValueError):
        point = []
    if len(point) != 2 or not all(abs(v) < float("inf") for v in point):
        raise ValueError(f"{what} must be two finite numbers, got {value!r}")
    return point
