"""How noisy a stochastic gradient is, and how much of the noise each kind of sampling brings."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import as_tensor, drawing, wide
from vae_core.evaluation._estimate import Estimate, mean_estimate
from vae_core.evaluation._images import as_images, image_chunks
from vae_core.evaluation._models import ready
from vae_core.models import VAE
from vae_core.objectives import elbo

PARAMETERS = ("decoder", "encoder")


class GradientVariance(NamedTuple):
    """The noise of a one-image, one-draw gradient of the ELBO, split by its source.

    Both are traces of covariance matrices, sums of variances over all parameters at hand, in
    squared units of the gradient: ``between_images``, of each image's own expected gradient;
    ``between_draws``, of one draw's gradient about its image's, averaged over images.
    """

    between_images: Estimate
    between_draws: Estimate

    def variance(self, images: int, draws: int) -> float:
        """Of the mean over ``images`` drawn at random, each with ``draws`` draws of z.

        By the law of total variance: between_images / images + between_draws / (images * draws).
        """
        images, draws = _check.whole("images", images), _check.whole("draws", draws)
        return (self.between_images.value + self.between_draws.value / draws) / images

    @property
    def share_of_draws(self) -> float:
        """between_draws over the sum of both, in [0, 1]."""
        return self.between_draws.value / (self.between_images.value + self.between_draws.value)


_Trace = list[tuple[Tensor, Tensor]]  # each layer's inputs and its outputs' gradients, by example


def _trace(layers: list[nn.Linear], model: VAE, x: Tensor, noise: Tensor) -> _Trace:
    """Inputs [batch, in] and output gradients [batch, out] of each layer, in one pass."""
    seen: dict[nn.Linear, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        seen[layer] = (inputs[0], output)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with torch.enable_grad():
            total = elbo(model, x, noise=noise[None]).total.sum()
    finally:
        for hook in hooks:
            hook.remove()
    slopes = torch.autograd.grad(total, [seen[layer][1] for layer in layers])
    return [
        (wide(seen[layer][0].detach().reshape(len(x), -1)), wide(d.reshape(len(x), -1)))
        for layer, d in zip(layers, slopes, strict=True)
    ]


def _inner(a: _Trace, b: _Trace) -> Tensor:
    """Inner product of two gradients of each example: [batch].

    A linear layer's gradient is the outer product of its output's gradient and its input, so the
    product of two needs neither (Goodfellow 2015, "Efficient per-example gradient computations").
    The 1 is the bias.
    """
    parts = [
        (da * db).sum(1) * ((ha * hb).sum(1) + 1) for (ha, da), (hb, db) in zip(a, b, strict=True)
    ]
    return torch.stack(parts).sum(0)


def _mean_norm(traces: list[_Trace]) -> float:
    """Squared norm of the mean of all traces' gradients over all examples."""
    total, count = 0.0, sum(len(trace[0][0]) for trace in traces)
    for layer in range(len(traces[0])):
        h = torch.cat([trace[layer][0] for trace in traces])
        d = torch.cat([trace[layer][1] for trace in traces])
        total += (d.T @ h).square().sum().item() + d.sum(0).square().sum().item()
    return total / count**2


@torch.inference_mode(False)  # it needs gradients, whatever the caller's mode is
def gradient_variance(
    model: VAE,
    images: Shaped[Tensor, " n *shape"],
    *,
    blocks: int = 10,
    generator: torch.Generator | None = None,
) -> dict[str, GradientVariance]:
    """The two sources of noise in the ELBO's gradient, for "decoder" and for "encoder".

    ``images`` [n, *shape]: uint8, or floating in the likelihood's range; taken as independent.
    Each image gets two draws of z. With g, g' its two gradients, |g - g'|^2 / 2 estimates
    between_draws, and g . g' less the squared norm of the mean gradient between_images; both
    without bias. Standard errors are over ``blocks`` disjoint parts of the images.

    Raises ``ValueError`` for a model that is not a VAE of linear layers alone, wrong images, or
    fewer than 2 images a block.
    """
    model = ready("gradient_variance", model)
    if not isinstance(model, VAE):
        raise ValueError(f"gradient_variance takes a VAE; got {_check.kind(model)}")
    blocks, images = _check.whole("blocks", blocks, least=2), as_images(images)
    size = len(images) // blocks
    if size < 2:
        raise ValueError(f"{len(images)} images can't be cut into {blocks} blocks of at least 2")
    parts = {"decoder": model.decoder, "encoder": model.encoder}
    layers = {
        name: [m for m in part.modules() if isinstance(m, nn.Linear)]
        for name, part in parts.items()
    }
    known = {id(p) for own in layers.values() for layer in own for p in layer.parameters()}
    if any(id(p) not in known for p in model.parameters()):
        raise ValueError(
            "gradient_variance takes a model whose parameters are all in linear layers"
        )
    flat = [layer for own in layers.values() for layer in own]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    weight = model.encoder.mean.weight
    for x in image_chunks(model, images[: size * blocks], size):
        shape = (2, len(x), model.latent_dim)
        with drawing(generator, torch.device("cpu"), "noise"):
            noise = torch.randn(shape, generator=generator, dtype=weight.dtype, device="cpu")
        noise = noise.to(weight.device)
        first, second = (_trace(flat, model, x, own) for own in noise)
        at = 0
        for name, own in layers.items():
            a, b = (trace[at : at + len(own)] for trace in (first, second))
            at += len(own)
            cross = _inner(a, b).mean().item()
            draws = 0.5 * (_inner(a, a) + _inner(b, b)).mean().item() - cross
            # |mean|^2 exceeds its expectation's own square by the mean's variance.
            apart = cross - _mean_norm([a, b]) + draws / (2 * size)
            found[name].append((apart * size / (size - 1), draws))
    return {
        name: GradientVariance(
            *(mean_estimate(as_tensor(name, list(column))) for column in zip(*rows, strict=True))
        )
        for name, rows in found.items()
    }


class GradientLaw(NamedTuple):
    """What is known of a gradient's estimate: ``truth``, its ``mean`` and its two variances.

    ``between_images`` and ``between_draws`` are as in :class:`GradientVariance`, of one parameter.
    """

    truth: float
    mean: float
    between_images: float
    between_draws: float

    @property
    def bias(self) -> float:
        """mean - truth."""
        return self.mean - self.truth

    def standard_deviation(self, images: int, draws: int) -> float:
        """Of the mean over ``images``, each with ``draws`` draws of z."""
        images, draws = _check.whole("images", images), _check.whole("draws", draws)
        return math.sqrt((self.between_images + self.between_draws / draws) / images)


# Its square, fourth power and their quotients are numbers of double precision.
_FAR = 1e30


class ScalarVAE(NamedTuple):
    """The smallest VAE: one pixel, one latent, every expectation in closed form.

    X ~ N(0, data^2); P(z) = N(0, 1), P(X|z) = N(w z, sigma^2), Q(z|X) = N(a X, spread^2), with
    w = ``decoder`` and a = ``encoder`` the parameters whose gradients are looked at. The default
    is a model on the way to its optimum, where images, draws and bias can all be told apart.
    """

    decoder: float = 0.7
    sigma: float = 0.5
    encoder: float = 0.3
    spread: float = 0.5
    data: float = 1.0

    def check(self) -> None:
        """Raise ``ValueError`` unless all are finite, and sigma, spread and data positive.

        Their fourth powers, which the laws hold, must be numbers, too: neither 0 nor infinite.
        """
        if not all(math.isfinite(_check.real(value)) for value in self):
            raise ValueError(f"all numbers must be finite; got {tuple(self)}")
        if not (self.sigma > 0 and self.spread > 0 and self.data > 0):
            raise ValueError(f"sigma, spread and data must be positive; got {tuple(self)}")
        size, least = max(map(abs, map(float, self))), min(self.sigma, self.spread, self.data)
        if size > _FAR or least < 1 / _FAR:
            raise ValueError(
                f"no number may be above {_FAR:g} in size, and sigma, spread and data not below "
                f"{1 / _FAR:g}; got {tuple(self)}"
            )

    def law(self, parameter: str, *, hold_z: bool = False) -> GradientLaw:
        """Truth, mean and variances of the ELBO's gradient with respect to ``parameter``.

        ``hold_z``: the gradient is moved inside the expectation, z being held fixed. For the
        decoder that changes nothing; for the encoder only the KL's gradient is left. Raises
        ``ValueError`` for a parameter other than "decoder" and "encoder".
        """
        _check_parameter(parameter)
        w, s, a, t, c = map(float, self)
        s2, t2, c2 = s * s, t * t, c * c
        if parameter == "decoder":
            # (X - wz) z / s^2, with z = aX + t e: in X, a square and a constant; in e, both powers.
            slope = (a - w * a * a) / s2
            truth = slope * c2 - w * t2 / s2
            draws = (t2 * (1 - 2 * w * a) ** 2 * c2 + 2 * w * w * t2 * t2) / (s2 * s2)
            return GradientLaw(truth, truth, 2 * (slope * c2) ** 2, draws)
        # (X - wz) w X / s^2 - a X^2
        slope = w * (1 - w * a) / s2 - a
        if hold_z:
            return GradientLaw(slope * c2, -a * c2, 2 * (a * c2) ** 2, 0.0)
        draws = w**4 * t2 * c2 / (s2 * s2)
        return GradientLaw(slope * c2, slope * c2, 2 * (slope * c2) ** 2, draws)

    def estimate(
        self,
        x: Float[Tensor, " batch"],
        noise: Float[Tensor, "draws batch"],
        parameter: str,
        *,
        hold_z: bool = False,
    ) -> Float[Tensor, ""]:
        """The estimate that a batch ``x`` [batch] with ``noise`` [draws, batch] gives: []."""
        _check_parameter(parameter)
        w, s, a, t, _ = map(float, self)
        z = a * x + t * noise
        if parameter == "decoder":
            return ((x - w * z) * z / s**2).mean()
        through_z = torch.zeros_like(z) if hold_z else (x - w * z) * w * x / s**2
        return (through_z - a * x**2).mean()


def _check_parameter(parameter: str) -> None:
    if parameter not in PARAMETERS:
        raise ValueError(f"parameter must be one of {', '.join(PARAMETERS)}; got {parameter!r}")
