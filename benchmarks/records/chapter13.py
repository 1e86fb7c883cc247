"""Numbers of chapter 13's solutions."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.mixture import GaussianMixture

from vae_core import data, evaluation, zoo


@torch.no_grad()
def _embed(model: Any, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([model.embed(data.to_float(part)) for part in images.split(2000)])


def mixture() -> dict[str, Any]:
    """Fréchet distances of 2,000 draws from a mixture of ten Gaussians that was fitted to a model's
    codes of the training digits; mean and standard error over five sets of draws."""
    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    judge = zoo.load("classifier")
    real = evaluation.image_features(judge, test.images)
    results: dict[str, Any] = {}
    for kind in ("ae", "vae"):
        for seed in (1, 2):
            model = zoo.load(f"{kind}-32", seed)
            codes = _embed(model, train.images).double().numpy()
            fitted = GaussianMixture(10, random_state=0).fit(codes)
            found = []
            for draw in range(5):
                z = torch.as_tensor(fitted.set_params(random_state=draw).sample(2000)[0])
                with torch.no_grad():
                    images = model.mean(z.float()).clamp(0, 1)
                features = evaluation.image_features(judge, images)
                found.append(evaluation.frechet_distance(features, real))
            results[f"{kind}_{seed}"] = evaluation.mean_estimate(torch.tensor(found))
    return results
