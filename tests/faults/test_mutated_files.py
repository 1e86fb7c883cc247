"""Streams, checkpoints and cached models that were changed: told in a sentence, or harmless."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from mutations import mutated
from reporting import many, reported
from small_runs import Killed, images, own, run, same, small
from torch import Tensor

from vae_core import _files, coding, zoo
from vae_core.distributions import BernoulliLikelihood, DiscretizedLogisticLikelihood
from vae_core.models import VAE

SHAPE = (1, 6, 6)


def one_line(error: BaseException) -> bool:
    told = str(error)
    return bool(told) and "\n" not in told and error.__cause__ is None


# ---- streams -----------------------------------------------------------------------------------


def with_its_checksum(content: bytes) -> bytes:
    """As somebody would forge it: a CRC-32 is no signature."""
    return content[:-4] + struct.pack("<I", zlib.crc32(content[:-4]))


def forged(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """A field of the header changed, or the bits, and the checksum made to fit."""
    head = struct.Struct("<4sIBI8sI")
    fields = list(head.unpack(content[: head.size]))
    which = draw.choice(["images", "bins", "borrowed", "pixels", "bits", "words"])
    rest = bytearray(content[head.size : -4])
    large = draw.choice([0, 1, 2, 21, 500, 501, 1000, 10**6, 10**8, 2**31, 2**32 - 1])
    if which in ("images", "borrowed", "pixels"):
        fields[{"images": 1, "borrowed": 3, "pixels": 5}[which]] = large
    elif which == "bins":
        fields[2] = large % 256
    elif which == "bits":
        rest[draw.randrange(len(rest))] ^= 1 << draw.randrange(8)
    else:
        del rest[-4 * draw.randrange(1, len(rest) // 4) :]
    made = with_its_checksum(head.pack(*fields) + bytes(rest) + bytes(4))
    if made == content:
        return forged(content, draw)
    return made, f"forged {which} {large}"


def test_mutated_streams() -> None:
    generator, draw = torch.Generator().manual_seed(0), random.Random(1)
    black = VAE(2, SHAPE, (8,), BernoulliLikelihood())
    grey = VAE(3, SHAPE, (8,), DiscretizedLogisticLikelihood())
    streams: list[tuple[VAE, Tensor, bytes]] = []
    for model, levels, n in ((black, 2, 20), (grey, 256, 7)):
        pixels = torch.randint(0, levels, (n, *SHAPE), generator=generator).to(torch.uint8)
        streams.append((model, pixels, coding.compress(model, pixels)))
    what = (
        "a compressed stream with something changed in it, by accident or by a forger, is refused "
        "in one sentence or gives the images that went in"
    )
    with reported("streams", what) as (suite,):
        for number in range(many(60, 1000)):
            model, pixels, content = streams[number % 2]
            changed, how = (forged if number % 4 > 1 else mutated)(content, draw)
            try:
                held = torch.equal(coding.decompress(model, changed), pixels)
            except ValueError as error:
                held = one_line(error)
            except Exception as error:
                held, how = False, f"{how}: {error!r}"
            suite.tried(held, f"stream {number}: {how}")


# ---- checkpoints -------------------------------------------------------------------------------


def stopped_at(step: int) -> Any:
    count = 0

    def objective(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == step:
            raise Killed
        return own(1.0)(*arguments)

    return objective


def test_mutated_checkpoints(tmp_path: Path) -> None:
    kept, whole, draw = tmp_path / "run", small(), random.Random(2)
    options: dict[str, Any] = {"checkpoint_steps": 1, "validation": images(9), "patience": 2}
    expected = run(whole, objective=own(1.0), validation=images(9), patience=2)
    with suppress(Killed):
        run(small(), kept, objective=stopped_at(7), **options)
    content = kept.read_bytes()
    what = (
        "a checkpoint with something changed in it is refused in one sentence, or the run goes on "
        "from it to the very weights of one that was never stopped"
    )
    with reported("checkpoints", what) as (suite,):
        for number in range(many(40, 1000)):
            changed, how = mutated(content, draw)
            kept.write_bytes(changed)
            model = small()
            try:
                history = run(model, kept, objective=own(1.0), **options)
                held = same(model, whole) and history.terms == expected.terms
            except ValueError as error:
                held = one_line(error) and same(model, small()) and kept.read_bytes() == changed
            except Exception as error:
                held, how = False, f"{how}: {error!r}"
            suite.tried(held, f"checkpoint {number}: {how}")
    kept.write_bytes(content)
    again = small()
    run(again, kept, objective=own(1.0), **options)
    assert same(again, whole)


# ---- cached models -----------------------------------------------------------------------------

RECIPE = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (4,), "shape": SHAPE})


@pytest.fixture
def quiet() -> Iterator[list[Any]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield told


def test_mutated_models(tmp_path: Path, quiet: list[Any]) -> None:
    path, draw = tmp_path / "model.safetensors", random.Random(3)
    stored = zoo._untrained(RECIPE, 5)
    content = _files.pack(stored.state_dict())
    what = (
        "a cached model with something changed in its file is told in one sentence and trained "
        "again, or is the model that was stored"
    )
    with reported("models", what) as (suite,):
        for number in range(many(60, 1000)):
            changed, how = mutated(content, draw)
            path.write_bytes(changed)
            quiet.clear()
            try:
                found = zoo._read(path, RECIPE, 0)
            except Exception as error:
                suite.tried(False, f"model {number}: {how}: {error!r}")
                continue
            if found is None:
                (told,) = quiet
                sentence = str(told.message)
                held = "\n" not in sentence and sentence.endswith("; training it again")
            else:
                held = same(found, stored) and not quiet
            suite.tried(held, f"model {number}: {how}")
    path.write_bytes(content)
    found = zoo._read(path, RECIPE, 0)
    assert found is not None
    assert same(found, stored)
