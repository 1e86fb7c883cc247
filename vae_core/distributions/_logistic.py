"""P(X|z) of grey pixels with 256 levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core.distributions._parts import check_shapes, sum_event


class DiscretizedLogisticLikelihood(nn.Module):
    """P(X|z) for grey pixels of 256 levels k/255: a probability of each level, not a density.

    A logistic distribution cut into bins at (k + 1/2)/255, its tails given to the outer levels
    (Kingma et al. 2016, appendix; Salimans et al. 2017, equation 2). The decoder gives two numbers
    a pixel, in the form of McCullagh's (1980) ordered logits: with the shift b (the first half of
    the channels) and the log steepness l (the second half),

        P(level <= k) = sigmoid(exp(l) ((k + 1/2)/255 - 1/2) - b),

    which is the logistic distribution of location 1/2 + b exp(-l) and scale exp(-l) in pixel units.
    (Measured from mid-grey, b and l pull on a pixel independently, and training gets further than
    with b measured from level 0.) l is held within ``LOG_STEEPNESS``: at its upper end a pixel can
    be one level with near certainty. A flat logistic keeps only the two tails, so black-and-white
    pixels are within its reach too.
    """

    outputs = 2
    LEVELS = 256
    LOG_STEEPNESS = (-10.0, 10.0)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless every value of ``x`` is one of 0/255, 1/255 ... 255/255."""
        level = x * (self.LEVELS - 1)
        whole = (level - level.round()).abs() < 1e-3
        if not bool((whole & (x >= 0) & (x <= 1)).all()):
            raise ValueError(
                "a discretized likelihood takes grey pixels k/255, k = 0 .. 255 (to_float makes "
                "them of bytes)"
            )

    def split(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> tuple[
        Float[Tensor, "*batch channels height width"], Float[Tensor, "*batch channels height width"]
    ]:
        """B and s of P(level <= k) = sigmoid(s (k + 1/2)/255 - B): each [..., *image's shape].

        ``output``: [..., 2 * channels, height, width]. s = exp(l) is the steepness, B = b + s/2.
        """
        if output.ndim < 3 or output.shape[-3] % 2:
            raise ValueError(
                f"the decoder's output must be [..., 2 * channels, height, width]; "
                f"got {list(output.shape)}"
            )
        shift, log_steepness = output.chunk(2, dim=-3)
        steepness = log_steepness.clamp(*self.LOG_STEEPNESS).exp()
        return shift + 0.5 * steepness, steepness

    def log_prob(
        self,
        x: Float[Tensor, "batch channels height width"],
        output: Float[Tensor, "*draws batch 2*channels height width"],
    ) -> Float[Tensor, "*draws batch"]:
        """log P(x|z) in nats; x: [batch, channels, height, width] as for :meth:`check`.

        ``output``: [..., batch, 2 * channels, height, width]. Returns [..., batch].
        """
        shift, steepness = self.split(output)
        check_shapes(x, shift)
        level = (x * (self.LEVELS - 1)).round()
        width = steepness / (self.LEVELS - 1)
        lower = (level - 0.5) * width - shift
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): three logarithms that
        # keep their digits; at an outer level one bound is infinite and two of them are 0.
        below_top, above_bottom = level < self.LEVELS - 1, level > 0
        value = torch.where(below_top, -F.softplus(-(lower + width)), 0.0)
        value = value - torch.where(above_bottom, F.softplus(lower), 0.0)
        inside = torch.log(-torch.expm1(-width))
        return sum_event(value + torch.where(below_top & above_bottom, inside, 0.0), x)

    def mean(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Mean of each pixel, in [0, 1]: [..., channels, height, width], half of the output's."""
        shift, steepness = self.split(output)
        total = torch.zeros_like(shift)
        for level in range(self.LEVELS - 1):  # E[level] = sum of P(level > k)
            total = total + torch.sigmoid(shift - steepness * ((level + 0.5) / (self.LEVELS - 1)))
        return total / (self.LEVELS - 1)

    def sample(
        self,
        output: Float[Tensor, "*batch pairs height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch channels height width"]:
        """Pixels k/255 drawn from P(X|z): [..., channels, height, width]."""
        grey = self._draw(output, generator)
        level = torch.ceil(grey * (self.LEVELS - 1) - 0.5).clamp(0, self.LEVELS - 1)
        return level / (self.LEVELS - 1)

    def _draw(
        self, output: Float[Tensor, "*batch pairs height width"], generator: torch.Generator | None
    ) -> Float[Tensor, "*batch channels height width"]:
        """A draw of the logistic variable whose place among the cuts is the level."""
        shift, steepness = self.split(output)
        uniform = torch.rand(
            shift.shape, generator=generator, device=output.device, dtype=output.dtype
        )
        return (shift + torch.logit(uniform, eps=1e-7)) / steepness
