"""What every figure of the book is made with."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vae_core._plot import STYLE, png

WIDTH = 7.2  # inches: the book's text column


class Picture:
    """A finished figure that shows itself in a notebook, on a page and in print.

    It leaves matplotlib's global state alone (no pyplot): the same picture comes out whatever
    backend or style the reader has set. ``figure`` is the matplotlib figure, to change or to save.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def _repr_png_(self) -> bytes:
        return png(self.figure)

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<figure, {width:.1f} x {height:.1f} inches>"

    def save(self, path: str | Path) -> None:
        """Write the figure to ``path``, in the format its ending names (png, svg, pdf)."""
        self.figure.savefig(path)


def _subplots(columns: int, height: float, rows: int = 1) -> tuple[Figure, np.ndarray]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes
