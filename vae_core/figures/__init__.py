"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from vae_core.figures._digits import decoded_grids, digit_rows, grid_of_latents, latent_maps, tile
from vae_core.figures._divergence import gaussians_at_a_target, variances_in_training
from vae_core.figures._panels import Panel, panels
from vae_core.figures._picture import WIDTH, Picture
from vae_core.figures._testing import (
    bound_ladders,
    bounds_by_draws,
    latent_use,
    paths_through_a_vae,
)

__all__ = [
    "WIDTH",
    "Panel",
    "Picture",
    "bound_ladders",
    "bounds_by_draws",
    "decoded_grids",
    "digit_rows",
    "gaussians_at_a_target",
    "grid_of_latents",
    "latent_maps",
    "latent_use",
    "panels",
    "paths_through_a_vae",
    "tile",
    "variances_in_training",
]
