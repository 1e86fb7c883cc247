"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from vae_core.figures._applications import cost_histograms, differences
from vae_core.figures._background import histograms, loadings, point_map, two_ways_to_classify
from vae_core.figures._coding import bit_bars, bits_ledger, dimension_bars, fine_curves
from vae_core.figures._conditional import Ladder, completion_rows, ladders_by_draws
from vae_core.figures._digits import decoded_grids, digit_rows, grid_of_latents, latent_maps, tile
from vae_core.figures._divergence import gaussians_at_a_target, variances_in_training
from vae_core.figures._elbo import Curves, curve_panels, posterior_maps
from vae_core.figures._panels import Panel, panels
from vae_core.figures._picture import WIDTH, Picture
from vae_core.figures._posterior import (
    PlanePosterior,
    gap_decay,
    gap_histogram,
    gradient_norms,
    plane_posteriors,
    quantile_maps,
    shrinking_posteriors,
)
from vae_core.figures._representation import against_latents, projections
from vae_core.figures._sampling import Curve, draw_curves
from vae_core.figures._sigma import collapsed_directions, rates_near_collapse, sigma_sweep
from vae_core.figures._testing import (
    bound_ladders,
    bounds_by_draws,
    latent_use,
    paths_through_a_vae,
)
from vae_core.figures._training_graphs import (
    conditional_graphs,
    growth,
    noise_diagram,
    training_graphs,
)

__all__ = [
    "WIDTH",
    "Curve",
    "Curves",
    "Ladder",
    "Panel",
    "Picture",
    "PlanePosterior",
    "against_latents",
    "bit_bars",
    "bits_ledger",
    "bound_ladders",
    "bounds_by_draws",
    "collapsed_directions",
    "completion_rows",
    "conditional_graphs",
    "cost_histograms",
    "curve_panels",
    "decoded_grids",
    "differences",
    "digit_rows",
    "dimension_bars",
    "draw_curves",
    "fine_curves",
    "gap_decay",
    "gap_histogram",
    "gaussians_at_a_target",
    "gradient_norms",
    "grid_of_latents",
    "growth",
    "histograms",
    "ladders_by_draws",
    "latent_maps",
    "latent_use",
    "loadings",
    "noise_diagram",
    "panels",
    "paths_through_a_vae",
    "plane_posteriors",
    "point_map",
    "posterior_maps",
    "projections",
    "quantile_maps",
    "rates_near_collapse",
    "shrinking_posteriors",
    "sigma_sweep",
    "tile",
    "training_graphs",
    "two_ways_to_classify",
    "variances_in_training",
]
