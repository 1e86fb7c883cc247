"""ELBOExplorer: a posterior, a Gaussian Q to drag over it, and every term of the bound."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import matplotlib
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vae_core._plot import ACCENT, CLASSES, STYLE
from vae_core.evaluation import GaussianQ, OneLatent, Terms
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, among, between

# name -> (what the button says, the model)
POSTERIORS: dict[str, tuple[str, OneLatent]] = {
    "gaussian": ("Gaussian", OneLatent("line", x=1.5, sigma=0.8)),
    "skewed": ("Skewed", OneLatent("exponential", x=1.5, sigma=0.5)),
    "bimodal": ("Two modes", OneLatent("square", x=2.0, sigma=0.5)),
}
LIMITS = {"mean": (-4.0, 4.0), "sigma": (0.05, 2.0)}


class ELBOExplorer(BrowserWidget):
    """log P(X), ELBO, gap, reconstruction and KL for a Q(z|X) = N(mean, sigma²) to drag.

    Three models, each with one observed number X: one with a Gaussian posterior, where the gap
    closes; one with a skewed posterior; one with two modes, where a gap remains.

    Live traits: ``posterior`` (``"gaussian"``, ``"skewed"`` or ``"bimodal"``), ``mean`` in
    [-4, 4] and ``sigma`` in [0.05, 2]. Setting one moves the page.

    Raises:
        ValueError: for a trait out of its range, saying what was given.
    """

    NAME: ClassVar[str] = "elbo_explorer"
    PICTURE: ClassVar[str] = (
        "The true posterior, the prior and Q over z; below, two stacked bars that both end "
        "at minus the ELBO: minus log P(X) plus the gap, and minus reconstruction plus KL."
    )
    STATE: ClassVar[tuple[str, ...]] = ("posterior", "mean", "sigma")
    RANGES: ClassVar[dict[str, Rule]] = {
        "posterior": among(POSTERIORS),
        "mean": between(*LIMITS["mean"]),
        "sigma": between(*LIMITS["sigma"]),
    }

    posterior = traitlets.Unicode("gaussian").tag(sync=True)
    mean = traitlets.Float(-0.5).tag(sync=True)
    sigma = traitlets.Float(1.0).tag(sync=True)

    def __init__(
        self, posterior: str = "gaussian", *, mean: float = -0.5, sigma: float = 1.0
    ) -> None:
        cases = {
            name: {"title": title, "decoder": m.decoder, "x": m.x, "sigma": m.sigma}
            for name, (title, m) in POSTERIORS.items()
        }
        super().__init__(
            payload={"cases": cases, "limits": {name: list(pair) for name, pair in LIMITS.items()}},
            blobs=[],
            posterior=posterior,
            mean=mean,
            sigma=sigma,
        )

    @traitlets.validate("posterior")
    def _check_posterior(self, proposal: Any) -> str:
        if proposal["value"] not in POSTERIORS:
            raise ValueError(
                f"posterior must be one of {list(POSTERIORS)}, got {proposal['value']!r}"
            )
        return str(proposal["value"])

    @traitlets.validate("mean", "sigma")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value}")
        return float(value)

    @property
    def model(self) -> OneLatent:
        """The model whose posterior is shown."""
        return POSTERIORS[self.posterior][1]

    @property
    def terms(self) -> Terms:
        """Every term for the Q shown, in nats."""
        return self.model.terms((self.mean, self.sigma))

    def best_q(self) -> GaussianQ:
        """What the button "Best Q" goes to from here."""
        return self.model.best_q((self.mean, self.sigma))

    def python(self) -> str:
        """A line for each model, of which one is shown, and its terms."""
        models = "".join(
            f'@posterior="{name}" model = OneLatent("{m.decoder}", x={m.x}, sigma={m.sigma})\n'
            for name, (_, m) in POSTERIORS.items()
        )
        return (
            f"from vae_core.evaluation import OneLatent\n\n{models}"
            "terms = model.terms(({{mean}}, {{sigma}}))\nprint(terms)"
        )

    def figure(self) -> Figure:
        """The densities, and the two ways of adding up -ELBO."""
        terms, z = self.terms, np.linspace(-4, 4, 801)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(7.2, 4.4), layout="constrained")
            top, bottom = figure.subplots(2, 1, height_ratios=[3, 1])
        posterior = np.exp(self.model.log_posterior(z))
        q = np.exp(-0.5 * ((z - self.mean) / self.sigma) ** 2) / (self.sigma * math.sqrt(2 * np.pi))
        prior = np.exp(-0.5 * z**2) / math.sqrt(2 * np.pi)
        top.fill_between(z, posterior, color=CLASSES[1], alpha=0.2, lw=0)
        top.plot(z, posterior, color=CLASSES[1], label="P(z|X)")
        top.plot(z, prior, color="#5b6875", ls="--", label="prior P(z)")
        top.plot(z, q, color=ACCENT, label="Q(z|X)")
        top.set(
            xlim=(-4, 4), ylim=(0, 1.6 * posterior.max()), xlabel="z", ylabel="density per unit"
        )
        top.legend()
        for row, parts in enumerate(
            (
                (("−log P(X)", -terms.evidence, 7), ("gap", terms.gap, 3)),
                (("−reconstruction", -terms.reconstruction, 2), ("KL to the prior", terms.kl, 4)),
            )
        ):
            left = 0.0
            for name, width, color in parts:
                label = f"{name} {width:.2f}"
                bottom.barh(1 - row, width, left=left, color=CLASSES[color], alpha=0.6, label=label)
                left += width
        bottom.set(yticks=[], xlabel="nats; both bars end at −ELBO")
        bottom.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
        return figure
