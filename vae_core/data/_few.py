"""Few labelled examples, and ways to make more of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vae_core import _check
from vae_core.data._load import ImageData


def few_of_each(data: ImageData, each: int, *, seed: int) -> ImageData:
    """``each`` examples of every class of ``data``, drawn by ``seed`` without replacement.

    In the order of the classes. Raises ``ValueError`` if a class has fewer.
    """
    each = _check.whole("each", each)
    generator = torch.Generator("cpu").manual_seed(_check.seed(seed))
    order = torch.randperm(len(data.labels), generator=generator, device="cpu")
    order = order.to(data.labels.device)
    chosen = []
    for k, name in enumerate(data.classes):
        own = order[data.labels[order] == k]
        if len(own) < each:
            raise ValueError(f"class {name!r} has {len(own)} examples; {each} asked for")
        chosen.append(own[:each])
    index = torch.cat(chosen)
    return data._replace(images=data.images[index], labels=data.labels[index])


def joined(first: ImageData, *others: ImageData) -> ImageData:
    """The examples of all, one after the other, with the first one's name, classes and split."""
    parts = (first, *others)
    return first._replace(
        images=torch.cat([part.images for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
    )


def shifted(data: ImageData, copies: int, *, seed: int, reach: int = 1) -> ImageData:
    """``copies`` of each example, each moved by up to ``reach`` pixels along either axis.

    Every displacement, 0 among them, has the same probability; what leaves the image is lost, and
    what comes in is 0. All examples once, then all once more, and so on.
    """
    copies, reach = _check.whole("copies", copies), _check.whole("reach", reach)
    generator = torch.Generator("cpu").manual_seed(_check.seed(seed))
    images = data.images.repeat(copies, 1, 1, 1)
    height, width = images.shape[-2:]
    padded = F.pad(images, (reach,) * 4)
    count = (len(images), 2)
    moves = torch.randint(0, 2 * reach + 1, count, generator=generator, device="cpu").tolist()
    moved = [
        image[:, i : i + height, j : j + width] for image, (i, j) in zip(padded, moves, strict=True)
    ]
    return data._replace(images=torch.stack(moved), labels=data.labels.repeat(copies))
