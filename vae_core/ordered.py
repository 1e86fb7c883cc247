"""A likelihood of 256 grey levels that learns how far apart the levels lie.

:class:`OrderedLogitLikelihood` is a discretized logistic whose bins have no fixed width: pictures
of ink on paper are mostly 0, often near 255, and seldom between, and an even scale has no room to
say so. It stands in a module of its own: models that do without it do without its code too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vae_core.distributions import DiscretizedLogisticLikelihood
from vae_core.distributions._parts import check_shapes, sum_event

__all__ = ["OrderedLogitLikelihood"]


class OrderedLogitLikelihood(DiscretizedLogisticLikelihood):
    """P(X|z) for grey pixels of 256 levels, by ordered logits with learned cut points.

    McCullagh 1980, with a scale of its own for each case, here a pixel: with the shift b (the first
    half of the output's channels) and the log steepness l (the second half) of each pixel, and 255
    cut points c_0 < ... < c_254 that all pixels share,

        P(level <= k) = sigmoid(exp(l) c_k - b).

    A :class:`~vae_core.distributions.DiscretizedLogisticLikelihood` is the case
    c_k = (k + 1/2)/255 - 1/2, and this one starts there. :meth:`set_levels` gives it a better
    start: cut points at which b = 0 and l = 0 make each level as frequent as it is in the images.
    The cut points are trained with the rest, as ``first`` (c_0, []) and ``log_gaps`` (of
    c_(k+1) - c_k, [254]), so that they can't change places.
    """

    def __init__(self) -> None:
        super().__init__()
        gap = torch.tensor(1 / (self.LEVELS - 1), device="cpu")
        self.first = nn.Parameter(0.5 * gap - 0.5)
        self.log_gaps = nn.Parameter(gap.log().repeat(self.LEVELS - 2))

    def cuts(self) -> Float[Tensor, "255"]:
        """The cut points c_0 < ... < c_254: [255]."""
        rises = self.log_gaps.exp().cumsum(0)
        return torch.cat([self.first.reshape(1), self.first + rises])

    @torch.no_grad()
    def set_levels(self, images: Shaped[Tensor, " n *shape"]) -> None:
        """Put the cut points where the levels of ``images``, uint8 of any shape, are told apart.

        Each level is counted once more than it is there, so that none is impossible. Raises
        ``ValueError`` for another dtype, or no images.
        """
        if images.dtype != torch.uint8 or not images.numel():
            raise ValueError(
                f"set_levels takes uint8 images, one or more; got {images.dtype} "
                f"{list(images.shape)}"
            )
        # On the CPU: not every device counts, or knows float64.
        counts = torch.bincount(images.flatten().long().cpu(), minlength=self.LEVELS).double() + 1
        # Counted from both ends: a logit keeps its digits where nearly all lies to one side.
        below, above = counts.cumsum(0)[:-1], counts.flip(0).cumsum(0).flip(0)[1:]
        cuts = below.log() - above.log()
        self.first.copy_(cuts[0])
        self.log_gaps.copy_(cuts.diff().log())

    def split(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> tuple[
        Float[Tensor, "*batch channels height width"], Float[Tensor, "*batch channels height width"]
    ]:
        """B and s of P(level <= k) = sigmoid(s c_k - B): each [..., *image's shape].

        ``output``: [..., 2 * channels, height, width]; B = b and s = exp(l). Raises ``ValueError``
        for another number of channels.
        """
        _, steepness = super().split(output)  # which sees to the number of channels
        return output.chunk(2, dim=-3)[0], steepness

    def log_prob(
        self,
        x: Float[Tensor, "batch channels height width"],
        output: Float[Tensor, "*draws batch 2*channels height width"],
    ) -> Float[Tensor, "*draws batch"]:
        """log P(x|z) in nats; x: [batch, channels, height, width] as for ``check``.

        ``output``: [..., batch, 2 * channels, height, width]. Returns [..., batch]. Raises
        ``ValueError`` where their shapes do not fit.
        """
        shift, steepness = self.split(output)
        check_shapes(x, shift)
        top = self.LEVELS - 1
        level = (x * top).round().long()
        # The bin of level k ends at cut k and is as wide as gap k; outer bins have any width here.
        cuts, edge = self.cuts(), self.log_gaps.new_ones(1)
        ends, gaps = torch.cat([cuts, cuts[-1:]]), torch.cat([edge, self.log_gaps.exp(), edge])
        which = level.flatten()
        upper = steepness * ends.index_select(0, which).view(x.shape) - shift
        width = steepness * gaps.index_select(0, which).view(x.shape)
        # As in the discretized logistic: the difference of two sigmoids by three logarithms.
        below_top, above_bottom = level < top, level > 0
        value = torch.where(below_top, -F.softplus(-upper), 0.0)
        lower = torch.where(below_top, upper - width, upper)  # level 255 starts at the last cut
        value = value - torch.where(above_bottom, F.softplus(lower), 0.0)
        inside = torch.log(-torch.expm1(-width))
        return sum_event(value + torch.where(below_top & above_bottom, inside, 0.0), x)

    def mean(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Mean of each pixel, in [0, 1]: [..., channels, height, width], half of the output's."""
        shift, steepness = self.split(output)
        total = torch.zeros_like(shift)
        for cut in self.cuts():  # E[level] = sum of P(level > k)
            total = total + torch.sigmoid(shift - steepness * cut)
        return total / (self.LEVELS - 1)

    def sample(
        self,
        output: Float[Tensor, "*batch pairs height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch channels height width"]:
        """Pixels k/255 drawn from P(X|z): [..., channels, height, width]."""
        grey = self._draw(output, generator)
        level = torch.searchsorted(self.cuts().detach(), grey.detach().contiguous())
        return level.to(output.dtype) / (self.LEVELS - 1)
