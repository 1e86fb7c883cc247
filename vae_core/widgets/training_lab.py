"""TrainingLab: a VAE that trains in the page, to be changed, broken and compared while it does."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import traitlets
from matplotlib.figure import Figure
from torch import nn

from vae_core import _check
from vae_core.distributions import GaussianLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import _training_data as examples
from vae_core.widgets import _training_settings as known
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._payload import Blob
from vae_core.widgets._share import Rule, among, several, whole
from vae_core.widgets._sources import from_data, from_zoo, lines
from vae_core.widgets._training_run import Run, Trained, finished, picture
from vae_core.widgets._training_twin import model_of, trained_tensors
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


@functools.lru_cache(maxsize=32)
def _finished(settings: str, own: str, start: bytes, kind: str) -> Run:
    return finished(json.loads(settings), _KEPT[own], start, kind, PRINTED_STEPS, every=20)


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
    weights of the last pause. :meth:`trained` trains the same runs in Python.

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
    altered = traitlets.Bool(False, help="settings changed after the first step").tag(sync=True)

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
        source = ""
        if model is not None:
            chosen, forks = self._take(model, data), []
            payload["defaults"] = chosen
            source = lines(
                model=(from_zoo(model), "the model"),
                images=(_known_data(data), "the images and labels"),
            )
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
        settings = {**chosen, **given, **own}
        if settings.get("data") in examples.PLANAR:
            settings = {**known.ON_THE_PLANE, **settings}
        state = {"settings": settings, "forks": forks, **options}
        super().__init__(payload=payload, blobs=blobs, source=source, **state)

    def ranges(self) -> dict[str, Rule]:
        """Settings by their own rules; those that give a model of one's own its shape stay."""
        fixed = known.STRUCTURE if self._own else ()
        return {
            "settings": known.rules(without=fixed),
            "forks": several(known.rules(without=fixed or known.SHARED), RUNS - 1),
            **self.RANGES,
        }

    def python(self) -> str:
        """The lines that train the page's runs again."""
        given = "model, images, " if self._own else ""
        return f"""
            from vae_core.widgets import TrainingLab

            settings = {{{{settings}}}}
            forks = {{{{forks}}}}
            lab = TrainingLab({given}settings=settings, forks=forks)
            @altered=True # Settings were changed while it trained.
            @altered=True # Here every run has its last settings from the first step on.
            runs = lab.trained({{{{step}}}})
            for run in runs:
                print(f"ELBO {{run.elbo:.2f}}, log P(X|z) {{run.reconstruction:.2f}} nats")
                print(f"KL {{run.kl.sum():.2f}} nats, of each latent {{run.kl.round(3)}}")
        """

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
            if any(name in change for name in known.SHARED):
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
        # Weights of a model of another shape were those before a setting changed.
        fitting = len(self.weights) == 8 * _flat_size(self.settings, own.shape)
        run = Run(self.settings, own, self.weights if fitting else self._start)
        return run.twin.model.float().eval()

    def trained(self, steps: int) -> list[Trained]:
        """Each run as it stands after so many steps from its first weights, trained in Python.

        With the page's own draws of weights, batches and noise, in float64: the page's numbers,
        up to rounding. Nothing in the widget changes. A run whose loss is no number ends before.
        """
        _check.whole("steps", steps, 0)
        own = self._data_of(self.settings)
        kind = self._kind()
        return [Run(run, own, self._start, kind).train(steps).trained() for run in self.runs()]

    def _kind(self) -> str:
        """The likelihood that all runs' numbers are for: 0 and 1 where one of them is Bernoulli."""
        kinds = {run["likelihood"] for run in self.runs()}
        return "bernoulli" if "bernoulli" in kinds else "gaussian"

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
        kind = self._kind()
        done = [_finished(json.dumps(run), name, self._start, kind) for run in runs]
        return picture(runs, done, self._classes)


def _known_data(data: Any) -> str | None:
    return from_data(data.images, data.name, data.split)


def _shapes(model: VAE | Autoencoder) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(p.shape)) for name, p in model.named_parameters()]


def _flat_size(settings: Mapping[str, Any], shape: tuple[int, ...]) -> int:
    return sum(p.numel() for p in model_of(settings, shape, "sigmoid").parameters())
