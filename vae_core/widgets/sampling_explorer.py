"""SamplingExplorer: which draws of z contribute anything to an estimate of P(X)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from torch import Tensor

from vae_core._plot import ACCENT, CLASSES, INK
from vae_core.data import to_float
from vae_core.distributions import LOG_2PI, DiagonalGaussian, GaussianLikelihood
from vae_core.evaluation import LogLikelihood
from vae_core.evaluation._importance import log_mean
from vae_core.models import VAE
from vae_core.widgets import _payload as payload
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._models import decoder_spec, embed
from vae_core.widgets._validate import check_data, check_model

MOST = 10_000  # draws: some seconds of decoding in a browser
# Standard deviations of a pixel, 20 to a factor of ten, with the sqrt(1/2) of plain squared error.
SIGMAS = tuple(math.sqrt(0.5) * 10 ** (-k / 20) for k in range(-3, 18))
PROPOSALS = ("prior", "posterior")
_COARSE, _REACH = 121, 4.5  # the lattice on which proposals for the reference are found
_EACH = 200  # draws for each of SIGMAS


def uniforms(seed: int, count: int) -> np.ndarray:
    """The first ``count`` numbers in [0, 1) of js/chart.js's ``randomSource(seed)``: float64."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5) + np.uint64(seed)
    t = steps.astype(np.uint32)  # modulo 2**32, as all that follows
    t = (t ^ (t >> np.uint32(15))) * (t | np.uint32(1))
    t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    return (t ^ (t >> np.uint32(14))) / 2.0**32


def normals(seed: int, count: int) -> np.ndarray:
    """The first ``count`` normal draws of js/chart.js's ``randomSource(seed)``: float64."""
    pairs = uniforms(seed, 2 * count).reshape(-1, 2)
    return np.sqrt(-2 * np.log(1 - pairs[:, 0])) * np.cos(2 * math.pi * pairs[:, 1])


def _means(model: VAE, z: Tensor, rows: int = 2000) -> Tensor:
    """f(z) in float64: z [n, 2] to [n, pixels]."""
    dtype = next(model.parameters()).dtype
    return torch.cat([model.mean(part.to(dtype)).flatten(1).double() for part in z.split(rows)])


def _squared(x: Tensor, means: Tensor) -> Tensor:
    """||X - f(z)||^2 of one image ``x`` [pixels] and each of ``means`` [n, pixels]: [n]."""
    return (means - x.double()).square().sum(1)


@torch.no_grad()
def reference(
    model: VAE, images: Tensor, sigmas: Sequence[float], seed: int = 0
) -> list[LogLikelihood]:
    """log P(X) at each pixel sigma, for each of ``images`` [n, pixels]; tensors are [sigmas].

    Importance sampling from a mixture of one Gaussian for every sigma, each with the posterior's
    moments as a coarse lattice shows them, but wider (Veach & Guibas 1995, the balance heuristic):
    a draw made for one sigma serves the others too, and a mode that one misses another finds.
    """
    axis = torch.linspace(-_REACH, _REACH, _COARSE, dtype=torch.float64)
    lattice = torch.cartesian_prod(axis, axis)
    prior = DiagonalGaussian.standard(lattice).log_prob(lattice)
    decoded = _means(model, lattice)
    step = float(axis[1] - axis[0])
    precision = 0.5 / torch.tensor(sigmas, dtype=torch.float64) ** 2  # [sigmas]
    constant = 0.5 * images.shape[1] * (precision / math.pi).log()  # -(D/2) log(2 pi sigma^2)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for x in images:
        share = (prior - _squared(x, decoded) * precision[:, None]).softmax(1)
        mean = share @ lattice
        spread = (share @ lattice.square() - mean.square()).clamp(min=0).sqrt()
        parts = DiagonalGaussian(mean, (1.25 * spread + 0.5 * step).log())  # [sigmas, 2]
        noise = torch.randn(_EACH, *mean.shape, generator=generator, dtype=torch.float64)
        z = parts.rsample(noise).flatten(0, 1)  # [draws, 2]
        log_q = parts.log_prob(z[:, None]).logsumexp(1) - math.log(len(mean))
        log_ratio = DiagonalGaussian.standard(z).log_prob(z) - log_q
        squared = _squared(x, _means(model, z))
        weights = log_ratio[:, None] - squared[:, None] * precision + constant
        found.append(log_mean(iter([weights]), len(z), ()))
    return found


class SamplingExplorer(BrowserWidget):
    """Estimate P(X) of a digit by draws of z, and see which of them the estimate is made of.

    Args:
        model: a VAE with two latents and Gaussian pixels; its sigma gives way to the slider's.
        data: test images, uint8 [n, 1, height, width], with labels.
        entries: which of them can be chosen; by default the first of each class.

    ``twin`` holds the decoder with the weights that the browser has, in float64.

    Live traits: ``digit`` (place among ``entries``), ``sigma`` (a pixel's standard deviation, from
    0.1 to 1; moved to the nearest of ``SIGMAS``), ``n`` (draws, 1 to 10,000), ``proposal``
    ("prior", or "posterior" for the encoder's Q(z|X)), ``seed`` of the draws. Setting one moves
    the page.

    Raises:
        ValueError: for a model, data or entries that cannot be shown, saying what was given.
    """

    NAME: ClassVar[str] = "sampling_explorer"
    PICTURE: ClassVar[str] = (
        "Draws of z in the latent plane, sized by their weight, over the prior's circles; "
        "beside them the running estimate of log P(X) against the number of draws."
    )
    STATE: ClassVar[tuple[str, ...]] = ("digit", "sigma", "n", "proposal", "seed")

    digit = traitlets.Int(0).tag(sync=True)
    sigma = traitlets.Float(SIGMAS[3]).tag(sync=True)
    n = traitlets.Int(1000).tag(sync=True)
    proposal = traitlets.Unicode("prior").tag(sync=True)
    seed = traitlets.Int(1).tag(sync=True)

    def __init__(self, model: VAE, data: Any, entries: Sequence[int] | None = None) -> None:
        check_model("model", model, variational=True)
        if not isinstance(model.likelihood, GaussianLikelihood):
            raise ValueError(
                "model must have Gaussian pixels, whose sigma the page sets, "
                f"got {type(model.likelihood).__name__}"
            )
        check_data(data, tuple(model.shape))
        labels = data.labels.cpu()
        if entries is None:
            firsts = [(labels == k).nonzero()[:1, 0] for k in range(len(data.classes))]
            entries = torch.cat(firsts).tolist()
        entries = [int(entry) for entry in entries]
        if not entries or not all(0 <= entry < len(data.images) for entry in entries):
            raise ValueError(
                f"entries must name images from 0 to {len(data.images) - 1}, got {entries}"
            )
        images = data.images[entries].cpu()
        packed = payload.pack_decoder(model, embed(model, data.images[:4000]))
        shown = payload.pack_digits(images)
        self.twin = payload.dequantised(model, decoder=packed).double()
        self._x = to_float(images).flatten(1)  # [entries, pixels], as the browser has them
        with torch.no_grad():
            q = model.encode(to_float(data.images[entries].to(next(model.parameters()).device)))
        # The draws for the reference need no double precision in the decoder.
        quick = payload.dequantised(model, decoder=packed)
        known = reference(quick, self._x, SIGMAS)
        super().__init__(
            payload={
                "decoder": decoder_spec(model, packed),
                "shape": list(model.shape[1:]),
                "digits": shown.sha,
                "labels": [data.classes[int(label)] for label in labels[entries]],
                "mean": q.mean.double().cpu().tolist(),
                "log_sigma": q.log_sigma.double().cpu().tolist(),
                "sigmas": list(SIGMAS),
                "reference": [one.value.tolist() for one in known],
                "reference_error": [one.standard_error.tolist() for one in known],
                "most": MOST,
            },
            blobs=[packed[0], shown],
        )

    @traitlets.validate("digit")
    def _check_digit(self, proposal: Any) -> int:
        count = len(self.payload["labels"]) if self.payload else 1
        if not 0 <= proposal["value"] < count:
            raise ValueError(f"digit must be from 0 to {count - 1}, got {proposal['value']}")
        return int(proposal["value"])

    @traitlets.validate("sigma")
    def _check_sigma(self, proposal: Any) -> float:
        value = proposal["value"]
        if not SIGMAS[-1] * 0.95 <= value <= SIGMAS[0] * 1.05:  # NaN fails too
            raise ValueError(f"sigma must be from {SIGMAS[-1]:.2f} to {SIGMAS[0]:.2f}, got {value}")
        return min(SIGMAS, key=lambda level: abs(math.log(level / value)))

    @traitlets.validate("n")
    def _check_n(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= MOST:
            raise ValueError(f"n must be from 1 to {MOST}, got {proposal['value']}")
        return int(proposal["value"])

    @traitlets.validate("proposal")
    def _check_proposal(self, proposal: Any) -> str:
        if proposal["value"] not in PROPOSALS:
            raise ValueError(
                f"proposal must be one of {', '.join(PROPOSALS)}, got {proposal['value']!r}"
            )
        return str(proposal["value"])

    @traitlets.validate("seed")
    def _check_seed(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < 2**32:
            raise ValueError(f"seed must be from 0 to 2**32 - 1, got {proposal['value']}")
        return int(proposal["value"])

    def _q(self) -> DiagonalGaussian:
        """What z is drawn from: mean and log sigma [2], in float64."""
        if self.proposal == "prior":
            return DiagonalGaussian.standard(torch.zeros(2, dtype=torch.float64))
        rows = (self.payload[name][self.digit] for name in ("mean", "log_sigma"))
        return DiagonalGaussian(*(torch.tensor(row, dtype=torch.float64) for row in rows))

    def draws(self) -> Tensor:
        """The ``n`` draws of z that the browser makes for these traits: [n, 2], float64."""
        return self._q().rsample(torch.from_numpy(normals(self.seed, 2 * self.n)).reshape(-1, 2))

    @torch.no_grad()
    def log_weights(self) -> Tensor:
        """log P(X|z) + log P(z) - log q(z) of each draw, in nats: [n]."""
        z, x = self.draws(), self._x[self.digit].double()
        log_p = -0.5 * _squared(x, _means(self.twin, z)) / self.sigma**2
        log_p -= len(x) * (math.log(self.sigma) + 0.5 * LOG_2PI)
        if self.proposal == "prior":
            return log_p
        return log_p + DiagonalGaussian.standard(z).log_prob(z) - self._q().log_prob(z)

    def estimate(self) -> LogLikelihood:
        """log P(X) from these draws, as the page shows it; each tensor is [1]."""
        return log_mean(iter([self.log_weights()[:, None]]), self.n, ())

    def known(self) -> tuple[float, float]:
        """log P(X) at this digit and sigma by importance sampling, and its standard error: nats."""
        at = SIGMAS.index(self.sigma)
        value, error = self.payload["reference"], self.payload["reference_error"]
        return value[self.digit][at], error[self.digit][at]

    def figure(self) -> Figure:
        """The plane with the draws by weight, and the running estimate beside it."""
        weights, z = self.log_weights(), self.draws().numpy()
        share = weights.softmax(0).numpy()
        figure = Figure(figsize=(8.4, 4.0), layout="constrained")
        plane, chart = figure.subplots(1, 2)
        plane.scatter(*z.T, s=2, color="#9aa5b1", linewidths=0)
        heavy = share > 1e-3
        plane.scatter(*z[heavy].T, s=700 * share[heavy], color=CLASSES[1], alpha=0.6, linewidths=0)
        for radius in (1, 2, 3):
            plane.add_patch(Circle((0, 0), radius, fill=False, color=ACCENT, lw=0.9))
        if self.proposal == "posterior":
            (a, b), sigma = self._q().mean.tolist(), self._q().sigma.tolist()
            for k in (1, 2):
                shape = Ellipse((a, b), 2 * k * sigma[0], 2 * k * sigma[1], fill=False)
                shape.set(color=CLASSES[2], lw=1.2)
                plane.add_patch(shape)
        plane.set(
            xlim=(-3.8, 3.8), ylim=(-3.8, 3.8), aspect="equal", xlabel="$z_1$", ylabel="$z_2$"
        )
        plane.set_title(f"{self.n} draws, sized by their weight", fontsize=10)
        count = np.arange(1, self.n + 1)
        chart.semilogx(count, weights.logcumsumexp(0).numpy() - np.log(count), color=INK)
        chart.axhline(self.known()[0], color=ACCENT, ls="--", lw=1.2)
        chart.set(xlabel="draws n", ylabel="estimate of log P(X), nats")
        name = self.payload["labels"][self.digit]
        chart.set_title(f"digit {name}, σ = {self.sigma:.2f}", fontsize=10)
        return figure
