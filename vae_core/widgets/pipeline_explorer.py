"""PipelineExplorer: a digit on its way through a VAE and back, and the two terms of its loss."""

from __future__ import annotations

from typing import ClassVar

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, STYLE
from vae_core.widgets.draw_and_encode import DrawAndEncode, row_of


class PipelineExplorer(DrawAndEncode):
    """Every part of a VAE in a row, and a digit that goes through it.

    From the digit X the encoder computes a mean and a standard deviation for each of two latents;
    z is drawn from that Gaussian; the decoder computes the pixels' distribution from z. Below, the
    loss, minus the ELBO at this z, as two bars that add up. The reader chooses a test digit or
    draws one, and draws z again.

    The arguments, the traits and the numbers are those of :class:`DrawAndEncode`, which shows the
    posterior and the bound of a drawing in more detail: this is the picture to begin with.

    Args:
        model: a VAE with two latent dimensions.
        data: the test images, uint8 [n, 1, height, width], with labels.

    Raises:
        ValueError: for a model or data that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "pipeline_explorer"
    PICTURE: ClassVar[str] = (
        "A digit X; Q(z|X) among the codes of the test digits, with a draw z of it; the digit "
        "decoded from z; and below, bars of the loss: reconstruction, divergence and their sum."
    )

    @torch.no_grad()
    def figure(self) -> Figure:
        """Digit, code, decoded digit, and the bars of the loss."""
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(7.6, 4.3), layout="constrained")
            grid = figure.add_gridspec(2, 3, width_ratios=[1, 1.6, 1], height_ratios=[3, 1])
            first, plane, last = (figure.add_subplot(grid[0, k]) for k in range(3))
            bars = figure.add_subplot(grid[1, :])
        _digit(first, self.image()[0, 0], "a digit X")
        decoded = self.twin.mean(row_of(self.z))
        _digit(last, decoded[0, 0], "decoder: from z to P(X|z)")
        self._draw_posterior(plane, alpha=0.2)
        plane.plot(*self.z, "o", color=ACCENT, ms=4)
        plane.set_title("encoder: from X to Q(z|X), and a draw z", fontsize=9)
        terms = (
            ("−log P(X|z)", 0.0, -self.reconstruction, 2),
            ("D[Q(z|X) ‖ P(z)]", -self.reconstruction, self.kl, 4),
        )
        for row, (name, left, width, color) in enumerate(terms):
            for at in (row, 2):
                bars.barh(at, width, left=left, color=CLASSES[color], alpha=0.8)
            bars.text(left + width, row, f"  {name}: {width:.2f}", va="center", fontsize=9)
        bars.text(-self.elbo, 2, f"  loss: {-self.elbo:.2f}", va="center", fontsize=9)
        bars.set(yticks=[], ylim=(2.6, -0.6), xlabel="nats", xlim=(0, max(1.0, -1.45 * self.elbo)))
        return figure


def _digit(axes: Axes, image: Tensor, title: str) -> None:
    axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)
