"""Published weights over a real HTTP server: right ones are taken, all else ends in training."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fetch_models
import publishing
import pytest
import torch
from torch import nn

from vae_core import _cache, _files, _fingerprint, _published, _weights, data, training, zoo

TINY = zoo.Recipe("VAE", {"latent_dim": 2, "hidden": (8,)}, epochs=1, batch_size=100)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server of the folder of weights; ``answers`` replaces what it says to some paths."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        site, self.folder = self, folder

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                site.asked.append(name)
                kind = "index" if name == "index.json" else "file"
                if kind in site.answers and not self.path.startswith("/moved/"):
                    with suppress(OSError):  # the reader has gone
                        site.answers[kind](self)
                elif (folder / name).is_file():
                    give(self, (folder / name).read_bytes())
                else:
                    self.send_error(404)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def change(self, **values: Any) -> None:
        """Change the one entry of the index."""
        path = self.folder / "index.json"
        held = json.loads(path.read_text())
        held["models"][0].update(values)
        path.write_text(json.dumps(held))

    def put(self, content: bytes) -> None:
        """Another file, of which the index tells the truth."""
        (path,) = self.folder.glob("*.safetensors")
        path.write_bytes(content)
        self.change(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def give(handler: BaseHTTPRequestHandler, content: bytes, announced: int | None = None) -> None:
    handler.send_response(200)
    if announced != -1:
        handler.send_header("Content-Length", str(announced or len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def to(place: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place + handler.path.rsplit("/", 1)[1])
        handler.end_headers()

    return answer


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Site, nn.Module]]:
    """A site with one small model, marked so that no training makes the same; an empty cache."""
    few = data.load("mnist", "test").first(300)
    monkeypatch.setattr(data, "load", lambda name, split: few)
    monkeypatch.setattr(zoo, "RECIPES", {"tiny": TINY})
    monkeypatch.setattr(zoo, "USED", (("tiny", 0),))
    monkeypatch.setattr(zoo, "_in_memory", {})
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "builder"))
    monkeypatch.delenv("VAE_CORE_QUIET", raising=False)
    _fingerprint.forget()
    _published.forget()
    model = zoo.load("tiny", device="cpu")
    with torch.no_grad():
        next(model.parameters()).fill_(0.125)
    zoo._write(zoo._path("tiny", 0, torch.device("cpu")), model)
    monkeypatch.setattr(training, "pick_device", lambda name="auto": torch.device("cpu"))
    assert zoo.publish(tmp_path / "_zoo") == 1
    zoo._in_memory.clear()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "reader"))
    site = Site(tmp_path / "_zoo")
    monkeypatch.setenv(_published.VARIABLE, "auto")
    monkeypatch.setenv(_published.ADDRESS, site.address)
    yield site, model
    site.close()
    monkeypatch.undo()  # what a test has put in a cached function's place can't be forgotten
    _fingerprint.forget()
    _published.forget()


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def new_process() -> None:
    zoo._in_memory.clear()
    _published.forget()


def test_the_right_file_is_taken_and_kept(published: Any, capfd: Any) -> None:
    site, model = published
    assert same(zoo.load("tiny"), model)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("tiny, seed 0: fetching 0.1 MB of weights from 127.0.0.1 ... done in ")
    assert not same(zoo.load("tiny", 1), model)  # another seed is not published
    site.close()
    new_process()
    capfd.readouterr()
    assert same(zoo.load("tiny"), model)
    assert capfd.readouterr().err == ""


def test_another_processor_or_torch_takes_the_pages_weights(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key differs, and what is not the machine's does not: the numbers are the page's."""
    _, model = published
    monkeypatch.setattr(zoo, "_key", lambda *arguments: "f" * 16)
    assert same(zoo.load("tiny"), model)


def test_other_code_takes_a_file_only_by_its_key(
    published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    _, model = published
    monkeypatch.setattr(_fingerprint, "deciding_code", lambda: "edited, to the same effect")
    assert same(zoo.load("tiny"), model)
    new_process()
    monkeypatch.setattr(_fingerprint, "deciding_code", lambda: "edited")
    monkeypatch.setattr(_fingerprint, "of_recipe", lambda *arguments: "another training")
    capfd.readouterr()
    assert not same(zoo.load("tiny"), model)
    assert "is of other code or settings; trained here, once" in capfd.readouterr().err


def test_the_books_own_trainings_never_take_a_fetched_one(
    published: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site, model = published
    zoo.load("tiny")
    asked = len(site.asked)
    monkeypatch.setenv(_published.VARIABLE, "train")
    new_process()
    assert not same(zoo.load("tiny"), model)
    assert len(site.asked) == asked


def slowly(handler: BaseHTTPRequestHandler) -> None:
    """Always another byte before a socket's own time is up."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(65_536))


def no_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x1b[31mhello\r\n\r\n")


def of_type(kind: str) -> bytes:
    """A safetensors file of one number of the type ``kind``."""
    header = json.dumps({"w": {"dtype": kind, "shape": [1], "data_offsets": [0, 1]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0"


class Attack:
    def __reduce__(self) -> Any:
        return os._exit, (3,)


def weights(
    kind: torch.dtype = torch.float32, first: int | None = None, name: str | None = None
) -> bytes:
    """A file of the model's weights as another type, cut, or with a name that is not its own."""
    state = zoo._untrained(TINY, 0).state_dict()
    held = {key: values[:first].clone().to(kind) for key, values in state.items()}
    return _files.pack(held | ({name: torch.zeros(1)} if name else {}))


FAULTS: dict[str, tuple[Callable[[Site], Any], str]] = {
    "absent": (lambda s: (s.folder / "index.json").unlink(), "answers 404"),
    "no file": (lambda s: [p.unlink() for p in s.folder.glob("*.safe*")], "answers 404"),
    "damaged": (lambda s: s.change(sha256="0" * 64), "SHA-256"),
    "slow index": (lambda s: s.answers.update(index=slowly), "no whole answer within 0.7 s"),
    "slow file": (lambda s: s.answers.update(file=slowly), "no whole answer within 0.7 s"),
    "half": (lambda s: s.answers.update(file=lambda h: give(h, b"x" * 99, 50_000)), "cut"),
    "other host": (lambda s: s.answers.update(index=to("http://localhost:9/")), "another place"),
    "to a file": (lambda s: s.answers.update(index=to("file:///etc/")), "answers 302"),
    "in circles": (lambda s: s.answers.update(index=to("/round/")), "answers 302"),
    "a pickle": (lambda s: s.put(pickle.dumps(Attack())), "no weights of this model"),
    "a type of its own": (lambda s: s.put(of_type("X8")), "no weights of this model"),
    "a type of few": (lambda s: s.put(of_type("F8_E8M0")), "no weights of this model"),
    "half precision": (lambda s: s.put(weights(torch.float16)), "other names, shapes or types"),
    "another model": (lambda s: s.put(weights(first=3)), "other names, shapes or types"),
    "a very long name": (lambda s: s.put(weights(name="w\n" * 9000)), "no weights of this model"),
    "no HTTP": (lambda s: s.answers.update(file=no_http), "no connection ("),
    "colours": (
        lambda s: s.answers.update(index=to("http://\x1b\u00e9.invalid/")),
        "the server sends on to another place",
    ),
    "10 GB in the index": (lambda s: s.change(bytes=10**10), "announces 10,000,000,000 bytes"),
    "10 GB announced": (
        lambda s: s.answers.update(file=lambda h: give(h, b"", 10**10)),
        "announces 10,000,000,000 bytes",
    ),
    "streamed without end": (lambda s: s.answers.update(file=endless), "more bytes than"),
    "index without end": (lambda s: s.answers.update(index=endless), "more bytes than"),
    "path in a name": (lambda s: s.change(name="../../tiny"), "index can't be read"),
    "path in a key": (lambda s: s.change(key="../../../../etc/"), "index can't be read"),
    "no JSON": (lambda s: (s.folder / "index.json").write_text("<html>"), "can't be read"),
    "a list": (lambda s: (s.folder / "index.json").write_text("[]"), "can't be read"),
    "too deep": (lambda s: (s.folder / "index.json").write_text("[" * 200_000), "can't be read"),
    "nobody there": (lambda s: s.close(), "no connection"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_all_else_ends_in_training_and_one_line(
    fault: str, published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    site, model = published
    monkeypatch.setattr(_published, "INDEX_SECONDS", 0.7 if "slow" in fault else 20.0)
    monkeypatch.setattr(_published, "FILE_SECONDS", 0.7 if "slow" in fault else 20.0)
    spoil, reason = FAULTS[fault]
    spoil(site)
    trained = zoo.load("tiny")
    assert not same(trained, model)
    assert same(trained, zoo._train(TINY, 0, torch.device("cpu"), False))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("tiny, seed 0: ")
    assert reason in line
    assert line.endswith("; trained here, once")
    assert line.isprintable()
    assert len(line) < 400
    monkeypatch.setenv(_published.VARIABLE, "fetch")
    new_process()
    for path in (_cache.folder() / "zoo").iterdir():
        path.unlink()
    with pytest.raises(OSError, match="tiny, seed 0, could not be fetched from"):
        zoo.load("tiny", progress=False)


def test_a_host_that_is_too_slow_for_one_model_is_not_waited_for_again(
    published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """A chapter loads a dozen: each would wait as long."""
    site, model = published
    monkeypatch.setattr(_published, "FILE_SECONDS", 0.3)
    site.answers.update(file=slowly)
    zoo.load("tiny")
    asked = len(site.asked)
    zoo._in_memory.clear()
    zoo_folder = _cache.folder() / "zoo"
    for path in zoo_folder.iterdir():
        path.unlink()
    capfd.readouterr()
    assert not same(zoo.load("tiny"), model)
    assert len(site.asked) == asked
    assert capfd.readouterr().err == ""


def test_who_asks_for_a_fetch_is_served_once_the_host_is_back(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, model = published
    monkeypatch.setenv(_published.VARIABLE, "fetch")
    site.answers.update(index=lambda handler: handler.send_error(503))
    with pytest.raises(OSError, match="the server answers 503"):
        zoo.load("tiny")
    site.answers.clear()
    assert same(zoo.load("tiny"), model)


def test_nothing_is_left_of_a_fetch_that_is_killed_while_it_writes(
    published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = published

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            zoo.load("tiny")
    kept = _cache.folder() / "published"
    assert list(kept.iterdir()) == []
    new_process()
    assert same(zoo.load("tiny"), model)
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:-1])  # damaged later: fetched again
    new_process()
    assert same(zoo.load("tiny"), model)


def test_a_move_within_the_host_is_followed(published: Any) -> None:
    site, model = published
    site.answers.update(index=to("/moved/"), file=to("/moved/"))
    assert same(zoo.load("tiny", progress=False), model)


def test_a_host_that_does_not_answer_is_asked_and_told_once(
    published: Any, capfd: Any, offline: None
) -> None:
    site, _ = published
    zoo.load("tiny", 1)
    zoo.load("tiny", 2)
    (line,) = capfd.readouterr().err.splitlines()
    assert "no connection (Temporary failure in name resolution)" in line
    assert site.asked == []


@pytest.mark.parametrize("place", ["", "https://example.com/book", "https://book.invalid", "/tmp"])
def test_a_placeholder_turns_fetching_off_in_silence(
    place: str, published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv(_published.ADDRESS, place)
    monkeypatch.setattr(_published, "get", lambda *a: pytest.fail("the network was asked"))
    zoo.load("tiny")
    assert capfd.readouterr().err == ""
    monkeypatch.setenv(_published.VARIABLE, "fetch")
    with pytest.raises(OSError, match="no address is set to fetch it from: set"):
        zoo.load("tiny", 1)


def test_an_unknown_word_is_an_error(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_published.VARIABLE, "always")
    with pytest.raises(ValueError, match="must be one of train, fetch, auto; got 'always'"):
        zoo.load("tiny")


def test_publishing_again_keeps_what_is_whole_and_removes_the_rest(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = published
    (stored,) = site.folder.glob("*.safetensors")
    whole = stored.read_bytes()
    (site.folder / "old.safetensors").write_bytes(b"old")
    stored.write_bytes(b"half")
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "builder"))
    assert zoo.publish(site.folder) == 1
    assert {path.name for path in site.folder.iterdir()} == {"index.json", stored.name}
    assert stored.read_bytes() == whole
    (entry,) = json.loads((site.folder / "index.json").read_text())["models"]
    assert entry["sha256"] == hashlib.sha256(whole).hexdigest()
    assert entry["bytes"] == len(whole)
    assert entry["settings"]["epochs"] == 1


# --- what the book's tools do with it -----------------------------------------------------------


def test_a_foretold_time_changes_no_training(
    published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """The few steps that are timed leave no trace in the model that is then trained."""
    site, _ = published
    site.answers.update(index=lambda handler: handler.send_error(503))
    expected = zoo._train(TINY, 0, torch.device("cpu"), False)
    monkeypatch.setattr(_weights, "FEW_STEPS", 0)
    monkeypatch.setattr(_weights, "WORTH", 0.0)
    assert same(zoo.load("tiny"), expected)
    assert re.search(r"trained here, once: 1 epoch, about \d+ s\n", capfd.readouterr().err)


def test_a_preview_has_all_models_before_it_begins_or_says_which_it_lacks(
    published: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv(_published.VARIABLE, "fetch")
    assert fetch_models.main() == 0
    assert capfd.readouterr().out == "The models: all 1 are there\n"
    monkeypatch.setattr(zoo, "USED", (("tiny", 0), ("tiny", 1)))
    assert fetch_models.main() == 1
    told = capfd.readouterr().err
    assert told.startswith(
        "model 2 of 2: tiny, seed 1, could not be fetched from http://127.0.0.1:"
    )
    assert told.endswith(": it is not among the published ones\n")


@pytest.mark.parametrize(
    ("mode", "quick", "there"), [("train", "", True), ("fetch", "", False), ("train", "yes", False)]
)
def test_a_whole_build_publishes_and_no_other(
    mode: str, quick: str, there: bool, published: Any, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "builder"))
    monkeypatch.setenv(_published.VARIABLE, mode)
    monkeypatch.setenv("VAE_CORE_QUICK", quick)
    app: Any = SimpleNamespace(outdir=tmp_path / "html", builder=SimpleNamespace(format="html"))
    publishing.publish(app, ValueError("a failed build"))
    assert not (tmp_path / "html").exists()
    publishing.publish(app, None)
    assert (tmp_path / "html" / "_zoo" / "index.json").exists() == there
