"""A chapter's cells as a notebook's to run: folded code, live sentences, answers, quizzes."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import normalise
from glued import CLAIMS, GLUED

from edition import book, waits
from edition.words import Block, Chapter, folded
from vae_core import _edition, notebook
from vae_core.symbolic._render import numbered

Cell = dict[str, Any]
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
SILENT = {"hide-cell", "hide-output", "remove-cell", "remove-output"}
BUILD_ONLY = {CLAIMS, GLUED}
CHECK = re.compile(r'`(exercises\.check\("\w+", (\w+)\))`')
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def markdown(name: str, source: str) -> Cell:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name: str, source: str, outputs: list[dict] | None = None) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": outputs or [],
        "source": source,
    }


def fold(cell: Cell, title: str, *, silent: bool = False) -> Cell:
    """Fold the cell's source in Colab (a form) and in JupyterLab; ``silent``: its outputs, too."""
    cell["source"] = f'#@title {title} {{ display-mode: "form" }}\n' + cell["source"]
    cell["metadata"]["cellView"] = "form"
    cell["metadata"]["jupyter"] = {"source_hidden": True}
    if silent:
        cell["metadata"]["jupyter"]["outputs_hidden"] = True
        cell["metadata"]["collapsed"] = True
    return cell


# --- what a code cell shows ------------------------------------------------------------------


def glued(cells: list[Cell]) -> dict[str, Any]:
    """The values that the stored cells glue, by name."""
    found = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            if GLUED in output.get("data", {}):
                text = normalise.text_of(output["data"][GLUED])
                try:
                    value = ast.literal_eval(text)
                except (SyntaxError, ValueError):
                    value = text
                found[output["metadata"]["scrapbook"]["name"]] = value
    return found


def derivations(source: str) -> list[str]:
    """The labels of the derivations that a cell shows: ``derivation("x")``, ``.labelled("y")``."""
    try:
        tree = ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source))
    except SyntaxError:
        return []
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return []
    shown = tree.body[-1].value
    label: str | None = None
    if isinstance(shown, ast.Call) and isinstance(shown.func, ast.Attribute):
        if shown.func.attr == "labelled":
            value = shown.args[0]
            if isinstance(value, ast.Constant) and value.value is None:
                return []
            label = value.value if isinstance(value, ast.Constant) else None
            shown = shown.func.value
        if (
            isinstance(shown, ast.Call)
            and isinstance(shown.func, ast.Attribute)
            and shown.func.attr == "derivation"
            and isinstance(shown.args[0], ast.Constant)
        ):
            return [label or shown.args[0].value]
    return []


def shown(outputs: list[dict], label: str, number: str) -> list[dict]:
    """The outputs for a notebook: equations with numbers, nothing that a build alone reads."""
    kept = []
    for output in copy.deepcopy(outputs):
        data = output.get("data", {})
        for name in BUILD_ONLY & set(data):
            del data[name]
        if "data" in output and not data:
            continue
        output["metadata"] = {} if "data" in output else output.get("metadata")
        if output["metadata"] is None:
            del output["metadata"]
        if number and "text/markdown" in data:
            text = normalise.text_of(data["text/markdown"])
            chain, behind = text.removeprefix("$$\n").split("\n$$\n", 1)
            data["text/markdown"] = numbered(chain, label, number) + behind
            data["text/latex"] = f"$$\n{chain}\n\\tag{{{number}}}\n$$"
        kept.append(output)
    return kept


def title_of(cell: Cell) -> str:
    """What a folded cell is, in a few words."""
    source, data = cell["source"], [o.get("data", {}) for o in cell["outputs"]]
    if "find_spec" in source:
        return "Install the book's package where it is missing"
    if set(cell["metadata"].get("tags", [])) & {"remove-cell"}:
        return "Numbers for the text"
    if re.search(r"\bwidgets\.\w+\(", source):
        return "Widget"
    if any("image/png" in each for each in data):
        return "Figure"
    if any("vae-table" in normalise.text_of(each.get("text/html", "")) for each in data):
        return "Table"
    return "Check of a claim" if re.search(r"(?m)^claim\(", source) else "Code"


def questions(source: str) -> list[dict[str, Any]] | None:
    """The questions of a cell that is one call of ``quiz`` with all its words written out."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    call = tree.body[0].value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    if call.func.id != "quiz":
        return None
    names = {"Question": notebook.Question, "Choice": notebook.Choice}
    asked = eval(compile(ast.Expression(call.args[0]), "quiz", "eval"), names)
    return [
        {"text": one.text, "choices": [[c.answer, c.feedback, c.right] for c in one.choices]}
        for one in asked
    ]


def quiz(cell: Cell, asked: list[dict[str, Any]], number: int) -> Cell:
    """A quiz whose source does not tell the answers, and that needs no style to hide them."""
    page = _edition.quiz_page(asked).replace('name="quiz-', f'name="stored-{number}-')
    page = re.sub(rf'(name="stored-{number}-)\d+-', r"\1", page)
    output = {
        "data": {"text/html": page, "text/plain": _edition.quiz_text(asked)},
        "execution_count": None,
        "metadata": {},
        "output_type": "execute_result",
    }
    call = f'folded_quiz("{_edition.seal(asked)}")'
    source = f"from vae_core.notebook import folded_quiz\n\n{call}"
    return fold(code(cell["id"], source, [output]), "Check yourself")


# --- text ------------------------------------------------------------------------------------


def sentence(chapter: Chapter, name: str, text: str) -> Cell:
    """A cell that shows ``text`` with this run's numbers; before, with the stored ones."""
    names = _edition.names(text)
    values = {key: chapter.values[key] for key in names}
    stored = "".join(f"    {key!r}: {value!r},\n" for key, value in values.items())
    quoted = f'r"""\n{text}\n"""'
    if '"""' in text:
        quoted = repr(text)
    source = f"from vae_core.notebook import numbers\n\nnumbers({quoted}, {{\n{stored}}})"
    filled = _edition.filled(text, values)
    output = {
        "data": {"text/markdown": filled, "text/plain": filled},
        "metadata": {_edition.ORIGIN: {"from_book": names}},
        "output_type": "display_data",
    }
    return fold(code(name, source, [output]), "With the numbers of this run")


def solutions(cells: list[Cell], chapter: Chapter) -> dict[str, str]:
    """The Python of each solution, by its exercise's label: stubs take their arguments from it."""
    found: dict[str, str] = {}
    within = ""
    for cell in cells:
        source = normalise.text_of(cell["source"])
        if cell["cell_type"] == "code":
            if within:
                found[within] += source + "\n"
            continue
        for block in chapter.blocks(source):
            if block.kind == "solution":
                found[block.label] = "\n".join(PYTHON.findall(block.source))
            elif block.kind == "solution-start":
                within = block.label
                found[within] = ""
            elif block.kind == "solution-end":
                within = ""
            elif within:
                found[within] += "\n".join(PYTHON.findall(block.source))
    return found


def stub(name: str, solution: str) -> str:
    """What stands in an answer's place: the function without its body, an empty list or dict."""
    try:
        tree = ast.parse(solution)
    except SyntaxError:
        tree = ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            head = f"def {name}({ast.unparse(node.args)}):"
            return f"{head}\n    raise NotImplementedError  # your answer here"
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            empty = "{}" if isinstance(node.value, ast.Dict) else "[]"
            return f"{name} = {empty}  # your answer here"
    return f"{name} = None  # your answer here"


def exercise(chapter: Chapter, name: str, block: Block, solution: str) -> Iterator[Cell]:
    """Heading, text, a cell to answer in, and one that checks the answer where a check exists."""
    number, title = chapter.exercises[block.label]
    heading = f'<a id="{block.label}" name="{block.label}"></a>\n\n### Exercise {number} ({title})'
    if block.live:
        yield markdown(name, heading)
        yield sentence(chapter, f"{name}-text", block.source)
    else:
        yield markdown(name, f"{heading}\n\n{block.source}")
    flat = re.sub(r"\s+", " ", block.source)
    checks = dict(CHECK.findall(flat))
    if checks:
        stubs = "\n\n\n".join(stub(answer, solution) for answer in dict.fromkeys(checks.values()))
        yield code(f"{name}-answer", stubs)
        # A check shows its report itself: the semicolon keeps it from being shown as a value, too.
        yield code(f"{name}-check", "from vae_core import exercises\n\n" + "\n".join(checks) + ";")
    elif solution or re.match(r"(Code|Experiment)\b", title):
        yield code(f"{name}-answer", "# your answer here")
    else:
        yield markdown(f"{name}-answer", "*Your answer:*")


# --- the chapter -----------------------------------------------------------------------------


def texts(
    chapter: Chapter, name: str, blocks: list[Block], state: dict[str, Any]
) -> Iterator[Cell]:
    """The cells for one text cell of the source."""
    count = 0

    def following() -> str:
        nonlocal count
        count += 1
        return name if count == 1 else f"{name}-{count}"

    pending: list[Block] = []

    def text_cell(text: str, live: bool) -> Cell:
        own = following()
        return sentence(chapter, own, text) if live else markdown(own, text)

    def flush() -> Iterator[Cell]:
        text = "\n\n".join(block.source for block in pending)
        live = any(block.live for block in pending)
        pending.clear()
        if not text.strip():
            return
        if state["within"]:
            more = ", continued" if state["parts"] else ""
            state["parts"] += 1
            text = folded(chapter.solution(state["within"]) + more, text)
        yield text_cell(text, live)

    for block in blocks:
        heading = block.source.startswith("#")
        if heading and block.live:
            raise chapter.fault(f"a heading shows a computed number: {block.source}")
        # A live sentence is a cell of its own; a solution is one fold, live or not.
        if pending and not state["within"] and (pending[0].live != block.live or heading):
            yield from flush()
        if block.kind == "text":
            pending.append(block)
            continue
        yield from flush()
        if block.kind == "exercise":
            solution = state["solutions"].get(block.label, "")
            yield from exercise(chapter, following(), block, solution)
        elif block.kind == "solution":
            yield text_cell(folded(chapter.solution(block.label), block.source), block.live)
        elif block.kind == "solution-start":
            state["within"], state["parts"] = block.label, 0
        elif block.kind == "solution-end":
            state["within"] = ""
    yield from flush()


def opening(chapter: Chapter, first: Cell, wait: str) -> Cell:
    """The chapter's heading with its number, where the page is, and how this notebook is read.

    ``wait``: how long its models keep a reader waiting.
    """
    heading, _, rest = first["source"].partition("\n")
    name = chapter.place.rsplit("/", 1)[1]
    button = "https://colab.research.google.com/assets/colab-badge.svg"
    badge = f"[![Open in Colab]({button})]({book.colab(chapter.root, f'notebooks/run/{name}')})"
    page = book.page(chapter.root, chapter.place, "")
    note = (
        f"> This notebook is chapter {chapter.number} of *Variational autoencoders*, to be run and "
        f"changed; [the book's page]({page}) has the same text. Run the cells from the top, in "
        "Colab by *Runtime, Run all*. Numbers in sentences are those of the book's own run until "
        "your run has computed them, and then yours. Code that only draws or asks is folded; a "
        f"click opens it.{wait}"
    )
    words = f"{badge}\n\n# {chapter.number}. {heading.removeprefix('# ')}\n\n{note}\n{rest}"
    return markdown(first["id"], words.rstrip("\n"))


def prelude(chapter: Chapter, shown_labels: list[str]) -> Cell:
    """The cell that tells the package which numbers the derivations' equations have."""
    listed = {label: chapter.equations[label] for label in shown_labels}
    pairs = "".join(f"    {json.dumps(label)}: {json.dumps(n)},\n" for label, n in listed.items())
    given = f"{{\n{pairs}}}" if pairs else ""
    source = f"from vae_core.notebook import edition\n\nedition({given})"
    return fold(code("edition", source), "The numbers of the equations, as in the book")


def chapter_of(root: Any, place: str, cells: list[Cell], minutes: int) -> Chapter:
    """The chapter with its equations, figures and exercises counted as the page counts them."""
    made = Chapter(root, place, int(place.rsplit("/", 1)[1][:2]), minutes, glued(cells))
    for cell in cells:
        source = normalise.text_of(cell["source"])
        if cell["cell_type"] == "markdown":
            made.count(source)
            continue
        for label in derivations(source):
            made.add_equation(label)
        # As book/_ext/figures.py counts them: pictures that were put into words, and are shown.
        hidden = {"remove-cell", "remove-output"} & set(cell["metadata"].get("tags", []))
        if not hidden and cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"):
            label = f"fig-{made.number:02}-{cell['id']}"
            made.figures[label] = f"{made.number}.{len(made.figures) + 1}"
        if "glue_records(" in source:
            made.fixed |= {name for name in glued([cell]) if f'"{name}"' not in source}
    return made


def converted(chapter: Chapter, cells: list[Cell]) -> list[Cell]:
    """All cells of the edition."""
    state = {"within": "", "parts": 0, "solutions": solutions(cells, chapter)}
    made: list[Cell] = []
    labels = [label for c in cells for label in code_labels(c)]
    quizzes = 0
    for cell in cells:
        cell = copy.deepcopy(cell)
        cell["source"] = normalise.text_of(cell["source"])
        if cell["cell_type"] == "markdown":
            made += texts(chapter, cell["id"], list(chapter.blocks(cell["source"])), state)
            continue
        asked = questions(cell["source"])
        if asked is not None:
            quizzes += 1
            made.append(quiz(cell, asked, quizzes))
            continue
        label = next(iter(code_labels(cell)), "")
        tags = set(cell["metadata"].get("tags", []))
        new = code(
            cell["id"],
            cell["source"],
            shown(cell["outputs"], label, chapter.equations.get(label, "")),
        )
        if state["within"]:
            title = chapter.solution(state["within"])
            fold(new, f"{title}: code", silent=True)
        elif tags & HIDDEN:
            fold(new, title_of(cell), silent=bool(tags & SILENT))
        made.append(new)
        if "find_spec" in cell["source"]:
            made.append(prelude(chapter, labels))
    sources = [normalise.text_of(c["source"]) for c in cells if c["cell_type"] == "code"]
    made[0] = opening(chapter, made[0], waits.sentence(chapter.root, sources))
    return made


def code_labels(cell: Cell) -> list[str]:
    if cell["cell_type"] != "code":
        return []
    return derivations(normalise.text_of(cell["source"]))
