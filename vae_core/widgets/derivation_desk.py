"""DerivationDesk: type a derivation line by line, and have every line proved or refuted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import matplotlib
import traitlets
from matplotlib.figure import Figure

from vae_core._plot import INK, STYLE
from vae_core.symbolic import NOTATION, desk
from vae_core.symbolic._derivation import Derivation
from vae_core.symbolic._faults import fault
from vae_core.symbolic._nodes import Density, TangentGap
from vae_core.symbolic._sheets import Sheet, sheets
from vae_core.symbolic.entries import ENTRIES
from vae_core.symbolic.library import derivation
from vae_core.symbolic.tasks import TASKS
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, among, fill

MODES = ("whole", "blanks", "fault", "empty")
HAND = "kl-by-hand"
MOST_LINES = 40
# Names of the book's derivations that a list of them shows in words.
TITLES = {
    "cvae-bound": "The bound of a conditional VAE",
    "elbo-from-evidence": "The bound, from log P(X)",
    "elbo-from-jensen": "The bound, by Jensen’s inequality",
    "elbo-from-kl": "The bound, from a divergence",
    "elbo-two-terms": "The bound in two terms",
    "error-term": "The error term",
    "kl-gaussian-1d": "The divergence of two Gaussians",
    "kl-gaussian-nonnegative": "A Gaussian’s divergence is never negative",
    "kl-nonnegative": "A divergence is never negative",
    "kl-printed": "What the printed formula is",
    "marginal-likelihood-estimate": "P(X) as a mean over Q",
    "path-variance-linear": "The path’s variance, f(z) = z",
    "path-variance-square": "The path’s variance, f(z) = z²",
    "scaled-latent-kl": "The divergence of a scaled latent",
    "score-variance-linear": "The score function’s variance, f(z) = z",
    "score-variance-square": "The score function’s variance, f(z) = z²",
    "second-moment-of-weights": "The second moment of the weights",
    "variance-loss": "What another variance loses",
    "weights-of-a-gaussian": "The weights of a Gaussian",
}


def _sheet(name: str, part: int, count: int, sheet: Sheet) -> dict[str, Any]:
    """A derivation's sheet as the page needs it."""
    wrong = fault(name, part)
    blanks = list(range(1, len(sheet.lines), 2)) or [0]
    title = TITLES.get(name, name) + (f", part {part + 1}" if count > 1 else "")
    return {
        "id": name if count == 1 else f"{name}-{part + 1}",
        "kind": "derivation",
        "ref": {"derivation": name, "part": part},
        "title": title,
        "label": sheet.derivation.label,
        "start": sheet.start,
        "goal": sheet.goal,
        "lines": list(sheet.lines),
        "reasons": list(sheet.reasons),
        "names": sorted({*sheet.names, *(["T"] if _gaps(sheet) else [])}),
        "over": sheet.q.name if isinstance(sheet.q, Density) else "" if sheet.q else "Q",
        "densities": any(sign in sheet.start for sign in ("P(", "Q(")),
        "blanks": blanks,
        "fault": None if wrong is None else {"index": wrong[0], "line": wrong[1]},
    }


def _gaps(sheet: Sheet) -> bool:
    return any(isinstance(value, TangentGap) for value in sheet.names.values())


def _task(name: str) -> dict[str, Any]:
    """An exercise's sheet as the page needs it. Its solution is not part of it."""
    task = TASKS[name]
    return {
        "id": name, "kind": "task", "ref": {"task": name}, "title": task.title, "label": "",
        "start": task.left, "goal": task.goal, "names": sorted(task.names),
        "over": "" if task.q else "Q", "densities": not task.q and task.under == "usual",
        "begin": task.begin,
    }  # fmt: skip


def _entries(name: str) -> dict[str, Any]:
    """The sheet of an exercise that asks for a few expressions."""
    given = ENTRIES[name]
    return {
        "id": name, "kind": "entries", "ref": {"entries": name}, "title": given.title, "label": "",
        "before": given.before, "start": given.given, "goal": "", "names": sorted(given.names),
        "over": "", "densities": False, "keys": list(given.keys.items()), "begin": given.begin,
    }  # fmt: skip


_HAND = {
    "id": HAND, "kind": "hand", "ref": {}, "title": "Your own KL term", "label": "", "start": "",
    "goal": "", "names": ["mu", "sigma"], "over": "", "densities": False,
}  # fmt: skip


def _code(sheet: Mapping[str, Any]) -> tuple[str, str]:
    """What judges a sheet's ``lines``: an import, and an expression."""
    if sheet["kind"] == "derivation":
        name, part = sheet["ref"]["derivation"], sheet["ref"]["part"]
        more = f", part={part}" if part else ""
        return "from vae_core.symbolic import desk", f'desk.checked("{name}", lines{more})'
    if sheet["kind"] == "hand":
        return "from vae_core.symbolic import desk", "desk.by_hand(lines[0])"
    given = "lines"
    if sheet["kind"] == "entries":
        keys = ", ".join(f'"{key}"' for key, _ in sheet["keys"])
        given = f"dict(zip([{keys}], lines))"
    return "from vae_core import exercises", f'exercises.check("{sheet["id"]}", {given})'


class DerivationDesk(BrowserWidget):
    """An editor for derivations in plain notation, with a verdict on every line.

    Args:
        derivations: names of the book's derivations (``symbolic.DERIVATIONS``) to be opened in it:
            whole, to try to break a line; with blanks; with one wrong line; or empty.
        exercises: names of derivation exercises (``symbolic.tasks.TASKS``, and
            ``symbolic.entries.ENTRIES``), judged as ``exercises.check`` judges them.
        by_hand: whether a reader may try a formula of their own for the KL term.

    In the book's pages Python and SymPy run in the page itself, once the reader asks; in a notebook
    the kernel does the work. Nothing typed is executed.

    Live traits: ``sheet`` (the id of the one that is open), ``mode`` ("whole", "blanks", "fault" or
    "empty") and ``lines`` (what is typed; empty for the sheet's own).

    Raises:
        ValueError: for a name that there is not, a derivation that the plain notation has no words
            for, or a desk with nothing on it.
    """

    NAME: ClassVar[str] = "derivation_desk"
    PICTURE: ClassVar[str] = (
        "The lines of a derivation, one below the other, each typed in a field; buttons add "
        "a line, and check all of them."
    )
    STATE: ClassVar[tuple[str, ...]] = ("sheet", "mode")
    # What is typed is kept in the browser, and is Python's to see; no link sets a reader's lines.

    sheet = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Unicode("whole").tag(sync=True)
    lines = traitlets.List(traitlets.Unicode(), maxlen=MOST_LINES).tag(sync=True)

    def __init__(
        self,
        derivations: Sequence[str] = (),
        exercises: Sequence[str] = (),
        by_hand: bool = False,
        **state: Any,
    ) -> None:
        found: list[dict[str, Any]] = []
        for name in _names("derivations", derivations):
            chain: Derivation = derivation(name)
            parts = sheets(name)
            if not parts:
                raise ValueError(f"the plain notation has no words for {chain.name!r}")
            found += [_sheet(name, part, len(parts), one) for part, one in enumerate(parts)]
        for name in _names("exercises", exercises):
            if name in ENTRIES:
                found.append(_entries(name))
            elif name in TASKS:
                found.append(_task(name))
            else:
                raise ValueError(
                    f"no derivation exercise is called {name!r}; there are "
                    f"{', '.join([*TASKS, *ENTRIES])}"
                )
        if by_hand:
            found.append(dict(_HAND))
        if not found:
            raise ValueError("a desk needs a derivation, an exercise, or by_hand=True")
        self._sheets = {one["id"]: one for one in found}
        state.setdefault("sheet", found[0]["id"])
        super().__init__(payload={"sheets": found, "notation": NOTATION}, blobs=[], **state)
        self.on_msg(self._asked)

    def _asked(self, widget: Any, content: Any, buffers: Any) -> None:
        """A question of the page, answered by this kernel."""
        number = content.get("id") if isinstance(content, dict) else None
        try:
            self.send({"id": number, "answer": desk.answer(content["request"])})
        except (KeyError, TypeError, ValueError) as error:
            self.send({"id": number, "failed": " ".join(str(error).split())})

    def ranges(self) -> dict[str, Rule]:
        """Any of its sheets, from any beginning."""
        return {"sheet": among(self._sheets), "mode": among(MODES)}

    @traitlets.validate("sheet")
    def _check_sheet(self, proposal: Any) -> str:
        if self.payload and proposal["value"] not in self._sheets:
            raise ValueError(
                f"sheet must be one of {', '.join(self._sheets)}; got {proposal['value']!r}"
            )
        return str(proposal["value"])

    @traitlets.validate("mode")
    def _check_mode(self, proposal: Any) -> str:
        if proposal["value"] not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {proposal['value']!r}")
        return str(proposal["value"])

    def shown(self) -> list[str]:
        """The lines that the page shows: what was typed, or the open sheet's own."""
        if self.lines:
            return list(self.lines)
        one = self._sheets[self.sheet]
        if one["kind"] == "entries":
            return [""] * len(one["keys"])
        if one["kind"] != "derivation" or self.mode == "empty":
            return ["" if one["kind"] == "hand" else "= "]
        lines = list(one["lines"])
        if self.mode == "blanks":
            return [f"{x.split()[0]} " if k in one["blanks"] else x for k, x in enumerate(lines)]
        if self.mode == "fault" and one["fault"] is not None:
            lines[one["fault"]["index"]] = one["fault"]["line"]
        return lines

    def python(self) -> str:
        """The lines as they stand, and what judges them."""
        codes = {name: _code(sheet) for name, sheet in self._sheets.items()}
        imports = [f'@sheet="{name}" {code[0]}' for name, code in codes.items()]
        prints = [f'@sheet="{name}" print({code[1]})' for name, code in codes.items()]
        return "\n".join([*imports, "", "lines = {{lines}}", *prints])

    def to_python(self) -> str:
        """The lines that are shown, and what judges them, as Python."""
        return fill(self.share["python"], {"sheet": self.sheet, "lines": self.shown()})

    def figure(self) -> Figure:
        """The open sheet's lines, as they are typed."""
        one = self._sheets[self.sheet]
        lines = self.shown()
        if one["kind"] == "entries":
            lines = [f"{key} = {x}" for (key, _), x in zip(one["keys"], lines, strict=False)]
        start = f"{one.get('before', '')} {one['start']}".strip()
        rows = [one["title"], start, *lines]
        if one["kind"] == "task":
            rows.append(f"goal: {one['goal']}")
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(8.6, 0.5 + 0.32 * len(rows)))
            axes = figure.subplots()
        axes.set_axis_off()
        for index, row in enumerate(rows):
            axes.text(
                0.0 if index < 2 else 0.03, 1 - (index + 0.5) / len(rows), row.replace("$", r"\$"),
                transform=axes.transAxes, va="center", color=INK,
                family="sans-serif" if index == 0 else "monospace",
                fontsize=10 if index == 0 else 8,
            )  # fmt: skip
        return figure


def _names(what: str, given: Any) -> list[str]:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{what} must be a list of names; got {given!r}")
    return list(dict.fromkeys(given))
