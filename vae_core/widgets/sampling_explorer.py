"""SamplingExplorer: many estimates of one log P(X) that is known exactly, in 1 to 20 dimensions."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
import traitlets
from matplotlib.figure import Figure

from vae_core._plot import ACCENT, CLASSES
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._random import normal_pairs
from vae_core.widgets._share import Rule, among, between, whole

RUNS, MOST, LARGEST = 20, 10_000, 20  # runs, draws in each, dimensions
SIGMAS, WIDTHS = (0.25, 2.0), (0.5, 2.0)
MISS = 0.3  # by how many of its standard deviations Q misses the posterior's mean
PROPOSALS = ("prior", "posterior")
COUNTS = {"d": (1, LARGEST), "n": (1, MOST), "run": (0, RUNS - 1), "seed": (0, 2**31 - 1)}
_LOG_2PI = math.log(2 * math.pi)


@functools.lru_cache(maxsize=1)  # several methods ask for the same one; it holds up to 32 MB
def _noise(seed: int, d: int) -> np.ndarray:
    flat = normal_pairs(seed, d * RUNS * MOST).astype(np.float32)
    noise = flat.astype(np.float64).reshape(d, RUNS, MOST)
    noise.setflags(write=False)
    return noise


class Numbers(NamedTuple):
    """What the page shows, in nats and float64.

    ``exact``: log P(X); ``divergence``: D[P(z|X) || q], q being what z is drawn from; ``rho``: the
    second moment of the weights over P(X)^2, inf for a q that is too narrow; of each run [20],
    after n draws: ``errors``, its estimate of log P(X) less the exact value, and ``effective``, its
    effective sample size.
    """

    exact: float
    divergence: float
    rho: float
    errors: np.ndarray
    effective: np.ndarray


class SamplingExplorer(BrowserWidget):
    """Twenty independent running estimates of one log P(X), beside its exact value.

    The model is X = z + noise of standard deviation ``sigma`` in each of ``d`` dimensions, with
    z ~ N(0, I); every coordinate of X is sqrt(1 + sigma^2), its typical size.

    Live traits: ``d``, 1 to 20; ``sigma``, 0.25 to 2; ``n``, the number of draws that the numbers
    are about, 1 to 10,000; ``proposal``, what z is drawn from ("prior", or "posterior" for a
    Q(z|X) near P(z|X)); ``width``, Q's standard deviation in the posterior's, 0.5 to 2 (its mean
    is 0.3 of them off); ``run``, the run that is brought out, 0 to 19; ``seed`` of all draws.
    Setting one moves the page. :attr:`numbers` reads what the page shows.

    Raises:
        ValueError: for a trait out of its range, saying what was given.
    """

    NAME: ClassVar[str] = "sampling_explorer"
    PICTURE: ClassVar[str] = (
        "Twenty running estimates of log P(X) against the number of draws, beside the exact "
        "value; and of one run, how far its draws lie from the posterior's middle, and which of "
        "them make up the estimate."
    )
    STATE: ClassVar[tuple[str, ...]] = ("d", "sigma", "n", "proposal", "width", "run", "seed")
    RANGES: ClassVar[dict[str, Rule]] = {
        **{name: whole(low, high) for name, (low, high) in COUNTS.items()},
        "sigma": between(*SIGMAS),
        "width": between(*WIDTHS),
        "proposal": among(PROPOSALS),
    }
    PYTHON: ClassVar[str] = """
    from vae_core.widgets import SamplingExplorer

    numbers = SamplingExplorer(
        d={{d}}, sigma={{sigma}}, n={{n}}, proposal={{proposal}}, width={{width}}, seed={{seed}}
    ).numbers
    run = {{run}}
    print(f"log P(X) {numbers.exact:.3f} nats, exact; D[P(z|X)||q] {numbers.divergence:.3f} nats")
    print(f"error {numbers.errors[run]:+.3f} nats, effective size {numbers.effective[run]:.1f}")
    """

    d = traitlets.Int(20).tag(sync=True)
    sigma = traitlets.Float(0.5).tag(sync=True)
    n = traitlets.Int(MOST).tag(sync=True)
    proposal = traitlets.Unicode("prior").tag(sync=True)
    width = traitlets.Float(1.2).tag(sync=True)
    run = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(1).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(
            payload={
                "runs": RUNS,
                "most": MOST,
                "largest": LARGEST,
                "sigmas": list(SIGMAS),
                "widths": list(WIDTHS),
                "miss": MISS,
            },
            blobs=[],
            **state,
        )

    @traitlets.validate(*COUNTS)
    def _check_count(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = COUNTS[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {value}")
        return int(value)

    @traitlets.validate("sigma", "width")
    def _check_spread(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, float(proposal["value"])
        low, high = SIGMAS if name == "sigma" else WIDTHS
        if not low <= value <= high:  # false for NaN too
            raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
        return value

    @traitlets.validate("proposal")
    def _check_proposal(self, proposal: Any) -> str:
        if proposal["value"] not in PROPOSALS:
            raise ValueError(
                f"proposal must be one of {', '.join(PROPOSALS)}, got {proposal['value']!r}"
            )
        return str(proposal["value"])

    @property
    def x(self) -> float:
        """Each coordinate of X."""
        return math.sqrt(1 + self.sigma**2)

    def posterior(self) -> tuple[float, float]:
        """Mean and standard deviation of P(z|X), in each dimension."""
        return 1 / self.x, self.sigma / self.x

    def drawn_from(self) -> tuple[float, float]:
        """Mean and standard deviation of what z is drawn from, in each dimension."""
        if self.proposal == "prior":
            return 0.0, 1.0
        mean, spread = self.posterior()
        return mean + MISS * spread, self.width * spread

    def noise(self) -> np.ndarray:
        """The standard normal noise behind all draws, [d, 20 runs, 10,000], as the browser's."""
        return _noise(self.seed, self.d)

    def log_weights(self) -> np.ndarray:
        """log P(X|z) + log P(z) - log q(z) of each draw, in nats: [20 runs, 10,000]."""
        (mean, spread), noise = self.drawn_from(), self.noise()
        z = mean + spread * noise

        def log_normal(value: np.ndarray, sigma: float) -> np.ndarray:
            return -0.5 * (value / sigma) ** 2 - math.log(sigma) - 0.5 * _LOG_2PI

        log_q = log_normal(noise, 1.0) - math.log(spread)
        return (log_normal(self.x - z, self.sigma) + log_normal(z, 1.0) - log_q).sum(0)

    def lines(self) -> np.ndarray:
        """Each run's estimate of log P(X) less the exact value, after 1 to 10,000 draws."""
        summed = np.logaddexp.accumulate(self.log_weights(), axis=1)
        return summed - np.log(np.arange(1, MOST + 1)) - self._exact()

    def _exact(self) -> float:
        return self.d * (-0.5 - math.log(self.x) - 0.5 * _LOG_2PI)

    @property
    def numbers(self) -> Numbers:
        """What the page shows."""
        (mean, spread), (a, b) = self.posterior(), self.drawn_from()
        c, shift = b / spread, (a - mean) / spread
        excess = 2 * c**2 - 1  # the a of the derivation "weights-of-a-gaussian"
        rho = math.inf
        if excess > 0:
            factor = (1 + excess) / (2 * math.sqrt(excess)) * math.exp(shift**2 / excess)
            rho = factor**self.d
        weights = self.log_weights()[:, : self.n]
        total = np.logaddexp.reduce(weights, axis=1)
        return Numbers(
            exact=self._exact(),
            divergence=self.d * (math.log(c) + (1 + shift**2) / (2 * c**2) - 0.5),
            rho=rho,
            errors=total - math.log(self.n) - self._exact(),
            effective=np.exp(2 * total - np.logaddexp.reduce(2 * weights, axis=1)),
        )

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the run brought out: each draw's distance from the posterior's mean, and its share.

        The distance [n] is a root mean square over the dimensions, in the posterior's standard
        deviations; the shares [n] of the sum of weights add up to 1.
        """
        (mean, spread), (a, b) = self.posterior(), self.drawn_from()
        z = a + b * self.noise()[:, self.run, : self.n]
        distance = np.sqrt((((z - mean) / spread) ** 2).mean(0))
        weights = self.log_weights()[self.run, : self.n]
        return distance, np.exp(weights - np.logaddexp.reduce(weights))

    def density(self, distance: np.ndarray) -> np.ndarray:
        """Density under P(z|X) of the distance of :meth:`shares`, at each of ``distance`` > 0.

        Times sqrt(d) it has a chi distribution with d degrees of freedom.
        """
        y = np.sqrt(self.d) * np.asarray(distance, dtype=np.float64)
        constant = (self.d / 2 - 1) * math.log(2) + math.lgamma(self.d / 2)
        return math.sqrt(self.d) * np.exp((self.d - 1) * np.log(y) - y**2 / 2 - constant)

    def figure(self) -> Figure:
        """The fan of running estimates, and where one run's draws lie and count."""
        lines, (distance, share) = self.lines(), self.shares()
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        fan, shell = figure.subplots(1, 2)
        draws = np.unique(np.geomspace(1, MOST, 240).round().astype(int))
        for k, line in enumerate(lines):
            own = k == self.run
            style = {"color": CLASSES[1], "lw": 1.8, "zorder": 3} if own else {"color": "#9aa5b1"}
            fan.semilogx(draws, line[draws - 1], **{"lw": 0.8, **style})
        fan.axhline(0, color=ACCENT, ls="--", lw=1.4)
        fan.annotate("log P(X), exact", (1.2, 0.4), color=ACCENT, fontsize=8)
        fan.set(ylim=(-20, 6), xlim=(1, MOST), xlabel="draws n", ylabel="nats from log P(X)")
        source = "P(z)" if self.proposal == "prior" else "Q(z|X)"
        fan.set_title(f"d = {self.d}, σ = {self.sigma:.2f}, z from {source}", fontsize=10)
        bins = np.linspace(0, 8, 41)
        held = np.minimum(distance, 7.99)
        even = np.full(len(held), 1 / len(held))
        shell.hist(held, bins, weights=even, color="#9aa5b1", alpha=0.6, label="draws")
        shell.hist(held, bins, weights=share, color=CLASSES[1], alpha=0.65, label="their sum")
        at = np.linspace(0.01, 8, 400)
        curve = self.density(at) * (bins[1] - bins[0])
        shell.plot(at, curve, color=CLASSES[2], label="P(z|X), exact")
        shell.set(xlabel="distance from the middle of P(z|X)", ylabel="share", ylim=(0, 1))
        shell.set_title("one run", fontsize=10)
        shell.legend(fontsize=8, frameon=False)
        return figure
