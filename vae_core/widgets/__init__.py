"""Browser widgets: live in Jupyter, in a page without a kernel, and as a picture in print."""

from __future__ import annotations

from vae_core.widgets.bits_explorer import BitsExplorer
from vae_core.widgets.bound_explorer import BoundExplorer
from vae_core.widgets.conditional_explorer import ConditionalExplorer
from vae_core.widgets.derivation_desk import DerivationDesk
from vae_core.widgets.draw_and_encode import DrawAndEncode
from vae_core.widgets.elbo_explorer import ELBOExplorer
from vae_core.widgets.gradient_noise import GradientNoise
from vae_core.widgets.kl_explorer import KLExplorer
from vae_core.widgets.latent_explorer import LatentExplorer
from vae_core.widgets.map_explorer import MapExplorer
from vae_core.widgets.opening import Opening
from vae_core.widgets.posterior_explorer import PosteriorExplorer
from vae_core.widgets.reparameterization_explorer import ReparameterizationExplorer
from vae_core.widgets.sampling_explorer import SamplingExplorer
from vae_core.widgets.sigma_explorer import SigmaExplorer
from vae_core.widgets.training_lab import TrainingLab

__all__ = [
    "BitsExplorer",
    "BoundExplorer",
    "ConditionalExplorer",
    "DerivationDesk",
    "DrawAndEncode",
    "ELBOExplorer",
    "GradientNoise",
    "KLExplorer",
    "LatentExplorer",
    "MapExplorer",
    "Opening",
    "PosteriorExplorer",
    "ReparameterizationExplorer",
    "SamplingExplorer",
    "SigmaExplorer",
    "TrainingLab",
]
