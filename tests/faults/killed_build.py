"""``python killed_build.py N OPTION...``: build the book in this folder, and be killed.

The kill comes when the N-th file was opened for writing, and holds nothing yet: the worst of all
moments. With N = 0 nobody is killed, and the number of files is printed.
"""

from __future__ import annotations

import os
import signal
import sys

folder, number = os.getcwd(), int(sys.argv[1])
opened = 0


def watch(event: str, arguments: tuple) -> None:
    """Count what is opened for writing below the folder."""
    global opened, number
    if event != "open" or not isinstance(arguments[0], str) or not isinstance(arguments[2], int):
        return
    path, _, flags = arguments
    writes = flags & (os.O_WRONLY | os.O_RDWR) and flags & (os.O_TRUNC | os.O_CREAT)
    if not writes or not os.path.abspath(path).startswith(folder + os.sep) or os.getpid() != begun:
        return
    opened += 1
    if opened == number:
        number = -1  # what follows is no file of the build's
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from jupyter_book.cli.main import main

    begun = os.getpid()
    sys.argv = ["killed_build", "build", ".", *sys.argv[2:]]
    sys.addaudithook(watch)
    try:
        main()
    finally:
        print(f"opened {opened}", flush=True)
