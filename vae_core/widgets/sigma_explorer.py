"""SigmaExplorer: a slider of sigma through trained models, on one latent plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core._plot import ACCENT, INK, draw_plane
from vae_core.data import load
from vae_core.distributions import GaussianLikelihood
from vae_core.evaluation import TradeOff, trade_off
from vae_core.models import VAE
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec, likelihood_spec, posteriors
from vae_core.widgets._share import FAR, Rule, among, between, whole
from vae_core.widgets._validate import check_data, check_model, check_point, latents


class SigmaExplorer(BrowserWidget):
    """Models that differ in sigma alone: codes, decoded digit, rate and squared error of each.

    Args:
        models: two to twelve VAEs with two latent dimensions and a Gaussian likelihood, each with
            its own sigma.
        data: the test images shown as codes, uint8 [n, 1, height, width], with labels. A thousand
            are enough for a map; two thousand are packed in twice the bytes.
        points: what to show of each model, from :func:`vae_core.evaluation.trade_off`, in the
            models' order; measured on ``data`` unless given.

    ``twins`` holds the models in the order of sigma, with the weights that the browser decodes
    with; ``points`` what it shows of each.

    Live traits: ``sigma`` (that of the model shown: one of ``sigmas``), ``digit`` (the test digit
    whose posterior is drawn, -1 for none) and ``z`` (the decoded point). Setting one moves the
    page. A change of sigma keeps the digit and moves ``z`` to its code; without a digit, the point
    stays.

    Raises:
        ValueError: for models, data or points that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "sigma_explorer"
    PICTURE: ClassVar[str] = (
        "Test codes of the chosen sigma by class; the curve of squared error against rate "
        "with that sigma marked; and one digit decoded at every sigma, growing from left to "
        "right."
    )
    STATE: ClassVar[tuple[str, ...]] = ("sigma", "digit", "z")
    PYTHON: ClassVar[str] = """
    import torch

    from vae_core import evaluation

    model = models[{{sigma}}]
    z = torch.tensor([{{z}}], dtype=torch.float32)
    with torch.no_grad():
        decoded = model.mean(z)[0, 0]  # the digit at z, pixels from 0 to 1
    point = evaluation.trade_off(model, images)
    print(f"rate {point.rate.value:.2f} nats, squared error {point.squared_error.value:.2f}")
    print(f"-ELBO {point.negative_elbo.value:.1f} nats, {point.active} active latents")
    """

    sigma = traitlets.Float(1.0).tag(sync=True)
    digit = traitlets.Int(-1, min=-1).tag(sync=True)
    z = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)

    def __init__(
        self, models: Sequence[VAE], data: Any, points: Sequence[TradeOff] | None = None
    ) -> None:
        if not isinstance(models, Sequence) or not 2 <= len(models) <= 12:
            given = len(models) if isinstance(models, Sequence) else type(models).__name__
            raise ValueError(f"models must be two to twelve VAEs, got {given}")
        for k, model in enumerate(models):
            check_model(f"models[{k}]", model, variational=True)
            if not isinstance(model.likelihood, GaussianLikelihood):
                kind = type(model.likelihood).__name__
                raise ValueError(f"models[{k}] must have a Gaussian likelihood, got {kind}")
            if tuple(model.shape) != tuple(models[0].shape):
                raise ValueError(f"models[{k}] makes images {model.shape}, not {models[0].shape}")
        check_data(data, models[0].shape)
        own = points
        if points is None:
            points = [trade_off(model, data.images) for model in models]
        if not isinstance(points, Sequence) or not all(isinstance(p, TradeOff) for p in points):
            raise ValueError(f"points must be a TradeOff for each model; got {_check.kind(points)}")
        if len(points) != len(models):
            raise ValueError(f"points must be one a model, {len(models)}; got {len(points)}")
        for model, point in zip(models, points, strict=True):
            if not math.isclose(point.sigma, likelihood_spec(model)["sigma"], rel_tol=1e-6):
                raise ValueError(f"points must be the models' own; got sigma {point.sigma:g}")
        order = sorted(range(len(models)), key=lambda k: points[k].sigma)
        self.points = tuple(points[k] for k in order)
        self.sigmas = tuple(point.sigma for point in self.points)
        if any(b - a < 1e-6 for a, b in zip(self.sigmas, self.sigmas[1:], strict=False)):
            raise ValueError(f"every model must have a sigma of its own, got {self.sigmas}")

        labels = payload.Blob.of(data.labels.cpu().numpy().astype(np.uint8).tobytes())
        atlas = payload.pack_atlas(data.images)
        blobs, specs = [labels, atlas], []
        self.twins: list[VAE] = []
        self._codes: list[np.ndarray] = []
        for k, point in zip(order, self.points, strict=True):
            spec, parts = self._pack(f"models[{k}]", models[k], data.images)
            blobs += parts
            specs.append({**spec, **_numbers(point)})
        self._labels = data.labels.cpu().numpy()
        of_sigma = {sigma: models[k] for sigma, k in zip(self.sigmas, order, strict=True)}
        source = _sources.lines(
            models=(_sources.each(of_sigma), "the models"),
            images=(
                _measured(models[0], data, own),
                "the images that points were measured on",
            ),
        )
        # The slider starts at the model with the best bound, at the first test digit.
        best = min(range(len(order)), key=lambda k: self.points[k].negative_elbo.value)
        super().__init__(
            payload={
                "models": specs,
                "pixels": self.points[0].pixels,
                "shape": list(models[0].shape[1:]),
                "classes": list(data.classes),
                "labels": labels.sha,
                "atlas": atlas.sha,
            },
            blobs=blobs,
            sigma=self.sigmas[best],
            digit=0,
            z=self._codes[best][0].tolist(),
            source=source,
        )

    @torch.no_grad()
    def _pack(
        self, name: str, model: VAE, images: Tensor
    ) -> tuple[dict[str, Any], list[payload.Blob]]:
        """One model's networks and posteriors for the browser; keeps its twin and its codes."""
        mean, log_sigma = posteriors(name, model, images)
        assert log_sigma is not None  # of a VAE
        spread = log_sigma.exp()
        codes, scale = payload.pack_codes(mean)
        spreads, spread_scale = payload.pack_codes(spread)
        packed = payload.pack_decoder(model, mean)
        self.twins.append(payload.dequantised(model, decoder=packed))
        self._codes.append(payload.unpack_codes(codes, scale).astype(np.float64))
        spec = {
            "decoder": decoder_spec(model, packed),
            "codes": {"sha": codes.sha, "scale": scale},
            "spreads": {"sha": spreads.sha, "scale": spread_scale},
        }
        return spec, [packed[0], codes, spreads]

    @property
    def index(self) -> int:
        """Which of ``sigmas`` is shown."""
        return min(range(len(self.sigmas)), key=lambda k: abs(self.sigmas[k] - self.sigma))

    def ranges(self) -> dict[str, Rule]:
        """The sigmas and digits there are, and points of the plane."""
        return {
            "sigma": among(self.sigmas),
            "digit": whole(-1, len(self._labels) - 1),
            "z": between(-FAR, FAR),
        }

    @traitlets.validate("z")
    def _check_point(self, proposal: Any) -> list[float]:
        return check_point(proposal["value"], "z")

    @traitlets.validate("sigma")
    def _check_sigma(self, proposal: Any) -> float:
        value = float(proposal["value"])
        if not any(math.isclose(value, sigma, rel_tol=1e-3) for sigma in self.sigmas):
            known = ", ".join(f"{sigma:g}" for sigma in self.sigmas)
            raise ValueError(f"sigma must be one of {known}; got {value:g}")
        return min(self.sigmas, key=lambda sigma: abs(sigma - value))

    @traitlets.validate("digit")
    def _check_digit(self, proposal: Any) -> int:
        if proposal["value"] >= len(self._labels):
            raise ValueError(
                f"digit must be -1 to {len(self._labels) - 1}; got {proposal['value']}"
            )
        return int(proposal["value"])

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pixel means [n, 1, h, w] for z [n, 2], with the weights the browser has."""
        return self.twins[self.index].mean(latents(z))

    def figure(self) -> Figure:
        """The chosen model's codes, the curve with its place, and one digit through all sigmas."""
        figure = Figure(figsize=(8.4, 5.2))
        grid = figure.add_gridspec(2, 2, height_ratios=[5, 1], hspace=0.32, wspace=0.25)
        plane, curve = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        draw_plane(plane, self._codes[self.index], self._labels, self.payload["classes"])
        plane.set_title(f"σ = {self.sigma:.3g}", fontsize=10)
        rates = [point.rate.value for point in self.points]
        errors = [point.squared_error.value for point in self.points]
        curve.plot(rates, errors, "o-", color=INK, ms=4, lw=1)
        curve.plot(rates[self.index], errors[self.index], "o", color=ACCENT, ms=9)
        curve.set(xlabel="rate, nats", ylabel="squared error")
        row = figure.add_subplot(grid[1, :])
        place = max(0, self.digit)
        with torch.no_grad():
            pictures = [
                twin.mean(latents(codes[place : place + 1]))[0, 0]
                for twin, codes in zip(self.twins, self._codes, strict=True)
            ]
        row.imshow(torch.cat(pictures, 1).numpy(), cmap="gray_r", vmin=0, vmax=1)
        row.set_axis_off()
        row.set_title("one digit, σ growing from left to right", fontsize=9, pad=3)
        return figure


def _measured(model: VAE, data: Any, points: Sequence[TradeOff] | None) -> str | None:
    """The images behind the points as code: those shown, or all of the split they are of."""
    shown = _sources.from_data(data.images, data.name, data.split)
    if points is None or shown is None:
        return shown and f"{shown}.images"
    code, _, _ = shown.partition(".first(")
    rate = trade_off(model, load(data.name, data.split).images).rate.value
    return f"{code}.images" if math.isclose(rate, points[0].rate.value, rel_tol=1e-6) else None


def _numbers(point: TradeOff) -> dict[str, Any]:
    """What the page shows of a model, in double precision."""
    return {
        "sigma": point.sigma,
        "rate": point.rate.value,
        "error": point.squared_error.value,
        "negative_elbo": point.negative_elbo.value,
        "active": point.active,
    }
