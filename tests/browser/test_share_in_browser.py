"""Copy as Python and Copy link: each widget's lines find the numbers that its page shows."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sharing import copied, opened
from stage import MODEL, state, written
from visit import Visit

from vae_core import data, widgets, zoo
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder
from vae_core.widgets._base import BrowserWidget

Open = Callable[..., Visit]


@functools.cache
def made() -> dict[str, Any]:
    """What the widgets are made of, by the names that their lines use: small, never trained."""
    test = data.load("mnist", "test").first(60)
    bits = data.binarize(data.load("mnist", "test").images, "fixed")[:10]
    options: dict[str, Any] = {"hidden": (16,), "likelihood": BernoulliLikelihood(), "seed": 1}
    gaussian = [
        VAE(2, hidden=(16,), likelihood=GaussianLikelihood(s), seed=1).eval() for s in (0.5, 1)
    ]
    quadrant = CVAE(3, observed="1-quadrant", prior="learned", **options).eval()
    seeded = torch.Generator("cpu").manual_seed(0)
    return {
        "test": test,
        "images": test.images,
        "digits": bits,
        "vae": VAE(2, hidden=(16,), seed=1).eval(),
        "bernoulli": VAE(4, **options).eval(),
        "cvae": CVAE(2, classes=10, **options).eval(),
        "completers": {"quadrant": quadrant},
        "of_sigma": {0.5: gaussian[0], 1: gaussian[1]},
        "models": {"AE": Autoencoder(hidden=(16,)).eval(), "VAE": VAE(hidden=(16,), seed=1).eval()},
        "log_weights": torch.randn(120, 10, generator=seeded) * 3 - 90,
    }


def widget(name: str) -> tuple[BrowserWidget, dict[str, Any]]:
    """One widget, and the names that stand for its arguments in its lines."""
    m = made()
    ten = [f"digit {k}" for k in range(10)]
    if name == "BitsExplorer":
        one = widgets.BitsExplorer(m["bernoulli"], m["digits"].to(torch.uint8), ten)
        return one, {"vae": m["bernoulli"], "images": m["digits"]}
    if name == "BoundExplorer":
        return widgets.BoundExplorer(m["log_weights"], m["test"].images[:10], ten), m
    if name == "ConditionalExplorer":
        return widgets.ConditionalExplorer(m["cvae"], m["completers"], m["test"]), m
    if name == "DrawAndEncode":
        return widgets.DrawAndEncode(m["vae"], m["test"]), m
    if name == "LatentExplorer":
        return widgets.LatentExplorer(m["models"], m["test"]), m
    if name == "Opening":
        return widgets.Opening(m["models"], m["test"]), m
    if name == "SigmaExplorer":
        return widgets.SigmaExplorer([*m["of_sigma"].values()], m["test"]), m | {
            "models": m["of_sigma"]
        }
    return getattr(widgets, name)(), {}


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """What the lines compute, by name; what they print is under ``printed_text``."""
    found = dict(names)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "copied", "exec"), found)  # the lines under test, as a reader runs them
    return found | {"printed_text": printed.getvalue()}


class Case(NamedTuple):
    """A state as its link says it, what its lines find by the page's own names, and how near."""

    name: str
    link: str
    found: Callable[[dict[str, Any]], dict[str, Any]]
    near: float = 1e-5  # relative, and absolute for what is small


def _divergence(n: dict[str, Any]) -> dict[str, Any]:
    return {"divergence": n["divergence"]}


def _both(n: dict[str, Any]) -> dict[str, Any]:
    return {"divergence": n["divergence"], "printed": n["printed"]}


def _conditional(n: dict[str, Any]) -> dict[str, Any]:
    return {"single": n["single"], "together": n["together"], "mean": n["mean"].flatten()}


def _reparameterized(n: dict[str, Any]) -> dict[str, Any]:
    return {
        "exact": n["here"].exact,
        "score": n["many"].score_function,
        "path": n["many"].path_wise,
    }


def _drawn(n: dict[str, Any]) -> dict[str, Any]:
    bound = n["bound"]
    return {
        "mean": n["q"].mean[0], "log_sigma": n["q"].log_sigma[0], "elbo": bound.total,
        "reconstruction": bound.reconstruction, "kl": bound.kl,
    }  # fmt: skip


def _maps(n: dict[str, Any]) -> dict[str, Any]:
    return {
        "x": n["x"].flatten(), "base": n["base"], "stretch": n["stretch"], "density": n["density"],
    }  # fmt: skip


def _posterior(n: dict[str, Any]) -> dict[str, Any]:
    mean_gap = n["model"].mean_gap(n["sigma"])
    gap = n["evidence"] - n["elbo"]
    return {"evidence": n["evidence"], "elbo": n["elbo"], "gap": gap, "mean_gap": mean_gap}


def _traded(n: dict[str, Any]) -> dict[str, Any]:
    point = n["point"]
    return {
        "rate": point.rate.value, "error": point.squared_error.value, "active": point.active,
        "negative_elbo": point.negative_elbo.value, "decoded": n["decoded"].flatten(),
    }  # fmt: skip


def _law(n: dict[str, Any]) -> dict[str, Any]:
    return {"truth": n["law"].truth, "mean": n["law"].mean, "deviation": n["deviation"]}


def _numbers(n: dict[str, Any]) -> dict[str, Any]:
    names = ("exact", "divergence", "errors", "effective")
    return {name: getattr(n["numbers"], name) for name in names}


def _bound(n: dict[str, Any]) -> dict[str, Any]:
    blocks = n["blocks"]
    return {"bound": blocks.mean(), "first": blocks[0], "log_likelihood": n["log_likelihood"]}


def _bits(n: dict[str, Any]) -> dict[str, Any]:
    return {"yours.z": n["bits"].z, "yours.x": n["bits"].x, "fine": n["fine"]}


def _terms(n: dict[str, Any]) -> dict[str, Any]:
    return dict(n["terms"]._asdict())


def _decoded(n: dict[str, Any]) -> dict[str, Any]:
    return {"decoded": n["decoded"].flatten()}


def _opened(n: dict[str, Any]) -> dict[str, Any]:
    return {"decoded": n["decoded"].flatten(), "code": n["code"]}


# The page's networks have weights of 8 bits: what they decode differs in the third digit.
ROUNDED = 5e-3
CASES = [
    Case("KLExplorer", "mu:1.23457;sigma:0.3", _both),
    Case("KLExplorer", "mu:-0.4;sigma:1.7;mode:peaks", _divergence),
    Case("KLExplorer", "mu:0.3;mode:peaks;direction:forward", _divergence),
    Case("ELBOExplorer", "posterior:skewed;mean:0.31;sigma:0.45", _terms),
    Case("PosteriorExplorer", "density:gumbel;sigma:0.123457;x:0.8;best:true", _posterior),
    Case("MapExplorer", "map_name:bent;points:0.1,0.333333,-1,2,3.5,-3.5", _maps),
    Case("MapExplorer", "map_name:two-peaks;chosen:2", _maps),
    Case("GradientNoise", "batch:32;draws:1;parameter:encoder;hold_z:true", _law),
    Case(
        "ReparameterizationExplorer",
        "function:soft%20step;parameter:sigma;mu:-0.7;sigma:1.1;seed:4000000000;draws:50",
        _reparameterized,
    ),
    Case("SamplingExplorer", "d:3;sigma:0.7;n:500;proposal:posterior;run:7;seed:5", _numbers, 1e-4),
    Case("BoundExplorer", "k:7;digit:4;shuffle:12345", _bound),
    Case("BitsExplorer", "digit:6;shift:-1.25;scale:2.3", _bits, ROUNDED),
    Case("ConditionalExplorer", "z:0.25,-1.5;label:3", _decoded, ROUNDED),
    Case("ConditionalExplorer", "mode:completions;digit:2;seed:77", _conditional, ROUNDED),
    Case("DrawAndEncode", "noise:1,-1", _drawn, ROUNDED),
    Case("LatentExplorer", "z:1,2;model_name:AE", _decoded, ROUNDED),
    Case("Opening", "z:1,2;model_name:AE", _opened, ROUNDED),
    Case("SigmaExplorer", "sigma:1;digit:4;z:-0.5,0.25", _traded, ROUNDED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.link[:25]}")
def test_link_and_python_give_what_is_seen(case: Case, tmp_path: Path, open_page: Open) -> None:
    """The page opens at the link; its lines are Python's own, are run, and find its numbers."""
    one, names = widget(case.name)
    visit = opened(open_page, written(tmp_path, one.to_html()), f"#{one.NAME}={case.link}")
    shown = state(visit)
    assert copied(visit, "Copy link").endswith(f"page.html#{one.NAME}={case.link}")
    given = copied(visit)
    visit.check()

    for name in one.STATE:
        setattr(one, name, visit.page.evaluate(f"(name) => {MODEL}.get(name)", name))
    assert given == one.to_python()
    one.source = ""  # what comes before makes the models, which are not the zoo's here
    code = one.to_python()
    assert given.endswith(code)
    found = run(code, names)
    if case.name == "MapExplorer":
        numbers = shown["numbers"]
        shown = {key: np.ravel([point[key] for point in numbers]) for key in numbers[0]}
    for key, value in case.found(found).items():
        ours = functools.reduce(lambda part, name: part[name], key.split("."), shown)
        np.testing.assert_allclose(
            np.ravel(ours), np.ravel(value), case.near, case.near, err_msg=key
        )
    assert found["printed_text"].strip()


def test_lines_from_the_zoo_run_as_they_are(tmp_path: Path, open_page: Open) -> None:
    """Where models and images are known, the lines say how they come, and need nothing else."""
    models = {"Autoencoder": zoo.load("ae-2"), "VAE": zoo.load("vae-2")}
    one = widgets.LatentExplorer(models, data.load("mnist", "test").first(300))
    visit = opened(open_page, written(tmp_path, one.to_html()), "#latent_explorer=z:0.5,-1")
    found = run(copied(visit), {})
    assert torch.equal(found["test"].images, data.load("mnist", "test").images[:300])
    np.testing.assert_allclose(state(visit)["decoded"], found["decoded"].flatten(), 0, 0.01)
    nearest = visit.page.evaluate("vae.nearest([0.5, -1])")
    assert nearest["index"] == found["nearest"]
    assert nearest["distance"] == pytest.approx(found["distances"].min().item(), abs=1e-3)
    visit.check()
