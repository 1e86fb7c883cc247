"""Thousands of random inputs to widgets: each is drawn, or refused in one sentence.

A few are tried in every run of the tests, all where FAULTS=all.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reporting import Tally, many, reported
from widget_inputs import CHANGES, WITH_MODELS, WITH_SETTINGS, Call

from vae_core import widgets

MADE = "a random model or data set handed to a widget is drawn, or refused in one sentence"
SET = "a random setting that a widget is made with is drawn, or refused in one sentence"
CHANGED = "a random change of a living widget's setting is drawn, or refused in one sentence"


def refusal(error: BaseException) -> str:
    """What is wrong with an error as an answer to a reader; "" where nothing is."""
    message = str(error)
    if not isinstance(error, ValueError | TypeError):
        return f"{type(error).__name__}: {message[:200]}"
    if not message or "\n" in message or len(message) > 700:
        return f"no sentence, {type(error).__name__}: {message[:200]!r}"
    return ""


def page(widget: Any) -> str:
    """What is wrong with a widget's rendition; "" where it is whole."""
    html = widget.to_html()
    scripts = len(widget.blobs) + 2
    if not html.count("<script") == html.count("</script>") == scripts:
        return "a name has closed or opened a script"
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html, re.DOTALL)[0])
    if set(state) != {*widget.STATE, "payload", "share"}:
        return f"the page's state is {sorted(state)}"
    return ""


def told(name: str, call: Call, draw: bool) -> str:
    """What went wrong with one input; "" where nothing did."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            widget = call()
            fault = page(widget)
            if draw:
                widget.figure().draw_without_rendering()
    except Exception as error:
        fault = refusal(error)
        if fault:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
            fault += f" at {line}"
    return f"{name}: {fault}" if fault else ""


def tried(tally: Tally, calls: Mapping[str, st.SearchStrategy[Call]], number: int) -> None:
    """``number`` inputs, the same for each of ``calls`` and in every run."""
    for name, strategy in calls.items():
        try_some(tally, name, strategy, max(1, number // len(calls)))


def try_some(tally: Tally, name: str, strategy: st.SearchStrategy[Call], number: int) -> None:
    before = tally.count

    @settings(
        max_examples=number, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def inputs(call: Call) -> None:
        # Laying a picture out takes a hundred times as long as making it.
        fault = told(name, call, draw=(tally.count - before) % 10 == 0)
        tally.tried(not fault, fault)

    inputs()


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_random_inputs_to_widgets() -> None:
    with reported("widgets", MADE, SET, CHANGED) as (made, of_settings, changed):
        tried(made, WITH_MODELS, many(120, 4040))
        tried(of_settings, WITH_SETTINGS, many(36, 1500))
        tried(changed, CHANGES, many(52, 2000))


def test_every_widget_is_tried() -> None:
    named = {name.partition(",")[0] for name in (*WITH_MODELS, *WITH_SETTINGS)}
    assert named == set(widgets.__all__) == set(CHANGES)


def test_the_suite_sees_what_it_looks_for() -> None:
    """Its own judgement of answers, which lets none of these pass."""

    def breaking(error: BaseException) -> Call:
        def call() -> Any:
            raise error

        return call

    assert told("w", breaking(ValueError("one sentence")), False) == ""
    for error in (
        ValueError(""), ValueError("two\nlines"), IndexError("list index out of range"),
        AttributeError("'int' object has no attribute 'shape'"), ValueError("x" * 900),
    ):  # fmt: skip
        assert told("w", breaking(error), False).startswith("w: ")
    widget = widgets.KLExplorer()
    assert page(widget) == ""
    widget.payload = {**widget.payload, "extra": [float("nan")]}
    assert "not JSON compliant" in refusal_of(lambda: page(widget))


def refusal_of(call: Call) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""
