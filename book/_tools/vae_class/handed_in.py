"""A notebook that a student has handed in, put right where its meaning is clear.

Students copy, delete, move and rename cells, and editors drop what nbgrader has written into them.
The notebook that was handed out says which cells there should be, and in which order:

- a cell that checks or explains is put back as it was handed out;
- an answer is the student's cell of that name; of several copies the last one that is answered and
  stands before its check, as in the student's own run; one that lost its name is known by the
  function it defines, or by its place;
- what students add stays behind the cell that it followed.

What cannot be read raises ``SetAside`` with one sentence. This file needs the standard library only
and knows nothing of nbgrader's database; ``grade`` uses it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Given", "SetAside", "cells_of", "fits", "repaired"]

LARGEST = 1 << 30  # bytes of a notebook that are read at all
KINDS = ("code", "markdown", "raw")


class SetAside(Exception):
    """A file in which no notebook of this assignment can be read; its text says why."""


# --- reading whatever there is --------------------------------------------------------------------

# How a file begins that is something else, and what it is.
BEGINNINGS = (
    (b"%PDF", "a PDF, not a notebook"),
    (b"PK\x03\x04", "an archive under a notebook's name"),
    (b"\x1f\x8b", "an archive under a notebook's name"),
    (b"\x89PNG", "a picture, not a notebook"),
    (b"\xff\xd8\xff", "a picture, not a notebook"),
)


def _text(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8-sig", "replace")


def cells_of(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook of any version, each with type, source, metadata, id, attachments."""
    if len(data) > LARGEST:
        raise SetAside(f"{len(data) >> 20:,} MB, more than is read")
    if not data.strip(b" \t\r\n\0"):
        raise SetAside("an empty file")
    for beginning, what in BEGINNINGS:
        if data.startswith(beginning):
            raise SetAside(what)
    text = _text(data).lstrip("\ufeff \t\r\n")
    if text[:200].lower().startswith(("<!doctype", "<html", "<?xml")):
        raise SetAside("a web page, not a notebook")
    if re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE):
        raise SetAside("a notebook with the marks of an unfinished merge in it")
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except json.JSONDecodeError as error:
        if text[:1] == "{" and not text.rstrip().endswith("}"):
            raise SetAside("a notebook that breaks off in the middle") from None
        raise SetAside(f"no notebook: it is no JSON from line {error.lineno} on") from None
    except (ValueError, RecursionError, MemoryError):
        raise SetAside("no notebook that can be read") from None
    if not isinstance(found, dict):
        raise SetAside("no notebook: it is JSON of another kind")
    sheets = found.get("worksheets")
    if "cells" not in found and isinstance(sheets, list):  # notebooks of 2014 and before
        found["cells"] = [
            cell
            for sheet in sheets
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
            for cell in sheet["cells"]
        ]
    if not isinstance(found.get("cells"), list):
        raise SetAside("no notebook: it holds no list of cells")
    return [_cell(cell) for cell in found["cells"] if isinstance(cell, dict)]


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell with every part of the type that it should have; without its output."""
    kind, metadata = cell.get("cell_type"), cell.get("metadata")
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    source = source if isinstance(source, str) else ""
    metadata = metadata if isinstance(metadata, dict) else {}
    known = kind if kind in KINDS else "markdown" if kind == "heading" else "raw"
    made = {"cell_type": known, "source": _clean(source), "metadata": metadata}
    for identity in (cell.get("id"), metadata.get("id")):
        if isinstance(identity, str) and re.fullmatch(r"[\w-]{1,64}", identity, re.ASCII):
            made["id"] = identity
            break
    attached = cell.get("attachments")
    if kind == "markdown" and isinstance(attached, dict) and _pictures(attached):
        made["attachments"] = attached
    return made


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _pictures(attached: dict[str, Any]) -> bool:
    return all(
        isinstance(bundle, dict) and all(isinstance(v, str) for v in bundle.values())
        for bundle in attached.values()
    )


# --- what was handed out --------------------------------------------------------------------------


@dataclass
class Slot:
    """A cell that was handed out, and where an answer to it may be found."""

    cell: dict[str, Any]
    name: str  # nbgrader's, or nothing
    answer: bool  # written by the student
    points: bool

    @property
    def locked(self) -> bool:
        return bool(self.name) and not self.answer

    @property
    def functions(self) -> list[str]:
        found = re.findall(r"^(?:async )?def (\w+)", self.cell["source"], re.MULTILINE)
        return found if self.cell["cell_type"] == "code" else []


@dataclass
class Given:
    """A notebook that was handed out, as ``repaired`` needs it."""

    name: str
    slots: list[Slot] = field(default_factory=list)

    @classmethod
    def read(cls, name: str, data: bytes) -> Given:
        slots = []
        for cell in cells_of(data):
            given = cell["metadata"].get("nbgrader")
            given = given if isinstance(given, dict) else {}
            identity = str(given.get("grade_id", ""))
            answer, points = bool(given.get("solution")), bool(given.get("grade"))
            slots.append(Slot(cell, identity, answer, points))
        return cls(name, slots)

    def named(self) -> dict[str, int]:
        return {slot.name: i for i, slot in enumerate(self.slots) if slot.name}

    def check_of(self, place: int) -> int:
        """The place of the cell that checks the answer in ``place``; itself if a human reads it."""
        for i in range(place, len(self.slots)):
            if self.slots[i].points:
                return i
        return place


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()) == " ".join(other.split())


def _name(cell: dict[str, Any]) -> str:
    given = cell["metadata"].get("nbgrader")
    name = given.get("grade_id") if isinstance(given, dict) else None
    return name if isinstance(name, str) else ""


def _answered(cell: dict[str, Any], slot: Slot) -> bool:
    return bool(cell["source"].strip()) and not _same(cell["source"], slot.cell["source"])


def _defines(cell: dict[str, Any], functions: Iterable[str]) -> bool:
    return cell["cell_type"] == "code" and any(
        re.search(rf"^(?:(?:async )?def {f}\b|{f}\s*=[^=])", cell["source"], re.MULTILINE)
        for f in functions
    )


# --- which cell is which --------------------------------------------------------------------------


def _known(cells: list[dict[str, Any]], given: Given) -> dict[int, list[int]]:
    """For each place of the notebook handed out the cells that are copies of it, by their places.

    Known by nbgrader's name, then by the cell's id, then by the same text.
    """
    named = given.named()
    copies: dict[int, list[int]] = {i: [] for i in range(len(given.slots))}
    ids = {slot.cell.get("id"): i for i, slot in enumerate(given.slots) if "id" in slot.cell}
    left = []
    for k, cell in enumerate(cells):
        place = named.get(_name(cell))
        if place is None and not _name(cell):
            place = ids.get(cell.get("id")) if "id" in cell else None
        if place is None or _strange(cell, given, place):
            left.append(k)
        else:
            copies[place].append(k)
    for k in left:
        source = cells[k]["source"]
        for i, slot in enumerate(given.slots):
            if not copies[i] and source.strip() and _same(source, slot.cell["source"]):
                copies[i].append(k)
                break
    return copies


def _strange(cell: dict[str, Any], given: Given, place: int) -> bool:
    """Whether a cell called like one handed out holds the answer to another."""
    own = given.slots[place].functions
    if not own or _defines(cell, own):
        return False
    return any(_defines(cell, s.functions) for s in given.slots if s.answer)


def _near(cells: list[dict[str, Any]], free: list[int], slot: Slot) -> int | None:
    """Of the free cells the one that is ``slot``'s, a little changed."""
    for k in free:
        cell = cells[k]
        if cell["cell_type"] == slot.cell["cell_type"] and len(cell["source"]) < 20_000:
            ratio = difflib.SequenceMatcher(None, cell["source"], slot.cell["source"]).ratio()
            if ratio > 0.75:
                return k
    return None


def _beside(cells: list[dict[str, Any]], place: int, copies: dict[int, list[int]]) -> list[int]:
    """Free text between what stands before ``place`` and the next known cell, in cells' order."""
    known = {k for found in copies.values() for k in found}
    before = [k for i in range(place) for k in copies[i]]
    start = max(before, default=-1)
    found = []
    for k in range(start + 1, len(cells)):
        if k in known and k not in copies[place]:
            break
        if k not in known and cells[k]["cell_type"] != "code" and cells[k]["source"].strip():
            found.append(k)
    return found


def fits(cells: list[dict[str, Any]], given: Given) -> float:
    """The share of the cells handed out that are among ``cells``."""
    copies = _known(cells, given)
    found = sum(
        bool(copies[i]) or any(_defines(c, slot.functions) for c in cells)
        for i, slot in enumerate(given.slots)
        if slot.name
    )
    return found / max(1, len(given.named()))


# --- putting right --------------------------------------------------------------------------------


def repaired(data: bytes, given: Given, others: Iterable[Given] = ()) -> tuple[dict, list[str]]:
    """The notebook in order, as JSON of version 4.5, and what was done to it, in a few words each.

    others: further assignments, to say which one was handed in by mistake.
    """
    cells = cells_of(data)
    share = fits(cells, given)
    if share < 0.3:
        best = max(others, key=lambda other: fits(cells, other), default=None)
        if best is not None and fits(cells, best) > max(share, 0.3):
            raise SetAside(f"the notebook of {best.name}")
        raise SetAside("a notebook without this assignment's cells")
    copies, notes = _known(cells, given), []
    chosen: dict[int, dict[str, Any]] = {}
    used: dict[int, int] = {}  # a cell's place to the place it fills
    gone: set[int] = set()
    taken = {k for found in copies.values() for k in found}
    for place, slot in enumerate(given.slots):
        free = [k for k in range(len(cells)) if k not in taken]
        if slot.answer:
            k, note = _answer(cells, copies, free, given, place, gone)
        else:
            k, note = (copies[place][0] if copies[place] else None), ""
            if k is None and not slot.locked:
                k = _near(cells, free, slot)
            if k is None:
                note = f"{slot.name or 'a cell of code'} was missing"
            if slot.locked:
                gone |= {c for c in copies[place] if _same(cells[c]["source"], slot.cell["source"])}
                if k is not None and len(copies[place]) > 1:
                    note = f"{slot.name} was there {len(copies[place])} times"
        if k is not None:
            used[k] = place
            taken.add(k)
            chosen[place] = cells[k]
        if note:
            notes.append(note)
    order = [used[k] for k in sorted(used) if k in copies[used[k]]]
    if order != sorted(order):
        notes.append("cells were moved")
    return _assembled(cells, given, chosen, used, gone), _few(notes)


def _few(notes: list[str]) -> list[str]:
    """Each thing said once, and many missing cells counted."""
    missing = [note for note in notes if note.endswith(" was missing")]
    if len(missing) > 3:
        notes = [note for note in notes if note not in missing]
        notes.append(f"{len(missing)} cells were missing")
    return list(dict.fromkeys(notes))


def _answer(
    cells: list[dict[str, Any]],
    copies: dict[int, list[int]],
    free: list[int],
    given: Given,
    place: int,
    gone: set[int],
) -> tuple[int | None, str]:
    """The cell that answers ``place``, and what is to be said of it. Adds to ``gone``."""
    slot, found, note = given.slots[place], copies[place], ""
    answered = [k for k in found if _answered(cells[k], slot)]
    gone |= set(found) - set(answered)
    if len(found) > 1:
        note = f"{slot.name} was there {len(found)} times"
    if answered:
        checks = copies[given.check_of(place)] if slot.functions else []
        before = [k for k in answered if not checks or k < max(checks)]
        best = (before or answered)[-1]
        own = cells[best]["source"]
        gone |= {k for k in answered if k != best and _same(cells[k]["source"], own)}
        return best, note
    if slot.functions:
        other = [k for k in free if _defines(cells[k], slot.functions)]
        if other:
            return other[-1], _elsewhere(slot, found)
    else:
        texts = _beside(cells, place, copies)
        if texts:
            joined = "\n\n".join(cells[k]["source"] for k in texts)
            cells[texts[0]]["source"] = joined
            gone |= set(texts[1:])
            return texts[0], _elsewhere(slot, found)
    if not found:
        return None, f"{slot.name} was missing"
    gone.discard(found[-1])
    return found[-1], note


def _elsewhere(slot: Slot, found: list[int]) -> str:
    return f"{slot.name} was answered in another cell" if found else "cells had lost their names"


def _assembled(
    cells: list[dict[str, Any]],
    given: Given,
    chosen: dict[int, dict[str, Any]],
    used: dict[int, int],
    gone: set[int],
) -> dict[str, Any]:
    """What was handed out with the chosen answers in it, and behind each cell what was added."""
    added: dict[int, list[dict[str, Any]]] = {}
    last = -1
    for k, cell in enumerate(cells):
        if k in used:
            last = used[k]
        elif k not in gone:
            added.setdefault(last, []).append({**cell, "metadata": {}})
    taken = {slot.cell.get("id") for slot in given.slots}
    made = []
    for place in range(-1, len(given.slots)):
        if place >= 0:
            slot, cell = given.slots[place], dict(given.slots[place].cell)
            if place in chosen and not slot.locked:
                cell["source"] = chosen[place]["source"]
                if "attachments" in chosen[place] and cell["cell_type"] == "markdown":
                    cell["attachments"] = chosen[place]["attachments"]
            cell.setdefault("id", f"given-{place}")
            made.append(cell)
        for extra in added.get(place, []):
            if extra.get("id") in taken or "id" not in extra:
                extra["id"] = f"added-{len(made)}"
            taken.add(extra["id"])
            made.append(extra)
    for cell in made:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def answers(data: bytes, given: Given) -> int:
    """How many of the answers that are asked for a notebook holds."""
    found, _ = repaired(data, given)
    own = {slot.name: slot for slot in given.slots if slot.answer}
    return sum(
        _answered(cell, own[name]) for cell in found["cells"] if (name := _name(cell)) in own
    )
