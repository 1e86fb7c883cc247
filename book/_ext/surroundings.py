"""What of the reader's own settings reaches the book: enough to run, nothing that changes a result.

A start-up file, a matplotlibrc, another hash seed or a library's switch would change a page's
numbers and pictures. So the programs that execute the book get an environment of their own: the
variables of the list below, and settings that lie in ``_build``. Two ways lead here, to the same
environment: as a Sphinx extension, for the build and the kernels it starts, and as a command,

    python -I book/_ext/surroundings.py [NAME=value ...] COMMAND ...

which is what the Makefile runs everything with. ``VAE_CORE_PASS="NAME NAME"`` lets further
variables in, for a machine that needs them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PASS = "VAE_CORE_PASS"
# Programs that do nothing but build a book; -m makes them __main__.
COMMANDS = {"jupyter-book", "jb", "sphinx-build", "__main__"}

# Where things are, who the reader is, how the network is reached, how many cores may be used.
# Upper case; Windows does not tell the cases apart, and proxies are written in both.
LET_IN = re.compile(
    "|".join(
        [
            r"PATH|HOME|USER|LOGNAME|SHELL|TERM|NO_COLOR|TMPDIR|TEMP|TMP|DISPLAY|WAYLAND_DISPLAY",
            r"XDG_(CACHE_HOME|CONFIG_HOME|DATA_HOME|RUNTIME_DIR)",
            r"(LD|DYLD(_FALLBACK)?)_LIBRARY_PATH|NIX_.*",
            # Windows
            r"SYSTEM(ROOT|DRIVE)|WINDIR|COMSPEC|PATHEXT|OS|(LOCAL)?APPDATA|PROGRAM(DATA|FILES.*|W6432)",
            r"COMMONPROGRAM.*|ALLUSERSPROFILE|PUBLIC|USER(PROFILE|NAME|DOMAIN)|HOME(DRIVE|PATH)",
            r"NUMBER_OF_PROCESSORS|PROCESSOR_.*|COMPUTERNAME",
            # network
            r"(HTTP|HTTPS|FTP|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL|AWS)_CA_BUNDLE",
            r"NODE_EXTRA_CA_CERTS|NPM_CONFIG_(REGISTRY|USERCONFIG|GLOBALCONFIG|CACHE|CAFILE|(HTTPS_)?PROXY)|"
            r"GIT_(SSL_.*|SSH.*|CONFIG.*|TERMINAL_PROMPT|ASKPASS)|SSH_.*|NETRC",
            # Where pip finds packages; not how and where it installs them.
            r"PIP_((EXTRA_)?INDEX_URL|NO_INDEX|FIND_LINKS|CERT|CLIENT_CERT|PROXY|TRUSTED_HOST)",
            r"PIP_(CONFIG_FILE|CACHE_DIR|NO_CACHE_DIR|(DEFAULT_)?TIMEOUT|RETRIES|KEYRING_PROVIDER)",
            r"UV_(INDEX.*|DEFAULT_INDEX|FIND_LINKS|CACHE_DIR|NATIVE_TLS)",
            # cores and devices
            r"(OMP|MKL|OPENBLAS)_NUM_THREADS|CUDA_VISIBLE_DEVICES|(HIP|ROCR)_VISIBLE_DEVICES",
            # this project's own
            r"VAE_CORE_(CACHE|QUIET|BOOK|QUICK|PASS|WEIGHTS_FROM)|PYTHON_IN_PAGE|JOBS|AXE_WHOLE|CLASSROOM|FAULTS|CHROMIUM",
            r"PLAYWRIGHT_BROWSERS_PATH|CI|GITHUB_ACTIONS",
        ]
    )
)


def folders(root: Path) -> dict[str, Path]:
    """Where programs find settings and leave traces, in place of the reader's home."""
    build = root / "_build"
    return {
        "IPYTHONDIR": build / ".ipython",
        "JUPYTER_CONFIG_DIR": build / ".jupyter" / "config",
        "JUPYTER_DATA_DIR": build / ".jupyter" / "data",
        "JUPYTER_RUNTIME_DIR": build / ".jupyter" / "runtime",
        "MPLCONFIGDIR": build / ".matplotlib",
    }


SETTINGS = {
    "JUPYTER_NO_CONFIG": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "LANG": "C.UTF-8",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONHASHSEED": "0",  # the order of sets of words
    "PYTHONUTF8": "1",
    # The book shows what its own trainings made; `make preview` passes another word in.
    "VAE_CORE_WEIGHTS": "train",
}

# Each kernel would warn that it listens on this machine's own TCP ports: no news to a reader.
KERNEL = "c.IPKernelApp.log_level = 'ERROR'\n"
# A matplotlibrc beside a notebook would come before the one that MATPLOTLIBRC names.
STARTUP = """\
import os as _os

_here = _os.getcwd()
_os.chdir(_os.path.dirname(_os.path.abspath(__file__)))
try:
    import matplotlib as _matplotlib
finally:
    _os.chdir(_here)
del _os, _here, _matplotlib
"""


def is_let_in(name: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether the reader's variable ``name`` reaches the book's programs."""
    return name in more or LET_IN.fullmatch(name.upper()) is not None


def cleaned(environ: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """The environment in which the book's programs run, made from the reader's own."""
    more = frozenset(environ.get(PASS, "").split())
    kept = {name: value for name, value in environ.items() if is_let_in(name, more)}
    if os.path.expanduser("~") == "~":  # no HOME, and a user that the system does not know
        kept["HOME"] = str(root / "_build" / ".home")
    places = {name: str(folder) for name, folder in folders(root).items()}
    ours = {**SETTINGS, **places, "MATPLOTLIBRC": str(folders(root)["MPLCONFIGDIR"])}
    return {**kept, **{name: value for name, value in ours.items() if name not in more}}


def _put(path: Path, text: str) -> None:
    """Write ``text``, unless it is there: another build may be reading it."""
    if path.is_file() and path.read_text("utf-8") == text:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, "utf-8")
    os.replace(part, path)


def prepare(root: Path = ROOT) -> None:
    """Make the folders and the settings in them. Raises ``OSError`` where that can't be done."""
    places = folders(root)
    profile = places["IPYTHONDIR"] / "profile_default"
    for folder in (*places.values(), profile / "startup"):
        folder.mkdir(parents=True, exist_ok=True)
    _put(profile / "ipython_kernel_config.py", KERNEL)
    _put(profile / "startup" / "00-matplotlib.py", STARTUP)
    _put(places["MPLCONFIGDIR"] / "matplotlibrc", "# matplotlib's own defaults\n")


def enter(environ: MutableMapping[str, str] = os.environ, root: Path = ROOT) -> None:
    """Clean this process's own environment: what it starts from now on inherits it."""
    prepare(root)
    now = cleaned(environ, root)
    for name in set(environ) - set(now):
        del environ[name]
    environ.update(now)


def of_python(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter reads when it starts."""
    return {name: value for name, value in environ.items() if name.startswith("PYTHON")}


def start_again(root: Path = ROOT) -> None:
    """Run this very command anew where Python itself began with the reader's settings.

    An encoding, a hash seed, a path of modules: none can be taken back later. In a clean
    environment, and so under make, this does nothing.
    """
    now = cleaned(os.environ, root)
    if of_python(os.environ) == of_python(now):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        sys.exit(subprocess.run(sys.orig_argv, env=now, check=False).returncode)
    os.execve(sys.executable, sys.orig_argv, now)


def main(arguments: list[str]) -> int:
    """Run a command in the cleaned environment; its exit status."""
    given: dict[str, str] = {}
    while arguments and re.match(r"[A-Za-z_]\w*=", arguments[0]):
        name, _, value = arguments.pop(0).partition("=")
        given[name] = value
    if not arguments:
        print("usage: surroundings.py [NAME=value ...] COMMAND ...", file=sys.stderr)
        return 2
    try:
        prepare()
    except OSError as error:
        print(
            f"the book's folder can't be written ({error.filename or ROOT}: {error.strerror}); "
            "copy the book to a place of your own",
            file=sys.stderr,
        )
        return 1
    environment = {**cleaned(os.environ), **given}
    if os.name == "nt":
        return subprocess.run(arguments, env=environment, check=False).returncode
    try:
        os.execvpe(arguments[0], arguments, environment)  # signals go straight to the command
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return 127


def setup(app: Any) -> dict[str, Any]:
    from sphinx.errors import SphinxError

    if Path(sys.argv[0]).stem in COMMANDS:
        start_again(root=Path(app.srcdir))
    if sys.flags.optimize > 1:
        raise SphinxError("the reference is made from docstrings, which `python -OO` removes")
    enter(root=Path(app.srcdir))
    # Displays that come and go while a cell works would leave a trace in what is stored.
    os.environ["VAE_CORE_QUIET"] = "1"
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
