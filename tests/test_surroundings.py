"""No setting of the reader's reaches what the book executes; where things are, does."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_book
import surroundings
from helpers import ROOT

COMMAND = [sys.executable, "-I", str(ROOT / "book" / "_ext" / "surroundings.py")]

# What a person may have set that would change numbers, pictures or the way a build goes.
HOSTILE = {
    "PYTHONSTARTUP": "{home}/startup.py",
    "PYTHONHASHSEED": "7",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii",
    "MATPLOTLIBRC": "{home}/.config/matplotlib/matplotlibrc",
    "MPLCONFIGDIR": "{home}/.config/matplotlib",
    "MPLBACKEND": "svg",
    "IPYTHONDIR": "{home}/.ipython",
    "JUPYTER_PATH": "{home}/jupyter",
    "JUPYTER_DATA_DIR": "{home}/jupyter",
    "JUPYTER_CONFIG_DIR": "{home}/.jupyter",
    "JUPYTERCACHE": "{home}/cached",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "LANGUAGE": "de",
    "TZ": "Pacific/Kiritimati",
    "SOURCE_DATE_EPOCH": "86400",
    "OMP_DYNAMIC": "true",
    "OMP_SCHEDULE": "dynamic",
    "KMP_DETERMINISTIC_REDUCTION": "0",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NUMEXPR_MAX_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "NVIDIA_TF32_OVERRIDE": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",
    "CUDA_LAUNCH_BLOCKING": "1",
    "TORCH_SHOW_CPP_STACKTRACES": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "PYTORCH_JIT": "0",
    "GLIBC_TUNABLES": "glibc.cpu.x86_ivybridge=1",
    "FREETYPE_PROPERTIES": "truetype:interpreter-version=35",
    "COLUMNS": "20",
    "DOCUTILSCONFIG": "{home}/docutils.conf",
    "PIP_TARGET": "{home}/packages",
    "PIP_USER": "1",
    "PIP_CONSTRAINT": "{home}/constraints.txt",
    "PYTEST_ADDOPTS": "--collect-only",
}
LET_IN = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "HTTPS_PROXY": "http://proxy:3128",
    "http_proxy": "http://proxy:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
    "GIT_SSL_CAINFO": "/etc/ca.pem",
    "PIP_INDEX_URL": "https://pypi.example/simple",
    "PIP_CERT": "/etc/ca.pem",
    "LD_LIBRARY_PATH": "/opt/cuda/lib64",
    "CUDA_VISIBLE_DEVICES": "1",
    "OMP_NUM_THREADS": "2",
    "VAE_CORE_CACHE": "/data/vae",
    "SystemRoot": r"C:\Windows",
    "TMPDIR": "/scratch",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_setting_stays_outside(name: str, tmp_path: Path) -> None:
    ours = surroundings.cleaned({}, tmp_path)
    assert surroundings.cleaned({name: "theirs"}, tmp_path) == ours


@pytest.mark.parametrize("name", sorted(LET_IN))
def test_what_a_program_needs_comes_in(name: str, tmp_path: Path) -> None:
    assert surroundings.cleaned({name: LET_IN[name]}, tmp_path)[name] == LET_IN[name]


def test_a_reader_may_let_in_more(tmp_path: Path) -> None:
    given = {"HSA_OVERRIDE_GFX_VERSION": "10.3.0", "TZ": "UTC", "PYTHONHASHSEED": "3"}
    passed = surroundings.cleaned(
        {**given, "VAE_CORE_PASS": "HSA_OVERRIDE_GFX_VERSION PYTHONHASHSEED"}, tmp_path
    )
    assert passed["HSA_OVERRIDE_GFX_VERSION"] == "10.3.0"
    assert passed["PYTHONHASHSEED"] == "3"
    assert "TZ" not in passed


def shown(*arguments: str, **environment: str) -> dict[str, str]:
    """The environment that a command run by surroundings.py has."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [*COMMAND, *arguments, sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_the_command_and_the_build_give_the_same(tmp_path: Path) -> None:
    theirs = {name: value.format(home=tmp_path) for name, value in HOSTILE.items()}
    command = shown("VAE_CORE_QUIET=1", **theirs)
    entered: dict[str, str] = {**os.environ, **theirs}
    surroundings.enter(entered)
    assert {**entered, "VAE_CORE_QUIET": "1"} == {
        name: value for name, value in command.items() if name not in ("LC_CTYPE", "_")
    }


def test_the_command_passes_on_status_and_arguments() -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(3)"
    done = subprocess.run(
        [*COMMAND, sys.executable, "-c", code, "a b", "--x=ü"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "['a b', '--x=ü']\n")
    nothing = subprocess.run([*COMMAND, "A=1"], capture_output=True, text=True, check=False)
    assert nothing.returncode == 2
    missing = subprocess.run(
        [*COMMAND, "no-such-program"], capture_output=True, text=True, check=False
    )
    assert (missing.returncode, missing.stderr) == (
        127,
        "no-such-program: No such file or directory\n",
    )


def test_a_folder_that_cannot_be_written_is_named_in_one_sentence(tmp_path: Path) -> None:
    """A clone of somebody else's, or on a read-only disk; the file in the way refuses root, too."""
    tool = tmp_path / "book" / "_ext" / "surroundings.py"
    tool.parent.mkdir(parents=True)
    shutil.copy(ROOT / "book" / "_ext" / "surroundings.py", tool)
    (tmp_path / "_build").touch()
    done = subprocess.run(
        [sys.executable, "-I", str(tool), "true"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"the book's folder can't be written ({tmp_path / '_build'}")
    assert sentence.endswith("copy the book to a place of your own")


# --- a build ---------------------------------------------------------------------------------

PROBE = """\
import hashlib, json, locale, os, sys, time
import matplotlib, numpy, torch
print("dtype", torch.get_default_dtype(), "sum", sum([1, 2]), "hash", hash("a"))
print("optimised", sys.flags.optimize, "encoding", locale.getpreferredencoding())
print("rc", hashlib.sha256(repr(sorted(matplotlib.rcParams.items())).encode()).hexdigest()[:12])
print("set", "".join({"a", "b", "c", "d", "e"}), "threads", torch.get_num_threads())
assert sys.executable.startswith(sys.prefix)"""
PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);"
WIDGET = "from vae_core import widgets\nwidgets.KLExplorer()"


def make_home(home: Path) -> Path:
    """The home of somebody who has set everything up in their own way."""
    startup = "import torch\ntorch.set_default_dtype(torch.float64)\nsum = lambda x: 42\n"
    style = "lines.linewidth: 9\nfigure.facecolor: red\nimage.cmap: jet\n"
    texts = {
        "startup.py": startup,
        ".ipython/profile_default/startup/00-mine.py": startup,
        ".ipython/profile_default/ipython_kernel_config.py": "c.InteractiveShellApp.exec_lines = "
        "['sum = 42', 'import matplotlib.pyplot as plt', 'plt.style.use(\"dark_background\")']\n",
        ".config/matplotlib/matplotlibrc": style,
        ".config/matplotlib/stylelib/default.mplstyle": style,
        ".jupyter/jupyter_nbconvert_config.py": "c.ExecutePreprocessor.enabled = False\n",
        ".jupyter/custom/custom.css": "body { display: none }\n",
        "jupyter/kernels/python3/kernel.json": json.dumps(
            {"argv": ["/bin/false"], "display_name": "mine", "language": "python"}
        ),
        "docutils.conf": "[general]\nsmart_quotes: no\n",
        "constraints.txt": "torch==0.1\n",
    }
    for name, text in texts.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return home


def made(folder: Path) -> dict[str, bytes]:
    """The pages and pictures of a build; what a page says of the day it was built is left out."""
    found = {}
    for path in (folder / "_build" / "html").rglob("*"):
        name = path.relative_to(folder / "_build" / "html").as_posix()
        if path.is_file() and path.suffix in {".html", ".png", ".js", ".css"}:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book, built where nobody has set anything."""
    folder = small_book.write(
        tmp_path_factory.mktemp("plain") / "book_", {"01_probe": [PROBE, PICTURE, WIDGET]}
    )
    small_book.build(folder, "-W", "-n", "--keep-going")
    return folder


def test_a_build_in_a_hostile_environment_is_the_same(plain: Path, tmp_path: Path) -> None:
    """In a folder with blanks and an umlaut, and with a matplotlibrc beside the notebook."""
    home = make_home(tmp_path / "home")
    folder = small_book.write(
        tmp_path / "Bücher und mehr" / "Mein Buch", {"01_probe": [PROBE, PICTURE, WIDGET]}
    )
    shutil.copy(home / ".config/matplotlib/matplotlibrc", folder / "notebooks" / "matplotlibrc")
    theirs = {name: value.format(home=home) for name, value in HOSTILE.items()}
    # Warnings as errors are for the programs that people write, not for the libraries of a build.
    del theirs["PYTHONWARNINGS"]
    small_book.build(folder, "-W", "-n", "--keep-going", HOME=str(home), **theirs)
    first, second = made(plain), made(folder)
    assert first.keys() == second.keys()
    differing = [name for name in first if first[name] != second[name]]
    page = second["notebooks/01_probe.html"].decode()
    texts = [first["notebooks/01_probe.html"].decode().splitlines(), page.splitlines()]
    assert differing == [], "\n".join(difflib.unified_diff(*texts, n=0, lineterm=""))[:3000]
    assert "dtype torch.float32 sum 3" in page
    assert "optimised 0 encoding utf-8" in page.lower()
    assert not (home / "cached").exists()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can become a user whom the system does not know",
)
def test_a_user_whom_the_system_does_not_know(tmp_path: Path) -> None:
    """As in many containers: no HOME, and a number without a name."""
    tool = "import os, sys, json; sys.path.insert(0, sys.argv[1]); import surroundings\n"
    tool += "os.setuid(54321)\ndel os.environ['HOME']\n"
    tool += "print(surroundings.cleaned(os.environ)['HOME'])\n"
    done = subprocess.run(
        [sys.executable, "-c", tool, str(ROOT / "book" / "_ext")],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.strip() == str(ROOT / "_build" / ".home")


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """A test that enters the book's environment leaves this process's own."""
    before, path = dict(os.environ), list(sys.path)
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
