"""Strokes of known thickness, slant and width, and how moving each shows in the measurements."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vae_core import data
from vae_core.evaluation import measure_strokes, reshape_strokes


def bar(thickness: float, slant: float = 0.0, size: int = 48, length: float = 32.0) -> Tensor:
    """A straight stroke, drawn with smooth edges: [1, 1, size, size]."""
    fine = 8
    grid = (torch.arange(size * fine, dtype=torch.float64) + 0.5) / fine - size / 2
    up, right = -grid[:, None], grid[None, :]
    # Across the stroke the distance is shorter than along the row.
    across = (right - slant * up).abs() / math.hypot(1, slant)
    ink = ((across <= thickness / 2) & (up.abs() <= length / 2)).double()
    return torch.nn.functional.avg_pool2d(ink[None, None], fine)


@pytest.mark.parametrize("thickness", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("slant", [-0.5, 0.0, 0.35])
def test_a_stroke_of_known_thickness_and_slant(thickness: float, slant: float) -> None:
    found = measure_strokes(bar(thickness, slant))
    # The two ends belong to the outline as well: w L / (L + w).
    long = 32 * math.hypot(1, slant)
    assert found.weight.item() == pytest.approx(thickness * long / (long + thickness), rel=0.06)
    assert found.slant.item() == pytest.approx(slant, abs=0.03)
    # A row of the slanted stroke is longer than the stroke is thick; a uniform one has w/sqrt 12.
    row = thickness * math.hypot(1, slant)
    assert found.width.item() == pytest.approx(row / math.sqrt(12), abs=0.16)  # pixels


def test_slant_is_positive_as_in_italics() -> None:
    image = torch.zeros(1, 1, 9, 9)
    for row in range(9):
        image[0, 0, row, 8 - row] = 1  # from bottom left to top right
    found = measure_strokes(image)
    assert found.slant.item() == pytest.approx(1)
    assert found.width.item() == pytest.approx(0, abs=1e-6)


def test_grey_and_bytes_measure_alike_and_place_does_not_matter() -> None:
    image = (255 * bar(3, 0.2, size=28, length=16)).round().to(torch.uint8)
    moved = image.roll((3, -2), dims=(2, 3))
    first, second = measure_strokes(image), measure_strokes(data.to_float(moved))
    for a, b in zip(first, second, strict=True):
        assert a.item() == pytest.approx(b.item(), rel=1e-5)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    images: Tensor = data.load("mnist", "test").images[:200]
    return images


def test_each_change_moves_its_own_measurement(digits: Tensor) -> None:
    before = measure_strokes(digits)
    sheared = measure_strokes(reshape_strokes(digits, slant=0.3))
    assert (sheared.slant - before.slant).mean().item() == pytest.approx(0.3, abs=0.03)
    assert (sheared.width / before.width).mean().item() == pytest.approx(1, abs=0.03)
    wider = measure_strokes(reshape_strokes(digits, width=1.25))
    assert (wider.width / before.width).mean().item() == pytest.approx(1.25, abs=0.04)
    assert (wider.slant - before.slant).mean().item() == pytest.approx(0, abs=0.02)
    # Where the pen is thinner than what is taken away, some ink must stay: thinning takes less.
    for change, most, least in ((1.0, 1.15, 0.85), (2.0, 2.2, 1.8), (-1.0, -0.4, -1.1)):
        pen = measure_strokes(reshape_strokes(digits, weight=change))
        assert least < (pen.weight - before.weight).mean().item() < most
        assert (pen.slant - before.slant).mean().item() == pytest.approx(0, abs=0.03)


def test_no_change_changes_nothing(digits: Tensor) -> None:
    assert torch.equal(reshape_strokes(digits), data.to_float(digits))


def test_a_shear_can_be_taken_back(digits: Tensor) -> None:
    there = reshape_strokes(digits, slant=0.25)
    back = reshape_strokes(there, slant=-0.25)
    original = data.to_float(digits)
    assert (back - original).square().mean() < 0.25 * (there - original).square().mean()


def test_unfit_input_is_refused(digits: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images must be \[n, 1, height, width\], got \[28, 28\]"):
        measure_strokes(digits[0, 0])
    with pytest.raises(ValueError, match="without ink"):
        measure_strokes(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match=r"floating in \[0, 1\]"):
        measure_strokes(2 * torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"multiple of 0.5, got 0.3"):
        reshape_strokes(digits, weight=0.3)
    with pytest.raises(ValueError, match="width positive"):
        reshape_strokes(digits, width=0.0)
