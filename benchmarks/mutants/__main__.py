"""``python -m benchmarks.mutants [NOTEBOOK ...]``: mutate what claims rest on."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import report

NOTEBOOKS = report.RESULTS.parents[1] / "notebooks"


def _paths(wanted: Sequence[str]) -> list[Path]:
    """Notebooks by path or by number; all chapters where none is named."""
    chapters = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not wanted:
        return chapters
    found: list[Path] = []
    for name in wanted:
        numbered = [
            p for p in chapters if name.isdecimal() and p.name.startswith(f"{int(name):02}_")
        ]
        found += numbered or [Path(name).resolve()]
    return found


def _mutate(path: Path, results: Path, say: bool, rest: bool) -> int:
    """One chapter, in this process, which it may not outlive."""
    os.environ |= {"MPLBACKEND": "Agg", "VAE_CORE_QUIET": "1"}
    import torch

    from benchmarks.mutants import _chapter, _keep, _mutate

    torch.set_num_threads(1)  # a process that has started threads can't fork
    facts = report.machine()
    started = time.perf_counter()

    def told(text: str) -> None:
        if say:
            print(f"  {path.stem} {time.perf_counter() - started:5.0f} s: {text}", flush=True)

    mutation = _mutate.Mutation(_chapter.read(path), told)
    os.chdir(path.parent)  # as its kernel does
    known = _keep.read(results).get(path.stem, {}).get("claims", ()) if rest else ()
    found = mutation.run(known=known)
    seconds = time.perf_counter() - started
    _keep.keep(path.stem, found, seconds, facts, results)
    killed = sum(bool(claim.killed_by) for claim in found)
    print(f"{path.stem}: {killed} of {len(found)} claims killed, {seconds:.0f} s", flush=True)
    for line in _keep.survivors([_keep.described(claim) for claim in found]):
        print(f"  {line}", flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants",
        description="Mutate what the claims of chapters rest on, and see which of them fail.",
    )
    parser.add_argument("notebooks", nargs="*", help="paths or chapters' numbers (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="chapters at a time (default 1)")
    parser.add_argument("--quiet", action="store_true", help="say nothing before a chapter's end")
    parser.add_argument(
        "--results", type=Path, default=report.RESULTS / "claims.json", help="file to write to"
    )
    parser.add_argument(
        "--rest",
        action="store_true",
        help="only claims that are new in the record or that nothing killed (after a weak claim is "
        "mended; whoever changes what a sentence rests on leaves this out)",
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        print("mutants run in forked processes, which this system does not have", file=sys.stderr)
        return 2
    paths = _paths(chosen.notebooks)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        print(f"no such notebook: {', '.join(missing)}", file=sys.stderr)
        return 2
    results = chosen.results.resolve()
    if chosen.here:
        return _mutate(paths[0], results, not chosen.quiet, chosen.rest)

    def one(path: Path) -> int:
        # A process of its own: what a chapter changes in it is gone with it.
        command = [sys.executable, "-m", "benchmarks.mutants", str(path), "--here"]
        command += ["--results", str(results), *(["--quiet"] if chosen.quiet else [])]
        command += ["--rest"] if chosen.rest else []
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        root = NOTEBOOKS.parent
        return subprocess.run(
            command, env={**os.environ, **threads}, cwd=root, check=False
        ).returncode

    with ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        return max(pool.map(one, paths), default=0)


if __name__ == "__main__":
    raise SystemExit(main())
