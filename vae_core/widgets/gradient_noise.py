"""GradientNoise: how batch size and draws of z decide the noise of a stochastic gradient."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from vae_core import _check
from vae_core._plot import ACCENT, INK
from vae_core.evaluation import GradientLaw, ScalarVAE
from vae_core.widgets._base import BrowserWidget
from vae_core.widgets._share import Rule, among, whole

LARGEST = 64  # images in a batch, and draws of each
ESTIMATES = 1000  # behind a histogram


class GradientNoise(BrowserWidget):
    """Many stochastic gradients of one small VAE, beside the exact gradient and the exact law.

    Args:
        case: the model, one pixel and one latent; the default stands on the way to its optimum.

    Live traits, each two-way: ``batch`` (images in a batch) and ``draws`` (of z, for each image),
    powers of two up to 64; ``parameter``, "decoder" or "encoder"; ``hold_z``, whether z counts as
    a constant (the gradient moved inside the expectation); ``equal_cost``, whether a change of
    one of the two numbers changes the other so that their product stays; ``seed`` of the
    estimates' draws.

    Raises:
        ValueError: for a case or a trait that makes no sense, saying what was given.
    """

    NAME: ClassVar[str] = "gradient_noise"
    PICTURE: ClassVar[str] = (
        "A histogram of gradient estimates with the true gradient marked; beside it the "
        "standard deviation of an estimate falling with the draws of z to the floor that the "
        "images set."
    )
    STATE: ClassVar[tuple[str, ...]] = (
        "batch", "draws", "parameter", "hold_z", "equal_cost", "seed",
    )  # fmt: skip
    RANGES: ClassVar[dict[str, Rule]] = {
        "batch": among(2**k for k in range(LARGEST.bit_length())),
        "draws": among(2**k for k in range(LARGEST.bit_length())),
        "parameter": among(("decoder", "encoder")),
        "hold_z": among((False, True)),
        "equal_cost": among((False, True)),
        "seed": whole(0, 2**31 - 1),
    }

    batch = traitlets.Int(8).tag(sync=True)
    draws = traitlets.Int(4).tag(sync=True)
    parameter = traitlets.Unicode("decoder").tag(sync=True)
    hold_z = traitlets.Bool(False).tag(sync=True)
    equal_cost = traitlets.Bool(False).tag(sync=True)
    seed = traitlets.Int(1, min=0, max=2**31 - 1).tag(sync=True)

    def __init__(self, case: ScalarVAE | None = None) -> None:
        case = ScalarVAE() if case is None else case
        if not isinstance(case, ScalarVAE):
            raise ValueError(f"case must be a ScalarVAE, got {type(case).__name__}")
        case.check()
        case = ScalarVAE(*map(float, case))
        for parameter in ("decoder", "encoder"):
            if not all(map(math.isfinite, case.law(parameter))):
                raise ValueError(f"case must have finite gradients, got {tuple(case)}")
        self.case = case
        super().__init__(
            payload={"case": case._asdict(), "largest": LARGEST, "estimates": ESTIMATES}, blobs=[]
        )

    @traitlets.validate("batch", "draws")
    def _check_count(self, proposal: Any) -> int:
        value, name = proposal["value"], proposal["trait"].name
        if not 1 <= value <= LARGEST or value & (value - 1):
            raise ValueError(f"{name} must be a power of two from 1 to {LARGEST}, got {value}")
        return int(value)

    @traitlets.validate("parameter")
    def _check_parameter(self, proposal: Any) -> str:
        self.case.law(proposal["value"])
        return str(proposal["value"])

    def python(self) -> str:
        """The law of the case that is shown."""
        return (
            "from vae_core.evaluation import ScalarVAE\n\n"
            f"case = {self.case!r}\n"
            "law = case.law({{parameter}}, hold_z={{hold_z}})\n"
            "deviation = law.standard_deviation({{batch}}, {{draws}})\n"
            'print(f"true gradient {law.truth:.4f}, mean of estimates {law.mean:.4f}, "\n'
            '      f"their standard deviation {deviation:.4f}")'
        )

    def law(self) -> GradientLaw:
        """The exact law of the gradient that is shown."""
        return self.case.law(self.parameter, hold_z=self.hold_z)

    def estimates(self, count: int = ESTIMATES) -> Tensor:
        """``count`` estimates of the gradient, [count], from Python's own draws by ``seed``."""
        options: Any = {
            "generator": torch.Generator("cpu").manual_seed(self.seed),
            "dtype": torch.float32,
            "device": "cpu",
        }
        x = self.case.data * torch.randn(_check.whole("count", count), self.batch, **options)
        noise = torch.randn(len(x), self.draws, self.batch, **options)
        rows = zip(x, noise, strict=True)
        return torch.stack(
            [self.case.estimate(*row, self.parameter, hold_z=self.hold_z) for row in rows]
        )

    def figure(self) -> Figure:
        """The histogram with the truth, and the standard deviation against the draws."""
        law = self.law()
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.hist(self.estimates().numpy(), bins=40, density=True, color=ACCENT, alpha=0.5)
        left.axvline(law.truth, color=INK, lw=1.5)
        left.set(xlabel="estimate of the gradient", ylabel="density")
        left.set_title(f"{self.batch} images, {self.draws} draws of each", fontsize=10)
        draws = 2 ** np.arange(LARGEST.bit_length())
        deviation = [law.standard_deviation(self.batch, int(n)) for n in draws]
        right.loglog(draws, deviation, color=ACCENT)
        right.axhline(np.sqrt(law.between_images / self.batch), color=INK, ls="--", lw=1)
        right.set(xlabel="draws of z for each image", ylabel="standard deviation")
        return figure
