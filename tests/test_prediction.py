"""The deterministic network that a CVAE's decoder becomes, and the recipes that train it."""

from __future__ import annotations

import torch

from vae_core import _prediction, data, training, zoo
from vae_core.distributions import BernoulliLikelihood
from vae_core.models import CVAE


def network() -> CVAE:
    return CVAE(3, hidden=(16,), likelihood=BernoulliLikelihood(), observed="2-quadrants", seed=1)


def test_the_loss_is_that_of_z_at_zero_and_of_the_missing_pixels() -> None:
    model = network()
    x = data.binarize(data.load("mnist", "test").images[:5], "fixed")
    objective = _prediction.prediction_objective()
    loss = objective(model, x, torch.zeros(5, dtype=torch.int64), None)["loss"]
    with torch.no_grad():
        p = model.mean(torch.zeros(5, 3), x)[:, ~model.observed]
    expected = -torch.distributions.Bernoulli(p).log_prob(x[:, ~model.observed]).sum(1)
    assert torch.allclose(loss, expected, rtol=1e-4)


def test_training_leaves_alone_what_the_network_does_not_use() -> None:
    model, before = network(), network().state_dict()
    few = data.load("mnist", "train").first(256)
    objective = _prediction.prediction_objective()
    training.fit(
        model, few, epochs=1, pixels="dynamic", objective=objective, device="cpu", progress=False
    )
    after = model.state_dict()
    for name, weight in before.items():
        if name.startswith("encoder."):
            assert torch.equal(after[name], weight)
    first = "decoder.layers.0.weight"  # its first columns meet z, the others the given pixels
    assert torch.equal(after[first][:, :3], before[first][:, :3])
    assert not torch.equal(after[first][:, 3:], before[first][:, 3:])


def test_every_recipe_can_be_made_and_has_an_objective() -> None:
    conditional = [name for name in zoo.RECIPES if name.startswith(("cvae-", "net-"))]
    assert len(conditional) == 8
    for name in conditional:
        recipe = zoo.RECIPES[name]
        assert isinstance(zoo._untrained(recipe, 0), CVAE)
        assert (zoo._objective(recipe) is None) != name.startswith("net-")
        assert (name, 0) in zoo.USED
