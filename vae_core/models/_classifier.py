"""The network that judges what the other models make."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core import _check
from vae_core.models._networks import MNIST_SHAPE, check_images, check_shape, first_weights


class Classifier(nn.Module):
    """A small convolutional network that names digits; it judges what the other models make.

    Two strided convolutions, then one hidden layer, whose ``features`` [batch, 128] serve as the
    space in which sets of images are compared.
    """

    def __init__(
        self, classes: int = 10, shape: Sequence[int] = MNIST_SHAPE, seed: int = 0
    ) -> None:
        super().__init__()
        classes = _check.whole("classes", classes)
        self.shape = check_shape(shape)
        channels, height, width = self.shape
        with first_weights(seed):
            # Strides, not pooling: a third of the work on a CPU, and as good on digits.
            self.first = nn.Conv2d(channels, 24, 5, stride=2, padding=2)
            self.second = nn.Conv2d(24, 48, 5, stride=2, padding=2)
            quarter = math.ceil(height / 4) * math.ceil(width / 4)
            self.hidden = nn.Linear(48 * quarter, 128)
            self.last = nn.Linear(128, classes)

    def features(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch 128"]:
        """Images [batch, *shape] to non-negative features [batch, 128]."""
        check_images(x, self.shape, self.first.weight)
        h = F.relu(self.first(x))
        h = F.relu(self.second(h))
        return F.relu(self.hidden(h.flatten(1)))

    def forward(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Images [batch, *shape] to class logits [batch, classes]."""
        return self.last(self.features(x))
