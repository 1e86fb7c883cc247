"""The page's training engine in PyTorch: the same draws, first weights, batches, noise and faults.

js/train.js computes in the browser what this does with autograd, in double precision. The tests
hold the one against the other; the widget's printed picture is a run of this one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.objectives import RunningBaseline
from vae_core.widgets._random import STEP, normals, uniforms

Settings = Mapping[str, Any]
STREAMS = {"weights": 0, "batches": 1, "noise": 2, "scoring": 3, "data": 4}
_MASK = 0xFFFFFFFF


class Draws:
    """A stream of uniform and normal draws, the same as the page's: mulberry32, by position."""

    def __init__(self, seed: int, stream: str) -> None:
        self.start = (seed * 0x9E3779B1 + (STREAMS[stream] + 1) * 0x85EBCA6B) & _MASK
        self.at = 0

    def _take(self, draw: Callable[[int, int], np.ndarray], count: int, each: int) -> np.ndarray:
        """``count`` draws, for each of which the stream goes on by ``each`` numbers."""
        found = draw((self.start + self.at * STEP) & _MASK, count)
        self.at += each * count
        return found

    def uniform(self, count: int) -> np.ndarray:
        """``count`` draws from [0, 1), float64."""
        return self._take(uniforms, count, 1)

    def normal(self, count: int) -> np.ndarray:
        """``count`` draws from N(0, 1), by Box and Muller."""
        return self._take(normals, count, 2)


def likelihood_of(settings: Settings, link: str) -> BernoulliLikelihood | GaussianLikelihood:
    """The likelihood that the settings name; ``link`` is that of the data's decoder mean."""
    if settings["likelihood"] == "bernoulli":
        return BernoulliLikelihood()
    return GaussianLikelihood(settings["sigma"], link=link)


def model_of(settings: Settings, shape: tuple[int, ...], link: str) -> VAE | Autoencoder:
    """The model that the settings name, with its first weights by PyTorch's own draws."""
    kind = VAE if settings["model"] == "VAE" else Autoencoder
    return kind(
        settings["latents"], shape, hidden=tuple(settings["hidden"]),
        likelihood=likelihood_of(settings, link), activation=settings["activation"],
        seed=settings["seed"],
    )  # fmt: skip


def trained_tensors(model: VAE | Autoencoder) -> dict[str, Tensor]:
    """What the page trains, by name, in the page's order."""
    return dict(model.named_parameters())


class Terms(NamedTuple):
    """What a step's loss is made of, in nats an example, as the program has it, faults and all."""

    loss: float
    reconstruction: float
    kl: float


class Score(NamedTuple):
    """The true terms on some examples: log P(X|z), the KL of each latent, and the codes' means."""

    reconstruction: float
    kl: np.ndarray  # [latents]
    codes: np.ndarray  # [n, latents]


class Twin:
    """One run: ``train`` takes a step, ``score`` says where the model stands.

    ``train_set`` [n, pixels] holds what is trained on; ``weights``, by name, replace the first
    weights that the page would draw from the settings' seed.
    """

    def __init__(
        self,
        settings: Settings,
        train_set: np.ndarray,
        shape: tuple[int, ...],
        link: str = "sigmoid",
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.settings = dict(settings)
        self.shape, self.link = shape, link
        self.train_set = torch.from_numpy(np.asarray(train_set, np.float64))
        self.model = model_of(settings, shape, link).double().train()
        self.step = 0
        self._begin(weights)
        seed = settings["seed"]
        self.batches, self.noise = Draws(seed, "batches"), Draws(seed, "noise")
        self.order: list[int] = []
        self.baseline = RunningBaseline()
        self.adam = torch.optim.Adam(self.model.parameters(), lr=settings["rate"])

    @torch.no_grad()
    def _begin(self, weights: Mapping[str, np.ndarray] | None) -> None:
        draws = Draws(self.settings["seed"], "weights")
        bound = 0.0
        for name, tensor in trained_tensors(self.model).items():
            if weights is not None:
                tensor.copy_(torch.from_numpy(np.array(weights[name], np.float64)))
            elif name.startswith("likelihood"):
                tensor.zero_()
            else:
                if name.endswith("weight"):
                    bound = 1 / math.sqrt(tensor.shape[1])
                values = (2 * draws.uniform(tensor.numel()) - 1) * bound
                tensor.copy_(torch.from_numpy(values).view_as(tensor))

    def _has(self, fault: str) -> bool:
        return fault in self.settings["faults"]

    def next_batch(self) -> list[int]:
        """The numbers of the next batch's examples: shuffled anew for every pass."""
        batch, count = self.settings["batch"], len(self.train_set)
        chosen: list[int] = []
        while len(chosen) < batch:
            if not self.order:
                self.order = np.argsort(self.batches.uniform(count), kind="stable").tolist()
            wanted = batch - len(chosen)
            chosen += self.order[:wanted]
            self.order = self.order[wanted:]
        return chosen

    def _noise(self, n: int) -> Tensor:
        eps = self.noise.normal(n * self.settings["latents"]).reshape(n, -1)
        if self._has("shared-noise"):
            eps = np.repeat(eps[:1], n, axis=0)
        return torch.from_numpy(eps if not self._has("no-noise") else 0 * eps)

    def _log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """log P(X|z) [n] at the decoder's output [n, pixels]; without its link where that fails."""
        likelihood = self.model.likelihood
        if not self._has("no-link"):
            return likelihood.log_prob(x, output)
        if isinstance(likelihood, BernoulliLikelihood):
            return torch.where(x > 0, output, 1 - output).log().sum(1)
        link, likelihood.link = likelihood.link, "identity"
        try:
            return likelihood.log_prob(x, output)
        finally:
            likelihood.link = link

    def _kl(self, q: DiagonalGaussian) -> Tensor:
        """The KL [n] as the program has it: what it takes for the variance, and its formula."""
        s, mean = q.log_sigma, q.mean
        variance, log_sigma = (s.exp(), 0.5 * s) if self._has("variance-as-sigma") else (
            (2 * s).exp(), s)  # fmt: skip
        if self._has("printed-kl"):
            kl = variance + mean**2 - log_sigma - 0.5
        elif self._has("variance-as-sigma"):
            kl = 0.5 * (variance + mean**2 - 1) - log_sigma
        else:
            kl = q.kl_per_dimension()
        return (-kl if self._has("kl-sign") else kl).sum(1)

    def loss(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Terms]:
        """The loss [] of examples [n, pixels] at noise [n, latents], and its terms."""
        shaped = x.reshape(-1, *self.shape)
        decode = self.model.decoder
        if isinstance(self.model, Autoencoder):
            log_p = self._log_likelihood(x, decode(self.model.encode(shaped)).flatten(1))
            reconstruction = self._weight(x) * log_p.mean()
            return -reconstruction, Terms(-reconstruction.item(), reconstruction.item(), 0.0)
        q = self.model.encode(shaped)
        z, estimator = q.rsample(eps), self.settings["estimator"]
        if estimator != "path-wise" or self._has("stopped"):
            z = z.detach()
        log_p = self._weight(x) * self._log_likelihood(x, decode(z).flatten(1))
        reconstruction = log_p.mean()
        kl = self._kl(q).mean()
        loss = -reconstruction + self.settings["beta"] * kl
        if estimator.startswith("score-function") and not self._has("stopped"):
            signal = log_p.detach()
            if estimator.endswith("baseline"):
                signal = signal - self.baseline.follow(signal)
            score = (signal * q.log_prob(z)).mean()
            loss = loss - (score - score.detach())
        return loss, Terms(loss.item(), reconstruction.item(), kl.item())

    def _weight(self, x: Tensor) -> float:
        return 1 / x.shape[1] if self._has("mean-over-pixels") else 1.0

    def gradients(self) -> tuple[Terms, dict[str, Tensor]]:
        """The terms of the next batch and the gradient of each tensor, without a step."""
        x = self.train_set[self.next_batch()]
        self.adam.zero_grad()
        loss, terms = self.loss(x, self._noise(len(x)))
        loss.backward()
        found = trained_tensors(self.model)
        return terms, {name: p.grad for name, p in found.items() if p.grad is not None}

    def train(self) -> Terms:
        """One step of Adam. A loss that is no number leaves the weights as they are."""
        terms, _ = self.gradients()
        if math.isfinite(terms.loss):
            self.adam.step()
            self.step += 1
        return terms

    @torch.no_grad()
    def score(self, examples: np.ndarray) -> Score:
        """The true terms on ``examples`` [n, pixels], with the page's own noise for scoring."""
        x = torch.from_numpy(np.asarray(examples, np.float64))
        draws = Draws(self.settings["seed"], "scoring")
        eps = torch.from_numpy(draws.normal(len(x) * self.settings["latents"]).reshape(len(x), -1))
        self.model.eval()
        try:
            code = self.model.encode(x.reshape(-1, *self.shape))
            if isinstance(code, DiagonalGaussian):
                mean, z = code.mean, code.rsample(eps)
                kl = code.kl_per_dimension().mean(0).numpy()
            else:
                mean, z, kl = code, code, np.zeros(code.shape[1])
            log_p = self._log_likelihood(x, self.model.decoder(z).flatten(1))
            return Score(log_p.mean().item(), kl, mean.numpy())
        finally:
            self.model.train()
