"""What can be changed at the package's edge: each makes a mutant of a function."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vae_core import models, zoo
from vae_core.data import ImageData
from vae_core.distributions import DiagonalGaussian

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- models -------------------------------------------------------------------------------------


def untrained(load: Callable[..., Any]) -> Callable[..., Any]:
    def mutant(name: str, seed: int | None = None, **_: Any) -> nn.Module:
        recipe = zoo.RECIPES[name]
        return zoo._untrained(recipe, recipe.seed if seed is None else seed).eval()

    return mutant


# A name becomes the first of these that the zoo has: ae and vae, vae and iwae, sizes, lengths.
PARTNERS = (
    ("vae", "iwae"), ("ae-", "vae-"), ("vae-", "ae-"), ("cvae-", "net-"), ("-2", "-8"),
    ("-8", "-32"), ("-20", "-2"), ("-50", "-20"), ("-short", ""), ("learned", "1.0"),
    ("optimal", "0.5"), ("0.1", "2.0"), ("0.25", "3.0"), ("0.5", "1.5"),
    ("1-quadrant", "3-quadrants"), ("class", "column"), ("denoising-", "ae-"),
)  # fmt: skip


def partner(name: str, known: Mapping[str, Any]) -> str | None:
    """The model that ``name`` is taken for: another of its family."""
    for one, other in (*PARTNERS, *((b, a) for a, b in PARTNERS)):
        if one and one in name:
            # "ae-" stands in "vae-" too.
            if one == "ae-" and ("vae-" in name or "iwae-" in name):
                continue
            changed = name.replace(one, other, 1)
            if changed != name and changed in known:
                return changed
    return None


def swapped(load: Callable[..., Any]) -> Callable[..., Any]:
    def mutant(name: str, *arguments: Any, **options: Any) -> nn.Module:
        other = partner(name, zoo.RECIPES)
        if other is None:
            return load(name, *arguments, **options)
        return load(other, *arguments, **options)

    return mutant


def with_model(change: Callable[[nn.Module], None]) -> Make:
    """Change each model that is loaded."""

    def make(load: Callable[..., Any]) -> Callable[..., Any]:
        def mutant(*arguments: Any, **options: Any) -> nn.Module:
            model = load(*arguments, **options)
            with torch.no_grad():
                change(model)
            return model

        return mutant

    return make


def mirror(model: nn.Module) -> None:
    """Let the decoder read -z, as that of another training might."""
    decoder = getattr(model, "decoder", None)
    layers = [m for m in decoder.modules() if isinstance(m, nn.Linear)] if decoder else []
    if layers:
        layers[0].weight[:, : model.latent_dim] *= -1


def blind(model: nn.Module) -> None:
    """Let the encoder say the same of every image."""
    encoder = getattr(model, "encoder", None)
    if encoder is not None:
        for head in (encoder.mean, encoder.log_sigma):
            if head is not None:
                head.weight.zero_()
    elif isinstance(model, models.Classifier):
        [m for m in model.modules() if isinstance(m, nn.Linear)][-1].weight.zero_()


# --- data ---------------------------------------------------------------------------------------


def with_data(change: Callable[[ImageData], ImageData]) -> Make:
    def make(load: Callable[..., Any]) -> Callable[..., Any]:
        def mutant(*arguments: Any, **options: Any) -> ImageData:
            return change(load(*arguments, **options))

        return mutant

    return make


def shuffled_labels(images: ImageData) -> ImageData:
    order = torch.randperm(len(images.labels), generator=seeded())
    return images._replace(labels=images.labels[order])


def noise(images: ImageData) -> ImageData:
    """Every pixel from anywhere: the histogram stays, and nothing else."""
    pixels = images.images.flatten()
    order = torch.randint(len(pixels), pixels.shape, generator=seeded())
    return images._replace(images=pixels[order].view_as(images.images))


def moved_pixels(images: ImageData) -> ImageData:
    flat = images.images.flatten(1)
    order = torch.randperm(flat.shape[1], generator=seeded())
    return images._replace(images=flat[:, order].view_as(images.images))


def other_split(load: Callable[..., Any]) -> Callable[..., Any]:
    def mutant(name: Any = "mnist", split: str = "train", **options: Any) -> ImageData:
        own = load(name, split, **options)
        other = load(name, "test" if split != "test" else "train", **options)
        # As many as were expected, if there are as many.
        return other.first(min(len(own.images), len(other.images)))._replace(split=split)

    return mutant


# --- what is computed ---------------------------------------------------------------------------


def with_result(change: Callable[[Any], Any]) -> Make:
    """Change what a function returns."""

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def mutant(*arguments: Any, **options: Any) -> Any:
            return change(function(*arguments, **options))

        return mutant

    return make


def times(factor: float) -> Make:
    """Multiply what a function returns."""
    return with_result(lambda found: factor * found)


def plus(amount: float) -> Make:
    """Add ``amount`` to what a function returns."""
    return with_result(lambda found: found + amount)


def with_path(sample: Callable[..., Any]) -> Callable[..., Any]:
    """Draw as ``rsample`` does, so that gradients pass through the draw."""

    @functools.wraps(sample)
    def mutant(q: DiagonalGaussian, *arguments: Any, **options: Any) -> Any:
        return q.rsample(*arguments, **options)

    return mutant


def wider(encode: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(encode)
    def mutant(*arguments: Any, **options: Any) -> DiagonalGaussian:
        found = encode(*arguments, **options)
        return found._replace(log_sigma=found.log_sigma + math.log(1.5))

    return mutant


def with_field(**changes: Callable[[Any], Any]) -> Make:
    """Change fields of the NamedTuple that a function returns."""
    return with_result(
        lambda found: found._replace(
            **{name: change(getattr(found, name)) for name, change in changes.items()}
        )
    )


def with_verdict(verdict: str) -> Make:
    """Give each line of a derivation this verdict, whatever it says."""
    return with_result(lambda line: replace(line, verdict=verdict))


def with_errors(factor: float) -> Make:
    """Multiply the standard error of each estimate that is made."""

    def make(new: Callable[..., Any]) -> Callable[..., Any]:
        def mutant(cls: Any, value: Any, standard_error: Any, *rest: Any) -> Any:
            return new(cls, value, standard_error * factor, *rest)

        return mutant

    return make


def edited(function: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    """``function`` with ``new`` for ``old`` in its source; ``ValueError`` if that has none."""
    source = textwrap.dedent(inspect.getsource(function))
    if old not in source:
        raise ValueError(f"{function.__name__} has no {old!r} any more")
    namespace = dict(vars(sys.modules[function.__module__]))
    exec("from __future__ import annotations\n" + source.replace(old, new), namespace)
    return namespace[function.__name__]


def edit(old: str, new: str) -> Make:
    return lambda function: edited(function, old, new)


def one_step(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Stop every training after its first step."""

    def mutant(model: nn.Module, images: ImageData, **options: Any) -> Any:
        few = images.first(min(len(images.images), options.get("batch_size", 128)))
        return fit(model, few, **{**options, "epochs": 1})

    return mutant


def term_too_many(derivation: Callable[..., Any]) -> Callable[..., Any]:
    def mutant(name: str) -> Any:
        found = derivation(name)
        last = found.steps[-1]
        longer = replace(last, expression=last.expression + 1)
        return found.with_step(len(found.steps) - 1, longer)

    return mutant
