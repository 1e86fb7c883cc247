"""Sphinx extension that executes notebooks several at a time, before MyST-NB reads their pages.

MyST-NB executes a notebook when it reads its page, one after another, and so leaves most of a
machine idle. This fills its cache first; MyST-NB then finds every result there. A notebook that
fails is not stored: MyST-NB runs it again, and reports the fault as it always does.

The variable JOBS says how many run at once (by default one a core, at most 4, because each kernel
holds about a gigabyte); at 1 this does nothing.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from jupyter_core.utils import ensure_event_loop
from quick import result_of
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from vae_book import time_left

MOST_JOBS = 4
# Kernels that share the cores would each start a thread for every core, and wait for each other.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Run = Callable[[Path], ExecutionResult]


def jobs_wanted() -> int:
    """How many notebooks to run at once. Raises ``ConfigError`` unless JOBS is a whole number."""
    cores = os.cpu_count() or 1
    text = os.environ.get("JOBS", "") or str(min(cores, MOST_JOBS))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"JOBS says how many notebooks run at once, 1 or more; got {text!r}")
    return int(text)


@contextmanager
def shared_cores(jobs: int) -> Iterator[None]:
    """Kernels started in here get their share of the cores, unless the reader has set threads."""
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    ours = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, share))
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def side_by_side(
    paths: Sequence[Path], run: Run, jobs: int
) -> Iterator[tuple[Path, ExecutionResult | Exception]]:
    """Each path with its result, or with what stopped it, in the order in which they end.

    The threads are daemons: Ctrl-C ends the build at once, and the kernels end with it.
    """
    todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Path, ExecutionResult | Exception]] = queue.SimpleQueue()
    for path in paths:
        todo.put(path)

    def work() -> None:
        with closing(ensure_event_loop()):  # the one that this thread's kernels are spoken to by
            while True:
                try:
                    path = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((path, run(path)))
                except Exception as error:
                    done.put((path, error))

    for _ in range(min(jobs, len(paths))):
        threading.Thread(target=work, daemon=True).start()
    for _ in paths:
        yield done.get()


def left_out(path: Path, env: BuildEnvironment) -> bool:
    """Whether this notebook, named from the book's folder, is one that MyST-NB shall not run."""
    patterns = env.mystnb_config.execution_excludepatterns  # type: ignore[attr-defined]
    return any(PurePosixPath(path.as_posix()).match(pattern) for pattern in patterns)


def fill_cache(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the notebooks of these pages that the cache lacks."""
    config = app.config
    if config.nb_execution_mode != "cache" or (jobs := jobs_wanted()) == 1:
        return
    cache = get_cache(env.mystnb_config.execution_cache_path or ".jupyter_cache")  # type: ignore[attr-defined]
    missing = []
    for docname in docnames:
        path = Path(env.doc2path(docname))
        if path.suffix != ".ipynb" or left_out(path.relative_to(app.srcdir), env):
            continue
        if result_of(cache, path) is None:
            missing.append(path)
    if len(missing) < 2:
        return

    def run(path: Path) -> ExecutionResult:
        return single_nb_execution(
            nbformat.read(path, as_version=4),
            cwd=str(path.parent),
            timeout=config.nb_execution_timeout,
            allow_errors=config.nb_execution_allow_errors,
            meta_override=True,
        )

    # Those that take longest first would end sooner, but nobody knows them before the first run.
    print(f"{len(missing)} notebooks to execute, {min(jobs, len(missing))} at a time", flush=True)
    started = time.monotonic()
    with shared_cores(jobs):
        for i, (path, result) in enumerate(side_by_side(missing, run, jobs), start=1):
            failed = result if isinstance(result, Exception) else result.err
            if failed is None and isinstance(result, ExecutionResult):
                record = cache.add_nb_to_project(str(path))
                bundle = CacheBundleIn(
                    result.nb, record.uri, data={"execution_seconds": result.time}
                )
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                said = f"executed in {result.time:.1f} s"
            else:
                said = f"failed ({type(failed).__name__}); it is run again below"
            left = time_left((time.monotonic() - started) / i * (len(missing) - i))
            print(f"  {path.stem}: {said}{left}", flush=True)


def setup(app: Sphinx) -> dict[str, Any]:
    # When it is known what may be executed, before the first page is read.
    app.connect("env-before-read-docs", fill_cache, priority=900)
    return {"parallel_read_safe": True}
