"""The semi-supervised VAE: its bounds against their definitions, and what no labels teach it."""

from __future__ import annotations

import math

import pytest
import torch

from vae_core.data import ImageData
from vae_core.distributions import GaussianLikelihood
from vae_core.objectives import elbo
from vae_core.semi_supervised import UNLABELLED, SemiSupervisedVAE, semi_supervised_objective
from vae_core.training import fit

SHAPE = (1, 3, 3)


def small(classes: int = 3, seed: int = 0) -> SemiSupervisedVAE:
    return SemiSupervisedVAE(2, SHAPE, (8,), GaussianLikelihood(0.5), classes=classes, seed=seed)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise() -> torch.Generator:
    return seeded(3)


@torch.no_grad()
def test_a_class_bound_is_the_elbo_given_the_class_and_its_prior() -> None:
    model, x = small(), torch.rand(5, *SHAPE)
    bounds = model.class_bounds(x, noise())
    assert bounds.shape == (5, 3)
    # The noise is drawn for one image's classes side by side.
    repeated, classes = x.repeat_interleave(3, 0), torch.arange(3).repeat(5)
    alike = elbo(model.cvae, repeated, generator=noise(), condition=classes).total.view(5, 3)
    assert torch.allclose(bounds, alike - math.log(3), atol=1e-5)
    many = torch.stack([model.class_bounds(x, seeded(seed)) for seed in range(2000)])
    error = many.std(0) / math.sqrt(2000)
    for k in range(3):
        exact = elbo(
            model.cvae, x, 4000, generator=noise(), condition=torch.full((5,), k)
        ).total - math.log(3)
        assert bool(((many.mean(0)[:, k] - exact).abs() < 6 * error[:, k]).all())


@torch.no_grad()
def test_a_known_class_is_used_and_an_unknown_one_is_summed_over() -> None:
    model, x = small(), torch.rand(4, *SHAPE)
    labels = torch.tensor([2, UNLABELLED, 0, UNLABELLED])
    terms = semi_supervised_objective(7.0)(model, x, labels, noise())
    bounds, log_q = model.class_bounds(x, noise()), model(x).log_softmax(1)
    for i, label in enumerate(labels.tolist()):
        if label == UNLABELLED:
            q = log_q[i].exp()
            expected = -(q * bounds[i]).sum() + (q * log_q[i]).sum()
            # No class weights do better than those that follow the bounds: a log-sum-exp.
            assert -expected <= bounds[i].logsumexp(0) + 1e-5
        else:
            expected = -bounds[i, label] - 7 * log_q[i, label]
        assert terms["loss"][i] == pytest.approx(expected.item(), rel=1e-5)
    assert terms["cross_entropy"][1] == 0


def test_labels_of_unlabelled_images_are_never_read() -> None:
    model, x = small(), torch.rand(6, *SHAPE)
    loss = semi_supervised_objective()(model, x, torch.full((6,), UNLABELLED), noise())["loss"]
    loss.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)


def test_unlabelled_images_help_where_classes_are_clusters() -> None:
    generator = torch.Generator().manual_seed(0)
    # Two classes, each a stripe at a random height of ink: one label a class says little.
    classes = torch.randint(0, 2, (400,), generator=generator)
    images = 0.3 * torch.rand(400, *SHAPE, generator=generator)
    ink = 0.2 + 0.5 * torch.rand(400, 1, generator=generator)
    images[classes == 0, 0, :, 0] += ink[classes == 0]
    images[classes == 1, 0, :, 2] += ink[classes == 1]
    grey = (images * 255).round().to(torch.uint8)
    labels = torch.full((400,), UNLABELLED)
    for k in (0, 1):
        labels[(classes == k).nonzero()[0]] = k
    found = {}
    for name, kept in (("all images", slice(None)), ("two images", labels != UNLABELLED)):
        model = SemiSupervisedVAE(1, SHAPE, (16,), GaussianLikelihood(0.15), classes=2, seed=0)
        data = ImageData(grey[kept], labels[kept], ("left", "right"), "stripes", "train")
        fit(
            model,
            data,
            epochs=60 if name == "all images" else 60 * 8,
            batch_size=50,
            learning_rate=5e-3,
            objective=semi_supervised_objective(),
            device="cpu",
            progress=False,
        )
        found[name] = (model(images).argmax(1) == classes).double().mean().item()
    assert found["all images"] > 0.97
    assert found["all images"] > found["two images"]


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="classes"):
        small(classes=1)
    for weight in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="weight must be"):
            semi_supervised_objective(weight)
