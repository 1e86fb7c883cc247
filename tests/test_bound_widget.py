"""What the bound explorer carries, computes and refuses, without a browser."""

from __future__ import annotations

import math

import pytest
import torch
import traitlets
from torch import Tensor

from vae_core import data, evaluation
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import VAE
from vae_core.widgets import BoundExplorer
from vae_core.widgets import _payload as payload

DRAWS, N = 600, 3


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(5, hidden=(32,), likelihood=BernoulliLikelihood(), seed=1).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return data.binarize(data.load("mnist", "test").images[:N], "fixed")


@pytest.fixture(scope="module")
def weights(model: VAE, images: Tensor) -> Tensor:
    return evaluation.log_weights(model, images, DRAWS)


@pytest.fixture
def widget(weights: Tensor, images: Tensor) -> BoundExplorer:
    return BoundExplorer(weights, images, "721")


@pytest.mark.parametrize("digit", range(N))
@pytest.mark.parametrize("k", [1, 5, 7, 300, DRAWS])
def test_numbers_are_those_of_log_likelihood(
    model: VAE, images: Tensor, widget: BoundExplorer, k: int, digit: int
) -> None:
    """The same draws, seen through the widget and through evaluation: equal within 1e-6 nats."""
    expected = evaluation.log_likelihood(model, images, DRAWS, sweep=(k,))
    widget.k, widget.digit = k, digit
    found = widget.estimate()
    for part in ("value", "standard_error", "effective_samples"):
        assert getattr(found, part).item() == pytest.approx(
            getattr(expected, part)[digit].item(), abs=1e-6
        )
    assert widget.bound.value.item() == pytest.approx(
        expected.sweep[k].value[digit].item(), abs=1e-6
    )
    assert widget.bound.standard_error.item() == pytest.approx(
        expected.sweep[k].standard_error[digit].item(), abs=1e-6
    )
    assert widget.blocks(k).mean().item() == pytest.approx(widget.bound.value.item(), abs=1e-9)
    assert widget.first().value.item() == pytest.approx(widget.blocks(k)[0].item(), abs=1e-9)


def test_float32_weights_survive_unchanged(widget: BoundExplorer, weights: Tensor) -> None:
    raw = payload.Blob("", widget.blobs[widget.payload["weights"]]).raw()
    carried = torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(N, DRAWS)
    assert torch.equal(carried.T.double(), weights)


def test_shuffling_keeps_the_draws_and_changes_the_blocks(widget: BoundExplorer) -> None:
    widget.k = 50
    own, value = widget.ordered(), widget.blocks(50)
    widget.shuffle = 9
    assert not torch.equal(widget.ordered(), own)
    assert torch.equal(widget.ordered().sort().values, own.sort().values)
    assert not torch.allclose(widget.blocks(50), value)
    again = widget.ordered()
    widget.shuffle = 10
    assert not torch.equal(widget.ordered(), again)


def test_every_place_is_reached_about_equally_often(widget: BoundExplorer) -> None:
    """A shuffle that favoured some places would bend the blocks' spread."""
    from vae_core.widgets.bound_explorer import shuffled

    first = torch.tensor([[*shuffled(8, seed)] for seed in range(1, 2001)])[:, 0]
    counts = torch.bincount(first, minlength=8).double()
    chi_square = ((counts - 250) ** 2 / 250).sum().item()
    assert chi_square < 24.3  # 7 degrees of freedom, one in a thousand


def test_figure_and_picture(widget: BoundExplorer) -> None:
    widget.k = 50
    assert len(widget.figure().axes) == 3
    assert widget.to_png().startswith(b"\x89PNG")
    two = BoundExplorer(torch.tensor([[-3.0], [-2.0]]), torch.zeros(1, 1, 2, 2), ["x"])
    assert two.bound.value.item() == pytest.approx(math.log((math.exp(-3) + math.exp(-2)) / 2))
    assert two.figure().axes


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"log_weights": torch.zeros(4)}, r"log_weights must be floating \[draws, n\]"),
        ({"log_weights": torch.zeros(4, 2)}, r"images must be \[2, 1, height, width\]"),
        ({"log_weights": torch.full((4, 3), math.nan)}, "must be finite; 12 are not"),
        ({"log_weights": torch.zeros(4, 13)}, "one to 12 images can be shown; got 13"),
        ({"names": "72"}, "names must name 3 images; got 2"),
    ],
)
def test_wrong_arguments(weights: Tensor, images: Tensor, bad: dict, message: str) -> None:
    arguments = {"log_weights": weights, "images": images, "names": "721", **bad}
    with pytest.raises(ValueError, match=message):
        BoundExplorer(**arguments)


@pytest.mark.parametrize(("name", "value"), [("k", 0), ("k", DRAWS + 1), ("digit", N)])
def test_wrong_traits(widget: BoundExplorer, name: str, value: int) -> None:
    before = getattr(widget, name)
    with pytest.raises((ValueError, traitlets.TraitError), match=f"{name} must be"):
        setattr(widget, name, value)
    assert getattr(widget, name) == before
