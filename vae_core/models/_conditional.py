"""The conditional variational autoencoder: P(X|z, Y), Q(z|X, Y) and, if asked for, P(z|Y)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_core import _check
from vae_core._tensors import as_tensor
from vae_core.distributions import DiagonalGaussian, Likelihood
from vae_core.models._latent import LatentModel, cpu_noise, gaussian_of
from vae_core.models._networks import (
    MNIST_SHAPE,
    ConvEncoder,
    Encoder,
    check_images,
    check_like,
    check_shape,
)

PRIORS = ("standard", "learned")
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32)  # besides int64, of labels


def _quadrants(height: int, width: int, given: int) -> Tensor:
    """1: the lower left quadrant is given; 2: the left half; 3: all but the lower right."""
    mask = torch.zeros(height, width, dtype=torch.bool, device="cpu")
    mask[height // 2 :, : width // 2] = True
    if given > 1:
        mask[:, : width // 2] = True
    if given > 2:
        mask[: height // 2] = True
    return mask


def _centre_column(height: int, width: int) -> Tensor:
    mask = torch.zeros(height, width, dtype=torch.bool, device="cpu")
    mask[:, width // 2] = True
    return mask


# Which pixels [height, width] are given: the quadrants of Sohn et al. 2015 (which ones as in Pyro's
# version of their experiment), and the centre column of Doersch 2016.
OBSERVED: dict[str, Callable[[int, int], Tensor]] = {
    "1-quadrant": lambda height, width: _quadrants(height, width, 1),
    "2-quadrants": lambda height, width: _quadrants(height, width, 2),
    "3-quadrants": lambda height, width: _quadrants(height, width, 3),
    "centre-column": _centre_column,
}


def _observed_mask(observed: str | Tensor, shape: tuple[int, ...]) -> Bool[Tensor, "*shape"]:
    """``observed`` as bool [*shape]. Raises ``ValueError`` if it names no part of such an image."""
    if isinstance(observed, str):
        if observed not in OBSERVED:
            raise ValueError(
                f"observed must be a mask or one of {', '.join(OBSERVED)}; got {observed!r}"
            )
        mask = OBSERVED[observed](*shape[1:])
    else:
        mask = observed
    if (
        not isinstance(mask, Tensor)
        or mask.dtype != torch.bool
        or tuple(mask.shape) not in (shape, shape[1:])
    ):
        got = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
        raise ValueError(
            f"observed must be bool {list(shape)} or {list(shape[1:])}, True where a pixel is "
            f"given; got {got}"
        )
    if bool(mask.all()) or not bool(mask.any()):
        raise ValueError("observed must name some pixels, and leave some to be predicted")
    return mask.expand(shape).cpu()


class CVAE(LatentModel):
    """Sohn, Lee & Yan 2015: a VAE of X given a condition Y, which encoder and decoder both see.

    The condition is one of two things:

    - ``classes=10``: a class label, int64 [batch], one-hot into the encoder (beside the pixels, or
      as constant channels before convolutions) and into the decoder (beside z);
    - ``observed=mask``: a part of the image, given as images [batch, *shape] of which only the
      pixels in the mask are read. ``mask`` is bool [*shape] or [height, width], True where a pixel
      is given, or a name in ``OBSERVED``. X is then the other pixels: the likelihood is theirs
      alone. The encoder sees the whole image, the decoder z and the given pixels.

    ``prior``: "standard" for N(0, I), or "learned" for an own network P(z|Y), a diagonal Gaussian:
    for a label one mean and log sigma each; for a part of the image a network with the encoder's
    hidden widths. The other arguments are as for :class:`Autoencoder`.

    Raises ``ValueError`` unless exactly one of ``classes`` and ``observed`` is given, and as
    :class:`Autoencoder` does.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        shape: Sequence[int] = MNIST_SHAPE,
        hidden: Sequence[int] | None = None,
        likelihood: Likelihood | None = None,
        activation: str = "relu",
        seed: int = 0,
        architecture: str = "mlp",
        *,
        classes: int | None = None,
        observed: str | Tensor | None = None,
        prior: str = "standard",
    ) -> None:
        if (classes is None) == (observed is None):
            raise ValueError("give a CVAE either classes=... or observed=..., and not both")
        if prior not in PRIORS:
            raise ValueError(f"prior must be one of {', '.join(PRIORS)}; got {prior!r}")
        sizes = check_shape(shape)
        mask = None if observed is None else _observed_mask(observed, sizes)
        count = int(mask.sum()) if mask is not None else _check.whole("classes", classes)

        def prior_network(widths: tuple[int, ...]) -> Encoder | ConvEncoder:
            if mask is None:  # of a one-hot input, a linear layer is any function
                return Encoder(count, (), latent_dim, activation, spread=True)
            if architecture == "mlp":
                return Encoder(count, widths, latent_dim, activation, spread=True)
            return ConvEncoder(sizes, widths, latent_dim, activation, spread=True)

        super().__init__(
            latent_dim,
            shape,
            hidden,
            likelihood,
            activation,
            seed,
            architecture,
            spread=True,
            to_encoder=count if mask is None else 0,
            to_decoder=count,
            event=None if mask is None else (math.prod(sizes) - count,),
            prior_network=prior_network if prior == "learned" else None,
        )
        self.classes = None if mask is not None else count
        self.has_prior_network = prior == "learned"
        self.observed: Tensor | None
        # What the arguments decide is no weight: it stays out of files of weights.
        self.register_buffer("observed", mask, persistent=False)
        for name, where in (("_given", mask), ("_target", None if mask is None else ~mask)):
            index = None if where is None else where.flatten().nonzero().squeeze(1)
            self.register_buffer(name, index, persistent=False)

    _given: Tensor  # numbers of the given pixels, and of those that are to be predicted
    _target: Tensor

    def condition_of(self, x: Tensor, labels: Tensor) -> Tensor:
        """What this model is given of an example: ``labels``, or the image ``x`` itself."""
        return labels if self.classes is not None else x

    def check_condition(self, condition: Tensor | int) -> Tensor:
        """The condition as a tensor [batch, ...], batch >= 1.

        Raises ``ValueError`` unless it is an int64 label [batch] from 0 to classes - 1 (or one
        int), or images [batch, *shape] in the weights' dtype.
        """
        condition = self._condition(condition)
        self._check_labels(condition)
        return condition

    def _check_labels(self, condition: Tensor) -> None:
        if self.classes is None:
            return
        low, high = int(condition.min()), int(condition.max())
        if low < 0 or high >= self.classes:
            raise ValueError(f"labels must lie in 0..{self.classes - 1}; got {low}..{high}")

    def _condition(self, condition: Tensor | int) -> Tensor:
        """The same, without a look at labels that lie on a GPU, which would make it wait."""
        weight = self.encoder.mean.weight
        if self.classes is None:
            if not isinstance(condition, Tensor):
                raise ValueError(f"the condition must be images; got {condition!r}")
            check_images(condition, self.shape, weight)
            return condition
        if isinstance(condition, Tensor):
            check_like("labels", condition, weight)
        elif hasattr(condition, "__len__") and not isinstance(condition, str):  # a list, an array
            condition = as_tensor("labels", condition).to(weight.device)
        else:
            label = _check.whole("a label", condition, least=0)
            condition = torch.tensor([label], device=weight.device)
        if condition.dtype in _WHOLE:
            condition = condition.long()
        if condition.dtype != torch.int64 or condition.ndim != 1 or len(condition) == 0:
            raise ValueError(
                f"labels must be int64 [batch], batch >= 1; "
                f"got {condition.dtype} {list(condition.shape)}"
            )
        if condition.device.type == "cpu":
            self._check_labels(condition)
        return condition

    def _vector(self, condition: Tensor | int) -> Float[Tensor, "batch k"]:
        """What the decoder sees of the condition: one-hot labels, or given pixels, [batch, k]."""
        condition = self._condition(condition)
        if self.classes is None:
            return condition.flatten(1).index_select(1, self._given)
        every = torch.arange(self.classes, device=condition.device)
        return (condition[:, None] == every).to(self.encoder.mean.weight.dtype)

    def _merged(self, x: Tensor, condition: Tensor | int) -> Tensor:
        """``x`` [..., batch, *shape] with the condition's pixels where they are given."""
        assert self.observed is not None
        given = self._condition(condition)
        if len(given) == 1:
            given = given[0]
        elif x.ndim < 4 or x.shape[-4] != len(given):
            raise ValueError(f"images {list(x.shape)} but {len(given)} conditions")
        return torch.where(self.observed, given, x)

    def encode(
        self, x: Float[Tensor, " batch *shape"], condition: Tensor | int
    ) -> DiagonalGaussian:
        """The posterior Q(z|X, Y) of images ``x`` [batch, *shape]: [batch, latent].

        ``condition``: labels or images, [batch, ...] or [1, ...], or one int label. Given pixels
        are read from the condition, the others from ``x``.
        """
        self.check_images(x)
        if self.classes is None:
            return gaussian_of(self.encoder, self._merged(x, condition))
        one_hot = self._vector(condition)
        if len(one_hot) not in (1, len(x)):
            raise ValueError(f"{len(x)} images but {len(one_hot)} labels")
        one_hot = one_hot.expand(len(x), -1)
        if isinstance(self.encoder, ConvEncoder):
            planes = one_hot[:, :, None, None].expand(-1, -1, *self.shape[1:])
            return gaussian_of(self.encoder, torch.cat([x, planes], 1))
        return gaussian_of(self.encoder, torch.cat([x.flatten(1), one_hot], 1))

    def prior(self, condition: Tensor | int) -> DiagonalGaussian:
        """P(z|Y): N(0, I), or what the prior's own network says: [batch, latent]."""
        if not self.has_prior_network:
            rows = self._condition(condition)
            weight = self.encoder.mean.weight
            return DiagonalGaussian.standard(weight.new_zeros(len(rows), self.latent_dim))
        if isinstance(self.prior_network, ConvEncoder):
            given = self._condition(condition)
            return gaussian_of(self.prior_network, self._merged(torch.zeros_like(given), given))
        return gaussian_of(self.prior_network, self._vector(condition))

    def decode(
        self, z: Float[Tensor, "*batch latent"], condition: Tensor | int
    ) -> Float[Tensor, "*batch channels height width"]:
        """Latents [..., batch, latent] and conditions [batch, ...] to the decoder's output.

        Returns [..., batch, channels, height, width]. One condition ([1, ...] or an int) serves any
        number of latents.
        """
        self.check_latents(z)
        vector = self._vector(condition)
        if len(vector) == 1:
            vector = vector[0]
        elif z.ndim < 2 or z.shape[-2] != len(vector):
            raise ValueError(
                f"z must be [..., {len(vector)}, {self.latent_dim}], a row for each condition; "
                f"got {list(z.shape)}"
            )
        return self.decoder(torch.cat([z, vector.expand(*z.shape[:-1], -1)], -1))

    def mean(
        self, z: Float[Tensor, "*batch latent"], condition: Tensor | int
    ) -> Float[Tensor, "*batch channels height width"]:
        """Pixel means of P(X|z, Y), [..., batch, *shape]; given pixels are the condition's own."""
        mean = self.likelihood.mean(self.decode(z, condition))
        return mean if self.classes is not None else self._merged(mean, condition)

    def log_likelihood(
        self,
        x: Float[Tensor, " batch *shape"],
        z: Float[Tensor, "*draws batch latent"],
        condition: Tensor | int,
    ) -> Float[Tensor, "*draws batch"]:
        """log P(X|z, Y) in nats; x: [batch, *shape], z: [..., batch, latent]. Returns [..., batch].

        Where a part of the image is given, only the other pixels count.
        """
        output = self.decode(z, condition)
        if self.classes is not None:
            return self.likelihood.log_prob(x, output)
        target = self._target
        return self.likelihood.log_prob(
            x.flatten(1).index_select(1, target), output.flatten(-3).index_select(-1, target)
        )

    def embed(
        self, x: Float[Tensor, " batch *shape"], condition: Tensor | int
    ) -> Float[Tensor, "batch latent"]:
        """Codes [batch, latent]: the posterior's mean."""
        return self.encode(x, condition).mean

    def forward(
        self, x: Float[Tensor, " batch *shape"], condition: Tensor | int
    ) -> Float[Tensor, " batch *shape"]:
        """Pixel means decoded from the posterior's mean, [batch, *shape]."""
        return self.mean(self.embed(x, condition), condition)

    @torch.no_grad()
    def generate(
        self, condition: Tensor | int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """Pixel means at one draw of z ~ P(z|Y) for each condition: [batch, *shape].

        ``generator`` lives on the CPU, so that every device draws the same noise.
        """
        prior = self.prior(condition)
        noise = cpu_noise(prior.mean.shape, generator)
        return self.mean(prior.rsample(noise.to(prior.mean)), condition)
