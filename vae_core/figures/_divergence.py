"""Figures of chapter 04."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from vae_core._plot import CLASSES, INK, finite
from vae_core.figures._picture import Picture, _subplots


def gaussians_at_a_target(
    target: Distribution, fits: Mapping[str, tuple[float, float]], reach: float = 6.0
) -> Picture:
    """Log density and density of ``target`` (one variable) with Gaussians (name -> mean, sigma).

    The logarithms show how each treats the places where the other has next to nothing.
    """
    figure, axes = _subplots(2, 3.3)
    z = torch.linspace(-reach, reach, 601, dtype=torch.float64, device="cpu")
    curves = {"P": target.log_prob(z)}
    for name, (mean, sigma) in fits.items():
        curves[name] = Normal(z.new_tensor(mean), z.new_tensor(sigma)).log_prob(z)
    for color, (name, log_density) in zip((INK, *CLASSES), curves.items(), strict=False):
        style = {"color": color, "ls": "--" if name == "P" else "-", "lw": 1.6}
        axes[0, 0].plot(z, log_density.exp(), label=name, **style)
        axes[0, 1].plot(z, log_density, **style)
    axes[0, 0].set(xlabel="$z$", ylabel="density", ylim=(0, None))
    # Inside either panel the names would cover a peak.
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    axes[0, 1].set(xlabel="$z$", ylabel="log density (nats)", ylim=(-14, 0.5))
    return Picture(figure)


def variances_in_training(histories: Mapping[str, tuple[Tensor, float]]) -> Picture:
    """Variance of the codes, [steps], as training goes on, and the level predicted for each."""
    figure, axes = _subplots(1, 2.6)
    for color, (name, (values, level)) in zip(CLASSES, histories.items(), strict=False):
        axes[0, 0].plot(finite(name, values), color=color, label=name)
        axes[0, 0].axhline(level, color=color, ls=":", lw=1)
    axes[0, 0].set(xlabel="step of Adam", ylabel="variance of the codes", ylim=(0, None))
    axes[0, 0].legend(fontsize=8)
    return Picture(figure)
