"""How good a trained model is: its bound and log P(X), its latents, its samples.

Estimates come as :class:`Estimate`, a value with its standard error, or as one value and one
standard error an image. Images are uint8, or floating in the likelihood's range; they are worked on
in chunks, on the model's device and in its dtype.
"""

from vae_core._ablation import latents_by_rate, without_latent
from vae_core.evaluation._detection import auroc, compressed_bits
from vae_core.evaluation._divergence import (
    FittedGaussian,
    divergence_on_line,
    forward_fit,
    gaussian_divergence,
    reverse_divergence,
    reverse_fit,
)
from vae_core.evaluation._estimate import Estimate, mean_estimate
from vae_core.evaluation._estimators import posterior_gradients
from vae_core.evaluation._gradients import (
    GradientLaw,
    GradientVariance,
    ScalarVAE,
    gradient_variance,
)
from vae_core.evaluation._importance import (
    Bound,
    LogLikelihood,
    importance_sampling,
    monte_carlo,
)
from vae_core.evaluation._impute import (
    Coverage,
    Imputation,
    coverage,
    fill_by_neighbours,
    impute,
)
from vae_core.evaluation._latents import (
    Moments,
    latent_samples,
    maximum_mean_discrepancy,
    moment_divergence,
    moments,
    sliced_wasserstein,
)
from vae_core.evaluation._likelihood import (
    RateDistortion,
    log_likelihood,
    log_weights,
    rate_distortion,
)
from vae_core.evaluation._one_latent import GaussianQ, OneLatent, Terms
from vae_core.evaluation._posterior import (
    PosteriorGrid,
    Refinement,
    refine_posterior,
    true_posterior_grid,
)
from vae_core.evaluation._prior import (
    PriorDivergence,
    PriorSampling,
    prior_divergence,
    prior_sampling,
)
from vae_core.evaluation._quantile_map import (
    Decay,
    Density,
    QuantileMap,
    fit_decay,
)
from vae_core.evaluation._samples import (
    PrecisionRecall,
    classify,
    frechet_distance,
    image_features,
    nearest_distance,
    precision_recall,
    reconstruction_error,
)
from vae_core.evaluation._strokes import Strokes, measure_strokes, reshape_strokes
from vae_core.evaluation._trade_off import TradeOff, residual_variances, trade_off

__all__ = [
    "Bound",
    "Coverage",
    "Decay",
    "Density",
    "Estimate",
    "FittedGaussian",
    "GaussianQ",
    "GradientLaw",
    "GradientVariance",
    "Imputation",
    "LogLikelihood",
    "Moments",
    "OneLatent",
    "PosteriorGrid",
    "PrecisionRecall",
    "PriorDivergence",
    "PriorSampling",
    "QuantileMap",
    "RateDistortion",
    "Refinement",
    "ScalarVAE",
    "Strokes",
    "Terms",
    "TradeOff",
    "auroc",
    "classify",
    "compressed_bits",
    "coverage",
    "divergence_on_line",
    "fill_by_neighbours",
    "fit_decay",
    "forward_fit",
    "frechet_distance",
    "gaussian_divergence",
    "gradient_variance",
    "image_features",
    "importance_sampling",
    "impute",
    "latent_samples",
    "latents_by_rate",
    "log_likelihood",
    "log_weights",
    "maximum_mean_discrepancy",
    "mean_estimate",
    "measure_strokes",
    "moment_divergence",
    "moments",
    "monte_carlo",
    "nearest_distance",
    "posterior_gradients",
    "precision_recall",
    "prior_divergence",
    "prior_sampling",
    "rate_distortion",
    "reconstruction_error",
    "refine_posterior",
    "reshape_strokes",
    "residual_variances",
    "reverse_divergence",
    "reverse_fit",
    "sliced_wasserstein",
    "trade_off",
    "true_posterior_grid",
    "without_latent",
]
