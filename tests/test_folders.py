"""Folders of images that people have: classes, splits, and what lies beside images."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import one_sentence
from image_files import classes_of_seven, picture, refused

from vae_core import data


def test_a_folder_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = {}
    for label in ("cat", "dog"):
        for i in range(6):
            grey[f"{label}/{i}"] = rng.integers(0, 256, (9, 9), dtype=np.uint8)
            picture(tmp_path / label / f"{i}.png", grey[f"{label}/{i}"])
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    train = data.load(tmp_path, "train", size=9)
    validation = data.load(tmp_path, "validation", size=9)
    both = data.load(tmp_path, "train+validation", size=9)
    test = data.load(str(tmp_path), "test", size=9)
    assert train.classes == test.classes == validation.classes == ("cat", "dog")
    assert both.images.shape == (10, 1, 9, 9)
    assert both.labels.tolist() == [0] * 5 + [1] * 5
    # Every sixth of the ten training images, in their order: the first dog.
    assert train.labels.tolist() == [0] * 5 + [1] * 4
    assert torch.equal(validation.images, both.images[5:6])
    assert test.labels.tolist() == [0, 1]
    assert test.labels.dtype == torch.int64
    # Same size as asked for, so the very bytes.
    assert np.array_equal(both.images[6, 0].numpy(), grey["dog/1"])
    assert np.array_equal(test.images[0, 0].numpy(), grey["cat/5"])
    assert (test.name, test.split) == (str(tmp_path), "test")


def test_a_folder_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    rng = np.random.default_rng(1)
    for split, label, ending in (
        ("train", "b", "png"), ("train", "a", "JPG"), ("test", "a", "bmp"), ("test", "b", "webp"),
    ):  # fmt: skip
        for i in range(2):
            path = tmp_path / split / label / "deeper" / f"{i}.{ending}"
            picture(path, rng.integers(0, 256, (7, 5, 3), dtype=np.uint8))
    for split in ("train", "test"):
        theirs = ImageFolder(tmp_path / split, lambda found: pil_to_tensor(found.resize((6, 6))))
        ours = data.load(tmp_path, split, size=6, channels=3)
        assert ours.classes == tuple(theirs.classes)
        assert ours.labels.tolist() == theirs.targets
        assert torch.equal(ours.images, torch.stack([image for image, _ in theirs]))


def test_a_flat_folder(tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / f"{i:02}.png", np.full((4, 4), i, dtype=np.uint8))
    (tmp_path / ".ipynb_checkpoints").mkdir()  # what Jupyter leaves is no class
    (tmp_path / "README.md").write_text("not an image")
    train, test = data.load(tmp_path, "train", size=4), data.load(tmp_path, "test", size=4)
    assert train.classes == ("images",)
    assert test.images[:, 0, 0, 0].tolist() == [5, 11]
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 7, 8, 9, 10]
    assert data.load(tmp_path, "validation", size=4).images[:, 0, 0, 0].tolist() == [6]
    assert set(train.labels.tolist()) == {0}


def test_a_folder_with_its_own_splits(tmp_path: Path) -> None:
    for split, n in (("train", 3), ("test", 2)):
        for label in ("a", "b"):
            for i in range(n):
                picture(tmp_path / split / label / f"{i}.png", np.zeros((5, 5), dtype=np.uint8))
    assert data.load(tmp_path, "train+validation").labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.load(tmp_path, "train").labels.tolist() == [0, 0, 0, 1, 1]
    assert data.load(tmp_path, "validation").labels.tolist() == [1]
    assert data.load(tmp_path, "test").labels.tolist() == [0, 0, 1, 1]
    assert data.load(tmp_path, "test").images.shape == (4, 1, 28, 28)
    # A class that one split lacks would shift the meaning of every label after it.
    shutil.rmtree(tmp_path / "test" / "a")
    with pytest.raises(ValueError, match="the classes of train") as error:
        data.load(tmp_path, "test")
    one_sentence(error)


def test_colour_and_resizing(tmp_path: Path) -> None:
    colours = np.zeros((10, 20, 3), dtype=np.uint8)
    colours[..., 0], colours[..., 2] = 200, 60
    picture(tmp_path / "0.png", colours)
    found = data.load(tmp_path, "train", size=8, channels=3)
    assert found.images.shape == (1, 3, 8, 8)
    assert found.images[0, :, 4, 4].tolist() == [200, 0, 60]
    grey = data.load(tmp_path, "train", size=8)
    assert grey.images.shape == (1, 1, 8, 8)
    assert grey.images.unique().tolist() == [round(0.299 * 200 + 0.114 * 60)]


def test_folders_without_usable_images(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"no images in {tmp_path} (endings: .jpg, .jpeg, .png")
    picture(tmp_path / "0.png", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="no images for split 'test'"):
        data.load(tmp_path, "test")  # one image: nothing is left for the test set
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1\.png can't be read as an image") as error:
        data.load(tmp_path)
    one_sentence(error)
    (tmp_path / "empty_class").mkdir()
    with pytest.raises(ValueError, match="no folder of images by class") as error:
        data.load(tmp_path)
    one_sentence(error)


# ---- what lies beside images -------------------------------------------------------------------


def every_image(folder: Path) -> list[bytes]:
    found = [data.load(folder, split, size=8).images for split in ("train+validation", "test")]
    return sorted(image.numpy().tobytes() for image in torch.cat(found))


def test_hidden_files_and_what_systems_leave_are_passed_over(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path / "images")
    before = every_image(folder)
    assert len(set(before)) == 14
    for place in (folder, folder / "a", folder / "b"):
        for left in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".hidden", "$RECYCLE.BIN"):
            shutil.copytree(classes_of_seven(tmp_path / "other") / "a", place / left)
        (place / "._0.png").write_bytes(b"\0\5\x16\7" + bytes(100))
        (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (place / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
        (place / "desktop.ini").write_text("[.ShellClassInfo]")
    assert data.load(folder, size=8).classes == ("a", "b")
    assert every_image(folder) == before


def test_loops_of_links_end(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path / "images")
    before = every_image(folder)
    try:
        (folder / "a" / "again").symlink_to(folder / "a", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links without a privilege")
    (folder / "b" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "b" / "self").symlink_to(folder / "b" / "self")
    # "up" leads to the other class and back: each of its own files is met once.
    found = every_image(folder)
    assert set(found) == set(before)
    assert len(found) == 14 + 7
    (folder / "b" / "up").unlink()
    assert every_image(folder) == before


def test_links_are_followed_and_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path / "images")
    before = every_image(folder)
    linked = tmp_path / "linked"
    linked.mkdir()
    try:
        (linked / "a").symlink_to(folder / "a", target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links without a privilege")
    (linked / "b").mkdir()
    for i in range(7):
        (linked / "b" / f"{i}.png").symlink_to(folder / "b" / f"{i}.png")
    assert every_image(linked) == before
    (linked / "b" / "9.png").symlink_to(folder / "gone.png")
    assert refused(linked) == f"{linked / 'b' / '9.png'} is a link to a file that is not there"
    (linked / "b" / "9.png").unlink()
    (linked / "b" / "9.png").symlink_to(linked / "b" / "9.png")
    assert "is a link to a file that is not there" in refused(linked)


def test_images_beside_folders_of_images_are_told(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path)
    picture(folder / "loose.png", np.zeros((8, 8), dtype=np.uint8))
    message = refused(folder)
    assert message == (
        f"{folder} holds both images ('loose.png') and folders of images ('a'): put every image "
        f"into the folder of its class"
    )


def test_what_is_no_picture_here_is_told(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path / "images")
    np.save(folder / "a" / "features.npy", np.zeros(3))  # beside pictures it is none of our own
    (folder / "labels.csv").write_text("a,b\n")
    assert len(every_image(folder)) == 14
    (folder / "a" / "9.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert refused(folder) == (
        f"{folder / 'a' / '9.HEIC'} is a .heic picture, which can't be read here: save it as PNG "
        f"or JPEG, or move it out of the folder"
    )
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    np.save(arrays / "images.npy", np.zeros((3, 8, 8), np.uint8))
    np.savez(arrays / "images.npz", images=np.zeros(3))
    assert refused(arrays) == (
        f"no images in {arrays} (it holds .npy, .npz; arrays need no folder: data.ImageData takes "
        f"them as uint8 tensors)"
    )
    for name, advice in (
        (
            "arrays/images.npy",
            "an array needs no folder: data.ImageData takes it as a uint8 tensor",
        ),
        ("images/labels.csv", "it is a file: give the folder that it lies in"),
        ("all.zip", "unpack the archive, and give its folder"),
    ):
        (tmp_path / "all.zip").write_bytes(b"PK")
        assert refused(tmp_path / name) == f"unknown data set {str(tmp_path / name)!r}: {advice}"


def test_a_folder_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = classes_of_seven(tmp_path), Path.iterdir

    def closed(self: Path) -> Any:
        if self.name == "b":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", closed)
    assert refused(folder) == f"{folder / 'b'} can't be read (Permission denied)"


# ---- splits of a data set's own ----------------------------------------------------------------


def in_splits(top: Path, counts: dict[str, int], labels: str = "ab") -> Path:
    """Folders of splits; a picture's grey is its place in its split, plus 100 for class b."""
    for split, n in counts.items():
        for label in labels:
            for i in range(n):
                grey = np.full((4, 4), i + 100 * (label == "b"), dtype=np.uint8)
                picture(top / split / label / f"{i:02}.png", grey)
    return top


def greys(folder: Path, split: str) -> list[int]:
    return [int(image.max()) for image in data.load(folder, split, size=4).images]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val", "VALID"])
def test_a_validation_folder_is_the_validation_split(name: str, tmp_path: Path) -> None:
    folder = in_splits(tmp_path, {"train": 7, name: 2, "test": 3})
    assert greys(folder, "train") == [*range(7), *range(100, 107)]  # nothing is held out of it
    assert greys(folder, "validation") == [0, 1, 100, 101]
    assert greys(folder, "train+validation") == [*greys(folder, "train"), 0, 1, 100, 101]
    assert greys(folder, "test") == [0, 1, 2, 100, 101, 102]
    assert data.load(folder, "validation", size=4).labels.tolist() == [0, 0, 1, 1]


def test_training_and_validation_without_a_test_set(tmp_path: Path) -> None:
    """What was chosen by is no test: the sentence says what to do."""
    folder = in_splits(tmp_path, {"Training": 7, "val": 2})
    assert greys(folder, "train") == [*range(7), *range(100, 107)]
    assert greys(folder, "validation") == [0, 1, 100, 101]
    assert refused(folder, "test") == (
        f"{folder} has no test images, only Training and val: make a folder 'test' of images that "
        f"nothing was fitted to or chosen by"
    )


def test_training_and_test_keep_every_sixth_for_validation(tmp_path: Path) -> None:
    folder = in_splits(tmp_path, {"train": 6, "test": 1})
    assert greys(folder, "validation") == [5, 105]
    assert greys(folder, "train") == [*range(5), *range(100, 105)]
    assert greys(folder, "test") == [0, 100]


def test_splits_whose_classes_differ_are_told(tmp_path: Path) -> None:
    folder = in_splits(tmp_path, {"train": 2, "val": 2, "test": 2})
    shutil.rmtree(folder / "val" / "a")
    assert greys(folder, "train") == [0, 1, 100, 101]
    assert refused(folder, "validation") == (
        f"the classes of train and of val in {folder} differ ('a')"
    )
    in_splits(folder, {"valid": 1})
    assert refused(folder) == f"{folder} has several folders for validation: val, valid"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for label in ("train", "car"):
        for i in range(6):
            picture(tmp_path / label / f"{i}.png", np.full((4, 4), i, dtype=np.uint8))
    assert data.load(tmp_path, "train", size=4).classes == ("car", "train")


# ---- arguments ---------------------------------------------------------------------------------


def test_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Callable[..., Any]
) -> None:
    home = tmp_path / "home"
    classes_of_seven(home / "images")
    done = python(
        "import os\nfrom pathlib import Path\nfrom vae_core import data\n"
        "print(data.torchvision_root('~/sets'))\n"
        "print(data.torchvision_root(Path('~/sets')))\n"
        "print(len(data.load('~/images').images), len(data.load(Path('~/images')).images))\n"
        "print(len(data.load('mnist', 'test', root='~/sets').images), os.path.exists('~'))\n",
        HOME=str(home),
        USERPROFILE=str(home),
    )
    assert done.stdout.splitlines() == [str(home / "sets")] * 2 + ["10 10", "10000 False"]
    assert len(list((home / "sets" / "MNIST" / "raw").iterdir())) == 4


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (None, {}, "name must be a text or a path; got None"),
        (3, {}, "name must be a text or a path; got 3"),
        (b"mnist", {}, "name must be a text or a path; got b'mnist'"),
        (["mnist"], {}, "name must be a text or a path; got ['mnist']"),
        (torch.zeros(2, 3), {}, "name must be a text or a path; got torch.float32 [2, 3]"),
        ("a\0b", {}, "name must be a text or a path; got 'a\\x00b'"),
        ("mnist", {"split": None}, "split must be one of train, validation, train+validation, tes"),
        ("mnist", {"split": ["test"]}, "split must be one of"),
        ("mnist", {"root": 3}, "root must be a text or a path; got 3"),
        ("mnist", {"device": "gpu"}, "device 'gpu' can't be used here: "),
        ("mnist", {"device": "cuda:77"}, "device 'cuda:77' can't be used here: "),
        ("mnist", {"device": 3.5}, "device 3.5 can't be used here: "),
        ("mnist", {"size": np.float64(28)}, "size must be a whole number of at least 1; got"),
        ("mnist", {"channels": "1"}, "channels must be 1 or 3; got '1'"),
        ("no such folder", {}, "unknown data set 'no such folder': give one of mnist, fashion-mn"),
    ],
)
def test_arguments_of_another_kind_are_told(name: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        data.load(name, **options)
    one_sentence(error)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    folder = classes_of_seven(tmp_path)
    found = data.load(folder, size=np.int64(8), channels=np.uint8(1))
    assert torch.equal(found.images, data.load(folder, size=8).images)
    assert len(found.first(np.int64(3)).images) == 3
    for n in (True, 2.0, "2", None, torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="n must be between 1 and 10; got"):
            found.first(n)
