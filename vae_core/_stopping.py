"""A notebook's stop button ends a cell with one line, not with the traceback of where it was.

``fit`` ends cleanly by itself and keeps what was learned. What else a cell computes (a loop that a
chapter writes out, a model of the zoo, an evaluation) ends with KeyboardInterrupt, which notebooks
show like an error of thirty lines.
"""

from __future__ import annotations

import sys
from typing import Any

KEPT = "what earlier cells computed is kept, and what this one had assigned; run it again to finish"


def _told(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: Any = None) -> list:
    line = f"stopped: {str(error) or KEPT}"
    shell._showtraceback(kind, error, [line])  # the kernel's own way to the reader
    return [line]


def show_stops_in_one_line() -> None:
    """In a notebook's kernel, have a stop shown so, unless a handler of the reader's is there."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and hasattr(shell, "kernel") and not shell.custom_exceptions:
        shell.set_custom_exc((KeyboardInterrupt,), _told)
