"""P(X|z) of grey pixels as numbers with Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vae_core import _check, _denormals
from vae_core.distributions._gaussian import LOG_2PI
from vae_core.distributions._parts import check_shapes, sum_event, tensor_of


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
        return tensor_of(self.log_sigma)

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
        return tensor_of(self._sigma_to(1))

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
        check_shapes(x, output)
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
            return -0.5 * sum_event(standard.square(), x) - log_sigma.sum() - 0.5 * n * LOG_2PI
        # mse_loss: the difference, its square and their gradient in one pass each.
        squared = sum_event(F.mse_loss(mean, x.expand_as(mean), reduction="none"), x)
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
