"""What the book's tools do with published weights: their sizes, the archive, the address."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import archive
import hosting
import pytest
import repository
import yaml
from helpers import ROOT

from vae_core import _published


def test_the_sum_of_bytes_is_told_to_hosts_and_the_archive_leaves_them_out(tmp_path: Path) -> None:
    html = tmp_path / "_build" / "html"
    (html / "_zoo").mkdir(parents=True)
    (html / "index.html").write_text("page")
    assert hosting.measures(html)["weights"] == "nothing"
    (html / "_zoo" / "index.json").write_bytes(bytes(100_000))
    (html / "_zoo" / "a.safetensors").write_bytes(bytes(2_400_000))
    told = hosting.measures(html)
    assert (told["weights"], told["files"], told["size"]) == ("2.5 MB in 2 files", "1", "0.0 MB")
    (tmp_path / "LICENSE").touch()
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/o/book\n")
    assert archive.main([], tmp_path) == 0
    packed = tmp_path / "_build" / "book.zip"
    assert zipfile.ZipFile(packed).namelist() == ["book/index.html", "book/LICENSE"]
    assert archive.main(["--weights"], tmp_path) == 0
    assert "book/_zoo/a.safetensors" in zipfile.ZipFile(packed).namelist()


def test_the_package_names_the_pages_address(tmp_path: Path, capsys: Any) -> None:
    config = "repository:\n  url: https://github.com/o/book\nhtml:\n  baseurl: {}\n"
    packaged = tmp_path / repository.PACKAGED
    packaged.parent.mkdir()
    packaged.write_text("\n")
    for given, stored in (('""', ""), ("https://a.b/book/  # here", "https://a.b/book/")):
        (tmp_path / "_config.yml").write_text(config.format(given))
        assert repository.main(["--check"], tmp_path) == (packaged.read_text().strip() != stored)
        assert repository.main([], tmp_path) == 0
        assert packaged.read_text() == f"{stored}\n"
        assert repository.main(["--check"], tmp_path) == 0
    assert "not the baseurl of _config.yml" in capsys.readouterr().err


def test_the_book_names_no_host_until_its_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_published.ADDRESS, raising=False)
    stated = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["html"]["baseurl"]
    assert (_published.address() is None) == (not stated)
    if stated:
        assert _published.address() == f"{stated.rstrip('/')}/_zoo"
