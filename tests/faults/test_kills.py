"""Trainings that are killed at random moments: what they leave is whole, and goes on exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from reporting import many, reported

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes to kill them")
WHAT = {
    "training": (
        "a training that is killed at a random moment leaves a whole checkpoint or none, and the "
        "same call goes on from it to the very weights of one that was never killed"
    ),
    "write": (
        "a process that is killed while it writes a checkpoint leaves the old one or the new, "
        "whole, and the run goes on from it to the same weights"
    ),
    "zoo": (
        "a process that is killed while it fills the cache of trained models leaves whole models "
        "alone, and the next one makes the others, the same as ever"
    ),
}


@pytest.mark.parametrize("kind", WHAT)
def test_killed(kind: str, tmp_path: Path) -> None:
    with reported(f"kills-{kind}", WHAT[kind]) as (suite,):
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("kills.py")), kind, str(many(7, 100))],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
                "OMP_NUM_THREADS": "1",
                "VAE_CORE_CACHE": os.environ["VAE_CORE_CACHE"],
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for line in done.stdout.splitlines():
            suite.tried(*json.loads(line))
        assert done.returncode == 0, done.stderr[-2000:]
