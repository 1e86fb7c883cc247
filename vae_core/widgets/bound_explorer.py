"""BoundExplorer: how the bound on log P(X) rises with the number of draws."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import matplotlib
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core._plot import ACCENT, INK, STYLE
from vae_core._tensors import as_tensor
from vae_core.evaluation import Bound, LogLikelihood
from vae_core.evaluation._importance import log_mean
from vae_core.widgets import _payload as payload
from vae_core.widgets import _sources
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, whole
from vae_core.widgets._validate import check_names

MOST_DIGITS = 12  # buttons in a row, and about 20 kB each for 5,000 weights


def shuffled(count: int, shuffle: int) -> np.ndarray:
    """The order of the draws, as js/bound_explorer.js makes it: mulberry32, Fisher and Yates.

    Shuffle 0 is the order in which they were drawn.
    """
    order, state = np.arange(count), shuffle & 0xFFFFFFFF
    if shuffle == 0:
        return order
    for i in range(count - 1, 0, -1):
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = ((state ^ (state >> 15)) * (state | 1)) & 0xFFFFFFFF
        t ^= (t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF
        j = (t ^ (t >> 14)) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


class BoundExplorer(BrowserWidget):
    """Stored log weights of a few images, and the bound that k of them give.

    Args:
        log_weights: log P(X, z) - log Q(z|X) in nats, [draws, n], as
            :func:`vae_core.evaluation.log_weights` gives them; carried as float32, which is what a
            float32 model computes.
        images: the n images, uint8 or floating in [0, 1], [n, 1, height, width].
        names: what each image is called, such as its class.

    Live traits: ``k`` (draws a bound takes, 1 to draws), ``digit`` (which image) and ``shuffle``
    (0: the draws in their own order, which is the order :func:`vae_core.evaluation.log_likelihood`
    takes blocks in; any other number: shuffled by it). Setting one moves the page.

    Raises:
        ValueError: for shapes that do not fit, too many images, or weights that are not finite.
    """

    NAME: ClassVar[str] = "bound_explorer"
    PICTURE: ClassVar[str] = (
        "A digit; its bound on log P(X) rising with the number of draws k towards the "
        "importance-sampled estimate; and the shares of the weight of the first k draws, "
        "heaviest first."
    )
    STATE: ClassVar[tuple[str, ...]] = ("k", "digit", "shuffle")
    PYTHON: ClassVar[str] = """
    import math

    @shuffle!=0 from vae_core.widgets.bound_explorer import shuffled

    k, rows = {{k}}, log_weights[:, {{digit}}].double()
    @shuffle!=0 rows = rows[shuffled(len(rows), {{shuffle}})]
    blocks = rows[: len(rows) // k * k].reshape(-1, k).logsumexp(1) - math.log(k)
    log_likelihood = (rows.logsumexp(0) - math.log(len(rows))).item()
    print(f"bound {blocks.mean().item():.4f} nats, first block {blocks[0].item():.4f}")
    print(f"log P(X) from all draws {log_likelihood:.4f} nats")
    """

    k = traitlets.Int(1).tag(sync=True)
    digit = traitlets.Int(0).tag(sync=True)
    shuffle = traitlets.Int(0, min=0, max=2**31 - 1).tag(sync=True)

    def __init__(self, log_weights: Tensor, images: Tensor, names: Any) -> None:
        log_weights, images = as_tensor("log_weights", log_weights), as_tensor("images", images)
        if log_weights.ndim != 2 or len(log_weights) < 2 or not log_weights.is_floating_point():
            raise ValueError(
                f"log_weights must be floating [draws, n], draws >= 2; "
                f"got {log_weights.dtype} {list(log_weights.shape)}"
            )
        draws, n = log_weights.shape
        if not 1 <= n <= MOST_DIGITS:
            raise ValueError(f"one to {MOST_DIGITS} images can be shown; got {n}")
        if images.ndim != 4 or len(images) != n or images.shape[1] != 1:
            raise ValueError(
                f"images must be [{n}, 1, height, width], one for each column of log_weights; "
                f"got {list(images.shape)}"
            )
        self._names = check_names(names, n)
        columns = log_weights.detach().cpu().to(torch.float32).T.contiguous()  # [n, draws]
        wrong = int((~torch.isfinite(columns)).sum())
        if wrong:
            raise ValueError(f"log_weights must be finite; {wrong} are not")
        bytes_of = images.detach().cpu()
        if bytes_of.dtype != torch.uint8:
            if not bytes_of.is_floating_point() or not bool(
                ((bytes_of >= 0) & (bytes_of <= 1)).all()
            ):
                raise ValueError(f"images must be uint8, or floating in [0, 1]; got {images.dtype}")
            bytes_of = (bytes_of * 255).round().to(torch.uint8)
        weights = payload.Blob.of(columns.numpy().astype("<f4").tobytes())
        digits = payload.pack_digits(bytes_of)
        self._weights = columns.T.double()
        self._images = bytes_of
        super().__init__(
            payload={
                "weights": weights.sha,
                "digits": digits.sha,
                "draws": draws,
                "names": self._names,
                "shape": list(images.shape[2:]),
            },
            blobs=[weights, digits],
            k=min(5, draws),
            source=_sources.lines(log_weights=(None, "the log weights [draws, images]")),
        )

    @traitlets.validate("k", "digit")
    def _check_whole(self, proposal: Any) -> int:
        value, name = proposal["value"], proposal["trait"].name
        if self.payload:
            names = len(self.payload["names"])
            low, high = (1, self.payload["draws"]) if name == "k" else (0, names - 1)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}; got {value}")
        return int(value)

    def ranges(self) -> dict[str, Rule]:
        """Draws and digits there are; any order."""
        return {
            "k": whole(1, self.payload["draws"]),
            "digit": whole(0, len(self.payload["names"]) - 1),
            "shuffle": whole(0, 2**31 - 1),
        }

    def ordered(self) -> Tensor:
        """The chosen image's log weights in the order shown, nats in float64: [draws]."""
        order = torch.from_numpy(shuffled(len(self._weights), self.shuffle))
        return self._weights[order, self.digit]

    def estimate(self) -> LogLikelihood:
        """All draws together, with the bound at ``k`` in its ``sweep``: what the page shows."""
        rows = self.ordered()[:, None]
        return log_mean(iter([rows]), len(rows), (self.k,))

    @property
    def bound(self) -> Bound:
        """The k-draw bound, averaged over blocks of k draws, with its standard error: [1] each."""
        return self.estimate().sweep[self.k]

    def blocks(self, k: int) -> Tensor:
        """The bound from each block of k draws, in nats: [draws // k]."""
        rows = self.ordered()
        return rows[: len(rows) // k * k].reshape(-1, k).logsumexp(1) - math.log(k)

    def first(self) -> LogLikelihood:
        """The first block of k draws by itself: its bound and effective sample size."""
        return log_mean(iter([self.ordered()[: self.k, None]]), self.k, ())

    def figure(self) -> Figure:
        """The digit, its bound against the number of draws, and the first block's weights."""
        draws, k = len(self._weights), self.k
        counts = [count for count in range(1, draws + 1) if draws % count == 0]
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(8.6, 3.0), layout="constrained")
            digit, chart, bars = figure.subplots(1, 3, width_ratios=[1, 3.4, 2.2])
        digit.imshow(self._images[self.digit, 0].numpy(), cmap="gray_r", vmin=0, vmax=255)
        digit.set_axis_off()
        digit.set_title(self._names[self.digit])
        values = [self.blocks(count) for count in counts]
        chart.plot(counts, [v.mean().item() for v in values], color=ACCENT)
        several = [(c, v) for c, v in zip(counts, values, strict=True) if len(v) >= 20]
        if several:
            low, high = ([v.quantile(share).item() for _, v in several] for share in (0.05, 0.95))
            chart.fill_between([c for c, _ in several], low, high, color=ACCENT, alpha=0.15)
        chart.axhline(self.estimate().value.item(), color=INK, ls="--", lw=1)
        chart.plot([k], [self.bound.value.item()], "o", color=ACCENT)
        chart.set(xscale="log", xlabel="draws k", ylabel="nats", title="bound on log P(X)")
        shares = self.ordered()[:k].softmax(0).sort(descending=True).values[:40]
        bars.bar(range(1, len(shares) + 1), shares.tolist(), color=ACCENT)
        bars.set(xlabel="draw, heaviest first", title=f"share of the weight, k = {k}", ylim=(0, 1))
        return figure
