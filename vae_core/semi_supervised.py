"""A classifier that learns from images without labels too: model M2 of Kingma et al. 2014.

The class y is a latent of a conditional VAE, with P(y) uniform. Where it is known, it is used;
where it is not, a classifier Q(y|X) stands for it, and is trained with the rest: the unlabelled
images teach the decoder what images look like, and the classifier which class explains each best.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core import _check
from vae_core.distributions import Likelihood
from vae_core.models import CVAE
from vae_core.models._networks import first_weights
from vae_core.objectives import Objective, Terms, elbo

__all__ = ["UNLABELLED", "SemiSupervisedVAE", "semi_supervised_objective"]

UNLABELLED = -1  # the label of an image whose class is not given


class SemiSupervisedVAE(nn.Module):
    """P(y) P(z) P(X|y, z) with Q(y|X) Q(z|X, y) (Kingma, Rezende, Mohamed & Welling 2014, M2).

    ``cvae`` is the :class:`~vae_core.models.CVAE` of the images given their class, ``classifier``
    is Q(y|X): a network of the same hidden widths from pixels to one logit a class. The
    arguments are the CVAE's. ``forward`` gives class logits, so that the model may stand wherever
    a classifier does. Raises ``ValueError`` for fewer than two classes, or as the CVAE does.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        hidden: Sequence[int],
        likelihood: Likelihood,
        *,
        classes: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.classes = _check.whole("classes", classes, least=2)
        self.cvae = CVAE(latent_dim, shape, hidden, likelihood, seed=seed, classes=classes)
        self.shape = self.cvae.shape
        self.likelihood = self.cvae.likelihood
        widths = [math.prod(self.shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        with first_weights(seed):
            for width, following in itertools.pairwise(widths):
                layers += [nn.Linear(width, following), nn.ReLU()]
            self.classifier = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Images [batch, *shape] to class logits [batch, classes]."""
        return self.classifier(x)

    def class_bounds(
        self, x: Float[Tensor, " batch *shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch classes"]:
        """A bound on log P(X, y) for every class y, in nats: [batch, classes].

        The ELBO of X given y, with one draw of z, plus log P(y) = -log(classes).
        """
        repeated = x.repeat_interleave(self.classes, dim=0)
        labels = torch.arange(self.classes, device=x.device).repeat(len(x))
        bound = elbo(self.cvae, repeated, generator=generator, validate=False, condition=labels)
        return bound.total.reshape(len(x), self.classes) - math.log(self.classes)


def semi_supervised_objective(weight: float = 100.0) -> Objective:
    """The loss of M2, for ``fit``; labels of ``UNLABELLED`` are not given.

    With b(y) the bound on log P(X, y): -b(y) - ``weight`` log Q(y|X) for an image of class y
    (Kingma et al. 2014, equations 6 and 9), and for one without a label, whose class is summed
    over, -sum_y Q(y|X) (b(y) - log Q(y|X)) (equation 7), a bound on -log P(X). ``weight`` says
    what a label counts beside a nat of the bound, since only the labelled images, which may be
    few, train the classifier by it. Raises ``ValueError`` for a negative or infinite weight.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be a number of at least 0; got {weight!r}")

    def objective(
        model: SemiSupervisedVAE, x: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Terms:
        log_q = F.log_softmax(model(x), 1)  # [batch, classes]
        bounds = model.class_bounds(x, generator)
        known = labels != UNLABELLED
        index = labels.clamp(min=0)[:, None]
        of_label = bounds.gather(1, index)[:, 0]
        summed = (log_q.exp() * (bounds - log_q)).sum(1)
        wrong = -log_q.gather(1, index)[:, 0] * known
        return {
            "loss": -torch.where(known, of_label, summed) + weight * wrong,
            "bound": torch.where(known, of_label, summed),
            "cross_entropy": wrong,
        }

    return objective
