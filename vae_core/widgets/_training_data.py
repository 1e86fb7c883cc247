"""What the training lab trains on: small digits, and points of the plane."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from vae_core import data
from vae_core.widgets._payload import Blob
from vae_core.widgets._training_twin import Draws

DIGITS, HELD_OUT = 2000, 500
POINTS, HELD_OUT_POINTS = 1000, 300
PLANAR = ("ring", "moons", "five", "drawn")
# A small pixel is black where it is greyer than this: at one half, strokes a pixel thin break up.
ON = 0.3
LINE_WIDTH = 0.05  # standard deviation about a point that was drawn


class Examples(NamedTuple):
    """Pixels or coordinates [n, pixels], uint8 or float64, and a class for each."""

    train: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray  # of all, the training examples first
    shape: tuple[int, ...]
    on: float = ON  # a pixel greyer than this is 1 for a Bernoulli likelihood


@functools.cache
def digits() -> Examples:
    """The first 2,000 training digits and the first 500 of the last 10,000, at 14 x 14.

    Each pixel is the mean of 2 x 2 of MNIST's, to the nearest of 256 greys. Held out are digits of
    the validation split: the test set stays for what the book measures.
    """
    parts = [
        data.load("mnist", split).first(n)
        for split, n in (("train", DIGITS), ("validation", HELD_OUT))
    ]
    small = [
        F.avg_pool2d(part.images.to(torch.float32), 2).round().to(torch.uint8).flatten(1).numpy()
        for part in parts
    ]
    labels = np.concatenate([part.labels.numpy() for part in parts])
    return Examples(small[0], small[1], labels, (1, 14, 14))


def pack(examples: Examples) -> Blob:
    """Examples of whole greys as a blob: which pixels are on, their greys, and the labels.

    Bits of "on" [n * pixels], the highest first, then the greys that are on, then the labels,
    a byte each. The zeros, three quarters of all, cost a bit and less.
    """
    pixels = np.concatenate([examples.train, examples.held_out]).astype(np.uint8)
    parts = [np.packbits(pixels > 0), pixels[pixels > 0], examples.labels.astype(np.uint8)]
    return Blob.of(b"".join(part.tobytes() for part in parts))


@functools.cache
def digits_blob() -> Blob:
    """The digits of :func:`digits`, once a process, and by its name once a page."""
    return pack(digits())


def planar(name: str, seed: int, drawn: tuple[tuple[float, float], ...] = ()) -> Examples:
    """Points of the plane: a ring, two moons, five Gaussians, or points about those ``drawn``.

    Each point takes six uniform draws of the seed's stream, as on the page.
    """
    count = POINTS + HELD_OUT_POINTS
    u = Draws(seed, "data").uniform(6 * count).reshape(count, 6)
    c, t = u[:, 0], u[:, 1]
    a, b = u[:, 2::2], u[:, 3::2]
    g = np.sqrt(-2 * np.log(1 - a)) * np.cos(2 * np.pi * b)  # [count, 2]
    if name == "ring":
        places = np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)], 1)
        points, labels = 1.2 * places + 0.08 * g, np.floor(5 * t)
    elif name == "moons":
        upper = c < 0.5
        x = np.where(upper, np.cos(np.pi * t), 1 - np.cos(np.pi * t)) - 0.5
        y = np.where(upper, np.sin(np.pi * t), 0.5 - np.sin(np.pi * t)) - 0.25
        points, labels = 1.2 * np.stack([x, y], 1) + 0.08 * g, np.where(upper, 0, 1)
    elif name == "five":
        labels = np.floor(5 * c)
        angle = 2 * np.pi * labels / 5 + np.pi / 2
        points = 1.3 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.2 * g
    else:
        places = np.array(drawn if len(drawn) else [(0.0, 0.0)], np.float64)
        points, labels = places[np.floor(len(places) * c).astype(int)] + LINE_WIDTH * g, 0 * c
    return Examples(points[:POINTS], points[POINTS:], labels.astype(np.int64), (1, 1, 2))


def as_numbers(pixels: np.ndarray, likelihood: str, on: float = ON) -> np.ndarray:
    """What a likelihood is of, float64: greys in [0, 1]; for Bernoulli 1 where above ``on``."""
    if pixels.dtype != np.uint8:
        return pixels.astype(np.float64)
    values = pixels / 255
    return (values > on).astype(np.float64) if likelihood == "bernoulli" else values
