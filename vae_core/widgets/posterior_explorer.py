"""PosteriorExplorer: a chosen X's true posterior, a Gaussian Q, and their gap."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import matplotlib
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vae_core._plot import ACCENT, CLASSES, STYLE
from vae_core.evaluation import GaussianQ, QuantileMap
from vae_core.evaluation._quantile_map import DENSITIES, TWO_GAUSSIANS
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._payload import Blob
from vae_core.widgets._share import Rule, among, between

CASES = ("mixture", "gumbel", "logistic")
SIGMAS = (0.005, 0.5)
CODES = 3.0  # X is chosen among f(z), |z| <= 3: all but 0.3 % of the data


class PosteriorNumbers(NamedTuple):
    """What the widget shows, in nats.

    ``evidence``: log P(X); ``elbo`` and ``gap`` for the Q shown; ``mean_gap``: the gap's mean over
    the data, for the appendix's Q.
    """

    evidence: float
    elbo: float
    gap: float
    mean_gap: float


@lru_cache(maxsize=len(CASES))
def _map(density: str) -> QuantileMap:
    return QuantileMap(density)


def _limits(density: str) -> tuple[float, float]:
    low, high = _map(density).f(np.array([-CODES, CODES]))
    return float(low), float(high)


def _known(density: Any) -> str:
    if density not in CASES:
        raise ValueError(f"density must be one of {list(CASES)}, got {density!r}")
    return str(density)


class PosteriorExplorer(BrowserWidget):
    """P(z|X), Q(z|X) and the gap between them for one-dimensional data and their exact decoder.

    The model is :class:`vae_core.evaluation.QuantileMap`'s; Q is the one of Doersch's appendix A,
    N(g(X), (sigma g'(X))²), or the Gaussian with the smallest gap.

    Live traits: ``density`` (``"mixture"``, ``"gumbel"`` or ``"logistic"``), ``sigma`` in
    [0.005, 0.5], ``x`` between f(-3) and f(3), ``best`` (the best Gaussian in place of the
    appendix's) and ``zoom`` (the z axis follows Q). Setting one moves the page; a change of density
    moves an X that lies outside the new limits to the nearer of them.

    Raises:
        ValueError: for a trait out of its range, saying what was given.
    """

    NAME: ClassVar[str] = "posterior_explorer"
    PICTURE: ClassVar[str] = (
        "The true posterior of a small decoder with the Gaussian Q closest to it; beside "
        "them the mean gap between the two, falling with the output's sigma on logarithmic "
        "axes."
    )
    STATE: ClassVar[tuple[str, ...]] = ("density", "sigma", "x", "best", "zoom")
    RANGES: ClassVar[dict[str, Rule]] = {
        "density": among(CASES),
        "sigma": between(*SIGMAS),
        "x": between(-100.0, 100.0),  # the page holds it within f(-3) and f(3)
        "best": among((False, True)),
        "zoom": among((False, True)),
    }
    PYTHON: ClassVar[str] = """
    from vae_core.evaluation import QuantileMap

    model, x, sigma = QuantileMap({{density}}), {{x}}, {{sigma}}
    @best=False q = model.given_q(x, sigma)  # the appendix's
    @best=True q = model.best_q(x, sigma)
    evidence, elbo = model.log_marginal(x, sigma), model.elbo(x, sigma, q)
    print(f"log P(X) {evidence:.4f}, ELBO {elbo:.4f}, gap {evidence - elbo:.3g} nats")
    print(f"mean gap over the data {model.mean_gap(sigma):.3g} nats")
    """

    density = traitlets.Unicode("mixture").tag(sync=True)
    sigma = traitlets.Float(0.3).tag(sync=True)
    x = traitlets.Float(-0.3).tag(sync=True)
    best = traitlets.Bool(False).tag(sync=True)
    zoom = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        density: str = "mixture",
        *,
        sigma: float = 0.3,
        x: float = -0.3,
        best: bool = False,
        zoom: bool = False,
    ) -> None:
        tables = {name: Blob.of(_map(name).table[1].astype("<f8").tobytes()) for name in CASES}
        cases = {
            name: {"title": DENSITIES[name].title, "table": tables[name].sha} for name in CASES
        }
        super().__init__(
            payload={
                "cases": cases,
                "mixture": [list(part) for part in zip(*TWO_GAUSSIANS, strict=True)],
                "sigmas": list(SIGMAS),
                "codes": CODES,
            },
            blobs=list(tables.values()),
            density=density,
            sigma=sigma,
            x=x,
            best=best,
            zoom=zoom,
        )

    @traitlets.validate("density")
    def _check_density(self, proposal: Any) -> str:
        return _known(proposal["value"])

    @traitlets.validate("sigma")
    def _check_sigma(self, proposal: Any) -> float:
        low, high = SIGMAS
        if not low <= proposal["value"] <= high:
            raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {proposal['value']}")
        return float(proposal["value"])

    @traitlets.validate("x")
    def _check_x(self, proposal: Any) -> float:
        # Traits set together are checked in no certain order.
        low, high = _limits(_known(self.density))
        # The page's own limits differ from these by rounding.
        if not low - 1e-9 <= proposal["value"] <= high + 1e-9:
            raise ValueError(
                f"x must lie in [{low:.4g}, {high:.4g}] for {self.density!r}, "
                f"got {proposal['value']}"
            )
        return float(proposal["value"])

    @traitlets.observe("density")
    def _keep_x(self, change: Any) -> None:
        low, high = _limits(self.density)
        self.x = min(high, max(low, self.x))

    @property
    def model(self) -> QuantileMap:
        """The model of the density shown."""
        return _map(self.density)

    @property
    def q(self) -> GaussianQ:
        """The Q shown."""
        find = self.model.best_q if self.best else self.model.given_q
        return find(self.x, self.sigma)

    @property
    def numbers(self) -> PosteriorNumbers:
        """Every number shown for the present traits."""
        m, at = self.model, (self.x, self.sigma)
        elbo = m.elbo(*at, self.q)
        evidence = m.log_marginal(*at)
        return PosteriorNumbers(evidence, elbo, evidence - elbo, m.mean_gap(self.sigma))

    def figure(self) -> Figure:
        """The posterior with Q, and the mean gap against sigma."""
        numbers, (mean, width) = self.numbers, self.q
        reach = 5 * width if self.zoom else 4.0
        z = np.linspace(-reach, reach, 1201) + (mean if self.zoom else 0.0)
        posterior = np.exp(self.model.log_posterior(z, self.x, self.sigma))
        q = np.exp(-0.5 * ((z - mean) / width) ** 2) / (width * math.sqrt(2 * np.pi))
        sigmas = np.geomspace(*SIGMAS, 17)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(7.2, 3.0), layout="constrained")
            left, right = figure.subplots(1, 2)
        left.fill_between(z, posterior, color=CLASSES[1], alpha=0.2, lw=0)
        left.plot(z, posterior, color=CLASSES[1], label="P(z|X)")
        left.plot(z, q, color=ACCENT, label="Q(z|X)")
        left.set(
            xlabel="z", ylabel="density per unit", ylim=(0, None),
            title=f"X = {self.x:.2f}, σ = {self.sigma:.3g}: gap {numbers.gap:.3g} nats",
        )  # fmt: skip
        left.legend()
        right.loglog(sigmas, [self.model.mean_gap(s) for s in sigmas], color=CLASSES[4])
        right.plot([self.sigma], [numbers.mean_gap], "o", color=ACCENT)
        right.set(xlabel="σ", ylabel="mean gap, nats", title="mean over the data")
        return figure
