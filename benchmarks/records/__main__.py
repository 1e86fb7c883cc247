"""``python -m benchmarks.records [CHAPTER [RECORD ...]] [--stale] [--list]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.records import _keep


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.records",
        description="Compute the numbers of the book that take too long for a page, and keep them.",
    )
    parser.add_argument("chapter", nargs="?", help="two digits; all chapters where it is left out")
    parser.add_argument("records", nargs="*", help="names of records; all where left out")
    parser.add_argument("--stale", action="store_true", help="only those missing or out of date")
    parser.add_argument("--list", action="store_true", help="run nothing, say what there is")
    chosen = parser.parse_args(arguments)
    try:
        wanted = [f"{int(chosen.chapter):02}"] if chosen.chapter else _keep.chapters()
        for chapter in wanted:
            faults = _keep.faults(chapter)
            names = chosen.records or list(_keep.records_of(_keep.module_of(chapter)))
            for name in names:
                stale = [fault for fault in faults if f"record {name!r} " in fault]
                if chosen.list:
                    print(f"{chapter} {name}: {'; '.join(stale) or 'kept'}")
                elif stale or not chosen.stale:
                    print(f"{chapter} {name} ...", flush=True)
                    kept = _keep.make(chapter, name)
                    for key, value in kept["results"].items():
                        print(f"  ch{chapter}_{name}_{key} = {value!r}")
                    print(f"  {kept['seconds']} s", flush=True)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
