"""Why a chapter's claim may fail here without being false: models that were not trained whole.

Two things leave such models. A trial run of the notebooks (``make colab``) shortens the zoo's
trainings, so that each notebook can begin with an empty cache; and a reader may press the stop
button.
"""

from __future__ import annotations

import os

# Set by book/_tools/colab.py alone. "tiny": the zoo's trainings take few images, once.
TINY = "VAE_CORE_ZOO"
EXAMPLES, EPOCHS = 2000, 1

_stopped: list[str] = []


def tiny() -> bool:
    """Whether the zoo's trainings are shortened."""
    return os.environ.get(TINY) == "tiny"


def note_stop(task: str) -> None:
    """A reader has stopped ``task`` in this process."""
    _stopped.append(task)


def excuse() -> str:
    """Why a claim may fail in this process, in a few words; "" where it may not."""
    if tiny():
        return "the models of this trial run are hardly trained"
    if _stopped and not os.environ.get("VAE_CORE_BOOK"):
        return f"{_stopped[-1]} was stopped before its end"
    return ""
