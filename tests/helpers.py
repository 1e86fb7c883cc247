"""What several test files call."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def sources(folder: Path) -> list[Path]:
    """The Python files below ``folder``, but for what an editor keeps in hidden folders."""
    return sorted(path for path in folder.rglob("*.py") if path.parent.name[0] != ".")


def one_sentence(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The message, after checking that it is one line, and hides no traceback of another error."""
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    return message
