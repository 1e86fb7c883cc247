"""The training lab's runs in Python: where one stands after some steps, and its printed picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_core._plot import ACCENT, CLASSES, INK, draw_plane
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import _training_data as examples
from vae_core.widgets._training_twin import Score, Twin, model_of, trained_tensors

SCORED = 500  # training examples that the page's curve is of
GRID, LATTICE = 11, 25  # decoded points a side, of digits and of points of the plane
REACH = 3.0


class Trained(NamedTuple):
    """A run after some steps: what the page shows of it, in nats an example where it is a term.

    ``elbo``, ``reconstruction`` (the mean of log P(X|z), one draw of z for each example) and
    ``kl`` [latents] are those of the held-out examples, ``elbo_train`` of the first 500 training
    examples; ``loss`` is that of the last batch as the program has it, ``None`` at step 0.
    """

    step: int
    model: VAE | Autoencoder  # float64
    elbo: float
    elbo_train: float
    reconstruction: float
    kl: np.ndarray
    loss: float | None
    codes: np.ndarray  # [n, latents], means of the held-out examples


def by_name(model: VAE | Autoencoder, flat: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors of ``model`` out of one array, in the page's order."""
    found, at = {}, 0
    for name, tensor in trained_tensors(model).items():
        found[name] = flat[at : at + tensor.numel()].reshape(tuple(tensor.shape))
        at += tensor.numel()
    return found


def link_of(own: examples.Examples) -> str:
    """The link of a Gaussian's mean for these examples: greys lie in [0, 1], points anywhere."""
    return "identity" if own.shape == (1, 1, 2) else "sigmoid"


class Run:
    """One run from its first weights, or from ``start`` (bytes of float64), with its curve.

    ``kind`` is the likelihood that the numbers are for, where that is not the run's own.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        own: examples.Examples,
        start: bytes,
        kind: str | None = None,
    ) -> None:
        kind, link = kind or settings["likelihood"], link_of(own)
        weights = None
        if start:
            weights = by_name(model_of(settings, own.shape, link), np.frombuffer(start, "<f8"))
        self.own = own
        self.train_set = examples.as_numbers(own.train, kind, own.on)
        self.held_out = examples.as_numbers(own.held_out, kind, own.on)
        self.twin = Twin(settings, self.train_set, own.shape, link, weights)
        self.loss: float | None = None
        self.steps: list[int] = []
        self.scores: list[Score] = []

    def train(self, steps: int) -> Run:
        """Train to step ``steps``; it ends before at a loss that is no number."""
        while self.twin.step < steps:
            before = self.twin.step
            self.loss = self.twin.train().loss
            if self.twin.step == before:
                break
        return self

    def record(self) -> None:
        """Add where the run stands to its curve."""
        self.steps.append(self.twin.step)
        self.scores.append(self.twin.score(self.held_out))

    def trained(self) -> Trained:
        """Where the run stands."""
        out, inside = (self.twin.score(x) for x in (self.held_out, self.train_set[:SCORED]))
        return Trained(
            self.twin.step, self.twin.model.eval(), out.reconstruction - out.kl.sum(),
            inside.reconstruction - inside.kl.sum(), out.reconstruction, out.kl, self.loss,
            out.codes,
        )  # fmt: skip

    @torch.no_grad()
    def decoded(self, side: int) -> np.ndarray:
        """Means at a square of latents over [-3, 3], [side, side, *shape]."""
        model = self.twin.model.eval()
        axis = torch.linspace(-REACH, REACH, side, dtype=torch.float64, device="cpu")
        z = torch.zeros(side, side, model.latent_dim, dtype=torch.float64, device="cpu")
        z[..., 0], z[..., 1] = axis[None, :], axis.flip(0)[:, None]
        return model.mean(z.flatten(0, 1)).view(side, side, *model.shape).numpy()


def finished(
    settings: Mapping[str, Any],
    own: examples.Examples,
    start: bytes,
    kind: str,
    steps: int,
    every: int,
) -> Run:
    """A run of so many steps with a point of its curve at every so many; the rest as in Run."""
    run = Run(settings, own, start, kind)
    run.record()
    for step in range(every, steps + 1, every):
        if run.train(step).twin.step < step:
            break
        run.record()
    return run


def picture(runs: list[dict[str, Any]], done: list[Run], classes: list[str]) -> Figure:
    """Each run in a row: its map, what its plane decodes to, and the curve of its ELBO."""
    figure = Figure(figsize=(5.6, 2.0 * len(runs)), layout="constrained")
    grid = figure.subplots(len(runs), 3, squeeze=False)
    own = done[0].own
    labels = own.labels[len(own.train) :]
    planar = link_of(own) == "identity"
    for row, (settings, run) in enumerate(zip(runs, done, strict=True)):
        plane, decoded, curve = grid[row]
        codes = run.scores[-1].codes[:, :2]
        if np.isfinite(codes).all():
            draw_plane(plane, codes, labels, [""] * 5 if planar else classes)
        plane.set_title(_title(settings, runs[0], row), fontsize=9)
        (_draw_points if planar else _draw_grid)(decoded, run)
        bound = [score.reconstruction - score.kl.sum() for score in run.scores]
        curve.plot(run.steps, bound, color=ACCENT)
        curve.set_xlabel("step", fontsize=9)
        curve.set_ylabel("ELBO, held out (nats)", fontsize=9)
        for axes in (decoded, curve):
            axes.tick_params(labelsize=8)
    return figure


def _title(run: Mapping[str, Any], first: Mapping[str, Any], row: int) -> str:
    """What a run changes, in words; of the first run, what it is."""
    changed = {name: value for name, value in run.items() if row and value != first[name]}
    words = (
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in changed.items()
    )
    return ", ".join(words) or f"{run['model']}, {run['likelihood']}"


def _draw_grid(axes: Axes, run: Run) -> None:
    _, height, width = run.own.shape
    means = run.decoded(GRID).reshape(GRID, GRID, height, width)
    rows = means.transpose(0, 2, 1, 3).reshape(GRID * height, GRID * width)
    shown = np.clip(np.nan_to_num(rows), 0, 1)
    axes.imshow(shown, cmap="gray_r", vmin=0, vmax=1, extent=(-REACH, REACH, -REACH, REACH))
    axes.set_title("decoded plane", fontsize=9)


def _draw_points(axes: Axes, run: Run) -> None:
    own = run.own
    colors = [CLASSES[k] for k in own.labels[len(own.train) :]]
    across, up = own.held_out.T
    axes.scatter(across, up, c=colors, s=3, alpha=0.6, linewidths=0)
    lattice = run.decoded(LATTICE).reshape(LATTICE, LATTICE, 2)
    if np.isfinite(lattice).all():
        for lines in (lattice[::4], lattice[:, ::4].transpose(1, 0, 2)):
            for line in lines:
                axes.plot(*line.T, color=INK, lw=0.6, alpha=0.6)
    axes.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")
    axes.set_title("data, and the plane's image", fontsize=9)
