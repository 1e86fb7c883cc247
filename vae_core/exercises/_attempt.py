"""One answer under test: calls it safely, compares what it gives, and says what went wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core.exercises._apart import SENT, NotHere
from vae_core.exercises._guard import LIMIT, Hung, guarded, replaced
from vae_core.exercises._mistakes import GENERAL, MISTAKES
from vae_core.exercises._values import Single, as_tensor, close, differ, short, text_of

__all__ = ["Attempt", "Failure"]


class Failure(Exception):
    """A step that failed: what was expected, what was found, and the mistake it looks like."""

    def __init__(self, expected: str, found: str, mistake: str | None = None) -> None:
        if mistake is not None and mistake not in GENERAL and mistake not in MISTAKES:
            raise ValueError(f"no mistake is called {mistake!r}")
        super().__init__(f"expected {expected}; found {found}")
        self.expected, self.found, self.mistake = expected, found, mistake


class Attempt:
    """What a step gets: the answer, as it was given, in ``answer``; calling the attempt calls it.

    seed: decides the random inputs of a step (``generator``); ``thorough`` asks for more of them.
    """

    def __init__(self, answer: Any, *, seed: int = 0, thorough: bool = False) -> None:
        self.answer, self.seed, self.thorough = answer, seed, thorough
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Standard normal inputs of ``shape``, from the attempt's own generator."""
        return torch.randn(shape, generator=self.generator, dtype=dtype)

    def __call__(self, *arguments: Any, seconds: float = LIMIT, **named: Any) -> Any:
        """Call the answer with copies of the arguments; every fault becomes a ``Failure``.

        A tensor that requires a gradient is passed as it is, so that a step can differentiate.
        """
        if not callable(self.answer):
            raise Failure("a function", short(self.answer), "type")
        given = [_copied(a) for a in arguments]
        before = [_copied(a) for a in given]
        given_named = {k: _copied(a) for k, a in named.items()}
        before_named = {k: _copied(a) for k, a in given_named.items()}
        shown = ", ".join([short(a) for a in given] + [f"{k}={short(a)}" for k, a in named.items()])
        try:
            try:
                result = guarded(lambda: self.answer(*given, **given_named), seconds)
            finally:
                parts = [part for named in replaced if (part := named()) is not None]
        except Hung as error:
            raise Failure("a result within a few seconds", str(error), "hung") from None
        except NotImplementedError:
            raise Failure("an answer", "the empty function", "not_answered") from None
        except NotHere as error:
            raise Failure(SENT, str(error), "not_sent") from None
        except BaseException as error:
            what = f"{type(error).__name__}: {text_of(error)}".strip()
            raise Failure(f"a result for ({shown})", what[:300], "raises") from None
        if parts:
            wanted = "torch and the checks left as they are"
            raise Failure(wanted, f"another {parts[0]}", "replaced")
        after = [*given, *given_named.values()]
        if not all(
            _same(a, b) for a, b in zip(after, [*before, *before_named.values()], strict=True)
        ):
            raise Failure("inputs left as they were", "an input with other values", "mutates")
        if result is None:
            raise Failure(f"a result for ({shown})", "None", "none")
        return result

    @staticmethod
    def array(found: Any) -> Any:
        """``found`` as a tensor if it holds numbers in another form; else as it is."""
        return as_tensor(found)

    def tensor(
        self,
        found: Any,
        shape: Sequence[int],
        *,
        shapes: Mapping[tuple[int, ...], str] | None = None,
    ) -> Tensor:
        """``found`` as a tensor of ``shape``, all finite, or a ``Failure``.

        A NumPy array and a list of numbers are as good; see ``array``.

        shapes: wrong shapes that betray a certain mistake, by its name.
        """
        found = as_tensor(found)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            found = torch.tensor(found, dtype=torch.float64)
        if not isinstance(found, Tensor):
            raise Failure("a tensor", short(found), "type")
        if tuple(found.shape) != tuple(shape):
            mistake = (shapes or {}).get(tuple(found.shape), "shape")
            raise Failure(f"the shape {list(shape)}", f"{list(found.shape)}", mistake)
        if not bool(torch.isfinite(found.detach().double()).all()):
            raise Failure("finite numbers", short(found), "not_finite")
        return found

    def number(self, found: Any) -> float:
        """``found`` as a finite float: a Python number, or a tensor or array with one element."""
        given = as_tensor(found)
        if isinstance(given, Tensor) and given.numel() == 1 and given.dtype != torch.bool:
            kind = Single if given.is_floating_point() and given.dtype != torch.float64 else float
            found = kind(given.detach().double().item())
        if isinstance(found, bool) or not hasattr(found, "__float__"):
            raise Failure("a number", short(found), "type")
        value = found if isinstance(found, Single) else float(found)
        if value != value or value in (float("inf"), float("-inf")):
            raise Failure("a finite number", str(value), "not_finite")
        return value

    def close(
        self,
        found: Any,
        expected: Any,
        what: str,
        *,
        mistakes: Mapping[str, Any] | None = None,
        rtol: float = 1e-6,
        atol: float = 1e-8,
        size: float = 1.0,
        exact: bool = False,
    ) -> None:
        """Fail unless ``found`` equals ``expected``, to six digits.

        mistakes: what each known mistake gives for the same input; the first one that ``found``
        equals is the diagnosis. A value may be a list, for a mistake that is made in several ways.
        size: of the largest number that the result comes from. A result in single precision need
        agree only to 1e-4, or to a millionth of ``size``; unless ``exact`` digits are asked for.
        """
        if close(found, expected, rtol, atol, size, exact):
            return
        said, wanted = differ(found, expected)
        for name, values in (mistakes or {}).items():
            several = values if isinstance(values, list) else [values]
            if any(close(found, value, rtol, atol) for value in several):
                raise Failure(f"{what}: {wanted}", said, name)
        raise Failure(f"{what}: {wanted}", said)

    def within(
        self,
        found: float,
        expected: float,
        standard_error: float,
        what: str,
        *,
        errors: float = 5.0,
        mistakes: Mapping[str, float] | None = None,
    ) -> None:
        """Fail unless a sampled number lies within ``errors`` standard errors of its expectation.

        The first mistake whose own expectation ``found`` agrees with is the diagnosis.
        """
        if abs(found - expected) <= errors * standard_error:
            return
        told = f"{found:.4g} (standard error {standard_error:.2g})"
        for name, value in (mistakes or {}).items():
            if abs(found - value) <= errors * standard_error:
                raise Failure(f"{what}: {expected:.4g}", told, name)
        raise Failure(f"{what}: {expected:.4g}", told)

    def require(self, holds: Any, expected: str, found: Any, mistake: str | None = None) -> None:
        """Fail unless ``holds``."""
        if not bool(holds):
            raise Failure(expected, found if isinstance(found, str) else short(found), mistake)

    def own_source(self, make: Callable[[], Sequence[Tensor]]) -> None:
        """Fail unless all that ``make`` draws comes from the generator that it hands to the answer.

        make: calls the answer with a generator in the same state each time. Between its two calls
        torch's own generator changes, which the draws must neither follow nor move.
        """
        state = torch.random.get_rng_state()
        drawn = []
        try:
            for other in (1, 2):
                before = torch.manual_seed(self.seed + other).get_state()
                drawn.append(make())
            untouched = torch.equal(torch.random.get_rng_state(), before)
        finally:
            torch.random.set_rng_state(state)
        self.require(
            all(torch.equal(a, b) for a, b in zip(*drawn, strict=True)),
            "the same noise from a generator in the same state",
            "another",
            "generator_ignored",
        )
        self.require(
            untouched,
            "torch's own generator left as it was",
            "one that was drawn from, or seeded",
            "global_generator",
        )

    def derivation(self, name: str) -> None:
        """A ``Failure`` unless the answer's lines solve the task ``name`` of ``symbolic.tasks``.

        The answer is a list of lines, a text, or a function without arguments that returns one of
        them. Every line is checked against the one before. A page's derivation desk asks the same.
        """
        given = self() if callable(self.answer) else self.answer
        lines = given.splitlines() if isinstance(given, str) else given
        if not isinstance(lines, (list, tuple)) or not all(isinstance(t, str) for t in lines):
            raise Failure("a list of lines, each a string", short(given), "type")
        from vae_core.symbolic import tasks  # SymPy takes a second to import

        lines = tasks.lines_of(lines)
        if not lines:
            raise Failure("a chain of lines", "no line", "not_answered")
        verdict = tasks.judged(name, lines)
        if not verdict:
            raise Failure(verdict.expected, verdict.found)

    def gradient(self, result: Tensor, source: Tensor, mistake: str = "detached") -> Tensor:
        """The gradient of ``result.sum()`` with respect to ``source``, or a ``Failure``."""
        gradient = None
        if result.requires_grad:
            (gradient,) = torch.autograd.grad(
                result.sum(), source, allow_unused=True, retain_graph=True
            )
        if gradient is None:
            raise Failure("a gradient for every input that the result depends on", "none", mistake)
        return gradient


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.clone()
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return copy.deepcopy(value)
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    return True
