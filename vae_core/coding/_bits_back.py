"""Bits-back coding of images with a VAE (Townsend, Bird & Barber 2019).

To send X, the sender first *pops* z from the stack with Q(z|X), then pushes X with P(X|z) and z
with P(z). The receiver pops z and X, and pushes z with Q(z|X): the stack is as it was before. A
digit so costs -log P(X|z) - log P(z) + log Q(z|X) bits, on average its -ELBO.

z is continuous, the stack is not: each latent is one of 2^bins bins of equal prior mass, and means
the bin's median. A bin's prior is 2^-bins exactly, its Q the mass of the Gaussian within it.

The receiver must compute the very numbers of the sender. So the networks run in double precision,
on the same chunks of images on both sides, and their outputs are rounded to a grid far coarser than
the last digits, in which threads, machines and libraries may differ. On one machine with one
version of torch this is exact; elsewhere a number can still fall across a grid point, rarely, and
then the checksum of the pixels finds it.
"""

from __future__ import annotations

import copy
import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri
from torch import Tensor

from vae_core import _check
from vae_core.coding._stack import WORD, Floats, Ints, Share, Stack, borrowed_words
from vae_core.distributions import (
    BernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    Likelihood,
)
from vae_core.models import VAE
from vae_core.ordered import OrderedLogitLikelihood

BINS = 12  # bits a latent: 4096 bins
GRID = 2.0**-12  # of the networks' outputs: moves a pixel's cost by less than 1e-7 bits
CUT_GRID = 2.0**-32
CHUNK = 500  # images worked on at once
_MOST_BINS = 20
# What lies on the stack whenever z has been drawn. Two words: the coder then has bits in store, and
# a stream that runs dry is known by it.
_LEAST = 2 * WORD
_MAGIC = b"BBV1"
# magic, images, bits a latent, borrowed words, digest of the model, checksum of the pixels
_HEADER = struct.Struct("<4sIBI8sI")


class DamagedStream(ValueError):
    """Bytes that :func:`compress` has not written, or that have been changed or cut since."""


@dataclass(frozen=True)
class _Networks:
    """A model's networks as functions of arrays, the same for sender and receiver."""

    model: VAE
    bins: int
    edges: Floats  # of the latents' bins, [2 ** bins + 1]
    medians: Floats  # [2 ** bins]
    cuts: Floats  # between grey levels, [255]; not asked for by a Bernoulli model
    digest: bytes

    @classmethod
    def of(cls, model: VAE, bins: int) -> _Networks:
        if not isinstance(model, VAE):
            raise ValueError(f"bits-back coding takes a VAE; got {type(model).__name__}")
        if not isinstance(model.likelihood, BernoulliLikelihood | DiscretizedLogisticLikelihood):
            raise ValueError(
                f"bits-back coding takes a likelihood of discrete pixels, Bernoulli, discretized "
                f"logistic or ordered logit; got {type(model.likelihood).__name__}"
            )
        bins = _check.whole("bins", bins)
        if bins > _MOST_BINS:
            raise ValueError(f"bins must be at most {_MOST_BINS} bits a latent; got {bins}")
        digest = hashlib.sha256()
        for name, values in sorted(model.state_dict().items()):
            if values.is_floating_point() and not bool(values.isfinite().all()):
                raise ValueError(
                    f"the model's weights are not all finite numbers ({name}): it has diverged, "
                    f"and gives no probabilities to code with"
                )
            digest.update(name.encode() + values.detach().cpu().numpy().tobytes())
        double = copy.deepcopy(model).cpu().double().eval()
        size = 2**bins
        return cls(
            double,
            bins,
            ndtri(np.arange(size + 1) / size),
            ndtri((np.arange(size) + 0.5) / size),
            _cuts(double.likelihood),
            digest.digest()[:8],
        )

    @property
    def grey(self) -> bool:
        return isinstance(self.model.likelihood, DiscretizedLogisticLikelihood)

    @torch.no_grad()
    def posterior(self, pixels: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Mean and sigma of Q(z|X), flat [n * latent], of pixels [n, *shape]."""
        x = torch.from_numpy(pixels).double()
        q = self.model.encode(x / 255 if self.grey else x)
        mean, log_sigma = (_finite(_on_grid(part.numpy())).reshape(-1) for part in q)
        # An absurd sigma costs bits, as any Q that fits badly; it must not cost the images.
        return mean, np.exp(log_sigma.clip(-30.0, 30.0))

    @torch.no_grad()
    def output(self, bins: Ints) -> list[Floats]:
        """The decoder's output at latents in ``bins`` [n * latent]: one array a number, flat."""
        z = torch.from_numpy(self.medians[bins]).reshape(-1, self.model.latent_dim)
        output = self.model.decode(z)
        parts = output.chunk(self.model.likelihood.outputs, dim=1)
        return [_finite(_on_grid(part.numpy())).reshape(-1) for part in parts]


def _finite(values: Floats) -> Floats:
    """Raise ``ValueError`` where a network gives no number."""
    if not np.isfinite(values).all():
        raise ValueError("the model gives NaN or infinity: it has diverged, and can't code")
    return values


def _on_grid(values: NDArray[np.float64]) -> Floats:
    return np.rint(values / GRID) * GRID


@torch.no_grad()
def _cuts(likelihood: Likelihood) -> Floats:
    """c with P(level <= k) = sigmoid(steepness c_k - shift), k = 0 .. 254."""
    if isinstance(likelihood, OrderedLogitLikelihood):
        # A finer grid than that of outputs, for some levels lie close together.
        return np.rint(likelihood.cuts().numpy() / CUT_GRID) * CUT_GRID
    return (np.arange(255) + 0.5) / 255 - 0.5


def _share(drawn: int) -> int:
    """Drawing z takes ``drawn`` bits an image off the stack, at most; the images before have left
    some hundred bits each. A slice of 1 / this of their number so finds what it needs.
    """
    return max(2, drawn // 100)


def _short_chunks(n: int, drawn: int) -> Iterator[slice]:
    """The first slices of n images: short, so that few bits must be borrowed to begin with."""
    start, share = 0, _share(drawn)
    while start < min(n, share * CHUNK):
        size = min(max(2, start // share), CHUNK, n - start)
        yield slice(start, start + size)
        start += size


def _chunks(n: int, drawn: int) -> Iterator[slice]:
    """Slices of n images, in order."""
    last = slice(0, 0)
    for last in _short_chunks(n, drawn):
        yield last
    yield from (slice(start, min(start + CHUNK, n)) for start in range(last.stop, n, CHUNK))


def _chunks_from_the_end(n: int, drawn: int) -> Iterator[slice]:
    """:func:`_chunks` in reverse. However many are promised, one is made at a time."""
    short = list(_short_chunks(n, drawn))
    for start in reversed(range(short[-1].stop, n, CHUNK)):
        yield slice(start, min(start + CHUNK, n))
    yield from reversed(short)


# ---- z: bins of equal prior mass, told by Q's distribution function ---------------------------


def _normal_mass(low: Floats, high: Floats) -> Floats:
    """The standard normal's mass between low and high, from the tail that keeps its digits."""
    flip = low > 0
    return ndtr(np.where(flip, -low, high)) - ndtr(np.where(flip, -high, low))


def _q_share(networks: _Networks, mean: Floats, sigma: Floats) -> Share:
    def share(which: Ints, low: Ints, middle: Ints, high: Ints) -> Floats:
        a, b, c = (
            (networks.edges[edge] - mean[which]) / sigma[which] for edge in (low, middle, high)
        )
        upper, lower = _normal_mass(b, c), _normal_mass(a, b)
        with np.errstate(invalid="ignore"):
            return upper / (upper + lower)

    return share


def _range(n: int, low: int, high: int) -> tuple[Ints, Ints]:
    return np.full(n, low, dtype=np.int64), np.full(n, high, dtype=np.int64)


# ---- X: black or white by one question, grey by "ink at all?", "full ink?", then by halving ----


def _softplus(values: Floats) -> Floats:
    return np.maximum(values, 0.0) + np.log1p(np.exp(-np.abs(values)))


class _Grey:
    """P(level) of pixels told by their shift and log steepness, and the cuts between levels."""

    def __init__(self, networks: _Networks, parts: list[Floats]) -> None:
        self.shift, self.cuts = parts[0], networks.cuts
        low, high = DiscretizedLogisticLikelihood.LOG_STEEPNESS
        self.steepness = np.exp(parts[1].clip(low, high))

    def edge(self, which: Ints, level: Ints | int) -> Floats:
        """u with P(pixel < level) = sigmoid(u)."""
        return self.steepness[which] * self.cuts[level - 1] - self.shift[which]

    def inked(self) -> Floats:
        """P(level > 0) of every pixel."""
        return expit(self.shift - self.steepness * self.cuts[0])

    def full(self, which: Ints) -> Floats:
        """P(level = 255 | level > 0)."""
        drop = _softplus(self.edge(which, 1)) - _softplus(self.edge(which, 255))
        return np.exp(np.minimum(drop, 0.0))

    def share(self, which: Ints, low: Ints, middle: Ints, high: Ints) -> Floats:
        a, b, c = (self.edge(which, level) for level in (low, middle, high))
        # sigmoid(c) - sigmoid(b) = sigmoid(c) sigmoid(-b) (1 - exp(b - c)), and so for a.
        fall = np.exp(np.minimum(_softplus(a) - _softplus(b), 0.0))
        return fall * (np.expm1(b - c) / np.expm1(a - c))


def _push_pixels(stack: Stack, networks: _Networks, levels: Ints, parts: list[Floats]) -> None:
    likelihood = networks.model.likelihood
    if not isinstance(likelihood, DiscretizedLogisticLikelihood):
        stack.push(levels > 0, expit(parts[0]))
        return
    grey = _Grey(networks, parts)
    inked = np.flatnonzero(levels > 0)
    between = inked[levels[inked] < 255]
    low, high = _range(len(between), 1, 255)
    stack.push_symbols(
        levels[between], low, high, lambda which, *at: grey.share(between[which], *at)
    )
    stack.push(levels[inked] == 255, grey.full(inked))
    stack.push(levels > 0, grey.inked())


def _pop_pixels(stack: Stack, networks: _Networks, parts: list[Floats]) -> Ints:
    likelihood = networks.model.likelihood
    if not isinstance(likelihood, DiscretizedLogisticLikelihood):
        return stack.pop(expit(parts[0])).astype(np.int64)
    grey = _Grey(networks, parts)
    levels = stack.pop(grey.inked()).astype(np.int64) * 255
    inked = np.flatnonzero(levels)
    between = inked[~stack.pop(grey.full(inked))]
    low, high = _range(len(between), 1, 255)
    levels[between] = stack.pop_symbols(
        low, high, lambda which, *at: grey.share(between[which], *at)
    )
    return levels


# ---- the two directions -----------------------------------------------------------------------


def compress(model: VAE, images: Shaped[Tensor, " n *shape"], *, bins: int = BINS) -> bytes:
    """``images`` as bytes, from which :func:`decompress` restores them bit for bit.

    ``images``: uint8 [n, *shape], n >= 1: 0 and 1 for a Bernoulli model, 0 to 255 for one of grey
    levels. ``bins``: bits a latent is told with, 1 to 20. The bytes hold all that counts: a
    header of 25 bytes, a checksum of 4, the bits borrowed to begin with, and the images.

    Raises ``ValueError`` for another model or likelihood, or images of a wrong shape, dtype or
    range.
    """
    networks = _Networks.of(model, bins)
    if images.dtype != torch.uint8 or images.shape[1:] != model.shape or not len(images):
        raise ValueError(
            f"images must be uint8 [n, {', '.join(map(str, model.shape))}], n >= 1; "
            f"got {images.dtype} {list(images.shape)}"
        )
    if not networks.grey and int(images.max()) > 1:
        raise ValueError(
            f"a Bernoulli model codes pixels that are 0 or 1; got values up to {int(images.max())}"
        )
    pixels = np.ascontiguousarray(images.cpu().numpy())
    stack, size = Stack(), 2**bins
    for part in _chunks(len(pixels), model.latent_dim * bins):
        mean, sigma = networks.posterior(pixels[part])
        q = _q_share(networks, mean, sigma)
        # Drawing z takes at most a word a latent, in all but absurd cases some `bins` bits.
        bits = len(mean) * bins + 2 * WORD
        stack.reserve(bits)
        z = stack.pop_symbols(*_range(len(mean), 0, size), q)
        while not stack.holds(_LEAST):
            stack.push_symbols(z, *_range(len(z), 0, size), q)
            bits *= 2
            stack.reserve(bits)
            z = stack.pop_symbols(*_range(len(mean), 0, size), q)
        levels = pixels[part].reshape(-1).astype(np.int64)
        _push_pixels(stack, networks, levels, networks.output(z))
        stack.push_uniform(z, size)
    head = _HEADER.pack(
        _MAGIC, len(pixels), bins, stack.borrowed, networks.digest, zlib.crc32(pixels.tobytes())
    )
    content = head + stack.words().astype("<u4").tobytes()
    return content + struct.pack("<I", zlib.crc32(content))


def decompress(model: VAE, content: bytes) -> Shaped[Tensor, " n *shape"]:
    """The images, uint8 [n, *shape], that :func:`compress` made into ``content`` with ``model``.

    Raises :class:`DamagedStream`, a ``ValueError``, if the bytes were changed or cut, or do not
    restore the pixels whose checksum they hold; ``ValueError`` if another model made them.
    """
    if len(content) < _HEADER.size + 4 or content[:4] != _MAGIC or len(content) % 4 != 1:
        raise DamagedStream("these bytes are no whole stream of vae_core.coding")
    if zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
        raise DamagedStream("the stream is damaged or cut: its checksum does not fit its bytes")
    _, n, bins, borrowed, digest, checksum = _HEADER.unpack(content[: _HEADER.size])
    if n < 1 or not 1 <= bins <= _MOST_BINS:
        raise DamagedStream(f"the stream's header is damaged: {n} images, {bins} bits a latent")
    networks = _Networks.of(model, bins)
    if digest != networks.digest:
        raise ValueError("the stream was made with another model: its weights are not this one's")
    stack = Stack(np.frombuffer(content[_HEADER.size : -4], dtype="<u4").astype(np.uint32))
    parts, size = [], 2**bins
    for part in _chunks_from_the_end(n, model.latent_dim * bins):
        count = part.stop - part.start
        # The sender has pushed z on a stack that held its least, and the pixels before.
        if not stack.holds(count * model.latent_dim * bins + _LEAST - WORD):
            raise _promised(n)
        z = stack.pop_uniform(count * model.latent_dim, size)
        levels = _pop_pixels(stack, networks, networks.output(z))
        if not stack.holds(_LEAST):
            raise _promised(n)
        parts.append(levels.reshape(count, *model.shape).astype(np.uint8))
        mean, sigma = networks.posterior(parts[-1])
        stack.push_symbols(z, *_range(len(z), 0, size), _q_share(networks, mean, sigma))
    pixels, left = np.concatenate(parts[::-1]), stack.words()
    # Their number first: as many words as a damaged header says may be more than memory holds.
    same = len(left) == borrowed and np.array_equal(left, borrowed_words(borrowed))
    if zlib.crc32(pixels.tobytes()) != checksum or not same:
        raise DamagedStream(
            "the pixels do not have the checksum they were stored with: sender and receiver "
            "computed different probabilities (another machine or version of torch?)"
        )
    return torch.from_numpy(pixels)


def _promised(n: int) -> DamagedStream:
    return DamagedStream(f"the stream promises {n} images, which its bits can't hold")
