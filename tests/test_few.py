"""Few examples of a class, sets joined, and shifted copies."""

from __future__ import annotations

import pytest
import torch

from vae_core import data

IMAGES = torch.arange(1, 61, dtype=torch.uint8)[:, None, None, None].expand(60, 1, 4, 5).clone()
SET = data.ImageData(IMAGES, torch.arange(60) % 3, ("a", "b", "c"), "numbers", "train")


def test_few_of_each_draws_without_replacement_and_by_its_seed() -> None:
    few = data.few_of_each(SET, 7, seed=4)
    assert few.labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    numbers = few.images[:, 0, 0, 0].long()
    assert len(numbers.unique()) == 21
    assert torch.equal((numbers - 1) % 3, few.labels)
    assert torch.equal(few.images, data.few_of_each(SET, 7, seed=4).images)
    assert not torch.equal(few.images, data.few_of_each(SET, 7, seed=5).images)
    assert (few.classes, few.name, few.split) == (SET.classes, SET.name, SET.split)
    # More of the same seed hold the fewer.
    more = data.few_of_each(SET, 9, seed=4)
    assert set(numbers.tolist()) < set(more.images[:, 0, 0, 0].tolist())
    with pytest.raises(ValueError, match="class 'a' has 20 examples; 21 asked for"):
        data.few_of_each(SET, 21, seed=0)


def test_joined_keeps_images_with_their_labels() -> None:
    both = data.joined(SET.first(3), SET, SET.first(1))
    assert both.images[:, 0, 0, 0].tolist() == [1, 2, 3, *range(1, 61), 1]
    assert both.labels.tolist() == [0, 1, 2, *(SET.labels.tolist()), 0]
    assert both.name == "numbers"


def test_shifted_moves_each_copy_by_one_of_nine_displacements_alike_often() -> None:
    one = data.ImageData(
        torch.arange(1, 21, dtype=torch.uint8).reshape(1, 1, 4, 5), SET.labels[:1], ("a",), "", ""
    )
    moved = data.shifted(one, 9000, seed=0)
    assert moved.images.shape == (9000, 1, 4, 5)
    frame = torch.zeros(6, 7, dtype=torch.uint8)
    frame[1:5, 1:6] = one.images[0, 0]
    total = 0
    for i in range(3):
        for j in range(3):
            expected = frame[i : i + 4, j : j + 5]
            count = (moved.images[:, 0] == expected).flatten(1).all(1).sum().item()
            assert abs(count - 1000) < 5 * 30  # five standard deviations
            total += count
    assert total == 9000


def test_shifted_copies_follow_in_the_order_of_the_originals() -> None:
    moved = data.shifted(SET, 2, seed=1, reach=2)
    assert torch.equal(moved.labels, SET.labels.repeat(2))
    ink = moved.images.flatten(1).amax(1)
    assert torch.equal(ink, IMAGES[:, 0, 0, 0].repeat(2))
    for wrong in ({"copies": 0}, {"copies": 1, "reach": 0}):
        with pytest.raises(ValueError, match=list(wrong)[-1]):
            data.shifted(SET, **{"seed": 0, **wrong})
