"""ConditionalExplorer: one z in ten classes, and many completions of one digit."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core.data import binarize
from vae_core.models import CVAE, Decoder
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec
from vae_core.widgets._random import normals
from vae_core.widgets._share import FAR, Rule, among, between, whole
from vae_core.widgets._validate import (
    check_codes,
    check_computable,
    check_data,
    check_entries,
    check_keys,
    check_point,
    latents,
)

MODES = ("classes", "completions")
SHOWN = 10  # completions drawn one by one
AVERAGED = 100  # completions in the mean, the shown ones among them


def _check_cvae(name: str, model: Any, *, labelled: bool) -> None:
    if not isinstance(model, CVAE) or not isinstance(model.decoder, Decoder):
        raise ValueError(f"{name!r} must be a CVAE made of linear layers, got {_check.kind(model)}")
    if (model.classes is not None) != labelled:
        wanted = "classes=..." if labelled else "observed=..."
        raise ValueError(f"{name!r} must be a CVAE with {wanted}")
    if labelled and model.has_prior_network:
        raise ValueError(f"{name!r} must have the standard prior, got a learned one")
    if labelled and model.latent_dim != 2:
        raise ValueError(
            f"{name!r} must have latent_dim 2 to be drawn on a plane, got {model.latent_dim}"
        )
    check_computable(name, model)


def _pack_classes(model: CVAE) -> payload.Packed:
    """The decoder of z and a one-hot label, for the part of the plane that the page shows."""
    assert model.classes is not None
    axis = np.linspace(-4, 4, 25, dtype=np.float32)
    plane = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    one_hot = np.eye(model.classes, dtype=np.float32)
    inputs = np.concatenate(
        [
            np.repeat(plane, model.classes, axis=0),
            np.tile(one_hot, (len(plane), 1)),
        ],
        axis=1,
    )
    layers = payload._linear(model.decoder.layers)
    activation = payload.activation_name(model.decoder.activation)
    return payload.pack_layers(layers, inputs, activation, (model.shape[1], model.shape[2]))


def _pack_prior(model: CVAE, given: np.ndarray) -> payload.Packed | None:
    """The network of P(z|X), its heads stacked, for given pixels like ``given`` [n, k]."""
    if not model.has_prior_network:
        return None
    network = model.prior_network
    assert network.log_sigma is not None  # a prior has a spread
    weights, biases = zip(*payload._linear([network.mean, network.log_sigma]), strict=True)
    head = payload.Linear(np.concatenate(weights), np.concatenate(biases))
    activation = payload.activation_name(network.activation)
    return payload.pack_layers([*payload._linear(network.layers), head], given, activation)


@torch.no_grad()
def _pack_completion(model: CVAE, images: Tensor, target: np.ndarray) -> payload.Packed:
    """The decoder of z and the given pixels, down to the pixels that are to be predicted."""
    given = images.flatten(1)[:, ~torch.from_numpy(target)].numpy()
    noise = torch.from_numpy(normals(0, len(given) * model.latent_dim).astype(np.float32))
    prior = model.prior(images)
    check_codes("the prior", prior.mean, prior.sigma)
    z = prior.rsample(noise.reshape(len(given), -1)).numpy()
    inputs = np.concatenate([z, given], axis=1)
    *hidden, last = payload._linear(model.decoder.layers)
    last = payload.Linear(last.weight[target], last.bias[target])
    # Pixels are coded by their neighbours: as wide as the first row that has any to predict.
    rows = target.reshape(model.shape[1:]).sum(1)
    width = int(rows[rows > 0][0])
    shape = (len(last.bias) // width, width) if len(last.bias) % width == 0 else (0, 0)
    activation = payload.activation_name(model.decoder.activation)
    return payload.pack_layers([*hidden, last], inputs, activation, shape)


def _prior_spec(model: CVAE, packed: payload.Packed) -> dict[str, Any]:
    activation = model.prior_network.activation
    return {"sha": packed[0].sha, "activation": activation, "layers": packed[1]}


@torch.no_grad()
def _twin(
    model: CVAE,
    packed: payload.Packed,
    target: np.ndarray | None = None,
    prior: payload.Packed | None = None,
) -> CVAE:
    """A copy of ``model`` with the weights that the browser decodes with."""
    twin = copy.deepcopy(model)
    if prior is not None:
        network = twin.prior_network
        assert network.log_sigma is not None
        payload._refill(prior, network.layers, [network.mean, network.log_sigma])
    read = payload.unpack_layers(packed[0].raw(), packed[1])
    for layer, (weight, bias) in zip(twin.decoder.layers, read, strict=True):
        assert isinstance(layer, torch.nn.Linear)
        where: Any = slice(None)
        if target is not None and len(bias) != len(layer.bias):
            where = torch.from_numpy(target)
        layer.weight[where] = torch.from_numpy(weight.copy())
        layer.bias[where] = torch.from_numpy(bias.copy())
    return twin


class ConditionalExplorer(BrowserWidget):
    """Ten classes decoded at one z; and a digit of which a part is given, completed many times.

    Args:
        model: a CVAE with ``classes=`` and two latents.
        completers: one to four CVAEs with ``observed=``, by the name to show.
        data: test images, uint8 [n, 1, height, width], with labels. They are binarised as
            ``binarize(images, "fixed", seed=0)`` does.
        entries: which of the first 4,000 of them can be completed, 2 to 12.

    ``twins`` and ``class_twin`` hold the models with the weights that the browser has.

    Live traits: ``mode`` ("classes" or "completions"), ``z`` (two numbers), ``label`` (the class
    shown large), ``given`` (a name among ``completers``), ``digit`` (place among ``entries``),
    ``seed`` of the draws. Setting one moves the page.

    Raises:
        ValueError: for models, data or entries that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "conditional_explorer"
    PICTURE: ClassVar[str] = (
        "Above, ten digits decoded at one z, one for each class; below, a digit of which "
        "only a part is given, completions sampled for it, and their mean."
    )
    STATE: ClassVar[tuple[str, ...]] = ("mode", "z", "label", "given", "digit", "seed")

    mode = traitlets.Unicode("classes").tag(sync=True)
    z = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    label = traitlets.Int(0).tag(sync=True)
    given = traitlets.Unicode().tag(sync=True)
    digit = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(1).tag(sync=True)

    def __init__(
        self,
        model: CVAE,
        completers: Mapping[str, CVAE],
        data: Any,
        entries: Sequence[int] = tuple(range(10)),
    ) -> None:
        _check_cvae("model", model, labelled=True)
        if not isinstance(completers, Mapping) or not 1 <= len(completers) <= 4:
            given = len(completers) if isinstance(completers, Mapping) else _check.kind(completers)
            raise ValueError(f"completers must map one to four names to CVAEs, got {given}")
        check_keys("completers", completers)
        check_data(data, tuple(model.shape))
        if model.classes != len(data.classes):
            raise ValueError(f"model has {model.classes} classes, data {len(data.classes)}")
        source = _sources.lines(
            cvae=(_sources.from_zoo(model), "the model of classes"),
            completers=(_sources.each(completers), "the completers"),
            test=(_sources.from_data(data.images, data.name, data.split), "the images"),
        )
        images = binarize(data.images[:4000].cpu(), "fixed", seed=0)
        entries = check_entries(entries, len(images), 2, 12)
        model = copy.deepcopy(model).cpu().float().eval()
        packed = _pack_classes(model)
        self.class_twin = _twin(model, packed)
        blobs, specs = [packed[0]], []
        self.twins: dict[str, CVAE] = {}
        for name, completer in completers.items():
            _check_cvae(name, completer, labelled=False)
            if tuple(completer.shape) != tuple(model.shape):
                raise ValueError(f"{name!r} makes images {completer.shape}, not {model.shape}")
            assert completer.observed is not None
            target = ~completer.observed.cpu().numpy().ravel()
            completer = copy.deepcopy(completer).cpu().float().eval()
            own = _pack_completion(completer, images, target)
            prior = _pack_prior(completer, images.flatten(1)[:, ~target].numpy())
            self.twins[name] = _twin(completer, own, target, prior)
            specs.append(
                {
                    "name": name,
                    "decoder": decoder_spec(completer, own),
                    "prior": prior and _prior_spec(completer, prior),
                    "latents": completer.latent_dim,
                    "target": np.flatnonzero(target).tolist(),
                }
            )
            blobs += [packed_part[0] for packed_part in (own, prior) if packed_part]
        self._x, self._entries = images[entries], entries
        digits = payload.pack_digits(self._x.to(torch.uint8))
        super().__init__(
            payload={
                "decoder": decoder_spec(model, packed),
                "classes": list(data.classes),
                "completers": specs,
                "shape": list(model.shape[1:]),
                "digits": digits.sha,
                "names": [data.classes[int(data.labels[entry])] for entry in entries],
                "shown": SHOWN,
                "averaged": AVERAGED,
            },
            blobs=[*blobs, digits],
            given=specs[0]["name"],
            source=source,
        )

    def ranges(self) -> dict[str, Rule]:
        """The classes, completers and digits there are."""
        return {
            "mode": among(MODES),
            "z": between(-FAR, FAR),
            "label": whole(0, len(self.payload["classes"]) - 1),
            "given": among(spec["name"] for spec in self.payload["completers"]),
            "digit": whole(0, len(self.payload["names"]) - 1),
            "seed": whole(0, 2**32 - 1),
        }

    def python(self) -> str:
        """Every class at ``z``, or the completions of the digit with the page's own draws."""
        c = '@mode="completions" '
        return f"""
        import torch

        {c}from vae_core.data import binarize
        {c}from vae_core.widgets.reparameterization_explorer import normal_draws

        @mode="classes" labels = torch.arange({len(self.payload["classes"])})
        @mode="classes" z = torch.tensor({{{{z}}}}, dtype=torch.float32).expand(len(labels), 2)
        @mode="classes" with torch.no_grad():
        @mode="classes"     decoded = cvae.mean(z, labels)
        @mode="classes" large = decoded[{{{{label}}}}, 0]  # pixels from 0 to 1
        @mode="classes" print(f"inked pixels of each class {{decoded.sum((1, 2, 3)).tolist()}}")
        {c}model, entry = completers[{{{{given}}}}], {self._entries}[{{{{digit}}}}]
        {c}x = binarize(test.images[:4000], "fixed", seed=0)[entry : entry + 1]
        {c}noise = normal_draws({{{{seed}}}}, {AVERAGED} * model.latent_dim)
        {c}noise = torch.tensor(noise, dtype=torch.float32).reshape({AVERAGED}, 1, -1)
        {c}with torch.no_grad():
        {c}    every = model.mean(model.prior(x).rsample(noise), x)[:, 0]
        {c}mean = every.mean(0)
        {c}single = (4 * every * (1 - every)).sum().item() / len(every)
        {c}together = (4 * mean * (1 - mean)).sum().item()
        {c}print(f"undecided pixels: {{single:.1f}} in one, {{together:.1f}} in the mean")
        """

    @traitlets.validate("z")
    def _check_point(self, proposal: Any) -> list[float]:
        return check_point(proposal["value"], "z")

    @traitlets.validate("mode", "given")
    def _check_name(self, proposal: Any) -> str:
        name = proposal["trait"].name
        known = MODES if name == "mode" else tuple(getattr(self, "twins", {}))
        if proposal["value"] not in known:
            raise ValueError(f"{name} must be one of {list(known)}, got {proposal['value']!r}")
        return str(proposal["value"])

    @traitlets.validate("label", "digit", "seed")
    def _check_number(self, proposal: Any) -> int:
        name = proposal["trait"].name
        counts = {"label": "classes", "digit": "names"}
        top = 2**32 if name == "seed" else len(self.payload[counts[name]]) if self.payload else 1
        if not 0 <= proposal["value"] < top:
            raise ValueError(f"{name} must be from 0 to {top - 1}, got {proposal['value']}")
        return int(proposal["value"])

    @torch.no_grad()
    def decode(self) -> Tensor:
        """Pixel means of every class at ``z``: [classes, 1, height, width]."""
        labels = torch.arange(len(self.payload["classes"]), device="cpu")
        z = latents([self.z]).expand(len(labels), 2)
        return self.class_twin.mean(z, labels)

    @torch.no_grad()
    def completions(self) -> Tensor:
        """Pixel means at draws z ~ P(z|X), the given pixels kept: [100, 1, height, width].

        The first ten are those that the page shows.
        """
        twin = self.twins[self.given]
        x = self._x[self.digit : self.digit + 1]
        noise = normals(self.seed, AVERAGED * twin.latent_dim).astype(np.float32)
        z = twin.prior(x).rsample(torch.from_numpy(noise).reshape(AVERAGED, 1, -1))
        return twin.mean(z, x)[:, 0]

    def mean_prediction(self) -> Tensor:
        """The mean of the completions, [1, height, width]."""
        return self.completions().mean(0)

    def undecided(self) -> tuple[float, float]:
        """Undecided pixels, the sum of 4p(1 - p): on average in a completion, and in their mean."""
        every = self.completions()
        single = (4 * every * (1 - every)).sum() / len(every)
        mean = every.mean(0)
        return float(single), float((4 * mean * (1 - mean)).sum())

    def figure(self) -> Figure:
        """Ten classes at ``z`` above; a digit's completions and their mean below."""
        figure = Figure(figsize=(8.4, 2.9), layout="constrained")
        above, below = figure.subplots(2, 1)
        above.imshow(_row(self.decode()), cmap="gray_r", vmin=0, vmax=1)
        above.set_title(f"one z = ({self.z[0]:.2f}, {self.z[1]:.2f}), every class", fontsize=9)
        twin, x = self.twins[self.given], self._x[self.digit]
        shown = torch.where(twin.observed.cpu(), x, torch.full_like(x, 0.35))  # type: ignore[union-attr]
        row = torch.stack([shown, *self.completions()[: SHOWN - 2], self.mean_prediction()])
        below.imshow(_row(row), cmap="gray_r", vmin=0, vmax=1)
        below.set_title(f"{self.given}: given, completions, and their mean", fontsize=9)
        for axes in (above, below):
            axes.set_axis_off()
        return figure


def _row(images: Tensor) -> np.ndarray:
    """Images [n, 1, height, width] side by side, [height, n * width]."""
    return images[:, 0].permute(1, 0, 2).flatten(1).numpy()
