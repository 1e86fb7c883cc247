"""What every test stands on: its own cache folder, seeds, and no network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shapes
import torch
from helpers import ROOT
from hypothesis import settings

# Before any module of the package is imported.
shapes.watch()

# Time limits per example measure the machine's load, not the code.
settings.register_profile("vae", deadline=None, max_examples=40)
settings.load_profile("vae")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of the whole run: never the user's own."""
    place = tmp_path_factory.mktemp("cache")
    before = os.environ.get("VAE_CORE_CACHE")
    os.environ["VAE_CORE_CACHE"] = str(place)
    yield place
    if before is None:
        del os.environ["VAE_CORE_CACHE"]
    else:
        os.environ["VAE_CORE_CACHE"] = before


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The global stream starts at the same place in every test, in whatever order they run."""
    torch.manual_seed(20240229)


@pytest.fixture(autouse=True)
def own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests train: no published weights, unless a test asks for some."""
    monkeypatch.setenv("VAE_CORE_WEIGHTS", "train")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to open a connection fails as it does where there is no network."""

    def refuse(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a few lines in a fresh interpreter, outside the repository; give what it printed."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run
