"""BitsExplorer: the bits of a digit, for the encoder's Q and for one that a reader spoils."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core._plot import ACCENT, INK
from vae_core._tensors import as_tensor
from vae_core.coding import Account, account, spoil
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian
from vae_core.models import VAE
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec
from vae_core.widgets._share import Rule, between, whole
from vae_core.widgets._validate import check_codes, check_computable, check_names

SHIFTS, SCALES = (-3.0, 3.0), (0.25, 4.0)
MOST_SAMPLES = 1000  # they travel as text, and the browser decodes each


class BitsExplorer(BrowserWidget):
    """Pick a digit and a Q; see what z costs, what X given z costs, and the fine for that Q.

    Args:
        model: a VAE with a Bernoulli likelihood, made of linear layers.
        images: one to twenty digits of 0 and 1, uint8 [n, 1, height, width].
        names: what each digit is called.
        samples: how many draws of z log P(X|z) is averaged over; they come from ``seed``.

    Live traits: ``digit`` (its place among the images), ``shift`` (by how many of its sigmas Q's
    mean is moved, -3 to 3) and ``scale`` (what its sigma is multiplied by, 1/4 to 4). ``twin`` is
    the model with the decoder that the browser has, in double precision.

    Raises:
        ValueError: for a model or digits that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "bits_explorer"
    PICTURE: ClassVar[str] = (
        "Two stacked bars of bits, for z and for X given z: under the encoder's Q and under "
        "the chosen one; beside them the bits of each latent dimension."
    )
    STATE: ClassVar[tuple[str, ...]] = ("digit", "shift", "scale")

    digit = traitlets.Int(0, min=0).tag(sync=True)
    shift = traitlets.Float(0.0, min=SHIFTS[0], max=SHIFTS[1]).tag(sync=True)
    scale = traitlets.Float(1.0, min=SCALES[0], max=SCALES[1]).tag(sync=True)

    def __init__(
        self, model: VAE, images: Tensor, names: Sequence[str], samples: int = 32, seed: int = 0
    ) -> None:
        if not isinstance(model, VAE) or not isinstance(model.likelihood, BernoulliLikelihood):
            likelihood = getattr(model, "likelihood", model)
            raise ValueError(
                f"model must be a VAE with a Bernoulli likelihood, got {_check.kind(likelihood)}"
            )
        check_computable("model", model)
        images = as_tensor("images", images)
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != model.shape:
            raise ValueError(
                f"images must be uint8 [n, {', '.join(map(str, model.shape))}], "
                f"got {images.dtype} {list(images.shape)}"
            )
        if not 1 <= len(images) <= 20 or not hasattr(names, "__len__") or len(names) != len(images):
            given = len(names) if hasattr(names, "__len__") else _check.kind(names)
            raise ValueError(f"1 to 20 images with a name each, got {len(images)}, {given}")
        names = check_names(names, len(images))
        if int(images.max()) > 1:
            raise ValueError(f"pixels must be 0 or 1, got up to {int(images.max())}")
        samples = _check.whole("samples", samples, most=MOST_SAMPLES)
        generator = torch.Generator("cpu").manual_seed(_check.seed(seed))
        self.x = images.cpu().double()
        # Few digits of the noise: it travels as text, and any noise will do.
        draws = torch.randn(
            samples, model.latent_dim, generator=generator, dtype=torch.float64, device="cpu"
        )
        self.noise = (draws * 1000).round() / 1000
        wide = 1.3 * torch.randn(
            4000, model.latent_dim, generator=generator, dtype=torch.float32, device="cpu"
        )
        height, width = model.shape[1:]
        packed = payload.pack_layers(
            payload.decoder_layers(model),
            wide.numpy(),
            payload.activation_name(model.decoder.activation),
            (height, width),
        )
        self.twin = payload.dequantised(model, decoder=packed).double()
        with torch.no_grad():
            self.posterior = self.twin.encode(self.x)
        check_codes("model", self.posterior.mean, self.posterior.sigma)
        digits = payload.pack_digits(images)
        self._draws = (samples, model.latent_dim, seed)
        source = _sources.lines(
            vae=(_sources.from_zoo(model), "the model"),
            images=(_sources.from_digits(images), "the images"),
        )
        super().__init__(
            payload={
                "decoder": decoder_spec(model, packed),
                "digits": digits.sha,
                "shape": [height, width],
                "names": names,
                "mean": self.posterior.mean.tolist(),
                "log_sigma": self.posterior.log_sigma.tolist(),
                "noise": self.noise.tolist(),
                "ranges": {"shift": list(SHIFTS), "scale": list(SCALES)},
            },
            blobs=[packed[0], digits],
            source=source,
        )

    @traitlets.validate("digit")
    def _check_digit(self, proposal: Any) -> int:
        if self.payload and proposal["value"] >= len(self.payload["names"]):
            raise ValueError(
                f"digit must be 0 to {len(self.payload['names']) - 1}, got {proposal['value']}"
            )
        return int(proposal["value"])

    def ranges(self) -> dict[str, Rule]:
        """Digits there are, and how far Q can be spoilt."""
        last = len(self.payload["names"]) - 1
        return {
            "digit": whole(0, last),
            "shift": between(*SHIFTS),
            "scale": between(*SCALES),
        }

    def python(self) -> str:
        """The account, with the draws that this widget was made with."""
        samples, latents, seed = self._draws
        return f"""
        import torch

        from vae_core import coding

        vae, x = vae.double(), images[{{{{digit}}}}][None].double()
        generator = torch.Generator("cpu").manual_seed({seed})
        noise = torch.randn({samples}, {latents}, generator=generator, dtype=torch.float64)
        noise = (noise * 1000).round() / 1000
        with torch.no_grad():
            q = coding.spoil(vae.encode(x), {{{{shift}}}}, {{{{scale}}}})
            bits = coding.account(vae, x, q, noise=noise[:, None])
            best = coding.account(vae, x, noise=noise[:, None])
        total = bits.z.item() + bits.x.item()
        fine = total - best.z.item() - best.x.item()
        print(f"z {{bits.z.item():.1f}}, X given z {{bits.x.item():.1f}}, in all {{total:.1f}}, "
              f"fine {{fine:.1f}} bits")
        """

    def account(self, shift: float | None = None, scale: float | None = None) -> Account:
        """The bits of the chosen digit, each [1], as the browser computes them."""
        row = slice(self.digit, self.digit + 1)
        q = DiagonalGaussian(*(part[row] for part in self.posterior))
        spoilt = spoil(q, self.shift if shift is None else shift, scale or self.scale)
        return account(self.twin, self.x[row], spoilt, noise=self.noise[:, None])

    def figure(self) -> Figure:
        """Bars of bits: the encoder's Q above, the chosen one below, and z by dimension."""
        best, chosen = self.account(0.0, 1.0), self.account()
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        bars, latents = figure.subplots(1, 2, width_ratios=[3, 2])
        for place, part in ((1, best), (0, chosen)):
            z, x = part.z.item(), part.x.item()
            bars.barh(place, z, color=ACCENT, label="z" if place else None)
            bars.barh(place, x, left=z, color="#dd6b20", label="X given z" if place else None)
            bars.text(z + x, place, f" {z + x:.1f}", va="center", color=INK)
        bars.set_yticks([1, 0], ["encoder's Q", "this Q"])
        bars.set_xlabel("bits")
        bars.set_title(f"{self.payload['names'][self.digit]}: the code's two parts", fontsize=10)
        bars.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2, frameon=False)
        dimensions = chosen.dimensions[0].numpy()
        latents.bar(np.arange(1, len(dimensions) + 1), dimensions, color=ACCENT)
        latents.set(xlabel="latent dimension", ylabel="bits")
        for axes in (bars, latents):
            axes.spines[["top", "right"]].set_visible(False)
        return figure
