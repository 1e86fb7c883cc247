"""Every public function that takes tensors or a model, each with a call.

For tests that change where the tensors are, what they are made of, or what torch's defaults are,
and want the same result.

``CALLS`` maps a name such as "evaluation.auroc" to a function of a :class:`Here`. A new function
of these modules belongs in the table; :func:`missing` says which are not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_core import coding, data, evaluation, figures, maps, models, objectives, widgets
from vae_core._tensors import as_tensor
from vae_core.distributions import (
    BernoulliLikelihood,
    DiagonalGaussian,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from vae_core.ordered import OrderedLogitLikelihood

MODULES = {
    "coding": coding, "data": data, "evaluation": evaluation, "figures": figures,
    "objectives": objectives, "widgets": widgets,
}  # fmt: skip
# Results, errors, constants, and what takes neither tensors nor a model.
EXEMPT = {
    "coding": {"Account", "DamagedStream", "TwoPart", "spoil"},
    "data": {"DamagedFileError", "DataUnavailableError", "available", "torchvision_root"},
    "evaluation": {
        "Bound",
        "Coverage",
        "Decay",
        "Density",
        "Estimate",
        "FittedGaussian",
        "GaussianQ",
        "GradientLaw",
        "GradientVariance",
        "Imputation",
        "LogLikelihood",
        "Moments",
        "PosteriorGrid",
        "PrecisionRecall",
        "PriorDivergence",
        "PriorSampling",
        "RateDistortion",
        "Refinement",
        "Strokes",
        "Terms",
        "TradeOff",
    },
    "figures": {
        "WIDTH", "Curve", "Curves", "Ladder", "Panel", "Picture", "PlanePosterior",
        "conditional_graphs", "noise_diagram", "paths_through_a_vae", "training_graphs",
    },
    "objectives": {"ELBO", "GRADIENTS", "Baseline", "Corruption", "Objective", "Terms"},
    "widgets": set(),
}  # fmt: skip


@functools.cache
def _digits() -> data.ImageData:
    return data.load("mnist", "test").first(40)


@dataclass
class Here:
    """Models on ``device`` and images where ``images_on`` says (with the models unless given)."""

    device: str = "cpu"
    images_on: str | None = None
    change: Callable[[Tensor], Any] = field(default=lambda tensor: tensor)  # of each tensor given
    dtype: torch.dtype = torch.float32

    def of(self, make: Callable[[], nn.Module]) -> Any:
        """A model with the weights of its seed: other ones are drawn in float64."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            return make().to(self.dtype).to(self.device).eval()
        finally:
            torch.set_default_dtype(before)

    def vae(self, likelihood: Any = None, **options: Any) -> models.VAE:
        settings: dict[str, Any] = {"hidden": (16,), "seed": 1, **options}
        return self.of(lambda: models.VAE(2, likelihood=likelihood, **settings))

    def bernoulli(self) -> models.VAE:
        return self.vae(BernoulliLikelihood())

    def autoencoder(self) -> models.Autoencoder:
        return self.of(lambda: models.Autoencoder(2, hidden=(16,), seed=1))

    def cvae(self, **options: Any) -> models.CVAE:
        settings = {"hidden": (16,), "likelihood": BernoulliLikelihood(), **options}
        return self.of(lambda: models.CVAE(2, seed=1, **settings))

    def judge(self) -> models.Classifier:
        return self.of(lambda: models.Classifier(seed=1))

    def put(self, tensor: Tensor) -> Any:
        """A tensor of images, where images are."""
        return self.change(tensor.to(self.images_on or self.device))

    def at(self, tensor: Tensor) -> Any:
        """A floating tensor with the models, in their dtype."""
        return self.change(tensor.to(self.dtype).to(self.device))

    @property
    def images(self) -> Any:
        return self.put(_digits().images)

    @property
    def bits(self) -> Any:
        """Black and white as bytes 0 and 1."""
        return self.put((_digits().images > 127).to(torch.uint8))

    @property
    def x(self) -> Any:
        """The images as the models take them, with the models."""
        return self.at(_digits().images.to(torch.float32) / 255)

    @property
    def binary(self) -> Any:
        return self.at((_digits().images > 127).to(torch.float32))

    @property
    def labels(self) -> Any:
        return self.change(_digits().labels.to(self.device))

    @property
    def data(self) -> data.ImageData:
        return _digits()._replace(images=self.images, labels=self.labels)

    def numbers(self, *shape: int, seed: int = 0) -> Any:
        generator = torch.Generator("cpu").manual_seed(seed)
        drawn = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return self.at(drawn)

    def generator(self, seed: int = 3) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)


def _tensor(values: Any) -> Tensor:
    return as_tensor("values", values)


def _cpu(seed: int = 3) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def _mask() -> Tensor:
    mask = torch.zeros(28, 28, dtype=torch.bool, device="cpu")
    mask[:14] = True
    return mask[None]


def _several(h: Here) -> data.ImageData:
    """Of the first classes alone: not every class is among the few digits."""
    return h.data._replace(classes=h.data.classes[:2])


def _gaussian(h: Here) -> DiagonalGaussian:
    """A proposal [40, 2]; parts of one tensor, so that any change reaches both."""
    return DiagonalGaussian(_tensor(h.numbers(40, 2)), _tensor(h.numbers(40, 2)))


def _given(h: Here, z: Tensor) -> Tensor:
    return -z.square().sum(-1)


def _trained(h: Here) -> Any:
    return evaluation.trade_off(h.vae(GaussianLikelihood(0.5)), h.images)


CALLS: dict[str, Callable[[Here], Any]] = {
    # --- data
    "data.ImageData": lambda h: h.data.first(3).to(h.device),
    "data.load": lambda h: data.load("mnist", "test", device=h.device).first(5),
    "data.to_float": lambda h: data.to_float(h.images),
    "data.binarize": lambda h: (
        data.binarize(h.images, "fixed", seed=2),
        data.binarize(h.images, "threshold"),
        data.binarize(h.images, generator=torch.Generator(h.images_on or h.device).manual_seed(1)),
    ),
    "data.few_of_each": lambda h: data.few_of_each(_several(h), 1, seed=1),
    "data.joined": lambda h: data.joined(h.data, h.data),
    "data.shifted": lambda h: data.shifted(h.data, 2, seed=1),
    "data.batches": lambda h: list(data.batches(10, 3, generator=_cpu(), device=h.device)),
    # --- objectives
    "objectives.elbo": lambda h: (
        objectives.elbo(h.vae(), h.x, 3, generator=h.generator()),
        objectives.elbo(h.vae(), h.x, 2, noise=h.numbers(2, 40, 2), gradient="score-function"),
        objectives.elbo(h.bernoulli(), h.binary, generator=h.generator()),
        objectives.elbo(h.vae(DiscretizedLogisticLikelihood()), h.x, generator=h.generator()),
        objectives.elbo(h.vae(OrderedLogitLikelihood()), h.x, generator=h.generator()),
        objectives.elbo(h.cvae(classes=10), h.binary, condition=h.labels, generator=h.generator()),
        objectives.elbo(
            h.cvae(observed="2-quadrants", prior="learned"), h.binary, generator=h.generator()
        ),
        objectives.elbo(h.vae(architecture="conv", hidden=(4, 8)), h.x, generator=h.generator()),
    ),
    "objectives.log_weights": lambda h: objectives.log_weights(
        h.vae(), h.x, 3, generator=h.generator()
    ),
    "objectives.importance_weighted_bound": lambda h: objectives.importance_weighted_bound(
        h.vae(), h.x, 3, generator=h.generator()
    ),
    "objectives.exact_elbo": lambda h: objectives.exact_elbo(_linear(h), h.x),
    "objectives.reconstruction": lambda h: objectives.reconstruction(
        h.autoencoder(), h.x, corruption=objectives.MaskingNoise(0.5), generator=h.generator()
    ),
    "objectives.MaskingNoise": lambda h: objectives.MaskingNoise()(h.x, h.generator()),
    "objectives.SaltAndPepper": lambda h: objectives.SaltAndPepper()(h.x, h.generator()),
    "objectives.GaussianNoise": lambda h: objectives.GaussianNoise()(h.x, h.generator()),
    "objectives.RunningBaseline": lambda h: [
        baseline.follow(_tensor(h.numbers(5)))
        for baseline in [objectives.RunningBaseline()]
        for _ in range(2)
    ],
    "objectives.denoising": lambda h: objectives.denoising(objectives.GaussianNoise())(
        h.autoencoder(), h.x, h.labels, h.generator()
    ),
    "objectives.elbo_objective": lambda h: objectives.elbo_objective(
        2, gradient="score-function", baseline="running"
    )(h.vae(), h.x, h.labels, h.generator()),
    "objectives.importance_weighted_objective": lambda h: (
        objectives.importance_weighted_objective(2)(h.vae(), h.x, h.labels, h.generator())
    ),
    "objectives.objective_for": lambda h: [
        objectives.objective_for(model)(model, x, h.labels, h.generator())
        for model, x in (
            (h.judge(), h.x), (h.autoencoder(), h.x), (h.cvae(classes=10), h.binary),
        )
    ],
    "objectives.set_sigma": lambda h: [
        objectives.set_sigma(h.vae(GaussianLikelihood(kind)), h.images, generator=h.generator())
        for kind in ("learned", "optimal", "per-pixel")
    ],
    # --- evaluation
    "evaluation.log_likelihood": lambda h: (
        evaluation.log_likelihood(h.vae(), h.images, 20, sweep=(1, 5), progress=False),
        evaluation.log_likelihood(h.bernoulli(), h.bits, 20, proposal="prior", progress=False),
        evaluation.log_likelihood(h.vae(), h.images, 20, proposal=_gaussian(h), progress=False),
    ),
    "evaluation.log_weights": lambda h: evaluation.log_weights(h.vae(), h.images, 7),
    "evaluation.rate_distortion": lambda h: [
        result
        for found in [evaluation.rate_distortion(h.vae(), h.images, 3)]
        for result in (found, found.means(), found.active_by_kl())
    ],
    "evaluation.trade_off": _trained,
    "evaluation.residual_variances": lambda h: evaluation.residual_variances(h.vae(), h.images),
    "evaluation.without_latent": lambda h: evaluation.without_latent(h.vae(), 0).encode(
        _tensor(h.x)
    ),
    "evaluation.latents_by_rate": lambda h: evaluation.latents_by_rate(h.bernoulli(), h.images),
    "evaluation.latent_samples": lambda h: (
        evaluation.latent_samples(h.vae(), h.images, seed=1),
        evaluation.latent_samples(h.autoencoder(), h.images),
    ),
    "evaluation.moments": lambda h: evaluation.moments(h.numbers(30, 2)),
    "evaluation.moment_divergence": lambda h: evaluation.moment_divergence(h.numbers(30, 2)),
    "evaluation.maximum_mean_discrepancy": lambda h: evaluation.maximum_mean_discrepancy(
        h.numbers(30, 2), blocks=3
    ),
    "evaluation.sliced_wasserstein": lambda h: evaluation.sliced_wasserstein(
        h.numbers(30, 2), blocks=3
    ),
    "evaluation.importance_sampling": lambda h: evaluation.importance_sampling(
        functools.partial(_given, h), _gaussian(h), 20, sweep=(5,)
    ),
    "evaluation.monte_carlo": lambda h: evaluation.monte_carlo(
        functools.partial(_given, h), _gaussian(h), 20
    ),
    "evaluation.prior_sampling": lambda h: (
        evaluation.prior_sampling(h.bernoulli(), h.bits, (1, 30)),
        evaluation.prior_sampling(h.vae(), h.images, (30,)),
    ),
    "evaluation.prior_divergence": lambda h: (
        evaluation.prior_divergence(h.bernoulli(), h.bits, 20),
        evaluation.prior_divergence(h.vae(), h.images, 20, proposal=_gaussian(h)),
        evaluation.true_posterior_grid(h.vae(), h.images[:2], count=20).prior_divergence(),
    ),
    "evaluation.true_posterior_grid": lambda h: evaluation.true_posterior_grid(
        h.vae(), h.images[:2], count=20
    ),
    "evaluation.refine_posterior": lambda h: evaluation.refine_posterior(
        h.vae(), h.images[:3], 5, samples=2, judged=8
    ),
    "evaluation.impute": lambda h: evaluation.impute(
        h.bernoulli(), h.bits[:3], h.change(_mask()), chains=2, steps=4
    ),
    "evaluation.coverage": lambda h: evaluation.coverage(
        h.numbers(5, 3, 1, 28, 28), h.x[:3], h.change(_mask())
    ),
    "evaluation.fill_by_neighbours": lambda h: evaluation.fill_by_neighbours(
        h.x[:3], h.change(_mask()), h.x[3:], 2
    ),
    "evaluation.posterior_gradients": lambda h: evaluation.posterior_gradients(
        h.vae(), h.x[:3], 4, generator=h.generator()
    ),
    "evaluation.gradient_variance": lambda h: evaluation.gradient_variance(
        h.vae(), h.images, blocks=4, generator=_cpu()
    ),
    "evaluation.ScalarVAE": lambda h: evaluation.ScalarVAE().estimate(
        _tensor(h.numbers(4)), _tensor(h.numbers(3, 4)), "decoder"
    ),
    "evaluation.classify": lambda h: evaluation.classify(h.judge(), h.images),
    "evaluation.image_features": lambda h: evaluation.image_features(h.judge(), h.images),
    "evaluation.frechet_distance": lambda h: evaluation.frechet_distance(
        h.numbers(30, 3), h.numbers(20, 3, seed=1)
    ),
    "evaluation.precision_recall": lambda h: evaluation.precision_recall(
        h.numbers(30, 3), h.numbers(20, 3, seed=1)
    ),
    "evaluation.nearest_distance": lambda h: evaluation.nearest_distance(
        h.numbers(5, 3), h.numbers(20, 3, seed=1)
    ),
    "evaluation.reconstruction_error": lambda h: evaluation.reconstruction_error(h.vae(), h.images),
    "evaluation.auroc": lambda h: evaluation.auroc(h.numbers(20), h.numbers(30, seed=1)),
    "evaluation.mean_estimate": lambda h: evaluation.mean_estimate(h.numbers(20)),
    "evaluation.compressed_bits": lambda h: evaluation.compressed_bits(h.images[:3]),
    "evaluation.gaussian_divergence": lambda h: evaluation.gaussian_divergence(
        h.numbers(2), h.at(torch.tensor([[2.0, 0.5], [0.5, 1.0]], device="cpu"))
    ),
    "evaluation.divergence_on_line": lambda h: evaluation.divergence_on_line(
        lambda z: -z.square(), lambda z: -(z - 1).square(), -5.0, 5.0
    ),
    "evaluation.forward_fit": lambda h: evaluation.forward_fit(widgets.kl_explorer.two_peaks()),
    "evaluation.reverse_fit": lambda h: evaluation.reverse_fit(
        widgets.kl_explorer.two_peaks(), 1.0
    ),
    "evaluation.reverse_divergence": lambda h: evaluation.reverse_divergence(
        widgets.kl_explorer.two_peaks(), *torch.zeros(2, dtype=torch.float64, device="cpu")
    ),
    "evaluation.measure_strokes": lambda h: evaluation.measure_strokes(h.images[:3]),
    "evaluation.reshape_strokes": lambda h: evaluation.reshape_strokes(
        h.images[:3], weight=0.5, slant=0.1, width=1.1
    ),
    "evaluation.OneLatent": lambda h: evaluation.OneLatent("square", 2.0, 0.5).best_q(),
    "evaluation.QuantileMap": lambda h: [
        value
        for model in [evaluation.QuantileMap("mixture")]
        for value in (model.g(0.3), model.gap(0.3, 0.1), model.mean_gap(0.2))
    ],
    "evaluation.fit_decay": lambda h: evaluation.fit_decay(
        abs(h.numbers(6)), abs(h.numbers(6, seed=1))
    ),
    # --- coding
    "coding.account": lambda h: coding.account(
        h.bernoulli(), _tensor(h.binary), noise=_tensor(h.numbers(2, 40, 2))
    ),
    "coding.compress": lambda h: [
        value
        for model in [h.bernoulli()]
        for packed in [coding.compress(model, _tensor(h.bits))]
        for value in (len(packed), coding.decompress(model, packed))
    ],
    "coding.decompress": lambda h: coding.decompress(
        h.vae(OrderedLogitLikelihood()),
        coding.compress(h.vae(OrderedLogitLikelihood()), _tensor(h.images)[:4]),
    ),
    "coding.bin_medians": lambda h: coding.bin_medians(8),
    "coding.two_parts": lambda h: coding.two_parts(h.bernoulli(), _tensor(h.binary)[:3], (8, 4)),
    "coding.general_purpose": lambda h: coding.general_purpose(_tensor(h.images)),
    # --- models and maps
    "models.generate": lambda h: (
        h.vae().generate(4, generator=_cpu()),
        h.cvae(classes=10).generate(h.labels, generator=_cpu()),
        h.cvae(observed="3-quadrants", prior="learned").generate(h.binary, generator=_cpu()),
    ),
    "models.LinearVAE": lambda h: [
        value
        for model in [_linear(h)]
        for value in (model.log_prob(h.x), model.true_posterior(h.x), model.encode(h.x))
    ],
    "models.from_pca": lambda h: models.LinearVAE.from_pca(h.x, 2).state_dict(),
    "models.OrderedLogitLikelihood": lambda h: _levels(h),
    "maps.MAPS": lambda h: [
        item.log_prob(item(h.numbers(5, item.dim))) for item in maps.MAPS.values()
    ],
}  # fmt: skip


def _linear(h: Here) -> models.LinearVAE:
    def make() -> models.LinearVAE:
        model = models.LinearVAE(2, seed=1)
        model.set_posterior()
        return model

    return h.of(make)


def _levels(h: Here) -> Tensor:
    likelihood = OrderedLogitLikelihood().to(h.device)
    likelihood.set_levels(_tensor(h.images))
    return likelihood.cuts().detach()


def _pictures() -> dict[str, Callable[[Here], Any]]:
    from vae_core.figures import Curve, Curves, Ladder, Panel, PlanePosterior

    grid = np.linspace(-2, 2, 9)
    bowl = -(grid[:, None] ** 2 + grid**2)
    q = evaluation.GaussianQ(0.1, 0.5)
    estimates = {1: evaluation.Estimate(-3.0, 0.1), 5: evaluation.Estimate(-2.0, 0.1)}

    def points(h: Here) -> list[Any]:
        return [
            evaluation.trade_off(h.vae(GaussianLikelihood(sigma)), h.images) for sigma in (0.3, 1.0)
        ]

    return {
        "cost_histograms": lambda h: figures.cost_histograms(
            {"a": abs(h.numbers(30)), "b": abs(h.numbers(30, seed=1))}, "nats"
        ),
        "differences": lambda h: figures.differences({"a": estimates[1]}, "nats"),
        "histograms": lambda h: figures.histograms(
            {"a": (h.numbers(50), None, h.at(torch.linspace(-3, 3, 41, device="cpu")))}, ["x"]
        ),
        "loadings": lambda h: figures.loadings(bowl[:3, :2], bowl[:3, :2], "abc"),
        "point_map": lambda h: figures.point_map(h.numbers(30, 2), h.numbers(30, 2, seed=1)),
        "two_ways_to_classify": lambda h: figures.two_ways_to_classify(
            bowl[:, :2], np.arange(9) % 2,
            lambda at: np.stack([1 / (1 + np.exp(-at[:, 0])), 1 / (1 + np.exp(at[:, 0]))], 1),
            (bowl[:2, :2], np.stack([np.eye(2)] * 2)), (bowl[:, :2], np.arange(9) % 2), ("a", "b"),
        ),
        "bit_bars": lambda h: figures.bit_bars(h.numbers(3), h.numbers(3), "abc"),
        "bits_ledger": lambda h: figures.bits_ledger(h.numbers(7), "ab"),
        "rates_near_collapse": lambda h: figures.rates_near_collapse(
            [3.0, 1.0], {0.5: abs(h.numbers(2)), 2.0: abs(h.numbers(2))}
        ),
        "dimension_bars": lambda h: figures.dimension_bars(h.numbers(3), h.numbers(3)),
        "fine_curves": lambda h: figures.fine_curves(
            {"a": ([0, 1], [0, 2]), "b": ([1, 2], [0, 2])}, {}, {"a": "x", "b": "y"}
        ),
        "completion_rows": lambda h: figures.completion_rows(
            h.x[:2], h.change(_mask().to(h.device)), {"own": h.x[:2]}
        ),
        "ladders_by_draws": lambda h: figures.ladders_by_draws(
            {"a": {"b": Ladder((1, 5), (3.0, 2.0), (0.1, 0.1))}}, {}
        ),
        "decoded_grids": lambda h: figures.decoded_grids(
            {"m": h.vae()}, {"m": ((0.0, 0.0), 2.0)}, count=3
        ),
        "digit_rows": lambda h: figures.digit_rows({"a": _tensor(h.x)[:5]}),
        "grid_of_latents": lambda h: figures.grid_of_latents((0.0, 1.0), 2.0, 3),
        "latent_maps": lambda h: figures.latent_maps(
            {"a": h.numbers(40, 2)}, h.labels, tuple("0123456789")
        ),
        "tile": lambda h: figures.tile(_tensor(h.x)[:6], 3),
        "gaussians_at_a_target": lambda h: figures.gaussians_at_a_target(
            widgets.kl_explorer.two_peaks(), {"Q": (0.0, 1.0)}
        ),
        "variances_in_training": lambda h: figures.variances_in_training(
            {"a": (abs(h.numbers(20)), 0.5)}
        ),
        "curve_panels": lambda h: figures.curve_panels(
            [Curves("t", "x", "y", grid, {"a": grid**2}, {"here": (0.0, 0.0)})]
        ),
        "posterior_maps": lambda h: figures.posterior_maps(
            h.at(torch.from_numpy(grid)), h.at(torch.from_numpy(grid)),
            h.at(torch.from_numpy(bowl)[None]), h.numbers(1, 2), abs(h.numbers(1, 2)), h.x[:1],
        ),
        "panels": lambda h: figures.panels(
            Panel("t", "x", "y", {"a": (h.numbers(5), h.numbers(5))},
                  {"b": (h.numbers(3), h.numbers(3), abs(h.numbers(3)))})
        ),
        "gap_decay": lambda h: figures.gap_decay(
            np.array([0.1, 0.2]), {"a": np.array([0.1, 0.4])},
            {"a": evaluation.Decay(2.0, 0.1, 10.0)},
        ),
        "gap_histogram": lambda h: figures.gap_histogram(
            abs(h.numbers(40)) + 0.1, _tensor(h.labels)
        ),
        "gradient_norms": lambda h: figures.gradient_norms([0.1, 1.0], {"a": [1.0, 2.0]}),
        "plane_posteriors": lambda h: figures.plane_posteriors(
            [PlanePosterior(h.x[0], grid, bowl, (q, q), 0.1)] * 2
        ),
        "quantile_maps": lambda h: figures.quantile_maps([evaluation.QuantileMap("gumbel")]),
        "shrinking_posteriors": lambda h: figures.shrinking_posteriors(
            evaluation.QuantileMap("gumbel"), 0.3, [0.1, 0.5]
        ),
        "against_latents": lambda h: figures.against_latents(
            {"m": {"error": {2: [1.0, 2.0], 8: [0.5]}}}, "error"
        ),
        "projections": lambda h: figures.projections(
            {"a": h.numbers(40, 2)}, _tensor(h.labels), tuple("0123456789")
        ),
        "draw_curves": lambda h: figures.draw_curves(
            {"t": [Curve(abs(h.numbers(4)), abs(h.numbers(4)), 1, "a")]}, "x", ["y"], ["xy"]
        ),
        "collapsed_directions": lambda h: figures.collapsed_directions(
            abs(h.numbers(5)), {0.5: abs(h.numbers(3))}
        ),
        "sigma_sweep": lambda h: _sweep(points(h)),
        "bound_ladders": lambda h: figures.bound_ladders(
            {"a": h.numbers(6), "b": h.numbers(6, seed=1)}
        ),
        "bounds_by_draws": lambda h: figures.bounds_by_draws({"a": estimates}),
        "latent_use": lambda h: figures.latent_use(
            {"m": (abs(h.numbers(4)), abs(h.numbers(4)))}
        ),
        "growth": lambda h: figures.growth(
            [1, 10], {"a": [1, 2]}, {"a": [1, 3]}, xlabel="n", ylabel="t"
        ),
    }  # fmt: skip


def _sweep(points: list[evaluation.TradeOff]) -> figures.Picture:
    return figures.sigma_sweep(points, {"best": points[1]}, points[0])


CALLS |= {f"figures.{name}": call for name, call in _pictures().items()}

_WIDGETS: dict[str, Callable[[Here], Any]] = {
    "BitsExplorer": lambda h: widgets.BitsExplorer(h.bernoulli(), h.bits[:3], "abc", samples=4),
    "BoundExplorer": lambda h: widgets.BoundExplorer(h.numbers(12, 2), h.x[:2], ["a", "b"]),
    "ConditionalExplorer": lambda h: widgets.ConditionalExplorer(
        h.cvae(classes=10), {"left": h.cvae(observed="2-quadrants", prior="learned")}, h.data
    ),
    "DerivationDesk": lambda h: widgets.DerivationDesk(["elbo-two-terms"]),
    "DrawAndEncode": lambda h: widgets.DrawAndEncode(h.vae(), h.data),
    "ELBOExplorer": lambda h: widgets.ELBOExplorer(),
    "GradientNoise": lambda h: widgets.GradientNoise(),
    "KLExplorer": lambda h: widgets.KLExplorer(),
    "LatentExplorer": lambda h: widgets.LatentExplorer(
        {"AE": h.autoencoder(), "VAE": h.bernoulli()}, h.data
    ),
    "MapExplorer": lambda h: widgets.MapExplorer(),
    "Opening": lambda h: widgets.Opening({"AE": h.autoencoder(), "VAE": h.bernoulli()}, h.data),
    "PosteriorExplorer": lambda h: _fresh(widgets.PosteriorExplorer),
    "ReparameterizationExplorer": lambda h: widgets.ReparameterizationExplorer(draws=20),
    "SamplingExplorer": lambda h: widgets.SamplingExplorer(d=5),
    "SigmaExplorer": lambda h: widgets.SigmaExplorer(
        [h.vae(GaussianLikelihood(0.5)), h.vae(GaussianLikelihood("learned"))], h.data
    ),
    "TrainingLab": lambda h: widgets.TrainingLab(h.vae(), h.data),
}
CALLS |= {f"widgets.{name}": call for name, call in _WIDGETS.items()}

# Calls that are given no tensor: what tensors are made of is nothing to them.
WITHOUT_TENSORS = {
    "coding.bin_medians", "data.batches", "data.load",
    *(f"evaluation.{name}" for name in (
        "divergence_on_line", "forward_fit", "reverse_fit", "reverse_divergence", "OneLatent",
        "QuantileMap",
    )),
    *(f"figures.{name}" for name in (
        "differences", "loadings", "two_ways_to_classify", "fine_curves", "ladders_by_draws",
        "decoded_grids", "grid_of_latents", "gaussians_at_a_target", "curve_panels", "gap_decay",
        "gradient_norms", "quantile_maps", "shrinking_posteriors", "against_latents",
        "bounds_by_draws", "growth",
    )),
    *(f"widgets.{name}" for name in (
        "DerivationDesk", "ELBOExplorer", "GradientNoise", "KLExplorer", "MapExplorer",
        "PosteriorExplorer", "ReparameterizationExplorer", "SamplingExplorer",
    )),
}  # fmt: skip


def _fresh(widget: Any) -> Any:
    """A widget whose tables are worked out anew."""
    widgets.posterior_explorer._map.cache_clear()
    return widget()


def missing() -> list[str]:
    """Public names that are neither in ``CALLS`` nor exempt."""
    return [
        f"{name}.{public}"
        for name, module in MODULES.items()
        for public in module.__all__
        if f"{name}.{public}" not in CALLS and public not in EXEMPT[name]
    ]


def drawn(figure: Any) -> Iterator[Any]:
    """What a figure shows: its lines, pictures, points, shapes and words, in their order."""
    for axes in figure.axes:
        yield from (np.asarray(line.get_xydata(), np.float64) for line in axes.lines)
        yield from (np.asarray(image.get_array()) for image in axes.images)
        for collection in axes.collections:
            yield np.asarray(collection.get_offsets())
            yield from (path.vertices for path in collection.get_paths())
        for patch in axes.patches:
            yield patch.get_patch_transform().transform(patch.get_path().vertices)
        yield from (text.get_text() for text in axes.texts)
        yield from (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())


def plain(result: Any) -> Iterator[Any]:
    """What a call gave, as arrays, numbers, texts and bytes in a fixed order."""
    if isinstance(result, Tensor):
        yield result.detach().cpu().numpy()
    elif isinstance(result, widgets._base.BrowserWidget):
        yield from plain({name: getattr(result, name) for name in (*result.STATE, "payload")})
        yield from plain(result.blobs)
        yield from plain(result.figure())
    elif hasattr(result, "axes") or hasattr(result, "figure"):
        yield from drawn(result if hasattr(result, "axes") else result.figure)
    elif isinstance(result, dict):
        for key, value in result.items():
            yield str(key)
            yield from plain(value)
    elif isinstance(result, list | tuple):
        for value in result:
            yield from plain(value)
    else:
        yield result


def same(found: Any, expected: Any, **tolerance: float) -> None:
    """Raise ``AssertionError`` unless two calls gave the same."""
    ours, theirs = list(plain(found)), list(plain(expected))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, np.ndarray | float):
            np.testing.assert_allclose(
                np.asarray(a, np.float64), np.asarray(b, np.float64),
                **{"rtol": 1e-5, "atol": 1e-6, **tolerance},
            )  # fmt: skip
        elif not (tolerance and isinstance(b, bytes | str)):  # a blob's digits, and its name
            assert a == b
