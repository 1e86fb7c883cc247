"""Train a VAE from the command line, on one device or, under torchrun, on several.

  python -m vae_core.training --output vae.safetensors
  torchrun --nproc_per_node=2 -m vae_core.training --output vae.safetensors

Under torchrun each process takes its share of every batch (on CUDA: one GPU a process, over NCCL;
else over gloo), and the result is that of one process with the same --seed and --batch-size (the
whole batch's) but for rounding. Several machines are torchrun's own matter: run on each machine

  torchrun --nnodes=2 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=HOST:29500 \\
    --rdzv_id=1 -m vae_core.training --output vae.safetensors --checkpoint vae.checkpoint

with the name of one of them for HOST. The first process alone reads and writes the checkpoint and
the output, so no shared disk is needed. After a kill, the same command goes on from the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import nn

from vae_core import _files, _text, distributions, models
from vae_core import data as datasets
from vae_core._check import whole
from vae_core.training import PIXELS, SCHEDULES, History, NonFiniteLossError, fit, pick_device

LIKELIHOODS: dict[str, Callable[[], distributions.Likelihood]] = {
    "gaussian": distributions.GaussianLikelihood,
    "gaussian-learned": lambda: distributions.GaussianLikelihood("learned"),
    "bernoulli": distributions.BernoulliLikelihood,
}
_NAME = "python -m vae_core.training"
_OWN = -1  # --validation without a number
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; ``--help`` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


def _path(text: str) -> Path:
    return _files.place("it", text)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = _Parser(
        prog=_NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument_group("the model").add_argument
    add("--model", choices=("vae", "autoencoder"), default="vae", help="(default vae)")
    add("--latent-dim", type=int, default=2, help="size of z (default 2)")
    add("--architecture", choices=tuple(models.ARCHITECTURES), default="mlp", help="(default mlp)")
    add(
        "--hidden",
        type=int,
        nargs="*",
        help="hidden widths, or channels of convolutions (default 512 for mlp, 32 64 for conv)",
    )
    add("--activation", choices=tuple(models.ACTIVATIONS), default="relu", help="(default relu)")
    add("--likelihood", choices=tuple(LIKELIHOODS), default="gaussian", help="P(X|z)")
    add("--dtype", choices=tuple(DTYPES), default="float32", help="of weights and pixels")
    add = made.add_argument_group("the data").add_argument
    add(
        "--data",
        default="mnist",
        help=f"{', '.join(datasets.available())}, or a folder of images (default mnist)",
    )
    add("--size", type=int, help="height and width of a folder's images (default 28)")
    add("--channels", type=int, help="1 (grey) or 3 (RGB), of a folder's images (default 1)")
    add(
        "--split",
        choices=("train", "train+validation"),
        default="train",
        help="what to train on (default train)",
    )
    add("--pixels", choices=PIXELS, default="grey", help="(default grey)")
    add("--first", type=int, metavar="N", help="the first N images of those alone (default all)")
    add(
        "--validation",
        type=int,
        nargs="?",
        const=_OWN,
        metavar="N",
        help="validate on the last N images of those, held out; without N, on the data set's own "
        "validation split",
    )
    add = made.add_argument_group("the training").add_argument
    add("--epochs", type=int, default=20, help="(default 20)")
    add("--batch-size", type=int, default=128, help="of all processes together (default 128)")
    add("--learning-rate", type=float, default=1e-3, help="(default 0.001)")
    add("--schedule", choices=SCHEDULES, default="constant", help="(default constant)")
    add("--patience", type=int, metavar="N", help="stop after N epochs without improvement")
    add("--seed", type=int, default=0, help="of first weights, order and noise (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default auto)")
    add("--bf16", action="store_true", help="matrix products in bfloat16")
    add("--cuda-graph", action="store_true", help="replay a recorded step (CUDA, one process)")
    add = made.add_argument_group("the files").add_argument
    add("--checkpoint", type=_path, help="file to keep the state in, and to go on from")
    add("--checkpoint-steps", type=int, metavar="N", help="save every N steps, not epochs alone")
    add(
        "--output",
        type=_path,
        help="file for the trained weights, as safetensors; when stopped, NAME.stopped",
    )
    return made


def _check(chosen: argparse.Namespace) -> None:
    """Raise, before any work, ``ValueError`` for options that can't be meant, and ``OSError`` where
    the weights can't be written."""
    for name in ("first", "validation"):
        value = getattr(chosen, name)
        if value is not None and (name, value) != ("validation", _OWN):
            whole(f"--{name}", value)
    if chosen.validation == _OWN and chosen.split != "train":
        raise ValueError("--validation without a number is for --split train: they would overlap")
    if chosen.output is None:
        return
    stopped = _stopped(chosen.output)
    if chosen.checkpoint is not None:
        places = {os.path.realpath(path) for path in (chosen.output, stopped)}
        if os.path.realpath(chosen.checkpoint) in places:
            raise ValueError("--checkpoint and --output must be two files")
    for path in (chosen.output, stopped):
        try:
            _files.check_place(path)
        except OSError as error:
            raise _unwritten(path, error) from None


def _stopped(output: Path) -> Path:
    """Where the weights of a training go that was stopped: never in the place of a whole model."""
    return output.with_name(f"{output.stem}.stopped{output.suffix}")


def _unwritten(path: Path, error: OSError) -> OSError:
    return OSError(f"the weights can't be written to {path} ({error.strerror or error})")


def _images(chosen: argparse.Namespace) -> tuple[datasets.ImageData, datasets.ImageData | None]:
    """What to train on, and what to validate on."""
    asked = {"size": chosen.size, "channels": chosen.channels}
    given = {name: value for name, value in asked.items() if value is not None}
    name = os.path.expanduser(chosen.data)
    images = datasets.load(name, chosen.split, **given)
    if chosen.first is not None:
        images = images.first(chosen.first)
    if chosen.validation is None:
        return images, None
    if chosen.validation == _OWN:
        return images, datasets.load(name, "validation", **given)
    n = len(images.labels) - chosen.validation
    if n < 1:
        raise ValueError(
            f"--validation must leave images to train on; "
            f"got {chosen.validation} of {len(images.labels)}"
        )
    held_out = images._replace(images=images.images[n:], labels=images.labels[n:])
    return images.first(n), held_out


def _train(chosen: argparse.Namespace, device: torch.device) -> tuple[nn.Module, History]:
    images, held_out = _images(chosen)
    kind = models.VAE if chosen.model == "vae" else models.Autoencoder
    model = kind(
        chosen.latent_dim,
        tuple(images.images.shape[1:]),
        None if chosen.hidden is None else tuple(chosen.hidden),
        LIKELIHOODS[chosen.likelihood](),
        chosen.activation,
        seed=chosen.seed,
        architecture=chosen.architecture,
    ).to(DTYPES[chosen.dtype])
    history = fit(
        model,
        images,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        schedule=chosen.schedule,
        seed=chosen.seed,
        device=device,
        pixels=chosen.pixels,
        validation=held_out,
        patience=chosen.patience,
        checkpoint=chosen.checkpoint,
        checkpoint_steps=chosen.checkpoint_steps,
        bf16=chosen.bf16,
        cuda_graph=chosen.cuda_graph,
    )
    return model, history


def _keep(chosen: argparse.Namespace, model: nn.Module, history: History) -> None:
    """Write the weights, and only then say what came of it: nobody may listen any more."""
    path = chosen.output
    if path is not None and (history.steps or not history.interrupted):
        path = _stopped(path) if history.interrupted else path
        content = _files.pack(model.state_dict(), {"history": json.dumps(asdict(history))})
        try:
            _files.write_whole(path, content)
        except OSError as error:
            raise _unwritten(path, error) from None
    for name, values in history.terms.items():
        print(f"{name}: {values[-1]:.4f} (mean of epoch {len(values)})")
    for name, values in history.validation.items():
        print(f"validation {name}: {values[-1]:.4f}")
    if path is not None:
        print(f"weights: {path}")
    sys.stdout.flush()


def _join(device: torch.device) -> torch.device:
    """Join the processes torchrun started; the device that is this process's own."""
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def _tell(error: BaseException) -> None:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    print(f"{_NAME}: {lines[0]}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the model is trained, 130 when it was stopped.

    2 for bad arguments; 1 where something else is in the way (a disk that refuses, data that are
    not there, a loss that is no number, too little memory). One line says what it is.
    """
    _text.spare_the_streams()
    chosen = parser().parse_args(arguments)
    several = "TORCHELASTIC_RUN_ID" in os.environ
    try:
        device = pick_device(chosen.device)
        if several:
            device = _join(device)
        if not several or dist.get_rank() == 0:
            _check(chosen)
        model, history = _train(chosen, device)
        if not several or dist.get_rank() == 0:
            _keep(chosen, model, history)
    except ValueError as error:
        _tell(error)
        return 2
    except BrokenPipeError:
        # Who read what is printed has gone; the weights are written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, RuntimeError, MemoryError, NonFiniteLossError) as error:
        _tell(error)
        return 1
    except KeyboardInterrupt:
        print(f"{_NAME}: stopped before the training began", file=sys.stderr)
        return 130
    finally:
        if several and dist.is_initialized():
            dist.destroy_process_group()
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    raise SystemExit(main())
