"""The table of the zoo's models: how each is made, and which of them the book's pages load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """How a model is made, in plain values.

    ``likelihood``: {"kind": "bernoulli"}, {"kind": "gaussian", "sigma": ..., "link": ...},
    {"kind": "discretized-logistic"}, {"kind": "ordered-logit"}, or the model's own.
    ``objective``: {"name": ..., **arguments}, a function of :mod:`vae_core.objectives` that makes
    one ("elbo_objective", "importance_weighted_objective"), or the model's own; for "denoising",
    {"corruption": [its class, its argument]}.
    ``examples``: how many of the training images, from the first on.
    ``start``: {"model": ...}, another recipe from whose trained model this one is trained further;
    with "without", that model without one of its latents, counted from the busiest, 0.
    """

    model: str  # a class of vae_core.models
    options: Mapping[str, Any] = field(default_factory=dict)
    likelihood: Mapping[str, Any] | None = None
    objective: Mapping[str, Any] | None = None
    examples: int | None = None
    pixels: str = "grey"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: str = "constant"
    seed: int = 0
    data: str = "mnist"
    start: Mapping[str, Any] | None = None

    def settings(self) -> dict[str, Any]:
        """All that is set, as plain values; of most recipes there is no start to tell."""
        told = asdict(self)
        if self.start is None:
            del told["start"]
        return told

    def __repr__(self) -> str:
        told = (f"{name}={getattr(self, name)!r}" for name in self.settings())
        return f"Recipe({', '.join(told)})"


QUADRANTS = ("1-quadrant", "2-quadrants", "3-quadrants")


def _conditional(options: Mapping[str, Any], epochs: int, **others: Any) -> Recipe:
    settings: dict[str, Any] = {
        "model": "CVAE",
        "options": options,
        "likelihood": {"kind": "bernoulli"},
        "pixels": "dynamic",
        "epochs": epochs,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        **others,
    }
    return Recipe(**settings)


def _of_sigma(sigma: float | str) -> Recipe:
    return Recipe(
        "VAE",
        {"latent_dim": 2, "hidden": (128,)},
        likelihood={"kind": "gaussian", "sigma": sigma},
        epochs=6,
        learning_rate=2e-3,
        schedule="linear",
    )


# Between the variances of the sweep at which one latent collapses, then the other.
NEAR_COLLAPSE = (2.6, 3.0, 3.4, 3.7, 4.5, 5.0)

# Few given pixels leave much to learn: the passes are dealt out accordingly.
CONDITIONAL: dict[str, Recipe] = {
    "cvae-class": _conditional({"latent_dim": 2, "hidden": (256,), "classes": 10}, 8),
    "cvae-column": _conditional(
        {"latent_dim": 16, "hidden": (256,), "observed": "centre-column"}, 5
    ),
    **{
        f"cvae-{given}": _conditional(
            {"latent_dim": 32, "hidden": (400,), "observed": given, "prior": "learned"}, epochs
        )
        for given, epochs in zip(QUADRANTS, (10, 7, 5), strict=True)
    },
    # One latent that stays at zero: the network has no more to go by than the given pixels. Widths
    # and passes were chosen on the validation digits: benchmarks/records/chapter11.py.
    **{
        f"net-{given}": _conditional(
            {"latent_dim": 1, "hidden": (500, 500), "observed": given},
            20,
            objective={"name": "prediction_objective"},
        )
        for given in QUADRANTS
    },
}

# The tutorial's widths (784-512-2), batch size, optimiser and 20 epochs; its loss, summed squared
# error plus KL, is a Gaussian likelihood with sigma^2 = 1/2, the models' default. The "-short"
# pair is the same, stopped after 3 epochs, for repeating a comparison over seeds.
RECIPES: dict[str, Recipe] = {
    "ae-2": Recipe("Autoencoder", {"latent_dim": 2, "hidden": (512,)}),
    "vae-2": Recipe("VAE", {"latent_dim": 2, "hidden": (512,)}),
    # As vae-2, with the KL term of the tutorial's listing.
    "vae-2-printed": Recipe(
        "VAE",
        {"latent_dim": 2, "hidden": (512,)},
        objective={"name": "printed_kl_objective"},
    ),
    "ae-2-short": Recipe("Autoencoder", {"latent_dim": 2, "hidden": (512,)}, epochs=3),
    "vae-2-short": Recipe("VAE", {"latent_dim": 2, "hidden": (512,)}, epochs=3),
    # Black-and-white pixels drawn anew at each visit: a true Bernoulli likelihood.
    "bernoulli-2": Recipe(
        "VAE",
        {"latent_dim": 2, "hidden": (512,)},
        likelihood={"kind": "bernoulli"},
        pixels="dynamic",
    ),
    "bernoulli-20": Recipe(
        "VAE",
        {"latent_dim": 20, "hidden": (400,)},
        likelihood={"kind": "bernoulli"},
        pixels="dynamic",
        epochs=30,
    ),
    # The widths, latents, batches and passes of Townsend et al. 2019 for black-and-white digits
    # (their tvae_binary.py and the weights beside it).
    "bernoulli-40-narrow": Recipe(
        "VAE",
        {"latent_dim": 40, "hidden": (100,)},
        likelihood={"kind": "bernoulli"},
        pixels="dynamic",
        epochs=20,
        batch_size=100,
    ),
    # What a latent is worth: trained on without the busiest or the quietest, and with all.
    **{
        name: Recipe(
            "VAE",
            {"latent_dim": 20 if "without" not in start else 19, "hidden": (400,)},
            likelihood={"kind": "bernoulli"},
            pixels="dynamic",
            epochs=3,
            schedule="linear",
            start={"model": "bernoulli-20", **start},
        )
        for name, start in (
            ("refit-all", {}),
            ("refit-without-busiest", {"without": 0}),
            ("refit-without-quietest", {"without": 19}),
        )
    },
    # One stochastic layer of Burda et al. 2015, table 1, the VAE and the IWAE with k = 5: their
    # networks (50 latents, 2 x 200 tanh) and pixels, but 7 passes where the paper has 3,280, so
    # with larger batches and a rate that falls to zero.
    "burda-vae-short": Recipe(
        "VAE",
        {"latent_dim": 50, "hidden": (200, 200), "activation": "tanh"},
        likelihood={"kind": "bernoulli"},
        pixels="dynamic",
        epochs=7,
        batch_size=100,
        learning_rate=2e-3,
        schedule="cosine",
    ),
    "burda-iwae-short": Recipe(
        "VAE",
        {"latent_dim": 50, "hidden": (200, 200), "activation": "tanh"},
        likelihood={"kind": "bernoulli"},
        objective={"name": "importance_weighted_objective", "samples": 5},
        pixels="dynamic",
        epochs=7,
        batch_size=100,
        learning_rate=2e-3,
        schedule="cosine",
    ),
    # Grey pixels with a probability for each of the 256 levels: what a lossless coder needs.
    "grey-50": Recipe(
        "VAE",
        {"latent_dim": 50, "hidden": (400,)},
        likelihood={"kind": "ordered-logit"},
        epochs=14,
        learning_rate=2e-3,
        schedule="cosine",
    ),
    # The tutorial's pair with more latents, and a denoiser beside the larger autoencoder.
    **{
        f"{name}-{latents}": Recipe(model, {"latent_dim": latents, "hidden": (512,)})
        for latents in (8, 32)
        for name, model in (("ae", "Autoencoder"), ("vae", "VAE"))
    },
    "denoising-32": Recipe(
        "Autoencoder",
        {"latent_dim": 32, "hidden": (512,)},
        objective={"name": "denoising", "corruption": ["MaskingNoise", 0.5]},
    ),
    "classifier": Recipe(
        "Classifier", epochs=3, batch_size=128, learning_rate=2e-3, schedule="linear"
    ),
    # Models that differ in the decoder's sigma alone (pixel units), narrow so that all are quick;
    # named by the variance where a latent is close to collapse.
    **{
        f"sigma-{sigma}": _of_sigma(sigma)
        for sigma in (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, "learned", "optimal")
    },
    **{f"variance-{variance}": _of_sigma(math.sqrt(variance)) for variance in NEAR_COLLAPSE},
    **CONDITIONAL,
}
# What ``fill`` trains: every (name, seed) that a page of the book loads.
USED: tuple[tuple[str, int], ...] = (
    *((name, seed) for seed in (0, 1, 2) for name in ("ae-2", "vae-2", "vae-2-printed")),
    ("bernoulli-2", 0),
    ("bernoulli-20", 0),
    ("burda-vae-short", 0),
    ("burda-iwae-short", 0),
    ("grey-50", 0),
    ("classifier", 0),
    ("bernoulli-40-narrow", 0),
    *((name, seed) for seed in (0, 1, 2) for name in RECIPES if name.startswith("refit-")),
    *((name, 0) for name in RECIPES if name.startswith(("sigma-", "variance-"))),
    *((name, 0) for name in CONDITIONAL),
    *(
        (f"{name}-{latents}", seed)
        for seed in (1, 2)
        for latents in (8, 32)
        for name in ("ae", "vae")
    ),
    ("denoising-32", 1),
)
