"""Weights that the book's build has published beside its pages: found, checked, taken or not.

The folder ``_zoo/`` of the published book holds safetensors files and ``index.json``: for each
model its name, seed, ``key`` (see :mod:`vae_core.zoo`), ``same`` (what decides it apart from the
machine: recipe, seed, data and code), SHA-256, bytes and settings. A file is taken where ``same``
or ``key`` is what this code has. It is data only, never code: what is not the safetensors file that
the index names, of the size that the model must have, is refused. So is a redirection to another
host.

``VAE_CORE_WEIGHTS`` says where weights come from: "train" (never the network), "fetch" (never a
training), "auto". ``VAE_CORE_WEIGHTS_FROM`` replaces the book's address; empty, nothing is fetched.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vae_core import _files

VARIABLE, ADDRESS = "VAE_CORE_WEIGHTS", "VAE_CORE_WEIGHTS_FROM"
MODES = ("train", "fetch", "auto")
FOLDER, INDEX, FORMAT = "_zoo", "index.json", 1
# Written by book/_tools/repository.py from the address of the pages in _config.yml.
PACKAGED = Path(__file__).with_name("published_at.txt")
# Addresses that stand for one that nobody has set yet.
PLACEHOLDER = re.compile(r"(.*\.)?(example(\.(com|net|org))?|invalid|test)")
# Seconds for a whole answer, from the name's look-up on; most bytes of the index.
INDEX_SECONDS, FILE_SECONDS, INDEX_BYTES = 5.0, 40.0, 1_000_000
HEADER_BYTES = 65_536  # of a safetensors file, besides its numbers
_CHUNK, _REDIRECTIONS = 65_536, 5
_WORDS = 200  # of a reason, in letters

_indexes: dict[str, Any] = {}


class Refused(Exception):
    """Why there are no published weights, in a few words."""

    def __init__(self, told: str) -> None:
        # Some of the words may be the server's: no line of its own, nothing that moves a terminal.
        shown = "".join(sign if sign.isprintable() else " " for sign in told)
        super().__init__(" ".join(shown[:_WORDS].split()))


class TooSlow(Refused):
    """There was no whole answer in time."""


@dataclass(frozen=True)
class Published:
    """One model of the index."""

    name: str
    seed: int
    key: str
    same: str
    sha256: str
    bytes: int
    settings: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def file(self) -> str:
        """Its file's name: made here, and never read from the index."""
        return f"{self.name}-seed{self.seed}-{self.key}.safetensors"


Index = tuple[Published, ...]


def mode() -> str:
    """``$VAE_CORE_WEIGHTS``, "auto" by default. Raises ``ValueError`` for any other word."""
    chosen = os.environ.get(VARIABLE) or "auto"
    if chosen not in MODES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(MODES)}; got {chosen!r}")
    return chosen


def address() -> str | None:
    """The address of the folder with the weights, or None where none is set (or a placeholder)."""
    given = os.environ.get(ADDRESS)
    if given is None:
        try:
            given = PACKAGED.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    given = given.strip().rstrip("/")
    try:
        parts = urlsplit(given)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or PLACEHOLDER.fullmatch(host):
        return None
    return given if given.endswith(f"/{FOLDER}") else f"{given}/{FOLDER}"


def forget() -> None:
    """Drop what is known of published weights, as in a new process."""
    _indexes.clear()


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirections within the host, and none to another, a file or a less safe protocol."""

    max_redirections = _REDIRECTIONS

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, url: str
    ) -> Any:
        before, after = urlsplit(req.full_url), urlsplit(url)
        upgraded = (before.scheme, after.scheme) == ("http", "https")
        same = (before.scheme, before.netloc) == (after.scheme, after.netloc)
        if not same and not (upgraded and before.hostname == after.hostname):
            fp.close()
            raise Refused(f"the server sends on to another place, {after.scheme}://{after.netloc}")
        return super().redirect_request(req, fp, code, msg, headers, url)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS alone: nothing that a server says can open a file of this machine."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SameHost(),
    ):
        opener.add_handler(handler)
    return opener


def _get(url: str, most: int, seconds: float, gone: threading.Event) -> bytes:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    try:
        with _opener().open(request, timeout=seconds) as answer:
            announced = answer.headers.get("Content-Length", "0")
            if announced.isdecimal() and int(announced) > most:
                raise Refused(f"the server announces {int(announced):,} bytes, more than it may be")
            content = bytearray()
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > most:
                    raise Refused("the server sends more bytes than it may be")
                if gone.is_set():
                    raise TooSlow("it took too long")
            if announced.isdecimal() and len(content) < int(announced):
                raise Refused("the connection was cut")
            return bytes(content)
    except Refused:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        raise Refused(f"the server answers {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, Refused):
            raise reason from None
        if isinstance(reason, TimeoutError):
            raise TooSlow("it took too long") from None
        told = str(getattr(reason, "strerror", None) or reason)
        raise Refused(f"no connection ({told or type(reason).__name__})") from None


def get(url: str, most: int, seconds: float) -> bytes:
    """What ``url`` gives, ``most`` bytes at most, within ``seconds`` in all.

    Raises :class:`Refused`. The work is done beside, and left alone when time is up: a server that
    sends a byte now and then, or a name that is looked up for ever, would hold up the caller.
    """
    found: list[bytes | BaseException] = []
    gone, done = threading.Event(), threading.Event()

    def work() -> None:
        try:
            found.append(_get(url, most, seconds, gone))
        except BaseException as error:
            found.append(error)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    try:
        if not done.wait(seconds):
            raise TooSlow(f"no whole answer within {seconds:g} s")
    finally:
        gone.set()
    if isinstance(found[0], bytes):
        return found[0]
    raise found[0]


def _entry(given: Any) -> Published:
    made = Published(**{name: given[name] for name in Published.__dataclass_fields__})
    texts = {"name": r"[a-z0-9.-]{1,60}", "key": "[0-9a-f]{16}", "same": "[0-9a-f]{16}"}
    for name, form in {**texts, "sha256": "[0-9a-f]{64}"}.items():
        if not re.fullmatch(form, getattr(made, name)):
            raise ValueError(name)
    if type(made.seed) is not int or type(made.bytes) is not int or made.seed < 0:
        raise ValueError("seed")
    return made


def read_index(content: bytes) -> Index:
    """The models of an index. Raises :class:`Refused` for anything else, a path in a name too."""
    try:
        held = json.loads(content)
        if held["format"] != FORMAT:
            raise Refused("its index is of another edition of the book")
        return tuple(map(_entry, held["models"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused("its index can't be read") from None


def index(place: str, again: bool = False) -> Index:
    """The index at ``place``, asked for once a process. Raises :class:`Refused`, each time.

    ``again``: asks anew where it was asked for in vain.
    """
    if place not in _indexes or (again and known_failure(place)):
        try:
            _indexes[place] = read_index(get(f"{place}/{INDEX}", INDEX_BYTES, INDEX_SECONDS))
        except Refused as error:
            _indexes[place] = error
    known = _indexes[place]
    if isinstance(known, Refused):
        raise known
    return known


def content(place: str, model: Published, most: int) -> bytes:
    """The file of ``model``. Raises :class:`Refused` unless it is what the index says.

    A chapter loads many models: a place that was too slow for one is not waited for again.
    """
    if model.bytes > most:
        raise Refused(f"the index announces {model.bytes:,} bytes, more than it may be")
    try:
        held = get(f"{place}/{model.file}", model.bytes, FILE_SECONDS)
    except TooSlow as error:
        _indexes[place] = error
        raise
    if len(held) != model.bytes or hashlib.sha256(held).hexdigest() != model.sha256:
        raise Refused("the file does not have the SHA-256 that the index names")
    return held


def publish(folder: Path, found: Iterable[tuple[Path, Published]], **facts: str) -> Index:
    """Put models' files, and the index, into ``folder``; remove what an earlier build left there.

    Files that are there already and whole are left alone. The index is written last.
    """
    models = dict(sorted(((made, path) for path, made in found), key=lambda pair: pair[0].file))
    if not models:
        shutil.rmtree(folder, ignore_errors=True)
        return ()
    for made, path in models.items():
        held, target = path.read_bytes(), folder / made.file
        if not target.is_file() or target.read_bytes() != held:
            _files.write_whole(target, held)
    kept = {INDEX, *(made.file for made in models)}
    told = {"format": FORMAT, **facts, "models": [asdict(made) for made in models]}
    _files.write_whole(folder / INDEX, (json.dumps(told, indent=1) + "\n").encode())
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    return tuple(models)


def described(path: Path, **facts: Any) -> Published:
    """The entry of a model's file."""
    held = path.read_bytes()
    return Published(sha256=hashlib.sha256(held).hexdigest(), bytes=len(held), **facts)


def known_failure(place: str) -> bool:
    """Whether this process has already asked ``place`` for its index in vain."""
    return isinstance(_indexes.get(place), Refused)
