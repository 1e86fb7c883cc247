"""LatentExplorer: latent planes side by side, decoded under the pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core._plot import draw_plane, medians
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec, embed
from vae_core.widgets._payload import LatentModel
from vae_core.widgets._share import FAR, Rule, among, between
from vae_core.widgets._validate import (
    check_models,
    check_point,
    latents,
)

WALK = 0.2  # where the walk stands at first


class LatentExplorer(BrowserWidget):
    """Every test code by class, and the digit at any point of the plane.

    Args:
        models: one to three models with two latent dimensions, by the name to show.
        data: the test images, uint8 [n, 1, height, width], with labels.

    ``twins`` holds the models with the weights that the browser decodes with.

    Live traits, in the latent plane of ``model_name``: ``z`` (the decoded point), ``start`` and
    ``end`` of the walk, and ``walk`` (0 at the start, 1 at the end). Setting one moves the page.

    Raises:
        ValueError: for a model or data that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "latent_explorer"
    PICTURE: ClassVar[str] = (
        "Test codes in each model's latent plane, coloured by class and labelled with their "
        "digits, over the prior's circles at 1, 2 and 3; below, digits decoded along a walk "
        "from A to B."
    )
    STATE: ClassVar[tuple[str, ...]] = ("z", "model_name", "start", "end", "walk")
    PYTHON: ClassVar[str] = """
    import torch

    from vae_core.data import to_float

    model = models[{{model_name}}]
    z = torch.tensor([{{z}}], dtype=torch.float32)
    with torch.no_grad():
        decoded = model.mean(z)[0, 0]  # the digit at z, pixels from 0 to 1
        distances = (model.embed(to_float(test.images)) - z).norm(dim=1)
    nearest = int(distances.argmin())
    print(f"nearest test digit {nearest}, a {test.classes[test.labels[nearest]]}, "
          f"at distance {distances[nearest].item():.2f}")
    """

    z = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    model_name = traitlets.Unicode().tag(sync=True)
    start = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    end = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    walk = traitlets.Float(0.0, min=0.0, max=1.0).tag(sync=True)

    def __init__(self, models: Mapping[str, LatentModel], data: Any) -> None:
        shape = check_models(models, data)

        labels = payload.Blob.of(data.labels.cpu().numpy().astype(np.uint8).tobytes())
        atlas = payload.pack_atlas(data.images)
        blobs, specs = [labels, atlas], []
        self.twins = {}
        for name, model in models.items():
            codes = embed(name, model, data.images)
            codes_blob, scale = payload.pack_codes(codes)
            packed = payload.pack_decoder(model, codes)
            shown = {"sha": codes_blob.sha, "scale": scale}
            specs.append({"name": name, "decoder": decoder_spec(model, packed), "codes": shown})
            blobs += [packed[0], codes_blob]
            self.twins[name] = payload.dequantised(model, decoder=packed)
        chosen = specs[-1]  # by custom the VAE stands last
        middle = medians(self._codes_of(chosen, blobs), data.labels, len(data.classes))
        present = [point for point in middle if np.isfinite(point).all()]
        # A third beyond the first two classes' medians, so that the walk hides no class's label.
        start, end = ((1.35 * point).tolist() for point in (present[0], present[:2][-1]))
        source = _sources.lines(
            models=(_sources.each(models), "the models"),
            test=(_sources.from_data(data.images, data.name, data.split), "the images"),
        )
        super().__init__(
            payload={
                "models": specs,
                "shape": list(shape[1:]),
                "classes": list(data.classes),
                "labels": labels.sha,
                "atlas": atlas.sha,
            },
            blobs=blobs,
            z=[a + WALK * (b - a) for a, b in zip(start, end, strict=True)],
            model_name=chosen["name"],
            start=start,
            end=end,
            walk=WALK,
            source=source,
        )
        self._labels = data.labels.cpu().numpy()

    @staticmethod
    def _codes_of(spec: dict[str, Any], blobs: list[payload.Blob]) -> np.ndarray:
        blob = next(blob for blob in blobs if blob.sha == spec["codes"]["sha"])
        return payload.unpack_codes(blob, spec["codes"]["scale"])

    @traitlets.validate("z", "start", "end")
    def _check_point(self, proposal: Any) -> list[float]:
        return check_point(proposal["value"], proposal["trait"].name)

    @traitlets.validate("model_name")
    def _check_name(self, proposal: Any) -> str:
        names = [spec["name"] for spec in self.payload["models"]] if self.payload else []
        if names and proposal["value"] not in names:
            raise ValueError(f"model_name must be one of {names}, got {proposal['value']!r}")
        return str(proposal["value"])

    def ranges(self) -> dict[str, Rule]:
        """The models there are, and points of their planes."""
        point = between(-FAR, FAR)
        return {
            "z": point,
            "model_name": among(spec["name"] for spec in self.payload["models"]),
            "start": point,
            "end": point,
            "walk": between(0.0, 1.0),
        }

    @torch.no_grad()
    def decode(self, z: Tensor, name: str | None = None) -> Tensor:
        """Pixel means [n, 1, h, w] for z [n, 2], with the weights the browser has."""
        chosen = self.model_name if name is None else _check.chosen("name", name, self.twins)
        return self.twins[chosen].mean(latents(z))

    def figure(self) -> Figure:
        """The planes, with the walk of ``model_name`` decoded below."""
        specs, classes = self.payload["models"], self.payload["classes"]
        blobs = [payload.Blob(sha, data) for sha, data in self.blobs.items()]
        figure = Figure(figsize=(4.2 * len(specs), 5.3))
        grid = figure.add_gridspec(2, len(specs), height_ratios=[8, 1], hspace=0.16)
        for column, spec in enumerate(specs):
            codes = self._codes_of(spec, blobs)
            axes = figure.add_subplot(grid[0, column])
            draw_plane(axes, codes, self._labels, classes)
            axes.set_title(spec["name"], fontsize=11)
        start, end = np.array(self.start), np.array(self.end)
        path = start + np.linspace(0, 1, 11)[:, None] * (end - start)
        strip = self.decode(torch.from_numpy(path))[:, 0].permute(1, 0, 2).flatten(1)
        axes = figure.add_subplot(grid[1, :])
        axes.imshow(strip.numpy(), cmap="gray_r", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(f"{self.model_name}: decoded along a walk", fontsize=9, pad=3)
        return figure
