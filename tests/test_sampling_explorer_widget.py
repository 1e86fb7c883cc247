"""SamplingExplorer without a browser: its draws, its estimate, its reference, what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood
from vae_core.models import VAE
from vae_core.widgets import SamplingExplorer
from vae_core.widgets.sampling_explorer import SIGMAS, normals, reference, uniforms


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    """The first 400 test digits."""
    test = data.load("mnist", "test")
    return test._replace(images=test.images[:400], labels=test.labels[:400])


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(hidden=(16,), seed=1).eval()


@pytest.fixture
def widget(vae: VAE, few: data.ImageData) -> SamplingExplorer:
    return SamplingExplorer(vae, few, [0, 7])


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


def test_normals_have_the_moments_of_the_standard_normal() -> None:
    z = normals(3, 40_000)
    assert abs(z.mean()) < 4 / math.sqrt(len(z))
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / len(z))
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / len(z))
    assert normals(3, 10).tolist() == z[:10].tolist()


def test_the_estimate_is_the_engines_on_the_same_draws(widget: SamplingExplorer) -> None:
    widget.digit, widget.sigma, widget.n = 1, 0.5, 300
    model = widget.twin
    model.likelihood = GaussianLikelihood(widget.sigma)
    x = widget._x[1].double().reshape(1, 1, 28, 28)
    for proposal in ("prior", "posterior"):
        widget.proposal = proposal
        z = widget.draws()
        with torch.no_grad():
            log_w = model.log_likelihood(x, z[:, None])[:, 0]
        if proposal == "posterior":
            q = DiagonalGaussian(
                *(torch.tensor(widget.payload[k][1]) for k in ("mean", "log_sigma"))
            )
            log_w += DiagonalGaussian.standard(z).log_prob(z) - q.log_prob(z)
        assert widget.log_weights().tolist() == pytest.approx(log_w.tolist(), abs=1e-6)
        value = log_w.logsumexp(0) - math.log(300)
        found = widget.estimate()
        assert found.value.item() == pytest.approx(value.item(), abs=1e-8)
        share = log_w.softmax(0)
        assert found.effective_samples.item() == pytest.approx(1 / share.square().sum().item())


def test_draws_of_the_posterior_are_the_encoders(widget: SamplingExplorer, vae: VAE) -> None:
    widget.proposal, widget.n, widget.digit = "posterior", 4000, 1
    with torch.no_grad():
        q = vae.encode(widget._x[1].reshape(1, 1, 28, 28))
    z = widget.draws()
    error = 4 * q.sigma[0] / math.sqrt(len(z))
    assert ((z.mean(0) - q.mean[0]).abs() < error).all()
    assert z.std(0).tolist() == pytest.approx(q.sigma[0].tolist(), rel=0.06)


def test_the_reference_is_the_integral(vae: VAE, few: data.ImageData) -> None:
    """Against the posterior on a fine grid, at the largest, a middle and a small sigma."""
    images = data.to_float(few.images[:2])
    found = reference(vae, images.flatten(1), SIGMAS)
    twin = VAE(hidden=(16,), seed=1).double()
    for level in (0, 6, 12):
        twin.likelihood = GaussianLikelihood(SIGMAS[level])
        grid = evaluation.true_posterior_grid(twin, images, (-6, 6), 400)
        assert (grid.error < 0.01).all()
        for one, exact in zip(found, grid.log_likelihood.tolist(), strict=True):
            error = one.standard_error[level].item()
            assert error < 0.2
            assert abs(one.value[level].item() - exact) < 4 * error + 0.01


def test_traits_refuse_what_cannot_be(widget: SamplingExplorer) -> None:
    for name, value in (
        ("digit", 2),
        ("digit", -1),
        ("n", 0),
        ("n", 10_001),
        ("sigma", 0.05),
        ("sigma", math.nan),
        ("proposal", "encoder"),
        ("seed", -1),
    ):
        with pytest.raises(ValueError, match=f"{name} must be"):
            setattr(widget, name, value)
    widget.sigma = 0.3
    assert widget.sigma == min(SIGMAS, key=lambda s: abs(math.log(s / 0.3)))


def test_what_cannot_be_shown_is_refused(vae: VAE, few: data.ImageData) -> None:
    with pytest.raises(ValueError, match="Gaussian pixels"):
        SamplingExplorer(VAE(hidden=(8,), likelihood=BernoulliLikelihood()), few)
    with pytest.raises(ValueError, match="entries must name images from 0 to 399"):
        SamplingExplorer(vae, few, [400])
    with pytest.raises(ValueError, match="latent_dim 2"):
        SamplingExplorer(VAE(3, hidden=(8,)), few)


def test_by_default_one_digit_of_each_class_and_a_small_page(vae: VAE, few: data.ImageData) -> None:
    widget = SamplingExplorer(vae, few)
    assert widget.payload["labels"] == list(few.classes)
    assert len(widget.to_html()) < 200_000
    assert np.isfinite(widget.payload["reference"]).all()
    for proposal in ("prior", "posterior"):
        widget.proposal = proposal
        assert widget.to_png().startswith(b"\x89PNG")


# ------------------------------------------------------------------ many draws for all images


@pytest.mark.parametrize("pixels", ["grey", "binary"])
def test_prior_sampling_is_monte_carlo_on_shared_draws(pixels: str, few: data.ImageData) -> None:
    likelihood = BernoulliLikelihood() if pixels == "binary" else GaussianLikelihood(0.7)
    model = VAE(3, hidden=(8,), likelihood=likelihood, seed=2).double()
    x = few.images[:4].double() / 255
    x = (x > 0.5).double() if pixels == "binary" else x
    found = evaluation.prior_sampling(model, x, (500, 1, 20), chunk=64, seed=5)
    assert found.counts == (1, 20, 500)
    assert found.value.shape == (3, 4)
    # The draws again, in the same pieces: a count ends a piece.
    generator = torch.Generator().manual_seed(5)
    rows = 64 if pixels == "binary" else 16
    sizes, done = [], 0
    for end in found.counts:
        while done < end:
            sizes.append(min(rows, end - done))
            done += sizes[-1]
    z = torch.cat([torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in sizes])
    with torch.no_grad():
        log_p = torch.stack([model.log_likelihood(x, row.expand(4, 3)) for row in z])
    for k, n in enumerate(found.counts):
        share = log_p[:n].softmax(0)
        expected = log_p[:n].logsumexp(0) - math.log(n)
        assert found.value[k].tolist() == pytest.approx(expected.tolist(), abs=1e-8)
        size = 1 / share.square().sum(0)
        assert found.effective_samples[k].tolist() == pytest.approx(size.tolist())
        assert found.largest_share[k].tolist() == pytest.approx(share.max(0).values.tolist())
        if n > 1:
            spread = log_p[:n].sub(expected).exp().std(0) / math.sqrt(n)  # in units of the mean
            assert found.standard_error[k].tolist() == pytest.approx(spread.tolist())
    assert found.standard_error[0].isnan().all()


def test_prior_sampling_takes_images_of_any_number_of_pixels() -> None:
    model = VAE(2, (1, 3, 5), (), BernoulliLikelihood(), seed=1).double()
    x = (torch.rand(3, 1, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    shared = evaluation.prior_sampling(model, x, (20_000,))
    own = evaluation.log_likelihood(model, x, 20_000, proposal="prior", seed=1)
    error = (shared.standard_error[0].square() + own.standard_error.square()).sqrt()
    assert ((shared.value[0] - own.value).abs() < 4 * error).all()


def test_prior_sampling_refuses(few: data.ImageData) -> None:
    model = VAE(2, hidden=(4,), likelihood=BernoulliLikelihood())
    with pytest.raises(ValueError, match="counts must name"):
        evaluation.prior_sampling(model, few.images[:1], ())
    with pytest.raises(ValueError, match="each count"):
        evaluation.prior_sampling(model, few.images[:1], (0,))
    with pytest.raises(ValueError, match="0 or 1"):
        evaluation.prior_sampling(model, few.images[:1], (1,))
