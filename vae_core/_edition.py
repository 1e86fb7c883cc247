"""What only the notebooks that readers run need: sentences with live numbers, folded quizzes.

The book's chapters are written for its pages, which understand more than a notebook's front end
does. The editions in notebooks/run, made from the chapters, call these functions in its place.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vae_core import _tex
from vae_core._progress import in_notebook
from vae_core._text import say
from vae_core._typography import typeset

__all__ = [
    "begin",
    "formatted",
    "put",
    "quiz_page",
    "quiz_text",
    "running",
    "seal",
    "shuffled",
    "unseal",
    "words",
]

# A place in a text for a computed number: «name» or «name:.2f».
PLACE = re.compile(r"«([^«»:]+)(?::([^«»]*))?»")
# What Markdown, or a front end's mathematics, would take for markup.
_MARKUP = re.compile(r"([\\`*_\[\]<>$#|~])")
# The key, in an output's metadata, of the names whose values are the book's and not this run's.
ORIGIN = "vae_core"
# What a quiz says first to an answer.
RIGHT, WRONG = "Right.", "Not quite."

_numbers = itertools.count(1)


class _State:
    """What this kernel has computed, and which sentences show it."""

    def __init__(self) -> None:
        self.on = False  # whether this notebook is an edition
        self.values: dict[str, Any] = {}
        self.shown: dict[str, tuple[str, Mapping[str, Any]]] = {}  # by the display's id
        self.changed: set[str] = set()
        self.shell: Any = None


_state = _State()


def running() -> bool:
    """Whether this process runs an edition, and so needs no outputs for a page's build."""
    return _state.on


def begin(equations: Mapping[str, str] | None = None) -> None:
    """Tell the package that an edition runs. equations: label of a derivation -> its number."""
    from vae_core.symbolic import _render

    _state.on = True
    _render.NUMBERS.clear()
    _render.NUMBERS.update(equations or {})


def put(name: str, value: Any) -> None:
    """Note a computed value; sentences that name it are set anew once the cell has ended."""
    _state.values[name] = value
    _state.changed.add(name)
    shell = sys.modules["IPython"].get_ipython()
    if shell is not _state.shell:
        shell.events.register("post_run_cell", _renew)
        _state.shell = shell


def formatted(value: Any, specification: str = "") -> str:
    """``value`` as the book's page shows it: by Python's format, then with a printer's signs."""
    kind = specification[-1:]
    if kind in ("b", "c", "d", "o", "x", "X"):
        value = int(value)
    elif kind in tuple("eEfFgGn%"):
        value = float(value)
    elif kind in ("", "s"):
        value = str(value)
    return typeset(format(value, specification))


def filled(template: str, values: Mapping[str, Any]) -> str:
    """The Markdown ``template`` with ``values`` at its places, safe from being taken for markup."""

    def fill(match: re.Match[str]) -> str:
        return _MARKUP.sub(r"\\\1", formatted(values[match[1]], match[2] or ""))

    # A number and a point at the start of a line would begin a list.
    return PLACE.sub(fill, re.sub(r"(?m)^(«[^«»]*»)([.)])(?=\s|$)", r"\1\\\2", template))


def names(template: str) -> list[str]:
    """The names of the numbers that ``template`` shows, each once."""
    return list(dict.fromkeys(match[1] for match in PLACE.finditer(template)))


def bundle(template: str, book: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Data and metadata of a sentence's output; ``book`` holds the values of the book's own run."""
    wanted = names(template)
    values = {name: _state.values.get(name, book.get(name)) for name in wanted}
    text = filled(template, values)
    missing = [name for name in wanted if name not in _state.values]
    return {"text/markdown": text, "text/plain": text}, {ORIGIN: {"from_book": missing}}


def show(template: str, book: Mapping[str, Any]) -> None:
    """Show a sentence with this run's numbers. Those computed later are put in when they are."""
    template = template.strip("\n")
    data, metadata = bundle(template, book)
    if not in_notebook():
        say(data["text/plain"])
        return
    place = "numbers-" + hashlib.sha256(template.encode()).hexdigest()[:12]
    _state.shown[place] = (template, dict(book))
    display = sys.modules["IPython.display"].display
    display(data, raw=True, metadata=metadata, display_id=place)


def _renew(result: Any = None) -> None:
    """Set those sentences anew whose numbers the cell has computed."""
    changed, _state.changed = _state.changed, set()
    if not changed:
        return
    display = sys.modules["IPython.display"].display
    for place, (template, book) in _state.shown.items():
        if changed.intersection(names(template)):
            data, metadata = bundle(template, book)
            display(data, raw=True, metadata=metadata, display_id=place, update=True)


# --- quizzes -------------------------------------------------------------------------------


def seal(questions: Sequence[Mapping[str, Any]]) -> str:
    """``questions`` as letters that tell a reader nothing: no secret, only out of sight."""
    plain = json.dumps(questions, ensure_ascii=False, separators=(",", ":"))
    return base64.b85encode(zlib.compress(plain.encode(), 9)).decode()


def unseal(sealed: str) -> list[dict[str, Any]]:
    """The questions again: each with ``text`` and ``choices`` of (answer, feedback, right)."""
    plain = zlib.decompress(base64.b85decode("".join(sealed.split())))
    return list(json.loads(plain))


def shuffled(question: str, choices: Sequence[Any]) -> list[Any]:
    """``choices`` in the order in which they are shown, on the page, in the edition and in print.

    The order depends on the words of the question and on how many choices there are, on nothing
    else: it is the same in every build, and a new question leaves that of the others as it is.
    """
    name = " ".join(question.split())

    def drawn(place: int) -> str:
        return hashlib.sha256(f"{name}\0{place}".encode()).hexdigest()

    return [choices[place] for place in sorted(range(len(choices)), key=drawn)]


# Code between backticks, or a formula between dollars; neither begins or ends with a space.
_PIECE = re.compile(r"`([^`]+)`|\$(?! )((?:\\.|[^$\\])+?)(?<! )\$(?!\d)", re.DOTALL)


def words(text: str) -> str:
    """``text`` for a page: between backticks is code, between dollars a formula in TeX.

    Formulas get the form that MathJax sets in the book's pages, in JupyterLab and in Colab.
    """
    said, at = "", 0
    for match in _PIECE.finditer(text):
        said += html.escape(text[at : match.start()])
        code, formula = match.groups()
        if code is not None:
            said += f"<code>{html.escape(code)}</code>"
        else:
            kind = "math notranslate nohighlight"
            said += f'<span class="{kind}">\\({html.escape(formula)}\\)</span>'
        at = match.end()
    return said + html.escape(text[at:])


def plain_words(text: str) -> str:
    """``text`` for a terminal: its formulas in signs and letters."""
    return _PIECE.sub(lambda found: _tex.readable(found[2]) if found[2] else found[0], text)


def quiz_page(questions: Sequence[Mapping[str, Any]]) -> str:
    """A quiz in which each answer unfolds what is said to it.

    The browser's own <details>: it needs neither style nor script, of which a notebook that is not
    trusted keeps none, and is closed until it is clicked.
    """
    number = next(_numbers)
    blocks = []
    for index, question in enumerate(questions, 1):
        choices = []
        for answer, feedback, right in shuffled(question["text"], question["choices"]):
            verdict = f"✓ {RIGHT}" if right else f"✗ {WRONG}"
            choices.append(
                f'<details name="quiz-{number}-{index}"><summary>{words(answer)}</summary>'
                f"<blockquote><strong>{verdict}</strong> {words(feedback)}</blockquote></details>"
            )
        text = f"<p><strong>{index}. {words(question['text'])}</strong></p>"
        blocks.append(f"<div>{text}{''.join(choices)}</div>")
    return f'<div class="vae-questions">{"".join(blocks)}</div>'


def quiz_text(questions: Iterable[Mapping[str, Any]]) -> str:
    """The questions with their answers to choose from, for print and terminals."""
    lines = []
    for index, question in enumerate(questions, 1):
        choices = shuffled(question["text"], question["choices"])
        lines += [f"{index}. {plain_words(question['text'])}"]
        lines += [f"   ( ) {plain_words(answer)}" for answer, *_ in choices]
    return "\n".join(lines)
