"""Changes at the package's edge: what a chapter gets is not what it takes it for."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.mutants._changes import (
    Make,
    blind,
    edit,
    mirror,
    moved_pixels,
    noise,
    one_step,
    other_split,
    plus,
    shuffled_labels,
    swapped,
    term_too_many,
    times,
    untrained,
    wider,
    with_data,
    with_errors,
    with_field,
    with_model,
    with_path,
    with_verdict,
)
from vae_core import (
    _cache,
    _files,
    data,
    distributions,
    models,
    symbolic,
    training,
    zoo,
)
from vae_core.distributions import DiagonalGaussian
from vae_core.evaluation import (
    _divergence,
    _estimate,
    _importance,
    _one_latent,
    _posterior,
    _samples,
)
from vae_core.objectives import _bounds
from vae_core.symbolic import _derivation
from vae_core.widgets.sampling_explorer import SamplingExplorer


@dataclass(frozen=True)
class World:
    """One change: ``says`` completes "the claim fails with ..."; ``makes`` has what it replaces."""

    name: str
    says: str
    makes: Mapping[tuple[Any, str], Make]  # (module or class, name of a function) -> replacement


_LOAD, _DATA, _FIT = (zoo, "load"), (data, "load"), (training, "fit")
_KL, _DENSITY = (DiagonalGaussian, "kl_per_dimension"), (DiagonalGaussian, "log_prob")
_DERIVATION, _ERROR = (symbolic, "derivation"), (_samples, "reconstruction_error")
_ENCODERS = [(models.VAE, "encode"), (models.CVAE, "encode")]
_ESTIMATES = [
    (_estimate.Estimate, "__new__"),
    (_importance.Bound, "__new__"),
    (_importance.LogLikelihood, "__new__"),
]
_LIKELIHOODS = [
    (getattr(distributions, name), "log_prob")
    for name in ("BernoulliLikelihood", "GaussianLikelihood", "DiscretizedLogisticLikelihood")
]
_LINE, _TERMS = (_derivation.Derivation, "_line"), (_one_latent.OneLatent, "terms")
_FITS = [(_divergence, "forward_fit"), (_divergence, "reverse_fit")]
_SUMMED = {
    (_importance, "log_mean"): edit("total - math.log(samples)", "total"),
    (_bounds, "importance_weighted_bound"): edit(" - math.log(len(weights))", ""),
}


def _all(edges: list[tuple[Any, str]], make: Make) -> dict[tuple[Any, str], Make]:
    return dict.fromkeys(edges, make)


# In the order in which they are tried: those first that kill most.
WORLDS: tuple[World, ...] = (
    World("untrained", "untrained models in the place of the trained ones", {_LOAD: untrained}),
    World("swapped", "another model of the family in each one's place", {_LOAD: swapped}),
    World("noise", "noise of the same histogram for images", {_DATA: with_data(noise)}),
    World("labels", "shuffled labels", {_DATA: with_data(shuffled_labels)}),
    World("mirror", "a decoder that reads −z", {_LOAD: with_model(mirror)}),
    World("blind", "an encoder that ignores its input", {_LOAD: with_model(blind)}),
    World("one step", "trainings stopped after one step", {_FIT: one_step}),
    World("errors x 10", "standard errors × 10", _all(_ESTIMATES, with_errors(10))),
    World("errors / 100", "standard errors ÷ 100", _all(_ESTIMATES, with_errors(0.01))),
    World("kl x 2", "a KL without its factor ½", {_KL: times(2)}),
    World("kl x -1", "a KL of the wrong sign", {_KL: times(-1)}),
    World("wide", "a posterior 1.5 times as wide", _all(_ENCODERS, wider)),
    World("likelihood / 2", "half the log-likelihood", _all(_LIKELIHOODS, times(0.5))),
    World("no log n", "importance weights summed, not averaged", _SUMMED),
    World("density", "a Gaussian's log-density doubled", {_DENSITY: times(2)}),
    World("error / 2", "half the reconstruction error", {_ERROR: times(0.5)}),
    World("moved pixels", "all pixels' places exchanged", {_DATA: with_data(moved_pixels)}),
    World("splits", "training and test data exchanged", {_DATA: other_split}),
    World("derivation", "a term too many in a derivation", {_DERIVATION: term_too_many}),
    World("believing", "a check that takes every line for right", {_LINE: with_verdict("exact")}),
    World("refusing", "a check that refuses every line", {_LINE: with_verdict("wrong")}),
    World(
        "one latent: gap / 100",
        "a hundredth of the gap, in a model with one latent",
        {_TERMS: with_field(gap=lambda gap: gap / 100)},
    ),
    World(
        "one latent: gap + 0.2",
        "0.2 nats added to the gap, in a model with one latent",
        {_TERMS: with_field(gap=lambda gap: gap + 0.2)},
    ),
    World(
        "one latent: no kl",
        "a KL to the prior of zero, in a model with one latent",
        {_TERMS: with_field(kl=lambda _: 0.0)},
    ),
    World(
        "grid: no gap",
        "a divergence of zero on the grid of the posterior",
        {(_posterior, "true_posterior_grid"): with_field(divergence=lambda values: 0 * values)},
    ),
    World(
        "path",
        "a sample() that lets gradients through",
        {(DiagonalGaussian, "sample"): with_path},
    ),
    World(
        "exact - 5",
        "an exact log P(X) five nats too low, where a widget estimates it",
        {(SamplingExplorer, "_exact"): plus(-5.0)},
    ),
    World(
        "fits",
        "fitted Gaussians whose mean is 0.1 off",
        _all(_FITS, with_field(mean=lambda mean: mean + 0.1)),
    ),
)
BY_NAME = {world.name: world for world in WORLDS}


# --- putting them in place ----------------------------------------------------------------------


def _holders(namespace: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield namespace
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "vae_core" and module is not None:
            yield vars(module)


def replace_everywhere(old: Any, new: Any, namespace: dict[str, Any]) -> None:
    """Put ``new`` wherever the package or the chapter holds ``old`` under a name."""
    for holder in _holders(namespace):
        for name, value in list(holder.items()):
            if value is old:
                holder[name] = new


class Edges:
    """The functions that worlds replace, with the cells in which a chapter called each."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, str], set[int]] = {}
        self.originals: dict[tuple[int, str], Any] = {}
        self.now: dict[tuple[int, str], Any] = {}

    def watch(self, namespace: dict[str, Any], at: Callable[[], int]) -> None:
        """Note from now on in which cell each of them is called."""
        for owner, name in {edge for world in WORLDS for edge in world.makes}:
            key = (id(owner), name)
            original = inspect.getattr_static(owner, name)
            function = original.__func__ if isinstance(original, staticmethod) else original
            self.cells[key] = set()
            self.originals[key] = function

            def watching(
                *arguments: Any, _key: Any = key, _function: Any = function, **options: Any
            ) -> Any:
                self.cells[_key].add(at())
                return _function(*arguments, **options)

            functools.update_wrapper(watching, function)
            self._put(owner, name, function, watching, namespace)

    def _put(self, owner: Any, name: str, old: Any, new: Any, namespace: dict[str, Any]) -> None:
        self.now[id(owner), name] = new
        if inspect.isclass(owner):
            setattr(owner, name, staticmethod(new) if name == "__new__" else new)
        else:
            replace_everywhere(old, new, namespace)

    def cells_of(self, world: World) -> set[int]:
        """The cells that call what ``world`` replaces."""
        return set().union(*(self.cells[id(owner), name] for owner, name in world.makes))

    def first_cell(self, world: World) -> int | None:
        """The first of them; None where no cell does."""
        return min(self.cells_of(world), default=None)

    def apply(self, world: str, namespace: dict[str, Any]) -> None:
        """Let the package be as ``world`` says, from now on."""
        for (owner, name), make in BY_NAME[world].makes.items():
            key = (id(owner), name)
            self._put(owner, name, self.now[key], make(self.originals[key]), namespace)


def keep_the_zoo() -> None:
    """Let no model be trained and nothing be cached from now on: it would be a mutant's."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a mutant would have to train a model of the zoo")

    def write_nothing(*_: Any, **__: Any) -> Any:
        raise OSError("a mutant writes nothing")

    zoo._train = refuse
    _files.write_whole = write_nothing
    _cache.write = lambda *_, **__: False


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Undo, at the end, what was put in the place of the package's functions (for tests)."""
    edges = {edge for world in WORLDS for edge in world.makes}
    before = [(owner, name, inspect.getattr_static(owner, name)) for owner, name in edges]
    modules = {id(holder): (holder, dict(holder)) for holder in _holders({})}
    kept = zoo._train, _files.write_whole, _cache.write
    try:
        yield
    finally:
        for holder, values in modules.values():
            holder.update(values)
        for owner, name, value in before:
            setattr(owner, name, value)
        zoo._train, _files.write_whole, _cache.write = kept
