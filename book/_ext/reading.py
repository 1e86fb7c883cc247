"""How long a chapter takes to read."""

from __future__ import annotations

import json
import math
import re

WORDS_A_MINUTE = 150  # for prose that one stops to think about
A_FORMULA, A_WIDGET, ROUNDED_TO = 1, 3, 5  # minutes
EXERCISES = re.compile(r"^## Exercises$.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
WIDGET = re.compile(r"^(?:\w+ = )?(?:widgets\.[A-Z]\w+|TrainingLab)\(", re.MULTILINE)


def reading_minutes(text: str) -> int:
    """Minutes for a page or notebook: words, displayed formulas and widgets, without exercises.

    A derivation that a notebook's code shows counts as a formula; code is not counted. Rounded to
    five minutes, at least five.
    """
    shown = widgets = 0
    if text.lstrip().startswith("{"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        for cell in cells:
            hidden = "remove-cell" in cell.get("metadata", {}).get("tags", [])
            if cell["cell_type"] == "code" and not hidden:
                widgets += len(WIDGET.findall("".join(cell["source"])))
                made = (
                    out.get("data", {}).get("text/markdown", "") for out in cell.get("outputs", [])
                )
                shown += sum("".join(part).count("$$") // 2 for part in made)
    text = EXERCISES.sub("", text)
    formulas = shown + text.count("$$") // 2
    prose = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " ", text, flags=re.DOTALL)
    words = len(re.findall(r"[A-Za-z’'-]{2,}|\bI\b|\ba\b", prose))
    minutes = words / WORDS_A_MINUTE + A_FORMULA * formulas + A_WIDGET * widgets
    return ROUNDED_TO * max(1, math.floor(minutes / ROUNDED_TO + 0.5))
