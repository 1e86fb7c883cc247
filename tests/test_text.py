"""Printed where the stream speaks an old code page, as pipes and files do on Windows."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_core import _text, notebook
from vae_core.evaluation import Estimate

PAGES = ("cp1252", "cp437", "cp850", "cp932", "ascii", "latin-1", "utf-8")


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("✓ one and one are two", "[ok] one and one are two"),
        ("✗ line (b)", "[no] line (b)"),
        ("1.41 × 10⁻⁸", "1.41 x 10^-8"),
        ("10¹²", "10¹²"),  # cp1252 has these
        ("10¹⁴, z²", "10^14, z^2"),  # and not this one: all are spelled alike
        ("σ ≥ μ", "sigma >= mu"),
        ("D[Q‖P] → 0", "D[Q||P] -> 0"),
        ("−3 ± 2", "-3 +- 2"),
        ("“quoted” – so", "“quoted” – so"),
        ("日本", "??"),
    ],
)
def test_what_cp1252_lacks_is_spelled_out(text: str, spelled: str) -> None:
    assert _text.fitting(text, stream("cp1252")) == spelled
    assert _text.fitting(text, stream("utf-8")) == text


@given(st.text(), st.sampled_from(PAGES))
def test_whatever_is_said_can_be_written(text: str, page: str) -> None:
    target = stream(page)
    _text.say(text, stream=target, flush=True)
    if text.isascii():
        assert _text.fitting(text, target) == text


@given(st.text(alphabet="✓✗σμ⁻¹²³⁴ ×≥ab", max_size=20))
def test_a_stream_that_can_gets_the_text_itself(text: str) -> None:
    for target in (stream("utf-8"), io.StringIO(), stream("cp1252", "replace"), object()):
        assert _text.fitting(text, target) == text


def test_streams_that_are_none_or_of_an_unknown_encoding() -> None:
    class Odd:
        encoding = "no such encoding"

    assert _text.fitting("✓ a", Odd()) == "✓ a"
    assert _text.fitting("a", None) == "a"  # stdout, whatever it is here


def printed(code: str) -> subprocess.CompletedProcess[bytes]:
    """What a few lines print into a pipe that speaks cp1252."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        check=False,
        timeout=300,
    )


# Each line prints; beside it, some of what it must have printed.
LINES = {
    "claim(True, 'σ is small')": "[ok] sigma is small",
    "print(table([{'a': 1e-9, 'b': 'σ'}]))": "1 x 10^-9  sigma",
    "print(symbolic.workbench('X', ['= X', '= X + 1']))": "[ok] line (a) holds",
    "print(library.derivation('kl-gaussian'))": "= ",
    "print(library.derivation('kl-gaussian').verify())": "kl-gaussian: all",
    "print(library.derivation('kl-gaussian').table())": "(a)",
    "exercises.check('kl_to_standard_normal', 3)": "[no] ",
    "zoo.main(['list'])": "vae-2",
    "print(evaluation.Estimate(3.0, 0.1))": "3.00 ± 0.10",
    "print(widgets.KLExplorer())": "KLExplorer()",
}


def test_a_pipe_in_cp1252() -> None:
    needed = (
        "from vae_core import evaluation, exercises, symbolic, widgets, zoo\n"
        "from vae_core.notebook import claim, table\n"
        "from vae_core.symbolic import library\n"
    )
    mark = "print('----')\n"
    done = printed(needed + mark.join(f"{line}\n" for line in LINES))
    assert done.returncode == 0, done.stderr.decode("cp1252", "replace")
    parts = done.stdout.decode("cp1252").split("----")
    for part, (line, expected) in zip(parts, LINES.items(), strict=True):
        assert expected in part, line


def test_the_commands_print_paths_of_any_script() -> None:
    """A folder's name that the code page lacks is written with its code points."""
    code = (
        "import sys; from vae_core import zoo, _text; _text.spare_the_streams(); "
        "print('日本 ✓'); print('日本', file=sys.stderr); sys.exit(zoo.main(['nonsense']))"
    )
    done = printed(code)
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == b"\\u65e5\\u672c \\u2713"
    assert b"usage: python -m vae_core.zoo" in done.stderr


def test_estimates_and_tables_are_as_before_elsewhere() -> None:
    assert str(Estimate(3.0, 0.1)) == "3.00 ± 0.10"
    assert "10⁻⁹" in repr(notebook.table([{"a": 1e-9}]))
