"""Numbers of chapter 2's solutions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Normal


def _share_within(d: int, sigma: float, n: int, runs: int, nats: float) -> float:
    """How often ``n`` draws of the prior come within ``nats`` of log P(X), in ``runs`` tries."""
    generator = torch.Generator().manual_seed(d)
    x = torch.tensor(math.sqrt(1 + sigma**2))  # an X of typical size, in every dimension
    exact = d * Normal(0.0, x).log_prob(x).item()
    hits = 0
    for _ in range(runs):
        log_p = Normal(torch.randn(n, d, generator=generator), sigma).log_prob(x).sum(1)
        hits += abs(torch.logsumexp(log_p, 0).item() - math.log(n) - exact) < nats
    return hits / runs


def cost() -> dict[str, Any]:
    """Of the linear-Gaussian model with three noises, the last dimension before the first in which
    fewer than nine runs of ten bring log P(X) within half a nat, by 10,000 draws of the prior, 60
    runs for each dimension; and the divergence of posterior from prior there, in nats."""
    results: dict[str, Any] = {"log_draws": math.log(10_000)}
    for name, sigma in (("quarter", 0.25), ("half", 0.5), ("one", 1.0)):
        d = 1
        while _share_within(d + 1, sigma, 10_000, 60, 0.5) >= 0.9:
            d += 1
        results[f"d_{name}"] = d
        results[f"divergence_{name}"] = d / 2 * math.log(1 + 1 / sigma**2)
    return results
