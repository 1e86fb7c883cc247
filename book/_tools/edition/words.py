"""A chapter's text as a notebook's: roles, labels and directives resolved, block by block."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from markdown_it.token import Token

from edition import book, myst
from vae_core import _edition
from vae_core.symbolic._render import numbered

ADMONITIONS = {
    name: name.replace("seealso", "see also").capitalize()
    for name in ("note", "tip", "hint", "important", "warning", "caution", "attention", "seealso")
}
TITLED = re.compile(r"(.*?)\s*<(.+)>\s*", re.DOTALL)


class Block(NamedTuple):
    """A piece of a notebook's text."""

    kind: str  # text, exercise, solution, solution-start or solution-end
    source: str
    label: str = ""

    @property
    def live(self) -> bool:
        """Whether it shows computed numbers."""
        return "«" in self.source


@dataclass
class Chapter:
    """What the text of one chapter refers to, with the numbers that the page gives."""

    root: Path
    place: str  # notebooks/04_kl_divergence.ipynb
    number: int
    minutes: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)
    exercises: dict[str, tuple[str, str]] = field(default_factory=dict)  # label: number, title
    figures: dict[str, str] = field(default_factory=dict)  # label: number
    # Equations and figures of other pages, when asked for: label -> (number, the page's address).
    elsewhere: Callable[[], Mapping[str, tuple[str, str]]] = dict
    # Values of the book's own run that no run replaces: kept results, and its time.
    fixed: set[str] = field(default_factory=lambda: {"running_time"})

    def fault(self, what: str) -> ValueError:
        return ValueError(f"{self.place}: {what}")

    def solution(self, label: str) -> str:
        """What the page calls an exercise's solution."""
        number, title = self.exercises[label]
        # It stands in HTML, where the marks around "(easy)" would be read as they are.
        return f"Solution to Exercise {number} ({title.replace('*', '')})"

    # --- numbers, in a first pass over all cells ---------------------------------------------

    def count(self, text: str) -> None:
        """Number the labelled equations and the exercises of ``text``, in its order."""
        for token in myst.parser().parse(text):
            if token.type == "math_block_label":
                self.add_equation(token.info)
            elif token.type in ("fence", "colon_fence"):
                found = myst.directive(token.info, token.content)
                if found is None:
                    continue
                label = found.options.get("label", "")
                if found.name == "exercise":
                    number = f"{self.number}.{len(self.exercises) + 1}"
                    self.exercises[label] = number, found.argument
                if found.name == "math" and label:
                    self.add_equation(label)
                elif found.name != "math":
                    self.count(found.body)

    def add_equation(self, label: str) -> None:
        if label in self.equations:
            raise self.fault(f"two equations have the label {label}")
        count = f"{len(self.equations) + 1}"
        self.equations[label] = f"{self.number}.{count}" if self.number else count

    # --- inline ------------------------------------------------------------------------------

    def role(self, name: str, content: str) -> str:
        """What a role says in plain Markdown. Raises ``ValueError`` for one that is not known."""
        if name == "glue:text":
            key, _, specification = content.partition(":")
            if key not in self.values:
                raise self.fault(f"no cell glues {key}")
            if key in self.fixed:
                place = f"«{key}:{specification}»" if specification else f"«{key}»"
                return _edition.filled(place, self.values)
            return f"«{key}:{specification}»" if specification else f"«{key}»"
        if name in ("cite", "cite:t", "cite:p"):
            return book.citation(self.root, name, content)
        if name == "eq":
            if content in self.equations:
                return f"[({self.equations[content]})](#{content})"
            others = self.elsewhere()
            if content not in others:
                raise self.fault(f"no equation has the label {content}")
            number, page = others[content]
            return f"[({number})]({page}#equation-{content})"
        if name == "numref":
            # A notebook shows its figures without numbers: the link leads to the page.
            own = {k: (n, book.page(self.root, self.place, "")) for k, n in self.figures.items()}
            if found := {**self.elsewhere(), **own}.get(content):
                return f"[Figure {found[0]}]({found[1]}#{content})"
            raise self.fault(f"no figure has the label {content}")
        if name == "math":
            return f"${content}$"
        if name in ("doc", "ref"):
            titled = TITLED.fullmatch(content)
            words, target = (titled[1], titled[2]) if titled else ("", content)
            if name == "ref" and target in self.exercises:
                words = words or f"Exercise {self.exercises[target][0]}"
                return f"[{words}](#{target})"
            if name == "doc":
                words = words or book.title(self.root, self.place, target)
                return f"[{words}]({book.page(self.root, self.place, target)})"
        raise self.fault(f"a notebook has nothing for {{{name}}}`{content}`; see edition/words.py")

    def link(self, span: myst.Span) -> str:
        """A link within the book leads to the published page."""
        opened = next(token for token in span.tokens if token.type == "link_open")
        target = str(opened.attrs.get("href", ""))
        if myst.OUTSIDE.match(target):
            return span.raw
        head, _ = span.raw.rsplit("](", 1)
        return f"{head}]({book.page(self.root, self.place, target)})"

    def inline(self, span: myst.Span) -> str:
        if span.kind == "myst_role":
            token = next(token for token in span.tokens if token.type == "myst_role")
            return self.role(token.meta["name"], token.content)
        if span.kind == "link":
            return self.link(span)
        return span.raw

    # --- blocks ------------------------------------------------------------------------------

    def blocks(self, text: str) -> Iterator[Block]:
        """``text`` in pieces, each without markup that only the page knows."""
        text = text.replace("{{ reading_time }}", str(self.minutes))
        lines = text.splitlines(keepends=True)
        environment: dict[str, Any] = {}
        tokens = myst.parser().parse(text, environment)
        top = [i for i, t in enumerate(tokens) if t.level == 0 and t.nesting >= 0 and t.map]
        for here, after in zip(top, [*top[1:], None], strict=True):
            start, end = tokens[here].map or [0, 0]
            yield from self.block(lines, start, end, tokens[here:after], environment)

    def block(
        self, lines: list[str], start: int, end: int, tokens: list[Token], environment: Any
    ) -> Iterator[Block]:
        first = tokens[0]
        if first.type in ("fence", "colon_fence"):
            found = myst.directive(first.info, first.content)
            if found is not None:
                yield from self.directive(found)
                return
        if first.type in ("myst_line_comment", "myst_block_break"):
            return
        if first.type == "myst_target":
            yield Block("text", f'<a id="{first.content}" name="{first.content}"></a>')
            return
        yield Block("text", self.resolved(lines, start, end, tokens, environment))

    def resolved(
        self, lines: list[str], start: int, end: int, tokens: list[Token], environment: Any
    ) -> str:
        """The lines from ``start`` to ``end`` with each foreign piece replaced where it stands."""
        source = "".join(lines[start:end])
        offsets = [0]
        for line in lines[start:end]:
            offsets.append(offsets[-1] + len(line))
        changes: list[tuple[int, int, str]] = []
        place = 0
        for token in tokens:
            if token.map:
                place = max(place, offsets[min(token.map[0] - start, end - start)])
            if token.type == "math_block_label":
                first, last = (offsets[line - start] for line in token.map or (start, end))
                prefix = re.match(r"[ >]*", source[first:])
                indent = prefix[0] if prefix else ""
                tex = textwrap.dedent(token.content).strip()
                shown = numbered(tex, token.info, self.equations[token.info]).splitlines()
                block = "\n".join((indent + line).rstrip(" ") for line in shown)
                changes.append((first, last, block + "\n"))
                place = last
            elif token.type in ("fence", "colon_fence") and myst.directive(token.info, ""):
                raise self.fault(f"a directive within a list or a quote: {token.info}")
            elif token.type == "inline":
                for span in myst.spans(token.content, environment):
                    words = re.escape(span.raw).replace("\\\n", "\n").replace("\\ ", " ")
                    pattern = re.sub(r"\s+", lambda _: r"[\s>]+", words)
                    found = re.compile(pattern).search(source, place)
                    if found is None:  # within a link, whose text was replaced as a whole
                        raise self.fault(f"not found again: {span.raw}")
                    new = self.inline(span)
                    if new != span.raw:
                        changes.append((found.start(), found.end(), new))
                    place = found.start() if span.kind == "link" else found.end()
        for begin, finish, new in reversed(changes):
            source = source[:begin] + new + source[finish:]
        return source.strip("\n")

    def directive(self, found: myst.Directive) -> Iterator[Block]:
        """A directive as pieces of plain Markdown."""
        label = found.options.get("label", found.argument)
        if found.name in ("exercise", "solution"):
            inner = "\n\n".join(block.source for block in self.blocks(found.body))
            yield Block(found.name, inner, label)
        elif found.name in ("solution-start", "solution-end"):
            yield Block(found.name, "", label)
        elif found.name == "math":
            number = self.equations.get(label)
            yield Block("text", numbered(found.body, label, number) if number else found.body)
        elif found.name in ("code-block", "code"):
            yield Block("text", f"```{found.argument}\n{found.body}\n```")
        elif found.name in ADMONITIONS or found.name in ("admonition", "dropdown"):
            inner = "\n\n".join(block.source for block in self.blocks(found.body))
            title = ADMONITIONS.get(found.name, found.argument)
            if found.name == "dropdown":
                yield Block("text", folded(title, inner))
            else:
                quoted = f"**{title}.** {inner}".replace("\n", "\n> ")
                yield Block("text", f"> {quoted}")
        else:
            raise self.fault(f"a notebook has nothing for {{{found.name}}}; see edition/words.py")


def folded(title: str, text: str) -> str:
    """``text`` under a line that unfolds it."""
    return f"<details>\n<summary><b>{title}</b></summary>\n\n{text}\n\n</details>"
