"""What a widget tells of itself as Python, and what a link may set, without a browser."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import traitlets
from cases import CASES, SETUP
from hypothesis import given
from hypothesis import strategies as st

from vae_core import data, widgets, zoo
from vae_core.evaluation import trade_off
from vae_core.models import VAE
from vae_core.widgets import KLExplorer, SigmaExplorer, TrainingLab, _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import (
    among,
    between,
    either,
    fill,
    literal,
    mapping,
    several,
    whole,
)
from vae_core.widgets._training_data import PLANAR
from vae_core.widgets._training_settings import RULES


@pytest.fixture(scope="module")
def made() -> dict[str, BrowserWidget]:
    """One of each widget."""
    names: dict[str, Any] = {}
    exec(SETUP, names)  # as the tests in JupyterLab make them
    return {name: eval(case.make, names) for name, case in CASES.items()}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.0, "1"), (-0.0, "0"), (0.30000000000000004, "0.3"), (1.0156250, "1.01563"),
        (-1.0156250, "-1.01563"), (1e-7, "0"), (0.000012345678, "0.0000123457"),
        (123456.75, "123457"), (9999.996, "10000"), (4294967295, "4294967295"), (True, "True"),
        ([[0.5, 1.0], [2, -3.25]], "[[0.5, 1], [2, -3.25]]"), ('a"b\\', '"a\\"b\\\\"'),
        ({}, "{}"), ([{"beta": 4.0}], '[{"beta": 4}]'),
        (
            dict.fromkeys("abcde", 1),
            '{\n    "a": 1,\n    "b": 1,\n    "c": 1,\n    "d": 1,\n    "e": 1,\n}',
        ),
    ],
)  # fmt: skip
def test_values_are_written_as_python(value: Any, code: str) -> None:
    assert literal(value) == code


@given(st.floats(-1e5, 1e5))
def test_a_number_keeps_six_digits(value: float) -> None:
    assert math.isclose(float(literal(value)), value, rel_tol=5.1e-6, abs_tol=1e-6)
    assert "e" not in literal(value)


def test_lines_stand_under_their_conditions() -> None:
    template = '@mode="a" one\n@mode!="a" two\n@mode="b" @on=True three {{x}}\n{x} {"y": 1} {{on}}'
    state = {"mode": "a", "on": True, "x": 0.5}
    assert fill(template, state) == 'one\n{x} {"y": 1} True\n'
    assert fill(template, state | {"mode": "b"}) == 'two\nthree 0.5\n{x} {"y": 1} True\n'
    assert fill(template, state | {"mode": "b", "on": False}) == 'two\n{x} {"y": 1} False\n'


def test_rules_in_words() -> None:
    assert between(-1, 2) == {"low": -1, "high": 2}
    assert whole(0, 9) == {"low": 0, "high": 9, "whole": True}
    assert among(k for k in "ab") == {"among": ["a", "b"]}
    number = between(0, 1)
    assert either(among("a"), number) == {"either": [{"among": ["a"]}, number]}
    assert several(number, 4, 2) == {"each": number, "most": 4, "size": 2}
    assert mapping({"beta": number}) == {"fields": {"beta": number}}


# ------------------------------------------------------------------ every widget


def test_every_widget_is_here(made: dict[str, BrowserWidget]) -> None:
    assert set(made) == set(widgets.__all__)


@pytest.mark.parametrize("name", CASES)
def test_every_trait_has_a_rule_and_every_widget_lines(
    name: str, made: dict[str, BrowserWidget]
) -> None:
    one = made[name]
    assert tuple(one.share["ranges"]) == one.STATE
    code = one.to_python()
    ast.parse(code)
    assert "print(" in code
    assert "vae_core" in one.share["python"]
    assert not {"@", "{{"} & set(code.split())
    # What was drawn takes the room it takes.
    short = [line for line in code.splitlines() if not re.match(r"(pixels|draws) = ", line)]
    assert all(len(line) <= 100 for line in short)


def extremes(rule: dict[str, Any], like: Any) -> Iterator[Any]:
    """The values at a rule's limits, in the form of ``like``."""
    if "fields" in rule:
        for key, one in rule["fields"].items():
            for value in extremes(one, like.get(key)):
                # Points of the plane are no black-and-white pixels.
                grey = {"likelihood": "gaussian"} if value in PLANAR else {}
                yield {**like, key: value, **grey}
        return
    if "each" in rule:
        yield []
        for value in extremes(rule["each"], {}):
            yield [value] if rule["size"] == 1 else [[value] * rule["size"]]
        return
    if "either" in rule:
        for one in rule["either"]:
            yield from extremes(one, like)
        return
    for value in rule.get("among", (rule.get("low"), rule.get("high"))):
        yield _filled(like, value)


def _filled(like: Any, value: Any) -> Any:
    return [_filled(part, value) for part in like] if isinstance(like, list) else value


@pytest.mark.parametrize("name", CASES)
def test_what_a_link_may_set_python_takes(name: str, made: dict[str, BrowserWidget]) -> None:
    """At each limit; for each value to choose from the lines are still Python."""
    one = made[name]
    before = {trait: getattr(one, trait) for trait in one.STATE}
    for trait, rule in one.share["ranges"].items():
        if name == "PosteriorExplorer" and trait == "x":
            continue  # between the density's own limits, which the page keeps by itself
        for value in extremes(rule, before[trait]):
            setattr(one, trait, value)
            ast.parse(one.to_python())
        setattr(one, trait, before[trait])


@pytest.mark.parametrize("name", CASES)
def test_beyond_its_limits_python_refuses_too(name: str, made: dict[str, BrowserWidget]) -> None:
    """A page's limits are no narrower than Python's, but for points of a plane without an edge."""
    one, refused = made[name], 0
    for trait, rule in one.share["ranges"].items():
        now = getattr(one, trait)
        if "fields" in rule or "each" in rule:
            continue  # of TrainingLab: see below
        if isinstance(now, bool) or rule.get("high") == 1e4 or (name, trait) in FREE:
            continue
        wrong = "no such" if isinstance(now, str) else rule.get("high", 1000) + 1
        with pytest.raises((traitlets.TraitError, ValueError)):
            setattr(one, trait, _filled(now, wrong))
        refused += 1
    assert refused or name == "DrawAndEncode"


@pytest.mark.parametrize("name", RULES)
def test_beyond_a_settings_rule_python_refuses_too(name: str) -> None:
    """A link's limits of the training lab's settings are Python's own."""
    rules = RULES[name].get("either", [RULES[name]])
    one = rules[-1].get("each", rules[-1])
    wrong: Any = "no such" if "among" in one else one["high"] + 1
    for _ in range("each" in rules[-1]):
        wrong = [wrong] if rules[-1]["size"] == 1 else [[wrong, wrong]]
    with pytest.raises((traitlets.TraitError, ValueError)):
        TrainingLab(settings={name: wrong})
    if "each" in rules[-1] and "low" in one:  # one too many
        right = [one["low"]] * rules[-1]["size"]
        with pytest.raises((traitlets.TraitError, ValueError)):
            TrainingLab(settings={name: [right] * (rules[-1]["most"] + 1)})


FREE = {("PosteriorExplorer", "x"), ("DrawAndEncode", "noise")}


# ------------------------------------------------------------------ where it comes from


def test_a_model_of_the_zoo_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its seed where that is not the recipe's; not once its weights have changed."""
    monkeypatch.setattr(zoo, "_in_memory", {})
    # A key is found by training in small; any other that is a file's own does as well here.
    monkeypatch.setattr(zoo, "_key", lambda recipe, seed, device: f"{seed:016d}")
    recipe, seed, cpu = zoo._recipe("vae-2-short"), 3, torch.device("cpu")
    for own in (recipe.seed, seed):
        model = zoo._untrained(recipe, own).eval()
        zoo._write(zoo._path("vae-2-short", own, cpu), model)
    first, other = (zoo.load("vae-2-short", s, device="cpu") for s in (recipe.seed, seed))
    assert _sources.from_zoo(first) == 'zoo.load("vae-2-short")'
    assert _sources.from_zoo(other) == 'zoo.load("vae-2-short", 3)'
    stranger = VAE(seed=8).eval()
    known = {"short": other, "mine": stranger}
    few = data.load("mnist", "test").first(60)
    images = _sources.from_data(few.images, few.name, few.split)
    head = _sources.lines(models=(_sources.each(known), "the models"), test=(images, "the images"))
    assert head == (
        "from vae_core import data, zoo\n\n"
        'models = {"short": zoo.load("vae-2-short", 3), "mine": ...}'
        "  # ...: a model that this widget was made of\n"
        'test = data.load("mnist", "test").first(60)'
    )
    assert _sources.each({"mine": stranger}) is None
    with torch.no_grad():
        next(first.parameters()).add_(1)
    assert _sources.from_zoo(first) is None
    assert _sources.from_zoo(stranger) is None


def test_images_are_known_by_their_pixels() -> None:
    test = data.load("mnist", "test")
    assert _sources.from_data(test.images, "mnist", "test") == 'data.load("mnist", "test")'
    assert _sources.from_data(test.images[1:], "mnist", "test") is None
    assert _sources.from_data(255 - test.images[:9], "mnist", "test") is None
    assert _sources.from_data(test.images, "mine", "test") is None
    bits = data.binarize(test.images, "fixed").to(torch.uint8)
    code = _sources.from_digits(bits[[7, 3]])
    assert code is not None
    assert torch.equal(eval(code, {"data": data}), bits[[7, 3]].float())
    assert _sources.from_digits(1 - bits[:2]) is None
    assert _sources.from_digits(bits[:2, :, 1:]) is None


def test_points_of_all_images_are_told_from_points_of_the_shown(
    made: dict[str, BrowserWidget],
) -> None:
    shown = made["SigmaExplorer"]
    assert 'images = data.load("mnist", "test").first(60).images' in shown.to_python()
    few = data.load("mnist", "test").first(60)
    models = [shown.twins[k].eval() for k in (0, 1)]
    test = data.load("mnist", "test")
    for images, code in (
        (test.images, 'images = data.load("mnist", "test").images\n'),
        (test.images[:100], "images = ...  # the images that points were measured on"),
    ):
        points = [trade_off(model, images) for model in models]
        assert code in SigmaExplorer(models, few, points).to_python()


def test_whoever_makes_a_widget_may_say_where_its_parts_come_from() -> None:
    one = KLExplorer(mu=0.5)
    one.source = "import this_and_that\n"
    assert one.to_python().startswith("import this_and_that\n\nimport torch\n")
    assert one.share["python"].startswith("import this_and_that")


def test_nothing_in_a_page_can_close_its_script() -> None:
    one = KLExplorer()
    one.source = "</script><script>alert(1)</script>"
    assert "</script><script>alert" not in one.to_html()
