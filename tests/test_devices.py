"""Whatever a tensor is made of, wherever it lies, whatever torch's defaults are: the same results.

On a machine with an Apple GPU the tests of "mps" run on it; elsewhere on a stand-in that refuses
what that device refuses (``fake_mps``).
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_mps
import numpy as np
import pytest
import torch
from helpers import ROOT, one_sentence
from surface import CALLS, WITHOUT_TENSORS, Here, missing, plain, same
from torch import Tensor

from vae_core import data, evaluation, models, objectives


@functools.cache
def expected(name: str) -> list[Any]:
    """What a call gives on the CPU, with torch's own defaults."""
    return list(plain(CALLS[name](Here())))


def test_every_public_function_is_in_the_table() -> None:
    assert missing() == [], "tests/surface.py needs a call for each of these"


# ---- Apple's GPU -------------------------------------------------------------------------------


def test_the_stand_in_refuses_what_the_device_refuses() -> None:
    with fake_mps.stand_in() as device:
        there, here = torch.zeros(3, device=device), torch.zeros(3)
        assert str(there.device) == str((there + 1).device) == "mps:0"
        assert there.cpu().double().dtype == torch.float64
        for call, kind, words in (
            (lambda: there.double(), TypeError, "doesn't support float64"),
            (lambda: here.double().to(device), TypeError, "doesn't support float64"),
            (lambda: there.to("cpu", torch.float64), TypeError, "doesn't support float64"),
            (lambda: there + here, RuntimeError, "at least two devices"),
            (lambda: there.numpy(), TypeError, "can't convert mps:0"),
            (lambda: np.asarray(there), TypeError, "can't convert mps:0"),
            (lambda: torch.special.ndtri(there), NotImplementedError, "special_ndtri"),
            (
                lambda: torch.rand(2, generator=torch.Generator(), device=device),
                RuntimeError,
                "gen",
            ),
            (lambda: torch.rand(2, generator=torch.Generator(device)), RuntimeError, "generator"),
        ):
            with pytest.raises(kind, match=words):
                call()
        model = torch.nn.Linear(3, 2).to(device)
        model(torch.ones(4, 3, device=device)).sum().backward()
        torch.optim.Adam(model.parameters()).step()
        assert model.weight.grad is not None
        assert str(model.weight.device) == str(model.weight.grad.device) == "mps:0"
        assert str(model.cpu().weight.device) == "cpu"
    assert torch.zeros(2).device.type == "cpu"
    assert torch.Generator is fake_mps._Generator


def alike(name: str, here: Here) -> None:
    """The same numbers; on a real device, whose draws are its own, as many and all finite."""
    found = list(plain(CALLS[name](here)))
    if fake_mps.is_real():
        assert len(found) == len(expected(name))
    else:
        same(found, expected(name))


@pytest.mark.parametrize("name", CALLS)
def test_on_apples_gpu(name: str) -> None:
    before = expected(name)
    assert before
    with fake_mps.apple_gpu() as device:
        alike(name, Here(device))


# What moves images to the model by itself takes them from anywhere.
MOVES = [
    name
    for name in CALLS
    if name.startswith("widgets.")
    or name in {f"evaluation.{own}" for own in (
        "log_likelihood", "log_weights", "rate_distortion", "trade_off", "latent_samples",
        "prior_sampling", "prior_divergence", "true_posterior_grid", "refine_posterior", "impute",
        "gradient_variance", "classify", "image_features", "reconstruction_error",
    )}
    or name in ("objectives.set_sigma", "coding.compress", "coding.decompress")
]  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_a_model_on_one_device_and_images_on_another(name: str) -> None:
    assert expected(name)
    with fake_mps.apple_gpu() as device:
        alike(name, Here(device, images_on="cpu"))
        alike(name, Here("cpu", images_on=device))


def test_a_model_and_images_on_two_devices_are_told_apart() -> None:
    x, z = torch.zeros(2, 1, 28, 28), torch.zeros(2, 2)
    with fake_mps.apple_gpu() as device:
        model = models.VAE(2, hidden=(8,)).to(device)
        conditional = models.CVAE(2, hidden=(8,), classes=10).to(device)
        labels = torch.zeros(2, dtype=torch.int64)
        for call, words in (
            (
                lambda: model.encode(x),
                "images must be on mps:0, where the model is; got them on cp",
            ),
            (lambda: model.decode(z), "z must be on mps:0, where the model is; got them on cpu"),
            (lambda: objectives.elbo(model, x), "images must be on mps:0"),
            (lambda: conditional.encode(x.to(device), labels), "labels must be on mps:0"),
            (
                lambda: objectives.elbo(model, x.to(device), generator=torch.Generator()),
                "generator is on cpu and the model on mps",
            ),
            (
                lambda: model.generate(2, generator=torch.Generator(device)),
                "generator is on mps:0 and the draw on cpu",
            ),
            (
                lambda: data.binarize(x.to(device), generator=torch.Generator()),
                "generator is on cpu and the images on mps:0",
            ),
        ):
            with pytest.raises(ValueError, match=words) as error:
                call()
            one_sentence(error)


# ---- torch's defaults --------------------------------------------------------------------------


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CALLS)
def test_torchs_default_device_changes_nothing(name: str) -> None:
    """ "meta" stands for any other device: a tensor made there by mistake has no values."""
    before = expected(name)
    with default_device("meta"):
        found = list(plain(CALLS[name](Here())))
    same(found, before)


@pytest.mark.parametrize("name", CALLS)
def test_torchs_default_dtype_changes_nothing(name: str) -> None:
    """Models and images in float32, made and used while torch's default is float64."""
    before = expected(name)
    with default_dtype(torch.float64):
        found = list(plain(CALLS[name](Here())))
    same(found, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", [name for name in CALLS if name.startswith(("evaluation.", "widgets.", "objectives."))]
)
def test_gradients_switched_off_change_nothing(name: str) -> None:
    before = expected(name)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = list(plain(CALLS[name](Here())))
        same(found, before)


# ---- what tensors are made of ------------------------------------------------------------------


def strided(tensor: Tensor) -> Tensor:
    """The same values, every second number of a larger memory, last dimension first."""
    if tensor.ndim < 2:
        return torch.stack([tensor, tensor], -1)[..., 0]
    spread = torch.stack([tensor, tensor], -1).transpose(-2, 0).contiguous().transpose(-2, 0)
    return spread[..., 0]


def differentiable(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor


GIVEN = [name for name in CALLS if name not in WITHOUT_TENSORS]


def changed(name: str, change: Callable[[Tensor], Any]) -> None:
    """The same result with every tensor that is given changed so; and some are given."""
    given: list[Any] = []

    def counted(tensor: Tensor) -> Any:
        given.append(change(tensor))
        return given[-1]

    same(CALLS[name](Here(change=counted)), expected(name))
    assert given


@pytest.mark.parametrize("name", GIVEN)
def test_memory_in_any_order(name: str) -> None:
    changed(name, strided)


@pytest.mark.parametrize("name", GIVEN)
def test_tensors_that_require_a_gradient(name: str) -> None:
    changed(name, differentiable)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in GIVEN
        if name.startswith(("evaluation.", "figures.", "data.to_float", "data.binarize"))
        and name not in ("evaluation.ScalarVAE",)
    ],
)
def test_arrays_in_place_of_tensors(name: str) -> None:
    changed(name, lambda tensor: tensor.numpy())


def test_arrays_of_any_memory_and_lists() -> None:
    scores = np.arange(6, dtype=np.float64)
    wanted = evaluation.auroc(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0.0, 2.0, 4.0]))
    for inside, outside in (
        ([1, 3, 5], [0, 2, 4]),
        ((1.0, 3.0, 5.0), scores[::2]),
        (scores[::-2], scores[::2].astype(">f8")),
        (scores[1::2].astype(np.float16), scores[::2].astype(np.int32)),
        ([torch.tensor(1.0), torch.tensor(3.0), torch.tensor(5.0)], np.array([0, 2, 4], np.uint8)),
    ):
        assert evaluation.auroc(inside, outside) == pytest.approx(wanted)
    read_only = scores[1::2].copy()
    read_only.flags.writeable = False
    assert evaluation.auroc(read_only, [0, 2, 4]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "wrong",
    [None, "scores", 3, {"a": 1}, [[1, 2], [3]], ["a", "b"], [None, 1], object(), [1 + 2j],
     [torch.zeros(2), torch.zeros(3)], np.array(["a"]), np.array([None])],
)  # fmt: skip
def test_what_is_no_tensor_is_told(wrong: Any) -> None:
    for call in (
        lambda: evaluation.auroc(wrong, [0, 1]),
        lambda: evaluation.moments(wrong),
        lambda: evaluation.mean_estimate(wrong),
        lambda: data.to_float(wrong),
        lambda: evaluation.latent_samples(models.VAE(2, hidden=(8,)), wrong),
    ):
        with pytest.raises(ValueError, match="must be a tensor, or an array or list") as error:
            call()
        one_sentence(error)


# torch draws other numbers in float64 from the same generator.
DRAWN_ANEW = {
    *(f"objectives.{name}" for name in (
        "elbo", "log_weights", "importance_weighted_bound", "MaskingNoise", "SaltAndPepper",
        "GaussianNoise", "elbo_objective", "importance_weighted_objective", "objective_for",
        "set_sigma",
    )),
    *(f"evaluation.{name}" for name in (
        "log_likelihood", "log_weights", "rate_distortion", "trade_off", "residual_variances",
        "importance_sampling", "monte_carlo", "prior_sampling", "prior_divergence",
        "refine_posterior", "impute", "posterior_gradients", "gradient_variance",
    )),
}  # fmt: skip

# ---- dtypes of models --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in GIVEN if name.startswith(("evaluation.", "objectives.", "widgets."))]
)
def test_models_in_double_precision(name: str) -> None:
    """The same numbers with more digits; of other draws, as many numbers of the same size."""
    found = list(plain(CALLS[name](Here(dtype=torch.float64))))
    if name in DRAWN_ANEW:
        for ours, theirs in zip(found, expected(name), strict=True):
            if isinstance(theirs, np.ndarray | float):
                assert np.shape(ours) == np.shape(theirs)
                assert np.isfinite(ours).all() == np.isfinite(theirs).all()
    else:
        same(found, expected(name), rtol=2e-3, atol=2e-3)


def test_a_model_of_sixteen_bits_is_evaluated_in_thirty_two() -> None:
    """Its weights are what they are; the sums over 784 pixels are not left to bfloat16."""
    images = data.load("mnist", "test").images[:20]
    for dtype in (torch.bfloat16, torch.float16):
        rough = models.VAE(2, hidden=(16,), seed=1).to(dtype)
        exact = models.VAE(2, hidden=(16,), seed=1).to(dtype).float()
        for call in (
            lambda m: evaluation.rate_distortion(m, images),
            lambda m: evaluation.log_likelihood(m, images, 10, progress=False),
            lambda m: evaluation.trade_off(m, images),
            lambda m: evaluation.latent_samples(m, images),
            lambda m: evaluation.reconstruction_error(m, images),
        ):
            same(call(rough), call(exact))
        assert next(rough.parameters()).dtype == dtype  # the caller's own is left as it was


# ---- the source --------------------------------------------------------------------------------

FACTORIES = {
    "arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn",
    "randperm", "tensor", "zeros",
}  # fmt: skip
PLACES = ("coding", "data", "evaluation", "figures", "models", "objectives", "widgets")


@pytest.mark.parametrize("place", PLACES)
def test_whatever_makes_a_tensor_says_where(place: str) -> None:
    """A tensor made without a device lies wherever ``torch.set_default_device`` says."""
    unsaid = []
    for path in sorted((ROOT / "vae_core" / place).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            base, name = node.func.value, node.func.attr
            torchs = isinstance(base, ast.Name) and base.id == "torch"
            said = any(key.arg in ("device", None) for key in node.keywords)
            if torchs and name in FACTORIES and not said:
                unsaid.append(f"{Path(path).name}:{node.lineno} torch.{name}")
    assert unsaid == []
