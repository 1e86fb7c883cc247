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

import torch
import torch.distributed as dist
from safetensors import torch as safetensors
from torch import nn

from vae_core import data as datasets
from vae_core import distributions, models
from vae_core.training import PIXELS, SCHEDULES, History, fit, pick_device
from vae_core.training._checkpoint import write_whole

LIKELIHOODS: dict[str, Callable[[], distributions.Likelihood]] = {
    "gaussian": distributions.GaussianLikelihood,
    "gaussian-learned": lambda: distributions.GaussianLikelihood("learned"),
    "bernoulli": distributions.BernoulliLikelihood,
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="python -m vae_core.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument_group("the model").add_argument
    add("--model", choices=("vae", "autoencoder"), default="vae", help="(default vae)")
    add("--latent-dim", type=int, default=2, help="size of z (default 2)")
    add("--hidden", type=int, nargs="*", default=[512], help="hidden widths (default 512)")
    add("--activation", choices=tuple(models.ACTIVATIONS), default="relu", help="(default relu)")
    add("--likelihood", choices=tuple(LIKELIHOODS), default="gaussian", help="P(X|z)")
    add("--dtype", choices=tuple(DTYPES), default="float32", help="of weights and pixels")
    add = made.add_argument_group("the data").add_argument
    add("--data", default="mnist", help="a name vae_core.data.load knows (default mnist)")
    add("--pixels", choices=PIXELS, default="grey", help="(default grey)")
    add("--first", type=int, help="train on the first so many images (default all)")
    add("--validation", type=int, metavar="N", help="hold out the last N images of those")
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
    add("--checkpoint", type=Path, help="file to keep the state in, and to go on from")
    add("--checkpoint-steps", type=int, metavar="N", help="save every N steps, not epochs alone")
    add(
        "--output",
        type=Path,
        help="file for the trained weights, as safetensors; when stopped, NAME.stopped",
    )
    return made


def _train(chosen: argparse.Namespace, device: torch.device) -> tuple[nn.Module, History]:
    images = datasets.load(chosen.data, "train")
    if chosen.first is not None:
        images = images.first(chosen.first)
    held_out = None
    if chosen.validation:
        if not 0 < chosen.validation < len(images.labels):
            raise ValueError(
                f"validation must leave images to train on; "
                f"got {chosen.validation} of {len(images.labels)}"
            )
        held_out = images._replace(
            images=images.images[-chosen.validation :], labels=images.labels[-chosen.validation :]
        )
        images = images.first(len(images.labels) - chosen.validation)
    kind = models.VAE if chosen.model == "vae" else models.Autoencoder
    model = kind(
        chosen.latent_dim,
        tuple(images.images.shape[1:]),
        tuple(chosen.hidden),
        LIKELIHOODS[chosen.likelihood](),
        chosen.activation,
        seed=chosen.seed,
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


def _write(path: Path, model: nn.Module, history: History) -> None:
    weights = {name: values.cpu().contiguous() for name, values in model.state_dict().items()}
    content = safetensors.save(weights, metadata={"history": json.dumps(asdict(history))})
    try:
        write_whole(path, content)
    except OSError as error:
        raise OSError(f"the weights can't be written to {path} ({error.strerror})") from None


def _join(device: torch.device) -> torch.device:
    """Join the processes torchrun started; the device that is this process's own."""
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the model is trained, 130 when it was stopped.

    1 where the disk refused the checkpoint or the weights, 2 for bad arguments.
    """
    chosen = parser().parse_args(arguments)
    several = "TORCHELASTIC_RUN_ID" in os.environ
    try:
        device = pick_device(chosen.device)
        if several:
            device = _join(device)
        model, history = _train(chosen, device)
        if not several or dist.get_rank() == 0:
            for name, values in history.terms.items():
                print(f"{name}: {values[-1]:.4f} (mean of epoch {len(values)})")
            for name, values in history.validation.items():
                print(f"validation {name}: {values[-1]:.4f}")
            if chosen.output is not None and (history.steps or not history.interrupted):
                path = chosen.output
                if history.interrupted:  # never in the place of a whole model
                    path = path.with_name(f"{path.stem}.stopped{path.suffix}")
                _write(path, model, history)
                print(f"weights: {path}")
    except ValueError as error:
        print(f"python -m vae_core.training: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"python -m vae_core.training: {error}", file=sys.stderr)
        return 1
    finally:
        if several and dist.is_initialized():
            dist.destroy_process_group()
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    raise SystemExit(main())
