"""Runs quoted in chapter 12's solutions."""

from __future__ import annotations

import torch

from vae_core import data, evaluation, models, training
from vae_core.evaluation import Estimate


def seeds() -> dict[str, str | float | Estimate]:
    """Autoencoder and VAE, 784-512-2, three epochs each, seeds 0 to 9, on one CPU core.

    The paired differences: sliced Wasserstein distance of the test digits' codes to N(0, I), and
    squared error of a test digit's reconstruction.
    """
    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    distances, errors = [], []
    for seed in range(10):
        pair = models.Autoencoder(seed=seed), models.VAE(seed=seed)
        for model in pair:
            training.fit(model, train, epochs=3, seed=seed, device="cpu", progress=False)
        codes = [evaluation.latent_samples(model, test.images) for model in pair]
        distances.append([evaluation.sliced_wasserstein(z).value for z in codes])
        errors.append([evaluation.reconstruction_error(m, test.images).mean().item() for m in pair])
    far, lost = torch.tensor(distances), torch.tensor(errors)
    closer, worse = far[:, 0] - far[:, 1], lost[:, 1] - lost[:, 0]
    price = evaluation.mean_estimate(worse)
    return {
        "closer": evaluation.mean_estimate(closer),
        "closer_count": int((closer > 0).sum()),
        "closer_in_errors": evaluation.mean_estimate(closer).value
        / evaluation.mean_estimate(closer).standard_error,
        "vae_far": far[:, 1].mean().item(),
        "ae_far": far[:, 0].mean().item(),
        "worse": price,
        "worse_in_errors": price.value / price.standard_error,
        "worse_count": int((worse > 0).sum()),
        "worse_least": worse.min().item(),
        "worse_most": worse.max().item(),
        "error": lost.mean().item(),
    }
