"""What people might hand to a widget, and much that nobody would: as hypothesis's strategies."""

from __future__ import annotations

import functools
import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from vae_core import data, widgets
from vae_core.distributions import (
    BernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from vae_core.evaluation import Estimate, ScalarVAE, TradeOff
from vae_core.models import CVAE, VAE, Autoencoder, Classifier, LinearVAE
from vae_core.ordered import OrderedLogitLikelihood
from vae_core.widgets._training_settings import FAULTS, PRESETS

HTML = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</SCRIPT >", "&lt;b&gt;",
    "<!--", "]]>", "\\u003c/script>", "'\"`${1+1}", "\u2028\u2029", "", "VAE", "σ = ½ ✓", "a" * 500,
)  # fmt: skip
SIZE = (8, 8)  # of most images: what is tried here does not hang on their size

names = st.one_of(st.sampled_from(HTML), st.text(max_size=8))
numbers = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(-3, 30),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-4, 4),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 1e308, -1e308, 5e-324, math.pi, True, False]),
)


class Shouting:
    """Its representation raises, as some do."""

    def __repr__(self) -> str:
        raise RuntimeError("no representation")


def wrapped(value: Any) -> Any:
    """A number as another library holds it, where that can be."""
    forms = [value]
    for form in (np.float64, np.float32, torch.tensor):
        try:
            with np.errstate(all="ignore"):
                forms.append(form(value))
        except (OverflowError, ValueError, TypeError, RuntimeError):
            continue
    return st.sampled_from(forms)


junk = st.one_of(
    st.none(),
    numbers,
    numbers.flatmap(wrapped),
    names,
    st.binary(max_size=4),
    st.lists(numbers, max_size=4),
    st.dictionaries(names, numbers, max_size=2),
    st.builds(Shouting),
    st.sampled_from([object(), int, VAE, len, ..., NotImplemented, 1j, range(3), {1, 2}, (), b""]),
    st.builds(lambda: torch.full((2, 3), math.nan)),
    st.builds(lambda: np.zeros((0, 2))),
    st.builds(lambda: Image.new("L", (8, 8))),
)


# ---- models ------------------------------------------------------------------------------------


class Doubled(VAE):
    """Decodes in a way of its own."""

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(2 * z)


class Named(VAE):
    """Differs from its parent in nothing."""


LIKELIHOODS: tuple[Callable[[], Any], ...] = (
    BernoulliLikelihood,
    GaussianLikelihood,
    lambda: GaussianLikelihood(0.3),
    lambda: GaussianLikelihood(1e-4),
    lambda: GaussianLikelihood(1e30),
    lambda: GaussianLikelihood("learned"),
    lambda: GaussianLikelihood("optimal"),
    lambda: GaussianLikelihood("per-pixel"),
    lambda: GaussianLikelihood(1.0, link="identity"),
    DiscretizedLogisticLikelihood,
    OrderedLogitLikelihood,
)
DTYPES = (torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.float16)


def _spoil(model: nn.Module, how: str) -> nn.Module:
    """A model as a training may leave it."""
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    with torch.no_grad():
        if how == "NaN":
            parameters[0].view(-1)[0] = math.nan
        elif how == "infinite":
            parameters[-1].fill_(math.inf)
        elif how == "huge":
            for p in parameters:
                p.mul_(1e18)
        elif how == "wide" and getattr(getattr(model, "encoder", None), "log_sigma", None):
            model.encoder.log_sigma.bias.fill_(34.0)  # type: ignore[union-attr]
        elif how == "zero":
            for p in parameters:
                p.zero_()
        elif how == "dead":
            for p in parameters:
                p.fill_(-1e-30)
    if how == "training":
        return model.train()
    if how == "on meta":
        return model.to("meta")
    return model


SPOILS = ("", "", "", "", "NaN", "infinite", "huge", "wide", "zero", "dead", "training", "on meta")


@functools.cache
def _model(
    kind: str, latents: int, channels: int, hidden: tuple[int, ...], likelihood: int, dtype: int,
    activation: str, spoil: str,
) -> nn.Module:  # fmt: skip
    shape = (channels, *SIZE)
    options: dict[str, Any] = {"hidden": hidden, "activation": activation}
    chosen = LIKELIHOODS[likelihood]()
    if kind == "LinearVAE":
        model: nn.Module = LinearVAE(latents, shape)
    elif kind == "Classifier":
        model = Classifier(3, shape)
    elif kind == "conv":
        model = VAE(latents, shape, (4,), chosen, architecture="conv")
    elif kind == "CVAE, classes":
        model = CVAE(latents, shape, likelihood=chosen, classes=3, **options)
    elif kind == "CVAE, learned prior":
        model = CVAE(latents, shape, likelihood=chosen, classes=3, prior="learned", **options)
    elif kind in ("CVAE, half", "CVAE, half, learned prior"):
        one = chosen if chosen.outputs == 1 else BernoulliLikelihood()
        prior = "learned" if "learned" in kind else "standard"
        model = CVAE(latents, shape, likelihood=one, observed="2-quadrants", prior=prior, **options)
    else:
        make = {"VAE": VAE, "Autoencoder": Autoencoder, "Doubled": Doubled, "Named": Named}[kind]
        model = make(latents, shape, likelihood=chosen, **options)
    return _spoil(model.to(DTYPES[dtype]).eval(), spoil)


KINDS = (
    "VAE", "VAE", "VAE", "VAE", "Autoencoder", "LinearVAE", "Classifier", "conv", "Doubled",
    "Named", "CVAE, classes", "CVAE, learned prior", "CVAE, half", "CVAE, half, learned prior",
)  # fmt: skip


def model_of(*kinds: str) -> st.SearchStrategy[Any]:
    """Models of these kinds, most with two latents and one channel; seldom something else."""
    built = st.builds(
        _model,
        st.sampled_from(kinds or KINDS),
        st.sampled_from([2, 2, 2, 2, 1, 3]),
        st.sampled_from([1, 1, 1, 1, 3]),
        st.sampled_from([(8,), (8,), (), (4, 4), (300,)]),
        st.integers(0, len(LIKELIHOODS) - 1),
        st.integers(0, len(DTYPES) - 1),
        st.sampled_from(["relu", "relu", "tanh", "softplus", "silu", "identity"]),
        st.sampled_from(SPOILS),
    )
    return st.one_of(built, built, built, built, built, built, junk)


# ---- images and data ---------------------------------------------------------------------------

Foreign = namedtuple("Foreign", "images labels")
Whole = namedtuple("Whole", "images labels classes name split")


@functools.cache
def _pixels(n: int, channels: int, kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, channels, *SIZE), dtype=torch.uint8, generator=generator)
    if kind == "bits":
        return images % 2
    if kind == "black":
        return images * 0
    if kind == "floats":
        return images / 255
    if kind == "far":
        return images.float()
    if kind == "NaN":
        return images / 255 * math.nan
    if kind == "whole":
        return images.long()
    if kind == "bool":
        return images > 127
    if kind == "flat":
        return images.flatten(1)
    if kind == "strided":
        return torch.stack([images, images], -1)[..., 0]
    if kind == "expanded" and n:
        return images[:1].expand(n, -1, -1, -1)
    if kind == "on meta":
        return images.to("meta")
    if kind == "differentiable":
        return (images / 255).requires_grad_()
    return images


PIXELS = (
    "bytes", "bytes", "bytes", "bytes", "bytes", "bits", "black", "floats", "far", "NaN", "whole",
    "bool", "flat", "strided", "expanded", "on meta", "differentiable",
)  # fmt: skip
images = st.builds(
    _pixels, st.sampled_from([1, 2, 3, 12, 0, 25]), st.sampled_from([1, 1, 1, 3]),
    st.sampled_from(PIXELS),
)  # fmt: skip
some_images = st.one_of(
    images, images, images.map(lambda t: None if t.is_meta else t.detach().tolist()), junk
)

CLASSES: tuple[Any, ...] = (
    ("0", "1", "2"), ("0", "1", "2"), ("0", "1", "2"), ["a", "b", "c"], "abc", HTML[:3], (0, 1, 2),
    (), ("a",), None, ("a", None, "c"), tuple(map(str, range(300))), {"a": 1, "b": 2, "c": 3},
)  # fmt: skip


def _data(pixels: Tensor, labels: str, classes: int, form: str) -> Any:
    n = len(pixels)
    found: Any = torch.arange(n) % 3
    if labels == "of one class":
        found = torch.zeros(n, dtype=torch.int64)
    elif labels == "short":
        found = found[:-1]
    elif labels == "negative":
        found = found - 1
    elif labels == "large":
        found = found + 200
    elif labels == "floats":
        found = found.float()
    elif labels == "NaN":
        found = found.float() * math.nan
    elif labels == "int8":
        found = found.to(torch.int8)
    elif labels == "columns":
        found = found[:, None]
    elif labels == "list":
        found = found.tolist()
    elif labels == "None":
        found = None
    if form == "Foreign":
        return Foreign(pixels, found)
    if form == "Whole":
        return Whole(pixels, found, CLASSES[classes], "other", "test")
    if form == "tuple":
        return pixels, found
    if form == "dataset":
        return TensorDataset(pixels)
    return data.ImageData(pixels, found, CLASSES[classes], "few", "test")


LABELS = (
    "right", "right", "right", "right", "of one class", "short", "negative", "large", "floats",
    "NaN", "int8", "columns", "list", "None",
)  # fmt: skip
datasets = st.builds(
    _data, images, st.sampled_from(LABELS), st.integers(0, len(CLASSES) - 1),
    st.sampled_from(["ImageData"] * 6 + ["Foreign", "Whole", "tuple", "dataset"]),
)  # fmt: skip
right_data = st.builds(
    _data, st.builds(_pixels, st.sampled_from([3, 12, 25]), st.just(1), st.just("bytes")),
    st.just("right"), st.just(0), st.just("ImageData"),
)  # fmt: skip
some_data = st.one_of(right_data, right_data, datasets, datasets, junk)

points = st.builds(
    TradeOff, numbers, st.builds(Estimate, numbers, numbers), st.builds(Estimate, numbers, numbers),
    st.builds(Estimate, numbers, numbers), st.just(torch.zeros(2)), st.integers(1, 64),
)  # fmt: skip
entries = st.one_of(st.lists(st.integers(-1, 13), max_size=13), junk)
a_few = st.integers(0, 40)

# ---- calls -------------------------------------------------------------------------------------

Call = Callable[[], Any]


def calling(make: Callable[..., Any], *given: Any, **options: Any) -> st.SearchStrategy[Call]:
    """A call of ``make`` with such arguments, not made yet."""

    def call(arguments: tuple[Any, ...], named: dict[str, Any]) -> Call:
        return functools.partial(make, *arguments, **named)

    return st.builds(call, st.tuples(*given), st.fixed_dictionaries(options))


mapping = st.one_of(
    st.dictionaries(names, model_of("VAE", "Autoencoder", "LinearVAE", "Named"), max_size=4),
    st.dictionaries(names, model_of(), max_size=2),
    st.dictionaries(st.one_of(names, st.integers(0, 3)), model_of("VAE"), min_size=1, max_size=1),
    junk,
)  # fmt: skip
WITH_MODELS: dict[str, st.SearchStrategy[Call]] = {
    "LatentExplorer": calling(widgets.LatentExplorer, mapping, some_data),
    "Opening": calling(widgets.Opening, mapping, some_data, st.one_of(st.none(), junk)),
    "DrawAndEncode": calling(widgets.DrawAndEncode, model_of(), some_data),
    "DrawAndEncode, a VAE": calling(widgets.DrawAndEncode, model_of("VAE", "Named"), right_data),
    "SigmaExplorer": calling(
        widgets.SigmaExplorer, st.one_of(st.lists(model_of("VAE"), max_size=4), junk), some_data
    ),
    "SigmaExplorer, points": calling(
        widgets.SigmaExplorer, st.lists(model_of("VAE"), min_size=2, max_size=3), right_data,
        st.one_of(st.lists(points, max_size=3), junk),
    ),
    "ConditionalExplorer": calling(
        widgets.ConditionalExplorer, model_of("CVAE, classes", "CVAE, learned prior"),
        st.one_of(
            st.dictionaries(
                names, model_of("CVAE, half", "CVAE, half, learned prior"), min_size=1, max_size=2
            ),
            junk,
        ),
        some_data, st.one_of(st.just((0, 1)), entries),
    ),
    "BitsExplorer": calling(
        widgets.BitsExplorer, model_of(),
        st.one_of(st.builds(_pixels, st.integers(1, 4), st.just(1), st.just("bits")), some_images),
        st.one_of(st.lists(names, max_size=4), junk),
    ),
    "BitsExplorer, samples": calling(
        widgets.BitsExplorer, model_of("VAE"),
        st.builds(_pixels, st.just(2), st.just(1), st.just("bits")), st.just("ab"),
        samples=st.one_of(st.integers(1, 8), junk), seed=st.one_of(st.integers(0, 5), junk),
    ),
    "BoundExplorer": calling(
        widgets.BoundExplorer,
        st.one_of(
            st.builds(
                lambda draws, n, scale: scale * torch.linspace(-1, 1, draws * n).reshape(draws, n),
                st.integers(1, 30), st.integers(1, 13), numbers.filter(lambda v: abs(v) < 1e300),
            ),
            junk,
        ),
        some_images, st.one_of(st.lists(names, max_size=13), st.just(range(12)), junk),
    ),
    "DerivationDesk": calling(
        widgets.DerivationDesk,
        st.one_of(st.lists(st.sampled_from(["elbo-two-terms", "kl-two-gaussians", "no"])), junk),
        st.one_of(st.lists(st.sampled_from(["elbo_chain", "lognormal_map", "no"])), junk),
        lines=st.one_of(st.lists(names, max_size=3), junk), sheet=st.one_of(st.just(""), names),
        mode=st.one_of(st.sampled_from(["whole", "blanks", "fault", "empty"]), junk),
    ),
    "DerivationDesk, beginnings": calling(
        widgets.DerivationDesk, st.just(["elbo-two-terms"]), st.just(["lognormal_map"]),
        lines=st.one_of(st.just([]), st.lists(names, max_size=3)),
        sheet=st.sampled_from(["elbo-two-terms", "lognormal_map"]),
        mode=st.sampled_from(["whole", "blanks", "fault", "empty"]),
    ),
    "GradientNoise": calling(
        widgets.GradientNoise,
        st.one_of(st.builds(ScalarVAE, numbers, numbers, numbers, numbers, numbers), junk),
    ),
    "TrainingLab": calling(widgets.TrainingLab, model_of(), some_data),
    "TrainingLab, settings": calling(
        widgets.TrainingLab,
        preset=st.one_of(st.sampled_from(sorted(PRESETS)), junk),
        hidden=st.one_of(st.just([8]), junk), beta=st.one_of(numbers, junk),
        sigma=st.one_of(numbers, st.sampled_from(["learned", "optimal"]), junk),
        faults=st.one_of(st.lists(st.sampled_from(FAULTS), max_size=3), junk),
        rate=st.one_of(st.floats(0, 1), junk),
    ),
}  # fmt: skip


def _settings(widget: type[Any]) -> st.SearchStrategy[Call]:
    """Some of a widget's settings as it is made, and now and then one that it does not have."""
    known = {name: st.one_of(junk, numbers) for name in widget.STATE}
    return st.builds(
        lambda state: functools.partial(widget, **state),
        st.one_of(
            st.fixed_dictionaries({}, optional=known),
            st.fixed_dictionaries({"no_such_setting": junk}, optional=known),
        ),
    )


TAKE_SETTINGS = (
    widgets.KLExplorer, widgets.MapExplorer, widgets.ELBOExplorer, widgets.PosteriorExplorer,
    widgets.ReparameterizationExplorer, widgets.SamplingExplorer, widgets.TrainingLab,
)  # fmt: skip
WITH_SETTINGS = {widget.__name__: _settings(widget) for widget in TAKE_SETTINGS}


@functools.cache
def living(name: str) -> Any:
    """A widget that lives through all changes of its settings."""
    vae = _model("VAE", 2, 1, (8,), 0, 0, "relu", "")
    digits = _data(_pixels(12, 1, "bytes"), "right", 0, "ImageData")
    bits, half = _pixels(2, 1, "bits"), _model("CVAE, half", 2, 1, (8,), 0, 0, "relu", "")
    sigmas = [_model("VAE", 2, 1, (8,), k, 0, "relu", "") for k in (1, 2)]
    makes: dict[str, Call] = {
        "DerivationDesk": lambda: widgets.DerivationDesk(["elbo-two-terms"], ["elbo_chain"]),
        "LatentExplorer": lambda: widgets.LatentExplorer({"VAE": vae}, digits),
        "Opening": lambda: widgets.Opening({"VAE": vae}, digits),
        "DrawAndEncode": lambda: widgets.DrawAndEncode(vae, digits),
        "SigmaExplorer": lambda: widgets.SigmaExplorer(sigmas, digits),
        "BitsExplorer": lambda: widgets.BitsExplorer(vae, bits, "ab", samples=4),
        "BoundExplorer": lambda: widgets.BoundExplorer(torch.randn(12, 2), bits, "ab"),
        "ConditionalExplorer": lambda: widgets.ConditionalExplorer(
            _model("CVAE, classes", 2, 1, (8,), 0, 0, "relu", ""), {"left": half}, digits, (0, 1)
        ),
    }
    return makes.get(name, getattr(widgets, name))()


def _change(name: str, setting: str, value: Any) -> Call:
    def change() -> Any:
        widget = living(name)
        setattr(widget, setting, value)
        return widget

    return change


CHANGES = {
    name: st.builds(
        _change, st.just(name), st.sampled_from(getattr(widgets, name).STATE),
        st.one_of(junk, numbers, st.lists(st.floats(-4, 4), min_size=2, max_size=2),
                  st.lists(st.integers(0, 255), min_size=64, max_size=64)),
    )
    for name in widgets.__all__
}  # fmt: skip
