"""A JupyterLab of the tests' own: nothing of the reader's settings, kernels or sessions is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import launched
from helpers import ROOT
from laboratory import Laboratory

# Every cell is in the page at all times, so that a test need not scroll to have it drawn.
NOTEBOOK_SETTINGS = {"windowingMode": "none"}
OPTIONS = (
    "--no-browser",
    "--ServerApp.allow_root=True",
    "--ServerApp.port_retries=200",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, kept for the whole run."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Laboratory]:
    """JupyterLab on a free port, with a token, in empty folders."""
    place = tmp_path_factory.mktemp("lab")
    folders = {name: place / name for name in ("config", "data", "runtime", "ipython", "work")}
    for folder in folders.values():
        folder.mkdir()
    settings = place / "config" / "lab" / "user-settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps(NOTEBOOK_SETTINGS))
    # The reader's variables would lead back to the reader's folders.
    own = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
    environment = {
        **own,
        "JUPYTER_CONFIG_DIR": str(folders["config"]),
        "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
        "IPYTHONDIR": str(folders["ipython"]),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": str(ROOT),
        "VAE_CORE_CACHE": str(cache),
        # An edition trains the models that it loads: shortened, since none is in this cache.
        "VAE_CORE_ZOO": "tiny",
    }
    log = (place / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--ServerApp.root_dir={folders['work']}"],
        env=environment,
        cwd=folders["work"],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Laboratory(_address(server, folders["runtime"], place / "server.log"), folders)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _address(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> dict[str, Any]:
    """What the server says of itself, once it listens."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        for found in runtime.glob("jpserver-*.json"):
            try:
                return dict(json.loads(found.read_text()))
            except ValueError:  # half written
                continue
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")
