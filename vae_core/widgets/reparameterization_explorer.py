"""ReparameterizationExplorer: one draw of noise, two estimators of one gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit

from vae_core import _check
from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._random import normals
from vae_core.widgets._share import Rule, among, between, whole

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

LEAST, MOST = 0.1, 2.0  # of sigma
REACH = 2.5  # of mu, on both sides of 0
LIMIT = 10_000  # draws
STEEP = 12.0  # of the soft step
# The trapezoidal rule on noise from -10 to 10: exact to rounding for the smooth functions here.
GRID = np.linspace(-10.0, 10.0, 4001)
WEIGHTS = np.exp(-0.5 * GRID**2) / math.sqrt(2 * math.pi) * (GRID[1] - GRID[0])


def _soft_slope(z: Array) -> Array:
    height = expit(STEEP * z)
    return STEEP * height * (1 - height)


# name -> (words, f, its derivative where it has one)
FUNCTIONS: dict[str, tuple[str, Function, Function]] = {
    "square": ("z²", lambda z: z**2, lambda z: 2 * z),
    "sine": ("sin 3z", lambda z: np.sin(3 * z), lambda z: 3 * np.cos(3 * z)),
    "soft step": ("soft step", lambda z: expit(STEEP * z), _soft_slope),
    "step": ("step", lambda z: (z > 0).astype(float), np.zeros_like),
}
PARAMETERS = {"mu": "μ", "sigma": "σ"}


class Gradients(NamedTuple):
    """Both estimates of one derivative at each draw, and what they estimate.

    ``noise``, ``z``, ``score_function``, ``path_wise``: [draws]; ``exact``: the derivative itself;
    ``score_variance``, ``path_variance``: the variance of one draw of either estimate.
    """

    noise: Array
    z: Array
    score_function: Array
    path_wise: Array
    exact: float
    score_variance: float
    path_variance: float


def normal_draws(seed: int, count: int) -> Array:
    """The browser's standard normal draws from ``seed``, [count]: mulberry32, Box and Muller."""
    return normals(seed, count)


def _estimates(
    name: str, parameter: str, mu: float, sigma: float, noise: Array
) -> tuple[Array, Array]:
    """Score-function and path-wise estimate at each draw of ``noise``."""
    _, f, slope = FUNCTIONS[name]
    z = mu + sigma * noise
    if parameter == "mu":
        return f(z) * noise / sigma, slope(z)
    return f(z) * (noise**2 - 1) / sigma, slope(z) * noise


def gradients(
    name: str, parameter: str, mu: float, sigma: float, noise: Array | list[float]
) -> Gradients:
    """d E[f(z)] / d parameter for z = mu + sigma * noise, by both estimators.

    ``name`` is a key of FUNCTIONS, ``parameter`` "mu" or "sigma". The exact value and the variances
    come from quadrature, but for the step, whose exact derivative is a density's value.
    """
    noise = np.asarray(noise, dtype=float)
    score, path = _estimates(name, parameter, mu, sigma, noise)
    at_score, at_path = _estimates(name, parameter, mu, sigma, GRID)
    if name == "step":
        # E f = Phi(mu / sigma); the square of the step is the step, so its moments are
        # E[step * (polynomial of the noise)], integrals from -mu / sigma upwards.
        a = -mu / sigma
        density = math.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
        above = 0.5 * math.erfc(a / math.sqrt(2))
        exact = density / sigma if parameter == "mu" else a * density / sigma
        second = above + a * density if parameter == "mu" else 2 * above + (a**3 + a) * density
        moment = second / sigma**2
    else:
        exact = float(WEIGHTS @ at_path)
        moment = float(WEIGHTS @ at_score**2)
    return Gradients(
        noise,
        mu + sigma * noise,
        score,
        path,
        exact,
        moment - exact**2,
        float(WEIGHTS @ at_path**2 - (WEIGHTS @ at_path) ** 2),
    )


class ReparameterizationExplorer(BrowserWidget):
    """Draws of epsilon, where they take z, and both estimators of the gradient of E[f(z)].

    Live traits: ``function`` ("square", "sine", "soft step", "step"), ``parameter`` ("mu", "sigma":
    with respect to which the gradient is taken), ``mu`` in [-2.5, 2.5], ``sigma`` in [0.1, 2],
    ``epsilon`` (the noise shown), ``seed`` and ``draws`` (how many draws of that seed are in the
    histograms). Setting one moves the page, and the page sets them. :meth:`estimates` computes
    what it shows.

    Raises:
        ValueError: for a value out of range, saying what was given.
    """

    NAME: ClassVar[str] = "reparameterization_explorer"
    PICTURE: ClassVar[str] = (
        "Two histograms of gradient estimates under one another, by the score function and "
        "path-wise, each with its mean and the exact gradient marked."
    )
    STATE: ClassVar[tuple[str, ...]] = (
        "function", "parameter", "mu", "sigma", "epsilon", "seed", "draws",
    )  # fmt: skip
    RANGES: ClassVar[dict[str, Rule]] = {
        "function": among(FUNCTIONS),
        "parameter": among(PARAMETERS),
        "mu": between(-REACH, REACH),
        "sigma": between(LEAST, MOST),
        "epsilon": between(-10.0, 10.0),
        "seed": whole(0, 2**32 - 1),
        "draws": whole(0, LIMIT),
    }
    PYTHON: ClassVar[str] = """
    from vae_core.widgets.reparameterization_explorer import gradients, normal_draws

    f, parameter, mu, sigma = {{function}}, {{parameter}}, {{mu}}, {{sigma}}
    here = gradients(f, parameter, mu, sigma, [{{epsilon}}])
    print(f"exact {here.exact:.4f}; at this draw: score function {here.score_function[0]:.4f}, "
          f"path-wise {here.path_wise[0]:.4f}")
    @draws!=0 many = gradients(f, parameter, mu, sigma, normal_draws({{seed}}, {{draws}}))
    @draws!=0 print(f"mean of {{draws}}: score function {many.score_function.mean():.4f}, "
    @draws!=0       f"path-wise {many.path_wise.mean():.4f}")
    """

    function = traitlets.Unicode("square").tag(sync=True)
    parameter = traitlets.Unicode("mu").tag(sync=True)
    mu = traitlets.Float(1.0).tag(sync=True)
    sigma = traitlets.Float(0.5).tag(sync=True)
    epsilon = traitlets.Float(0.0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    draws = traitlets.Int(0).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        draws, seed = state.get("draws", 0), state.get("seed", 0)
        known = _check.is_whole(draws) and draws <= LIMIT and _check.is_whole(seed, 0)
        if known and seed < 2**32 and "epsilon" not in state:  # else the traits' own checks refuse
            state["epsilon"] = float(normal_draws(int(seed), int(draws))[-1])
        payload = {
            "functions": [[name, words] for name, (words, _, _) in FUNCTIONS.items()],
            "sigma": [LEAST, MOST],
            "reach": REACH,
            "limit": LIMIT,
            "steep": STEEP,
        }
        super().__init__(payload=payload, blobs=[], **state)

    @traitlets.validate("function", "parameter")
    def _check_name(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        known = FUNCTIONS if name == "function" else PARAMETERS
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        return str(value)

    @traitlets.validate("mu", "sigma", "epsilon")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = {"mu": (-REACH, REACH), "sigma": (LEAST, MOST), "epsilon": (-10, 10)}[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in [{low}, {high}]; got {value!r}")
        return float(value)

    @traitlets.validate("seed", "draws")
    def _check_count(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        most = LIMIT if name == "draws" else 2**32 - 1
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 0 to {most}; got {value!r}")
        return int(value)

    def estimates(self, noise: Array | list[float] | None = None) -> Gradients:
        """Both estimates at the widget's draws, or at ``noise`` [draws]."""
        if noise is None:
            noise = normal_draws(self.seed, self.draws)
        return gradients(self.function, self.parameter, self.mu, self.sigma, noise)

    def figure(self) -> Figure:
        """Histograms of both estimators at the widget's draws (1000, where there are none)."""
        noise = normal_draws(self.seed, self.draws or 1000)
        shown = self.estimates(noise)
        half = 4 * math.sqrt(max(shown.score_variance, shown.path_variance, 1e-6))
        edges = np.linspace(shown.exact - half, shown.exact + half, 61)
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots(2, 1, sharex=True, sharey=False)
        rows = (
            ("score function", shown.score_function, CLASSES[1]),
            ("path-wise", shown.path_wise, CLASSES[0]),
        )
        for place, (name, values, color) in zip(axes, rows, strict=True):
            place.hist(values, edges, color=color, alpha=0.6)
            place.axvline(shown.exact, color=INK, lw=1.2, label="exact gradient")
            place.axvline(float(values.mean()), color=color, lw=1.6, ls="--", label="mean")
            place.set_ylabel(name)
            place.legend(loc="upper right")
        words = FUNCTIONS[self.function][0]
        axes[0].set_title(
            f"{len(noise)} estimates of d/d{PARAMETERS[self.parameter]} E[{words}], "
            f"μ = {self.mu:.2f}, σ = {self.sigma:.2f}",
            color=ACCENT,
        )
        return figure
