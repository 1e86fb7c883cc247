"""The plain two-part code: its price by hand, the sender's search, and what no choice can beat."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from vae_core import coding
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE

SHAPE = (1, 3, 4)


def a_model(latent: int = 2, seed: int = 0) -> VAE:
    model = VAE(latent, SHAPE, (8,), BernoulliLikelihood(), seed=seed).double()
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(2)  # so that the latents matter
    return model


def images(n: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, *SHAPE, generator=generator) < 0.4).double()


def every_total(model: VAE, x: Tensor, bins: list[int]) -> Tensor:
    """The bits of ``x`` [batch] for every combination of bins: [combinations, batch]."""
    axes = [norm.ppf((torch.arange(count).double() + 0.5) / count) for count in bins]
    z = torch.tensor(list(itertools.product(*axes)), dtype=torch.float64)
    log_p = model.log_likelihood(x, z[:, None].expand(-1, len(x), -1))
    return -log_p / math.log(2) + sum(map(math.log2, bins))


def test_medians_halve_the_mass_of_their_bins() -> None:
    found = coding.bin_medians(5)
    assert norm.cdf(found) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert coding.bin_medians(1).tolist() == [0.0]


def test_without_a_search_the_bin_holds_the_mean_of_q() -> None:
    model, x, bins = a_model(), images(20), [3, 6]
    told = coding.two_parts(model, x, bins)
    with torch.no_grad():
        mean = model.encode(x).mean
    for i, count in enumerate(bins):
        edges = norm.ppf(torch.arange(count + 1) / count)
        at = told.places[:, i]
        assert bool((torch.tensor(edges)[at] <= mean[:, i]).all())
        assert bool((mean[:, i] < torch.tensor(edges)[at + 1]).all())
    z = torch.stack([coding.bin_medians(c)[told.places[:, i]] for i, c in enumerate(bins)], 1)
    with torch.no_grad():
        pixels = -model.log_likelihood(x, z) / math.log(2)
    assert told.z == pytest.approx(math.log2(18))
    assert torch.allclose(told.x, pixels)
    assert torch.allclose(told.total, pixels + told.z)


def test_one_bin_says_nothing_and_takes_nothing() -> None:
    model, x = a_model(), images()
    told = coding.two_parts(model, x, [1, 1], sweeps=2)
    assert told.z == 0
    with torch.no_grad():
        blind = -model.log_likelihood(x, torch.zeros(len(x), 2).double()) / math.log(2)
    assert torch.allclose(told.total, blind)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_no_choice_of_bins_beats_the_binned_model(seed: int) -> None:
    """-log2 P(X, bins) >= -log2 of the sum over all bins; the search ends where no step helps."""
    model, x, bins = a_model(seed=seed % 5), images(4, seed), [3, 5]
    with torch.no_grad():
        totals = every_total(model, x, bins)  # [15, batch]
    plain = coding.two_parts(model, x, bins)
    found = coding.two_parts(model, x, bins, sweeps=20)
    assert bool((found.total <= plain.total + 1e-12).all())
    assert bool((found.total >= totals.min(0).values - 1e-9).all())
    bound = -torch.logsumexp(-totals * math.log(2), 0) / math.log(2)
    assert bool((found.total > bound).all())
    grid = totals.reshape(3, 5, len(x))
    for k in range(len(x)):
        i, j = found.places[k].tolist()
        assert found.total[k] == pytest.approx(grid[:, j, k].min().item())
        assert found.total[k] == pytest.approx(grid[i, :, k].min().item())


def test_what_makes_no_code_is_refused() -> None:
    model, x = a_model(), images()
    with pytest.raises(ValueError, match="bins must be one a latent, 2; got 3"):
        coding.two_parts(model, x, [2, 2, 2])
    with pytest.raises(ValueError, match="bins must be"):
        coding.two_parts(model, x, [2, 0])
    with pytest.raises(ValueError, match="sweeps"):
        coding.two_parts(model, x, [2, 2], sweeps=-1)
    with pytest.raises(ValueError, match="0 or 1"):
        coding.two_parts(model, x * 0.5, [2, 2])
