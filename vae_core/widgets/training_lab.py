"""TrainingLab: a VAE that trains in the page, to be changed, broken and compared while it does."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import nn

from vae_core import _check
from vae_core._plot import ACCENT, CLASSES, INK, draw_plane
from vae_core.distributions import GaussianLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import _training_data as examples
from vae_core.widgets import _training_settings as known
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._payload import Blob
from vae_core.widgets._share import Rule, among, whole
from vae_core.widgets._training_twin import Score, Twin, model_of, trained_tensors
from vae_core.widgets._validate import check_computable, check_data

PRINTED_STEPS = 400  # of the run that stands in print
MOST_WEIGHTS = 1_000_000
RUNS = 3  # side by side at most


def _linears(part: nn.Module) -> list[nn.Linear]:
    return [layer for layer in part.layers if isinstance(layer, nn.Linear)]  # type: ignore[union-attr]


def _own_settings(model: VAE | Autoencoder) -> dict[str, Any]:
    """What a reader's model is, as settings."""
    likelihood = model.likelihood
    sigma: float | str = 1.0
    if isinstance(likelihood, GaussianLikelihood):
        if likelihood.kind == "per-pixel":
            raise ValueError("the model must have one sigma for all pixels, not one for each")
        if likelihood.link != "sigmoid":
            raise ValueError("the model's Gaussian must have link='sigmoid', got 'identity'")
        sigma = likelihood.kind
        if isinstance(likelihood.log_sigma, float):  # fixed
            sigma = math.exp(likelihood.log_sigma)
    widths = [layer.weight.shape[0] for layer in _linears(model.encoder)]
    decoded = [layer.weight.shape[0] for layer in _linears(model.decoder)][:-1]
    if decoded != widths[::-1] or model.encoder.activation != model.decoder.activation:
        raise ValueError("the model's decoder must mirror its encoder")
    return {
        "data": "own",
        "model": "VAE" if isinstance(model, VAE) else "AE",
        "hidden": widths,
        "latents": model.latent_dim,
        "activation": model.encoder.activation,
        "likelihood": "gaussian" if isinstance(likelihood, GaussianLikelihood) else "bernoulli",
        "sigma": sigma,
    }


def _flat(model: VAE | Autoencoder) -> np.ndarray:
    parts = [p.detach().cpu().double().flatten().numpy() for p in trained_tensors(model).values()]
    return np.concatenate(parts)


def _by_name(model: VAE | Autoencoder, flat: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of ``model`` out of one array, in the page's order."""
    found, at = {}, 0
    for name, tensor in trained_tensors(model).items():
        found[name] = flat[at : at + tensor.numel()].reshape(tuple(tensor.shape))
        at += tensor.numel()
    return found


class _Finished:
    """A run that was trained for print: where it stands, and its curve."""

    def __init__(self, settings: dict[str, Any], own: examples.Examples, start: bytes) -> None:
        kind = settings["likelihood"]
        link = "identity" if own.shape == (1, 1, 2) else "sigmoid"
        weights = None
        if start:
            weights = _by_name(model_of(settings, own.shape, link), np.frombuffer(start, "<f8"))
        twin = Twin(
            settings, examples.as_numbers(own.train, kind, own.on), own.shape, link, weights
        )
        held_out = examples.as_numbers(own.held_out, kind, own.on)
        self.steps, self.scores = [0], [twin.score(held_out)]
        for step in range(1, PRINTED_STEPS + 1):
            twin.train()
            if twin.step < step:
                break
            if step % 20 == 0:
                self.steps.append(step)
                self.scores.append(twin.score(held_out))
        self.model = twin.model.eval()

    @property
    def last(self) -> Score:
        return self.scores[-1]

    @torch.no_grad()
    def decoded(self, side: int) -> np.ndarray:
        """Means at a square of latents over [-3, 3], [side, side, *shape]."""
        axis = torch.linspace(-3, 3, side, dtype=torch.float64, device="cpu")
        z = torch.zeros(side, side, self.model.latent_dim, dtype=torch.float64, device="cpu")
        z[..., 0], z[..., 1] = axis[None, :], axis.flip(0)[:, None]
        return self.model.mean(z.flatten(0, 1)).view(side, side, *self.model.shape).numpy()


@functools.lru_cache(maxsize=32)
def _finished(settings: str, own: str, start: bytes) -> _Finished:
    return _Finished(json.loads(settings), _KEPT[own], start)


_KEPT: dict[str, examples.Examples] = {}  # examples of finished runs, by the name of their blob


class TrainingLab(BrowserWidget):
    """Train a small VAE in the page, with its map, its decoded plane and its curves in view.

    Args:
        model: a VAE or an Autoencoder of :mod:`vae_core.models` made of linear layers, to go on
            training from its weights; without one, or by its name, a model as the settings say.
        data: images for ``model``, of its shape: the last fifth is held out, 2,000 and 500 at most.
            Without a model, the name of a data set, as in the settings.
        preset: settings to begin with: "digits", "plane", "two-kls", "estimators", "sigma",
            "collapse" or "ae-or-vae".
        options: settings in place of the preset's, by name, or traits.

    The settings: ``data`` ("digits", "ring", "moons", "five", "drawn"), ``points`` (for "drawn"),
    ``model`` ("VAE", "AE"), ``hidden`` (widths), ``latents``, ``activation``, ``likelihood``,
    ``sigma`` (a number, "learned", "optimal"), ``estimator``, ``beta``, ``rate``, ``batch``,
    ``seed`` and ``faults`` (classic mistakes, by name).

    Live traits, each two-way: ``settings`` of the first run; ``forks``, what up to two further runs
    change; ``chosen``, the held-out example looked at; ``speed`` in steps a second (0: as fast as
    it goes); ``running``; ``step`` (0 starts anew, a larger number trains to there).
    ``history`` holds the curves in nats, and :meth:`model` gives the first run's model with the
    weights of the last pause.

    Raises:
        ValueError: for a model, data or a setting that the page can't train with.
    """

    NAME: ClassVar[str] = "training_lab"
    PICTURE: ClassVar[str] = (
        "A finished training: held-out examples as points in the latent plane with the prior's "
        "circles, what the plane decodes to, and the ELBO on held-out examples rising with the "
        "steps."
    )
    STATE: ClassVar[tuple[str, ...]] = ("settings", "forks", "chosen", "speed")
    RANGES: ClassVar[dict[str, Rule]] = {
        "chosen": whole(0, examples.HELD_OUT - 1),
        "speed": among((0.0, 1.0, 10.0, 100.0)),
    }

    settings = traitlets.Dict().tag(sync=True)
    forks = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Int(0, min=0, max=examples.HELD_OUT - 1).tag(sync=True)
    speed = traitlets.Float(0.0, min=0.0, max=1000.0).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    step = traitlets.Int(0, min=0).tag(sync=True)
    history = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes(b"").tag(sync=True)

    def __init__(
        self,
        model: VAE | Autoencoder | str | None = None,
        data: Any = None,
        *,
        preset: str = "digits",
        **options: Any,
    ) -> None:
        _check.chosen("preset", preset, tuple(known.PRESETS))
        chosen, forks = copy.deepcopy(known.PRESETS[preset])
        own = {name: options.pop(name) for name in tuple(options) if name in known.KNOWN}
        # Both words are settings, too: the kind of model, and the name of a data set.
        if isinstance(model, str):
            own["model"], model = model, None
        if isinstance(data, str):
            own["data"], data = data, None
        self._start = b""
        blobs = [examples.digits_blob()]
        payload: dict[str, Any] = {"defaults": known.DEFAULTS, "plane": known.ON_THE_PLANE}
        if model is not None:
            chosen, forks = self._take(model, data), []
            held = self._examples
            blobs = [examples.pack(held), Blob.of(np.frombuffer(self._start, "<f8").tobytes())]
            payload["start"] = blobs[1].sha
        else:
            if data is not None:
                raise ValueError("data go with a model of their shape: give a model, too")
            self._classes = [str(k) for k in range(10)]
            held = examples.digits()
        self._own = model is not None
        payload["images"] = {
            "sha": blobs[0].sha, "train": len(held.train), "heldOut": len(held.held_out),
            "shape": list(held.shape[1:]), "on": held.on, "classes": self._classes,
        }  # fmt: skip
        given = options.pop("settings", {})
        if not isinstance(given, Mapping):
            raise ValueError(f"settings must be given by name, got {_check.shown(given)}")
        state = {"settings": {**chosen, **given, **own}, "forks": forks, **options}
        super().__init__(payload=payload, blobs=blobs, **state)

    def _take(self, model: Any, data: Any) -> dict[str, Any]:
        if not isinstance(model, VAE | Autoencoder):
            raise ValueError(f"model must be an Autoencoder or a VAE, got {_check.kind(model)}")
        check_computable("model", model)
        count = sum(p.numel() for p in model.parameters())
        if count > MOST_WEIGHTS:
            raise ValueError(
                f"the model must have at most {MOST_WEIGHTS:,} weights to train in a page, "
                f"got {count:,}"
            )
        check_data(data, model.shape)
        settings = known.checked(_own_settings(model))
        twin = model_of(settings, model.shape, "sigmoid")
        if _shapes(twin) != _shapes(model):
            raise ValueError(f"model must be a plain VAE or Autoencoder, got {_check.kind(model)}")
        out = min(examples.HELD_OUT, len(data.images) // 5)
        kept = min(examples.DIGITS, len(data.images) - out)
        if out < 1:
            raise ValueError(f"data must hold at least 5 images, got {len(data.images)}")
        images = data.images[: kept + out].cpu().flatten(1).numpy()
        labels = data.labels[: kept + out].cpu().numpy()
        self._examples = examples.Examples(images[:kept], images[kept:], labels, model.shape, 0.5)
        self._classes = [str(name) for name in data.classes]
        self._start = _flat(model).astype("<f8").tobytes()
        return settings

    @traitlets.validate("settings")
    def _check_settings(self, proposal: Any) -> dict[str, Any]:
        found = known.checked(proposal["value"])
        self._check_run(found)
        for change in self.forks:
            self._check_run({**found, **known.changes(change)})
        return found

    @traitlets.validate("forks")
    def _check_forks(self, proposal: Any) -> list[dict[str, Any]]:
        if len(proposal["value"]) > RUNS - 1:
            raise ValueError(
                f"forks must be at most {RUNS - 1}: there are {RUNS} runs side by side, "
                f"got {len(proposal['value'])}"
            )
        found = [known.changes(change) for change in proposal["value"]]
        for change in found:
            if "data" in change or "points" in change or "seed" in change:
                raise ValueError("runs side by side have the same data and the same seed")
            if self.settings:
                self._check_run({**known.checked(self.settings), **change})
        return found

    def _check_run(self, settings: Mapping[str, Any]) -> None:
        if (settings["data"] == "own") != getattr(self, "_own", False):
            raise ValueError(
                "data must stay 'own' for a model of one's own, and be another without one"
            )
        known.check_together(settings)
        if self._start and _flat_size(settings, self._examples.shape) != len(self._start) // 8:
            raise ValueError("the settings must keep the shapes of the model's own weights")

    def runs(self) -> list[dict[str, Any]]:
        """The settings of each run, the first one's and those of the forks."""
        return [dict(self.settings)] + [{**self.settings, **change} for change in self.forks]

    def model(self) -> VAE | Autoencoder:
        """The first run's model, with the weights of the last pause (at first: its first ones).

        On the CPU, in float32 and in evaluation mode. An "optimal" sigma is as the likelihood
        begins; :func:`vae_core.objectives.set_sigma` measures it.
        """
        own = self._data_of(self.settings)
        link = "identity" if own.shape == (1, 1, 2) else "sigmoid"
        kind = self.settings["likelihood"]
        found = model_of(self.settings, own.shape, link)
        flat = self.weights or self._start
        if len(flat) != 8 * _flat(found).size:
            flat = b""
        weights = _by_name(found, np.frombuffer(flat, "<f8")) if flat else None
        twin = Twin(
            self.settings,
            examples.as_numbers(own.train[:1], kind, own.on),
            own.shape,
            link,
            weights,
        )
        return twin.model.float().eval()

    def _data_of(self, settings: Mapping[str, Any]) -> examples.Examples:
        if settings["data"] == "own":
            return self._examples
        if settings["data"] == "digits":
            return examples.digits()
        points = tuple((x, y) for x, y in settings["points"])
        return examples.planar(settings["data"], settings["seed"], points)

    def figure(self) -> Figure:
        """Each run after 400 steps: its map, what its plane decodes to, and its curve."""
        runs = self.runs()
        own = self._data_of(runs[0])
        name = json.dumps([self.payload["images"]["sha"], runs[0]["data"], runs[0]["points"]])
        name += str(runs[0]["seed"])
        _KEPT[name] = own
        finished = [_finished(json.dumps(run), name, self._start) for run in runs]
        figure = Figure(figsize=(8.4, 2.9 * len(runs)), layout="constrained")
        grid = figure.subplots(len(runs), 3, squeeze=False)
        labels = own.labels[len(own.train) :]
        classes = self._classes if own.shape != (1, 1, 2) else [""] * 5
        for row, (run, done) in enumerate(zip(runs, finished, strict=True)):
            plane, decoded, curve = grid[row]
            codes = done.last.codes[:, :2]
            if np.isfinite(codes).all():
                draw_plane(plane, codes, labels, classes)
            plane.set_title(_title(run, runs[0], row), fontsize=9)
            if own.shape == (1, 1, 2):
                _draw_points(decoded, own, done)
            else:
                _draw_grid(decoded, done, own.shape)
            bound = [s.reconstruction - s.kl.sum() for s in done.scores]
            curve.plot(done.steps, bound, color=ACCENT)
            curve.set(xlabel="step", ylabel="ELBO, held out (nats)")
        return figure


def _shapes(model: VAE | Autoencoder) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(p.shape)) for name, p in model.named_parameters()]


def _flat_size(settings: Mapping[str, Any], shape: tuple[int, ...]) -> int:
    return sum(p.numel() for p in model_of(settings, shape, "sigmoid").parameters())


def _title(run: Mapping[str, Any], first: Mapping[str, Any], row: int) -> str:
    changed = {k: v for k, v in run.items() if row and v != first[k]}
    words = ", ".join(f"{k} {', '.join(map(str, v)) if isinstance(v, list) else v}"
                      for k, v in changed.items())  # fmt: skip
    return words or f"{run['model']}, {run['likelihood']}"


def _draw_grid(axes: Any, done: _Finished, shape: tuple[int, ...]) -> None:
    side = 11
    means = done.decoded(side).reshape(side, side, *shape[1:])
    rows = means.transpose(0, 2, 1, 3).reshape(side * shape[1], side * shape[2])
    axes.imshow(
        np.clip(np.nan_to_num(rows), 0, 1), cmap="gray_r", vmin=0, vmax=1, extent=(-3, 3, -3, 3)
    )
    axes.set_title("decoded plane", fontsize=9)


def _draw_points(axes: Any, own: examples.Examples, done: _Finished) -> None:
    colors = [CLASSES[k] for k in own.labels[len(own.train) :]]
    axes.scatter(*own.held_out.T, c=colors, s=3, alpha=0.6, linewidths=0)
    lattice = done.decoded(25).reshape(25, 25, 2)
    if np.isfinite(lattice).all():
        for lines in (lattice[::4], lattice[:, ::4].transpose(1, 0, 2)):
            for line in lines:
                axes.plot(*line.T, color=INK, lw=0.6, alpha=0.6)
    axes.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")
    axes.set_title("data, and the plane's image", fontsize=9)
