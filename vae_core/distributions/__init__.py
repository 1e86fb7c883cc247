"""Distributions over latents and pixels. Everything is in nats, summed over an example's parts.

``DiagonalGaussian`` is the posterior Q(z|X) (and, at mean 0 and log sigma 0, the prior P(z));
``BernoulliLikelihood``, ``GaussianLikelihood`` and ``DiscretizedLogisticLikelihood`` are P(X|z),
each a true likelihood with all its constants. A likelihood reads the decoder's *output* (before any
link) and says what it means; ``outputs`` is how many numbers it reads for each pixel.
"""

from vae_core.distributions._bernoulli import BernoulliLikelihood
from vae_core.distributions._gaussian import LOG_2PI, DiagonalGaussian
from vae_core.distributions._logistic import DiscretizedLogisticLikelihood
from vae_core.distributions._normal import GaussianLikelihood

__all__ = [
    "LOG_2PI",
    "BernoulliLikelihood",
    "DiagonalGaussian",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "Likelihood",
]

Likelihood = BernoulliLikelihood | GaussianLikelihood | DiscretizedLogisticLikelihood
