"""DrawAndEncode: draw a digit and see its posterior, its reconstruction and its ELBO."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import draw_ellipse, draw_plane, extent
from vae_core.data import binarize, to_float
from vae_core.models import VAE
from vae_core.objectives import elbo
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec, embed, encoder_spec, likelihood_spec
from vae_core.widgets._share import Rule, between, whole
from vae_core.widgets._validate import check_codes, check_data, check_model, check_point

SHELF = 30  # test digits to load, an equal number of each class
SAMPLES = 64  # fixed draws behind the averaged ELBO
FIRST_SHOWN = 0  # class of the digit shown at first, where the data has it


class DrawAndEncode(BrowserWidget):
    """A drawing pad before a VAE's encoder, with the ELBO of what is drawn.

    Args:
        model: a VAE with two latent dimensions.
        data: the test images, uint8 [n, 1, height, width], with labels.

    Live traits: ``pixels`` (what the encoder sees, height * width whole numbers from 0 to 255)
    and ``noise`` (the two draws of epsilon behind the sample z = mean + sigma * noise). Setting
    one moves the page, and drawing sets them. They decide ``mean``, ``log_sigma``, ``z``,
    and, in nats, ``reconstruction`` (log P(X|z) at that one z), ``kl`` and ``elbo``, which Python
    computes (:func:`vae_core.objectives.elbo`) with ``twin``, the model as the browser has it.

    Raises:
        ValueError: for a model or data that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "draw_and_encode"
    PICTURE: ClassVar[str] = (
        "A digit as the encoder sees it, the digit decoded from its posterior's mean, and "
        "that posterior at 1 and 2 sigma among the test codes in the latent plane."
    )
    STATE: ClassVar[tuple[str, ...]] = ("pixels", "noise")
    RANGES: ClassVar[dict[str, Rule]] = {"pixels": whole(0, 255), "noise": between(-10.0, 10.0)}

    pixels = traitlets.List(traitlets.Int()).tag(sync=True)
    noise = traitlets.List(traitlets.Float()).tag(sync=True)
    mean = traitlets.List(traitlets.Float()).tag(sync=True)
    log_sigma = traitlets.List(traitlets.Float()).tag(sync=True)
    z = traitlets.List(traitlets.Float()).tag(sync=True)
    reconstruction = traitlets.Float().tag(sync=True)
    kl = traitlets.Float().tag(sync=True)
    elbo = traitlets.Float().tag(sync=True)

    def __init__(self, model: VAE, data: Any) -> None:
        check_model("model", model, variational=True)
        check_data(data, tuple(model.shape))
        self._labels = data.labels.cpu().numpy()
        chosen = pick(data.labels, len(data.classes), SHELF)
        digits = payload.pack_digits(data.images[chosen])
        labels = payload.Blob.of(self._labels.astype(np.uint8).tobytes())
        codes = embed("model", model, data.images)
        codes_blob, scale = payload.pack_codes(codes)
        decoder, encoder = (
            payload.pack_decoder(model, codes),
            payload.pack_encoder(model, data.images),
        )
        self.twin = payload.dequantised(model, decoder, encoder)
        seeded = torch.Generator("cpu").manual_seed(0)
        fixed = torch.randn(SAMPLES, 2, generator=seeded, dtype=torch.float32, device="cpu")
        first = next((i for i in chosen if int(data.labels[i]) == FIRST_SHOWN), chosen[0])
        super().__init__(
            payload={
                "shape": list(model.shape[1:]),
                "classes": list(data.classes),
                "labels": labels.sha,
                "codes": {"sha": codes_blob.sha, "scale": scale},
                "decoder": decoder_spec(model, decoder),
                "encoder": encoder_spec(model, encoder),
                "likelihood": likelihood_spec(model),
                "digits": {"sha": digits.sha, "labels": data.labels[chosen].tolist()},
                "noise": fixed.tolist(),
            },
            blobs=[labels, codes_blob, decoder[0], encoder[0], digits],
            pixels=data.images[first].flatten().tolist(),
            noise=[0.8, -0.6],
            source=_sources.lines(vae=(_sources.from_zoo(model), "the model")),
        )

    @traitlets.validate("pixels")
    def _check_pixels(self, proposal: Any) -> list[int]:
        values = proposal["value"]
        count = math.prod(self.twin.shape)
        if len(values) != count or not all(0 <= v <= 255 for v in values):
            raise ValueError(f"pixels must be {count} whole numbers from 0 to 255")
        return list(values)

    @traitlets.validate("noise")
    def _check_noise(self, proposal: Any) -> list[float]:
        return check_point(proposal["value"], "noise")

    def python(self) -> str:
        """The ELBO of the pixels seen; Bernoulli ones are 0 or 1."""
        binary = self.payload["likelihood"]["kind"] == "bernoulli"
        height, width = self.payload["shape"]
        return f"""
        import torch

        from vae_core import data, objectives

        pixels = {{{{pixels}}}}
        x = torch.tensor(pixels, dtype=torch.uint8).reshape(1, 1, {height}, {width})
        x = {'data.binarize(x, "threshold")' if binary else "data.to_float(x)"}
        with torch.no_grad():
            q = vae.encode(x)
            noise = torch.tensor([[{{{{noise}}}}]], dtype=torch.float32)
            bound = objectives.elbo(vae, x, noise=noise)
        print(f"mean {{q.mean[0].tolist()}}, sigma {{q.sigma[0].tolist()}}")
        print(f"reconstruction {{bound.reconstruction.item():.2f}}, KL {{bound.kl.item():.2f}}, "
              f"ELBO {{bound.total.item():.2f}} nats")
        """

    def image(self) -> Tensor:
        """``pixels`` as the model takes them, float32 [1, 1, h, w]; Bernoulli ones are 0 or 1."""
        values = torch.tensor(self.pixels, dtype=torch.uint8, device="cpu")
        x = to_float(values.reshape(1, *self.twin.shape))
        binary = self.payload["likelihood"]["kind"] == "bernoulli"
        return binarize(x, mode="threshold") if binary else x

    @traitlets.observe("pixels", "noise")
    def _compute(self, change: Any = None) -> None:
        if not self.pixels or not self.noise or not self.payload:
            return
        with torch.no_grad():
            x, noise = self.image(), row_of(self.noise)[None]
            posterior = self.twin.encode(x)
            bound = elbo(self.twin, x, noise=noise)
        values: dict[str, Any] = {
            "mean": posterior.mean[0].tolist(),
            "log_sigma": posterior.log_sigma[0].tolist(),
            "z": posterior.rsample(noise)[0, 0].tolist(),
            "reconstruction": float(bound.reconstruction),
            "kl": float(bound.kl),
            "elbo": float(bound.total),
        }
        check_codes("model", posterior.mean, posterior.sigma)
        if not math.isfinite(values["elbo"]):
            raise ValueError("the ELBO of this image is not finite: the model's training diverged")
        with self.hold_trait_notifications():
            for name, value in values.items():
                setattr(self, name, value)

    def _draw_posterior(self, axes: Axes, alpha: float) -> None:
        """The posterior at 1 and 2 sigma among the codes of the test images."""
        codes = payload.shown_codes(self.payload, self.blobs)
        draw_plane(axes, codes, self._labels, self.payload["classes"], alpha=alpha)
        for k in (1, 2):
            radii = [k * math.exp(s) for s in self.log_sigma]
            draw_ellipse(axes, self.mean, radii, extent(codes)[1], color="black", lw=1.4)

    @torch.no_grad()
    def figure(self) -> Figure:
        """The digit, its posterior in the plane, and its reconstruction."""
        figure = Figure(figsize=(8.4, 4.2))
        grid = figure.add_gridspec(2, 2, width_ratios=[1, 2.1], wspace=0.12, hspace=0.25)
        decoded = self.twin.mean(row_of(self.mean))
        for row, (image, title) in enumerate(
            (
                (self.image()[0, 0], "what the encoder sees"),
                (decoded[0, 0], "decoded from the mean"),
            )
        ):
            axes = figure.add_subplot(grid[row, 0])
            axes.imshow(image.numpy(), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=9)
        axes = figure.add_subplot(grid[:, 1])
        self._draw_posterior(axes, alpha=0.25)
        axes.set_title(
            f"posterior at 1 and 2 σ: KL {self.kl:.2f}, ELBO {self.elbo:.2f} nats", fontsize=9
        )
        return figure


def row_of(values: list[float]) -> Tensor:
    """A trait's numbers as the twin takes them: float32 [1, n]."""
    return torch.tensor([values], dtype=torch.float32, device="cpu")


def pick(labels: Tensor, classes: int, count: int) -> list[int]:
    """Indices of the first examples of each class: one of each class, then the next of each."""
    own = [torch.nonzero(labels == k)[:, 0].tolist() for k in range(classes)]
    rounds = max(1, count // classes)
    return [own[k][r] for r in range(rounds) for k in range(classes) if r < len(own[k])]
