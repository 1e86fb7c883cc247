"""The linear VAE, where everything is known: against scikit-learn on real digits, and by bounds."""

from __future__ import annotations

import copy
import functools
import itertools
import math

import pytest
import torch
from helpers import one_sentence
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_core import data
from vae_core.data import to_float
from vae_core.distributions import DiagonalGaussian
from vae_core.models import VAE, LinearVAE
from vae_core.objectives import elbo, exact_elbo, importance_weighted_bound, log_weights
from vae_core.training import fit

SHAPE = (2, 3, 2)
PIXELS = 12


def random_model(latent: int = 3, sigma: float | str = 0.4, seed: int = 0) -> LinearVAE:
    """Weights from the seed: the columns of W are not orthogonal, Q is no posterior."""
    model = LinearVAE(latent, SHAPE, sigma, seed=seed).double()
    with torch.no_grad():
        assert model.encoder.log_sigma is not None
        model.encoder.log_sigma.bias.copy_(torch.linspace(-0.7, 0.1, latent))
        if sigma == "learned":
            model.likelihood.log_sigma.fill_(-0.6)
    return model


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()


def reference(model: LinearVAE) -> MultivariateNormal:
    """P(X) by its pixels-by-pixels covariance."""
    (layer,) = model.decoder.layers
    w, b = layer.weight.detach(), layer.bias.detach()
    log_sigma = model.likelihood.log_sigma
    variance = math.exp(2 * (log_sigma if isinstance(log_sigma, float) else log_sigma.item()))
    return MultivariateNormal(b, w @ w.T + variance * torch.eye(len(b)).double())


def sigma_points(batch: int, latent: int) -> Tensor:
    """Draws [2 latent, batch, latent] of mean 0 and covariance I: exact for quadratics."""
    corners = math.sqrt(latent) * torch.eye(latent, dtype=torch.float64)
    return torch.cat([corners, -corners])[:, None].expand(-1, batch, -1)


@functools.cache
def digits(n: int = 2000) -> Tensor:
    """The first real test digits, float64 [n, 1, 28, 28]."""
    return data.load("mnist", "test").images[:n].double() / 255


# ---- exact quantities --------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 100), st.sampled_from([0.05, 0.4, 2.0, "learned"]))
def test_log_p_is_the_gaussians(latent: int, seed: int, sigma: float | str) -> None:
    model, x = random_model(latent, sigma, seed), images(4, seed)
    found = model.log_prob(x)
    assert found.shape == (4,)
    expected = reference(model).log_prob(x.flatten(1))
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)
    single = model.float().log_prob(x.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), expected, rtol=1e-3, atol=1e-3)


def test_log_p_gradcheck() -> None:
    model, x = random_model(2, "learned"), images(3)
    names = ["decoder.layers.0.weight", "decoder.layers.0.bias", "likelihood.log_sigma"]
    named = dict(model.named_parameters())
    model.forward = model.log_prob  # type: ignore[method-assign]

    def density(*values: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(density, tuple(named[name] for name in names))


def test_the_true_posterior_is_bayes_rule() -> None:
    """log P(z|X) = log P(X|z) + log P(z) - log P(X), at any z."""
    model, x = random_model(), images(5)
    mean, covariance = model.true_posterior(x)
    assert mean.shape == (5, 3)
    assert covariance.shape == (3, 3)
    z = torch.randn(7, 5, 3).double()
    found = MultivariateNormal(mean, covariance).log_prob(z)
    prior = DiagonalGaussian.standard(z).log_prob(z)
    assert torch.allclose(found, model.log_likelihood(x, z) + prior - model.log_prob(x), rtol=1e-9)


def test_the_exact_elbo_is_the_elbos_expectation() -> None:
    model, x = random_model(), images(6)
    exact = exact_elbo(model, x)
    by_points = elbo(model, x, 6, noise=sigma_points(6, 3), validate=False)
    for ours, theirs in zip(exact, by_points, strict=True):
        assert ours.shape == (6,)
        assert torch.allclose(ours, theirs, rtol=1e-12)
    n = 20_000
    one = x[:1].expand(n, *SHAPE)
    with torch.no_grad():
        drawn = elbo(model, one, generator=torch.Generator().manual_seed(1), validate=False).total
    assert abs(drawn.mean() - exact.total[0]) < 4 * drawn.std() / math.sqrt(n)
    with pytest.raises(ValueError, match="exact_elbo takes a LinearVAE; got VAE"):
        exact_elbo(VAE(2, SHAPE).double(), x)  # type: ignore[arg-type]


@given(st.integers(1, 4), st.integers(0, 50))
def test_log_p_is_the_elbo_plus_the_divergence(latent: int, seed: int) -> None:
    model, x = random_model(latent, 0.4, seed), images(3, seed)
    mean, covariance = model.true_posterior(x)
    q = model.encode(x)
    ours = MultivariateNormal(q.mean, torch.diag_embed(q.sigma.square()))
    divergence = torch.distributions.kl_divergence(ours, MultivariateNormal(mean, covariance))
    found = exact_elbo(model, x).total + divergence
    assert torch.allclose(found, model.log_prob(x), rtol=1e-9, atol=1e-9)


def test_set_posterior_is_the_best_diagonal_one() -> None:
    model, x = random_model(), images(8)
    before = exact_elbo(model, x).total
    model.set_posterior()
    best = exact_elbo(model, x).total
    assert bool((best > before).all())
    assert bool((best < model.log_prob(x) - 1e-4).all())  # W's columns are not orthogonal
    total = best.sum()
    free = [p for p in model.encoder.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(total, free)
    assert all(bool((gradient.abs() < 1e-9).all()) for gradient in gradients)


def test_the_posteriors_sigma_is_the_same_for_all_images_and_stays_so() -> None:
    few = data.load("mnist", "test").first(60)
    model = LinearVAE(3)
    before = model.encode(to_float(few.images)).log_sigma
    fit(model, few, epochs=2, batch_size=20, learning_rate=0.01, device="cpu", progress=False)
    after = model.encode(to_float(few.images)).log_sigma
    for spread in (before, after):
        assert bool((spread == spread[:1]).all())
    assert not torch.allclose(before, after)
    assert model.likelihood.sigma.item() != 1


# ---- closed-form weights -----------------------------------------------------------------------


@pytest.mark.parametrize("latent", [1, 2, 20])
def test_on_real_digits_the_elbo_is_pcas_score(latent: int) -> None:
    """scikit-learn's mean log-likelihood per digit, in nats, of probabilistic PCA; within 1e-6."""
    from sklearn.decomposition import PCA

    x = digits()
    flat = x.flatten(1).numpy()
    # Not the default solver, which at this size is a randomised one: good to 1e-3 only.
    pca = PCA(latent, svd_solver="covariance_eigh").fit(flat)
    model = LinearVAE.from_pca(x, latent)
    with torch.no_grad():
        bound = elbo(model, x[:300], 2 * latent, noise=sigma_points(300, latent), validate=False)
        exact = exact_elbo(model, x)
        log_p = model.log_prob(x)
    score = pca.score(flat)
    assert abs(exact.total.mean().item() - score) < 1e-6
    assert abs(log_p.mean().item() - score) < 1e-6
    assert torch.allclose(bound.total, exact.total[:300], rtol=0, atol=1e-8)
    assert torch.allclose(log_p, torch.from_numpy(pca.score_samples(flat)), rtol=0, atol=1e-6)
    assert model.likelihood.sigma.item() ** 2 == pytest.approx(pca.noise_variance_, rel=1e-9)
    # The same codes, up to the sign and the shrinking by sigma.
    ours, theirs = model.embed(x), torch.from_numpy(pca.transform(flat))
    for i in range(latent):
        correlation = torch.corrcoef(torch.stack([ours[:, i].detach(), theirs[:, i]]))[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-6)
    # On digits it has not seen, too.
    unseen = data.load("mnist", "test").images[5000:5500].double() / 255
    with torch.no_grad():
        found = exact_elbo(model, unseen).total.mean().item()
    assert abs(found - pca.score(unseen.flatten(1).numpy())) < 1e-6


def test_no_other_weights_have_a_higher_likelihood() -> None:
    """The maximum of the likelihood itself, where the covariance divides by n."""
    x = digits(1000)[:, :, 8:20, 8:20]
    model = LinearVAE.from_pca(x, 3, correction=0)
    log_p = model.log_prob(x).mean()
    parameters = [*model.decoder.parameters(), *model.likelihood.parameters()]
    assert len(parameters) == 3
    for gradient in torch.autograd.grad(log_p, parameters):
        assert bool((gradient.abs() < 1e-9).all())
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        with torch.no_grad():
            steps = [
                0.01 * torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters
            ]
            for parameter, step in zip(parameters, steps, strict=True):
                parameter.add_(step)
            assert model.log_prob(x).mean() < log_p
            for parameter, step in zip(parameters, steps, strict=True):
                parameter.sub_(step)


@pytest.mark.parametrize("latent", [1, 4])
def test_the_posterior_is_exact_and_diagonal(latent: int) -> None:
    x = digits(500)
    model = LinearVAE.from_pca(x, latent)
    mean, covariance = model.true_posterior(x)
    q = model.encode(x)
    assert torch.allclose(q.mean, mean, rtol=1e-9, atol=1e-9)
    assert torch.allclose(torch.diag(q.sigma[0].square()), covariance, rtol=1e-9, atol=1e-12)
    # log P(X, z) - log Q(z|X) is log P(X) at every z.
    with torch.no_grad():
        weights = log_weights(model, x[:50], 5, validate=False)
        assert torch.allclose(weights, model.log_prob(x[:50]).expand(5, -1), rtol=0, atol=1e-7)


def test_bytes_floats_and_dtypes_agree() -> None:
    held = data.load("mnist", "test").images[:700]
    double = LinearVAE.from_pca(held.double() / 255, 3)
    single = LinearVAE.from_pca(held, 3)
    again = LinearVAE.from_pca(to_float(held), 3)
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    assert {p.dtype for p in single.parameters()} == {torch.float32}
    for name, value in double.state_dict().items():
        for other in (single, again):
            assert torch.allclose(other.state_dict()[name].double(), value, rtol=1e-4, atol=1e-5)
    x = to_float(held)
    with torch.no_grad():
        found = exact_elbo(single, x).total.mean().item()
    assert found == pytest.approx(double.log_prob(x.double()).mean().item(), abs=1e-3)


def test_colour_images_that_are_not_square() -> None:
    from sklearn.decomposition import PCA

    x = images(60)
    model = LinearVAE.from_pca(x, 4)
    assert model.shape == SHAPE
    pca = PCA(4, svd_solver="full").fit(x.flatten(1).numpy())
    assert model.log_prob(x).mean().item() == pytest.approx(
        pca.score(x.flatten(1).numpy()), abs=1e-9
    )
    assert model.generate(3).shape == (3, *SHAPE)


def test_at_a_fixed_sigma_directions_below_it_collapse() -> None:
    """The best W at a given sigma is zero where an eigenvalue is below sigma^2."""
    x = digits(1000)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.flatten(1).T, correction=0)).flip(0)
    sigma = math.sqrt((eigenvalues[2] + eigenvalues[3]).item() / 2)
    model = LinearVAE.from_pca(x, 6, sigma=sigma, correction=0)
    assert list(model.likelihood.parameters()) == []
    length = model.linear_decoder.weight.square().sum(0)
    expected = (eigenvalues[:6] - sigma**2).clamp(min=0)
    assert torch.allclose(length, expected, rtol=1e-9, atol=1e-12)
    assert length[3:].tolist() == [0, 0, 0]
    kl = model.encode(x).kl_per_dimension().mean(0)
    assert bool((kl[:3] > 0.02).all())
    assert bool((kl[3:].abs() < 1e-12).all())
    with torch.no_grad():
        assert torch.allclose(exact_elbo(model, x).total, model.log_prob(x), rtol=1e-9)
    for other in (0.9, 1.1):  # and W is the best at this sigma
        moved = copy.deepcopy(model)
        with torch.no_grad():
            moved.linear_decoder.weight.mul_(other)
            assert moved.log_prob(x).mean() < model.log_prob(x).mean()
            moved.linear_decoder.weight.copy_(model.linear_decoder.weight)
            moved.linear_decoder.weight[:, 3:] += 0.01
            assert moved.log_prob(x).mean() < model.log_prob(x).mean()


@pytest.mark.parametrize(
    ("held", "options", "words"),
    [
        (images(5)[0], {}, "images must be uint8 or floating .* n >= 2; got torch.float64"),
        (images(1), {}, "images must be .* n >= 2"),
        (images(5).long(), {}, "images must be .* got torch.int64"),
        (images(50), {"latent_dim": 12}, "must be below the number of pixels, 12; got 12"),
        (images(50), {"latent_dim": 0}, "latent_dim must be a whole number of at least 1; got 0"),
        (images(50), {"correction": 2}, "correction must be 0 or 1; got 2"),
        (images(50), {"sigma": -1.0}, "sigma must be a positive number"),
        (images(3), {"latent_dim": 5}, "5 dimensions hold all variance of these images: none is"),
        (torch.ones(5, *SHAPE), {}, "hold all variance of these images"),
    ],
)
def test_from_pca_refuses(held: Tensor, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        LinearVAE.from_pca(held, **options)  # type: ignore[arg-type]
    one_sentence(error)


@pytest.mark.parametrize("sigma", ["per-pixel", "optimal", "free", -1.0, 0, None])
def test_a_linear_vae_has_one_sigma(sigma: object) -> None:
    with pytest.raises(ValueError, match="sigma must be a positive number"):
        LinearVAE(2, SHAPE, sigma)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images must be"):
        LinearVAE(2, SHAPE).log_prob(images(3).float()[:, :1])


# ---- bounds ------------------------------------------------------------------------------------


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(0), values.std(0) / math.sqrt(len(values))


@pytest.mark.parametrize("spoil", ["shift", "wide", "correlated"])
def test_elbo_then_importance_weighted_bound_then_log_p(spoil: str) -> None:
    """Per image and in expectation, each step with its standard error; strictly, over a range."""
    if spoil == "correlated":  # the best diagonal Q of a posterior that is not diagonal
        model, x = random_model(3, 0.2), images(4)
        model.set_posterior()
    else:
        x = digits()[:4]
        model = LinearVAE.from_pca(digits(), 2)
        with torch.no_grad():
            assert model.encoder.log_sigma is not None
            if spoil == "shift":
                model.encoder.mean.bias.add_(0.1)
            else:
                model.encoder.log_sigma.bias.add_(0.3)
    n, ks = 24_000, (1, 2, 5, 20, 100)
    with torch.no_grad():
        weights = log_weights(
            model, x, n, generator=torch.Generator().manual_seed(3), validate=False
        )
        exact, bound = model.log_prob(x), exact_elbo(model, x).total
        drawn = importance_weighted_bound(
            model, x, 5, generator=torch.Generator().manual_seed(4), validate=False
        )
    assert drawn.shape == (4,)
    steps = [(bound, torch.zeros(4).double())]
    for k in ks:
        values = weights.unflatten(0, (-1, k)).logsumexp(1) - math.log(k)
        steps.append(mean_and_error(values))
    one = steps[1]
    assert bool(((one[0] - bound).abs() < 4 * one[1]).all())  # k = 1 is the ELBO
    for (low, a), (high, b) in itertools.pairwise(steps[1:]):
        # Common draws make the true error of the difference smaller than this one.
        assert bool((high - low > -4 * (a.square() + b.square()).sqrt()).all())
    for value, error in steps:
        assert bool((value < exact + 4 * error + 1e-9).all())
    (first, a), (last, b) = steps[1], steps[-1]
    assert bool((last - first > 4 * (a.square() + b.square()).sqrt()).all())
    assert bool((exact - bound > 4 * a).all())
    # And the weights themselves average to P(X).
    mean, error = mean_and_error((weights - exact).exp())
    assert bool(((mean - 1).abs() < 4 * error).all())
    assert bool((error < 0.1).all())


def test_with_the_exact_posterior_every_bound_is_log_p() -> None:
    x = digits()[:20]
    model = LinearVAE.from_pca(digits(), 2)
    with torch.no_grad():
        exact = model.log_prob(x)
        for k in (1, 7, 50):
            bound = importance_weighted_bound(model, x, k, validate=False)
            assert torch.allclose(bound, exact, rtol=0, atol=1e-8)


@pytest.mark.slow
def test_fit_reaches_the_closed_form_within_a_twentieth_of_a_nat() -> None:
    few = data.load("mnist", "train").first(3000)
    x = few.images.double() / 255
    with torch.no_grad():
        best = LinearVAE.from_pca(x, 2, correction=0).log_prob(x).mean()
    model = LinearVAE(2)
    fit(
        model, few, epochs=100, batch_size=100, learning_rate=0.02, schedule="linear",
        device="cpu", progress=False,
    )  # fmt: skip
    with torch.no_grad():
        found = exact_elbo(model.double(), x).total.mean()
    assert 0 < (best - found).item() < 0.05
