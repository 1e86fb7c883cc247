"""Browser widgets: live in Jupyter, in a page without a kernel, and as a picture in print."""

from __future__ import annotations

from vae_core.widgets.draw_and_encode import DrawAndEncode
from vae_core.widgets.elbo_explorer import ELBOExplorer
from vae_core.widgets.latent_explorer import LatentExplorer

__all__ = ["DrawAndEncode", "ELBOExplorer", "LatentExplorer"]
