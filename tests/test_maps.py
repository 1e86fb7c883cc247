"""Maps of a Gaussian: their inverses, their determinants, and the densities they induce."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from vae_core.maps import MAPS, TWO_PEAKS, GaussianMap, Mixture, log_normal, quantile

LINE = [name for name, item in MAPS.items() if item.dim == 1]
PLANE = [name for name, item in MAPS.items() if item.dim == 2]


def draws(item: GaussianMap, n: int = 400, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, item.dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", MAPS)
def test_the_inverse_undoes_the_map(name: str) -> None:
    item = MAPS[name]
    z = draws(item)
    torch.testing.assert_close(item.inverse(item(z)), z, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_the_stretch_is_the_jacobians_determinant(name: str) -> None:
    """By central differences, which know nothing of the formulas."""
    item, step = MAPS[name], 1e-5
    z = draws(item, 100)
    columns = []
    for axis in range(item.dim):
        shift = torch.zeros(item.dim, dtype=torch.float64)
        shift[axis] = step
        columns.append((item(z + shift) - item(z - shift)) / (2 * step))
    determinant = torch.linalg.det(torch.stack(columns, 2)).abs()
    torch.testing.assert_close(item.log_stretch(z).exp(), determinant, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", MAPS)
def test_the_density_is_the_change_of_variables(name: str) -> None:
    item = MAPS[name]
    z = draws(item)
    expected = log_normal(z) - item.log_stretch(z)
    torch.testing.assert_close(item.log_prob(item(z)), expected, rtol=1e-5, atol=1e-5)


LAWS = {
    "uniform": stats.uniform(),
    "exponential": stats.expon(),
    "arcsine": stats.arcsine(),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_quantile_map_is_scipys(name: str) -> None:
    item, law = MAPS[name], LAWS[name]
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)[:, None]
    x = item(z)
    np.testing.assert_allclose(x[:, 0], law.ppf(stats.norm.cdf(z[:, 0])), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(item.log_prob(x), law.logpdf(x[:, 0]), rtol=1e-5, atol=1e-5)


def test_two_peaks_have_the_mixtures_distribution() -> None:
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)[:, None]
    x = MAPS["two-peaks"](z)[:, 0].numpy()
    parts = list(zip(*TWO_PEAKS, strict=True))
    cumulative = sum(w * stats.norm.cdf(x, m, s) for w, m, s in parts)
    density = sum(w * stats.norm.pdf(x, m, s) for w, m, s in parts)
    np.testing.assert_allclose(cumulative, stats.norm.cdf(z[:, 0]), atol=1e-12)
    found = MAPS["two-peaks"].log_prob(torch.as_tensor(x)[:, None]).exp()
    np.testing.assert_allclose(found, density, rtol=1e-9)


def test_a_mixture_keeps_its_digits_far_out() -> None:
    """Against sums of SciPy's own logs, at eighty standard deviations of a part too."""
    law = Mixture((0.2, 0.8), (-1.0, 3.0), (0.5, 2.0))
    x = torch.tensor([-40.0, -3.0, 0.0, 2.5, 50.0], dtype=torch.float64)
    parts = list(zip(*law, strict=True))
    for found, each in (
        (law.log_prob(x), stats.norm.logpdf),
        (law.log_tails(x)[0], stats.norm.logcdf),
        (law.log_tails(x)[1], stats.norm.logsf),
    ):
        expected = np.logaddexp.reduce([math.log(w) + each(x, m, s) for w, m, s in parts])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    slopes = (law.log_prob(x + 1e-5) - law.log_prob(x - 1e-5)) / 2e-5
    torch.testing.assert_close(law.score(x), slopes, rtol=1e-6, atol=1e-8)


def test_the_quantile_of_a_gaussian_is_a_line() -> None:
    """Out to 12 standard deviations on both sides, where one of the tails is 1 to all digits."""
    z = torch.linspace(-12, 12, 49, dtype=torch.float64)[:, None]
    law = Mixture((1.0,), (0.7,), (1.3,))
    torch.testing.assert_close(quantile(law.log_tails, z), 0.7 + 1.3 * z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PLANE)
def test_a_density_on_the_plane_has_mass_one(name: str) -> None:
    """Midpoint sums on a grid: 600 by 600 cells."""
    reach = 2.0 if name == "ring" else 8.0
    edge = (torch.arange(600, dtype=torch.float64) + 0.5) / 600 * 2 * reach - reach
    grid = torch.stack(torch.meshgrid(edge, edge, indexing="xy"), -1).reshape(-1, 2)
    mass = MAPS[name].log_prob(grid).exp().sum() * (2 * reach / 600) ** 2
    assert mass.item() == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize("name", LINE)
def test_a_density_on_the_line_has_mass_one(name: str) -> None:
    def density(x: float) -> float:
        return math.exp(MAPS[name].log_prob(torch.tensor([[x]], dtype=torch.float64)).item())

    low, high = {"two-peaks": (-9, 9), "exponential": (1e-12, 36)}.get(name, (1e-12, 1 - 1e-12))
    mass, _ = integrate.quad(density, low, high, limit=300)
    assert mass == pytest.approx(1, abs=1e-4)


def test_what_no_z_reaches_has_no_density() -> None:
    for name, x in (("ring", [0.3, 0.2]), ("uniform", [1.2]), ("exponential", [-0.1])):
        assert MAPS[name].log_prob(torch.tensor([x])).item() == -math.inf


def test_the_origin_of_the_ring_has_a_place() -> None:
    assert MAPS["ring"](torch.zeros(1, 2)).tolist() == [[1, 0]]


def test_other_shapes_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"z must be \[n, 2\], got \[3, 1\]"):
        MAPS["ring"](torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"x must be \[n, 1\], got \[4\]"):
        MAPS["uniform"].log_prob(torch.zeros(4))
    with pytest.raises(ValueError, match="z must be finite"):
        MAPS["bent"](torch.tensor([[math.nan, 0.0]]))
