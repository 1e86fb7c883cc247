"""Fetch every model of the book that is not there yet, before a build that may train none.

    VAE_CORE_WEIGHTS=fetch python book/_tools/fetch_models.py

The exit status is 1, after one sentence, where one can't be had: a build would find that out in the
middle of a chapter.
"""

from __future__ import annotations

import sys

from vae_core import zoo


def main() -> int:
    for number, (name, seed) in enumerate(zoo.USED, 1):
        try:
            zoo.load(name, seed)
        except OSError as error:
            print(f"model {number} of {len(zoo.USED)}: {error}", file=sys.stderr)
            return 1
    print(f"The models: all {len(zoo.USED)} are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
