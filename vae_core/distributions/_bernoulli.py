"""P(X|z) of black-and-white pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core.distributions._parts import check_shapes, sum_event


class BernoulliLikelihood(nn.Module):
    """P(X|z) for black-and-white pixels: the decoder's output is the logit of each pixel."""

    outputs = 1

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless every value of ``x`` is 0 or 1.

        Cross-entropy on grey pixels is no likelihood: it does not sum to one over the pixels'
        possible values.
        """
        if not bool(((x == 0) | (x == 1)).all()):
            raise ValueError(
                "a Bernoulli likelihood takes pixels that are 0 or 1; binarize grey images first"
            )

    def log_prob(
        self, x: Float[Tensor, " batch *event"], output: Float[Tensor, "..."]
    ) -> Float[Tensor, "*draws batch"]:
        """log P(x|z) in nats; x: [batch, *event] in {0, 1}, output: [..., batch, *event] logits.

        Returns [..., batch], summed over pixels.
        """
        check_shapes(x, output)
        # -softplus(output) + x * output is the cross-entropy's stable form, one pass, no sigmoid.
        return sum_event(x * output - F.softplus(output), x)

    def mean(self, output: Float[Tensor, "*output"]) -> Float[Tensor, "*output"]:
        """Probability that each pixel is 1: same shape as ``output``."""
        return torch.sigmoid(output)

    def sample(
        self, output: Float[Tensor, "*output"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*output"]:
        """Black-and-white pixels drawn from P(X|z), same shape as ``output``."""
        probability = self.mean(output)
        # The same draws for weights of any dtype, whatever torch's default is.
        size, place = output.shape, output.device
        uniform = torch.rand(size, generator=generator, dtype=torch.float32, device=place)
        return (uniform < probability).to(output.dtype)
