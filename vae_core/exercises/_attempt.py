"""One answer under test: calls it safely, compares what it gives, and says what went wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_core.exercises._guard import LIMIT, Hung, guarded
from vae_core.exercises._mistakes import GENERAL, MISTAKES

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
            raise Failure("a function", _short(self.answer), "type")
        given = [_copied(a) for a in arguments]
        before = [_copied(a) for a in given]
        given_named = {k: _copied(a) for k, a in named.items()}
        before_named = {k: _copied(a) for k, a in given_named.items()}
        shown = ", ".join(
            [_short(a) for a in given] + [f"{k}={_short(a)}" for k, a in named.items()]
        )
        try:
            result = guarded(lambda: self.answer(*given, **given_named), seconds)
        except Hung as error:
            raise Failure("a result within a few seconds", str(error), "hung") from None
        except NotImplementedError:
            raise Failure("an answer", "the empty function", "not_answered") from None
        except BaseException as error:
            what = f"{type(error).__name__}: {error}".strip()
            raise Failure(f"a result for ({shown})", what[:300], "raises") from None
        after = [*given, *given_named.values()]
        if not all(
            _same(a, b) for a, b in zip(after, [*before, *before_named.values()], strict=True)
        ):
            raise Failure("inputs left as they were", "an input with other values", "mutates")
        if result is None:
            raise Failure(f"a result for ({shown})", "None", "none")
        return result

    def tensor(
        self,
        found: Any,
        shape: Sequence[int],
        *,
        shapes: Mapping[tuple[int, ...], str] | None = None,
    ) -> Tensor:
        """``found`` (a NumPy array too) as a tensor of ``shape``, all finite, or a ``Failure``.

        shapes: wrong shapes that betray a certain mistake, by its name.
        """
        if isinstance(found, np.ndarray | np.generic) and found.dtype.kind in "fiub":
            found = torch.as_tensor(np.asarray(found))
        if not isinstance(found, Tensor):
            raise Failure("a tensor", _short(found), "type")
        if tuple(found.shape) != tuple(shape):
            mistake = (shapes or {}).get(tuple(found.shape), "shape")
            raise Failure(f"the shape {list(shape)}", f"{list(found.shape)}", mistake)
        if not bool(torch.isfinite(found.detach().double()).all()):
            raise Failure("finite numbers", _short(found), "not_finite")
        return found

    def number(self, found: Any) -> float:
        """``found`` as a finite float (a Python number or a tensor with one element)."""
        if isinstance(found, Tensor) and found.numel() == 1:
            found = found.detach().double().item()
        if isinstance(found, bool) or not hasattr(found, "__float__"):
            raise Failure("a number", _short(found), "type")
        value = float(found)
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
    ) -> None:
        """Fail unless ``found`` equals ``expected``.

        mistakes: what each known mistake gives for the same input; the first one that ``found``
        equals is the diagnosis. A value may be a list, for a mistake that is made in several ways.
        """
        if _close(found, expected, rtol, atol):
            return
        for name, values in (mistakes or {}).items():
            several = values if isinstance(values, list) else [values]
            if any(_close(found, value, rtol, atol) for value in several):
                raise Failure(f"{what}: {_short(expected)}", _short(found), name)
        raise Failure(f"{what}: {_short(expected)}", _short(found))

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
            raise Failure(expected, found if isinstance(found, str) else _short(found), mistake)

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

    def derivation(
        self, left: str, goal: str, *, closed: bool = False, **options: Any
    ) -> list[str]:
        """The answer's lines, or a ``Failure`` unless they lead from ``left`` to ``goal``.

        The answer is a list of lines, a text, or a function without arguments that returns one of
        them. closed: no mean, divergence or integral may be left in the last line. options: as for
        ``symbolic.workbench``. Every line is checked against the one before.
        """
        given = self() if callable(self.answer) else self.answer
        lines = given.splitlines() if isinstance(given, str) else given
        if not isinstance(lines, (list, tuple)) or not all(isinstance(t, str) for t in lines):
            raise Failure("a list of lines, each a string", _short(given), "type")
        lines = [line for line in lines if line.strip() and not line.strip().startswith("#")]
        if not lines:
            raise Failure("a chain of lines", "no line", "not_answered")
        from vae_core import symbolic  # SymPy takes a second to import

        verdict = symbolic.workbench(left, lines, goal=goal, **options)
        if not verdict:
            wrong = next(text for text in verdict.verdicts if not text.startswith("✓"))
            if wrong.startswith("✗ the last line is not yet"):  # the goal may be the question
                wrong = f"a chain that holds, and ends at {lines[-1].strip()}"
            raise Failure("each line equal to the one before, and the goal at the end", wrong)
        last = lines[-1].partition("#")[0]
        if closed and any(sign in last for sign in ("KL(", "D[", "E[", "E_", "int(")):
            raise Failure("a closed form as the last line", lines[-1].strip())
        return list(lines)

    def gradient(self, result: Tensor, source: Tensor, mistake: str = "detached") -> Tensor:
        """The gradient of ``result.sum()`` by ``source``; a ``Failure`` if none flows."""
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


def _close(found: Any, expected: Any, rtol: float, atol: float) -> bool:
    try:
        a = torch.as_tensor(found).detach().double()
        b = torch.as_tensor(expected).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=rtol, atol=atol))


def _short(value: Any) -> str:
    """A value in a few words: a student reads it in a line."""
    if isinstance(value, Tensor):
        if value.numel() == 1:
            return f"{value.detach().double().item():.6g}"
        if value.numel() <= 6 and value.ndim == 1:
            numbers = ", ".join(f"{v:.5g}" for v in value.detach().double().tolist())
            return f"[{numbers}]"
        kind = str(value.dtype).removeprefix("torch.")
        return f"a {kind} tensor of shape {list(value.shape)}"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
