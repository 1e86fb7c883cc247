"""Opening: a digit, its code on the map, the picture of any code; and draws from the prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core._plot import draw_plane
from vae_core.data import to_float
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec, embed, encoder_spec
from vae_core.widgets._payload import LatentModel
from vae_core.widgets._share import FAR, Rule, among, between, whole
from vae_core.widgets._validate import (
    check_codes,
    check_models,
    check_point,
    latents,
)
from vae_core.widgets.draw_and_encode import pick

DRAWS = 20  # points drawn from the prior at a time
COLUMNS = 10  # of the sheet that shows them
FIRST_SHOWN = 0  # class of the digit shown at first, where the data has it


class Opening(BrowserWidget):
    """What an autoencoder and a VAE do, at one look: from a digit to its code, and back.

    A digit is drawn on a pad; the encoder puts it on the map of codes; the decoder makes the large
    picture of that point, or of any other that is pointed at. Below stand the pictures that each
    model makes of the same twenty draws from the prior N(0, I).

    Args:
        models: one to three models with two latent dimensions, by the name to show.
        data: the test images, uint8 [n, 1, height, width], with labels.
        counts: for each model, how many of many draws from the prior a classifier reads as each
            class; shown as bars where it is given.

    ``twins`` holds the models with the weights that the browser computes with. The networks are
    given grey levels from 0 to 1, whatever their likelihood.

    Live traits: ``model_name``, the model whose map is shown; ``z``, the decoded point of that map;
    ``pixels``, what the encoder sees of the pad (height * width whole numbers from 0 to 255); and
    ``draws``, twenty points. Setting one moves the page, where ``pixels`` and ``model_name``
    take ``z`` along to the digit's code.

    Raises:
        ValueError: for models, data or counts that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "opening"
    PICTURE: ClassVar[str] = (
        "A handwritten digit; the map of all test digits' codes, coloured by class, with that "
        "digit's code marked; the picture decoded from it. Below, for each model, the pictures "
        "decoded from the same twenty draws from the standard normal distribution."
    )
    STATE: ClassVar[tuple[str, ...]] = ("z", "model_name", "pixels", "draws")

    z = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    model_name = traitlets.Unicode().tag(sync=True)
    pixels = traitlets.List(traitlets.Int()).tag(sync=True)
    draws = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, LatentModel],
        data: Any,
        counts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        shape = check_models(models, data)
        told = _check_counts(counts, list(models), len(data.classes))

        self._labels = data.labels.cpu().numpy()
        labels = payload.Blob.of(self._labels.astype(np.uint8).tobytes())
        chosen = pick(data.labels, len(data.classes), len(data.classes))
        digits = payload.pack_digits(data.images[chosen])
        blobs, specs = [labels, digits], []
        self.twins = {}
        for name, model in models.items():
            codes = embed(name, model, data.images)
            codes_blob, scale = payload.pack_codes(codes)
            decoder = payload.pack_decoder(model, codes)
            encoder = payload.pack_encoder(model, data.images)
            shown = {"sha": codes_blob.sha, "scale": scale}
            specs.append(
                {
                    "name": name,
                    "decoder": decoder_spec(model, decoder),
                    "encoder": encoder_spec(model, encoder),
                    "codes": shown,
                }
            )
            blobs += [decoder[0], encoder[0], codes_blob]
            self.twins[name] = payload.dequantised(model, decoder, encoder)
        first = next((i for i in chosen if int(data.labels[i]) == FIRST_SHOWN), chosen[0])
        seeded = torch.Generator("cpu").manual_seed(0)
        drawn = torch.randn(DRAWS, 2, generator=seeded, dtype=torch.float32, device="cpu")
        last = list(models)[-1]  # by custom the VAE stands last
        pixels = data.images[first].flatten().tolist()
        super().__init__(
            payload={
                "models": specs,
                "shape": list(shape[1:]),
                "classes": list(data.classes),
                "labels": labels.sha,
                "digits": {"sha": digits.sha, "labels": data.labels[chosen].tolist()},
                "counts": told,
            },
            blobs=blobs,
            z=self._code(last, pixels).tolist(),
            model_name=last,
            pixels=pixels,
            draws=[[round(value, 4) for value in point] for point in drawn.tolist()],
            source=_sources.lines(models=(_sources.each(models), "the models")),
        )

    # ---------------------------------------------------------------- traits

    @traitlets.validate("z")
    def _check_z(self, proposal: Any) -> list[float]:
        return check_point(proposal["value"], "z")

    @traitlets.validate("draws")
    def _check_draws(self, proposal: Any) -> list[list[float]]:
        points = list(proposal["value"])
        if len(points) != DRAWS:
            raise ValueError(f"draws must be {DRAWS} points, got {len(points)}")
        return [check_point(point, "each of draws") for point in points]

    @traitlets.validate("pixels")
    def _check_pixels(self, proposal: Any) -> list[int]:
        values = proposal["value"]
        count = math.prod(next(iter(self.twins.values())).shape)
        if len(values) != count or not all(0 <= v <= 255 for v in values):
            raise ValueError(f"pixels must be {count} whole numbers from 0 to 255")
        return list(values)

    @traitlets.validate("model_name")
    def _check_name(self, proposal: Any) -> str:
        if proposal["value"] not in self.twins:
            raise ValueError(
                f"model_name must be one of {list(self.twins)}, got {proposal['value']!r}"
            )
        return str(proposal["value"])

    def ranges(self) -> dict[str, Rule]:
        """The models there are, points of their planes, and grey levels."""
        point = between(-FAR, FAR)
        return {
            "z": point,
            "model_name": among(spec["name"] for spec in self.payload["models"]),
            "pixels": whole(0, 255),
            "draws": point,
        }

    def python(self) -> str:
        """The code of the digit, the picture at z, and the pictures of the draws."""
        height, width = self.payload["shape"]
        return f"""
        import torch

        from vae_core.data import to_float

        model = models[{{{{model_name}}}}]
        pixels = {{{{pixels}}}}
        x = to_float(torch.tensor(pixels, dtype=torch.uint8).reshape(1, 1, {height}, {width}))
        z = torch.tensor([{{{{z}}}}], dtype=torch.float32)
        draws = torch.tensor({{{{draws}}}}, dtype=torch.float32)
        with torch.no_grad():
            code = model.embed(x)[0]  # the digit's point on the map
            decoded = model.mean(z)[0, 0]  # the picture of z, pixels from 0 to 1
            painted = {{name: one.mean(draws)[:, 0] for name, one in models.items()}}
        print(f"the digit's code is {{code.tolist()}}; the picture of z holds "
              f"{{decoded.sum().item():.1f}} pixels of ink")
        """

    # ---------------------------------------------------------------- numbers

    @torch.no_grad()
    def _code(self, name: str, pixels: Sequence[int]) -> Tensor:
        twin = self.twins[name]
        values = torch.tensor(pixels, dtype=torch.uint8, device="cpu")
        code = twin.embed(to_float(values.reshape(1, *twin.shape)))
        check_codes(name, code)
        return code[0]

    def encode(self, name: str | None = None) -> Tensor:
        """The code [2] of ``pixels``, with the weights the browser has."""
        return self._code(self._chosen(name), self.pixels)

    @torch.no_grad()
    def decode(self, z: Tensor, name: str | None = None) -> Tensor:
        """Pixel means [n, 1, h, w] for z [n, 2], with the weights the browser has."""
        return self.twins[self._chosen(name)].mean(latents(z))

    def _chosen(self, name: str | None) -> str:
        return self.model_name if name is None else _check.chosen("name", name, self.twins)

    def figure(self) -> Figure:
        """The digit, its code among all others, its picture; below, the draws of each model."""
        specs, classes = self.payload["models"], self.payload["classes"]
        spec = next(one for one in specs if one["name"] == self.model_name)
        codes = payload.shown_codes(spec, self.blobs)
        rows = math.ceil(DRAWS / COLUMNS)
        figure = Figure(figsize=(8.4, 4.2 + 1.2 * math.ceil(len(specs) / 2)))
        grid = figure.add_gridspec(1 + math.ceil(len(specs) / 2), 1, height_ratios=[
            4.2, *[1.0] * math.ceil(len(specs) / 2)], hspace=0.28)  # fmt: skip
        top = grid[0].subgridspec(1, 3, width_ratios=[1, 2, 1.35], wspace=0.16)
        seen = np.array(self.pixels, np.float32).reshape(self.payload["shape"]) / 255
        picture = self.decode(torch.tensor([self.z], device="cpu"))[0, 0].numpy()
        for column, image, title in ((0, seen, "a digit"), (2, picture, "decoded")):
            axes = figure.add_subplot(top[column])
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=9)
        axes = figure.add_subplot(top[1])
        draw_plane(axes, codes, self._labels, classes, alpha=0.35)
        axes.plot(*self.z, marker="o", markersize=9, mfc="white", mec="black", mew=2)
        axes.set_title(f"{self.model_name}: its code", fontsize=9)
        height, width = self.payload["shape"]
        for k, one in enumerate(specs):
            made = self.decode(torch.tensor(self.draws, device="cpu"), one["name"])[:, 0].numpy()
            sheet = made.reshape(rows, COLUMNS, height, width).swapaxes(1, 2)
            below = grid[1 + k // 2].subgridspec(1, 2, wspace=0.06)
            axes = figure.add_subplot(below[k % 2])
            axes.imshow(
                sheet.reshape(rows * height, COLUMNS * width), cmap="gray_r", vmin=0, vmax=1
            )
            axes.set_axis_off()
            axes.set_title(f"{one['name']}: {DRAWS} draws from the prior", fontsize=9, pad=3)
        return figure


def _check_counts(counts: Any, names: Sequence[str], classes: int) -> dict[str, list[int]] | None:
    """``counts`` as plain lists, by model.

    Raises:
        ValueError: unless there is one whole number for each class of each model.
    """
    if counts is None:
        return None
    if not isinstance(counts, Mapping) or set(counts) != set(names):
        raise ValueError(f"counts must have an entry for each of {list(names)}")
    found = {}
    for name in names:
        own = counts[name]
        values = own.tolist() if isinstance(own, Tensor | np.ndarray) else own
        right = isinstance(values, Sequence) and not isinstance(values, str | bytes)
        if not right or len(values) != classes or not all(_check.is_whole(v, 0) for v in values):
            raise ValueError(
                f"counts of {name!r} must be {classes} whole numbers, one for each class, got "
                f"{_check.shown(own)}"
            )
        found[name] = [int(v) for v in values]
    return found
