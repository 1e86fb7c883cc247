"""Numbers too small for a float's full precision, with which a CPU reckons a hundred times slower.

Training makes them at two places, and a run then takes up to a third longer. What is set to 0 here
is so small that no weight would have moved by one bit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Far below what moves a weight (Adam adds 1e-8 to its divisor), far above 1.2e-38, where float32's
# denormal numbers begin.
NEGLIGIBLE = 1e-30


def _shrink(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else F.hardshrink(gradient, NEGLIGIBLE)


def drop_from_gradient(output: Tensor) -> None:
    """On a CPU, let the gradient that reaches ``output`` have 0 for what is negligible.

    For logits of means in (0, 1): where a pixel is 0 and its mean nearly so, the squared error's
    gradient is about 2 mean^2, which is denormal for logits below -44. The matrix products that
    follow take each such number hundreds of times.
    """
    if output.requires_grad and output.device.type == "cpu":
        output.register_hook(_shrink)


@torch.no_grad()
def drop_from_moments(optimizer: torch.optim.Optimizer) -> None:
    """Set those of Adam's moments to 0 that are about to become denormal.

    A dead unit's moments shrink at every step (0.9 and 0.999 times) and come to rest among the
    denormals. To be called every hundred steps: what is let pass is still normal at the next call.
    """
    for state in optimizer.state.values():
        for name, least in (("exp_avg", NEGLIGIBLE), ("exp_avg_sq", 1e-37)):
            if name in state:
                state[name].masked_fill_(state[name].abs() < least, 0)
