"""KLExplorer: a Gaussian Q to drag, and its divergence as an area, a formula and a curve."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import traitlets
from matplotlib.figure import Figure
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_core import evaluation
from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.distributions import DiagonalGaussian
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, among, between

MEAN_REACH = 3.0  # mu lies in [-3, 3]
SIGMA_RANGE = (0.05, 3.0)
# Two peaks of unequal weight and width, so that no optimum is one by symmetry alone.
WEIGHTS, MEANS, SIGMAS = (0.6, 0.4), (-1.5, 2.0), (0.7, 0.5)
MODES = ("prior", "peaks")
DIRECTIONS = {"reverse": "D[Q‖P]", "forward": "D[P‖Q]"}


def _double(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, device="cpu")


def two_peaks() -> MixtureSameFamily:
    """The bimodal target P that the widget shows, in float64."""
    weights, means, sigmas = (_double(values) for values in (WEIGHTS, MEANS, SIGMAS))
    return MixtureSameFamily(Categorical(weights), Normal(means, sigmas))


class KLExplorer(BrowserWidget):
    """Drag Q = N(mu, sigma^2) and see its divergence from N(0, 1), or from a target of two peaks.

    Live traits: ``mu`` and ``sigma``; ``mode`` ("prior": Q against N(0, 1), "peaks": Q against
    ``two_peaks``); ``direction`` in the second mode ("reverse": D[Q || P], "forward":
    D[P || Q]). Setting one moves the page. ``divergence`` and ``printed`` read the numbers.

    Raises:
        ValueError: for a trait out of its range, saying what was given.
    """

    NAME: ClassVar[str] = "kl_explorer"
    PICTURE: ClassVar[str] = (
        "Densities of Q and P, the logarithm of their ratio, and the integrand whose area is "
        "the divergence; beside them the divergence as a curve, with the present choice "
        "marked."
    )
    STATE: ClassVar[tuple[str, ...]] = ("mu", "sigma", "mode", "direction")
    RANGES: ClassVar[dict[str, Rule]] = {
        "mu": between(-MEAN_REACH, MEAN_REACH),
        "sigma": between(*SIGMA_RANGE),
        "mode": among(MODES),
        "direction": among(DIRECTIONS),
    }
    PYTHON: ClassVar[str] = """
    import torch
    @mode="peaks" @direction="forward" from torch.distributions import Normal

    @mode="prior" from vae_core.distributions import DiagonalGaussian
    @mode="peaks" from vae_core import evaluation
    @mode="peaks" from vae_core.widgets.kl_explorer import two_peaks

    mu, sigma = torch.tensor([[{{mu}}], [{{sigma}}]], dtype=torch.float64)
    @mode="prior" divergence = DiagonalGaussian(mu, sigma.log()).kl()
    @mode="prior" printed = sigma**2 + mu**2 - sigma.log() - 0.5
    @mode="prior" print(f"printed formula {printed.item():.4f}")
    @mode="peaks" P = two_peaks()
    @mode="peaks" @direction="reverse" mu, log_sigma = mu.squeeze(), sigma.log().squeeze()
    @mode="peaks" @direction="reverse" divergence = evaluation.reverse_divergence(P, mu, log_sigma)
    @mode="peaks" @direction="forward" log_p, log_q = P.log_prob, Normal(mu, sigma).log_prob
    @mode="peaks" @direction="forward" on_line = evaluation.divergence_on_line
    @mode="peaks" @direction="forward" divergence = on_line(log_p, log_q, -12.0, 12.0)
    print(f"divergence {float(divergence):.4f} nats")
    """

    mu = traitlets.Float(1.0).tag(sync=True)
    sigma = traitlets.Float(0.5).tag(sync=True)
    mode = traitlets.Unicode("prior").tag(sync=True)
    direction = traitlets.Unicode("reverse").tag(sync=True)

    def __init__(self, **state: Any) -> None:
        target = two_peaks()
        self._target = target
        forward = evaluation.forward_fit(target)
        # One valley at each peak; the deeper one first.
        reverse = sorted(
            (
                evaluation.reverse_fit(target, m, s)
                for m, s in zip(target.component_distribution.mean.tolist(), SIGMAS, strict=True)
            ),
            key=lambda fit: fit.divergence,
        )
        super().__init__(
            payload={
                "reach": MEAN_REACH,
                "sigmas": list(SIGMA_RANGE),
                "target": {"weights": WEIGHTS, "means": MEANS, "sigmas": SIGMAS},
                "optima": {
                    "forward": [forward.mean, forward.sigma],
                    "reverse": [[fit.mean, fit.sigma] for fit in reverse],
                },
            },
            blobs=[],
            **state,
        )

    @traitlets.validate("mu", "sigma")
    def _check_number(self, proposal: Any) -> float:
        name, value = proposal["trait"].name, float(proposal["value"])
        low, high = (-MEAN_REACH, MEAN_REACH) if name == "mu" else SIGMA_RANGE
        if not low <= value <= high:  # false for NaN too
            raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value!r}")
        return value

    @traitlets.validate("mode", "direction")
    def _check_name(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, str(proposal["value"])
        known = MODES if name == "mode" else DIRECTIONS
        if value not in known:
            raise ValueError(f"{name} must be one of {list(known)}, got {value!r}")
        return value

    @property
    def divergence(self) -> float:
        """The divergence that the page shows as an area, in nats."""
        if self.mode == "peaks":
            return self._to_peaks(self.mu, self.direction)
        mean, sigma = (_double([v]) for v in (self.mu, self.sigma))
        return float(DiagonalGaussian(mean, sigma.log()).kl())

    def _to_peaks(self, mean: float, direction: str) -> float:
        """The divergence between N(mean, sigma^2) and the two peaks."""
        place, sigma = _double(mean), _double(self.sigma)
        if direction == "reverse":
            return float(evaluation.reverse_divergence(self._target, place, sigma.log()))
        log_q = Normal(place, sigma).log_prob
        return float(evaluation.divergence_on_line(self._target.log_prob, log_q, -12.0, 12.0))

    @property
    def printed(self) -> float:
        """What the tutorial's code computes in place of D[Q || N(0, 1)]."""
        return self.sigma**2 + self.mu**2 - math.log(self.sigma) - 0.5

    def _log_densities(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log Q and log P at ``z`` [n]."""
        mean, sigma = (_double(v) for v in (self.mu, self.sigma))
        other = self._target if self.mode == "peaks" else Normal(0 * mean, 0 * mean + 1)
        return Normal(mean, sigma).log_prob(z), other.log_prob(z)

    def figure(self) -> Figure:
        """Densities, log-ratio and integrand; beside them the divergence as a curve."""
        half = max(5.0, abs(self.mu) + 4.2 * self.sigma)
        z = torch.linspace(-half, half, 801, dtype=torch.float64, device="cpu")
        log_q, log_p = self._log_densities(z)
        forward = self.mode == "peaks" and self.direction == "forward"
        weight, ratio = (log_p, log_p - log_q) if forward else (log_q, log_q - log_p)
        integrand = weight.exp() * ratio
        figure = Figure(figsize=(8.4, 5.2), layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=[1.5, 1], height_ratios=[1.4, 1, 1])
        density, line, area = (figure.add_subplot(grid[row, 0]) for row in range(3))
        curve = figure.add_subplot(grid[:, 1])
        density.plot(z, log_q.exp(), color=ACCENT, label="Q")
        density.plot(z, log_p.exp(), color=INK, ls="--", label="P")
        density.legend(fontsize=8, frameon=False)
        density.set_ylabel("density", fontsize=8)
        line.plot(z, ratio, color=CLASSES[2])
        line.axhline(0, color=INK, lw=0.7)
        inside = ratio[weight > weight.max() - 4.5]
        line.set_ylim(min(-1.0, float(inside.min())), max(1.0, float(inside.max())))
        line.set_ylabel("log ratio", fontsize=8)
        area.fill_between(z, integrand.clamp(min=0), color=ACCENT, alpha=0.5)
        area.fill_between(z, integrand.clamp(max=0), color=CLASSES[1], alpha=0.5)
        area.axhline(0, color=INK, lw=0.7)
        area.set_title(f"area = {self.divergence:.3f} nats", fontsize=9)
        area.set_ylabel("integrand", fontsize=8)
        if self.mode == "prior":
            s = torch.linspace(0.05, 3, 400, dtype=torch.float32, device="cpu")
            exact = 0.5 * (s**2 + self.mu**2 - 1) - s.log()
            curve.plot(s, exact, color=ACCENT, label="divergence")
            curve.plot(
                s, s**2 + self.mu**2 - s.log() - 0.5, color=CLASSES[1], ls="--", label="printed"
            )
            curve.plot(self.sigma, self.divergence, "o", color=ACCENT)
            curve.set(xlabel="σ", ylim=(0, self.mu**2 + 2.5), ylabel="nats")
        else:
            means = torch.linspace(-MEAN_REACH, MEAN_REACH, 61, dtype=torch.float64, device="cpu")
            for direction, color in zip(DIRECTIONS, (ACCENT, CLASSES[1]), strict=True):
                values = [self._to_peaks(float(m), direction) for m in means]
                curve.plot(means, values, color=color, label=DIRECTIONS[direction])
            curve.plot(self.mu, self.divergence, "o", color=INK)
            curve.set(xlabel="μ", ylim=(0, 8), ylabel="nats")
        curve.legend(fontsize=8, frameon=False)
        return figure
