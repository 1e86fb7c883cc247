"""What every benchmark says about itself, and the files it leaves."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("torch", "torchvision", "numpy", "pythae")


def processor() -> str:
    """The processor's name as the operating system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def machine(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The machine as a measurement meets it: processor, cores, load, accelerator, versions."""
    device = torch.device(device)
    described: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load before": [round(load, 2) for load in os.getloadavg()],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    return described | {name: _version(name) for name in VERSIONS}


def kind(described: Mapping[str, Any]) -> str:
    """A file name for a kind of machine, such as ``amd-epyc-2-cores-1-thread``."""
    if described["device"] not in ("cpu", "mps"):
        name = str(described["device"])
    else:
        threads = described["threads"]
        name = (
            f"{described['processor']} {described['cores']} cores "
            f"{threads} thread{'s' if threads > 1 else ''}"
        )
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; every column but the first is aligned to the right."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "| " + " | ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]) + " |"

    rule = "|" + "|".join(
        "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths)
    )
    return "\n".join([line(cells[0]), rule + "|", *map(line, cells[1:])])


def described(facts: Mapping[str, Any]) -> str:
    """Facts as one Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def write(stem: str, text: str, record: Mapping[str, Any], folder: Path = RESULTS) -> list[Path]:
    """Leave ``text`` and ``record`` as ``folder/stem.md`` and ``.json``; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.md", folder / f"{stem}.json"]
    for path, content in zip(paths, [text, json.dumps(record, indent=1)], strict=True):
        part = path.with_name(f".{path.name}.part")
        part.write_text(content.rstrip() + "\n", encoding="utf-8")
        part.replace(path)
    return paths
