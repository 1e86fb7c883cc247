"""Figures of the book, in matplotlib: one look for all chapters, drawn to scale."""

from vae_core.figures._digits import decoded_grids, digit_rows, grid_of_latents, latent_maps, tile
from vae_core.figures._picture import WIDTH, Picture

__all__ = [
    "WIDTH",
    "Picture",
    "decoded_grids",
    "digit_rows",
    "grid_of_latents",
    "latent_maps",
    "tile",
]
