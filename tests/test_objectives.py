"""The ELBO against its formula, and against log P(X) where that is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers import one_sentence
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_core import objectives
from vae_core.distributions import BernoulliLikelihood, DiagonalGaussian, GaussianLikelihood
from vae_core.models import CVAE, VAE, Autoencoder, Classifier, LinearVAE
from vae_core.objectives import (
    GaussianNoise,
    MaskingNoise,
    RunningBaseline,
    SaltAndPepper,
    denoising,
    elbo,
    elbo_objective,
    exact_elbo,
    importance_weighted_bound,
    importance_weighted_objective,
    log_weights,
    objective_for,
    reconstruction,
    set_sigma,
)

SHAPE = (1, 3, 4)
PIXELS = 12
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def small(likelihood: object = None, dtype: torch.dtype = torch.float64, seed: int = 0) -> VAE:
    return VAE(2, SHAPE, (5,), likelihood, seed=seed).to(dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("samples", [1, 3])
def test_the_gaussian_elbo_is_its_formula(dtype: torch.dtype, samples: int) -> None:
    sigma = 0.3
    model = small(GaussianLikelihood(sigma), dtype)
    x, noise = torch.rand(6, *SHAPE, dtype=dtype), torch.randn(samples, 6, 2, dtype=dtype)
    found = elbo(model, x, samples, noise=noise)

    mean, log_sigma = model.encode(x)
    z = mean + log_sigma.exp() * noise
    squared = (x - torch.sigmoid(model.decode(z))).square().flatten(2).sum(2)
    log_p = -squared / (2 * sigma**2) - PIXELS / 2 * math.log(2 * math.pi * sigma**2)
    kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(1)

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert torch.allclose(found.reconstruction, log_p.mean(0), **close)
    assert torch.allclose(found.kl, kl, **close)
    assert torch.allclose(found.total, log_p.mean(0) - kl, **close)
    assert bool((found.kl > 0.01).all())  # far enough from zero for its sign to matter
    assert all(part.shape == (6,) and part.dtype == dtype for part in found)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_bernoulli_elbo_is_its_formula(dtype: torch.dtype) -> None:
    model = small(BernoulliLikelihood(), dtype)
    x = (torch.rand(6, *SHAPE) > 0.5).to(dtype)
    noise = torch.randn(2, 6, 2, dtype=dtype)
    found = elbo(model, x, 2, noise=noise)

    mean, log_sigma = model.encode(x)
    p = torch.sigmoid(model.decode(mean + log_sigma.exp() * noise))
    log_p = (x * p.log() + (1 - x) * (1 - p).log()).flatten(2).sum(2).mean(0)
    kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(1)
    assert torch.allclose(found.total, log_p - kl, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_total_is_reconstruction_minus_kl() -> None:
    found = elbo(small(), torch.rand(5, *SHAPE, dtype=torch.float64))
    assert torch.equal(found.total, found.reconstruction - found.kl)
    assert bool((found.kl > 0).all())


def test_gradients_reach_encoder_decoder_and_likelihood() -> None:
    model = small(GaussianLikelihood("learned"))
    elbo(model, torch.rand(5, *SHAPE, dtype=torch.float64)).total.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_is_the_elbos() -> None:
    """Central differences of the bound at fixed noise, in one direction through all weights."""
    model = small(GaussianLikelihood("learned"))
    x, noise = torch.rand(4, *SHAPE, dtype=torch.float64), torch.randn(3, 4, 2).double()
    parameters = list(model.parameters())
    directions = [torch.randn_like(p) for p in parameters]

    def shifted(step: float) -> float:
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(step * d)
            value = elbo(model, x, 3, noise=noise).total.sum().item()
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(step * d)
        return value

    gradients = torch.autograd.grad(elbo(model, x, 3, noise=noise).total.sum(), parameters)
    along = sum((g * d).sum().item() for g, d in zip(gradients, directions, strict=True))
    h = 1e-6
    assert along == pytest.approx((shifted(h) - shifted(-h)) / (2 * h), rel=1e-6)


def linear_gaussian(seed: int = 0) -> tuple[VAE, Tensor, Tensor, float]:
    """A decoder W z + b with orthogonal columns and its exact posterior as the encoder.

    With W'W = diag(c): Q(z|X) has variance 1/(1 + c/sigma^2) and mean that times W'(X - b)/sigma^2.
    """
    sigma = 0.4
    model = VAE(2, SHAPE, (), GaussianLikelihood(sigma, link="identity")).double()
    generator = torch.Generator().manual_seed(seed)
    columns, _ = torch.linalg.qr(torch.randn(PIXELS, 2, generator=generator, dtype=torch.float64))
    w = columns * torch.tensor([0.9, 0.25], dtype=torch.float64)
    b = torch.rand(PIXELS, generator=generator, dtype=torch.float64)
    variance = 1 / (1 + w.square().sum(0) / sigma**2)
    to_mean = variance[:, None] * w.T / sigma**2
    assert model.encoder.log_sigma is not None
    (layer,) = model.decoder.layers
    with torch.no_grad():
        layer.weight.copy_(w)
        layer.bias.copy_(b)
        model.encoder.mean.weight.copy_(to_mean)
        model.encoder.mean.bias.copy_(-to_mean @ b)
        model.encoder.log_sigma.weight.zero_()
        model.encoder.log_sigma.bias.copy_(0.5 * variance.log())
    return model, w, b, sigma


def log_p(x: Tensor, w: Tensor, b: Tensor, sigma: float) -> Tensor:
    covariance = w @ w.T + sigma**2 * torch.eye(PIXELS, dtype=torch.float64)
    return MultivariateNormal(b, covariance).log_prob(x.flatten(1))


def symmetric_noise(batch: int, seed: int = 0) -> Tensor:
    """Four draws whose mean is 0 and whose covariance is I: exact for quadratic integrands."""
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    return corners[:, None].expand(4, batch, 2)


def test_with_the_exact_posterior_the_elbo_is_log_p() -> None:
    model, w, b, sigma = linear_gaussian()
    x = torch.rand(7, *SHAPE, dtype=torch.float64)
    # log P(X|z) is quadratic in z, so these four draws average it without error.
    found = elbo(model, x, 4, noise=symmetric_noise(7), validate=False)
    assert torch.allclose(found.total, log_p(x, w, b, sigma), rtol=0, atol=1e-10)


def test_with_the_exact_posterior_random_draws_agree_within_four_standard_errors() -> None:
    model, w, b, sigma = linear_gaussian(1)
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    n = 50_000
    # Twelve streams together: stream 2 alone is 4.5 standard errors off, because its own noise has
    # a variance 3.6 standard errors below 1.
    with torch.no_grad():
        streams = [
            elbo(model, x.expand(n, *SHAPE), generator=torch.Generator().manual_seed(seed)).total
            for seed in range(12)
        ]
    many = torch.cat(streams)
    assert abs(many.mean() - log_p(x, w, b, sigma)) < 4 * many.std() / math.sqrt(12 * n)


@pytest.mark.parametrize("seed", range(5))
def test_with_any_other_posterior_the_elbo_is_below_log_p_by_the_divergence(seed: int) -> None:
    model, w, b, sigma = linear_gaussian(seed)
    x = torch.rand(7, *SHAPE, dtype=torch.float64)
    exact = model.encode(x)
    assert model.encoder.log_sigma is not None
    with torch.no_grad():
        model.encoder.mean.bias.add_(torch.randn(2, dtype=torch.float64) * 0.3)
        model.encoder.log_sigma.bias.add_(torch.randn(2, dtype=torch.float64) * 0.3)
    found = elbo(model, x, 4, noise=symmetric_noise(7))
    gap = log_p(x, w, b, sigma) - found.total
    assert bool((gap > 0).all())
    # log P(X) = ELBO + D[Q(z|X) || P(z|X)], exactly.
    assert torch.allclose(gap, model.encode(x).kl(exact), rtol=0, atol=1e-10)


def test_more_samples_do_not_move_the_mean() -> None:
    model = small(GaussianLikelihood(0.3))
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    n = 20_000
    model.requires_grad_(False)
    one = elbo(model, x.expand(n, *SHAPE), 1, generator=torch.Generator().manual_seed(1)).total
    ten = elbo(model, x.expand(n // 10, *SHAPE), 10, generator=torch.Generator().manual_seed(2))
    error = math.hypot(one.std() / math.sqrt(n), ten.total.std() / math.sqrt(n // 10))
    assert abs(one.mean() - ten.total.mean()) < 4 * error
    # Ten draws have a tenth of the variance; the estimate of a variance has its own error.
    assert ten.total.var() / one.var() == pytest.approx(0.1, rel=4 * math.sqrt(2 / (n // 10)))


def test_noise_and_generator_decide_the_draws() -> None:
    model, x = small(), torch.rand(3, *SHAPE, dtype=torch.float64)

    def drawn(seed: int) -> Tensor:
        return elbo(model, x, 2, generator=torch.Generator().manual_seed(seed)).total

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    noise = torch.randn(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn(1), elbo(model, x, 2, noise=noise).total)
    state = torch.get_rng_state()
    drawn(3)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("samples", [0, -1, 1.5, True])
def test_samples_must_be_a_count(samples: int) -> None:
    with pytest.raises(ValueError, match="samples must be a whole number of at least 1; got") as e:
        elbo(small(dtype=torch.float32), torch.rand(2, *SHAPE), samples)
    one_sentence(e)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 2), (1, 2, 3), (1, 1, 3, 2)])
def test_noise_must_be_one_draw_a_sample_and_image(shape: tuple[int, ...]) -> None:
    """[batch, latent] is refused too: its mean over samples would be one over the batch."""
    with pytest.raises(ValueError, match=r"noise must be \[1, 3, 2\]") as error:
        elbo(small(dtype=torch.float32), torch.rand(3, *SHAPE), 1, noise=torch.zeros(shape))
    assert str(list(shape)) in one_sentence(error)


@pytest.mark.parametrize(
    ("likelihood", "x", "words"),
    [
        (BernoulliLikelihood(), torch.full((2, *SHAPE), 0.5), "binarize grey images first"),
        (GaussianLikelihood(), torch.full((2, *SHAPE), 1.5), r"pixels must lie in \[0, 1\]"),
        (GaussianLikelihood(), torch.full((2, *SHAPE), math.nan), "finite"),
        (GaussianLikelihood(), torch.zeros(2, 1, 4, 3), r"images must be \[batch, 1, 3, 4\]"),
        (GaussianLikelihood(), torch.zeros(2, *SHAPE, dtype=torch.uint8), "got torch.uint8"),
    ],
)
def test_wrong_images_are_refused(likelihood: object, x: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        elbo(small(likelihood, torch.float32), x)
    plain = Autoencoder(2, SHAPE, (5,), likelihood)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=words):
        reconstruction(plain, x)


def test_elbo_takes_a_model_with_a_posterior() -> None:
    with pytest.raises(ValueError, match="elbo takes a model whose encode gives a posterior; got"):
        elbo(Autoencoder(2, SHAPE, (5,)), torch.rand(2, *SHAPE))  # type: ignore[arg-type]


def test_validate_false_leaves_out_the_pixels_check_only() -> None:
    model = small(BernoulliLikelihood(), torch.float32)
    assert torch.isfinite(elbo(model, torch.full((2, *SHAPE), 0.5), validate=False).total).all()
    with pytest.raises(ValueError, match="images must be"):
        elbo(model, torch.zeros(2, 1, 4, 3), validate=False)


def test_reconstruction_is_the_autoencoders_log_likelihood() -> None:
    model = Autoencoder(2, SHAPE, (5,)).double()
    x = torch.rand(4, *SHAPE, dtype=torch.float64)
    squared = (x - model(x)).square().flatten(1).sum(1)
    expected = -squared - PIXELS / 2 * math.log(math.pi)
    assert torch.allclose(reconstruction(model, x), expected, rtol=1e-12)


# ---- what training minimises -----------------------------------------------------------------


def test_objectives_minimise_what_they_say() -> None:
    x, labels = torch.rand(8, *SHAPE, dtype=torch.float64), torch.arange(8) % 3

    vae = small()
    terms = objective_for(vae)(vae, x, labels, torch.Generator().manual_seed(1))
    bound = elbo(vae, x, generator=torch.Generator().manual_seed(1))
    assert set(terms) == {"loss", "reconstruction", "kl"}
    assert torch.equal(terms["loss"], -bound.total)
    assert torch.equal(terms["kl"], bound.kl)
    assert torch.equal(terms["reconstruction"], bound.reconstruction)

    plain = Autoencoder(2, SHAPE, (5,)).double()
    terms = objective_for(plain)(plain, x, labels, None)
    assert set(terms) == {"loss"}
    assert torch.equal(terms["loss"], -reconstruction(plain, x))

    classifier = Classifier(3, SHAPE).double()
    terms = objective_for(classifier)(classifier, x, labels, None)
    logits = classifier(x)
    expected = -F.log_softmax(logits, 1)[torch.arange(8), labels]
    assert torch.allclose(terms["loss"], expected)
    assert torch.equal(terms["error_rate"], (logits.argmax(1) != labels).double())
    assert all(values.shape == (8,) for values in terms.values())


def test_an_unknown_model_needs_an_objective() -> None:
    with pytest.raises(ValueError, match="no objective is known for a Linear: pass one to fit"):
        objective_for(torch.nn.Linear(2, 2))


def test_elbo_parts_are_named() -> None:
    assert objectives.ELBO._fields == ("reconstruction", "kl", "total")


# ---- beta, and the importance-weighted bound ---------------------------------------------------


def test_beta_weighs_the_kl_in_the_total_alone() -> None:
    model, x = small(), torch.rand(5, *SHAPE, dtype=torch.float64)
    noise = torch.randn(2, 5, 2, dtype=torch.float64)
    plain = elbo(model, x, 2, noise=noise)
    for beta in (0, 0.25, 4.0):
        found = elbo(model, x, 2, noise=noise, beta=beta)
        assert torch.equal(found.reconstruction, plain.reconstruction)
        assert torch.equal(found.kl, plain.kl)
        assert torch.allclose(found.total, plain.reconstruction - beta * plain.kl, rtol=1e-14)
    for beta in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta must be a number of at least 0; got"):
            elbo(model, x, beta=beta)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 3.0])
def test_beta_is_a_gaussians_two_sigma_squared(sigma: float) -> None:
    """sigma^2 scales the bound: its weights are those of beta = 2 sigma^2 at sigma^2 = 1/2."""
    x, noise = torch.rand(4, *SHAPE).double(), torch.randn(2, 4, 2).double()
    narrow, half = small(GaussianLikelihood(sigma)), small()
    by_sigma = elbo(narrow, x, 2, noise=noise).total.sum()
    by_beta = elbo(half, x, 2, noise=noise, beta=2 * sigma**2).total.sum()
    for a, b in zip(
        torch.autograd.grad(by_sigma, list(narrow.parameters())),
        torch.autograd.grad(by_beta, list(half.parameters())),
        strict=True,
    ):
        assert torch.allclose(2 * sigma**2 * a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_log_weights_are_their_formula(dtype: torch.dtype) -> None:
    model = small(GaussianLikelihood(0.3), dtype)
    x, noise = torch.rand(6, *SHAPE, dtype=dtype), torch.randn(3, 6, 2, dtype=dtype)
    found = log_weights(model, x, 3, noise=noise)
    posterior = model.encode(x)
    z = posterior.rsample(noise)
    expected = (
        model.likelihood.log_prob(x, model.decode(z))
        + DiagonalGaussian.standard(z).log_prob(z)
        - posterior.log_prob(z)
    )
    assert found.shape == (3, 6)
    assert found.dtype == dtype
    assert torch.allclose(found, expected, rtol=10 * TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
    bound = importance_weighted_bound(model, x, 3, noise=noise)
    assert bound.shape == (6,)
    mean = found.double().exp().mean(0).log()
    assert torch.allclose(bound.double(), mean, rtol=10 * TOLERANCE[dtype])
    one = importance_weighted_bound(model, x, 1, noise=noise[:1])
    assert torch.allclose(one, found[0], rtol=10 * TOLERANCE[dtype])


def test_log_weights_keep_their_digits_at_a_small_sigma() -> None:
    """In float32, (z - mean) / sigma forgets the noise where sigma is far below the mean."""
    exact, rounded = small(), small()
    for model in (exact, rounded):
        with torch.no_grad():
            model.encoder.mean.bias.fill_(40.0)
            model.encoder.log_sigma.weight.zero_()
            model.encoder.log_sigma.bias.fill_(-10.0)
            for layer in model.decoder.layers:
                layer.weight.mul_(1e-3)
    rounded.float()
    x, noise = torch.rand(4, *SHAPE), torch.randn(3, 4, 2)
    expected = log_weights(exact, x.double(), 3, noise=noise.double())
    # Of the terms, log P(z) = -40^2 is the largest.
    assert torch.allclose(log_weights(rounded, x, 3, noise=noise).double(), expected, atol=2e-3)


def test_the_bound_survives_weights_beyond_floating_point() -> None:
    """exp(-2000) and exp(1500) are 0 and infinity in float64: only log-sum-exp gets through."""
    for sigma, sign in ((0.02, -1), (1e-70, 1)):
        model = small(GaussianLikelihood(sigma, link="identity"))
        with torch.no_grad():
            for layer in model.decoder.layers:
                layer.weight.zero_()
                layer.bias.zero_()
        x = torch.full((2, *SHAPE), 0.5 if sign < 0 else 0.0, dtype=torch.float64)
        bound = importance_weighted_bound(model, x, 4)
        assert bool(torch.isfinite(bound).all())
        assert bool((sign * bound > 750).all())


def test_the_bounds_gradient_weighs_each_draw_by_its_normalised_weight() -> None:
    """Burda et al. 2015, equation 13."""
    model, x = small(GaussianLikelihood(0.3)), torch.rand(3, *SHAPE).double()
    noise = torch.randn(4, 3, 2).double()
    parameters = list(model.parameters())
    found = torch.autograd.grad(
        importance_weighted_bound(model, x, 4, noise=noise).sum(), parameters
    )
    weights = log_weights(model, x, 4, noise=noise)
    share = weights.detach().softmax(0)
    expected = torch.autograd.grad((share * weights).sum(), parameters)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bound", [log_weights, importance_weighted_bound])
def test_the_other_bounds_refuse_what_the_elbo_refuses(bound: Callable[..., Tensor]) -> None:
    model, x = small(), torch.rand(3, *SHAPE).double()
    for samples in (0, 1.5, True):
        with pytest.raises(ValueError, match="samples must be a whole number of at least 1"):
            bound(model, x, samples)
    for call, words in (
        (lambda: bound(model, x, 2, noise=torch.zeros(3, 2)), r"noise must be \[2, 3, 2\]"),
        (lambda: bound(model, x + 1, 2), r"pixels must lie in \[0, 1\]"),
        (lambda: bound(model, x[:, :, :2], 2), "images must be"),
        (lambda: bound(model, x, 2, condition=x), "a VAE takes no condition"),
        (
            lambda: bound(Autoencoder(2, SHAPE).double(), x, 2),
            "log_weights takes a model whose encode gives a posterior; got Autoencoder",
        ),
    ):
        with pytest.raises(ValueError, match=words) as error:
            call()
        one_sentence(error)
    assert bool(torch.isfinite(bound(model, x + 1, 2, validate=False)).all())


# ---- estimators of the gradient ----------------------------------------------------------------

ESTIMATORS: dict[str, dict[str, object]] = {
    "path-wise": {},
    "score": {"gradient": "score-function"},
    "leave-one-out": {"gradient": "score-function", "baseline": "leave-one-out"},
    "running": {"gradient": "score-function", "baseline": "running"},
}


def options_of(name: str) -> dict[str, object]:
    options = dict(ESTIMATORS[name])
    if options.get("baseline") == "running":
        options["baseline"] = RunningBaseline()
    return options


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", ["VAE", "CVAE"])
def test_the_estimators_share_values_and_the_decoders_gradient(name: str, kind: str) -> None:
    condition = None
    if kind == "VAE":
        model: VAE | CVAE = small(GaussianLikelihood("learned"))
    else:
        model = CVAE(
            2, SHAPE, (5,), GaussianLikelihood("learned"), classes=3, prior="learned"
        ).double()
        condition = torch.tensor([0, 1, 2, 1])
    x, noise = torch.rand(4, *SHAPE).double(), torch.randn(3, 4, 2).double()
    plain = elbo(model, x, 3, noise=noise, condition=condition)
    found = elbo(model, x, 3, noise=noise, condition=condition, **options_of(name))
    assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))
    parameters = {n: p for n, p in model.named_parameters() if not n.startswith("encoder")}
    assert len(parameters) >= 5
    expected = torch.autograd.grad(plain.total.sum(), list(parameters.values()))
    for (n, _), a, b in zip(
        parameters.items(),
        torch.autograd.grad(found.total.sum(), list(parameters.values())),
        expected,
        strict=True,
    ):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14), n


def gradients_by_example(
    model: VAE,
    x: Tensor,
    n: int,
    samples: int,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    **options: object,
) -> Tensor:
    """n independent estimates of the ELBO's gradient with respect to Q of one image, [n, 2 latent].

    The posterior's parameters stand as leaves, one row an estimate, in place of the encoder.
    """
    posterior = model.encode(x)
    leaves = [part.detach().expand(n, -1).clone().requires_grad_() for part in posterior]
    monkeypatch.setattr(model, "encode", lambda _: DiagonalGaussian(*leaves))
    bound = elbo(
        model, x.expand(n, *SHAPE), samples, generator=torch.Generator().manual_seed(seed),
        validate=False, **options,  # type: ignore[arg-type]
    )  # fmt: skip
    monkeypatch.undo()
    return torch.cat(torch.autograd.grad(bound.total.sum(), leaves), 1)


@pytest.mark.parametrize("samples", [2, 5])
def test_score_function_gradients_agree_with_path_wise_in_expectation(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 40_000
    model = small(GaussianLikelihood(0.5), seed=3)
    x = torch.rand(1, *SHAPE).double()
    found = {}
    for seed, name in enumerate(ESTIMATORS):
        options = options_of(name)
        if name == "running":  # one call before: the first has no past
            gradients_by_example(model, x, n, samples, 90, monkeypatch, **options)
        found[name] = gradients_by_example(model, x, n, samples, seed, monkeypatch, **options)
    path = found["path-wise"]
    assert bool((path.mean(0).abs() > 20 * path.std(0) / math.sqrt(n)).all())  # far from zero
    for name, gradients in found.items():
        error = torch.sqrt((gradients.var(0) + path.var(0)) / n)
        assert bool(((gradients.mean(0) - path.mean(0)).abs() < 4 * error).all()), name
    # What a baseline is for; and what the path is for.
    spread = {name: gradients.var(0).sum().item() for name, gradients in found.items()}
    assert spread["leave-one-out"] < 0.5 * spread["score"]
    assert spread["running"] < 0.5 * spread["score"]
    assert spread["path-wise"] < 0.5 * min(spread["leave-one-out"], spread["running"])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_agrees_with_the_exact_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 40_000
    model, *_ = linear_gaussian(2)
    x = torch.rand(1, *SHAPE).double()
    with torch.no_grad():  # away from the best posterior, where the gradient is zero
        model.encoder.mean.bias.add_(torch.tensor([0.4, -0.6]))
        model.encoder.log_sigma.bias.add_(torch.tensor([0.3, -0.2]))
    linear = LinearVAE(2, SHAPE, 0.4).double()
    linear.load_state_dict(model.state_dict())
    leaves = [part.detach().clone().requires_grad_() for part in linear.encode(x)]
    monkeypatch.setattr(linear, "encode", lambda _: DiagonalGaussian(*leaves))
    exact = torch.cat(torch.autograd.grad(exact_elbo(linear, x).total.sum(), leaves), 1)
    options = options_of(name)
    if name == "running":
        gradients_by_example(model, x, n, 3, 90, monkeypatch, **options)
    found = gradients_by_example(model, x, n, 3, 4, monkeypatch, **options)
    error = found.std(0) / math.sqrt(n)
    assert bool((exact.abs() > 8 * error).all())
    assert bool(((found.mean(0) - exact[0]).abs() < 4 * error).all())


def test_the_leave_one_out_baseline_written_out() -> None:
    model, x = small(GaussianLikelihood(0.3)), torch.rand(4, *SHAPE).double()
    noise = torch.randn(3, 4, 2).double()
    parameters = list(model.encoder.parameters())
    found = elbo(
        model, x, 3, noise=noise, gradient="score-function", baseline="leave-one-out", beta=0
    )
    posterior = model.encode(x)
    z = posterior.rsample(noise).detach()
    log_p = model.log_likelihood(x, z).detach()
    score = torch.zeros(4).double()
    for i in range(3):
        others = [log_p[j] for j in range(3) if j != i]
        score = score + (log_p[i] - sum(others) / 2) * posterior.log_prob(z[i]) / 3
    for a, b in zip(
        torch.autograd.grad(found.total.sum(), parameters),
        torch.autograd.grad(score.sum(), parameters),
        strict=True,
    ):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_running_baseline_is_of_the_past() -> None:
    baseline = RunningBaseline(decay=0.75)
    assert baseline.follow(torch.tensor([[1.0, 3.0]])).item() == 0
    assert baseline.follow(torch.tensor([[6.0, 6.0]])).item() == 2
    assert baseline.follow(torch.tensor([[0.0, 0.0]])).item() == 0.75 * 2 + 0.25 * 6
    assert baseline.value is not None
    assert baseline.value.item() == pytest.approx(0.75 * 3)
    for decay in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\); got"):
            RunningBaseline(decay)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gradient": "reinforce"}, "gradient must be one of path-wise, score-function; got"),
        ({"baseline": "leave-one-out"}, "a baseline belongs to gradient='score-function'"),
        ({"baseline": RunningBaseline()}, "a baseline belongs to gradient='score-function'"),
        (
            {"gradient": "score-function", "baseline": "mean"},
            "baseline must be 'leave-one-out' or a RunningBaseline; got 'mean'",
        ),
        (
            {"gradient": "score-function", "baseline": "leave-one-out"},
            "'leave-one-out' needs at least 2 samples; got 1",
        ),
    ],
)
def test_estimators_that_are_none_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        elbo(small(), torch.rand(2, *SHAPE).double(), **options)  # type: ignore[arg-type]
    one_sentence(error)
    with pytest.raises(ValueError, match=words):
        elbo_objective(**options)  # type: ignore[arg-type]


# ---- conditional -------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["standard", "learned"])
@pytest.mark.parametrize("given", ["label", "part"])
def test_the_conditional_elbo_is_its_formula(prior: str, given: str) -> None:
    sigma = 0.3
    kind = {"classes": 3} if given == "label" else {"observed": "1-quadrant"}
    model = CVAE(2, SHAPE, (5,), GaussianLikelihood(sigma), prior=prior, **kind).double()  # type: ignore[arg-type]
    x, noise = torch.rand(4, *SHAPE).double(), torch.randn(2, 4, 2).double()
    condition = torch.tensor([2, 0, 1, 1]) if given == "label" else x
    found = elbo(model, x, 2, noise=noise, condition=condition)

    mean, log_sigma = model.encode(x, condition)
    z = mean + log_sigma.exp() * noise
    squared = (x - torch.sigmoid(model.decode(z, condition))).square()
    scored = squared.flatten(2) if given == "label" else squared[:, :, ~model.observed]
    n = PIXELS if given == "label" else PIXELS - 4  # the lower left of 3 x 4: 2 x 2
    assert scored.shape[-1] == n
    log_p = -scored.sum(2) / (2 * sigma**2) - n / 2 * math.log(2 * math.pi * sigma**2)
    m, s = model.prior(condition)
    ratio = (log_sigma - s).exp()
    kl = 0.5 * (((mean - m) / s.exp()) ** 2 + ratio**2 - 1 - 2 * ratio.log()).sum(1)
    assert (m.abs().sum() > 0) == (prior == "learned")
    assert torch.allclose(found.reconstruction, log_p.mean(0), rtol=1e-12)
    assert torch.allclose(found.kl, kl, rtol=1e-12)
    assert torch.equal(found.total, found.reconstruction - found.kl)
    if given == "part":  # taken from x itself unless given
        assert torch.equal(found.total, elbo(model, x, 2, noise=noise).total)
    weights = log_weights(model, x, 2, noise=noise, condition=condition)
    one = torch.distributions.Normal
    expected = (
        log_p + one(m, s.exp()).log_prob(z).sum(-1) - one(mean, log_sigma.exp()).log_prob(z).sum(-1)
    )
    assert torch.allclose(weights, expected, rtol=1e-10)


def linear_conditional(given: str) -> CVAE:
    """All maps linear: P(X|Y) is a Gaussian, whose moments the weights state."""
    kind = {"classes": 3} if given == "label" else {"observed": "2-quadrants"}
    return CVAE(
        2, SHAPE, (), GaussianLikelihood(0.4, link="identity"), prior="learned", seed=5, **kind  # type: ignore[arg-type]
    ).double()  # fmt: skip


def log_p_given(model: CVAE, x: Tensor, condition: Tensor) -> Tensor:
    """log P(X|Y) by its covariance: z from P(z|Y), then X, all Gaussian."""
    (layer,) = model.decoder.layers
    y = model._vector(condition)
    w, u, b = layer.weight[:, :2], layer.weight[:, 2:], layer.bias
    rows = torch.ones(PIXELS, dtype=torch.bool)
    if model.observed is not None:
        rows = ~model.observed.flatten()
    prior = model.prior(condition)
    centre = (prior.mean @ w.T + y @ u.T + b)[:, rows]
    spread = w[None] * prior.sigma[:, None]
    covariance = spread @ spread.transpose(1, 2) + 0.4**2 * torch.eye(PIXELS).double()
    chosen = covariance[:, rows][:, :, rows]
    return MultivariateNormal(centre, chosen).log_prob(x.flatten(1)[:, rows])


@pytest.mark.parametrize("given", ["label", "part"])
def test_on_a_linear_cvae_the_weights_average_to_the_exact_conditional_density(given: str) -> None:
    model = linear_conditional(given).requires_grad_(False)
    n, x = 40_000, torch.rand(3, *SHAPE).double()
    condition = torch.tensor([2, 0, 1]) if given == "label" else x
    exact = log_p_given(model, x, condition)
    generator = torch.Generator().manual_seed(1)
    weights = log_weights(model, x, n, condition=condition, generator=generator, validate=False)
    ratio = (weights - exact).exp()  # of mean 1: E_Q[P(X, z|Y) / Q] = P(X|Y)
    error = ratio.std(0) / math.sqrt(n)
    assert bool((error < 0.05).all())
    assert bool(((ratio.mean(0) - 1).abs() < 4 * error).all())
    # ELBO <= bound of 5 <= bound of 50 <= log P(X|Y), each mean with its own error.
    means = []
    for k in (1, 5, 50):
        bound = weights.unflatten(0, (-1, k)).logsumexp(1) - math.log(k)
        means.append((bound.mean(0), bound.std(0) / math.sqrt(len(bound))))
    for (low, a), (high, b) in zip(means, [*means[1:], (exact, 0 * exact)], strict=True):
        assert bool((low < high + 4 * (a.square() + b.square()).sqrt()).all())
    assert bool((means[0][0] < means[2][0]).all())


def test_a_condition_is_asked_for_and_checked() -> None:
    model = CVAE(2, SHAPE, (5,), classes=3).double()
    x = torch.rand(2, *SHAPE).double()
    with pytest.raises(ValueError, match="elbo of a CVAE with classes takes condition=labels") as e:
        elbo(model, x)
    one_sentence(e)
    with pytest.raises(ValueError, match=r"labels must lie in 0..2; got 0..3"):
        elbo(model, x, condition=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="a VAE takes no condition"):
        elbo(small(), x, condition=torch.tensor([0, 1]))


# ---- denoising ---------------------------------------------------------------------------------


def test_denoising_encodes_the_corrupted_image_and_scores_the_clean_one() -> None:
    model, x = Autoencoder(2, SHAPE, (5,)).double(), torch.rand(4, *SHAPE).double()
    noise = MaskingNoise(0.5)
    found = reconstruction(model, x, corruption=noise, generator=torch.Generator().manual_seed(1))
    corrupted = noise(x, torch.Generator().manual_seed(1))
    assert not torch.equal(corrupted, x)
    expected = model.likelihood.log_prob(x, model.decode(model.encode(corrupted)))
    assert torch.equal(found, expected)
    assert torch.equal(
        reconstruction(model, x, corruption=MaskingNoise(0)), reconstruction(model, x)
    )
    terms = denoising(noise)(model, x, torch.zeros(4), torch.Generator().manual_seed(1))
    assert set(terms) == {"loss"}
    assert torch.equal(terms["loss"], -found)


def test_corruptions_do_what_they_say() -> None:
    n = 100_000
    x = torch.full((n, 1, 1, 1), 0.7)
    generator = torch.Generator().manual_seed(1)

    def share(condition: Tensor, expected: float) -> None:
        error = math.sqrt(expected * (1 - expected) / n)
        assert abs(condition.double().mean().item() - expected) < 4 * error

    masked = MaskingNoise(0.3)(x, generator)
    share(masked == 0, 0.3)
    assert bool(((masked == 0) | (masked == x)).all())
    salted = SaltAndPepper(0.3)(x, generator)
    share(salted == 0, 0.15)
    share(salted == 1, 0.15)
    assert bool(((salted == 0) | (salted == 1) | (salted == x)).all())
    noisy = GaussianNoise(0.2)(x, generator) - x
    assert abs(noisy.mean().item()) < 4 * 0.2 / math.sqrt(n)
    assert abs(noisy.std().item() - 0.2) < 4 * 0.2 / math.sqrt(2 * n)
    for corruption in (MaskingNoise(0.3), SaltAndPepper(0.3), GaussianNoise(0.2)):
        first = corruption(x.double(), torch.Generator().manual_seed(2))
        assert first.dtype == torch.float64
        assert torch.equal(first, corruption(x.double(), torch.Generator().manual_seed(2)))
        assert bool((x == 0.7).all())  # the clean images stay as they are
    assert bool((MaskingNoise(1.0)(x) == 0).all())
    for wrong in (-0.1, 1.1, math.nan):
        for kind in (MaskingNoise, SaltAndPepper):
            with pytest.raises(ValueError, match=r"fraction must lie in \[0, 1\]; got"):
                kind(wrong)
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma must be a number of at least 0; got"):
            GaussianNoise(wrong)


# ---- more of what training minimises -----------------------------------------------------------


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("given", [None, {"classes": 3}, {"observed": "1-quadrant"}])
def test_elbo_objective(name: str, given: dict[str, object] | None) -> None:
    x, labels = torch.rand(6, *SHAPE).double(), torch.arange(6) % 3
    if given is None:
        model: VAE | CVAE = small()
    else:
        model = CVAE(2, SHAPE, (5,), prior="learned", **given).double()  # type: ignore[arg-type]
    objective = elbo_objective(2, beta=0.5, **ESTIMATORS[name])  # type: ignore[arg-type]
    terms = objective(model, x, labels, torch.Generator().manual_seed(1))
    assert set(terms) == {"loss", "reconstruction", "kl"}
    assert all(values.shape == (6,) for values in terms.values())
    condition = labels if given == {"classes": 3} else None
    bound = elbo(
        model, x, 2, generator=torch.Generator().manual_seed(1), beta=0.5, condition=condition
    )
    assert torch.equal(terms["loss"], -bound.total)
    assert torch.equal(terms["kl"], bound.kl)
    assert torch.equal(terms["reconstruction"], bound.reconstruction)
    default = objective_for(model)(model, x, labels, torch.Generator().manual_seed(1))
    plain = elbo(model, x, generator=torch.Generator().manual_seed(1), condition=condition)
    assert torch.equal(default["loss"], -plain.total)
    bound = importance_weighted_objective(7)(model, x, labels, torch.Generator().manual_seed(1))
    expected = importance_weighted_bound(
        model, x, 7, generator=torch.Generator().manual_seed(1), condition=condition
    )
    assert set(bound) == {"loss"}
    assert torch.equal(bound["loss"], -expected)


def test_the_running_baseline_of_an_objective_runs() -> None:
    """From the second batch on, its gradient is that of log P(X|z) less the batch before's mean."""
    model, x = small(), torch.rand(6, *SHAPE).double()
    noise = [torch.Generator().manual_seed(seed) for seed in (1, 2, 2)]
    objective = elbo_objective(gradient="score-function", baseline="running")
    first = objective(model, x, torch.zeros(6), noise[0])
    before = first["reconstruction"].mean()
    second = objective(model, x, torch.zeros(6), noise[1])
    baseline = RunningBaseline()
    baseline.value = before.detach()
    expected = elbo(model, x, generator=noise[2], gradient="score-function", baseline=baseline)
    weights = list(model.encoder.parameters())
    for a, b in zip(
        torch.autograd.grad(second["loss"].sum(), weights),
        torch.autograd.grad(-expected.total.sum(), weights),
        strict=True,
    ):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_objectives_refuse_no_samples() -> None:
    for make in (elbo_objective, importance_weighted_objective):
        with pytest.raises(ValueError, match="samples must be a whole number of at least 1; got 0"):
            make(0)


# ---- sigma from data ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["learned", "per-pixel", "optimal"])
def test_set_sigma_is_the_root_mean_squared_error(kind: str) -> None:
    model = Autoencoder(2, SHAPE, (5,), GaussianLikelihood(kind)).double()
    images = torch.randint(0, 256, (25, *SHAPE), dtype=torch.uint8)
    squared = (images.double() / 255 - model(images.double() / 255)).square()
    expected = (squared.mean(0) if kind == "per-pixel" else squared.mean()).sqrt()
    found = set_sigma(model, images.double() / 255, batch_size=7)
    assert torch.allclose(found, expected, rtol=1e-10)
    assert torch.allclose(model.likelihood.sigma, expected, rtol=1e-10)
    found = set_sigma(model.float(), images, batch_size=10)
    assert torch.allclose(found.double(), expected, rtol=1e-5)


def test_no_sigma_has_a_higher_elbo_than_the_one_set() -> None:
    model = small(GaussianLikelihood("optimal"))
    x = torch.rand(200, *SHAPE).double()
    set_sigma(model, x, generator=torch.Generator().manual_seed(1), batch_size=200)
    model.eval()
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    best = elbo(model, x, noise=noise[None]).total.mean()
    for factor in (0.99, 1.01):
        other = small(GaussianLikelihood(model.likelihood.sigma.item() * factor))
        assert elbo(other, x, noise=noise[None]).total.mean() < best


def test_set_sigma_of_a_cvae_counts_what_is_predicted() -> None:
    x, labels = torch.rand(9, *SHAPE).double(), torch.arange(9) % 3
    for kind, count in (("optimal", 1), ("per-pixel", PIXELS - 4)):
        model = CVAE(2, SHAPE, (5,), GaussianLikelihood(kind), observed="1-quadrant").double()
        found = set_sigma(model, x, generator=torch.Generator().manual_seed(1))
        code = model.encode(x, x).sample(generator=torch.Generator().manual_seed(1))
        squared = (model.mean(code, x) - x).square()[:, ~model.observed]
        assert found.numel() == count
        assert torch.allclose(found.square(), squared.mean(0 if count > 1 else None), rtol=1e-10)
    model = CVAE(2, SHAPE, (5,), GaussianLikelihood("optimal"), classes=3).double()
    found = set_sigma(model, x, labels, generator=torch.Generator().manual_seed(1))
    code = model.encode(x, labels).sample(generator=torch.Generator().manual_seed(1))
    assert torch.allclose(found.square(), (model.mean(code, labels) - x).square().mean())
    with pytest.raises(ValueError, match="set_sigma of a CVAE with classes takes labels"):
        set_sigma(model, x)


def test_set_sigma_refuses() -> None:
    x = torch.rand(3, *SHAPE).double()
    with pytest.raises(ValueError, match="takes a Gaussian likelihood; got BernoulliLikelihood"):
        set_sigma(small(BernoulliLikelihood()), x)
    with pytest.raises(ValueError, match=r"sigma is fixed at 0.3: it can't be set"):
        set_sigma(small(GaussianLikelihood(0.3)), x)
    with pytest.raises(ValueError, match=r"pixels must lie in \[0, 1\]"):
        set_sigma(small(GaussianLikelihood("optimal")), x + 1)
    with pytest.raises(ValueError, match="images must be"):
        set_sigma(small(GaussianLikelihood("optimal")), x[:, :, :2])
