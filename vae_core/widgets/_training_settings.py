"""The settings of a training in the page: their names, their ranges, and the book's presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vae_core import _check
from vae_core.widgets._share import Rule, among, between, either, mapping, several, whole
from vae_core.widgets._training_data import PLANAR

FAULTS = (
    "printed-kl", "kl-sign", "mean-over-pixels", "variance-as-sigma", "no-noise", "shared-noise",
    "stopped", "no-link",
)  # fmt: skip
ESTIMATORS = ("path-wise", "score-function", "score-function with a baseline", "stopped")
SIGMAS = ("learned", "optimal")
MOST_POINTS = 300
PLANE_REACH = 2.5  # points of the plane that are drawn lie in [-2.5, 2.5]
STRUCTURE = (
    "data", "model", "hidden", "latents", "activation", "likelihood", "sigma", "seed", "points",
)  # fmt: skip
SHARED = ("data", "points", "seed")  # by all runs

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "points": [],
    "model": "VAE",
    "hidden": [64],
    "latents": 2,
    "activation": "relu",
    "likelihood": "bernoulli",
    "sigma": 0.3,
    "estimator": "path-wise",
    "beta": 1.0,
    "rate": 0.003,
    "batch": 64,
    "seed": 1,
    "faults": [],
}
# Beside points of the plane stand other numbers: two coordinates take little and learn fast.
ON_THE_PLANE: dict[str, Any] = {
    "hidden": [32, 32], "activation": "tanh", "likelihood": "gaussian", "sigma": 0.15,
}  # fmt: skip
# What a placement opens with: settings of the first run, and what each further run changes.
PRESETS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "digits": ({}, []),
    "plane": ({"data": "moons", **ON_THE_PLANE}, []),
    "two-kls": ({}, [{"faults": ["printed-kl"]}]),
    "estimators": ({}, [{"estimator": "score-function with a baseline"}, {"estimator": "stopped"}]),
    "sigma": ({"likelihood": "gaussian", "sigma": 1.0}, [{"sigma": "optimal"}]),
    "collapse": ({}, [{"beta": 20.0}]),
    "ae-or-vae": ({"model": "AE"}, [{"model": "VAE"}]),
}


def _one_of(*names: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


def _within(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= _check.real(value) <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: _check.is_whole(value, low) and int(value) <= high


def _list(most: int, fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) <= most
        and all(fits(part) for part in value)
    )


def _pair(value: Any) -> bool:
    place = _within(-PLANE_REACH, PLANE_REACH)
    return isinstance(value, Sequence) and len(value) == 2 and place(value[0]) and place(value[1])


_number = _within(0.01, 10.0)
# What each setting may be, and in words.
KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "data": (_one_of("digits", *PLANAR, "own"), f"one of digits, {', '.join(PLANAR)}"),
    "points": (
        _list(MOST_POINTS, _pair),
        f"at most {MOST_POINTS} pairs of numbers from -{PLANE_REACH} to {PLANE_REACH}",
    ),
    "model": (_one_of("VAE", "AE"), "'VAE' or 'AE'"),
    "hidden": (_list(3, _whole(1, 1024)), "at most three widths from 1 to 1024"),
    "latents": (_whole(2, 16), "a whole number from 2 to 16"),
    "activation": (
        _one_of("relu", "tanh", "silu", "softplus", "identity"),
        "one of relu, tanh, silu, softplus, identity",
    ),
    "likelihood": (_one_of("bernoulli", "gaussian"), "'bernoulli' or 'gaussian'"),
    "sigma": (
        lambda value: value in SIGMAS if isinstance(value, str) else _number(value),
        "a number from 0.01 to 10, 'learned' or 'optimal'",
    ),
    "estimator": (_one_of(*ESTIMATORS), f"one of {', '.join(ESTIMATORS)}"),
    "beta": (_within(0.0, 100.0), "a number from 0 to 100"),
    "rate": (_within(1e-6, 1.0), "a number from 0.000001 to 1"),
    "batch": (_whole(1, 512), "a whole number from 1 to 512"),
    "seed": (_whole(0, 2**31 - 1), "a whole number from 0 to 2147483647"),
    "faults": (_list(len(FAULTS), _one_of(*FAULTS)), f"a list of {', '.join(FAULTS)}"),
}
# What a link may set them to: the page keeps to the same limits as Python.
RULES: dict[str, Rule] = {
    "data": among(("digits", *PLANAR)),
    "points": several(between(-PLANE_REACH, PLANE_REACH), MOST_POINTS, size=2),
    "model": among(("VAE", "AE")),
    "hidden": several(whole(1, 1024), 3),
    "latents": whole(2, 16),
    "activation": among(("relu", "tanh", "silu", "softplus", "identity")),
    "likelihood": among(("bernoulli", "gaussian")),
    "sigma": either(among(SIGMAS), between(0.01, 10)),
    "estimator": among(ESTIMATORS),
    "beta": between(0, 100),
    "rate": between(1e-6, 1),
    "batch": whole(1, 512),
    "seed": whole(0, 2**31 - 1),
    "faults": several(among(FAULTS), len(FAULTS)),
}
_WHOLE = ("latents", "batch", "seed")
_REAL = ("beta", "rate")


def _plain(name: str, value: Any) -> Any:
    """A checked value as JSON has it."""
    if name in _WHOLE:
        return int(value)
    if name in _REAL or (name == "sigma" and not isinstance(value, str)):
        return float(value)
    if name == "hidden":
        return [int(width) for width in value]
    if name == "points":
        return [[float(x), float(y)] for x, y in value]
    return [fault for fault in FAULTS if fault in value] if name == "faults" else str(value)


def checked(values: Any, base: Mapping[str, Any] = DEFAULTS) -> dict[str, Any]:
    """``base`` with the settings ``values`` in place of its own.

    Raises:
        ValueError: for a setting that there is not, or a value that it can't have.
    """
    return {**base, **changes(values)}


def changes(values: Any) -> dict[str, Any]:
    """Some settings, checked and as JSON has them. Raises as :func:`checked`."""
    if not isinstance(values, Mapping):
        raise ValueError(f"settings must be given by name, got {_check.shown(values)}")
    found = {}
    for name, value in values.items():
        if name not in KNOWN:
            raise ValueError(
                f"there is no setting {_check.shown(name)}: there are {', '.join(KNOWN)}"
            )
        fits, words = KNOWN[name]
        try:
            good = fits(value)
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise ValueError(f"{name} must be {words}, got {_check.shown(value)}")
        found[name] = _plain(name, value)
    return found


def rules(without: Sequence[str] = ()) -> Rule:
    """What a link may set of the settings, but for some."""
    return mapping({name: rule for name, rule in RULES.items() if name not in without})


def check_together(settings: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for settings that do not go together."""
    if settings["data"] in PLANAR and settings["likelihood"] != "gaussian":
        raise ValueError("points of the plane take likelihood='gaussian': they are not 0 or 1")
