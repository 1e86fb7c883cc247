"""One entry for every widget: how a notebook makes it, and how a reader and Python move it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# Small models that were never trained: what is tested is the way between page and kernel.
SETUP = """\
import torch
from vae_core import data, widgets
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder

torch.set_num_threads(1)
few = data.load("mnist", "test").first(60)
black_and_white = data.binarize(few.images[:10], "fixed")
ten = [f"digit {k}" for k in range(10)]


def vae(latents=2, likelihood=None):
    return VAE(latents, hidden=(16,), likelihood=likelihood, seed=1).eval()


def cvae(latents, **options):
    return CVAE(latents, hidden=(16,), likelihood=BernoulliLikelihood(), seed=1, **options).eval()
"""


def press(name: str) -> Callable[[Any, Any], None]:
    """A reader's click on a button."""
    return lambda widget, _page: widget.get_by_role("button", name=name, exact=True).first.click()


def arrow(name: str) -> Callable[[Any, Any], None]:
    """A reader's arrow key on a slider or a handle."""

    def act(widget: Any, page: Any) -> None:
        widget.get_by_role("slider", name=name, exact=True).first.focus()
        page.keyboard.press("ArrowRight")

    return act


def stroke(widget: Any, page: Any) -> None:
    """A reader's stroke with the mouse across the drawing pad."""
    pad = widget.get_by_role("application", name="Drawing pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y - 40)
    page.mouse.down()
    page.mouse.move(x + 30, y + 40, steps=4)
    page.mouse.up()


class Case(NamedTuple):
    """``act`` moves the trait ``moved`` in the page; Python sets the trait ``put`` to ``value``."""

    make: str
    act: Callable[[Any, Any], None]
    moved: str
    put: str
    value: Any


CASES: dict[str, Case] = {
    "BitsExplorer": Case(
        "widgets.BitsExplorer(vae(4, BernoulliLikelihood()), black_and_white.to(torch.uint8), ten)",
        press("digit 5"), "digit", "shift", 1.5,
    ),
    "BoundExplorer": Case(
        "widgets.BoundExplorer(torch.randn(120, 10), few.images[:10], ten)",
        arrow("Draws k"), "k", "digit", 3,
    ),
    "ConditionalExplorer": Case(
        "widgets.ConditionalExplorer(cvae(2, classes=10),"
        " {'quadrant': cvae(3, observed='1-quadrant', prior='learned')}, few)",
        press("Complete a digit"), "mode", "z", [0.5, -1.25],
    ),
    "DerivationDesk": Case(
        "widgets.DerivationDesk(['elbo-two-terms'], ['elbo_chain'])",
        press("From scratch"), "mode", "sheet", "elbo_chain",
    ),
    "DrawAndEncode": Case(
        "widgets.DrawAndEncode(vae(), few)", stroke, "pixels", "noise", [0.25, -0.5]
    ),
    "ELBOExplorer": Case(
        "widgets.ELBOExplorer()", press("Q = prior"), "mean", "sigma", 0.25
    ),
    "GradientNoise": Case(
        "widgets.GradientNoise()", press("Draw again"), "seed", "draws", 16
    ),
    "KLExplorer": Case("widgets.KLExplorer()", arrow("Mean of Q"), "mu", "mode", "peaks"),
    "LatentExplorer": Case(
        "widgets.LatentExplorer("
        "{'AE': Autoencoder(hidden=(16,), seed=1).eval(), 'VAE': vae()}, few)",
        arrow("Walk from A to B"), "walk", "z", [0.5, -1.25],
    ),
    "MapExplorer": Case(
        "widgets.MapExplorer()", arrow("Point A in z-space"), "points", "chosen", 2
    ),
    "Opening": Case(
        "widgets.Opening("
        "{'AE': Autoencoder(hidden=(16,), seed=1).eval(), 'VAE': vae()}, few)",
        press("Draw 20 from the prior"), "draws", "z", [0.5, -1.25],
    ),
    "PosteriorExplorer": Case(
        "widgets.PosteriorExplorer()", press("Best Gaussian"), "best", "x", 0.75
    ),
    "ReparameterizationExplorer": Case(
        "widgets.ReparameterizationExplorer()", press("Draw 100"), "draws", "mu", 0.75
    ),
    "SamplingExplorer": Case(
        "widgets.SamplingExplorer()", press("z from Q(z|X)"), "proposal", "n", 500
    ),
    "SigmaExplorer": Case(
        "widgets.SigmaExplorer([vae(2, GaussianLikelihood(s)) for s in (0.5, 1.0)], few)",
        press("Another digit"), "digit", "z", [0.5, -1.25],
    ),
    "TrainingLab": Case(
        "widgets.TrainingLab(hidden=[8], batch=8)",
        press("Fork: compare from here"), "forks", "chosen", 3,
    ),
}  # fmt: skip
