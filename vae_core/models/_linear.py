"""The linear VAE: probabilistic PCA, the one VAE whose every quantity is known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vae_core import _check
from vae_core._tensors import as_tensor, wide
from vae_core.distributions import LOG_2PI, GaussianLikelihood
from vae_core.models._latent import VAE
from vae_core.models._networks import MNIST_SHAPE, check_shape

_CHUNK = 4096  # images turned to float64 at a time


class LinearVAE(VAE):
    """P(X|z) = N(Wz + b, sigma^2 I), P(z) = N(0, I), Q(z|X) = N(V(X - b), D), D diagonal.

    The decoder is one linear layer with no link, the encoder's mean another, and the posterior's
    sigma is one number a latent dimension, the same for all images (Lucas et al. 2019; the
    generative half is the probabilistic PCA of Tipping & Bishop 1999). log P(X) is then known
    (:meth:`log_prob`), and so are P(z|X) (:meth:`true_posterior`) and the weights that are best
    for given data (:meth:`from_pca`).

    ``sigma`` is a number, or "learned" (one scalar); the other arguments are as for
    :class:`VAE`. Raises ``ValueError`` for any other sigma or sizes below 1.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        shape: Sequence[int] = MNIST_SHAPE,
        sigma: float | str = "learned",
        seed: int = 0,
    ) -> None:
        if isinstance(sigma, str) and sigma != "learned":
            raise ValueError(f"sigma must be a positive number or 'learned'; got {sigma!r}")
        likelihood = GaussianLikelihood(sigma, link="identity")
        super().__init__(latent_dim, shape, (), likelihood, seed=seed)
        spread = self.encoder.log_sigma
        assert spread is not None
        # D is the same for every X: the layer keeps its place and form, with weights of 0.
        spread.weight.requires_grad_(False).zero_()
        with torch.no_grad():
            spread.bias.zero_()

    @classmethod
    @torch.no_grad()
    def from_pca(
        cls,
        images: Shaped[Tensor, "n channels height width"],
        latent_dim: int = 2,
        *,
        sigma: float | None = None,
        correction: int = 1,
    ) -> LinearVAE:
        """The closed-form weights for ``images`` [n, channels, height, width], uint8 or floating.

        With U, l the leading eigenvectors and eigenvalues of the pixels' covariance, sigma^2 the
        mean of the remaining eigenvalues (Tipping & Bishop 1999, equation 8) and
        W = U (l - sigma^2)^(1/2) (equation 7, R = I; each column's largest entry is positive). Then
        W'W is diagonal and so is the exact posterior, which the encoder is set to: the ELBO is
        log P(X). Given ``sigma``, the best W for that sigma: columns whose eigenvalue is below
        sigma^2 are 0, and their latent is N(0, 1) whatever X is.

        The covariance divides by n - ``correction``: 1 as in ``sklearn.decomposition.PCA``, whose
        ``score`` the ELBO's mean then equals, or 0 for the weights of maximal likelihood. uint8
        images count as bytes / 255. The weights have the images' dtype (float32 for uint8); all
        is computed in float64.

        Raises ``ValueError`` unless 1 <= latent_dim < pixels, n > 1, and some variance is left for
        sigma.
        """
        latent_dim, images = _check.whole("latent_dim", latent_dim), as_tensor("images", images)
        grey = images.dtype == torch.uint8
        if images.ndim != 4 or not (grey or images.is_floating_point()) or len(images) < 2:
            raise ValueError(
                f"images must be uint8 or floating [n, channels, height, width], n >= 2; "
                f"got {images.dtype} {list(images.shape)}"
            )
        if not _check.is_whole(correction, 0) or correction not in (0, 1):
            raise ValueError(f"correction must be 0 or 1; got {_check.shown(correction)}")
        if not grey and not bool(torch.isfinite(images).all()):
            raise ValueError("images must be finite; got NaN or infinity")
        shape = check_shape(list(images.shape[1:]))
        pixels = math.prod(shape)
        if latent_dim >= pixels:
            raise ValueError(
                f"latent_dim must be below the number of pixels, {pixels}; got {latent_dim}"
            )
        centre, covariance = _moments(images, scale=255 if grey else 1, correction=correction)
        values, vectors = torch.linalg.eigh(covariance)  # ascending
        leading, columns = values[-latent_dim:].flip(0), vectors[:, -latent_dim:].flip(1)
        if sigma is None:
            variance = (values[:-latent_dim].sum() / (pixels - latent_dim)).item()
            # Rounding leaves some 1e-16 of the largest eigenvalue where there is none.
            if not variance > 1e-14 * max(values[-1].item(), 1e-300):
                raise ValueError(
                    f"{latent_dim} dimensions hold all variance of these images: none is left for "
                    f"sigma (take a smaller latent_dim, or give sigma)"
                )
        model = cls(latent_dim, shape, "learned" if sigma is None else sigma).double()
        if sigma is None:
            assert isinstance(model.likelihood, GaussianLikelihood)
            model.likelihood.set_sigma(torch.tensor(variance, dtype=torch.float64, device="cpu"))
        else:
            variance = sigma**2
        largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
        decoder = model.linear_decoder
        decoder.weight.copy_(columns * largest.sign() * (leading - variance).clamp(min=0).sqrt())
        decoder.bias.copy_(centre)
        model.set_posterior()
        return model.to(torch.float32 if grey else images.dtype)

    @property
    def linear_decoder(self) -> nn.Linear:
        """The decoder's one layer: weight W [pixels, latent], bias b [pixels]."""
        (layer,) = self.decoder.layers
        assert isinstance(layer, nn.Linear)
        return layer

    def _parts(
        self,
    ) -> tuple[
        Float[Tensor, "pixels latent"],
        Float[Tensor, " pixels"],
        Float[Tensor, ""],
        Float[Tensor, "latent latent"],
    ]:
        """W [pixels, latent], b [pixels], log sigma [] and M = W'W + sigma^2 I [latent, latent]."""
        w, b = self.linear_decoder.weight, self.linear_decoder.bias
        assert isinstance(self.likelihood, GaussianLikelihood)
        log_sigma = torch.as_tensor(self.likelihood.log_sigma, dtype=w.dtype, device=w.device)
        identity = torch.eye(self.latent_dim, dtype=w.dtype, device=w.device)
        return w, b, log_sigma, w.T @ w + (2 * log_sigma).exp() * identity

    def log_prob(self, x: Float[Tensor, " batch *shape"]) -> Float[Tensor, " batch"]:
        """log P(X) of images ``x`` [batch, *shape], exactly, in nats: [batch].

        P(X) = N(b, WW' + sigma^2 I) (Tipping & Bishop 1999, section 3.1), by way of a matrix of the
        latent's size, never of the pixels' (Woodbury's identity). Gradients flow to W, b and sigma.
        """
        self.check_images(x)
        w, b, log_sigma, m = self._parts()
        residual = x.flatten(1) - b  # [batch, pixels]
        projected = residual @ w  # [batch, latent]
        factor = torch.linalg.cholesky(m)
        within = torch.linalg.solve_triangular(factor, projected.T, upper=False).square().sum(0)
        distance = (residual.square().sum(1) - within) * torch.exp(-2 * log_sigma)
        free = len(b) - self.latent_dim
        log_det = 2 * free * log_sigma + 2 * factor.diagonal().log().sum()
        return -0.5 * (distance + log_det + len(b) * LOG_2PI)

    def true_posterior(
        self, x: Float[Tensor, " batch *shape"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "latent latent"]]:
        """P(z|X): its mean [batch, latent], and its covariance [latent, latent], alike for all X.

        N(M^-1 W'(X - b), sigma^2 M^-1) with M = W'W + sigma^2 I (Tipping & Bishop 1999, section
        3.1).
        """
        self.check_images(x)
        w, b, log_sigma, m = self._parts()
        mean = torch.linalg.solve(m, w.T @ (x.flatten(1) - b).T).T
        return mean, (2 * log_sigma).exp() * torch.linalg.inv(m)

    @torch.no_grad()
    def set_posterior(self) -> None:
        """Set the encoder to the diagonal Gaussian that is nearest to P(z|X) for this decoder.

        The one of least D[Q || P(z|X)]: the true mean, and for each latent dimension the inverse of
        the true precision's diagonal. With orthogonal columns in W it is P(z|X) itself.
        """
        w, b, log_sigma, m = self._parts()
        to_mean = torch.linalg.solve(m, w.T)
        spread = self.encoder.log_sigma
        assert spread is not None
        self.encoder.mean.weight.copy_(to_mean)
        self.encoder.mean.bias.copy_(-(to_mean @ b))
        spread.bias.copy_(log_sigma - 0.5 * m.diagonal().log())


def _moments(
    images: Tensor, scale: float, correction: int
) -> tuple[Float[Tensor, " pixels"], Float[Tensor, "pixels pixels"]]:
    """Mean [pixels] and covariance [pixels, pixels] of images, in float64, in two passes."""
    chunks = [chunk.flatten(1) for chunk in images.split(_CHUNK)]
    centre = torch.stack([wide(chunk).sum(0) for chunk in chunks]).sum(0) / len(images)
    covariance = torch.zeros(len(centre), len(centre), dtype=torch.float64, device=centre.device)
    for chunk in chunks:
        shifted = wide(chunk) - centre
        covariance.addmm_(shifted.T, shifted)
    return centre / scale, covariance / ((len(images) - correction) * scale**2)
