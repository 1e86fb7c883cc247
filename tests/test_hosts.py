"""Where the book is hosted: Binder and hubs, pages, Colab's weekly run."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

import yaml
from helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_binder_asks_for_the_cpu_build_and_the_packages_own_bounds() -> None:
    asked = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text("utf-8"))
    bounds = {re.split(r"[<>=]", text)[0]: text for text in asked["dependencies"]}
    assert bounds["python"] == f"python{PROJECT['requires-python']}"
    (torch,) = [text for text in PROJECT["dependencies"] if text.startswith("torch>")]
    assert bounds["pytorch-cpu"] == torch.replace("torch", "pytorch-cpu")
    assert not any("==" in text for text in asked["dependencies"])


def test_binder_installs_the_package_of_the_checkout() -> None:
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "pip install --no-cache-dir .\n" in script.read_text("utf-8")


def test_the_workflows_use_the_readmes_commands() -> None:
    folder, commands = ROOT / ".github" / "workflows", {}
    for path in folder.glob("*.yml"):
        steps = [s for j in yaml.safe_load(path.read_text())["jobs"].values() for s in j["steps"]]
        commands[path.stem] = "\n".join(step.get("run", "") for step in steps)
    assert "make book" in commands["pages"]
    assert ".ci/run" in commands["test"]
    # The weekly run is `make colab`'s own program, inside Colab's image.
    assert "python3 book/_tools/colab.py --here" in commands["colab"]
    assert "book/_tools/colab.py" in (ROOT / "Makefile").read_text("utf-8")


def test_windows_and_macs_have_a_quick_job_without_make() -> None:
    """Its form alone: no such machine is at hand here, and the file says so."""
    path = ROOT / ".github" / "workflows" / "systems.yml"
    text = path.read_text("utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    systems = job["strategy"]["matrix"]["system"]
    assert [name.partition("-")[0] for name in systems] == ["windows", "macos"]
    assert job["runs-on"] == "${{ matrix.system }}"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert all(command.startswith("python -m ") for command in commands)
    assert not any(re.search(r"\bmake\b|/bin/|&&", command) for command in commands)
    assert commands[0] == 'python -m pip install --editable ".[test]"'
    named = re.findall(r"tests/\w+\.py", commands[1])
    assert len(named) == len(set(named)) >= 10
    assert all((ROOT / name).is_file() for name in named)
    assert "Nobody has seen these jobs run yet" in text
