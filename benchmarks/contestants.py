"""Five ways to run one epoch of a 784-512-2 VAE, and the work below which none can go.

Each is a function of a :class:`Setting` that makes everything ready and returns what runs one
epoch. What the others do is written anew from their pattern, with nothing made slower on purpose.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_core import data, models, training

PIXELS, HIDDEN, LATENT = 784, 512, 2
Epoch = Callable[[], Any]


class NotRun(RuntimeError):
    """A contestant can't take part here; the message says why."""


@dataclass(frozen=True)
class Setting:
    """What all contestants share: the first ``n`` training digits, the batch and the device."""

    n: int = 60_000
    batch_size: int = 128
    device: str = "cpu"

    @property
    def digits(self) -> data.ImageData:
        return data.load("mnist", "train+validation").first(self.n)

    @property
    def batch_sizes(self) -> list[int]:
        whole, rest = divmod(self.n, self.batch_size)
        return [self.batch_size] * whole + ([rest] if rest else [])


def _vision() -> Any:
    try:
        import torchvision
    except ImportError:
        raise NotRun("torchvision is not installed") from None
    return torchvision


def _loader(setting: Setting) -> torch.utils.data.DataLoader[Any]:
    """torchvision's MNIST through ToTensor, image by image: what most tutorials do."""
    vision = _vision()
    digits = vision.datasets.MNIST(
        data.torchvision_root(), train=True, transform=vision.transforms.ToTensor()
    )
    some = torch.utils.data.Subset(digits, range(setting.n))
    return torch.utils.data.DataLoader(some, batch_size=setting.batch_size, shuffle=True)


class _Plain(nn.Module):
    """The five layers of the tutorial's VAE; ``forward`` gives pixel means, mean and spread."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(PIXELS, HIDDEN)
        self.mean = nn.Linear(HIDDEN, LATENT)
        self.spread = nn.Linear(HIDDEN, LATENT)
        self.out = nn.Linear(LATENT, HIDDEN)
        self.last = nn.Linear(HIDDEN, PIXELS)

    def forward(self, x: Tensor, factor: float) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.into(x.flatten(1)))
        mean, spread = self.mean(h), self.spread(h)
        z = mean + torch.exp(factor * spread) * torch.randn_like(mean)
        return torch.sigmoid(self.last(F.relu(self.out(z)))), mean, spread


def tutorial(setting: Setting) -> Epoch:
    """DataLoader + ToTensor, summed squared error + KL, Adam as torch makes it by default."""
    loader, model = _loader(setting), _Plain().to(setting.device)
    optimizer = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        for images, _ in loader:
            x = images.to(setting.device)
            optimizer.zero_grad()
            mean, mu, log_sigma = model(x, 1.0)
            sigma = torch.exp(log_sigma)
            kl = ((sigma**2 + mu**2 - 1) / 2 - log_sigma).sum()
            loss = ((x.flatten(1) - mean) ** 2).sum() + kl
            loss.backward()
            optimizer.step()

    return epoch


def pytorch_example(setting: Setting) -> Epoch:
    """PyTorch's own example: binary cross-entropy on grey pixels, loss read at every step."""
    loader, model = _loader(setting), _Plain().to(setting.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> float:
        model.train()
        total = 0.0
        for images, _ in loader:
            x = images.to(setting.device)
            optimizer.zero_grad()
            mean, mu, log_variance = model(x, 0.5)
            cross_entropy = F.binary_cross_entropy(mean, x.flatten(1), reduction="sum")
            kl = -0.5 * torch.sum(1 + log_variance - mu.pow(2) - log_variance.exp())
            loss = cross_entropy + kl
            loss.backward()
            total += loss.item()
            optimizer.step()
        return total

    return epoch


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def pythae(setting: Setting) -> Epoch:
    """Pythae's BaseTrainer on its default networks, which are 784-512-2; images as float tensors.

    Only its training pass is timed, not the files its ``train`` writes.
    """
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError as error:
        raise NotRun(f"Pythae can't be imported ({error})") from None
    digits = setting.digits
    logging.getLogger("pythae").setLevel(logging.WARNING)
    folder = tempfile.TemporaryDirectory(prefix="pythae-")
    with _silent():
        trainer = BaseTrainer(
            VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="mse")),
            train_dataset=BaseDataset(data.to_float(digits.images), digits.labels),
            training_config=BaseTrainerConfig(
                output_dir=folder.name,
                num_epochs=1,
                learning_rate=1e-3,
                per_device_train_batch_size=setting.batch_size,
                no_cuda=setting.device == "cpu",
            ),
        )
        trainer.prepare_training()

    def epoch() -> None:
        assert os.path.isdir(folder.name)  # and so the folder lives as long as the trainer
        with _silent():
            trainer.train_step(1)

    return epoch


def ours(setting: Setting, **options: Any) -> Epoch:
    """``vae_core.training.fit`` as a chapter calls it, its set-up included."""
    digits, model = setting.digits, models.VAE(LATENT, hidden=(HIDDEN,))

    def epoch() -> training.History:
        return training.fit(
            model,
            digits,
            epochs=1,
            batch_size=setting.batch_size,
            device=setting.device,
            progress=False,
            **options,
        )

    return epoch


def floor(setting: Setting) -> Epoch:
    """Only the epoch's matrix products, forward and backward, on fixed buffers, and fused Adam.

    No data, no activations, no loss, no autograd: what no trainer on these kernels can undercut.
    """
    model = _Plain().to(setting.device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * 1e-3
    optimizer = training.adam(model, 1e-3)
    # (layer, whether its input's gradient is needed: not the first layer's)
    layers = [(model.into, False), (model.mean, True), (model.spread, True)]
    layers += [(model.out, True), (model.last, True)]

    def products(size: int) -> list[Callable[[], Tensor]]:
        todo: list[Callable[[], Tensor]] = []
        for layer, inward in layers:
            weight = layer.weight.detach()
            x = torch.randn(size, layer.in_features, device=setting.device)
            y = torch.randn(size, layer.out_features, device=setting.device)
            forward, backward, gradient = (
                torch.empty_like(y),
                torch.empty_like(x),
                layer.weight.grad,
            )
            todo.append(partial(torch.mm, x, weight.t(), out=forward))
            todo.append(partial(torch.mm, y.t(), x, out=gradient))
            if inward:
                todo.append(partial(torch.mm, y, weight, out=backward))
        return todo

    work = {size: products(size) for size in set(setting.batch_sizes)}

    def epoch() -> None:
        for size in setting.batch_sizes:
            for product in work[size]:
                product()
            optimizer.step()

    return epoch


CONTESTANTS: dict[str, Callable[[Setting], Epoch]] = {
    "the tutorial's way": tutorial,
    "PyTorch's VAE example": pytorch_example,
    "Pythae's trainer": pythae,
    "vae_core": ours,
    # On request only: half the digits of a product, at about twice the speed where the CPU has it.
    "vae_core, bf16": partial(ours, bf16=True),
    "floor": floor,
}
