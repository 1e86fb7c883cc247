"""What a widget carries to the browser: weights, codes and digits, small and exactly readable back.

Every blob is a gzip of raw little-endian arrays, named by the SHA-256 of the gzip, so that two
widgets that show the same decoder carry it once. Large weight matrices travel as whole numbers of
7 bits with one float32 scale for the layer; small ones (the layers next to the latent plane) stay
float32, because a code is multiplied by them and their error would grow with its distance from
the origin.

Measured on the 784-512-2 models of 20 epochs, over the test set's codes: rounding each weight by
itself to 8 bits moves a decoded pixel by up to 0.58; letting the weights not yet rounded make up
for those that are (:func:`quantise`) to 0.015, and at 7 bits, a quarter smaller, to 0.03.

Digits and weights are pictures and are coded by their neighbourhoods (:mod:`._entropy`), without
loss. Against gzip alone the 10,000 digits at four greys shrink from 513 to 275 kB, the decoders
from 174 and 159 to 107 and 99, the VAE's encoder from 226 to 188.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vae_core.data import to_float
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import _entropy

LatentModel = Autoencoder | VAE
M = TypeVar("M", bound=Autoencoder | VAE)

LEVELS = 63  # 7 bits: levels -63..63, symmetric about zero
SMALL = 16_384  # weights; a matrix below this stays float32 and costs at most 64 KiB
WEIGHT_LANE = 4  # units of a layer coded in one stream
ATLAS_LANE = 40  # digits coded in one stream, and unpacked together
GREYS = 4  # show a digit at 98 px; 256 would be three times the bytes
DAMPING = 1e-3  # of the mean square input, so that inputs that are never on have an inverse too

# What js/core.js can compute between two layers.
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda h: h,
    "relu": lambda h: np.maximum(h, 0),
    "softplus": lambda h: np.logaddexp(h, 0),
    "tanh": np.tanh,
}


class Blob(NamedTuple):
    """Compressed bytes and the name they are found by."""

    sha: str
    data: bytes  # gzip

    @classmethod
    def of(cls, raw: bytes) -> Blob:
        """Compress ``raw``; the time stamp is left out so that equal content has an equal name."""
        data = gzip.compress(raw, compresslevel=9, mtime=0)
        return cls(hashlib.sha256(data).hexdigest(), data)

    def raw(self) -> bytes:
        return gzip.decompress(self.data)


class Linear(NamedTuple):
    """One affine layer as plain arrays: weight [rows, cols], bias [rows], float32."""

    weight: np.ndarray
    bias: np.ndarray


def quantise(weight: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Levels int8 [rows, cols] and scale, such that levels * scale @ input is close for ``inputs``.

    Columns are rounded one after another, those whose input is largest first; the columns still to
    come are moved to make up for each error, as the inputs' second moments say they can
    (GPTQ: Frantar et al. 2022, arXiv 2210.17323, section 3).

    Args:
        weight: float [rows, cols].
        inputs: what the layer is given, float [n, cols].
    """
    moments = inputs.T.astype(np.float64) @ inputs / len(inputs)  # [cols, cols]
    moments[np.diag_indices_from(moments)] += DAMPING * max(np.trace(moments) / len(moments), 1e-12)
    order = np.argsort(-np.diag(moments), kind="stable")
    try:
        inverse = np.linalg.inv(moments[np.ix_(order, order)])
        upper = np.linalg.cholesky(inverse).T  # inverse = upper.T @ upper
    except np.linalg.LinAlgError:
        raise ValueError(
            "a network's numbers lie too far apart to be packed: its training has diverged"
        ) from None
    scale = np.float32(max(float(np.abs(weight).max()), 1e-12) / LEVELS)
    rest = weight.astype(np.float64)[:, order]
    levels = np.empty_like(rest)
    for j in range(rest.shape[1]):
        levels[:, j] = np.clip(np.rint(rest[:, j] / scale), -LEVELS, LEVELS)
        error = (rest[:, j] - levels[:, j] * scale) / upper[j, j]
        rest[:, j + 1 :] -= np.outer(error, upper[j, j + 1 :])
    return levels[:, np.argsort(order)].astype(np.int8), scale


def pack_layers(
    layers: Iterable[Linear],
    inputs: np.ndarray,
    activation: str,
    shape: tuple[int, int] = (0, 0),
) -> tuple[Blob, list[dict[str, Any]]]:
    """Pack an MLP's layers; returns the blob and, for each layer, its shape and format.

    ``inputs`` [n, first cols] are what the network will be given; each layer is quantised for
    what the layers before it, already quantised, make of them. ``shape`` (height, width) is that
    of the pictures the network reads or makes: weights next to their pixels are coded as pictures.
    """
    parts: list[bytes] = []
    specs: list[dict[str, Any]] = []
    for weight, bias in layers:
        rows, cols = weight.shape
        parts.append(bias.astype("<f4").tobytes())
        if weight.size < SMALL:
            parts.append(weight.astype("<f4").tobytes())
            specs.append({"rows": rows, "cols": cols, "format": "float32"})
        else:
            levels, scale = quantise(weight, inputs)
            by = "cols" if rows == math.prod(shape) else "rows"
            pictures = _as_pictures(levels.T if by == "cols" else levels, shape)
            parts += [np.array([scale], "<f4").tobytes(), _entropy.pack(pictures, WEIGHT_LANE)]
            specs.append({"rows": rows, "cols": cols, "format": "int8", "by": by})
            weight = levels * scale
        with np.errstate(over="ignore", invalid="ignore"):
            inputs = ACTIVATIONS[activation](inputs @ weight.T + bias)
        if not np.isfinite(inputs).all():
            raise ValueError("a network's numbers overflow: its training has diverged")
    return Blob.of(b"".join(parts)), specs


def _as_pictures(levels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Each row [pixels] as a picture of that shape, or as a line where it is no picture."""
    height, width = shape if levels.shape[1] == math.prod(shape) else (1, levels.shape[1])
    return levels.reshape(-1, height, width)


def unpack_layers(raw: bytes, specs: Sequence[dict[str, Any]]) -> list[Linear]:
    """Read back what :func:`pack_layers` wrote, as the browser reads it."""
    layers, at = [], 0

    def take(count: int, dtype: str) -> np.ndarray:
        nonlocal at
        values = np.frombuffer(raw, dtype, count, at)
        at += values.nbytes
        return values

    for spec in specs:
        rows, cols = spec["rows"], spec["cols"]
        bias = take(rows, "<f4")
        if spec["format"] == "float32":
            weight = take(rows * cols, "<f4")
        else:
            scale = take(1, "<f4")[0]
            pictures, at = _entropy.unpack(raw, at)
            levels = pictures.reshape(len(pictures), -1)
            weight = (levels.T if spec["by"] == "cols" else levels).astype(np.float32) * scale
        layers.append(Linear(weight.reshape(rows, cols), bias))
    return layers


def _linear(layers: Iterable[nn.Module]) -> list[Linear]:
    return [
        Linear(*(part.detach().cpu().float().numpy() for part in (layer.weight, layer.bias)))
        for layer in layers
        if isinstance(layer, nn.Linear)
    ]


def decoder_layers(model: LatentModel) -> list[Linear]:
    """The decoder's affine layers, from the latent plane to the pixels."""
    return _linear(model.decoder.layers)


def _heads(model: LatentModel) -> list[nn.Linear]:
    """The encoder's last layers: the mean and, for a VAE, log sigma."""
    heads = (model.encoder.mean, model.encoder.log_sigma)
    return [head for head in heads if head is not None]


def encoder_layers(model: LatentModel) -> list[Linear]:
    """The encoder's affine layers; a VAE's two heads are stacked into one, mean above log sigma."""
    weights, biases = zip(*_linear(_heads(model)), strict=True)
    head = Linear(np.concatenate(weights), np.concatenate(biases))
    return [*_linear(model.encoder.layers), head]


def activation_name(name: str) -> str:
    """``name``, if the browser can compute the activation."""
    if name not in ACTIVATIONS:
        raise ValueError(
            f"the browser can compute the activations {', '.join(ACTIVATIONS)}, not {name!r}"
        )
    return name


def _size(model: LatentModel) -> tuple[int, int]:
    _, height, width = model.shape
    return height, width


def pack_decoder(model: LatentModel, codes: Tensor) -> tuple[Blob, list[dict[str, Any]]]:
    """Pack the decoder for the part of the plane that ``codes`` [n, 2] span, and its margin."""
    seen = codes.float().numpy()
    reach = 1.3 * max(3.0, float(np.quantile(np.abs(seen), 0.998)))
    axis = np.linspace(-reach, reach, 60, dtype=np.float32)
    everywhere = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    inputs = np.concatenate([seen[:: max(1, len(seen) // 4000)], everywhere])
    activation = activation_name(model.decoder.activation)
    return pack_layers(decoder_layers(model), inputs, activation, _size(model))


def pack_encoder(model: LatentModel, images: Tensor) -> tuple[Blob, list[dict[str, Any]]]:
    """Pack the encoder for images like ``images`` [n, 1, h, w], uint8."""
    inputs = to_float(images[:4000].cpu()).flatten(1).numpy()
    activation = activation_name(model.encoder.activation)
    return pack_layers(encoder_layers(model), inputs, activation, _size(model))


Packed = tuple[Blob, list[dict[str, Any]]]


@torch.no_grad()
def dequantised(model: M, decoder: Packed | None = None, encoder: Packed | None = None) -> M:
    """A copy of ``model`` with the weights of the packed ``decoder`` and ``encoder``.

    It is on the CPU and in float32, as what the browser reads.
    """
    twin = copy.deepcopy(model)
    twin.cpu().float().eval()
    if decoder:
        _refill(decoder, twin.decoder.layers, [])
    if encoder:
        _refill(encoder, twin.encoder.layers, _heads(twin))
    return twin


def _refill(packed: Packed, trunk: nn.ModuleList, heads: list[nn.Linear]) -> None:
    blob, specs = packed
    read = [
        tuple(torch.from_numpy(part.copy()) for part in layer)
        for layer in unpack_layers(blob.raw(), specs)
    ]
    if heads:
        weight, bias = read.pop()  # taken apart again, mean above log sigma
        read += zip(weight.chunk(len(heads)), bias.chunk(len(heads)), strict=True)
    for (weight, bias), linear in zip(read, [*trunk, *heads], strict=True):
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)


class QuantisationError(NamedTuple):
    """Largest and mean absolute difference of a decoded pixel, in grey levels from 0 to 1."""

    largest: float
    mean: float


@torch.no_grad()
def quantisation_error(model: LatentModel, twin: LatentModel, codes: Tensor) -> QuantisationError:
    """What quantisation costs: ``model`` against its :func:`dequantised` twin on codes [n, 2]."""
    difference = (model.mean(codes) - twin.mean(codes)).abs()
    return QuantisationError(float(difference.max()), float(difference.mean()))


def pack_codes(codes: Tensor) -> tuple[Blob, float]:
    """Codes [n, 2] as int16 pairs with one scale, so that both axes keep the same unit."""
    values = codes.detach().cpu().double().numpy()
    scale = float(np.float32(max(float(np.abs(values).max()), 1e-12) / 32_767))
    levels = np.clip(np.rint(values / scale), -32_767, 32_767)
    return Blob.of(levels.astype("<i2").tobytes()), scale


def unpack_codes(blob: Blob, scale: float) -> np.ndarray:
    """Read codes back as float32 [n, 2]."""
    return np.frombuffer(blob.raw(), "<i2").reshape(-1, 2).astype(np.float32) * np.float32(scale)


def shown_codes(spec: Mapping[str, Any], blobs: Mapping[str, bytes]) -> np.ndarray:
    """The codes [n, 2] that a widget shows, of the part ``spec`` of its payload."""
    sha = spec["codes"]["sha"]
    return unpack_codes(Blob(sha, blobs[sha]), spec["codes"]["scale"])


def pack_digits(images: Tensor) -> Blob:
    """Images uint8 [n, 1, h, w] as they are, a byte a pixel."""
    return Blob.of(images.detach().cpu().numpy().tobytes())


def pack_atlas(images: Tensor) -> Blob:
    """Images uint8 [n, 1, h, w] at the nearest of GREYS greys, coded by their neighbourhoods."""
    levels = (images.detach().cpu().numpy()[:, 0].astype(np.uint16) * (GREYS - 1) + 127) // 255
    return Blob.of(_entropy.pack(levels, ATLAS_LANE, four=True))


def unpack_atlas(blob: Blob) -> np.ndarray:
    """Read images back as float32 [n, h, w] in [0, 1]."""
    levels, _ = _entropy.unpack(blob.raw())
    return levels.astype(np.float32) / (GREYS - 1)
