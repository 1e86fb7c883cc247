"""Browser widgets: live in Jupyter, in a page without a kernel, and as a picture in print."""

from __future__ import annotations

from vae_core.widgets.bits_explorer import BitsExplorer
from vae_core.widgets.draw_and_encode import DrawAndEncode
from vae_core.widgets.latent_explorer import LatentExplorer

__all__ = ["BitsExplorer", "DrawAndEncode", "LatentExplorer"]
