"""Networks: shapes, seeds, what they refuse, and that weights survive a file."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from helpers import one_sentence
from safetensors.torch import load_file, save_file

from vae_core.distributions import (
    BernoulliLikelihood,
    DiagonalGaussian,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from vae_core.models import ACTIVATIONS, CVAE, OBSERVED, VAE, Autoencoder, Classifier, LinearVAE

KINDS = [VAE, Autoencoder]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 4, 7), (1, 1, 1)])
@pytest.mark.parametrize("hidden", [(), (6,), (7, 5)])
def test_shapes(
    kind: type[VAE] | type[Autoencoder],
    latent_dim: int,
    shape: tuple[int, int, int],
    hidden: tuple[int, ...],
) -> None:
    model = kind(latent_dim, shape, hidden)
    x = torch.rand(3, *shape)
    code = model.encode(x)
    if isinstance(code, DiagonalGaussian):
        assert code.mean.shape == code.log_sigma.shape == (3, latent_dim)
    else:
        assert code.shape == (3, latent_dim)
    assert model.embed(x).shape == (3, latent_dim)
    assert model(x).shape == (3, *shape)
    for leading in ((), (4,), (2, 5)):
        z = torch.randn(*leading, latent_dim)
        assert model.decode(z).shape == (*leading, *shape)
        mean = model.mean(z)
        assert mean.shape == (*leading, *shape)
        assert bool(((mean > 0) & (mean < 1)).all())
    assert model.generate(6).shape == (6, *shape)
    widths = [layer.out_features for layer in model.decoder.layers]
    assert widths == [*reversed(hidden), math.prod(shape)]
    assert [layer.out_features for layer in model.encoder.layers] == list(hidden)


def test_the_default_is_the_tutorials_784_512_2() -> None:
    model = VAE()
    sizes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert sizes == {
        "encoder.layers.0.weight": (512, 784),
        "encoder.layers.0.bias": (512,),
        "encoder.mean.weight": (2, 512),
        "encoder.mean.bias": (2,),
        "encoder.log_sigma.weight": (2, 512),
        "encoder.log_sigma.bias": (2,),
        "decoder.layers.0.weight": (512, 2),
        "decoder.layers.0.bias": (512,),
        "decoder.layers.1.weight": (784, 512),
        "decoder.layers.1.bias": (784,),
    }
    assert isinstance(model.likelihood, GaussianLikelihood)
    assert model.likelihood.sigma.item() ** 2 == pytest.approx(0.5, rel=1e-6)
    assert "encoder.log_sigma.weight" not in dict(Autoencoder().named_parameters())


def test_the_network_is_the_one_its_layers_say() -> None:
    """Written out layer by layer: what an exporter of the weights relies on."""
    model = VAE(2, (1, 3, 4), (6, 5), activation="tanh")
    x, z = torch.rand(4, 1, 3, 4), torch.randn(4, 2)
    h = x.flatten(1)
    for layer in model.encoder.layers:
        h = torch.tanh(h @ layer.weight.T + layer.bias)
    heads = [
        h @ head.weight.T + head.bias for head in (model.encoder.mean, model.encoder.log_sigma)
    ]
    for ours, expected in zip(model.encode(x), heads, strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)
    first, second, last = model.decoder.layers
    h = torch.tanh(torch.tanh(z @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    output = (h @ last.weight.T + last.bias).reshape(4, 1, 3, 4)
    assert torch.allclose(model.decode(z), output, atol=1e-6)
    assert torch.allclose(model.mean(z), torch.sigmoid(output), atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str) -> None:
    model = Autoencoder(2, (1, 2, 2), (3,), activation=activation)
    expected = {
        "relu": lambda v: v.clamp(min=0),
        "tanh": torch.tanh,
        "softplus": lambda v: (1 + v.exp()).log(),
        "silu": lambda v: v / (1 + (-v).exp()),
        "identity": lambda v: v,
    }[activation]
    x = torch.rand(5, 1, 2, 2)
    (layer,) = model.encoder.layers
    h = expected(layer(x.flatten(1)))
    assert torch.allclose(model.encode(x), model.encoder.mean(h), atol=1e-6)


@pytest.mark.parametrize("kind", [VAE, Autoencoder, Classifier])
def test_weights_depend_on_the_seed_alone(
    kind: type[VAE] | type[Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kind(seed=3).state_dict()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    # The GPUs' global streams must stay where they are too: torch.manual_seed would move them.
    moved: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", moved.append)
    second = kind(seed=3).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert moved == []
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = kind(seed=4).state_dict()
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent_dim", [0, -1, 2.5, True, "2", None])
def test_a_latent_dim_that_is_no_size_is_refused(kind: type[VAE], latent_dim: object) -> None:
    with pytest.raises(ValueError, match="latent_dim must be a whole number of at least 1") as e:
        kind(latent_dim)  # type: ignore[arg-type]
    assert one_sentence(e).endswith(f"got {latent_dim!r}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (28, 28)}, r"shape must be \(channels, height, width\)"),
        ({"shape": (1, 0, 28)}, r"shape must be \(channels, height, width\)"),
        ({"shape": (1, 28, 2.5)}, r"shape must be \(channels, height, width\)"),
        ({"shape": 784}, r"shape must be \(channels, height, width\).* got 784"),
        ({"hidden": (0,)}, r"hidden must be a tuple of whole numbers of at least 1; got \(0,\)"),
        ({"hidden": (5, -5)}, "hidden must be a tuple of whole numbers of at least 1"),
        ({"hidden": 512}, "hidden must be a tuple of whole numbers of at least 1; got 512"),
        (
            {"architecture": "transformer"},
            "architecture must be one of mlp, conv; got 'transformer'",
        ),
        ({"activation": "swish"}, "activation must be one of relu, tanh, softplus, silu, ident"),
        ({"likelihood": "bernoulli"}, "likelihood must be one of vae_core.distributions"),
        ({"seed": "x"}, "seed must be a whole number of at least 0; got 'x'"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
    ],
)
def test_bad_arguments(kind: type[VAE], options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        kind(**options)  # type: ignore[arg-type]
    one_sentence(error)


def test_sizes_may_be_numpys() -> None:
    import numpy as np

    assert VAE(np.int64(3), (np.int64(1), 2, 2), (np.int32(4),)).generate(1).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("model", [VAE(2, (1, 4, 5), (3,)), Autoencoder(2, (1, 4, 5), (3,))])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.int64), "got torch.int64"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.float64), "torch.float32.*got torch.float64"),
        (torch.zeros(2, 1, 5, 4), r"images must be \[batch, 1, 4, 5\].* got \[2, 1, 5, 4\]"),
        (torch.zeros(1, 4, 5), r"got \[1, 4, 5\]"),
        (torch.zeros(2, 20), r"got \[2, 20\]"),
        (torch.zeros(0, 1, 4, 5), r"batch >= 1; got \[0, 1, 4, 5\]"),
    ],
)
def test_wrong_images_are_refused(model: VAE | Autoencoder, x: torch.Tensor, words: str) -> None:
    for call in (model.encode, model.embed, model):
        with pytest.raises(ValueError, match=words) as error:
            call(x)
        one_sentence(error)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "got torch.uint8"),
        (torch.zeros(2, 1, 28, 27), r"images must be \[batch, 1, 28, 28\].* got"),
    ],
)
def test_the_classifier_refuses_wrong_images(x: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Classifier()(x)


@pytest.mark.parametrize(
    ("z", "words"),
    [
        (torch.zeros(3), r"z must be \[..., 2\]; got \[3\]"),
        (torch.zeros(()), r"z must be \[..., 2\]; got \[\]"),
        (torch.zeros(4, 2, dtype=torch.float64), "z must be torch.float32.*got torch.float64"),
        (torch.zeros(4, 2, dtype=torch.int64), "z must be torch.float32.*got torch.int64"),
    ],
)
def test_wrong_latents_are_refused(z: torch.Tensor, words: str) -> None:
    for model in (VAE(hidden=(3,)), Autoencoder(hidden=(3,))):
        for call in (model.decode, model.mean):
            with pytest.raises(ValueError, match=words):
                call(z)


@pytest.mark.parametrize("n", [0, -2, 1.5])
def test_generate_refuses(n: int) -> None:
    with pytest.raises(ValueError, match="n must be a whole number of at least 1; got"):
        VAE(hidden=(3,)).generate(n)


def test_generate_is_decided_by_the_generator() -> None:
    model = VAE(3, (1, 4, 4), (5,))
    first = model.generate(8, generator=torch.Generator().manual_seed(1))
    again = model.generate(8, generator=torch.Generator().manual_seed(1))
    other = model.generate(8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first.requires_grad
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, model.mean(z))
    assert model.double().generate(2).dtype == torch.float64


def test_embed_is_the_posteriors_mean() -> None:
    model = VAE(3, (1, 4, 4), (5,))
    x = torch.rand(6, 1, 4, 4)
    assert torch.equal(model.embed(x), model.encode(x).mean)
    assert torch.equal(model(x), model.mean(model.encode(x).mean))
    plain = Autoencoder(3, (1, 4, 4), (5,))
    assert torch.equal(plain.embed(x), plain.encode(x))


def test_the_likelihood_decides_what_the_output_means() -> None:
    model = VAE(2, (1, 2, 2), (3,), GaussianLikelihood(link="identity"))
    z = torch.randn(5, 2)
    assert torch.equal(model.mean(z), model.decode(z))
    model = VAE(2, (1, 2, 2), (3,), BernoulliLikelihood())
    assert torch.equal(model.mean(z), torch.sigmoid(model.decode(z)))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 10), (1, 1, 2)])
def test_classifier(shape: tuple[int, int, int]) -> None:
    model = Classifier(7, shape)
    x = torch.rand(4, *shape)
    features = model.features(x)
    assert features.shape == (4, 128)
    assert bool((features >= 0).all())
    assert model(x).shape == (4, 7)
    assert torch.allclose(model(x), model.last(features))
    with pytest.raises(ValueError, match="classes must be a whole number of at least 1; got 0"):
        Classifier(0)


@pytest.mark.parametrize(
    "model",
    [
        VAE(3, (1, 4, 4), (5,), seed=1),
        VAE(3, (1, 4, 4), (5,), GaussianLikelihood("learned"), seed=1),
        Autoencoder(3, (1, 4, 4), (5,), BernoulliLikelihood(), seed=1),
        Classifier(3, (1, 4, 4), seed=1),
        VAE(3, (1, 4, 4), (5,), GaussianLikelihood("per-pixel"), seed=1),
        VAE(3, (1, 4, 4), (5,), GaussianLikelihood("optimal"), seed=1).eval(),
        VAE(3, (1, 4, 4), (5, 6), seed=1, architecture="conv"),
        LinearVAE(3, (1, 4, 4), seed=1),
    ],
)
def test_weights_survive_a_safetensors_file(model: torch.nn.Module, tmp_path: Path) -> None:
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(model(x), other(x))
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_model_in_float64_works_throughout() -> None:
    model = VAE(2, (1, 4, 4), (5,)).double()
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    assert model(x).dtype == torch.float64
    with pytest.raises(ValueError, match=r"torch.float64.*got torch.float32"):
        model(x.float())


# ---- convolutions ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(1, 28, 28), (3, 32, 32), (2, 5, 8), (1, 7, 1), (4, 1, 1), (1, 9, 6)]
)
@pytest.mark.parametrize("hidden", [None, (), (3,), (4, 5, 6)])
def test_convolutional_shapes(
    kind: type[VAE] | type[Autoencoder],
    shape: tuple[int, int, int],
    hidden: tuple[int, ...] | None,
) -> None:
    model = kind(3, shape, hidden, architecture="conv")
    x = torch.rand(2, *shape)
    assert model.embed(x).shape == (2, 3)
    assert model(x).shape == (2, *shape)
    for leading in ((), (4,), (2, 5), (0,)):
        assert model.decode(torch.randn(*leading, 3)).shape == (*leading, *shape)
    assert model.generate(3).shape == (3, *shape)


def test_the_convolutional_default_halves_twice() -> None:
    sizes = {
        name: tuple(p.shape)
        for name, p in VAE(2, (3, 9, 6), architecture="conv").named_parameters()
    }
    weights = {name: size for name, size in sizes.items() if name.endswith("weight")}
    assert weights == {
        "encoder.layers.0.weight": (32, 3, 3, 3),
        "encoder.layers.1.weight": (64, 32, 3, 3),
        "encoder.mean.weight": (2, 64 * 3 * 2),
        "encoder.log_sigma.weight": (2, 64 * 3 * 2),
        "decoder.layers.0.weight": (64 * 3 * 2, 2),
        "decoder.layers.1.weight": (64, 32, 3, 3),
        "decoder.layers.2.weight": (32, 3, 3, 3),
    }


def test_the_convolutional_network_is_the_one_its_layers_say() -> None:
    model = VAE(2, (1, 5, 8), (3, 4), activation="tanh", architecture="conv").double()
    x, z = torch.rand(4, 1, 5, 8).double(), torch.randn(3, 4, 2).double()
    h = x
    for layer in model.encoder.layers:
        h = torch.tanh(layer(h))
    assert h.shape == (4, 4, 2, 2)
    assert torch.allclose(model.encode(x).mean, model.encoder.mean(h.flatten(1)))
    first, second, last = model.decoder.layers
    rows = [last(torch.tanh(second(torch.tanh(first(part)).unflatten(1, (4, 2, 2))))) for part in z]
    assert torch.allclose(model.decode(z), torch.stack(rows))
    # No pixel is out of reach of z: each has a gradient.
    (jacobian,) = torch.autograd.functional.jacobian(model.decode, (z[0, :1],))
    assert bool((jacobian.abs().sum((-1, -2)) > 0).all())


# ---- conditional -----------------------------------------------------------------------------

LABELS = torch.tensor([0, 2, 1])
MASK = torch.tensor([[True, False, False, True], [False] * 4, [True] + [False] * 3])
CONDITIONAL = [
    {"classes": 3},
    {"classes": 3, "prior": "learned"},
    {"classes": 3, "prior": "learned", "architecture": "conv"},
    {"observed": MASK},
    {"observed": MASK, "prior": "learned"},
    {"observed": MASK, "prior": "learned", "architecture": "conv"},
    {"observed": "2-quadrants", "prior": "learned"},
    {"observed": "centre-column", "architecture": "conv"},
]


def conditional(shape: tuple[int, int, int] = (2, 3, 4), **options: object) -> CVAE:
    return CVAE(2, shape, (5,), activation="tanh", **options).double()  # type: ignore[arg-type]


def given_to(model: CVAE, n: int = 3) -> torch.Tensor:
    """A condition of ``n`` rows."""
    return LABELS[:n] if model.classes else torch.rand(n, *model.shape).double()


@pytest.mark.parametrize("options", CONDITIONAL)
def test_conditional_shapes(options: dict[str, object]) -> None:
    model = conditional(**options)
    x = torch.rand(3, 2, 3, 4).double()
    given = given_to(model)
    for part in (*model.encode(x, given), *model.prior(given), model.embed(x, given)):
        assert part.shape == (3, 2)
        assert part.dtype == torch.float64
    assert model(x, given).shape == (3, 2, 3, 4)
    assert model.generate(given).shape == (3, 2, 3, 4)
    for leading in ((3,), (5, 3), (4, 5, 3)):
        z = torch.randn(*leading, 2).double()
        assert model.decode(z, given).shape == (*leading, 2, 3, 4)
        assert model.mean(z, given).shape == (*leading, 2, 3, 4)
        assert model.log_likelihood(x, z, given).shape == leading
    # One condition serves any number of latents.
    for leading in ((), (7,), (2, 7)):
        z = torch.randn(*leading, 2).double()
        assert model.decode(z, given[:1]).shape == (*leading, 2, 3, 4)
        assert model.mean(z, given[:1]).shape == (*leading, 2, 3, 4)
        assert torch.equal(model.decode(z, given[:1]), model.decode(z, given_to_one(model, given)))
    assert model.encode(x, given[:1]).mean.shape == (3, 2)
    named = dict(model.named_parameters())
    assert any(name.startswith("prior_network") for name in named) == model.has_prior_network
    assert set(model.state_dict()) == set(named)  # the mask is an argument, no weight


def given_to_one(model: CVAE, given: torch.Tensor) -> torch.Tensor | int:
    return int(given[0]) if model.classes else given[:1]


@pytest.mark.parametrize("options", CONDITIONAL)
def test_rows_do_not_mix(options: dict[str, object]) -> None:
    """Each example has its own condition: what it gives alone, it gives in a batch."""
    model = conditional(**options)
    x, z = torch.rand(3, 2, 3, 4).double(), torch.randn(4, 3, 2).double()
    given = given_to(model)
    for i in range(3):
        alone = given[i : i + 1]
        for whole, part in (
            (model.embed(x, given), model.embed(x[i : i + 1], alone)),
            (model.prior(given).log_sigma, model.prior(alone).log_sigma),
            (model.mean(z, given)[:, i : i + 1].transpose(0, 1), model.mean(z[:, i], alone)[None]),
        ):
            assert torch.allclose(whole[i : i + 1] if len(whole) == 3 else whole, part)


def test_labels_go_one_hot_into_encoder_decoder_and_prior() -> None:
    model = conditional(classes=3, prior="learned")
    x, z = torch.rand(3, 2, 3, 4).double(), torch.randn(3, 2).double()
    one_hot = torch.nn.functional.one_hot(LABELS, 3).double()
    (first,) = model.encoder.layers
    h = torch.tanh(first(torch.cat([x.flatten(1), one_hot], 1)))
    assert torch.allclose(model.encode(x, LABELS).mean, model.encoder.mean(h))
    hidden, last = model.decoder.layers
    output = last(torch.tanh(hidden(torch.cat([z, one_hot], 1)))).unflatten(1, (2, 3, 4))
    assert torch.allclose(model.decode(z, LABELS), output)
    assert torch.allclose(model.mean(z, LABELS), torch.sigmoid(output))
    prior = model.prior_network
    assert torch.allclose(model.prior(LABELS).mean, prior.mean.weight.T[LABELS] + prior.mean.bias)


def test_labels_reach_convolutions_as_constant_channels() -> None:
    model = conditional(classes=3, architecture="conv")
    x = torch.rand(3, 2, 3, 4).double()
    planes = torch.zeros(3, 3, 3, 4).double()
    planes[torch.arange(3), LABELS] = 1
    (layer,) = model.encoder.layers
    h = torch.tanh(layer(torch.cat([x, planes], 1))).flatten(1)
    assert torch.allclose(model.encode(x, LABELS).mean, model.encoder.mean(h))


@pytest.mark.parametrize("options", [{"classes": 3}, {"classes": 3, "prior": "learned"}])
def test_the_same_z_differs_by_class(options: dict[str, object]) -> None:
    model = conditional(**options)
    z = torch.randn(1, 2).double()
    pictures = [model.mean(z, label) for label in range(3)]
    assert not torch.allclose(pictures[0], pictures[1])
    assert not torch.allclose(pictures[1], pictures[2])


@pytest.mark.parametrize("options", CONDITIONAL[3:])
def test_of_a_condition_only_the_given_pixels_are_read(options: dict[str, object]) -> None:
    model = conditional(**options)
    x, given = torch.rand(3, 2, 3, 4).double(), torch.rand(3, 2, 3, 4).double()
    z = torch.randn(5, 3, 2).double()
    observed = model.observed
    assert observed is not None
    other = torch.where(observed, given, torch.full_like(given, math.nan))
    mean = model.mean(z, given)
    assert torch.equal(mean, model.mean(z, other))
    assert torch.equal(model.prior(given).mean, model.prior(other).mean)
    assert torch.equal(model.encode(x, given).mean, model.encode(x, other).mean)
    # The encoder takes the given pixels from the condition, not from x.
    replaced = torch.where(observed, torch.zeros_like(x), x)
    assert torch.equal(model.encode(x, given).mean, model.encode(replaced, given).mean)
    assert torch.equal(model.encode(x, x).mean, model.encoder.mean(model.encoder.trunk(x)))
    # Means show the given pixels as they are.
    assert torch.equal(mean[:, :, observed], given[:, observed].expand(5, -1, -1))
    free = torch.sigmoid(model.decode(z, given))[:, :, ~observed]
    assert torch.allclose(mean[:, :, ~observed], free)


@pytest.mark.parametrize(
    "likelihood", [GaussianLikelihood(0.3), BernoulliLikelihood(), GaussianLikelihood("per-pixel")]
)
def test_only_the_other_pixels_are_scored(
    likelihood: BernoulliLikelihood | GaussianLikelihood,
) -> None:
    model = CVAE(2, (2, 3, 4), (5,), likelihood, observed=MASK).double()
    x, z = (torch.rand(3, 2, 3, 4) > 0.5).double(), torch.randn(4, 3, 2).double()
    found = model.log_likelihood(x, z, x)
    changed = torch.where(model.observed, 1 - x, x)
    assert torch.equal(found, model.log_likelihood(changed, z, x))
    mean = model.mean(z, x)
    if isinstance(likelihood, BernoulliLikelihood):
        terms = torch.where(x == 1, mean, 1 - mean).log()
    else:
        if likelihood.kind == "per-pixel":
            assert likelihood.sigma.shape == (2 * 12 - 2 * 3,)
        sigma = likelihood.sigma if likelihood.kind == "fixed" else torch.tensor(1.0)
        terms = torch.distributions.Normal(mean, sigma.double()).log_prob(x)
    expected = terms[:, :, ~model.observed].sum(-1)
    assert torch.allclose(found, expected, rtol=1e-6)


def test_named_parts_of_the_image() -> None:
    rows = {
        "1-quadrant": ["0000", "0000", "1100", "1100"],
        "2-quadrants": ["1100", "1100", "1100", "1100"],
        "3-quadrants": ["1111", "1111", "1100", "1100"],
        "centre-column": ["0010", "0010", "0010", "0010"],
    }
    assert rows.keys() == OBSERVED.keys()
    for name, expected in rows.items():
        mask = CVAE(2, (2, 4, 4), (3,), observed=name).observed
        assert mask is not None
        assert mask.shape == (2, 4, 4)
        for plane in mask:
            assert ["".join(str(int(v)) for v in row) for row in plane] == expected


def test_the_standard_prior_is_standard_and_generate_follows_the_prior() -> None:
    plain = conditional(classes=3)
    prior = plain.prior(LABELS)
    assert prior.mean.tolist() == prior.log_sigma.tolist() == [[0.0, 0.0]] * 3
    model = conditional(classes=3, prior="learned")
    noise = torch.randn(3, 2, generator=torch.Generator().manual_seed(1)).double()
    drawn = model.generate(LABELS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, model.mean(model.prior(LABELS).rsample(noise), LABELS))
    assert not drawn.requires_grad
    with torch.no_grad():
        model.prior_network.mean.bias.add_(1)
    moved = model.generate(LABELS, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(moved, drawn)


def test_conditional_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (
        CVAE(classes=3, hidden=(5,), prior="learned", seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give a CVAE either classes=... or observed=..., and not both"),
        ({"classes": 3, "observed": MASK}, "either classes=... or observed=..., and not both"),
        ({"classes": 0}, "classes must be a whole number of at least 1; got 0"),
        ({"classes": 3, "prior": "own"}, "prior must be one of standard, learned; got 'own'"),
        ({"observed": "half"}, "observed must be a mask or one of 1-quadrant, .*; got 'half'"),
        ({"observed": MASK.float()}, r"observed must be bool \[2, 3, 4\] or \[3, 4\].*float32"),
        ({"observed": MASK.T}, r"observed must be bool .*got torch.bool \[4, 3\]"),
        ({"observed": [[True]]}, r"observed must be bool .*got \[\[True\]\]"),
        ({"observed": torch.zeros(3, 4).bool()}, "observed must name some pixels, and leave some"),
        ({"observed": torch.ones(3, 4).bool()}, "observed must name some pixels, and leave some"),
        ({"classes": 3, "latent_dim": 0}, "latent_dim must be a whole number"),
    ],
)
def test_bad_conditions_of_a_model(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        CVAE(**{"latent_dim": 2, "shape": (2, 3, 4), "hidden": (5,), **options})  # type: ignore
    one_sentence(error)


X = torch.rand(3, 2, 3, 4)


@pytest.mark.parametrize(
    ("options", "given", "words"),
    [
        ({"classes": 3}, torch.tensor([0, 3, 1]), r"labels must lie in 0..2; got 0..3"),
        ({"classes": 3}, torch.tensor([0, -1, 1]), r"labels must lie in 0..2; got -1..1"),
        ({"classes": 3}, torch.tensor([0.0, 1.0, 2.0]), "labels must be int64.* got torch.float32"),
        ({"classes": 3}, torch.zeros(3, 3).long(), r"labels must be int64.* got .*\[3, 3\]"),
        ({"classes": 3}, torch.tensor([0, 1]), r"3 images but 2 labels"),
        ({"classes": 3}, "4", "a label must be a whole number of at least 0; got '4'"),
        ({"classes": 3}, 3, r"labels must lie in 0..2; got 3..3"),
        ({"observed": MASK}, X[:2], r"images \[3, 2, 3, 4\] but 2 conditions"),
        ({"observed": MASK}, X.double(), "images must be torch.float32.*got torch.float64"),
        ({"observed": MASK}, X[:, :1], r"images must be \[batch, 2, 3, 4\]"),
        ({"observed": MASK}, LABELS, "images must be torch.float32.*got torch.int64"),
        ({"observed": MASK}, 2, "the condition must be images; got 2"),
    ],
)
def test_wrong_conditions_are_refused(
    options: dict[str, object], given: object, words: str
) -> None:
    model = conditional(**options).float()
    calls = [model.encode, model.embed, model]
    for call in calls:
        with pytest.raises(ValueError, match=words) as error:
            call(X, given)
        one_sentence(error)


@pytest.mark.parametrize("options", [{"classes": 3}, {"observed": MASK}])
@pytest.mark.parametrize("z", [torch.zeros(2, 2), torch.zeros(3, 2, 2), torch.zeros(2)])
def test_latents_must_fit_the_conditions(options: dict[str, object], z: torch.Tensor) -> None:
    model = conditional(**options)
    with pytest.raises(ValueError, match=r"z must be \[..., 3, 2\], a row for each condition") as e:
        model.decode(z.double(), given_to(model))
    one_sentence(e)
    with pytest.raises(ValueError, match=r"z must be \[..., 2\]; got \[3, 1\]"):
        model.decode(torch.zeros(3, 1).double(), given_to(model))


def test_a_likelihood_of_two_outputs_a_pixel_doubles_the_decoders_channels() -> None:
    likelihood = DiscretizedLogisticLikelihood()
    for architecture, hidden in (("mlp", (6,)), ("conv", (4, 5))):
        model = VAE(2, (3, 8, 7), hidden, likelihood, architecture=architecture)
        x = torch.randint(0, 256, (4, 3, 8, 7)) / 255
        assert model.decode(torch.zeros(5, 4, 2)).shape == (5, 4, 6, 8, 7)
        assert model(x).shape == x.shape
        assert model.log_likelihood(x, torch.zeros(5, 4, 2)).shape == (5, 4)
    labelled = CVAE(2, (1, 4, 4), (6,), likelihood, classes=3)
    assert labelled.mean(torch.zeros(2, 2), torch.tensor([0, 2])).shape == (2, 1, 4, 4)
    with pytest.raises(ValueError, match="a likelihood of one output a pixel; got Discretized"):
        CVAE(2, (1, 4, 4), (6,), likelihood, observed="1-quadrant")
