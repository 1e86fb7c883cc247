"""One base for all widgets: the same module live, in a page without a kernel, and in print."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import json
import re
import textwrap
import uuid
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Any, ClassVar

import anywidget
import ipywidgets
import traitlets
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure

from vae_core._plot import png
from vae_core.widgets._page import bare, to_text
from vae_core.widgets._payload import Blob
from vae_core.widgets._share import Rule, fill

LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
PAGE_AND_TEXT = ("text/html", "text/plain")
NO_SCRIPT = (
    "<p>This part is interactive. It needs JavaScript and, in a notebook, that you run its cell "
    "or trust the notebook.</p>"
)
SHARED = ("core", "share", "entropy", "plane")
OPTIONAL = (
    "chart", "classes", "notation", "python", "desk_line", "train_math", "train", "train_session",
    "train_host", "lab_settings", "lab_view", "lab_curves", "lab_dissect", "digit_pad",
    "digit_posterior",
)  # fmt: skip
# What a page has once. Whatever a part of it uses is in it, too.
KIT = (*SHARED, "chart", "classes")


def _declared(part: str) -> list[str]:
    """The names that a file of shared code declares."""
    found = re.findall(r"^(?:async )?(?:class|function\*?|const|let) (\w+)", _read(part), re.M)
    return list(dict.fromkeys(found))


def _uses(code: str, part: str) -> bool:
    """Whether ``code`` names anything that the shared file ``part`` declares."""
    return re.search(rf"\b(?:{'|'.join(_declared(part))})\b", code) is not None


def _wanted(name: str) -> list[str]:
    """The optional parts that a widget uses, by itself or through another part, in their order."""
    found: set[str] = set()
    text = _read(name)
    while more := {part for part in OPTIONAL if _uses(text, part)} - found:
        found |= more
        text = _code(more)
    return [part for part in OPTIONAL if part in found]


@functools.cache
def _read(name: str, ending: str = "js") -> str:
    """A file beside the widgets' modules, and nothing where there is none: most have no rules."""
    path = resources.files("vae_core.widgets") / "js" / f"{name}.{ending}"
    return path.read_text("utf-8") if path.is_file() else ""


def _style(names: Iterable[str]) -> str:
    return bare("\n".join(filter(None, (_read(name, "css") for name in names))))


def _code(names: Iterable[str]) -> str:
    return "\n".join(_read(name) for name in names)


@functools.cache
def bundle(name: str) -> str:
    """The ES module of a widget: style, shared code and its own file, in one text."""
    # A widget without charts leaves them out: 17 kB a copy, and a page has 2 MB.
    wanted = _wanted(name)
    # style.css is every widget's; a widget may have rules of its own beside its module.
    style = json.dumps(_style(["style", *wanted, name]))
    text = f"const CSS = {style};\n{_code([*SHARED, *wanted, name])}"
    if "</script" in text.lower():
        raise ValueError(f"the module of {name} would close the script tag that carries it")
    return text


@functools.cache
def script(name: str) -> str:
    """A widget's module as a page carries it, and the call that mounts every widget of its kind."""
    return f'{bare(bundle(name))}\nmountStatic(render, "{name}");'


@functools.cache
def kit() -> str:
    """What the widgets of a page have in common, as one script for all of them.

    It declares a function that takes a widget's own style rules and gives the names of the shared
    parts, made anew for each widget, as if each had carried them.
    """
    names = ", ".join(name for part in KIT for name in _declared(part))
    return (
        f"window.vaeKit = (own) => {{\nconst CSS = {json.dumps(_style(['style', *KIT]))} + own;\n"
        f"{bare(_code(KIT))}\nreturn {{ {names} }};\n}};\n"
    )


@functools.cache
def with_kit(name: str) -> str:
    """A widget's module for a page that has loaded :func:`kit` before: the same, but shorter."""
    wanted = _wanted(name)
    rest = [part for part in (*SHARED, *wanted, name) if part not in KIT]
    code = bare(_code(rest)) + f'\nmountStatic(render, "{name}");'
    mine = [part for part in KIT if part in SHARED or part in wanted]
    used = [n for part in mine for n in _declared(part) if re.search(rf"(?<![\w.]){n}\b", code)]
    style = json.dumps("\n" + _style(rest))
    return f"const {{ {', '.join(used)} }} = window.vaeKit({style});\n{code}\n"


class RefusedTraitError(traitlets.TraitError, ValueError):
    """A trait was given what is not of its kind: traitlets' own error, and a ``ValueError`` too."""


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    """traitlets' errors as ours: one line, however long the value's representation is."""
    try:
        yield
    except RefusedTraitError:
        raise
    except traitlets.TraitError as error:
        text = " ".join(str(error).split())
        short = text if len(text) <= 200 else f"{text[:197]}..."
        raise RefusedTraitError(short) from None


def _check_representable(name: str, value: Any) -> None:
    """Raise :class:`RefusedTraitError` for a value that traitlets could not even refuse."""
    try:
        repr(value)
    except Exception:  # a representation of the caller's own
        raise RefusedTraitError(f"{name} can't be a {type(value).__name__}") from None


class BrowserWidget(anywidget.AnyWidget):
    """A widget that computes in the browser.

    A subclass names its JavaScript file, fills ``payload`` and ``blobs``, lists in ``STATE`` the
    traits that a page without a kernel starts from, draws :meth:`figure` for print, and says in
    ``PICTURE`` what that shows, for those who cannot see it.

    Two more things put it in reach of links and of Python; its JavaScript has no part in either.
    ``RANGES`` says for each trait of ``STATE`` what a link may set it to, in the words of
    ``_share.py``; whatever a link says beyond that is passed over (:meth:`ranges`, where it depends
    on the payload). ``PYTHON`` holds the lines behind *Copy as Python* (:meth:`python`, where they
    depend on how the widget was made): library code that computes the numbers seen, ending in a
    ``print`` of them. For example::

        STATE = ("mu", "mode")
        RANGES = {"mu": between(-3, 3), "mode": among(("prior", "peaks"))}
        PYTHON = '''
        from vae_core import evaluation

        @mode="prior" print(evaluation.something({{mu}}))
        @mode!="prior" print(evaluation.something_else({{mu}}))
        '''

    ``{{mu}}`` becomes the trait's value as Python code. A line that begins with a condition is
    there where that holds (:func:`vae_core.widgets._share.fill`). Where the lines need a model or
    data, ``source`` holds the lines before them that make these: found by the subclass where the
    zoo or :mod:`vae_core.data` has them, and free to be set by whoever makes the widget.
    """

    NAME: ClassVar[str] = ""
    PICTURE: ClassVar[str] = ""
    STATE: ClassVar[tuple[str, ...]] = ()
    RANGES: ClassVar[dict[str, Rule]] = {}
    PYTHON: ClassVar[str] = ""

    payload = traitlets.Dict(help="what the browser needs besides the blobs").tag(sync=True)
    blobs = traitlets.Dict(help="gzip bytes by SHA-256").tag(sync=True)
    source = traitlets.Unicode(help="lines that make what the lines of Copy as Python need")
    share = traitlets.Dict(help="the lines' template, and what a link may set").tag(sync=True)
    mark = traitlets.Unicode(help="joins a live view to its static twin").tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # anywidget derives a further class of its own for each widget: only ours names a module.
        if "NAME" in cls.__dict__:
            cls._esm = bundle(cls.NAME)
        super().__init_subclass__(**kwargs)

    def __init__(self, payload: dict[str, Any], blobs: list[Blob], **state: Any) -> None:
        unknown = sorted(set(state) - set(self.trait_names()))
        if unknown:
            known = f"there are {', '.join(self.STATE)}" if self.STATE else "there are none"
            raise ValueError(f"unknown traits {unknown}: {known}")
        with _one_sentence():
            super().__init__(
                payload=payload, blobs={blob.sha: blob.data for blob in blobs}, **state
            )
        self._share()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.STATE:
            _check_representable(name, value)
        with _one_sentence():
            super().__setattr__(name, value)

    @traitlets.default("mark")
    def _new_mark(self) -> str:
        return uuid.uuid4().hex[:12]

    def ranges(self) -> dict[str, Rule]:
        """What a link may set, by trait: ``RANGES``, and what depends on the payload."""
        return dict(self.RANGES)

    def python(self) -> str:
        """The template of the lines: ``PYTHON``, or what a subclass makes of its arguments."""
        return self.PYTHON

    @traitlets.observe("source")
    def _share(self, change: Any = None) -> None:
        lines = textwrap.dedent(self.python()).strip()
        source = f"{self.source.strip()}\n\n" if self.source else ""
        ranges = self.ranges()
        ordered = {name: ranges[name] for name in self.STATE if name in ranges}
        self.share = {"python": lines and source + lines, "ranges": ordered}

    def to_python(self) -> str:
        """The few lines of Python that compute the numbers seen: what *Copy as Python* copies."""
        return fill(self.share["python"], self.trait_values(sync=True))

    def figure(self) -> Figure:
        """The widget as a still picture, from the same payload."""
        raise NotImplementedError

    def to_html(self) -> str:
        """A self-contained rendition: it needs no kernel, no network and no other file."""
        return self._page()

    def _page(self, twin: str = "", still: str = "") -> str:
        """The rendition, as a live view's ``twin``, with a picture where no script runs."""
        state = {name: getattr(self, name) for name in (*self.STATE, "payload", "share")}
        # "<" is escaped so that no string in the state can close the script tag.
        carried = json.dumps(state, allow_nan=False).replace("<", "\\u003c")
        tags = "\n".join(
            f'<script type="text/plain" data-vae-blob="{sha}">{to_text(data)}</script>'
            for sha, data in self.blobs.items()
        )
        return (
            f'<div class="vae-static" data-widget="{self.NAME}"{twin} '
            # The book puts the picture itself beside this, for print and where no script runs.
            f'data-picture="{html.escape(self.PICTURE)}">\n{tags}\n'
            f'<script type="application/json">{carried}</script>\n'
            f"<noscript>{NO_SCRIPT}{still}</noscript>\n"
            f'</div>\n<script type="module">\n{script(self.NAME)}\n</script>'
        )

    def to_png(self) -> bytes:
        """The still picture as PNG bytes."""
        return png(self.figure(), bbox_inches="tight")

    def static_output(self) -> dict[str, str]:
        """The static rendition that waits beside a live view, by MIME type, with its picture."""
        picture = base64.b64encode(self.to_png()).decode()
        still = f'<img alt="{type(self).__name__}" src="data:image/png;base64,{picture}">'
        return {
            "text/plain": repr(self),
            "text/html": self._page(f' data-mark="{self.mark}"', still),
            "image/png": picture,
        }

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        return {**data, **self.static_output()}, metadata

    def _ipython_display_(self, **kwargs: Any) -> None:
        """Show the static rendition and the live view as two outputs; the page shows one of them.

        As one output, a front end picks the live view from it for good, and a notebook opened again
        without its kernel shows "model not found". As two, the rendition is there to take its place
        (core.js and style.css see to it). In a notebook that is not trusted, scripts are removed
        from HTML, and what is left is a sentence and the picture.
        """
        data, metadata = self._repr_mimebundle_()
        live = {LIVE_VIEW: data.pop(LIVE_VIEW)} if LIVE_VIEW in data else {}
        display(data, raw=True)
        if live:
            display(live, metadata=metadata, raw=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def inside(box: Any) -> Iterator[BrowserWidget]:
    """The widgets of this book in an ipywidgets box, and in the boxes in it."""
    for child in getattr(box, "children", ()):
        if isinstance(child, BrowserWidget):
            yield child
        else:
            yield from inside(child)


def _show_box(box: ipywidgets.Box) -> Any:
    """A box's own output, after the static twins of the book's widgets in it, if there are any.

    The box's view is then what a single widget's is: its twins take its place in a notebook that
    is opened again without its kernel. What else is in the box needs the kernel, and is not shown.
    """
    twins = [widget.static_output() for widget in inside(box)]
    if twins:
        together = {name: "\n".join(twin[name] for twin in twins) for name in PAGE_AND_TEXT}
        alone = {"image/png": twins[0]["image/png"]} if len(twins) == 1 else {}
        display({**together, **alone}, raw=True)
    return box._repr_mimebundle_()


def show_boxes() -> None:
    """Have a notebook show boxes so. No box of ipywidgets knows of this book: IPython is told."""
    shell = get_ipython()
    if shell is not None:
        shell.display_formatter.mimebundle_formatter.for_type(ipywidgets.Box, _show_box)


show_boxes()
