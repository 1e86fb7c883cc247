"""SamplingExplorer without a browser: its model, its draws, its estimates, what it refuses."""

from __future__ import annotations

import base64
import json
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats

from vae_core import symbolic
from vae_core.models import LinearVAE
from vae_core.widgets import SamplingExplorer
from vae_core.widgets._random import normal_pairs, normals, uniforms
from vae_core.widgets.sampling_explorer import MISS

# ------------------------------------------------------------------ the draws of a browser


def test_uniforms_are_mulberry32() -> None:
    # From the generator as published (T. Ettinger), seed 1 and 0.
    def published(state: int, count: int) -> list[float]:
        out = []
        for _ in range(count):
            state = (state + 0x6D2B79F5) & 0xFFFFFFFF
            t = ((state ^ (state >> 15)) * (state | 1)) & 0xFFFFFFFF
            t ^= (t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF
            out.append((t ^ (t >> 14)) / 2**32)
        return out

    for seed in (0, 1, 2**32 - 1):
        assert uniforms(seed, 50).tolist() == published(seed, 50)


@pytest.mark.parametrize("draw", [normals, normal_pairs])
def test_normals_have_the_moments_of_the_standard_normal(draw: object) -> None:
    assert callable(draw)
    z = draw(3, 40_000)
    assert abs(z.mean()) < 4 / math.sqrt(len(z))
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / len(z))
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / len(z))
    assert abs((z[::2] * z[1::2]).mean()) < 4 / math.sqrt(len(z) / 2)
    assert draw(3, 10).tolist() == z[:10].tolist()


# ------------------------------------------------------------------ the model


def linear(widget: SamplingExplorer) -> tuple[LinearVAE, torch.Tensor]:
    """The same model as one of vae_core.models, and the X that is shown."""
    d = widget.d
    model = LinearVAE(d, (1, 1, d), sigma=widget.sigma).double()
    with torch.no_grad():
        model.linear_decoder.weight.copy_(torch.eye(d))
        model.linear_decoder.bias.zero_()
    model.set_posterior()
    return model, torch.full((1, 1, 1, d), widget.x, dtype=torch.float64)


@pytest.mark.parametrize(("d", "sigma"), [(1, 0.5), (3, 0.25), (20, 1.5)])
def test_what_is_known_exactly_is_the_linear_models(d: int, sigma: float) -> None:
    widget = SamplingExplorer(d=d, sigma=sigma, n=10)
    model, x = linear(widget)
    with torch.no_grad():
        posterior = model.encode(x)
        assert widget.numbers.exact == pytest.approx(model.log_prob(x).item(), rel=1e-12)
    assert posterior.mean[0].tolist() == pytest.approx([widget.posterior()[0]] * d)
    assert posterior.sigma[0].tolist() == pytest.approx([widget.posterior()[1]] * d)
    assert widget.numbers.divergence == pytest.approx(posterior.kl().item())
    widget.proposal, widget.width = "posterior", 1.4
    p, q = (
        torch.distributions.Normal(*map(torch.tensor, pair))
        for pair in (widget.posterior(), widget.drawn_from())
    )
    expected = d * torch.distributions.kl_divergence(p, q).item()
    assert widget.numbers.divergence == pytest.approx(expected, rel=1e-5)


def test_rho_is_the_derivations_formula() -> None:
    formula = symbolic.derivation("weights-of-a-gaussian").right
    a, delta = sorted(formula.free_symbols, key=str)
    widget = SamplingExplorer(d=3, n=10, proposal="posterior", width=1.2)
    each = float(formula.subs({a: 2 * 1.2**2 - 1, delta: MISS}))
    assert widget.numbers.rho == pytest.approx(each**3)
    widget.width = 0.7  # below 1/sqrt 2
    assert widget.numbers.rho == math.inf
    widget.proposal = "prior"
    mean, spread = widget.posterior()
    each = float(formula.subs({a: 2 / spread**2 - 1, delta: -mean / spread}))
    assert widget.numbers.rho == pytest.approx(each**3)


@pytest.mark.parametrize("proposal", ["prior", "posterior"])
def test_weights_are_the_linear_models(proposal: str) -> None:
    widget = SamplingExplorer(d=4, sigma=0.4, proposal=proposal, width=0.9, seed=5)
    model, x = linear(widget)
    a, b = widget.drawn_from()
    z = torch.from_numpy(a + b * widget.noise()[:, 3, :200].T)[:, None]  # [200, 1, 4]
    with torch.no_grad():
        log_w = model.log_likelihood(x, z)[:, 0]
    log_w += torch.distributions.Normal(0.0, 1.0).log_prob(z[:, 0]).sum(1)
    log_w -= torch.distributions.Normal(a, b).log_prob(z[:, 0]).sum(1)
    assert widget.log_weights()[3, :200] == pytest.approx(log_w.numpy(), abs=1e-6)


def test_estimates_follow_from_the_weights() -> None:
    widget = SamplingExplorer(d=2, n=500)
    weights = np.exp(widget.log_weights()[:, :500])
    numbers = widget.numbers
    estimates = np.log(weights.mean(1))
    assert numbers.errors == pytest.approx(estimates - numbers.exact)
    assert widget.lines()[:, 499] == pytest.approx(numbers.errors)
    sizes = weights.sum(1) ** 2 / (weights**2).sum(1)
    assert numbers.effective == pytest.approx(sizes)
    widget.run = 7
    distance, share = widget.shares()
    assert share == pytest.approx(weights[7] / weights[7].sum())
    mean, spread = widget.posterior()
    z = widget.noise()[:, 7, :500]
    assert distance == pytest.approx(np.sqrt((((z - mean) / spread) ** 2).mean(0)))


# ------------------------------------------------------------------ what it is there to show


def test_the_failure_is_seen_in_twenty_dimensions_and_not_in_two() -> None:
    first = SamplingExplorer()  # what the page shows before anything is touched
    assert (first.numbers.errors < -1).all()
    for seed in (1, 2, 3):
        prior = SamplingExplorer(seed=seed)
        # Nearly all of the twenty runs, after all draws: a rare one has drawn a jackpot.
        assert (prior.numbers.errors < 0).sum() >= 17
        assert np.median(prior.numbers.errors) < -3
        # And they stay there: from 1,000 draws on, most never come within half a nat.
        assert (prior.lines()[:, 1000:].max(1) < -0.5).sum() >= 12
        near = SamplingExplorer(seed=seed, proposal="posterior")
        assert np.abs(near.numbers.errors).max() < 0.3
        assert np.abs(SamplingExplorer(seed=seed, d=2).numbers.errors).max() < 0.2


def test_the_error_is_what_rho_predicts_where_it_is_small() -> None:
    for traits in ({"d": 2}, {"d": 5, "sigma": 1.0}, {"d": 20, "proposal": "posterior"}):
        errors = np.concatenate([SamplingExplorer(seed=s, **traits).numbers.errors for s in (1, 2)])
        predicted = math.sqrt((SamplingExplorer(**traits).numbers.rho - 1) / 10_000)
        assert np.sqrt((errors**2).mean()) == pytest.approx(predicted, rel=4 / math.sqrt(80))


def test_density_is_that_of_the_distance_under_the_posterior() -> None:
    for d in (1, 2, 7, 20):
        r = np.array([0.3, 1.0, 1.7])
        expected = stats.chi(d, scale=1 / math.sqrt(d)).pdf(r)
        assert SamplingExplorer(d=d).density(r) == pytest.approx(expected)


# ------------------------------------------------------------------ page and traits


def test_the_page_needs_nothing_else_and_is_small() -> None:
    widget = SamplingExplorer()
    html = widget.to_html()
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", html)
    assert len(html) < 120_000
    state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
    assert set(state) == {*widget.STATE, "payload", "share"}


@pytest.mark.parametrize("traits", [{}, {"d": 1, "n": 1}, {"proposal": "posterior", "width": 0.5}])
def test_print_gets_a_picture(traits: dict[str, object]) -> None:
    shown, _ = SamplingExplorer(**traits)._repr_mimebundle_()
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")


def test_traits_refuse_what_cannot_be() -> None:
    widget = SamplingExplorer()
    for name, value in (
        ("d", 0),
        ("d", 21),
        ("n", 0),
        ("n", 10_001),
        ("sigma", 0.2),
        ("sigma", math.nan),
        ("width", 2.1),
        ("proposal", "encoder"),
        ("run", 20),
        ("seed", -1),
    ):
        before = getattr(widget, name)
        with pytest.raises(ValueError, match=f"{name} must be"):
            setattr(widget, name, value)
        assert getattr(widget, name) == before
