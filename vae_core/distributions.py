"""Distributions over latents and pixels. Everything is in nats, summed over an example's parts.

``DiagonalGaussian`` is the posterior Q(z|X) (and, at mean 0 and log sigma 0, the prior P(z));
``BernoulliLikelihood``, ``GaussianLikelihood`` and ``DiscretizedLogisticLikelihood`` are P(X|z),
each a true likelihood with all its constants. A likelihood reads the decoder's *output* (before any
link) and says what it means; ``outputs`` is how many numbers it reads for each pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vae_core import _check, _denormals

LOG_2PI = math.log(2 * math.pi)


class DiagonalGaussian(NamedTuple):
    """N(mean, diag(sigma^2)) over the last dimension; ``mean`` and ``log_sigma``: [..., latent].

    ``log_sigma`` is the logarithm of the standard deviation, never of the variance.
    """

    mean: Float[Tensor, "*batch latent"]
    log_sigma: Float[Tensor, "*batch latent"]

    @classmethod
    def standard(cls, like: Float[Tensor, "*batch latent"]) -> DiagonalGaussian:
        """The prior N(0, I), of the shape, dtype and device of ``like`` [..., latent]."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))

    @property
    def sigma(self) -> Float[Tensor, "*batch latent"]:
        """Standard deviation, [..., latent]."""
        return self.log_sigma.exp()

    def rsample(
        self,
        noise: Float[Tensor, "*draws latent"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*draws latent"]:
        """z = mean + sigma * noise, [..., latent]: gradients flow to mean and log sigma.

        ``noise`` is drawn from N(0, I) unless given; given, its shape must broadcast against the
        mean's and end in it (extra leading dimensions are extra samples). Kingma & Welling 2013,
        section 2.4.
        """
        if noise is None:
            size, kind, place = self.mean.shape, self.mean.dtype, self.mean.device
            noise = torch.randn(size, generator=generator, dtype=kind, device=place)
        elif noise.shape[noise.ndim - self.mean.ndim :] != self.mean.shape:
            raise ValueError(
                f"noise must end in the mean's shape {tuple(self.mean.shape)}; "
                f"got {tuple(noise.shape)}"
            )
        return self.mean + self.sigma * noise

    def sample(self, *, generator: torch.Generator | None = None) -> Float[Tensor, "*batch latent"]:
        """A draw of z, [..., latent], through which no gradient flows."""
        with torch.no_grad():
            return self.rsample(generator=generator)

    def log_prob(self, z: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch"]:
        """log density at ``z`` [..., latent], in nats, summed over latents: [...]."""
        standard = (z - self.mean) * torch.exp(-self.log_sigma)
        return (-0.5 * standard**2 - self.log_sigma - 0.5 * LOG_2PI).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Differential entropy, in nats: [...]."""
        return (self.log_sigma + 0.5 * (1 + LOG_2PI)).sum(-1)

    def kl_per_dimension(
        self, other: DiagonalGaussian | None = None
    ) -> Float[Tensor, "*batch latent"]:
        """D[self || other] of each latent dimension, in nats: [..., latent].

        ``other`` is N(0, I) unless given. For N(0, I) this is (sigma^2 + mean^2 - 1)/2 - log sigma
        (Kingma & Welling 2013, appendix B).
        """
        if other is None:
            # expm1: near the prior, sigma^2 - 1 keeps the digits that exp(...) - 1 would lose.
            return 0.5 * (torch.expm1(2 * self.log_sigma) + self.mean**2) - self.log_sigma
        ratio = self.log_sigma - other.log_sigma
        shift = (self.mean - other.mean) * torch.exp(-other.log_sigma)
        return 0.5 * (torch.expm1(2 * ratio) + shift**2) - ratio

    def kl(self, other: DiagonalGaussian | None = None) -> Float[Tensor, "*batch"]:
        """D[self || other], in nats, summed over latents: [...]. Without ``other``: N(0, I)."""
        return self.kl_per_dimension(other).sum(-1)


def _sum_event(
    values: Float[Tensor, "..."], x: Shaped[Tensor, " batch *event"]
) -> Float[Tensor, "*draws batch"]:
    """Sum over an example's own dimensions: [..., batch, *event] -> [..., batch]."""
    return values.flatten(-(x.ndim - 1)).sum(-1)


def _tensor_of(value: Tensor | float) -> Tensor:
    """A number as a tensor [] on the CPU; a tensor as it is."""
    return value if isinstance(value, Tensor) else torch.tensor(value, device="cpu")


def _check_shapes(x: Tensor, output: Tensor) -> None:
    if x.ndim < 2 or output.shape[-x.ndim :] != x.shape:
        raise ValueError(
            f"the decoder's output must end in the data's shape {tuple(x.shape)} "
            f"(batch first); got {tuple(output.shape)}"
        )


class BernoulliLikelihood(nn.Module):
    """P(X|z) for black-and-white pixels: the decoder's output is the logit of each pixel."""

    outputs = 1

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless every value of ``x`` is 0 or 1.

        Cross-entropy on grey pixels is no likelihood: it does not sum to one over the pixels'
        possible values.
        """
        if not bool(((x == 0) | (x == 1)).all()):
            raise ValueError(
                "a Bernoulli likelihood takes pixels that are 0 or 1; binarize grey images first"
            )

    def log_prob(
        self, x: Float[Tensor, " batch *event"], output: Float[Tensor, "..."]
    ) -> Float[Tensor, "*draws batch"]:
        """log P(x|z) in nats; x: [batch, *event] in {0, 1}, output: [..., batch, *event] logits.

        Returns [..., batch], summed over pixels.
        """
        _check_shapes(x, output)
        # -softplus(output) + x * output is the cross-entropy's stable form, one pass, no sigmoid.
        return _sum_event(x * output - F.softplus(output), x)

    def mean(self, output: Float[Tensor, "*output"]) -> Float[Tensor, "*output"]:
        """Probability that each pixel is 1: same shape as ``output``."""
        return torch.sigmoid(output)

    def sample(
        self, output: Float[Tensor, "*output"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*output"]:
        """Black-and-white pixels drawn from P(X|z), same shape as ``output``."""
        probability = self.mean(output)
        # The same draws for weights of any dtype, whatever torch's default is.
        size, place = output.shape, output.device
        uniform = torch.rand(size, generator=generator, dtype=torch.float32, device=place)
        return (uniform < probability).to(output.dtype)


class GaussianLikelihood(nn.Module):
    """P(X|z) = N(X; mean, diag(sigma^2)) for pixels of any value.

    ``sigma``, the standard deviation of a pixel about its mean, in the pixels' own unit:

    - a number: fixed. The default, sigma^2 = 1/2, is what summed squared error without a factor
      means: then -log P(X|z) = ||X - mean||^2 + (n/2) log pi for n pixels;
    - "learned": one scalar, trained with the rest; starts at 1;
    - "per-pixel": one for each pixel, trained with the rest; start at 1. A model gives the
      likelihood its images' shape; used alone, ``shape`` does;
    - "optimal": sigma^2 is the mean squared error, the value that maximises the density (the
      "optimal sigma-VAE" of Rybkin et al. 2021). In training mode, that of the batch at hand, over
      all its samples, examples and pixels; no gradient flows through it (none of the batch's sum
      is lost: at the maximum its derivative by sigma is zero). In evaluation mode, a stored value
      that does not depend on the images it scores: the mean of the training batches' errors while
      there are fewer than 100, then a running mean in which a new batch weighs 1/100.
      :meth:`set_sigma` replaces it. Until a batch was seen it is 1. Values below
      ``SMALLEST_SIGMA`` are raised to it: at sigma 0 there is no density.

    ``link`` makes the mean from the decoder's output: "sigmoid" keeps it in (0, 1), "identity"
    leaves it as it is. Raises ``ValueError`` for any other sigma or link.
    """

    outputs = 1
    SMALLEST_SIGMA = 1e-4

    batches: Tensor  # how many batches the stored value of "optimal" has seen

    def __init__(
        self,
        sigma: float | str = math.sqrt(0.5),
        link: str = "sigmoid",
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if link not in ("sigmoid", "identity"):
            raise ValueError(f"link must be 'sigmoid' or 'identity'; got {link!r}")
        self.link = link
        self.kind = sigma if isinstance(sigma, str) else "fixed"
        # A fixed sigma is a plain number: a float32 tensor would cost a float64 model its digits.
        self.log_sigma: Tensor | float | None
        if self.kind == "learned":
            # On the CPU, as a model's first weights are, whatever torch's default device is.
            self.log_sigma = nn.Parameter(torch.zeros((), device="cpu"))
        elif self.kind == "per-pixel":
            self.register_parameter("log_sigma", None)
        elif self.kind == "optimal":
            self.register_buffer("log_sigma", torch.zeros((), device="cpu"))
            self.register_buffer("batches", torch.zeros((), dtype=torch.int64, device="cpu"))
        elif (
            isinstance(sigma, Real)
            and not isinstance(sigma, bool)
            and math.isfinite(sigma)
            and sigma > 0
        ):
            self.log_sigma = math.log(sigma)
        else:
            raise ValueError(
                f"sigma must be a positive number, 'learned', 'per-pixel' or 'optimal'; "
                f"got {sigma!r}"
            )
        if shape is not None:
            self.for_shape(shape)

    def for_shape(self, shape: Sequence[int]) -> None:
        """Take images of ``shape``: what "per-pixel" has to know; the others take any.

        Raises ``ValueError`` for sizes below 1, or another shape than before.
        """
        if self.kind != "per-pixel":
            return
        if not shape or not all(map(_check.is_whole, shape)):
            raise ValueError(f"shape must be whole numbers of at least 1; got {shape!r}")
        sizes = tuple(map(int, shape))
        if self.log_sigma is None:
            self.log_sigma = nn.Parameter(torch.zeros(sizes, device="cpu"))
        elif tuple(self._log_sigma().shape) != sizes:
            raise ValueError(
                f"this likelihood has a sigma for each pixel of images of shape "
                f"{tuple(self._log_sigma().shape)}; got {sizes}"
            )

    def _log_sigma(self) -> Tensor:
        """log sigma as a tensor: [], or [*event] if per pixel."""
        if self.log_sigma is None:
            raise ValueError(
                "a per-pixel sigma needs the images' shape: give the likelihood to a model, or "
                "make it with shape=..."
            )
        return _tensor_of(self.log_sigma)

    def _sigma_to(self, power: int) -> Tensor | float:
        """sigma ** power: a number where sigma is fixed, else a tensor (with a gradient)."""
        if isinstance(self.log_sigma, float):
            return math.exp(power * self.log_sigma)
        return (power * self._log_sigma()).exp()

    @property
    def sigma(self) -> Float[Tensor, "*event"]:
        """Standard deviation of a pixel, in the pixels' own unit: [], or [*event] if per pixel.

        For "optimal", the stored value.
        """
        return _tensor_of(self._sigma_to(1))

    @torch.no_grad()
    def set_sigma(self, squared_error: Float[Tensor, "*event"]) -> None:
        """Set sigma^2 to a mean squared error, in squared pixel units.

        ``squared_error`` is [], or [*event] if per pixel. This maximises the density of the images
        it was measured on (:func:`vae_core.objectives.set_sigma` measures a model's). Raises
        ``ValueError`` for a fixed sigma, another shape, or errors that are not finite and >= 0.
        """
        if isinstance(self.log_sigma, float):
            raise ValueError(f"sigma is fixed at {self._sigma_to(1):g}: it can't be set")
        stored = self._log_sigma()
        if squared_error.shape != stored.shape:
            raise ValueError(
                f"squared_error must be {list(stored.shape)}; got {list(squared_error.shape)}"
            )
        if not bool((torch.isfinite(squared_error) & (squared_error >= 0)).all()):
            raise ValueError("squared_error must be finite and at least 0")
        stored.copy_(0.5 * squared_error.clamp(min=self.SMALLEST_SIGMA**2).log())

    def _optimal_log_sigma(self, squared: Tensor, n: int) -> Tensor:
        """log sigma: [], from the errors [..., batch] of n pixels in training, else as stored."""
        stored = self._log_sigma()
        if not self.training:
            return stored
        with torch.no_grad():
            error = squared.mean() / n
            # No count leaves the device, so that a training step can be captured in a CUDA graph.
            self.batches += 1
            weight = (1 / self.batches).clamp(min=0.01).to(error.dtype)
            running = torch.lerp((2 * stored).exp().to(error.dtype), error, weight)
            stored.copy_(0.5 * running.clamp(min=self.SMALLEST_SIGMA**2).log())
            return 0.5 * error.clamp(min=self.SMALLEST_SIGMA**2).log()

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``x`` is finite (and, for a sigmoid mean, in [0, 1])."""
        if not bool(torch.isfinite(x).all()):
            raise ValueError("pixels must be finite numbers; got NaN or infinity")
        if self.link == "sigmoid" and not bool(((x >= 0) & (x <= 1)).all()):
            raise ValueError(
                f"pixels must lie in [0, 1] for a sigmoid mean; "
                f"got values from {x.min().item():g} to {x.max().item():g}"
            )

    def log_prob(
        self, x: Float[Tensor, " batch *event"], output: Tensor
    ) -> Float[Tensor, "*draws batch"]:
        """log density of x given z, in nats; x: [batch, *event], output: [..., batch, *event].

        Returns [..., batch], summed over pixels, with - sum of log sigma - (n/2) log 2 pi.
        """
        _check_shapes(x, output)
        if self.link == "sigmoid":
            _denormals.drop_from_gradient(output)
        mean = self.mean(output)
        n = math.prod(x.shape[1:])
        if self.kind == "per-pixel":
            log_sigma = self._log_sigma()
            if log_sigma.shape != x.shape[1:]:
                raise ValueError(
                    f"this likelihood has a sigma for each pixel of images of shape "
                    f"{tuple(log_sigma.shape)}; got {tuple(x.shape[1:])}"
                )
            standard = (x - mean) * torch.exp(-log_sigma)
            return -0.5 * _sum_event(standard.square(), x) - log_sigma.sum() - 0.5 * n * LOG_2PI
        # mse_loss: the difference, its square and their gradient in one pass each.
        squared = _sum_event(F.mse_loss(mean, x.expand_as(mean), reduction="none"), x)
        if self.kind == "optimal":
            log_sigma = self._optimal_log_sigma(squared, n)
            return -0.5 * squared * (-2 * log_sigma).exp() - n * (log_sigma + 0.5 * LOG_2PI)
        assert self.log_sigma is not None  # only per-pixel can be without
        return -0.5 * squared * self._sigma_to(-2) - n * (self.log_sigma + 0.5 * LOG_2PI)

    def mean(self, output: Float[Tensor, "*output"]) -> Float[Tensor, "*output"]:
        """Mean of each pixel: same shape as ``output``."""
        return torch.sigmoid(output) if self.link == "sigmoid" else output

    def sample(
        self, output: Float[Tensor, "*output"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*output"]:
        """Pixels drawn from P(X|z), mean plus sigma times noise: same shape as ``output``."""
        noise = torch.randn(
            output.shape, generator=generator, device=output.device, dtype=output.dtype
        )
        return self.mean(output) + self._sigma_to(1) * noise


class DiscretizedLogisticLikelihood(nn.Module):
    """P(X|z) for grey pixels of 256 levels k/255: a probability of each level, not a density.

    A logistic distribution cut into bins at (k + 1/2)/255, its tails given to the outer levels
    (Kingma et al. 2016, appendix; Salimans et al. 2017, equation 2). The decoder gives two numbers
    a pixel, in the form of McCullagh's (1980) ordered logits: with the shift b (the first half of
    the channels) and the log steepness l (the second half),

        P(level <= k) = sigmoid(exp(l) ((k + 1/2)/255 - 1/2) - b),

    which is the logistic distribution of location 1/2 + b exp(-l) and scale exp(-l) in pixel units.
    (Measured from mid-grey, b and l pull on a pixel independently, and training gets further than
    with b measured from level 0.) l is held within ``LOG_STEEPNESS``: at its upper end a pixel can
    be one level with near certainty. A flat logistic keeps only the two tails, so black-and-white
    pixels are within its reach too.
    """

    outputs = 2
    LEVELS = 256
    LOG_STEEPNESS = (-10.0, 10.0)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless every value of ``x`` is one of 0/255, 1/255 ... 255/255."""
        level = x * (self.LEVELS - 1)
        whole = (level - level.round()).abs() < 1e-3
        if not bool((whole & (x >= 0) & (x <= 1)).all()):
            raise ValueError(
                "a discretized likelihood takes grey pixels k/255, k = 0 .. 255 (to_float makes "
                "them of bytes)"
            )

    def split(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> tuple[
        Float[Tensor, "*batch channels height width"], Float[Tensor, "*batch channels height width"]
    ]:
        """B and s of P(level <= k) = sigmoid(s (k + 1/2)/255 - B): each [..., *image's shape].

        ``output``: [..., 2 * channels, height, width]. s = exp(l) is the steepness, B = b + s/2.
        """
        if output.ndim < 3 or output.shape[-3] % 2:
            raise ValueError(
                f"the decoder's output must be [..., 2 * channels, height, width]; "
                f"got {list(output.shape)}"
            )
        shift, log_steepness = output.chunk(2, dim=-3)
        steepness = log_steepness.clamp(*self.LOG_STEEPNESS).exp()
        return shift + 0.5 * steepness, steepness

    def log_prob(
        self,
        x: Float[Tensor, "batch channels height width"],
        output: Float[Tensor, "*draws batch 2*channels height width"],
    ) -> Float[Tensor, "*draws batch"]:
        """log P(x|z) in nats; x: [batch, channels, height, width] as for :meth:`check`.

        ``output``: [..., batch, 2 * channels, height, width]. Returns [..., batch].
        """
        shift, steepness = self.split(output)
        _check_shapes(x, shift)
        level = (x * (self.LEVELS - 1)).round()
        width = steepness / (self.LEVELS - 1)
        lower = (level - 0.5) * width - shift
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): three logarithms that
        # keep their digits; at an outer level one bound is infinite and two of them are 0.
        below_top, above_bottom = level < self.LEVELS - 1, level > 0
        value = torch.where(below_top, -F.softplus(-(lower + width)), 0.0)
        value = value - torch.where(above_bottom, F.softplus(lower), 0.0)
        inside = torch.log(-torch.expm1(-width))
        return _sum_event(value + torch.where(below_top & above_bottom, inside, 0.0), x)

    def mean(
        self, output: Float[Tensor, "*batch pairs height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Mean of each pixel, in [0, 1]: [..., channels, height, width], half of the output's."""
        shift, steepness = self.split(output)
        total = torch.zeros_like(shift)
        for level in range(self.LEVELS - 1):  # E[level] = sum of P(level > k)
            total = total + torch.sigmoid(shift - steepness * ((level + 0.5) / (self.LEVELS - 1)))
        return total / (self.LEVELS - 1)

    def sample(
        self,
        output: Float[Tensor, "*batch pairs height width"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch channels height width"]:
        """Pixels k/255 drawn from P(X|z): [..., channels, height, width]."""
        shift, steepness = self.split(output)
        uniform = torch.rand(
            shift.shape, generator=generator, device=output.device, dtype=output.dtype
        )
        grey = (shift + torch.logit(uniform, eps=1e-7)) / steepness
        level = torch.ceil(grey * (self.LEVELS - 1) - 0.5).clamp(0, self.LEVELS - 1)
        return level / (self.LEVELS - 1)


Likelihood = BernoulliLikelihood | GaussianLikelihood | DiscretizedLogisticLikelihood
